//! Hooks, actions and repairs in the tests that a policy brings along, and what lint says of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, TestReport, run_tests};

fn run(source: &str) -> TestReport {
    let engine = Engine::new();
    let policy = Policy::load(&engine, "check", "check.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()));
    run_tests(&engine, &policy, None)
}

fn passes(source: &str) {
    let report = run(source);
    assert_eq!(report.failures, []);
    assert!(report.passed > 0);
}

/// What the only test of a policy fails with.
fn failure(source: &str) -> String {
    let report = run(source);
    let [failure] = report.failures.as_slice() else { panic!("{report:?}") };
    failure.message.clone()
}

/// The codes of what is wrong with it, and the first message.
fn refused(source: &str) -> (Vec<&'static str>, String) {
    let problems = Policy::load(&Engine::new(), "check", "check.rhai", source).unwrap_err();
    (problems.iter().map(|problem| problem.code).collect(), problems[0].message.clone())
}

#[test]
fn a_load_balancer_is_restarted_once_before_the_node_gives_up() {
    passes(
        r#"
const SOCK = "/run/haproxy/admin.sock";
fn check() {
    require("haproxy", service("haproxy"));
    prefer("uplink", any([ ping("192.168.0.1"), ping("192.168.0.22") ]), #{ weight: 30, fall: 3, rise: 5 });
    heal("haproxy", || service_restart("haproxy"), #{ after: 2, max: 1, per: "10m" });
}
fn on_fault(ev)  { alert(`${node.name}: ${ev.reason}`); }
fn on_master(ev) { log_info(`took ${node.vip} after ${ev.from}`); }
fn test_heal() {
    tick(3); assert_verdict("healthy");
    fake("service:haproxy", #{ ok: false });
    tick(); assert_eq(actions(), []);
    tick(); assert_verdict("healthy");
    assert_eq(actions(), ["service_restart haproxy"]);
    tick(1); assert_verdict("fault");
    tick(60); assert_eq(actions().len(), 1);
    fire("on_fault", #{ from: "master", to: "fault", reason: rule("haproxy").why });
    assert_eq(actions().len(), 2);
    assert(actions()[1].starts_with("alert node1: "), actions()[1]);
    fire("on_master");
    assert_eq(actions().len(), 2);
}"#,
    );
}

#[test]
fn a_repair_has_a_budget_and_time_to_take_effect() {
    passes(
        r#"
fn check() {
    require("web", service("web"), #{ fall: 100 });
    let unit = "web" + ".service";
    heal("web", || { if !service_restart(unit).ok { alert("not even that") } }, #{ after: 3, max: 2, per: "60s", settle: "10s" });
}
fn test_settle_and_budget() {
    fake("service:web", #{ ok: false });
    fake("service_restart:web.service", [#{ ok: true }, #{ ok: false }]);
    tick(2); assert_eq(actions(), []);
    tick();  assert_eq(actions(), ["service_restart web.service"]);
    tick(9); assert_eq(actions().len(), 1);
    tick();  assert_eq(actions(), ["service_restart web.service", "service_restart web.service", "alert not even that"]);
    tick(40); assert_eq(actions().len(), 3);
    tick(10); assert_eq(actions().len(), 5);
    // Whoever comes back is left alone.
    unfake("service:web");
    tick(300); assert_eq(actions().len(), 5);
}"#,
    );
}

#[test]
fn an_address_that_a_provider_moves() {
    passes(
        r#"
const FIP = "https://api.example.org/v1/floating_ips/123456";
fn check() { require("web", http("http://127.0.0.1/")); }
fn on_master(ev) {
    let r = http_send(`${FIP}/actions/assign`, #{
        method: "POST", bearer: secret("cloud_token"), json: #{ server: 4711 },
        timeout: "10s", retry: #{ attempts: 5, backoff: "1s" } });
    if !r.ok { alert(`floating IP not moved: ${r.why}`, #{ level: "critical" }); }
    webhook("slack", #{ text: `${node.name} is ${ev.to} (${ev.reason})` });
}
fn test_told() {
    tick(1); assert_verdict("healthy");
    fire("on_master", #{ from: "backup", to: "master", reason: "it leads" });
    assert_eq(actions(), [`http_send ${FIP}/actions/assign`, "webhook slack"]);
}
fn test_refused() {
    fake("http_send:*", #{ ok: false, why: "status 403" });
    fire("on_master", #{ to: "master" });
    assert_eq(actions()[1], "alert floating IP not moved: status 403");
}"#,
    );
}

#[test]
fn every_action_is_written_down() {
    passes(
        r#"
fn on_master(ev) {
    service_start("a"); service_stop("a"); service_reload("a");
    run(["/bin/true", "x"]); conntrackd(["commit", "flush"]);
    route_replace("default", #{ via: "192.168.0.1" }); route_del("10.0.0.0/8");
    addr_add("10.9.0.1/24"); addr_del("10.9.0.1/24", #{ dev: "eth1" }); garp("10.9.0.1");
    sysctl("net.ipv4.ip_forward", 1); file_write("role", "master"); signal("named", "HUP");
    webhook("pager", [#{ labels: #{ a: 1 } }]);
}
fn test_all() {
    fire("on_master");
    assert_eq(actions(), [
        "service_start a", "service_stop a", "service_reload a", "run /bin/true x", "conntrackd commit flush",
        "route_replace default", "route_del 10.0.0.0/8", "addr_add 10.9.0.1/24", "addr_del 10.9.0.1/24",
        "garp 10.9.0.1", "sysctl net.ipv4.ip_forward 1", "file_write /run/ha/files/role", "signal named HUP", "webhook pager"
    ]);
}"#,
    );
}

#[test]
fn the_event_of_a_hook() {
    passes(
        r#"
fn on_rule(ev) {
    file_write("seen", `${ev.rule} ${ev.up} ${ev.why} ${ev.rules_down} ${ev.seq} ${ev.instance} ${ev.vip} ${ev.priority} ${ev.peer}`);
    if ev.at != now { throw "the moment" }
}
fn on_stop() { signal("named", "TERM"); }
fn test_rule() {
    fire("on_rule", #{ rule: "web", up: false, why: "status 500", rules_down: ["web"] });
    fire("on_stop");
    assert_eq(actions(), ["file_write /run/ha/files/seen", "signal named TERM"]);
}"#,
    );
    let slip = "fn on_stop(ev) {} fn test_x() { fire(\"on_stop\", #{ reson: \"x\" }); }";
    assert_eq!(failure(slip), "ev has no `reson`: did you mean `reason`?");
    let slip = "fn on_stop(ev) {} fn test_x() { fire(\"on_stopp\"); }";
    assert_eq!(failure(slip), "there is no hook on_stopp: did you mean \"on_stop\"?");
    let slip = "fn on_stop(ev) {} fn test_x() { fire(\"on_master\"); }";
    assert_eq!(failure(slip), "the policy has no fn on_master");
}

#[test]
fn an_error_in_a_hook_fails_the_test_with_its_place() {
    let source = "fn on_stop(ev) {\n    alert(ev.reeson);\n}\nfn test_x() { fire(\"on_stop\"); }";
    assert!(failure(source).starts_with("check.rhai:2:"), "{}", failure(source));
    let deep = "fn on_stop(ev) { loop { } }\nfn test_x() { fire(\"on_stop\"); }";
    assert!(failure(deep).contains("endless loop"), "{}", failure(deep));
    let many = "fn on_stop(ev) { for i in 0..100 { garp(\"10.0.0.1\"); } }\nfn test_x() { fire(\"on_stop\"); }";
    assert!(failure(many).contains("more than 64 actions"), "{}", failure(many));
}

#[test]
fn what_an_action_cannot_take_is_an_error_before_anything_is_done() {
    for (call, expected) in [
        ("service_restart(\"\")", "nothing to act on"),
        ("route_replace(\"default\", #{})", "needs a way"),
        ("route_replace(\"10.0.0.0/33\", #{ dev: \"eth0\" })", "the prefix is 0 to 32"),
        ("addr_add(\"10.0.0.256/24\")", "is no address"),
        ("sysctl(\"../../etc/passwd\", 1)", "no name of a setting"),
        ("file_write(\"/etc/passwd\", \"x\")", "below /run/ha/files/ only"),
        ("file_write(\"/run/ha/files/../ha.sock\", \"x\")", "below /run/ha/files/ only"),
        ("file_write(\"/run/ha/ha.sock\", \"x\")", "below /run/ha/files/ only"),
        ("signal(\"ha\", \"TERM\")", "no policy sends signals to ha itself"),
        ("signal(\"init\", \"KILL\")", "none of the signals"),
        ("http_send(\"ftp://x/\")", "not an address that can be sent to"),
        ("http_send(\"http://x/\", #{ json: 1, body: \"x\" })", "a request has one body"),
        ("run([])", "at least one text"),
        ("run([\"true\"])", "the whole path of a program"),
        ("conntrackd([\"comit\"])", "is none of commit, flush"),
        ("alert(\"x\", #{ level: \"loud\" })", "none of info, warning, critical"),
    ] {
        let source = format!("fn on_stop(ev) {{ let options = 1; {call}; }}\nfn test_x() {{ fire(\"on_stop\"); }}");
        assert!(failure(&source).contains(expected), "{call}: {}", failure(&source));
    }
}

#[test]
fn an_evaluation_only_observes() {
    let direct = "fn check() { service_restart(\"web\"); }";
    assert_eq!(refused(direct).0, ["E106"]);
    let hidden =
        "fn check() { repair() }\nfn repair() { mend() }\nfn mend() { alert(\"x\"); }\nfn on_fault(ev) { mend() }";
    assert_eq!(refused(hidden), (vec!["E106"], "`alert` changes something, and check() only observes".to_owned()));
    let asked = "fn check() {}\nfn may_take_over(ev) { alert(\"x\"); true }";
    assert_eq!(refused(asked).0, ["E106"]);
    // What lint cannot see is refused while it runs.
    let called =
        "fn check() { let act = || alert(\"x\"); act.call(); }\nfn test_x() { tick(); assert_verdict(\"healthy\"); }";
    assert!(failure(called).contains("an evaluation only observes"), "{}", failure(called));
    let in_a_test = "fn check() {}\nfn test_x() { alert(\"x\"); }";
    assert!(failure(in_a_test).contains("a test fires one"), "{}", failure(in_a_test));
    let probe = "fn on_stop(ev) { ping(\"192.168.0.1\"); }\nfn test_x() { fire(\"on_stop\"); }";
    assert!(failure(probe).contains("belongs into check()"), "{}", failure(probe));
}

#[test]
fn a_hook_has_a_name_that_somebody_calls() {
    let (codes, message) = refused("fn check() {}\nfn on_mastr(ev) {}");
    assert_eq!((codes, message.as_str()), (vec!["E114"], "there is no hook `on_mastr`: nobody would call it"));
    assert_eq!(refused("fn check() {}\nfn on_master(a, b) {}").0, ["E114"]);
    assert_eq!(refused("const ORDERED = 1;\nfn on_master(ev) {}").0, ["E113"]);
    assert_eq!(refused("fn helper() {}").0, ["E114"], "neither check() nor a hook");
    passes("fn check() { on_link() }\nfn on_link() { watch(\"x\", true) }\nfn test_x() { tick(); }");
}

#[test]
fn a_file_of_hooks_alone_has_nothing_against_anything() {
    passes("fn on_master(ev) {}\nfn test_x() { tick(); assert_verdict(\"healthy\"); }");
}

#[test]
fn heal_names_a_rule_of_the_evaluation_and_only_one_repair() {
    let stranger =
        "fn check() { heal(\"web\", || alert(\"x\")); }\nfn test_x() { tick(); assert_verdict(\"healthy\"); }";
    assert!(failure(stranger).contains("no rule of that name"), "{}", failure(stranger));
    let twice = "fn check() { watch(\"a\", true); heal(\"a\", || 1); heal(\"a\", || 2); }
fn test_x() { tick(); assert_verdict(\"healthy\"); }";
    assert!(failure(twice).contains("a second heal"), "{}", failure(twice));
}
