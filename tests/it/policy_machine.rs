//! The probes of the machine, as a policy writes them: what it may ask, what a test's fake of them answers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, run_tests};

/// Runs the tests of a policy that has this `check()` and one test; every failure, with its line.
fn failures(check: &str, test: &str) -> Vec<String> {
    let engine = Engine::new();
    let source = format!("fn check() {{ {check} }}\nfn test_it() {{ {test} }}");
    let policy = Policy::load(&engine, "check", "check.rhai", &source)
        .unwrap_or_else(|problems| panic!("{source}: {problems:?}"));
    run_tests(&engine, &policy, None).failures.into_iter().map(|failure| failure.message).collect()
}

#[track_caller]
fn passes(check: &str, test: &str) {
    assert_eq!(failures(check, test), Vec::<String>::new(), "{check}");
}

#[test]
fn each_is_ok_unless_a_test_says_otherwise() {
    for check in [
        "listening(443)",
        "listening(53, #{ proto: \"udp\", addr: \"192.168.0.60/24\" })",
        "process(\"nginx\", #{ min: 2, max: 9, user: \"www-data\", pidfile: \"/run/nginx.pid\" })",
        "disk(\"/srv/data\", #{ write_test: true, min_free_pct: 5 })",
        "memory(#{ min_available_pct: 2.5 })",
        "load(#{ max_per_cpu: 4 })",
        "cpu()",
        "pressure(\"io\", #{ max_full10: 20 })",
        "time_sync()",
        "iface(\"eth0\")",
        "route(\"default\", #{ dev: \"eth1\" })",
        "addr(\"192.168.0.60\", #{ dev: \"eth1\" })",
        "neigh(\"192.168.0.1\")",
        "exec([\"/usr/bin/true\"], #{ code: 3, expect: \"SYNCED\", env: #{ PW: secret(\"db\") }, stdin: secret(\"db\") })",
    ] {
        passes(
            &format!("require(\"r\", {check});"),
            "tick(); assert(rule(\"r\").ok, rule(\"r\").why); assert_verdict(\"healthy\");",
        );
    }
}

#[test]
fn what_a_fake_says_is_judged_as_the_real_one_would() {
    for (check, key, answer, why) in [
        ("listening(443)", "listening:443", "ok: false", "nobody listens"),
        ("process(\"nginx\")", "process:nginx", "count: 0", "0 processes, not at least 1"),
        ("process(\"nginx\", #{ max: 1 })", "process:*", "count: 2", "2 processes, not 1"),
        ("disk(\"/srv\")", "disk:/srv", "mounted: false", "nothing is mounted there"),
        ("disk(\"/srv\")", "disk:/srv", "read_only: true", "read-only"),
        ("disk(\"/srv\", #{ min_free_pct: 5 })", "disk:/srv", "free_pct: 4.0", "4.0 % free, less than 5 %"),
        ("memory(#{ min_available_pct: 5 })", "memory", "available_pct: 4", "4.0 % available, less than 5 %"),
        ("load(#{ max_per_cpu: 2 })", "load", "per_cpu: 2.5", "2.50 per processor, more than 2"),
        (
            "pressure(\"memory\", #{ max_some10: 10 })",
            "pressure:memory",
            "some10: 11",
            "some process waited 11.0 % of the time, more than 10 %",
        ),
        ("time_sync()", "time_sync", "synced: false", "not synchronised"),
        ("iface(\"eth0\")", "iface:eth0", "carrier: false", "no carrier"),
        ("route(\"default\")", "route:default", "ok: false", "no route"),
        ("route(\"10.0.0.0/8\", #{ dev: \"eth0\" })", "route:10.0.0.0/8", "dev: \"eth1\"", "by eth1, not by eth0"),
        ("addr(node.vip)", "addr:*", "present: false", "not on this machine"),
        ("neigh(\"192.168.0.1\")", "neigh:192.168.0.1", "state: \"failed\"", "failed"),
        ("exec([\"/bin/x\", \"-v\"])", "exec:/bin/x -v", "code: 2", "exit code 2"),
        ("exec([\"/bin/x\"], #{ expect: \"yes\" })", "exec:/bin/x", "stdout: \"no\"", "no \"yes\" in its output"),
    ] {
        let test = format!(
            "fake(`{key}`, #{{ {answer} }}); tick(); assert_eq(rule(\"r\").ok, false); assert_eq(rule(\"r\").why, `{why}`);"
        );
        passes(&format!("watch(\"r\", {check});"), &test);
    }
}

#[test]
fn a_blind_one_decides_nothing() {
    passes(
        "require(\"r\", exec([\"/bin/x\"]));",
        "tick(); fake(\"exec:*\", #{ blind: true }); tick(); assert_eq(rule(\"r\").ok, ()); assert_verdict(\"healthy\");",
    );
}

#[test]
fn what_makes_no_sense_is_an_error_that_says_so() {
    for (check, why) in [
        ("listening(0)", "0 is not a port, 1 to 65535"),
        ("listening(80, #{ proto: \"sctp\" })", "proto: \"sctp\" is neither \"tcp\" nor \"udp\""),
        ("process(\"\")", "process has nothing to probe"),
        ("process(\"x\", #{ min: 3, max: 2 })", "max: 2 is not a whole number from 3 to 1000000"),
        ("disk(\"data\")", "\"data\" is not an absolute path"),
        ("memory(#{ min_available_pct: 101 })", "min_available_pct: 101 is not a number from 0 to 100"),
        ("pressure(\"disk\")", "\"disk\" has no pressure; write \"cpu\", \"memory\" or \"io\""),
        ("route(\"10.0.0.0/33\")", "\"10.0.0.0/33\" is no destination"),
        ("addr(\"eth0\")", "addr: \"eth0\" is not an IP address"),
        ("exec([])", "exec has nothing to run: its list is empty"),
        ("exec([\"true\"])", "exec: \"true\" is not an absolute path"),
        ("exec([\"/bin/sleep\", 3])", "exec takes a list of texts; a whole number is among them"),
        ("exec([\"/bin/x\"], #{ env: \"A=b\" })", "env takes a map"),
        ("exec([\"/bin/x\"], #{ stdin: 3 })", "stdin of exec takes a text or secret(\"NAME\"), not a whole number"),
    ] {
        let found = failures(&format!("watch(\"r\", {check});"), "tick(); assert_verdict(\"healthy\");");
        assert!(found.first().is_some_and(|message| message.contains(why)), "{check}: {found:?}");
    }
}
