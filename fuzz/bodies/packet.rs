//! Whatever arrives from the network: advertisements, ARP and neighbour discovery frames.
//!
//! Each input is read as it is and once more with its checksum put right, or nothing would ever get past it. What is
//! accepted must survive being written and read again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ha::wire::{AuthField, Decoded, Key, Trailer, Version, arp, decode, encode_v2, encode_v3, ndisc, sign, vrid_of};

const V4: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(192, 168, 0, 20)), IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18))];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x20)),
    IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
];

pub(crate) fn run(data: &[u8]) {
    let _ = vrid_of(data);
    let _ = arp::parse(data).map(|seen| seen.kind());
    let _ = ndisc::parse(data).map(|seen| (seen.kind(), seen.mac()));
    let _ = ndisc::parse(&icmpv6_frame(data)).map(|seen| (seen.kind(), seen.mac()));
    for between in [V4, V6] {
        trailer(between[0], data);
        advertisement(between, data);
        advertisement(between, &with_checksum(data, 6, 0));
        advertisement(between, &with_checksum(data, 6, pseudo_header(between, 112, data.len())));
    }
}

/// What is behind a message, and that what is signed is believed.
fn trailer(source: IpAddr, payload: &[u8]) {
    let Ok((message, trailer)) = Trailer::split(source, payload) else { return };
    let Some(trailer) = trailer else { return };
    let key = Key::new(&[7; 32]).unwrap();
    let _ = trailer.is_made_with(&key, source, message);
    let signed = sign(message.to_vec(), source, trailer.key, &key, trailer.stamp);
    let (again, ours) = Trailer::split(source, &signed).unwrap();
    let ours = ours.unwrap();
    // Over IPv6 the checksum covers what is behind the message too.
    let without = |bytes: &[u8]| [&bytes[..6], &bytes[8..]].concat();
    assert_eq!((without(again), ours.key, ours.stamp), (without(message), trailer.key, trailer.stamp));
    assert!(source.is_ipv6() || again == message);
    assert!(ours.is_made_with(&key, source, again));
}

fn advertisement([source, destination]: [IpAddr; 2], payload: &[u8]) {
    let Ok(decoded) = decode(source, destination, payload) else { return };
    let Decoded { version, ref advertisement, auth, checksum } = decoded;
    let written = match (version, auth) {
        (Version::V2, AuthField::None) => encode_v2(advertisement, None),
        (Version::V2, AuthField::Pass(password)) => encode_v2(advertisement, Some(&password)),
        (Version::V2, AuthField::Other(_)) => return,
        (Version::V3, _) => encode_v3(advertisement, source, destination, checksum),
    };
    assert_eq!(decode(source, destination, &written), Ok(decoded));
}

/// The input as the ICMPv6 message of a frame.
fn icmpv6_frame(data: &[u8]) -> Vec<u8> {
    let [source, destination] = V6;
    let message = with_checksum(data, 2, pseudo_header(V6, 58, data.len()));
    let [.., high, low] = message.len().to_be_bytes();
    let mut frame = vec![0; 12];
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, 58, 255]);
    frame.extend(octets(source));
    frame.extend(octets(destination));
    frame.extend(message);
    frame
}

/// The input with the two bytes at `at` such that everything, and `covered`, sums to ones.
fn with_checksum(data: &[u8], at: usize, covered: u64) -> Vec<u8> {
    let mut data = data.to_vec();
    let Some(field) = data.get_mut(at..at + 2) else { return data };
    field.fill(0);
    let sum = (covered + words(&data)) % 0xffff;
    data[at..at + 2].copy_from_slice(&(0xffff - sum as u16).to_be_bytes());
    data
}

fn pseudo_header([source, destination]: [IpAddr; 2], protocol: u64, length: usize) -> u64 {
    words(&octets(source)) + words(&octets(destination)) + protocol + length as u64
}

fn words(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low))).sum()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
