//! Policies, told as stories: fake probes, a clock that is moved by hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use ha::policy::{Engine, Policy, run_tests};

#[test]
fn the_founding_policy_is_clean_and_its_tests_pass() {
    let engine = Engine::new();
    let source = include_str!("../../scripts/check_local.rhai");
    let policy = Policy::load(&engine, "check_local", "check_local.rhai", source)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| p.render(source)).collect::<String>()));
    assert_eq!(policy.warnings(), [], "{}", policy.warnings().iter().map(|p| p.render(source)).collect::<String>());
    let report = run_tests(&engine, &policy, None);
    assert_eq!(report.failures, []);
    assert_eq!(report.passed, 5);
    println!("{report:?}");
}
