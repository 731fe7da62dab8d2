//! From a storm that breaks something to the shortest scenario that does: steps are left out as long as the same kind of
//! violation is still there.

use std::time::Duration;

use super::{Act, Happening, Mutation, Scenario, storm};
use crate::policy::Engine;

/// Storms played at most on the way.
const MOST: usize = 400;
/// How much later a shorter scenario may break it.
const AFTERWARDS: Duration = Duration::from_secs(20);

/// The shortest scenario that was found to break the same invariant.
#[must_use]
pub fn shrink(scenario: &Scenario, engine: &Engine, mutation: Option<Mutation>) -> Scenario {
    let breaks = |scenario: &Scenario| {
        let world = storm::rage(scenario, engine, mutation);
        world.violations.first().map(|violation| (violation.kind, violation.at))
    };
    let Some((kind, at)) = breaks(scenario) else { return scenario.clone() };
    let mut best = scenario.clone();
    // What comes after it has nothing to do with it.
    best.steps.retain(|step| step.at <= at);
    best.end = best.end.min(at + AFTERWARDS);
    let calm = best.steps.iter().position(|step| matches!(step.what, Happening::Do(Act::Calm)));
    // What is wrong in the end is wrong only after calm.
    let tail = best.steps.split_off(calm.unwrap_or(best.steps.len()));
    let whole = |steps: &Scenario| {
        let mut whole = steps.clone();
        whole.steps.extend(tail.iter().cloned());
        whole
    };
    let mut left = MOST;
    let mut size = best.steps.len().div_ceil(2);
    while size > 0 && left > 0 {
        let mut from = 0;
        let mut shorter = false;
        while from < best.steps.len() && left > 0 {
            let mut candidate = best.clone();
            let to = (from + size).min(candidate.steps.len());
            candidate.steps.drain(from..to);
            left -= 1;
            if breaks(&whole(&candidate)).is_some_and(|(found, _)| found == kind) {
                best = candidate;
                shorter = true;
            } else {
                from += size;
            }
        }
        size = if shorter && size == 1 { 1 } else { size / 2 };
    }
    let mut best = whole(&best);
    rounded(&mut best, &breaks, kind);
    finished(&mut best, &breaks);
    best
}

/// Times that are easy to read, where they do as well.
fn rounded(best: &mut Scenario, breaks: &impl Fn(&Scenario) -> Option<(&'static str, Duration)>, kind: &'static str) {
    for unit in [1000, 100] {
        let mut candidate = best.clone();
        for step in &mut candidate.steps {
            step.at = round(step.at, unit);
        }
        if breaks(&candidate).is_some_and(|(found, _)| found == kind) {
            *best = candidate;
            return;
        }
    }
}

fn round(at: Duration, unit: u64) -> Duration {
    let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.div_ceil(unit) * unit)
}

/// It ends when it has been seen.
fn finished(best: &mut Scenario, breaks: &impl Fn(&Scenario) -> Option<(&'static str, Duration)>) {
    if let Some((_, at)) = breaks(best) {
        best.end = round(at, 1000) + Duration::from_secs(1);
    }
}
