//! The machine the figures are from: what it is, and how busy it was meanwhile.

use std::{fs, path::PathBuf, time::Instant};

use ha::lab::{netns, process::on_path};

use super::{Maker, Result};

/// The program to measure: `HA_BENCH_HA` or the one of this build; `HA_TEST_KEEPALIVED` or the one on PATH.
///
/// # Errors
/// There is none.
pub fn program(maker: Maker) -> Result<PathBuf> {
    let (told, usual) = match maker {
        Maker::Ha => ("HA_BENCH_HA", Some(PathBuf::from(env!("CARGO_BIN_EXE_ha")))),
        Maker::Keepalived => ("HA_TEST_KEEPALIVED", on_path("keepalived")),
    };
    let found = std::env::var_os(told).map(PathBuf::from).or(usual);
    found.ok_or_else(|| format!("{} is not installed", maker.name()).into())
}

/// Takes this process into namespaces of its own; before any thread. Root stays the real root, for keepalived: it drops
/// groups before it runs a script, which no user namespace of an ordinary user allows.
///
/// # Errors
/// This machine does not allow it.
pub fn enter() -> Result<()> {
    let entered = netns::enter_as_root().or_else(|_| netns::enter());
    Ok(entered?)
}

/// Whether keepalived can run its scripts here.
pub fn may_run_scripts() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|setgroups| setgroups.trim() == "allow")
}

/// Watches how busy the machine is, from its creation on.
#[derive(Debug)]
pub struct Busy {
    since: Instant,
    idle: u64,
    all: u64,
}

impl Busy {
    /// From now on.
    pub fn start() -> Self {
        let (idle, all) = ticks();
        Self { since: Instant::now(), idle, all }
    }

    /// "2 processors, 37 % busy over 412 s (load 1.2 0.8 0.5), Linux 6.1"
    pub fn describe(&self) -> String {
        let (idle, all) = ticks();
        let (idle, all) = (idle.saturating_sub(self.idle), all.saturating_sub(self.all).max(1));
        let busy = 100 - 100 * idle.min(all) / all;
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        format!(
            "{} processors, {busy} % busy over {} s (load {}), Linux {}",
            processors(),
            self.since.elapsed().as_secs(),
            load.join(" "),
            kernel.trim()
        )
    }
}

/// Processors this process may use.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Idle time and all time of all processors.
fn ticks() -> (u64, u64) {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    (fields.iter().skip(3).take(2).sum(), fields.iter().take(8).sum())
}
