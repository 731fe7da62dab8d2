//! `memory`: how much is left.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Memory`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryRequest {
    /// So much at least, in percent.
    pub min_available_pct: Option<f64>,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "memory",
        group: Group::Probe,
        forms: &["", "options: map"],
        returns: "probe",
        summary: "The memory of this machine. Ok: readable, and within its limit.",
        options: &[choice("min_available_pct", "number", "", "So much available at least, in percent.")],
        fields: &[
            fact(
                "available_pct",
                "number",
                "What programs can still have without swapping (MemAvailable), in percent.",
            ),
            fact("swap_pct", "number", "How much of the swap space is used, in percent; 0 where there is none."),
        ],
        privilege: "",
        example: "prefer(\"memory\", memory(#{ min_available_pct: 5 }), #{ weight: 20, fall: 10 });",
    },
    target: Target::Nothing,
    reach: Reach::Machine,
    read,
};

fn read(_: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Memory(MemoryRequest { min_available_pct: options.limit("min_available_pct", 100.0)? }))
}

impl MemoryRequest {
    /// Whether so much is enough, and what to say of it.
    #[must_use]
    pub fn judge_available(&self, available_pct: f64) -> (bool, String) {
        match self.min_available_pct {
            Some(min) if available_pct < min => (false, format!("{available_pct:.1} % available, less than {min} %")),
            Some(_) | None => (true, format!("{available_pct:.1} % available")),
        }
    }
}

impl Asked for MemoryRequest {
    fn target(&self) -> String {
        String::new()
    }

    fn usual(&self) -> Fields {
        Fields::from([("available_pct", Field::Float(50.0)), ("swap_pct", Field::Float(0.0))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("available_pct", Field::Float(0.0))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.judge_available(Field::measure_in(fields, "available_pct").unwrap_or_default())
    }

    fn not_ok(&self, _: Duration) -> String {
        "too little available".to_owned()
    }
}
