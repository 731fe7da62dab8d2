//! What is found in the text of a policy, without running it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, Problem};

fn lint(source: &str) -> Vec<Problem> {
    match Policy::load(&Engine::new(), "check", "check.rhai", source) {
        Ok(policy) => policy.warnings().to_vec(),
        Err(problems) => problems,
    }
}

/// `code line:column+length message (hint)`
fn lines(source: &str) -> Vec<String> {
    let line = |p: &Problem| {
        let hint = p.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{} {}:{}+{} {}{hint}", p.code, p.line, p.column, p.length, p.message)
    };
    lint(source).iter().map(line).collect()
}

/// The problems of a `check()` with this body; it has a test, so that W208 stays silent.
fn body(body: &str) -> Vec<String> {
    lines(&format!("fn check() {{\n{body}\n}}\nfn test_x() {{ tick(); }}"))
}

#[test]
fn e100_syntax() {
    assert_eq!(body("let x = ;"), ["E100 2:9+1 Unexpected ';'"].map(|line| line.replace("Unexpected", "unexpected")));
}

#[test]
fn e101_unknown_function() {
    assert_eq!(body("requier(\"web\", true);"), ["E101 2:1+7 unknown function `requier` (did you mean `require`?)"]);
    assert_eq!(
        body("let x = [1].lenght();"),
        ["E101 2:13+6 unknown function `lenght` (did you mean `length`?)"]
            .map(|line| line.replace(" (did you mean `length`?)", ""))
    );
    assert_eq!(body("mount(\"x\", || 1);"), ["E101 2:1+5 unknown function `mount`"]);
    assert!(body("let f = |x| x + 1; f.call(1); let m = #{ run: || 1 }; m.run(); [1].map(|x| x).len();").is_empty());
}

#[test]
fn e102_argument_count() {
    assert_eq!(body("require(\"web\");"), ["E102 2:1+7 `require` takes 2 or 3 arguments, not 1"]);
    assert_eq!(
        lines("fn f(a, b) { a } fn check() { f(1); let p = file(\"/x\"); p.but(true); }\nfn test_x() {}"),
        ["E102 1:31+1 `f` takes 2 arguments, not 1", "E102 1:59+3 `but` takes 2 arguments, not 1"]
    );
}

#[test]
fn e103_undefined_variables_all_at_once() {
    assert_eq!(
        lines("const ARBITER = \"10.0.0.1\";\nfn check() { ping(ARBITTER); nod.addr; let x = y; }\nfn test_x() {}"),
        [
            "E103 2:19+8 undefined variable `ARBITTER` (did you mean `ARBITER`?)",
            "E103 2:30+3 undefined variable `nod` (did you mean `node`?)",
            "E103 2:48+1 undefined variable `y`",
        ]
    );
    assert_eq!(
        lines("const X = node.addr; fn check() {} fn test_x() {}"),
        ["E103 1:11+4 `node` is known inside functions only (constants are computed once, when the policy is loaded)"]
    );
}

#[test]
fn e112_a_secret_in_the_text_is_none() {
    let e112 =
        |source: &str| -> Vec<String> { lines(source).into_iter().filter(|line| line.starts_with("E112")).collect() };
    let hint = |option: &str| format!("(keep it in a file of its own, and name it: {option}: secret(\"NAME\"))");
    let said =
        |option: &str| format!("`{option}` stands in the text of the policy, where it is no secret {}", hint(option));
    assert_eq!(
        e112(
            "const T = \"x\";\nfn check() {\n  http(\"http://[::1]/\", #{ bearer: \"abc\", basic: #{ user: \"u\", password: T } });\n}"
        ),
        [format!("E112 3:36+5 {}", said("bearer")), format!("E112 3:74+1 {}", said("password"))]
    );
    for fine in ["secret(\"abc\")", "\"\"", "secret(T)", "S"] {
        let source = format!(
            "const T = \"abc\"; const S = secret(T); fn check() {{ http(\"http://[::1]/\", #{{ bearer: {fine} }}); }}"
        );
        assert!(e112(&source).is_empty(), "{fine}");
    }
    assert!(e112("fn login(o) { o } fn check() { login(#{ password: \"abc\" }); }").is_empty(), "not the language's");
}

#[test]
fn e104_unknown_options() {
    assert_eq!(
        body("require(\"web\", http(\"http://127.0.0.1/\", #{ timout: 2.s }), #{ fal: 3, weight: 3 });"),
        [
            "E104 2:45+6 unknown option `timout` of http (did you mean `timeout`?)",
            "E104 2:64+3 unknown option `fal` of require (did you mean `fall`?)",
            "E104 2:72+6 unknown option `weight` of require (require has fall, rise, fall_for, rise_for, min_up, min_down, backoff, latch, linger, blind_for, alert, tags, external)",
        ]
    );
}

#[test]
fn e107_names_of_the_language() {
    assert_eq!(
        lines("fn check() {}\n  fn ping(host) { true }\nfn test_x() {}"),
        ["E107 2:6+4 `ping` is a function of the policy language and cannot be redefined (give yours another name)"]
    );
}

#[test]
fn e109_two_rules_of_one_name() {
    assert_eq!(
        body("require(\"web\", true);\nwatch(\"web\", true);"),
        ["E109 3:7+5 a second rule \"web\"; the first is in line 2 (every rule has its own name)"]
    );
    assert!(body("if node.is_master { watch(\"web\", true); } else { watch(\"web\", false); }").is_empty());
}

#[test]
fn e113_schedules() {
    let schedule = |constants: &str| lines(&format!("{constants} fn check() {{}} fn test_x() {{}}"));
    assert_eq!(schedule("const INTERVAL = \"10ms\";"), ["E113 1:7+8 INTERVAL: 10ms is too short; 50ms is the least"]);
    assert_eq!(
        schedule("const INTERVAL = \"1s\"; const FAST = 2.s;"),
        ["E113 1:30+4 FAST: 2s is not faster than INTERVAL, 1s"]
    );
    assert!(schedule("const DEADLINE = \"soon\";").concat().contains("DEADLINE: \"soon\" is not a duration"));
    assert!(schedule("const INTERVAL = 0.5; const FAST = 100.ms; const DEADLINE = \"1m\";").is_empty());
}

#[test]
fn several_errors_at_once_in_the_order_of_the_text() {
    let codes: Vec<&str> =
        lint("let x = 1;\nfn check() { pong(a); ping(); }\nfn watch(a) {}").iter().map(|p| p.code).collect();
    assert_eq!(codes, ["E105", "E101", "E103", "E102", "E107"]);
}

#[test]
fn w202_weight() {
    assert_eq!(body("prefer(\"x\", true, #{ weight: 253 });").len(), 1);
    assert!(body("prefer(\"x\", true, #{ weight: 50 });").is_empty());
}

#[test]
fn w203_timeouts() {
    assert_eq!(
        body("watch(\"x\", ping(\"127.0.0.1\", #{ timeout: \"3s\" }));"),
        [
            "W203 2:42+4 a timeout of 3s is not less than INTERVAL · fall, 3s (a hung probe is noticed late: shorten the timeout)"
        ]
    );
    assert!(body("watch(\"x\", ping(\"127.0.0.1\", #{ timeout: \"3s\" }), #{ fall: 4 });").is_empty());
    let deadline = "const DEADLINE = 1.s; fn check() { watch(\"x\", file(\"/x\", #{ timeout: 2 })); } fn test_x() {}";
    assert!(lines(deadline).concat().contains("is not less than DEADLINE, 1s"));
}

#[test]
fn w204_a_single_ping() {
    assert_eq!(
        body("require(\"gateway\", ping(\"127.0.0.1\"));"),
        ["W204 2:20+4 one ping per check: 2 % packet loss gives a false alarm about every 35 h (count: 3 avoids it)"]
    );
    for fine in [
        "ping(\"127.0.0.1\", #{ count: 3 })",
        "any([ping(\"127.0.0.1\"), ping(\"127.0.0.2\")])",
        "tcp(\"127.0.0.1:1\")",
    ] {
        assert_eq!(body(&format!("require(\"gateway\", {fine});")), Vec::<String>::new());
    }
    assert!(body("watch(\"gateway\", ping(\"127.0.0.1\"));").is_empty());
    assert_eq!(body("let p = ping(\"127.0.0.1\");\nrequire(\"gateway\", p);").len(), 1, "also through a variable");
}

#[test]
fn w205_names() {
    assert_eq!(
        body("watch(\"x\", http(\"https://www.example.org:8443/health?a=b\"));"),
        ["W205 2:17+41 `www.example.org` is a name: the resolver becomes part of what is judged (write its address)"]
    );
    for fine in [
        "http(\"http://[fd00::1]:80/\")",
        "http(\"http://localhost/\")",
        "tcp(\"10.0.0.1:25\")",
        "http(`http://${node.addr}/`)",
    ] {
        assert_eq!(body(&format!("watch(\"x\", {fine});")), Vec::<String>::new());
    }
    assert!(
        lines("const HOST = \"gw\"; fn check() { watch(\"x\", ping(HOST)); } fn test_x() {}").concat().contains("W205")
    );
    assert!(body("watch(\"x\", udp(\"radius:1812\", #{ send: \"?\" }));").concat().contains("W205 2:16+13 `radius`"));
    assert!(body("watch(\"x\", unix_socket(\"/run/x.sock\"));").is_empty());
}

#[test]
fn w205_and_w207_look_at_the_server_of_a_question() {
    let asking = |server: &str| body(&format!("require(\"dns\", dns(\"www.example.org\"{server}));"));
    assert!(asking("").is_empty(), "the system's own server is not known here");
    assert!(asking(", #{ server: \"127.0.0.1\" }").is_empty());
    assert!(asking(", #{ server: \"192.168.0.53:5353\" }").concat().contains("W207"));
    let named = asking(", #{ server: \"ns.example.org\" }").concat();
    assert!(named.contains("`ns.example.org` is a name") && named.contains("W207"), "{named}");
}

#[test]
fn w206_insecure() {
    let warnings = body("watch(\"x\", tcp(\"127.0.0.1:993\", #{ tls: true, insecure: true }));");
    assert!(warnings.concat().starts_with("W206"), "{warnings:?}");
    let warnings = body("watch(\"x\", http(\"https://127.0.0.1/\", #{ insecure: true }));");
    assert!(warnings.concat().starts_with("W206 2:52+4"), "{warnings:?}");
}

#[test]
fn w207_a_common_cause() {
    let with =
        |options: &str| body(&format!("require(\"arbiter\", ping(\"192.168.0.22\", #{{ count: 3 }}){options});"));
    assert_eq!(
        with(""),
        [
            "W207 2:9+9 both nodes ask the same target: if it fails, both give up the address (say `external: true` (the last one keeps it), or use prefer)"
        ]
    );
    assert!(with(", #{ external: true }").is_empty());
    assert!(with(", #{ external: false }").concat().contains("W207"));
    assert!(body("require(\"web\", http(\"http://127.0.0.1/\"));").is_empty());
    assert!(body("require(\"radius\", udp(\"192.168.0.22:1812\", #{ send: \"?\" }));").concat().contains("W207"));
    assert!(body("require(\"web\", unix_socket(\"/run/x.sock\"));").is_empty());
    assert!(body("prefer(\"gw\", ping(\"192.168.0.1\"), #{ weight: 30 });").is_empty());
}

#[test]
fn w208_no_test() {
    assert!(lines("fn check() {}").concat().starts_with("W208 0:0+1 the policy has no test"));
}

#[test]
fn w210_one_failure() {
    assert_eq!(
        body("require(\"cable\", file(\"/x\"), #{ fall: 1 });"),
        ["W210 2:39+1 one failure is enough: a single hiccup moves the address (fall: 3 tolerates two)"]
    );
}

#[test]
fn what_is_known_without_running() {
    let source = "const INTERVAL = 2.s;\nconst FAST = \"200ms\";\nfn check() {\n  require(\"web\", http(\"http://127.0.0.1/\", #{ timeout: \"9s\" }), #{ fall: 5, external: true });\n  watch(\"b\", true);\n}\nfn test_b() {}\nfn test_a() {}\n";
    let policy = Policy::load(&Engine::new(), "check", "check.rhai", source).unwrap();
    assert_eq!(
        (policy.interval().as_secs(), policy.fast().unwrap().as_millis(), policy.deadline().as_secs()),
        (2, 200, 9)
    );
    assert_eq!(policy.tests(), ["test_b", "test_a"]);
    assert_eq!(policy.sha256().len(), 64);
    let rules: Vec<_> =
        policy.rules_named().iter().map(|rule| (rule.name.as_str(), rule.function, rule.line)).collect();
    assert_eq!(rules, [("web", "require", 4), ("b", "watch", 5)]);
    let options = policy.rules_named().first().unwrap().options.clone();
    assert_eq!(options, [("fall".to_owned(), "5".to_owned()), ("external".to_owned(), "true".to_owned())]);
}

#[test]
fn problems_are_shown_with_the_line_and_a_caret() {
    let source = "// a policy\nfn check() {\n    requier(\"wéb\", true);\n}\n";
    let problems = lint(source);
    let shown = problems.first().unwrap().render(source);
    assert_eq!(
        shown,
        "error[E101]: unknown function `requier`\n --> check.rhai:3:5\n  |\n3 |     requier(\"wéb\", true);\n  |     ^^^^^^^ did you mean `require`?"
    );
    let whole = lint("fn f() {}");
    let shown = whole.first().unwrap().render("fn f() {}");
    assert!(shown.starts_with("error[E114]: there is no `fn check()`\n--> check.rhai\n"), "{shown}");
    assert!(shown.contains("this looks like a module"), "{shown}");
    assert!(whole.first().unwrap().line().starts_with("check.rhai: E114 there is no"));
}
