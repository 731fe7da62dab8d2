//! Which interface of this machine is on a network, and who this machine is there.

use std::net::IpAddr;

use nix::{
    ifaddrs::{InterfaceAddress, getifaddrs},
    net::if_::InterfaceFlags,
    sys::socket::{LinkAddr, SockaddrStorage},
};

use super::answer::Failure;
use crate::policy::probe::ErrorKind;

/// An interface as seen by somebody who looks for a neighbour.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// Its number and hardware address.
    pub(super) hardware: Option<LinkAddr>,
    /// This machine's address on the neighbour's network.
    pub(super) source: Option<IpAddr>,
}

/// The link to `target`: `iface` if it is given, else the interface with the narrowest network that contains it.
pub(super) fn towards(target: IpAddr, iface: Option<&str>) -> Result<Link, Failure> {
    let entries: Vec<InterfaceAddress> = getifaddrs().map_err(|errno| Failure::of_socket(&errno.into()))?.collect();
    let networks = entries.iter().filter(|entry| iface.is_none_or(|iface| entry.interface_name == iface));
    let nearest =
        networks.filter_map(|entry| Some((prefix_of(entry, target)?, entry))).max_by_key(|(prefix, _)| *prefix);
    let name = match (iface, nearest) {
        (Some(iface), _) => iface,
        (None, Some((_, entry))) => entry.interface_name.as_str(),
        (None, None) => return Err(unreachable(format!("no interface is on a network with {target}"))),
    };
    if !entries.iter().any(|entry| entry.interface_name == name) {
        return Err(unreachable(format!("no interface {name}")));
    }
    let hardware = entries.iter().filter(|entry| entry.interface_name == name).find_map(hardware);
    Ok(Link { name: name.to_owned(), hardware, source: nearest.and_then(|(_, entry)| ip(entry.address?)) })
}

fn unreachable(why: String) -> Failure {
    Failure::new(ErrorKind::Unreachable, why)
}

fn hardware(entry: &InterfaceAddress) -> Option<LinkAddr> {
    entry.address?.as_link_addr().copied()
}

/// The prefix length of the entry's network, if `target` is in it. The loopback interface has no neighbours.
fn prefix_of(entry: &InterfaceAddress, target: IpAddr) -> Option<u32> {
    if entry.flags.contains(InterfaceFlags::IFF_LOOPBACK) {
        return None;
    }
    let (prefix, same) = match (ip(entry.address?)?, ip(entry.netmask?)?, target) {
        (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(target)) => {
            let mask = mask.to_bits();
            (mask.count_ones(), (own.to_bits() ^ target.to_bits()) & mask == 0)
        }
        (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(target)) => {
            let mask = mask.to_bits();
            (mask.count_ones(), (own.to_bits() ^ target.to_bits()) & mask == 0)
        }
        _ => return None,
    };
    same.then_some(prefix)
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_no_network_and_an_interface_that_is_not_there_are_no_way() {
        // 240.0.0.0/4 is on nobody's interface.
        let failure = towards("240.0.0.1".parse().unwrap(), None).unwrap_err();
        assert_eq!(failure, unreachable("no interface is on a network with 240.0.0.1".to_owned()));
        let failure = towards("240.0.0.1".parse().unwrap(), Some("nosuch0")).unwrap_err();
        assert_eq!(failure, unreachable("no interface nosuch0".to_owned()));
    }

    #[test]
    fn a_named_interface_is_taken_whatever_its_network() {
        let link = towards("240.0.0.1".parse().unwrap(), Some("lo")).unwrap();
        assert_eq!((link.name.as_str(), link.source), ("lo", None));
    }
}
