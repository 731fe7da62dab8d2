//! The steps of the tour, in order. Each leaves the pair as it found it: node1 serves, node2 stands by.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        service::Mood,
        trouble::Result,
        world::Host::{self, Arbiter, Node1, Node2},
    },
    pair::{Minimum, Pair, Scene},
    step::{Step, Wanted},
};

type Play = fn(&mut Pair) -> Result<Step>;

/// Every step.
pub(super) const ALL: [Play; 13] = [
    start,
    pull_the_cable,
    plug_it_in,
    web_breaks,
    web_recovers,
    hiccup,
    multicast_filtered,
    stop,
    crash,
    crash_of_everything,
    freeze,
    no_arbiter,
    arbiter_back,
];

const PATIENCE: Duration = Duration::from_secs(20);
const ON_NODE1: Wanted = Wanted { holders: &[Node1], lost: None, never: None };
const ON_NODE2: Wanted = Wanted { holders: &[Node2], lost: None, never: None };

fn start(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S1",
        title: "both nodes start: node1 serves, node2 stands by",
        did: "started both daemons",
        subject: if pair.runs_keepalived(Node1) { Node2 } else { Node1 },
        wanted: ON_NODE1,
        patience: PATIENCE,
        minimum: Minimum::Silence(Node1),
    };
    let step = pair.play(&scene, |pair| {
        let begin = pair.start(Node1)?;
        pair.start(Node2)?;
        Ok(begin)
    })?;
    settle();
    Ok(step)
}

fn pull_the_cable(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S5",
        title: "node1's cable is pulled",
        did: "set node1's port of the switch down",
        subject: Node2,
        wanted: ON_NODE2,
        patience: PATIENCE,
        minimum: Minimum::Silence(Node1),
    };
    pair.play(&scene, |pair| pair.world.plug(Node1, false))
}

fn plug_it_in(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S5",
        title: "node1's cable is plugged in again",
        did: "set node1's port of the switch up",
        subject: Node1,
        wanted: Wanted { lost: Some(5), ..ON_NODE1 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| pair.world.plug(Node1, true))?;
    settle();
    Ok(step)
}

fn web_breaks(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S8",
        title: "node1's web service answers 500",
        did: "broke the web service of node1",
        subject: Node1,
        wanted: if pair.runs_keepalived(Node1) { ON_NODE1 } else { ON_NODE2 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    pair.play(&scene, |pair| Ok(set_web(pair, Mood::Broken)))
}

fn web_recovers(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S10",
        title: "node1's web service is well again",
        did: "repaired the web service of node1",
        subject: Node1,
        wanted: Wanted { lost: Some(5), ..ON_NODE1 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| Ok(set_web(pair, Mood::Well)))?;
    settle();
    Ok(step)
}

fn hiccup(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S9",
        title: "two bad answers in a row, then a good one",
        did: "broke the web service of node1 for two checks",
        subject: Node1,
        wanted: Wanted { lost: Some(0), never: Some(Node2), ..ON_NODE1 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    pair.play(&scene, |pair| {
        let begin = set_web(pair, Mood::Broken);
        let [web1, _] = &pair.webs;
        let asked = web1.requests();
        while web1.requests() < asked + 2 && begin.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(50));
        set_web(pair, Mood::Well);
        thread::sleep(Duration::from_secs(3));
        Ok(begin)
    })
}

fn multicast_filtered(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S13",
        title: "the nodes do not hear each other for 10 s",
        did: "the switch gave no multicast to either node",
        subject: Node2,
        wanted: Wanted { lost: Some(0), ..ON_NODE1 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| {
        let begin = pair.world.hears_multicast(Node1, false)?;
        pair.world.hears_multicast(Node2, false)?;
        thread::sleep(Duration::from_secs(10));
        pair.world.hears_multicast(Node1, true)?;
        pair.world.hears_multicast(Node2, true)?;
        Ok(begin)
    })?;
    settle();
    Ok(step)
}

fn stop(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "",
        title: "node1 is stopped in order (SIGTERM)",
        did: "asked node1's daemon to stop",
        subject: Node1,
        wanted: Wanted { lost: Some(0), ..ON_NODE2 },
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| pair.daemon(Node1)?.terminate())?;
    restore(pair, Node1)?;
    Ok(step)
}

fn crash(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "",
        title: "node1's daemon crashes (SIGKILL)",
        did: "killed the daemon; its keeper lives",
        subject: Node1,
        wanted: ON_NODE2,
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| Ok(pair.daemon(Node1)?.kill_alone()))?;
    restore(pair, Node1)?;
    Ok(step)
}

fn crash_of_everything(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "",
        title: "everything of node1's daemon is killed at once",
        did: "killed the daemon and its keeper",
        subject: Node1,
        wanted: ON_NODE2,
        patience: PATIENCE,
        minimum: Minimum::Silence(Node1),
    };
    let step = pair.play(&scene, |pair| Ok(pair.daemon(Node1)?.kill()))?;
    restore(pair, Node1)?;
    Ok(step)
}

fn freeze(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "",
        title: "node1's daemon is frozen for 6 s (SIGSTOP)",
        did: "froze the daemon and its keeper",
        subject: Node1,
        wanted: ON_NODE2,
        patience: Duration::from_secs(6),
        minimum: Minimum::Silence(Node1),
    };
    let step = pair.play(&scene, |pair| {
        let begin = pair.daemon(Node1)?.freeze();
        thread::sleep(Duration::from_secs(6));
        Ok(begin)
    })?;
    pair.daemon(Node1)?.thaw();
    back_on(pair, Node1);
    Ok(step)
}

fn no_arbiter(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S12",
        title: "node2 does not reach the arbiter, and node1 loses its power",
        did: "cut node2 off from the arbiter, then node1's power",
        subject: Node2,
        wanted: Wanted { holders: &[], lost: None, never: Some(Node2) },
        patience: PATIENCE,
        minimum: Minimum::Forever,
    };
    pair.play(&scene, |pair| {
        pair.world.cut_off(Node2, Arbiter, true)?;
        thread::sleep(Duration::from_secs(1));
        let dead = pair.lose_power(Node1)?;
        thread::sleep(Duration::from_secs(8));
        Ok(dead)
    })
}

fn arbiter_back(pair: &mut Pair) -> Result<Step> {
    let scene = Scene {
        row: "S12",
        title: "node2 reaches the arbiter again",
        did: "joined node2 and the arbiter",
        subject: Node2,
        wanted: ON_NODE2,
        patience: PATIENCE,
        minimum: Minimum::Nothing,
    };
    let step = pair.play(&scene, |pair| pair.world.cut_off(Node2, Arbiter, false))?;
    pair.world.plug(Node1, true)?;
    restore(pair, Node1)?;
    Ok(step)
}

fn set_web(pair: &Pair, mood: Mood) -> Instant {
    let [web1, _] = &pair.webs;
    web1.set(mood);
    Instant::now()
}

/// Starts the daemon of a node anew and waits until node1 serves.
fn restore(pair: &mut Pair, node: Host) -> Result<()> {
    pair.start(node)?;
    back_on(pair, Node1);
    Ok(())
}

fn back_on(pair: &Pair, node: Host) {
    // A step that did not hold says so itself.
    let _ = pair.held_by(&[node], PATIENCE);
    settle();
}

/// A few advertisements, so that the next step finds a calm pair.
fn settle() {
    thread::sleep(Duration::from_millis(2500));
}
