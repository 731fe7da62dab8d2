//! `tcp`: a connection, and what may be said and expected on it.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, host_of_endpoint},
    talk::{self, Talk},
    target::Target,
    tls::{self, TlsRequest},
};
use crate::policy::{
    duration,
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Tcp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpRequest {
    /// `host:port`.
    pub target: String,
    /// What is said after connecting, and what is expected.
    pub talk: Talk,
    /// Speak TLS.
    pub tls: Option<TlsRequest>,
    /// Say first where the connection comes from: a PROXY header of version 1.
    pub proxy_protocol: bool,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "tcp",
        group: Group::Probe,
        forms: &["endpoint: text", "endpoint: text, options: map"],
        returns: "probe",
        summary: "A TCP connection to `HOST:PORT`. Ok: connected, and the expected text came.",
        options: &[
            choice("send", "text", "", "Text to send after connecting."),
            talk::EXPECT,
            talk::EXPECT_RE,
            choice("tls", "truth", "false", "Speak TLS, and verify who answers."),
            tls::CA,
            tls::SNI,
            tls::INSECURE,
            choice(
                "proxy_protocol",
                "truth",
                "false",
                "Begin with a PROXY header, version 1, as servers behind a proxy want it.",
            ),
        ],
        fields: &[
            fact("data", "text", "What was received, up to 64 KiB; only if something is expected."),
            fact("connect", "number", "Seconds until connected."),
        ],
        privilege: "",
        example: "require(\"smtp\", tcp(\"127.0.0.1:25\", #{ expect: \"220 \", timeout: \"1s\" }));",
    },
    target: Target::Text,
    reach: Reach::Network(host_of_endpoint),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Tcp(TcpRequest {
        target: talk::endpoint(target)?,
        talk: Talk::text(options)?,
        tls: tls(options)?,
        proxy_protocol: options.truth("proxy_protocol")?,
    }))
}

fn tls(options: &Options<'_>) -> Result<Option<TlsRequest>, String> {
    let tls = TlsRequest::read(options)?;
    match options.truth("tls")? {
        true => Ok(Some(tls)),
        false if tls == TlsRequest::default() => Ok(None),
        false => Err("ca, sni and insecure are about TLS; write tls: true too".to_owned()),
    }
}

impl TcpRequest {
    /// A connection to `HOST:PORT`, and not a word.
    #[must_use]
    pub fn to(target: impl Into<String>) -> Self {
        Self { target: target.into(), talk: Talk::default(), tls: None, proxy_protocol: false }
    }
}

impl Asked for TcpRequest {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn usual(&self) -> Fields {
        self.talk.usual().into_iter().chain([("connect", Field::Float(0.001))]).collect()
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.talk.judge_fields(fields, if self.talk.expects() { "answered" } else { "connected" })
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}
