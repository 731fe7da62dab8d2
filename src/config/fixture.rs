//! A resolved configuration for tests: the founding pair's first node.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Auth, Claim, Config, Control, GateUse, Hop, Instance, LastResort, Lease, OnConflict, OnError, Permits,
    PolicyChanges, Preempt, Preference, Privileges, Protocol, Refusal, Route, Routing, Rule, RuleAction, Transport,
    Way,
};
use crate::{
    wire::{AdverInterval, Priority, Vrid},
    words::Family,
};

/// `VI_1` of node1.
pub(crate) fn instance() -> Instance {
    Instance {
        name: "VI_1".to_owned(),
        netns: None,
        interface: "eth0".parse().unwrap(),
        vrid: Vrid::new(51).unwrap(),
        family: Family::V4,
        priority: Priority::new(100).unwrap(),
        protocol: Protocol::V2(Auth::Pass(*b"1111\0\0\0\0")),
        auth_hmac: None,
        advertise: AdverInterval::from_secs(1).unwrap(),
        preempt: Preempt::AtOnce,
        addresses: vec!["192.168.0.60/24".parse().unwrap()],
        excluded: Vec::new(),
        manners: BTreeMap::new(),
        routing: Routing::default(),
        peers: vec!["192.168.0.21".parse().unwrap()],
        transport: Transport::Multicast,
        multicast_group: None,
        min_ttl: 1,
        max_ttl: 255,
        track_own_interface: true,
        source: None,
        paths: vec![],
        lease: Lease::Auto,
        claim: Claim::Auto,
        on_conflict: OnConflict::Hold,
        prefer: Preference::Safety,
        peer_down_adverts: 3,
        down_adverts: 3,
        link_settle: Duration::from_secs(5),
        announce: crate::vrrp::Announcing::default(),
        notify: super::Notify::default(),
        accept: true,
        gate: GateUse::Never,
        virtual_mac: None,
        tracks: super::Tracks::default(),
        last_resort: LastResort::Release,
        on_error: OnError::Hold,
        policies: vec!["check_local".to_owned()],
        policy_weights: BTreeMap::new(),
        witness: None,
    }
}

/// The founding pair.
pub(crate) fn pair() -> (Config, Config) {
    let config = |node: &str, instance| Config {
        node: node.to_owned(),
        policy_dir: "/etc/ha/policies".into(),
        netns: None,
        realtime_priority: None,
        lock_memory: false,
        boot_last_good: true,
        privileges: Privileges::default(),
        start: super::StartDelays::default(),
        links: BTreeMap::new(),
        permits: Permits::default(),
        control: Control { socket: "/run/ha/ha.sock".into(), state_dir: "/var/lib/ha".into() },
        policy: PolicyChanges { probation: Duration::from_secs(60), auto_rollback: false },
        events: super::EventStream::default(),
        mail: None,
        webhooks: vec![],
        instances: vec![instance],
        groups: vec![],
        witness: None,
    };
    let two =
        Instance { priority: Priority::new(99).unwrap(), peers: vec!["192.168.0.20".parse().unwrap()], ..instance() };
    (config("K1", instance()), config("NodeB", two))
}

/// A route and a rule of each kind.
pub(crate) fn routing() -> Routing {
    let hop = Hop { via: Some("192.168.0.1".parse().unwrap()), device: None, onlink: false, weight: 1 };
    let far = Hop { device: Some("eth1".parse().unwrap()), weight: 2, ..hop.clone() };
    let route = |to: &str, way| Route {
        destination: to.parse().unwrap(),
        way,
        source: None,
        table: 100,
        metric: 0,
        scope: None,
        mtu: None,
        advmss: None,
        tracked: true,
    };
    Routing {
        routes: vec![
            Route { source: Some("192.168.0.60".parse().unwrap()), ..route("0.0.0.0/0", Way::Hops(vec![hop.clone()])) },
            route("10.1.0.0/16", Way::Hops(vec![hop, far])),
            route("10.2.0.0/16", Way::Refused(Refusal::Blackhole)),
        ],
        rules: vec![Rule {
            family: Family::V4,
            priority: 500,
            inverted: false,
            from: Some("10.8.0.0/16".parse().unwrap()),
            to: None,
            fwmark: None,
            iif: None,
            oif: None,
            uidrange: None,
            ip_proto: None,
            sport: None,
            dport: None,
            action: RuleAction::Table(100),
            suppress_prefixlength: None,
            tracked: true,
        }],
    }
}
