//! Many virtual routers on one node: whether their advertisements are in time, and what they cost.
//!
//! `cargo bench --bench scale -- [--seconds N] [crowd] [fast]`. `crowd`: 1000 instances, 250 on each of four interfaces, each
//! advertises once a second. `fast`: 255 on one interface, every 100 ms. Both unless one is named. `ha`, then keepalived, on
//! the same interfaces; nobody else is there, so each is master of all. Their priorities differ, so that they do not advertise
//! in one moment. An advertisement is late that comes a tenth of the
//! interval later than it is due after the one before.
//!
//! Exit code 1 where an advertisement of `ha` was late.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark may stop where it stands"
)]

#[allow(dead_code, unreachable_pub, reason = "each benchmark uses a part of it")]
mod common;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Read,
    net::Ipv4Addr,
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use common::{
    Maker, Result,
    machine::{self, Busy, program},
};
use ha::lab::{Daemon, Host, World, process};
use socket2::{Domain, Protocol, Socket, Type};

/// Length of each measurement unless told otherwise.
const SECONDS: u64 = 30;
/// How long all of them may take to serve.
const START: Duration = Duration::from_secs(90);
/// What a start costs is over by then.
const SETTLE: Duration = Duration::from_secs(10);

/// What is measured.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    title: &'static str,
    lans: u8,
    ids: u8,
    interval: Duration,
}

const CROWD: Crowd =
    Crowd { title: "1000 instances, every second", lans: 4, ids: 250, interval: Duration::from_secs(1) };
const FAST: Crowd =
    Crowd { title: "255 instances, every 100 ms", lans: 1, ids: 255, interval: Duration::from_millis(100) };

fn main() -> ExitCode {
    ha::lab::become_program();
    match measure(&std::env::args().collect::<Vec<_>>()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every advertisement of `ha` was in time.
fn measure(arguments: &[String]) -> Result<bool> {
    let length = Duration::from_secs(common::option(arguments, "--seconds", SECONDS)?.max(1));
    let wanted = common::names(arguments);
    machine::enter()?;
    let mut in_time = true;
    for (name, crowd) in [("crowd", CROWD), ("fast", FAST)] {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("\n{}, {} s each", crowd.title, length.as_secs());
        for maker in Maker::ALL {
            let busy = Busy::start();
            let late = watch(crowd, maker, length)?;
            println!("             {}", busy.describe());
            in_time &= maker != Maker::Ha || late == 0;
        }
    }
    Ok(in_time)
}

/// How many advertisements were late.
fn watch(crowd: Crowd, maker: Maker, length: Duration) -> Result<usize> {
    let world = World::build()?;
    crowd.wire(&world)?;
    let ear = Ear::open(&world)?;
    let begun = Instant::now();
    let mut daemon = match maker {
        Maker::Ha => Daemon::ha(&world, Host::Node1, &program(maker)?, &crowd.toml(), &[])?,
        Maker::Keepalived => Daemon::keepalived(&world, Host::Node1, &program(maker)?, &crowd.keepalived_conf())?,
    };
    while ear.speakers() < crowd.count() {
        if begun.elapsed() > START {
            let (speak, count) = (ear.speakers(), crowd.count());
            return Err(format!(
                "{}: {speak} of {count} advertise; the log ends with {:?}",
                maker.name(),
                daemon.log().lines().last()
            )
            .into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    let started = begun.elapsed();
    thread::sleep(SETTLE);
    let (before, from) = (daemon.process().processor_time(), Instant::now());
    thread::sleep(length);
    let to = Instant::now();
    let used = daemon.process().processor_time().saturating_sub(before);
    let heard = ear.between(from, to);
    let gaps = heard.values().flat_map(|times| times.windows(2).map(|two| two[1] - two[0]));
    let mut lateness: Vec<Duration> = gaps.map(|gap| gap.saturating_sub(crowd.interval)).collect();
    lateness.sort();
    let late = lateness.iter().filter(|late| **late >= crowd.interval / 10).count();
    let missing = crowd.count() - heard.len();
    let at = |permille: usize| lateness[(lateness.len() - 1).min(lateness.len() * permille / 1000)].as_secs_f64() * 1e3;
    println!(
        "  {:10} {} advertisements, {late} late, {missing} instances silent; lateness median {:.2} ms, 99 % {:.2} ms, worst {:.2} ms",
        maker.name(),
        heard.values().map(Vec::len).sum::<usize>(),
        at(500),
        at(990),
        at(1000),
    );
    println!(
        "             processor {:.2} %, {} MiB PSS, all serve after {:.1} s",
        100.0 * used.as_secs_f64() / length.as_secs_f64(),
        daemon.process().memory() >> 20,
        started.as_secs_f64()
    );
    Ok(late + missing)
}

impl Crowd {
    fn count(self) -> usize {
        usize::from(self.lans) * usize::from(self.ids)
    }

    fn each(self) -> impl Iterator<Item = (u8, u8)> {
        (0..self.lans).flat_map(move |lan| (1..=self.ids).map(move |id| (lan, id)))
    }

    /// Interfaces lan0, lan1 … of node1, whose other ends are far0, far1 … in the switch's namespace.
    fn wire(self, world: &World) -> Result<()> {
        let ip = world.switch().run(|| rustix::thread::gettid().as_raw_nonzero().get())?;
        for lan in 0..self.lans {
            let (near, far) = (format!("lan{lan}"), format!("far{lan}"));
            for line in [
                format!("link add {near} type veth peer name {far} netns {ip}"),
                format!("address add 10.{lan}.0.1/16 dev {near}"),
                format!("link set {near} up"),
            ] {
                call_ip(world.netns(Host::Node1), &line)?;
            }
            call_ip(world.switch(), &format!("link set {far} up"))?;
        }
        Ok(())
    }

    fn address(lan: u8, id: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, lan, 1, id)
    }

    /// Spreads when the down timers fire over most of the interval.
    fn priority(lan: u8, id: u8) -> u16 {
        1 + (u16::from(id) * 97 + u16::from(lan) * 61) % 254
    }

    fn toml(self) -> String {
        let mut text = "node = \"node1\"\n".to_owned();
        for (lan, id) in self.each() {
            writeln!(
                text,
                "[instance.L{lan}_{id}]\ninterface = \"lan{lan}\"\nvirtual_router_id = {id}\npriority = {}\n\
                 advertise = \"{}ms\"\naddresses = [\"{}/16\"]\nlink_settle = \"0s\"",
                Self::priority(lan, id),
                self.interval.as_millis(),
                Self::address(lan, id)
            )
            .unwrap();
        }
        text
    }

    fn keepalived_conf(self) -> String {
        let mut text = "global_defs {\n router_id node1\n}\n".to_owned();
        for (lan, id) in self.each() {
            writeln!(
                text,
                "vrrp_instance L{lan}_{id} {{\n state BACKUP\n interface lan{lan}\n virtual_router_id {id}\n version 3\n \
                 priority {}\n advert_int {}\n virtual_ipaddress {{\n  {}/16\n }}\n}}",
                Self::priority(lan, id),
                self.interval.as_secs_f64(),
                Self::address(lan, id)
            )
            .unwrap();
        }
        text
    }
}

fn call_ip(netns: &ha::lab::netns::Netns, line: &str) -> Result<()> {
    let program = process::on_path("ip").ok_or("ip (iproute2) is not installed")?;
    let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let output = process::output(netns, &program, &arguments)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("ip {line}: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// When who advertised: by the source address, whose third byte is the interface, and the identifier.
type Heard = BTreeMap<(Ipv4Addr, u8), Vec<Instant>>;

/// Hears every advertisement that comes out of the cables.
struct Ear {
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    fn open(world: &World) -> Result<Self> {
        let (heard, over) = (Arc::<Mutex<Heard>>::default(), Arc::new(AtomicBool::new(false)));
        let (hears, ends) = (Arc::clone(&heard), Arc::clone(&over));
        let thread = world.switch().run(move || -> std::io::Result<JoinHandle<()>> {
            const IPV4: i32 = 0x0800;
            let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(IPV4.to_be() >> 16)))?;
            socket.set_recv_buffer_size(8 << 20)?;
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
            Ok(thread::spawn(move || listen(&socket, &hears, &ends)))
        })??;
        Ok(Self { heard, over, thread: Some(thread) })
    }

    fn speakers(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    fn between(&self, from: Instant, to: Instant) -> Heard {
        let heard = self.heard.lock().unwrap();
        let within = |times: &Vec<Instant>| times.iter().copied().filter(|at| (from..=to).contains(at)).collect();
        heard
            .iter()
            .map(|(who, times)| (*who, within(times)))
            .filter(|(_, times): &(_, Vec<Instant>)| !times.is_empty())
            .collect()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listen(mut socket: &Socket, heard: &Mutex<Heard>, over: &AtomicBool) {
    let mut frame = [0; 256];
    while !over.load(Ordering::Relaxed) {
        let Ok(length) = socket.read(&mut frame) else { continue };
        let at = Instant::now();
        // An IPv4 header without options, protocol 112, then version and type, identifier, priority.
        let packet = &frame[..length];
        if packet.len() < 28 || packet[0] != 0x45 || packet[9] != 112 || packet[22] == 0 {
            continue;
        }
        let source = Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
        heard.lock().unwrap().entry((source, packet[21])).or_default().push(at);
    }
}
