//! What the keeper takes away when nothing is held any more, because it has no lifetime of its own: tables of nftables, routes and
//! rules, devices with virtual MAC addresses, and what interfaces beneath those were told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::routing_keys::WrittenKeys;
use crate::{
    config::RoutingKeys,
    linux::{ArpHabits, GuardTable, Guards, Macvlan, Macvlans, Routes},
    words::{InterfaceName, MacAddr},
};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estate {
    /// Tables of nftables: their families and names.
    tables: Vec<String>,
    devices: Vec<Device>,
    /// Routes and rules.
    routing: WrittenKeys,
    /// `arp_ignore` and `arp_announce` that interfaces get back.
    habits: Vec<(String, u8, u8)>,
}

/// A device with a virtual MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Device {
    name: String,
    mac: [u8; 6],
}

/// Sockets for it, opened while there are descriptors.
#[derive(Debug, Default)]
pub(super) struct Hands {
    guards: Option<Guards>,
    macvlans: Option<Macvlans>,
    routes: Option<Routes>,
}

impl Estate {
    pub(super) fn new<'t>(
        tables: impl Iterator<Item = &'t GuardTable>,
        devices: impl Iterator<Item = &'t Macvlan>,
        habits: &BTreeMap<InterfaceName, ArpHabits>,
        routing: &RoutingKeys,
    ) -> Self {
        let device = |device: &Macvlan| Device { name: device.name.to_string(), mac: device.mac.0 };
        Self {
            tables: tables.map(ToString::to_string).collect(),
            devices: devices.map(device).collect(),
            routing: WrittenKeys::from(routing),
            habits: habits.iter().map(|(name, old)| (name.to_string(), old.ignore, old.announce)).collect(),
        }
    }

    /// Opens what it will take to take it away.
    pub(super) fn prepare(&self, hands: &mut Hands) {
        if hands.guards.is_none() && !self.tables.is_empty() {
            hands.guards = Guards::open().ok();
        }
        if hands.routes.is_none() && !self.routing.is_empty() {
            hands.routes = Routes::open().ok();
        }
        if hands.macvlans.is_none() && !self.devices.is_empty() {
            hands.macvlans = Macvlans::open().ok();
        }
    }

    /// Takes it away. What stays is taken over, or taken away, by the next daemon or by `ha release`.
    pub(super) fn take_away(&self, hands: &mut Hands) {
        if let Some(routes) = &mut hands.routes {
            let _ = routes.remove(&RoutingKeys::from(&self.routing));
        }
        for table in &self.tables {
            if let (Some(guards), Ok(table)) = (&mut hands.guards, table.parse()) {
                let _ = guards.remove(&table);
            }
        }
        let Some(macvlans) = &mut hands.macvlans else { return };
        for device in &self.devices {
            if let Ok(name) = device.name.parse() {
                let _ = macvlans.remove(&name, MacAddr(device.mac));
            }
        }
        for (name, ignore, announce) in &self.habits {
            if let Ok(name) = name.parse() {
                let _ = macvlans.set_arp(&name, ArpHabits { ignore: *ignore, announce: *announce });
            }
        }
    }
}
