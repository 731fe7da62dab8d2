//! The seam between a policy and the world: what a probe is asked, what it answers, and who performs it.
//!
//! One file for each kind of probe: what a policy may ask (its `KIND`), what it may read, and what a test's fake of it
//! says. None of them performs anything; that is `crate::probe`'s, which has a file for each of them too.

mod addr;
mod arping;
mod cert;
mod cpu;
mod disk;
mod dns;
mod exec;
mod file;
mod http;
mod iface;
pub(super) mod json;
mod kind;
mod listening;
mod load;
mod memory;
mod neigh;
mod pattern;
mod ping;
mod pressure;
mod process;
mod route;
mod service;
mod talk;
mod target;
mod tcp;
mod time_sync;
mod tls;
mod udp;
mod unix_socket;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

pub use self::{
    addr::AddrRequest,
    arping::ArpingRequest,
    cert::CertRequest,
    cpu::CpuRequest,
    disk::DiskRequest,
    dns::DnsRequest,
    exec::ExecRequest,
    file::FileRequest,
    http::{Authorization, Data, HttpRequest, HttpVersion},
    iface::IfaceRequest,
    json::JsonExpectation,
    listening::{ListeningRequest, Transport},
    load::LoadRequest,
    memory::MemoryRequest,
    neigh::NeighRequest,
    pattern::Pattern,
    ping::PingRequest,
    pressure::{PressureRequest, Resource},
    process::ProcessRequest,
    route::{Destination, RouteRequest},
    service::ServiceRequest,
    talk::Talk,
    tcp::TcpRequest,
    time_sync::TimeSyncRequest,
    tls::{Identity, TlsRequest},
    udp::UdpRequest,
    unix_socket::UnixSocketRequest,
};
pub(super) use self::{
    kind::{KINDS, Kind, Reach, common_options, kind},
    target::Target,
};
use crate::words::Family;

/// One attempt to learn something. Every field a probe needs is here; the prober knows no script.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRequest {
    /// What to do.
    pub kind: ProbeKind,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Source address to use.
    pub bind: Option<IpAddr>,
    /// Interface to use.
    pub iface: Option<String>,
    /// Address family to use, where a name has both.
    pub family: Option<Family>,
    /// What reports call it instead of its target.
    pub name: Option<String>,
}

/// The probes, each with its own options.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one for each probe under way, never many")]
pub enum ProbeKind {
    /// One HTTP request. `ok`: answered in time with a wanted status and every expectation held.
    Http(HttpRequest),
    /// ICMP echo. `ok`: at least `min` replies.
    Ping(PingRequest),
    /// ARP request or neighbour solicitation. `ok`: at least `min` answers.
    Arping(ArpingRequest),
    /// A TCP connection. `ok`: connected, and the expectation held.
    Tcp(TcpRequest),
    /// A datagram. `ok`: answered, and the expectation held.
    Udp(UdpRequest),
    /// A connection to a socket of this machine. `ok`: connected, and the expectation held.
    UnixSocket(UnixSocketRequest),
    /// A question to a name server. `ok`: the wanted code, and enough records.
    Dns(DnsRequest),
    /// A certificate in a file. `ok`: valid, and for long enough.
    Cert(CertRequest),
    /// A systemd unit. `ok`: active.
    Service(ServiceRequest),
    /// A file. `ok`: exists.
    File(FileRequest),
    /// A socket that listens on this machine. `ok`: one does.
    Listening(ListeningRequest),
    /// Processes of a name. `ok`: as many as there should be.
    Process(ProcessRequest),
    /// A mounted file system. `ok`: mounted, writable, with room.
    Disk(DiskRequest),
    /// Memory. `ok`: readable, within its limit.
    Memory(MemoryRequest),
    /// Load average. `ok`: readable, within its limit.
    Load(LoadRequest),
    /// Processors. `ok`: readable.
    Cpu(CpuRequest),
    /// Pressure stall information. `ok`: readable, within its limits.
    Pressure(PressureRequest),
    /// An interface. `ok`: up, with carrier.
    Iface(IfaceRequest),
    /// A route. `ok`: there is one, and it leads somewhere.
    Route(RouteRequest),
    /// An address of this machine. `ok`: there and usable.
    Addr(AddrRequest),
    /// A neighbour, as the kernel knows it. `ok`: its link-layer address is known.
    Neigh(NeighRequest),
    /// A program. `ok`: ended with the wanted code.
    Exec(ExecRequest),
    /// The kernel's clock. `ok`: synchronised.
    TimeSync(TimeSyncRequest),
}

/// Further fields of an outcome, by name.
pub type Fields = BTreeMap<&'static str, Field>;

/// What every kind of request can say of itself, and how a test's fake of it answers.
pub(super) trait Asked {
    /// What is probed, as written; empty where there is only one thing to look at.
    fn target(&self) -> String;

    /// The fields of a probe that is ok.
    fn usual(&self) -> Fields;

    /// The fields of a probe that nobody answered.
    fn silence(&self) -> Fields;

    /// Adds to the fields of a fake what follows from those that a test has told.
    fn follow(&self, _told: &Fields, _fields: &mut Fields) {}

    /// Whether these fields are what was wanted, and what the probe says of them.
    fn judge(&self, fields: &Fields) -> (bool, String);

    /// The reason of a probe of which a test says no more than that it is not ok.
    fn not_ok(&self, timeout: Duration) -> String;
}

impl ProbeRequest {
    /// With the usual timeout and nothing else said.
    #[must_use]
    pub const fn new(kind: ProbeKind, timeout: Duration) -> Self {
        Self { kind, timeout, bind: None, iface: None, family: None, name: None }
    }

    /// The key under which tests fake it and reports name it: `http:URL`, `ping:HOST`, `service:UNIT`, …
    #[must_use]
    pub fn key(&self) -> String {
        match self.kind.target() {
            target if target.is_empty() => self.kind.name().to_owned(),
            target => format!("{}:{target}", self.kind.name()),
        }
    }

    /// What reports call it: `ping 192.168.0.22`.
    #[must_use]
    pub fn label(&self) -> String {
        let target = self.name.clone().unwrap_or_else(|| self.kind.target());
        if target.is_empty() { self.kind.name().to_owned() } else { format!("{} {target}", self.kind.name()) }
    }

    /// The family of its source address, or the one that was asked for.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.bind.map(Family::of).or(self.family)
    }
}

impl ProbeKind {
    /// It may change something, wherever it goes: a program, an HTTP request that does more than ask.
    #[must_use]
    pub fn acts(&self) -> bool {
        match self {
            Self::Exec(_) => true,
            Self::Http(http) => !["GET", "HEAD"].iter().any(|asks| http.method.eq_ignore_ascii_case(asks)),
            Self::Ping(_)
            | Self::Arping(_)
            | Self::Tcp(_)
            | Self::Udp(_)
            | Self::UnixSocket(_)
            | Self::Dns(_)
            | Self::Cert(_)
            | Self::Service(_)
            | Self::File(_)
            | Self::Listening(_)
            | Self::Process(_)
            | Self::Disk(_)
            | Self::Memory(_)
            | Self::Load(_)
            | Self::Cpu(_)
            | Self::Pressure(_)
            | Self::Iface(_)
            | Self::Route(_)
            | Self::Addr(_)
            | Self::Neigh(_)
            | Self::TimeSync(_) => false,
        }
    }

    /// The name of the function in a policy.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Ping(_) => "ping",
            Self::Arping(_) => "arping",
            Self::Tcp(_) => "tcp",
            Self::Udp(_) => "udp",
            Self::UnixSocket(_) => "unix_socket",
            Self::Dns(_) => "dns",
            Self::Cert(_) => "cert",
            Self::Service(_) => "service",
            Self::File(_) => "file",
            Self::Listening(_) => "listening",
            Self::Process(_) => "process",
            Self::Disk(_) => "disk",
            Self::Memory(_) => "memory",
            Self::Load(_) => "load",
            Self::Cpu(_) => "cpu",
            Self::Pressure(_) => "pressure",
            Self::TimeSync(_) => "time_sync",
            Self::Iface(_) => "iface",
            Self::Route(_) => "route",
            Self::Addr(_) => "addr",
            Self::Neigh(_) => "neigh",
            Self::Exec(_) => "exec",
        }
    }

    /// What is probed, as written.
    #[must_use]
    pub fn target(&self) -> String {
        self.asked().target()
    }

    pub(super) fn asked(&self) -> &dyn Asked {
        match self {
            Self::Http(http) => http,
            Self::Ping(ping) => ping,
            Self::Arping(arping) => arping,
            Self::Tcp(tcp) => tcp,
            Self::Udp(udp) => udp,
            Self::UnixSocket(unix_socket) => unix_socket,
            Self::Dns(dns) => dns,
            Self::Cert(cert) => cert,
            Self::Service(service) => service,
            Self::File(file) => file,
            Self::Listening(listening) => listening,
            Self::Process(process) => process,
            Self::Disk(disk) => disk,
            Self::Memory(memory) => memory,
            Self::Load(load) => load,
            Self::Cpu(cpu) => cpu,
            Self::Pressure(pressure) => pressure,
            Self::TimeSync(time_sync) => time_sync,
            Self::Iface(iface) => iface,
            Self::Route(route) => route,
            Self::Addr(addr) => addr,
            Self::Neigh(neigh) => neigh,
            Self::Exec(exec) => exec,
        }
    }
}

/// What came of a probe. Never an exception.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeOutcome {
    /// What was asked was so.
    pub ok: bool,
    /// Why, for an operator: `"200"`, `"status 500"`, `"timeout after 2s"`, `"0/3 replies"`.
    pub why: String,
    /// Why not, as one word for scripts; [`ErrorKind::None`] if `ok`.
    pub error: ErrorKind,
    /// The trouble is this machine's own (no privilege, no file descriptor left, own resolver down): no information.
    pub blind: bool,
    /// How long it took.
    pub elapsed: Duration,
    /// What else a policy may read: `status`, `body`, `rtt`, `state`, …
    pub fields: Fields,
}

/// The value of a further field of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Nothing known.
    Unit,
    /// A truth.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; times are in seconds.
    Float(f64),
    /// A text.
    Text(String),
    /// Named texts (HTTP headers, in lower case).
    Texts(BTreeMap<String, String>),
    /// Several values.
    List(Vec<Self>),
    /// Named values (a JSON document).
    Map(BTreeMap<String, Self>),
}

impl Field {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The number, if it is a whole one; else 0.
    pub(crate) fn number_in(fields: &Fields, name: &str) -> i64 {
        match fields.get(name) {
            Some(Self::Int(number)) => *number,
            Some(
                Self::Unit
                | Self::Bool(_)
                | Self::Float(_)
                | Self::Text(_)
                | Self::Texts(_)
                | Self::List(_)
                | Self::Map(_),
            )
            | None => 0,
        }
    }

    /// The number, whole or not, if it is one.
    pub(super) fn measure_in(fields: &Fields, name: &str) -> Option<f64> {
        match fields.get(name)? {
            Self::Float(number) => Some(*number),
            // A measure of ours is far from where a double would lose a digit.
            Self::Int(number) => i32::try_from(*number).ok().map(f64::from),
            Self::Unit | Self::Bool(_) | Self::Text(_) | Self::Texts(_) | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The text, if it is one; else empty.
    pub(super) fn text_in<'a>(fields: &'a Fields, name: &str) -> &'a str {
        match fields.get(name) {
            Some(Self::Text(text)) => text,
            Some(
                Self::Unit
                | Self::Bool(_)
                | Self::Int(_)
                | Self::Float(_)
                | Self::Texts(_)
                | Self::List(_)
                | Self::Map(_),
            )
            | None => "",
        }
    }

    /// It is there, and true.
    pub(super) fn is_true_in(fields: &Fields, name: &str) -> bool {
        fields.get(name) == Some(&Self::Bool(true))
    }
}

/// Why a probe is not ok.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// It is ok.
    None,
    /// No answer in time.
    Timeout,
    /// Nobody listens.
    Refused,
    /// No way there.
    Unreachable,
    /// The other side hung up.
    Reset,
    /// The name has no address.
    Dns,
    /// TLS failed.
    Tls,
    /// The answer makes no sense.
    Protocol,
    /// A good answer, not the wanted one.
    Mismatch,
    /// This process may not (always blind).
    Denied,
    /// The evaluation's deadline came first.
    Deadline,
    /// A fault of ours or of this machine.
    Internal,
}

impl ErrorKind {
    /// The word a policy sees; empty if there is no error.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Reset => "reset",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::Mismatch => "mismatch",
            Self::Denied => "denied",
            Self::Deadline => "deadline",
            Self::Internal => "internal",
        }
    }
}

/// An outcome that arrives once.
pub type Pending = std::sync::mpsc::Receiver<ProbeOutcome>;

/// The outcome of a probe whose worker is gone.
#[must_use]
pub(super) fn given_up() -> ProbeOutcome {
    ProbeOutcome {
        ok: false,
        why: "the probe was given up by its worker".to_owned(),
        error: ErrorKind::Internal,
        blind: true,
        elapsed: Duration::ZERO,
        fields: Fields::new(),
    }
}

/// Performs probes: the real ones, or a test's.
pub trait Prober: Send + Sync {
    /// Starts the probe and returns at once. The receiver yields one outcome no later than `request.timeout` (plus
    /// scheduling); a prober that is dropped disconnects it, which the caller takes for [`ErrorKind::Internal`].
    fn start(&self, request: &ProbeRequest) -> Pending;

    /// The probe changes nothing, and all it takes is a thread that blocks: whoever waits for it may as well
    /// [`perform`](Self::perform) it.
    fn only_blocks(&self, _: &ProbeRequest) -> bool {
        false
    }

    /// Performs the probe on the calling thread, which must be one that may block; no later than
    /// [`start`](Self::start) would have it.
    fn perform(&self, request: &ProbeRequest) -> ProbeOutcome {
        self.start(request).recv().unwrap_or_else(|_| given_up())
    }
}
