//! A LAN of nodes in virtual time: one seed reproduces everything. The kernel's part (addresses with lifetimes, answering
//! ARP) is played here; the nodes are the real ones.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ha::{
    config::{Auth, Claim, Config, Control, Instance, Lease, OnConflict, Preempt, Preference, Protocol, Transport},
    node::{
        AddressSeen, Ask, Command, Datagram, Ears, Event, Hold, Input, Lifetime, LinkSeen, NeighborFrame, Node, Output,
        Pace, Role, Transmit,
    },
    policy::{Report, Verdict},
    wire::{AdverInterval, NeighborKind, Priority, Vrid},
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
    kernel: BTreeMap<IpNet, Option<Instant>>,
    frozen: bool,
    backlog: Vec<Delivery>,
    dead: bool,
    /// It owns the virtual address (priority 255): it is there by itself, and stays.
    native: bool,
    plugged: bool,
    verdict: Verdict,
    pub(crate) observed_ok: bool,
    judges: bool,
    pace: Pace,
    judged_at: Instant,
}

#[derive(Clone, Debug)]
enum Delivery {
    Vrrp { source: IpAddr, destination: IpAddr, payload: Vec<u8> },
    Neighbor(NeighborFrame),
    Kernel,
}

pub(crate) struct Lan {
    pub(crate) now: Instant,
    pub(crate) stations: Vec<Station>,
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

impl Lan {
    /// Stations with these priorities, all plugged, each the other's peer, without policies.
    pub(crate) fn new(seed: u64, priorities: &[u8]) -> Self {
        Self::with(seed, priorities, |_, _| ())
    }

    /// The same, with a change to each configuration.
    pub(crate) fn with(seed: u64, priorities: &[u8], change: impl Fn(usize, &mut Instance)) -> Self {
        let all = addresses(priorities.len());
        let mut lan = Self {
            now: Instant::from_epoch(Duration::from_secs(1000)),
            stations: Vec::new(),
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            loss: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            story: Vec::new(),
            holders: Holders::default(),
            stretch: (0, Instant::from_epoch(Duration::from_secs(1000))),
            kernel_late: Duration::from_millis(20),
        };
        for (index, priority) in priorities.iter().enumerate() {
            let peers: Vec<IpAddr> = all.iter().copied().filter(|ip| *ip != all[index]).collect();
            let mut instance = instance(*priority, &peers);
            change(index, &mut instance);
            let native = instance.priority.is_owner();
            let judges = !instance.policies.is_empty();
            let mac = MacAddr([2, 0, 0, 0, 0, u8::try_from(index).unwrap()]);
            let node = Node::new(lan.now, &config(instance));
            lan.stations.push(Station {
                node,
                mac,
                ip: all[index],
                kernel: BTreeMap::new(),
                frozen: false,
                backlog: Vec::new(),
                dead: false,
                native,
                plugged: true,
                verdict: healthy(),
                observed_ok: true,
                judges,
                pace: Pace::Normal,
                judged_at: Instant::ZERO,
            });
            lan.tell_link(index);
            lan.tell_addresses(index);
        }
        lan
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

    /// The whole machine is gone at once, with its addresses.
    pub(crate) fn power_off(&mut self, index: usize) {
        self.stations[index].dead = true;
        self.stations[index].kernel.clear();
        self.count();
    }

    /// Everything of the daemon is killed, the kernel lives.
    pub(crate) fn kill(&mut self, index: usize) {
        self.stations[index].dead = true;
    }

    pub(crate) fn freeze(&mut self, index: usize) {
        self.note(index, Line::Done("frozen"));
        self.stations[index].frozen = true;
    }

    pub(crate) fn thaw(&mut self, index: usize) {
        self.note(index, Line::Done("thawed"));
        self.stations[index].frozen = false;
        let backlog = std::mem::take(&mut self.stations[index].backlog);
        for delivery in backlog {
            self.deliver(index, &delivery);
        }
    }

    pub(crate) fn plug(&mut self, index: usize, plugged: bool) {
        self.stations[index].plugged = plugged;
        self.tell_link(index);
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
        self.hand_in(index, Input::Reload(Arc::new(config(instance))));
    }

    pub(crate) fn delete_address(&mut self, index: usize) {
        self.note(index, Line::Done("address deleted"));
        self.stations[index].kernel.clear();
        self.count();
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
        let adv = ha::wire::Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec![VIP.parse::<IpNet>().unwrap().addr()],
        };
        let payload = ha::wire::encode_v2(&adv, Some(b"1111\0\0\0\0"));
        let source = addresses(2)[1];
        self.deliver(index, &Delivery::Vrrp { source, destination: ha::wire::group(Family::V4), payload });
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
        let timers =
            self.stations.iter().filter(|station| station.runs()).filter_map(|station| station.node.poll_timeout());
        let judges = self.stations.iter().filter(|station| station.runs() && station.judges).map(Station::judge_at);
        let expiry = self.stations.iter().flat_map(|station| station.kernel.values().flatten().copied());
        packet.into_iter().chain(timers.map(|(at, _)| at)).chain(judges).chain(expiry).min().map(|at| at.max(self.now))
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
            if let Some(delivery) = self.deliveries.remove(&id) {
                if self.stations[to].frozen {
                    self.stations[to].backlog.push(delivery);
                } else if !self.stations[to].dead {
                    self.deliver(to, &delivery);
                }
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
            let now = self.now;
            self.stations[index].node.handle_timeout(now, Ears::Drained);
            self.drain(index);
            self.stations[index].node.check_invariants().unwrap();
        }
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
        self.note(from, Line::Sent(transmit.payloads[0][2]));
        for to in 0..self.stations.len() {
            if to == from || self.cut.contains(&(from, to)) || !self.connected(from, to) || self.loses() {
                continue;
            }
            let delivery = Delivery::Vrrp {
                source: transmit.source,
                destination: transmit.destinations[0],
                payload: transmit.payloads[0].clone(),
            };
            self.send(to, delivery);
        }
        let carrier = Some(self.stations[from].plugged);
        let now = self.now;
        self.stations[from]
            .node
            .handle_input(now, Input::Transmitted { instance: transmit.instance.clone(), result: Ok(()), carrier });
    }

    fn hold(&mut self, index: usize, hold: &Hold) {
        self.note(index, Line::Hold(hold.addresses.clone()));
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
        for to in 0..self.stations.len() {
            let asked = ask.to.is_none_or(|mac| mac == self.stations[to].mac);
            if to == from || !asked || !self.connected(from, to) || self.loses() {
                continue;
            }
            let has = self.stations[to].ip == ask.target
                || (self.stations[to].native && VIP.parse::<IpNet>().unwrap().addr() == ask.target)
                || self.stations[to].kernel.keys().any(|address| address.addr() == ask.target);
            // A kernel answers whether or not its daemon lives.
            if has && !self.loses() {
                self.neighbor(to, Some(from), NeighborKind::Reply { address: ask.target });
            }
            if ask.to.is_none() {
                let kind = match ask.source {
                    None => NeighborKind::Probe { target: ask.target },
                    Some(sender) => NeighborKind::Request { sender, target: ask.target },
                };
                self.neighbor(from, Some(to), kind);
            }
        }
    }

    fn neighbor(&mut self, from: usize, to: Option<usize>, kind: NeighborKind) {
        let mac = self.stations[from].mac;
        for receiver in 0..self.stations.len() {
            if receiver != from && to.is_none_or(|to| to == receiver) && self.connected(from, receiver) && !self.loses()
            {
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
        let link = LinkSeen { name: eth0(), index: 2, mac: Some(station.mac), up: true, carrier: station.plugged };
        if !station.frozen && !station.dead {
            self.hand_in(index, Input::Link(link));
        }
    }

    fn tell_addresses(&mut self, index: usize) {
        if self.stations[index].frozen {
            return self.stations[index].backlog.push(Delivery::Kernel);
        }
        if self.stations[index].dead {
            return;
        }
        let station = &self.stations[index];
        let own =
            AddressSeen { address: IpNet::new(station.ip, 24).unwrap(), marked: false, usable: true, remaining: None };
        let held = station.kernel.iter().map(|(address, until)| AddressSeen {
            address: *address,
            marked: true,
            usable: true,
            remaining: until.map(|until| until.saturating_since(self.now)),
        });
        let native = station.native.then(|| AddressSeen { address: VIP.parse().unwrap(), ..own });
        let addresses = std::iter::once(own).chain(native).chain(held).collect();
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
    fn runs(&self) -> bool {
        !self.frozen && !self.dead
    }

    /// Its kernel answers: a powered-off machine has no addresses left, and its cable does not matter.
    fn is_on(&self) -> bool {
        self.plugged && !(self.dead && self.kernel.is_empty())
    }

    fn judge_at(&self) -> Instant {
        let interval = match self.pace {
            Pace::Normal => Duration::from_secs(1),
            Pace::Fast => Duration::from_millis(200),
        };
        self.judged_at + interval
    }
}
