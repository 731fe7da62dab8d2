//! The configuration: as it is meant. Valid by construction; whatever is wrong is found while it is made.
//!
//! `raw` is the file as written, `resolve` turns it into these types, `error` says where, what, and what to do.

mod accept;
mod address;
mod announce;
mod auth_hmac;
mod compare;
mod delays;
mod describe;
mod error;
mod events;
mod file;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a fixture of tests")]
pub(crate) mod fixture;
mod group;
mod hearing;
mod instance;
mod kind;
mod lease;
mod manner;
mod netns;
mod network;
mod own_interface;
mod password;
mod path;
mod places;
mod privileges;
mod protocol;
mod raw;
mod reach;
mod renames;
mod resolve;
mod route;
mod routing;
mod rule;
mod ruling;
mod suggest;
mod syntax;
mod table;
mod takeover;
mod told;
mod track;
mod value;
mod virtual_mac;
mod webhook;
mod weighed;
mod witness;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;

use crate::{
    policy::Secret,
    vrrp::Announcing,
    wire::{AdverInterval, Priority, Version, Vrid, group},
    words::{Family, InterfaceName},
};

pub use auth_hmac::{AntiReplay, AuthHmac, HmacKey, HmacMode, key_of_text};
pub use compare::{compare, counterpart};
pub use delays::{LinkDelays, StartDelays};
pub use describe::describe;
pub use error::{Problem, Problems, Severity};
pub use events::EventStream;
pub use file::{Facts, Loaded, load, load_with, parse, text_of};
pub use group::Group;
pub use hearing::own_peers;
pub use lease::{Planned, lease_length, shortest as shortest_lease};
pub use manner::{Deleted, Manner, NetworkRoute, Scope};
pub use netns::Netns;
pub use path::{PRIMARY, Path};
pub use privileges::Privileges;
pub use raw::keys;
pub use renames::Renames;
pub use route::{Hop, MAIN_TABLE, Refusal, Route, RouteKey, Way};
pub use rule::{Routing, RoutingKeys, Rule, RuleAction, RuleKey};
pub use told::{Notify, Occasion};
pub use track::{Effect, ProcessPattern, TrackedFile, TrackedInterface, TrackedProcess, Tracks, WellWhile};
pub use virtual_mac::VirtualMac;
pub use webhook::{Webhook, WebhookUrl};
pub use witness::{Login, Witness, WitnessMode, Witnessed};

/// Everything one daemon runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// This node's own name, in the journal, the mail and the status.
    pub node: String,
    /// Where the policies lie; absolute.
    pub policy_dir: PathBuf,
    /// The network namespace that the daemon works in, but for instances with one of their own; else the one it is started in.
    pub netns: Option<Netns>,
    /// `SCHED_FIFO` priority of the protocol thread, 1-99; off by default.
    pub realtime_priority: Option<u8>,
    /// Keep the process in memory.
    pub lock_memory: bool,
    /// Start with the last good configuration if the file is broken at boot.
    pub boot_last_good: bool,
    /// What the daemon denies itself.
    pub privileges: Privileges,
    /// How long it takes no part after a start.
    pub start: StartDelays,
    /// How long changes of interfaces must last before they count.
    pub links: BTreeMap<InterfaceName, LinkDelays>,
    /// What of this machine policies may use.
    pub permits: Permits,
    /// Socket and state.
    pub control: Control,
    /// What happens when a policy changes.
    pub policy: PolicyChanges,
    /// What happens, as a stream.
    pub events: EventStream,
    /// Mail on transitions, if wanted.
    pub mail: Option<Mail>,
    /// Addresses that policies send data to, by name.
    pub webhooks: Vec<Webhook>,
    /// The virtual routers, by name.
    pub instances: Vec<Instance>,
    /// Those that lead and follow together, by name.
    pub groups: Vec<Group>,
    /// A third vote, if there is one.
    pub witness: Option<Witness>,
}

/// What of this machine policies may use through their probes and actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permits {
    /// Where the files of `secret(NAME)` lie; absolute.
    pub secrets_dir: PathBuf,
    /// The programs that `exec` may run; absolute paths.
    pub allow_exec: BTreeSet<PathBuf>,
}

impl Default for Permits {
    fn default() -> Self {
        Self { secrets_dir: PathBuf::from("/etc/ha/secrets"), allow_exec: BTreeSet::new() }
    }
}

/// Where the daemon is reached and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The Unix socket of the commands.
    pub socket: PathBuf,
    /// What outlives the process: held addresses, last good configuration and policies.
    pub state_dir: PathBuf,
}

/// What happens when a policy changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyChanges {
    /// How long the version before is evaluated beside the new one; zero: not at all; 60 s by default.
    pub probation: Duration,
    /// A version that does worse than the one before it is taken back; off by default.
    pub auto_rollback: bool,
}

/// Mail on transitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Recipients, at least one.
    pub to: Vec<String>,
    /// Sender.
    pub from: String,
    /// `host:port` of the server.
    pub smtp: String,
    /// How long connecting and each command may take; 30 s by default.
    pub timeout: Duration,
}

/// A virtual router as configured and named.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// The name in the file, `[instance.NAME]`.
    pub name: String,
    /// The network namespace that it works in; else the daemon's. Never the one that the configuration names for the daemon.
    pub netns: Option<Netns>,
    /// Where it advertises and holds its addresses.
    pub interface: InterfaceName,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// The family of all its addresses and peers.
    pub family: Family,
    /// Base priority, 1-255.
    pub priority: Priority,
    /// The protocol it speaks, with what only that version has.
    pub protocol: Protocol,
    /// How advertisements are signed, if they are.
    pub auth_hmac: Option<AuthHmac>,
    /// How often it advertises while master.
    pub advertise: AdverInterval,
    /// Whether it takes over from a lower master.
    pub preempt: Preempt,
    /// The virtual addresses, at least one, in the order of the advertisement.
    pub addresses: Vec<IpNet>,
    /// Addresses that are held with them and not advertised; of any family.
    pub excluded: Vec<IpNet>,
    /// How they are put on the interface, where that is not the kernel's own way.
    pub manners: BTreeMap<IpNet, Manner>,
    /// Routes and rules that are there while the addresses are; of any family.
    pub routing: Routing,
    /// The other nodes, by the addresses they advertise from.
    pub peers: Vec<IpAddr>,
    /// How advertisements travel.
    pub transport: Transport,
    /// The group of multicast; `None` is the RFC's.
    pub multicast_group: Option<IpAddr>,
    /// Unicast: what arrives with a lower TTL or hop limit is discarded; 1 by default, which is everything.
    pub min_ttl: u8,
    /// Likewise with a higher one; 255 by default, which is everything.
    pub max_ttl: u8,
    /// Source address of advertisements; else the interface's first own address.
    pub source: Option<IpAddr>,
    /// Whether it is in fault while its own interface is down or has no carrier; true by default.
    pub track_own_interface: bool,
    /// Other ways for advertisements, by name.
    pub paths: Vec<Path>,
    /// The lifetime of a held address.
    pub lease: Lease,
    /// Look before taking over.
    pub claim: Claim,
    /// What to do when a silent peer still answers for the address.
    pub on_conflict: OnConflict,
    /// Which way doubt goes.
    pub prefer: Preference,
    /// After how many missed advertisements the *peer* takes over (keepalived: `down_timer_adverts`); 3 by default.
    pub peer_down_adverts: u8,
    /// After how many missed advertisements this node takes over; 3 by default.
    pub down_adverts: u8,
    /// How long an interface without any foreign frame counts as not yet forwarding; 5 s by default.
    pub link_settle: Duration,
    /// How a master announces.
    pub announce: Announcing,
    /// Programs that are told of transitions.
    pub notify: Notify,
    /// Whether a master answers what is sent to the virtual addresses; [`Instance::drops_packets`] is what follows.
    pub accept: bool,
    /// When there is a gate before the addresses; where whole seconds are too long a lease by default.
    pub gate: GateUse,
    /// The device with the virtual router MAC address, if the addresses have one.
    pub virtual_mac: Option<VirtualMac>,
    /// What bears on it beside its own interface and its policies; what its group tracks too.
    pub tracks: Tracks,
    /// What becomes of the address while rules are down and nobody else takes it.
    pub last_resort: LastResort,
    /// What a policy that cannot be evaluated comes to.
    pub on_error: OnError,
    /// Names of the policies that judge it, at most one file each: `policy_dir/NAME.rhai`.
    pub policies: Vec<String>,
    /// Those of them whose fault moves the priority instead: above 0 what they add while they are well, below 0 what they take
    /// away while they are not. Within 253.
    pub policy_weights: BTreeMap<String, i16>,
    /// What it must know of the node's witness, if there is one.
    pub witness: Option<Witnessed>,
}

impl Instance {
    /// Where advertisements go in multicast.
    #[must_use]
    pub fn group(&self) -> IpAddr {
        self.multicast_group.unwrap_or_else(|| group(self.family))
    }
}

/// What only one version of the protocol has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 3768, with its authentication.
    V2(Auth),
    /// RFC 9568, with the checksum to send over IPv4.
    V3(Checksum),
}

impl Protocol {
    /// The bare version.
    #[must_use]
    pub const fn version(&self) -> Version {
        match self {
            Self::V2(_) => Version::V2,
            Self::V3(_) => Version::V3,
        }
    }
}

/// Authentication of version 2.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// Type 0.
    None,
    /// Type 1, simple text: up to eight bytes, padded with zeros. In clear on the wire: protects against mistakes only.
    Pass([u8; 8]),
    /// Type 1; the password is elsewhere, and whoever loads the configuration reads it ([`Config::read_passwords`]). Until
    /// then nothing is believed.
    Secret(Secret),
}

/// Never shows the password.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Pass(_) => "Pass(***)",
            Self::Secret(_) => "Secret(***)",
        })
    }
}

/// Which checksum a version 3 instance sends over IPv4; both are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The form last heard on this router, else with the pseudo header.
    Auto,
    /// With the IPv4 pseudo header, as keepalived and FRR do.
    PseudoHeader,
    /// The message only (RFC 9568, 5.2.8).
    Rfc9568,
}

/// Whether a backup takes over from a lower master (RFC 9568, `Preempt_Mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preempt {
    /// No.
    Never,
    /// Yes, at once.
    AtOnce,
    /// Yes, once it has been fit for this long.
    After(Duration),
}

/// How advertisements travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// To 224.0.0.18 or ff02::12, or another group.
    Multicast,
    /// To each peer; only peers are heard.
    Unicast,
}

/// The lifetime of a held address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// As long as it can be without two holders.
    Auto,
    /// For ever: a daemon that is killed leaves the address behind.
    Off,
    /// This long, in whole seconds (the kernel's unit).
    Fixed(Duration),
}

/// When packets to the addresses are let in only until shortly before a peer would take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateUse {
    /// Where whole seconds are too long a lease: with less than a second between advertisements.
    WhereNeeded,
    /// With a second and more too: it does not depend on when the kernel comes to removing an address.
    Always,
    /// Never.
    Never,
}

/// Whether a time-out takeover looks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Yes, where the addresses are on the interface's own networks.
    Auto,
    /// No.
    Off,
}

/// What to do when a silent peer still answers for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Stay backup and say so.
    Hold,
    /// Take it and keep announcing.
    Steal,
}

/// What a node does whose rules are down (R24). What a script says with `fault()` releases in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastResort {
    /// Lets go of the address.
    Release,
    /// Offers it, and keeps it at the lowest priority while nobody takes it.
    Keep,
}

/// What a policy that cannot be evaluated comes to (R21). Never healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The role stays as it is.
    Hold,
    /// The same at first; a fault once it has lasted this long.
    FaultAfter(Duration),
}

/// Which way doubt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// Rather nobody than two.
    Safety,
    /// Rather two than nobody.
    Availability,
}
