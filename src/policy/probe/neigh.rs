//! `neigh`: what the kernel knows of a neighbour.

use std::{net::IpAddr, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::{Options, address},
};

/// Options of [`ProbeKind::Neigh`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighRequest {
    /// The neighbour's address.
    pub address: IpAddr,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "neigh",
        group: Group::Probe,
        forms: &["address: text", "address: text, options: map"],
        returns: "probe",
        summary: "An entry of the kernel's table of neighbours. Sends nothing: one that nobody talks to grows stale, and \
                  arping asks afresh. Ok: its link-layer address is known and has not failed.",
        options: &[],
        fields: &[
            fact("state", "text", "reachable, stale, delay, probe, permanent, noarp, incomplete or failed."),
            fact("mac", "text", "Its link-layer address."),
        ],
        privilege: "",
        example: "watch(\"gateway known\", neigh(\"192.168.0.1\"));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Neigh(NeighRequest { address: address("neigh", &text(target))? }))
}

impl NeighRequest {
    /// Whether a neighbour in this state is one, and what to say of it.
    #[must_use]
    pub fn judge_state(state: &str) -> (bool, String) {
        let known = ["reachable", "stale", "delay", "probe", "permanent", "noarp"].contains(&state);
        (known, if state.is_empty() { "not among the neighbours".to_owned() } else { state.to_owned() })
    }
}

impl Asked for NeighRequest {
    fn target(&self) -> String {
        self.address.to_string()
    }

    fn usual(&self) -> Fields {
        Fields::from([("state", Field::text("reachable")), ("mac", Field::text("02:00:00:00:00:01"))])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        Self::judge_state(Field::text_in(fields, "state"))
    }

    fn not_ok(&self, _: Duration) -> String {
        "not among the neighbours".to_owned()
    }
}
