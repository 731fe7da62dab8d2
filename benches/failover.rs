//! `ha` beside keepalived, in one run: the same machines, the same client, the same faults, the same probes.
//!
//! `cargo bench --bench failover` prints one table with the medians of `HA_BENCH_REPEAT` runs (3) and their ratio. Part of
//! a row's name as an argument runs only those rows. Memory is the sum over all processes of a node, each page divided by
//! its users; processor time counts children.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement may stop where it stands"
)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ha::lab::{
    Daemon, Host, Setup, World,
    capture::{Capture, What},
    client::Stream,
    netns,
    observer::Observer,
    process::on_path,
    service::{Mood, Web, start_echo},
};

const CONFIGS: [&str; 2] = [include_str!("../config/node1.toml"), include_str!("../config/node2.toml")];
const POLICIES: [(&str, &str); 1] = [("check_local", include_str!("../scripts/check_local.rhai"))];
const CALM: Duration = Duration::from_millis(600);

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Keepalived,
    Ha,
}

/// A row of the table: its name, its unit, and how one run of it is measured.
struct Row {
    name: &'static str,
    unit: &'static str,
    measure: fn(&mut Pair) -> f64,
}

const ROWS: [Row; 13] = [
    Row { name: "power loss: outage", unit: "ms", measure: power_loss },
    Row { name: "power loss: later than 3 intervals + skew", unit: "ms", measure: power_loss_late },
    Row { name: "graceful stop: outage", unit: "ms", measure: graceful_stop },
    Row { name: "graceful stop: packets lost of 500 a second", unit: "", measure: graceful_stop_lost },
    Row { name: "failing check: nobody holds the address", unit: "ms", measure: failing_check },
    Row { name: "daemon and children killed: two holders in 10 s", unit: "ms", measure: killed_two_holders },
    Row { name: "daemon alone killed: outage", unit: "ms", measure: killed_alone },
    Row { name: "frozen for 6 s: two holders", unit: "ms", measure: frozen },
    Row { name: "thaw: advertisements in the first 100 ms", unit: "", measure: thawed_adverts },
    Row { name: "thaw: announcements in the first second", unit: "", measure: thawed_announcements },
    Row { name: "memory of a node, shared pages divided", unit: "MiB", measure: memory },
    Row { name: "memory of a node, resident", unit: "MiB", measure: resident },
    Row { name: "processor of a master with its check each second", unit: "%", measure: processor },
];

fn main() {
    ha::lab::become_program();
    let Some(keepalived) = on_path("keepalived") else {
        println!("keepalived is not installed: nothing to compare with");
        return;
    };
    netns::enter().unwrap_or_else(|trouble| panic!("{trouble}"));
    let repeat: usize = std::env::var("HA_BENCH_REPEAT").ok().and_then(|set| set.parse().ok()).unwrap_or(3);
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    println!("{:52} {:>12} {:>12} {:>8}", format!("median of {repeat}"), "keepalived", "ha", "ratio");
    for row in ROWS.iter().filter(|row| only.is_empty() || only.iter().any(|part| row.name.contains(part))) {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..repeat {
            for (contender, figures) in [Contender::Keepalived, Contender::Ha].into_iter().zip(&mut figures) {
                figures.push((row.measure)(&mut Pair::start(contender, &keepalived)));
            }
        }
        let [theirs, ours] = figures.map(median);
        let ratio = if ours == 0.0 { "-".to_owned() } else { format!("{:.2}", theirs / ours) };
        println!("{:52} {:>12} {:>12} {:>8}", row.name, figure(theirs, row.unit), figure(ours, row.unit), ratio);
    }
    if on_path("ping").is_none() {
        println!("no `ping` on this machine: keepalived's script asks the web service only");
    }
}

/// A pair of one kind, node1 serving, and those who watch.
struct Pair {
    node1: Daemon,
    _node2: Daemon,
    web1: Web,
    _web2: Web,
    observer: Observer,
    capture: Capture,
    world: World,
}

impl Pair {
    fn start(contender: Contender, keepalived: &Path) -> Self {
        let world = World::build().unwrap();
        Host::NODES.iter().for_each(|node| start_echo(&world, *node).unwrap());
        let [web1, web2] = Host::NODES.map(|node| Web::start(&world, node).unwrap());
        let (observer, capture) = (Observer::start(&world).unwrap(), Capture::start(&world).unwrap());
        let daemon = |node: Host| match contender {
            Contender::Keepalived => {
                let script = write_script(&world, node);
                let conf = Setup::founding(node).keepalived_conf(node, Some(&script));
                Daemon::keepalived(&world, node, keepalived, &conf).unwrap()
            }
            Contender::Ha => {
                let config = CONFIGS[usize::from(node == Host::Node2)];
                Daemon::ha(&world, node, Path::new(env!("CARGO_BIN_EXE_ha")), config, &POLICIES).unwrap()
            }
        };
        let [node1, node2] = Host::NODES.map(daemon);
        observer
            .wait_for(&[Host::Node1], Duration::from_secs(20))
            .unwrap_or_else(|trouble| panic!("{contender:?}: {trouble}"));
        // The second burst of announcements comes after five seconds; a fault comes in any phase of the interval.
        std::thread::sleep(Duration::from_secs(6) + random_phase());
        Self { node1, _node2: node2, web1, _web2: web2, observer, capture, world }
    }

    fn moves_to_node2(&self) -> Instant {
        let moved = self.observer.wait_for(&[Host::Node2], Duration::from_secs(20));
        moved.unwrap_or_else(|trouble| panic!("{trouble}\n{}", self.node1.log()))
    }

    /// The client's longest outage and its lost packets around a fault that moves the address.
    fn outage(&mut self, fault: impl FnOnce(&mut Self) -> Instant, arrived: impl FnOnce(&Self)) -> (f64, f64) {
        let client = Stream::start(&self.world).unwrap();
        std::thread::sleep(CALM);
        let at = fault(self);
        arrived(self);
        std::thread::sleep(CALM);
        let outage = client.stop().outage(at, Instant::now());
        (millis(outage.longest), f64::from(u32::try_from(outage.lost).unwrap()))
    }
}

fn power_loss(pair: &mut Pair) -> f64 {
    pair.outage(
        |pair| pair.node1.lose_power(&pair.world).unwrap(),
        |pair| {
            pair.moves_to_node2();
        },
    )
    .0
}

fn power_loss_late(pair: &mut Pair) -> f64 {
    let dead = pair.node1.lose_power(&pair.world).unwrap();
    pair.moves_to_node2();
    let taken = pair.observer.first(Host::Node2, true, dead).unwrap();
    let frames = pair.capture.frames();
    let is_advert = |what: &What| matches!(what, What::Advertisement { .. });
    let last = frames.iter().rev().find(|frame| frame.from == Host::Node1 && is_advert(&frame.what)).unwrap().at;
    let skew = Duration::from_secs(1) * (256 - u32::from(Setup::founding(Host::Node2).priority)) / 256;
    let due = last + Duration::from_secs(3) + skew;
    millis(taken.saturating_duration_since(due)) - millis(due.saturating_duration_since(taken))
}

fn graceful_stop(pair: &mut Pair) -> f64 {
    pair.outage(
        |pair| pair.node1.terminate().unwrap(),
        |pair| {
            pair.moves_to_node2();
        },
    )
    .0
}

fn graceful_stop_lost(pair: &mut Pair) -> f64 {
    pair.outage(
        |pair| pair.node1.terminate().unwrap(),
        |pair| {
            pair.moves_to_node2();
        },
    )
    .1
}

fn failing_check(pair: &mut Pair) -> f64 {
    let broken = Instant::now();
    pair.web1.set(Mood::Broken);
    let moved = pair.moves_to_node2();
    millis(pair.observer.no_holder(broken, moved))
}

fn killed_two_holders(pair: &mut Pair) -> f64 {
    let killed = pair.node1.kill();
    std::thread::sleep(Duration::from_secs(10));
    millis(pair.observer.two_holders(killed, Instant::now()))
}

/// keepalived's parent starts its child anew; `ha`'s keeper hands over.
fn killed_alone(pair: &mut Pair) -> f64 {
    let kill = |pair: &mut Pair| {
        let family = pair.node1.process().family();
        match family.as_slice() {
            [_, child, ..] if is_keepalived(pair) => {
                let now = Instant::now();
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(*child), nix::sys::signal::Signal::SIGKILL).unwrap();
                now
            }
            _ => pair.node1.kill_alone(),
        }
    };
    pair.outage(kill, |_| std::thread::sleep(Duration::from_secs(6))).0
}

fn frozen(pair: &mut Pair) -> f64 {
    let begin = pair.node1.freeze();
    std::thread::sleep(Duration::from_secs(6));
    millis(pair.observer.two_holders(begin, Instant::now()))
}

fn thaw(pair: &mut Pair) -> Instant {
    pair.node1.freeze();
    std::thread::sleep(Duration::from_secs(6));
    let thawed = pair.node1.thaw();
    std::thread::sleep(Duration::from_secs(1));
    thawed
}

fn thawed_adverts(pair: &mut Pair) -> f64 {
    let thawed = thaw(pair);
    count(pair.capture.priorities(Host::Node1, thawed, thawed + Duration::from_millis(100)).len())
}

fn thawed_announcements(pair: &mut Pair) -> f64 {
    let thawed = thaw(pair);
    let frames = pair.capture.from(Host::Node1, thawed, thawed + Duration::from_secs(1));
    count(frames.iter().filter(|frame| matches!(frame.what, What::GratuitousArp(_))).count())
}

fn memory(pair: &mut Pair) -> f64 {
    mebibytes(pair.node1.process().memory())
}

fn resident(pair: &mut Pair) -> f64 {
    mebibytes(pair.node1.process().resident())
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap()) / 1024.0
}

fn processor(pair: &mut Pair) -> f64 {
    let (begin, before) = (Instant::now(), pair.node1.process().processor_time());
    std::thread::sleep(Duration::from_secs(30));
    let used = pair.node1.process().processor_time() - before;
    used.as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0
}

/// The founding policy as a shell script: the node's own web service, and the arbiter.
fn write_script(world: &World, node: Host) -> PathBuf {
    let path = world.directory(node).unwrap().join("check_local.sh");
    let ping = if on_path("ping").is_some() {
        format!("ping -q -n -c 1 -W 1 {} >/dev/null || exit 1\n", Host::Arbiter.address())
    } else {
        String::new()
    };
    let curl = format!("curl -fsS -o /dev/null --max-time 2 http://{}/ || exit 1\n", node.address());
    fs::write(&path, format!("#!/bin/sh\n{curl}{ping}exit 0\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn is_keepalived(pair: &Pair) -> bool {
    pair.node1.directory().join("keepalived.conf").exists()
}

fn random_phase() -> Duration {
    use std::hash::{BuildHasher, RandomState};
    Duration::from_millis(RandomState::new().hash_one(0) % 1000)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

fn figure(value: f64, unit: &str) -> String {
    let digits = if value.abs() >= 10.0 || value == 0.0 { 0 } else { 2 };
    format!("{value:.digits$} {unit}").trim_end().to_owned()
}
