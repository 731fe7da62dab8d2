//! What a node costs: memory and processor time of all its processes, `ha` beside keepalived, in one run.
//!
//! `cargo bench --bench cost -- [--seconds N]`. First the founding pair with what judges it each second: `ha` with its
//! policy, keepalived with the same as a shell script of curl and ping; the same web server on each node, the same arbiter.
//! Then the pair without checks; then the same with advertisements each 10 ms in version 3, and behind `ha`'s gate. Processor time is user and system time of every process of the node: by the kernel's
//! clock of the process, which counts nanoseconds, and for children that ended in its ticks (10 ms, one sum of them all).
//! Memory is PSS and RSS, summed over the node's processes: RSS counts for each what they share. Each node runs its own
//! copy of the program, so that nothing of it counts as shared with the other node. Libraries are shared with everybody,
//! which PSS takes into account.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
mod common;

use std::{fs, process::ExitCode, thread, time::Duration};

use common::{
    Maker, Result,
    machine::{self, Busy},
    pair::{Checks, Pair, Plan},
    table::{Figure, Table, Unit},
};
use ha::lab::{Host, Process, Setup};

/// Length of the measurement unless told otherwise.
const SECONDS: u64 = 60;
/// What a start costs is over by then.
const SETTLE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    ha::lab::become_program();
    match measure(&std::env::args().collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<()> {
    let length = Duration::from_secs(common::option(arguments, "--seconds", SECONDS)?.max(1));
    machine::enter()?;
    let busy = Busy::start();
    let mut table = Table::default();
    let founding = |maker| Plan::founding([maker; 2]);
    let alone = |maker| Plan { checks: Checks::None, ..founding(maker) };
    let brief = |maker| {
        let setups = Host::NODES.map(|node| Setup::founding(node).version3(Duration::from_millis(10)));
        Plan { setups, instance: "gate = false\n", ..alone(maker) }
    };
    let gated = |maker| Plan { instance: "", ..brief(maker) };
    let kinds: [(&str, &(dyn Fn(Maker) -> Plan + Sync)); 4] = [
        ("judged each second", &founding),
        ("without checks", &alone),
        ("10 ms, without a gate", &brief),
        ("10 ms, behind a gate", &gated),
    ];
    for (title, plan) in kinds {
        let one = |maker| watch(maker, title, plan(maker), length);
        let both = thread::scope(|scope| {
            Maker::ALL.map(|maker| scope.spawn(move || one(maker))).map(|thread| thread.join().unwrap())
        });
        for (maker, figures) in Maker::ALL.into_iter().zip(both) {
            for (node, figure) in figures? {
                let role = if node == Host::Node1 { "master" } else { "backup" };
                table.add(&format!("{role}, {title}"), maker, &figure);
            }
        }
    }
    println!(
        "\nfounding pair (version 2, 1 s, or as said), {} s of each kind, both makers at the same time",
        length.as_secs()
    );
    println!("{}\n", busy.describe());
    table.print();
    Ok(())
}

fn watch(maker: Maker, title: &str, plan: Plan, length: Duration) -> Result<Vec<(Host, Figure)>> {
    let mut pair = Pair::start(plan)?;
    thread::sleep(SETTLE);
    let before = used(&mut pair);
    let asked_before = pair.webs.clone().map(|web| web.requests());
    thread::sleep(length);
    let after = used(&mut pair);
    let mut figures = Vec::new();
    for (index, node) in Host::NODES.into_iter().enumerate() {
        let share = 100.0 * (after[index].saturating_sub(before[index])).as_secs_f64() / length.as_secs_f64();
        let requests = pair.webs[index].requests() - asked_before[index];
        let process = pair.daemons[index].process();
        let [proportional, resident] = [process.memory(), process.resident()].map(kibibytes);
        println!("{} {node}, {title}:{}", maker.name(), describe(process));
        figures.extend([
            (node, Figure { what: "processor time", unit: Unit::Percent, value: share }),
            (node, Figure { what: "memory (PSS)", unit: Unit::Kibibytes, value: proportional }),
            (node, Figure { what: "memory (RSS)", unit: Unit::Kibibytes, value: resident }),
            (node, Figure::count("http checks", usize::try_from(requests)?)),
        ]);
    }
    Ok(figures)
}

/// Processor time of both nodes so far.
fn used(pair: &mut Pair) -> [Duration; 2] {
    pair.daemons.each_mut().map(|daemon| daemon.process().processor_time())
}

fn kibibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX))
}

/// A sum over all mappings of a process, in kibibytes.
fn memory(pid: i32, name: &str) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    rollup.lines().find(|line| line.starts_with(name))?.split_whitespace().nth(1)?.parse().ok()
}

/// Every process of a node, for those who look for where it goes.
fn describe(process: &Process) -> String {
    let one = |pid: i32| {
        let [resident, proportional, anonymous] =
            ["Rss:", "Pss:", "Anonymous:"].map(|name| memory(pid, name).unwrap_or(0.0));
        let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
        format!(
            "\n  {} {pid}: RSS {resident} KiB, PSS {proportional} KiB, anonymous {anonymous} KiB, {threads} threads",
            command.trim()
        )
    };
    process.family().into_iter().map(one).collect()
}
