//! The kernels: what a node sees of its own machine, and how many of them hold the address.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a world of its own: its machines are numbered by it")]

use super::*;

impl Lan {
    pub(super) fn tell_link(&mut self, index: usize) {
        let station = &self.stations[index];
        if station.frozen || station.dead {
            return;
        }
        let mac = Some(station.mac);
        let input = match station.link {
            Some(link) => {
                let (carrier, port_of) = (station.plugged, station.port_of.clone());
                Input::Link(LinkSeen { name: eth0(), index: link, mac, up: true, carrier, port_of })
            }
            None => Input::LinkGone(eth0()),
        };
        self.hand_in(index, input);
    }

    pub(super) fn tell_addresses(&mut self, index: usize) {
        if self.stations[index].frozen {
            return self.stations[index].backlog.push_back(Delivery::Kernel);
        }
        if self.stations[index].dead || self.stations[index].link.is_none() {
            return;
        }
        let station = &self.stations[index];
        // Over IPv6 a global address stands before the link-local one.
        let global = station.ip.is_ipv6().then(|| AddressSeen {
            address: "fd00::20/64".parse().unwrap(),
            marked: false,
            usable: true,
            remaining: None,
        });
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
        let addresses = global.into_iter().chain(own).chain(native).chain(held).collect();
        self.hand_in(index, Input::Addresses { interface: eth0(), addresses });
    }

    pub(super) fn reachable_holders(&self) -> usize {
        self.stations.iter().filter(|station| station.plugged && !station.kernel.is_empty()).count()
    }

    pub(super) fn count(&mut self) {
        if self.reachable_holders() != self.stretch.0 {
            self.close_stretch();
            self.stretch = (self.reachable_holders(), self.now);
        }
    }

    pub(super) fn close_stretch(&mut self) {
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
