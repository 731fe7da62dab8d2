//! Two machines on two wires in virtual time, each with two virtual routers: what the LAN of one router cannot show. The
//! kernels are played, the nodes are real.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ha::{
    config::{Config, Group, Instance},
    node::{
        AddressSeen, Ask, Command, Datagram, Ears, Event, Hold, Input, Lifetime, LinkSeen, NeighborFrame, Node, Output,
        Role,
    },
    policy::{FaultCause, Report, Verdict},
    wire::{NeighborKind, Vrid},
    words::{Instant, InterfaceName, MacAddr},
};
use ipnet::IpNet;

use crate::lan;

/// How long the members of a group may differ: the longest time of handing over, and what follows from it.
const MARGIN: Duration = Duration::from_millis(1150);
/// How long somebody who starts may take to join.
const JOINING: Duration = Duration::from_secs(9);

#[derive(Clone, Debug)]
enum Delivery {
    Vrrp { wire: usize, source: IpAddr, destination: IpAddr, payload: Vec<u8> },
    Neighbor(NeighborFrame),
    Kernel(usize),
}

pub(crate) struct Machine {
    pub(crate) node: Node,
    pub(crate) config: Config,
    kernel: [BTreeMap<IpNet, Option<Instant>>; 2],
    plugged: [bool; 2],
    frozen: bool,
    dead: bool,
    backlog: VecDeque<Delivery>,
    verdicts: BTreeMap<String, Verdict>,
    judged_at: Instant,
    started_at: Instant,
    /// Since when its members have differed.
    differ_since: Option<Instant>,
    pub(crate) longest_difference: Duration,
}

pub(crate) struct Wires {
    pub(crate) now: Instant,
    pub(crate) machines: Vec<Machine>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    deliveries: BTreeMap<u64, Delivery>,
    sequence: u64,
    cut: Vec<(usize, usize, usize)>,
    pub(crate) loss: u64,
    random: u64,
    pub(crate) story: Vec<(Instant, usize, String)>,
    /// Priorities on the wire: machine, virtual router, priority.
    pub(crate) sent: Vec<(Instant, usize, u8, u8)>,
    last_payloads: [Vec<u8>; 2],
    /// Both wires are one network: what goes to a group arrives on either.
    pub(crate) one_network: bool,
    /// Machines that cannot send an advertisement on a wire.
    pub(crate) mute: Vec<(usize, usize)>,
    /// Advertisements of this virtual router do not arrive.
    pub(crate) lost: Option<u8>,
    /// On these wires the machines are apart: both have a carrier, and nothing passes.
    pub(crate) apart: Vec<usize>,
    /// Each machine's members form a group, and are held to it.
    pub(crate) together: bool,
}

pub(crate) fn interface(wire: usize) -> InterfaceName {
    format!("eth{wire}").parse().unwrap()
}

pub(crate) fn own(machine: usize, wire: usize) -> IpAddr {
    [192, 168, u8::try_from(wire).unwrap(), 20 + u8::try_from(machine).unwrap()].into()
}

fn mac(machine: usize, wire: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, u8::try_from(wire).unwrap(), u8::try_from(machine).unwrap()])
}

/// `VI_1` and `VI_2` of a machine, in group `G1`; each on a wire of its own, or both on the first.
pub(crate) fn config(machine: usize, priority: u8, wires: [usize; 2]) -> Config {
    let member = |number: u8, wire: usize| Instance {
        name: format!("VI_{number}"),
        interface: interface(wire),
        vrid: Vrid::new(50 + number).unwrap(),
        addresses: vec![format!("192.168.{wire}.{}/24", 59 + number).parse().unwrap()],
        ..lan::instance(priority, &[own(1 - machine, wire)])
    };
    let mut config = lan::config(member(1, wires[0]));
    config.instances.push(member(2, wires[1]));
    config.groups = vec![Group {
        name: "G1".to_owned(),
        instances: vec!["VI_1".to_owned(), "VI_2".to_owned()],
        notify: ha::config::Notify::default(),
    }];
    config
}

impl Wires {
    pub(crate) fn new(seed: u64, configs: [Config; 2]) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1000));
        let machine = |config: Config| Machine {
            node: Node::new(now, &config),
            config,
            kernel: [BTreeMap::new(), BTreeMap::new()],
            plugged: [true; 2],
            frozen: false,
            dead: false,
            backlog: VecDeque::new(),
            verdicts: BTreeMap::new(),
            judged_at: now,
            started_at: now,
            differ_since: None,
            longest_difference: Duration::ZERO,
        };
        let mut wires = Self {
            now,
            machines: configs.map(machine).into(),
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            sequence: 0,
            cut: Vec::new(),
            loss: 0,
            random: (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            story: Vec::new(),
            sent: Vec::new(),
            last_payloads: [vec![], vec![]],
            one_network: false,
            mute: Vec::new(),
            lost: None,
            apart: Vec::new(),
            together: true,
        };
        for index in 0..2 {
            wires.tell_kernel(index);
        }
        wires
    }

    pub(crate) fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below
    }

    // ---- What is asked ----

    pub(crate) fn roles(&self, index: usize) -> [Role; 2] {
        let status = self.machines[index].node.status();
        let role = |name: &str| status.instances.iter().find(|it| it.name == name).map(|it| it.role);
        let [one, two] = [role("VI_1"), role("VI_2")];
        [one.or(two).unwrap(), two.or(one).unwrap()]
    }

    /// Who holds an address of the first virtual router.
    pub(crate) fn holders(&self) -> Vec<usize> {
        let holds = |machine: &Machine| !machine.kernel[0].is_empty();
        (0..self.machines.len()).filter(|index| holds(&self.machines[*index])).collect()
    }

    /// Who holds the address of each virtual router.
    pub(crate) fn holding(&self) -> [Vec<usize>; 2] {
        [0, 1].map(|member| {
            let holds = |machine: &Machine| {
                let addresses = &machine.config.instances[member].addresses;
                machine.kernel.iter().any(|kernel| kernel.keys().any(|address| addresses.contains(address)))
            };
            (0..self.machines.len()).filter(|index| holds(&self.machines[*index])).collect()
        })
    }

    pub(crate) fn condition(&self, index: usize, member: usize, name: &str) -> Option<String> {
        let conditions = self.machines[index].node.status().instances[member].conditions.clone();
        conditions.into_iter().find(|condition| condition.name == name).map(|condition| condition.text)
    }

    /// The last advertisement that a machine sent, as it is on the wire.
    pub(crate) fn last_payload(&self, index: usize) -> Vec<u8> {
        self.last_payloads[index].clone()
    }

    pub(crate) fn tale(&self, lines: usize) -> String {
        let skip = self.story.len().saturating_sub(lines);
        self.story.iter().skip(skip).map(|(at, index, line)| format!("{at:?} node{index} {line}\n")).collect()
    }

    // ---- What is done ----

    pub(crate) fn plug(&mut self, index: usize, wire: usize, plugged: bool) {
        self.note(index, format!("eth{wire} plugged: {plugged}"));
        self.machines[index].plugged[wire] = plugged;
        self.tell(index, Delivery::Kernel(wire));
    }

    /// The kernel knows, and its word has not come yet.
    pub(crate) fn pull_unseen(&mut self, index: usize, wire: usize) {
        self.note(index, format!("eth{wire} is pulled, and it was not told"));
        self.machines[index].plugged[wire] = false;
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, wire: usize) {
        self.note(from, format!("cut to node{to} on eth{wire}"));
        self.cut.push((from, to, wire));
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn freeze(&mut self, index: usize) {
        self.note(index, "frozen".to_owned());
        self.machines[index].frozen = true;
    }

    pub(crate) fn thaw(&mut self, index: usize) {
        self.note(index, "thawed".to_owned());
        self.machines[index].frozen = false;
        self.machines[index].differ_since = None;
        self.machines[index].started_at = self.now;
        self.read(index);
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.note(index, "killed".to_owned());
        self.machines[index].dead = true;
    }

    pub(crate) fn start_if_dead(&mut self, index: usize) {
        if self.machines[index].dead {
            self.note(index, "started".to_owned());
            let machine = &mut self.machines[index];
            machine.node = Node::new(self.now, &machine.config);
            (machine.dead, machine.frozen, machine.started_at) = (false, false, self.now);
            machine.backlog.clear();
            self.tell_kernel(index);
        }
    }

    pub(crate) fn delete_address(&mut self, index: usize, wire: usize) {
        self.note(index, format!("addresses of eth{wire} deleted"));
        self.machines[index].kernel[wire].clear();
        self.tell(index, Delivery::Kernel(wire));
    }

    pub(crate) fn set_policy(&mut self, index: usize, member: &str, ok: bool) {
        self.note(index, format!("{member} is well: {ok}"));
        let broken = Verdict::Fault { why: "the web is broken".to_owned(), cause: FaultCause::Rules };
        let well = Verdict::Healthy { delta: 0, note: String::new() };
        self.set_verdict(index, member, if ok { well } else { broken });
    }

    pub(crate) fn set_verdict(&mut self, index: usize, member: &str, verdict: Verdict) {
        self.machines[index].verdicts.insert(member.to_owned(), verdict);
    }

    pub(crate) fn stop(&mut self, index: usize) {
        self.hand_in(index, Input::Command(Command::Stop));
    }

    pub(crate) fn reload(&mut self, index: usize, config: Config) {
        self.machines[index].config = config.clone();
        self.machines[index].started_at = self.now;
        self.hand_in(index, Input::Reload(Arc::new(config)));
    }

    // ---- Time ----

    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.next_moment().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.turn();
        }
        self.now = end;
    }

    fn next_moment(&self) -> Option<Instant> {
        let packet = self.queue.peek().map(|Reverse((at, _, _))| *at);
        let running = || self.machines.iter().filter(|machine| !machine.dead && !machine.frozen);
        let timers = running().filter_map(|machine| machine.node.poll_timeout()).map(|(at, _)| at);
        let judges = running().filter(|machine| !machine.verdicts.is_empty()).map(Machine::judge_at);
        let leases = self.machines.iter().flat_map(|machine| &machine.kernel);
        let leases = leases.flat_map(|kernel| kernel.values().flatten().copied());
        packet.into_iter().chain(timers).chain(judges).chain(leases).min().map(|at| at.max(self.now))
    }

    fn turn(&mut self) {
        self.expire();
        while let Some(Reverse((at, id, to))) = self.queue.peek().copied().filter(|Reverse((at, ..))| *at <= self.now) {
            debug_assert!(at <= self.now);
            self.queue.pop();
            if let Some(delivery) = self.deliveries.remove(&id) {
                self.tell(to, delivery);
            }
        }
        for index in 0..self.machines.len() {
            if self.machines[index].dead || self.machines[index].frozen {
                continue;
            }
            self.judge(index);
            let now = self.now;
            self.machines[index].node.handle_timeout(now, Ears::Drained);
            self.drain(index);
            self.check(index);
        }
    }

    fn expire(&mut self) {
        for index in 0..self.machines.len() {
            for wire in 0..2 {
                let now = self.now;
                let kernel = &mut self.machines[index].kernel[wire];
                let before = kernel.len();
                kernel.retain(|_, until| until.is_none_or(|until| now < until));
                if kernel.len() != before {
                    self.note(index, format!("the lease on eth{wire} has run out"));
                    self.schedule(now, index, Delivery::Kernel(wire));
                }
            }
        }
    }

    fn judge(&mut self, index: usize) {
        let now = self.now;
        if self.machines[index].judge_at() > now {
            return;
        }
        self.machines[index].judged_at = now;
        for (member, verdict) in self.machines[index].verdicts.clone() {
            let report = Report {
                policy: "check_local".to_owned(),
                generation: 1,
                started_at: now,
                elapsed: Duration::ZERO,
                followed_within: None,
                observed_ok: matches!(verdict, Verdict::Healthy { .. }),
                verdict,
                rules: vec![],
                may_take_over: None,
                error: None,
            };
            self.hand_in(index, Input::Judged { instance: member, report });
        }
    }

    /// What must hold after each turn: a machine's members lead together and follow together.
    fn check(&mut self, index: usize) {
        self.machines[index].node.check_invariants().unwrap();
        let [one, two] = self.roles(index);
        let machine = &mut self.machines[index];
        let since = if one == two { None } else { machine.differ_since.or(Some(self.now)) };
        machine.differ_since = since;
        let Some(since) = since else { return };
        let joins = self.now < machine.started_at + JOINING;
        let difference = self.now.saturating_since(since);
        machine.longest_difference = machine.longest_difference.max(difference);
        let fine = joins || !self.together || difference <= MARGIN;
        assert!(fine, "node{index} is {one} and {two} for {difference:?}\n{}", self.tale(60));
    }

    // ---- Packets and kernels ----

    fn tell_kernel(&mut self, index: usize) {
        for wire in 0..2 {
            self.tell(index, Delivery::Kernel(wire));
        }
    }

    fn tell(&mut self, index: usize, delivery: Delivery) {
        if self.machines[index].dead {
            return;
        }
        self.machines[index].backlog.push_back(delivery);
        if !self.machines[index].frozen {
            self.read(index);
        }
    }

    fn read(&mut self, index: usize) {
        while let Some(delivery) = self.machines[index].backlog.pop_front() {
            match delivery {
                Delivery::Vrrp { wire, source, destination, payload } => {
                    let datagram = Datagram {
                        interface: &interface(wire),
                        source,
                        destination,
                        hop_limit: 255,
                        payload: &payload,
                    };
                    self.hand_in(index, Input::Datagram(datagram));
                }
                Delivery::Neighbor(frame) => self.hand_in(index, Input::Neighbor(frame)),
                Delivery::Kernel(wire) => self.see_kernel(index, wire),
            }
        }
    }

    fn see_kernel(&mut self, index: usize, wire: usize) {
        let machine = &self.machines[index];
        let link = LinkSeen {
            name: interface(wire),
            index: 2 + u32::try_from(wire).unwrap(),
            mac: Some(mac(index, wire)),
            up: true,
            carrier: machine.plugged[wire],
            port_of: None,
        };
        let address = IpNet::new(own(index, wire), 24).unwrap();
        let own = AddressSeen { address, marked: false, usable: true, remaining: None };
        let held = machine.kernel[wire].iter().map(|(address, until)| AddressSeen {
            address: *address,
            marked: true,
            usable: true,
            remaining: until.map(|until| until.saturating_since(self.now)),
        });
        let addresses = std::iter::once(own).chain(held).collect();
        self.hand_in(index, Input::Link(link));
        self.hand_in(index, Input::Addresses { interface: interface(wire), addresses });
    }

    pub(crate) fn hand_in(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.machines[index].node.handle_input(now, input);
        self.drain(index);
    }

    fn drain(&mut self, index: usize) {
        while let Some(output) = self.machines[index].node.poll_output() {
            match output {
                Output::Transmit(transmit) => {
                    let wire = wire(&transmit.interface);
                    let payload = &transmit.payloads[0];
                    self.sent.push((self.now, index, payload[1], payload[2]));
                    self.note(index, format!("sends {} for {}", payload[2], transmit.instance));
                    self.last_payloads[index].clone_from(payload);
                    let mute = self.mute.contains(&(index, wire));
                    for to in (0..self.machines.len()).filter(|to| *to != index) {
                        let lost = mute || self.lost == Some(payload[1]);
                        if !lost
                            && self.connected(index, to, wire)
                            && !self.cut.contains(&(index, to, wire))
                            && !self.loses()
                        {
                            let (source, destination) = (transmit.source, transmit.destinations[0]);
                            let both = self.one_network && destination.is_multicast();
                            for wire in if both { vec![wire, 1 - wire] } else { vec![wire] } {
                                self.send(to, Delivery::Vrrp { wire, source, destination, payload: payload.clone() });
                            }
                        }
                    }
                    let carrier = Some(self.machines[index].plugged[wire]);
                    let (now, instance, path) = (self.now, transmit.instance, transmit.path);
                    let result = if mute { Err("no buffer space available".to_owned()) } else { Ok(()) };
                    let input = Input::Transmitted { instance, path, result, carrier };
                    self.machines[index].node.handle_input(now, input);
                }
                Output::Hold(hold) => self.hold(index, &hold),
                Output::Announce { interface, addresses, .. } => {
                    for address in addresses {
                        self.frame(index, None, wire(&interface), NeighborKind::Announcement { address });
                    }
                }
                Output::Ask(ask) => self.ask(index, &ask),
                Output::Report(journal) => match journal.event {
                    Event::Transition { from, to, reason } => {
                        self.note(index, format!("{}: {from} → {to}, {reason}", journal.instance));
                    }
                    other @ (Event::LowerHeard { .. }
                    | Event::Priority { .. }
                    | Event::Raised(_)
                    | Event::Cleared(_)
                    | Event::Note(_)) => self.note(index, format!("{}: {other:?}", journal.instance)),
                },
                Output::Routes(_)
                | Output::Renamed(_)
                | Output::Judge { .. }
                | Output::Witness(_)
                | Output::BeforeRelease { .. } => (),
            }
        }
    }

    fn hold(&mut self, index: usize, hold: &Hold) {
        let wire = wire(&hold.interface);
        let until = match hold.lifetime {
            Lifetime::Forever => None,
            Lifetime::For(time) => Some(self.now + time + Duration::from_millis(20)),
        };
        let kernel = &mut self.machines[index].kernel[wire];
        kernel.retain(|address, _| hold.addresses.contains(address) || !hold.configured.contains(address));
        kernel.extend(hold.addresses.iter().map(|address| (*address, until)));
        let now = self.now;
        let input = Input::Held { instance: hold.instance.clone(), result: Ok(()) };
        self.machines[index].node.handle_input(now, input);
        self.schedule(now + Duration::from_micros(100), index, Delivery::Kernel(wire));
    }

    fn ask(&mut self, index: usize, ask: &Ask) {
        let wire = wire(&ask.interface);
        for to in (0..self.machines.len()).filter(|to| *to != index) {
            let asked = ask.to.is_none_or(|asked| asked == mac(to, wire));
            if !asked || !self.connected(index, to, wire) || self.loses() {
                continue;
            }
            let held = self.machines[to].kernel[wire].keys().any(|address| address.addr() == ask.target);
            if (held || own(to, wire) == ask.target) && !self.loses() {
                self.frame(to, Some(index), wire, NeighborKind::Reply { address: ask.target });
            }
            if ask.to.is_none() || ask.source.is_some() {
                let kind = match ask.source {
                    None => NeighborKind::Probe { target: ask.target },
                    Some(sender) => NeighborKind::Request { sender, target: ask.target },
                };
                self.frame(index, Some(to), wire, kind);
            }
        }
    }

    fn frame(&mut self, from: usize, to: Option<usize>, wire: usize, kind: NeighborKind) {
        let receivers = (0..self.machines.len()).filter(|other| *other != from && to.is_none_or(|to| to == *other));
        for receiver in receivers.collect::<Vec<_>>() {
            if self.connected(from, receiver, wire) && !self.loses() {
                let mac = mac(from, wire);
                let frame = NeighborFrame { interface: interface(wire), kind, source_mac: mac, mac };
                self.send(receiver, Delivery::Neighbor(frame));
            }
        }
    }

    fn connected(&self, a: usize, b: usize, wire: usize) -> bool {
        self.machines[a].plugged[wire] && self.machines[b].plugged[wire] && !self.apart.contains(&wire)
    }

    fn loses(&mut self) -> bool {
        self.loss > 0 && self.random(100) < self.loss
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

    fn note(&mut self, index: usize, line: String) {
        self.story.push((self.now, index, line));
    }
}

impl Machine {
    fn judge_at(&self) -> Instant {
        self.judged_at + Duration::from_millis(200)
    }
}

fn wire(interface: &InterfaceName) -> usize {
    usize::from(interface.to_string() == "eth1")
}
