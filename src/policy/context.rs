//! What a policy may know of this node, its peers, and the time.

use crate::words::Instant;

/// Tells the time to an evaluation; this floor reads no clock itself.
pub trait Clock: Send + Sync {
    /// The moment, on the driver's clock.
    fn now(&self) -> Instant;

    /// The time of day, for `wall()`. Nothing else depends on it.
    fn wall(&self) -> WallTime;
}

/// The time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct WallTime {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub unix_s: i64,
    /// What the local time is ahead of UTC, in seconds; 0 where local time is UTC or unknown.
    pub utc_offset_s: i32,
}

/// What is so around an evaluation.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Context {
    /// This node, in one instance.
    pub node: NodeFacts,
    /// The peers of the instance, in the order of the configuration.
    pub peers: Vec<PeerFacts>,
    /// The instance wants to take over: ask `may_take_over`, if the policy has it.
    pub ask_may_take_over: bool,
}

/// `node` in a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// Its own address on the interface; empty while it has none.
    pub addr: String,
    /// The interface.
    pub iface: String,
    /// The instance.
    pub instance: String,
    /// Virtual router identifier.
    pub vrid: u8,
    /// `init`, `backup`, `master`, `fault` or `maintenance`.
    pub state: String,
    /// It is master.
    pub is_master: bool,
    /// It is backup.
    pub is_backup: bool,
    /// It holds the virtual addresses.
    pub has_vip: bool,
    /// The first virtual address, without prefix.
    pub vip: String,
    /// All virtual addresses, without prefix.
    pub vips: Vec<String>,
    /// Configured priority.
    pub priority: u8,
    /// The priority it bids now.
    pub effective: u8,
    /// How long it has been in this state, in seconds.
    pub since_s: f64,
    /// How long the daemon has been running, in seconds.
    pub uptime_s: f64,
}

/// `peer` and `peers[]` in a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerFacts {
    /// The peer's name, or its address.
    pub name: String,
    /// Its address.
    pub addr: String,
    /// Heard within one down interval, or reachable.
    pub alive: bool,
    /// Since its last valid advertisement, in seconds; `None` if there was none.
    pub last_seen_s: Option<f64>,
    /// Its last known state; `None` if unknown.
    pub state: Option<String>,
    /// Its last known priority; `None` if unknown.
    pub priority: Option<u8>,
}

/// The first node of the founding pair, standing by: what tests of a policy start from.
impl Default for NodeFacts {
    fn default() -> Self {
        Self {
            name: "node1".to_owned(),
            addr: "192.168.0.20".to_owned(),
            iface: "eth0".to_owned(),
            instance: "web".to_owned(),
            vrid: 51,
            state: "backup".to_owned(),
            is_master: false,
            is_backup: true,
            has_vip: false,
            vip: "192.168.0.60".to_owned(),
            vips: vec!["192.168.0.60".to_owned()],
            priority: 100,
            effective: 100,
            since_s: 0.0,
            uptime_s: 0.0,
        }
    }
}

/// The second node of the founding pair, alive.
impl Default for PeerFacts {
    fn default() -> Self {
        Self {
            name: "node2".to_owned(),
            addr: "192.168.0.21".to_owned(),
            alive: true,
            last_seen_s: Some(0.0),
            state: Some("backup".to_owned()),
            priority: Some(99),
        }
    }
}
