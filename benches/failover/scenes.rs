//! The scenes: what is done to node1, and what is measured.

use std::{
    thread,
    time::{Duration, Instant},
};

use ha::lab::{
    Host, Setup,
    capture::{What, settle},
    client::{Record, Stream},
    service::Mood,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::common::{
    Maker, Result,
    pair::{Pair, Plan},
    table::Figure,
};

pub(crate) const NODE1: Host = Host::Node1;
pub(crate) const NODE2: Host = Host::Node2;
/// `3 × interval + skew` of the founding node2: 3 s and (256 - 99) / 256 s (RFC 3768, 6.1).
const DOWN_TIME: Duration = Duration::from_nanos(3_613_281_250);
/// How long a failover is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(12);
/// How long the client goes on calling after it.
pub(crate) const AFTER: Duration = Duration::from_millis(1500);
/// How long a daemon is frozen.
const FREEZE: Duration = Duration::from_secs(6);
/// How long the nodes do not hear each other.
const CUT: Duration = Duration::from_secs(10);
/// The first moments after a thaw.
const FIRST: Duration = Duration::from_millis(100);

/// A scene.
pub(crate) struct Scene {
    /// For the command line.
    pub(crate) name: &'static str,
    /// For the table.
    pub(crate) title: &'static str,
    /// The pair in whose `ha` column (or keepalived's) the figures are.
    pub(crate) plan: fn(Maker) -> Plan,
    /// What happens.
    pub(crate) play: fn(&mut Pair, u32) -> Result<Vec<Figure>>,
}

pub(crate) const SCENES: [Scene; 12] = [
    Scene { name: "power", title: "power loss of the master", plan: alike, play: power_loss },
    Scene { name: "stop", title: "graceful stop of the master", plan: alike, play: graceful_stop },
    Scene {
        name: "mixed-stop",
        title: "graceful stop, the heir is the other maker's",
        plan: mixed,
        play: graceful_stop,
    },
    Scene { name: "check", title: "the master's web answers 500", plan: alike, play: failing_check },
    Scene { name: "kill", title: "SIGKILL of everything of the master's daemon", plan: alike, play: killed },
    Scene {
        name: "crash",
        title: "SIGKILL of the working process (ha: a keeper stays; keepalived: it is started again)",
        plan: alike,
        play: crashed,
    },
    Scene { name: "respawn", title: "SIGKILL of everything, started again at once", plan: alike, play: respawned },
    Scene { name: "freeze", title: "frozen 6 s, master 100, peer 99", plan: alike, play: frozen },
    Scene {
        name: "freeze-higher",
        title: "frozen 6 s, master 99, peer 100 that does not preempt",
        plan: higher_peer,
        play: frozen,
    },
    Scene {
        name: "freeze-254",
        title: "frozen 6 s, master 100, peer 254 that does not preempt",
        plan: highest_peer,
        play: frozen,
    },
    Scene { name: "cut", title: "no multicast between the nodes for 10 s", plan: alike, play: cut_off },
    Scene { name: "undisturbed", title: "10 s without any fault", plan: alike, play: undisturbed },
];

pub(crate) fn alike(maker: Maker) -> Plan {
    Plan::founding([maker; 2])
}

/// The maker's daemon is master.
fn mixed(maker: Maker) -> Plan {
    match maker {
        Maker::Ha => Plan::founding([Maker::Ha, Maker::Keepalived]),
        Maker::Keepalived => Plan::founding([Maker::Keepalived, Maker::Ha]),
    }
}

fn higher_peer(maker: Maker) -> Plan {
    with_peer(maker, 99, 100)
}

fn highest_peer(maker: Maker) -> Plan {
    with_peer(maker, 100, 254)
}

fn with_peer(maker: Maker, master: u8, peer: u8) -> Plan {
    let node1 = Setup { priority: master, ..Setup::founding(NODE1) };
    let node2 = Setup { priority: peer, preempt: false, ..Setup::founding(NODE2) };
    Plan { setups: [node1, node2], ..alike(maker) }
}

fn power_loss(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    let last = pair.reach_a_phase(run);
    let begin = pair.daemons[0].lose_power(&pair.world)?;
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let record = stop_calling(client);
    let said = pair.first_advertisement(NODE2, begin, |priority| priority > 0).map(|frame| frame.at);
    let late = |what, at: Option<Instant>| Figure {
        what,
        value: at
            .map_or(f64::INFINITY, |at| 1000.0 * (at.duration_since(last).as_secs_f64() - DOWN_TIME.as_secs_f64())),
        unit: crate::common::table::Unit::Milliseconds,
    };
    Ok(vec![
        outage(&record, begin),
        Figure::time_or_never("power loss to new holder", taken.map(|taken| taken - begin)),
        late("its advertisement later than 3 x interval + skew", said),
        late("its address later than that", taken),
    ])
}

fn graceful_stop(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].terminate()?;
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let record = stop_calling(client);
    let end = Instant::now();
    Ok(vec![
        Figure::count("lost packets", record.outage(begin, end).lost),
        outage(&record, begin),
        Figure::time_or_never("stop to new holder", taken.map(|taken| taken - begin)),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        Figure::time("two hold it", pair.observer.two_holders(begin, end)),
    ])
}

/// The decision is what the others see of it: the first priority 0, or the address let go.
fn failing_check(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = Instant::now();
    pair.webs[0].set(Mood::Broken);
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let record = stop_calling(client);
    let end = Instant::now();
    let resigned = pair.first_advertisement(NODE1, begin, |priority| priority == 0).map(|frame| frame.at);
    let decided = [resigned, pair.observer.first(NODE1, false, begin)].into_iter().flatten().min();
    let from = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
    Ok(vec![
        Figure::time_or_never("failure to decision", from(Some(begin), decided)),
        Figure::time_or_never("decision to new holder", from(decided, taken)),
        Figure::time_or_never("failure to new holder", from(Some(begin), taken)),
        outage(&record, begin),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        Figure::time("two hold it", pair.observer.two_holders(begin, end)),
    ])
}

fn killed(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].kill();
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let gone = pair.wait_for(NODE1, false, begin, PATIENCE);
    let record = stop_calling(client);
    let end = Instant::now();
    let two = pair.observer.two_holders(begin, end);
    let ended = pair.observer.holders().len() < 2;
    Ok(vec![
        Figure::time_or_never("address gone after", gone.map(|gone| gone - begin)),
        Figure::time_or_never("two hold it", ended.then_some(two)),
        Figure::time_or_never("kill to new holder", taken.map(|taken| taken - begin)),
        outage(&record, begin),
    ])
}

fn crashed(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = crash(pair)?;
    // keepalived gives the address up and comes back as backup; both are over when somebody new holds it.
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let record = stop_calling(client);
    let end = Instant::now();
    Ok(vec![
        outage(&record, begin),
        Figure::time_or_never("crash to new holder", taken.map(|taken| taken - begin)),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        Figure::time("two hold it", pair.observer.two_holders(begin, end)),
    ])
}

/// The process that runs the protocol: `ha`'s only one beside the keeper, keepalived's child.
fn crash(pair: &mut Pair) -> Result<Instant> {
    let victim = worker(pair)?;
    let now = Instant::now();
    kill(Pid::from_raw(victim), Signal::SIGKILL)?;
    Ok(now)
}

/// Its number.
pub(crate) fn worker(pair: &mut Pair) -> Result<i32> {
    let index = match pair.maker(NODE1) {
        Maker::Ha => 0,
        Maker::Keepalived => 1,
    };
    let family = pair.daemons[0].process().family();
    Ok(*family.get(index).ok_or("the daemon is gone")?)
}

fn respawned(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].kill();
    pair.start_again()?;
    thread::sleep(Duration::from_secs(6));
    let record = stop_calling(client);
    let end = Instant::now();
    let changes = pair.observer.changes().iter().filter(|change| change.at >= begin).count();
    Ok(vec![
        outage(&record, begin),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        Figure::time("two hold it", pair.observer.two_holders(begin, end)),
        Figure::count("times the address moved", changes),
    ])
}

fn frozen(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].freeze();
    thread::sleep(FREEZE);
    let thawed = pair.daemons[0].thaw();
    thread::sleep(Duration::from_secs(2));
    let record = stop_calling(client);
    settle();
    let end = Instant::now();
    let at_first = pair.capture.from(NODE1, thawed, thawed + FIRST);
    let announced = at_first.iter().filter(|frame| matches!(frame.what, What::GratuitousArp(_))).count();
    Ok(vec![
        Figure::time("two hold it while frozen", pair.observer.two_holders(begin, thawed)),
        Figure::time("two hold it after the thaw", pair.observer.two_holders(thawed, end)),
        Figure::time("nobody holds the address", pair.observer.no_holder(begin, end)),
        outage(&record, begin),
        Figure::count(
            "advertisements of the thawed, first 100 ms",
            pair.capture.priorities(NODE1, thawed, thawed + FIRST).len(),
        ),
        Figure::count("its gratuitous ARPs, first 100 ms", announced),
    ])
}

fn cut_off(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.world.hears_multicast(NODE2, false)?;
    pair.world.hears_multicast(NODE1, false)?;
    thread::sleep(CUT);
    let healed = pair.world.hears_multicast(NODE1, true)?;
    pair.world.hears_multicast(NODE2, true)?;
    thread::sleep(Duration::from_secs(4));
    let record = stop_calling(client);
    let end = Instant::now();
    Ok(vec![
        Figure::time("two hold it while cut", pair.observer.two_holders(begin, healed)),
        Figure::time("two hold it after", pair.observer.two_holders(healed, end)),
        outage(&record, begin),
    ])
}

/// What the machine itself loses: the floor of all figures above.
fn undisturbed(pair: &mut Pair, _run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    let begin = Instant::now();
    thread::sleep(Duration::from_secs(10));
    let record = stop_calling(client);
    let moved = pair.observer.changes().iter().filter(|change| change.at >= begin).count();
    Ok(vec![
        Figure::count("lost packets", record.outage(begin, Instant::now()).lost),
        outage(&record, begin),
        Figure::count("times the address moved", moved),
    ])
}

pub(crate) fn stop_calling(client: Stream) -> Record {
    thread::sleep(AFTER);
    client.stop()
}

pub(crate) fn outage(record: &Record, begin: Instant) -> Figure {
    Figure::time("longest outage of the client", record.outage(begin, Instant::now()).longest)
}
