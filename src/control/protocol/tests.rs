//! What a status is made of, and that it goes over the wire and back.

use super::*;
use crate::{node::Role, wire::Priority};

fn status() -> NodeStatus {
    let at = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
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
            role: Role::Master,
            since: at(40),
            reason: "no advertisement".into(),
            conditions: vec![NodeCondition { name: "peer_rejected", text: "peer 192.168.0.21 seen".into() }],
            priority: Priority::new(100).unwrap(),
            effective_priority: Priority::new(100),
            source: Some("192.168.0.20".parse().unwrap()),
            addresses: vec!["192.168.0.60/24".parse().unwrap()],
            held: vec![],
            devices: BTreeMap::new(),
            routing: Vec::new(),
            lease: Some(Duration::from_secs(2)),
            paths: vec![],
            witness: None,
            peers: vec![PeerStatus {
                address: "192.168.0.21".parse().unwrap(),
                configured: true,
                alive: false,
                last_heard: Some(at(98)),
                priority: Some(99),
                reachable: false,
                rejected: Some("auth type"),
            }],
            transitions: 3,
            sent: 7,
            received: 9,
            discarded: BTreeMap::from([("auth type", 4)]),
            reports: vec![],
        }],
    }
}

#[test]
fn moments_become_ages() {
    let status = Status::from(&status());
    assert_eq!(status.schema, "ha.status/1");
    let instance = &status.instances[0];
    assert_eq!((instance.since_ms, instance.lease_ms), (60_000, Some(2_000)));
    assert_eq!(instance.peers[0].last_heard_ms, Some(2_000));
}

#[test]
fn a_status_survives_json() {
    let status = Status::from(&status());
    let json = serde_json::to_string(&status).unwrap();
    assert!(json.starts_with(r#"{"schema":"ha.status/1""#), "{json}");
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
}

#[test]
fn a_master_without_its_address_does_not_serve() {
    let mut status = Status::from(&status());
    let instance = &mut status.instances[0];
    assert!(!instance.serves());
    instance.held = vec!["192.168.0.60/24".into()];
    assert!(instance.serves());
    instance.state = State::Backup;
    assert!(!instance.serves());
}
