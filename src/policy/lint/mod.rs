//! What is wrong, or not wise, in the text of a policy: found without running it.

mod actions;
mod calls;
mod codes;
mod errors;
mod imports;
mod outline;
mod roles;
mod surroundings;
mod warnings;

pub(super) use actions::{acts, evaluated};
pub use calls::Called;
pub(super) use calls::calls;
pub use codes::{CODES, Code};
pub use surroundings::Surroundings;

pub(super) use outline::{Call, Import, Literal, Outline, Place, Qualified, place};
pub(super) use warnings::Known;

use super::{Engine, Problem, Severity, probe, text};

/// What a file is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The policy itself.
    Policy,
    /// A module that it imports.
    Module,
}

/// Looks at one file.
pub(super) struct Linter<'a> {
    engine: &'a Engine,
    file: &'a str,
    source: &'a str,
}

/// The functions that make rules.
pub(super) fn rule_function(name: &str) -> Option<&'static str> {
    ["require", "prefer", "watch", "gate"].into_iter().find(|function| *function == name)
}

/// The functions that start probes.
fn is_probe(name: &str) -> bool {
    probe::kind(name).is_some()
}

/// How many problems of one file are told.
const MOST_PROBLEMS: usize = 100;

/// In the order of the text, each once, and not more than anybody reads.
pub(super) fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (a.line, a.column, a.code).cmp(&(b.line, b.column, b.code)));
    problems.dedup();
    problems.truncate(MOST_PROBLEMS);
    problems
}

impl<'a> Linter<'a> {
    pub(super) const fn new(engine: &'a Engine, file: &'a str, source: &'a str) -> Self {
        Self { engine, file, source }
    }

    fn error(&self, code: &'static str, place: Place, message: String, hint: Option<String>) -> Problem {
        self.problem(Severity::Error, code, place, message, hint)
    }

    fn warning(&self, code: &'static str, place: Place, message: String, hint: &str) -> Problem {
        self.problem(Severity::Warning, code, place, message, Some(hint.to_owned()))
    }

    fn problem(
        &self,
        severity: Severity,
        code: &'static str,
        place: Place,
        message: String,
        hint: Option<String>,
    ) -> Problem {
        Problem {
            severity,
            code,
            file: self.file.to_owned(),
            line: place.line,
            column: place.column,
            length: self.length(place),
            message: text::cut(&message),
            hint,
        }
    }

    /// How long the word or the text at this place is.
    pub(super) fn length(&self, place: Place) -> usize {
        let line = place.line.checked_sub(1).and_then(|line| self.source.lines().nth(line)).unwrap_or_default();
        let mut rest = line.chars().skip(place.column.saturating_sub(1)).peekable();
        let word = |c: &char| c.is_alphanumeric() || *c == '_';
        match rest.peek() {
            Some(quote @ ('"' | '`')) => {
                let quote = *quote;
                rest.skip(1).position(|c| c == quote).map_or(1, |inside| inside + 2)
            }
            Some(first) if word(first) => rest.take_while(word).count(),
            Some(_) | None => 1,
        }
    }

    /// Where a word stands in the text as a word of its own, after `before`.
    fn find(&self, before: &str, word: &str) -> Place {
        for (index, line) in self.source.lines().enumerate() {
            let found = line.match_indices(before).find_map(|(at, _)| {
                let rest = line.get(at + before.len()..)?;
                let name = rest.trim_start();
                let is_it = name.strip_prefix(word)?.chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
                is_it.then(|| {
                    line.get(..at).unwrap_or_default().chars().count() + before.chars().count() + rest.chars().count()
                        - name.chars().count()
                })
            });
            if let Some(before) = found {
                return Place { line: index + 1, column: before + 1 };
            }
        }
        Place::default()
    }
}
