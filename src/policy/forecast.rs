//! What a report leads to if everything stays as it is.

use std::time::Duration;

use super::{Report, RuleReport, Verdict};

/// What follows if every observation is repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The verdict then.
    pub verdict: Verdict,
    /// After how long it is reached; zero if it is so already.
    pub within: Duration,
    /// The rules that will fall, the first one first.
    pub falls: Vec<Change>,
    /// The rules that will come back up, the first one first.
    pub rises: Vec<Change>,
}

/// A rule that will change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rule.
    pub rule: String,
    /// After how long.
    pub after: Duration,
}

/// The longest time from a breakage to the fall of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// The probe hangs until its timeout.
    pub hang: Duration,
    /// The probe answers at once, with an error.
    pub error: Duration,
}

/// If this goes on.
#[must_use]
pub fn forecast(report: &Report, _interval: Duration, _fast: Option<Duration>) -> Forecast {
    Forecast { verdict: report.verdict.clone(), within: Duration::ZERO, falls: Vec::new(), rises: Vec::new() }
}

/// How late the rule falls at the worst.
#[must_use]
pub const fn worst_case(_rule: &RuleReport, interval: Duration, _fast: Option<Duration>) -> WorstCase {
    WorstCase { hang: interval, error: interval }
}
