//! A simulation as JSON: `ha.sim/1`.

use serde::Serialize;

use crate::sim::{Entry, Outcome, Reign, What};

#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    seed: u64,
    nodes: &'a [String],
    /// Everything was as expected, and what must hold held.
    ok: bool,
    unmet: usize,
    timeline: Vec<Line<'a>>,
    reigns: Vec<Tenure<'a>>,
    violations: Vec<Broken<'a>>,
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    at_us: u64,
    node: Option<&'a str>,
    instance: Option<&'a str>,
    kind: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Tenure<'a> {
    address: String,
    from_us: u64,
    to_us: u64,
    holders: Vec<&'a str>,
}

/// An invariant that did not hold.
#[derive(Debug, Serialize)]
pub(super) struct Broken<'a> {
    pub(super) at_us: u64,
    pub(super) kind: &'static str,
    pub(super) text: &'a str,
}

/// What came of a scenario; `packets`: with every advertisement.
pub(super) fn of(outcome: &Outcome, packets: bool) -> Document<'_> {
    let news = outcome.log.iter().filter(|entry| packets || entry.what.is_news());
    Document {
        schema: "ha.sim/1",
        seed: outcome.seed,
        nodes: &outcome.names,
        ok: outcome.disappointed == 0 && outcome.violations.is_empty(),
        unmet: outcome.disappointed,
        timeline: news.map(|entry| line(outcome, entry)).collect(),
        reigns: outcome.reigns.iter().map(|reign| tenure(outcome, reign)).collect(),
        violations: broken(&outcome.violations),
    }
}

/// The invariants that did not hold.
pub(super) fn broken(violations: &[crate::sim::Violation]) -> Vec<Broken<'_>> {
    let one = |it: &'_ crate::sim::Violation| (micros(it.at), it.kind);
    violations.iter().map(|it| Broken { at_us: one(it).0, kind: one(it).1, text: &it.text }).collect()
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn name(outcome: &Outcome, index: usize) -> &str {
    outcome.names.get(index).map_or("?", String::as_str)
}

fn line<'a>(outcome: &'a Outcome, entry: &'a Entry) -> Line<'a> {
    let met = if let What::Expected { found, .. } = &entry.what { Some(found.is_ok()) } else { None };
    Line {
        at_us: micros(entry.at),
        node: entry.machine.map(|index| name(outcome, index)),
        instance: Some(entry.instance.as_str()).filter(|instance| !instance.is_empty()),
        kind: entry.what.kind(),
        text: entry.what.to_string(),
        met,
    }
}

fn tenure<'a>(outcome: &'a Outcome, reign: &'a Reign) -> Tenure<'a> {
    Tenure {
        address: reign.address.to_string(),
        from_us: micros(reign.from),
        to_us: micros(reign.to),
        holders: reign.holders.iter().map(|index| name(outcome, *index)).collect(),
    }
}
