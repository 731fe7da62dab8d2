//! What VRRP asks of the IP header (RFC 9568 section 5.1): the kernel writes it, these are the values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::words::Family;

/// The protocol number.
pub const PROTOCOL: u8 = 112;

/// TTL and hop limit of everything sent: a datagram that arrives with another one crossed a router.
pub const HOP_LIMIT: u8 = 255;

/// The group all routers listen to: 224.0.0.18, ff02::12.
#[must_use]
pub const fn group(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}
