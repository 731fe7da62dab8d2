//! What a policy is told of its node: made from the node's own status at the moment of the evaluation.

use super::{InstanceStatus, NodeStatus, PeerStatus, Role};
use crate::{
    policy::{Context, NodeFacts, PeerFacts},
    words::Instant,
};

/// The context of an evaluation at `now`; `None` while the node does not know the instance.
#[must_use]
pub fn context(status: &NodeStatus, instance: &str, now: Instant, started: Instant, fast: bool) -> Option<Context> {
    let of = status.instances.iter().find(|candidate| candidate.name == instance)?;
    let peers = of.peers.iter().filter(|peer| peer.configured).map(|peer| peer_facts(of, peer, now)).collect();
    Some(Context {
        node: node_facts(&status.node, of, now, started),
        peers,
        ask_may_take_over: fast,
        ..Context::default()
    })
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

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{node::Condition, wire::Priority};

    fn at(seconds: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(seconds))
    }

    fn peer(last_heard: Option<u64>) -> PeerStatus {
        PeerStatus {
            address: "192.168.0.21".parse().unwrap(),
            configured: true,
            alive: true,
            last_heard: last_heard.map(at),
            priority: last_heard.map(|_| 99),
            reachable: true,
            rejected: None,
        }
    }

    fn status(role: Role, peers: Vec<PeerStatus>) -> NodeStatus {
        NodeStatus {
            node: "K1".into(),
            now: at(100),
            groups: vec![],
            instances: vec![InstanceStatus {
                name: "VI_1".into(),
                interface: "eth0".into(),
                device: None,
                vrid: 51,
                version: 2,
                role,
                since: at(40),
                reason: String::new(),
                conditions: vec![],
                priority: Priority::new(100).unwrap(),
                effective_priority: Priority::new(90),
                source: Some("192.168.0.20".parse().unwrap()),
                addresses: vec!["192.168.0.60/24".parse().unwrap()],
                held: vec!["192.168.0.60/24".parse().unwrap()],
                devices: std::collections::BTreeMap::new(),
                routing: vec![],
                lease: None,
                peers,
                paths: vec![],
                witness: None,
                transitions: 0,
                sent: 0,
                received: 0,
                discarded: BTreeMap::new(),
                reports: vec![],
            }],
        }
    }

    fn facts(status: &NodeStatus) -> Context {
        context(status, "VI_1", at(100), at(10), true).unwrap()
    }

    #[test]
    fn the_node_is_described_at_the_moment_of_the_evaluation() {
        let context = facts(&status(Role::Master, vec![]));
        let expected = NodeFacts {
            name: "K1".into(),
            addr: "192.168.0.20".into(),
            iface: "eth0".into(),
            instance: "VI_1".into(),
            vrid: 51,
            state: "master".into(),
            is_master: true,
            is_backup: false,
            has_vip: true,
            vip: "192.168.0.60".into(),
            vips: vec!["192.168.0.60".into()],
            priority: 100,
            effective: 90,
            since_s: 60.0,
            uptime_s: 90.0,
        };
        assert_eq!(context.node, expected);
        assert!(context.ask_may_take_over);
    }

    #[test]
    fn an_instance_the_node_does_not_know_has_no_facts() {
        assert_eq!(context(&status(Role::Backup, vec![]), "VI_2", at(100), at(10), false), None);
    }

    #[test]
    fn a_peer_is_what_its_advertisements_make_it() {
        let state = |role, heard| facts(&status(role, vec![peer(heard)])).peers.remove(0).state;
        assert_eq!(state(Role::Backup, Some(99)).as_deref(), Some("master"));
        assert_eq!(state(Role::Backup, None), None);
        assert_eq!(state(Role::Master, Some(30)).as_deref(), Some("backup"), "silent since this node is master");
        assert_eq!(state(Role::Master, Some(99)), None, "two masters: unknown which it will be");
        let seen = facts(&status(Role::Backup, vec![peer(Some(99))])).peers.remove(0);
        assert_eq!((seen.last_seen_s, seen.priority, seen.alive), (Some(1.0), Some(99), true));
    }

    #[test]
    fn strangers_are_no_peers() {
        let stranger = PeerStatus { configured: false, ..peer(Some(99)) };
        assert_eq!(facts(&status(Role::Backup, vec![stranger])).peers, vec![]);
    }

    #[test]
    fn maintenance_is_a_state_of_its_own() {
        let mut status = status(Role::Fault, vec![]);
        status.instances[0].conditions.push(Condition { name: "maintenance", text: String::new() });
        assert_eq!(facts(&status).node.state, "maintenance");
    }
}
