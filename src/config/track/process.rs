//! `track.processes`: so many processes of a name.

use std::{fmt, time::Duration};

use toml::Spanned;

use super::{Effect, WellWhile};
use crate::config::{
    LinkDelays,
    error::{Findings, Span},
    table::{Table, Written},
    value,
};

const WEIGHT_MAX: i64 = 254;
const COUNT_MAX: i64 = 1_000_000;
const DELAY_MAX: Duration = Duration::from_secs(3600);

/// Which processes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessPattern {
    /// The name of the program, exactly.
    pub name: String,
    /// Only those with this text in their command line.
    pub cmdline: Option<String>,
}

/// Processes that must run, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedProcess {
    /// Which.
    pub pattern: ProcessPattern,
    /// So many at least; 1 by default.
    pub min: u32,
    /// So many at most.
    pub max: Option<u32>,
    /// Whether these are as many as there should be, or as there should not.
    pub well: WellWhile,
    /// What follows.
    pub effect: Effect,
    /// How long it must be well, or not, before that counts.
    pub delays: LinkDelays,
}

impl TrackedProcess {
    /// Whether it is well with so many, and what to say of it.
    #[must_use]
    pub fn judge(&self, count: u32) -> (bool, String) {
        let within = count >= self.min && self.max.is_none_or(|max| count <= max);
        let well = within == (self.well == WellWhile::There);
        let not = if self.well == WellWhile::There { ", not " } else { ", which is " };
        (well, format!("{count} running{not}{}", self.range()))
    }

    fn range(&self) -> String {
        match self.max {
            None => format!("at least {}", self.min),
            Some(max) if max == self.min => max.to_string(),
            Some(max) => format!("{} to {max}", self.min),
        }
    }
}

/// `process nginx`, `process python3 with "worker.py"`: what it is called.
impl fmt::Display for TrackedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pattern.name)?;
        self.pattern.cmdline.as_ref().map_or(Ok(()), |text| write!(f, " with {text:?}"))
    }
}

/// As parts of a sentence.
pub(super) fn describe(tracked: &TrackedProcess) -> String {
    let (there, not) = (format!("{} run", tracked.range()), format!("not {} run", tracked.range()));
    let (well, bad) = if tracked.well == WellWhile::There { (there, not) } else { (not, there) };
    match tracked.effect {
        Effect::Fault => format!("{tracked}: in fault while {bad}"),
        Effect::Weight(weight) => {
            format!("{tracked}: priority {weight:+} while {}", if weight > 0 { well } else { bad })
        }
    }
}

/// One entry as written.
#[derive(Debug)]
pub(super) struct RawProcess {
    place: Span,
    process: Written<String>,
    cmdline: Written<String>,
    min: Written<i64>,
    max: Written<i64>,
    weight: Written<i64>,
    reverse: Written<bool>,
    up_delay: Written<Duration>,
    down_delay: Written<Duration>,
}

impl RawProcess {
    pub(super) fn plain(text: Spanned<String>) -> Self {
        Self {
            place: text.span(),
            process: Written::Given(text),
            cmdline: Written::Absent,
            min: Written::Absent,
            max: Written::Absent,
            weight: Written::Absent,
            reverse: Written::Absent,
            up_delay: Written::Absent,
            down_delay: Written::Absent,
        }
    }

    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            place: table.header(),
            process: table.text("process", out),
            cmdline: table.text("cmdline", out),
            min: table.number("min", out),
            max: table.number("max", out),
            weight: table.number("weight", out),
            reverse: table.flag("reverse", out),
            up_delay: table.time("up_delay", out),
            down_delay: table.time("down_delay", out),
        }
    }
}

/// Reads the list.
pub(super) fn resolve(raw: &[RawProcess], owner: bool, out: &mut Findings) -> Vec<TrackedProcess> {
    let mut processes: Vec<TrackedProcess> = Vec::new();
    for raw in raw {
        let Some(tracked) = one(raw, owner, out) else { continue };
        if processes.iter().any(|other| other.pattern == tracked.pattern) {
            out.error(raw.place.clone(), format!("{tracked} is tracked twice"), "remove one of the two");
        }
        processes.push(tracked);
    }
    processes
}

fn one(raw: &RawProcess, owner: bool, out: &mut Findings) -> Option<TrackedProcess> {
    const TODO: &str =
        "write \"nginx\", or { process = \"nginx\", min = 2 }: the name of the program, without its directory";
    if raw.process.is_absent() {
        out.error(raw.place.clone(), "an entry of processes does not say which", TODO);
    }
    let effect = super::effect(&raw.weight, WEIGHT_MAX, owner, out);
    let well = super::well(&raw.reverse);
    let min = count("min", &raw.min, out);
    let max = count("max", &raw.max, out);
    let min = min.unwrap_or(if max == Some(0) { 0 } else { 1 });
    if let (Some(most), Some(span)) = (max.filter(|max| *max < min), raw.max.span()) {
        out.error(span, format!("max = {most} is less than min = {min}"), "write a max of at least min");
    }
    if min == 0 && max.is_none() && raw.process.given().is_some() {
        let todo = "write min = 1 where it must run, max = 0 where it must not";
        out.error(raw.place.clone(), "any number of processes is as many as there should be", todo);
    }
    let mut time = |key, written| value::time(key, written, Duration::ZERO, DELAY_MAX, out).unwrap_or_default();
    let delays = LinkDelays { up: time("up_delay", &raw.up_delay), down: time("down_delay", &raw.down_delay) };
    let cmdline = raw.cmdline.given().and_then(|(text, span)| {
        if text.is_empty() || text.contains('\0') {
            out.error(span, "cmdline is no text of a command line", "remove it, or write a part of the command line");
        }
        Some(text.clone()).filter(|text| !text.is_empty())
    });
    let (name, span) = raw.process.given()?;
    if name.is_empty() || name.contains(['/', '\0', '\n']) {
        out.error(span, format!("{name:?} is not the name of a program"), TODO);
        return None;
    }
    let pattern = ProcessPattern { name: name.clone(), cmdline };
    Some(TrackedProcess { pattern, min, max, well, effect, delays })
}

fn count(key: &str, written: &Written<i64>, out: &mut Findings) -> Option<u32> {
    let (number, span) = written.given()?;
    let count = u32::try_from(*number).ok().filter(|_| *number <= COUNT_MAX);
    if count.is_none() {
        out.error(span, format!("{key} = {number} is out of range"), format!("{key} is 0 to {COUNT_MAX}"));
    }
    count
}
