//! Scripts that mean harm, or are merely wrong: each ends in a clear error, soon.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, Judge, Policy, Report, Verdict, WallTime,
        probe::{Pending, ProbeRequest, Prober},
    },
    words::Instant,
};

/// Never answers, never gives up.
struct Silent;

impl Prober for Silent {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, receiver) = mpsc::channel();
        std::mem::forget(sender);
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

/// Evaluates `fn check() { BODY }` and returns the error; it must come within a second, with the verdict hold.
fn error_of(body: &str) -> String {
    error_of_file(&format!("fn check() {{ {body} }}"))
}

fn error_of_file(source: &str) -> String {
    let report = evaluate(source);
    assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
    report.error.unwrap()
}

fn evaluate(source: &str) -> Report {
    let started = std::time::Instant::now();
    let engine = Engine::new();
    let policy = Policy::load(&engine, "hostile", "h.rhai", source).unwrap_or_else(|problems| panic!("{problems:?}"));
    let prober: Arc<dyn Prober> = Arc::new(Silent);
    let clock: Arc<dyn Clock> = Arc::new(Real(started));
    let report = Judge::new().evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    report
}

/// The code and message of the first error of a file that is not loaded.
fn refusal(source: &str) -> String {
    let problems = Policy::load(&Engine::new(), "hostile", "h.rhai", source).unwrap_err();
    let first = problems.first().unwrap();
    format!("{} {}", first.code, first.message)
}

#[test]
fn endless_loops() {
    for body in
        ["loop {}", "while true {}", "for x in 0..9223372036854775807 {}", "let x = 0; do { x += 1; } while x > -1;"]
    {
        let error = error_of(body);
        assert!(error.contains("it computes too long"), "{body}: {error}");
    }
}

#[test]
fn endless_recursion() {
    let error = error_of_file("fn f(x) { f(x + 1) + 1 } fn check() { f(0) }");
    assert!(error.contains("more than 32 deep"), "{error}");
    let error = error_of_file("fn a() { b() } fn b() { [1].map(|x| a()) } fn check() { a() }");
    assert!(error.contains("deep"), "{error}");
}

#[test]
fn bombs() {
    for body in [
        "let s = \"x\"; loop { s += s; }",
        "let a = [1]; loop { a += a; }",
        "let a = []; loop { a.push(1); }",
        "let m = #{}; let n = 0; loop { m[`k${n}`] = n; n += 1; }",
        "let s = \"\"; s.pad(1000000000, 'x');",
        "let a = []; a.pad(1000000000, 0);",
        "let b = blob(1000000000, 0);",
        "let m = #{}; loop { m = #{ a: m, b: m }; }",
    ] {
        let error = error_of(body);
        assert!(error.contains("too large") || error.contains("too long"), "{body}: {error}");
    }
}

#[test]
fn time_is_bounded_where_steps_are_not() {
    let report = evaluate(
        "const DEADLINE = \"50ms\"; fn check() { let s = \"\"; s.pad(60000, 'x'); loop { let t = s.split(\"\"); } }",
    );
    let error = report.error.unwrap();
    assert!(report.elapsed < Duration::from_millis(1500), "{:?}", report.elapsed);
    assert!(error.contains("deadline") || error.contains("too l"), "{error}");
}

#[test]
fn silence_ends_with_the_deadline() {
    let report = evaluate("const DEADLINE = \"100ms\"; fn check() { while !ping(\"10.0.0.1\").ok {} }");
    assert_eq!(report.error.as_deref(), Some("h.rhai: not finished within its deadline of 100ms"));
}

#[test]
fn too_many_probes_and_rules() {
    let error = error_of("for i in 0..1000 { file(`/${i}`); }");
    assert!(error.contains("more than 64 probes"), "{error}");
    let error = error_of("for i in 0..1000 { watch(`rule ${i}`, true); }");
    assert!(error.contains("more than 128 rules"), "{error}");
    let error = error_of("for i in 0..1000 { put(`key ${i}`, i); }");
    assert!(error.contains("64 notes"), "{error}");
}

#[test]
fn what_a_policy_must_not_do_is_refused_before_it_runs() {
    for (source, wanted) in [
        ("fn check() { sleep(5); }", "E101 `sleep` is not for policies"),
        ("fn check() { let t = timestamp(); }", "E101 `timestamp` is not for policies"),
        ("fn check() { eval(\"1\"); }", "E101 `eval` is not for policies"),
        (
            "fn require(n, c) { 1 } fn check() { require(\"x\", true); }",
            "E107 `require` is a function of the policy language and cannot be redefined",
        ),
        ("import \"other\" as o; fn check() { o::f(); }", "E108 `import` is not available"),
        ("fn check() { import `${node.name}` as o; }", "E108 `import` is not available"),
        ("http(\"http://127.0.0.1/\"); fn check() {}", "E105 a statement at top level"),
        ("const X = http(\"http://127.0.0.1/\"); fn check() {}", "E105 http() works inside functions only"),
        (
            "const X = loop {}; fn check() {}",
            "E105 it computes too long: more than 100000 steps; is there an endless loop?",
        ),
        ("fn check() { ", "E100 "),
        ("", "E114 there is no `fn check()`"),
        ("fn check(x) {}", "E114 `check` takes no arguments"),
    ] {
        let refusal = refusal(source);
        assert!(refusal.starts_with(wanted), "{source}: {refusal}");
    }
}

#[test]
fn names_that_hide_a_function_do_not_reach_it() {
    let error = error_of("Fn(\"sleep\").call(5);");
    assert!(error.contains("sleep is not for policies"), "{error}");
    assert!(error_of("Fn(\"eval\").call(\"1\");").contains("eval"));
    assert!(error_of("tick();").contains("works in tests only"));
}

#[test]
fn deep_nesting_and_long_files() {
    let deep = format!("fn check() {{ {}1{} }}", "(".repeat(2000), ")".repeat(2000));
    assert!(refusal(&deep).starts_with("E100"));
    let long = format!("fn check() {{}}\n{}", "// x\n".repeat(100_000));
    assert!(refusal(&long).starts_with("E100 the file is longer than 256 KiB"));
}

#[test]
fn wrong_kinds_are_errors_with_a_place() {
    for (body, wanted) in [
        ("require(\"x\", 1)", "h.rhai:1:14: require takes a probe"),
        ("require(\"x\", file(\"/x\") && true)", "a probe stands where a bool belongs"),
        ("if file(\"/x\") {}", "a probe stands where a bool belongs"),
        ("file(\"/x\", #{ timeout: \"50ms\" }).sise", "no field `sise`: did you mean `size`?"),
        (
            "let o = #{ timout: \"1s\" }; ping(\"10.0.0.1\", o)",
            "unknown option `timout` of ping: did you mean `timeout`?",
        ),
        ("prefer(\"x\", true)", "prefer needs a weight"),
        ("require(\"\", true)", "a rule needs a name"),
        ("all([])", "the list is empty"),
        ("at_least(3, [true])", "at_least needs 1 to 1 of 1"),
        ("http(\"192.168.0.1\")", "is not an address that http can ask"),
        ("tcp(\"10.0.0.1\")", "has no port"),
        ("arping(\"gateway\")", "is not an IP address"),
        ("file(\"x\")", "is not an absolute path"),
        ("ping(\"10.0.0.1\", #{ count: 2, min: 3 })", "min: 3 is not a whole number from 1 to 2"),
        ("http(\"http://10.0.0.1/\", #{ status: \"ok\" })", "status: ok is no HTTP status"),
        ("ping(\"10.0.0.1\", #{ timeout: \"soon\" })", "timeout: \"soon\" is not a duration"),
        ("1 / 0", "Division by zero"),
        ("adjust(1000, \"x\")", "adjust takes a change from -253 to 253"),
    ] {
        let error = error_of(body);
        assert!(error.contains(wanted), "{body}: {error}");
    }
}
