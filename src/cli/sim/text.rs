//! A simulation for people: a timeline, who had which address when, and what was not as it should be.

use std::time::Duration;

use crate::{
    cli::{output, paint::Paint},
    sim::{Entry, Outcome, Reign, What},
    words::readable,
};

/// What came of a scenario; `packets`: with every advertisement.
pub(super) fn of(outcome: &Outcome, packets: bool, paint: Paint) -> String {
    let mut text = String::new();
    let width = outcome.names.iter().map(String::len).max().unwrap_or_default();
    for entry in outcome.log.iter().filter(|entry| packets || entry.what.is_news()) {
        text.push_str(&line(outcome, entry, width, paint));
    }
    text.push_str("\nWho had the addresses:\n");
    for reign in &outcome.reigns {
        text.push_str(&tenure(outcome, reign));
    }
    text.push_str(&format!("\n{}\n", ending(outcome, paint)));
    text
}

fn line(outcome: &Outcome, entry: &Entry, width: usize, paint: Paint) -> String {
    let at = moment(entry.at);
    let who = entry.machine.and_then(|index| outcome.names.get(index)).map_or("", String::as_str);
    let of = if entry.instance.is_empty() { String::new() } else { format!("{}: ", entry.instance) };
    let what = output::wrap(&format!("{of}{}", entry.what), 14 + width);
    let what = match &entry.what {
        What::Act(_) => paint.strong(&format!("-- {what}")),
        What::Violated(_) | What::Expected { found: Err(_), .. } => paint.bad(&what),
        What::Expected { found: Ok(()), .. } => paint.good(&what),
        What::Role { .. }
        | What::Takes(_)
        | What::LetsGo(_)
        | What::Lapsed(_)
        | What::Raised { .. }
        | What::Cleared { .. }
        | What::Bids { .. }
        | What::LowerHeard { .. }
        | What::Note(_)
        | What::Verdict { .. }
        | What::Sent { .. } => what,
    };
    format!("{at:>10}  {who:<width$}  {what}\n")
}

fn moment(at: Duration) -> String {
    format!("{:.3} s", at.as_secs_f64())
}

fn tenure(outcome: &Outcome, reign: &Reign) -> String {
    let names: Vec<&str> =
        reign.holders.iter().filter_map(|index| outcome.names.get(*index)).map(String::as_str).collect();
    let who = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
    let long = readable(reign.to.saturating_sub(reign.from));
    format!(
        "  {:<20} {:>10} to {:>10}  {who} ({long})\n",
        reign.address.to_string(),
        moment(reign.from),
        moment(reign.to)
    )
}

fn ending(outcome: &Outcome, paint: Paint) -> String {
    let bad = |count: usize, what: &str| format!("{count} {what}");
    let mut parts = Vec::new();
    if outcome.disappointed > 0 {
        parts.push(bad(outcome.disappointed, "not as expected"));
    }
    if !outcome.violations.is_empty() {
        parts.push(bad(outcome.violations.len(), "invariants broken"));
    }
    let seed = outcome.seed;
    if parts.is_empty() {
        return paint.good(&format!("Everything was as expected (seed {seed})."));
    }
    paint.bad(&format!("{} (seed {seed}).", parts.join(", ")))
}
