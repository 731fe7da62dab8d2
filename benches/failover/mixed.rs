//! Mixed pairs beside a pair of keepalived, in one run: whose half is `ha`'s must not make an outage longer.

use std::{process::ExitCode, thread, time::Instant};

use ha::lab::client::Stream;

use super::scenes::{AFTER, NODE1, NODE2, PATIENCE, Scene, outage};
use crate::common::{
    Maker::{self, Ha, Keepalived},
    Result,
    machine::Busy,
    pair::{Pair, Plan},
    table::{Figure, Unit, median, ratio, show},
};

/// What to call for it.
pub(crate) const NAME: &str = "mixed";

/// Node1 is master and has the fault, node2 takes over; the last pair is what the others are compared with.
const PAIRS: [(&str, [Maker; 2]); 3] = [
    ("ha, then keepalived", [Ha, Keepalived]),
    ("keepalived, then ha", [Keepalived, Ha]),
    ("keepalived alone", [Keepalived, Keepalived]),
];

/// Of the scenes of one maker.
const CHOSEN: [&str; 5] = ["power", "stop", "check", "kill", "cable"];

const RESUME: Scene = Scene {
    name: "resume",
    title: "the higher node starts again and takes over",
    plan: super::scenes::alike,
    play: resume,
};

/// What is compared of each: the time without a holder, as clients and kernels see it, and two of them.
const COMPARED: [&str; 3] = ["longest outage of the client", "nobody holds the address", "two hold it"];

/// It was stopped in order, the other one serves, and it starts again.
fn resume(pair: &mut Pair, _run: u32) -> Result<Vec<Figure>> {
    let stopped = pair.daemons[0].terminate()?;
    pair.wait_for(NODE2, true, stopped, PATIENCE).ok_or("node2 did not take over")?;
    thread::sleep(AFTER);
    let client = Stream::start(&pair.world)?;
    let begin = Instant::now();
    pair.start_again()?;
    pair.wait_for(NODE1, true, begin, PATIENCE).ok_or("node1 did not take the address back")?;
    thread::sleep(AFTER);
    let record = client.stop();
    let end = Instant::now();
    Ok(vec![
        outage(&record, begin),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        Figure::time("two hold it", pair.observer.two_holders(begin, end)),
    ])
}

/// Every scene with every pair, all pairs at the same time, and how they compare.
pub(crate) fn measure(repetitions: u32) -> ExitCode {
    let busy = Busy::start();
    let mut code = ExitCode::SUCCESS;
    let mut rows = Vec::new();
    let chosen = super::all().filter(|scene| CHOSEN.contains(&scene.name));
    for scene in chosen.chain(std::iter::once(&RESUME)) {
        let mut values: [[Vec<f64>; PAIRS.len()]; COMPARED.len()] = Default::default();
        for run in 0..repetitions {
            for (at, played) in play(scene, run).into_iter().enumerate() {
                match played {
                    Ok(figures) => keep(&figures, at, &mut values),
                    Err(error) => {
                        eprintln!("{}, {}, run {}: {error}", scene.name, PAIRS[at].0, run + 1);
                        code = ExitCode::FAILURE;
                    }
                }
            }
        }
        eprintln!("{} done", scene.name);
        rows.extend(COMPARED.into_iter().zip(values).map(|(what, values)| (scene.title, what, values)));
    }
    println!(
        "mixed pairs, {repetitions} runs of each pair at the same time; medians, and their ratio to keepalived alone"
    );
    println!("{}\n", busy.describe());
    print(&rows);
    code
}

fn play(scene: &Scene, run: u32) -> [Result<Vec<Figure>>; PAIRS.len()] {
    let one = |makers| -> Result<Vec<Figure>> {
        let mut pair = Pair::start(Plan::founding(makers))?;
        (scene.play)(&mut pair, run)
    };
    thread::scope(|scope| {
        PAIRS
            .map(|(_, makers)| scope.spawn(move || one(makers)))
            .map(|playing| playing.join().unwrap_or_else(|_| Err("stopped by a panic".into())))
    })
}

fn keep(figures: &[Figure], pair: usize, values: &mut [[Vec<f64>; PAIRS.len()]; COMPARED.len()]) {
    for figure in figures {
        if let Some(what) = COMPARED.iter().position(|what| *what == figure.what) {
            values[what][pair].push(figure.value);
        }
    }
}

type Row = (&'static str, &'static str, [Vec<f64>; PAIRS.len()]);

fn print(rows: &[Row]) {
    let wide = rows.iter().map(|(title, what, _)| title.len().max(what.len() + 2)).max().unwrap_or(0);
    let [first, second, alone] = PAIRS.map(|(name, _)| name);
    println!("{:wide$}  {first:>20} {:>7}  {second:>20} {:>7}  {alone:>17}", "", "ratio", "ratio");
    let mut last = "";
    for (title, what, values) in rows.iter().filter(|(_, _, values)| values.iter().any(|all| !all.is_empty())) {
        if *title != last {
            println!("{title}");
            last = title;
        }
        let medians = values.each_ref().map(|all| (!all.is_empty()).then(|| median(all)));
        let [ha_first, ha_second, alone] = medians.map(|value| show(value, Unit::Milliseconds));
        let [one, other] = [medians[0], medians[1]].map(|value| ratio(value, medians[2]));
        println!("{:wide$}  {ha_first:>20} {one:>7}  {ha_second:>20} {other:>7}  {alone:>17}", format!("  {what}"));
    }
}
