//! Back-off: what falls again and again stays down longer each time.
//!
//! The n-th fall without a quiet period holds the gate down for base · 2ⁿ⁻¹, at most for `max`. Quiet is the time it has
//! been up without falling.

use std::time::Duration;

use super::Falls;
use crate::words::Instant;

/// How long falls hold a gate down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first fall.
    pub base: Duration,
    /// At most.
    pub max: Duration,
    /// Once it has been up for so long, the next fall is a first one again.
    pub reset: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { base: seconds(5), max: seconds(5 * 60), reset: seconds(10 * 60) }
    }
}

impl Backoff {
    /// How long the n-th fall holds.
    #[must_use]
    pub fn hold(&self, fall: u32) -> Duration {
        let factor = 1_u32.checked_shl(fall.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

/// The falls of a gate, as far as they still count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaps {
    /// Falls without a quiet period between them.
    count: u32,
    /// Since when it has been up; `None` while it is down, and before it was ever up.
    quiet_since: Option<Instant>,
    hold_until: Option<Instant>,
}

impl Flaps {
    /// As they were known before a restart.
    pub(super) fn resumed(now: Instant, falls: &Falls) -> Self {
        Self {
            count: falls.count,
            quiet_since: falls.quiet.map(|quiet| now - quiet),
            hold_until: Some(falls.held).filter(|held| !held.is_zero()).map(|held| now + held),
        }
    }

    /// It falls. Without an option of its own a gate is not held, but its falls are counted all the same.
    pub(super) fn fell(&mut self, now: Instant, backoff: Option<&Backoff>) {
        let counted = backoff.copied().unwrap_or_default();
        if self.quiet(now).is_some_and(|quiet| quiet >= counted.reset) {
            self.count = 0;
        }
        self.count = self.count.saturating_add(1);
        self.quiet_since = None;
        self.hold_until = backoff.map(|backoff| now + backoff.hold(self.count));
    }

    /// It is up.
    pub(super) fn up(&mut self, now: Instant) {
        self.quiet_since.get_or_insert(now);
        self.hold_until = None;
    }

    /// The options may have changed: nothing is held longer than they allow.
    pub(super) fn fit(&mut self, now: Instant, backoff: Option<&Backoff>) {
        self.hold_until = backoff.and_then(|backoff| Some(self.hold_until?.min(now + backoff.max)));
    }

    /// Falls that count.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Until when it is held down, if it still is.
    #[must_use]
    pub fn held_until(&self, now: Instant) -> Option<Instant> {
        self.hold_until.filter(|until| *until > now)
    }

    /// How long it has been up.
    pub(super) fn quiet(&self, now: Instant) -> Option<Duration> {
        self.quiet_since.map(|since| now.saturating_since(since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BACKOFF: Backoff = Backoff { base: SECOND, max: Duration::from_secs(20), reset: Duration::from_secs(60) };

    #[test]
    fn each_fall_doubles_up_to_the_most() {
        let holds: Vec<u64> = (1..8).map(|fall| BACKOFF.hold(fall).as_secs()).collect();
        assert_eq!(holds, [1, 2, 4, 8, 16, 20, 20]);
        assert_eq!(BACKOFF.hold(u32::MAX), BACKOFF.max);
        assert_eq!(BACKOFF.hold(0), BACKOFF.base, "a fall that nobody counted");
    }

    proptest! {
        /// The reference counts the falls since the last time up that was long enough.
        #[test]
        fn the_count_is_that_of_falls_without_a_quiet_period(times in prop::collection::vec((0_u64..40, 0_u64..90), 1..30)) {
            let mut flaps = Flaps::default();
            let mut now = Instant::from_epoch(SECOND);
            let mut count = 0;
            for (number, (down, up)) in times.iter().enumerate() {
                flaps.fell(now, Some(&BACKOFF));
                let quiet = number.checked_sub(1).and_then(|before| times.get(before)).is_some_and(|(_, up)| *up >= 60);
                count = if quiet { 1 } else { count + 1 };
                prop_assert_eq!(flaps.count(), count);
                prop_assert_eq!(flaps.held_until(now), Some(now + BACKOFF.hold(count)));
                now = now + Duration::from_secs(*down);
                flaps.up(now);
                prop_assert_eq!(flaps.held_until(now), None);
                now = now + Duration::from_secs(*up);
                flaps.up(now);
            }
        }
    }

    #[test]
    fn without_the_option_falls_count_and_hold_nothing() {
        let mut flaps = Flaps::default();
        flaps.fell(Instant::ZERO, None);
        flaps.up(Instant::ZERO);
        flaps.fell(Instant::ZERO, None);
        assert_eq!((flaps.count(), flaps.held_until(Instant::ZERO)), (2, None));
    }

    #[test]
    fn a_shorter_option_shortens_what_is_held() {
        let mut flaps = Flaps::default();
        flaps.fell(Instant::ZERO, Some(&BACKOFF));
        flaps.fit(Instant::ZERO, Some(&Backoff { max: SECOND / 2, ..BACKOFF }));
        assert_eq!(flaps.held_until(Instant::ZERO), Some(Instant::ZERO + SECOND / 2));
        flaps.fit(Instant::ZERO, None);
        assert_eq!(flaps.held_until(Instant::ZERO), None);
    }
}
