//! Addresses of an instance that are on other interfaces than the one it advertises on.
//!
//! Such an interface bears on the instance like its own: without it, or without a carrier, the address is dead. The peers are
//! heard on the instance's own interface. Here they are asked for the addresses that they have there, which a machine answers
//! for on every interface as Linux comes (`arp_ignore` 0): so their machines are known here too. Those that do not answer
//! (IPv6, `arp_ignore` 1) may be any machine that has the address.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    AddressSeen, Ask, Hold, Lifetime, LinkSeen, NeighborFrame, Output,
    instance::{Instance, Outbox},
    watching::may_be_a_peer_beside,
};
use crate::{
    vrrp::{Event, State},
    wire::NeighborKind,
    words::{Instant, InterfaceName},
};

/// What was seen of another interface.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) link: Option<LinkSeen>,
    pub(super) addresses: Option<Vec<AddressSeen>>,
}

impl Instance {
    /// Another interface of it is now like this, or gone.
    pub(super) fn on_device_link(
        &mut self,
        now: Instant,
        name: &InterfaceName,
        link: Option<LinkSeen>,
        out: &mut Outbox,
    ) {
        let device = self.devices.entry(name.clone()).or_default();
        if device.link.as_ref().map(|link| link.index) != link.as_ref().map(|link| link.index) {
            device.addresses = None;
        }
        let before = std::mem::replace(&mut device.link, link.clone());
        self.reassess(now, out);
        self.mind_moved(now, before.as_ref(), link.as_ref(), out);
    }

    /// Another interface of it has exactly these addresses now.
    pub(super) fn on_device_addresses(
        &mut self,
        now: Instant,
        name: &InterfaceName,
        addresses: Vec<AddressSeen>,
        out: &mut Outbox,
    ) {
        let knew_all = self.knows_all_places();
        self.devices.entry(name.clone()).or_default().addresses = Some(addresses);
        self.look_again(now, knew_all, out);
    }

    /// A frame on another interface of it: an answer to the claim, a stranger that uses the address, a word of who relieves us.
    pub(super) fn on_device_neighbor(&mut self, now: Instant, frame: &NeighborFrame, out: &mut Outbox) {
        let own = self.devices.get(&frame.interface).and_then(|device| device.link.as_ref()).and_then(|link| link.mac);
        if Some(frame.source_mac) == own || Some(frame.mac) == own {
            return;
        }
        // Whoever holds the addresses has this one (R19).
        if self.is_virtual_mac(frame) && matches!(self.router.state(), State::Master { .. }) {
            return;
        }
        let (address, answers) = match frame.kind {
            NeighborKind::Request { sender, .. } => (sender, false),
            NeighborKind::Reply { address } => (address, true),
            NeighborKind::Announcement { address } => (address, address.is_ipv6()),
            NeighborKind::Probe { target } => {
                // One link decides, or each of two could let the other go first: the own one where the peer is seen there, else the
                // first of the others.
                let decides = !self.peers.any_alive(now, self.down_interval())
                    && self.config.devices().first().is_some_and(|first| **first == frame.interface);
                let is_peer = may_be_a_peer_beside(&self.peers, &self.config, &frame.interface, frame.mac);
                if decides && is_peer && self.is_beside(target, &frame.interface) {
                    self.rival_claims(now, frame.mac, own, out);
                }
                return;
            }
        };
        self.peers.seen_beside(address, &frame.interface, frame.mac);
        if !self.is_beside(address, &frame.interface) {
            return;
        }
        self.unsettled = true;
        match self.router.state() {
            State::Backup { .. } | State::Elected { .. } => {
                let is_peer = may_be_a_peer_beside(&self.peers, &self.config, &frame.interface, frame.mac);
                self.see_a_holder(now, is_peer);
                if answers && self.claim.is_running() && self.claim.answered_beside(now, &frame.interface, frame.mac) {
                    // Two, for one may be lost.
                    out.extend([self.ask(address, None, Some(frame.mac)), self.ask(address, None, Some(frame.mac))]);
                }
            }
            State::Master { hold_at: None, .. } => {
                self.second_holder_beside(now, &frame.interface, address, frame.mac, answers, out);
            }
            State::Resigning { .. } if matches!(frame.kind, NeighborKind::Announcement { .. }) => {
                self.step(now, Event::Relieved, out);
            }
            State::Initialize | State::Master { .. } | State::Resigning { .. } => (),
        }
    }

    fn is_virtual_mac(&self, frame: &NeighborFrame) -> bool {
        let devices = self.config.mac_devices().into_iter();
        let mut there = devices.filter(|(_, beneath)| **beneath == frame.interface);
        there.any(|(device, _)| self.config.mac_of(device) == Some(frame.mac))
    }

    fn is_beside(&self, address: IpAddr, interface: &InterfaceName) -> bool {
        self.place_of(address) == Some(interface)
    }

    /// Asks on another interface where the peers' machines are there. They are asked as nobody: no own address need be there.
    pub(super) fn ask_peers_beside(&self, interface: &InterfaceName, out: &mut Outbox) {
        let asks = self
            .peers
            .configured()
            .filter(IpAddr::is_ipv4)
            .map(|target| Output::Ask(Ask { interface: interface.clone(), target, source: None, to: None }));
        out.extend(asks);
    }

    /// The interface to whose link a virtual address is known.
    pub(super) fn place_of(&self, address: IpAddr) -> Option<&InterfaceName> {
        let net = self.config.held_addresses().find(|net| net.addr() == address)?;
        Some(self.config.wire_of(net))
    }

    /// What the kernel has on an interface, as far as is known.
    pub(super) fn seen_on(&self, interface: &InterfaceName) -> &[AddressSeen] {
        let wire = self.config.wire_beneath(interface);
        if *wire == self.config.interface {
            return self.seen();
        }
        self.devices.get(wire).and_then(|device| device.addresses.as_deref()).unwrap_or_default()
    }

    /// The virtual addresses that the kernel has where they belong.
    pub(super) fn seen_in_place(&self) -> Vec<&AddressSeen> {
        let there = |(interface, nets): (_, Vec<IpNet>)| {
            let belongs = move |seen: &&AddressSeen| nets.iter().any(|net| net.addr() == seen.address.addr());
            self.seen_on(interface).iter().filter(belongs)
        };
        self.config.places().into_iter().flat_map(there).collect()
    }

    /// The addresses of every interface that bears on it are known.
    pub(super) fn knows_all_places(&self) -> bool {
        let known = |name: &InterfaceName| self.devices.get(name).is_some_and(|device| device.addresses.is_some());
        self.addresses.is_some() && self.config.tracked_devices().all(known)
    }

    fn is_there(&self, name: &InterfaceName) -> bool {
        self.devices.get(name).is_some_and(|device| device.link.is_some())
    }

    /// What is to be held now: not on an interface that nobody follows and that is not there, nor what somebody deleted and
    /// is left gone.
    pub(super) fn to_be_held(&self) -> impl Iterator<Item = Hold> {
        let elsewhere = self.config.devices();
        let is_usable = move |hold: &Hold| {
            let wire = self.config.wire_beneath(&hold.interface);
            !elsewhere.contains(wire) || self.is_there(wire)
        };
        let holds = self.releases().into_iter().filter(|hold| self.serves_on(&hold.interface)).filter(is_usable);
        holds.map(|hold| {
            let is_here = |net: &&IpNet| !self.tenure.is_left_gone(net);
            Hold { addresses: hold.configured.iter().filter(is_here).copied().collect(), ..hold }
        })
    }

    /// Which of the other interfaces is missing, and why (R31).
    pub(super) fn device_waited_for(&self) -> Option<String> {
        self.config.tracked_devices().find_map(|name| {
            let addresses = self.config.held_addresses().filter(|net| self.config.wire_of(net) == name);
            let addresses = addresses.map(IpNet::to_string).collect::<Vec<_>>().join(", ");
            match self.devices.get(name).and_then(|device| device.link.as_ref()) {
                None => Some(format!("interface {name}, for {addresses}, does not exist; waiting for it")),
                Some(link) if !link.up => Some(format!("interface {name}, for {addresses}, is down")),
                Some(link) if !link.carrier => Some(format!(
                    "interface {name}, for {addresses}, has no carrier: cable, switch port or the machine's host"
                )),
                Some(link) => link.port_of.as_ref().map(|of| super::bearing::port(name, of)),
            }
        })
    }

    /// Addresses that are asked for before they are taken: those advertised, and of the others those that are on a network, by
    /// their own prefix or by an address of their interface; over IPv6 all.
    pub(super) fn claimed_addresses(&self) -> Vec<IpAddr> {
        let is_asked = |net: &&IpNet| {
            net.addr().is_ipv6()
                || self.config.addresses.contains(net) && *self.config.wire_of(net) == self.config.interface
                || net.prefix_len() < net.max_prefix_len()
                || self.is_on_link(net)
        };
        self.config.held_addresses().filter(is_asked).map(IpNet::addr).collect()
    }

    /// Its interface has an address of its own in a network that contains it.
    pub(super) fn is_on_link(&self, net: &IpNet) -> bool {
        let own = |seen: &&AddressSeen| !self.is_virtual(seen.address.addr());
        self.seen_on(self.config.wire_of(net)).iter().filter(own).any(|seen| seen.address.contains(&net.addr()))
    }

    /// Nothing is held any more, for each interface that has addresses of it.
    pub(super) fn releases(&self) -> Vec<Hold> {
        let release = |(interface, configured): (&InterfaceName, Vec<IpNet>)| Hold {
            instance: self.config.name.clone(),
            interface: interface.clone(),
            addresses: Vec::new(),
            manners: BTreeMap::new(),
            configured,
            lifetime: Lifetime::Forever,
            not_after: None,
        };
        self.config.places().into_iter().map(release).collect()
    }

    /// The announcements of these addresses, one for each interface.
    pub(super) fn announcements(&self, addresses: &[IpAddr]) -> Vec<Output> {
        let announce = |(device, nets): (&InterfaceName, Vec<IpNet>)| {
            let is_meant = |net: &&IpNet| addresses.contains(&net.addr()) && !self.tenure.is_left_gone(net);
            let (wire, mac) = (self.config.wire_beneath(device).clone(), self.config.mac_of(device));
            (wire, mac, nets.iter().filter(is_meant).map(IpNet::addr).collect::<Vec<IpAddr>>())
        };
        let places = self.config.places().into_iter().map(announce);
        let served = places.filter(|(wire, _, addresses)| !addresses.is_empty() && self.serves_on(wire));
        let instance = &self.config.name;
        served
            .map(|(interface, mac, addresses)| Output::Announce {
                instance: instance.clone(),
                interface,
                mac,
                addresses,
            })
            .collect()
    }
}
