//! The kernels: what a node sees of its own machine, and what becomes of the addresses it wants.

use std::{collections::BTreeSet, time::Duration};

use ipnet::IpNet;

use super::{Delivery, World, port_of};
use crate::{
    node::{AddressSeen, Hold, Input, Lifetime, LinkSeen},
    sim::{log::What, mutation::Mutation},
};

impl World {
    pub(super) fn tell_link(&mut self, index: usize, port: usize) {
        let port = &self.machines[index].ports[port];
        let (name, mac) = (port.interface.clone(), Some(port.mac));
        let link = LinkSeen { name, index: port.index, mac, up: true, carrier: port.plugged, port_of: None };
        self.hand_in(index, Input::Link(link));
        let instances = self.machines[index].config.instances.iter();
        let equipped: Vec<String> = instances.map(|instance| instance.name.clone()).collect();
        for instance in equipped {
            self.hand_in(index, Input::Equipped { instance, result: Ok(()) });
        }
    }

    pub(super) fn tell_addresses(&mut self, index: usize, port: usize) {
        let now = self.now;
        let machine = &self.machines[index];
        let there = &machine.ports[port];
        let seen = |address: IpNet, marked, remaining| AddressSeen { address, marked, usable: true, remaining };
        let own = there.own.iter().chain(machine.native(&there.interface)).map(|address| seen(*address, false, None));
        let held = there
            .held
            .iter()
            .map(|(address, until)| seen(*address, true, until.map(|until| until.saturating_since(now))));
        let addresses = own.chain(held).collect();
        let interface = there.interface.clone();
        self.hand_in(index, Input::Addresses { interface, addresses });
    }

    pub(super) fn hold(&mut self, index: usize, hold: &Hold) {
        let now = self.now;
        self.check_hold(index, hold);
        let forever = self.mutation == Some(Mutation::LeaseForEver);
        let until = match hold.lifetime {
            Lifetime::For(time) if !forever => Some(now + time + self.kernel_late),
            Lifetime::For(_) | Lifetime::Forever => None,
        };
        if let Some(port) = port_of(&self.machines[index], &hold.interface) {
            let keeps = hold.addresses.is_empty() && self.mutation == Some(Mutation::KeepWhatIsReleased);
            let gone = &mut self.machines[index].deleted;
            gone.retain(|address| hold.addresses.contains(address));
            let gone = if self.mutation == Some(Mutation::DeletedForGood) { gone.clone() } else { BTreeSet::new() };
            let held = &mut self.machines[index].ports[port].held;
            let before: Vec<IpNet> = held.keys().copied().collect();
            held.retain(|address, _| keeps || hold.addresses.contains(address) || !hold.configured.contains(address));
            held.extend(hold.addresses.iter().filter(|net| !gone.contains(*net)).map(|address| (*address, until)));
            let after: Vec<IpNet> = held.keys().copied().collect();
            let taken: Vec<IpNet> = after.iter().filter(|address| !before.contains(address)).copied().collect();
            let dropped: Vec<IpNet> = before.into_iter().filter(|address| !after.contains(address)).collect();
            if !taken.is_empty() {
                self.check_takes(index, &hold.instance);
                self.machines[index].took_at.insert(hold.instance.clone(), now);
                self.note(index, &hold.instance, What::Takes(taken));
            }
            if !dropped.is_empty() {
                self.note(index, &hold.instance, What::LetsGo(dropped));
            }
            self.count();
            self.schedule(now + Duration::from_micros(100), index, Delivery::Addresses(port));
        }
        self.machines[index].handle_input(now, Input::Held { instance: hold.instance.clone(), result: Ok(()) });
    }

    /// What is over is gone, whatever became of the daemon.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        for index in 0..self.machines.len() {
            for port in 0..self.machines[index].ports.len() {
                let held = &mut self.machines[index].ports[port].held;
                if held.values().all(|until| until.is_none_or(|until| now < until)) {
                    continue;
                }
                let gone: Vec<IpNet> = held
                    .extract_if(.., |_, until| until.is_some_and(|until| until <= now))
                    .map(|(address, _)| address)
                    .collect();
                let restored = self.mutation == Some(Mutation::PutBackBlindly);
                if restored {
                    let again = gone.iter().map(|address| (*address, Some(now + Duration::from_secs(2))));
                    self.machines[index].ports[port].held.extend(again);
                    continue;
                }
                self.note(index, "", What::Lapsed(gone));
                self.count();
                self.tell(index, Delivery::Addresses(port));
            }
        }
    }
}
