//! What a client, the other node and the network see when a node fails: `ha` beside keepalived, in one run.
//!
//! `cargo bench --bench failover -- [scene ...] [--reps N]`. Each scene is played on a fresh founding pair (version 2, 1 s,
//! 100/99, PASS) of each maker, both at the same time, so that both have the same machine. The client calls the service
//! address 500 times a second. `mixed` instead of scenes: mixed pairs beside a pair of keepalived. Times of packets are the
//! kernel's; holders are those that the kernels report.
//!
//! It measures and judges nothing: the exit code says only whether every scene could be played.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

mod brief;
#[path = "../common/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
mod common;
mod faults;
mod mixed;
mod scenes;
mod wedges;

use std::{process::ExitCode, thread};

use brief::BRIEF;
use common::{
    Maker, Result,
    machine::{self, Busy},
    pair::Pair,
    table::{Figure, Table},
};
use faults::FAULTS;
use scenes::{SCENES, Scene};
use wedges::WEDGES;

/// Runs of each scene unless told otherwise.
const REPETITIONS: u32 = 5;

fn main() -> ExitCode {
    ha::lab::become_program();
    match measure(&std::env::args().collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("failover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &[String]) -> Result<ExitCode> {
    let repetitions = common::option(arguments, "--reps", REPETITIONS)?.max(1);
    let names = common::names(arguments);
    if names == [mixed::NAME] {
        machine::enter()?;
        return Ok(mixed::measure(repetitions));
    }
    if let Some(unknown) = names.iter().find(|name| all().all(|scene| scene.name != *name)) {
        let known: Vec<&str> = all().map(|scene| scene.name).collect();
        return Err(format!("no scene is called {unknown}; there are {}", known.join(", ")).into());
    }
    let chosen = all().filter(|scene| names.is_empty() || names.iter().any(|name| name == scene.name));
    machine::enter()?;
    let busy = Busy::start();
    let mut table = Table::default();
    let mut code = ExitCode::SUCCESS;
    for scene in chosen {
        for run in 0..repetitions {
            for (maker, played) in play(scene, run) {
                match played {
                    Ok(figures) => figures.iter().for_each(|figure| table.add(scene.title, maker, figure)),
                    Err(error) => {
                        eprintln!("{}, {}, run {}: {error}", scene.name, maker.name(), run + 1);
                        code = ExitCode::FAILURE;
                    }
                }
            }
        }
        eprintln!("{} done", scene.name);
    }
    println!("founding pair, {repetitions} runs of each maker at the same time; median and worst");
    println!("{}\n", busy.describe());
    table.print();
    Ok(code)
}

/// Every scene.
fn all() -> impl Iterator<Item = &'static Scene> {
    SCENES.iter().chain(&FAULTS).chain(&WEDGES).chain(&BRIEF)
}

/// Both makers at the same time.
fn play(scene: &Scene, run: u32) -> [(Maker, Result<Vec<Figure>>); 2] {
    let one = |maker| -> Result<Vec<Figure>> {
        let mut pair = Pair::start((scene.plan)(maker))?;
        (scene.play)(&mut pair, run)
    };
    thread::scope(|scope| {
        Maker::ALL
            .map(|maker| (maker, scope.spawn(move || one(maker))))
            .map(|(maker, playing)| (maker, playing.join().unwrap_or_else(|_| Err("stopped by a panic".into()))))
    })
}
