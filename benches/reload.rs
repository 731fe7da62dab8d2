//! A policy that is replaced again and again under advertisements every 10 ms (version 3), on the master.
//!
//! `cargo bench --bench reload -- [--times N]`, as root or in a user namespace. The founding pair with its policy; each new
//! text is written aside and moved into place, and the next one follows when the daemon says that it runs. Counts
//! advertisements at the switch, by the kernel's time of their arrival, and shows what the reloads leave in the process.
//!
//! Exit code 1 where the backup missed so many that it advertised, or the address moved. Each advertisement is due an interval
//! after the one before was sent: on a busy machine without real-time priority there are fewer than the time asks for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
mod common;

use std::{
    fs,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use common::{
    Maker, Result, machine,
    machine::Busy,
    pair::{Pair, Plan},
};
use ha::lab::{Host, Process, Setup, capture::What};

/// Reloads unless told otherwise.
const TIMES: u32 = 1000;
/// Between two advertisements.
const INTERVAL: Duration = Duration::from_millis(10);
/// How long a text may take to be what runs.
const PATIENCE: Duration = Duration::from_secs(10);
/// The founding policy.
const POLICY: &str = include_str!("../scripts/check_local.rhai");

fn main() -> ExitCode {
    ha::lab::become_program();
    match measure(&std::env::args().collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("reload: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was lost.
fn measure(arguments: &[String]) -> Result<bool> {
    let times = common::option(arguments, "--times", TIMES)?;
    machine::enter()?;
    let mut pair = Pair::start(Plan {
        setups: Host::NODES.map(|node| Setup::founding(node).version3(INTERVAL)),
        ..Plan::founding([Maker::Ha; 2])
    })?;
    let busy = Busy::start();
    let before = belongings(pair.daemons[0].process());
    let [node1, _] = &pair.daemons;
    let begin = Instant::now();
    let mut live = Vec::new();
    for number in 1..=times {
        let generation = u64::from(number) + 1;
        let written = node1.write_policy("check_local", &format!("{POLICY}\n// {number}\n"))?;
        while node1.status(&pair.world).is_none_or(|status| status["policies"][0]["generation"] != generation) {
            if written.elapsed() > PATIENCE {
                return Err(format!("generation {generation} does not run after {PATIENCE:?}").into());
            }
        }
        live.push(written.elapsed());
    }
    thread::sleep(Duration::from_millis(200));
    let end = Instant::now();
    live.sort();
    println!("\n{times} reloads in {:.1} s, advertisements every 10 ms", (end - begin).as_secs_f64());
    println!("  {}", busy.describe());
    let middle = live.get(live.len() / 2).copied().unwrap_or_default();
    let worst = live.last().copied().unwrap_or_default();
    println!("  seen to run after, the asking included: median {middle:.1?}, worst {worst:.1?}");
    let after = belongings(pair.daemons[0].process());
    println!("  descriptors {} → {}, PSS {} KiB → {} KiB", before.0, after.0, before.1, after.1);
    Ok(nothing_lost(&pair, begin, end))
}

fn nothing_lost(pair: &Pair, begin: Instant, end: Instant) -> bool {
    let of = |node| {
        let frames = pair.capture.from(node, begin, end).into_iter();
        frames.filter(|frame| matches!(frame.what, What::Advertisement { .. })).map(|frame| frame.at).collect()
    };
    let (at, usurped): (Vec<Instant>, Vec<Instant>) = (of(Host::Node1), of(Host::Node2));
    let gaps: Vec<Duration> = at.windows(2).map(|two| two[1].duration_since(two[0])).collect();
    let due = (end - begin).as_millis() / INTERVAL.as_millis();
    let worst = gaps.iter().max().copied().unwrap_or_default();
    let late = gaps.iter().filter(|gap| **gap >= 2 * INTERVAL).count();
    let moved = pair.observer.changes().iter().filter(|change| change.at >= begin && change.at <= end).count();
    println!(
        "  {} advertisements of {due} that the time asks for; longest gap {worst:.2?}, {late} of two intervals or more; \
         {} advertised by the backup, {moved} changes of the holder",
        at.len(),
        usurped.len()
    );
    usurped.is_empty() && moved == 0
}

/// Open descriptors and memory of the daemon with its keeper.
fn belongings(process: &Process) -> (usize, u64) {
    let descriptors = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (process.family().into_iter().map(descriptors).sum(), process.memory() / 1024)
}
