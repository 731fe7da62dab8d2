//! `arping`: an ARP request or a neighbour solicitation.

use std::{net::IpAddr, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::{Options, address},
};

/// Options of [`ProbeKind::Arping`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArpingRequest {
    /// The address asked for.
    pub target: IpAddr,
    /// Requests to send.
    pub count: u16,
    /// Answers that make it ok.
    pub min: u16,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "arping",
        group: Group::Probe,
        forms: &["address: text", "address: text, options: map"],
        returns: "probe",
        summary: "Asks the link for an address, by ARP or neighbour discovery. Ok: at least `min` answers. For neighbours \
                  that drop ICMP.",
        options: &[
            choice("count", "number", "1", "Requests to send, up to 100."),
            choice("min", "number", "1", "Answers that make it ok, up to `count`."),
        ],
        fields: &[fact("received", "number", "Answers."), fact("mac", "text", "Link-layer address of who answered.")],
        privilege: "CAP_NET_RAW",
        example: "require(\"gateway\", arping(\"192.168.0.1\", #{ iface: node.iface }), #{ external: true });",
    },
    target: Target::Text,
    reach: Reach::Network(|address| Some(address.to_owned())),
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let count = options.number("count", 1_u16, 1, 100)?;
    let min = options.number("min", 1, 1, count)?;
    let target = address("arping", &text(target))?;
    match options.get("family").and_then(|family| family.as_int().ok()) {
        Some(family) if (family == 4) != target.is_ipv4() => Err(format!("family: {target} is of the other family")),
        Some(_) | None => Ok(ProbeKind::Arping(ArpingRequest { target, count, min })),
    }
}

impl Asked for ArpingRequest {
    fn target(&self) -> String {
        self.target.to_string()
    }

    fn usual(&self) -> Fields {
        Fields::from([("received", Field::Int(i64::from(self.count))), ("mac", Field::text("02:00:00:00:00:01"))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("received", Field::Int(0))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let received = Field::number_in(fields, "received");
        (received >= i64::from(self.min), format!("{received}/{} answers", self.count))
    }

    fn not_ok(&self, _: Duration) -> String {
        format!("0/{} answers", self.count)
    }
}
