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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::{collection::vec, prelude::*};

    use super::{encode_v2, encode_v3};
    use crate::wire::{
        AdverInterval, Advertisement, AuthField, ChecksumForm, Decoded, Priority, Rejection, Version, Vrid, decode,
    };

    /// A message as sent, and what it must be read as.
    #[derive(Clone, Debug)]
    struct Sent {
        source: IpAddr,
        destination: IpAddr,
        bytes: Vec<u8>,
        meant: Decoded,
    }

    impl Sent {
        fn received(&self, bytes: &[u8]) -> Result<Decoded, Rejection> {
            decode(self.source, self.destination, bytes)
        }
    }

    prop_compose! {
        fn advertisement(interval: BoxedStrategy<AdverInterval>, addresses: BoxedStrategy<Vec<IpAddr>>)(
            vrid in 1_u8..=255,
            priority: u8,
            interval in interval,
            addresses in addresses,
        ) -> Advertisement {
            let vrid = Vrid::new(vrid).unwrap();
            Advertisement { vrid, priority: Priority::new(priority), interval, addresses }
        }
    }

    fn secs() -> BoxedStrategy<AdverInterval> {
        (1_u8..=255).prop_map(|secs| AdverInterval::from_secs(secs).unwrap()).boxed()
    }

    fn centis() -> BoxedStrategy<AdverInterval> {
        (1_u16..=4095).prop_map(|centis| AdverInterval::from_centis(centis).unwrap()).boxed()
    }

    fn ipv4() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 4]>().prop_map(IpAddr::from)
    }

    fn ipv6() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 16]>().prop_map(IpAddr::from)
    }

    fn link_local() -> impl Strategy<Value = IpAddr> {
        any::<[u8; 8]>().prop_map(|id| {
            let mut octets = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            octets[8..].copy_from_slice(&id);
            IpAddr::from(octets)
        })
    }

    fn link_local_first() -> BoxedStrategy<Vec<IpAddr>> {
        (link_local(), vec(ipv6(), 0..=20)).prop_map(|(first, rest)| [vec![first], rest].concat()).boxed()
    }

    fn version_2() -> impl Strategy<Value = Sent> {
        let password = proptest::option::of(any::<[u8; 8]>());
        (ipv4(), ipv4(), advertisement(secs(), vec(ipv4(), 1..=40).boxed()), password).prop_map(
            |(source, destination, advertisement, password)| Sent {
                source,
                destination,
                bytes: encode_v2(&advertisement, password.as_ref()),
                meant: Decoded {
                    version: Version::V2,
                    advertisement,
                    auth: password.map_or(AuthField::None, AuthField::Pass),
                    checksum: ChecksumForm::MessageOnly,
                },
            },
        )
    }

    /// Where both forms of the checksum are the same (the pseudo header sums to zero) nothing can be told apart.
    fn forms_differ(source: IpAddr, destination: IpAddr, length: usize) -> bool {
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (source, destination) else { return false };
        let words = |a: Ipv4Addr| u64::from(a.to_bits() >> 16) + u64::from(a.to_bits() & 0xffff);
        !(words(source) + words(destination) + 112 + length as u64).is_multiple_of(0xffff)
    }

    fn version_3_ipv4() -> impl Strategy<Value = Sent> {
        let form = prop_oneof![Just(ChecksumForm::MessageOnly), Just(ChecksumForm::PseudoHeader)];
        (ipv4(), ipv4(), advertisement(centis(), vec(ipv4(), 1..=40).boxed()), form)
            .prop_map(|(source, destination, advertisement, checksum)| Sent {
                source,
                destination,
                bytes: encode_v3(&advertisement, source, destination, checksum),
                meant: Decoded { version: Version::V3, advertisement, auth: AuthField::None, checksum },
            })
            .prop_filter("the forms differ", |sent| forms_differ(sent.source, sent.destination, sent.bytes.len()))
    }

    fn version_3_ipv6() -> impl Strategy<Value = Sent> {
        (ipv6(), ipv6(), advertisement(centis(), link_local_first())).prop_map(
            |(source, destination, advertisement)| Sent {
                source,
                destination,
                bytes: encode_v3(&advertisement, source, destination, ChecksumForm::PseudoHeader),
                meant: Decoded {
                    version: Version::V3,
                    advertisement,
                    auth: AuthField::None,
                    checksum: ChecksumForm::PseudoHeader,
                },
            },
        )
    }

    fn sent() -> impl Strategy<Value = Sent> {
        prop_oneof![version_2(), version_3_ipv4(), version_3_ipv6()]
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_read(sent in sent(), padding in vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(sent.received(&sent.bytes), Ok(sent.meant.clone()));
            let padded = [&sent.bytes[..], &padding].concat();
            prop_assert_eq!(sent.received(&padded), Ok(sent.meant.clone()));
        }

        /// One wrong bit is never read as what was meant. Outside the two bytes that say how far the message reaches
        /// (version, count) the checksum finds it; over IPv4 it may happen to be right in the other form.
        #[test]
        fn one_wrong_bit_is_noticed(sent in sent()) {
            for bit in 0..sent.bytes.len() * 8 {
                let mut bytes = sent.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                match sent.received(&bytes) {
                    Ok(read) if read.version != sent.meant.version => prop_assert_eq!(bit / 8, 0),
                    Ok(read) if read.checksum == sent.meant.checksum => prop_assert_eq!(bit / 8, 3),
                    Ok(read) => prop_assert_eq!(read.version, Version::V3),
                    Err(Rejection::Checksum) => {}
                    Err(Rejection::Version | Rejection::NotAdvertisement) => prop_assert_eq!(bit / 8, 0),
                    Err(Rejection::Length) => prop_assert!(bit / 8 == 3 || bit / 8 == 0),
                    // Right in the other form, and then wrong in another way.
                    Err(other) => prop_assert_eq!(sent.meant.version, Version::V3, "{}", other),
                }
            }
        }

        /// What the format cannot say is left out; what is emitted can be read.
        #[test]
        fn whatever_can_be_built_can_be_emitted_and_read(
            advertisement in advertisement(
                prop_oneof![secs(), centis()].boxed(),
                vec(prop_oneof![ipv4(), ipv6()], 0..=600).boxed(),
            ),
        ) {
            let [v4, group]: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(224, 0, 0, 18).into()];
            let [v6, group6]: [IpAddr; 2] = [Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 18).into()];
            let kept = advertisement.addresses.iter().filter(|a| a.is_ipv4()).count().min(255);
            let read = [
                decode(v4, group, &encode_v2(&advertisement, None)),
                decode(v4, group, &encode_v3(&advertisement, v4, group, ChecksumForm::MessageOnly)),
            ];
            for read in read {
                match read {
                    Ok(read) => prop_assert_eq!(read.advertisement.addresses.len(), kept),
                    Err(rejection) => prop_assert_eq!((kept, rejection), (0, Rejection::Count)),
                }
            }
            let read = decode(v6, group6, &encode_v3(&advertisement, v6, group6, ChecksumForm::PseudoHeader));
            prop_assert!(matches!(read, Ok(_) | Err(Rejection::Count | Rejection::LinkLocalFirst)), "{:?}", read);
        }
    }
}
