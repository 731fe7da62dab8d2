//! How long to rest where links and addresses cannot be read, again and again.

use std::time::Duration;

/// How long a socket that failed rests before it is made anew: a storm of events must not become a storm of dumps.
const REST: Duration = Duration::from_millis(20);
/// The longest rest where that fails again and again.
const REST_MAX: Duration = Duration::from_secs(1);

/// How often in a row nothing could be read, as where the process has no descriptor left.
#[derive(Debug, Default)]
pub(super) struct Failures(u32);

impl Failures {
    /// None before it.
    pub(super) const fn is_first(&self) -> bool {
        self.0 == 0
    }

    /// One more, and how long to rest after it.
    pub(super) fn rest(&mut self) -> Duration {
        let rest = REST.saturating_mul(1_u32.checked_shl(self.0).unwrap_or(u32::MAX));
        self.0 = self.0.saturating_add(1);
        rest.min(REST_MAX)
    }

    /// It could be read again.
    pub(super) fn are_over(&mut self) {
        if std::mem::take(&mut self.0) > 1 {
            tracing::info!("all links and addresses could be read again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_read_rests_longer_each_time_and_not_for_ever() {
        let mut failures = Failures::default();
        let rests: Vec<u128> = (0..8).map(|_| failures.rest().as_millis()).collect();
        assert_eq!(rests, [20, 40, 80, 160, 320, 640, 1000, 1000]);
        (0..100).for_each(|_| assert_eq!(failures.rest(), REST_MAX));
        failures.are_over();
        assert_eq!(failures.rest(), REST);
    }
}
