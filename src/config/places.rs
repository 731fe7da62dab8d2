//! Where an instance holds its addresses: on its own interface, and on others where that is written.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Deleted, Instance};
use crate::words::InterfaceName;

impl Instance {
    /// Every address that it holds, the advertised ones first.
    pub fn held_addresses(&self) -> impl Iterator<Item = &IpNet> {
        self.addresses.iter().chain(&self.excluded)
    }

    /// The same as a list.
    #[must_use]
    pub fn all_addresses(&self) -> Vec<IpNet> {
        self.held_addresses().copied().collect()
    }

    /// The interface that one of its addresses is on: its own, or the device with the virtual MAC address, unless written.
    #[must_use]
    pub fn device_of(&self, net: &IpNet) -> &InterfaceName {
        let with_mac = self.manners.get(net).and_then(|manner| manner.virtual_mac.as_ref());
        with_mac.or_else(|| self.elsewhere(net)).unwrap_or(self.device())
    }

    /// The interface to whose link it is known.
    #[must_use]
    pub fn wire_of(&self, net: &IpNet) -> &InterfaceName {
        self.elsewhere(net).unwrap_or(&self.interface)
    }

    fn elsewhere(&self, net: &IpNet) -> Option<&InterfaceName> {
        self.manners.get(net).and_then(|manner| manner.device.as_ref())
    }

    /// The interface of each address that is not on its own, for people.
    #[must_use]
    pub fn addresses_elsewhere(&self) -> BTreeMap<IpNet, String> {
        let is_elsewhere = |net: &&IpNet| self.elsewhere(net).is_some();
        self.held_addresses().filter(is_elsewhere).map(|net| (*net, self.device_of(net).to_string())).collect()
    }

    /// The interfaces besides its own that have addresses of it.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<&InterfaceName> {
        self.manners.values().filter_map(|manner| manner.device.as_ref()).collect()
    }

    /// The address is left gone where somebody deletes it.
    #[must_use]
    pub fn is_untracked(&self, net: &IpNet) -> bool {
        self.manners.get(net).is_some_and(|manner| manner.deleted == Deleted::LeftGone)
    }

    /// Those of them that bear on it: one of their addresses is tracked.
    pub fn tracked_devices(&self) -> impl Iterator<Item = &InterfaceName> {
        let is_tracked = |device: &&InterfaceName| {
            self.held_addresses().any(|net| self.wire_of(net) == *device && !self.is_untracked(net))
        };
        self.devices().into_iter().filter(is_tracked)
    }

    /// Each interface with the addresses it has, its own one first.
    #[must_use]
    pub fn places(&self) -> Vec<(&InterfaceName, Vec<IpNet>)> {
        let at = |device: &InterfaceName| -> Vec<IpNet> {
            self.held_addresses().filter(|net| self.device_of(net) == device).copied().collect()
        };
        let mut others: BTreeSet<_> = self.held_addresses().map(|net| self.device_of(net)).collect();
        others.remove(self.device());
        let all = std::iter::once(self.device()).chain(others);
        all.map(|device| (device, at(device))).filter(|(_, addresses)| !addresses.is_empty()).collect()
    }
}
