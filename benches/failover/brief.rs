//! Intervals below a second, where the kernel's whole seconds are too coarse for a lease; and what a service manager adds to a kill.
//!
//! Who *answers* is asked from the client's machine by ARP, 200 times a second: behind a shut gate a kernel may have the
//! address and nobody notices.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ha::{
    lab::{
        Host, Setup, World,
        capture::{What, settle},
        client::Stream,
        process::output,
        world::{INTERFACE, SERVICE_ADDRESS},
    },
    linux::NeighborSocket,
    node::Ask,
    words::{Family, InterfaceName, MacAddr},
};

use crate::{
    common::{
        Maker, Result,
        machine::program,
        pair::{Pair, Plan},
        table::Figure,
    },
    scenes::{NODE1, NODE2, PATIENCE, Scene, alike, outage, stop_calling},
};

pub(crate) const BRIEF: [Scene; 6] = [
    Scene { name: "brief-freeze", title: "50 ms: frozen 4 s, without a gate", plan: brief, play: frozen },
    Scene { name: "brief-freeze-gate", title: "50 ms: frozen 4 s, behind a gate", plan: gated, play: frozen },
    Scene { name: "brief-kill", title: "50 ms: SIGKILL of everything, without a gate", plan: brief, play: killed },
    Scene { name: "brief-kill-gate", title: "50 ms: SIGKILL of everything, behind a gate", plan: gated, play: killed },
    Scene { name: "brief-calm-gate", title: "50 ms: 10 s without any fault, behind a gate", plan: gated, play: calm },
    Scene {
        name: "kill-release",
        title: "SIGKILL of everything, then ExecStopPost (ha release --stale; keepalived has nothing to call)",
        plan: alike,
        play: released,
    },
];

const INTERVAL: Duration = Duration::from_millis(50);
const FREEZE: Duration = Duration::from_secs(4);
const QUESTION_EVERY: Duration = Duration::from_millis(5);

fn gated(maker: Maker) -> Plan {
    Plan { setups: Host::NODES.map(|node| Setup::founding(node).version3(INTERVAL)), ..alike(maker) }
}

fn brief(maker: Maker) -> Plan {
    Plan { instance: "gate = false\n", ..gated(maker) }
}

/// The client's machine asks who has the address, until it is told to stop.
struct Asking {
    over: Arc<AtomicBool>,
    asker: JoinHandle<()>,
}

impl Asking {
    fn start(world: &World) -> Result<Self> {
        let interface: InterfaceName = INTERFACE.parse().map_err(|_| "no name of an interface")?;
        let there = interface.clone();
        let socket = world.netns(Host::Client).run(move || NeighborSocket::open(&there, Family::V4))??;
        let ask =
            Ask { interface, target: SERVICE_ADDRESS.into(), source: Some(Host::Client.address().into()), to: None };
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let asker = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                // The next question tells as much.
                let _ = socket.ask(&ask, MacAddr(Host::Client.mac()));
                thread::sleep(QUESTION_EVERY);
            }
        });
        Ok(Self { over, asker })
    }

    fn stop(self) {
        self.over.store(true, Ordering::Relaxed);
        // It has nothing to tell.
        let _ = self.asker.join();
    }
}

/// How long node1 went on answering after a moment.
fn answered_until(pair: &Pair, from: Instant, to: Instant) -> Duration {
    let said = pair.capture.from(NODE1, from, to);
    let answers = said.iter().filter(|frame| frame.what == What::ArpReply(SERVICE_ADDRESS));
    answers.map(|frame| frame.at.saturating_duration_since(from)).max().unwrap_or_default()
}

fn frozen(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let (client, asking) = (Stream::start(&pair.world)?, Asking::start(&pair.world)?);
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].freeze();
    let taken = pair.wait_for(NODE2, true, begin, FREEZE);
    thread::sleep((begin + FREEZE).saturating_duration_since(Instant::now()));
    let thawed = pair.daemons[0].thaw();
    thread::sleep(Duration::from_secs(1));
    asking.stop();
    let record = stop_calling(client);
    settle();
    Ok(vec![
        Figure::time_or_never("freeze to new holder", taken.map(|taken| taken - begin)),
        Figure::time("two have it in their kernels while frozen", pair.observer.two_holders(begin, thawed)),
        Figure::time("the frozen one answers after that", answered_until(pair, taken.unwrap_or(thawed), thawed)),
        Figure::time("two have it after the thaw", pair.observer.two_holders(thawed, Instant::now())),
        outage(&record, begin),
    ])
}

fn killed(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let (client, asking) = (Stream::start(&pair.world)?, Asking::start(&pair.world)?);
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].kill();
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    thread::sleep(FREEZE);
    asking.stop();
    let record = stop_calling(client);
    settle();
    let end = Instant::now();
    Ok(vec![
        Figure::time_or_never("kill to new holder", taken.map(|taken| taken - begin)),
        Figure::time("two have it in their kernels", pair.observer.two_holders(begin, end)),
        Figure::time("the killed one answers after that", answered_until(pair, taken.unwrap_or(end), end)),
        outage(&record, begin),
    ])
}

/// What the gate itself loses.
fn calm(pair: &mut Pair, _run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    let begin = Instant::now();
    thread::sleep(Duration::from_secs(10));
    let record = stop_calling(client);
    let changes = pair.observer.changes();
    Ok(vec![
        Figure::count("packets never answered", record.outage(begin, Instant::now()).never_answered),
        Figure::count("times the address moved", changes.iter().filter(|change| change.at >= begin).count()),
    ])
}

/// As the unit file has it: the service manager runs `ha release --stale` when the daemon is gone.
fn released(pair: &mut Pair, run: u32) -> Result<Vec<Figure>> {
    let client = Stream::start(&pair.world)?;
    pair.reach_a_phase(run);
    let begin = pair.daemons[0].kill();
    if pair.maker(NODE1) == Maker::Ha {
        let config = pair.daemons[0].directory().join("ha.toml");
        let arguments = ["release", "--stale", "-c", &config.to_string_lossy()].map(str::to_owned);
        let said = output(pair.world.netns(NODE1), &program(Maker::Ha)?, &arguments)?;
        if !said.status.success() {
            return Err(String::from_utf8_lossy(&said.stderr).into_owned().into());
        }
    }
    let gone = pair.wait_for(NODE1, false, begin, PATIENCE);
    let taken = pair.wait_for(NODE2, true, begin, PATIENCE);
    let record = stop_calling(client);
    let two = pair.observer.two_holders(begin, Instant::now());
    let ended = pair.observer.holders().len() < 2;
    Ok(vec![
        Figure::time_or_never("address gone after", gone.map(|gone| gone - begin)),
        Figure::time_or_never("kill to new holder", taken.map(|taken| taken - begin)),
        Figure::time_or_never("two hold it", ended.then_some(two)),
        outage(&record, begin),
    ])
}
