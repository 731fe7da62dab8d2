//! A LAN of nodes in virtual time: one seed reproduces everything. The kernel's part (addresses with lifetimes, answering
//! ARP) is played here; the nodes are the real ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

mod faults;
mod kernel;
mod network;
mod questions;
mod station;
mod turns;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use crate::{
    config::{
        Auth, Checksum, Claim, Config, Control, GateUse, Instance, LastResort, Lease, OnConflict, OnError, Permits,
        PolicyChanges, Preempt, Preference, Privileges, Protocol, Transport,
    },
    node::{
        AddressSeen, Ask, Command, Datagram, Ears, Event, Hold, Input, Lifetime, LinkSeen, NeighborFrame, Node, Output,
        Pace, ReleaseHook, Role, Transmit, Wish,
    },
    policy::{FaultCause, Report, Verdict},
    wire::{AdverInterval, NeighborKind, Priority, Vrid},
    words::{Family, Instant, InterfaceName, MacAddr},
};
use ipnet::IpNet;

use super::witness::{Asking, Etcd};

/// What the simulator writes down, for assertions and for whoever reads a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Line {
    Event(Event),
    Hold(Vec<IpNet>),
    Announce,
    Sent(u8),
    Paced(Pace),
    /// Its hooks are asked for before a planned release.
    BeforeRelease,
    /// It asked who has this address, as nobody: all, or one of them.
    Probed(IpAddr, Option<MacAddr>),
    /// What the test did.
    Done(&'static str),
}

/// How long two and nobody held the address, and the longest stretch of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Holders {
    pub two: Duration,
    pub longest_two: Duration,
    pub nobody: Duration,
    pub longest_nobody: Duration,
}

#[derive(Debug)]
pub struct Station {
    pub node: Node,
    pub mac: MacAddr,
    pub ip: IpAddr,
    pub configured: Instance,
    kernel: BTreeMap<IpNet, Option<Instant>>,
    frozen: bool,
    /// What waits in its sockets.
    backlog: VecDeque<Delivery>,
    /// Packets it reads in one turn, if that is limited.
    pub reads: Option<usize>,
    /// Its sends fail.
    pub mute: bool,
    /// Its daemon.
    dead: bool,
    /// It owns the virtual address (priority 255): it is there by itself, and stays.
    native: bool,
    powered: bool,
    plugged: bool,
    /// The bridge that its interface is a port of.
    port_of: Option<String>,
    /// Somebody has put the address there.
    misplaced: bool,
    /// Nothing that is sent to it arrives.
    pub deaf: bool,
    /// Its switch port does not forward.
    pub blocked: bool,
    /// The number of its interface, if it has one.
    link: Option<u32>,
    /// Whether it has its own address.
    addressed: bool,
    /// Turns at the same moment after which something was still due then.
    spins: (Instant, u32),
    verdict: Verdict,
    pub observed_ok: bool,
    /// When it last asked for what comes before a release.
    pub farewell: Instant,
    /// What its policy says when it is asked whether this node may take over.
    pub may_take_over: Option<bool>,
    /// Why its policy cannot be evaluated.
    pub error: Option<String>,
    pub judges: bool,
    pace: Pace,
    judged_at: Instant,
    asking: Asking,
}

#[derive(Clone, Debug)]
enum Delivery {
    Vrrp { source: IpAddr, destination: IpAddr, payload: Vec<u8> },
    Neighbor(NeighborFrame),
    Kernel,
}

/// A machine that answers for addresses and knows nothing of VRRP.
#[derive(Debug)]
pub struct Host {
    pub mac: MacAddr,
    pub answers: Vec<IpAddr>,
    /// How many questions it still answers.
    pub left: u32,
}

#[derive(Debug)]
pub struct Lan {
    pub now: Instant,
    pub stations: Vec<Station>,
    pub hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    deliveries: BTreeMap<u64, Delivery>,
    sequence: u64,
    /// (from, to): VRRP does not pass.
    cut: Vec<(usize, usize)>,
    pub loss: u32,
    random: u64,
    pub story: Vec<(Instant, usize, Line)>,
    pub holders: Holders,
    stretch: (usize, Instant),
    /// How late the kernel removes an expired address.
    pub kernel_late: Duration,
    /// The witness of those that have one.
    pub etcd: Etcd,
}

pub const VIP: &str = "192.168.0.60/24";
/// Turns at one moment in which something stays due: more of them would be a busy loop.
const SPINS_MAX: u32 = 4;

pub fn eth0() -> InterfaceName {
    "eth0".parse().unwrap()
}

pub fn instance(priority: u8, peers: &[IpAddr]) -> Instance {
    Instance {
        name: "VI_1".to_owned(),
        netns: None,
        interface: eth0(),
        vrid: Vrid::new(51).unwrap(),
        family: Family::V4,
        priority: Priority::new(priority).unwrap(),
        protocol: Protocol::V2(Auth::Pass(*b"1111\0\0\0\0")),
        auth_hmac: None,
        advertise: AdverInterval::from_secs(1).unwrap(),
        preempt: Preempt::AtOnce,
        addresses: vec![VIP.parse().unwrap()],
        excluded: Vec::new(),
        manners: std::collections::BTreeMap::new(),
        routing: crate::config::Routing::default(),
        peers: peers.to_vec(),
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
        notify: crate::config::Notify::default(),
        accept: true,
        gate: GateUse::Never,
        virtual_mac: None,
        tracks: crate::config::Tracks::default(),
        last_resort: LastResort::Release,
        on_error: OnError::Hold,
        policies: vec![],
        policy_weights: std::collections::BTreeMap::new(),
        witness: None,
    }
}

/// The same over IPv6: version 3, and a link-local address first.
pub fn instance_v6(priority: u8, peers: &[IpAddr]) -> Instance {
    Instance {
        family: Family::V6,
        protocol: Protocol::V3(Checksum::Auto),
        addresses: vec!["fe80::33/64".parse().unwrap(), "fd00::60/64".parse().unwrap()],
        ..instance(priority, peers)
    }
}

pub fn config(instance: Instance) -> Config {
    Config {
        node: "test".to_owned(),
        policy_dir: "/nowhere".into(),
        realtime_priority: None,
        netns: None,
        lock_memory: false,
        boot_last_good: true,
        privileges: Privileges::default(),
        start: crate::config::StartDelays::default(),
        links: std::collections::BTreeMap::new(),
        permits: Permits::default(),
        control: Control { socket: "/nowhere".into(), state_dir: "/nowhere".into() },
        policy: PolicyChanges { probation: Duration::ZERO, auto_rollback: false },
        events: crate::config::EventStream::default(),
        mail: None,
        webhooks: vec![],
        instances: vec![instance],
        groups: vec![],
        witness: None,
    }
}

fn healthy() -> Verdict {
    Verdict::Healthy { delta: 0, note: String::new() }
}

/// The addresses of the first `count` stations.
pub fn addresses(count: usize) -> Vec<IpAddr> {
    (0..count).map(|index| IpAddr::from([192, 168, 0, 20 + u8::try_from(index).unwrap()])).collect()
}

pub fn addresses_v6(count: usize) -> Vec<IpAddr> {
    let link_local = |index: usize| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x20 + u16::try_from(index).unwrap());
    (0..count).map(|index| IpAddr::V6(link_local(index))).collect()
}

impl Lan {
    /// Stations with these priorities, all plugged, each the other's peer, without policies.
    pub fn new(seed: u64, priorities: &[u8]) -> Self {
        Self::with(seed, priorities, |_, _| ())
    }

    /// The same, with a change to each configuration.
    pub fn with(seed: u64, priorities: &[u8], change: impl Fn(usize, &mut Instance)) -> Self {
        Self::made(seed, priorities, &addresses(priorities.len()), instance, change)
    }

    /// The same over IPv6.
    pub fn v6(seed: u64, priorities: &[u8], change: impl Fn(usize, &mut Instance)) -> Self {
        Self::made(seed, priorities, &addresses_v6(priorities.len()), instance_v6, change)
    }

    fn made(
        seed: u64,
        priorities: &[u8],
        all: &[IpAddr],
        make: fn(u8, &[IpAddr]) -> Instance,
        change: impl Fn(usize, &mut Instance),
    ) -> Self {
        let mut lan = Self::empty(seed);
        for (index, priority) in priorities.iter().enumerate() {
            let peers: Vec<IpAddr> = all.iter().copied().filter(|ip| *ip != all[index]).collect();
            let mut instance = make(*priority, &peers);
            change(index, &mut instance);
            lan.stations.push(Station::new(lan.now, index, all[index], instance));
            lan.tell_link(index);
            lan.tell_addresses(index);
        }
        lan
    }

    fn empty(seed: u64) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1000));
        Self {
            now,
            stations: Vec::new(),
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            loss: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            story: Vec::new(),
            holders: Holders::default(),
            stretch: (0, now),
            kernel_late: Duration::from_millis(20),
            etcd: Etcd::default(),
        }
    }

    pub fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }
}
