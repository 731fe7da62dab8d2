//! Storms: random faults from a seed against the machines of a scenario, then calm. After every step the invariants must hold;
//! in the end whoever is fit and comes first must lead ([`oracle`](super::oracle)).
//!
//! A storm is a scenario like any other, so what it finds can be shrunk, printed, and played again.

use std::time::Duration;

use super::{
    Act, Found, Hangs, Happening, Kind, Mishap, Mutation, Node, Reload, Scenario, Step, World, oracle,
    scenario::{Claim as Expected, Expectation},
    world::BEGINNING,
};
use crate::{
    config::{Claim, Instance, Lease, OnConflict, Preempt, Preference, WitnessMode, lease_length},
    policy::Engine,
    wire::Priority,
};

/// Before the storm everybody settles.
const SETTLING: Duration = Duration::from_secs(10);
/// How long it may take after the storm until all is as it should be: deletions send a node away for a minute, a deaf peer
/// is let be for a while, and whoever fell again and again backs off.
const PATIENCE: Duration = Duration::from_secs(400);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long it must stay so.
const STAYS: Duration = Duration::from_secs(20);
/// How long two may have the address where a witness decides: while one hands over to the other it is up to 20 ms after it has heard
/// that, and the rest is for packets on their way.
const HANDOVER: Duration = Duration::from_millis(40);
/// The longest pause between two faults.
pub(super) const PAUSE_MS: u64 = 4000;

/// What rages.
#[derive(Clone, Copy)]
enum Weather {
    /// Everything there is.
    Wild,
    /// Machines freeze and addresses are deleted, but every packet arrives: then two holders are bounded at every moment.
    Freezes,
    /// As freezes, and somebody sends advertisements that are not his to send.
    Strangers,
    /// As freezes, and advertisements are filtered while questions and answers pass.
    Filters,
    /// For pairs with a witness: nothing passes between the nodes, one way or either, and nodes end and begin. Whatever becomes of
    /// the witness, two holders are but a handover.
    Partings,
}

/// Chance that has nothing to do with that of the world.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Self(seed.wrapping_add(0x51).wrapping_mul(0xd134_2543_de82_ef95) | 1);
        dice.roll(2);
        dice
    }

    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % below.max(1)
    }

    pub(super) fn index(&mut self, below: usize) -> usize {
        usize::try_from(self.roll(u64::try_from(below).unwrap_or(u64::MAX))).unwrap_or_default()
    }
}

/// A storm over these machines: its steps end with calm, after which only what is looked at counts.
#[must_use]
pub fn storm(nodes: &[Node], seed: u64, length: Duration) -> Scenario {
    let mut dice = Dice::new(seed);
    let weather = match dice.roll(6) {
        0 => Weather::Freezes,
        1 => Weather::Strangers,
        2 => Weather::Filters,
        3 | 4 if are_all(nodes, WitnessMode::Arbiter) => Weather::Partings,
        _ => Weather::Wild,
    };
    let has_witness = nodes.iter().any(|node| node.setup.config.witness.is_some());
    // Whoever has lost all that it knew gives a key away that counts for its holder still.
    let forgets = has_witness && dice.roll(4) == 0;
    let mut steps = Vec::new();
    let mut at = SETTLING;
    while at < SETTLING + length {
        let act = match weather {
            Weather::Wild if has_witness && dice.roll(6) == 0 => Some(Act::Witness(mishap(&mut dice, nodes, forgets))),
            Weather::Partings if dice.roll(3) == 0 => {
                let acts = meet_or_part(&mut dice, nodes.len());
                steps.extend(acts.into_iter().map(|act| Step { at, line: 0, what: Happening::Do(act) }));
                None
            }
            Weather::Partings if dice.roll(2) == 0 => Some(Act::Witness(mishap(&mut dice, nodes, false))),
            Weather::Partings => Some(begin_or_end(&mut dice, nodes)),
            Weather::Wild => wild(&mut dice, nodes),
            Weather::Freezes => freeze(&mut dice, nodes),
            Weather::Strangers if dice.roll(3) == 0 => forge(&mut dice, nodes),
            Weather::Filters if dice.roll(2) == 0 => filter(&mut dice, nodes),
            Weather::Strangers | Weather::Filters => freeze(&mut dice, nodes),
        };
        steps.extend(act.into_iter().map(|act| Step { at, line: 0, what: Happening::Do(act) }));
        at += Duration::from_millis(dice.roll(PAUSE_MS));
    }
    let at = SETTLING + length;
    steps.push(Step { at, line: 0, what: Happening::Do(Act::Calm) });
    steps.extend(unfit(&mut dice, nodes).map(|act| Step { at, line: 0, what: Happening::Do(act) }));
    let end = at + PATIENCE;
    let expectation = Expectation { instance: None, claim: Expected::Well };
    steps.push(Step { at: end, line: 0, what: Happening::Expect(expectation) });
    let kernel_late = Duration::from_millis(dice.roll(1000));
    let two_at_most = match weather {
        _ if are_all(nodes, WitnessMode::Strict) => (!forgets).then_some(HANDOVER),
        Weather::Partings => Some(HANDOVER),
        Weather::Wild => None,
        Weather::Freezes | Weather::Strangers => bound(nodes, kernel_late),
        Weather::Filters => bound(nodes, kernel_late).map(|bound| bound.max(deaf(nodes))),
    };
    Scenario { seed, nodes: nodes.to_vec(), steps, end, kernel_late, two_at_most }
}

/// Whether a witness decides about everything, and how.
fn are_all(nodes: &[Node], mode: WitnessMode) -> bool {
    let mut instances = nodes.iter().flat_map(|node| &node.setup.config.instances);
    let is_so = |instance: &Instance| instance.witness.is_some_and(|witness| witness.mode == mode);
    nodes.iter().all(|node| node.setup.kind == Kind::Ha) && instances.all(is_so)
}

/// One does not hear another one any more, one hears nothing at all, nobody hears anybody, or everybody does.
fn meet_or_part(dice: &mut Dice, all: usize) -> Vec<Act> {
    let pairs = (0..all).flat_map(|from| (0..all).map(move |to| (from, to)));
    let cuts: Vec<Act> = pairs.filter(|(from, to)| from != to).map(|(from, to)| Act::Cut(from, to)).collect();
    match dice.roll(6) {
        0 => cuts.get(dice.index(cuts.len())).cloned().into_iter().collect(),
        1 | 2 => cuts,
        3 => {
            let deaf = dice.index(all);
            let to = |act: &Act| matches!(act, Act::Cut(_, to) if *to == deaf);
            let unheard = Act::Witness(Mishap::Unheard(deaf));
            cuts.into_iter().filter(to).chain([unheard]).collect()
        }
        _ => vec![Act::Heal],
    }
}

/// What an address does not outlive: the keeper lets go for a dead daemon.
fn begin_or_end(dice: &mut Dice, nodes: &[Node]) -> Act {
    let machine = dice.index(nodes.len());
    match dice.roll(6) {
        0 => Act::Kill(machine),
        1 => Act::Stop(machine),
        2 => Act::PowerOff(machine),
        _ => Act::Start(machine),
    }
}

/// Now and then one machine is not fit in the end, and another one must lead.
fn unfit(dice: &mut Dice, nodes: &[Node]) -> Option<Act> {
    let machine = dice.index(nodes.len());
    match dice.roll(6) {
        0 => Some(Act::Pull(machine, None)),
        1 => Some(Act::PowerOff(machine)),
        2 => rule(dice, nodes, machine, Found::Down),
        _ => None,
    }
}

fn freeze(dice: &mut Dice, nodes: &[Node]) -> Option<Act> {
    let machine = dice.index(nodes.len());
    Some(match dice.roll(5) {
        0 => Act::Freeze(machine),
        1 | 2 => Act::Thaw(machine),
        3 => Act::Delete(machine),
        _ => Act::Clock(machine, i64::try_from(dice.roll(7200)).unwrap_or_default() - 3600),
    })
}

fn filter(dice: &mut Dice, nodes: &[Node]) -> Option<Act> {
    let (from, to) = (dice.index(nodes.len()), dice.index(nodes.len()));
    Some(if from == to { Act::Heal } else { Act::Filter(from, to) })
}

fn forge(dice: &mut Dice, nodes: &[Node]) -> Option<Act> {
    let priority = if dice.roll(3) == 0 { 1 } else { 0 };
    Some(Act::Forge { to: dice.index(nodes.len()), priority })
}

fn wild(dice: &mut Dice, nodes: &[Node]) -> Option<Act> {
    let machine = dice.index(nodes.len());
    let other = dice.index(nodes.len());
    let percent = |number: u64| u32::try_from(number).unwrap_or_default();
    Some(match dice.roll(27) {
        0 | 1 => Act::Freeze(machine),
        2 | 3 => Act::Thaw(machine),
        4 => Act::Pull(machine, None),
        5 | 6 => Act::Plug(machine, None),
        7 if machine != other => Act::Cut(machine, other),
        8 => Act::Isolate(machine),
        7 | 9 if machine != other => Act::Filter(machine, other),
        7 | 9 | 10 | 11 => Act::Heal,
        12 => Act::Delete(machine),
        13 => Act::Loss(percent(dice.roll(30))),
        14 => Act::Duplicates(percent(dice.roll(20))),
        15 => Act::Kill(machine),
        16 => Act::KillAll(machine),
        17 => Act::Stop(machine),
        18 | 19 => Act::Start(machine),
        20 => Act::Mute(machine, dice.roll(2) == 1),
        21 => Act::Slow(machine, Duration::from_millis(dice.roll(2) * dice.roll(400))),
        22 => return reload(dice, nodes, machine),
        23 | 24 => {
            let found = [Found::Up, Found::Down, Found::Blind][dice.index(3)];
            return rule(dice, nodes, machine, found);
        }
        25 => return slow_policy(dice, nodes, machine),
        _ => Act::PowerOff(machine),
    })
}

/// What befalls the witness is over about as often as it begins.
fn mishap(dice: &mut Dice, nodes: &[Node], forgets: bool) -> Mishap {
    let machine = dice.index(nodes.len());
    match dice.roll(10) {
        0 => Mishap::Down,
        1 | 2 => Mishap::Unreachable(machine),
        3 => Mishap::Unheard(machine),
        4 => Mishap::Slow(Duration::from_millis(dice.roll(800))),
        5 if forgets => Mishap::Forgets,
        _ => Mishap::Up,
    }
}

fn reload(dice: &mut Dice, nodes: &[Node], machine: usize) -> Option<Act> {
    let owner = nodes.get(machine)?.setup.config.instances.iter().any(|instance| instance.priority.is_owner());
    let priority = u8::try_from(1 + dice.roll(254)).ok().and_then(Priority::new);
    Some(match priority.filter(|_| !owner && dice.roll(2) == 0) {
        Some(priority) => Act::Reload(machine, Reload::Priority(priority)),
        None => Act::Reload(machine, Reload::Same),
    })
}

fn rule(dice: &mut Dice, nodes: &[Node], machine: usize, found: Found) -> Option<Act> {
    let policies: Vec<_> = nodes.get(machine)?.setup.policies.values().collect();
    let policy = policies.get(dice.index(policies.len()))?;
    let rules = policy.rules_named();
    let rule = rules.get(dice.index(rules.len()))?.name.clone();
    Some(Act::Rule { machine, policy: policy.name().to_owned(), rule, found })
}

fn slow_policy(dice: &mut Dice, nodes: &[Node], machine: usize) -> Option<Act> {
    let policies: Vec<_> = nodes.get(machine)?.setup.policies.keys().collect();
    let policy = (*policies.get(dice.index(policies.len()))?).clone();
    Some(match dice.roll(3) {
        0 => Act::Takes { machine, policy, time: Duration::from_millis(1 + dice.roll(3000)) },
        // Of every second machine nobody says so, but by keepalived, which asks itself.
        1 if machine % 2 == 1 && nodes.get(machine)?.setup.kind == Kind::Ha => {
            Act::Hangs { machine, policy, hangs: Hangs::Untold }
        }
        1 => Act::Hangs { machine, policy, hangs: Hangs::Told },
        _ => Act::Hangs { machine, policy, hangs: Hangs::No },
    })
}

/// How long two may hold at a time where every packet arrives; `None`: the configuration does not bound it.
pub(super) fn bound(nodes: &[Node], late: Duration) -> Option<Duration> {
    let mut bound = Duration::from_millis(30);
    if nodes.iter().any(|node| node.setup.kind == Kind::Keepalived) {
        return None;
    }
    for instance in nodes.iter().flat_map(|node| &node.setup.config.instances) {
        let doubtful = instance.prefer == Preference::Availability || instance.on_conflict == OnConflict::Steal;
        if doubtful || instance.claim == Claim::Off || instance.lease == Lease::Off {
            return None;
        }
        // Preemption does not look: whoever freezes while it is preempted holds until its lease ends (R3).
        let lease = lease_length(instance, None).length?;
        if instance.preempt != Preempt::Never {
            bound = bound.max(lease + late + Duration::from_millis(30));
        }
    }
    Some(bound)
}

/// How long a master that preempted goes on beside one that does not hear it (R19).
pub(super) fn deaf(nodes: &[Node]) -> Duration {
    let instances = nodes.iter().flat_map(|node| &node.setup.config.instances);
    let instances = instances.filter(|instance| instance.preempt != Preempt::Never);
    let longest = instances.map(|instance| instance.advertise.as_duration() * 5 + Duration::from_millis(100)).max();
    longest.unwrap_or_default()
}

/// Plays a storm, and lets it end early once all is well again. What must hold and did not; empty: all is well.
#[must_use]
pub fn rage(scenario: &Scenario, engine: &Engine, mutation: Option<Mutation>) -> World {
    let mut world = scenario.world(engine, mutation);
    for step in &scenario.steps {
        match &step.what {
            Happening::Do(act) => {
                world.run_until(BEGINNING + step.at);
                world.perform(act);
            }
            Happening::Expect(_) => settle(&mut world, BEGINNING + step.at),
        }
        if !world.violations.is_empty() {
            return world;
        }
    }
    if !scenario.steps.iter().any(|step| matches!(step.what, Happening::Expect(_))) {
        world.run_until(BEGINNING + scenario.end);
    }
    world
}

/// Until all is as it should be, and stays so.
fn settle(world: &mut World, end: crate::words::Instant) {
    loop {
        world.run_for(LOOK_EVERY);
        if !world.violations.is_empty() {
            return;
        }
        let found = oracle::look(world);
        match found {
            Ok(()) => break,
            Err(why) if world.now >= end => return world.violated(None, "leader", why),
            Err(_) => {}
        }
    }
    // Once may be chance, while something is about to change.
    world.run_for(STAYS);
    match oracle::look(world) {
        Err(why) if world.now < end => {
            world.note_of_all(super::What::Note(format!("not yet: {why}")));
            settle(world, end);
        }
        Err(why) => world.violated(None, "leader", why),
        Ok(()) => {}
    }
}
