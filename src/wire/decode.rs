//! From bytes to an ADVERTISEMENT: version 2 (RFC 3768 section 5.1) and version 3 (RFC 9568 section 5.1).
//!
//! Everything the bytes alone can decide is decided here. Whether anybody wants to hear it (identifier, password,
//! interval, addresses) is decided by whoever knows the configuration.

use std::net::IpAddr;

use super::{AdverInterval, Advertisement, AuthField, PROTOCOL, Priority, Rejection, Version, Vrid, checksum::Sum};
use crate::words::Family;

/// An advertisement, and what only its bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Which version it was written in.
    pub version: Version,
    /// What it says.
    pub advertisement: Advertisement,
    /// How it is authenticated; always [`AuthField::None`] in version 3.
    pub auth: AuthField,
    /// What its checksum covers.
    pub checksum: ChecksumForm,
}

/// What a checksum covers. Version 2 knows only the first form and IPv6 only the second; of version 3 over IPv4 both
/// are in use, because RFC 5798 section 5.2.8 was read in two ways (RFC 9568 settled on the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// The VRRP message.
    MessageOnly,
    /// A pseudo header of the two IP addresses, protocol and length, and the VRRP message.
    PseudoHeader,
}

/// Decodes the payload of an IP datagram of protocol 112. Bytes after the message are not looked at: a short message
/// travels in a padded frame. Over IPv6 the checksum may cover them.
///
/// # Errors
/// The first check that fails, in the order of [`Rejection`]'s variants: `Destination` (the families of the two
/// addresses differ), `Length`, `Version`, `NotAdvertisement`, `Checksum`, `UnknownVrid` (0), `Interval` (0), `Count` (0),
/// `LinkLocalFirst`.
pub fn decode(source: IpAddr, destination: IpAddr, payload: &[u8]) -> Result<Decoded, Rejection> {
    let family = Family::of(source);
    if family != Family::of(destination) {
        return Err(Rejection::Destination);
    }
    let (&[first, vrid, priority, count, high, low, _, _], _) =
        payload.split_first_chunk::<8>().ok_or(Rejection::Length)?;
    let version = version_of(first >> 4, family)?;
    if first & 0x0f != ADVERTISEMENT {
        return Err(Rejection::NotAdvertisement);
    }
    let length = message_length(version, family, count);
    let message = payload.get(..usize::from(length)).ok_or(Rejection::Length)?;
    let header = |length| Sum::pseudo_header(source, destination, PROTOCOL, length);
    let checksum = match checksum_form(version, family, Sum::of(message), header(length)) {
        Err(_) if family == Family::V6 && covers_all(payload, header) => ChecksumForm::PseudoHeader,
        known => known?,
    };
    let vrid = Vrid::new(vrid).ok_or(Rejection::UnknownVrid)?;
    let interval = match version {
        Version::V2 => AdverInterval::from_secs(low),
        // The upper four bits are reserved and ignored (RFC 9568, 5.2.6).
        Version::V3 => AdverInterval::from_centis(u16::from_be_bytes([high & 0x0f, low])),
    }
    .ok_or(Rejection::Interval)?;
    let addresses = addresses(family, count, message);
    check_addresses(&addresses)?;
    let auth = match version {
        Version::V2 => auth_field(high, message),
        Version::V3 => AuthField::None,
    };
    let advertisement = Advertisement { vrid, priority: Priority::new(priority), interval, addresses };
    Ok(Decoded { version, advertisement, auth, checksum })
}

/// The identifier a message bears, also if it cannot be decoded: a discarded one is still somebody's. `None` if there
/// is none or it is 0.
#[must_use]
pub fn vrid_of(payload: &[u8]) -> Option<Vrid> {
    payload.get(1).copied().and_then(Vrid::new)
}

/// The only type there is (RFC 9568, 5.2.2).
pub(super) const ADVERTISEMENT: u8 = 1;

/// The size of the header, and of version 2's authentication data.
pub(super) const BLOCK: u16 = 8;

pub(super) fn version_of(number: u8, family: Family) -> Result<Version, Rejection> {
    match (number, family) {
        (2, Family::V4) => Ok(Version::V2),
        (3, Family::V4 | Family::V6) => Ok(Version::V3),
        _ => Err(Rejection::Version),
    }
}

pub(super) fn message_length(version: Version, family: Family, count: u8) -> u16 {
    let auth = match version {
        Version::V2 => BLOCK,
        Version::V3 => 0,
    };
    BLOCK + u16::from(count) * address_length(family) + auth
}

const fn address_length(family: Family) -> u16 {
    match family {
        Family::V4 => 4,
        Family::V6 => 16,
    }
}

/// The form in which a checksum is right. Where both are, it says nothing of its sender; the pseudo header is the form
/// that is assumed of a peer not heard yet.
fn checksum_form(version: Version, family: Family, message: Sum, pseudo: Sum) -> Result<ChecksumForm, Rejection> {
    let may_cover_pseudo_header = version == Version::V3;
    let may_cover_message_only = family == Family::V4;
    if may_cover_pseudo_header && pseudo.plus(message).is_intact() {
        Ok(ChecksumForm::PseudoHeader)
    } else if may_cover_message_only && message.is_intact() {
        Ok(ChecksumForm::MessageOnly)
    } else {
        Err(Rejection::Checksum)
    }
}

/// Whether the checksum is of all that follows the IP header, as the kernels of IPv6 make and check it: so it is where a
/// trailer stands behind the message.
fn covers_all(payload: &[u8], header: impl Fn(u16) -> Sum) -> bool {
    u16::try_from(payload.len()).is_ok_and(|length| header(length).plus(Sum::of(payload)).is_intact())
}

fn addresses(family: Family, count: u8, message: &[u8]) -> Vec<IpAddr> {
    let bytes = message.get(usize::from(BLOCK)..).unwrap_or_default();
    let count = usize::from(count);
    match family {
        Family::V4 => bytes.as_chunks::<4>().0.iter().take(count).map(|octets| IpAddr::from(*octets)).collect(),
        Family::V6 => bytes.as_chunks::<16>().0.iter().take(count).map(|octets| IpAddr::from(*octets)).collect(),
    }
}

/// RFC 9568, 5.2.5 and 5.2.9.
fn check_addresses(addresses: &[IpAddr]) -> Result<(), Rejection> {
    match addresses.first() {
        None => Err(Rejection::Count),
        Some(IpAddr::V6(first)) if !first.is_unicast_link_local() => Err(Rejection::LinkLocalFirst),
        Some(IpAddr::V4(_) | IpAddr::V6(_)) => Ok(()),
    }
}

/// The authentication of a version 2 message: its last eight bytes.
fn auth_field(number: u8, message: &[u8]) -> AuthField {
    match (number, message.last_chunk::<8>()) {
        (0, _) => AuthField::None,
        (1, Some(data)) => AuthField::Pass(*data),
        (other, _) => AuthField::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::{ChecksumForm, Decoded, Version, decode, vrid_of};
    use crate::wire::{AdverInterval, Advertisement, AuthField, Priority, Rejection, Vrid, encode_v2, encode_v3};

    /// Captured: keepalived 2.2.7, version 2, `auth_type PASS`, `auth_pass supersecret123`, two addresses.
    const V2_PASS: [u8; 24] = *b"\x21\x33\x96\x02\x01\x01\x09\xfd\xc0\xa8\x00\x64\xc0\xa8\x00\x65supersec";
    /// Captured: keepalived 2.2.7, version 3, IPv4. The checksum covers the pseudo header.
    const V3_PSEUDO: [u8; 12] = *b"\x31\x33\x96\x01\x00\x32\xd6\x40\xc0\xa8\x00\x64";
    /// The same message as RFC 9568 has it. 3133 + 9601 + 0032 + c0a8 + 0064 = 18872, folded 8873, inverted 778c.
    const V3_MESSAGE_ONLY: [u8; 12] = *b"\x31\x33\x96\x01\x00\x32\x77\x8c\xc0\xa8\x00\x64";
    /// Captured: keepalived 2.2.7, version 3, stopping: priority 0.
    const V3_RESIGNS: [u8; 12] = *b"\x31\x33\x00\x01\x00\x32\x6c\x41\xc0\xa8\x00\x64";
    /// Captured: keepalived 2.2.7, version 3, IPv6, a link-local and a global address.
    const V6: [u8; 40] = *b"\x31\x33\x96\x02\x00\x32\x0c\x10\
        \xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\x01\0";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn decode_v4(payload: &[u8]) -> Result<Decoded, Rejection> {
        decode(ip("192.168.0.20"), ip("224.0.0.18"), payload)
    }

    fn decode_v6(payload: &[u8]) -> Result<Decoded, Rejection> {
        decode(ip("fe80::20"), ip("ff02::12"), payload)
    }

    fn says(priority: u8, interval: Option<AdverInterval>, addresses: &[&str]) -> Advertisement {
        Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: interval.unwrap(),
            addresses: addresses.iter().copied().map(ip).collect(),
        }
    }

    /// `message` with its bytes from `at` on replaced, and a checksum over the message only, computed the plain way.
    fn altered(message: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut message = message.to_vec();
        message[at..at + bytes.len()].copy_from_slice(bytes);
        message[6..8].fill(0);
        let sum: u32 = message.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let checksum = 0xffff - u16::try_from(sum % 0xffff).unwrap();
        message[6..8].copy_from_slice(&checksum.to_be_bytes());
        message
    }

    #[test]
    fn reads_and_writes_version_2_with_a_password_as_keepalived_does() {
        let advertisement = says(150, AdverInterval::from_secs(1), &["192.168.0.100", "192.168.0.101"]);
        assert_eq!(encode_v2(&advertisement, Some(b"supersec")), V2_PASS);
        let auth = AuthField::Pass(*b"supersec");
        let checksum = ChecksumForm::MessageOnly;
        assert_eq!(decode_v4(&V2_PASS), Ok(Decoded { version: Version::V2, advertisement, auth, checksum }));
    }

    #[test]
    fn reads_and_writes_both_checksums_of_version_3_over_ipv4() {
        let advertisement = says(150, AdverInterval::from_centis(50), &["192.168.0.100"]);
        for (form, bytes) in [(ChecksumForm::PseudoHeader, V3_PSEUDO), (ChecksumForm::MessageOnly, V3_MESSAGE_ONLY)] {
            assert_eq!(encode_v3(&advertisement, ip("192.168.0.20"), ip("224.0.0.18"), form), bytes);
            let decoded = decode_v4(&bytes).unwrap();
            assert_eq!((decoded.version, decoded.auth, decoded.checksum), (Version::V3, AuthField::None, form));
            assert_eq!(decoded.advertisement, advertisement);
        }
    }

    /// The pseudo header covers the destination: a unicast message to another address of ours is another message.
    #[test]
    fn the_pseudo_header_has_the_real_destination() {
        let bytes = encode_v3(
            &says(150, AdverInterval::from_centis(50), &["192.168.0.100"]),
            ip("192.168.0.20"),
            ip("192.168.0.21"),
            ChecksumForm::PseudoHeader,
        );
        assert!(decode(ip("192.168.0.20"), ip("192.168.0.21"), &bytes).is_ok());
        assert_eq!(decode_v4(&bytes), Err(Rejection::Checksum));
    }

    /// The addresses and the length cancel out: the sender's form cannot be told.
    #[test]
    fn a_checksum_right_in_both_forms_counts_as_the_more_common_one() {
        assert_eq!(
            decode(ip("192.168.0.20"), ip("62.198.0.1"), &V3_MESSAGE_ONLY).unwrap().checksum,
            ChecksumForm::PseudoHeader
        );
    }

    #[test]
    fn reads_and_writes_ipv6_as_keepalived_does() {
        let advertisement = says(150, AdverInterval::from_centis(50), &["fe80::100", "2001:db8::100"]);
        for form in [ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly] {
            assert_eq!(encode_v3(&advertisement, ip("fe80::20"), ip("ff02::12"), form), V6);
        }
        let decoded = decode_v6(&V6).unwrap();
        assert_eq!((decoded.version, decoded.checksum), (Version::V3, ChecksumForm::PseudoHeader));
        assert_eq!(decoded.advertisement, advertisement);
    }

    #[test]
    fn priority_zero_is_a_resignation() {
        assert_eq!(decode_v4(&V3_RESIGNS).unwrap().advertisement.priority, None);
    }

    #[test]
    fn bytes_after_the_message_are_padding() {
        for message in [&V2_PASS[..], &V3_PSEUDO, &V3_MESSAGE_ONLY] {
            let padded = [message, &[0xaa; 26]].concat();
            assert_eq!(decode_v4(&padded), decode_v4(message));
        }
        assert_eq!(decode_v6(&[&V6[..], &[0xaa; 26]].concat()), decode_v6(&V6));
    }

    #[test]
    fn a_message_cut_anywhere_is_too_short() {
        for (message, decode) in
            [(&V2_PASS[..], decode_v4 as fn(&[u8]) -> _), (&V3_PSEUDO, decode_v4), (&V6, decode_v6)]
        {
            for length in 0..message.len() {
                assert_eq!(decode(&message[..length]), Err(Rejection::Length));
            }
        }
    }

    #[test]
    fn other_versions_and_version_2_over_ipv6_are_rejected() {
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 0, &[0x11])), Err(Rejection::Version));
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 0, &[0x41])), Err(Rejection::Version));
        assert_eq!(decode_v6(&altered(&V6, 0, &[0x21])), Err(Rejection::Version));
    }

    #[test]
    fn addresses_of_two_families_carry_nothing() {
        assert_eq!(decode(ip("192.168.0.20"), ip("ff02::12"), &V6), Err(Rejection::Destination));
    }

    #[test]
    fn only_type_1_is_an_advertisement() {
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 0, &[0x32])), Err(Rejection::NotAdvertisement));
    }

    /// The two older forms do not take the newer one's checksum, nor IPv6 that of the message only.
    #[test]
    fn a_checksum_of_another_form_is_wrong() {
        let v2 = encode_v2(&says(150, AdverInterval::from_secs(1), &["192.168.0.100"]), None);
        // The pseudo header of these 20 bytes sums to a153.
        let mut pseudo = v2.clone();
        let checksum = u32::from(u16::from_be_bytes([v2[6], v2[7]])) + 0xffff - 0xa153;
        pseudo[6..8].copy_from_slice(&u16::try_from(checksum % 0xffff).unwrap().to_be_bytes());
        assert_eq!(decode_v4(&pseudo), Err(Rejection::Checksum));
        assert_eq!(decode_v6(&altered(&V6, 0, &[0x31])), Err(Rejection::Checksum));
    }

    #[test]
    fn identifier_zero_is_nobodys() {
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 1, &[0])), Err(Rejection::UnknownVrid));
    }

    #[test]
    fn an_interval_of_zero_is_rejected() {
        assert_eq!(decode_v4(&altered(&V2_PASS, 5, &[0])), Err(Rejection::Interval));
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 4, &[0, 0])), Err(Rejection::Interval));
        // RFC 9568, 5.2.6: reserved bits are no interval.
        assert_eq!(decode_v4(&altered(&V3_PSEUDO, 4, &[0xf0, 0])), Err(Rejection::Interval));
    }

    #[test]
    fn reserved_bits_are_ignored() {
        let decoded = decode_v4(&altered(&V3_PSEUDO, 4, &[0xff, 0xff])).unwrap();
        assert_eq!(Some(decoded.advertisement.interval), AdverInterval::from_centis(4095));
    }

    #[test]
    fn no_addresses_are_rejected() {
        assert_eq!(decode_v4(&altered(&V2_PASS[..16], 3, &[0])), Err(Rejection::Count));
        assert_eq!(decode_v4(&altered(&V3_PSEUDO[..8], 3, &[0])), Err(Rejection::Count));
    }

    #[test]
    fn the_first_ipv6_address_is_link_local() {
        let global_first = says(150, AdverInterval::from_centis(50), &["2001:db8::100", "fe80::100"]);
        let bytes = encode_v3(&global_first, ip("fe80::20"), ip("ff02::12"), ChecksumForm::PseudoHeader);
        assert_eq!(decode_v6(&bytes), Err(Rejection::LinkLocalFirst));
    }

    /// RFC 3768, 5.3.6: without authentication the data is ignored. Of an unknown type the number is kept.
    #[test]
    fn authentication_data_belongs_to_type_1_only() {
        assert_eq!(decode_v4(&altered(&V2_PASS, 4, &[0])).unwrap().auth, AuthField::None);
        assert_eq!(decode_v4(&altered(&V2_PASS, 4, &[2])).unwrap().auth, AuthField::Other(2));
    }

    #[test]
    fn the_identifier_of_a_message_is_found_without_decoding_it() {
        assert_eq!(vrid_of(&V2_PASS), Vrid::new(51));
        assert_eq!(vrid_of(&[0x21]), None);
        assert_eq!(vrid_of(&[0x21, 0, 100]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (decode_v4(&bytes), decode_v6(&bytes), vrid_of(&bytes));
        }

        /// Past the checksum, where arbitrary bytes seldom come: whatever is accepted means what it is written to mean.
        #[test]
        fn what_is_accepted_is_in_bounds(
            first in prop_oneof![Just(0x21_u8), Just(0x31)],
            count in 0_u8..6,
            body in proptest::collection::vec(any::<u8>(), 5 + 8..60),
        ) {
            let body = &body[..body.len() & !1];
            let length = 8 + usize::from(count) * 4 + if first == 0x21 { 8 } else { 0 };
            let message = [&[first, body[0], body[1], count, body[2], body[3], 0, 0], &body[4..]].concat();
            let message = altered(&message[..length.min(message.len())], 0, &[first]);
            match decode_v4(&message) {
                Ok(decoded) => {
                    prop_assert_eq!(decoded.advertisement.addresses.len(), usize::from(count));
                    prop_assert_eq!(decoded.advertisement.vrid.get(), body[0]);
                    prop_assert_eq!(decoded.advertisement.priority.map_or(0, Priority::get), body[1]);
                }
                Err(Rejection::Length) => prop_assert!(message.len() < length),
                Err(Rejection::UnknownVrid) => prop_assert_eq!(body[0], 0),
                Err(Rejection::Count) => prop_assert_eq!(count, 0),
                Err(Rejection::Interval) => prop_assert_eq!(body[3], 0),
                Err(other) => prop_assert!(false, "{} is not what is wrong with it", other),
            }
        }
    }
}
