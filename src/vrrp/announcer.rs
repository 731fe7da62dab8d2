//! When a master repeats its announcements.
//!
//! One gratuitous ARP is lost easily, and Linux ignores a changed answer for a second (`locktime`); so an announcement
//! is a burst at 0, 1.2, 2.4 and 5 seconds, and a slow refresh follows for switches that forget. An operator may want
//! keepalived's rhythm instead: so many at once, and as many again some time later.

use std::{ops::Range, time::Duration};

use crate::words::Instant;

/// The moments of a burst, after its start. The spaces are longer than the second for which Linux keeps the old answer.
const SPREAD: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(1200), Duration::from_millis(2400), Duration::from_secs(5)];

/// However often a burst is asked for, announcements are at least this far apart: a rival that goes on every few
/// milliseconds does not make this node flood the link.
const SPACING: Duration = Duration::from_millis(20);

/// How a master announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcing {
    /// After it has taken the addresses.
    pub takeover: Burst,
    /// After another master was heard.
    pub rival: Burst,
    /// How long after the last announcement the next one comes; zero: never.
    pub refresh: Duration,
    /// How many that are then, at least 1.
    pub refresh_repeat: u8,
    /// Between two addresses; zero: all of them at once.
    pub interval: Duration,
}

/// How often it says the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Burst {
    /// At 0, 1.2, 2.4 and 5 seconds.
    #[default]
    Spread,
    /// So many one after the other, at least 1, and as many again after this time; zero: not again.
    Twice { repeat: u8, delay: Duration },
}

impl Default for Announcing {
    fn default() -> Self {
        let refresh = Duration::from_secs(10);
        Self { takeover: Burst::Spread, rival: Burst::Spread, refresh, refresh_repeat: 1, interval: Duration::ZERO }
    }
}

/// The schedule of one master's announcements.
#[derive(Clone, Debug)]
pub struct Announcer {
    manner: Announcing,
    series: Option<Series>,
    announced_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    kind: Kind,
    started_at: Instant,
    /// Whole announcements that were made, or passed over.
    sent: usize,
    /// Addresses of the one that is being made.
    told: usize,
    next_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Burst(Burst),
    Refresh(u8),
}

impl Kind {
    /// When the announcement of this number is due, after the start; `gap`: how long one takes.
    fn offset(self, number: usize, gap: Duration) -> Option<Duration> {
        let after = |number: usize| gap * u32::try_from(number).unwrap_or(u32::MAX);
        match self {
            Self::Burst(Burst::Spread) => SPREAD.get(number).copied(),
            Self::Burst(Burst::Twice { repeat, delay }) => {
                let repeat = usize::from(repeat);
                // A second part that begins before the first one ends follows it.
                let again = || Some(delay.max(after(repeat)) + after(number - repeat));
                match number {
                    first if first < repeat => Some(after(first)),
                    second if second < repeat * 2 && !delay.is_zero() => again(),
                    _ => None,
                }
            }
            Self::Refresh(repeat) => (number < usize::from(repeat)).then(|| after(number)),
        }
    }
}

impl Announcer {
    /// Silent until [`start`](Self::start).
    #[must_use]
    pub const fn new(manner: Announcing) -> Self {
        Self { manner, series: None, announced_at: None }
    }

    /// A burst begins, whatever was going on: now, or 20 ms after the last announcement.
    pub fn start(&mut self, now: Instant) {
        self.begin(now, self.manner.takeover);
    }

    /// The same because another master was heard.
    pub fn start_again(&mut self, now: Instant) {
        self.begin(now, self.manner.rival);
    }

    fn begin(&mut self, now: Instant, burst: Burst) {
        // Whoever is amid its addresses goes through with them, or the last ones would never be told.
        let told = self.series.map_or(0, |series| series.told);
        let space = if told == 0 { SPACING } else { SPACING.max(self.manner.interval) };
        let started_at = self.announced_at.map_or(now, |at| now.max(at + space));
        self.series = Some(Series { kind: Kind::Burst(burst), started_at, sent: 0, told, next_at: started_at });
    }

    /// Another manner. A master announces now, and keeps to it from then on.
    pub fn configure(&mut self, now: Instant, manner: Announcing, leads: bool) {
        self.manner = manner;
        if leads {
            self.start(now);
        }
    }

    /// Nothing more to announce.
    pub fn stop(&mut self) {
        self.series = None;
    }

    /// When the next announcement is due.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        self.series.map(|series| series.next_at)
    }

    /// Which of so many addresses to announce now. However late it is called, it says so once: a thawed node does not
    /// catch up.
    pub fn due(&mut self, now: Instant, addresses: usize) -> Range<usize> {
        let Some(mut series) = self.series.filter(|series| series.next_at <= now) else { return 0..0 };
        self.announced_at = Some(now);
        let begin = series.told.min(addresses);
        let end = if self.manner.interval.is_zero() { addresses } else { addresses.min(begin + 1) };
        if end < addresses {
            series.told = end;
            series.next_at = now + self.manner.interval;
            self.series = Some(series);
        } else {
            series.told = 0;
            self.series = self.after(series, now, addresses);
        }
        begin..end
    }

    /// What follows a whole announcement.
    fn after(&self, mut series: Series, now: Instant, addresses: usize) -> Option<Series> {
        let gap = SPACING.max(self.manner.interval * u32::try_from(addresses).unwrap_or(u32::MAX));
        while let Some(offset) = series.kind.offset(series.sent, gap) {
            series.next_at = series.started_at + offset;
            if series.next_at > now {
                return Some(series);
            }
            series.sent += 1;
        }
        let next_at = now + self.manner.refresh;
        let kind = Kind::Refresh(self.manner.refresh_repeat);
        (!self.manner.refresh.is_zero()).then_some(Series { kind, started_at: next_at, sent: 0, told: 0, next_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn refreshed(seconds: u64) -> Announcing {
        Announcing { refresh: Duration::from_secs(seconds), ..Announcing::default() }
    }

    fn every(seconds: u64) -> Announcer {
        Announcer::new(refreshed(seconds))
    }

    /// The moments, in milliseconds up to `until`, at which it announces when it is asked exactly then.
    fn story(announcer: &mut Announcer, until: u64) -> Vec<u64> {
        let mut moments = Vec::new();
        while let Some(next) = announcer.next_timeout().filter(|next| *next <= at(until)) {
            assert_eq!(announcer.due(next, 1), 0..1);
            moments.push(u64::try_from(next.since_epoch().as_millis()).unwrap());
        }
        moments
    }

    #[test]
    fn a_burst_and_then_the_refresh() {
        let mut announcer = every(10);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 26_000), [0, 1200, 2400, 5000, 15_000, 25_000]);
    }

    #[test]
    fn without_refresh_it_falls_silent() {
        let mut announcer = every(0);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 60_000), [0, 1200, 2400, 5000]);
        assert_eq!(announcer.next_timeout(), None);
    }

    #[test]
    fn r35_a_late_call_announces_once() {
        let mut announcer = every(10);
        announcer.start(at(0));
        assert_eq!(announcer.due(at(60_000), 3), 0..3);
        assert!(announcer.due(at(60_000), 3).is_empty());
    }

    #[test]
    fn a_burst_that_is_asked_for_all_the_time_announces_every_20_ms() {
        let mut announcer = every(10);
        let mut announced = Vec::new();
        for millis in 0..100 {
            if millis % 3 == 0 {
                announcer.start(at(millis));
            }
            if !announcer.due(at(millis), 1).is_empty() {
                announced.push(millis);
            }
        }
        assert_eq!(announced, [0, 20, 40, 60, 80]);
        assert_eq!(story(&mut announcer, 6000), [100, 1300, 2500, 5100], "and the last burst is a whole one");
    }

    #[test]
    fn letting_go_does_not_shorten_the_space() {
        let mut announcer = every(0);
        announcer.start(at(0));
        assert_eq!(announcer.due(at(0), 1), 0..1);
        announcer.stop();
        announcer.start(at(5));
        assert_eq!(announcer.next_timeout(), Some(at(20)));
    }

    #[test]
    fn another_refresh_takes_effect_on_a_master_at_once() {
        let mut announcer = every(0);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 10_000), [0, 1200, 2400, 5000]);
        announcer.configure(at(20_000), refreshed(4), true);
        assert_eq!(story(&mut announcer, 30_000), [20_000, 21_200, 22_400, 25_000, 29_000]);
        announcer.stop();
        announcer.configure(at(40_000), refreshed(5), false);
        assert_eq!(announcer.next_timeout(), None, "a backup announces nothing");
    }

    #[test]
    fn stopped_is_silent() {
        let mut announcer = every(10);
        announcer.start(at(0));
        announcer.stop();
        assert!(announcer.due(at(60_000), 1).is_empty());
    }

    const TWICE: Burst = Burst::Twice { repeat: 3, delay: Duration::from_secs(5) };

    #[test]
    fn keepalived_s_rhythm_is_so_many_and_as_many_again() {
        let manner = Announcing { takeover: TWICE, refresh_repeat: 2, ..refreshed(60) };
        let mut announcer = Announcer::new(manner);
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 70_000), [0, 20, 40, 5000, 5020, 5040, 65_040, 65_060]);
        let once = Burst::Twice { repeat: 1, delay: Duration::ZERO };
        let mut announcer = Announcer::new(Announcing { takeover: once, ..refreshed(0) });
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 60_000), [0]);
    }

    #[test]
    fn r34_a_rival_is_answered_in_its_own_rhythm() {
        let rival = Burst::Twice { repeat: 2, delay: Duration::from_millis(300) };
        let mut announcer = Announcer::new(Announcing { takeover: TWICE, rival, ..refreshed(0) });
        announcer.start(at(0));
        assert_eq!(story(&mut announcer, 1000), [0, 20, 40]);
        announcer.start_again(at(2000));
        assert_eq!(story(&mut announcer, 60_000), [2000, 2020, 2300, 2320]);
    }

    #[test]
    fn addresses_are_told_one_by_one_where_that_is_wanted() {
        let manner = Announcing { takeover: TWICE, interval: Duration::from_millis(100), ..refreshed(0) };
        let mut announcer = Announcer::new(manner);
        announcer.start(at(0));
        let mut told = Vec::new();
        for millis in 0..1000 {
            // A rival that goes on all the while keeps none of them from being told.
            if millis % 30 == 29 && millis < 300 {
                announcer.start_again(at(millis));
            }
            let due = announcer.due(at(millis), 3);
            told.extend(due.map(|address| (millis, address)));
        }
        let addresses: Vec<usize> = told.iter().map(|(_, address)| *address).collect();
        assert_eq!(addresses.get(..6), Some(&[0, 1, 2, 0, 1, 2][..]), "{told:?}");
        assert!(told.windows(2).all(|pair| pair[1].0 - pair[0].0 >= 20), "{told:?}");
    }
}
