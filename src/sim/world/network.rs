//! Packets: who hears whom, and what becomes of what a node wants.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{Delivery, World, port_of};
use crate::{
    node::{Ask, Command, Datagram, Event, Input, NeighborFrame, Output, ReleaseHook, Role, Transmit},
    sim::{log::What, mutation::Mutation},
    wire::NeighborKind,
    words::{Family, MacAddr},
};

impl World {
    /// Something arrives at a machine; read in its next turn.
    pub(super) fn tell(&mut self, index: usize, delivery: Delivery) {
        if self.machines[index].alive && self.machines[index].powered {
            self.machines[index].backlog.push_back(delivery);
        }
    }

    pub(super) fn deliver(&mut self, to: usize, delivery: Delivery) {
        if matches!(delivery, Delivery::Vrrp { .. } | Delivery::Neighbor(_)) {
            self.promised.heard(self.now, to);
        }
        match delivery {
            Delivery::Vrrp { .. } if self.mutation == Some(Mutation::Deaf) => {}
            Delivery::Vrrp { payload, .. }
                if self.mutation == Some(Mutation::DeafToResignations) && payload.get(2) == Some(&0) => {}
            Delivery::Vrrp { .. } | Delivery::Neighbor(_) if self.overlooks(to, &delivery) => {}
            Delivery::Vrrp { port, source, destination, payload } => {
                let interface = self.machines[to].ports[port].interface.clone();
                let source = self.believed(to, port, source, &payload);
                let datagram =
                    Datagram { interface: &interface, source, destination, hop_limit: 255, payload: &payload };
                self.hand_in(to, Input::Datagram(datagram));
            }
            Delivery::Neighbor(frame) => self.hand_in(to, Input::Neighbor(frame)),
            Delivery::Link(port) => self.tell_link(to, port),
            Delivery::Addresses(port) => self.tell_addresses(to, port),
            Delivery::Reload => self.load(to),
            Delivery::Stop => self.hand_in(to, Input::Command(Command::Stop)),
        }
    }

    /// A master that is made not to see who is there beside it.
    fn overlooks(&self, to: usize, delivery: &Delivery) -> bool {
        let machine = &self.machines[to];
        let mut led = machine.config.instances.iter().filter(|instance| machine.role(&instance.name) == Role::Master);
        match (self.mutation, delivery) {
            (Some(Mutation::NeverYields), Delivery::Vrrp { payload, .. }) => led.any(|instance| {
                let bid = machine.bids.get(&instance.name).copied().unwrap_or_default();
                payload.get(1) == Some(&instance.vrid.get()) && payload.get(2) > Some(&bid)
            }),
            (Some(Mutation::BlindToConflicts), Delivery::Neighbor(_)) => led.next().is_some(),
            _ => false,
        }
    }

    /// Who an advertisement is taken to be from.
    fn believed(&self, to: usize, port: usize, source: IpAddr, payload: &[u8]) -> IpAddr {
        let resigns = payload.get(2) == Some(&0);
        if self.mutation != Some(Mutation::PriorityZeroFromAnybody) || !resigns {
            return source;
        }
        let wire = self.machines[to].ports[port].wire;
        let holds = |index: &usize| {
            *index != to && self.machines[*index].ports.iter().any(|port| port.wire == wire && !port.held.is_empty())
        };
        let holder = (0..self.machines.len()).find(holds);
        holder.and_then(|holder| self.own_on(holder, wire, Family::of(source))).unwrap_or(source)
    }

    fn own_on(&self, index: usize, wire: usize, family: Family) -> Option<IpAddr> {
        let ports = self.machines[index].ports.iter().filter(|port| port.wire == wire);
        ports.flat_map(|port| &port.own).map(ipnet::IpNet::addr).find(|own| Family::of(*own) == family)
    }

    pub(super) fn hand_in(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.machines[index].handle_input(now, input);
        self.drain(index);
    }

    pub(super) fn drain(&mut self, index: usize) {
        while let Some(output) = self.machines[index].poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmit(index, transmit),
                Output::Hold(hold) => self.hold(index, &hold),
                Output::Announce { instance, interface, mac, addresses } => {
                    let now = self.now;
                    self.machines[index].announced_at.insert(instance.clone(), now);
                    let Some(port) = port_of(&self.machines[index], &interface) else { continue };
                    if self.mutation == Some(Mutation::NoAnnouncement) {
                        self.machines[index].announced_at.remove(&instance);
                        continue;
                    }
                    for address in addresses {
                        self.frame_as(index, port, mac, None, NeighborKind::Announcement { address });
                    }
                }
                Output::Ask(ask) => self.ask(index, &ask),
                Output::Routes(_) => {}
                Output::Renamed(renames) => self.machines[index].rename(&renames),
                Output::Witness(wish) => {
                    let (now, witnessed) = (self.now, self.machines[index].witnessed());
                    self.machines[index].asking.want(now, wish, witnessed);
                }
                Output::Judge { instance, pace } => self.pace(index, &instance, pace),
                Output::BeforeRelease { instance, asked_at, .. } => {
                    let now = self.now;
                    let release = ReleaseHook::Finished { asked_at };
                    self.machines[index].handle_input(now, Input::Hooks { instance, release });
                }
                Output::Report(journal) => self.report(index, &journal.instance, journal.event),
            }
        }
    }

    fn report(&mut self, index: usize, instance: &str, event: Event) {
        let leads = matches!(event, Event::Transition { to: Role::Master, .. });
        let what = match event {
            Event::Transition { from, to, reason } => {
                self.machines[index].roles.insert(instance.to_owned(), to);
                What::Role { from, to, why: reason }
            }
            Event::Raised(condition) => What::Raised { name: condition.name, text: condition.text },
            Event::Cleared(condition) => What::Cleared { name: condition.name },
            Event::Priority { from, to } => What::Bids { from: from.get(), to: to.get() },
            Event::LowerHeard { source, priority } => What::LowerHeard { source, priority },
            Event::Note(text) => What::Note(text),
        };
        self.note(index, instance, what);
        if leads {
            self.check_leads(index, instance);
        }
    }

    pub(super) fn transmit(&mut self, from: usize, transmit: Transmit) {
        let mute = self.machines[from].mute;
        let port = port_of(&self.machines[from], &transmit.interface);
        let carrier = port.map(|port| self.machines[from].ports[port].plugged);
        if let Some(port) = port.filter(|_| !mute) {
            let now = self.now;
            let priority = transmit.payloads.first().and_then(|payload| payload.get(2)).copied().unwrap_or_default();
            self.machines[from].sent_at.insert(transmit.instance.clone(), now);
            self.machines[from].bids.insert(transmit.instance.clone(), priority);
            if let Some(instance) = self.machines[from].instance(&transmit.instance).filter(|_| priority > 0) {
                self.promised.spoke(now, from, instance);
            }
            self.note(from, &transmit.instance, What::Sent { priority });
            for (destination, payload) in transmit.destinations.iter().zip(transmit.payloads) {
                self.send_vrrp(from, port, transmit.source, *destination, &payload.into());
            }
        }
        let failed = mute && self.mutation != Some(Mutation::RenewBeforeSend);
        let result = if failed { Err("no buffer space available".to_owned()) } else { Ok(()) };
        let now = self.now;
        let input = Input::Transmitted { instance: transmit.instance, path: transmit.path, result, carrier };
        self.machines[from].handle_input(now, input);
    }

    pub(super) fn send_vrrp(
        &mut self,
        from: usize,
        port: usize,
        source: IpAddr,
        destination: IpAddr,
        payload: &Arc<[u8]>,
    ) {
        for (to, there) in self.reached(from, port) {
            let meant = destination.is_multicast()
                || self.machines[to].ports[there].own.iter().any(|own| own.addr() == destination);
            if meant && !self.air.filtered.contains(&(from, to)) && !self.loses() {
                let payload = Arc::clone(payload);
                self.send(to, Delivery::Vrrp { port: there, source, destination, payload });
            }
        }
    }

    /// The ports that hear what is sent from this one, unless it is lost.
    fn reached(&self, from: usize, port: usize) -> Vec<(usize, usize)> {
        if !self.machines[from].is_on(port) {
            return Vec::new();
        }
        let wire = self.machines[from].ports[port].wire;
        let others = (0..self.machines.len()).filter(|to| *to != from && !self.air.cut.contains(&(from, *to)));
        let heard = others.flat_map(|to| {
            let ports = self.machines[to].ports.iter().enumerate();
            ports.filter(move |(_, port)| port.wire == wire).map(move |(there, _)| (to, there))
        });
        heard.filter(|(to, there)| self.machines[*to].is_on(*there)).collect()
    }

    /// A kernel answers whether or not its daemon lives.
    fn ask(&mut self, from: usize, ask: &Ask) {
        let Some(port) = port_of(&self.machines[from], &ask.interface) else { return };
        if ask.source.is_none() {
            self.promised.asked(self.now, from);
        }
        if ask.source.is_none() && self.mutation == Some(Mutation::NoClaim) {
            return;
        }
        for (to, there) in self.reached(from, port) {
            let answers_as = self.machines[to].mac_of(there, ask.target);
            let own = self.machines[to].ports[there].mac;
            let asked = ask.to.is_none_or(|mac| mac == own || Some(mac) == answers_as);
            if !asked || self.loses() {
                continue;
            }
            let back = !self.air.cut.contains(&(to, from));
            if self.machines[to].answers(there, ask.target) && back && !self.loses() {
                // Over IPv6 whoever asks as nobody is answered to everybody (RFC 4861, 7.2.4).
                let open = Family::of(ask.target) == Family::V6 && ask.source.is_none();
                let (kind, address) = if open { (None, ask.target) } else { (Some(from), ask.target) };
                let what = if open { NeighborKind::Announcement { address } } else { NeighborKind::Reply { address } };
                self.frame_as(to, there, answers_as, kind, what);
            }
            // A question to one machine alone is heard there as well.
            if ask.to.is_none() || ask.source.is_some() {
                let kind = match ask.source {
                    None => NeighborKind::Probe { target: ask.target },
                    Some(sender) => NeighborKind::Request { sender, target: ask.target },
                };
                self.frame(from, port, Some(to), kind);
            }
        }
    }

    /// A frame to one machine or to all.
    fn frame(&mut self, from: usize, port: usize, to: Option<usize>, kind: NeighborKind) {
        self.frame_as(from, port, None, to, kind);
    }

    /// The same, with another link-layer address than the interface's own.
    fn frame_as(&mut self, from: usize, port: usize, mac: Option<MacAddr>, to: Option<usize>, kind: NeighborKind) {
        let mac = mac.unwrap_or(self.machines[from].ports[port].mac);
        for (receiver, there) in self.reached(from, port) {
            if to.is_none_or(|to| to == receiver) && !self.loses() {
                let interface = self.machines[receiver].ports[there].interface.clone();
                let frame = NeighborFrame { interface, kind, source_mac: mac, mac };
                self.send(receiver, Delivery::Neighbor(frame));
            }
        }
    }

    fn loses(&mut self) -> bool {
        self.air.loss > 0 && self.random(100) < u64::from(self.air.loss)
    }

    fn send(&mut self, to: usize, delivery: Delivery) {
        let twice = self.air.duplicates > 0 && self.random(100) < u64::from(self.air.duplicates);
        if twice {
            let at = self.now + self.way();
            self.schedule(at, to, delivery.clone());
        }
        let at = self.now + self.way();
        self.schedule(at, to, delivery);
    }

    fn way(&mut self) -> Duration {
        let (least, most) = self.air.delay;
        let spread = u64::try_from(most.saturating_sub(least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(self.random(spread.saturating_add(1)))
    }
}
