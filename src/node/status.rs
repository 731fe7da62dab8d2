//! What a node says of itself.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::vote::WitnessStatus;
use crate::{policy::Report, wire::Priority, words::Instant};

/// The public states of an instance (RFC 9568: Initialize, Backup, Active).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes no part.
    Fault,
    /// Listens.
    Backup,
    /// Serves.
    Master,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fault => "fault",
            Self::Backup => "backup",
            Self::Master => "master",
        })
    }
}

/// Something that is so and that an operator should know. `name` is stable, `text` is a sentence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// One word: `waiting`, `starting`, `elected`, `resigning`, `conflict`, `common_mode`, `isolated`, `maintenance`,
    /// `peer_rejected`, `peer_differs`, `peer_deaf`, `address_conflict`, …
    pub name: &'static str,
    /// What is so, what this node does now, what to do.
    pub text: String,
}

/// The whole node at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeStatus {
    /// The node's name.
    pub node: String,
    /// The moment.
    pub now: Instant,
    /// Every instance, by name.
    pub instances: Vec<InstanceStatus>,
    /// Every group, by name.
    pub groups: Vec<GroupStatus>,
}

/// Instances that lead and follow together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// Its name.
    pub name: String,
    /// Its members.
    pub instances: Vec<String>,
    /// The lowest role of its members.
    pub role: Role,
}

/// One instance at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStatus {
    /// Its name.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Where the addresses are held; `None`: on the interface.
    pub device: Option<String>,
    /// Its virtual router identifier.
    pub vrid: u8,
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// The role.
    pub role: Role,
    /// Since when.
    pub since: Instant,
    /// Why it is in this role.
    pub reason: String,
    /// What else is so.
    pub conditions: Vec<Condition>,
    /// Configured priority.
    pub priority: Priority,
    /// Priority it bids now.
    pub effective_priority: Option<Priority>,
    /// The node's own address that it advertises from; `None` while the interface has none.
    pub source: Option<IpAddr>,
    /// The virtual addresses.
    pub addresses: Vec<IpNet>,
    /// Those the kernel has where they belong now.
    pub held: Vec<IpNet>,
    /// The interface of each that is not on the instance's own.
    pub devices: BTreeMap<IpNet, String>,
    /// Routes and rules that come with the addresses, in the words of `ip`.
    pub routing: Vec<String>,
    /// The lifetime given to a held address; `None`: for ever.
    pub lease: Option<Duration>,
    /// The peers, and any other sender heard.
    pub peers: Vec<PeerStatus>,
    /// Every way that advertisements take, where there is more than one; the own one, `primary`, is the first.
    pub paths: Vec<PathStatus>,
    /// What its witness says, if it has one.
    pub witness: Option<WitnessStatus>,
    /// Transitions since the process started.
    pub transitions: u64,
    /// Advertisements sent.
    pub sent: u64,
    /// Advertisements accepted.
    pub received: u64,
    /// Datagrams discarded, by reason; reasons never seen are absent.
    pub discarded: BTreeMap<&'static str, u64>,
    /// The last report of each policy.
    pub reports: Vec<Report>,
}

/// A way that advertisements take, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStatus {
    /// Its name.
    pub name: String,
    /// Where it leads.
    pub interface: String,
    /// The node's own address on it; `None` while there is none.
    pub source: Option<IpAddr>,
    /// The last valid advertisement on it, of any peer.
    pub last_heard: Option<Instant>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// A peer at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// Its address.
    pub address: IpAddr,
    /// It is in the configuration.
    pub configured: bool,
    /// A valid advertisement within one down interval, or it answers on the link.
    pub alive: bool,
    /// Last valid advertisement.
    pub last_heard: Option<Instant>,
    /// The priority of that.
    pub priority: Option<u8>,
    /// Answers on the link.
    pub reachable: bool,
    /// Why its advertisements are rejected, if they are.
    pub rejected: Option<&'static str>,
}
