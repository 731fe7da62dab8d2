//! What must be served, and by when, as an outside observer sees it: looked at after every step, whatever is going on.
//!
//! `unserved`: nobody has an address although a machine could have had it for longer than that takes. Nothing about the network
//! excuses that, for whoever hears nobody takes; what hinders the machine itself does. What else is demanded stands in `handover`
//! and `kept`. How long each may take is a sum of named times (`patience`).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Kind, Machine, World,
    handover::Handover,
    judging::{Hangs, Judging},
    kept::Keeping,
};
use crate::{
    config::Instance,
    policy::{Report, Verdict},
    wire::Priority,
    words::{Family, Instant, readable},
};

/// So many deletions within a minute send a node away for another one (R11).
const DELETIONS: usize = 5;
const MINUTE: Duration = Duration::from_secs(60);
/// An evaluation that takes longer may be late for a takeover.
const PROMPT: Duration = Duration::from_millis(5);
/// A witness that takes longer is not well.
const ANSWERS_WITHIN: Duration = Duration::from_millis(50);

/// What is remembered of everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Promised {
    /// Of each machine.
    seen: BTreeMap<usize, Seen>,
    /// Of each instance of each machine, by number.
    watches: BTreeMap<(usize, usize), Watch>,
    /// Addresses that nobody has.
    vacant: BTreeMap<IpNet, Vacancy>,
    pub(super) handovers: Vec<Handover>,
}

/// What was seen of a machine.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Something of another machine arrived, or was forged.
    pub(super) heard_at: Instant,
    /// It could not send, or was not plugged in.
    pub(super) hindered_at: Instant,
    pub(super) carrier_since: Instant,
    /// It asked who has an address before it takes it.
    asked_at: Instant,
    /// Its daemon was told to stop.
    stopping: bool,
    /// Its addresses were deleted then.
    deletions: VecDeque<Instant>,
    /// When it last advertised a virtual router, other than to resign.
    spoke: BTreeMap<(u8, Family), Instant>,
}

/// What was seen of an instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// Since when nothing has stood against its serving.
    pub(super) ready: Option<Ready>,
    pub(super) keeping: Keeping,
}

/// See [`Watch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) since: Instant,
    /// What it bids.
    pub(super) rank: Priority,
    /// Since its daemon knows its configuration.
    loaded_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Vacancy {
    since: Instant,
    told: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            heard_at: Instant::ZERO,
            hindered_at: Instant::ZERO,
            carrier_since: Instant::ZERO,
            asked_at: Instant::ZERO,
            stopping: false,
            deletions: VecDeque::new(),
            spoke: BTreeMap::new(),
        }
    }
}

impl Seen {
    /// So often that it may stay away.
    fn is_deleted_too_often(&self, now: Instant) -> bool {
        self.deletions.len() >= DELETIONS && self.deletions.back().is_some_and(|last| now <= *last + MINUTE)
    }

    pub(super) fn last_deletion(&self) -> Option<Instant> {
        self.deletions.back().copied()
    }
}

impl Promised {
    pub(super) fn seen(&self, index: usize) -> Seen {
        self.seen.get(&index).cloned().unwrap_or_default()
    }

    pub(super) fn ready(&self, index: usize, nth: usize) -> Option<Ready> {
        self.watches.get(&(index, nth))?.ready
    }

    pub(super) fn watches_mut(&mut self) -> impl Iterator<Item = ((usize, usize), &mut Watch)> {
        self.watches.iter_mut().map(|(which, watch)| (*which, watch))
    }

    pub(super) fn vacant_since(&self, address: &IpNet) -> Option<Instant> {
        self.vacant.get(address).map(|vacancy| vacancy.since)
    }

    /// Something of another machine has arrived.
    pub(super) fn heard(&mut self, now: Instant, index: usize) {
        self.seen.entry(index).or_default().heard_at = now;
    }

    /// It has advertised.
    pub(super) fn spoke(&mut self, now: Instant, index: usize, instance: &Instance) {
        let router = (instance.vrid.get(), instance.family);
        self.seen.entry(index).or_default().spoke.insert(router, now);
    }

    /// It asks who has an address.
    pub(super) fn asked(&mut self, now: Instant, index: usize) {
        self.seen.entry(index).or_default().asked_at = now;
    }

    /// How many others have asked since.
    fn rivals_since(&self, but: usize, since: Instant) -> u32 {
        let rivals = self.seen.iter().filter(|(index, seen)| **index != but && seen.asked_at >= since);
        u32::try_from(rivals.count()).unwrap_or(u32::MAX)
    }

    /// It is told to stop.
    pub(super) fn stopped(&mut self, index: usize) {
        self.seen.entry(index).or_default().stopping = true;
    }

    /// Somebody has deleted its addresses, on so many interfaces.
    pub(super) fn deleted(&mut self, now: Instant, index: usize, ports: usize) {
        let deletions = &mut self.seen.entry(index).or_default().deletions;
        deletions.extend(std::iter::repeat_n(now, ports));
        // Those that may have sent it away count for as long as it is away.
        while deletions.front().is_some_and(|at| *at + MINUTE * 2 < now) {
            deletions.pop_front();
        }
    }

    /// When another machine last spoke for one of these virtual routers.
    fn last_word(&self, but: usize, instances: &[&Instance]) -> Instant {
        let others = self.seen.iter().filter(|(index, _)| **index != but);
        let words = others.flat_map(|(_, seen)| {
            instances.iter().filter_map(|instance| seen.spoke.get(&(instance.vrid.get(), instance.family)))
        });
        words.copied().max().unwrap_or(Instant::ZERO)
    }
}

impl World {
    /// After every step: what was so until now is judged, and what is so from now on is seen.
    pub(super) fn look_at_promises(&mut self) {
        let mut promised = std::mem::take(&mut self.promised);
        let mut found = self.unserved(&mut promised);
        found.extend(self.late_handovers(&mut promised));
        found.extend(self.not_kept(&mut promised));
        self.observe(&mut promised);
        self.promised = promised;
        self.look_at_sharing();
        self.looked_at = self.now;
        for (index, kind, text) in found {
            self.violated(index, kind, text);
        }
    }

    /// Nobody has had an address for longer than somebody needs to take it.
    fn unserved(&self, promised: &mut Promised) -> Vec<(Option<usize>, &'static str, String)> {
        let mut found = Vec::new();
        let mut vacant = std::mem::take(&mut promised.vacant);
        for (address, vacancy) in vacant.iter_mut().filter(|(_, vacancy)| !vacancy.told) {
            for ((index, nth), ready) in
                promised.watches.iter().filter_map(|(which, watch)| Some((*which, watch.ready?)))
            {
                let Some(instance) = self.machines[index].config.instances.get(nth) else { continue };
                if !instance.held_addresses().any(|held| held == address) || instance.is_untracked(address) {
                    continue;
                }
                let machine = &self.machines[index];
                let word = promised.last_word(index, &machine.together_with(instance));
                let base = ready.since.max(vacancy.since).max(word).max(machine.forged_at);
                let since = (base, promised.rivals_since(index, base));
                let sum = self.patience_of(index, instance, &promised.seen(index), ready.rank, since);
                if self.now <= base + sum.total() {
                    continue;
                }
                vacancy.told = true;
                let text = format!(
                    "{}: nobody has had {} for {}; {} has been fit and nobody has spoken for {}, and takes it within {sum}",
                    instance.name,
                    address.addr(),
                    readable(self.now.saturating_since(vacancy.since)),
                    machine.name,
                    readable(self.now.saturating_since(base))
                );
                found.push((None, "unserved", text));
                break;
            }
        }
        promised.vacant = vacant;
        found
    }

    fn observe(&self, promised: &mut Promised) {
        let now = self.now;
        let mut vacant = BTreeMap::new();
        for (index, machine) in self.machines.iter().enumerate() {
            let seen = promised.seen.entry(index).or_default();
            let is_plugged = machine.ports.iter().all(|port| port.plugged);
            if machine.mute || !is_plugged {
                seen.hindered_at = now;
            }
            if !is_plugged || !machine.powered {
                seen.carrier_since = now;
            }
            seen.stopping &= machine.alive;
            let is_away = seen.stopping || seen.is_deleted_too_often(now);
            for (nth, instance) in machine.config.instances.iter().enumerate() {
                let rank = self.could_serve(index, instance).filter(|_| !is_away);
                let watch = promised.watches.entry((index, nth)).or_default();
                let fresh = rank.map(|rank| Ready { since: now, rank, loaded_at: machine.started_at });
                let goes_on = |before: &Ready| fresh == Some(Ready { since: now, ..*before });
                watch.ready = watch.ready.filter(goes_on).or(fresh);
                self.see_keeping(index, instance, watch);
                for address in instance.held_addresses().filter(|_| !instance.priority.is_owner()) {
                    if !self.is_held(address) {
                        let known = promised.vacant.get(address).copied();
                        vacant.insert(*address, known.unwrap_or(Vacancy { since: now, told: false }));
                    }
                }
            }
        }
        promised.vacant = vacant;
    }

    /// Somebody has it, as the network sees it.
    pub(super) fn is_held(&self, address: &IpNet) -> bool {
        let has = |machine: &Machine| {
            let mut ports = machine.ports.iter().enumerate();
            ports.any(|(at, port)| machine.is_on(at) && port.held.contains_key(address))
        };
        self.machines.iter().any(has)
    }

    /// Nothing stands against it, neither in the machine nor in what its policies see; what it bids then.
    fn could_serve(&self, index: usize, instance: &Instance) -> Option<Priority> {
        let machine = &self.machines[index];
        let together = machine.together_with(instance);
        let able = machine.kind == Kind::Ha
            && machine.runs()
            && !machine.mute
            && machine.is_prompt(self.now)
            && machine.ports.iter().all(|port| port.plugged);
        let asks = |instance: &Instance| instance.witness.is_none() || self.witness_is_well(index);
        let well = |instance: &&Instance| {
            !instance.priority.is_owner() && asks(instance) && machine.judges_of(&instance.name).all(is_content)
        };
        if !able || !together.iter().all(well) {
            return None;
        }
        let ranks = together.iter().map(|instance| machine.rank(instance));
        // What the policies of a group add is pooled.
        if together.len() > 1 { Some(Priority::LOWEST) } else { ranks.min() }
    }

    fn witness_is_well(&self, index: usize) -> bool {
        let etcd = &self.etcd;
        !etcd.down
            && etcd.takes <= ANSWERS_WITHIN
            && !etcd.away_from.contains(&index)
            && !etcd.unheard_by.contains(&index)
    }
}

impl Machine {
    /// The instance, and those of its group.
    pub(super) fn together_with<'a>(&'a self, instance: &'a Instance) -> Vec<&'a Instance> {
        let mut groups = self.config.groups.iter();
        match groups.find(|group| group.instances.contains(&instance.name)) {
            Some(group) => group.instances.iter().filter_map(|name| self.instance(name)).collect(),
            None => vec![instance],
        }
    }

    pub(super) fn judges_of<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = &'a Judging> {
        self.judges.iter().filter(move |judging| judging.instance == instance)
    }

    /// What it bids by what its policies said last.
    fn rank(&self, instance: &Instance) -> Priority {
        let add = |verdict: &Verdict| if let Verdict::Healthy { delta, .. } = verdict { *delta } else { 0 };
        let delta: i32 = self.verdicts(&instance.name).map(add).sum();
        let rank = (i32::from(instance.priority.get()) + delta).clamp(1, 254);
        u8::try_from(rank).ok().and_then(Priority::new).unwrap_or(Priority::LOWEST)
    }
}

/// It says soon that all is well, and saw all that it looked at.
fn is_content(judging: &Judging) -> bool {
    let well = |last: &Report| {
        matches!(last.verdict, Verdict::Healthy { .. })
            && last.observed_ok
            && last.error.is_none()
            && last.may_take_over != Some(false)
    };
    judging.hangs == Hangs::No && judging.takes <= PROMPT && judging.last.as_ref().is_some_and(well)
}
