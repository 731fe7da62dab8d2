//! Gates before held addresses where the kernel's whole seconds are too long a lease (R9): put there when the addresses are,
//! kept open by each advertisement that was sent, gone with the addresses.
//!
//! A machine that cannot have one goes on without: then the lease of whole seconds is all there is, and it is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    config::{Config, Instance, lease_length},
    linux::{Gates, GuardTable, Guards},
    node::Hold,
    words::InterfaceName,
};

/// The gate of an instance.
#[must_use]
pub fn gate_of(instance: &Instance) -> Option<GuardTable> {
    lease_length(instance, None).gate.map(|_| GuardTable::gate_of(&instance.interface, instance.vrid, instance.family))
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Gatekeeper {
    gates: Option<Gates>,
    guards: Option<Guards>,
    plans: BTreeMap<String, Plan>,
    /// Whose gate is there, and before what.
    there: BTreeMap<String, BTreeMap<InterfaceName, BTreeSet<IpAddr>>>,
    /// Whose could not be put there; it was said.
    without: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    table: GuardTable,
    open_for: Duration,
}

impl Gatekeeper {
    pub(super) fn new(config: &Config) -> Self {
        Self { plans: plans(config), ..Self::default() }
    }

    /// A gate that changes is put there anew with the next renewal of the addresses; one that is not wanted any more goes.
    /// One that stays is whoever's has its table now. Returns what to tell.
    pub(super) fn reconfigure(&mut self, config: &Config) -> Vec<String> {
        let old = std::mem::replace(&mut self.plans, plans(config));
        let (mut there, without) = (std::mem::take(&mut self.there), std::mem::take(&mut self.without));
        let mut notes = Vec::new();
        for (before, plan) in old {
            let there = there.remove(&before);
            let stays = self.plans.iter().find(|(_, new)| **new == plan).map(|(name, _)| name.clone());
            match (stays, there) {
                (Some(name), Some(there)) => drop(self.there.insert(name, there)),
                (Some(name), None) if without.contains(&before) => drop(self.without.insert(name)),
                (None, Some(_)) => notes.extend(self.take_away(&plan.table)),
                (Some(_) | None, None) => {}
            }
        }
        notes
    }

    /// The tables that may be there.
    pub(super) fn tables(&self) -> impl Iterator<Item = &GuardTable> {
        self.there.keys().filter_map(|instance| self.plans.get(instance)).map(|plan| &plan.table)
    }

    /// Before addresses are held, which follows an advertisement that was sent. Returns what to tell.
    pub(super) fn before(&mut self, hold: &Hold) -> Option<String> {
        let plan = self.plans.get(&hold.instance)?;
        if hold.addresses.is_empty() {
            return None;
        }
        let there = self.there.get(&hold.instance);
        let addresses: BTreeSet<IpAddr> = hold.addresses.iter().map(IpNet::addr).collect();
        if there.is_some_and(|there| there.get(&hold.interface) == Some(&addresses)) {
            return None;
        }
        let mut wanted = there.cloned().unwrap_or_default();
        wanted.insert(hold.interface.clone(), addresses);
        let put = put(&mut self.gates, plan, &wanted);
        self.settled(&hold.instance, put.map(|()| wanted))
    }

    /// An advertisement of this instance was sent. Returns what to tell.
    pub(super) fn renew(&mut self, instance: &str) -> Option<String> {
        let there = self.there.get(instance)?.clone();
        let plan = self.plans.get(instance)?;
        let renewed = opened(&mut self.gates).and_then(|gates| gates.renew(&plan.table, plan.open_for));
        let Err(error) = renewed else { return None };
        // Whatever is wrong with it, another one is put in its place.
        let again = put(&mut self.gates, plan, &there).map(|()| there);
        let note = self.settled(instance, again);
        note.or_else(|| {
            Some(format!(
                "the nftables table {} was gone or changed ({error}), which keeps {instance} from answering when its daemon \
                 hangs: it is put back. Rules of this machine are better loaded without `flush ruleset`",
                self.plans.get(instance)?.table
            ))
        })
    }

    /// After addresses were let go of. Returns what to tell.
    pub(super) fn after(&mut self, hold: &Hold) -> Option<String> {
        if !hold.addresses.is_empty() {
            return None;
        }
        let table = self.plans.get(&hold.instance)?.table.clone();
        if let Some(there) = self.there.get_mut(&hold.instance) {
            there.remove(&hold.interface);
            if !there.is_empty() {
                // It lets nothing in there that nobody holds any more.
                return None;
            }
        }
        self.there.remove(&hold.instance);
        // Even one that this process did not put there.
        self.take_away(&table)
    }

    /// Takes away those of instances that hold nothing. Returns what to tell.
    pub(super) fn remove_all(&mut self, holding: &BTreeSet<String>) -> Vec<String> {
        let free: Vec<String> = self.there.keys().filter(|instance| !holding.contains(*instance)).cloned().collect();
        let mut notes = Vec::new();
        for instance in free {
            self.there.remove(&instance);
            if let Some(table) = self.plans.get(&instance).map(|plan| plan.table.clone()) {
                notes.extend(self.take_away(&table));
            }
        }
        notes
    }

    fn settled(
        &mut self,
        instance: &str,
        put: Result<BTreeMap<InterfaceName, BTreeSet<IpAddr>>, io::Error>,
    ) -> Option<String> {
        match put {
            Ok(there) => {
                self.there.insert(instance.to_owned(), there);
                self.without.remove(instance).then(|| format!("{instance}: packets stop again when its daemon does"))
            }
            Err(error) => {
                self.there.remove(instance);
                self.without.insert(instance.to_owned()).then(|| without(instance, &error))
            }
        }
    }

    fn take_away(&mut self, table: &GuardTable) -> Option<String> {
        let guards = match &mut self.guards {
            Some(guards) => Ok(guards),
            none => Guards::open().map(|opened| none.insert(opened)),
        };
        let failed = guards.and_then(|guards| guards.remove(table)).err()?;
        // What cannot be asked for was never there.
        let known = failed.raw_os_error();
        if matches!(known, Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EINVAL)) {
            return None;
        }
        Some(format!("the nftables table {table} could not be removed: {failed}; nft delete table {table}"))
    }
}

fn plans(config: &Config) -> BTreeMap<String, Plan> {
    let plan = |instance: &Instance| {
        let open_for = lease_length(instance, None).gate?;
        let table = GuardTable::gate_of(&instance.interface, instance.vrid, instance.family);
        Some((instance.name.clone(), Plan { table, open_for }))
    };
    config.instances.iter().filter_map(plan).collect()
}

fn opened(gates: &mut Option<Gates>) -> io::Result<&mut Gates> {
    match gates {
        Some(gates) => Ok(gates),
        none => Ok(none.insert(Gates::open()?)),
    }
}

fn put(gates: &mut Option<Gates>, plan: &Plan, wanted: &BTreeMap<InterfaceName, BTreeSet<IpAddr>>) -> io::Result<()> {
    let behind: Vec<(InterfaceName, Vec<IpAddr>)> =
        wanted.iter().map(|(device, addresses)| (device.clone(), addresses.iter().copied().collect())).collect();
    opened(gates)?.put(&plan.table, &behind, plan.open_for)
}

fn without(instance: &str, error: &io::Error) -> String {
    format!(
        "{instance}: no gate before its addresses: nftables refused it: {error}. ha goes on; if this daemon is killed together \
         with its keeper, or hangs, two nodes may answer until the lease runs out (`ha check` says how long). Load nf_tables, \
         or write gate = false"
    )
}

/// Whether what was sent has left this machine: without a carrier it has not, whatever the kernel says.
pub(super) fn has_left(result: &Result<(), String>, carrier: Option<bool>) -> bool {
    result.is_ok() && carrier != Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r9_what_is_sent_without_a_carrier_opens_no_gate() {
        let failed = || Err("no buffer space available".to_owned());
        assert!(has_left(&Ok(()), Some(true)) && has_left(&Ok(()), None), "not every interface says so");
        assert!(!has_left(&Ok(()), Some(false)) && !has_left(&failed(), Some(true)) && !has_left(&failed(), None));
    }
}
