//! What the kernel is asked about addresses, as messages: put this one there for so long, take it away.

use std::{fs, net::IpAddr};

use ipnet::IpNet;
use rtnetlink::{
    packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo},
        link::{LinkAttribute, LinkMessage},
    },
};

use super::rtnl::Request;
use crate::{
    config::{Manner, NetworkRoute, Scope},
    node::Lifetime,
    words::{Family, InterfaceName},
};

/// `IFA_PROTO` of the addresses of this program. Kernels before 5.18 forget it.
pub const MARK: u8 = 0x70;

/// An address and how it was put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) address: IpNet,
    pub(super) manner: Manner,
    pub(super) route: Route,
}

/// Whether the kernel makes a route to the address's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Yes, as for any address.
    Made,
    /// No: another address of the interface has made it. If that one came from a router advertisement, its route has a
    /// lifetime, and a renewal of ours would cut that down to the lease.
    LeftOut,
}

/// IPv4 routes have no lifetime; an address alone has no network.
pub(super) const fn shares_route(address: IpNet) -> bool {
    match address {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.prefix_len() < 128,
    }
}

/// Whether this kernel keeps marks: Linux 5.18 and later. Unknown counts as no.
#[must_use]
pub fn kernel_keeps_marks() -> bool {
    fs::read_to_string("/proc/sys/kernel/osrelease").is_ok_and(|release| keeps_marks(&release))
}

fn keeps_marks(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) >= (5, 18),
        (Some(_) | None, Some(_) | None) => false,
    }
}

/// Adds it, or begins its lifetime anew. Without `CREATE` the kernel would create it all the same.
pub(super) fn put(index: u32, placed: &Placed, lifetime: Lifetime) -> Request {
    let mut message = bare(index, placed.address, placed.manner.peer);
    message.header.scope = scope(placed.address.addr(), placed.manner.scope);
    message.attributes.extend(placed.manner.label.clone().map(AddressAttribute::Label));
    message.attributes.extend(placed.manner.broadcast.map(AddressAttribute::Broadcast));
    message.attributes.push(AddressAttribute::CacheInfo(cache_info(placed.address, lifetime)));
    message.attributes.push(AddressAttribute::Flags(flags(placed)));
    // A renewal without it clears the mark.
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
    Request { message: RouteNetlinkMessage::NewAddress(message), flags: NLM_F_REPLACE | NLM_F_CREATE }
}

/// `peer`: the far end it has there; with another one the kernel does not find an IPv4 address.
pub(super) fn take_away(index: u32, address: IpNet, peer: Option<IpAddr>) -> Request {
    Request { message: RouteNetlinkMessage::DelAddress(bare(index, address, peer)), flags: 0 }
}

pub(super) fn bare(index: u32, address: IpNet, peer: Option<IpAddr>) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = match Family::of(address.addr()) {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    };
    message.attributes.push(AddressAttribute::Local(address.addr()));
    message.attributes.push(AddressAttribute::Address(peer.unwrap_or(address.addr())));
    message
}

/// The kernel finds the scope of an IPv6 address itself.
pub(super) const fn scope(address: IpAddr, wanted: Option<Scope>) -> AddressScope {
    match wanted {
        Some(Scope::Global) => return AddressScope::Universe,
        Some(Scope::Site) => return AddressScope::Site,
        Some(Scope::Link) => return AddressScope::Link,
        Some(Scope::Host) => return AddressScope::Host,
        None => (),
    }
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => AddressScope::Host,
        IpAddr::V4(v4) if v4.is_link_local() => AddressScope::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => AddressScope::Universe,
    }
}

/// The scope in words of ours.
pub(super) const fn known_scope(scope: AddressScope) -> Option<Scope> {
    match scope {
        AddressScope::Universe => Some(Scope::Global),
        AddressScope::Site => Some(Scope::Site),
        AddressScope::Link => Some(Scope::Link),
        AddressScope::Host => Some(Scope::Host),
        AddressScope::Nowhere | AddressScope::Other(_) | _ => None,
    }
}

/// How the kernel shows an address that was put on `interface` like this.
pub(super) fn in_full(placed: &Placed, interface: &InterfaceName) -> Manner {
    let v4 = placed.address.addr().is_ipv4();
    let bare = flags(placed).contains(AddressFlags::Noprefixroute);
    Manner {
        device: None,
        virtual_mac: None,
        label: placed.manner.label.clone().or_else(|| v4.then(|| interface.to_string())),
        scope: if v4 { known_scope(scope(placed.address.addr(), placed.manner.scope)) } else { None },
        network_route: if bare { NetworkRoute::LeftOut } else { NetworkRoute::Made },
        ..placed.manner.clone()
    }
}

/// A /128 is never preferred as a source for this machine's own connections.
fn cache_info(address: IpNet, lifetime: Lifetime) -> CacheInfo {
    /// `INFINITY_LIFE_TIME`.
    const FOREVER: u32 = u32::MAX;
    let valid = match lifetime {
        Lifetime::Forever => FOREVER,
        // Rounded up to the kernel's unit, and never the zero that would be refused.
        Lifetime::For(time) => {
            let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            u32::try_from(whole).unwrap_or(FOREVER).max(1)
        }
    };
    let alone = matches!(address, IpNet::V6(net) if net.prefix_len() == 128);
    let mut info = CacheInfo::default();
    info.ifa_valid = valid;
    info.ifa_preferred = if alone { 0 } else { valid };
    info
}

/// Duplicate detection would keep an IPv6 address unusable for a second; the claim has asked before.
fn flags(placed: &Placed) -> AddressFlags {
    let detection = match Family::of(placed.address.addr()) {
        Family::V4 => AddressFlags::empty(),
        Family::V6 => AddressFlags::Nodad,
    };
    match (placed.route, placed.manner.network_route) {
        (Route::Made, NetworkRoute::Made) => detection,
        (Route::LeftOut, _) | (_, NetworkRoute::LeftOut) => detection | AddressFlags::Noprefixroute,
    }
}

/// `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { IPV4_DEVCONF_PROMOTE_SECONDARIES: 1 } } }`.
pub(super) fn promote_secondaries(index: u32) -> Request {
    const IFLA_AF_SPEC: u16 = 26;
    const AF_INET: u16 = 2;
    const IFLA_INET_CONF: u16 = 1;
    const PROMOTE_SECONDARIES: u16 = 20;
    let headers = [(16_u16, AF_INET), (12, IFLA_INET_CONF), (8, PROMOTE_SECONDARIES)];
    let mut value: Vec<u8> =
        headers.iter().flat_map(|(length, kind)| [length.to_ne_bytes(), kind.to_ne_bytes()].concat()).collect();
    value.extend(1_u32.to_ne_bytes());
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.push(LinkAttribute::Other(DefaultNla::new(IFLA_AF_SPEC, value)));
    Request { message: RouteNetlinkMessage::SetLink(message), flags: 0 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn kernels_from_5_18_on_keep_marks() {
        for (release, keeps) in [
            ("5.18.0", true),
            ("6.1.0-18-amd64", true),
            ("5.17.15", false),
            ("4.19.0", false),
            ("5.4-rc1", false),
            ("", false),
        ] {
            assert_eq!(keeps_marks(release), keeps, "{release}");
        }
    }

    #[test]
    fn lifetimes_are_whole_seconds_and_never_zero() {
        let times = [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (2000, 2), (u64::MAX, u32::MAX)];
        for (millis, seconds) in times {
            let info = cache_info("192.168.0.60/24".parse().unwrap(), Lifetime::For(Duration::from_millis(millis)));
            assert_eq!((info.ifa_valid, info.ifa_preferred), (seconds, seconds), "{millis} ms");
        }
    }

    #[test]
    fn only_an_ipv6_address_alone_is_never_preferred() {
        for (address, preferred) in [("fd00::60/128", 0), ("fd00::60/64", 3), ("192.168.0.60/32", 3)] {
            let info = cache_info(address.parse().unwrap(), Lifetime::For(Duration::from_secs(3)));
            assert_eq!((info.ifa_valid, info.ifa_preferred), (3, preferred), "{address}");
        }
        let forever = cache_info("fd00::60/128".parse().unwrap(), Lifetime::Forever);
        assert_eq!((forever.ifa_valid, forever.ifa_preferred), (u32::MAX, 0));
    }
}
