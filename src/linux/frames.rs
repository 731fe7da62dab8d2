//! Between the socket's bytes and `wire`: which codec a family has.

use std::net::IpAddr;

use crate::{
    node::{Ask, NeighborFrame},
    wire::{arp, ndisc},
    words::{Family, InterfaceName, MacAddr},
};

/// `None` if `wire` cannot read the frame.
pub(super) fn parse(interface: &InterfaceName, family: Family, frame: &[u8]) -> Option<NeighborFrame> {
    let (kind, source_mac, mac) = match family {
        Family::V4 => {
            let seen = arp::parse(frame)?;
            (seen.kind(), seen.ethernet_source, seen.sender_mac)
        }
        Family::V6 => {
            let seen = ndisc::parse(frame)?;
            (seen.kind(), seen.ethernet_source, seen.mac())
        }
    };
    Some(NeighborFrame { interface: interface.clone(), kind, source_mac, mac })
}

/// `None` if an address is of the other family.
pub(super) fn ask(family: Family, ask: &Ask, own_mac: MacAddr) -> Option<Vec<u8>> {
    match (family, ask.target, ask.source) {
        (Family::V4, IpAddr::V4(target), None) => Some(arp::ask(own_mac, None, target, ask.to).to_vec()),
        (Family::V4, IpAddr::V4(target), Some(IpAddr::V4(source))) => {
            Some(arp::ask(own_mac, Some(source), target, ask.to).to_vec())
        }
        (Family::V6, IpAddr::V6(target), None) => Some(ndisc::ask(own_mac, None, target, ask.to)),
        (Family::V6, IpAddr::V6(target), Some(IpAddr::V6(source))) => {
            Some(ndisc::ask(own_mac, Some(source), target, ask.to))
        }
        (Family::V4 | Family::V6, IpAddr::V4(_) | IpAddr::V6(_), None | Some(IpAddr::V4(_) | IpAddr::V6(_))) => None,
    }
}

/// `None` if the address is of the other family.
pub(super) fn announce(family: Family, address: IpAddr, own_mac: MacAddr, router: bool) -> Option<Vec<u8>> {
    match (family, address) {
        (Family::V4, IpAddr::V4(address)) => Some(arp::announce(own_mac, address, arp::Operation::Request).to_vec()),
        (Family::V6, IpAddr::V6(address)) => {
            Some(ndisc::announce(own_mac, address, address, ndisc::Flags::announcement(router)))
        }
        (Family::V4 | Family::V6, IpAddr::V4(_) | IpAddr::V6(_)) => None,
    }
}
