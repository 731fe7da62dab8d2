//! What a gate does, against simple models of it, and as stories.

use proptest::prelude::*;

use super::{super::Backoff, *};

const SECOND: Duration = Duration::from_secs(1);

/// A gate that is asked once per second, started at second 1000.
#[derive(Clone, Copy)]
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
    assert!(watched.gate.in_transition(&watched.hysteresis));
    let transitions: Vec<bool> = "+--++"
        .chars()
        .map(|c| {
            watched.sees_one(observation(c));
            watched.gate.in_transition(&watched.hysteresis)
        })
        .collect();
    assert_eq!(transitions, [false, true, false, true, false]);
}

// ---- time

/// What a gate should say, worked out anew from the whole story each time. Slow, and simple enough to be believed.
#[derive(Default)]
struct Reference {
    /// Second and whether it was ok; those that said nothing are not among them.
    seen: Vec<(u64, bool)>,
    /// Second and whether it is down from then on.
    moves: Vec<(u64, bool)>,
    /// Seconds of the falls, with the number of each, and until when it holds.
    falls: Vec<(u64, u32, u64)>,
}

impl Reference {
    fn sees(&mut self, now: u64, ok: Option<bool>, options: &Hysteresis) -> bool {
        let down = self.moves.last().is_some_and(|(_, down)| *down);
        let Some(ok) = ok else { return down };
        self.seen.push((now, ok));
        let streak: Vec<u64> = self.seen.iter().rev().take_while(|(_, was)| *was == ok).map(|(at, _)| *at).collect();
        let for_long = now - streak.last().unwrap();
        let age = self.moves.last().map(|(at, _)| now - at);
        let count = u32::try_from(streak.len()).unwrap();
        if !down && !ok && count >= options.fall {
            // Never up before: nothing but the count.
            let first = self.moves.is_empty();
            if first || for_long >= options.fall_for.as_secs() && age.unwrap() >= options.min_up.as_secs() {
                self.falls(now, options);
                self.moves.push((now, true));
            }
        } else if down && ok && count >= options.rise {
            let free = !options.latch && self.falls.last().is_none_or(|(_, _, until)| now >= *until);
            if free && for_long >= options.rise_for.as_secs() && age.unwrap() >= options.min_down.as_secs() {
                self.moves.push((now, false));
            }
        } else if self.moves.is_empty() && ok {
            self.moves.push((now, false));
        }
        self.moves.last().is_some_and(|(_, down)| *down)
    }

    fn falls(&mut self, now: u64, options: &Hysteresis) {
        let backoff = options.backoff.unwrap_or_default();
        let up_for = self.moves.last().map_or(0, |(at, _)| now - at);
        let number = match self.falls.last() {
            Some((_, number, _)) if up_for < backoff.reset.as_secs() => number + 1,
            _ => 1,
        };
        let hold = (0..number - 1).fold(backoff.base, |hold, _| (hold * 2).min(backoff.max)).min(backoff.max);
        let until = options.backoff.map_or(0, |_| now + hold.as_secs());
        self.falls.push((now, number, until));
    }
}

prop_compose! {
    fn options()(
        counts in (1_u32..5, 1_u32..5),
        times in (0_u64..8, 0_u64..8, 0_u64..12, 0_u64..12),
        backoff in prop::option::of((1_u64..6, 1_u64..30, 5_u64..40)),
        latch in prop::bool::weighted(0.1),
    ) -> Hysteresis {
        let seconds = Duration::from_secs;
        Hysteresis {
            fall: counts.0, rise: counts.1,
            fall_for: seconds(times.0), rise_for: seconds(times.1),
            min_up: seconds(times.2), min_down: seconds(times.3),
            backoff: backoff.map(|(base, max, reset)| Backoff {
                base: seconds(base), max: seconds(max), reset: seconds(reset),
            }),
            latch,
            // So long that nothing ever counts for being blind.
            blind_for: seconds(1_000_000),
            linger: seconds(60),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_options_it_is_down_when_the_whole_story_says_so(
        options in options(),
        story in prop::collection::vec((1_u64..4, prop::option::weighted(0.9, prop::bool::weighted(0.6))), 1..120),
    ) {
        let mut gate = Gate::unknown(Instant::from_epoch(1000 * SECOND));
        let mut reference = Reference::default();
        let mut now = 1000;
        for (passed, ok) in story {
            now += passed;
            let at = Instant::from_epoch(Duration::from_secs(now));
            let observation = ok.map_or(Observation::Nothing, |ok| if ok { Observation::Ok } else { Observation::Fail });
            gate.observe(at, observation, &options);
            prop_assert_eq!(gate.is_down(), reference.sees(now, ok, &options), "second {}", now);
            let moves: Vec<(Instant, bool)> = gate.changes().collect();
            let expected = reference.moves.iter().filter(|(at, down)| *down || *at != reference.moves[0].0);
            let expected: Vec<(Instant, bool)> =
                expected.map(|(at, down)| (Instant::from_epoch(Duration::from_secs(*at)), !down)).collect();
            prop_assert_eq!(&moves, &expected[expected.len() - moves.len()..]);
            prop_assert_eq!(gate.flaps.count(), reference.falls.last().map_or(0, |(_, number, _)| *number));
        }
    }

    /// Written down and taken up again at any moment it does what it would have done.
    #[test]
    fn another_process_goes_on_from_what_is_known(
        options in options(),
        before in "[+-]{0,60}",
        after in "[+-]{0,60}",
    ) {
        let mut watched = Watched::unknown(1, 1);
        watched.hysteresis = options;
        watched.sees(&before);
        let mut other = Watched { gate: Gate::resumed(watched.now, &watched.gate.known(watched.now)), ..watched };
        prop_assert_eq!(watched.sees(&after), other.sees(&after));
    }

    #[test]
    fn what_rests_never_moves_again_and_what_does_not_moves_in_the_end(options in options(), before in "[+-]{0,40}", ok in any::<bool>()) {
        let mut watched = Watched::unknown(1, 1);
        watched.hysteresis = options;
        watched.sees(&before);
        let observation = if ok { Observation::Ok } else { Observation::Fail };
        let (rests, state) = (watched.gate.rests(observation), watched.gate.state());
        for _ in 0..60 {
            watched.sees_one(observation);
        }
        prop_assert!(watched.gate.rests(observation));
        prop_assert_eq!(rests, watched.gate.state() == state);
    }
}

#[test]
fn failures_must_last() {
    let mut link = Watched::up(2, 1);
    link.hysteresis.fall_for = 4 * SECOND;
    assert_eq!(link.sees("----+-----"), "FFFFUFFFFD", "four seconds from the first one of a row");
    link.hysteresis.rise_for = 3 * SECOND;
    assert_eq!(link.sees("+++-++++"), "DDDDDDDU");
}

#[test]
fn no_information_does_not_complete_a_time() {
    let mut link = Watched::up(2, 1);
    link.hysteresis.fall_for = 4 * SECOND;
    assert_eq!(link.sees("---...-"), "FFFFFFD", "it is over at the second dot");
}

#[test]
fn it_stays_up_and_down_at_least_so_long() {
    let mut web = Watched::up(1, 1);
    web.hysteresis.min_up = 5 * SECOND;
    assert_eq!(web.sees("-+---"), "FUFFD", "up since one second before the first");
    web.hysteresis.min_down = 3 * SECOND;
    assert_eq!(web.sees("+++"), "DDU");
}

#[test]
fn each_fall_holds_it_longer_until_it_has_been_quiet() {
    let mut uplink = Watched::up(1, 1);
    uplink.hysteresis.backoff = Some(Backoff { base: 2 * SECOND, max: 5 * SECOND, reset: 10 * SECOND });
    assert_eq!(uplink.sees("-++"), "DDU", "2 s");
    assert_eq!(uplink.sees("-++++"), "DDDDU", "4 s");
    assert_eq!(uplink.sees("-+++++"), "DDDDDU", "5 s are the most");
    assert_eq!(uplink.sees("+++++++++"), "U".repeat(9));
    assert_eq!(uplink.sees("-++"), "DDU", "up for ten seconds: a first fall again");
}

#[test]
fn what_is_latched_stays_down_until_it_is_cleared() {
    let mut data = Watched::up(1, 2);
    data.hysteresis.latch = true;
    assert_eq!(data.sees("-++++"), "DDDDD");
    assert_eq!(data.gate.detained(data.now, &data.hysteresis), Some(Detention::Latch));
    data.gate.clear();
    assert!(data.gate.is_down(), "by its observations only");
    assert_eq!(data.sees("+"), "U");
    data.sees("-");
    data.hysteresis.latch = false;
    assert_eq!(data.sees("++"), "DU", "an option that is gone holds nothing");
}

#[test]
fn clearing_forgets_the_falls() {
    let mut uplink = Watched::up(1, 1);
    uplink.hysteresis.backoff = Some(Backoff { base: 60 * SECOND, ..Backoff::default() });
    assert_eq!(uplink.sees("-+"), "DD");
    assert!(uplink.gate.is_held(uplink.now));
    uplink.gate.clear();
    assert!(!uplink.gate.is_held(uplink.now));
    assert_eq!((uplink.sees("+"), uplink.gate.flaps.count()), ("U".to_owned(), 0));
}

#[test]
fn a_restart_shortens_nothing() {
    let mut uplink = Watched::up(1, 1);
    uplink.hysteresis.backoff = Some(Backoff { base: 10 * SECOND, ..Backoff::default() });
    uplink.sees("-");
    let falls = uplink.gate.falls(uplink.now).later(6 * SECOND);
    uplink.gate = Gate::after_restart(uplink.now, &falls);
    assert_eq!(uplink.sees("++++"), "DDDU", "ten seconds all in all");
    let latched = Falls { latched: true, ..Falls::default() };
    uplink.hysteresis.latch = true;
    uplink.gate = Gate::after_restart(uplink.now, &latched);
    assert_eq!(uplink.sees("++++"), "DDDD");
    uplink.gate = Gate::after_restart(uplink.now, &Falls { count: 3, ..Falls::default() });
    assert_eq!(uplink.sees("+-"), "UD");
    assert_eq!(uplink.gate.flaps.count(), 4);
}

#[test]
fn what_waits_for_time_is_not_on_its_way() {
    let mut web = Watched::up(1, 2);
    web.hysteresis.min_down = 4 * SECOND;
    web.sees("-");
    let on_its_way: Vec<bool> = "++++"
        .chars()
        .map(|c| {
            web.sees_one(observation(c));
            web.gate.in_transition(&web.hysteresis)
        })
        .collect();
    assert_eq!(on_its_way, [false, false, false, false], "up with the fourth");
    assert_eq!(web.gate.state(), GateState::Up);
}

#[test]
fn what_is_held_does_not_go_stale() {
    let mut data = Watched::up(1, 1);
    data.hysteresis.latch = true;
    data.sees("-");
    assert!(!data.gate.is_stale(data.now + 3600 * SECOND, 60 * SECOND));
    data.gate.clear();
    assert!(data.gate.is_stale(data.now + 3600 * SECOND, 60 * SECOND));
}
