//! What a script can do with a secret: hand it on. It never sees one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, Judge, LogLine, NodeFacts, Policy, Report, Verdict, WallTime,
        probe::{Pending, ProbeRequest, Prober},
    },
    words::Instant,
};

struct Nothing;

impl Prober for Nothing {
    fn start(&self, _: &ProbeRequest) -> Pending {
        mpsc::channel().1
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_epoch(Duration::from_secs(1))
    }

    fn wall(&self) -> WallTime {
        WallTime { unix_s: 0, utc_offset_s: 0 }
    }
}

/// What comes of a `check()` with this body, after a constant `S` that is a secret.
fn evaluated(body: &str) -> (Report, Vec<LogLine>) {
    let engine = Engine::new();
    let source = format!("const S = secret(\"db\"); fn check() {{ {body} }}");
    let policy =
        Policy::load(&engine, "check", "check.rhai", &source).unwrap_or_else(|problems| panic!("{problems:?}"));
    let context = Context { node: NodeFacts::default(), peers: Vec::new(), ..Context::default() };
    let (prober, clock): (Arc<dyn Prober>, Arc<dyn Clock>) = (Arc::new(Nothing), Arc::new(Still));
    let mut judge = Judge::new();
    (judge.evaluate(&engine, &policy, 1, &context, &prober, &clock), judge.take_log())
}

/// The error of a `check()` with this body; empty if it has none.
fn error(body: &str) -> String {
    evaluated(body).0.error.unwrap_or_default()
}

#[test]
fn it_shows_as_stars_wherever_it_is_shown() {
    for shown in ["S", "`${S}`", "S.to_string()", "S.to_debug()", "type_of(S) + `${S}`", "[S]", "#{ s: S }"] {
        let (report, logs) = evaluated(&format!("log_info({shown}); healthy()"));
        assert_eq!(report.error, None, "{shown}");
        assert_eq!(logs.len(), 1, "{shown}");
        assert!(logs.iter().all(|line| line.text.contains("***")), "{shown}: {:?}", logs);
        assert!(!format!("{report:?}").contains("db"), "{shown}: not even its name: {report:?}");
    }
}

#[test]
fn as_json_it_is_a_kind_and_no_more() {
    let (report, logs) = evaluated("log_info(#{ s: S }.to_json()); healthy()");
    assert_eq!(report.error, None);
    assert!(logs.iter().all(|line| line.text.contains("Secret") && !line.text.contains("db")), "{logs:?}");
}

#[test]
fn it_is_compared_with_nothing_and_put_into_no_text() {
    for attempt in [
        "S == \"hunter2\"",
        "\"hunter2\" == S",
        "S != \"hunter2\"",
        "S == S",
        "S < \"z\"",
        "S >= 3",
        "S == ()",
        "\"Bearer \" + S",
        "S + \"x\"",
        "S + S",
        "[\"hunter2\"].contains(S)",
        "S in [\"hunter2\"]",
    ] {
        let error = error(&format!("let x = {attempt}; healthy()"));
        assert!(error.contains("a secret is known to nobody here"), "{attempt}: {error}");
    }
    let error = error("let text = \"Bearer \"; text += S; healthy()");
    assert!(error.contains("a secret is known to nobody here"), "{error}");
}

#[test]
fn it_is_no_condition_no_note_and_no_text() {
    assert!(error("require(\"x\", S);").contains("not a secret"), "{}", error("require(\"x\", S);"));
    assert!(error("put(\"x\", S);").contains("put takes a truth, a number or a text, not a secret"));
    assert!(error("require(S, true);").contains("secret"), "{}", error("require(S, true);"));
    assert!(error("file(S);").contains("secret"), "{}", error("file(S);"));
}

#[test]
fn its_name_is_looked_at_when_it_is_named() {
    let (report, _) = evaluated("secret(\"../shadow\"); healthy()");
    assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
    assert!(report.error.unwrap().contains("\"../shadow\" cannot be the name of a secret"));
}
