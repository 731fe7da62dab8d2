//! `[witness]`: a third vote, a lease in etcd (ARCHITECTURE.md, "The witness").
//!
//! Here: what it is asked for, how long what it says counts, and which lease of an address fits into it. Pure arithmetic; who
//! asks and when is the daemon's business, what follows is the node's.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Config, Instance, Lease,
    error::{Findings, Problem, Severity, Span},
    raw::Texts,
    table::{Table, Written},
    value::{self, readable},
};
use crate::{policy::Secret, words::Family};

/// What stands before the name of a secret.
const SECRET: &str = "secret:";
const TTL: Duration = Duration::from_secs(5);
/// The shortest lease that leaves room for the shortest one of an address.
const TTL_MIN: Duration = Duration::from_secs(4);
const TTL_MAX: Duration = Duration::from_secs(600);
const TIMEOUT: Duration = Duration::from_millis(500);
/// What a round of requests takes that is not late.
const ROUND: Duration = TIMEOUT;
const KEY_MAX: usize = 128;

/// Where the witness is and what it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Members of the cluster, at least one, tried in this order: `http://host:port` or `https://…`, nothing after that.
    pub endpoints: Vec<String>,
    /// When it is decisive.
    pub mode: WitnessMode,
    /// Beneath what the keys lie: the name of the pair, the same on both nodes.
    pub key: String,
    /// How long etcd keeps what this node holds after it has last been heard of; whole seconds, 5 s by default.
    pub ttl: Duration,
    /// How long an answer may take; 500 ms by default.
    pub timeout: Duration,
    /// Who asks, if etcd wants to know.
    pub login: Option<Login>,
    /// The authorities to trust instead of the system's; absolute.
    pub ca: Option<PathBuf>,
}

/// A user of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password, looked up when it is used.
    pub password: Secret,
}

/// When the witness is decisive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WitnessMode {
    /// Where the peer is silent on every way.
    Arbiter,
    /// Always: nobody is master without it.
    Strict,
}

impl WitnessMode {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arbiter => "arbiter",
            Self::Strict => "strict",
        }
    }
}

/// What an instance must know of its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// When it is decisive.
    pub mode: WitnessMode,
    /// How long etcd keeps a lease.
    pub ttl: Duration,
}

impl Witnessed {
    /// How long an answer counts, from the moment before the question: a twentieth less than the lease, for clocks that do not
    /// run alike.
    #[must_use]
    pub fn counts(ttl: Duration) -> Duration {
        ttl - ttl / 20
    }

    /// How often the lease is renewed.
    #[must_use]
    pub fn renewed_every(ttl: Duration) -> Duration {
        ttl / 5
    }

    /// What of it is left whenever the lease of an address is renewed, if every answer comes in time.
    #[must_use]
    pub fn room(self) -> Duration {
        Self::counts(self.ttl).saturating_sub(Self::renewed_every(self.ttl)).saturating_sub(ROUND)
    }
}

impl Instance {
    /// What its key is called beneath the witness's own: the same on every node that takes part in this virtual router.
    #[must_use]
    pub fn witness_key(&self) -> String {
        let family = match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        format!("{family}-{}", self.vrid)
    }
}

/// `[witness]` as written.
#[derive(Debug)]
pub(super) struct RawWitness {
    header: Span,
    endpoints: Written<Texts>,
    mode: Written<String>,
    key: Written<String>,
    ttl: Written<Duration>,
    timeout: Written<Duration>,
    user: Written<String>,
    password: Written<String>,
    ca: Written<String>,
}

impl RawWitness {
    /// `None` without such a table.
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Option<Self> {
        let raw = Self {
            header: table.header(),
            endpoints: table.texts("endpoints", out),
            mode: table.text("mode", out),
            key: table.text("key", out),
            ttl: table.time("ttl", out),
            timeout: table.time("timeout", out),
            user: table.text("user", out),
            password: table.text("password", out),
            ca: table.text("ca", out),
        };
        table.is_present().then_some(raw)
    }
}

/// Reads it, and tells every instance of it; a relative path is relative to `base`.
pub(super) fn resolve(
    raw: Option<&RawWitness>,
    instances: &mut [Instance],
    base: &Path,
    out: &mut Findings,
) -> Option<Witness> {
    let raw = raw?;
    let endpoints = endpoints(raw, out);
    let modes = [("arbiter", WitnessMode::Arbiter), ("strict", WitnessMode::Strict)];
    let mode = value::choice("mode", &raw.mode, &modes, out).unwrap_or(WitnessMode::Arbiter);
    let ttl = ttl(raw, out);
    let timeout = value::time("timeout", &raw.timeout, Duration::from_millis(10), ttl / 4, out).unwrap_or(TIMEOUT);
    let witness = Witness {
        endpoints,
        mode,
        key: key(raw, out),
        ttl,
        timeout,
        login: login(raw, out),
        ca: raw.ca.given().map(|(text, _)| base.join(text)),
    };
    let mut keys: Vec<String> = Vec::new();
    for instance in instances {
        instance.witness = Some(Witnessed { mode, ttl });
        check_instance(raw, instance, out);
        let key = instance.witness_key();
        if keys.contains(&key) {
            let name = &instance.name;
            let what = format!("two instances have the same identifier, so they would share one vote ({name})");
            out.error(raw.header.clone(), what, "with a witness, give every instance its own virtual_router_id");
        }
        keys.push(key);
    }
    Some(witness)
}

fn endpoints(raw: &RawWitness, out: &mut Findings) -> Vec<String> {
    const WRITE: &str = "write endpoints = [\"http://192.168.0.22:2379\"], one for each member of the cluster";
    let none = raw.endpoints.given().is_some_and(|(written, _)| written.is_empty());
    if raw.endpoints.is_absent() || none {
        let span = raw.endpoints.span().unwrap_or_else(|| raw.header.clone());
        out.missing(span, "[witness] has no endpoints: nobody can be asked", WRITE);
    }
    let mut endpoints = Vec::new();
    for text in raw.endpoints.given().into_iter().flat_map(|(texts, _)| texts) {
        let url = text.get_ref().trim_end_matches('/');
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_none_or(|host| host.is_empty() || !host.chars().all(plain)) {
            out.error(text.span(), format!("\"{url}\" is no address of a member of etcd"), WRITE);
        }
        endpoints.push(url.to_owned());
    }
    if raw.ca.span().is_some() && !endpoints.iter().any(|url| url.starts_with("https://")) {
        let span = raw.ca.span().unwrap_or_else(|| raw.header.clone());
        out.error(span, "ca without an endpoint that begins with https://", "remove ca, or write https://");
    }
    endpoints
}

/// Whole seconds: etcd knows no others.
fn ttl(raw: &RawWitness, out: &mut Findings) -> Duration {
    let ttl = value::time("ttl", &raw.ttl, TTL_MIN, TTL_MAX, out).unwrap_or(TTL);
    if let Some((written, span)) = raw.ttl.given()
        && written.subsec_nanos() != 0
    {
        out.error(span, "ttl has a fraction of a second, which etcd does not know", "write ttl = \"5s\"");
    }
    Duration::from_secs(ttl.as_secs())
}

fn key(raw: &RawWitness, out: &mut Findings) -> String {
    const WRITE: &str = "write key = \"ha/web\", a name that no other pair has in this etcd, the same on both nodes";
    if raw.key.is_absent() {
        out.missing(raw.header.clone(), "[witness] has no key: two pairs would share one vote", WRITE);
    }
    let Some((text, span)) = raw.key.given() else { return String::new() };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let key = text.trim_matches('/');
    if key.is_empty() || key.len() > KEY_MAX || !key.chars().all(plain) {
        let todo = format!("{WRITE}; 1 to {KEY_MAX} letters, digits, _, -, . and /");
        out.error(span, format!("\"{text}\" cannot be a key"), todo);
    }
    key.to_owned()
}

fn login(raw: &RawWitness, out: &mut Findings) -> Option<Login> {
    const WRITE: &str =
        "write user = \"ha\" and password = \"secret:etcd\", and the password into that file of secrets_dir";
    match (raw.user.given(), raw.password.given()) {
        (None, None) => None,
        (Some((user, _)), Some((password, span))) => {
            let secret = password.strip_prefix(SECRET).map(Secret::named);
            if secret.is_none() {
                out.hide(&span);
            }
            match secret {
                Some(Ok(secret)) => return Some(Login { user: user.clone(), password: secret }),
                Some(Err(why)) => out.error(span, why, WRITE),
                None => out.error(span, "the password of the witness must be a secret, by its name", WRITE),
            }
            None
        }
        (Some((_, span)), None) => {
            if raw.password.is_absent() {
                out.error(span, "user without password", WRITE);
            }
            None
        }
        (None, Some((_, span))) => {
            out.hide(&span);
            if raw.user.is_absent() {
                out.error(span, "password without user", WRITE);
            }
            None
        }
    }
}

/// What cannot be together with a witness.
fn check_instance(raw: &RawWitness, instance: &Instance, out: &mut Findings) {
    let (name, header) = (&instance.name, raw.header.clone());
    if instance.priority.is_owner() {
        let todo = format!("write priority = 254 in [instance.{name}], or remove [witness]");
        out.error(header, format!("{name} owns its address (255) and leads whatever a witness says"), todo);
        return;
    }
    if instance.peers.is_empty() {
        let todo = format!("write peers = [\"192.168.0.21\"] in [instance.{name}]");
        out.error(header, format!("{name} has no peers: nobody knows when the other node is silent"), todo);
        return;
    }
    let Some(witnessed) = instance.witness else { return };
    if instance.lease == Lease::Off {
        let todo =
            format!("remove lease = \"off\" in [instance.{name}]: an address that stays for ever outlives every vote");
        out.error(header, format!("{name} has no lease, so its address would outlive the lease of the witness"), todo);
        return;
    }
    let planned = super::lease_length(instance, None);
    let least = super::shortest_lease(instance.advertise);
    let fits = planned.length.is_some_and(|length| length >= least) && planned.bound_end <= witnessed.room();
    if !fits {
        let (ttl, beat) = (readable(witnessed.ttl), readable(instance.advertise.as_duration()));
        let what = format!(
            "ttl = {ttl} is too short for {name}, which advertises every {beat}: the lease of its address would outlive that of the \
             witness"
        );
        let todo = match shortest_ttl(instance) {
            Some(ttl) => format!("write ttl = \"{}s\" or more", ttl.as_secs()),
            None => format!("write lease = \"auto\" in [instance.{name}]"),
        };
        out.error(header, what, todo);
    }
}

/// The shortest lease of the witness that an instance can do with; `None`: none can.
fn shortest_ttl(instance: &Instance) -> Option<Duration> {
    let witness = instance.witness?;
    let least = super::shortest_lease(instance.advertise);
    (TTL_MIN.as_secs()..=TTL_MAX.as_secs()).map(Duration::from_secs).find(|ttl| {
        let tried = Instance { witness: Some(Witnessed { ttl: *ttl, ..witness }), ..instance.clone() };
        let planned = super::lease_length(&tried, None);
        planned.length.is_some_and(|length| length >= least)
            && planned.bound_end <= Witnessed { ttl: *ttl, ..witness }.room()
    })
}

/// A configuration's witness in words.
pub(super) fn describe(witness: &Witness) -> String {
    let Witness { endpoints, mode, key, ttl, .. } = witness;
    let what = match mode {
        WitnessMode::Arbiter => "decides where the peer is silent on every way",
        WitnessMode::Strict => "nobody is master without it",
    };
    format!(
        "etcd at {}, key {key}, {}: {what}; a master that dies is followed after up to {}",
        endpoints.join(", "),
        mode.name(),
        readable(*ttl + Duration::from_secs(1)),
    )
}

/// What does not fit between the witnesses of two nodes.
pub(super) fn compare(a: &Config, b: &Config, found: &mut Vec<Problem>) {
    let mut error = |what: String, todo: &str| found.push(Problem::anywhere(Severity::Error, what, todo));
    let (one, other) = match (&a.witness, &b.witness) {
        (None, None) => return,
        (Some(one), Some(other)) => (one, other),
        (Some(_), None) | (None, Some(_)) => {
            let (with, without) = if a.witness.is_some() { (a, b) } else { (b, a) };
            let what =
                format!("only {} has a witness: {} takes the address without asking it", with.node, without.node);
            return error(what, "write the same [witness] in both, or in neither");
        }
    };
    if one.key != other.key {
        let what = format!("witness: key is {} on {} and {} on {}", one.key, a.node, other.key, b.node);
        error(what, "write the same in both: each would hold a lease that the other does not look at");
    }
    if one.mode != other.mode {
        let (first, second) = (one.mode.name(), other.mode.name());
        let what = format!("witness: mode is {first} on {} and {second} on {}", a.node, b.node);
        error(what, "write the same in both: what one promises the other does not keep");
    }
    if !one.endpoints.iter().any(|endpoint| other.endpoints.contains(endpoint)) {
        let what = format!("witness: {} and {} have no endpoint in common", a.node, b.node);
        let todo = "see that they are members of one cluster: two clusters are two votes";
        found.push(Problem::anywhere(Severity::Warning, what, todo));
    }
}
