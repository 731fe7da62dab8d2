//! What a policy may know of this node, its peers, and the time.

use std::collections::BTreeMap;

use rhai::{Array, Dynamic, Map};

use super::{
    duration, kind,
    language::{Fact, fact},
    suggest,
};
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
    /// Rules that see this, whatever their probes say: in simulations only.
    pub forced: BTreeMap<String, Forced>,
}

/// What a rule is made to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// A success.
    Up,
    /// A failure.
    Down,
    /// Nothing: this machine could not look.
    Blind,
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

/// `node` in the language.
pub(super) const NODE: &[Fact] = &[
    fact("name", "text", "The node's name."),
    fact("addr", "text", "Its own address on the interface; empty while it has none."),
    fact("iface", "text", "The interface."),
    fact("instance", "text", "The instance."),
    fact("vrid", "number", "Virtual router identifier."),
    fact("state", "text", "init, backup, master, fault or maintenance."),
    fact("is_master", "truth", "It is master."),
    fact("is_backup", "truth", "It is backup."),
    fact("has_vip", "truth", "It holds the virtual addresses."),
    fact("vip", "text", "The first virtual address, without prefix."),
    fact("vips", "list", "All virtual addresses, without prefix."),
    fact("priority", "number", "Configured priority."),
    fact("effective", "number", "The priority it bids now."),
    fact("since", "number", "How long it has been in this state, in seconds."),
    fact("uptime", "number", "How long the daemon has been running, in seconds."),
];

/// `peer` in the language.
pub(super) const PEER: &[Fact] = &[
    fact("name", "text", "The peer's name, or its address."),
    fact("addr", "text", "Its address."),
    fact("alive", "truth", "Heard within one down interval, or reachable."),
    fact("last_seen", "number", "Seconds since its last valid advertisement; () if there was none."),
    fact("state", "text", "Its last known state; () if unknown."),
    fact("priority", "number", "Its last known priority; () if unknown."),
];

/// The names a policy finds in every function, besides its own constants.
pub(super) const NAMES: [&str; 4] = ["node", "peer", "peers", "now"];

/// `node`, `peer`, `peers` and `now` as a policy sees them.
pub(super) fn facts(context: &Context, now: Instant) -> BTreeMap<&'static str, Dynamic> {
    let peers: Array = context.peers.iter().map(|peer| Dynamic::from_map(peer.to_script())).collect();
    let peer = peers.first().cloned().unwrap_or_else(|| Dynamic::from_map(nobody().to_script()));
    BTreeMap::from([
        ("node", Dynamic::from_map(context.node.to_script())),
        ("peer", peer),
        ("peers", Dynamic::from_array(peers)),
        ("now", now.since_epoch().as_secs_f64().into()),
    ])
}

/// What `peer` is where no peer is configured: never alive.
fn nobody() -> PeerFacts {
    PeerFacts { name: String::new(), addr: String::new(), alive: false, last_seen_s: None, state: None, priority: None }
}

impl NodeFacts {
    fn to_script(&self) -> Map {
        map([
            ("name", self.name.clone().into()),
            ("addr", self.addr.clone().into()),
            ("iface", self.iface.clone().into()),
            ("instance", self.instance.clone().into()),
            ("vrid", i64::from(self.vrid).into()),
            ("state", self.state.clone().into()),
            ("is_master", self.is_master.into()),
            ("is_backup", self.is_backup.into()),
            ("has_vip", self.has_vip.into()),
            ("vip", self.vip.clone().into()),
            ("vips", Dynamic::from_array(self.vips.iter().map(|vip| vip.clone().into()).collect())),
            ("priority", i64::from(self.priority).into()),
            ("effective", i64::from(self.effective).into()),
            ("since", self.since_s.into()),
            ("uptime", self.uptime_s.into()),
        ])
    }
}

impl NodeFacts {
    /// Sets what a test says of the node.
    ///
    /// # Errors
    ///
    /// There is no such fact, or it is of another kind.
    pub(super) fn set(&mut self, name: &str, value: &Dynamic) -> Result<(), String> {
        let fits = match name {
            "name" => set_text(&mut self.name, value),
            "addr" => set_text(&mut self.addr, value),
            "iface" => set_text(&mut self.iface, value),
            "instance" => set_text(&mut self.instance, value),
            "vrid" => set_number(&mut self.vrid, value),
            "state" => set_text(&mut self.state, value),
            "is_master" => set_truth(&mut self.is_master, value),
            "is_backup" => set_truth(&mut self.is_backup, value),
            "has_vip" => set_truth(&mut self.has_vip, value),
            "vip" => set_text(&mut self.vip, value),
            "vips" => set_texts(&mut self.vips, value),
            "priority" => set_number(&mut self.priority, value),
            "effective" => set_number(&mut self.effective, value),
            "since" => set_seconds(&mut self.since_s, value),
            "uptime" => set_seconds(&mut self.uptime_s, value),
            _ => return Err(unknown("node", name, &self.to_script())),
        };
        if fits { Ok(()) } else { Err(format!("node.{name} cannot be {}", kind::of(value))) }
    }

    /// After a test said that it is master, or is not, the rest follows, unless the test said that too.
    pub(super) fn follow_role(&mut self, said: &Map) {
        if said.contains_key("is_master") && !said.contains_key("is_backup") {
            self.is_backup = !self.is_master;
        }
        if said.contains_key("is_master") || said.contains_key("is_backup") {
            let state = match (self.is_master, self.is_backup) {
                (true, _) => "master",
                (false, true) => "backup",
                (false, false) => "fault",
            };
            state.clone_into(&mut self.state);
        }
    }
}

impl PeerFacts {
    /// Sets what a test says of the peer.
    ///
    /// # Errors
    ///
    /// There is no such fact, or it is of another kind.
    pub(super) fn set(&mut self, name: &str, value: &Dynamic) -> Result<(), String> {
        let fits = match name {
            "name" => set_text(&mut self.name, value),
            "addr" => set_text(&mut self.addr, value),
            "alive" => set_truth(&mut self.alive, value),
            "last_seen" => set_optional(&mut self.last_seen_s, value, set_seconds),
            "state" => set_optional(&mut self.state, value, set_text),
            "priority" => set_optional(&mut self.priority, value, set_number),
            _ => return Err(unknown("peer", name, &self.to_script())),
        };
        if fits { Ok(()) } else { Err(format!("peer.{name} cannot be {}", kind::of(value))) }
    }

    fn to_script(&self) -> Map {
        map([
            ("name", self.name.clone().into()),
            ("addr", self.addr.clone().into()),
            ("alive", self.alive.into()),
            ("last_seen", self.last_seen_s.map_or(Dynamic::UNIT, Into::into)),
            ("state", self.state.clone().map_or(Dynamic::UNIT, Into::into)),
            ("priority", self.priority.map_or(Dynamic::UNIT, |priority| i64::from(priority).into())),
        ])
    }
}

fn map<const N: usize>(pairs: [(&str, Dynamic); N]) -> Map {
    pairs.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn unknown(whose: &str, name: &str, known: &Map) -> String {
    let names = || known.keys().map(|name| name.as_str());
    match suggest::closest(name, names()) {
        Some(meant) => format!("there is no {whose}.{name}: did you mean `{meant}`?"),
        None => format!("there is no {whose}.{name}; there are {}", names().collect::<Vec<_>>().join(", ")),
    }
}

fn set_text(fact: &mut String, value: &Dynamic) -> bool {
    value.clone().into_string().map(|text| *fact = text).is_ok()
}

fn set_texts(fact: &mut Vec<String>, value: &Dynamic) -> bool {
    let Some(list) = value.clone().try_cast::<Array>() else { return false };
    list.into_iter().map(Dynamic::into_string).collect::<Result<Vec<_>, _>>().map(|texts| *fact = texts).is_ok()
}

fn set_truth(fact: &mut bool, value: &Dynamic) -> bool {
    value.as_bool().map(|truth| *fact = truth).is_ok()
}

fn set_number(fact: &mut u8, value: &Dynamic) -> bool {
    let number = value.as_int().ok().and_then(|number| u8::try_from(number).ok());
    number.map(|number| *fact = number).is_some()
}

fn set_seconds(fact: &mut f64, value: &Dynamic) -> bool {
    duration::from_script(value).map(|time| *fact = time.as_secs_f64()).is_ok()
}

/// `()` means that it is not known.
fn set_optional<T: Default>(fact: &mut Option<T>, value: &Dynamic, set: fn(&mut T, &Dynamic) -> bool) -> bool {
    if value.is_unit() {
        *fact = None;
        return true;
    }
    set(fact.get_or_insert_default(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_is_what_a_policy_finds() {
        let names = |map: Map| map.keys().map(ToString::to_string).collect::<Vec<_>>();
        let listed = |facts: &[Fact]| {
            let mut names: Vec<String> = facts.iter().map(|fact| fact.name.to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(listed(NODE), names(NodeFacts::default().to_script()));
        assert_eq!(listed(PEER), names(PeerFacts::default().to_script()));
    }
}
