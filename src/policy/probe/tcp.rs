//! `tcp`: a connection, and what may be said and expected on it.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, host_of_endpoint, text},
    target::Target,
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
    /// Bytes to send after connecting.
    pub send: Option<String>,
    /// Text the answer must contain.
    pub expect: Option<String>,
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
            choice("expect", "text", "", "Text that the answer must contain."),
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
    let target = endpoint(&text(target))?;
    let (send, expect) = (options.text("send")?, options.text("expect")?);
    Ok(ProbeKind::Tcp(TcpRequest { target, send, expect }))
}

/// `HOST:PORT`, as it was written.
pub(super) fn endpoint(target: &str) -> Result<String, String> {
    match target.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(target.to_owned()),
        None => Err(format!("\"{target}\" has no port; write \"192.168.0.22:25\" or \"[fd00::1]:25\"")),
    }
}

impl Asked for TcpRequest {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("data", Field::text(self.expect.as_deref().unwrap_or_default())),
            ("connect", Field::Float(0.001)),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        match &self.expect {
            Some(wanted) if !Field::text_in(fields, "data").contains(wanted) => {
                (false, "the answer lacks the wanted text".to_owned())
            }
            Some(_) | None => (true, "connected".to_owned()),
        }
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}
