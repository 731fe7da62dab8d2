//! How often a policy is evaluated.

use std::time::Duration;

use super::Policy;

/// The pace a take-over asks for where the policy names none: this share of its interval, but not below
/// [`FAST_MIN`].
const FAST_SHARE: u32 = 5;
const FAST_MIN: Duration = Duration::from_millis(100);
/// No policy is evaluated more often.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// How long a report may be on its way: longer than whoever watches evaluations takes to say that one does not come back.
const ON_ITS_WAY: Duration = Duration::from_secs(3);

impl Policy {
    /// How long after one report the next is there at the latest.
    #[must_use]
    pub fn followed_within(&self) -> Duration {
        self.interval().max(INTERVAL_MIN) + self.reported_within()
    }

    /// How long after an evaluation has begun its report is there at the latest.
    #[must_use]
    pub fn reported_within(&self) -> Duration {
        self.deadline() + ON_ITS_WAY
    }

    /// How long after one evaluation the next is due. `fast`: the node waits for what it says; `in_transition`: the next
    /// observation can change a gate.
    #[must_use]
    pub fn period(&self, fast: bool, in_transition: bool) -> Duration {
        let interval = self.interval().max(INTERVAL_MIN);
        let period = match (fast, in_transition) {
            (true, _) => self.fast().unwrap_or_else(|| (interval / FAST_SHARE).max(FAST_MIN).min(interval)),
            (false, true) => self.fast().unwrap_or(interval),
            (false, false) => interval,
        };
        period.max(INTERVAL_MIN)
    }
}
