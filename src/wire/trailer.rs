//! The trailer of `auth_hmac`: 28 bytes behind a message that say who wrote it and when, and a code that only whoever has
//! the key can have made.
//!
//! The layout is keepalived's from 2.4.2 on (2.4.0 and 2.4.1 had others), which names the expired draft
//! draft-cassen-vrrp-auth-hmac: type 1, key identifier, 16 zero bits, seconds, fraction and counter, and the first 16 bytes
//! of HMAC-SHA256 (RFC 2104). It lies inside the IP datagram. Over IPv4 the VRRP checksum ends before it; over IPv6 that
//! checksum is the kernel's, of all that follows the IP header (RFC 8200 section 8.1), and so it covers the trailer.

use std::{fmt, net::IpAddr, num::NonZeroU8, ops::Range, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    Rejection,
    checksum::Sum,
    decode::{message_length, version_of},
};
use crate::words::Family;

/// How long the trailer is, in bytes.
const LENGTH: usize = 28;
/// How much of it is said in clear, and signed.
const CLEAR: usize = 12;
/// How much of the HMAC is sent, in bytes.
const CODE: usize = 16;
/// The only type there is.
const TYPE: u8 = 1;
/// Where the checksum of a message is (RFC 9568 section 5.1).
const CHECKSUM: Range<usize> = 6..8;

/// A key of 32 to 64 bytes. Never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// The fewest and the most bytes of a key.
    pub const LENGTH: std::ops::RangeInclusive<usize> = 32..=64;

    /// `None` if it is shorter or longer than [`Self::LENGTH`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Self::LENGTH.contains(&bytes.len()).then(|| Self(bytes.to_vec()))
    }

    /// The key of that many bytes in hexadecimal; `None` if it is not that.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
        bytes.filter(|_| rest.is_empty()).and_then(|bytes| Self::new(&bytes))
    }

    /// The bytes themselves, for whoever must hand them on.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// When a message was written: seconds since 1970 (32 bits, which wrap in 2106), a fraction of 2^-16 s, and a counter for
/// messages of the same fraction. Ordered as serial numbers (RFC 1982): of two that lie less than 68 years apart, one
/// follows the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// The first stamp of a moment, given as the time since 1970.
    #[must_use]
    pub const fn at(time: Duration) -> Self {
        let fraction = ((time.subsec_nanos() as u64) << 16) / 1_000_000_000;
        Self(time.as_secs() << 32 | fraction << 16)
    }

    /// Whether it was written after `other`.
    #[must_use]
    pub const fn follows(self, other: Self) -> bool {
        self.0 != other.0 && self.0.wrapping_sub(other.0) < 1 << 63
    }

    /// This one, if it follows `last`; else the one right after `last`. So nobody ever goes backwards, whatever a clock does.
    #[must_use]
    pub const fn after(self, last: Self) -> Self {
        if self.follows(last) { self } else { Self(last.0.wrapping_add(1)) }
    }

    /// How far apart two are, either way.
    #[must_use]
    pub const fn apart(self, other: Self) -> Duration {
        let (a, b) = (self.0.wrapping_sub(other.0), other.0.wrapping_sub(self.0));
        let apart = if a < b { a } else { b };
        let nanos = ((apart & 0xffff_ffff) * 1_000_000_000) >> 32;
        Duration::from_secs(apart >> 32).saturating_add(Duration::from_nanos(nanos))
    }

    /// As the trailer has it.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From what [`Self::to_bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// A received trailer, not believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Which key it names, 1-255.
    pub key: NonZeroU8,
    /// When it says that it was written.
    pub stamp: Stamp,
    code: [u8; CODE],
}

impl Trailer {
    /// The message of a payload that [`decode`](super::decode) accepts, and its trailer, if there is one.
    ///
    /// # Errors
    /// [`Rejection::Length`] and [`Rejection::Version`] as `decode` has them; [`Rejection::HmacMalformed`] if what follows
    /// the message is no trailer.
    pub fn split(source: IpAddr, payload: &[u8]) -> Result<(&[u8], Option<Self>), Rejection> {
        let (&[first, _, _, count], _) = payload.split_first_chunk::<4>().ok_or(Rejection::Length)?;
        let family = Family::of(source);
        let length = message_length(version_of(first >> 4, family)?, family, count);
        let (message, rest) = payload.split_at_checked(usize::from(length)).ok_or(Rejection::Length)?;
        if rest.is_empty() {
            return Ok((message, None));
        }
        let trailer: &[u8; LENGTH] = rest.try_into().map_err(|_| Rejection::HmacMalformed)?;
        Self::read(trailer).map(|trailer| (message, Some(trailer))).ok_or(Rejection::HmacMalformed)
    }

    fn read(bytes: &[u8; LENGTH]) -> Option<Self> {
        let (&[kind, key, reserved_high, reserved_low], rest) = bytes.split_first_chunk::<4>()?;
        let (stamp, code) = rest.split_first_chunk::<8>()?;
        let plain = kind == TYPE && (reserved_high, reserved_low) == (0, 0);
        let key = NonZeroU8::new(key).filter(|_| plain)?;
        Some(Self { key, stamp: Stamp(u64::from_be_bytes(*stamp)), code: code.try_into().ok()? })
    }

    /// Whether it was made with this key, for this message, by this sender. Compares in constant time.
    #[must_use]
    pub fn is_made_with(&self, key: &Key, source: IpAddr, message: &[u8]) -> bool {
        let code = code(key, source, message, &clear(self.key, self.stamp));
        code.is_some_and(|code| code.verify_truncated_left(&self.code).is_ok())
    }
}

/// The payload with a trailer behind its message.
#[must_use]
pub fn sign(mut message: Vec<u8>, source: IpAddr, id: NonZeroU8, key: &Key, stamp: Stamp) -> Vec<u8> {
    let clear = clear(id, stamp);
    let made = code(key, source, &message, &clear).map(|code| code.finalize().into_bytes());
    let trailer: Vec<u8> = clear.into_iter().chain(made.into_iter().flatten().take(CODE)).collect();
    if source.is_ipv6() {
        cover(&mut message, &trailer);
    }
    message.extend(trailer);
    message
}

/// Makes the checksum of a message cover what will stand behind it, too: its bytes, and that there are more of them.
fn cover(message: &mut [u8], trailer: &[u8]) {
    let Some(field) = message.get_mut(CHECKSUM).and_then(|field| field.first_chunk_mut::<2>()) else { return };
    let all = Sum::under(u16::from_be_bytes(*field)).plus(Sum::of(trailer)).plus(Sum::of(&LENGTH.to_be_bytes()));
    *field = all.checksum().to_be_bytes();
}

fn clear(key: NonZeroU8, stamp: Stamp) -> [u8; CLEAR] {
    let [a, b, c, d, e, f, g, h] = stamp.0.to_be_bytes();
    [TYPE, key.get(), 0, 0, a, b, c, d, e, f, g, h]
}

/// Over a header with what the sender's datagram is, the message without its checksum (which may cover the destination),
/// and the trailer without its code. A key of any length makes one: the `None` is the type's.
fn code(key: &Key, source: IpAddr, message: &[u8], clear: &[u8; CLEAR]) -> Option<Hmac<Sha256>> {
    let mut code = Hmac::<Sha256>::new_from_slice(&key.0).ok()?;
    let first = message.first().copied().unwrap_or_default();
    let vrid = message.get(1).copied().unwrap_or_default();
    let (family, address) = match source {
        IpAddr::V4(address) => (4, {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }),
        IpAddr::V6(address) => (6, address.octets()),
    };
    code.update(&[family, first >> 4, vrid, 0]);
    code.update(&address);
    code.update(message.get(..CHECKSUM.start).unwrap_or(message));
    code.update(&[0, 0]);
    code.update(message.get(CHECKSUM.end..).unwrap_or_default());
    code.update(clear);
    code.update(&[0; CODE]);
    Some(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{AdverInterval, Advertisement, ChecksumForm, Priority, Vrid, decode, encode_v3};

    /// The key of both vectors.
    fn key() -> Key {
        Key::new(&(0..32).collect::<Vec<u8>>()).unwrap()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| *byte != b' ').collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn id(number: u8) -> NonZeroU8 {
        NonZeroU8::new(number).unwrap()
    }

    const SOURCE: &str = "10.99.0.1";
    const V3: [&str; 2] = ["31336401006474ad0a630064", "01010000 6b02c396 b71b 0000 c3c5a764803161f20cfc2eb4373986e2"];
    const V2: [&str; 2] =
        ["21336401000170030a6300640000000000000000", "01010000 6b02c387 89f4 0000 dba8791116d0973608f07565eea342dc"];

    /// The vectors of the design study, captured from a keepalived that writes the layout of 2.4.2.
    #[test]
    fn what_keepalived_sends_is_believed_and_written_as_it_writes_it() {
        let source: IpAddr = SOURCE.parse().unwrap();
        for [message, trailer] in [V3, V2] {
            let sent = [bytes(message), bytes(trailer)].concat();
            assert!(decode(source, "224.0.0.18".parse().unwrap(), &sent).is_ok());
            let (read, found) = Trailer::split(source, &sent).unwrap();
            let found = found.unwrap();
            assert_eq!((read, found.key), (&bytes(message)[..], id(1)));
            assert!(found.is_made_with(&key(), source, read));
            assert_eq!(sign(bytes(message), source, id(1), &key(), found.stamp), sent);
        }
    }

    /// The kernel checks it, of all that it delivers: whoever leaves the trailer out is not heard.
    #[test]
    fn over_ipv6_the_checksum_covers_the_trailer() {
        let [source, group]: [IpAddr; 2] = ["fe80::20", "ff02::12"].map(|text| text.parse().unwrap());
        let advertisement = Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(100),
            interval: AdverInterval::from_centis(100).unwrap(),
            addresses: vec!["fe80::60".parse().unwrap()],
        };
        let message = encode_v3(&advertisement, source, group, ChecksumForm::PseudoHeader);
        for seconds in 0..200 {
            let stamp = Stamp::at(Duration::from_secs(seconds << 8));
            let sent = sign(message.clone(), source, id(1), &key(), stamp);
            let length = u16::try_from(sent.len()).unwrap();
            assert!(Sum::pseudo_header(source, group, 112, length).plus(Sum::of(&sent)).is_intact(), "{seconds}");
            let read = decode(source, group, &sent).unwrap();
            assert_eq!((read.advertisement, read.checksum), (advertisement.clone(), ChecksumForm::PseudoHeader));
            let (message, trailer) = Trailer::split(source, &sent).unwrap();
            assert!(trailer.unwrap().is_made_with(&key(), source, message));
            let mut spoiled = sent.clone();
            spoiled[2] ^= 1;
            assert_eq!(decode(source, group, &spoiled), Err(Rejection::Checksum));
        }
        // Over IPv4 it ends with the message.
        let unsigned = bytes(V3[0]);
        assert_eq!(&sign(unsigned.clone(), SOURCE.parse().unwrap(), id(1), &key(), Stamp(0))[..12], unsigned);
    }

    #[test]
    fn the_stamp_is_the_time_of_the_clock() {
        let stamp = Stamp::from_bits(0x6b02_c396_b71b_0000);
        assert_eq!(Stamp::at(Duration::new(0x6b02_c396, 715_257_000)), stamp);
        assert_eq!(Stamp::at(Duration::new(1 << 32, 0)).to_bits(), 0, "2106: it begins again");
    }

    /// RFC 1982: whoever comes after the last second of the 32 bits is not old.
    #[test]
    fn the_order_goes_on_where_the_seconds_begin_again() {
        let [last, first] = [(1_u64 << 32) - 1, 1 << 32].map(|seconds| Stamp::at(Duration::from_secs(seconds)));
        assert!(first.follows(last) && !last.follows(first) && !last.follows(last));
        assert_eq!((last.after(first), first.after(last)), (Stamp(1), first));
        assert_eq!((first.apart(last), last.apart(first)), (Duration::from_secs(1), Duration::from_secs(1)));
    }

    #[test]
    fn a_bit_that_was_changed_on_the_way_is_found() {
        let source: IpAddr = SOURCE.parse().unwrap();
        let sent = [bytes(V3[0]), bytes(V3[1])].concat();
        for bit in 0..sent.len() * 8 {
            // The version and the count decide where the trailer begins; the checksum is not signed.
            if [0, 3, 6, 7].contains(&(bit / 8)) {
                continue;
            }
            let mut changed = sent.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let believed = Trailer::split(source, &changed)
                .is_ok_and(|(message, trailer)| trailer.unwrap().is_made_with(&key(), source, message));
            assert!(!believed, "bit {bit}");
        }
        let (message, trailer) = Trailer::split(source, &sent).unwrap();
        assert!(!trailer.unwrap().is_made_with(&key(), "10.99.0.2".parse().unwrap(), message), "another sender");
    }

    #[test]
    fn what_is_no_trailer_is_malformed() {
        let source: IpAddr = SOURCE.parse().unwrap();
        let sent = [bytes(V3[0]), bytes(V3[1])].concat();
        let split = |payload: &[u8]| Trailer::split(source, payload).map(|(_, trailer)| trailer.is_some());
        assert_eq!(split(&sent[..12]), Ok(false));
        assert_eq!(split(&sent[..39]), Err(Rejection::HmacMalformed));
        assert_eq!(split(&[&sent[..], &[0]].concat()), Err(Rejection::HmacMalformed));
        for (at, value) in [(12, 2), (13, 0), (14, 1), (15, 1)] {
            let mut changed = sent.clone();
            changed[at] = value;
            assert_eq!(split(&changed), Err(Rejection::HmacMalformed), "{at}");
        }
        assert_eq!(split(&sent[..11]), Err(Rejection::Length));
        assert_eq!(split(&[]), Err(Rejection::Length));
        assert_eq!(split(&[&[0x51], &sent[1..]].concat()), Err(Rejection::Version));
    }

    #[test]
    fn a_key_has_32_to_64_bytes_and_is_not_printed() {
        for (length, fits) in [(0, false), (31, false), (32, true), (64, true), (65, false)] {
            assert_eq!(Key::new(&vec![7; length]).is_some(), fits, "{length}");
            assert_eq!(Key::from_hex(&"0f".repeat(length)).is_some(), fits, "{length}");
        }
        assert_eq!(Key::from_hex(&"00".repeat(32)).unwrap().bytes(), [0; 32]);
        assert_eq!(Key::from_hex(&"0".repeat(65)), None);
        assert_eq!(Key::from_hex(&"é".repeat(32)), None);
        assert_eq!(format!("{:?}", key()), "Key(***)");
    }

    proptest! {
        /// Serial numbers (RFC 1982): also over the end of the 32 bits.
        #[test]
        fn nobody_goes_backwards(last: u64, clock: u64) {
            let (last, clock) = (Stamp(last), Stamp(clock));
            let next = clock.after(last);
            prop_assert!(next.follows(last));
            prop_assert!(!last.follows(next));
            prop_assert!(next == clock || next.0 == last.0.wrapping_add(1));
        }

        #[test]
        fn how_far_apart_is_the_same_both_ways(at: u32, further in 0_u32..1 << 30) {
            let (a, b) = (Stamp(u64::from(at) << 32), Stamp(u64::from(at.wrapping_add(further)) << 32));
            prop_assert_eq!(a.apart(b), Duration::from_secs(u64::from(further)));
            prop_assert_eq!(b.apart(a), a.apart(b));
        }

        #[test]
        fn what_is_signed_is_believed_with_the_same_key_alone(
            message in proptest::collection::vec(any::<u8>(), 12..=12),
            stamp: u64,
            number in 1_u8..=255,
            secret in proptest::collection::vec(any::<u8>(), 32..=64),
            v6: bool,
        ) {
            let source: IpAddr = if v6 { "fe80::20".parse().unwrap() } else { SOURCE.parse().unwrap() };
            let (mut message, count) = (message, if v6 { 0 } else { 1 });
            message[0] = 0x31;
            message[3] = count;
            message.truncate(8 + usize::from(count) * 4);
            let ours = Key::new(&secret).unwrap();
            let sent = sign(message.clone(), source, id(number), &ours, Stamp(stamp));
            let (read, trailer) = Trailer::split(source, &sent).unwrap();
            let trailer = trailer.unwrap();
            let signed = |bytes: &[u8]| [&bytes[..CHECKSUM.start], &bytes[CHECKSUM.end..]].concat();
            prop_assert_eq!((signed(read), read == message), (signed(&message), !v6));
            prop_assert_eq!((trailer.key, trailer.stamp), (id(number), Stamp(stamp)));
            prop_assert!(trailer.is_made_with(&ours, source, read));
            let mut other = secret;
            other[0] ^= 1;
            prop_assert!(!trailer.is_made_with(&Key::new(&other).unwrap(), source, read));
        }
    }
}
