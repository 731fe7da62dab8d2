//! `iface`: an interface of this machine.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::Options,
};

/// Options of [`ProbeKind::Iface`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfaceRequest {
    /// Its name.
    pub interface: String,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "iface",
        group: Group::Probe,
        forms: &["name: text", "name: text, options: map"],
        returns: "probe",
        summary: "An interface of this machine. Ok: it is up and has carrier.",
        options: &[],
        fields: &[
            fact("up", "truth", "Somebody has set it up."),
            fact("carrier", "truth", "Its link works."),
            fact("speed", "number", "Mbit/s, where the driver says."),
            fact("mtu", "number", "Bytes in a packet."),
            fact("addrs", "list", "Its addresses with their prefixes, \"192.168.0.20/24\"."),
            fact("slaves_up", "number", "Members (of a bond, a bridge, a team) that are up and have carrier."),
            fact("errors_rate", "number", "Errors a second, received and sent, since this was last asked."),
        ],
        privilege: "",
        example: "require(\"uplink\", iface(node.iface));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Iface(IfaceRequest { interface: text(target) }))
}

impl Asked for IfaceRequest {
    fn target(&self) -> String {
        self.interface.clone()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("up", Field::Bool(true)),
            ("carrier", Field::Bool(true)),
            ("speed", Field::Int(1000)),
            ("mtu", Field::Int(1500)),
            ("addrs", Field::List(Vec::new())),
            ("slaves_up", Field::Int(0)),
            ("errors_rate", Field::Float(0.0)),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::from([("up", Field::Bool(false)), ("carrier", Field::Bool(false))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        match (Field::is_true_in(fields, "up"), Field::is_true_in(fields, "carrier")) {
            (false, _) => (false, "down".to_owned()),
            (true, false) => (false, "no carrier".to_owned()),
            (true, true) => (true, "up".to_owned()),
        }
    }

    fn not_ok(&self, _: Duration) -> String {
        "down".to_owned()
    }
}
