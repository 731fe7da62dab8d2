//! `cpu`: how busy the processors are.

use std::time::Duration;

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::Options,
};

/// [`ProbeKind::Cpu`] takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuRequest;

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "cpu",
        group: Group::Probe,
        forms: &["", "options: map"],
        returns: "probe",
        summary: "How busy all processors were since this was last asked; the first time, within a tenth of a second. Ok: \
                  readable.",
        options: &[],
        fields: &[fact("busy", "number", "In percent; waiting for a disk is not busy.")],
        privilege: "",
        example: "watch(\"cpu\", expect(cpu().busy < 95.0, \"no time left\"), #{ fall: 30 });",
    },
    target: Target::Nothing,
    reach: Reach::Machine,
    read,
};

fn read(_: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Cpu(CpuRequest))
}

impl Asked for CpuRequest {
    fn target(&self) -> String {
        String::new()
    }

    fn usual(&self) -> Fields {
        Fields::from([("busy", Field::Float(5.0))])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        (true, format!("{:.0} % busy", Field::measure_in(fields, "busy").unwrap_or_default()))
    }

    fn not_ok(&self, _: Duration) -> String {
        "not readable".to_owned()
    }
}
