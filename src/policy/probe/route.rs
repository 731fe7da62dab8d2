//! `route`: which way a packet would take.

use std::{net::IpAddr, time::Duration};

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

/// Options of [`ProbeKind::Route`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRequest {
    /// Where to.
    pub to: Destination,
    /// Only this routing table.
    pub table: Option<u32>,
    /// Only by this interface.
    pub dev: Option<String>,
}

/// What a route leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// One address: what a packet to it would take.
    Address(IpAddr),
    /// Exactly this network, as it stands in a table: `10.0.0.0/8`; `default` is `0.0.0.0/0`, and `default6` `::/0`.
    Network(IpAddr, u8),
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "route",
        group: Group::Probe,
        forms: &["destination: text", "destination: text, options: map"],
        returns: "probe",
        summary: "The route to an address (what the kernel would take for a packet), or the entry of a table for exactly a \
                  network (\"10.0.0.0/8\", \"default\", \"default6\"). Sends nothing. Ok: there is one, and it leads somewhere.",
        options: &[
            choice(
                "table",
                "number",
                "",
                "Only this routing table; networks are looked for in 254 (main) unless told.",
            ),
            choice("dev", "text", "", "Only by this interface."),
        ],
        fields: &[
            fact("via", "text", "The next router, if there is one."),
            fact("dev", "text", "The interface."),
            fact("src", "text", "The source address that a packet would have."),
        ],
        privilege: "",
        example: "watch(\"default route\", route(\"default\", #{ dev: node.iface }));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let to = Destination::parse(&text(target))?;
    let table = options.get("table").map(|_| options.number("table", 254, 1, u32::MAX)).transpose()?;
    Ok(ProbeKind::Route(RouteRequest { to, table, dev: options.text("dev")? }))
}

impl Destination {
    fn parse(text: &str) -> Result<Self, String> {
        let odd = || {
            format!("\"{text}\" is no destination; write \"192.0.2.1\", \"10.0.0.0/8\", \"default\" or \"default6\"")
        };
        match (text, text.split_once('/')) {
            ("default", _) => Ok(Self::Network([0, 0, 0, 0].into(), 0)),
            ("default6", _) => Ok(Self::Network([0_u16; 8].into(), 0)),
            (address, None) => address.parse().map(Self::Address).map_err(|_| odd()),
            (_, Some((address, prefix))) => {
                let address: IpAddr = address.parse().map_err(|_| odd())?;
                let most = if address.is_ipv4() { 32 } else { 128 };
                let prefix = prefix.parse().ok().filter(|prefix| *prefix <= most).ok_or_else(odd)?;
                Ok(Self::Network(address, prefix))
            }
        }
    }
}

impl Asked for RouteRequest {
    fn target(&self) -> String {
        match self.to {
            Destination::Address(address) => address.to_string(),
            Destination::Network(IpAddr::V4(_), 0) => "default".to_owned(),
            Destination::Network(IpAddr::V6(_), 0) => "default6".to_owned(),
            Destination::Network(address, prefix) => format!("{address}/{prefix}"),
        }
    }

    fn usual(&self) -> Fields {
        let dev = self.dev.as_deref().unwrap_or("eth0");
        Fields::from([
            ("via", Field::text("192.168.0.1")),
            ("dev", Field::text(dev)),
            ("src", Field::text("192.168.0.20")),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        match (Field::text_in(fields, "dev"), self.dev.as_deref()) {
            ("", _) => (false, "no route".to_owned()),
            (dev, Some(wanted)) if dev != wanted => (false, format!("by {dev}, not by {wanted}")),
            (dev, _) => (true, format!("by {dev}")),
        }
    }

    fn not_ok(&self, _: Duration) -> String {
        "no route".to_owned()
    }
}
