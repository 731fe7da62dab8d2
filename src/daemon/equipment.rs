//! What instances need of the machine beside their interface: with `accept = false`, a table of nftables; with `virtual_mac`,
//! a device of their own; with short intervals, a gate.
//!
//! It is put there at start, so that a takeover does not wait for it, and is looked at again and again: whoever flushes the
//! rules of this machine makes no address answer for long. It goes when nothing is held any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

use super::{devices::Devices, estate::Estate, gates::Gatekeeper, store::Record};
use crate::{
    config::{Config, Instance, Renames, RoutingKeys},
    linux::{GuardTable, Guards, Outcome, Routes},
    node::{self, Hold},
    words::{Family, Instant},
};

/// At turns that are made anyway.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The tables of an instance for these addresses of it, one for each family.
#[must_use]
pub fn guards_of(instance: &Instance, addresses: &[IpNet]) -> Vec<GuardTable> {
    let families: BTreeSet<Family> = addresses.iter().map(|net| Family::of(net.addr())).collect();
    let needed = families.into_iter().filter(|_| instance.drops_packets());
    needed.map(|family| GuardTable::of(&instance.interface, instance.vrid, family)).collect()
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Equipment {
    guards: Option<Guards>,
    routes: Option<Routes>,
    /// What finds the routes and rules again that may be there.
    routing: RoutingKeys,
    /// Those of the configuration that the node follows.
    routing_target: RoutingKeys,
    pub(super) devices: Devices,
    pub(super) gates: Gatekeeper,
    /// What there is to be now.
    wanted: BTreeMap<GuardTable, Wanted>,
    /// What is to stay once the node has followed the configuration.
    target: BTreeMap<GuardTable, Wanted>,
    /// As it was when it was looked at last.
    state: BTreeMap<GuardTable, Result<(), String>>,
    looked_at: Option<Instant>,
}
/// What a table drops, and for whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    instances: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
}

impl Wanted {
    fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().copied().collect()
    }
}

impl Equipment {
    /// `before`: what a daemon before this one recorded.
    pub(super) fn new(config: &Config, before: &[Record]) -> Self {
        let wanted = demands(config);
        let devices = Devices::new(config, before.iter().filter_map(Record::beneath).collect());
        let routing = routing_of(config);
        Self {
            routing: routing.clone(),
            routing_target: routing,
            devices,
            gates: Gatekeeper::new(config),
            target: wanted.clone(),
            wanted,
            ..Self::default()
        }
    }

    /// Puts there what a new configuration needs in addition. What nobody needs any more stays until it
    /// [settles](Self::settle): nothing that is still held loses it. Returns what to tell.
    pub(super) fn reconfigure(&mut self, config: &Config) -> Vec<String> {
        self.target = demands(config);
        self.routing_target = routing_of(config);
        self.routing.extend(&self.routing_target);
        self.devices.reconfigure(config);
        for (table, new) in &self.target {
            let wanted = self.wanted.entry(table.clone()).or_default();
            wanted.instances.extend(new.instances.iter().cloned());
            wanted.addresses.extend(&new.addresses);
        }
        let mut notes = self.gates.reconfigure(config);
        notes.extend(self.look());
        notes
    }

    /// The node has followed the configuration: what it does not need any more goes. Returns what to tell, if it had to look.
    pub(super) fn settle(&mut self) -> Option<Vec<String>> {
        if self.wanted == self.target && self.routing == self.routing_target && self.devices.is_settled() {
            return None;
        }
        let gone: Vec<GuardTable> =
            self.wanted.keys().filter(|table| !self.target.contains_key(table)).cloned().collect();
        let mut notes: Vec<String> = gone.iter().filter_map(|table| self.remove(table).err()).collect();
        self.state.retain(|table, _| !gone.contains(table));
        self.wanted.clone_from(&self.target);
        self.routing.clone_from(&self.routing_target);
        notes.extend(self.devices.settle());
        notes.extend(self.look());
        Some(notes)
    }

    /// Looks at everything if it is time for that. Returns what to tell, if it was.
    pub(super) fn look_if_due(&mut self, now: Instant) -> Option<Vec<String>> {
        if self.wanted.is_empty() && self.devices.is_empty() || self.looked_at.is_some_and(|at| now < at + LOOK_EVERY) {
            return None;
        }
        self.looked_at = Some(now);
        Some(self.look())
    }

    /// What each instance that needs something has to know.
    pub(super) fn told(&self) -> Vec<(String, Result<(), String>)> {
        let of = |table| self.state.get(table).cloned();
        let each = self.wanted.iter().filter_map(|(table, wanted)| Some((wanted, of(table)?)));
        let tables =
            each.flat_map(|(wanted, state)| wanted.instances.iter().map(move |name| (name.clone(), state.clone())));
        let mut told: BTreeMap<String, Result<(), String>> = BTreeMap::new();
        for (instance, state) in tables.chain(self.devices.told()) {
            let known = told.entry(instance).or_insert(Ok(()));
            *known = known.clone().and(state);
        }
        told.into_iter().collect()
    }

    /// Before addresses are held: everything that must be there is.
    ///
    /// # Errors
    /// A sentence: nothing may be held.
    pub(super) fn before(&mut self, hold: &Hold) -> Result<(), String> {
        if hold.addresses.is_empty() {
            return Ok(());
        }
        let mut result = Ok(());
        for (table, wanted) in &self.wanted {
            if wanted.instances.contains(&hold.instance) {
                let state = ensure(&mut self.guards, table, wanted).map(|_| ());
                self.state.insert(table.clone(), state.clone());
                result = result.and(state);
            }
        }
        result.and_then(|()| self.devices.raise(&hold.interface))
    }

    /// Routes and rules as they are wanted.
    pub(super) fn route(&mut self, wish: &node::Routes) -> Outcome {
        let routes = match &mut self.routes {
            Some(routes) => routes,
            none => match Routes::open() {
                Ok(routes) => none.insert(routes),
                Err(error) => {
                    let failed = vec![format!("routes cannot be set: there is no netlink socket: {error}")];
                    return Outcome { failed, ..Outcome::default() };
                }
            },
        };
        let mut outcome = routes.apply(&wish.instance, &wish.wanted, wish.not_after);
        if wish.wanted.is_empty() {
            outcome.failed.extend(routes.remove(&wish.configured).err());
        }
        outcome
    }

    /// Instances are called otherwise from now on. Everything else here is known by what it is in the kernel.
    pub(super) fn rename(&mut self, renames: &Renames) {
        if let Some(routes) = &mut self.routes {
            routes.rename(renames);
        }
    }

    /// After addresses were let go of.
    ///
    /// # Errors
    /// A sentence, for the journal.
    pub(super) fn after(&mut self, hold: &Hold) -> Result<(), String> {
        if hold.addresses.is_empty() { self.devices.lower(&hold.interface) } else { Ok(()) }
    }

    /// Everything that is there.
    pub(super) fn estate(&self) -> Estate {
        let tables = self.wanted.keys().chain(self.gates.tables());
        Estate::new(tables, self.devices.all(), self.devices.habits(), &self.routing)
    }

    /// Takes everything away but what those need who still hold something. Returns what to tell.
    pub(super) fn remove_all(&mut self, holding: &BTreeSet<String>) -> Vec<String> {
        let free = |wanted: &Wanted| wanted.instances.is_disjoint(holding);
        let tables: Vec<GuardTable> =
            self.wanted.iter().filter(|(_, wanted)| free(wanted)).map(|(table, _)| table.clone()).collect();
        let mut notes = self.devices.remove_all(holding);
        notes.extend(self.gates.remove_all(holding));
        notes.extend(tables.iter().filter_map(|table| self.remove(table).err()));
        notes
    }

    fn look(&mut self) -> Vec<String> {
        let mut notes = self.devices.look();
        for (table, wanted) in &self.wanted {
            let was_well = matches!(self.state.get(table), Some(Ok(())));
            let state = ensure(&mut self.guards, table, wanted);
            if was_well && state == Ok(Found::Missing) {
                notes.push(format!(
                    "somebody removed or changed the nftables table {table}, which drops packets to the addresses: it is put \
                     back. Rules of this machine are better loaded without `flush ruleset`"
                ));
            }
            self.state.insert(table.clone(), state.map(|_| ()));
        }
        notes
    }

    fn remove(&mut self, table: &GuardTable) -> Result<(), String> {
        let removed = opened(&mut self.guards).and_then(|guards| guards.remove(table));
        removed.map(|_| ()).map_err(|error| format!("the nftables table {table} could not be removed: {error}"))
    }
}

/// How a table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Whole,
    /// Not with all of its rules; now it is.
    Missing,
}

fn routing_of(config: &Config) -> RoutingKeys {
    let mut keys = RoutingKeys::default();
    for instance in &config.instances {
        keys.extend(&instance.routing.keys());
    }
    keys
}

fn demands(config: &Config) -> BTreeMap<GuardTable, Wanted> {
    let mut demands: BTreeMap<GuardTable, Wanted> = BTreeMap::new();
    for instance in &config.instances {
        for table in guards_of(instance, &instance.all_addresses()) {
            let its = instance.held_addresses().map(IpNet::addr).filter(|addr| table.is_of(Family::of(*addr)));
            let wanted = demands.entry(table.clone()).or_default();
            wanted.instances.insert(instance.name.clone());
            wanted.addresses.extend(its);
        }
    }
    demands
}

fn opened(guards: &mut Option<Guards>) -> io::Result<&mut Guards> {
    match guards {
        Some(guards) => Ok(guards),
        none => Ok(none.insert(Guards::open()?)),
    }
}

fn ensure(guards: &mut Option<Guards>, table: &GuardTable, wanted: &Wanted) -> Result<Found, String> {
    let addresses = wanted.addresses();
    let done = opened(guards).and_then(|guards| {
        // A question that fails says nothing; what is put there is there.
        if guards.is_whole(table, &addresses).unwrap_or(false) {
            return Ok(Found::Whole);
        }
        guards.put(table, &addresses).map(|()| Found::Missing)
    });
    done.map_err(|error| refused(table, &error))
}

fn refused(table: &GuardTable, error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => "ha needs the capability CAP_NET_ADMIN",
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::EINVAL | libc::ENOENT) => {
            "this kernel has no nftables (module nf_tables): load it, or write accept = true"
        }
        Some(_) | None => "look at nft list ruleset, or write accept = true",
    };
    format!(
        "packets to the addresses cannot be dropped (accept = false): the kernel refused the nftables table {table}: {error}; \
         {advice}"
    )
}
