//! `ha sim --storm N`: so many storms over the machines of a scenario, on every processor; what breaks is shrunk and printed as a
//! scenario that breaks it again.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::document::{Broken, broken};
use crate::{
    cli::{Code, output, paint::Paint},
    policy::{Engine, STACK},
    sim::{Scenario, Violation, rage, shrink, storm},
};

/// Seeds of a kind that are shrunk; the others are only counted.
const SHRUNK_EACH: usize = 1;

/// A storm that broke something.
#[derive(Debug)]
struct Wreck {
    seed: u64,
    violation: Violation,
}

/// What all storms together came to.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    seeds: u64,
    from_seed: u64,
    simulated_s: u64,
    ok: bool,
    broken: Vec<Kind<'a>>,
}

/// One invariant that did not hold.
#[derive(Debug, Serialize)]
struct Kind<'a> {
    kind: &'static str,
    seeds: Vec<u64>,
    first: Vec<Broken<'a>>,
    /// The shortest scenario that shows it.
    scenario: String,
}

/// How many, from which seed on, how long each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Season {
    pub(super) count: u64,
    pub(super) from: u64,
    pub(super) length: Duration,
}

pub(super) fn perform(engine: &Engine, scenario: &Scenario, season: Season, json: bool) -> Code {
    let began = Instant::now();
    let wrecks = all(engine, scenario, season);
    let took = began.elapsed();
    let mut kinds: BTreeMap<&'static str, Vec<&Wreck>> = BTreeMap::new();
    for wreck in &wrecks {
        kinds.entry(wreck.violation.kind).or_default().push(wreck);
    }
    let broken: Vec<Kind<'_>> =
        kinds.iter().map(|(kind, wrecks)| of_kind(engine, scenario, season, kind, wrecks)).collect();
    if json {
        output::print_json(&Document {
            schema: "ha.storm/1",
            seeds: season.count,
            from_seed: season.from,
            simulated_s: season.length.as_secs(),
            ok: broken.is_empty(),
            broken,
        });
    } else {
        output::print(&text(season, took, &broken, Paint::of_stdout()));
    }
    if wrecks.is_empty() { Code::OK } else { Code(1) }
}

fn of_kind<'a>(
    engine: &Engine,
    scenario: &Scenario,
    season: Season,
    kind: &'static str,
    wrecks: &[&'a Wreck],
) -> Kind<'a> {
    let shortest = wrecks.iter().take(SHRUNK_EACH).map(|wreck| {
        let storm = storm(&scenario.nodes, wreck.seed, season.length);
        shrink(&storm, engine, None).to_string()
    });
    Kind {
        kind,
        seeds: wrecks.iter().map(|wreck| wreck.seed).collect(),
        first: wrecks.first().map(|wreck| broken(std::slice::from_ref(&wreck.violation))).unwrap_or_default(),
        scenario: shortest.min_by_key(String::len).unwrap_or_default(),
    }
}

/// Every seed, on as many threads as there are processors.
fn all(engine: &Engine, scenario: &Scenario, season: Season) -> Vec<Wreck> {
    let next = AtomicU64::new(0);
    let wrecks = Mutex::new(Vec::new());
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= season.count {
                return;
            }
            let seed = season.from + number;
            let world = rage(&storm(&scenario.nodes, seed, season.length), engine, None);
            if let Some(violation) = world.violations.first() {
                let wreck = Wreck { seed, violation: violation.clone() };
                wrecks.lock().unwrap_or_else(PoisonError::into_inner).push(wreck);
            }
        }
    };
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 1..processors {
            // With fewer threads it takes longer.
            let _ = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        }
        work();
    });
    let mut wrecks = wrecks.into_inner().unwrap_or_else(PoisonError::into_inner);
    wrecks.sort_by_key(|wreck| wreck.seed);
    wrecks
}

fn text(season: Season, took: Duration, broken: &[Kind<'_>], paint: Paint) -> String {
    let Season { count, from, length } = season;
    let mut text = format!(
        "{count} storms of {} s, seeds {from} to {}, in {:.1} s: ",
        length.as_secs(),
        (from + count).saturating_sub(1),
        took.as_secs_f64()
    );
    if broken.is_empty() {
        return format!("{text}{}\n", paint.good("no invariant was broken."));
    }
    text.push_str(&paint.bad(&format!("{} invariants were broken.", broken.len())));
    text.push('\n');
    for kind in broken {
        let seeds: Vec<String> = kind.seeds.iter().take(10).map(u64::to_string).collect();
        let more = if kind.seeds.len() > 10 { ", …" } else { "" };
        text.push_str(&format!(
            "\n{}: {} seeds ({}{more})\n",
            paint.strong(kind.kind),
            kind.seeds.len(),
            seeds.join(", ")
        ));
        for first in &kind.first {
            text.push_str(&format!("  {}\n", output::wrap(first.text, 2)));
        }
        text.push_str(&format!("\n{}", output::indented(&kind.scenario, 4)));
    }
    text
}
