//! When a master repeats its announcements.
//!
//! One gratuitous ARP is lost easily, and Linux ignores a changed answer for a second (`locktime`); so an announcement
//! is a burst at 0, 1.2, 2.4 and 5 seconds, and a slow refresh follows for switches that forget.

use std::time::Duration;

use crate::words::Instant;

/// The moments of a burst, after its start. The spaces are longer than the second for which Linux keeps the old answer.
const BURST: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1200), Duration::from_millis(2400), Duration::from_secs(5)];

/// However often a burst is asked for, announcements are at least this far apart: a rival that goes on every few
/// milliseconds does not make this node flood the link.
const SPACING: Duration = Duration::from_millis(20);

/// The schedule of one master's announcements.
#[derive(Clone, Debug)]
pub struct Announcer {
    /// Zero: never.
    refresh: Duration,
    schedule: Option<Schedule>,
    announced_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Schedule {
    started_at: Instant,
    sent: usize,
    next_at: Instant,
}

impl Announcer {
    /// Silent until [`start`](Self::start). `refresh` zero: no announcement after the burst.
    #[must_use]
    pub const fn new(refresh: Duration) -> Self {
        Self { refresh, schedule: None, announced_at: None }
    }

    /// A burst begins, whatever was going on: now, or 20 ms after the last announcement.
    pub fn start(&mut self, now: Instant) {
        let started_at = self.announced_at.map_or(now, |at| now.max(at + SPACING));
        self.schedule = Some(Schedule { started_at, sent: 0, next_at: started_at });
    }

    /// Another pause between announcements after the burst. A master announces now, and keeps to it from then on.
    pub fn set_refresh(&mut self, now: Instant, refresh: Duration, leads: bool) {
        self.refresh = refresh;
        if leads {
            self.start(now);
        }
    }

    /// Nothing more to announce.
    pub fn stop(&mut self) {
        self.schedule = None;
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.schedule.map(|schedule| schedule.next_at)
    }

    /// Whether to announce now. However late it is called, it says so once: a thawed node does not catch up.
    pub fn due(&mut self, now: Instant) -> bool {
        let Some(schedule) = &mut self.schedule else { return false };
        if now < schedule.next_at {
            return false;
        }
        self.announced_at = Some(now);
        while schedule.sent < BURST.len()
            && BURST.get(schedule.sent).is_some_and(|after| schedule.started_at + *after <= now)
        {
            schedule.sent += 1;
        }
        match BURST.get(schedule.sent) {
            Some(after) => schedule.next_at = schedule.started_at + *after,
            None if self.refresh.is_zero() => self.schedule = None,
            None => schedule.next_at = now + self.refresh,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    /// The moments, in milliseconds up to `until`, at which it announces when it is asked exactly then.
    fn story(announcer: &mut Announcer, until: u64) -> Vec<u64> {
        let mut moments = Vec::new();
        while let Some(next) = announcer.next_timeout().filter(|next| *next <= at(until)) {
            assert!(announcer.due(next));
            moments.push(u64::try_from(next.since_epoch().as_millis()).unwrap());
        }
        moments
    }

    #[test]
    fn a_burst_and_then_the_refresh() {
        let mut announcer = Announcer::new(Duration::from_secs(10));
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 26_000), [0, 1200, 2400, 5000, 15_000, 25_000]);
    }

    #[test]
    fn without_refresh_it_falls_silent() {
        let mut announcer = Announcer::new(Duration::ZERO);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 60_000), [0, 1200, 2400, 5000]);
        assert_eq!(announcer.next_timeout(), None);
    }

    #[test]
    fn r35_a_late_call_announces_once() {
        let mut announcer = Announcer::new(Duration::from_secs(10));
        announcer.start(at(0));
        assert!(announcer.due(at(60_000)));
        assert!(!announcer.due(at(60_000)));
    }

    #[test]
    fn a_burst_that_is_asked_for_all_the_time_announces_every_20_ms() {
        let mut announcer = Announcer::new(Duration::from_secs(10));
        let mut announced = Vec::new();
        for millis in 0..100 {
            if millis % 3 == 0 {
                announcer.start(at(millis));
            }
            if announcer.due(at(millis)) {
                announced.push(millis);
            }
        }
        assert_eq!(announced, [0, 20, 40, 60, 80]);
        assert_eq!(story(&mut announcer, 6000), [100, 1300, 2500, 5100], "and the last burst is a whole one");
    }

    #[test]
    fn letting_go_does_not_shorten_the_space() {
        let mut announcer = Announcer::new(Duration::ZERO);
        announcer.start(at(0));
        assert!(announcer.due(at(0)));
        announcer.stop();
        announcer.start(at(5));
        assert_eq!(announcer.next_timeout(), Some(at(20)));
    }

    #[test]
    fn another_refresh_takes_effect_on_a_master_at_once() {
        let mut announcer = Announcer::new(Duration::ZERO);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 10_000), [0, 1200, 2400, 5000]);
        announcer.set_refresh(at(20_000), Duration::from_secs(4), true);
        assert_eq!(story(&mut announcer, 30_000), [20_000, 21_200, 22_400, 25_000, 29_000]);
        announcer.stop();
        announcer.set_refresh(at(40_000), Duration::from_secs(5), false);
        assert_eq!(announcer.next_timeout(), None, "a backup announces nothing");
    }

    #[test]
    fn stopped_is_silent() {
        let mut announcer = Announcer::new(Duration::from_secs(10));
        announcer.start(at(0));
        announcer.stop();
        assert!(!announcer.due(at(60_000)));
    }
}
