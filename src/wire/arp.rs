//! ARP for IPv4 over Ethernet (RFC 826): questions, probes (RFC 5227) and announcements, as whole frames.
//!
//! Frames are built without padding; the kernel adds it.

use std::net::{IpAddr, Ipv4Addr};

use super::NeighborKind;
use crate::words::MacAddr;

/// The size of a frame, in bytes: 14 of Ethernet, 28 of ARP.
pub const FRAME_LENGTH: usize = 42;

/// The two operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// 1.
    Request,
    /// 2.
    Reply,
}

/// A received ARP frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArpSeen {
    /// Where the frame comes from.
    pub ethernet_source: MacAddr,
    /// What it is.
    pub operation: Operation,
    /// The link-layer address it speaks of.
    pub sender_mac: MacAddr,
    /// The address it speaks of.
    pub sender_ip: Ipv4Addr,
    /// The address it speaks to.
    pub target_ip: Ipv4Addr,
}

impl ArpSeen {
    /// What it says. Gratuitous is what speaks of and to the same address, in either form.
    #[must_use]
    pub fn kind(&self) -> NeighborKind {
        let sender = IpAddr::V4(self.sender_ip);
        let target = IpAddr::V4(self.target_ip);
        match self.operation {
            Operation::Request if self.sender_ip.is_unspecified() => NeighborKind::Probe { target },
            Operation::Request | Operation::Reply if sender == target => NeighborKind::Announcement { address: sender },
            Operation::Request => NeighborKind::Request { sender, target },
            Operation::Reply => NeighborKind::Reply { address: sender },
        }
    }
}

/// "Who has `target`?", asked by `source`, of everybody or of `to` only. Without a source it is the probe of RFC 5227
/// section 2.1.1, which changes nobody's cache.
#[must_use]
pub fn ask(mac: MacAddr, source: Option<Ipv4Addr>, target: Ipv4Addr, to: Option<MacAddr>) -> [u8; FRAME_LENGTH] {
    let sender = source.unwrap_or(Ipv4Addr::UNSPECIFIED);
    frame(to.unwrap_or(MacAddr::BROADCAST), Operation::Request, (mac, sender), (MacAddr([0; 6]), target))
}

/// "`address` is at `mac`", to everybody: a gratuitous ARP. RFC 9568 section 6.4.1 sends the form of a request; some
/// listen to that of a reply only.
#[must_use]
pub fn announce(mac: MacAddr, address: Ipv4Addr, form: Operation) -> [u8; FRAME_LENGTH] {
    frame(MacAddr::BROADCAST, form, (mac, address), (mac, address))
}

/// Reads a frame. `None` if it is no ARP frame of IPv4 over Ethernet, or neither a request nor a reply.
#[must_use]
pub fn parse(frame: &[u8]) -> Option<ArpSeen> {
    let (_destination, rest) = frame.split_first_chunk::<6>()?;
    let (ethernet_source, rest) = rest.split_first_chunk::<6>()?;
    let rest = rest.strip_prefix(&ETHERTYPE)?.strip_prefix(&IPV4_OVER_ETHERNET)?;
    let (&[high, low], rest) = rest.split_first_chunk::<2>()?;
    let operation = match u16::from_be_bytes([high, low]) {
        1 => Operation::Request,
        2 => Operation::Reply,
        _ => return None,
    };
    let (sender_mac, rest) = rest.split_first_chunk::<6>()?;
    let (sender_ip, rest) = rest.split_first_chunk::<4>()?;
    let (_target_mac, rest) = rest.split_first_chunk::<6>()?;
    let target_ip = rest.first_chunk::<4>()?;
    Some(ArpSeen {
        ethernet_source: MacAddr(*ethernet_source),
        operation,
        sender_mac: MacAddr(*sender_mac),
        sender_ip: Ipv4Addr::from(*sender_ip),
        target_ip: Ipv4Addr::from(*target_ip),
    })
}

const ETHERTYPE: [u8; 2] = [0x08, 0x06];

/// Hardware type 1, protocol type IPv4, six and four bytes of address.
const IPV4_OVER_ETHERNET: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];

type Station = (MacAddr, Ipv4Addr);

fn frame(to: MacAddr, operation: Operation, sender: Station, target: Station) -> [u8; FRAME_LENGTH] {
    let operation: u8 = match operation {
        Operation::Request => 1,
        Operation::Reply => 2,
    };
    let parts = [
        &to.0[..],
        &sender.0.0,
        &ETHERTYPE,
        &IPV4_OVER_ETHERNET,
        &[0, operation],
        &sender.0.0,
        &sender.1.octets(),
        &target.0.0,
        &target.1.octets(),
    ];
    let mut frame = [0; FRAME_LENGTH];
    for (to, from) in frame.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    frame
}
