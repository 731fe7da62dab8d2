//! What this machine knows that makes messages better: its interfaces and their addresses.

use std::net::IpAddr;

use crate::{
    config::{Facts, Instance},
    linux,
    words::Family,
};

/// Every interface with the addresses that are its own. Nothing, where the kernel cannot be asked.
pub(super) fn facts() -> Facts {
    let seen = linux::snapshot().unwrap_or_default();
    let interfaces = seen.into_iter().map(|(link, addresses)| {
        let own = addresses.into_iter().filter(|seen| !seen.marked).map(|seen| seen.address).collect();
        (link.name, own)
    });
    Facts { interfaces: interfaces.collect() }
}

/// The address that an instance would advertise from.
pub(super) fn source(instance: &Instance, facts: &Facts) -> Option<IpAddr> {
    let eligible = |address: &IpAddr| {
        Family::of(*address) == instance.family
            && !instance.addresses.iter().any(|virtual_one| virtual_one.addr() == *address)
    };
    let on_the_interface = facts.networks(&instance.interface).unwrap_or_default().iter().map(ipnet::IpNet::addr);
    instance.source.or_else(|| on_the_interface.into_iter().find(eligible))
}

/// Which of its addresses the machine has now.
pub(super) fn has_all(instance: &Instance) -> bool {
    let seen = linux::snapshot().unwrap_or_default();
    let present: Vec<IpAddr> = seen
        .iter()
        .filter(|(link, _)| link.name == instance.interface)
        .flat_map(|(_, addresses)| addresses.iter().map(|seen| seen.address.addr()))
        .collect();
    instance.addresses.iter().all(|address| present.contains(&address.addr()))
}
