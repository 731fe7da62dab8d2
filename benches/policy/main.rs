//! What judging a node costs, beside what keepalived's users run: a shell script of curl and ping.
//!
//! `cargo bench --bench policy -- [--runs N] [--policies N] [--seconds N] [--edits N] [cost] [overhead] [crowd] [edits]`.
//! Without a name, all four:
//!
//! * `cost`: processor time of an evaluation of `scripts/check_local.rhai` with the real probes, beside the script's, in
//!   turns, against the same server and the same arbiter. Exit code 1 where it is more than a twentieth.
//! * `overhead`: an evaluation whose probes answer at once: the engine alone.
//! * `crowd`: two hundred policies each second on one processor, beside keepalived with two hundred scripts.
//! * `edits`: from the last write of a policy's file to the first report of its new version.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
#[path = "../common/mod.rs"]
mod common;
mod cost;
mod crowd;
mod edits;
mod server;

use std::{process::ExitCode, time::Duration};

use common::{
    Result,
    machine::{self, Busy},
    option,
};

/// As the program has it.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

fn main() -> ExitCode {
    ha::lab::become_program();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|argument| argument == server::ALONE) {
        server::alone();
    }
    match measure(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("policy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every bound was met.
fn measure(arguments: &[String]) -> Result<bool> {
    let wanted = common::names(arguments);
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let runs = option(arguments, "--runs", 100)?;
    let policies = option(arguments, "--policies", 200)?;
    let length = Duration::from_secs(option(arguments, "--seconds", 30)?);
    let times = option(arguments, "--edits", 100)?;
    machine::enter()?;
    let busy = Busy::start();
    let mut met = true;
    if is_wanted("cost") {
        met &= cost::beside_a_script(runs)?;
    }
    if is_wanted("overhead") {
        met &= cost::without_probes();
    }
    if is_wanted("crowd") {
        crowd::measure(policies, length)?;
    }
    if is_wanted("edits") {
        met &= edits::measure(times)?;
    }
    println!("\n{}", busy.describe());
    Ok(met)
}

/// Of sorted times, the one that so many of a thousand are below.
fn permille(sorted: &[Duration], part: usize) -> Duration {
    sorted[(sorted.len() - 1).min(sorted.len() * part / 1000)]
}

/// In milliseconds, for a table.
fn milliseconds(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1000.0)
}

/// For a verdict at the end of a line.
fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "NOT MET" }
}
