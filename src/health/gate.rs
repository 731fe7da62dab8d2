//! A gate: up or down, and how many observations in a row, and how much time, it takes to change that.
//!
//! One hiccup is not a fault, and one success is not a recovery. A gate sees one observation per evaluation and knows
//! nothing of what was observed. It reads no clock: each observation comes with its moment. Only an observation moves it:
//! where time is what is missing, it moves with the first one after that time.

use std::time::Duration;

use super::{Falls, Flaps, Hysteresis, Known, Observation, changes::Changes, recent::Recent};
use crate::words::Instant;

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateState {
    /// Neither up nor down yet.
    Unknown,
    /// Up.
    Up,
    /// Up, with failures counted.
    Failing,
    /// Down.
    Down,
}

/// What keeps a gate down although enough successes have come in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detention {
    /// Somebody has to clear it.
    Latch,
    /// Its falls.
    Backoff { until: Instant },
    /// `min_down` or `rise_for`.
    Time { until: Instant },
}

/// One gate and what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    position: Position,
    /// Since when it has been in this position.
    moved_at: Instant,
    fails: u32,
    oks: u32,
    /// When the first of these failures, or successes, was seen.
    streak_since: Instant,
    /// The `fall` and `rise` they were counted for, once they were.
    counted_for: Option<(u32, u32)>,
    /// When `state()` last changed.
    since: Instant,
    /// When somebody last asked.
    asked_at: Instant,
    /// Since when there has been no information.
    blind_since: Option<Instant>,
    latched: bool,
    flaps: Flaps,
    changes: Changes,
    recent: Recent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Unknown,
    Up,
    Down,
}

impl Gate {
    /// A gate of a process that has just started: the first success opens it, `fall` failures close it.
    #[must_use]
    pub fn unknown(now: Instant) -> Self {
        Self::at(Position::Unknown, now)
    }

    /// A gate that appears while the process runs: up until `fall` failures have shown the opposite. A new rule must not
    /// cost the address by being new.
    #[must_use]
    pub fn unproven(now: Instant) -> Self {
        Self::at(Position::Up, now)
    }

    /// A gate as it was known somewhere else, at this moment.
    #[must_use]
    pub fn resumed(now: Instant, known: &Known) -> Self {
        let position = match known.state {
            GateState::Unknown => Position::Unknown,
            GateState::Up | GateState::Failing => Position::Up,
            GateState::Down => Position::Down,
        };
        Self {
            moved_at: now - known.age,
            fails: known.fails,
            oks: known.oks,
            streak_since: now - known.streak,
            ..Self::at(position, now).with_falls(now, &known.falls)
        }
    }

    /// The same gate with this past: falls of a time when it was not asked, or of another process.
    #[must_use]
    pub fn with_falls(self, now: Instant, falls: &Falls) -> Self {
        Self { latched: falls.latched, flaps: Flaps::resumed(now, falls), ..self }
    }

    /// A gate that its past alone keeps down: latched, or held by its falls. Otherwise nothing is known of it.
    #[must_use]
    pub fn after_restart(now: Instant, falls: &Falls) -> Self {
        let detained = falls.latched || !falls.held.is_zero();
        Self::at(if detained { Position::Down } else { Position::Unknown }, now).with_falls(now, falls)
    }

    fn at(position: Position, now: Instant) -> Self {
        Self {
            position,
            moved_at: now,
            fails: 0,
            oks: 0,
            streak_since: now,
            counted_for: None,
            since: now,
            asked_at: now,
            blind_since: None,
            latched: false,
            flaps: Flaps::default(),
            changes: Changes::default(),
            recent: Recent::default(),
        }
    }

    /// Takes one observation and says what the gate is after it.
    pub fn observe(&mut self, now: Instant, observation: Observation, hysteresis: &Hysteresis) -> GateState {
        let before = self.state();
        self.asked_at = now;
        self.fit(now, hysteresis);
        match self.worth(now, observation, hysteresis.blind_for) {
            Observation::Ok => self.passed(now, hysteresis),
            Observation::Fail => self.failed(now, hysteresis),
            Observation::Nothing => {}
        }
        if self.state() != before {
            self.since = now;
        }
        self.state()
    }

    /// The evaluation broke off before it came to this gate: that is no information, and it never moves the gate by
    /// itself. Once it is reached again and still blind, the time counts.
    pub fn not_reached(&mut self, now: Instant) {
        self.asked_at = now;
        self.blind_since.get_or_insert(now);
    }

    /// Somebody has seen to it: it is neither latched nor held for its falls any more. It comes up by its observations.
    pub fn clear(&mut self) {
        self.latched = false;
        self.flaps = Flaps::default();
    }

    /// What the gate says.
    #[must_use]
    pub const fn state(&self) -> GateState {
        match (self.position, self.fails) {
            (Position::Unknown, _) => GateState::Unknown,
            (Position::Up, 0) => GateState::Up,
            (Position::Up, _) => GateState::Failing,
            (Position::Down, _) => GateState::Down,
        }
    }

    /// It is down.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        matches!(self.position, Position::Down)
    }

    /// The next observations can change what it says: it is not known yet, it is failing, or it is coming back up. One
    /// that waits for time to pass is not on its way: more observations do not make the time shorter.
    #[must_use]
    pub fn in_transition(&self, hysteresis: &Hysteresis) -> bool {
        match self.state() {
            GateState::Unknown | GateState::Failing => true,
            GateState::Up => false,
            GateState::Down => self.oks > 0 && self.waits_for(self.asked_at, hysteresis).is_none(),
        }
    }

    /// What keeps it down at `now` although it has been seen ok often enough.
    #[must_use]
    pub fn detained(&self, now: Instant, hysteresis: &Hysteresis) -> Option<Detention> {
        self.waits_for(now, hysteresis).filter(|_| self.oks >= hysteresis.rise)
    }

    /// It stays down whatever is seen: latched, or held for its falls. What [`clear`](Self::clear) would end.
    #[must_use]
    pub fn is_held(&self, now: Instant) -> bool {
        self.is_down() && (self.latched || self.flaps.held_until(now).is_some())
    }

    /// It stays down until it is cleared.
    #[must_use]
    pub const fn is_latched(&self) -> bool {
        self.latched
    }

    /// If every further observation is this one, it says what it says now for ever.
    #[must_use]
    pub const fn rests(&self, observation: Observation) -> bool {
        match (observation, self.position) {
            (Observation::Ok, Position::Up) => self.fails == 0,
            (Observation::Ok, Position::Down) => self.latched,
            (Observation::Ok, Position::Unknown) => false,
            (Observation::Fail | Observation::Nothing, position) => matches!(position, Position::Down),
        }
    }

    /// Nobody has asked for so long that what it knows is worth nothing any more. What it is held down for still counts.
    #[must_use]
    pub fn is_stale(&self, now: Instant, linger: Duration) -> bool {
        now.saturating_since(self.asked_at) >= linger && !self.is_held(now)
    }

    /// Failures in a row.
    #[must_use]
    pub const fn fails(&self) -> u32 {
        self.fails
    }

    /// Successes in a row.
    #[must_use]
    pub const fn oks(&self) -> u32 {
        self.oks
    }

    /// Since when it has been in this state.
    #[must_use]
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// When it last fell and rose, the oldest first; the second is whether it rose then.
    pub fn changes(&self) -> impl Iterator<Item = (Instant, bool)> + use<> {
        let up_now = !self.is_down();
        let count = self.changes.iter().len();
        self.changes.iter().enumerate().map(move |(number, at)| (at, (count - 1 - number).is_multiple_of(2) == up_now))
    }

    /// How many of the last twenty observations differed from the one before, in percent.
    #[must_use]
    pub fn restlessness(&self) -> f64 {
        self.recent.restlessness()
    }

    /// Everything that bears on what it does next, as it can be written down.
    #[must_use]
    pub fn known(&self, now: Instant) -> Known {
        Known {
            state: self.state(),
            fails: self.fails,
            oks: self.oks,
            streak: now.saturating_since(self.streak_since),
            age: now.saturating_since(self.moved_at),
            falls: self.falls(now),
        }
    }

    /// What outlives a restart.
    #[must_use]
    pub fn falls(&self, now: Instant) -> Falls {
        Falls {
            latched: self.latched,
            count: self.flaps.count(),
            held: self.flaps.held_until(now).map(|until| until.saturating_since(now)).unwrap_or_default(),
            quiet: self.flaps.quiet(now),
        }
    }

    fn passed(&mut self, now: Instant, hysteresis: &Hysteresis) {
        if self.oks == 0 {
            self.streak_since = now;
        }
        self.oks = self.oks.saturating_add(1);
        self.fails = 0;
        self.recent.push(true);
        match self.position {
            Position::Unknown => self.rise(now),
            Position::Down if self.oks >= hysteresis.rise && self.waits_for(now, hysteresis).is_none() => {
                self.changes.push(now);
                self.rise(now);
            }
            Position::Up | Position::Down => {}
        }
    }

    fn failed(&mut self, now: Instant, hysteresis: &Hysteresis) {
        if self.fails == 0 {
            self.streak_since = now;
        }
        self.fails = self.fails.saturating_add(1);
        self.oks = 0;
        self.recent.push(false);
        let long_enough = now.saturating_since(self.streak_since) >= hysteresis.fall_for
            && now.saturating_since(self.moved_at) >= hysteresis.min_up;
        match self.position {
            // Who has just started serves nobody yet: it is not given more time than the count.
            Position::Unknown if self.fails >= hysteresis.fall => self.fall(now, hysteresis),
            Position::Up if self.fails >= hysteresis.fall && long_enough => self.fall(now, hysteresis),
            Position::Unknown | Position::Up | Position::Down => {}
        }
    }

    fn rise(&mut self, now: Instant) {
        (self.position, self.moved_at) = (Position::Up, now);
        self.flaps.up(now);
    }

    fn fall(&mut self, now: Instant, hysteresis: &Hysteresis) {
        (self.position, self.moved_at) = (Position::Down, now);
        self.flaps.fell(now, hysteresis.backoff.as_ref());
        self.latched = hysteresis.latch;
        self.changes.push(now);
    }

    /// What, besides successes, a gate that is down waits for.
    fn waits_for(&self, now: Instant, hysteresis: &Hysteresis) -> Option<Detention> {
        if self.latched {
            return Some(Detention::Latch);
        }
        if let Some(until) = self.flaps.held_until(now) {
            return Some(Detention::Backoff { until });
        }
        let until = (self.moved_at + hysteresis.min_down).max(self.streak_since + hysteresis.rise_for);
        (until > now).then_some(Detention::Time { until })
    }

    /// What the observation counts as, after it has been noted how long there has been no information.
    fn worth(&mut self, now: Instant, observation: Observation, blind_for: Duration) -> Observation {
        match observation {
            Observation::Ok | Observation::Fail => {
                self.blind_since = None;
                observation
            }
            Observation::Nothing => {
                let since = *self.blind_since.get_or_insert(now);
                if now.saturating_since(since) >= blind_for { Observation::Fail } else { Observation::Nothing }
            }
        }
    }

    /// The options may have changed since the last observation: what was counted must not move the gate by itself, and
    /// nothing is held that they do not hold.
    fn fit(&mut self, now: Instant, hysteresis: &Hysteresis) {
        self.latched &= hysteresis.latch;
        self.flaps.fit(now, hysteresis.backoff.as_ref());
        let counted_for = (hysteresis.fall, hysteresis.rise);
        let before = self.counted_for.replace(counted_for);
        if before.is_some_and(|before| before != counted_for) {
            // What has begun stays begun.
            let short_of = |count: u32, limit: u32| count.min(limit.saturating_sub(1).max(1));
            match self.position {
                Position::Unknown | Position::Up => self.fails = short_of(self.fails, hysteresis.fall),
                Position::Down => self.oks = short_of(self.oks, hysteresis.rise),
            }
        }
    }
}

#[cfg(test)]
mod tests;
