//! Ending what holds a rule down, as it travels.

use serde::{Deserialize, Serialize};

/// The name and version of [`Cleared`] as JSON.
pub const CLEAR_SCHEMA: &str = "ha.clear/1";

/// Which rule is to be held no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clear {
    /// Its name.
    pub rule: String,
    /// Only in this instance.
    pub instance: Option<String>,
    /// Only of this policy.
    pub policy: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleared {
    /// [`CLEAR_SCHEMA`].
    pub schema: String,
    /// Rules that are held no more, a sentence each.
    pub cleared: Vec<String>,
    /// Why there are none.
    pub error: Option<String>,
}

impl Cleared {
    /// What was cleared, or why nothing was.
    #[must_use]
    pub fn new(result: Result<Vec<String>, String>) -> Self {
        let schema = CLEAR_SCHEMA.to_owned();
        match result {
            Ok(cleared) => Self { schema, cleared, error: None },
            Err(error) => Self { schema, cleared: Vec::new(), error: Some(error) },
        }
    }
}

impl Clear {
    /// As the pairs of a query.
    pub(in crate::control) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs = vec![("rule", self.rule.as_str())];
        pairs.extend(self.instance.as_deref().map(|instance| ("instance", instance)));
        pairs.extend(self.policy.as_deref().map(|policy| ("policy", policy)));
        pairs
    }

    /// From the pairs of a query.
    ///
    /// # Errors
    /// What is missing, or not known.
    pub(in crate::control) fn from_pairs(pairs: Vec<(String, String)>) -> Result<Self, String> {
        let mut clear = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "rule" => clear.rule = value,
                "instance" => clear.instance = Some(value),
                "policy" => clear.policy = Some(value),
                _ => return Err(format!("/v1/clear takes rule, instance and policy, not {name}")),
            }
        }
        if clear.rule.is_empty() { Err("/v1/clear needs a rule".to_owned()) } else { Ok(clear) }
    }
}
