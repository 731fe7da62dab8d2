//! The expression as the smallest policy around it.

use crate::policy::{Called, Engine, Policy, Problem, Severity};

/// Lines of the policy before those of the expression.
const BEFORE: usize = 1;
/// The rule that it becomes.
pub(super) const RULE: &str = "it";
/// What messages call the text.
const FILE: &str = "expression";

/// An expression that is ready.
#[derive(Debug)]
pub(super) struct Expression {
    text: String,
    policy: Policy,
    calls: Vec<Called>,
}

impl Expression {
    /// Compiles and lints it.
    ///
    /// # Errors
    ///
    /// What is wrong, with the place in the expression.
    pub(super) fn compile(engine: &Engine, text: &str) -> Result<Self, String> {
        let text = text.trim().trim_end_matches(';').to_owned();
        if text.is_empty() {
            return Err(
                "there is no expression; write a probe as a policy does: http(\"http://192.168.0.20/\")".to_owned()
            );
        }
        let source = format!("fn check() {{ watch(\"{RULE}\",\n{text}\n); }}\n");
        match Policy::load(engine, FILE, FILE, &source) {
            Ok(policy) => Ok(Self { calls: Policy::calls(engine, &source), text, policy }),
            Err(problems) => {
                let errors = problems.into_iter().filter(|problem| problem.severity == Severity::Error);
                Err(errors.map(|problem| inside(problem, &text).render(&text)).collect::<Vec<_>>().join("\n"))
            }
        }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The call that starts a probe of this kind: the first one that is written.
    pub(super) fn call(&self, function: &str) -> Option<&Called> {
        self.calls.iter().find(|call| call.function.name == function)
    }

    /// An error of an evaluation, with the place in the expression.
    pub(super) fn explain(&self, error: &str) -> String {
        let inner = || {
            let (line, rest) = error.strip_prefix(FILE)?.strip_prefix(':')?.split_once(':')?;
            let line = line.parse::<usize>().ok()?.saturating_sub(BEFORE);
            if line == 0 {
                // The rule around it complains: of the expression as a whole.
                return rest.split_once(": ").map(|(_, why)| why.replacen("watch takes", "`ha probe` takes", 1));
            }
            Some(format!("{FILE}:{line}:{rest}"))
        };
        inner().unwrap_or_else(|| error.to_owned())
    }
}

/// The problem where the expression has it; one behind its end is at its end.
fn inside(problem: Problem, text: &str) -> Problem {
    let last = text.lines().count().max(1);
    let line = problem.line.saturating_sub(BEFORE);
    if line > last {
        let column = text.lines().last().unwrap_or_default().chars().count() + 1;
        return Problem { line: last, column, length: 1, ..problem };
    }
    Problem { line, ..problem }
}
