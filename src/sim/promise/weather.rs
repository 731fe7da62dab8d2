//! What was wrong with machines and network at each moment, as it follows from what was done to them.

use std::{collections::BTreeSet, time::Duration};

use super::Done;
use crate::sim::{Act, Found};

/// Whoever is told to stop may still run for so long.
const STOPS: Duration = Duration::from_secs(5);
/// How long it may take until a node is fit again that was frozen, out of reach, or whose service was broken: policies evaluate it
/// twice.
const RECOVERS: Duration = Duration::from_secs(3);
/// The same after a start.
const STARTS: Duration = Duration::from_secs(4);
/// The same after a loss of the carrier, or sends that failed: it stays away for five seconds.
const COMES_BACK: Duration = Duration::from_secs(8);
/// So many deletions within a minute send a node away for another one (R11).
const DELETIONS: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);

/// Why a machine cannot serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ailment {
    /// Its daemon does not run.
    Dead,
    Frozen,
    /// It was told to stop and does so as soon as it can.
    Doomed,
    Unplugged,
    Mute,
    /// Its service is down.
    Broken,
    /// It does not see the arbiter.
    Blind,
    /// Nobody reaches it, the client neither.
    Aside,
    /// Its address was deleted too often.
    Deleted,
}

impl Ailment {
    /// How long it takes until whoever had it is fit again.
    const fn recovers(self) -> Duration {
        match self {
            Self::Frozen | Self::Broken | Self::Blind | Self::Aside => RECOVERS,
            Self::Dead | Self::Doomed => STARTS,
            Self::Unplugged | Self::Mute | Self::Deleted => COMES_BACK,
        }
    }
}

/// How everything is at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Weather {
    cut: BTreeSet<(usize, usize)>,
    filtered: BTreeSet<(usize, usize)>,
    /// So many of a hundred packets between the nodes.
    pub(super) loss: u32,
    ailments: Vec<BTreeSet<Ailment>>,
    stopped_at: Vec<Option<Duration>>,
    deleted_at: Vec<Vec<Duration>>,
}

/// How everything was from one moment to the next.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) weather: Weather,
}

impl Weather {
    fn new(machines: usize) -> Self {
        Self {
            ailments: vec![BTreeSet::new(); machines],
            stopped_at: vec![None; machines],
            deleted_at: vec![Vec::new(); machines],
            ..Self::default()
        }
    }

    /// Neither hears anything of the other.
    pub(super) fn passes_nothing(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one, other)) && self.cut.contains(&(other, one))
    }

    /// The one does not hear the other, or not everything.
    pub(super) fn is_one_way(&self, one: usize, other: usize) -> bool {
        [(one, other), (other, one)].iter().any(|way| self.cut.contains(way) || self.filtered.contains(way))
    }

    fn has(&self, machine: usize, ailment: Ailment) -> bool {
        self.ailments.get(machine).is_some_and(|all| all.contains(&ailment))
    }

    fn set(&mut self, machine: usize, ailment: Ailment, is_so: bool) {
        if let Some(all) = self.ailments.get_mut(machine) {
            if is_so {
                all.insert(ailment)
            } else {
                all.remove(&ailment)
            };
        }
    }

    /// Whether it may still be stopping.
    fn is_stopping(&self, now: Duration, machine: usize) -> bool {
        self.stopped_at.get(machine).copied().flatten().is_some_and(|at| now < at + STOPS)
    }

    fn stop(&mut self, now: Duration, machine: usize) {
        self.set(machine, Ailment::Dead, true);
        if let Some(at) = self.stopped_at.get_mut(machine) {
            *at = Some(now);
        }
    }

    fn kill(&mut self, machine: usize) {
        self.set(machine, Ailment::Dead, true);
        self.set(machine, Ailment::Frozen, false);
        self.set(machine, Ailment::Doomed, false);
        if let Some(at) = self.stopped_at.get_mut(machine) {
            *at = None;
        }
    }

    fn apply(&mut self, now: Duration, act: &Act) {
        match act {
            Act::Pull(machine, _) => self.set(*machine, Ailment::Unplugged, true),
            Act::Plug(machine, _) => self.set(*machine, Ailment::Unplugged, false),
            Act::Cut(from, to) => drop(self.cut.insert((*from, *to))),
            Act::Filter(from, to) => drop(self.filtered.insert((*from, *to))),
            Act::Isolate(machine) => self.separate(&[*machine]),
            Act::Partition(side) => self.separate(side),
            Act::Heal => self.heal(),
            Act::Loss(percent) => self.loss = *percent,
            Act::Freeze(machine) => {
                // Whoever stops just now goes on stopping when it wakes.
                let doomed = self.has(*machine, Ailment::Dead) && self.is_stopping(now, *machine);
                self.set(*machine, Ailment::Frozen, true);
                self.set(*machine, Ailment::Doomed, doomed || self.has(*machine, Ailment::Doomed));
            }
            Act::Thaw(machine) => {
                self.set(*machine, Ailment::Frozen, false);
                if self.has(*machine, Ailment::Doomed) {
                    self.set(*machine, Ailment::Doomed, false);
                    self.stop(now, *machine);
                }
            }
            Act::Kill(machine) | Act::KillAll(machine) | Act::PowerOff(machine) => self.kill(*machine),
            Act::Stop(machine) if self.has(*machine, Ailment::Frozen) => self.set(*machine, Ailment::Doomed, true),
            Act::Stop(machine) => self.stop(now, *machine),
            // Nothing is started beside one that is about to stop.
            Act::Start(machine) if self.has(*machine, Ailment::Doomed) || self.is_stopping(now, *machine) => {}
            Act::Start(machine) => self.set(*machine, Ailment::Dead, false),
            Act::Mute(machine, mute) => self.set(*machine, Ailment::Mute, *mute),
            Act::Delete(machine) => self.delete(now, *machine),
            Act::Probe { machine, probe, found, .. } => {
                let ailment = if probe.starts_with("http") { Ailment::Broken } else { Ailment::Blind };
                self.set(*machine, ailment, *found != Found::Up);
            }
            Act::Calm => self.calm(),
            // Chaos has none of them.
            Act::Duplicates(_)
            | Act::Delay(..)
            | Act::Slow(..)
            | Act::Clock(..)
            | Act::Rule { .. }
            | Act::Takes { .. }
            | Act::Misplace(_)
            | Act::Hangs { .. }
            | Act::Reload(..)
            | Act::Witness(_)
            | Act::Forge { .. } => {}
        }
    }

    fn separate(&mut self, side: &[usize]) {
        for machine in side {
            self.set(*machine, Ailment::Aside, true);
            let others = (0..self.ailments.len()).filter(|other| !side.contains(other));
            self.cut.extend(others.flat_map(|other| [(*machine, other), (other, *machine)]));
        }
    }

    fn heal(&mut self) {
        self.cut.clear();
        self.filtered.clear();
        (0..self.ailments.len()).for_each(|machine| self.set(machine, Ailment::Aside, false));
    }

    fn delete(&mut self, now: Duration, machine: usize) {
        let Some(times) = self.deleted_at.get_mut(machine) else { return };
        times.push(now);
        let many = times.iter().filter(|at| **at + MINUTE >= now).count() >= DELETIONS;
        self.set(machine, Ailment::Deleted, many || self.has(machine, Ailment::Deleted));
    }

    /// Whoever was deleted too often comes back after a minute.
    fn forget(&mut self, now: Duration) {
        for machine in 0..self.ailments.len() {
            let last = self.deleted_at.get(machine).and_then(|times| times.last().copied());
            if last.is_none_or(|at| at + MINUTE < now) {
                self.set(machine, Ailment::Deleted, false);
            }
        }
    }

    fn calm(&mut self) {
        self.heal();
        self.loss = 0;
        for machine in &mut self.ailments {
            machine.retain(|ailment| *ailment == Ailment::Deleted);
        }
        self.stopped_at.iter_mut().for_each(|at| *at = None);
    }
}

/// Whether something is wrong from the beginning of it; what mends counts from its end.
const fn breaks(act: &Act) -> bool {
    !matches!(
        act,
        Act::Plug(..)
            | Act::Heal
            | Act::Loss(0)
            | Act::Thaw(_)
            | Act::Start(_)
            | Act::Mute(_, false)
            | Act::Probe { found: Found::Up, .. }
            | Act::Calm
    )
}

/// How everything was until `end`, piece by piece.
pub(super) fn spells(machines: usize, done: &[Done], end: Duration) -> Vec<Spell> {
    let mut weather = Weather::new(machines);
    let mut spells = Vec::new();
    let mut since = Duration::ZERO;
    for Done { from, to, act } in done {
        let at = if breaks(act) { *from } else { *to };
        if at > since {
            spells.push(Spell { from: since, to: at, weather: weather.clone() });
            since = at;
        }
        weather.apply(at, act);
        weather.forget(at);
    }
    spells.push(Spell { from: since, to: end.max(since), weather });
    spells
}

/// When a machine was fit, and had had the time to find that out.
pub(super) fn fit(spells: &[Spell], machine: usize) -> Vec<(Duration, Duration)> {
    let mut found = Vec::new();
    let mut ready = COMES_BACK;
    for spell in spells {
        let ailments = spell.weather.ailments.get(machine);
        if ailments.is_some_and(BTreeSet::is_empty) {
            found.push((ready.max(spell.from), spell.to));
            continue;
        }
        let recovers = ailments.into_iter().flatten().copied().map(Ailment::recovers).max().unwrap_or_default();
        ready = ready.max(spell.to + recovers);
    }
    // Pieces that touch are one.
    let mut merged: Vec<(Duration, Duration)> = Vec::new();
    for (from, to) in found.into_iter().filter(|(from, to)| from < to) {
        match merged.last_mut().filter(|last| last.1 == from) {
            Some(last) => last.1 = to,
            None => merged.push((from, to)),
        }
    }
    merged
}
