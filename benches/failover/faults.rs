//! One row for each fault: what a client and the kernels see of it, with the same figures for all.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use ha::lab::{Host, client::Stream, fault::Silence, service::Mood};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::scenes::{NODE1, NODE2, Scene, alike, worker};
use crate::common::{Maker, Result, pair::Pair, table::Figure};

pub(crate) const FAULTS: [Scene; 13] = [
    Scene {
        name: "hang",
        title: "the worker hangs for 10 s (SIGSTOP of the process that runs the protocol)",
        plan: alike,
        play: hang,
    },
    Scene { name: "hung-check", title: "what the check asks accepts and never answers", plan: alike, play: hung_check },
    Scene { name: "check-removed", title: "the check's script is removed", plan: alike, play: check_removed },
    Scene {
        name: "check-broken",
        title: "the check's script is overwritten with nonsense",
        plan: alike,
        play: check_broken,
    },
    Scene {
        name: "reload-broken",
        title: "reload of a configuration that is broken",
        plan: alike,
        play: reload_broken,
    },
    Scene { name: "deleted", title: "the address is deleted by hand", plan: alike, play: deleted },
    Scene { name: "cable", title: "the master's cable is pulled for 10 s", plan: alike, play: cable },
    Scene { name: "one-way", title: "what the master says does not arrive for 10 s", plan: alike, play: one_way },
    Scene { name: "filtered", title: "protocol 112 filtered both ways for 10 s", plan: alike, play: filtered },
    Scene { name: "loss", title: "30 % of the advertisements are lost for 20 s", plan: alike, play: loss },
    Scene { name: "arbiter", title: "both lose the arbiter for 10 s", plan: alike, play: arbiter },
    Scene { name: "churn", title: "3000 addresses come and go on the master", plan: alike, play: churn },
    Scene {
        name: "restart",
        title: "restart of the master's daemon, as a service manager does it",
        plan: alike,
        play: restart,
    },
];

/// How long a fault lasts.
pub(crate) const LASTS: Duration = Duration::from_secs(10);
/// How long is waited for what follows from its end.
const AFTERWARDS: Duration = Duration::from_secs(8);

/// Does something, waits, undoes it, waits; what was seen meanwhile.
pub(crate) fn told<B, E>(
    pair: &mut Pair,
    run: u32,
    lasts: Duration,
    begin: impl FnOnce(&mut Pair) -> Result<B>,
    end: impl FnOnce(&mut Pair) -> Result<E>,
) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begun = Instant::now();
    begin(pair)?;
    thread::sleep(lasts);
    end(pair)?;
    thread::sleep(AFTERWARDS);
    let record = client.stop();
    let over = Instant::now();
    let moved = pair.observer.changes().iter().filter(|change| change.at >= begun && change.holds).count();
    Ok(vec![
        Figure::time("longest outage of the client", record.outage(begun, over).longest),
        Figure::time("nobody holds the address", pair.observer.no_holder(begun, over)),
        Figure::time("two hold it", pair.observer.two_holders(begun, over)),
        Figure::count("times it was taken", moved),
    ])
}

fn hang(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let to_worker = |pair: &mut Pair, signal| -> Result<()> { Ok(kill(Pid::from_raw(worker(pair)?), signal)?) };
    told(pair, run, LASTS, |pair| to_worker(pair, Signal::SIGSTOP), |pair| to_worker(pair, Signal::SIGCONT))
}

fn hung_check(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let set = |mood| {
        move |pair: &mut Pair| -> Result<()> {
            pair.webs[0].set(mood);
            Ok(())
        }
    };
    told(pair, run, LASTS * 2, set(Mood::Hanging), set(Mood::Well))
}

/// Where the check of node1 lies.
pub(crate) fn check(pair: &Pair) -> std::path::PathBuf {
    let directory = pair.daemons[0].directory();
    match pair.maker(NODE1) {
        Maker::Ha => directory.join("policies/check_local.rhai"),
        Maker::Keepalived => directory.join("check_local.sh"),
    }
}

fn check_removed(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let path = check(pair);
    without_check(pair, run, || Ok(fs::remove_file(path)?))
}

fn check_broken(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let path = check(pair);
    without_check(pair, run, || Ok(fs::write(path, "requier this\n")?))
}

/// Something happens to the check, and 5 s later to what it checks: the first must move nothing, the second must.
pub(crate) fn without_check(pair: &mut Pair, run: u32, spoil: impl FnOnce() -> Result<()>) -> Result<Vec<Figure>> {
    let figures = told(pair, run, Duration::from_secs(5), |_| spoil(), |_| Ok(()));
    let broken = Instant::now();
    pair.webs[0].set(Mood::Broken);
    let taken = pair.wait_for(NODE2, true, broken, LASTS);
    let mut figures = figures?;
    figures.push(Figure::time_or_never("then the web fails: new holder after", taken.map(|taken| taken - broken)));
    Ok(figures)
}

fn reload_broken(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<()> {
        let name = if pair.maker(NODE1) == Maker::Ha { "ha.toml" } else { "keepalived.conf" };
        let path = pair.daemons[0].directory().join(name);
        let text = fs::read_to_string(&path)?;
        // One letter is missing.
        fs::write(&path, text.replace("interface", "interfac"))?;
        pair.daemons[0].process().signal(Signal::SIGHUP)?;
        Ok(())
    };
    told(pair, run, LASTS, begin, |_| Ok(()))
}

fn deleted(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<Instant> { Ok(pair.world.delete_service_address(NODE1)?) };
    told(pair, run, LASTS, begin, |_| Ok(()))
}

fn cable(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let plug = |plugged| move |pair: &mut Pair| -> Result<Instant> { Ok(pair.world.plug(NODE1, plugged)?) };
    told(pair, run, LASTS, plug(false), plug(true))
}

fn one_way(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    silenced(pair, run, &[Silence { from: NODE1, to: NODE2 }])
}

fn filtered(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    silenced(pair, run, &[Silence { from: NODE1, to: NODE2 }, Silence { from: NODE2, to: NODE1 }])
}

fn silenced(pair: &mut Pair, run: u32, silences: &[Silence]) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<Instant> { Ok(pair.world.filter(silences)?) };
    told(pair, run, LASTS, begin, |pair| Ok(pair.world.filter(&[])?))
}

fn loss(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let way = Silence { from: NODE1, to: NODE2 };
    let begin = |pair: &mut Pair| -> Result<Instant> { Ok(pair.world.meddle(way, "numgen random mod 100 < 30 drop")?) };
    told(pair, run, LASTS * 2, begin, |pair| Ok(pair.world.filter(&[])?))
}

fn arbiter(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let plug = |plugged| move |pair: &mut Pair| -> Result<Instant> { Ok(pair.world.plug(Host::Arbiter, plugged)?) };
    told(pair, run, LASTS, plug(false), plug(true))
}

fn churn(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<()> { Ok(pair.world.churn(NODE1, 3000)?) };
    told(pair, run, Duration::ZERO, begin, |_| Ok(()))
}

/// SIGTERM, and a new process once it has ended; `ha` is told that it is one.
fn restart(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let begin = |pair: &mut Pair| -> Result<()> {
        match pair.maker(NODE1) {
            // It waits for the next process: not for it.
            Maker::Ha => {
                let socket = pair.daemons[0].directory().join("ha.sock");
                ha::control::Client::new(&socket).restart().map_err(|error| error.to_string())?;
            }
            Maker::Keepalived => {
                pair.daemons[0].terminate()?;
            }
        }
        pair.daemons[0].process().wait(Duration::from_secs(10))?;
        pair.start_again()?;
        Ok(())
    };
    told(pair, run, LASTS, begin, |_| Ok(()))
}
