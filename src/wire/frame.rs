//! An advertisement as a whole Ethernet frame: only so it leaves with the virtual router MAC address (RFC 9568, 7.3), whatever
//! the interface's own address is.

use std::net::IpAddr;

use super::{
    checksum::Sum,
    ip::{HOP_LIMIT, PROTOCOL},
};
use crate::words::MacAddr;

/// Internetwork control (CS6), as every VRRP speaker marks its packets.
const TRAFFIC_CLASS: u8 = 0xc0;

/// The frame of a datagram to a group. `None` for another destination, whose link-layer address is not known here, for
/// addresses of two families, and for a payload that fits into no datagram.
#[must_use]
pub fn multicast_frame(mac: MacAddr, source: IpAddr, destination: IpAddr, payload: &[u8]) -> Option<Vec<u8>> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(group)) if group.is_multicast() => {
            let [_, b, c, d] = group.octets();
            let mut header = vec![0x45, TRAFFIC_CLASS];
            header.extend(u16::try_from(20 + payload.len()).ok()?.to_be_bytes());
            // Not to be fragmented, so its number means nothing (RFC 6864).
            header.extend([0, 0, 0x40, 0, HOP_LIMIT, PROTOCOL, 0, 0]);
            header.extend(source.octets());
            header.extend(group.octets());
            let checksum = Sum::of(&header).checksum().to_be_bytes();
            header.splice(10..12, checksum);
            Some([&[0x01, 0x00, 0x5e, b & 0x7f, c, d][..], &mac.0, &[0x08, 0x00], &header, payload].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(group)) if group.is_multicast() => {
            let [.., a, b, c, d] = group.octets();
            let mut header = vec![0x60 | TRAFFIC_CLASS >> 4, TRAFFIC_CLASS << 4, 0, 0];
            header.extend(u16::try_from(payload.len()).ok()?.to_be_bytes());
            header.extend([PROTOCOL, HOP_LIMIT]);
            header.extend(source.octets());
            header.extend(group.octets());
            Some([&[0x33, 0x33, a, b, c, d][..], &mac.0, &[0x86, 0xdd], &header, payload].concat())
        }
        (IpAddr::V4(_) | IpAddr::V6(_), IpAddr::V4(_) | IpAddr::V6(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(source: &str, destination: &str) -> Option<Vec<u8>> {
        let mac = MacAddr([0, 0, 0x5e, 0, 1, 51]);
        multicast_frame(mac, source.parse().unwrap(), destination.parse().unwrap(), &[0x31, 51])
    }

    #[test]
    fn s7_3_a_frame_comes_from_the_virtual_router() {
        let v4 = frame("192.168.0.20", "224.0.0.18").unwrap();
        assert_eq!(v4[..14], [0x01, 0, 0x5e, 0, 0, 18, 0, 0, 0x5e, 0, 1, 51, 8, 0]);
        assert_eq!(v4[14..24], [0x45, 0xc0, 0, 22, 0, 0, 0x40, 0, 255, 112]);
        assert!(Sum::of(&v4[14..34]).is_intact());
        assert_eq!(v4[26..], [192, 168, 0, 20, 224, 0, 0, 18, 0x31, 51]);
        let v6 = frame("fe80::1", "ff02::12").unwrap();
        assert_eq!(
            v6[..22],
            [0x33, 0x33, 0, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 51, 0x86, 0xdd, 0x6c, 0, 0, 0, 0, 2, 112, 255]
        );
        assert_eq!((v6.len(), &v6[54..]), (56, &[0x31, 51][..]));
    }

    #[test]
    fn one_machine_is_no_group() {
        assert_eq!(frame("192.168.0.20", "192.168.0.21"), None);
        assert_eq!(frame("192.168.0.20", "ff02::12"), None);
    }
}
