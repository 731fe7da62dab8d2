//! What is promised while chaos rages: for how long two machines may have the address at each moment, and for how long nobody may
//! answer for it. Both follow from what was done to machines and network, and from nothing that a daemon says of itself.
//!
//! Two that nothing passes between, neither advertisement nor question, both believe what they see; everything else is bounded:
//! by the lease (R8), by the intervals after which a master yields to a peer that does not hear it (R19a), and by how many
//! advertisements in a row are lost where some are.

mod weather;

use std::{collections::BTreeSet, time::Duration};

use self::weather::{Weather, fit, spells};
use super::{
    Act, Node,
    storm::{bound, deaf},
};
use crate::words::readable;

/// How late a kernel may remove an address whose lifetime is over.
const KERNEL_LATE: Duration = Duration::from_secs(1);
/// For so long the client may have the wrong one of two that both had the address, until the right one announces itself again.
const REMEMBERED: Duration = Duration::from_secs(15);

/// Something that was done, and when: a fault counts from its beginning, what mends it from its end.
#[derive(Clone, Debug)]
pub struct Done {
    /// When it began, since the beginning.
    pub from: Duration,
    /// When it was done.
    pub to: Duration,
    /// What it was.
    pub act: Act,
}

/// A time in which who has the address did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// From when, since the beginning.
    pub from: Duration,
    /// Until when.
    pub to: Duration,
    /// Who had it, by number.
    pub by: BTreeSet<usize>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// When it was, since the beginning.
    pub at: Duration,
    /// What was promised, and what there was instead.
    pub text: String,
}

/// What the configurations of some machines promise; see the module.
#[derive(Clone, Debug)]
pub struct Promise {
    names: Vec<String>,
    /// Where every packet arrives; `None`: the configurations do not bound it.
    two: Option<Duration>,
    interval: Duration,
    deaf: Duration,
    takeover: Duration,
    refresh: Duration,
}

/// What stands against two holders being one again.
#[derive(Clone, Copy, Debug, Default)]
struct Causes {
    /// They have only just met again.
    met: bool,
    /// The one does not hear the other.
    one_way: bool,
    /// So many of a hundred packets are lost.
    loss: u32,
}

impl Promise {
    /// What these machines promise.
    #[must_use]
    pub fn of(nodes: &[Node]) -> Self {
        let instances = || nodes.iter().flat_map(|node| &node.setup.config.instances);
        let longest = |of: fn(&crate::config::Instance) -> Duration| instances().map(of).max().unwrap_or_default();
        let interval = longest(|instance| instance.advertise.as_duration());
        let down = longest(|instance| {
            instance.advertise.down_interval_of(
                instance.down_adverts,
                instance.protocol.version(),
                crate::wire::Priority::LOWEST,
            )
        });
        Self {
            names: nodes.iter().map(|node| node.setup.name.clone()).collect(),
            two: bound(nodes, KERNEL_LATE),
            interval,
            deaf: deaf(nodes),
            // A conflict is asked about each interval, and policies are evaluated meanwhile.
            takeover: down + interval * 2,
            refresh: longest(|instance| instance.announce.refresh),
        }
    }

    /// For how long two may have the address at a time while every packet arrives; `None`: that is not bounded.
    #[must_use]
    pub const fn two_at_most(&self) -> Option<Duration> {
        self.two
    }

    /// For how long nobody may answer while a node is fit and reached.
    #[must_use]
    pub const fn nobody_at_most(&self) -> Duration {
        self.takeover
    }

    /// Where two had the address for longer than they may, given what was done. `late`: how much later a busy machine sees it.
    #[must_use]
    pub fn two_holders(&self, done: &[Done], held: &[Held], late: Duration) -> Vec<Breach> {
        let Some(base) = self.two else { return Vec::new() };
        let end = held.iter().map(|held| held.to).max().unwrap_or_default();
        let spells = spells(self.names.len(), done, end);
        let pairs = (0..self.names.len()).flat_map(|one| (0..one).map(move |other| (other, one)));
        let mut found = Vec::new();
        for (one, other) in pairs {
            for (from, to) in together(held, one, other) {
                let mut since = from;
                let mut causes = Causes::default();
                for spell in spells.iter().filter(|spell| spell.to > from && spell.from < to) {
                    let weather = &spell.weather;
                    if weather.passes_nothing(one, other) {
                        (since, causes) = (spell.to, Causes { met: true, ..Causes::default() });
                        continue;
                    }
                    causes.add(weather, one, other);
                    let most = base + self.allowance(causes) + late;
                    if spell.to.min(to).saturating_sub(since) > most {
                        let names = format!("{} and {}", self.name(one), self.name(other));
                        let text = format!(
                            "{names} both had the address for more than {}, the bound {}",
                            readable(most),
                            causes.text()
                        );
                        found.push(Breach { at: since + most, text });
                        break;
                    }
                }
            }
        }
        found
    }

    /// Where nobody answered although a node was fit and reached for longer than a takeover takes, and longer by the time between two
    /// announcements where two had the address not long before. `gaps`: from when to when no call was answered; the rest as above.
    #[must_use]
    pub fn nobody(&self, done: &[Done], held: &[Held], gaps: &[(Duration, Duration)], late: Duration) -> Vec<Breach> {
        let end = gaps.iter().map(|gap| gap.1).max().unwrap_or_default();
        let spells = spells(self.names.len(), done, end);
        let mut found = Vec::new();
        for (from, to) in gaps.iter().filter(|(from, to)| to.saturating_sub(*from) > self.takeover) {
            let recent = |held: &&Held| held.to + REMEMBERED > *from && held.from < *to;
            let two = held.iter().filter(recent).any(|held| held.by.len() > 1);
            let most = self.takeover + late + if two { self.refresh } else { Duration::ZERO };
            for machine in 0..self.names.len() {
                for (since, until) in fit(&spells, machine) {
                    let (since, until) = (since.max(*from), until.min(*to));
                    if until.saturating_sub(since) > most {
                        let text = format!(
                            "{} was fit and could be reached for {}, and nobody answered; a takeover takes {} at most",
                            self.name(machine),
                            readable(until - since),
                            readable(most)
                        );
                        found.push(Breach { at: since + most, text });
                    }
                }
            }
        }
        found
    }

    fn allowance(&self, causes: Causes) -> Duration {
        let met = if causes.met { self.interval } else { Duration::ZERO };
        let deaf = if causes.one_way { self.deaf } else { Duration::ZERO };
        met + deaf + self.interval * in_a_row(causes.loss)
    }

    fn name(&self, machine: usize) -> &str {
        self.names.get(machine).map_or("?", String::as_str)
    }
}

impl Causes {
    fn add(&mut self, weather: &Weather, one: usize, other: usize) {
        self.one_way |= weather.is_one_way(one, other);
        self.loss = self.loss.max(weather.loss);
    }

    fn text(self) -> String {
        let mut parts = Vec::new();
        if self.met {
            parts.push("after they could not see each other".to_owned());
        }
        if self.one_way {
            parts.push("while one does not hear the other".to_owned());
        }
        if self.loss > 0 {
            parts.push(format!("while {}% of the packets are lost", self.loss));
        }
        if parts.is_empty() { "where every packet arrives".to_owned() } else { parts.join(" and ") }
    }
}

/// When both had it, from when to when.
fn together(held: &[Held], one: usize, other: usize) -> Vec<(Duration, Duration)> {
    let mut found: Vec<(Duration, Duration)> = Vec::new();
    for held in held.iter().filter(|held| held.by.contains(&one) && held.by.contains(&other)) {
        match found.last_mut().filter(|last| last.1 == held.from) {
            Some(last) => last.1 = held.to,
            None => found.push((held.from, held.to)),
        }
    }
    found
}

/// How many packets in a row are lost once in a million times.
fn in_a_row(percent: u32) -> u32 {
    let mut chance = 1_000_000_u64;
    let mut count = 0;
    while percent > 0 && chance > 0 && count < 60 {
        chance = chance * u64::from(percent.min(100)) / 100;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Found;

    const SECOND: Duration = Duration::from_secs(1);

    fn promise() -> Promise {
        Promise {
            names: vec!["a".to_owned(), "b".to_owned()],
            two: Some(SECOND * 3),
            interval: SECOND,
            deaf: SECOND * 5,
            takeover: SECOND * 6,
            refresh: SECOND * 10,
        }
    }

    fn done(steps: &[(u32, Act)]) -> Vec<Done> {
        steps.iter().map(|(at, act)| Done { from: SECOND * *at, to: SECOND * *at, act: act.clone() }).collect()
    }

    fn both(from: u32, to: u32) -> Vec<Held> {
        vec![Held { from: SECOND * from, to: SECOND * to, by: BTreeSet::from([0, 1]) }]
    }

    fn two(steps: &[(u32, Act)], from: u32, to: u32) -> usize {
        promise().two_holders(&done(steps), &both(from, to), Duration::ZERO).len()
    }

    fn nobody(steps: &[(u32, Act)], from: u32, to: u32) -> usize {
        promise().nobody(&done(steps), &[], &[(SECOND * from, SECOND * to)], Duration::ZERO).len()
    }

    #[test]
    fn where_every_packet_arrives_the_lease_bounds_two() {
        assert_eq!((two(&[], 20, 23), two(&[], 20, 24)), (0, 1));
        let found = promise().two_holders(&[], &both(20, 24), Duration::ZERO);
        assert_eq!(found[0].at, SECOND * 23);
        assert_eq!(
            found[0].text,
            "a and b both had the address for more than 3.00 s, the bound where every packet arrives"
        );
    }

    #[test]
    fn two_that_see_nothing_of_each_other_are_not_bounded_until_they_meet() {
        let apart = [(10, Act::Cut(0, 1)), (10, Act::Cut(1, 0)), (50, Act::Heal)];
        assert_eq!((two(&apart, 14, 54), two(&apart, 14, 55)), (0, 1));
        let aside = [(10, Act::Isolate(1)), (50, Act::Heal)];
        assert_eq!((two(&aside, 14, 54), two(&aside, 14, 55)), (0, 1));
    }

    #[test]
    fn whoever_is_not_heard_yields_after_some_intervals() {
        for act in [Act::Cut(0, 1), Act::Filter(0, 1), Act::Filter(1, 0)] {
            let steps = [(10, act)];
            assert_eq!((two(&steps, 14, 22), two(&steps, 14, 23)), (0, 1));
        }
    }

    #[test]
    fn where_packets_are_lost_so_many_in_a_row_are_borne() {
        assert_eq!((in_a_row(0), in_a_row(30), in_a_row(50), in_a_row(100)), (0, 12, 20, 60));
        let steps = [(10, Act::Loss(30)), (100, Act::Loss(0))];
        assert_eq!((two(&steps, 20, 35), two(&steps, 20, 36)), (0, 1));
        assert_eq!(two(&steps, 110, 114), 1, "it is over");
    }

    #[test]
    fn nobody_may_be_missing_while_a_node_is_fit() {
        assert_eq!((nobody(&[], 20, 26), nobody(&[], 20, 27)), (0, 2));
        let dead = [(18, Act::KillAll(0)), (19, Act::Freeze(1))];
        assert_eq!(nobody(&dead, 20, 90), 0, "none is fit");
        let thawed = [(18, Act::KillAll(0)), (19, Act::Freeze(1)), (30, Act::Thaw(1))];
        assert_eq!((nobody(&thawed, 20, 39), nobody(&thawed, 20, 40)), (0, 1));
    }

    #[test]
    fn whoever_cannot_be_reached_or_serve_is_not_fit() {
        let broken = |machine, probe: &str| Act::Probe {
            machine,
            policy: "check".to_owned(),
            probe: probe.to_owned(),
            found: Found::Down,
        };
        for act in [
            Act::Pull(1, None),
            Act::Mute(1, true),
            Act::Isolate(1),
            Act::PowerOff(1),
            Act::Kill(1),
            Act::Stop(1),
            broken(1, "http"),
            broken(1, "ping"),
        ] {
            let text = format!("{act:?}");
            assert_eq!(nobody(&[(15, Act::Kill(0)), (15, act)], 16, 60), 0, "{text}");
        }
        assert_eq!(nobody(&[(15, Act::Kill(0))], 16, 60), 1);
    }

    #[test]
    fn one_that_is_told_to_stop_while_it_is_frozen_is_not_started_beside() {
        let steps =
            [(15, Act::Kill(0)), (16, Act::Freeze(1)), (17, Act::Stop(1)), (18, Act::Start(1)), (19, Act::Thaw(1))];
        assert_eq!(nobody(&steps, 20, 90), 0);
        let again: Vec<(u32, Act)> = steps.iter().cloned().chain([(30, Act::Start(1))]).collect();
        assert_eq!(nobody(&again, 20, 90), 1);
    }

    #[test]
    fn too_many_deletions_send_it_away_for_a_minute() {
        let mut steps = vec![(15, Act::Kill(0))];
        steps.extend((20..25).map(|at| (at, Act::Delete(1))));
        steps.push((95, Act::Heal));
        assert_eq!((nobody(&steps, 25, 90), nobody(&steps, 25, 130)), (0, 1));
    }

    #[test]
    fn after_two_had_it_the_client_may_wait_for_the_next_announcement() {
        let nobody = |from: u32, to: u32| {
            promise().nobody(&[], &both(10, 12), &[(SECOND * from, SECOND * to)], Duration::ZERO).len()
        };
        assert_eq!((nobody(20, 36), nobody(20, 37)), (0, 2));
        assert_eq!(nobody(40, 47), 2);
    }
}
