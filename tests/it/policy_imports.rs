//! Modules: what a policy imports, what their functions see, and what is said when something is wrong with one.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use ha::{
    policy::{
        Clock, Context, Engine, Judge, NodeFacts, PeerFacts, Policy, Problem, Report, Sources, TestReport, Text,
        WallTime,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
        run_tests,
    },
    words::Instant,
};

/// Every probe is ok.
struct Fine;

impl Prober for Fine {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, receiver) = mpsc::channel();
        let fine = ProbeOutcome {
            ok: true,
            why: "fine".into(),
            error: ErrorKind::None,
            blind: false,
            elapsed: Duration::ZERO,
            fields: BTreeMap::new(),
        };
        sender.send(fine).unwrap();
        receiver
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        Instant::from_epoch(Duration::from_secs(1000))
    }

    fn wall(&self) -> WallTime {
        WallTime { unix_s: 1_767_614_400, utc_offset_s: 0 }
    }
}

/// By whatever way check() comes to it.
#[test]
fn an_action_in_a_function_of_a_module_is_found() {
    let act = "fn act() { service_restart(\"web\"); }\nfn look() { watch(\"a\", true); }\nfn later() { heal(\"a\", || act()); }";
    let by = "import \"lib/act\" as other;\nfn through() { inner() }\nprivate fn inner() { other::act() }";
    let modules = [("lib/act", act), ("lib/by", by)];
    let said = |body: &str| -> Vec<String> {
        let main = format!("import \"lib/act\" as a;\nimport \"lib/by\" as b;\n{body}\nfn test_x() {{}}");
        let problems = load(&main, &modules).err().unwrap_or_default();
        problems
            .iter()
            .map(|problem| format!("{}:{} {} {}", problem.file, problem.line, problem.code, problem.message))
            .collect()
    };
    let message = |name: &str| {
        format!("p.rhai:3 E106 `{name}` comes to `service_restart`, which changes something, and check() only observes")
    };
    assert_eq!(said("fn check() { a::act(); }"), [message("a::act")]);
    assert_eq!(said("fn check() { b::through(); }"), [message("b::through")]);
    assert_eq!(said("fn check() {}\nfn may_take_over() { b::through(); true }").len(), 1);
    for fine in [
        "fn check() { a::look(); a::later(); }",
        "fn check() { watch(\"a\", true); heal(\"a\", || a::act()); }",
        "fn check() {}\nfn on_fault(ev) { a::act(); b::through(); }",
    ] {
        assert!(said(fine).is_empty(), "{fine}: {:?}", said(fine));
    }
}

fn sources(main: &str, modules: &[(&str, &str)]) -> Sources {
    let main = Text { file: "p.rhai".into(), text: main.into() };
    Sources::gather(&Engine::new(), main, |name| {
        let found = modules.iter().find(|(known, _)| *known == name);
        let text = found.map(|(_, text)| Text { file: format!("{name}.rhai"), text: (*text).into() });
        text.ok_or_else(|| format!("{name}.rhai does not exist"))
    })
}

fn load(main: &str, modules: &[(&str, &str)]) -> Result<Policy, Vec<Problem>> {
    Policy::from_sources(&Engine::new(), "p", &sources(main, modules))
}

fn good(main: &str, modules: &[(&str, &str)]) -> Policy {
    load(main, modules).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn lines(main: &str, modules: &[(&str, &str)]) -> Vec<String> {
    load(main, modules).unwrap_err().iter().map(Problem::line).collect()
}

fn evaluate(policy: &Policy) -> Report {
    let context = Context {
        node: NodeFacts::default(),
        peers: vec![PeerFacts::default()],
        ask_may_take_over: false,
        forced: BTreeMap::new(),
    };
    let prober: Arc<dyn Prober> = Arc::new(Fine);
    let clock: Arc<dyn Clock> = Arc::new(Still);
    Judge::new().evaluate(&Engine::new(), policy, 1, &context, &prober, &clock)
}

fn rehearse(policy: &Policy) -> TestReport {
    run_tests(&Engine::new(), policy, None)
}

const WEB: &str = "
const WORD = \"of the module\";
import \"lib/base\" as base;
private fn hidden() { 1 }
fn helper() { WORD }
fn word() { helper() }
fn web(url) {
    require(`web of ${node.name}`, http(url));
    base::root(\"/\");
}
fn unused() { require(\"unused\", true); }
";
const BASE: &str = "fn root(path) {\n    require(\"disk\", file(path), #{ fall: 2 });\n}\n";
const LIBRARY: [(&str, &str); 2] = [("lib/web", WEB), ("lib/base", BASE)];

#[test]
fn functions_of_modules_see_the_node_and_their_own_constants() {
    let main = "
        import \"lib/web\" as web;
        const WORD = \"of the policy\";
        fn another() { \"another\" }
        fn check() {
            web::web(\"http://127.0.0.1/\");
            watch(\"words\", expect(false, WORD + \", \" + another() + \"; \" + web::word() + \"; \" + WORD + \", \" + another()));
        }";
    let report = evaluate(&good(main, &LIBRARY));
    assert_eq!(report.error, None);
    let rules: Vec<_> = report.rules.iter().map(|rule| (rule.name.as_str(), rule.file.as_deref(), rule.line)).collect();
    let expected = [("words", None, 7), ("disk", Some("lib/base.rhai"), 2), ("web of node1", Some("lib/web.rhai"), 8)];
    assert_eq!(rules, expected);
    let words = "of the policy, another; of the module; of the policy, another";
    assert_eq!(report.rules[0].why, words);
}

#[test]
fn what_can_be_known_of_rules_includes_those_of_functions_that_are_called() {
    let main = "import \"lib/base\" as b; import \"lib/web\" as w; fn check() { b::root(\"/\"); }";
    let policy = good(main, &LIBRARY);
    let named: Vec<_> = policy.rules_named().iter().map(|rule| (rule.name.as_str(), rule.file.as_deref())).collect();
    assert_eq!(named, [("disk", Some("lib/base.rhai"))]);
}

#[test]
fn tests_go_through_modules_and_those_of_a_module_are_its_own() {
    let module = "fn root(path) { require(\"disk\", file(path)); }\nfn test_of_the_module() { assert(false, \"x\"); }";
    let main = "import \"lib/a\" as a; fn check() { a::root(\"/data\"); }\n\
                fn test_falls() { fake(\"file:/data\", #{ ok: false }); tick(3); assert_verdict(\"fault\"); }";
    let policy = good(main, &[("lib/a", module)]);
    assert_eq!(policy.tests(), ["test_falls"]);
    let report = rehearse(&policy);
    assert_eq!((report.passed, report.failures, report.rules_never_down), (1, vec![], vec![]));
}

#[test]
fn what_throws_in_a_module_says_where() {
    let module = "fn f(x) {\n    let y = 1 / x;\n}";
    let main = "import \"lib/a\" as a;\nfn check() { a::f(0); }\nfn test_it() { a::f(0); }";
    let policy = good(main, &[("lib/a", module)]);
    let error = evaluate(&policy).error.unwrap();
    assert!(error.starts_with("lib/a.rhai:2:15: "), "{error}");
    let failure = rehearse(&policy).failures.remove(0);
    assert_eq!(failure.line, 3);
    assert!(failure.message.starts_with("lib/a.rhai:2: "), "{failure:?}");
    let native =
        good("import \"lib/a\" as a;\nfn check() { a::f(); }", &[("lib/a", "\nfn f() { require(\"\", true) }")]);
    let error = evaluate(&native).error.unwrap();
    assert!(error.starts_with("lib/a.rhai:2:10: a rule needs a name"), "{error}");
}

#[test]
fn e101_and_e102_look_into_modules_and_out_of_them() {
    let main = "import \"lib/web\" as web;\nfn check() { web::wep(1); web::web(); wbe::web(1); web::hidden(); }";
    assert_eq!(
        lines(main, &LIBRARY),
        [
            "p.rhai:2:19: E101 unknown function `web::wep` (did you mean `web::web`?)",
            "p.rhai:2:32: E102 `web::web` takes 1 arguments, not 0",
            "p.rhai:2:44: E101 there is no module `wbe` here (did you mean `web::web`?)",
            "p.rhai:2:57: E101 unknown function `web::hidden`",
        ]
    );
    let module = "fn f() { requier(\"x\", true); http(\"http://127.0.0.1/\", #{ timout: 1 }); nod }";
    assert_eq!(
        lines("import \"lib/a\" as a; fn check() { a::f(); }", &[("lib/a", module)]),
        [
            "lib/a.rhai:1:10: E101 unknown function `requier` (did you mean `require`?)",
            "lib/a.rhai:1:59: E104 unknown option `timout` of http (did you mean `timeout`?)",
            "lib/a.rhai:1:73: E103 undefined variable `nod` (did you mean `node`?)",
        ]
    );
}

#[test]
fn a_module_does_not_see_what_is_the_policys() {
    let main = "import \"lib/a\" as a; const MINE = 1; fn mine() {} fn check() { a::f(); a::CONSTANT; }";
    assert_eq!(
        lines(main, &[("lib/a", "const CONSTANT = 1; fn f() { mine(); MINE }")]),
        [
            "lib/a.rhai:1:30: E101 unknown function `mine` (did you mean `min`?)",
            "lib/a.rhai:1:38: E103 undefined variable `MINE`",
            "p.rhai:1:75: E103 `a::CONSTANT` cannot be seen from here (a module gives its functions only; let one of them return the value)",
        ]
    );
}

/// The engine remembers which function a name was resolved to, for all files together.
#[test]
fn e116_a_name_that_two_files_call_means_one_function() {
    let module = "fn f() { helper(1) + min(1, 2) }\nfn helper(x) { x }\nfn min(a, b) { a }";
    let main = "import \"lib/a\" as a;\nfn helper(x) { 2 * x }\nfn check() { a::f(); helper(1); min(3, 4); }";
    assert_eq!(
        lines(main, &[("lib/a", module)]),
        [
            "p.rhai:3:22: E116 `helper` is called in lib/a.rhai too, and the functions could be taken for each other \
             (give one of the two another name)",
            "p.rhai:3:33: E116 `min` is called in lib/a.rhai too, and the functions could be taken for each other \
             (give one of the two another name)",
        ]
    );
    let uncalled = "import \"lib/a\" as a; fn f() { 1 } fn check() { a::f(); f(); }";
    assert!(load(uncalled, &[("lib/a", "fn f() { 2 }")]).is_ok(), "called by its full name only");
}

#[test]
fn e108_an_import_is_plain_and_at_the_top() {
    let main = "const X = \"lib/base\";\nimport X as a;\nimport \"lib/base\";\nimport \"lib/base\" as b;\nimport \"lib/web\" as b;\n\
                fn check() { import \"lib/base\" as c; }";
    let form = "(write import \"lib/web\" as web; at the top of the file)";
    assert_eq!(
        lines(main, &LIBRARY),
        [
            format!("p.rhai:2:1: E108 the name of an imported module must be a plain text {form}"),
            format!("p.rhai:3:1: E108 an imported module needs a name here {form}"),
            "p.rhai:5:1: E108 a second module is called `b` (give one of the two another name)".to_owned(),
            format!("p.rhai:6:14: E108 `import` stands inside a function {form}"),
        ]
    );
}

#[test]
fn e115_what_is_missing_is_named_with_the_way_to_it() {
    let main = "import \"lib/a\" as a; import \"std/wep\" as w; fn check() {}";
    assert_eq!(
        lines(main, &[("lib/a", "\nimport \"lib/b\" as b;")]),
        [
            "lib/a.rhai:2:1: E115 cannot import \"lib/b\": lib/b.rhai does not exist (imported by p.rhai → lib/a.rhai)",
            "p.rhai:1:22: E115 cannot import \"std/wep\": this version of ha has no module `std/wep`; did you mean `std/web`?",
        ]
    );
}

#[test]
fn e115_a_circle_is_named_whole() {
    let main = "import \"lib/a\" as a; fn check() {}";
    let modules = [("lib/a", "import \"lib/b\" as b;"), ("lib/b", "import \"lib/a\" as a;")];
    assert_eq!(
        lines(main, &modules),
        ["lib/b.rhai:1:1: E115 modules import each other in a circle: p.rhai → lib/a.rhai → lib/b.rhai → lib/a \
             (move what both need into a module of its own)"]
    );
}

#[test]
fn lint_warns_of_what_stands_in_a_module_but_not_of_ours() {
    let module = "fn f() { require(\"gateway\", ping(\"192.168.0.1\"), #{ external: true }); }";
    let main = "import \"lib/a\" as a; import \"std/web\" as web;\n\
                fn check() { a::f(); web::nginx(`http://${node.addr}/`); } fn test_x() { tick(); }";
    let policy = good(main, &[("lib/a", module)]);
    let warnings: Vec<_> = policy.warnings().iter().map(|problem| (problem.file.as_str(), problem.code)).collect();
    assert_eq!(warnings, [("lib/a.rhai", "W204")]);
}

#[test]
fn the_longest_timeout_of_what_is_called_bounds_the_evaluation() {
    let module = "fn slow() { http(\"http://127.0.0.1/\", #{ timeout: \"20s\" }) }\nfn slower() { tcp(\"127.0.0.1:1\", #{ timeout: \"40s\" }) }";
    let policy = good("import \"lib/a\" as a; fn check() { a::slow(); }", &[("lib/a", module)]);
    assert_eq!(policy.deadline(), Duration::from_secs(20));
}

#[test]
fn a_policy_may_import_the_same_module_by_two_ways() {
    let main = "import \"lib/base\" as base; import \"lib/web\" as web; fn check() { base::root(\"/x\"); web::word(); healthy() }";
    assert_eq!(evaluate(&good(main, &LIBRARY)).error, None);
}

#[test]
fn std_web_judges_nginx_and_apache() {
    let nginx = "import \"std/web\" as web;
        fn check() { web::nginx(`http://${node.addr}/`); }
        fn test_unit_dead() {
            tick(2);
            fake(\"service:nginx\", #{ ok: false, state: \"failed\", error: \"unit nginx is failed\" });
            tick(1); assert_verdict(\"healthy\");
            tick(1); assert_verdict(\"fault\"); assert(verdict().reason.contains(\"nginx unit\"), verdict().reason);
            unfake(\"service:nginx\"); tick(2); assert_verdict(\"healthy\");
        }
        fn test_http_500() {
            fake(\"http:*\", #{ ok: false, status: 500 });
            tick(3); assert_verdict(\"fault\"); assert(verdict().reason.contains(\"nginx http\"), verdict().reason);
        }";
    let apache = "import \"std/web\" as web;
        fn check() { web::apache(\"http://127.0.0.1:8080/health\", #{ timeout: 1.s, status: 204 }); }
        fn test_either_unit() {
            fake(\"service:httpd\", #{ ok: false });
            tick(5); assert_verdict(\"healthy\");
            fake(\"service:apache2\", #{ ok: false });
            tick(2); assert_verdict(\"fault\");
        }
        fn test_http_hangs() {
            tick();
            fake(\"http:http://127.0.0.1:8080/health\", #{ ok: false, error: \"timeout\" });
            tick(2); assert_verdict(\"healthy\");
            tick(1); assert_verdict(\"fault\");
        }";
    for (policy, tests) in [(nginx, 2), (apache, 2)] {
        let policy = good(policy, &[]);
        let report = rehearse(&policy);
        assert_eq!((report.passed, report.failures), (tests, vec![]));
        assert_eq!(report.rules_never_down, Vec::<String>::new());
        assert_eq!(policy.warnings(), []);
    }
}
