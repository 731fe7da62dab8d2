//! Policies, told as stories: probes that answer what the story says, a clock that is moved by hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, FaultCause, Judge, LogLevel, NodeFacts, PeerFacts, Policy, Report, RuleReport,
        RuleState, Secret, SecretOrText, Verdict, WallTime,
        probe::{
            Authorization, Data, ErrorKind, Field, HttpRequest, HttpVersion, Identity, JsonExpectation, Pattern,
            Pending, ProbeKind, ProbeOutcome, ProbeRequest, Prober, Talk, TcpRequest, TlsRequest,
        },
        run_tests,
    },
    wire::dns::RecordType,
    words::{Family, Instant},
};

const SECOND: Duration = Duration::from_secs(1);

/// What the world looks like to the probes.
#[derive(Default)]
struct World {
    outcomes: Mutex<BTreeMap<String, ProbeOutcome>>,
    asked: Mutex<Vec<ProbeRequest>>,
}

impl Prober for World {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let key = request.key();
        assert!(key != "file:/panic", "a prober with a fault");
        self.asked.lock().unwrap().push(request.clone());
        let (sender, receiver) = mpsc::channel();
        if key != "file:/given-up" {
            let known = self.outcomes.lock().unwrap().get(&key).cloned();
            sender.send(known.unwrap_or_else(|| outcome(true, "fine", ErrorKind::None))).unwrap();
        }
        receiver
    }
}

fn outcome(ok: bool, why: &str, error: ErrorKind) -> ProbeOutcome {
    ProbeOutcome { ok, why: why.to_owned(), error, blind: false, elapsed: SECOND / 1000, fields: BTreeMap::new() }
}

/// A clock that stands still unless it is moved.
#[derive(Default)]
struct Hand(Mutex<Duration>);

impl Clock for Hand {
    fn now(&self) -> Instant {
        Instant::from_epoch(*self.0.lock().unwrap())
    }

    fn wall(&self) -> WallTime {
        WallTime { unix_s: 1_767_614_400, utc_offset_s: 3600 }
    }
}

/// A node with one policy, evaluated once per second.
struct Node {
    engine: Engine,
    policy: Policy,
    judge: Judge,
    world: Arc<World>,
    clock: Arc<Hand>,
    context: Context,
}

impl Node {
    fn with(source: &str) -> Self {
        let engine = Engine::new();
        let policy = load(&engine, source);
        let context = Context { node: NodeFacts::default(), peers: vec![PeerFacts::default()], ..Context::default() };
        let (judge, world, clock) = (Judge::new(), Arc::default(), Arc::default());
        Self { engine, policy, judge, world, clock, context }
    }

    /// The founding policy, up.
    fn founding() -> Self {
        let mut node = Self::with(include_str!("../../scripts/check_local.rhai"));
        assert_eq!(node.tick().verdict, healthy());
        node
    }

    fn reload(&mut self, source: &str) {
        self.policy = load(&self.engine, source);
        self.judge.reloaded();
    }

    fn tick(&mut self) -> Report {
        *self.clock.0.lock().unwrap() += SECOND;
        let prober: Arc<dyn Prober> = self.world.clone();
        let clock: Arc<dyn Clock> = self.clock.clone();
        self.judge.evaluate(&self.engine, &self.policy, 1, &self.context, &prober, &clock)
    }

    fn ticks(&mut self, times: usize) -> Report {
        (1..times).for_each(|_| drop(self.tick()));
        self.tick()
    }

    fn set(&self, key: &str, outcome: ProbeOutcome) {
        self.world.outcomes.lock().unwrap().insert(key.to_owned(), outcome);
    }

    fn fails(&self, key: &str, why: &str) {
        self.set(key, outcome(false, why, ErrorKind::Timeout));
    }

    fn blinds(&self, key: &str) {
        self.set(key, ProbeOutcome { blind: true, ..outcome(false, "not permitted", ErrorKind::Denied) });
    }

    fn answers(&self, key: &str) {
        self.world.outcomes.lock().unwrap().remove(key);
    }
}

fn load(engine: &Engine, source: &str) -> Policy {
    match Policy::load(engine, "check", "check.rhai", source) {
        Ok(policy) => policy,
        Err(problems) => panic!("{}", problems.iter().map(|problem| problem.render(source)).collect::<String>()),
    }
}

fn healthy() -> Verdict {
    Verdict::Healthy { delta: 0, note: String::new() }
}

fn fault(why: &str, external: bool) -> Verdict {
    Verdict::Fault { why: why.to_owned(), cause: if external { FaultCause::External } else { FaultCause::Rules } }
}

/// What the script itself said.
fn said(why: &str) -> Verdict {
    Verdict::Fault { why: why.to_owned(), cause: FaultCause::Script }
}

fn rule<'a>(report: &'a Report, name: &str) -> &'a RuleReport {
    report.rules.iter().find(|rule| rule.name == name).unwrap_or_else(|| panic!("no rule {name}"))
}

const WEB: &str = "http:http://192.168.0.20/";
const ARBITER: &str = "ping:192.168.0.22";

// ---- the founding policy

#[test]
fn the_founding_policy_is_clean_and_its_own_tests_pass() {
    let node = Node::founding();
    assert_eq!(node.policy.warnings(), []);
    let report = run_tests(&node.engine, &node.policy, None);
    assert_eq!((report.passed, report.failures.as_slice()), (5, [].as_slice()));
    assert_eq!((report.rules_never_down.len(), report.probes_never_faked.len()), (0, 0));
    assert_eq!((node.policy.interval(), node.policy.fast(), node.policy.deadline()), (SECOND, None, 5 * SECOND));
}

#[test]
fn s8_either_rule_alone_gives_up_the_address() {
    let mut node = Node::founding();
    node.fails(WEB, "status 500");
    assert_eq!(node.ticks(3).verdict, fault("web: status 500", false));

    let mut node = Node::founding();
    node.fails(ARBITER, "0/3 replies");
    assert_eq!(node.ticks(3).verdict, fault("arbiter: 0/3 replies", true));
}

#[test]
fn s9_failures_are_counted_in_a_row_and_for_each_rule_by_itself() {
    let mut node = Node::founding();
    node.fails(WEB, "status 500");
    node.ticks(2);
    node.answers(WEB);
    node.fails(ARBITER, "0/3 replies");
    let report = node.ticks(2);
    assert_eq!(report.verdict, healthy());
    assert_eq!((rule(&report, "web").gate.fails(), rule(&report, "arbiter").gate.fails()), (0, 2));
    assert_eq!(rule(&report, "arbiter").state(), RuleState::Failing);
    assert!(node.judge.in_transition());
}

#[test]
fn s10_it_comes_back_by_itself() {
    let mut node = Node::founding();
    node.fails(WEB, "status 500");
    assert_eq!(node.ticks(60).verdict, fault("web: status 500", false));
    node.answers(WEB);
    assert_eq!(node.tick().verdict, fault("web: status 500; now fine, 1 of 2", false), "one of two successes");
    assert_eq!(node.tick().verdict, healthy());
}

// ---- R6: what a claim needs to know

#[test]
fn r6_a_gate_that_is_still_up_is_not_an_observation_that_was_ok() {
    let mut node = Node::founding();
    assert!(node.tick().observed_ok);
    node.fails(ARBITER, "0/3 replies");
    let report = node.tick();
    assert_eq!((report.verdict, report.observed_ok), (healthy(), false));
    node.blinds(ARBITER);
    assert!(!node.tick().observed_ok, "a blind observation is none");
}

// ---- R21: errors

const THROWS_LATE: &str = r#"
    fn check() {
        require("web", http("http://127.0.0.1/"));
        let strange = node.no_such_field;
        require("late", service("late"));
    }"#;

#[test]
fn r21_what_cannot_be_evaluated_is_hold_and_says_where() {
    let mut node = Node::with(THROWS_LATE);
    let report = node.tick();
    let Verdict::Hold { why } = &report.verdict else { panic!("{report:?}") };
    assert!(why.contains("check.rhai:4:"), "{why}");
    assert_eq!(report.error.as_deref(), Some("check.rhai:4:28: there is no field `no_such_field`"));
    assert!(!report.observed_ok);
}

#[test]
fn r21_a_rule_that_fell_before_the_throw_beats_hold() {
    let mut node = Node::with(THROWS_LATE);
    node.fails("http:http://127.0.0.1/", "refused");
    let report = node.ticks(3);
    assert_eq!(report.verdict, fault("web: refused", false));
    assert!(report.error.is_some());
}

#[test]
fn r21_rules_that_were_not_reached_neither_fall_nor_are_forgotten() {
    let throws = r#"fn check() { if get("n", 0) > 2 { throw "no" } put("n", get("n", 0) + 1); require("web", service("web")); }"#;
    let mut node = Node::with(throws);
    assert_eq!(node.ticks(3).verdict, healthy());
    let report = node.ticks(300);
    assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
    let web = rule(&report, "web");
    assert_eq!((web.state(), web.ok), (RuleState::Up, None));
}

#[test]
fn r21_a_rule_that_was_down_stays_so_while_nothing_is_known() {
    let throws = r#"fn check() { if node.is_master { throw "no" } require("web", service("web")); }"#;
    let mut node = Node::with(throws);
    node.fails("service:web", "failed");
    assert_eq!(node.ticks(3).verdict, fault("web: failed", false));
    node.context.node.is_master = true;
    assert_eq!(node.ticks(200).verdict, fault("web: failed", false));
}

#[test]
fn a_script_cannot_end_the_start_by_throwing() {
    let mut node = Node::with(r#"fn check() { if now < 3.0 { throw "not yet" } require("web", service("web")); }"#);
    assert!(matches!(node.ticks(2).verdict, Verdict::Hold { .. }));
    node.fails("service:web", "failed");
    assert_eq!(node.tick().verdict, Verdict::Starting);
}

// ---- R22: starting

#[test]
fn r22_starting_lasts_until_everything_that_decides_is_known() {
    let mut node = Node::with(include_str!("../../scripts/check_local.rhai"));
    node.fails(WEB, "status 500");
    let report = node.tick();
    assert_eq!(report.verdict, Verdict::Starting);
    assert_eq!((rule(&report, "web").state(), rule(&report, "arbiter").state()), (RuleState::Unknown, RuleState::Up));
    node.answers(WEB);
    assert_eq!(node.tick().verdict, healthy());
}

#[test]
fn r22_a_broken_service_at_boot_is_a_fault_after_fall_failures() {
    let mut node = Node::with(include_str!("../../scripts/check_local.rhai"));
    node.fails(WEB, "status 500");
    assert_eq!(node.ticks(2).verdict, Verdict::Starting);
    assert_eq!(node.tick().verdict, fault("web: status 500", false));
}

#[test]
fn r22_a_rule_that_appears_later_is_up_until_proven_otherwise() {
    let mut node = Node::with(r#"fn check() { require("web", service("web")); }"#);
    node.tick();
    node.fails("service:new", "failed");
    node.reload(r#"fn check() { require("web", service("web")); require("new", service("new")); }"#);
    let report = node.tick();
    assert_eq!(
        (&report.verdict, rule(&report, "new").state()),
        (&healthy(), RuleState::Failing),
        "never starting again"
    );
    assert_eq!(node.tick().verdict, healthy());
    assert_eq!(node.tick().verdict, fault("new: failed", false));
}

#[test]
fn r22_an_error_does_not_bring_the_start_back() {
    let mut node = Node::with(
        r#"fn check() {
            if get("n", 0) == 1 { put("n", 2); throw "once" }
            if get("n", 0) == 2 { require("new", service("new")); }
            put("n", 1 + get("n", 0));
        }"#,
    );
    node.fails("service:new", "failed");
    assert_eq!(node.tick().verdict, healthy());
    assert!(node.tick().error.is_some());
    assert_eq!(node.tick().verdict, healthy());
}

#[test]
fn r22_a_reload_keeps_the_counts_and_drops_what_is_gone() {
    let mut node = Node::with(r#"fn check() { require("web", service("web")); require("old", service("old")); }"#);
    node.tick();
    node.fails("service:old", "failed");
    node.ticks(5);
    node.fails("service:web", "failed");
    assert_eq!(node.ticks(2).verdict, fault("old: failed", false));
    node.reload(r#"fn check() { require("web", service("web"), #{ fall: 4 }); }"#);
    let report = node.tick();
    assert_eq!(report.verdict, healthy(), "the effect of a removed rule ends at once");
    assert_eq!(rule(&report, "web").gate.fails(), 3);
    assert_eq!(node.tick().verdict, fault("web: failed", false));
}

#[test]
fn r22_a_rule_that_was_down_and_is_gone_is_said() {
    let mut node = Node::with(r#"fn check() { require("old", service("old")); watch("fine", true); }"#);
    node.tick();
    node.fails("service:old", "failed");
    node.ticks(3);
    node.reload("fn check() { }");
    node.tick();
    let lines: Vec<String> = node.judge.take_log().into_iter().map(|line| line.text).collect();
    assert_eq!(lines, ["rule old is gone from the policy; it was down, and that has no effect any more"]);
}

#[test]
fn r22_a_rule_that_is_new_or_asks_something_else_is_up_and_unproven_until_something_is_shown() {
    let with = |target: &str, more: &str| format!("fn check() {{ require(\"web\", service(\"{target}\")); {more} }}");
    let mut node = Node::with(&with("a", ""));
    assert!(!rule(&node.tick(), "web").unproven, "seen ok");
    node.fails("service:b", "failed");
    node.reload(&with("b", "require(\"new\", service(\"b\"));"));
    for _ in 0..2 {
        let report = node.tick();
        assert_eq!((report.verdict.clone(), rule(&report, "new").state()), (healthy(), RuleState::Failing));
        assert!(rule(&report, "new").unproven && rule(&report, "web").unproven, "{report:?}");
    }
    let report = node.tick();
    assert!(!rule(&report, "new").unproven && !rule(&report, "web").unproven, "down is a proof");
    assert!(matches!(report.verdict, Verdict::Fault { .. }));

    node.reload(&with("c", ""));
    assert!(!rule(&node.tick(), "web").unproven, "seen ok at once");
    assert_eq!(node.tick().verdict, healthy());
    node.blinds("service:d");
    node.reload(&with("d", ""));
    assert!(rule(&node.tick(), "web").unproven, "no information is no proof");
    assert!(rule(&node.tick(), "web").unproven);
}

#[test]
fn the_start_also_waits_for_gates_the_script_decides_by() {
    let mut node =
        Node::with(r#"fn check() { if !gate("web", service("web")) { return fault("web is broken"); } healthy() }"#);
    node.fails("service:web", "failed");
    assert_eq!(node.ticks(2).verdict, Verdict::Starting);
    assert_eq!(node.tick().verdict, said("web is broken"));
}

// ---- R23: external references

#[test]
fn r23_only_external_rules_down_is_said() {
    let mut node = Node::founding();
    node.fails(ARBITER, "0/3 replies");
    assert_eq!(node.ticks(3).verdict, fault("arbiter: 0/3 replies", true));
    node.fails(WEB, "status 500");
    assert_eq!(node.ticks(3).verdict, fault("web: status 500; arbiter: 0/3 replies", false));
}

// ---- rules and verdicts

#[test]
fn preferences_add_up_and_watches_decide_nothing() {
    let mut node = Node::with(
        r#"fn check() {
            prefer("a", service("a"), #{ weight: 30 });
            prefer("b", service("b"), #{ weight: 7 });
            watch("c", service("c"));
            adjust(5, "a good day")
        }"#,
    );
    node.tick();
    for key in ["service:a", "service:b", "service:c"] {
        node.fails(key, "failed");
    }
    let wanted = Verdict::Healthy { delta: -32, note: "a good day; a: failed; b: failed".to_owned() };
    assert_eq!(node.ticks(3).verdict, wanted);
}

#[test]
fn a_preference_that_fails_from_the_start_counts_before_it_is_down() {
    let mut node = Node::with(
        r#"fn check() { prefer("a", service("a"), #{ weight: 30, fall: 5 }); prefer("b", service("b"), #{ weight: 7 }) }"#,
    );
    node.fails("service:a", "failed");
    let wanted = Verdict::Healthy { delta: -30, note: "a: failed".to_owned() };
    assert_eq!(node.tick().verdict, wanted, "the first failure after the start");
    node.answers("service:a");
    assert_eq!(node.tick().verdict, healthy());
    node.fails("service:a", "failed");
    assert_eq!(node.ticks(4).verdict, healthy(), "it was seen well: five failures in a row");
    assert_eq!(node.tick().verdict, wanted);
}

#[test]
fn an_explicit_verdict_never_overrules_a_require_that_is_down() {
    for (said, wanted) in [
        ("healthy()", fault("web: failed", false)),
        ("hold(\"wait\")", fault("web: failed", false)),
        ("fault(\"own\")", said("own; web: failed")),
        ("maintenance(\"flag\")", Verdict::Maintenance { why: "flag".to_owned() }),
    ] {
        let mut node = Node::with(&format!(r#"fn check() {{ require("web", service("web")); {said} }}"#));
        node.fails("service:web", "failed");
        assert_eq!(node.ticks(3).verdict, wanted, "{said}");
    }
}

#[test]
fn a_rule_as_the_last_expression_is_no_verdict_and_another_value_is_an_error() {
    assert_eq!(Node::with(r#"fn check() { require("web", service("web")) }"#).tick().verdict, healthy());
    let report = Node::with("fn check() { 42 }").tick();
    assert!(report.error.unwrap().contains("check() returned a whole number"));
}

#[test]
fn blind_probes_count_only_after_blind_for() {
    let mut node = Node::founding();
    node.blinds(ARBITER);
    let report = node.ticks(10);
    assert_eq!((&report.verdict, rule(&report, "arbiter").ok), (&healthy(), None));
    assert_eq!(node.ticks(3).verdict, fault("arbiter: not permitted", true));
}

#[test]
fn a_combination_is_blind_only_if_the_blind_ones_decide() {
    let mut node = Node::with(
        r#"fn check() {
            let probes = [ping("10.0.0.1"), ping("10.0.0.2"), ping("10.0.0.3")];
            watch("all", all(probes));
            watch("any", any(probes));
            watch("two", at_least(2, probes));
        }"#,
    );
    node.blinds("ping:10.0.0.1");
    let seen = |report: &Report| ["all", "any", "two"].map(|name| rule(report, name).ok);
    assert_eq!(seen(&node.tick()), [None, Some(true), Some(true)]);
    node.fails("ping:10.0.0.2", "0/1 replies");
    let report = node.tick();
    assert_eq!(seen(&report), [Some(false), Some(true), None]);
    assert_eq!(rule(&report, "all").why, "ping 10.0.0.2: 0/1 replies");
    assert_eq!(rule(&report, "any").why, "1 of 3 ok");
    assert_eq!(rule(&report, "all").probes, ["ping 10.0.0.1", "ping 10.0.0.2", "ping 10.0.0.3"]);
}

#[test]
fn conditions_keep_ok_and_why() {
    let mut node = Node::with(
        r#"fn check() {
            let web = http("http://127.0.0.1/");
            watch("plain", web);
            watch("but", web.but(web.status == 204, `status ${web.status}, not 204`));
            watch("expect", expect(web.ok && web.status == 204, "not 204"));
            watch("because", expect(service("x"), "x is off"));
            watch("truth", 1 < 2);
            let seen = watch("seen", web);
            watch("handle", seen.ok && seen.up && !(!web) && web.kind == "http" && web.error == "" && web.why == "200");
        }"#,
    );
    let fields = BTreeMap::from([("status", Field::Int(200))]);
    node.set("http:http://127.0.0.1/", ProbeOutcome { fields, ..outcome(true, "200", ErrorKind::None) });
    node.fails("service:x", "inactive");
    let report = node.tick();
    let seen = |name| (rule(&report, name).ok.unwrap(), rule(&report, name).why.as_str());
    assert_eq!(seen("plain"), (true, "200"));
    assert_eq!(seen("but"), (false, "status 200, not 204"));
    assert_eq!(seen("expect"), (false, "not 204"));
    assert_eq!(seen("because"), (false, "x is off"));
    assert!(seen("truth").0 && seen("handle").0);
}

#[test]
fn options_reach_the_probe() {
    let mut node = Node::with(
        r#"const LONG = 1.5.s;
        fn check() {
            watch("http", http("http://10.0.0.1/x", #{ timeout: "500ms", status: [200, "300-399"], host: "www", body: "ok",
                headers: #{ "accept": "text/html" }, follow: 2, max_body: "4K", bind: "10.0.0.9", iface: "eth1" }));
            watch("ping", ping("10.0.0.1", #{ count: 3, min: 2, gap: 100.ms, timeout: LONG }));
        }"#,
    );
    node.tick();
    let asked = node.world.asked.lock().unwrap();
    let [http, ping] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((http.timeout, http.iface.as_deref()), (SECOND / 2, Some("eth1")));
    let text = format!("{http:?}");
    for part in ["(200, 200), (300, 399)", "\"www\"", "\"ok\"", "\"accept\", ***", "follow: 2", "4096", "10.0.0.9"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(ping.timeout, 3 * SECOND / 2);
    assert!(format!("{ping:?}").contains("count: 3, gap: 100ms, min: 2"), "{ping:?}");
}

#[test]
fn every_option_of_a_request_reaches_the_probe() {
    let mut node = Node::with(
        r#"fn check() {
            watch("http", http("https://10.0.0.1/x", #{ basic: secret("web"), data: #{ q: 1 }, http_version: "1.0",
                header: #{ "X-Cache": "HIT" }, body_re: "^ok", json: "$.ready", ca: "/ca", cert: "/c", key: "/k", sni: "www",
                insecure: true, min_cert_days: 14, headers: #{ "x-key": secret("key") } }));
            watch("proxied", http("http://10.0.0.1/", #{ method: "PUT", data: secret("all"), proxy: "http://10.0.0.2:3128" }));
            watch("tcp", tcp("10.0.0.1:993", #{ tls: true, ca: "/ca", sni: "imap", proxy_protocol: true, expect_re: "^. OK" }));
            watch("ping", ping("10.0.0.1", #{ ttl: 1, family: 4 }));
            watch("dns", dns("example.org", #{ server: "[fd00::53]:54", type: "mx", rcode: "refused", tcp: true, dnssec: true }));
        }"#,
    );
    assert_eq!(node.tick().error, None);
    let asked = node.world.asked.lock().unwrap();
    let [http, proxied, tcp, ping, dns] = asked.as_slice() else { panic!("{asked:?}") };
    let secret = |name: &str| SecretOrText::Secret(Secret::named(name).unwrap());
    let identity = Some(Identity { cert: "/c".into(), key: "/k".into() });
    let tls = TlsRequest { ca: Some("/ca".into()), insecure: true, sni: Some("www".to_owned()), identity };
    let json = SecretOrText::Text(r#"{"q":1}"#.to_owned());
    let wanted = HttpRequest {
        method: "POST".to_owned(),
        version: HttpVersion::Http10,
        headers: vec![("x-key".to_owned(), secret("key"))],
        authorization: Some(Authorization::Basic(secret("web"))),
        data: Some(Data { text: json, content_type: Some("application/json") }),
        header: vec![("x-cache".to_owned(), "HIT".to_owned())],
        body_re: Some(Pattern::new("^ok").unwrap()),
        json: Some(JsonExpectation::new("$.ready").unwrap()),
        min_cert_days: Some(14),
        tls,
        ..HttpRequest::get("https://10.0.0.1/x")
    };
    assert_eq!(http.kind, ProbeKind::Http(wanted));
    let wanted = HttpRequest {
        method: "PUT".to_owned(),
        data: Some(Data { text: secret("all"), content_type: None }),
        proxy: Some("http://10.0.0.2:3128".to_owned()),
        ..HttpRequest::get("http://10.0.0.1/")
    };
    assert_eq!(proxied.kind, ProbeKind::Http(wanted));
    let tls = TlsRequest { ca: Some("/ca".into()), sni: Some("imap".to_owned()), ..TlsRequest::default() };
    let talk = Talk { expect_re: Some(Pattern::new("^. OK").unwrap()), ..Talk::default() };
    let wanted = TcpRequest { talk, tls: Some(tls), proxy_protocol: true, ..TcpRequest::to("10.0.0.1:993") };
    assert_eq!(tcp.kind, ProbeKind::Tcp(wanted));
    assert!(matches!(&ping.kind, ProbeKind::Ping(ping) if ping.ttl == Some(1)), "{ping:?}");
    assert_eq!(ping.family, Some(Family::V4));
    let ProbeKind::Dns(dns) = &dns.kind else { panic!("{dns:?}") };
    assert_eq!(dns.server, Some(("[fd00::53]".to_owned(), 54)));
    assert_eq!((dns.kind, dns.rcode.to_string().as_str(), dns.min), (RecordType::Mx, "REFUSED", 0));
    assert!(dns.tcp && dns.dnssec);
}

#[test]
fn a_rule_only_the_master_has_lingers_while_it_is_down() {
    let mut node = Node::with(
        r#"fn check() {
            require("base", service("app"));
            if node.is_master { require("via vip", http("http://192.168.0.60/"), #{ fall: 2, rise: 1, linger: "30s" }); }
        }"#,
    );
    node.context.node.is_master = true;
    node.tick();
    node.fails("http:http://192.168.0.60/", "status 500");
    assert_eq!(node.ticks(2).verdict, fault("via vip: status 500", false));
    node.context.node.is_master = false;
    let report = node.ticks(29);
    assert_eq!(report.verdict, fault("via vip: status 500", false));
    assert_eq!(rule(&report, "via vip").ok, None);
    assert!(report.observed_ok, "it is not an observation of this evaluation");
    let report = node.tick();
    assert_eq!((report.verdict, report.rules.len()), (healthy(), 1));
}

#[test]
fn a_second_rule_of_one_name_is_an_error() {
    let mut node = Node::with(r#"fn check() { for unit in ["a", "b"] { require("same", service(unit)); } }"#);
    let error = node.tick().error.unwrap();
    assert!(error.ends_with("a second rule \"same\" in one evaluation; the first is in line 1"), "{error}");
}

#[test]
fn taking_over_is_asked_only_when_it_is_wanted() {
    for (hook, wanted) in [
        ("fn may_take_over(ev) { ev.to == \"master\" && peer.alive }", (Some(true), false)),
        ("fn may_take_over() { false }", (Some(false), false)),
        ("fn may_take_over(ev) { throw \"cannot say\" }", (Some(false), true)),
        ("fn may_take_over() { require(\"late\", true); true }", (Some(false), true)),
        ("", (None, false)),
    ] {
        let mut node = Node::with(&format!(r#"fn check() {{ require("web", service("web")); }} {hook}"#));
        assert_eq!(node.tick().may_take_over, None);
        node.context.ask_may_take_over = true;
        let report = node.tick();
        assert_eq!((report.may_take_over, report.error.is_some()), wanted, "{hook}");
        assert_eq!(report.verdict, healthy(), "{hook}");
    }
}

/// The node may take in spite of a hold, and must know what the policy says of that.
#[test]
fn a_policy_that_holds_is_asked_whether_the_node_may_take_over() {
    for (check, answer, wanted) in [
        ("hold(\"a backup runs\")", "false", false),
        ("hold(\"a backup runs\")", "true", true),
        ("throw \"it throws\"", "true", true),
        ("throw \"it throws\"", "throw \"cannot say\"", false),
    ] {
        let mut node = Node::with(&format!("fn check() {{ {check} }} fn may_take_over() {{ {answer} }}"));
        node.context.ask_may_take_over = true;
        let report = node.tick();
        assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
        assert_eq!(report.may_take_over, Some(wanted), "{check}, {answer}");
    }
}

#[test]
fn facts_notes_the_time_of_day_and_the_log() {
    let mut node = Node::with(
        r#"const NAME = "A";
        fn name() { NAME }
        fn check() {
            put("runs", get("runs", 0) + 1);
            let wall = wall();
            log_warn(`${name()} ${node.name} ${peer.addr} ${peers.len()} ${now} ${wall.hour}:${wall.minute} ${wall.weekday}`);
            log_info(`${get("runs", 0)} ${["x"].map(|x| x + NAME)[0]}`);
        }"#,
    );
    node.ticks(2);
    let log = node.judge.take_log();
    let lines: Vec<(LogLevel, &str)> = log.iter().map(|line| (line.level, line.text.as_str())).collect();
    let wanted = [(LogLevel::Warn, "A node1 192.168.0.21 1 2.0 13:0 1"), (LogLevel::Info, "2 xA")];
    assert_eq!(lines, wanted);
}

/// Whatever it is given, and not only what the script language has no function for.
#[test]
fn what_a_policy_prints_is_logged() {
    let mut node = Node::with(
        r#"fn check() {
            print("text"); print(`n ${1}`); debug("said"); print(1); print(1.5); print(true); print('c'); print(());
            print([1, "a"]); print(#{ a: 1 }); debug([2]); print(1..3); print(service("web")); print(|| 1);
        }"#,
    );
    assert_eq!(node.tick().error, None);
    let log = node.judge.take_log();
    let lines: Vec<&str> = log.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(lines.get(..9).unwrap(), ["text", "n 1", "said", "1", "1.5", "true", "c", "", "[1, \"a\"]"]);
    assert_eq!((lines.len(), log[0].level), (14, LogLevel::Info), "{lines:?}");
}

// ---- waiting

/// Answers after a while, on a thread of its own.
struct Slow(Duration);

impl Prober for Slow {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, receiver) = mpsc::channel();
        let after = self.0;
        std::thread::spawn(move || {
            std::thread::sleep(after);
            let _ = sender.send(outcome(true, "fine", ErrorKind::None));
        });
        receiver
    }
}

struct Real(std::time::Instant);

impl Clock for Real {
    fn now(&self) -> Instant {
        Instant::from_epoch(self.0.elapsed())
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}

fn evaluate_slowly(source: &str, after: Duration) -> Report {
    let engine = Engine::new();
    let policy = load(&engine, source);
    let prober: Arc<dyn Prober> = Arc::new(Slow(after));
    let clock: Arc<dyn Clock> = Arc::new(Real(std::time::Instant::now()));
    Judge::new().evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock)
}

#[test]
fn probes_run_concurrently() {
    let report = evaluate_slowly(
        r#"fn check() {
            require("a", ping("10.0.0.1"));
            require("b", ping("10.0.0.2"));
            require("c", any([ping("10.0.0.3"), ping("10.0.0.4")]));
        }"#,
        Duration::from_millis(200),
    );
    assert_eq!(report.verdict, healthy());
    assert!(report.elapsed < Duration::from_millis(390), "{:?}", report.elapsed);
}

/// Slow, and http may be performed by whoever waits; remembers which probe was performed here, which elsewhere.
struct Blocking(Slow, Arc<Mutex<Vec<(&'static str, String)>>>);

impl Prober for Blocking {
    fn start(&self, request: &ProbeRequest) -> Pending {
        self.1.lock().unwrap().push(("elsewhere", request.key()));
        self.0.start(request)
    }

    fn only_blocks(&self, request: &ProbeRequest) -> bool {
        matches!(&request.kind, ProbeKind::Http(_))
    }

    fn perform(&self, request: &ProbeRequest) -> ProbeOutcome {
        self.1.lock().unwrap().push(("here", request.key()));
        self.0.start(request).recv().unwrap()
    }
}

fn performed(check: &str) -> Vec<(&'static str, String)> {
    let engine = Engine::new();
    let policy = load(&engine, &format!("fn check() {{ {check} }}"));
    let done = Arc::<Mutex<Vec<_>>>::default();
    let prober: Arc<dyn Prober> = Arc::new(Blocking(Slow(Duration::from_millis(200)), Arc::clone(&done)));
    let clock: Arc<dyn Clock> = Arc::new(Real(std::time::Instant::now()));
    let report = Judge::new().evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock);
    assert_eq!((&report.verdict, &report.error), (&healthy(), &None));
    // One after the other it would be 400 ms.
    assert!(report.elapsed < Duration::from_millis(390), "{check}: {:?}", report.elapsed);
    done.lock().unwrap().clone()
}

#[test]
fn whoever_waits_for_a_probe_that_only_blocks_performs_it() {
    let (here, elsewhere) = ("here", "elsewhere");
    let of = |list: &[(&'static str, &str)]| list.iter().map(|(at, key)| (*at, (*key).to_owned())).collect::<Vec<_>>();
    let (a, b, ping) = ("http:http://a/", "http:http://b/", "ping:10.0.0.1");
    let first = performed(r#"require("a", http("http://a/")); require("p", ping("10.0.0.1"));"#);
    assert_eq!(first, of(&[(elsewhere, ping), (here, a)]));
    // Of several only the last is kept back, and only while nothing else is waited for.
    let two = performed(r#"require("a", http("http://a/")); require("b", http("http://b/"));"#);
    assert_eq!(two, of(&[(elsewhere, a), (elsewhere, b)]));
    let two = performed(r#"let a = http("http://a/"); let b = http("http://b/"); require("b", b); require("a", a);"#);
    assert_eq!(two, of(&[(elsewhere, a), (here, b)]));
    let other = performed(r#"let a = http("http://a/"); if ping("10.0.0.1").ok { require("a", a); }"#);
    assert_eq!(other, of(&[(elsewhere, ping), (elsewhere, a)]));
}

#[test]
fn the_deadline_ends_what_is_unfinished() {
    let report = evaluate_slowly(
        r#"const DEADLINE = "100ms"; fn check() { watch("a", ping("10.0.0.1", #{ timeout: "90ms" })); watch("b", ping("10.0.0.2")); }"#,
        3 * SECOND,
    );
    assert!(report.elapsed < SECOND, "{:?}", report.elapsed);
    assert_eq!(rule(&report, "a").why, "timeout after 90ms");
    assert_eq!(rule(&report, "b").why, "not finished before the policy's deadline");
    assert_eq!(report.error, None, "a slow probe is an observation, not an error of the policy");
}

#[test]
fn a_prober_that_gives_up_brings_no_information() {
    let mut node = Node::with(r#"fn check() { require("x", file("/given-up")); }"#);
    let report = node.tick();
    assert_eq!((&report.verdict, rule(&report, "x").ok), (&Verdict::Starting, None));
}

#[test]
fn a_fault_of_ours_is_hold_and_the_memory_survives_it() {
    let mut node = Node::with(
        r#"fn check() { require("web", service("web")); if node.is_master { require("x", file("/panic")); } }"#,
    );
    node.fails("service:web", "failed");
    node.ticks(2);
    node.context.node.is_master = true;
    let report = node.tick();
    assert!(report.error.unwrap().contains("a fault inside ha itself"), "{:?}", report.verdict);
    assert_eq!(report.verdict, fault("web: failed", false));
}
