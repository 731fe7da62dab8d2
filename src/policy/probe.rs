//! The seam between a policy and the world: what a probe is asked, what it answers, and who performs it.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

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
}

/// The probes, each with its own options.
#[derive(Clone, Debug, PartialEq)]
pub enum ProbeKind {
    /// One HTTP request. `ok`: answered in time with a wanted status and every expectation held.
    Http(HttpRequest),
    /// ICMP echo. `ok`: at least `min` replies.
    Ping(PingRequest),
    /// ARP request or neighbour solicitation. `ok`: at least `min` answers.
    Arping(ArpingRequest),
    /// A TCP connection. `ok`: connected, and the expectation held.
    Tcp(TcpRequest),
    /// A systemd unit. `ok`: active.
    Service(String),
    /// A file. `ok`: exists.
    File(PathBuf),
}

/// Options of [`ProbeKind::Http`].
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// Absolute, `http` or `https`.
    pub url: String,
    /// `GET` unless told.
    pub method: String,
    /// Wanted status codes, as inclusive ranges; 200 unless told.
    pub status: Vec<(u16, u16)>,
    /// `Host` header (and, for https, the server name), if not the URL's.
    pub host: Option<String>,
    /// Additional request headers.
    pub headers: Vec<(String, String)>,
    /// Text the body must contain.
    pub body: Option<String>,
    /// How many redirects to follow; 0 unless told.
    pub follow: u32,
    /// Unix socket to connect to instead of the URL's authority.
    pub unix: Option<PathBuf>,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// Accept any certificate.
    pub insecure: bool,
    /// How much of the body is read.
    pub max_body: usize,
}

/// Options of [`ProbeKind::Ping`].
#[derive(Clone, Debug, PartialEq)]
pub struct PingRequest {
    /// Address or host name.
    pub host: String,
    /// Echo requests to send.
    pub count: u16,
    /// Time between two of them.
    pub gap: Duration,
    /// Replies that make it ok.
    pub min: u16,
    /// Payload bytes.
    pub size: usize,
}

/// Options of [`ProbeKind::Arping`].
#[derive(Clone, Debug, PartialEq)]
pub struct ArpingRequest {
    /// The address asked for.
    pub target: IpAddr,
    /// Requests to send.
    pub count: u16,
    /// Answers that make it ok.
    pub min: u16,
}

/// Options of [`ProbeKind::Tcp`].
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRequest {
    /// `host:port`.
    pub target: String,
    /// Bytes to send after connecting.
    pub send: Option<String>,
    /// Text the answer must contain.
    pub expect: Option<String>,
}

impl ProbeRequest {
    /// The key under which tests fake it and reports name it: `http:URL`, `ping:HOST`, `service:UNIT`, …
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}:{}", self.kind.name(), self.kind.target())
    }
}

impl ProbeKind {
    /// The name of the function in a policy.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Ping(_) => "ping",
            Self::Arping(_) => "arping",
            Self::Tcp(_) => "tcp",
            Self::Service(_) => "service",
            Self::File(_) => "file",
        }
    }

    /// What is probed, as written.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Self::Http(http) => http.url.clone(),
            Self::Ping(ping) => ping.host.clone(),
            Self::Arping(arping) => arping.target.to_string(),
            Self::Tcp(tcp) => tcp.target.clone(),
            Self::Service(unit) => unit.clone(),
            Self::File(path) => path.display().to_string(),
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
    pub fields: BTreeMap<&'static str, Field>,
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

/// Performs probes: the real ones, or a test's.
pub trait Prober: Send + Sync {
    /// Starts the probe and returns at once. The receiver yields one outcome no later than `request.timeout` (plus
    /// scheduling); a prober that is dropped disconnects it, which the caller takes for [`ErrorKind::Internal`].
    fn start(&self, request: &ProbeRequest) -> Pending;
}
