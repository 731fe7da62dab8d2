//! What a policy can ask a network, and what its tests can say of the answers: nothing here sends anything.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, TestReport, run_tests};

fn run(source: &str) -> TestReport {
    let engine = Engine::new();
    let policy = Policy::load(&engine, "check", "check.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()));
    run_tests(&engine, &policy, None)
}

/// The tests of a policy whose rules are `x` and the like pass. `why("x")` is what a rule says after the next evaluation.
#[track_caller]
fn passes(check: &str, test: &str) {
    let report = run(&format!(
        "fn check() {{\n{check}\n}}\nfn why(name) {{ tick(); rule(name).why }}\nfn test_it() {{\n{test}\n}}"
    ));
    assert_eq!((report.failures.as_slice(), report.passed), ([].as_slice(), 1));
}

/// What is said of a probe whose options cannot be read.
#[track_caller]
fn refused(probe: &str) -> String {
    let report = run(&format!(
        "fn check() {{ {probe}; }} fn test_x() {{ tick(); assert(verdict().kind != \"hold\", verdict().reason); }}"
    ));
    report.failures.first().map(|failure| failure.message.clone()).unwrap_or_default()
}

#[test]
fn conversations_are_judged_by_what_a_test_says_came() {
    passes(
        r#"
    watch("tcp", tcp("192.168.0.22:25", #{ expect_re: "^220 .*ESMTP" }));
    watch("udp", udp("192.168.0.22:1812", #{ hex: true, send: "0c 01", expect: "02 01" }));
    watch("unix", unix_socket("/run/web.sock", #{ send: "ping\n", expect: "pong" }));
    watch("plain", tcp("192.168.0.22:80"));
    watch("asked", unix_socket("/run/web.sock", #{ send: "show stat\n", name: "stat" }));
"#,
        r#"
    let rules = ["tcp", "udp", "unix", "plain", "asked"];
    assert_eq(rules.map(|name| why(name)), ["answered", "answered", "answered", "connected", "answered"]);
    fake("tcp:192.168.0.22:25", #{ data: "554 no" });
    fake("udp:*", #{ data: "f0201f" });
    fake("unix_socket:/run/web.sock", #{ data: "panic" });
    assert_eq(why("tcp"), "nothing like \"^220 .*ESMTP\" in the answer");
    assert_eq(why("udp"), "no \"0201\" in the answer");
    assert_eq(why("unix"), "no \"pong\" in the answer");
    fake("*:*", #{ error: "connection refused" });
    assert_eq(why("plain"), "connection refused");
"#,
    );
}

#[test]
fn what_haproxy_says_can_be_read() {
    passes(
        r#"
    let stat = unix_socket("/run/haproxy/admin.sock", #{ send: "show stat\n" });
    require("backends", stat.but(stat.ok && stat.data.contains("web,BACKEND,UP"), "no backend is up"));
"#,
        r#"
    fake("unix_socket:*", #{ data: "web,BACKEND,UP\n" });
    assert_eq(why("backends"), "answered");
    fake("unix_socket:*", #{ data: "web,BACKEND,DOWN\n" });
    assert_eq(why("backends"), "no backend is up");
"#,
    );
}

#[test]
fn a_bad_option_of_a_conversation_is_named() {
    for (probe, why) in [
        ("tcp(\"h:25\", #{ expect_re: \"(\" })", "expect_re: \"(\" is not a regular expression"),
        ("tcp(\"h\")", "\"h\" has no port"),
        ("udp(\"h:1\")", "udp needs something to send"),
        ("udp(\"h:1\", #{ send: \"0g\", hex: true })", "send: \"0g\" is not hexadecimal"),
        ("unix_socket(\"run/x.sock\")", "\"run/x.sock\" is not an absolute path"),
        ("ping(\"h\", #{ ttl: 0 })", "ttl: 0 is not a whole number from 1 to 255"),
        (
            "ping(\"h\", #{ bind: \"192.168.0.1\", family: 6 })",
            "family: bind is 192.168.0.1, which is of the other family",
        ),
        ("arping(\"192.168.0.1\", #{ family: 6 })", "family: 192.168.0.1 is of the other family"),
    ] {
        let said = refused(probe);
        assert!(said.contains(why), "{probe}: {said}");
    }
}
