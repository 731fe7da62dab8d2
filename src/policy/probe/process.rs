//! `process`: how many processes of a name there are.

use std::{path::PathBuf, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    file::absolute,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Process`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRequest {
    /// The name of its program, exactly.
    pub name: String,
    /// Only the process whose number stands in this file.
    pub pidfile: Option<PathBuf>,
    /// Only those of this user, a name or a number.
    pub user: Option<String>,
    /// Only those with this text in their command line.
    pub cmdline: Option<String>,
    /// So many at least; 1 unless told.
    pub min: u32,
    /// So many at most.
    pub max: Option<u32>,
}

impl ProcessRequest {
    /// At least one process of this name.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), pidfile: None, user: None, cmdline: None, min: 1, max: None }
    }

    /// Whether so many are as many as there should be, and what to say of it.
    #[must_use]
    pub fn judge_count(&self, count: usize) -> (bool, String) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let ok = count >= self.min && self.max.is_none_or(|max| count <= max);
        let processes = if count == 1 { "1 process".to_owned() } else { format!("{count} processes") };
        let wanted = match self.max {
            None => format!("at least {}", self.min),
            Some(max) if max == self.min => max.to_string(),
            Some(max) => format!("{} to {max}", self.min),
        };
        (ok, if ok { processes } else { format!("{processes}, not {wanted}") })
    }
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "process",
        group: Group::Probe,
        forms: &["name: text", "name: text, options: map"],
        returns: "probe",
        summary: "Counts the processes whose program has exactly this name. Ok: as many as there should be. A process that \
                  hangs is there too: ask what it serves as well.",
        options: &[
            choice("pidfile", "text", "", "Only the process whose number stands in this file."),
            choice("user", "text", "", "Only those of this user, a name or a number."),
            choice("cmdline", "text", "", "Only those with this text in their command line."),
            choice("min", "number", "1", "So many at least."),
            choice("max", "number", "", "So many at most."),
        ],
        fields: &[
            fact("count", "number", "How many there are."),
            fact("pids", "list", "Their numbers, the lowest first."),
        ],
        privilege: "where /proc is mounted with hidepid: CAP_SYS_PTRACE",
        example: "watch(\"chronyd\", process(\"chronyd\", #{ max: 2 }));",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    let min = options.number("min", 1, 0, 1_000_000)?;
    let max = options.get("max").map(|_| options.number("max", min, min, 1_000_000)).transpose()?;
    Ok(ProbeKind::Process(ProcessRequest {
        name: text(target),
        pidfile: options.text("pidfile")?.map(|path| absolute(&path)).transpose()?,
        user: options.text("user")?,
        cmdline: options.text("cmdline")?,
        min,
        max,
    }))
}

impl Asked for ProcessRequest {
    fn target(&self) -> String {
        self.name.clone()
    }

    fn usual(&self) -> Fields {
        let pids = (0..i64::from(self.min.min(100))).map(|number| Field::Int(100 + number)).collect();
        Fields::from([("count", Field::Int(i64::from(self.min))), ("pids", Field::List(pids))])
    }

    fn silence(&self) -> Fields {
        Fields::from([("count", Field::Int(0)), ("pids", Field::List(Vec::new()))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        self.judge_count(usize::try_from(Field::number_in(fields, "count")).unwrap_or(0))
    }

    fn not_ok(&self, _: Duration) -> String {
        self.judge_count(0).1
    }
}
