//! Holding addresses: exactly those that are wanted, for as long as they are renewed, marked as ours.
//!
//! An address is a lease in the kernel (`IFA_CACHEINFO`): when nobody renews it, it goes by itself. Nothing is ever removed
//! here but what was held here, or what [`Holder::remove`] is told by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
};

use ipnet::IpNet;

use super::{
    address_request::{Placed, Route, in_full, kernel_keeps_marks, promote_secondaries, put, shares_route, take_away},
    rtnl::{Address, Failure, Rtnl},
};
use crate::{
    config::{Deleted, Manner, Renames},
    node::Hold,
    words::{Family, InterfaceName},
};

/// Which addresses may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Every one that is named.
    Any,
    /// Of those that are named, the ones that bear the mark, where the kernel keeps marks; else every one.
    Marked,
}

/// Holds the addresses of every instance, with a netlink socket of its own.
#[derive(Debug)]
pub struct Holder {
    netlink: Rtnl,
    held: BTreeMap<Key, Held>,
    prepared: BTreeSet<u32>,
    /// Interfaces of which it was said that this cannot be done.
    complained: BTreeSet<u32>,
    warnings: Vec<String>,
}

/// An instance, and an interface on which it holds addresses.
type Key = (String, InterfaceName);

/// What an instance holds on an interface, as far as is known.
#[derive(Debug)]
struct Held {
    interface: InterfaceName,
    /// Stays when the interface is renamed.
    index: u32,
    addresses: Vec<Placed>,
}

impl Holder {
    /// Opens the socket.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel has no netlink.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            netlink: Rtnl::open(0)?,
            held: BTreeMap::new(),
            prepared: BTreeSet::new(),
            complained: BTreeSet::new(),
            warnings: Vec::new(),
        })
    }

    /// Makes the kernel hold exactly these addresses for this instance on this interface, each for the whole lifetime from now. An address
    /// that is gone is put there again: that is what `not_after` is for. What the instance held before, and what it has
    /// configured, is removed if it is not wanted now.
    ///
    /// # Errors
    /// A sentence about the first address that is not as wanted. What went well stays.
    pub fn apply(&mut self, hold: &Hold) -> Result<(), String> {
        let added = if hold.addresses.is_empty() { Ok(()) } else { self.add(hold) };
        match added {
            Ok(()) => self.clear(hold),
            Err(Refused::TooLate(why)) => Err(why),
            Err(Refused::ByKernel(why)) => self.clear(hold).and(Err(why)),
        }
    }

    /// What each instance holds, as far as is known: the lease may have run out since.
    pub fn held(&self) -> impl Iterator<Item = (&str, &InterfaceName, Vec<IpNet>)> {
        self.held.iter().map(|((instance, _), held)| {
            (instance.as_str(), &held.interface, held.addresses.iter().map(|placed| placed.address).collect())
        })
    }

    /// Instances are called otherwise from now on.
    pub fn rename(&mut self, renames: &Renames) {
        renames.rekey(&mut self.held, |(instance, _)| instance);
    }

    /// Lets go of everything.
    ///
    /// # Errors
    /// A sentence about the first address that could not be removed; the others are.
    pub fn release_all(&mut self) -> Result<(), String> {
        let keys: Vec<Key> = self.held.keys().cloned().collect();
        let results: Vec<Result<(), String>> = keys.iter().map(|key| self.let_go(key, &[])).collect();
        results.into_iter().collect()
    }

    /// Removes these addresses from an interface, with whatever prefix they have there and whoever put them there. Returns
    /// what was removed.
    ///
    /// # Errors
    /// A sentence about the first address that could not be removed; the others are.
    pub fn remove(
        &mut self,
        interface: &InterfaceName,
        addresses: &[IpAddr],
        which: Which,
    ) -> Result<Vec<IpNet>, String> {
        // Gone with all its addresses.
        let Ok(index) = self.netlink.index_of(interface) else { return Ok(Vec::new()) };
        let mark_matters = which == Which::Marked && kernel_keeps_marks();
        let present = self.netlink.addresses().map_err(|error| unreadable(interface, &error))?;
        let found: Vec<(IpNet, Option<IpAddr>)> = present
            .into_iter()
            .filter(|seen| seen.index == index && addresses.contains(&seen.address.addr()))
            .filter(|seen| seen.marked || !mark_matters)
            .map(|seen| (seen.address, seen.manner.peer))
            .collect();
        match self.delete(interface, index, &found)?.into_iter().next() {
            None => Ok(found.into_iter().map(|(address, _)| address).collect()),
            Some((_, why)) => Err(why),
        }
    }

    /// Things that went wrong without stopping anything, each told once: sentences.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn add(&mut self, hold: &Hold) -> Result<(), Refused> {
        let interface = &hold.interface;
        let index = self.netlink.index_of(interface).map_err(|error| {
            let all = sentence_list(&hold.addresses);
            Refused::ByKernel(format!("{all} cannot be held on {interface}: there is no such interface ({error})"))
        })?;
        if !self.prepared.contains(&index) {
            self.prepare(interface, index, &hold.addresses);
        }
        let present = self.present(hold, index)?;
        let wanted = self.place(hold, index, &present);
        let replaced = self.otherwise(hold, index, &wanted, &present);
        self.prepare(interface, index, &replaced.iter().map(|(address, _)| *address).collect::<Vec<_>>());
        let away = replaced.iter().map(|(address, peer)| take_away(index, *address, *peer));
        let requests = away.chain(wanted.iter().map(|placed| put(index, placed, hold.lifetime))).collect();
        let results =
            self.netlink.change(requests, hold.not_after).map(|all| all.into_iter().skip(replaced.len()).collect());
        let results: Result<Vec<io::Result<()>>, Refused> = results.map_err(|failure| match failure {
            Failure::TooLate(late) => Refused::TooLate(format!(
                "{} not renewed on {interface}: {late:?} too late, the lease runs out by itself",
                sentence_list(&hold.addresses)
            )),
            Failure::Io(error) => Refused::ByKernel(unreadable(interface, &error)),
        });
        // Without an answer the address may be there: then it is ours to remove.
        let sure = |results: &Vec<io::Result<()>>| results.iter().map(Result::is_ok).collect();
        let there: Vec<bool> = match &results {
            Ok(results) => sure(results),
            Err(Refused::TooLate(_)) => Vec::new(),
            Err(Refused::ByKernel(_)) => vec![true; wanted.len()],
        };
        self.remember(
            hold,
            index,
            wanted.iter().zip(there).filter_map(|(placed, there)| there.then_some(placed.clone())),
        );
        let failed = |(placed, result): (&Placed, io::Result<()>)| {
            result.err().map(|error| Refused::ByKernel(not_held(interface, placed.address, &error)))
        };
        wanted.iter().zip(results?).find_map(failed).map_or(Ok(()), Err)
    }

    /// What the interface has, if something is to be held that was not held before.
    fn present(&mut self, hold: &Hold, index: u32) -> Result<Vec<Address>, Refused> {
        if hold.addresses.iter().all(|address| self.known(hold, index, *address).is_some()) {
            return Ok(Vec::new());
        }
        let all = self.netlink.addresses();
        let mut all = all.map_err(|error| Refused::ByKernel(unreadable(&hold.interface, &error)))?;
        all.retain(|seen| seen.index == index);
        Ok(all)
    }

    fn known(&self, hold: &Hold, index: u32, address: IpNet) -> Option<&Placed> {
        let held = self.held.get(&key(hold)).filter(|held| held.index == index)?;
        held.addresses.iter().find(|known| known.address == address)
    }

    /// What is there in another manner than it is wanted, with its far end: the kernel changes an address's lifetime only,
    /// so it goes and comes again in one batch.
    fn otherwise(
        &self,
        hold: &Hold,
        index: u32,
        wanted: &[Placed],
        present: &[Address],
    ) -> Vec<(IpNet, Option<IpAddr>)> {
        let other = |placed: &Placed| match self.known(hold, index, placed.address) {
            Some(known) => (known.manner != placed.manner).then_some((placed.address, known.manner.peer)),
            None => {
                let seen = present.iter().find(|seen| seen.address == placed.address)?;
                (seen.manner != in_full(placed, &hold.interface)).then_some((seen.address, seen.manner.peer))
            }
        };
        wanted.iter().filter_map(other).collect()
    }

    /// How each wanted address is to be put there. It stays as it was put first, but for its manner.
    fn place(&self, hold: &Hold, index: u32, present: &[Address]) -> Vec<Placed> {
        let made_by_another = |address: IpNet| {
            let shares = |other: &Address| other.address.trunc() == address.trunc();
            present.iter().any(|other| !hold.addresses.contains(&other.address) && shares(other))
        };
        let route = |address: IpNet| {
            if shares_route(address) && made_by_another(address) { Route::LeftOut } else { Route::Made }
        };
        let place = |address: &IpNet| Placed {
            address: *address,
            // What becomes of it later is not the kernel's.
            manner: Manner { deleted: Deleted::default(), ..hold.manners.get(address).cloned().unwrap_or_default() },
            route: self.known(hold, index, *address).map_or_else(|| route(*address), |known| known.route),
        };
        hold.addresses.iter().map(place).collect()
    }

    /// Removes whatever of the instance's is not wanted: what it holds, and what somebody else put there.
    fn clear(&mut self, hold: &Hold) -> Result<(), String> {
        let key = key(hold);
        let held: Vec<IpAddr> = self.held.get(&key).map_or_else(Vec::new, Held::addresses);
        let wanted = |address: &IpAddr| hold.addresses.iter().any(|it| it.addr() == *address);
        let strays: Vec<IpAddr> = hold
            .configured
            .iter()
            .map(IpNet::addr)
            .filter(|it| !wanted(it) && !held.contains(it) && !self.held_by_another(&key, *it))
            .collect();
        let gone = self.let_go(&key, &hold.addresses);
        if strays.is_empty() {
            return gone;
        }
        let cleared = self.remove(&hold.interface, &strays, Which::Any);
        gone.and(cleared.map(|_| ()))
    }

    /// Removes what the instance holds and what is not `wanted` any more.
    fn let_go(&mut self, key: &Key, wanted: &[IpNet]) -> Result<(), String> {
        let Some(held) = self.held.get(key) else { return Ok(()) };
        let (interface, index) = (held.interface.clone(), held.index);
        let addresses = held.addresses.iter().map(|placed| placed.address);
        let unwanted: Vec<IpNet> = addresses.filter(|it| !wanted.contains(it)).collect();
        if unwanted.is_empty() {
            return Ok(());
        }
        let alone: Vec<(IpNet, Option<IpAddr>)> = held
            .addresses
            .iter()
            .filter(|it| unwanted.contains(&it.address) && !self.held_by_another(key, it.address.addr()))
            .map(|it| (it.address, it.manner.peer))
            .collect();
        let failed = self.delete(&interface, index, &alone)?;
        if let Some(held) = self.held.get_mut(key) {
            let stays = |address: IpNet| failed.iter().any(|(kept, _)| *kept == address);
            held.addresses.retain(|placed| !unwanted.contains(&placed.address) || stays(placed.address));
        }
        self.forget_if_empty(key);
        failed.into_iter().next().map_or(Ok(()), |(_, why)| Err(why))
    }

    /// By another instance, on the same interface.
    fn held_by_another(&self, (instance, interface): &Key, address: IpAddr) -> bool {
        let is_other = |(other, on): &Key| other != instance && on == interface;
        self.held.iter().any(|(other, held)| is_other(other) && held.addresses().contains(&address))
    }

    /// Deletes these addresses, each with its far end, those that are gone already included; returns what could not be, with a sentence.
    fn delete(
        &mut self,
        interface: &InterfaceName,
        index: u32,
        addresses: &[(IpNet, Option<IpAddr>)],
    ) -> Result<Vec<(IpNet, String)>, String> {
        // What goes may have been put there by somebody else, before anything was held here.
        let nets: Vec<IpNet> = addresses.iter().map(|(address, _)| *address).collect();
        self.prepare(interface, index, &nets);
        let requests = addresses.iter().map(|(address, peer)| take_away(index, *address, *peer)).collect();
        let results = self.netlink.change(requests, None).map_err(|failure| match failure {
            Failure::Io(error) => unreadable(interface, &error),
            Failure::TooLate(late) => format!("addresses of {interface} not removed: {late:?} too late"),
        })?;
        let failed = |((address, _), result): (&(IpNet, Option<IpAddr>), io::Result<()>)| {
            let error = result.err().filter(|error| !already_gone(error))?;
            Some((*address, not_removed(interface, *address, &error)))
        };
        Ok(addresses.iter().zip(results).filter_map(failed).collect())
    }

    /// Adds to what the instance holds. What it held on another interface of that name went with that interface, or is
    /// removed first.
    fn remember(&mut self, hold: &Hold, index: u32, there: impl Iterator<Item = Placed>) {
        let key = key(hold);
        if self.held.get(&key).is_some_and(|held| held.index != index) {
            if let Err(why) = self.let_go(&key, &[]) {
                self.warnings.push(why);
            }
            self.held.remove(&key);
        }
        let empty = || Held { interface: hold.interface.clone(), index, addresses: Vec::new() };
        let held = self.held.entry(key.clone()).or_insert_with(empty);
        for placed in there {
            held.addresses.retain(|known| known.address != placed.address);
            held.addresses.push(placed);
        }
        self.forget_if_empty(&key);
    }

    fn forget_if_empty(&mut self, key: &Key) {
        if self.held.get(key).is_some_and(|held| held.addresses.is_empty()) {
            self.held.remove(key);
        }
    }

    /// Before the first IPv4 address of an interface comes, and each time that one goes: when the first address of a network goes,
    /// the kernel must not take the others of that network along. Somebody may have turned the switch back meanwhile.
    fn prepare(&mut self, interface: &InterfaceName, index: u32, addresses: &[IpNet]) {
        let v4 = addresses.iter().any(|address| Family::of(address.addr()) == Family::V4);
        if !v4 {
            return;
        }
        self.prepared.insert(index);
        let switch = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
        if fs::read_to_string(&switch).is_ok_and(|value| value.trim() == "1") || fs::write(&switch, "1").is_ok() {
            return;
        }
        // Where /proc/sys is read-only, netlink sets the same switch.
        let result = match self.netlink.change(vec![promote_secondaries(index)], None) {
            Ok(results) => results.into_iter().collect(),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::TooLate(_)) => Ok(()),
        };
        // Told once for each interface.
        if let Err(error) = result
            && self.complained.insert(index)
        {
            self.warnings.push(format!(
                "promote_secondaries could not be set on {interface}: {error}. ha holds the addresses all the same; if a \
                 virtual address is the first of its network, its end takes {interface}'s own addresses of that network \
                 along. Set net.ipv4.conf.{interface}.promote_secondaries=1"
            ));
        }
    }
}

impl Held {
    fn addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|placed| placed.address.addr()).collect()
    }
}

fn key(hold: &Hold) -> Key {
    (hold.instance.clone(), hold.interface.clone())
}

/// Why addresses were not put there.
enum Refused {
    TooLate(String),
    ByKernel(String),
}

fn already_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EADDRNOTAVAIL | libc::ENODEV))
}

fn not_held(interface: &InterfaceName, address: IpNet, error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => "; ha needs the capability CAP_NET_ADMIN",
        Some(libc::EACCES) => "; IPv6 is switched off there (disable_ipv6)",
        Some(libc::ENODEV) => "; the interface is gone",
        Some(libc::EINVAL) => "; all addresses of a network on an interface must have one scope",
        Some(_) | None => "",
    };
    format!("{address} is not held on {interface}: the kernel refused it: {error}{advice}")
}

fn not_removed(interface: &InterfaceName, address: IpNet, error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => "; ha needs the capability CAP_NET_ADMIN",
        Some(_) | None => "",
    };
    format!(
        "{address} could not be removed from {interface}: {error}{advice}. Remove it: ip addr del {address} dev {interface}"
    )
}

fn unreadable(interface: &InterfaceName, error: &io::Error) -> String {
    format!("the kernel did not answer about the addresses of {interface}: {error}")
}

fn sentence_list(addresses: &[IpNet]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
