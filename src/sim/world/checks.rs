//! What must hold after every step, whatever happens.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;

use super::{World, patience::ADOPTING};
use crate::{
    node::{Hold, Lifetime, Role},
    sim::log::What,
    words::{Instant, readable},
};

/// Turns at one moment in which something stays due: more of them would be a busy loop.
const SPINS_MAX: u32 = 8;
/// How long after it has taken its addresses a master may not have announced them.
const SILENT_MAX: Duration = Duration::from_secs(1);
/// How long members of a group may differ: the longest time of handing over, and what follows from it.
const APART_MAX: Duration = Duration::from_millis(1150);
/// How long somebody who starts may take to join the others of a group.
const JOINING: Duration = Duration::from_secs(9);

/// Something that must not be, and was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Since the beginning.
    pub at: Duration,
    /// Which invariant; stable.
    pub kind: &'static str,
    /// What there was instead.
    pub text: String,
}

/// Who holds an address, as the network sees it.
#[derive(Clone, Debug)]
pub(super) struct Holding {
    by: BTreeSet<usize>,
    /// Since when there have been two.
    two_since: Option<Instant>,
    told: bool,
}

impl Holding {
    pub(super) fn by(&self) -> impl Iterator<Item = usize> {
        self.by.iter().copied()
    }
}

impl World {
    pub(in crate::sim) fn violated(&mut self, index: Option<usize>, kind: &'static str, text: String) {
        let at = self.elapsed();
        match index {
            Some(index) => self.note(index, "", What::Violated(text.clone())),
            None => self.note_of_all(What::Violated(text.clone())),
        }
        self.violations.push(Violation { at, kind, text });
    }

    /// Who holds each virtual address, of those on the network.
    #[must_use]
    pub fn holders(&self, address: &IpNet) -> Vec<usize> {
        let holds = |index: &usize| {
            let machine = &self.machines[*index];
            let mut ports = machine.ports.iter().enumerate();
            ports.any(|(at, port)| machine.is_on(at) && port.held.contains_key(address))
        };
        (0..self.machines.len()).filter(holds).collect()
    }

    /// At most one holder among those that are connected, but for a moment: where the story or the storm bounds that. For what
    /// excuses two at all see `sharing`.
    pub(super) fn count(&mut self) {
        let mut by: std::collections::BTreeMap<IpNet, BTreeSet<usize>> = std::collections::BTreeMap::new();
        for (index, machine) in self.machines.iter().enumerate() {
            for (_, port) in machine.ports.iter().enumerate().filter(|(at, _)| machine.is_on(*at)) {
                for address in port.held.keys() {
                    by.entry(*address).or_default().insert(index);
                }
            }
        }
        let now = self.now;
        let mut found = Vec::new();
        for holding in self.holders.values_mut() {
            holding.by.clear();
        }
        for (address, by) in by {
            let fresh = Holding { by: BTreeSet::new(), two_since: None, told: false };
            self.holders.entry(address).or_insert(fresh).by = by;
        }
        for (address, holding) in &mut self.holders {
            if holding.by.len() < 2 {
                (holding.two_since, holding.told) = (None, false);
                continue;
            }
            let since = *holding.two_since.get_or_insert(now);
            let long = now.saturating_since(since);
            if self.two_at_most.is_some_and(|most| long > most) && !holding.told {
                holding.told = true;
                found.push((*address, holding.by.clone(), long));
            }
        }
        for (address, by, long) in found {
            let names: Vec<&str> = by.iter().map(|index| self.machines[*index].name.as_str()).collect();
            let text = format!("{} have {} for {}", names.join(" and "), address.addr(), readable(long));
            self.violated(None, "two_holders", text);
        }
    }

    /// After a turn of a machine.
    pub(super) fn check_turn(&mut self, index: usize) {
        if let Err(why) = self.machines[index].daemon.check_invariants() {
            self.violated(Some(index), "consistent", why);
        }
        self.check_busy(index);
        self.check_holds(index);
        self.check_groups(index);
    }

    /// Addresses are held exactly while master or resigning, and a master announces them.
    fn check_holds(&mut self, index: usize) {
        let now = self.now;
        let machine = &self.machines[index];
        let mut found = Vec::new();
        for instance in &machine.config.instances {
            let role = machine.roles.get(&instance.name).copied().unwrap_or(Role::Fault);
            let held = || machine.ports.iter().flat_map(|port| port.held.keys());
            let holds = held().any(|address| instance.addresses.contains(address));
            // A new process goes on with what is here once it knows that it may (R13), or lets go of it by then.
            let decides = now <= machine.started_at + ADOPTING;
            if holds && role != Role::Master && !decides {
                found.push(("holds_as_backup", format!("{}: holds its addresses as {role}", instance.name)));
            }
            let silent = machine.took_at.get(&instance.name).is_some_and(|took| {
                let announced = machine.announced_at.get(&instance.name).is_some_and(|at| at >= took);
                // Whoever hands over calls no client back.
                let goes = machine.bids.get(&instance.name) == Some(&0);
                holds && !announced && !goes && now.saturating_since(*took) > SILENT_MAX
            });
            if silent {
                found.push((
                    "not_announced",
                    format!("{}: holds its addresses and has not announced them", instance.name),
                ));
            }
        }
        for (kind, text) in found {
            self.violated(Some(index), kind, text);
        }
    }

    /// Nothing stays due at a moment that has passed.
    fn check_busy(&mut self, index: usize) {
        let now = self.now;
        let machine = &mut self.machines[index];
        let due = machine.due_at().is_some_and(|at| at <= now);
        machine.spins = match machine.spins {
            (at, count) if due && at == now => (now, count + 1),
            _ => (now, u32::from(due)),
        };
        if machine.spins.1 > SPINS_MAX {
            self.machines[index].spins.1 = 0;
            self.violated(Some(index), "busy", "something stays due at the same moment".to_owned());
            // Otherwise time would not go on.
            self.now = self.now + Duration::from_millis(1);
        }
    }

    /// R26: the members of a group lead together and follow together.
    fn check_groups(&mut self, index: usize) {
        let now = self.now;
        let machine = &mut self.machines[index];
        let mut found = Vec::new();
        for group in &machine.config.groups {
            let mut roles = group.instances.iter().filter_map(|name| machine.roles.get(name));
            let first = roles.next();
            if roles.all(|role| Some(role) == first) {
                machine.apart_since.remove(&group.name);
                continue;
            }
            let since = *machine.apart_since.entry(group.name.clone()).or_insert(now);
            let joins = now < machine.started_at.max(machine.thawed_at) + JOINING;
            if !joins && now.saturating_since(since) > APART_MAX {
                machine.apart_since.insert(group.name.clone(), now + JOINING);
                found.push(format!("group {}: its members differ for more than {}", group.name, readable(APART_MAX)));
            }
        }
        for text in found {
            self.violated(Some(index), "group_apart", text);
        }
    }

    /// R9: held and renewed only after an advertisement went out, and written only while that is fresh.
    pub(super) fn check_hold(&mut self, index: usize, hold: &Hold) {
        let now = self.now;
        let machine = &self.machines[index];
        let Some(instance) = machine.instance(&hold.instance) else { return };
        if hold.addresses.is_empty() || hold.lifetime == Lifetime::Forever {
            return;
        }
        let interval = instance.advertise.as_duration();
        let fresh = interval + Duration::from_millis(500);
        let since = machine.sent_at.get(&hold.instance).copied().unwrap_or(Instant::ZERO);
        let mut found = Vec::new();
        if hold.not_after.is_none_or(|at| at > now + interval) {
            found.push(("late_write", format!("{}: its addresses may be written too late", hold.instance)));
        }
        if now.saturating_since(since) > fresh {
            let text = format!(
                "{}: it holds its addresses, or renews them, and nothing was sent for {}",
                hold.instance,
                readable(now.saturating_since(since))
            );
            found.push(("held_unsent", text));
        }
        for (kind, text) in found {
            self.violated(Some(index), kind, text);
        }
    }

    /// Nothing is wrong with the network, and no daemon is frozen, slow or without a voice.
    pub(super) fn is_sound(&self) -> bool {
        let machine = |machine: &super::Machine| !machine.mute && !machine.frozen && machine.slow.is_zero();
        self.air.is_clear() && self.machines.iter().all(machine)
    }
}
