//! The policy language as it is published: every example runs, and the reference is the one of the program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use ha::policy::{
    Engine, Policy, Severity,
    language::{self, Function, Group},
    run_tests,
};

use crate::{cli::Desk, sources};

/// What an example of a test is a test of.
const SUBJECT: &str = r#"fn check() {
    require("web", http(`http://${node.addr}/`));
    require("arbiter", ping("192.168.0.22", #{ count: 3 }), #{ external: true });
}
fn may_take_over(ev) { true }
"#;

/// A hook for the examples that fire one.
const HOOK: &str = "fn on_master(ev) {}\n";

/// The example, where such a thing stands.
fn policy_with(function: &Function) -> String {
    let example = function.example;
    match function.group {
        Group::Probe | Group::Condition | Group::Rule | Group::Helper | Group::Verdict | Group::General => format!(
            "fn check() {{\n{example}\n}}\nfn test_it() {{\n    tick();\n    \
             assert(!verdict().reason.contains(\"could not be evaluated\"), verdict().reason);\n}}\n"
        ),
        Group::Action => {
            format!("{SUBJECT}fn on_master(ev) {{\n{example}\n}}\nfn test_it() {{ fire(\"on_master\"); }}\n")
        }
        Group::Test => format!("{SUBJECT}{HOOK}fn test_it() {{\n{example}\n}}\n"),
    }
}

#[test]
fn every_example_of_the_language_loads_and_runs() {
    let engine = Engine::new();
    for function in language::functions() {
        let source = policy_with(function);
        let name = function.name;
        let policy = Policy::load(&engine, "example", "example.rhai", &source);
        let policy = policy.unwrap_or_else(|problems| {
            let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
            panic!("{name}: {:#?}\n{source}", errors.map(|problem| problem.render(&source)).collect::<Vec<_>>())
        });
        let report = run_tests(&engine, &policy, None);
        assert!(report.failures.is_empty() && report.passed == 1, "{name}: {:?}\n{source}", report.failures);
        assert!(source.contains(&format!("{name}(")), "{name} is not in its own example");
    }
}

#[test]
fn the_published_reference_is_the_one_of_the_program() {
    let said = Desk::new().ha(&["api", "--doc"]).out;
    let path = sources::root().join("config/policy-reference.md");
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        std::fs::write(&path, &said).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).is_ok_and(|text| text == said),
        "config/policy-reference.md is not what `ha api --doc` prints: write it anew with INSTA_UPDATE=always"
    );
    for function in language::functions() {
        assert!(said.contains(&format!("### `{}`", function.name)), "{}", function.name);
    }
    assert!(said.contains("| `web::nginx(url, opts)`, `web::nginx(url)` | nginx: its unit is active"), "the library");
    assert!(
        said.contains("| `backoff.base` | duration | `\"5s\"` | After the first fall. |"),
        "options within options"
    );
}

#[test]
fn editors_are_told_every_form_of_every_function() {
    let said = Desk::new().ha(&["api"]).out;
    assert!(said.contains("\nmodule static;\n"), "{said}");
    for function in language::functions() {
        let lines = said.lines().filter(|line| line.starts_with(&format!("fn {}(", function.name)));
        assert_eq!(lines.count(), function.forms.len(), "{}", function.name);
    }
    assert!(said.contains("fn http(url: String, options: Map) -> probe;"), "{said}");
    assert!(said.contains("/// One HTTP request."), "{said}");
}
