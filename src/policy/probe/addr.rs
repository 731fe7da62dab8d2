//! `addr`: does this machine have an address?

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

/// Options of [`ProbeKind::Addr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrRequest {
    /// The address.
    pub address: IpAddr,
    /// Only on this interface.
    pub dev: Option<String>,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "addr",
        group: Group::Probe,
        forms: &["address: text", "address: text, options: map"],
        returns: "probe",
        summary: "An address of this machine, compared as a number: 192.168.0.6 is not found in 192.168.0.60. Ok: it is \
                  there and can be used.",
        options: &[choice("dev", "text", "", "Only on this interface.")],
        fields: &[
            fact("present", "truth", "The address is there."),
            fact("dev", "text", "The interface that has it."),
            fact("prefix", "number", "Length of its prefix."),
        ],
        privilege: "",
        example: "watch(\"service address\", expect(addr(\"192.168.0.60\").present == node.has_vip, \"not where it should be\"));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Addr(AddrRequest { address: bare("addr", &text(target))?, dev: options.text("dev")? }))
}

/// An address; `node.vip` has the prefix of its network, which says nothing here.
pub(super) fn bare(what: &str, text: &str) -> Result<IpAddr, String> {
    address(what, text.split('/').next().unwrap_or_default())
}

impl Asked for AddrRequest {
    fn target(&self) -> String {
        self.address.to_string()
    }

    fn usual(&self) -> Fields {
        let dev = self.dev.as_deref().unwrap_or("eth0");
        Fields::from([("present", Field::Bool(true)), ("dev", Field::text(dev)), ("prefix", Field::Int(24))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("present", Field::Bool(false))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let present = Field::is_true_in(fields, "present");
        (present, if present { "present" } else { "not on this machine" }.to_owned())
    }

    fn not_ok(&self, _: Duration) -> String {
        "not on this machine".to_owned()
    }
}
