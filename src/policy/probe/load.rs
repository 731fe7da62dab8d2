//! `load`: how many processes want a processor.

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

/// Options of [`ProbeKind::Load`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LoadRequest {
    /// So much at most, for each processor.
    pub max_per_cpu: Option<f64>,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "load",
        group: Group::Probe,
        forms: &["", "options: map"],
        returns: "probe",
        summary: "The load average of the last minute. Ok: readable, and within its limit.",
        options: &[choice("max_per_cpu", "number", "", "So much at most, for each processor.")],
        fields: &[
            fact("load1", "number", "Load average of the last minute."),
            fact("per_cpu", "number", "The same for each processor."),
        ],
        privilege: "",
        example: "watch(\"load\", load(#{ max_per_cpu: 4 }), #{ fall: 30 });",
    },
    target: Target::Nothing,
    reach: Reach::Machine,
    read,
};

fn read(_: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Load(LoadRequest { max_per_cpu: options.limit("max_per_cpu", 10_000.0)? }))
}

impl LoadRequest {
    /// Whether so much is bearable, and what to say of it.
    #[must_use]
    pub fn judge_load(&self, per_cpu: f64) -> (bool, String) {
        match self.max_per_cpu {
            Some(max) if per_cpu > max => (false, format!("{per_cpu:.2} per processor, more than {max}")),
            Some(_) | None => (true, format!("{per_cpu:.2} per processor")),
        }
    }
}

impl Asked for LoadRequest {
    fn target(&self) -> String {
        String::new()
    }

    fn usual(&self) -> Fields {
        Fields::from([("load1", Field::Float(0.1)), ("per_cpu", Field::Float(0.05))])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.judge_load(Field::measure_in(fields, "per_cpu").unwrap_or_default())
    }

    fn not_ok(&self, _: Duration) -> String {
        "too much load".to_owned()
    }
}
