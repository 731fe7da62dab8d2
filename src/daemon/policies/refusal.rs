//! Why a file does not become the running version of its policy.

use super::source::Source;
use crate::policy::{Problem, Severity};

/// Why a file does not become the running version.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// One line.
    pub(super) brief: String,
    /// Everything, with the lines of the source.
    pub(super) full: String,
    /// The text that was refused, if it was the text.
    pub(super) sha256: Option<String>,
}

impl Refusal {
    pub(super) fn file(why: String) -> Self {
        Self { brief: why.clone(), full: why, sha256: None }
    }

    pub(super) fn problems(problems: &[Problem], source: &Source) -> Self {
        let errors = || problems.iter().filter(|problem| problem.severity == Severity::Error);
        let brief = errors().next().map_or_else(String::new, |first| {
            format!("{}:{}:{} {} {}", first.file, first.line, first.column, first.code, first.message)
        });
        let rendered: Vec<String> = errors().map(|problem| problem.render(&source.text)).collect();
        Self { brief, full: rendered.join("\n"), sha256: Some(source.sha256.clone()) }
    }
}
