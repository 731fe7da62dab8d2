//! A smoothed value: what was measured fades by half with each half-life (an exponentially weighted moving average that
//! does not care how often it is measured).

use std::time::Duration;

use crate::words::Instant;

/// A value and when it was last measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    /// The smoothed value.
    pub value: f64,
    /// When it was last measured.
    pub at: Instant,
    /// So long before that: `at` may lie before the clock's epoch, after the machine was booted.
    pub before: Duration,
}

impl Average {
    /// The first measurement counts whole.
    #[must_use]
    pub const fn first(now: Instant, measured: f64) -> Self {
        Self { value: measured, at: now, before: Duration::ZERO }
    }

    /// One more. What was known before counts the less the longer ago it was.
    pub fn measure(&mut self, now: Instant, measured: f64, half_life: Duration) {
        let passed = self.age(now).as_secs_f64() / half_life.as_secs_f64();
        // A half-life of nothing: 0/0 must not become the value.
        let kept = if half_life.is_zero() { 0.0 } else { (-passed).exp2() };
        self.value = measured + (self.value - measured) * kept;
        (self.at, self.before) = (now, Duration::ZERO);
    }

    /// How long ago it was measured.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.at).saturating_add(self.before)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: f64) -> Instant {
        Instant::from_epoch(Duration::from_secs_f64(seconds))
    }

    #[test]
    fn half_fades_with_each_half_life() {
        let mut average = Average::first(at(0.0), 100.0);
        average.measure(at(10.0), 0.0, 10 * SECOND);
        assert!((average.value - 50.0).abs() < 1e-9);
        average.measure(at(30.0), 0.0, 10 * SECOND);
        assert!((average.value - 12.5).abs() < 1e-9);
        average.measure(at(31.0), 7.0, Duration::ZERO);
        assert_eq!(average.value, 7.0);
    }

    proptest! {
        /// Measuring the same value twice as often changes nothing.
        #[test]
        fn it_does_not_matter_how_often(before in -1e6_f64..1e6, then in -1e6_f64..1e6, steps in 1_u32..50) {
            let mut often = Average::first(at(0.0), before);
            let mut once = often;
            for step in 1..=steps {
                often.measure(at(10.0 * f64::from(step) / f64::from(steps)), then, 3 * SECOND);
            }
            once.measure(at(10.0), then, 3 * SECOND);
            prop_assert!((often.value - once.value).abs() < 1e-3);
        }

        #[test]
        fn it_stays_within_what_was_measured(values in prop::collection::vec((0.0_f64..100.0, -5.0_f64..5.0), 1..40)) {
            let mut now = 0.0;
            let mut average = Average::first(at(0.0), values[0].1);
            for (passed, value) in &values {
                now += passed;
                average.measure(at(now), *value, SECOND);
            }
            let low = values.iter().map(|(_, value)| *value).fold(f64::INFINITY, f64::min);
            let high = values.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
            prop_assert!(average.value >= low - 1e-9 && average.value <= high + 1e-9);
        }
    }
}
