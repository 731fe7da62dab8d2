//! What `ha test` found, as JSON: `ha.test/1`.

use serde::Serialize;

use super::Tested;
use crate::{
    control::protocol::millis,
    policy::{ForcedRule, Severity},
};

/// The name and version of the document.
const SCHEMA: &str = "ha.test/1";

#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    policy: &'a str,
    path: String,
    error: Option<String>,
    passed: usize,
    failures: Vec<Failure<'a>>,
    rules_never_down: &'a [String],
    probes_never_faked: &'a [String],
    /// `null` unless asked for.
    forced: Option<Vec<Forced<'a>>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    test: &'a str,
    line: usize,
    message: &'a str,
}

#[derive(Serialize)]
struct Forced<'a> {
    rule: &'a str,
    role: &'static str,
    roles: &'a [&'static str],
    fell_after_ms: Option<u64>,
    effect: &'a str,
    rose_after_ms: Option<u64>,
    latched: bool,
    objection: Option<&'a str>,
}

pub(super) fn of(tested: &[Tested]) -> Document<'_> {
    Document { schema: SCHEMA, files: tested.iter().map(File::from).collect() }
}

impl<'a> From<&'a Tested> for File<'a> {
    fn from(tested: &'a Tested) -> Self {
        let file = &tested.file;
        let tests = file.tests.as_ref();
        let failures = tests.map_or(&[][..], |tests| &tests.failures);
        let unusable = || file.policy.is_none().then(|| file.rendered(Severity::Error).trim().to_owned());
        Self {
            policy: &file.name,
            path: file.path.display().to_string(),
            error: file.source.as_ref().err().cloned().or_else(unusable),
            passed: tests.map_or(0, |tests| tests.passed),
            failures: failures
                .iter()
                .map(|failure| Failure { test: &failure.name, line: failure.line, message: &failure.message })
                .collect(),
            rules_never_down: tests.map_or(&[], |tests| &tests.rules_never_down),
            probes_never_faked: tests.map_or(&[], |tests| &tests.probes_never_faked),
            forced: tested.forced.as_ref().map(|forced| forced.iter().map(Forced::from).collect()),
        }
    }
}

impl<'a> From<&'a ForcedRule> for Forced<'a> {
    fn from(rule: &'a ForcedRule) -> Self {
        Self {
            rule: &rule.rule,
            role: rule.role,
            roles: &rule.roles,
            fell_after_ms: rule.fell_after.map(millis),
            effect: &rule.effect,
            rose_after_ms: rule.rose_after.map(millis),
            latched: rule.is_latched,
            objection: rule.objection.as_deref(),
        }
    }
}
