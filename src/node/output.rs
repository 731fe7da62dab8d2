//! What a node wants done, in this order.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::{
    signing::Seal,
    status::{Condition, Role},
    witness::Wish,
};
use crate::{
    config::{Manner, Renames, Routing, RoutingKeys},
    wire::Priority,
    words::{Instant, InterfaceName, MacAddr},
};

/// One wanted effect. Packets are edges, `Hold` is a level.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send an advertisement, then hand in [`Transmitted`](super::Input::Transmitted).
    Transmit(Transmit),
    /// Make the kernel hold exactly these addresses for this instance.
    Hold(Hold),
    /// Make the kernel have exactly these routes and rules for this instance.
    Routes(Routes),
    /// Instances that go on are called otherwise from now on, in everything that follows.
    Renamed(Renames),
    /// Announce each address once: gratuitous ARP, or unsolicited neighbour advertisement; at `mac`, else at the interface's
    /// own link-layer address.
    Announce { instance: String, interface: InterfaceName, mac: Option<MacAddr>, addresses: Vec<IpAddr> },
    /// Ask the link who has an address.
    Ask(Ask),
    /// What is wanted of the witness from now on.
    Witness(Wish),
    /// Evaluate the policies of an instance.
    Judge { instance: String, pace: Pace },
    /// An address is about to be handed over in order, because of this: run what is to be run before, then hand in
    /// [`ReleaseHook::Finished`](super::ReleaseHook). It is handed over after a second in any case.
    BeforeRelease { instance: String, why: String, asked_at: Instant },
    /// Something an operator should be able to read.
    Report(Journal),
}

/// A VRRP message to send, ready but for the IP header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Whose it is.
    pub instance: String,
    /// The path it takes; `None`: the instance's own way.
    pub path: Option<String>,
    /// Where to send it.
    pub interface: InterfaceName,
    /// The link-layer address it leaves with, to a group; else the interface's own.
    pub mac: Option<MacAddr>,
    /// Source address.
    pub source: IpAddr,
    /// Destinations: the group, or every peer.
    pub destinations: Vec<IpAddr>,
    /// One payload for each destination (a checksum may cover the destination), in the same order.
    pub payloads: Vec<Vec<u8>>,
}

/// What a keeper does for an instance whose daemon has died.
#[derive(Clone, Debug, PartialEq)]
pub struct Will {
    /// Whose.
    pub instance: String,
    /// Let go of everything, in this order.
    pub releases: Vec<Hold>,
    /// Then say so, on every path: not signed yet.
    pub resignations: Vec<Transmit>,
    /// With what it is signed when it is sent.
    pub seal: Option<Seal>,
}

/// The whole set of addresses an instance holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Whose they are.
    pub instance: String,
    /// Where they are held.
    pub interface: InterfaceName,
    /// Exactly these; empty lets go of all.
    pub addresses: Vec<IpNet>,
    /// How they are put there, where that is not the kernel's own way.
    pub manners: BTreeMap<IpNet, Manner>,
    /// Every virtual address of the instance: what of it is not in `addresses` is deleted from the interface, whoever
    /// put it there.
    pub configured: Vec<IpNet>,
    /// How long the kernel keeps them.
    pub lifetime: Lifetime,
    /// Do nothing (report a failure) if it is later than this when the write is about to happen.
    pub not_after: Option<Instant>,
}

/// The routes and rules of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routes {
    /// Whose they are.
    pub instance: String,
    /// Exactly these; none: whatever of `configured` bears the mark goes, too.
    pub wanted: Routing,
    /// What finds all of them again.
    pub configured: RoutingKeys,
    /// Set nothing if it is later than this.
    pub not_after: Option<Instant>,
}

/// How long the kernel keeps an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is removed.
    Forever,
    /// This long from the moment of the call, whole seconds.
    For(Duration),
}

/// A question to the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Where.
    pub interface: InterfaceName,
    /// Who has this?
    pub target: IpAddr,
    /// Asked as; `None` asks as nobody (RFC 5227 probe).
    pub source: Option<IpAddr>,
    /// Asked of this one only; `None` asks everybody.
    pub to: Option<MacAddr>,
}

/// How often an instance's policies are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At the policy's own interval.
    Normal,
    /// Now, and at the fast interval until told otherwise; `may_take_over` is asked too.
    Fast,
}

/// An event of an instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Journal {
    /// When.
    pub at: Instant,
    /// Whose; empty for the node itself.
    pub instance: String,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The role changed.
    Transition { from: Role, to: Role, reason: String },
    /// It bids another priority from now on.
    Priority { from: Priority, to: Priority },
    /// A master heard another node advertise a lower priority, so as a master.
    LowerHeard { source: IpAddr, priority: u8 },
    /// A condition began.
    Raised(Condition),
    /// A condition ended.
    Cleared(Condition),
    /// Worth a line.
    Note(String),
}
