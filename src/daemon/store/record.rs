//! What a daemon may hold, as it is written down before it holds the first of it.

use ipnet::IpNet;

use crate::{
    config::{Config, Instance, RoutingKeys},
    daemon::{devices::devices_of, equipment::guards_of, gates::gate_of},
    linux::{ArpHabits, GuardTable, Macvlan},
    words::InterfaceName,
};

/// The addresses an instance may hold on one interface: written before the first of them is,
/// so that no death comes too early for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The instance.
    pub instance: String,
    /// The interface they are on.
    pub interface: String,
    /// With their prefixes.
    pub addresses: Vec<IpNet>,
    /// The nftables tables that drop packets to them, if some do: always, one for each family, or but for a while.
    pub tables: Vec<GuardTable>,
    /// The device with a virtual MAC address, if that is where they are held.
    pub device: Option<Macvlan>,
    /// What the interface beneath did before.
    pub habits: Option<ArpHabits>,
    /// What finds the routes and rules of the instance again; with its first interface.
    pub routing: RoutingKeys,
}

impl Record {
    /// Everything that a daemon with this configuration may hold and must let go of. An owner's addresses are its own; its
    /// routes are not.
    #[must_use]
    pub fn of(config: &Config) -> Vec<Self> {
        let records = |instance: &Instance| -> Vec<Self> {
            let record = |(interface, addresses): (&InterfaceName, Vec<IpNet>)| {
                let device = devices_of(instance).find(|device| device.name == *interface);
                Self {
                    instance: instance.name.clone(),
                    interface: interface.to_string(),
                    tables: guards_of(instance, &addresses).into_iter().chain(gate_of(instance)).collect(),
                    addresses,
                    habits: device.as_ref().and_then(|device| ArpHabits::of(&device.base)),
                    device,
                    routing: RoutingKeys::default(),
                }
            };
            let mut records: Vec<Self> = if instance.priority.is_owner() {
                vec![Self::empty(instance)]
            } else {
                instance.places().into_iter().map(record).collect()
            };
            if let Some(first) = records.first_mut() {
                first.routing = instance.routing.keys();
            }
            records.retain(|record| !record.addresses.is_empty() || record.routing != RoutingKeys::default());
            records
        };
        config.instances.iter().flat_map(records).collect()
    }

    fn empty(instance: &Instance) -> Self {
        Self {
            instance: instance.name.clone(),
            interface: instance.interface.to_string(),
            addresses: Vec::new(),
            tables: Vec::new(),
            device: None,
            habits: None,
            routing: RoutingKeys::default(),
        }
    }

    /// The same beside what was recorded before: what an interface did before the first of these daemons stays known.
    #[must_use]
    pub fn after(config: &Config, before: &[Self]) -> Vec<Self> {
        let known = |record: &Self| {
            let base = &record.device.as_ref()?.base;
            before.iter().filter_map(Self::beneath).find(|(interface, _)| interface == base).map(|(_, habits)| habits)
        };
        let record = |record: Self| Self { habits: known(&record).or(record.habits), ..record };
        Self::of(config).into_iter().map(record).collect()
    }

    /// The interface beneath its device, and what that did before.
    #[must_use]
    pub fn beneath(&self) -> Option<(InterfaceName, ArpHabits)> {
        Some((self.device.as_ref()?.base.clone(), self.habits?))
    }
}
