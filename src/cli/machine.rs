//! What this machine knows: its interfaces and their addresses, for better messages, and what a policy is told of it.

use std::{net::IpAddr, time::Duration};

use crate::{
    config::{Config, Facts, Instance},
    control::protocol::{self, State},
    linux,
    policy::{Context, NodeFacts, PeerFacts},
    words::Family,
};

/// Every interface with the addresses that are its own. Nothing, where the kernel cannot be asked.
pub(super) fn facts() -> Facts {
    let seen = linux::snapshot().unwrap_or_default();
    let interfaces = seen.into_iter().map(|(link, addresses)| {
        let own = addresses.into_iter().filter(|seen| !seen.marked).map(|seen| seen.address).collect();
        (link.name, own)
    });
    Facts { network: None, interfaces: interfaces.collect() }
}

/// The address that an instance would advertise from.
pub(super) fn source(instance: &Instance, facts: &Facts) -> Option<IpAddr> {
    let eligible = |address: &IpAddr| {
        Family::of(*address) == instance.family
            && !instance.held_addresses().any(|virtual_one| virtual_one.addr() == *address)
    };
    let on_the_interface = facts.networks(&instance.interface).unwrap_or_default().iter().map(ipnet::IpNet::addr);
    instance.source.or_else(|| on_the_interface.into_iter().find(eligible))
}

/// Which of its addresses the machine has now.
pub(super) fn has_all(instance: &Instance) -> bool {
    let seen = linux::snapshot().unwrap_or_default();
    let is_there = |net: &ipnet::IpNet| {
        let mut on = seen.iter().filter(|(link, _)| link.name == *instance.device_of(net));
        on.any(|(_, addresses)| addresses.iter().any(|seen| seen.address.addr() == net.addr()))
    };
    instance.held_addresses().all(is_there)
}

/// As the running daemon has it; without one, a backup that has just started and knows no peer.
pub(super) fn context(config: &Config, instance: &Instance, beside: Option<&protocol::Instance>) -> Context {
    let facts = facts();
    let addr = beside.and_then(|beside| beside.source).or_else(|| source(instance, &facts));
    let state = beside.map_or(State::Backup, |beside| beside.state);
    let vips: Vec<String> = instance.held_addresses().map(|address| address.addr().to_string()).collect();
    let priority = instance.priority.get();
    let node = NodeFacts {
        name: config.node.clone(),
        addr: addr.map(|addr| addr.to_string()).unwrap_or_default(),
        iface: instance.interface.to_string(),
        instance: instance.name.clone(),
        vrid: instance.vrid.get(),
        state: state.as_str().to_owned(),
        is_master: state == State::Master,
        is_backup: state == State::Backup,
        has_vip: has_all(instance),
        vip: vips.first().cloned().unwrap_or_default(),
        vips,
        priority,
        effective: beside.and_then(|beside| beside.effective_priority).unwrap_or(priority),
        since_s: beside.map_or(0.0, |beside| Duration::from_millis(beside.since_ms).as_secs_f64()),
        uptime_s: 0.0,
    };
    let peers = instance.peers.iter().map(|peer| peer_facts(*peer, beside)).collect();
    Context { node, peers, ..Context::default() }
}

fn peer_facts(address: IpAddr, beside: Option<&protocol::Instance>) -> PeerFacts {
    let known = beside.and_then(|beside| beside.peers.iter().find(|peer| peer.address == address));
    PeerFacts {
        name: address.to_string(),
        addr: address.to_string(),
        alive: known.is_some_and(|peer| peer.alive),
        last_seen_s: known.and_then(|peer| peer.last_heard_ms).map(|ms| Duration::from_millis(ms).as_secs_f64()),
        state: None,
        priority: known.and_then(|peer| peer.priority),
    }
}
