//! `pressure`: how much time processes lose by waiting for a processor, for memory or for a disk (PSI).

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

/// Options of [`ProbeKind::Pressure`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PressureRequest {
    /// What is waited for.
    pub resource: Resource,
    /// Limit of `some10`, in percent.
    pub max_some10: Option<f64>,
    /// Limit of `full10`, in percent.
    pub max_full10: Option<f64>,
}

/// What the kernel measures pressure on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The processors.
    Cpu,
    /// Memory.
    Memory,
    /// Disks.
    Io,
}

impl Resource {
    /// As one writes it, and as the kernel calls its file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Io => "io",
        }
    }
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "pressure",
        group: Group::Probe,
        forms: &["resource: text", "resource: text, options: map"],
        returns: "probe",
        summary: "How much of the last ten seconds processes lost waiting for \"cpu\", \"memory\" or \"io\" (PSI). Ok: \
                  readable, and within its limits. A better sign of a machine that thrashes than its load.",
        options: &[
            choice("max_some10", "number", "", "Limit of some10, in percent."),
            choice("max_full10", "number", "", "Limit of full10, in percent."),
        ],
        fields: &[
            fact("some10", "number", "Percent of the time in which some process waited."),
            fact("full10", "number", "Percent of the time in which all of them did, where the kernel says."),
        ],
        privilege: "",
        example: "watch(\"memory pressure\", pressure(\"memory\", #{ max_full10: 20 }), #{ fall: 10 });",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let resource = match text(target).as_str() {
        "cpu" => Resource::Cpu,
        "memory" => Resource::Memory,
        "io" => Resource::Io,
        other => return Err(format!("\"{other}\" has no pressure; write \"cpu\", \"memory\" or \"io\"")),
    };
    let (max_some10, max_full10) = (options.limit("max_some10", 100.0)?, options.limit("max_full10", 100.0)?);
    Ok(ProbeKind::Pressure(PressureRequest { resource, max_some10, max_full10 }))
}

impl PressureRequest {
    /// Whether so much is bearable, and what to say of it.
    #[must_use]
    pub fn judge_pressure(&self, some10: f64, full10: Option<f64>) -> (bool, String) {
        let over = |value: Option<f64>, max: Option<f64>| Some((value?, max?)).filter(|(value, max)| value > max);
        if let Some((value, max)) = over(Some(some10), self.max_some10) {
            return (false, format!("some process waited {value:.1} % of the time, more than {max} %"));
        }
        if let Some((value, max)) = over(full10, self.max_full10) {
            return (false, format!("all processes waited {value:.1} % of the time, more than {max} %"));
        }
        (true, format!("{some10:.1} % of the time"))
    }
}

impl Asked for PressureRequest {
    fn target(&self) -> String {
        self.resource.as_str().to_owned()
    }

    fn usual(&self) -> Fields {
        Fields::from([("some10", Field::Float(0.0)), ("full10", Field::Float(0.0))])
    }

    fn silence(&self) -> Fields {
        Fields::new()
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let some10 = Field::measure_in(fields, "some10").unwrap_or_default();
        self.judge_pressure(some10, Field::measure_in(fields, "full10"))
    }

    fn not_ok(&self, _: Duration) -> String {
        "too much pressure".to_owned()
    }
}
