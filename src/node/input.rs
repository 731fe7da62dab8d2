//! What the outside tells a node.

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use super::{ReleaseHook, WitnessSays};
use crate::{
    config::{Config, ProcessPattern},
    policy::Report,
    wire::NeighborKind,
    words::{InterfaceName, MacAddr},
};

/// One thing that happened. The moment it is handed in is the moment it counts.
#[derive(Debug)]
pub enum Input<'a> {
    /// A datagram of IP protocol 112 arrived.
    Datagram(Datagram<'a>),
    /// An ARP or neighbour discovery frame arrived.
    Neighbor(NeighborFrame),
    /// An interface exists, and how it is now.
    Link(LinkSeen),
    /// An interface is gone.
    LinkGone(InterfaceName),
    /// All addresses an interface has now, ours among them.
    Addresses { interface: InterfaceName, addresses: Vec<AddressSeen> },
    /// A [`Transmit`](super::Output::Transmit) was performed: at least one destination took it, or why none did.
    /// `path` is the transmit's. `carrier`: what the interface said right after, if it could be asked.
    Transmitted { instance: String, path: Option<String>, result: Result<(), String>, carrier: Option<bool> },
    /// A [`Hold`](super::Output::Hold) with addresses was performed.
    Held { instance: String, result: Result<(), String> },
    /// A [`Routes`](super::Output::Routes) was performed: what was gone and is there again, and a sentence about each that is
    /// not as wanted.
    Routed { instance: String, restored: Vec<String>, failed: Vec<String> },
    /// What an instance needs of the machine beside its interface ([`config::Instance::drops_packets`]) is there, or why it
    /// is not. Told again and again; without it the instance takes no part.
    ///
    /// [`config::Instance::drops_packets`]: crate::config::Instance::drops_packets
    Equipped { instance: String, result: Result<(), String> },
    /// A file that is tracked, and what it says now.
    File { path: PathBuf, says: FileSays },
    /// How many processes that are tracked there are now, or why nobody knows.
    Processes { pattern: ProcessPattern, count: Result<u32, String> },
    /// A policy was evaluated for an instance.
    Judged { instance: String, report: Report },
    /// A policy of an instance could not be loaded and none is running: never eligible.
    NeverLoaded { instance: String, policy: String, why: String },
    /// What there is to do before a planned release of an instance, or that it is done.
    Hooks { instance: String, release: ReleaseHook },
    /// What became of a round of questions to the witness.
    Witness(WitnessSays),
    /// The wall clock shows, as the time since 1970, this much more than the driver's clock. Told before anything else, and
    /// whenever it has changed by more than a little; only `auth_hmac` looks at it.
    Clock { ahead: Duration },
    /// An operator or the operating system wants something.
    Command(Command),
    /// A new configuration, already valid.
    Reload(Arc<Config>),
}

/// A received IP datagram of protocol 112, unchecked.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Where it arrived.
    pub interface: &'a InterfaceName,
    /// Sender.
    pub source: IpAddr,
    /// Receiver: the group, or an address of ours.
    pub destination: IpAddr,
    /// TTL or hop limit, as received.
    pub hop_limit: u8,
    /// The VRRP message: what the IP header's length says, without the IP header.
    pub payload: &'a [u8],
}

/// A received ARP or neighbour discovery frame, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborFrame {
    /// Where it arrived.
    pub interface: InterfaceName,
    /// What it is.
    pub kind: NeighborKind,
    /// The link-layer address it comes from (of the Ethernet header).
    pub source_mac: MacAddr,
    /// The link-layer address it speaks of: ARP sender, or the target/source link-layer option.
    pub mac: MacAddr,
}

/// An interface as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSeen {
    /// Its name.
    pub name: InterfaceName,
    /// Its number, which changes when it is made anew.
    pub index: u32,
    /// Its own link-layer address; `None` where there is none (loopback, tunnels).
    pub mac: Option<MacAddr>,
    /// Administratively up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// The bridge, bond, team or virtual switch that it is a port of: what arrives is that one's, and whoever listens on the
    /// port itself hears nothing of it.
    pub port_of: Option<String>,
}

impl LinkSeen {
    /// What is sent to this machine can arrive on it.
    #[must_use]
    pub const fn hears(&self) -> bool {
        self.up && self.carrier && self.port_of.is_none()
    }
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressSeen {
    /// With its prefix.
    pub address: IpNet,
    /// It bears the mark of this program (`IFA_PROTO`), as far as the kernel can tell.
    pub marked: bool,
    /// Usable: not tentative, not failed duplicate detection.
    pub usable: bool,
    /// How long the kernel will keep it (its valid lifetime); `None` for ever.
    pub remaining: Option<Duration>,
}

/// What an operator or the operating system wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Stop in order: hand over what can be handed over, let go of the rest. A second one releases at once.
    Stop,
    /// End, and leave what is held to the process after this one, under its running lease (R13). Only where
    /// [`objection_to_leaving`](super::Node::objection_to_leaving) has none.
    Leave,
}

/// What a file that is tracked says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSays {
    /// This number.
    Number(i64),
    /// There is no such file.
    Missing,
    /// Nothing that can be used; why.
    Unusable(String),
}
