//! From an ADVERTISEMENT to bytes. What can be built can be emitted: nothing here fails.
//!
//! An advertisement holds what the configuration made sure of. Should it hold what the format cannot say, the format
//! wins: addresses of the other family and beyond the 255th are left out, an interval becomes the next longer one there
//! is, or the longest.

use std::net::IpAddr;

use super::{
    Advertisement, ChecksumForm, PROTOCOL, Priority,
    checksum::Sum,
    decode::{ADVERTISEMENT, BLOCK},
};
use crate::words::Family;

/// A version 2 message (RFC 3768 section 5.1): IPv4, eight bytes of authentication data at its end, which are zero
/// without a password.
#[must_use]
pub fn encode_v2(advertisement: &Advertisement, password: Option<&[u8; 8]>) -> Vec<u8> {
    let (count, mut body) = addresses(advertisement, Family::V4);
    body.extend(password.unwrap_or(&[0; 8]));
    let auth_type = u8::from(password.is_some());
    let header = header(2, advertisement, count, [auth_type, advertisement.interval.field_secs()]);
    seal(header, &body, Sum::ZERO)
}

/// A version 3 message (RFC 9568 section 5.1), of the family of the address it is sent from. Over IPv6 the checksum
/// always covers the pseudo header, whatever `form` says.
#[must_use]
pub fn encode_v3(advertisement: &Advertisement, source: IpAddr, destination: IpAddr, form: ChecksumForm) -> Vec<u8> {
    let family = Family::of(source);
    let (count, body) = addresses(advertisement, family);
    let header = header(3, advertisement, count, advertisement.interval.field_centis().to_be_bytes());
    let length = BLOCK.saturating_add(u16::try_from(body.len()).unwrap_or(u16::MAX));
    let covered = match (family, form) {
        (Family::V4, ChecksumForm::MessageOnly) => Sum::ZERO,
        (Family::V4, ChecksumForm::PseudoHeader)
        | (Family::V6, ChecksumForm::MessageOnly | ChecksumForm::PseudoHeader) => {
            Sum::pseudo_header(source, destination, PROTOCOL, length)
        }
    };
    seal(header, &body, covered)
}

/// The addresses of a family, and how many there are.
fn addresses(advertisement: &Advertisement, family: Family) -> (u8, Vec<u8>) {
    let mut count: u8 = 0;
    let mut bytes = Vec::new();
    for address in advertisement.addresses.iter().filter(|a| Family::of(**a) == family).take(usize::from(u8::MAX)) {
        count = count.saturating_add(1);
        match address {
            IpAddr::V4(address) => bytes.extend(address.octets()),
            IpAddr::V6(address) => bytes.extend(address.octets()),
        }
    }
    (count, bytes)
}

/// The eight bytes both versions begin with, the checksum still zero.
fn header(version: u8, advertisement: &Advertisement, count: u8, timing: [u8; 2]) -> [u8; 8] {
    let priority = advertisement.priority.map_or(0, Priority::get);
    let [high, low] = timing;
    [version << 4 | ADVERTISEMENT, advertisement.vrid.get(), priority, count, high, low, 0, 0]
}

/// The message, with a checksum over it and what else is covered.
fn seal(mut header: [u8; 8], body: &[u8], covered: Sum) -> Vec<u8> {
    let sum = covered.plus(Sum::of(&header)).plus(Sum::of(body));
    [header[6], header[7]] = sum.checksum().to_be_bytes();
    [&header, body].concat()
}
