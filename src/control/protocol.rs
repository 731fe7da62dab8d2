//! What the daemon says of itself, as it travels: JSON, stable, with ages instead of moments.
//!
//! These types mirror [`crate::node`]'s and are separate on purpose: the core may change its types, the protocol may
//! only grow. Times are whole milliseconds, named `…_ms`; an age counts back from the moment of the answer.

mod clear;
mod generations;
mod group;
mod network;
mod notified;
mod path;
mod rule;
mod witness;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    node::{Condition as NodeCondition, InstanceStatus, NodeStatus, PeerStatus},
    policy::{Report, Verdict as Judgement},
    words::Instant,
};

pub use clear::{CLEAR_SCHEMA, Clear, Cleared};
pub use generations::{By, Done, GENERATIONS_SCHEMA, Generations, Kept, Pinned, Texts};
pub use group::Group;
pub use network::Network;
pub use notified::Notified;
pub use path::Path;
pub use rule::{Backoff, Options, Rule};
pub use witness::Witness;

/// The name and version of [`Status`] as JSON.
pub const STATUS_SCHEMA: &str = "ha.status/1";

/// The name and version of [`Reload`] as JSON.
pub const RELOAD_SCHEMA: &str = "ha.reload/1";

/// The whole daemon at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// The version of the running program.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// The network namespace that its configuration names; absent: the one that it was started in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The networks of instances that have one of their own, with the process that works there; absent: there are none. What
    /// those processes say is in this status too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Network>,
    /// Process id.
    pub pid: u32,
    /// Age of the process.
    pub uptime_ms: u64,
    /// What it runs.
    pub configuration: Configuration,
    /// Every instance, by name.
    pub instances: Vec<Instance>,
    /// Instances that lead and follow together, by name.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// Every policy, by name.
    pub policies: Vec<Policy>,
    /// What happened lately, oldest first.
    pub history: Vec<Happened>,
}

/// Which configuration runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// The file.
    pub path: String,
    /// Age of what runs.
    pub age_ms: u64,
    /// It runs from the last good copy, because the file was broken at the start.
    pub last_good: bool,
    /// The file says something else than what runs.
    pub differs: bool,
    /// Why that is not known; absent: it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The network namespace of its own; absent: it works in the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its interface.
    pub interface: String,
    /// Where the addresses are held; absent: on the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Protocol version, 2 or 3.
    pub version: u8,
    /// `fault`, `backup` or `master`.
    pub state: State,
    /// Age of that state.
    pub since_ms: u64,
    /// Why it is in this state.
    pub reason: String,
    /// What else is so.
    pub conditions: Vec<Condition>,
    /// Configured priority.
    pub priority: u8,
    /// Priority it bids now, if it bids.
    pub effective_priority: Option<u8>,
    /// The node's own address that it advertises from.
    pub source: Option<IpAddr>,
    /// The virtual addresses, with prefix.
    pub addresses: Vec<String>,
    /// Those the kernel has on the interface now.
    pub held: Vec<String>,
    /// The interface of each virtual address that is not on the instance's own; absent: all are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub devices: BTreeMap<String, String>,
    /// Routes and rules that come with the addresses, in the words of `ip`; absent: there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routing: Vec<String>,
    /// The lifetime given to a held address; absent: for ever.
    pub lease_ms: Option<u64>,
    /// The peers, and every other sender heard.
    pub peers: Vec<Peer>,
    /// Each way that advertisements take, where there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<Path>,
    /// What its witness says, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// Transitions since the process started.
    pub transitions: u64,
    /// Advertisements sent.
    pub sent: u64,
    /// Advertisements accepted.
    pub received: u64,
    /// Datagrams discarded, by reason.
    pub discarded: BTreeMap<String, u64>,
    /// The last evaluation of each of its policies.
    pub reports: Vec<Evaluation>,
    /// What became of the programs that are told of transitions; absent: there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notified>,
}

/// The public states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Takes no part.
    Fault,
    /// Listens.
    Backup,
    /// Serves.
    Master,
}

/// Something that is so and that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Stable, one word.
    pub name: String,
    /// A sentence.
    pub text: String,
}

/// A peer, or another sender heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// It is in the configuration.
    pub configured: bool,
    /// Heard within one down interval, or it answers on the link.
    pub alive: bool,
    /// Age of its last valid advertisement.
    pub last_heard_ms: Option<u64>,
    /// The priority of that.
    pub priority: Option<u8>,
    /// Answers on the link.
    pub reachable: bool,
    /// Why its advertisements are rejected, if they are.
    pub rejected: Option<String>,
}

/// One evaluation of a policy for an instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The policy.
    pub policy: String,
    /// Which loaded version of it.
    pub generation: u64,
    /// Age.
    pub age_ms: u64,
    /// How long it took.
    pub elapsed_ms: f64,
    /// What follows for the instance.
    pub verdict: Verdict,
    /// Its rules, in the order of the script.
    pub rules: Vec<Rule>,
    /// Every `require` observation was ok.
    pub observed_ok: bool,
    /// Why it could not be evaluated, if it could not.
    pub error: Option<String>,
}

/// What a policy wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// `starting`, `healthy`, `fault`, `hold` or `maintenance`.
    pub kind: String,
    /// Why; may be empty for `healthy`.
    pub why: String,
    /// Change of the priority; only `healthy`.
    pub delta: i32,
    /// Only rules about external references are down; only `fault`.
    pub external: bool,
}

/// A policy as loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// The network namespace whose instances it judges; absent: the daemon's. Each network has its own generations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Its file.
    pub path: String,
    /// Which loaded version runs, from 1; absent: none was ever loaded.
    pub generation: Option<u64>,
    /// SHA-256 of the running text.
    pub sha256: Option<String>,
    /// Age of the running version.
    pub age_ms: Option<u64>,
    /// It runs from the last good copy, because the file was broken or missing at the start.
    pub last_good: bool,
    /// The file on disk is not what runs, and why.
    pub stale: Option<Stale>,
    /// It runs whatever the file says.
    #[serde(default)]
    pub pinned: Option<Pinned>,
    /// For how long the version before it is still evaluated beside it.
    #[serde(default)]
    pub probation_ms: Option<u64>,
    /// It does worse than the version before it did, and runs all the same.
    #[serde(default)]
    pub regression: Option<String>,
}

/// Why the file on disk does not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stale {
    /// For how long.
    pub since_ms: u64,
    /// What is wrong with the file.
    pub error: String,
}

/// One line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Wall-clock time, RFC 3339.
    pub time: String,
    /// Age.
    pub age_ms: u64,
    /// In which network namespace; absent: in the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Whose; empty for the node itself.
    pub instance: String,
    /// A sentence.
    pub text: String,
}

/// What a reload did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// [`RELOAD_SCHEMA`].
    pub schema: String,
    /// Everything on disk is valid and runs.
    pub ok: bool,
    /// What changed, one sentence each; empty: nothing had changed.
    pub changes: Vec<String>,
    /// Why nothing of the configuration, or a policy not, was taken over; whole reports with file and line.
    pub errors: Vec<String>,
    /// What should be known besides, one sentence each: a file that has changed and does not matter.
    #[serde(default)]
    pub remarks: Vec<String>,
}

impl Reload {
    /// A reload that was refused if there is an error, done otherwise.
    #[must_use]
    pub fn new(changes: Vec<String>, errors: Vec<String>) -> Self {
        Self { schema: RELOAD_SCHEMA.to_owned(), ok: errors.is_empty(), changes, errors, remarks: Vec::new() }
    }
}

/// The node's own part; `pid`, `configuration`, `policies` and `history` are the daemon's to fill in.
impl From<&NodeStatus> for Status {
    fn from(status: &NodeStatus) -> Self {
        Self {
            schema: STATUS_SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: status.node.clone(),
            instances: status.instances.iter().map(|instance| Instance::at(status.now, instance)).collect(),
            groups: status.groups.iter().map(Group::from).collect(),
            ..Self::default()
        }
    }
}

impl Status {
    /// Every policy is loaded and no instance waits for its first verdict.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let starting = |instance: &Instance| instance.reports.iter().any(|report| report.verdict.kind == "starting");
        self.policies.iter().all(|policy| policy.generation.is_some()) && !self.instances.iter().any(starting)
    }
}

impl Instance {
    fn at(now: Instant, status: &InstanceStatus) -> Self {
        Self {
            name: status.name.clone(),
            network: None,
            interface: status.interface.clone(),
            device: status.device.clone(),
            vrid: status.vrid,
            version: status.version,
            state: status.role.into(),
            since_ms: age(now, status.since),
            reason: status.reason.clone(),
            conditions: status.conditions.iter().map(Condition::from).collect(),
            priority: status.priority.get(),
            effective_priority: status.effective_priority.map(crate::wire::Priority::get),
            source: status.source,
            addresses: texts(&status.addresses),
            held: texts(&status.held),
            devices: status.devices.iter().map(|(net, device)| (net.to_string(), device.clone())).collect(),
            routing: status.routing.clone(),
            lease_ms: status.lease.map(millis),
            peers: status.peers.iter().map(|peer| Peer::at(now, peer)).collect(),
            paths: status.paths.iter().map(|path| Path::at(now, path)).collect(),
            witness: status.witness.as_ref().map(|witness| Witness::at(now, witness)),
            transitions: status.transitions,
            sent: status.sent,
            received: status.received,
            discarded: status.discarded.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect(),
            reports: status.reports.iter().map(|report| Evaluation::at(now, report)).collect(),
            notify: None,
        }
    }

    /// It is master and the kernel has every one of its addresses.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.state == State::Master && self.addresses.iter().all(|address| self.held.contains(address))
    }
}

impl Peer {
    fn at(now: Instant, peer: &PeerStatus) -> Self {
        Self {
            address: peer.address,
            configured: peer.configured,
            alive: peer.alive,
            last_heard_ms: peer.last_heard.map(|at| age(now, at)),
            priority: peer.priority,
            reachable: peer.reachable,
            rejected: peer.rejected.map(str::to_owned),
        }
    }
}

impl Evaluation {
    /// The report as seen at `now`.
    #[must_use]
    pub fn at(now: Instant, report: &Report) -> Self {
        Self {
            policy: report.policy.clone(),
            generation: report.generation,
            age_ms: age(now, report.started_at),
            elapsed_ms: fine_millis(report.elapsed),
            verdict: Verdict::from(&report.verdict),
            rules: report.rules.iter().map(|rule| Rule::at(now, rule)).collect(),
            observed_ok: report.observed_ok,
            error: report.error.clone(),
        }
    }
}

impl From<crate::node::Role> for State {
    fn from(role: crate::node::Role) -> Self {
        match role {
            crate::node::Role::Fault => Self::Fault,
            crate::node::Role::Backup => Self::Backup,
            crate::node::Role::Master => Self::Master,
        }
    }
}

impl State {
    /// The word, as in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Backup => "backup",
            Self::Master => "master",
        }
    }
}

impl From<&NodeCondition> for Condition {
    fn from(condition: &NodeCondition) -> Self {
        Self { name: condition.name.to_owned(), text: condition.text.clone() }
    }
}

impl From<&Judgement> for Verdict {
    fn from(verdict: &Judgement) -> Self {
        let (kind, why, delta, external) = match verdict {
            Judgement::Starting => ("starting", "", 0, false),
            Judgement::Healthy { delta, note } => ("healthy", note.as_str(), *delta, false),
            Judgement::Fault { why, cause } => ("fault", why.as_str(), 0, cause.is_external()),
            Judgement::Hold { why } => ("hold", why.as_str(), 0, false),
            Judgement::Maintenance { why } => ("maintenance", why.as_str(), 0, false),
        };
        Self { kind: kind.to_owned(), why: why.to_owned(), delta, external }
    }
}

fn texts(addresses: &[ipnet::IpNet]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn age(now: Instant, at: Instant) -> u64 {
    millis(now.saturating_since(at))
}

/// Whole milliseconds, for the protocol.
#[must_use]
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds with three digits after the point: microseconds matter for a probe on the own machine.
fn fine_millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests;
