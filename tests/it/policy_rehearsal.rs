//! The tests that a policy brings along: what they can do, and what is said when they fail.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{sync::Arc, time::Duration};

use ha::{
    policy::{Cap, Clock, Engine, Policy, TestReport, WallTime, run_tests},
    words::Instant,
};

fn run(source: &str) -> TestReport {
    run_within(source, None)
}

fn run_within(source: &str, cap: Option<Cap>) -> TestReport {
    let engine = Engine::new();
    let policy = Policy::load(&engine, "check", "check.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()));
    run_tests(&engine, &policy, cap)
}

/// Every test of the policy passes.
fn passes(source: &str) -> TestReport {
    let report = run(source);
    assert_eq!(report.failures, []);
    assert!(report.passed > 0);
    report
}

/// The only failure of a policy with one rule, "web", and this test body, which starts in line 3.
fn failure(body: &str) -> (usize, String) {
    let report = run(&format!("fn check() {{ require(\"web\", service(\"web\")); }}\nfn test_it() {{\n{body}\n}}"));
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    assert_eq!(failure.name, "test_it");
    (failure.line, failure.message.clone())
}

#[test]
fn explicit_verdicts_and_the_peer() {
    let report = passes(
        r#"
const ARBITER = "192.168.0.22";
fn check() {
    if file("/etc/ha/maintenance").exists { return maintenance("flag file /etc/ha/maintenance"); }
    let web_up = gate("web", http(`http://${node.addr}/`, #{ timeout: "2s" }), #{ fall: 3, rise: 2 });
    let net_up = gate("net", any([ ping("192.168.0.1"), ping(ARBITER) ]),      #{ fall: 3, rise: 2 });
    if !net_up { return fault("isolated: neither gateway nor arbiter answers"); }
    if !web_up && peer.alive { return fault("web broken, the peer can take over"); }
    if !web_up { return adjust(-50, "web broken, but the peer is dead"); }
    healthy()
}
fn test_broken_web_with_dead_peer_keeps_the_vip() {
    fake("file:/etc/ha/maintenance", #{ exists: false });
    tick(2); assert_verdict("healthy");
    fake("http:http://192.168.0.20/", #{ status: 502 });
    tick(3); assert_verdict("fault");
    set_peer(#{ alive: false });
    tick(1); assert_verdict("healthy"); assert_eq(verdict().delta, -50);
}
fn test_isolated_node_lets_go_even_when_alone() {
    fake("file:/etc/ha/maintenance", #{ exists: false });
    tick(2); set_peer(#{ alive: false });
    fake("ping:192.168.0.1", #{ ok: false }); fake("ping:192.168.0.22", #{ ok: false });
    tick(3); assert_verdict("fault");
    assert_eq(verdict().reason, "isolated: neither gateway nor arbiter answers");
}
fn test_maintenance_flag() { tick(1); assert_verdict("maintenance"); }
"#,
    );
    assert_eq!(report.passed, 3);
}

#[test]
fn follow_the_leader() {
    passes(
        r#"
fn check() {
    let me = http("http://127.0.0.1:8008/primary", #{ timeout: "1s", status: [200, 503] });
    require("patroni", me, #{ fall: 3, rise: 1 });
    require("leader", expect(me.ok && me.status == 200, "Patroni says: not the leader"), #{ fall: 2, rise: 1 });
}
fn test_follow_the_leader() {
    fake("http:http://127.0.0.1:8008/primary", #{ status: 200 });
    tick(); assert_verdict("healthy");
    fake("http:http://127.0.0.1:8008/primary", #{ status: 503 });
    tick(2); assert_verdict("fault");
    assert(verdict().reason.contains("not the leader"), "reason");
    fake("http:http://127.0.0.1:8008/primary", #{ status: 200 });
    tick(1); assert_verdict("healthy");
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
fn the_fast_interval_is_used_while_something_is_counted() {
    passes(
        r#"
const INTERVAL = 10.s;
const FAST = 1.s;
fn check() { require("web", service("web"), #{ fall: 3, rise: 2 }); }
fn test_three_failures_take_two_seconds_after_the_first() {
    tick();
    fake("service:web", #{ state: "failed" });
    run_for("10s"); assert_eq(rule("web").fails, 1); assert_eq(rule("web").state, "failing");
    run_for("1s");  assert_verdict("healthy");
    run_for("1s");  assert_verdict("fault"); assert_eq(verdict().reason, "web: failed");
    unfake("service:web");
    run_for("9s");  assert_eq(rule("web").oks, 0);
    run_for("1s");  assert_eq(rule("web").oks, 1);
    run_for("1s");  assert_verdict("healthy");
}
"#,
    );
}

#[test]
fn fakes_by_pattern_in_sequence_and_by_field() {
    passes(
        r#"
fn check() {
    let a = http("http://10.0.0.1/a", #{ body: "ready", status: "200-299" });
    watch("a", a);
    watch("b", tcp("10.0.0.1:25", #{ expect: "220" }));
    watch("c", ping("10.0.0.2", #{ count: 3, min: 2 }));
    watch("d", service("d"));
    watch("e", expect(a.status == 204, `status ${a.status}`));
}
fn why(name) { rule(name).why }
fn test_fields() {
    tick();
    for name in ["a", "b", "c", "d"] { assert(rule(name).ok, name); }
    fake("http:*", #{ body: "wait" });          fake("tcp:10.0.0.1:25", #{ data: "554 no" });
    fake("ping:10.0.0.*", #{ received: 1 });    fake("service:d", #{ error: "connection refused" });
    tick();
    assert_eq(["a", "b", "c", "d"].map(|n| why(n)), ["200, no \"ready\" in the body", "no \"220\" in the answer", "1/3 replies", "connection refused"]);
    fake("http:http://10.0.0.1/a", [#{ status: 204, body: "ready" }, #{ ok: false }, #{ blind: true }]);
    tick(); assert(rule("a").ok && rule("e").ok, "an exact key wins over a pattern");
    tick(); assert_eq(why("a"), "timeout after 2s");
    tick(); assert_eq(rule("a").ok, ());
    tick(); assert_eq(rule("a").ok, ());
    assert_eq(probed().len(), 4);
    fake("http:http://10.0.0.1/a", #{ status: 500 });
    tick(); assert_eq(why("e"), "status 500");
    unfake("http:http://10.0.0.1/a");
    tick(); assert_eq(why("a"), "200, no \"ready\" in the body");
}
"#,
    );
}

#[test]
fn what_a_fake_does_not_say_follows_from_what_it_says() {
    passes(
        r#"
fn check() {
    let p = ping("10.0.0.2", #{ count: 3 });
    let s = service("s");
    let f = file("/f");
    let h = http("http://10.0.0.1/");
    watch("seen", expect(false, `${p.received} ${s.active} ${f.exists} ${h.status}`));
}
fn seen() { tick(); rule("seen").why }
fn test_fields() {
    assert_eq(seen(), "3 true true 200");
    for key in ["ping:*", "service:*", "file:*", "http:*"] { fake(key, #{ ok: false }); }
    assert_eq(seen(), "0 false false ");
    fake("service:*", #{ state: "active" });
    assert_eq(seen(), "0 true false ");
}
"#,
    );
}

#[test]
fn the_hook_before_a_take_over() {
    passes(
        r#"
fn check() { require("web", service("web")); }
fn may_take_over(ev) { file("/var/lib/app/synced").exists }
fn test_only_with_fresh_data() {
    tick(); assert(may_take_over_now());
    fake("file:/var/lib/app/synced", #{ exists: false });
    assert(!may_take_over_now());
}
"#,
    );
}

#[test]
fn failures_have_a_line_and_say_what_is_so() {
    let node = "fake(\"service:web\", #{ ok: false });\ntick(3);";
    assert_eq!(
        failure(&format!("{node}\nassert_verdict(\"healthy\");")),
        (5, "the verdict is fault, not healthy: web: not active".to_owned())
    );
    assert_eq!(failure("tick();\nassert_eq(1, 2);"), (4, "1 is not 2".to_owned()));
    assert_eq!(failure("assert(1 > 2, \"one is more\");"), (3, "not so: one is more".to_owned()));
    assert_eq!(failure("verdict();"), (3, "nothing has been evaluated yet; write tick() first".to_owned()));
    assert_eq!(failure("tick(); rule(\"wbe\");"), (3, "no rule \"wbe\" in the last evaluation".to_owned()));
    assert_eq!(failure("assert_verdict(\"well\");").0, 3);
    assert_eq!(failure("set_node(#{ is_mastre: true });").1, "there is no node.is_mastre: did you mean `is_master`?");
    assert_eq!(failure("set_peer(#{ alive: 1 });").1, "peer.alive cannot be a whole number");
    assert_eq!(failure("fake(\"web\", #{});").1.split(';').next(), Some("\"web\" names no probe and no action"));
    assert_eq!(failure("fake(\"http:x\", #{ staus: 500 });").1, "no field `staus` of http: did you mean `status`?");
    assert_eq!(failure("unfake(\"ping:x\");").1, "\"ping:x\" is not faked");
    assert_eq!(
        failure("require(\"x\", true);").1,
        "require() belongs into check(); a test looks at rule() and verdict()"
    );
    assert_eq!(failure("ping(\"10.0.0.1\");").0, 3);
    assert_eq!(failure("may_take_over_now();").1, "the policy has no fn may_take_over");
}

#[test]
fn each_test_starts_from_zero() {
    passes(
        r#"
fn check() { put("n", get("n", 0) + 1); watch("n", expect(false, `${get("n", 0)}`)); }
fn test_a() { fake("ping:x", #{ ok: false }); tick(5); assert_eq(rule("n").why, "5"); }
fn test_b() { tick(); assert_eq(rule("n").why, "1"); }
"#,
    );
}

#[test]
fn what_no_test_has_tried_is_said() {
    let report = run(
        "fn check() { require(\"web\", service(\"web\")); require(\"db\", service(\"db\")); if node.is_master { watch(\"vip\", true); } }\n\
         fn test_it() { fake(\"service:db\", #{ ok: false }); tick(5); assert_verdict(\"fault\"); }",
    );
    assert_eq!(report.rules_never_down, ["vip", "web"]);
    assert_eq!(report.probes_never_faked, ["service:web"]);
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

#[test]
fn tests_that_take_too_long_together_fail() {
    let started = std::time::Instant::now();
    let cap = Cap { clock: Arc::new(Real(started)), time: Duration::from_millis(200) };
    let report = run_within(
        "fn check() { for i in 0..400 { i + 1; } }\nfn test_a() { tick(); }\nfn test_b() { run_for(\"10h\"); }\nfn test_c() { tick(); }",
        Some(cap),
    );
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(report.passed, 1);
    let names: Vec<&str> = report.failures.iter().map(|failure| failure.name.as_str()).collect();
    assert_eq!(names, ["test_b", "test_c"]);
    assert!(report.failures.iter().all(|failure| failure.message.contains("too long together")), "{report:?}");
}

#[test]
fn tests_are_bounded_without_a_cap_too() {
    let (_, message) = failure("loop {}");
    assert!(message.contains("endless loop"), "{message}");
    let report = run("fn check() {}\nfn test_it() { run_for(\"24h\"); }");
    let message = report.failures.first().unwrap().message.clone();
    assert_eq!(message, "more than 10000 evaluations in one test");
}
