//! `listening`: does a socket of this machine wait on a port?

use std::{net::IpAddr, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    addr::bare,
    kind::{Kind, Reach},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Listening`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListeningRequest {
    /// The port, 1 to 65535.
    pub port: u16,
    /// The protocol; TCP unless told.
    pub proto: Transport,
    /// The address that clients use; any if none.
    pub addr: Option<IpAddr>,
}

/// What listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP socket that takes connections.
    Tcp,
    /// A UDP socket with this port that is bound to no peer.
    Udp,
}

impl Transport {
    /// As one writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "listening",
        group: Group::Probe,
        forms: &["port: number", "port: number, options: map"],
        returns: "probe",
        summary: "Asks the kernel whether a socket of this machine listens on the port; connects to nothing. Ok: one does.",
        options: &[
            choice("proto", "text", "\"tcp\"", "\"tcp\" or \"udp\"."),
            choice("addr", "text", "", "The address that clients use: a socket bound to another one does not count."),
        ],
        fields: &[
            fact("pid", "number", "The process that has the socket, where this process may see it."),
            fact("process", "text", "Its name."),
        ],
        privilege: "pid and process of other users' processes: CAP_SYS_PTRACE",
        example: "require(\"https\", listening(443, #{ addr: node.vip }));",
    },
    target: Target::Number,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let port = target.as_int().ok().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or_else(|| format!("{target} is not a port, 1 to 65535"))?;
    let proto = match options.text("proto")?.as_deref() {
        None | Some("tcp") => Transport::Tcp,
        Some("udp") => Transport::Udp,
        Some(other) => return Err(format!("proto: \"{other}\" is neither \"tcp\" nor \"udp\"")),
    };
    Ok(ProbeKind::Listening(ListeningRequest {
        port,
        proto,
        addr: options.text("addr")?.map(|text| bare("addr", &text)).transpose()?,
    }))
}

impl Asked for ListeningRequest {
    fn target(&self) -> String {
        match self.proto {
            Transport::Tcp => self.port.to_string(),
            Transport::Udp => format!("{}/udp", self.port),
        }
    }

    fn usual(&self) -> Fields {
        Fields::from([("pid", Field::Int(100)), ("process", Field::text("server"))])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, _: &Fields) -> (bool, String) {
        (true, "listens".to_owned())
    }

    fn not_ok(&self, _: Duration) -> String {
        "nobody listens".to_owned()
    }
}
