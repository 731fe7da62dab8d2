//! Packets: who hears whom, and what the outputs of a node do.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Lan {
    pub(super) fn deliver(&mut self, to: usize, delivery: &Delivery) {
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

    pub fn hand_in(&mut self, index: usize, input: Input<'_>) {
        let now = self.now;
        self.stations[index].node.handle_input(now, input);
        self.drain(index);
    }

    pub(super) fn drain(&mut self, index: usize) {
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
                Output::Routes(_) | Output::Renamed(_) => {}
                Output::Witness(wish) => self.wish(index, wish),
                Output::Judge { pace, .. } => {
                    self.note(index, Line::Paced(pace));
                    self.stations[index].pace = pace;
                    if pace == Pace::Fast {
                        self.stations[index].judged_at = Instant::ZERO;
                    }
                }
                Output::BeforeRelease { asked_at, .. } => {
                    self.stations[index].farewell = asked_at;
                    self.note(index, Line::BeforeRelease);
                }
                Output::Report(journal) => self.note(index, Line::Event(journal.event)),
            }
        }
    }

    pub(super) fn note(&mut self, index: usize, line: Line) {
        self.story.push((self.now, index, line));
    }

    pub(super) fn transmit(&mut self, from: usize, transmit: &Transmit) {
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
        self.stations[from].node.handle_input(
            now,
            Input::Transmitted { instance: transmit.instance.clone(), path: transmit.path.clone(), result, carrier },
        );
    }

    pub(super) fn send_vrrp(&mut self, from: usize, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        let multicast = destination.is_multicast();
        for to in 0..self.stations.len() {
            let meant = to != from && (multicast || self.stations[to].ip == destination);
            if !meant || self.cut.contains(&(from, to)) || !self.connected(from, to) || self.loses() {
                continue;
            }
            self.send(to, Delivery::Vrrp { source, destination, payload: payload.to_vec() });
        }
    }

    pub(super) fn hold(&mut self, index: usize, hold: &Hold) {
        self.note(index, Line::Hold(hold.addresses.clone()));
        let interval = self.stations[index].configured.advertise.as_duration();
        let in_time = |at| at == self.now + interval || self.is_before_its_witness_ends(index, at, interval);
        assert!(hold.addresses.is_empty() || hold.not_after.is_some_and(in_time), "R9: {:?}", hold.not_after);
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

    pub(super) fn ask(&mut self, from: usize, ask: &Ask) {
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
            // A question to one machine alone is heard there as well.
            if ask.to.is_none() || ask.source.is_some() {
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
    pub(super) fn answer(&mut self, mac: MacAddr, from: Option<usize>, to: usize, ask: &Ask) {
        let address = ask.target;
        if Family::of(address) == Family::V6 && ask.source.is_none() {
            return self.frame(mac, from, None, NeighborKind::Announcement { address });
        }
        self.frame(mac, from, Some(to), NeighborKind::Reply { address });
    }

    pub(super) fn neighbor(&mut self, from: usize, to: Option<usize>, kind: NeighborKind) {
        self.frame(self.stations[from].mac, Some(from), to, kind);
    }

    /// A frame of a station, or of somebody else, to one or to all.
    pub fn frame(&mut self, mac: MacAddr, from: Option<usize>, to: Option<usize>, kind: NeighborKind) {
        for receiver in 0..self.stations.len() {
            let connected = from.map_or(self.stations[receiver].is_on(), |from| self.connected(from, receiver));
            if Some(receiver) != from && to.is_none_or(|to| to == receiver) && connected && !self.loses() {
                let frame = NeighborFrame { interface: eth0(), kind, source_mac: mac, mac };
                self.send(receiver, Delivery::Neighbor(frame));
            }
        }
    }

    pub(super) fn connected(&self, a: usize, b: usize) -> bool {
        self.stations[a].is_on() && self.stations[b].is_on()
    }

    pub(super) fn loses(&mut self) -> bool {
        self.loss > 0 && self.random(100) < u64::from(self.loss)
    }

    pub(super) fn send(&mut self, to: usize, delivery: Delivery) {
        if self.stations[to].deaf {
            return;
        }
        let delay = Duration::from_micros(20 + self.random(180));
        self.schedule(self.now + delay, to, delivery);
    }

    pub(super) fn schedule(&mut self, at: Instant, to: usize, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.insert(self.sequence, delivery);
        self.queue.push(Reverse((at, self.sequence, to)));
    }
}
