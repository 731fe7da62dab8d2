//! What a policy is told of its node: made from the node's own status at the moment of the evaluation.

use crate::{
    node::{InstanceStatus, NodeStatus, PeerStatus, Role},
    policy::{Context, NodeFacts, PeerFacts},
    words::Instant,
};

/// The context of an evaluation at `now`; `None` while the node does not know the instance.
#[must_use]
pub fn context(status: &NodeStatus, instance: &str, now: Instant, started: Instant, fast: bool) -> Option<Context> {
    let of = status.instances.iter().find(|candidate| candidate.name == instance)?;
    let peers = of.peers.iter().filter(|peer| peer.configured).map(|peer| peer_facts(of, peer, now)).collect();
    Some(Context { node: node_facts(&status.node, of, now, started), peers, ask_may_take_over: fast })
}

fn node_facts(node: &str, of: &InstanceStatus, now: Instant, started: Instant) -> NodeFacts {
    let vips: Vec<String> = of.addresses.iter().map(|address| address.addr().to_string()).collect();
    NodeFacts {
        name: node.to_owned(),
        addr: of.source.map(|source| source.to_string()).unwrap_or_default(),
        iface: of.interface.clone(),
        instance: of.name.clone(),
        vrid: of.vrid,
        state: state(of).to_owned(),
        is_master: of.role == Role::Master,
        is_backup: of.role == Role::Backup,
        has_vip: !of.addresses.is_empty() && of.addresses.iter().all(|address| of.held.contains(address)),
        vip: vips.first().cloned().unwrap_or_default(),
        vips,
        priority: of.priority.get(),
        effective: of.effective_priority.unwrap_or(of.priority).get(),
        since_s: now.saturating_since(of.since).as_secs_f64(),
        uptime_s: now.saturating_since(started).as_secs_f64(),
    }
}

fn state(of: &InstanceStatus) -> &'static str {
    if of.conditions.iter().any(|condition| condition.name == "maintenance") {
        return "maintenance";
    }
    match of.role {
        Role::Fault => "fault",
        Role::Backup => "backup",
        Role::Master => "master",
    }
}

fn peer_facts(of: &InstanceStatus, peer: &PeerStatus, now: Instant) -> PeerFacts {
    PeerFacts {
        name: peer.address.to_string(),
        addr: peer.address.to_string(),
        alive: peer.alive,
        last_seen_s: peer.last_heard.map(|at| now.saturating_since(at).as_secs_f64()),
        state: peer_state(of, peer).map(str::to_owned),
        priority: peer.priority,
    }
}

/// Only a master advertises, so a backup is known by its silence towards a master.
fn peer_state(of: &InstanceStatus, peer: &PeerStatus) -> Option<&'static str> {
    let latest = of.peers.iter().filter_map(|other| other.last_heard).max();
    match of.role {
        Role::Backup if peer.alive && peer.last_heard.is_some() && peer.last_heard == latest => Some("master"),
        Role::Master if peer.alive && peer.last_heard.is_none_or(|at| at < of.since) => Some("backup"),
        Role::Fault | Role::Backup | Role::Master => None,
    }
}
