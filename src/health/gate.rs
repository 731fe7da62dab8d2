//! A gate: up or down, and how many observations in a row it takes to change that.
//!
//! One hiccup is not a fault, and one success is not a recovery. A gate sees one observation per evaluation and knows
//! nothing of what was observed. It reads no clock: each observation comes with its moment.

use std::time::Duration;

use crate::words::Instant;

/// How much it takes to move a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hysteresis {
    /// Failures in a row that take it down, at least 1.
    pub fall: u32,
    /// Successes in a row that bring it up again, at least 1. The first time one is enough: start-up is fast.
    pub rise: u32,
    /// How long observations may bring no information before each of them counts as a failure.
    pub blind_for: Duration,
    /// How long what the gate knows holds while nobody asks: a gate that only a master asks stays down this long after
    /// the node ceased to be master.
    pub linger: Duration,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self { fall: 3, rise: 2, blind_for: Duration::from_secs(10), linger: Duration::from_secs(60) }
    }
}

/// What one evaluation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is as it should be.
    Ok,
    /// It is not.
    Fail,
    /// Nothing could be learned, for a reason of this machine's own.
    Nothing,
}

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

/// One gate and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    position: Position,
    fails: u32,
    oks: u32,
    /// When `state()` last changed.
    since: Instant,
    /// When somebody last asked.
    asked_at: Instant,
    /// Since when there has been no information.
    blind_since: Option<Instant>,
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
    pub const fn unknown(now: Instant) -> Self {
        Self::at(Position::Unknown, now)
    }

    /// A gate that appears while the process runs: up until `fall` failures have shown the opposite. A new rule must not
    /// cost the address by being new.
    #[must_use]
    pub const fn unproven(now: Instant) -> Self {
        Self::at(Position::Up, now)
    }

    /// A gate as it was reported: to work out what would follow.
    #[must_use]
    pub const fn resumed(now: Instant, state: GateState, fails: u32, oks: u32) -> Self {
        let position = match state {
            GateState::Unknown => Position::Unknown,
            GateState::Up | GateState::Failing => Position::Up,
            GateState::Down => Position::Down,
        };
        Self { fails, oks, ..Self::at(position, now) }
    }

    const fn at(position: Position, now: Instant) -> Self {
        Self { position, fails: 0, oks: 0, since: now, asked_at: now, blind_since: None }
    }

    /// Takes one observation and says what the gate is after it.
    pub fn observe(&mut self, now: Instant, observation: Observation, hysteresis: &Hysteresis) -> GateState {
        let before = self.state();
        self.asked_at = now;
        self.clamp(hysteresis);
        match self.worth(now, observation, hysteresis.blind_for) {
            Observation::Ok => {
                self.oks = self.oks.saturating_add(1);
                self.fails = 0;
            }
            Observation::Fail => {
                self.fails = self.fails.saturating_add(1);
                self.oks = 0;
            }
            Observation::Nothing => {}
        }
        self.position = match self.position {
            Position::Unknown if self.oks > 0 => Position::Up,
            Position::Unknown | Position::Up if self.fails >= hysteresis.fall => Position::Down,
            Position::Down if self.oks >= hysteresis.rise => Position::Up,
            Position::Unknown | Position::Up | Position::Down => self.position,
        };
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

    /// It is on its way: not known yet, failing, or coming back up.
    #[must_use]
    pub const fn in_transition(&self) -> bool {
        match self.state() {
            GateState::Unknown | GateState::Failing => true,
            GateState::Up => false,
            GateState::Down => self.oks > 0,
        }
    }

    /// Nobody has asked for so long that what it knows is worth nothing any more.
    #[must_use]
    pub fn is_stale(&self, now: Instant, linger: Duration) -> bool {
        now.saturating_since(self.asked_at) >= linger
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

    /// The options may have changed since the last observation: what was counted must not move the gate by itself.
    fn clamp(&mut self, hysteresis: &Hysteresis) {
        match self.position {
            Position::Unknown | Position::Up => self.fails = self.fails.min(hysteresis.fall.saturating_sub(1)),
            Position::Down => self.oks = self.oks.min(hysteresis.rise.saturating_sub(1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A gate that is asked once per second, started at second 1000.
    struct Watched {
        gate: Gate,
        hysteresis: Hysteresis,
        now: Instant,
    }

    impl Watched {
        fn up(fall: u32, rise: u32) -> Self {
            let mut watched = Self::unknown(fall, rise);
            watched.sees("+");
            watched
        }

        fn unknown(fall: u32, rise: u32) -> Self {
            let now = Instant::from_epoch(1000 * SECOND);
            Self { gate: Gate::unknown(now), hysteresis: Hysteresis { fall, rise, ..Hysteresis::default() }, now }
        }

        /// `+` ok, `-` fail, `.` no information; returns U, F, D or ? for each.
        fn sees(&mut self, story: &str) -> String {
            story.chars().map(|c| self.sees_one(observation(c))).collect()
        }

        fn sees_one(&mut self, observation: Observation) -> char {
            self.now = self.now + SECOND;
            match self.gate.observe(self.now, observation, &self.hysteresis) {
                GateState::Unknown => '?',
                GateState::Up => 'U',
                GateState::Failing => 'F',
                GateState::Down => 'D',
            }
        }
    }

    fn observation(c: char) -> Observation {
        match c {
            '+' => Observation::Ok,
            '-' => Observation::Fail,
            _ => Observation::Nothing,
        }
    }

    proptest! {
        /// S9: only `fall` failures in a row take it down, only `rise` successes in a row bring it up. The reference
        /// looks at the last observations as text.
        #[test]
        fn only_so_many_in_a_row_move_it(fall in 1_u32..6, rise in 1_u32..6, story in "[+-]{0,60}") {
            let mut watched = Watched::up(fall, rise);
            let (falling, rising) = ("-".repeat(fall as usize), "+".repeat(rise as usize));
            let mut down = false;
            for end in 1..=story.len() {
                let seen = &story[..end];
                if seen.ends_with(&falling) {
                    down = true;
                } else if seen.ends_with(&rising) {
                    down = false;
                }
                let state = watched.sees_one(observation(seen.chars().last().unwrap()));
                prop_assert_eq!(state == 'D', down, "after {}", seen);
            }
        }

        #[test]
        fn it_is_never_down_before_so_many_failures(fall in 1_u32..9, story in "[+.-]{0,40}") {
            let mut watched = Watched::unknown(fall, 2);
            let mut fails = 0;
            for c in story.chars() {
                fails += u32::from(c == '-');
                let state = watched.sees_one(observation(c));
                // Beyond `blind_for` of silence even no information counts.
                prop_assert!(state != 'D' || fails >= fall || story.contains(".........."));
            }
        }

        #[test]
        fn no_information_changes_nothing(fall in 1_u32..6, rise in 1_u32..6, story in "[+-]{1,40}", at in 0_usize..40, gap in 1_usize..9) {
            let at = at.min(story.len());
            let (before, after) = story.split_at(at);
            let mut plain = Watched::unknown(fall, rise);
            let mut gapped = Watched::unknown(fall, rise);
            prop_assert_eq!(plain.sees(before), gapped.sees(before));
            let state = gapped.gate.state();
            gapped.sees(&".".repeat(gap));
            prop_assert_eq!(gapped.gate.state(), state);
            prop_assert_eq!(plain.sees(after), gapped.sees(after));
        }
    }

    #[test]
    fn two_hiccups_are_tolerated_and_it_recovers_by_itself() {
        let mut web = Watched::up(3, 2);
        assert_eq!(web.sees("--+--+---"), "FFUFFUFFD");
        assert_eq!(web.sees("--+-++"), "DDDDDU");
    }

    #[test]
    fn the_first_success_opens_it_and_failures_from_the_start_close_it() {
        assert_eq!(Watched::unknown(3, 2).sees("+"), "U");
        assert_eq!(Watched::unknown(3, 2).sees("--+"), "??U");
        assert_eq!(Watched::unknown(3, 2).sees("---++"), "??DDU");
    }

    #[test]
    fn one_that_appears_later_is_up_until_the_opposite_is_shown() {
        let mut watched = Watched::unknown(3, 2);
        watched.gate = Gate::unproven(watched.now);
        assert_eq!(watched.gate.state(), GateState::Up);
        assert_eq!(watched.sees("---"), "FFD");
    }

    #[test]
    fn being_blind_for_long_counts_as_failure() {
        let mut watched = Watched::up(3, 2);
        assert_eq!(watched.sees(".........."), "UUUUUUUUUU", "blind since the first: 9 s");
        assert_eq!(watched.sees("..."), "FFD");
        assert_eq!(watched.sees("+.+"), "DDU", "and one look ends it");
    }

    #[test]
    fn an_unreached_gate_stays_as_it_is_and_its_blindness_counts_later() {
        let mut watched = Watched::up(1, 1);
        for _ in 0..30 {
            watched.now = watched.now + SECOND;
            watched.gate.not_reached(watched.now);
        }
        assert_eq!(watched.gate.state(), GateState::Up);
        assert_eq!(watched.sees("."), "D");
    }

    #[test]
    fn stricter_options_do_not_move_it_without_another_failure() {
        let mut watched = Watched::up(5, 2);
        assert_eq!(watched.sees("----"), "FFFF");
        watched.hysteresis.fall = 3;
        assert_eq!(watched.sees("."), "F");
        assert_eq!(watched.gate.fails(), 2);
        assert_eq!(watched.sees("-"), "D");
    }

    #[test]
    fn since_is_when_the_state_changed() {
        let mut watched = Watched::up(2, 2);
        let up = watched.now;
        watched.sees("++");
        assert_eq!(watched.gate.since(), up);
        watched.sees("-");
        assert_eq!(watched.gate.since(), watched.now);
    }

    #[test]
    fn unasked_it_goes_stale() {
        let watched = Watched::up(2, 2);
        assert!(!watched.gate.is_stale(watched.now + 59 * SECOND, 60 * SECOND));
        assert!(watched.gate.is_stale(watched.now + 60 * SECOND, 60 * SECOND));
    }

    #[test]
    fn it_is_in_transition_while_something_is_being_counted() {
        let mut watched = Watched::unknown(2, 2);
        assert!(watched.gate.in_transition());
        let transitions: Vec<bool> = "+--++"
            .chars()
            .map(|c| {
                watched.sees_one(observation(c));
                watched.gate.in_transition()
            })
            .collect();
        assert_eq!(transitions, [false, true, false, true, false]);
    }
}
