//! The guided tour: the founding scenario, step by step, with real daemons and a client that measures.

mod pair;
mod print;
mod scenes;
mod step;

use std::{fs, path::PathBuf, thread, time::Duration};

use nix::sys::signal::{SigSet, Signal};

use super::{
    netns,
    process::on_path,
    trouble::{Result, Trouble},
    world::{Host, World},
};
use pair::Pair;
use step::Verdict;

/// How the tour is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// One JSON document instead of text.
    pub json: bool,
    /// Leave the pair up at the end, until a signal comes.
    pub stay: bool,
    /// Run keepalived instead of `ha` on node 1 or node 2.
    pub keepalived: Option<u8>,
}

/// What a shell is told when something the tour needs is missing, as sysexits has it.
const UNAVAILABLE: i32 = 69;
const NO_PERMISSION: i32 = 77;

/// Gives the tour in throw-away namespaces and returns the exit code: 0 only if every step held.
///
/// To be called before the process starts any thread: a threaded process cannot enter a user namespace.
#[must_use]
pub fn run(options: Options) -> i32 {
    if let Err(trouble) = netns::enter() {
        eprintln!("ha lab: {trouble}");
        return NO_PERMISSION;
    }
    match give(options) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(trouble) => {
            eprintln!("ha lab: {trouble}");
            UNAVAILABLE
        }
    }
}

/// Whether every step held.
fn give(options: Options) -> Result<bool> {
    let keepalived = other_half(options)?;
    // Before any other thread, so that all of them leave the signals to the one that waits for them.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().map_err(Trouble::kernel("block signals"))?;
    let world = World::build()?;
    let root = world.root().to_owned();
    let end = thread::Builder::new().name("signals".to_owned()).spawn(move || end_on(&signals, &root));
    end.map_err(Trouble::kernel("start a thread"))?;

    let mut steps = Vec::new();
    if !options.json {
        print::opening(keepalived.as_ref().map(|(node, _)| *node));
    }
    let mut pair = Pair::new(world, keepalived)?;
    for scene in scenes::ALL {
        let step = scene(&mut pair)?;
        if !options.json {
            print::step(&step);
        }
        steps.push(step);
    }
    let held = steps.iter().all(|step| step.verdict != Verdict::Failed);
    if options.json {
        print::json(&steps, held)?;
    } else {
        print::closing(&steps);
    }
    if options.stay {
        print::how_to_enter(&pair);
        loop {
            thread::sleep(Duration::from_secs(3600));
        }
    }
    Ok(held)
}

/// The node that is to run keepalived, and where that is.
fn other_half(options: Options) -> Result<Option<(Host, PathBuf)>> {
    let Some(number) = options.keepalived else { return Ok(None) };
    let node = if number == 1 { Host::Node1 } else { Host::Node2 };
    let missing = || Trouble::File { name: "keepalived".to_owned(), why: "not found on PATH; install it".to_owned() };
    Ok(Some((node, on_path("keepalived").ok_or_else(missing)?)))
}

/// Waits for a signal, then ends this process, and with it everything it started.
fn end_on(signals: &SigSet, root: &std::path::Path) {
    let ended_by = signals.wait().map_or(1, |signal| signal as i32);
    // What is left of it lies in the directory for temporary files.
    let _ = fs::remove_dir_all(root);
    std::process::exit(128 + ended_by);
}
