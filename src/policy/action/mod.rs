//! Actions: what a hook, or what `heal` is given, changes in the world.
//!
//! This floor only says what is wanted; whoever implements [`Performer`] does it: the daemon for real, a test by writing it
//! down. An action is never an exception to a script: it comes to `#{ ok, why }`.

mod data;
mod read;

use std::{fmt, net::IpAddr, time::Duration};

pub(super) use data::json;
pub(super) use read::{Giver, read};

use super::probe::Authorization;

/// Does what a policy wants done.
pub trait Performer: Send + Sync {
    /// Performs one action, within this time; blocks.
    fn perform(&self, action: &Action, within: Duration) -> Performed;
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Performed {
    /// It was done.
    pub ok: bool,
    /// What came of it, for an operator.
    pub why: String,
    /// It will not be done however often it is tried: this node is not set up for it.
    pub refused: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// `service_start`, `service_stop`, `service_restart`, `service_reload`.
    Service { verb: ServiceVerb, unit: String },
    /// `http_send`.
    HttpSend(HttpSend),
    /// `webhook`: data, as JSON, to an address that the configuration names.
    Webhook { name: String, data: String },
    /// `alert`.
    Alert { text: String, level: AlertLevel },
    /// `run`: a program that the configuration allows.
    Run { argv: Vec<String>, timeout: Duration },
    /// `conntrackd`: one command after the other.
    Conntrackd(Vec<ConntrackdCommand>),
    /// `route_replace`, `route_del`.
    Route { change: RouteChange, route: Route },
    /// `addr_add`, `addr_del`.
    Address { change: AddressChange, network: Network, dev: String },
    /// `garp`: announces an address, by ARP or by neighbour discovery.
    Announce { address: IpAddr, dev: String },
    /// `sysctl`.
    Sysctl { key: String, value: String },
    /// `file_write`: a file below `/run/ha/files`.
    FileWrite { path: String, content: String },
    /// `signal`: to every process of this name.
    Signal { process: String, signal: Signal },
}

/// What systemd is asked to do with a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceVerb {
    /// `StartUnit`.
    Start,
    /// `StopUnit`.
    Stop,
    /// `RestartUnit`.
    Restart,
    /// `ReloadUnit`.
    Reload,
}

/// An HTTP request that is repeated until it succeeds.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpSend {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// `POST` unless told.
    pub method: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// What is sent, and its type.
    pub body: Option<(String, &'static str)>,
    /// Who asks.
    pub authorization: Option<Authorization>,
    /// For one attempt.
    pub timeout: Duration,
    /// Attempts at most, and the pause after the first; it doubles.
    pub attempts: u32,
    /// See `attempts`.
    pub backoff: Duration,
}

/// How grave an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertLevel {
    /// Worth knowing.
    Info,
    /// Somebody should look.
    Warning,
    /// Somebody must look now.
    Critical,
}

/// What conntrackd is told (conntrackd(8)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConntrackdCommand {
    /// Put what was replicated into the kernel.
    Commit,
    /// Forget what was replicated.
    Flush,
    /// Read the kernel's table anew.
    Resync,
    /// Send everything to the others.
    BulkSend,
    /// Let what is in the kernel run out soon.
    ShortenTimers,
    /// Ask the others for everything.
    RequestResync,
}

impl ConntrackdCommand {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Commit, Self::Flush, Self::Resync, Self::BulkSend, Self::ShortenTimers, Self::RequestResync];

    /// What a policy calls it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Flush => "flush",
            Self::Resync => "resync",
            Self::BulkSend => "bulk-send",
            Self::ShortenTimers => "shorten-timers",
            Self::RequestResync => "request-resync",
        }
    }

    /// What conntrackd calls it.
    #[must_use]
    pub const fn flag(self) -> &'static str {
        match self {
            Self::Commit => "-c",
            Self::Flush => "-f",
            Self::Resync => "-R",
            Self::BulkSend => "-B",
            Self::ShortenTimers => "-t",
            Self::RequestResync => "-n",
        }
    }
}

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteChange {
    /// Made, or made so.
    Replace,
    /// Removed.
    Del,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to; `None`: everywhere (`default`).
    pub to: Option<Network>,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface.
    pub dev: Option<String>,
    /// The table; the main one unless told.
    pub table: Option<u32>,
    /// The metric.
    pub metric: Option<u32>,
}

/// What becomes of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// It is there.
    Add,
    /// It is not.
    Del,
}

/// An address with its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The address.
    pub address: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
}

/// The signals that programs are told things by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Hup,
    /// SIGUSR1.
    Usr1,
    /// SIGUSR2.
    Usr2,
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
}

/// An alert as data for a webhook: `{"text": "…", "level": "critical"}`.
#[must_use]
pub fn alert_data(text: &str, level: AlertLevel) -> String {
    format!("{{\"text\":{},\"level\":\"{level}\"}}", data::text(text))
}

impl Performed {
    /// Done.
    #[must_use]
    pub fn done(why: impl Into<String>) -> Self {
        Self { ok: true, why: why.into(), refused: false }
    }

    /// Not done, and why not.
    #[must_use]
    pub fn failed(why: impl Into<String>) -> Self {
        Self { ok: false, why: why.into(), refused: false }
    }

    /// Not done, and why this node never does it as it is set up.
    #[must_use]
    pub fn refused(why: impl Into<String>) -> Self {
        Self { refused: true, ..Self::failed(why) }
    }
}

impl Action {
    /// The function that asked for it.
    #[must_use]
    pub const fn function(&self) -> &'static str {
        match self {
            Self::Service { verb, .. } => verb.function(),
            Self::HttpSend(_) => "http_send",
            Self::Webhook { .. } => "webhook",
            Self::Alert { .. } => "alert",
            Self::Run { .. } => "run",
            Self::Conntrackd(_) => "conntrackd",
            Self::Route { change: RouteChange::Replace, .. } => "route_replace",
            Self::Route { change: RouteChange::Del, .. } => "route_del",
            Self::Address { change: AddressChange::Add, .. } => "addr_add",
            Self::Address { change: AddressChange::Del, .. } => "addr_del",
            Self::Announce { .. } => "garp",
            Self::Sysctl { .. } => "sysctl",
            Self::FileWrite { .. } => "file_write",
            Self::Signal { .. } => "signal",
        }
    }

    /// What it is done to.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Service { unit, .. } => unit.clone(),
            Self::HttpSend(send) => send.url.clone(),
            Self::Webhook { name, .. } => name.clone(),
            Self::Alert { text, .. } => text.clone(),
            Self::Conntrackd(commands) => commands.iter().map(|command| command.word()).collect::<Vec<_>>().join(" "),
            Self::Run { argv, .. } => argv.join(" "),
            Self::Route { route, .. } => route.to.map_or_else(|| "default".to_owned(), |to| to.to_string()),
            Self::Address { network, .. } => network.to_string(),
            Self::Announce { address, .. } => address.to_string(),
            Self::Sysctl { key, value } => format!("{key} {value}"),
            Self::FileWrite { path, .. } => path.clone(),
            Self::Signal { process, signal } => format!("{process} {signal}"),
        }
    }

    /// What a test fakes it by: `service_restart:haproxy`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.function(), self.target())
    }
}

/// `service_restart haproxy`
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.function(), self.target())
    }
}

impl fmt::Display for AlertLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

impl ServiceVerb {
    const fn function(self) -> &'static str {
        match self {
            Self::Start => "service_start",
            Self::Stop => "service_stop",
            Self::Restart => "service_restart",
            Self::Reload => "service_reload",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hup => "HUP",
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
            Self::Int => "INT",
            Self::Term => "TERM",
        })
    }
}
