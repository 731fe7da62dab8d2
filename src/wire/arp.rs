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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::{collection::vec, prelude::*};

    use super::{ArpSeen, FRAME_LENGTH, NeighborKind, Operation, announce, ask, frame, parse};
    use crate::words::MacAddr;

    /// Captured: keepalived 2.2.7, gratuitous ARP for 192.168.0.100 from 02:00:00:00:00:01.
    const GRATUITOUS: [u8; 42] = *b"\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\x01\x08\x06\0\x01\x08\0\x06\x04\0\x01\
        \x02\0\0\0\0\x01\xc0\xa8\0\x64\xff\xff\xff\xff\xff\xff\xc0\xa8\0\x64";

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 20);
    const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 100);

    fn kind(frame: &[u8]) -> NeighborKind {
        parse(frame).unwrap().kind()
    }

    /// Byte for byte as keepalived, but for the target's link-layer address: RFC 9568, 6.4.1, as corrected by errata,
    /// has that of the sender there, and receivers ignore it.
    #[test]
    fn an_announcement_on_the_wire() {
        let ours = announce(MAC, VIRTUAL, Operation::Request);
        assert_eq!(ours[..32], GRATUITOUS[..32]);
        assert_eq!(ours[32..38], MAC.0);
        assert_eq!(ours[38..], GRATUITOUS[38..]);
    }

    #[test]
    fn a_question_on_the_wire() {
        let asked = ask(MAC, Some(OWN), VIRTUAL, Some(PEER));
        let expected = *b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x06\0\x01\x08\0\x06\x04\0\x01\
            \x02\0\0\0\0\x01\xc0\xa8\0\x14\0\0\0\0\0\0\xc0\xa8\0\x64";
        assert_eq!(asked, expected);
        assert_eq!(ask(MAC, Some(OWN), VIRTUAL, None)[..6], [0xff; 6]);
    }

    /// RFC 5227, 2.1.1: sender address all zero, target link-layer address all zero.
    #[test]
    fn a_probe_names_no_sender() {
        let probe = ask(MAC, None, VIRTUAL, None);
        assert_eq!(probe[28..38], [0; 10]);
        assert_eq!(kind(&probe), NeighborKind::Probe { target: IpAddr::V4(VIRTUAL) });
    }

    #[test]
    fn reads_the_gratuitous_arp_of_keepalived() {
        let seen = ArpSeen {
            ethernet_source: MAC,
            operation: Operation::Request,
            sender_mac: MAC,
            sender_ip: VIRTUAL,
            target_ip: VIRTUAL,
        };
        assert_eq!(parse(&GRATUITOUS), Some(seen));
    }

    #[test]
    fn what_is_asked_is_told_from_what_is_answered() {
        let (own, target) = (IpAddr::V4(OWN), IpAddr::V4(VIRTUAL));
        assert_eq!(kind(&ask(MAC, Some(OWN), VIRTUAL, None)), NeighborKind::Request { sender: own, target });
        let announcement = NeighborKind::Announcement { address: target };
        assert_eq!(kind(&announce(MAC, VIRTUAL, Operation::Request)), announcement);
        assert_eq!(kind(&announce(MAC, VIRTUAL, Operation::Reply)), announcement);
        let reply = frame(MAC, Operation::Reply, (PEER, VIRTUAL), (MAC, OWN));
        assert_eq!(kind(&reply), NeighborKind::Reply { address: target });
        // To a probe: the one who asked has no address.
        let reply = frame(MAC, Operation::Reply, (PEER, VIRTUAL), (MAC, Ipv4Addr::UNSPECIFIED));
        assert_eq!(kind(&reply), NeighborKind::Reply { address: target });
    }

    /// A proxy answers for others: the frame and what it speaks of have different senders.
    #[test]
    fn the_two_link_layer_addresses_are_kept_apart() {
        let mut frame = announce(MAC, VIRTUAL, Operation::Reply);
        frame[6..12].copy_from_slice(&PEER.0);
        let seen = parse(&frame).unwrap();
        assert_eq!((seen.ethernet_source, seen.sender_mac), (PEER, MAC));
    }

    #[test]
    fn padding_is_no_matter_and_a_cut_frame_is_none() {
        let padded = [&GRATUITOUS[..], &[0xaa; 18]].concat();
        assert_eq!(parse(&padded), parse(&GRATUITOUS));
        for length in 0..FRAME_LENGTH {
            assert_eq!(parse(&GRATUITOUS[..length]), None);
        }
    }

    #[test]
    fn other_protocols_and_operations_are_none() {
        // Type of the frame, types and sizes of the addresses, operation.
        for byte in 12..22 {
            let mut frame = GRATUITOUS;
            frame[byte] ^= 0x80;
            assert_eq!(parse(&frame), None, "byte {byte}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..64), head in 0_usize..=22) {
            let _ = parse(&bytes);
            let _ = parse(&[&GRATUITOUS[..head], &bytes].concat()).map(|seen| seen.kind());
        }

        #[test]
        fn what_is_built_is_what_is_read(
            to in any::<[u8; 6]>(),
            (sender_mac, sender) in any::<([u8; 6], Ipv4Addr)>(),
            (target_mac, target) in any::<([u8; 6], Ipv4Addr)>(),
            operation in prop_oneof![Just(Operation::Request), Just(Operation::Reply)],
        ) {
            let sender_mac = MacAddr(sender_mac);
            let frame = frame(MacAddr(to), operation, (sender_mac, sender), (MacAddr(target_mac), target));
            prop_assert_eq!(
                parse(&frame),
                Some(ArpSeen { ethernet_source: sender_mac, operation, sender_mac, sender_ip: sender, target_ip: target })
            );
        }
    }
}
