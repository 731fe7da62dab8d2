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
/// travels in a padded frame.
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
    let pseudo = Sum::pseudo_header(source, destination, PROTOCOL, length);
    let checksum = checksum_form(version, family, Sum::of(message), pseudo)?;
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

fn version_of(number: u8, family: Family) -> Result<Version, Rejection> {
    match (number, family) {
        (2, Family::V4) => Ok(Version::V2),
        (3, Family::V4 | Family::V6) => Ok(Version::V3),
        _ => Err(Rejection::Version),
    }
}

fn message_length(version: Version, family: Family, count: u8) -> u16 {
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
