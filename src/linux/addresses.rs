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
    address_request::{Placed, Route, kernel_keeps_marks, promote_secondaries, put, shares_route, take_away},
    rtnl::{Failure, Rtnl},
};
use crate::{
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
    held: BTreeMap<String, Held>,
    prepared: BTreeSet<u32>,
    warnings: Vec<String>,
}

/// What an instance holds, as far as is known.
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
        Ok(Self { netlink: Rtnl::open(0)?, held: BTreeMap::new(), prepared: BTreeSet::new(), warnings: Vec::new() })
    }

    /// Makes the kernel hold exactly these addresses for this instance, each for the whole lifetime from now. An address
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
        self.held.iter().map(|(instance, held)| {
            (instance.as_str(), &held.interface, held.addresses.iter().map(|placed| placed.address).collect())
        })
    }

    /// Lets go of everything.
    ///
    /// # Errors
    /// A sentence about the first address that could not be removed; the others are.
    pub fn release_all(&mut self) -> Result<(), String> {
        let instances: Vec<String> = self.held.keys().cloned().collect();
        let results: Vec<Result<(), String>> = instances.iter().map(|instance| self.let_go(instance, &[])).collect();
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
        let found: Vec<IpNet> = present
            .into_iter()
            .filter(|seen| seen.index == index && addresses.contains(&seen.address.addr()))
            .filter(|seen| seen.marked || !mark_matters)
            .map(|seen| seen.address)
            .collect();
        match self.delete(interface, index, &found)?.into_iter().next() {
            None => Ok(found),
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
        self.prepare(interface, index, &hold.addresses);
        let wanted = self.place(hold, index)?;
        let requests = wanted.iter().map(|placed| put(index, *placed, hold.lifetime)).collect();
        let results = self.netlink.change(requests, hold.not_after).map_err(|failure| match failure {
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
        self.remember(hold, index, wanted.iter().zip(there).filter_map(|(placed, there)| there.then_some(*placed)));
        let failed = |(placed, result): (&Placed, io::Result<()>)| {
            result.err().map(|error| Refused::ByKernel(not_held(interface, placed.address, &error)))
        };
        wanted.iter().zip(results?).find_map(failed).map_or(Ok(()), Err)
    }

    /// How each wanted address is to be put there. It stays as it was put first.
    fn place(&mut self, hold: &Hold, index: u32) -> Result<Vec<Placed>, Refused> {
        let before = self.held.get(&hold.instance).filter(|held| held.index == index);
        let known = |address: &IpNet| before?.addresses.iter().find(|placed| placed.address == *address).copied();
        let found: Vec<(IpNet, Option<Placed>)> = hold.addresses.iter().map(|it| (*it, known(it))).collect();
        let undecided = |(address, known): &(IpNet, Option<Placed>)| known.is_none() && shares_route(*address);
        let others = if found.iter().any(undecided) {
            let present = self.netlink.addresses();
            present.map_err(|error| Refused::ByKernel(unreadable(&hold.interface, &error)))?
        } else {
            Vec::new()
        };
        let place = |address: IpNet| {
            let made_by_another = others.iter().any(|other| {
                other.index == index
                    && !hold.addresses.contains(&other.address)
                    && other.address.trunc() == address.trunc()
            });
            let route = if shares_route(address) && made_by_another { Route::LeftOut } else { Route::Made };
            Placed { address, route }
        };
        Ok(found.into_iter().map(|(address, known)| known.unwrap_or_else(|| place(address))).collect())
    }

    /// Removes whatever of the instance's is not wanted: what it holds, and what somebody else put there.
    fn clear(&mut self, hold: &Hold) -> Result<(), String> {
        let held: Vec<IpAddr> = self.held.get(&hold.instance).map_or_else(Vec::new, Held::addresses);
        let wanted = |address: &IpAddr| hold.addresses.iter().any(|it| it.addr() == *address);
        let strays: Vec<IpAddr> = hold
            .configured
            .iter()
            .map(IpNet::addr)
            .filter(|it| !wanted(it) && !held.contains(it) && !self.held_by_another(&hold.instance, *it))
            .collect();
        let gone = self.let_go(&hold.instance, &hold.addresses);
        if strays.is_empty() {
            return gone;
        }
        let cleared = self.remove(&hold.interface, &strays, Which::Any);
        gone.and(cleared.map(|_| ()))
    }

    /// Removes what the instance holds and what is not `wanted` any more.
    fn let_go(&mut self, instance: &str, wanted: &[IpNet]) -> Result<(), String> {
        let Some(held) = self.held.get(instance) else { return Ok(()) };
        let (interface, index) = (held.interface.clone(), held.index);
        let addresses = held.addresses.iter().map(|placed| placed.address);
        let unwanted: Vec<IpNet> = addresses.filter(|it| !wanted.contains(it)).collect();
        let alone: Vec<IpNet> =
            unwanted.iter().filter(|it| !self.held_by_another(instance, it.addr())).copied().collect();
        let failed = self.delete(&interface, index, &alone)?;
        if let Some(held) = self.held.get_mut(instance) {
            let stays = |address: IpNet| failed.iter().any(|(kept, _)| *kept == address);
            held.addresses.retain(|placed| !unwanted.contains(&placed.address) || stays(placed.address));
        }
        self.held.retain(|_, held| !held.addresses.is_empty());
        failed.into_iter().next().map_or(Ok(()), |(_, why)| Err(why))
    }

    fn held_by_another(&self, instance: &str, address: IpAddr) -> bool {
        self.held.iter().any(|(other, held)| other != instance && held.addresses().contains(&address))
    }

    /// Deletes these addresses, those that are gone already included; returns what could not be, with a sentence.
    fn delete(
        &mut self,
        interface: &InterfaceName,
        index: u32,
        addresses: &[IpNet],
    ) -> Result<Vec<(IpNet, String)>, String> {
        let requests = addresses.iter().map(|address| take_away(index, *address)).collect();
        let results = self.netlink.change(requests, None).map_err(|failure| match failure {
            Failure::Io(error) => unreadable(interface, &error),
            Failure::TooLate(late) => format!("addresses of {interface} not removed: {late:?} too late"),
        })?;
        let failed = |(address, result): (&IpNet, io::Result<()>)| {
            let error = result.err().filter(|error| !already_gone(error))?;
            Some((*address, not_removed(interface, *address, &error)))
        };
        Ok(addresses.iter().zip(results).filter_map(failed).collect())
    }

    /// Adds to what the instance holds. What it held on another interface of that name went with that interface, or is
    /// removed first.
    fn remember(&mut self, hold: &Hold, index: u32, there: impl Iterator<Item = Placed>) {
        if self.held.get(&hold.instance).is_some_and(|held| held.index != index) {
            if let Err(why) = self.let_go(&hold.instance, &[]) {
                self.warnings.push(why);
            }
            self.held.remove(&hold.instance);
        }
        let empty = || Held { interface: hold.interface.clone(), index, addresses: Vec::new() };
        let held = self.held.entry(hold.instance.clone()).or_insert_with(empty);
        held.interface = hold.interface.clone();
        for placed in there {
            if !held.has(placed.address) {
                held.addresses.push(placed);
            }
        }
        self.held.retain(|_, held| !held.addresses.is_empty());
    }

    /// Once for each interface, before its first IPv4 address: when the first address of a network goes, the kernel must
    /// not take the others of that network along.
    fn prepare(&mut self, interface: &InterfaceName, index: u32, addresses: &[IpNet]) {
        let v4 = addresses.iter().any(|address| Family::of(address.addr()) == Family::V4);
        if !v4 || !self.prepared.insert(index) {
            return;
        }
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
        if let Err(error) = result {
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

    fn has(&self, address: IpNet) -> bool {
        self.addresses.iter().any(|placed| placed.address == address)
    }
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
mod tests {
    use std::{
        thread,
        time::{Duration, Instant},
    };

    use super::{
        super::{
            clock::BootClock,
            namespace::{Far, address, alone, eventually, ip, ip_shows, name},
        },
        *,
    };
    use crate::node::Lifetime;

    const SECOND: Duration = Duration::from_secs(1);

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// For two seconds, with nothing configured besides.
    fn hold(addresses: &[&str]) -> Hold {
        Hold {
            instance: "web".to_owned(),
            interface: name("va"),
            addresses: nets(addresses),
            configured: nets(addresses),
            lifetime: Lifetime::For(2 * SECOND),
            not_after: None,
        }
    }

    fn held(holder: &Holder) -> Vec<IpNet> {
        holder.held().flat_map(|(_, _, addresses)| addresses).collect()
    }

    fn is_there(wanted: &str) -> bool {
        address("va", wanted).is_some()
    }

    #[test]
    fn a_held_address_is_marked_usable_and_goes_by_itself() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            for (wanted, short) in [("192.168.0.60/24", "192.168.0.60"), ("fd00::60/128", "fd00::60")] {
                holder.apply(&hold(&[wanted])).unwrap();
                let start = Instant::now();
                let seen = address("va", short).unwrap();
                assert_eq!((seen.marked, seen.usable, seen.remaining), (kernel_keeps_marks(), true, Some(2 * SECOND)));
                assert_eq!(held(&holder), nets(&[wanted]));
                eventually("the end of the lease", || (!is_there(short)).then_some(()));
                let lasted = start.elapsed();
                println!("{wanted}: {lasted:?}");
                assert!(
                    lasted > 2 * SECOND - Duration::from_millis(20) && lasted < 3 * SECOND + SECOND / 5,
                    "{lasted:?}"
                );
            }
        });
    }

    #[test]
    fn renewing_keeps_it_and_the_mark() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            let mut wanted = hold(&["192.168.0.60/24", "fd00::60/64", "fd00::61/128"]);
            wanted.lifetime = Lifetime::For(SECOND);
            let end = Instant::now() + 2 * SECOND + SECOND / 2;
            while Instant::now() < end {
                holder.apply(&wanted).unwrap();
                for short in ["192.168.0.60", "fd00::60", "fd00::61"] {
                    let seen = address("va", short).unwrap();
                    assert_eq!((seen.marked, seen.usable), (kernel_keeps_marks(), true));
                }
                thread::sleep(SECOND / 4);
            }
            assert_eq!(ip_shows("-6 addr show dev va to fd00::61").matches("deprecated").count(), 1);
            assert_eq!(ip_shows("-6 addr show dev va to fd00::60").matches("deprecated").count(), 0);
            // And for ever, and leased again.
            wanted.lifetime = Lifetime::Forever;
            holder.apply(&wanted).unwrap();
            assert_eq!(address("va", "192.168.0.60").unwrap().remaining, None);
            assert_eq!(address("va", "fd00::61").unwrap().remaining, None);
            wanted.lifetime = Lifetime::For(SECOND);
            holder.apply(&wanted).unwrap();
            assert_eq!(address("va", "192.168.0.60").unwrap().remaining, Some(SECOND));
            assert_eq!(address("va", "fd00::60").unwrap().remaining, Some(SECOND));
        });
    }

    #[test]
    fn nothing_is_written_too_late() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            let mut late = hold(&["192.168.0.60/24"]);
            late.not_after = Some(BootClock.now() - Duration::from_millis(7));
            let why = holder.apply(&late).unwrap_err();
            assert!(why.starts_with("192.168.0.60/24 not renewed on va: 7."), "{why}");
            assert!(!is_there("192.168.0.60"));
            assert_eq!(held(&holder), []);
            late.not_after = Some(BootClock.now() + SECOND);
            holder.apply(&late).unwrap();
            assert!(is_there("192.168.0.60"));
            // Too late to renew is not too late to let go.
            let none = Hold { addresses: Vec::new(), not_after: Some(BootClock.now() - SECOND), ..late };
            holder.apply(&none).unwrap();
            assert!(!is_there("192.168.0.60"));
        });
    }

    #[test]
    fn exactly_what_is_wanted_is_held() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            holder.apply(&hold(&["192.168.0.60/24", "192.168.0.61/32", "fd00::60/128"])).unwrap();
            // Less, another prefix, the same again.
            let fewer = hold(&["192.168.0.60/32", "fd00::60/128"]);
            for _ in 0..2 {
                holder.apply(&fewer).unwrap();
                assert!(!is_there("192.168.0.61"));
                assert_eq!(address("va", "192.168.0.60").unwrap().address, "192.168.0.60/32".parse().unwrap());
                assert_eq!(held(&holder).len(), 2);
            }
            for _ in 0..2 {
                holder.apply(&Hold { addresses: Vec::new(), ..fewer.clone() }).unwrap();
                assert!(!is_there("192.168.0.60") && !is_there("fd00::60"));
            }
            assert_eq!(held(&holder), []);
            assert!(is_there("192.168.0.1") && is_there("fd00::1") && is_there("fe80::1"));
        });
    }

    #[test]
    fn what_is_configured_and_not_wanted_goes_whoever_put_it_there() {
        alone(|| {
            let _far = Far::connect();
            ip("addr add 192.168.0.60/32 dev va");
            ip("addr add fd00::60/64 dev va nodad");
            ip("addr add 192.168.0.62/24 dev va");
            let mut holder = Holder::open().unwrap();
            let mut web = hold(&["192.168.0.60/24", "fd00::60/128"]);
            web.addresses.clear();
            holder.apply(&web).unwrap();
            assert!(!is_there("192.168.0.60") && !is_there("fd00::60"));
            assert!(is_there("192.168.0.62") && is_there("fd00::1"));
        });
    }

    #[test]
    fn an_address_of_two_instances_goes_with_the_second() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            let web = hold(&["192.168.0.60/24"]);
            let mail = Hold { instance: "mail".to_owned(), ..web.clone() };
            holder.apply(&web).unwrap();
            holder.apply(&mail).unwrap();
            holder.apply(&Hold { addresses: Vec::new(), ..web }).unwrap();
            assert!(is_there("192.168.0.60"));
            holder.release_all().unwrap();
            assert!(!is_there("192.168.0.60"));
        });
    }

    #[test]
    fn many_addresses_in_one_go() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            let all: Vec<String> = (0..500).map(|at| format!("10.1.{}.{}/32", at / 250, at % 250)).collect();
            let texts: Vec<&str> = all.iter().map(String::as_str).collect();
            let start = Instant::now();
            holder.apply(&hold(&texts)).unwrap();
            println!("500 added in {:?}", start.elapsed());
            assert!(is_there("10.1.0.0") && is_there("10.1.1.249"));
            assert_eq!(held(&holder).len(), 500);
            holder.release_all().unwrap();
            assert!(!is_there("10.1.0.0") && !is_there("10.1.1.249"));
        });
    }

    #[test]
    fn an_interface_that_is_gone_or_made_anew() {
        alone(|| {
            let far = Far::connect();
            let mut holder = Holder::open().unwrap();
            let web = hold(&["192.168.0.60/24"]);
            holder.apply(&web).unwrap();
            ip("link del va");
            let why = holder.apply(&web).unwrap_err();
            assert!(why.starts_with("192.168.0.60/24 cannot be held on va: there is no such interface"), "{why}");
            holder.release_all().unwrap();
            assert_eq!(held(&holder), []);
            drop(far);
            let _far = Far::connect();
            holder.apply(&web).unwrap();
            ip("link del va");
            let _far = Far::connect();
            holder.apply(&web).unwrap();
            assert!(is_there("192.168.0.60"));
            // Renamed, it is still let go of.
            ip("link set va down");
            ip("link set va name wan");
            ip("link set wan up");
            assert!(address("wan", "192.168.0.60").is_some());
            holder.release_all().unwrap();
            assert!(address("wan", "192.168.0.60").is_none());
        });
    }

    #[test]
    fn errors_of_the_kernel_are_sentences_and_the_rest_is_done() {
        alone(|| {
            let _far = Far::connect();
            let mut holder = Holder::open().unwrap();
            holder.apply(&hold(&["192.168.0.61/24"])).unwrap();
            fs::write("/proc/sys/net/ipv6/conf/va/disable_ipv6", "1").unwrap();
            let why = holder.apply(&hold(&["fd00::60/128", "192.168.0.60/24"])).unwrap_err();
            assert!(
                why.contains("fd00::60/128 is not held on va: the kernel refused it") && why.contains("disable_ipv6"),
                "{why}"
            );
            assert!(is_there("192.168.0.60") && !is_there("192.168.0.61"));
            assert_eq!(held(&holder), nets(&["192.168.0.60/24"]));
        });
    }

    /// Rule R12: the virtual address is the first of its network.
    #[test]
    fn the_end_of_the_first_address_of_a_network_leaves_the_others() {
        alone(|| {
            let _far = Far::connect();
            let switch = "/proc/sys/net/ipv4/conf/va/promote_secondaries";
            fs::write("/proc/sys/net/ipv4/conf/all/promote_secondaries", "0").unwrap();
            fs::write(switch, "0").unwrap();
            let mut holder = Holder::open().unwrap();
            let vip = hold(&["10.0.0.60/24"]);
            holder.apply(&vip).unwrap();
            ip("addr add 10.0.0.1/24 dev va");
            assert_eq!(fs::read_to_string(switch).unwrap().trim(), "1");
            eventually("the end of the lease", || (!is_there("10.0.0.60")).then_some(()));
            assert!(is_there("10.0.0.1"));
            assert!(ip_shows("route show dev va").contains("10.0.0.0/24"));
            // The other way to set the switch.
            fs::write(switch, "0").unwrap();
            let index = holder.netlink.index_of(&name("va")).unwrap();
            let results = holder.netlink.change(vec![promote_secondaries(index)], None).unwrap();
            results.into_iter().collect::<io::Result<()>>().unwrap();
            assert_eq!(fs::read_to_string(switch).unwrap().trim(), "1");
            assert_eq!(holder.take_warnings(), [""; 0]);
        });
    }

    /// As from a router advertisement: the interface's own address and its route have a lifetime.
    #[test]
    fn a_lease_does_not_cut_down_the_route_of_the_interface() {
        alone(|| {
            let _far = Far::connect();
            ip("addr add fd02::1/64 dev va valid_lft 1000 preferred_lft 1000 nodad");
            let mut holder = Holder::open().unwrap();
            let mut vip = hold(&["fd00::60/64", "fd01::60/64", "fd02::60/64"]);
            vip.lifetime = Lifetime::For(SECOND);
            for _ in 0..3 {
                holder.apply(&vip).unwrap();
            }
            let route = |net: &str| ip_shows(&format!("-6 route show dev va {net}"));
            assert!(route("fd01::/64").contains("fd01::/64"), "alone in its network it makes the route");
            let gone = |short: &&str| !is_there(short);
            let leases = ["fd00::60", "fd01::60", "fd02::60"];
            eventually("the end of the leases", || leases.iter().all(gone).then_some(()));
            assert!(route("fd00::/64").contains("fd00::/64") && !route("fd00::/64").contains("expires"));
            let own = route("fd02::/64");
            let (_, rest) = own.split_once("expires ").expect(&own);
            let seconds: u32 = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
            assert!(seconds > 900, "{own}");
        });
    }

    #[test]
    fn what_is_left_behind_is_removed_by_name_and_mark() {
        alone(|| {
            let _far = Far::connect();
            let mut first = Holder::open().unwrap();
            let mut web = hold(&["192.168.0.60/24", "fd00::60/64"]);
            web.lifetime = Lifetime::Forever;
            first.apply(&web).unwrap();
            drop(first);
            ip("addr add 192.168.0.61/24 dev va");
            let named: Vec<IpAddr> =
                ["192.168.0.60", "192.168.0.61", "192.168.0.62", "fd00::60"].map(|text| text.parse().unwrap()).to_vec();
            let mut second = Holder::open().unwrap();
            if kernel_keeps_marks() {
                let removed = second.remove(&name("va"), &named, Which::Marked).unwrap();
                assert_eq!(removed, web.addresses);
                assert!(is_there("192.168.0.61"));
            }
            second.remove(&name("va"), &named, Which::Any).unwrap();
            assert!(!is_there("192.168.0.61") && is_there("192.168.0.1"));
            assert_eq!(second.remove(&name("nowhere"), &named, Which::Any).unwrap(), []);
        });
    }
}
