//! A LAN of nodes in virtual time: one seed reproduces everything. The kernel's part (addresses with lifetimes, answering
//! ARP) is played here; the nodes are the real ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use ha::{
    config::{
        Auth, Checksum, Claim, Config, Control, Instance, Lease, OnConflict, Preempt, Preference, Protocol, Transport,
    },
    node::{
        AddressSeen, Ask, Command, Datagram, Ears, Event, Hold, Input, Lifetime, LinkSeen, NeighborFrame, Node, Output,
        Pace, Role, Transmit,
    },
    policy::{Report, Verdict},
    wire::{AdverInterval, NeighborKind, Priority, Vrid, group},
    words::{Family, Instant, InterfaceName, MacAddr},
};
use ipnet::IpNet;

/// What the simulator writes down, for assertions and for whoever reads a failure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    Event(Event),
    Hold(Vec<IpNet>),
    Announce,
    Sent(u8),
    Paced(Pace),
    /// It asked who has this address, as nobody: all, or one of them.
    Probed(IpAddr, Option<MacAddr>),
    /// What the test did.
    Done(&'static str),
}

/// How long two and nobody held the address, and the longest stretch of each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holders {
    pub(crate) two: Duration,
    pub(crate) longest_two: Duration,
    pub(crate) nobody: Duration,
    pub(crate) longest_nobody: Duration,
}

pub(crate) struct Station {
    pub(crate) node: Node,
    pub(crate) mac: MacAddr,
    pub(crate) ip: IpAddr,
    pub(crate) configured: Instance,
    kernel: BTreeMap<IpNet, Option<Instant>>,
    frozen: bool,
    /// What waits in its sockets.
    backlog: VecDeque<Delivery>,
    /// Packets it reads in one turn, if that is limited.
    pub(crate) reads: Option<usize>,
    /// Its sends fail.
    pub(crate) mute: bool,
    /// Its daemon.
    dead: bool,
    /// It owns the virtual address (priority 255): it is there by itself, and stays.
    native: bool,
    powered: bool,
    plugged: bool,
    /// Its switch port does not forward.
    pub(crate) blocked: bool,
    /// The number of its interface, if it has one.
    link: Option<u32>,
    /// Whether it has its own address.
    addressed: bool,
    /// Turns at the same moment after which something was still due then.
    spins: (Instant, u32),
    verdict: Verdict,
    pub(crate) observed_ok: bool,
    pub(crate) judges: bool,
    pace: Pace,
    judged_at: Instant,
}

#[derive(Clone, Debug)]
enum Delivery {
    Vrrp { source: IpAddr, destination: IpAddr, payload: Vec<u8> },
    Neighbor(NeighborFrame),
    Kernel,
}

/// A machine that answers for addresses and knows nothing of VRRP.
pub(crate) struct Host {
    pub(crate) mac: MacAddr,
    pub(crate) answers: Vec<IpAddr>,
    /// How many questions it still answers.
    pub(crate) left: u32,
}

pub(crate) struct Lan {
    pub(crate) now: Instant,
    pub(crate) stations: Vec<Station>,
    pub(crate) hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    deliveries: BTreeMap<u64, Delivery>,
    sequence: u64,
    /// (from, to): VRRP does not pass.
    cut: Vec<(usize, usize)>,
    pub(crate) loss: u32,
    random: u64,
    pub(crate) story: Vec<(Instant, usize, Line)>,
    pub(crate) holders: Holders,
    stretch: (usize, Instant),
    /// How late the kernel removes an expired address.
    pub(crate) kernel_late: Duration,
}

pub(crate) const VIP: &str = "192.168.0.60/24";
/// Turns at one moment in which something stays due: more of them would be a busy loop.
const SPINS_MAX: u32 = 4;

pub(crate) fn eth0() -> InterfaceName {
    "eth0".parse().unwrap()
}

pub(crate) fn instance(priority: u8, peers: &[IpAddr]) -> Instance {
    Instance {
        name: "VI_1".to_owned(),
        interface: eth0(),
        vrid: Vrid::new(51).unwrap(),
        family: Family::V4,
        priority: Priority::new(priority).unwrap(),
        protocol: Protocol::V2(Auth::Pass(*b"1111\0\0\0\0")),
        advertise: AdverInterval::from_secs(1).unwrap(),
        preempt: Preempt::AtOnce,
        addresses: vec![VIP.parse().unwrap()],
        peers: peers.to_vec(),
        transport: Transport::Multicast,
        source: None,
        lease: Lease::Auto,
        claim: Claim::Auto,
        on_conflict: OnConflict::Hold,
        prefer: Preference::Safety,
        peer_down_adverts: 3,
        link_settle: Duration::from_secs(5),
        announce_refresh: Duration::from_secs(10),
        policies: vec![],
    }
}

/// The same over IPv6: version 3, and a link-local address first.
pub(crate) fn instance_v6(priority: u8, peers: &[IpAddr]) -> Instance {
    Instance {
        family: Family::V6,
        protocol: Protocol::V3(Checksum::Auto),
        addresses: vec!["fe80::33/64".parse().unwrap(), "fd00::60/64".parse().unwrap()],
        ..instance(priority, peers)
    }
}

pub(crate) fn config(instance: Instance) -> Config {
    Config {
        node: "test".to_owned(),
        policy_dir: "/nowhere".into(),
        realtime_priority: None,
        lock_memory: false,
        boot_last_good: true,
        control: Control { socket: "/nowhere".into(), state_dir: "/nowhere".into() },
        mail: None,
        instances: vec![instance],
    }
}

fn healthy() -> Verdict {
    Verdict::Healthy { delta: 0, note: String::new() }
}

/// The addresses of the first `count` stations.
pub(crate) fn addresses(count: usize) -> Vec<IpAddr> {
    (0..count).map(|index| IpAddr::from([192, 168, 0, 20 + u8::try_from(index).unwrap()])).collect()
}

pub(crate) fn addresses_v6(count: usize) -> Vec<IpAddr> {
    let link_local = |index: usize| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x20 + u16::try_from(index).unwrap());
    (0..count).map(|index| IpAddr::V6(link_local(index))).collect()
}

impl Lan {
    /// Stations with these priorities, all plugged, each the other's peer, without policies.
    pub(crate) fn new(seed: u64, priorities: &[u8]) -> Self {
        Self::with(seed, priorities, |_, _| ())
    }

    /// The same, with a change to each configuration.
    pub(crate) fn with(seed: u64, priorities: &[u8], change: impl Fn(usize, &mut Instance)) -> Self {
        Self::made(seed, priorities, &addresses(priorities.len()), instance, change)
    }

    /// The same over IPv6.
    pub(crate) fn v6(seed: u64, priorities: &[u8], change: impl Fn(usize, &mut Instance)) -> Self {
        Self::made(seed, priorities, &addresses_v6(priorities.len()), instance_v6, change)
    }

    fn made(
        seed: u64,
        priorities: &[u8],
        all: &[IpAddr],
        make: fn(u8, &[IpAddr]) -> Instance,
        change: impl Fn(usize, &mut Instance),
    ) -> Self {
        let mut lan = Self::empty(seed);
        for (index, priority) in priorities.iter().enumerate() {
            let peers: Vec<IpAddr> = all.iter().copied().filter(|ip| *ip != all[index]).collect();
            let mut instance = make(*priority, &peers);
            change(index, &mut instance);
            lan.stations.push(Station::new(lan.now, index, all[index], instance));
            lan.tell_link(index);
            lan.tell_addresses(index);
        }
        lan
    }

    fn empty(seed: u64) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1000));
        Self {
            now,
            stations: Vec::new(),
            hosts: Vec::new(),
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            loss: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            story: Vec::new(),
            holders: Holders::default(),
            stretch: (0, now),
            kernel_late: Duration::from_millis(20),
        }
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    // ---- What a test does ----

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.advance_to(next);
            self.turn();
        }
        self.advance_to(end);
    }

    /// Until it is so, at most this long; how long that took.
    pub(crate) fn run_until(&mut self, limit: Duration, so: impl Fn(&Self) -> bool) -> Duration {
        let start = self.now;
        while !so(self) {
            let next = self.next_moment().filter(|next| *next <= start + limit);
            assert!(next.is_some(), "not so within {limit:?}\n{}", self.tale(40));
            self.advance_to(next.unwrap());
            self.turn();
        }
        self.now.saturating_since(start)
    }

    /// The whole machine is gone at once, with its addresses.
    pub(crate) fn power_off(&mut self, index: usize) {
        self.stations[index].dead = true;
        self.stations[index].powered = false;
        self.stations[index].kernel.clear();
        self.count();
    }

    /// Everything of the daemon is killed, the kernel lives.
    pub(crate) fn kill(&mut self, index: usize) {
        self.stations[index].dead = true;
    }

    /// A new process on the same machine, with the configuration of the one before.
    pub(crate) fn start(&mut self, index: usize) {
        let station = &mut self.stations[index];
        station.node = Node::new(self.now, &config(station.configured.clone()));
        (station.dead, station.powered) = (false, true);
        station.backlog.clear();
        self.tell_link(index);
        self.tell_addresses(index);
    }

    pub(crate) fn freeze(&mut self, index: usize) {
        self.note(index, Line::Done("frozen"));
        self.stations[index].frozen = true;
    }

    pub(crate) fn thaw(&mut self, index: usize) {
        self.note(index, Line::Done("thawed"));
        self.stations[index].frozen = false;
        if self.stations[index].reads.is_none() {
            self.read(index);
        }
    }

    pub(crate) fn plug(&mut self, index: usize, plugged: bool) {
        self.stations[index].plugged = plugged;
        self.tell_link(index);
    }

    /// It runs again, and has read nothing yet.
    pub(crate) fn thaw_but_do_not_turn(&mut self, index: usize) {
        self.stations[index].frozen = false;
    }

    /// The interface goes, or another one of the same name comes.
    pub(crate) fn set_link(&mut self, index: usize, link: Option<u32>) {
        self.stations[index].link = link;
        self.stations[index].kernel.clear();
        self.count();
        self.tell_link(index);
        if link.is_some() {
            self.tell_addresses(index);
        }
    }

    /// The machine gets or loses its own address.
    pub(crate) fn set_addressed(&mut self, index: usize, addressed: bool) {
        self.stations[index].addressed = addressed;
        self.tell_addresses(index);
    }

    pub(crate) fn cut_vrrp(&mut self, from: usize, to: usize) {
        self.cut.push((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn stop(&mut self, index: usize) {
        self.hand_in(index, Input::Command(Command::Stop));
    }

    pub(crate) fn reload(&mut self, index: usize, instance: Instance) {
        self.stations[index].configured = instance.clone();
        self.hand_in(index, Input::Reload(Arc::new(config(instance))));
    }

    pub(crate) fn delete_address(&mut self, index: usize) {
        self.note(index, Line::Done("address deleted"));
        self.stations[index].kernel.clear();
        self.count();
        self.tell_addresses(index);
    }

    pub(crate) fn remove_from_kernel(&mut self, index: usize, address: &str) {
        self.stations[index].kernel.remove(&address.parse::<IpNet>().unwrap());
        self.tell_addresses(index);
    }

    /// From now on the policy says this each second (and when it is asked to hurry).
    pub(crate) fn set_policy(&mut self, index: usize, ok: bool) {
        let broken = Verdict::Fault { why: "the web is broken".to_owned(), external: false };
        self.set_verdict(index, if ok { healthy() } else { broken });
        self.stations[index].observed_ok = ok;
    }

    /// From now on the policy says this, with no word on what it observed.
    pub(crate) fn set_verdict(&mut self, index: usize, verdict: Verdict) {
        self.stations[index].verdict = verdict;
    }

    pub(crate) fn judge(&mut self, index: usize, verdict: Verdict) {
        let observed_ok = self.stations[index].observed_ok;
        let report = Report {
            policy: "check_local".to_owned(),
            generation: 1,
            started_at: self.now,
            elapsed: Duration::ZERO,
            verdict,
            rules: vec![],
            observed_ok,
            may_take_over: None,
            error: None,
        };
        self.hand_in(index, Input::Judged { instance: "VI_1".to_owned(), report });
    }

    /// A master that hears nobody advertises: version 2, the founding pair's password, this priority.
    pub(crate) fn hear_from_a_deaf_master(&mut self, index: usize, priority: u8) {
        self.hear(index, addresses(2)[1], priority, b"1111\0\0\0\0");
    }

    /// An advertisement of version 2 for the founding pair's address arrives.
    pub(crate) fn hear(&mut self, index: usize, source: IpAddr, priority: u8, password: &[u8; 8]) {
        self.hear_at(index, source, group(Family::V4), priority, password);
    }

    /// The same, to this station alone.
    pub(crate) fn hear_unicast(&mut self, index: usize, source: IpAddr, priority: u8) {
        self.hear_at(index, source, self.stations[index].ip, priority, b"1111\0\0\0\0");
    }

    fn hear_at(&mut self, index: usize, source: IpAddr, destination: IpAddr, priority: u8, password: &[u8; 8]) {
        let adv = ha::wire::Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec![VIP.parse::<IpNet>().unwrap().addr()],
        };
        let payload = ha::wire::encode_v2(&adv, Some(password));
        self.stations[index].backlog.push_back(Delivery::Vrrp { source, destination, payload });
        if self.stations[index].runs() {
            self.turn();
        }
    }

    /// So many frames of ARP that concern nobody wait in its sockets.
    pub(crate) fn flood(&mut self, index: usize, frames: usize) {
        let kind = NeighborKind::Request { sender: [192, 168, 0, 200].into(), target: [192, 168, 0, 201].into() };
        let mac = MacAddr([2, 0, 0, 0, 9, 9]);
        let frame = NeighborFrame { interface: eth0(), kind, source_mac: mac, mac };
        self.stations[index].backlog.extend(vec![Delivery::Neighbor(frame); frames]);
    }

    pub(crate) fn role(&self, index: usize) -> Role {
        self.stations[index].node.status().instances[0].role
    }

    /// The reasons of its transitions since the counts were reset.
    pub(crate) fn transitions(&self, index: usize) -> Vec<&str> {
        let lines = self.story.iter().filter(|(_, of, _)| *of == index);
        let reason = lines.filter_map(|(_, _, line)| {
            if let Line::Event(Event::Transition { reason, .. }) = line { Some(reason.as_str()) } else { None }
        });
        reason.collect()
    }

    /// Why it is in its role.
    pub(crate) fn reason(&self, index: usize) -> String {
        self.stations[index].node.status().instances[0].reason.clone()
    }

    pub(crate) fn has_condition(&self, index: usize, name: &str) -> bool {
        self.stations[index].node.status().instances[0].conditions.iter().any(|condition| condition.name == name)
    }

    pub(crate) fn holds(&self, index: usize) -> bool {
        !self.stations[index].kernel.is_empty()
    }

    /// When a station did something, since the counts were reset.
    pub(crate) fn times(&self, index: usize, what: impl Fn(&Line) -> bool) -> Vec<Instant> {
        self.story.iter().filter(|(_, who, line)| *who == index && what(line)).map(|(at, _, _)| *at).collect()
    }

    pub(crate) fn sent(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Sent(_)))
    }

    pub(crate) fn probed(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Probed(_, None)))
    }

    pub(crate) fn held(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Hold(addresses) if !addresses.is_empty()))
    }

    pub(crate) fn released(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| matches!(line, Line::Hold(addresses) if addresses.is_empty()))
    }

    pub(crate) fn announced(&self, index: usize) -> Vec<Instant> {
        self.times(index, |line| *line == Line::Announce)
    }

    pub(crate) fn noted(&self, index: usize, text: &str) -> usize {
        self.times(index, |line| matches!(line, Line::Event(Event::Note(note)) if note.contains(text))).len()
    }

    pub(crate) fn raised(&self, index: usize, name: &str) -> usize {
        self.times(index, |line| matches!(line, Line::Event(Event::Raised(condition)) if condition.name == name)).len()
    }

    /// What its kernel has of the virtual addresses.
    pub(crate) fn kernel(&self, index: usize) -> Vec<IpNet> {
        self.stations[index].kernel.keys().copied().collect()
    }

    pub(crate) fn holding(&self) -> Vec<usize> {
        (0..self.stations.len()).filter(|index| self.holds(*index)).collect()
    }

    /// The last lines of the story, for whoever reads a failure.
    pub(crate) fn tale(&self, lines: usize) -> String {
        let skip = self.story.len().saturating_sub(lines);
        let line = |(at, index, line): &(Instant, usize, Line)| format!("{at:?} node{index} {line:?}\n");
        self.story.iter().skip(skip).map(line).collect()
    }

    /// Forgets what was counted, to count from here.
    pub(crate) fn reset_counts(&mut self) {
        self.holders = Holders::default();
        self.stretch = (self.reachable_holders(), self.now);
        self.story.clear();
    }

    pub(crate) fn settle_counts(&mut self) -> Holders {
        self.count();
        let (_, since) = self.stretch;
        self.stretch.1 = since;
        self.close_stretch();
        self.holders
    }

    // ---- Time ----

    fn next_moment(&self) -> Option<Instant> {
        let packet = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let running = || self.stations.iter().filter(|station| station.runs());
        // Reading takes time, and whoever has something to read is awake.
        let (unread, drained): (Vec<_>, Vec<_>) = running().partition(|station| !station.backlog.is_empty());
        let unread = (!unread.is_empty()).then(|| self.now + Duration::from_micros(50));
        let timers = drained.into_iter().filter_map(|station| station.node.poll_timeout()).map(|(at, _)| at);
        let judges = running().filter(|station| station.judges).map(Station::judge_at);
        let expiry = self.stations.iter().flat_map(|station| station.kernel.values().flatten().copied());
        let all = packet.into_iter().chain(timers).chain(judges).chain(expiry).chain(unread);
        all.min().map(|at| at.max(self.now))
    }

    fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }

    fn turn(&mut self) {
        self.expire();
        while let Some(Reverse((at, id, to))) = self.queue.peek().copied() {
            if at > self.now {
                break;
            }
            self.queue.pop();
            if let Some(delivery) = self.deliveries.remove(&id).filter(|_| !self.stations[to].dead) {
                self.stations[to].backlog.push_back(delivery);
            }
        }
        for index in 0..self.stations.len() {
            if !self.stations[index].runs() {
                continue;
            }
            if self.stations[index].judges && self.stations[index].judge_at() <= self.now {
                self.stations[index].judged_at = self.now;
                let verdict = self.stations[index].verdict.clone();
                self.judge(index, verdict);
            }
            let ears = self.read(index);
            let now = self.now;
            self.stations[index].node.handle_timeout(now, ears);
            self.drain(index);
            self.check(index, ears);
        }
    }

    /// Hands in what waits, as much as it reads in a turn.
    fn read(&mut self, index: usize) -> Ears {
        let limit = self.stations[index].reads.unwrap_or(usize::MAX);
        for _ in 0..limit {
            let Some(delivery) = self.stations[index].backlog.pop_front() else { return Ears::Drained };
            self.deliver(index, &delivery);
        }
        if self.stations[index].backlog.is_empty() { Ears::Drained } else { Ears::Behind }
    }

    /// What must hold after each turn, whatever the story.
    fn check(&mut self, index: usize, ears: Ears) {
        let now = self.now;
        let station = &mut self.stations[index];
        station.node.check_invariants().unwrap();
        let serves = station.node.status().instances.iter().any(|instance| instance.role == Role::Master);
        let role = station.node.status().instances.first().map(|instance| instance.role);
        assert!(station.kernel.is_empty() || serves, "node{index} holds as {role:?}\n{}", self.tale(40));
        let station = &mut self.stations[index];
        let due = ears == Ears::Drained && station.node.poll_timeout().is_some_and(|(at, _)| at <= now);
        station.spins = match station.spins {
            (at, count) if due && at == now => (now, count + 1),
            _ => (now, u32::from(due)),
        };
        let (spins, wake) = (station.spins.1, station.node.poll_timeout());
        assert!(spins <= SPINS_MAX, "node{index} is busy with {wake:?} at {now:?}\n{}", self.tale(40));
    }

    fn expire(&mut self) {
        for index in 0..self.stations.len() {
            let now = self.now;
            let before = self.stations[index].kernel.len();
            self.stations[index].kernel.retain(|_, until| until.is_none_or(|until| now < until));
            if self.stations[index].kernel.len() != before {
                self.count();
                self.schedule(now, index, Delivery::Kernel);
            }
        }
    }

    // ---- The network ----

    fn deliver(&mut self, to: usize, delivery: &Delivery) {
        match delivery {
            Delivery::Vrrp { source, destination, payload } => {
                let interface = eth0();
                let datagram = Datagram {
                    interface: &interface,
                    source: *source,
                    destination: *destination,
                    hop_limit: 255,
                    payload,
                };
                self.hand_in(to, Input::Datagram(datagram));
            }
            Delivery::Neighbor(frame) => self.hand_in(to, Input::Neighbor(frame.clone())),
            Delivery::Kernel => self.tell_addresses(to),
        }
    }

    pub(crate) fn hand_in(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.stations[index].node.handle_input(now, input);
        self.drain(index);
    }

    fn drain(&mut self, index: usize) {
        while let Some(output) = self.stations[index].node.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmit(index, &transmit),
                Output::Hold(hold) => self.hold(index, &hold),
                Output::Announce { addresses, .. } => {
                    self.note(index, Line::Announce);
                    for address in addresses {
                        self.neighbor(index, None, NeighborKind::Announcement { address });
                    }
                }
                Output::Ask(ask) => self.ask(index, &ask),
                Output::Judge { pace, .. } => {
                    self.note(index, Line::Paced(pace));
                    self.stations[index].pace = pace;
                    if pace == Pace::Fast {
                        self.stations[index].judged_at = Instant::ZERO;
                    }
                }
                Output::Report(journal) => self.note(index, Line::Event(journal.event)),
            }
        }
    }

    fn note(&mut self, index: usize, line: Line) {
        self.story.push((self.now, index, line));
    }

    fn transmit(&mut self, from: usize, transmit: &Transmit) {
        let mute = self.stations[from].mute;
        if !mute {
            self.note(from, Line::Sent(transmit.payloads[0][2]));
            for (destination, payload) in transmit.destinations.iter().zip(&transmit.payloads) {
                self.send_vrrp(from, transmit.source, *destination, payload);
            }
        }
        let carrier = Some(self.stations[from].plugged);
        let now = self.now;
        let result = if mute { Err("no buffer space available".to_owned()) } else { Ok(()) };
        self.stations[from]
            .node
            .handle_input(now, Input::Transmitted { instance: transmit.instance.clone(), result, carrier });
    }

    fn send_vrrp(&mut self, from: usize, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        let multicast = destination == group(Family::of(destination));
        for to in 0..self.stations.len() {
            let meant = to != from && (multicast || self.stations[to].ip == destination);
            if !meant || self.cut.contains(&(from, to)) || !self.connected(from, to) || self.loses() {
                continue;
            }
            self.send(to, Delivery::Vrrp { source, destination, payload: payload.to_vec() });
        }
    }

    fn hold(&mut self, index: usize, hold: &Hold) {
        self.note(index, Line::Hold(hold.addresses.clone()));
        let interval = self.stations[index].configured.advertise.as_duration();
        assert!(hold.addresses.is_empty() || hold.not_after == Some(self.now + interval), "R9: {:?}", hold.not_after);
        let until = match hold.lifetime {
            Lifetime::Forever => None,
            Lifetime::For(time) => Some(self.now + time + self.kernel_late),
        };
        let kernel = &mut self.stations[index].kernel;
        kernel.retain(|address, _| hold.addresses.contains(address) || !hold.configured.contains(address));
        kernel.extend(hold.addresses.iter().map(|address| (*address, until)));
        self.count();
        let now = self.now;
        self.stations[index].node.handle_input(now, Input::Held { instance: hold.instance.clone(), result: Ok(()) });
        self.schedule(now + Duration::from_micros(100), index, Delivery::Kernel);
    }

    fn ask(&mut self, from: usize, ask: &Ask) {
        if ask.source.is_none() {
            self.note(from, Line::Probed(ask.target, ask.to));
        }
        for to in 0..self.stations.len() {
            let asked = ask.to.is_none_or(|mac| mac == self.stations[to].mac);
            if to == from || !asked || !self.connected(from, to) || self.loses() {
                continue;
            }
            // A kernel answers whether or not its daemon lives.
            if self.stations[to].answers(ask.target) && !self.loses() {
                let mac = self.stations[to].mac;
                self.answer(mac, Some(to), from, ask);
            }
            if ask.to.is_none() {
                let kind = match ask.source {
                    None => NeighborKind::Probe { target: ask.target },
                    Some(sender) => NeighborKind::Request { sender, target: ask.target },
                };
                self.neighbor(from, Some(to), kind);
            }
        }
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if ask.to.is_none_or(|mac| mac == host.mac) && host.answers.contains(&ask.target) && host.left > 0 {
                host.left -= 1;
                let mac = host.mac;
                self.answer(mac, None, from, ask);
            }
        }
    }

    /// Over IPv6 whoever asks as nobody is answered to everybody (RFC 4861, 7.2.4).
    fn answer(&mut self, mac: MacAddr, from: Option<usize>, to: usize, ask: &Ask) {
        let address = ask.target;
        if Family::of(address) == Family::V6 && ask.source.is_none() {
            return self.frame(mac, from, None, NeighborKind::Announcement { address });
        }
        self.frame(mac, from, Some(to), NeighborKind::Reply { address });
    }

    fn neighbor(&mut self, from: usize, to: Option<usize>, kind: NeighborKind) {
        self.frame(self.stations[from].mac, Some(from), to, kind);
    }

    /// A frame of a station, or of somebody else, to one or to all.
    pub(crate) fn frame(&mut self, mac: MacAddr, from: Option<usize>, to: Option<usize>, kind: NeighborKind) {
        for receiver in 0..self.stations.len() {
            let connected = from.map_or(self.stations[receiver].is_on(), |from| self.connected(from, receiver));
            if Some(receiver) != from && to.is_none_or(|to| to == receiver) && connected && !self.loses() {
                let frame = NeighborFrame { interface: eth0(), kind, source_mac: mac, mac };
                self.send(receiver, Delivery::Neighbor(frame));
            }
        }
    }

    fn connected(&self, a: usize, b: usize) -> bool {
        self.stations[a].is_on() && self.stations[b].is_on()
    }

    fn loses(&mut self) -> bool {
        self.loss > 0 && self.random(100) < u64::from(self.loss)
    }

    fn send(&mut self, to: usize, delivery: Delivery) {
        let delay = Duration::from_micros(20 + self.random(180));
        self.schedule(self.now + delay, to, delivery);
    }

    fn schedule(&mut self, at: Instant, to: usize, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.insert(self.sequence, delivery);
        self.queue.push(Reverse((at, self.sequence, to)));
    }

    // ---- The kernel ----

    fn tell_link(&mut self, index: usize) {
        let station = &self.stations[index];
        if station.frozen || station.dead {
            return;
        }
        let mac = Some(station.mac);
        let input = match station.link {
            Some(link) => Input::Link(LinkSeen { name: eth0(), index: link, mac, up: true, carrier: station.plugged }),
            None => Input::LinkGone(eth0()),
        };
        self.hand_in(index, input);
    }

    fn tell_addresses(&mut self, index: usize) {
        if self.stations[index].frozen {
            return self.stations[index].backlog.push_back(Delivery::Kernel);
        }
        if self.stations[index].dead || self.stations[index].link.is_none() {
            return;
        }
        let station = &self.stations[index];
        let own = station.addressed.then(|| AddressSeen {
            address: IpNet::new(station.ip, if station.ip.is_ipv4() { 24 } else { 64 }).unwrap(),
            marked: false,
            usable: true,
            remaining: None,
        });
        let held = station.kernel.iter().map(|(address, until)| AddressSeen {
            address: *address,
            marked: true,
            usable: true,
            remaining: until.map(|until| until.saturating_since(self.now)),
        });
        let native = own.clone().filter(|_| station.native);
        let native = native.map(|own| AddressSeen { address: VIP.parse().unwrap(), ..own });
        let addresses = own.into_iter().chain(native).chain(held).collect();
        self.hand_in(index, Input::Addresses { interface: eth0(), addresses });
    }

    // ---- Counting holders ----

    fn reachable_holders(&self) -> usize {
        self.stations.iter().filter(|station| station.plugged && !station.kernel.is_empty()).count()
    }

    fn count(&mut self) {
        if self.reachable_holders() != self.stretch.0 {
            self.close_stretch();
            self.stretch = (self.reachable_holders(), self.now);
        }
    }

    fn close_stretch(&mut self) {
        let (holders, since) = self.stretch;
        let length = self.now.saturating_since(since);
        match holders {
            0 => {
                self.holders.nobody += length;
                self.holders.longest_nobody = self.holders.longest_nobody.max(length);
            }
            1 => (),
            _ => {
                self.holders.two += length;
                self.holders.longest_two = self.holders.longest_two.max(length);
            }
        }
        self.stretch.1 = self.now;
    }
}

impl Station {
    fn new(now: Instant, index: usize, ip: IpAddr, configured: Instance) -> Self {
        Self {
            node: Node::new(now, &config(configured.clone())),
            mac: MacAddr([2, 0, 0, 0, 0, u8::try_from(index).unwrap()]),
            ip,
            judges: !configured.policies.is_empty(),
            native: configured.priority.is_owner() && configured.addresses.contains(&VIP.parse().unwrap()),
            configured,
            kernel: BTreeMap::new(),
            frozen: false,
            backlog: VecDeque::new(),
            reads: None,
            mute: false,
            dead: false,
            powered: true,
            plugged: true,
            blocked: false,
            link: Some(2),
            addressed: true,
            spins: (now, 0),
            verdict: healthy(),
            observed_ok: true,
            pace: Pace::Normal,
            judged_at: Instant::ZERO,
        }
    }

    fn runs(&self) -> bool {
        !self.frozen && !self.dead
    }

    /// Its kernel is on the network, whatever its daemon does.
    fn is_on(&self) -> bool {
        self.plugged && self.powered && !self.blocked && self.link.is_some()
    }

    fn answers(&self, target: IpAddr) -> bool {
        (self.ip == target && self.addressed)
            || (self.native && VIP.parse::<IpNet>().unwrap().addr() == target)
            || self.kernel.keys().any(|address| address.addr() == target)
    }

    fn judge_at(&self) -> Instant {
        let interval = match self.pace {
            Pace::Normal => Duration::from_secs(1),
            Pace::Fast => Duration::from_millis(200),
        };
        self.judged_at + interval
    }
}
