//! A policy file as `ha check` and `ha test` look at it: who may write it, what lint says, whether its tests pass.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::output;
use crate::{
    daemon::policies::{
        DriverClock,
        closure::{self, Closure},
    },
    policy::{Cap, Engine, Policy, Problem, Severity, Surroundings, TestFailure, TestReport, run_tests, try_out},
    probe::Trust,
};

/// What all tests of one policy may take here; the daemon gives them less.
const TESTS_TIME: Duration = Duration::from_secs(60);

/// A file that was looked at.
#[derive(Debug)]
pub(super) struct PolicyFile {
    /// As it was named.
    pub path: PathBuf,
    /// The policy's name.
    pub name: String,
    /// What was read; or why nothing.
    pub source: Result<Closure, String>,
    /// Errors and warnings, of lint and of who may write it.
    pub problems: Vec<Problem>,
    /// Ready to be evaluated, if there is no error in the text.
    pub policy: Option<Policy>,
    /// What its own tests came to, if it is.
    pub tests: Option<TestReport>,
}

impl PolicyFile {
    /// Looks at `NAME.rhai`.
    pub(super) fn examine(engine: &Engine, path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let name = absolute.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let directory = absolute.parent().unwrap_or(Path::new("/"));
        let mut file = Self {
            path: path.to_owned(),
            source: closure::read(
                engine,
                directory,
                path.parent().unwrap_or(Path::new("")),
                &name,
                &Trust::of_this_process(),
            )
            .map_err(|why| why.to_string()),
            name,
            problems: Vec::new(),
            policy: None,
            tests: None,
        };
        file.compile(engine);
        file
    }

    fn compile(&mut self, engine: &Engine) {
        let Ok(source) = &self.source else { return };
        let shown = self.path.display().to_string();
        if let Some(objection) = &source.objection {
            self.problems.push(distrust(&shown, objection));
        }
        match Policy::from_sources(engine, &self.name, &source.sources) {
            Ok(policy) => {
                self.problems.extend_from_slice(policy.warnings());
                let cap = Cap { clock: Arc::new(DriverClock::default()), time: TESTS_TIME };
                let tests = run_tests(engine, &policy, Some(cap));
                self.problems.extend(tests.failures.iter().map(|failure| failed(&shown, &source.main.text, failure)));
                self.problems.extend(try_out(engine, &policy, &source.sources));
                self.tests = Some(tests);
                self.policy = Some(policy);
            }
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// What lint says now that it is known which nodes the policy judges.
    pub(super) fn inform(&mut self, engine: &Engine, around: &[Surroundings]) {
        let (Ok(source), Some(policy)) = (&self.source, &self.policy) else { return };
        self.problems.retain(|problem| !policy.warnings().contains(problem));
        self.problems.extend(policy.warnings_around(engine, &source.sources, around));
    }

    /// The hosts that its rules require, if it can be evaluated.
    pub(super) fn required_hosts(&self, engine: &Engine) -> BTreeSet<String> {
        match (&self.source, &self.policy) {
            (Ok(source), Some(policy)) => policy.required_hosts(engine, &source.sources),
            (Ok(_), None) | (Err(_), _) => BTreeSet::new(),
        }
    }

    /// The daemon would not load it.
    pub(super) fn is_refused(&self) -> bool {
        self.policy.is_none() || self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Problems of one kind, with the line of the source, indented.
    pub(super) fn rendered(&self, severity: Severity) -> String {
        let text = |problem: &Problem| self.source.as_ref().map_or("", |source| source.sources.text_of(&problem.file));
        let problems = self.problems.iter().filter(|problem| problem.severity == severity);
        problems.map(|problem| output::indented(&problem.render(text(problem)), 4)).collect()
    }
}

/// The whole line: which part of it failed is not known.
fn failed(file: &str, source: &str, failure: &TestFailure) -> Problem {
    let line = failure.line.checked_sub(1).and_then(|line| source.lines().nth(line)).unwrap_or_default();
    let indent = line.chars().take_while(|c| c.is_whitespace()).count();
    Problem {
        severity: Severity::Error,
        code: "E111",
        file: file.to_owned(),
        line: failure.line,
        column: indent + 1,
        length: line.trim().chars().count().max(1),
        message: format!("its test {} fails", failure.name),
        hint: Some(failure.message.clone()),
    }
}

/// Only root can tell whether root will trust the file: for everybody else it is a warning.
fn distrust(file: &str, objection: &str) -> Problem {
    let root = rustix::process::geteuid().is_root();
    Problem {
        severity: if root { Severity::Error } else { Severity::Warning },
        code: "E110",
        file: file.to_owned(),
        line: 0,
        column: 0,
        length: 1,
        message: objection.to_owned(),
        hint: None,
    }
}
