//! How fast a counter grows. One that begins anew (a service restarted) has grown by what it shows.

use std::time::Duration;

use crate::words::Instant;

/// A counter as it was last read, and how fast it grew until then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// What the counter showed.
    pub count: f64,
    /// When.
    pub at: Instant,
    /// So long before that: `at` may lie before the clock's epoch, after the machine was booted.
    pub before: Duration,
    /// Per second; `None` before the second reading.
    pub per_second: Option<f64>,
}

impl Rate {
    /// One reading says nothing of its growth.
    #[must_use]
    pub const fn first(now: Instant, count: f64) -> Self {
        Self { count, at: now, before: Duration::ZERO, per_second: None }
    }

    /// One more. Two readings of one moment say nothing of its growth.
    pub fn read(&mut self, now: Instant, count: f64) {
        let passed = self.age(now);
        if passed > Duration::ZERO {
            let grown = if count >= self.count { count - self.count } else { count.max(0.0) };
            self.per_second = Some(grown / passed.as_secs_f64());
            (self.count, self.at, self.before) = (count, now, Duration::ZERO);
        }
    }

    /// How long ago it was read.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.at).saturating_add(self.before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn a_counter_that_begins_anew_has_grown_by_what_it_shows() {
        let mut rate = Rate::first(at(0), 1000.0);
        assert_eq!(rate.per_second, None);
        rate.read(at(10), 1100.0);
        assert_eq!(rate.per_second, Some(10.0));
        rate.read(at(20), 30.0);
        assert_eq!(rate.per_second, Some(3.0));
        rate.read(at(20), 99.0);
        assert_eq!(rate.per_second, Some(3.0), "no time has passed");
    }

    proptest! {
        /// The growth of all intervals together is that of the counter, wherever it began anew.
        #[test]
        fn it_is_never_negative_and_adds_up(readings in prop::collection::vec((1_u64..60, 0_u32..1000, any::<bool>()), 1..40)) {
            let (mut now, mut count, mut total, mut seen) = (0, 0_u64, 0_u64, 0.0);
            let mut rate = Rate::first(at(0), 0.0);
            for (passed, grown, anew) in readings {
                now += passed;
                let last = std::mem::replace(&mut count, u64::from(grown));
                count += if anew { 0 } else { last };
                // Where it overtakes its old value, nobody can tell that it began anew.
                total += if count >= last { count - last } else { count };
                rate.read(at(now), count as f64);
                let per_second = rate.per_second.unwrap();
                prop_assert!(per_second >= 0.0);
                seen += per_second * passed as f64;
            }
            prop_assert!((seen - total as f64).abs() < 1e-3);
        }
    }
}
