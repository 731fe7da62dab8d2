//! Rules over time, and what a policy remembers, as a policy's own tests see it: fake probes, virtual time. And the same
//! over a restart of the process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, Judge, NodeFacts, PeerFacts, Policy, Report, RuleReport, RuleState, Verdict, WallTime,
        probe::{Pending, ProbeRequest, Prober},
        run_tests,
    },
    words::Instant,
};

const SECOND: Duration = Duration::from_secs(1);

/// Every test of the policy passes.
fn passes(source: &str) {
    let engine = Engine::new();
    let policy = load(&engine, source);
    let report = run_tests(&engine, &policy, None);
    assert_eq!(report.failures, []);
    assert!(report.passed > 0);
}

fn load(engine: &Engine, source: &str) -> Policy {
    Policy::load(engine, "check", "check.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()))
}

/// What an evaluation of this text says that it could not do.
fn error(check: &str) -> String {
    Node::with(&format!("fn check() {{ {check} }}")).tick().error.unwrap()
}

// ---- options of rules

#[test]
fn each_flap_doubles_the_hold_down() {
    passes(
        r#"
const INTERVAL = "500ms";
const TARGETS  = ["203.0.113.1", "1.1.1.1", "9.9.9.9"];
fn check() {
    let alive = TARGETS.map(|t| ping(t, #{ timeout: "400ms" }));
    prefer("internet", at_least(2, alive), #{ weight: 40, fall: 6, rise: 10, backoff: #{ base: "10s", max: "10m" } });
}
fn test_each_flap_doubles_the_hold_down() {
    tick(3);
    for t in TARGETS { fake("ping:" + t, #{ ok: false }); }
    tick(6); assert_eq(verdict().delta, -40);                     // down: held for 10 s
    assert_eq(rule("internet").flaps, 1); assert_eq(rule("internet").held, 10.0);
    for t in TARGETS { unfake("ping:" + t); }
    run_for("9s"); assert_eq(verdict().delta, -40);
    assert(rule("internet").why.contains("held down for 1.00 s more"), rule("internet").why);
    run_for("2s"); assert_eq(verdict().delta, 0);
    for t in TARGETS { fake("ping:" + t, #{ ok: false }); }
    run_for("3s"); assert_eq(verdict().delta, -40);               // second time: 20 s
    assert_eq(rule("internet").held, 20.0);
    for t in TARGETS { unfake("ping:" + t); }
    run_for("15s"); assert_eq(verdict().delta, -40);
    run_for("7s");  assert_eq(verdict().delta, 0);
    run_for("10m");
    for t in TARGETS { fake("ping:" + t, #{ ok: false }); }
    run_for("3s"); assert_eq(rule("internet").held, 10.0);        // it was quiet: the first time again
}
"#,
    );
}

#[test]
fn a_rule_that_falls_where_it_is_asked_only_now_and_then_still_backs_off() {
    passes(
        r#"
fn check() {
    require("base", service("app"));
    if node.is_master {
        require("via vip", http("http://192.168.0.60/"), #{ fall: 1, rise: 1, linger: "5s", backoff: #{ base: "20s" } });
    }
}
fn fall_as_master() {
    set_node(#{ is_master: true });
    fake("http:http://192.168.0.60/", #{ status: 500 });
    tick(); assert_verdict("fault");
    set_node(#{ is_master: false });
    unfake("http:http://192.168.0.60/");
}
fn test_it_is_down_as_long_as_its_falls_hold_it() {
    tick(3);
    fall_as_master();
    run_for("19s"); assert_verdict("fault");      // longer than it lingers
    run_for("2s");  assert_verdict("healthy");
    fall_as_master();
    assert_eq(rule("via vip").held, 40.0);
    run_for("39s"); assert_verdict("fault");
    run_for("2s");  assert_verdict("healthy");
}
"#,
    );
}

#[test]
fn the_role_trap() {
    passes(
        r#"
fn check() {
    require("base", service("app"));
    if node.is_master { require("via vip", http("http://192.168.0.60/"), #{ fall: 2, rise: 1, linger: "30s" }); }
}
fn test_a_down_rule_stays_down_while_it_is_not_evaluated() {
    set_node(#{ is_master: true });
    tick(3); assert_verdict("healthy");
    fake("http:http://192.168.0.60/", #{ status: 500 });
    tick(2); assert_verdict("fault");
    set_node(#{ is_master: false });
    run_for("20s"); assert_verdict("fault");
    run_for("12s"); assert_verdict("healthy");
}
"#,
    );
}

#[test]
fn down_at_least_ten_seconds() {
    passes(
        r#"
const INTERVAL = "2s";
fn check() { require("mysql", tcp("127.0.0.1:3306", #{ timeout: "1s" }), #{ fall: 3, rise: 3, min_down: "10s" }); }
fn test_down_at_least_ten_seconds() {
    tick(5);
    fake("tcp:127.0.0.1:3306", #{ ok: false });
    tick(3); assert_verdict("fault");
    unfake("tcp:127.0.0.1:3306");
    tick(4); assert_verdict("fault"); assert_eq(rule("mysql").oks, 4);
    assert(rule("mysql").why.contains("down for at least 2.00 s more"), rule("mysql").why);
    tick(1); assert_verdict("healthy");
}
"#,
    );
}

#[test]
fn seconds_count_besides_failures() {
    passes(
        r#"
const FAST = "100ms";
fn check() { require("web", service("web"), #{ fall: 3, fall_for: "5s", rise: 2, rise_for: "3s", min_up: "20s" }); }
fn test_a_short_outage_is_none_however_often_it_is_looked_at() {
    tick(); run_for("30s");
    fake("service:web", #{ ok: false });
    run_for("5s"); assert_verdict("healthy"); assert(rule("web").fails > 30, "the fast interval");
    run_for("1s"); assert_verdict("fault");
    unfake("service:web");
    run_for("3s"); assert_verdict("fault");
    run_for("2s"); assert_verdict("healthy");
}
fn test_it_stays_up_for_a_while() {
    tick();
    fake("service:web", #{ ok: false });
    run_for("19s"); assert_verdict("healthy");
    run_for("2s"); assert_verdict("fault");
}
"#,
    );
}

#[test]
fn a_latch_holds_until_it_is_cleared() {
    passes(
        r#"
fn check() { require("data", file("/srv/data"), #{ fall: 1, rise: 2, latch: true, alert: true, tags: ["storage"] }); }
fn test_it_stays_down() {
    tick();
    fake("file:/srv/data", #{ ok: false });
    tick(); assert_verdict("fault");
    unfake("file:/srv/data");
    run_for("1h"); assert_verdict("fault");
    assert(rule("data").latched && rule("data").alert, "it is shown");
    assert_eq(rule("data").tags, ["storage"]);
    clear_rule("data");
    tick(); assert_verdict("healthy");
}
fn test_clearing_does_not_make_it_healthy() {
    tick();
    fake("file:/srv/data", #{ ok: false });
    tick(3);
    clear_rule("data");
    tick(3); assert_verdict("fault");
    unfake("file:/srv/data");
    tick(1); assert_verdict("fault");
    tick(1); assert_verdict("healthy");          // somebody has seen to it: by itself this time
    fake("file:/srv/data", #{ ok: false });
    tick(); assert(rule("data").latched, "the next fall latches again");
}
"#,
    );
}

#[test]
fn options_are_read_with_care() {
    let said = |options: &str| error(&format!(r#"let o = #{{ {options} }}; require("web", true, o);"#));
    for (options, why) in [
        ("backoff: true", "backoff of require takes a map, not a truth"),
        ("backoff: #{ bse: 1 }", "unknown option `bse` of backoff: did you mean `base`?"),
        (r#"backoff: #{ base: "1m", max: "5s" }"#, "0 < base <= max"),
        ("tags: [1]", "tags of require takes a list of texts"),
        (r#"fall_for: "soon""#, "fall_for: \"soon\" is not a duration"),
        ("latch: 1", "latch of require takes true or false"),
        ("alert: ()", ""),
    ] {
        if why.is_empty() {
            assert_eq!(
                Node::with(&format!("fn check() {{ require(\"web\", true, #{{ {options} }}); }}")).tick().error,
                None
            );
        } else {
            assert!(said(options).contains(why), "{}", said(options));
        }
    }
}

#[test]
fn an_unknown_option_in_a_literal_map_of_an_option_is_found_before_it_runs() {
    let engine = Engine::new();
    let text = r#"fn check() { require("web", true, #{ backoff: #{ maxx: "5m" } }); }"#;
    let problems = Policy::load(&engine, "check", "check.rhai", text).unwrap_err();
    assert_eq!((problems[0].code, problems[0].column), ("E104", 50));
    assert_eq!(problems[0].hint.as_deref(), Some("did you mean `max`?"));
}

// ---- helpers

#[test]
fn k_of_n_counts_the_bad_ones_and_nothing_else() {
    passes(
        r#"
fn check() {
    let lossy = k_of_n("link", ping("192.168.0.1"), 3, 5);
    watch("link", expect(!lossy, "3 of 5 lost"), #{ fall: 1, rise: 1 });
}
fn test_three_of_five() {
    fake("ping:192.168.0.1", [#{ ok: false }, #{}, #{ ok: false }, #{}, #{ ok: false }, #{}]);
    tick(4); assert(rule("link").up, "two of four");
    tick(1); assert(!rule("link").up, "three of five");
    tick(1); assert(rule("link").up, "the first one is out of sight");
}
fn test_no_information_is_none() {
    fake("ping:192.168.0.1", #{ ok: false });
    tick(2);
    fake("ping:192.168.0.1", #{ ok: false, blind: true });
    tick(20); assert(rule("link").up, "nothing was seen");
    fake("ping:192.168.0.1", #{ ok: false });
    tick(1); assert(!rule("link").up, "the third");
}
"#,
    );
}

#[test]
fn a_smoothed_round_trip() {
    passes(
        r#"
fn check() {
    let rtt = ewma("rtt", ping("192.168.0.1").rtt, "10s");
    watch("unknown", rtt == (), #{ fall: 1, rise: 1 });
    prefer("latency", expect(rtt == () || rtt < 0.2, `smoothed rtt ${rtt}s`), #{ weight: 10, fall: 1, rise: 1 });
}
fn test_one_slow_answer_is_not_a_slow_link() {
    fake("ping:192.168.0.1", #{ rtt: () });
    tick(2); assert(rule("unknown").up, "nothing was measured yet");
    fake("ping:192.168.0.1", #{ rtt: 0.0 });
    tick(); assert(!rule("unknown").up, "it was");
    fake("ping:192.168.0.1", #{ rtt: 1.0 });
    tick(); assert_eq(verdict().delta, 0);
    tick(5); assert_eq(verdict().delta, -10);
    fake("ping:192.168.0.1", #{ ok: false, rtt: () });
    tick(100); assert_eq(verdict().delta, -10);                   // no value: it stays what it was
    fake("ping:192.168.0.1", #{ rtt: 0.0 });
    tick(20); assert_eq(verdict().delta, 0);
}
"#,
    );
}

#[test]
fn the_rate_of_a_counter() {
    passes(
        r#"
const INTERVAL = "2s";
fn check() {
    let grows = rate("log", file("/var/log/app.log").size);
    watch("log", expect(grows == () || grows < 100.0, `${grows} bytes a second`), #{ fall: 1, rise: 1 });
}
fn size(bytes) { fake("file:/var/log/app.log", #{ size: bytes }); tick(); }
fn test_growth() {
    size(1000000); assert(rule("log").up, "one reading says nothing");
    size(1000100); assert(rule("log").up, "50 a second");
    size(1000300); assert_eq(rule("log").why, "100.0 bytes a second");
    size(20);      assert(rule("log").up, "rotated: 10 a second");
    size(());      assert(rule("log").up, "as it was");
    size(1020);    assert(!rule("log").up, "1000 in four seconds");
}
"#,
    );
}

#[test]
fn changed_and_once_per() {
    passes(
        r#"
fn check() {
    put("other versions", get("other versions", 0) + if changed("version", http("http://127.0.0.1/v").body) { 1 } else { 0 });
    put("warnings", get("warnings", 0) + if once_per("warning", "10s") { 1 } else { 0 });
    watch("counts", expect(false, `${get("other versions", 0)} ${get("warnings", 0)}`), #{ fall: 1 });
}
fn serve(body) { fake("http:http://127.0.0.1/v", #{ body: body }); tick(); }
fn test_they_count() {
    serve("1"); serve("1"); assert_eq(rule("counts").why, "0 1");
    serve("2"); serve("2"); assert_eq(rule("counts").why, "1 1");
    let long = "x"; long.pad(2000, "x");
    serve(long); serve(long); assert_eq(rule("counts").why, "2 1");
    serve(long + "y"); assert_eq(rule("counts").why, "3 1");
    run_for("3s"); assert_eq(rule("counts").why, "3 1");
    run_for("1s"); assert_eq(rule("counts").why, "3 2");
}
"#,
    );
}

#[test]
fn what_is_known_of_a_gate() {
    passes(
        r#"
fn check() {
    require("web", service("web"), #{ fall: 2, rise: 1 });
    let info = gate_info("web");
    watch("text", expect(false, `${info.up} ${info.fails} ${info.oks} ${info.since} ${info.changes.len()} ${info.why}`));
    watch("restless", expect(flapping("web") < 50.0, `${flapping("web")} %`), #{ fall: 1, rise: 1 });
    if info.changes.len() == 1 { watch("change", expect(false, `${info.changes[0].up} ${info.changes[0].ago}`)); }
}
fn test_as_the_last_evaluation_left_it() {
    tick(); assert_eq(rule("text").why, " 0 0 0.0 0 not evaluated yet");
    tick(3); assert_eq(rule("text").why, "true 0 3 3.0 0 active");
    fake("service:web", #{ ok: false, why: "inactive" });
    tick(4); assert_eq(rule("text").why, "false 3 0 2.0 1 inactive");
    assert_eq(rule("change").why, "false 2.0");
}
fn test_what_comes_and_goes() {
    let story = [];
    for n in 0..10 { story.push(#{ ok: false }); story.push(#{}); }
    fake("service:web", story);
    tick(11); assert(rule("restless").up, rule("restless").why);
    tick(1);  assert_eq(rule("restless").why, "50.0 %");
    tick(60); assert(rule("restless").up, rule("restless").why);
}
"#,
    );
}

#[test]
fn helpers_say_what_they_cannot_do() {
    for (check, why) in [
        (r#"k_of_n("x", true, 3, 2);"#, "1 <= k <= n <= 64, not 3 of 2"),
        (r#"k_of_n("x", 1, 1, 2);"#, "k_of_n takes a probe"),
        (r#"ewma("x", "fast", "10s");"#, "ewma takes a number or (), not a text"),
        (r#"ewma("x", 1.0, "10s"); ewma("x", 2.0, "10s");"#, "a second ewma(\"x\", …) in one evaluation"),
        (r#"rate("x", 1.0 / 0.0);"#, "rate takes a number, not inf"),
        (r#"changed("x", [1]);"#, "changed takes a truth, a number or a text, not a list"),
        (r#"put("x", 0.0 / 0.0);"#, "put NaN is no number"),
        (r#"for n in 0..65 { ewma("x" + n, 1, "1s"); }"#, "ewma keeps up to 64 names"),
        (r#"for n in 0..65 { once_per("x" + n, "1s"); }"#, "once_per keeps up to 64 names"),
        (r#"require("web", true); gate_info("wbe");"#, "there is no rule \"wbe\": did you mean \"web\"?"),
    ] {
        let said = error(check);
        assert!(said.contains(why), "{said}");
    }
}

// ---- over a restart, a reload, and what an operator does

/// Probes are what the story says: service `web` by this, everything else ok.
#[derive(Default)]
struct World(Mutex<bool>);

impl Prober for World {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let broken = *self.0.lock().unwrap() && request.key() == "service:web";
        let (sender, receiver) = mpsc::channel();
        let (ok, why) = if broken { (false, "inactive") } else { (true, "active") };
        sender.send(outcome(ok, why)).unwrap();
        receiver
    }
}

fn outcome(ok: bool, why: &str) -> ha::policy::probe::ProbeOutcome {
    use ha::policy::probe::{ErrorKind, ProbeOutcome};
    let error = if ok { ErrorKind::None } else { ErrorKind::Mismatch };
    ProbeOutcome { ok, why: why.to_owned(), error, blind: false, elapsed: SECOND / 1000, fields: Default::default() }
}

struct Hand(Mutex<Duration>);

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant::from_epoch(*self.0.lock().unwrap())
    }

    fn wall(&self) -> WallTime {
        WallTime { unix_s: 1_767_614_400, utc_offset_s: 0 }
    }
}

struct Node {
    engine: Engine,
    policy: Policy,
    judge: Judge,
    world: Arc<World>,
    clock: Arc<Hand>,
}

impl Node {
    fn with(source: &str) -> Self {
        let engine = Engine::new();
        let policy = load(&engine, source);
        let clock = Arc::new(Hand(Mutex::new(1000 * SECOND)));
        Self { engine, policy, judge: Judge::new(), world: Arc::default(), clock }
    }

    fn tick(&mut self) -> Report {
        *self.clock.0.lock().unwrap() += SECOND;
        let context = Context { node: NodeFacts::default(), peers: vec![PeerFacts::default()], ..Context::default() };
        let prober: Arc<dyn Prober> = self.world.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.judge.evaluate(&self.engine, &self.policy, 1, &context, &prober, &clock)
    }

    fn ticks(&mut self, times: usize) -> Report {
        (1..times).for_each(|_| drop(self.tick()));
        self.tick()
    }

    fn breaks(&self, broken: bool) {
        *self.world.0.lock().unwrap() = broken;
    }

    /// The process is gone for so long; the machine stays up.
    fn restarts_after(&mut self, gone: Duration) {
        let kept = self.judge.kept(self.clock.now());
        *self.clock.0.lock().unwrap() += gone;
        self.judge = Judge::resumed(self.clock.now(), kept.later(gone));
    }

    /// The machine is booted, which takes so long: its clock begins anew.
    fn boots_after(&mut self, gone: Duration) {
        let kept = self.judge.kept(self.clock.now());
        *self.clock.0.lock().unwrap() = 20 * SECOND;
        self.judge = Judge::resumed(self.clock.now(), kept.later(gone));
    }

    fn reload(&mut self, source: &str) {
        self.policy = load(&self.engine, source);
        self.judge.reloaded();
    }
}

fn rule<'a>(report: &'a Report, name: &str) -> &'a RuleReport {
    report.rules.iter().find(|rule| rule.name == name).unwrap()
}

fn is_fault(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Fault { .. })
}

/// A clock that fails while an evaluation begins, as nothing of the script engine does.
struct Broken;

impl Clock for Broken {
    fn now(&self) -> Instant {
        panic!("on purpose")
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}

#[test]
fn what_was_counted_survives_a_fault_of_this_program() {
    let mut node = Node::with("fn check() { require(\"web\", service(\"web\")); put(\"k\", 1); }");
    node.tick();
    node.breaks(true);
    node.ticks(2);
    let (context, prober): (_, Arc<dyn Prober>) = (Context::default(), node.world.clone());
    let clock: Arc<dyn Clock> = Arc::new(Broken);
    let (judge, engine, policy) = (&mut node.judge, &node.engine, &node.policy);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        judge.evaluate(engine, policy, 1, &context, &prober, &clock)
    }));
    assert!(failed.is_err());
    assert!(is_fault(&node.tick()), "the third failure, of three");
    assert_eq!(node.judge.kept(node.clock.now()).notes.len(), 1);
}

#[test]
fn r22_over_a_boot_what_is_kept_is_as_old_as_it_is() {
    let mut node = Node::with(
        r#"fn check() {
            put("runs", get("runs", 0) + 1);
            let grows = rate("runs", get("runs", 0) * 1000);
            let smooth = ewma("x", if get("runs", 0) < 3 { 100.0 } else { 0.0 }, "60s");
            if get("runs", 0) == 3 { hold(`${grows} ${smooth}`) }
        }"#,
    );
    node.ticks(2);
    node.boots_after(Duration::from_secs(119));
    // A thousand more within two minutes; two half-lives.
    let grows = 1000.0 / 120.0;
    assert_eq!(node.tick().verdict, Verdict::Hold { why: format!("{grows} 25.0") });
}

#[test]
fn a_mistake_beside_a_fault_does_not_undo_the_fault() {
    let mut node = Node::with("fn check() { heal(\"web\", || 1); fault(\"no disk\") }");
    let report = node.tick();
    assert!(is_fault(&report), "{:?}", report.verdict);
    assert!(report.error.unwrap().contains("no rule of that name"));
}

const LATCHED: &str = r#"fn check() { require("web", service("web"), #{ fall: 1, rise: 1, latch: true }); }"#;

#[test]
fn r22_a_latch_survives_a_restart_and_says_what_it_fell_for() {
    let mut node = Node::with(LATCHED);
    node.tick();
    node.breaks(true);
    node.tick();
    node.breaks(false);
    node.restarts_after(SECOND);
    let report = node.tick();
    assert!(is_fault(&report), "not starting, and not up with the first success");
    let why = &rule(&report, "web").why;
    assert_eq!(why, "inactive; now active, latched: it stays down until it is cleared");
    assert!(node.judge.clear("web"));
    assert_eq!(node.tick().verdict, Verdict::Healthy { delta: 0, note: String::new() });
    assert!(!node.judge.clear("wbe"), "nothing is known of it");
}

#[test]
fn r22_a_latched_rule_counts_after_a_restart_even_where_it_is_not_evaluated() {
    let text = r#"
        fn check() {
            require("base", service("base"));
            if node.is_master { require("web", service("web"), #{ fall: 1, latch: true }); }
        }"#;
    let mut node = Node::with(&text.replace("node.is_master", "true"));
    node.tick();
    node.breaks(true);
    node.tick();
    node.policy = load(&node.engine, text);
    node.restarts_after(SECOND);
    assert!(is_fault(&node.tick()));
    assert!(is_fault(&node.ticks(100)), "longer than it lingers");
    node.restarts_after(SECOND);
    node.policy = load(&node.engine, r#"fn check() { require("base", service("base")); }"#);
    assert!(!is_fault(&node.tick()), "a rule that is gone holds nothing");
}

#[test]
fn r22_a_restart_keeps_back_off_honest_and_forgets_counters() {
    let text = r#"
        fn check() {
            require("web", service("web"), #{ fall: 3, rise: 1, backoff: #{ base: "20s" } });
        }"#;
    let mut node = Node::with(text);
    node.tick();
    node.breaks(true);
    node.ticks(2);
    node.restarts_after(SECOND);
    assert_eq!(rule(&node.tick(), "web").state(), RuleState::Unknown, "two failures are forgotten");
    node.ticks(2);
    node.breaks(false);
    node.restarts_after(9 * SECOND);
    assert!(is_fault(&node.ticks(10)), "held for 20 s, of which 19 are over");
    assert!(!is_fault(&node.tick()));
    node.restarts_after(SECOND);
    node.breaks(true);
    let report = node.ticks(3);
    assert_eq!(rule(&report, "web").gate.falls(node.clock.now()).held, 40 * SECOND, "the second fall");
}

#[test]
fn r22_helpers_and_notes_survive_a_restart() {
    let text = r#"
        fn check() {
            put("runs", get("runs", 0) + 1);
            let bad = k_of_n("web", service("web"), 2, 10);
            let smooth = ewma("x", if bad { 1.0 } else { 0.0 }, "10s");
            let grows = rate("runs", get("runs", 0));
            let again = once_per("hour", "1h");
            let other = changed("runs", get("runs", 0) / 4);
            watch("text", expect(false, `${get("runs", 0)} ${bad} ${smooth} ${grows} ${again} ${other}`));
        }"#;
    let mut node = Node::with(text);
    node.breaks(true);
    assert_eq!(rule(&node.tick(), "text").why, "1 false 0.0  true false");
    node.restarts_after(9 * SECOND);
    assert_eq!(rule(&node.tick(), "text").why, "2 true 0.5 0.1 false false", "ten seconds later");
    node.restarts_after(SECOND);
    node.tick();
    assert!(rule(&node.tick(), "text").why.ends_with("1.0 false true"));
    node.restarts_after(3600 * SECOND);
    assert!(rule(&node.tick(), "text").why.contains(" true "));
}

#[test]
fn what_outlives_the_process_is_written_only_when_it_changes() {
    let mut node = Node::with(r#"fn check() { require("web", service("web"), #{ fall: 1 }); put("a", 1); }"#);
    node.tick();
    let before = node.judge.revision();
    node.ticks(10);
    assert_eq!(node.judge.revision(), before);
    node.breaks(true);
    node.tick();
    assert_ne!(node.judge.revision(), before);
    assert_eq!(node.judge.kept(node.clock.now()).rules["web"].falls.count, 1);
}

#[test]
fn a_reload_keeps_counters_and_what_the_old_options_held_is_held_as_the_new_ones_say() {
    let text = |options: &str| format!("fn check() {{ require(\"web\", service(\"web\"), #{{ {options} }}); }}");
    let mut node = Node::with(&text("fall: 5"));
    node.tick();
    node.breaks(true);
    node.ticks(4);
    node.reload(&text("fall: 3"));
    assert!(is_fault(&node.tick()), "the next real failure");

    let mut node = Node::with(LATCHED);
    node.tick();
    node.breaks(true);
    node.tick();
    node.breaks(false);
    assert!(is_fault(&node.ticks(5)));
    node.reload(&text("fall: 1, rise: 1"));
    assert!(!is_fault(&node.tick()), "it is latched no more");

    let mut node = Node::with(&text(r#"fall: 1, rise: 1, backoff: #{ base: "1m" }"#));
    node.tick();
    node.breaks(true);
    node.tick();
    node.breaks(false);
    node.reload(&text(r#"fall: 1, rise: 1, backoff: #{ base: "1s", max: "3s" }"#));
    assert!(is_fault(&node.ticks(3)));
    assert!(!is_fault(&node.tick()));
}
