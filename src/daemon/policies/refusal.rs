//! Why a file does not become the running version of its policy.

use super::{archive::Rejected, closure::Closure};
use crate::policy::{Problem, Severity, TestReport};

/// Why a file does not become the running version.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// One line.
    pub(super) brief: String,
    /// Everything, with the lines of the source.
    pub(super) full: String,
    /// The texts that were refused, if it was the texts.
    pub(super) sha256: Option<String>,
    /// They are not tried again, even when asked.
    pub(super) is_final: bool,
}

impl Refusal {
    pub(super) fn file(why: String) -> Self {
        Self { brief: why.clone(), full: why, sha256: None, is_final: false }
    }

    pub(super) fn problems(problems: &[Problem], closure: &Closure) -> Self {
        let errors = || problems.iter().filter(|problem| problem.severity == Severity::Error);
        let brief = errors().next().map_or_else(String::new, |first| {
            format!("{}:{}:{} {} {}", first.file, first.line, first.column, first.code, first.message)
        });
        let rendered: Vec<String> =
            errors().map(|problem| problem.render(closure.sources.text_of(&problem.file))).collect();
        Self { brief, full: rendered.join("\n"), sha256: Some(closure.sha256.clone()), is_final: false }
    }

    /// Its own tests; `None` if they pass.
    pub(super) fn tests(report: &TestReport, closure: &Closure) -> Option<Self> {
        let file = &closure.sources.main().file;
        let mut lines = report.failures.iter().map(|failure| {
            format!("{file}:{} E111 its test {} fails: {}", failure.line, failure.name, failure.message)
        });
        let brief = lines.next()?;
        let full = lines.fold(format!("{brief}\n"), |text, line| format!("{text}{line}\n"));
        Some(Self { brief, full, sha256: Some(closure.sha256.clone()), is_final: false })
    }

    /// It is good, but something that is loaded together with it is not. Tried again with every look.
    pub(super) fn together(culprit: &str, why: &Self) -> Self {
        Self::file(format!("a module of it has changed, and policy {culprit} does not go with that: {}", why.brief))
    }

    /// It ran, and was taken back.
    pub(super) fn rejected(rejected: &Rejected) -> Self {
        let Rejected { sha256, why } = rejected.clone();
        Self { brief: why.clone(), full: why, sha256: Some(sha256), is_final: true }
    }
}
