//! The device with the virtual router MAC address (RFC 9568, 7.3): a macvlan on the interface of an instance, on which it
//! holds its addresses. It is up only while they are held: a node that stands by has nothing on the link with this address.
//!
//! It is in bridge mode: in any other the kernel gives advertisements of a peer with the same address to the macvlan alone.

use std::{fs, io};

use rtnetlink::{
    LinkMacVlan,
    packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        RouteNetlinkMessage,
        link::{LinkAttribute, LinkFlags, LinkMessage, MacVlanMode},
    },
};

use super::rtnl::{Failure, Request, Rtnl};
use crate::words::{InterfaceName, MacAddr};

/// `IPV4_DEVCONF_*`: which devices answer ARP for an address, and in whose name they ask.
const RP_FILTER: u16 = 8;
const ARP_FILTER: u16 = 13;
const ARP_ANNOUNCE: u16 = 18;
const ARP_IGNORE: u16 = 19;

/// A device: its name, what it lies on, its address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Macvlan {
    /// Its name.
    pub name: InterfaceName,
    /// The interface beneath.
    pub base: InterfaceName,
    /// The virtual router MAC address.
    pub mac: MacAddr,
}

/// How an interface treats ARP; what is set is the larger of this and of `net.ipv4.conf.all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpHabits {
    /// `arp_ignore`: 1 answers only for addresses of this very interface.
    pub ignore: u8,
    /// `arp_announce`: 2 asks only in the name of addresses of this very interface.
    pub announce: u8,
}

impl ArpHabits {
    /// Of an interface with a macvlan that has addresses: it says nothing about them.
    pub const BENEATH: Self = Self { ignore: 1, announce: 2 };

    /// Of an interface, now.
    #[must_use]
    pub fn of(interface: &InterfaceName) -> Option<Self> {
        let read = |name| fs::read_to_string(setting("ipv4", interface, name)).ok()?.trim().parse().ok();
        Some(Self { ignore: read("arp_ignore")?, announce: read("arp_announce")? })
    }

    /// At least as careful as the other.
    #[must_use]
    pub fn at_least(self, other: Self) -> Self {
        Self { ignore: self.ignore.max(other.ignore), announce: self.announce.max(other.announce) }
    }
}

/// Makes devices and removes them, through a socket of its own.
#[derive(Debug)]
pub struct Macvlans {
    netlink: Rtnl,
}

impl Macvlans {
    /// Opens the socket.
    ///
    /// # Errors
    /// No descriptor is left, or the kernel has no netlink.
    pub fn open() -> io::Result<Self> {
        Ok(Self { netlink: Rtnl::open(0)? })
    }

    /// The device is there; made, if it was not. Returns whether it was.
    ///
    /// # Errors
    /// A sentence: the interface beneath is missing or cannot carry it, something else has its name, or the capability is
    /// missing.
    pub fn ensure(&mut self, wanted: &Macvlan) -> Result<bool, String> {
        let Macvlan { name, base, mac } = wanted;
        let failed = |error: &io::Error| not_made(wanted, error);
        let Some(beneath) = self.netlink.link(base).map_err(|error| failed(&error))? else {
            return Err(format!(
                "interface {base} does not exist, so {name} with the virtual MAC address cannot either"
            ));
        };
        let Some(found) = self.netlink.link(name).map_err(|error| failed(&error))? else {
            self.make(wanted, beneath.index).map_err(|error| failed(&error))?;
            return Ok(false);
        };
        if !found.is_macvlan || found.mac != Some(*mac) || found.beneath != Some(beneath.index) {
            return Err(format!(
                "there is an interface {name} already, which is no macvlan on {base} with the address {mac}: remove it \
                 (ip link del {name}), or write virtual_mac_name"
            ));
        }
        if found.mtu != beneath.mtu {
            // It follows a smaller one by itself.
            let mut message = bare(found.index);
            message.attributes.push(LinkAttribute::Mtu(beneath.mtu));
            self.change(message).map_err(|error| failed(&error))?;
        }
        Ok(true)
    }

    /// Up, before addresses are held on it, or down.
    ///
    /// # Errors
    /// It is not there, or the capability is missing.
    pub fn set_up(&mut self, name: &InterfaceName, up: bool) -> io::Result<()> {
        let Some(found) = self.netlink.link(name)? else { return Err(io::Error::from_raw_os_error(libc::ENODEV)) };
        if found.up == up {
            return Ok(());
        }
        let mut message = bare(found.index);
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        message.header.change_mask = LinkFlags::Up;
        self.change(message)
    }

    /// Down, if nothing is held on it: whoever made it did not come to that.
    ///
    /// # Errors
    /// As [`set_up`](Self::set_up).
    pub fn rest(&mut self, name: &InterfaceName) -> io::Result<()> {
        let index = self.netlink.index_of(name)?;
        let holds = self.netlink.addresses()?.iter().any(|seen| seen.index == index);
        if holds { Ok(()) } else { self.set_up(name, false) }
    }

    /// Removes it, if it is there and ours. Returns whether it was.
    ///
    /// # Errors
    /// The capability is missing.
    pub fn remove(&mut self, name: &InterfaceName, mac: MacAddr) -> io::Result<bool> {
        let found = self.netlink.link(name)?.filter(|found| found.is_macvlan && found.mac == Some(mac));
        let Some(found) = found else { return Ok(false) };
        let request = Request { message: RouteNetlinkMessage::DelLink(bare(found.index)), flags: 0 };
        match self.tell(request) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            result => result.map(|()| true),
        }
    }

    /// Sets how an interface treats ARP, by netlink: /proc/sys may be read-only.
    ///
    /// # Errors
    /// It is not there, or the capability is missing.
    pub fn set_arp(&mut self, interface: &InterfaceName, habits: ArpHabits) -> io::Result<()> {
        let index = self.netlink.index_of(interface)?;
        let values = [(ARP_IGNORE, u32::from(habits.ignore)), (ARP_ANNOUNCE, u32::from(habits.announce))];
        self.change(with_settings(index, &values))
    }

    /// Down, and quiet: neither family makes addresses of its own on it.
    fn make(&mut self, wanted: &Macvlan, base: u32) -> io::Result<()> {
        let Macvlan { name, mac, .. } = wanted;
        let message = LinkMacVlan::new(name.as_str(), base, MacVlanMode::Bridge).address(mac.0.to_vec()).build();
        self.tell(Request { message: RouteNetlinkMessage::NewLink(message), flags: NLM_F_CREATE | NLM_F_EXCL })?;
        let index = self.netlink.index_of(name)?;
        // It answers only for its own addresses, whatever the way back is: that leads through the interface beneath.
        let values = [(ARP_IGNORE, 1), (ARP_FILTER, 0), (ARP_ANNOUNCE, 2), (RP_FILTER, 2)];
        let set = self.change(with_settings(index, &values));
        // Where IPv6 is off, or these cannot be written, there is at worst an address too many while it is up.
        let _ = self.change(without_own_addresses(index));
        for (switch, value) in [("accept_ra", "0"), ("autoconf", "0"), ("accept_dad", "0"), ("addr_gen_mode", "1")] {
            let _ = fs::write(setting("ipv6", name, switch), value);
        }
        if set.is_err() {
            let _ = self.remove(name, *mac);
        }
        set
    }

    fn change(&mut self, message: LinkMessage) -> io::Result<()> {
        self.tell(Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 })
    }

    fn tell(&mut self, request: Request) -> io::Result<()> {
        match self.netlink.change(vec![request], None) {
            Ok(results) => results.into_iter().collect(),
            Err(Failure::Io(error)) => Err(error),
            Err(Failure::TooLate(_)) => Ok(()),
        }
    }
}

fn not_made(wanted: &Macvlan, error: &io::Error) -> String {
    let Macvlan { name, base, mac } = wanted;
    let advice = match error.raw_os_error() {
        Some(libc::EPERM) => "ha needs the capability CAP_NET_ADMIN",
        Some(libc::EOPNOTSUPP) => "this kernel has no macvlan (module macvlan): load it, or remove virtual_mac",
        Some(libc::EBUSY) => "it is a port of a bridge or of a bond: name that one as interface, or remove virtual_mac",
        Some(_) | None => "look at the kernel's log, or remove virtual_mac",
    };
    format!("the macvlan {name} with the virtual MAC address {mac} cannot be made on {base}: {error}; {advice}")
}

fn setting(family: &str, interface: &InterfaceName, name: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{interface}/{name}")
}

fn bare(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

/// `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { … } } }`.
fn with_settings(index: u32, values: &[(u16, u32)]) -> LinkMessage {
    const IFLA_INET_CONF: u16 = 1;
    let values: Vec<u8> = values.iter().flat_map(|(kind, value)| attribute(*kind, &value.to_ne_bytes())).collect();
    of_family(index, libc::AF_INET, &attribute(IFLA_INET_CONF, &values))
}

/// `IFLA_AF_SPEC { AF_INET6 { IFLA_INET6_ADDR_GEN_MODE: none } }`.
fn without_own_addresses(index: u32) -> LinkMessage {
    const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
    const NONE: u8 = 1;
    of_family(index, libc::AF_INET6, &attribute(IFLA_INET6_ADDR_GEN_MODE, &[NONE]))
}

fn of_family(index: u32, family: i32, value: &[u8]) -> LinkMessage {
    const IFLA_AF_SPEC: u16 = 26;
    let mut message = bare(index);
    let value = attribute(u16::try_from(family).unwrap_or_default(), value);
    message.attributes.push(LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC, value)));
    message
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{
        super::namespace::{Far, alone, ip, ip_shows, link, name},
        *,
    };

    const MAC: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 51]);

    fn wanted() -> Macvlan {
        Macvlan { name: name("ha-51"), base: name("va"), mac: MAC }
    }

    #[test]
    fn a_device_comes_quiet_goes_and_is_never_somebody_elses() {
        alone(|| {
            let _far = Far::connect();
            let mut macvlans = Macvlans::open().unwrap();
            assert!(!macvlans.ensure(&wanted()).unwrap());
            assert!(macvlans.ensure(&wanted()).unwrap());
            let there = link("ha-51").unwrap();
            assert_eq!((there.mac, there.up), (Some(MAC), false));
            macvlans.set_up(&name("ha-51"), true).unwrap();
            assert!(link("ha-51").unwrap().up);
            assert!(!ip_shows("-6 addr show dev ha-51").contains("inet6"), "it makes no addresses of its own");
            assert_eq!(ArpHabits::of(&name("ha-51")), Some(ArpHabits::BENEATH));
            ip("link set va mtu 1400");
            macvlans.ensure(&wanted()).unwrap();
            ip("link set va mtu 1450");
            macvlans.ensure(&wanted()).unwrap();
            assert!(ip_shows("link show ha-51").contains("mtu 1450"));
            assert!(!macvlans.remove(&name("va"), MAC).unwrap());
            assert!(macvlans.remove(&name("ha-51"), MAC).unwrap());
            assert!(!macvlans.remove(&name("ha-51"), MAC).unwrap());
            ip("link add ha-51 type bridge");
            assert!(macvlans.ensure(&wanted()).unwrap_err().contains("virtual_mac_name"));
            assert!(!macvlans.remove(&name("ha-51"), MAC).unwrap());
        });
    }

    #[test]
    fn the_interface_beneath_says_nothing_of_its_addresses_and_gets_its_habits_back() {
        alone(|| {
            let _far = Far::connect();
            let mut macvlans = Macvlans::open().unwrap();
            let before = ArpHabits::of(&name("va")).unwrap();
            macvlans.set_arp(&name("va"), before.at_least(ArpHabits::BENEATH)).unwrap();
            assert_eq!(ArpHabits::of(&name("va")), Some(ArpHabits::BENEATH));
            macvlans.set_arp(&name("va"), before).unwrap();
            assert_eq!(ArpHabits::of(&name("va")), Some(before));
        });
    }
}
