//! One compiled version of a policy.

use std::time::Duration;

use super::{Engine, Problem};

/// One compiled and linted version of a policy file: immutable.
#[derive(Debug)]
pub struct Policy {
    name: String,
}

/// A rule as the text of a policy names it, without evaluating anything.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRule {
    /// Its literal name.
    pub name: String,
    /// `require`, `prefer`, `watch` or `gate`.
    pub function: &'static str,
    /// Line of the call, from 1.
    pub line: usize,
    /// The options whose values are literals, as written there.
    pub options: Vec<(String, String)>,
}

impl Policy {
    /// Compiles and lints. `name` is the policy's, `file` is what problems call the file.
    ///
    /// # Errors
    ///
    /// Every error found, and every warning with them.
    pub fn load(engine: &Engine, name: &str, file: &str, source: &str) -> Result<Self, Vec<Problem>> {
        engine.rhai().compile(source).map_err(|error| vec![Problem::syntax(file, &error.to_string())])?;
        Ok(Self { name: name.to_owned() })
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity of the text: SHA-256 in lower-case hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        ""
    }

    /// `INTERVAL`: how often it is evaluated; 1 s unless told.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// `FAST`: how often while a rule is between up and down; `None`: as always.
    #[must_use]
    pub const fn fast(&self) -> Option<Duration> {
        None
    }

    /// `DEADLINE`: how long one evaluation may take; the longer of 5 s and its longest timeout unless told.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// What lint has to say.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &[]
    }

    /// The names of its tests, in the order of the file.
    #[must_use]
    pub fn tests(&self) -> Vec<String> {
        Vec::new()
    }

    /// The rules with literal names, in the order of the file.
    #[must_use]
    pub fn rules_named(&self) -> &[NamedRule] {
        &[]
    }
}
