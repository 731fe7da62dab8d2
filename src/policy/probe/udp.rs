//! `udp`: a datagram, and the one that answers it.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Fields, ProbeKind,
    kind::{Kind, Reach, host_of_endpoint},
    talk::{self, Talk},
    target::Target,
};
use crate::policy::{
    duration,
    language::{Function, Group, choice},
    options::Options,
};

/// Options of [`ProbeKind::Udp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpRequest {
    /// `host:port`.
    pub target: String,
    /// What is sent and what is expected.
    pub talk: Talk,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "udp",
        group: Group::Probe,
        forms: &["endpoint: text", "endpoint: text, options: map"],
        returns: "probe",
        summary: "A datagram to `HOST:PORT`, which must be answered: `send` is not optional. Ok: an answer came, and it \
                  is the expected one. The first answer decides.",
        options: &[
            choice("send", "text", "", "What to send."),
            talk::EXPECT,
            talk::EXPECT_RE,
            choice("hex", "truth", "false", "`send`, `expect` and `data` are hexadecimal digits: \"00 1f\"."),
        ],
        fields: &[talk::DATA],
        privilege: "",
        example: "require(\"radius\", udp(\"192.168.0.22:1812\", #{ hex: true, send: \"0c 01 0014 00000000000000000000000000000000\", expect_re: \"^02\" }), #{ external: true });",
    },
    target: Target::Text,
    reach: Reach::Network(host_of_endpoint),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let target = talk::endpoint(target)?;
    let talk = if options.truth("hex")? { Talk::hex(options) } else { Talk::text(options) }?;
    if talk.send.is_empty() {
        return Err("udp needs something to send: nobody answers what was never asked; write send: \"…\"".to_owned());
    }
    Ok(ProbeKind::Udp(UdpRequest { target, talk }))
}

impl Asked for UdpRequest {
    fn target(&self) -> String {
        self.target.clone()
    }

    fn usual(&self) -> Fields {
        self.talk.usual().into_iter().collect()
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.talk.judge_fields(fields, "answered")
    }

    fn not_ok(&self, timeout: Duration) -> String {
        format!("timeout after {}", duration::show(timeout))
    }
}
