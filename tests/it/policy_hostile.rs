//! Scripts that mean harm, or are merely wrong: each ends in a clear error, soon.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, Judge, Policy, Problem, Report, STACK, Verdict, WallTime,
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

/// Time that passes with each look at it, so that a test does not depend on how busy the machine is.
struct Counted(Mutex<u64>);

impl Clock for Counted {
    fn now(&self) -> Instant {
        let mut looks = self.0.lock().unwrap();
        *looks += 1;
        Instant::from_epoch(Duration::from_millis(*looks))
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}

/// The error of `fn check() { BODY }` where time hardly passes.
fn error_out_of_time(source: &str) -> String {
    let (engine, prober): (_, Arc<dyn Prober>) = (Engine::new(), Arc::new(Silent));
    let policy = Policy::load(&engine, "hostile", "h.rhai", source).unwrap_or_else(|problems| panic!("{problems:?}"));
    let clock: Arc<dyn Clock> = Arc::new(Counted(Mutex::new(0)));
    let report = on_a_thread(|| Judge::new().evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock));
    report.error.unwrap()
}

/// Evaluates `fn check() { BODY }` and returns the error; it comes with a line, and with the verdict hold.
fn error_of(body: &str) -> String {
    error_of_file(&format!("fn check() {{ {body} }}"))
}

fn error_of_file(source: &str) -> String {
    // On a busy machine the usual deadline may come before the bound that is meant.
    let patient = if source.contains("DEADLINE") { "" } else { "\nconst DEADLINE = \"60s\";" };
    let report = evaluate(&format!("{source}{patient}"));
    assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
    let error = report.error.unwrap();
    let line = error.strip_prefix("h.rhai:").and_then(|rest| rest.split(':').next()?.parse::<u32>().ok());
    assert!(line.is_some_and(|line| line > 0) || error.contains("check() returned"), "no place: {error}");
    error
}

/// On a thread as the daemon has them.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        thread.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn evaluate(source: &str) -> Report {
    evaluate_for(&mut Judge::new(), source)
}

fn evaluate_for(judge: &mut Judge, source: &str) -> Report {
    let started = std::time::Instant::now();
    let engine = Engine::new();
    let policy = Policy::load(&engine, "hostile", "h.rhai", source).unwrap_or_else(|problems| panic!("{problems:?}"));
    let prober: Arc<dyn Prober> = Arc::new(Silent);
    let clock: Arc<dyn Clock> = Arc::new(Real(started));
    let report = on_a_thread(|| judge.evaluate(&engine, &policy, 1, &Context::default(), &prober, &clock));
    assert!(started.elapsed() < Duration::from_secs(70), "no deadline is longer: {:?}", started.elapsed());
    report
}

/// The code and message of the first error of a file that is not loaded.
fn refusal(source: &str) -> String {
    let first = refusals(source).into_iter().next().unwrap();
    format!("{} {}", first.code, first.message)
}

fn refusals(source: &str) -> Vec<Problem> {
    on_a_thread(|| Policy::load(&Engine::new(), "hostile", "h.rhai", source).unwrap_err())
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
    let error = error_of_file("fn check() { check() }");
    assert!(error.contains("deep"), "{error}");
}

#[test]
fn recursion_through_the_deepest_expressions_fits_the_stack() {
    for (open, close, most) in
        [("id(", ")", 28), ("if true { ", " }", 12), ("[", "]", 10), ("switch 1 { 1 => ", " }", 14)]
    {
        let (open, close) = (open.repeat(most), close.repeat(most));
        let source = format!("fn id(x) {{ x }} fn f(x) {{ {open}f(x + 1){close} }} fn check() {{ f(0) }}");
        let error = error_of_file(&source);
        assert!(error.contains("more than 32 deep"), "{open}: {error}");
    }
}

/// What calls back starts to count where its caller stood: an engine's own count of steps would never be reached.
#[test]
fn loops_inside_functions_that_call_back() {
    for call in
        ["a.map(|x| g(n - 1))", "a.filter(|x| g(n - 1))", "a.sort(|x, y| g(n - 1))", "a.reduce(|x, y| g(n - 1))"]
    {
        let source = format!(
            "fn g(n) {{ let a = []; a.pad(1000, 0); if n == 0 {{ return 1; }} {call}; true }} fn check() {{ g(3) }}"
        );
        let error = error_of_file(&source);
        assert!(error.contains("it computes too long"), "{call}: {error}");
    }
}

/// Each value is small enough; all of them together are not, or one step would make too much of them.
#[test]
fn total_memory() {
    for body in [
        r#"let s = ""; s.pad(60000, "x"); let m = #{}; for i in 0..1000 { m[`k${i}`] = s + i; }"#,
        r#"let s = ""; s.pad(60000, "x"); let a = []; a.pad(1000, 0); for i in 0..1000 { a[i] = s + i; }"#,
        r#"let s = ""; s.pad(60000, "x"); let m = #{}; loop { try { for i in 0..1000 { m[`k${i}`] = s + i; } } catch { } }"#,
        r#"let f = Fn("x"); loop { f = f.curry(f); }"#,
    ] {
        let error = error_of(body);
        assert!(error.contains("they take more than 8 MiB"), "{body}: {error}");
    }
}

#[test]
fn chains_of_functions_end_before_the_stack_does() {
    for body in [
        "let f = || 1; loop { let g = f; f = || g.call(); }",
        "let f = || 1; for i in 0..8000 { let g = f; f = || g.call(); } f.call()",
        "let a = #{}; loop { a = #{ a: [a] }; }",
    ] {
        let error = error_out_of_time(&format!("const DEADLINE = \"24h\"; fn check() {{ {body} }}"));
        assert!(["too long", "too large", "deep"].iter().any(|why| error.contains(why)), "{body}: {error}");
    }
    let slow = "const DEADLINE = \"300ms\"; fn check() { let f = Fn(\"x\"); loop { f = Fn(\"x\").curry(f); } }";
    assert!(error_out_of_time(slow).contains("deadline of 300ms"));
}

#[test]
fn one_step_that_makes_much_out_of_little() {
    let text = r#"let s = ""; s.pad(120000, "x");"#;
    for (body, wanted) in [
        (r#"s.replace("x", s)"#, "h.rhai:1:48: replace: a text grows longer than 128 KiB"),
        (r#"s.replace("", s)"#, "replace: a text grows longer"),
        (r#"s.replace('x', s)"#, "replace: a text grows longer"),
        ("let m = #{}; for i in 0..900 { m[`k${i}`] = s; } m.to_json()", "to_json: a text grows longer"),
        ("let m = #{}; for i in 0..900 { m[`k${i}`] = s; } let t = `${m}`;", "Length of string"),
        ("let m = #{}; for i in 0..900 { m[`k${i}`] = s; } let t = m.to_string();", "Length of string"),
        ("let m = #{}; for i in 0..900 { m[`k${i}`] = s; } let t = \"\" + m;", "Length of string"),
        ("let a = []; a.pad(900, 0); for i in 0..900 { a[i] = s; } let t = a.to_debug();", "Length of string"),
        (
            "let o = #{ headers: #{} }; for i in 0..900 { o.headers[`k${i}`] = s; } http(\"http://10.0.0.1/\", o)",
            "the options of http are longer than 128 KiB",
        ),
        ("require(s, true)", "the name of a rule has at most 100 bytes"),
        ("put(s, 1)", "put takes names up to 100 bytes"),
        ("put(\"k\", s)", "put keeps texts up to 1024 bytes"),
    ] {
        let error = error_of(&format!("{text} {body}"));
        assert!(error.contains(wanted), "{body}: {error}");
    }
    let ok = evaluate(
        r#"fn check() { let s = "a-b"; s.replace("-", "+"); if s == "a+b" && `${[1, "x"]}` == "[1, \"x\"]" { hold("so it is") } }"#,
    );
    assert_eq!(ok.verdict, Verdict::Hold { why: "so it is".to_owned() });
}

#[test]
fn reasons_and_lines_are_cut_to_what_anybody_reads() {
    let report = evaluate(r#"fn check() { let s = ""; s.pad(120000, "x"); require("r", expect(false, s)); fault(s) }"#);
    assert!(report.rules[0].why.len() < 1100);
    assert!(matches!(report.verdict, Verdict::Fault { ref why, .. } if why.len() < 1100));
    assert!(error_of(r#"let s = ""; s.pad(120000, "x"); throw s"#).len() < 1100);
    let mut judge = Judge::new();
    evaluate_for(
        &mut judge,
        r#"fn check() { let m = #{}; let s = ""; s.pad(60000, "x"); for i in 0..900 { m[`k${i}`] = s; } for i in 0..1000 { log_info(m); } }"#,
    );
    let log = judge.take_log();
    assert_eq!((log.len(), log.iter().map(|line| line.text.len()).max().unwrap() < 1100), (64, true));
}

/// A condition that stands in another twice is looked at twice: forty such steps would be a trillion looks.
#[test]
fn conditions_of_conditions() {
    for body in [
        "let p = expect(true, \"x\"); for i in 0..40 { p = all([p, p]); } require(\"x\", p)",
        "let p = expect(true, \"x\"); for i in 0..9000 { p = p.but(true, \"y\"); } p.ok",
        "let p = expect(true, \"x\"); for i in 0..9000 { p = any([p]); } p.ok",
        "let p = ping(\"10.0.0.1\"); for i in 0..9000 { p = expect(p, \"x\"); } p.ok",
    ] {
        let error = error_of(body);
        assert!(error.contains("a condition of more than 256 parts"), "{body}: {error}");
    }
}

/// Each lingers for a day, and comes under another name a second later.
#[test]
fn rules_whose_names_are_computed_do_not_pile_up() {
    let mut judge = Judge::new();
    let mut refused = None;
    for round in 0..6 {
        let source = format!(
            "fn check() {{ for i in 0..128 {{ watch(`{round}-${{i}}`, false, #{{ fall: 1, linger: \"24h\" }}); }} }}"
        );
        refused = evaluate_for(&mut judge, &source).error.or(refused);
    }
    assert!(refused.unwrap().contains("more than 512 rules are remembered"));
}

#[test]
fn nothing_hides_a_function_of_the_language() {
    for body in [
        "let require = 5; require(\"x\", false, #{ fall: 1 })",
        "let require = |name, condition| 1; require(\"x\", false, #{ fall: 1 })",
        "let r = Fn(\"require\"); r.call(\"x\", false, #{ fall: 1 })",
        "let r = Fn(\"require\").curry(\"x\"); r.call(false, #{ fall: 1 })",
    ] {
        let mut judge = Judge::new();
        evaluate_for(&mut judge, &format!("fn check() {{ {body} }}"));
        let report = evaluate_for(&mut judge, &format!("fn check() {{ {body} }}"));
        assert_eq!(report.rules.first().map(|rule| rule.name.as_str()), Some("x"), "{body}: {report:?}");
    }
    let error = error_of("let node = #{ addr: \"192.0.2.1\" }; require(\"x\", node.adr == \"\")");
    assert!(error.contains("adr"), "{error}");
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
    assert_eq!(report.error.as_deref(), Some("h.rhai:1: not finished within its deadline of 100ms"));
}

#[test]
fn too_many_probes_and_rules() {
    let error = error_of("for i in 0..1000 { file(`/${i}`); }");
    assert!(error.contains("more than 64 probes"), "{error}");
    let error = error_of("for i in 0..1000 { watch(`rule ${i}`, true); }");
    assert!(error.contains("more than 128 rules"), "{error}");
    let error = error_of("for i in 0..1000 { put(`key ${i}`, i); }");
    assert!(error.contains("put keeps up to 64 names"), "{error}");
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
        ("import \"../other\" as o; fn check() { o::f(); }", "E115 cannot import \"../other\": `../other` is no name"),
        ("import \"/etc/passwd\" as o; fn check() {}", "E115 cannot import \"/etc/passwd\": "),
        ("fn check() { import `${node.name}` as o; }", "E108 the name of an imported module must be a plain text"),
        ("http(\"http://127.0.0.1/\"); fn check() {}", "E105 a statement at top level"),
        ("const X = http(\"http://127.0.0.1/\"); fn check() {}", "E105 http() works inside functions only"),
        (
            "const X = loop {}; fn check() {}",
            "E105 it computes too long: more than 10000 steps; is there an endless loop?",
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
    for (open, close) in
        [("[", "]"), ("#{a:", "}"), ("{", "}"), ("if true {", "}"), ("`${", "}`"), ("|x| ", ""), ("!", "")]
    {
        for depth in [200, 20_000] {
            let source = format!("fn check() {{ {}1{} }}", open.repeat(depth), close.repeat(depth));
            assert!(refusal(&source).starts_with("E100"), "{open}");
        }
    }
    for chain in ["+1", "**1", ".x", "[0]", "&&true", "??1", ".trim()"] {
        let source = format!("fn check() {{ node{} }}", chain.repeat(20_000));
        assert!(refusal(&source).starts_with("E100"), "{chain}");
    }
}

#[test]
fn as_much_as_fits_into_a_file() {
    let lines = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let rules = format!("fn check() {{\n{}}}", lines(9000, &|i| format!("require(\"r{i}\", true);\n")));
    assert_eq!(refusal(&rules), "E100 more than 2000 calls");
    let calls = format!("fn check() {{ {} }}", lines(18_000, &|i| format!("a{i}();")));
    assert_eq!(refusal(&calls), "E100 more than 2000 calls");
    let functions = format!("{} fn check() {{}}", lines(10_000, &|i| format!("fn f{i}() {{}}\n")));
    assert!(refusal(&functions).starts_with("E100 number of functions defined exceeds"));
    let constants = format!("{} fn check() {{}}", lines(1000, &|i| format!("const C{i} = {i};\n")));
    assert_eq!(refusal(&constants), "E100 more than 200 constants");
    let text = format!("fn check() {{ let s = \"{}\"; }}", "x".repeat(250_000));
    assert!(refusal(&text).starts_with("E100 length of string"));
    let list = format!("const A = [{}1]; fn check() {{}}", "1,".repeat(100_000));
    assert!(refusal(&list).starts_with("E100 size of array literal"));
    let unknown = format!("fn check() {{ {} }}", lines(300, &|i| format!("a{i}();")));
    assert_eq!(refusals(&unknown).len(), 100);
    let number = format!("fn check() {{ 0x{} }}", "f".repeat(200_000));
    assert!(refusal(&number).len() < 1100);
}

#[test]
fn a_problem_in_a_very_long_line_is_rendered_short() {
    let source = format!("fn check() {{ {} pong(\"x\"); }}", "let a = 1; ".repeat(20_000));
    let problems = refusals(&source);
    let pong = problems.iter().find(|problem| problem.code == "E101").unwrap();
    let rendered = pong.render(&source);
    assert!(rendered.contains("pong") && rendered.len() < 2000, "{} bytes", rendered.len());
}

#[test]
fn texts_that_are_hard_to_parse() {
    for body in [
        "let s = \"\"; s.pad(60000, \"[\"); parse_json(s)",
        "let s = \"\"; for i in 0..12000 { s += \"{\\\"a\\\":\"; } parse_json(s)",
        "let s = \"[\"; for i in 0..20000 { s += \"1,\"; } loop { parse_json(s + \"1]\") }",
    ] {
        let error = error_of(body);
        assert!(["recursion limit", "too large", "too long"].iter().any(|why| error.contains(why)), "{body}: {error}");
    }
}

#[test]
fn documents_are_read_as_json_has_them() {
    let report = evaluate(
        r#"fn check() {
            let list = parse_json("[1, 2.5, null, true, \"x\"]");
            require("list", list[0] == 1 && list[1] == 2.5 && list[2] == () && list[3] && list[4] == "x");
            require("map", parse_json("{\"a\": {\"b\": [7]}}").a.b[0] == 7);
            require("number", parse_json("3") == 3);
        }"#,
    );
    assert_eq!(report.error, None);
    assert!(report.rules.iter().all(|rule| rule.ok == Some(true)), "{report:?}");
    let error = error_of("parse_json(\"{a: 1}\")");
    assert!(error.contains("parse_json: key must be a string at line 1 column 2"), "{error}");
}

#[test]
fn functions_are_not_kept_in_notes() {
    let error = error_of("put(\"f\", || 1)");
    assert!(error.contains("h.rhai:1:14: put takes a truth, a number or a text, not a function"), "{error}");
    let error = error_of("let x = 1; put(\"f\", [|| x])");
    assert!(error.contains("put takes a truth"), "{error}");
}

#[test]
fn text_that_no_editor_shows() {
    for (source, wanted) in [
        ("\u{feff}fn check() {}", "E100 the file begins with a byte order mark"),
        ("fn check() {\n  \0 }", "E100 the control character U+0000 does not belong into a policy"),
        ("fn check() { \u{1b}[31m }", "E100 the control character U+001B does not belong into a policy"),
        ("fn check() { \"", "E100 open string is not terminated"),
        ("fn check() { `${", "E100 "),
        ("/*", "E114 "),
    ] {
        assert!(refusal(source).starts_with(wanted), "{source:?}: {}", refusal(source));
    }
    let nul = &refusals("fn check() {\n  \0 }")[0];
    assert_eq!((nul.line, nul.column), (2, 3));
    let windows = &refusals("fn check() {\r\n  healty()\r\n}\r\n")[0];
    assert_eq!((windows.code, windows.line, windows.column), ("E101", 2, 3));
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
