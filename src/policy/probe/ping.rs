//! `ping`: ICMP echo.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Ping`].
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// How many routers a request may pass; the system's default unless told.
    pub ttl: Option<u8>,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "ping",
        group: Group::Probe,
        forms: &["host: text", "host: text, options: map"],
        returns: "probe",
        summary: "ICMP echo. Ok: at least `min` replies.",
        options: &[
            choice("count", "number", "1", "Echo requests to send, up to 100. Ok as soon as enough were answered."),
            choice("gap", "duration", "\"200ms\"", "Time between two of them."),
            choice("min", "number", "1", "Replies that make it ok, up to `count`."),
            choice("size", "number", "16", "Payload bytes, 8 to 1400."),
            choice("ttl", "number", "", "How many routers a request may pass, 1 to 255: 1 means a neighbour."),
        ],
        fields: &[
            fact("sent", "number", "Requests sent."),
            fact("received", "number", "Replies."),
            fact("loss", "number", "Share of requests without reply, 0.0 to 1.0."),
            fact("rtt", "number", "Mean round trip in seconds."),
            fact("rtt_max", "number", "Longest round trip in seconds."),
        ],
        privilege: "CAP_NET_RAW, or a group in net.ipv4.ping_group_range",
        example: "require(\"arbiter\", ping(\"192.168.0.22\", #{ count: 3, timeout: \"1s\" }), #{ external: true });",
    },
    target: Target::Text,
    reach: Reach::Network(|host| Some(host.to_owned())),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let count = options.number("count", 1_u16, 1, 100)?;
    Ok(ProbeKind::Ping(PingRequest {
        host: text(target),
        count,
        gap: options.duration("gap", Duration::from_millis(200))?,
        min: options.number("min", 1, 1, count)?,
        size: options.number("size", 16_usize, 8, 1400)?,
        ttl: options.get("ttl").map(|_| options.number("ttl", 64_u8, 1, 255)).transpose()?,
    }))
}

impl Asked for PingRequest {
    fn target(&self) -> String {
        self.host.clone()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("sent", Field::Int(i64::from(self.count))),
            ("received", Field::Int(i64::from(self.count))),
            ("loss", Field::Float(0.0)),
            ("rtt", Field::Float(0.001)),
            ("rtt_max", Field::Float(0.001)),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::from([
            ("sent", Field::Int(i64::from(self.count))),
            ("received", Field::Int(0)),
            ("loss", Field::Float(1.0)),
        ])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let received = Field::number_in(fields, "received");
        (received >= i64::from(self.min), format!("{received}/{} replies", self.count))
    }

    fn not_ok(&self, _: Duration) -> String {
        format!("0/{} replies", self.count)
    }
}
