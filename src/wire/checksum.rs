//! The internet checksum (RFC 1071), with and without a pseudo header.

use std::net::IpAddr;

/// A one's complement sum of 16-bit words. Sums of parts of even length may be added in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum(u16);

impl Sum {
    /// The sum of nothing.
    pub(super) const ZERO: Self = Self(0);

    /// The sum of bytes, the last one padded with a zero if their number is odd.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let words = pairs.iter().fold(Self::ZERO, |sum, pair| sum.plus(Self(u16::from_be_bytes(*pair))));
        rest.first().map_or(words, |last| words.plus(Self(u16::from_be_bytes([*last, 0]))))
    }

    /// The sum of bytes of which a field has this checksum, the field counted as zero.
    pub(super) const fn under(checksum: u16) -> Self {
        Self(!checksum)
    }

    /// The sum of the pseudo header before `length` bytes of `protocol`. The two families lay it out differently (RFC
    /// 793 section 3.1, RFC 8200 section 8.1) but its sum is the same: two addresses, a protocol, a length.
    pub(super) fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: u16) -> Self {
        Self::of_address(source).plus(Self::of_address(destination)).plus(Self(u16::from(protocol))).plus(Self(length))
    }

    fn of_address(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::of(&address.octets()),
            IpAddr::V6(address) => Self::of(&address.octets()),
        }
    }

    /// The sum of both.
    pub(super) fn plus(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        // A sum that overflowed is at most 0xfffe: the carry always fits.
        Self(sum + u16::from(carry))
    }

    /// What belongs into the checksum field, if the field counted as zero.
    pub(super) const fn checksum(self) -> u16 {
        !self.0
    }

    /// Whether the bytes are intact, if the field was counted too.
    pub(super) const fn is_intact(self) -> bool {
        self.0 == 0xffff
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Sum;

    /// RFC 1071 section 3: the worked example.
    #[test]
    fn the_example_of_the_rfc() {
        let sum = Sum::of(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum, Sum(0xddf2));
        assert_eq!(sum.checksum(), 0x220d);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_half_of_a_word() {
        assert_eq!(Sum::of(&[0x12]), Sum(0x1200));
        assert_eq!(Sum::of(&[]), Sum::ZERO);
    }

    #[test]
    fn the_carry_goes_around() {
        assert_eq!(Sum(0xffff).plus(Sum(0xffff)), Sum(0xffff));
        assert_eq!(Sum(0xffff).plus(Sum(1)), Sum(1));
    }

    /// RFC 793 and RFC 8200 write the pseudo header out; so does this.
    #[test]
    fn a_pseudo_header_sums_as_its_bytes_do() {
        let v4 = Sum::pseudo_header("192.168.0.20".parse().unwrap(), "224.0.0.18".parse().unwrap(), 112, 12);
        assert_eq!(v4, Sum::of(&[192, 168, 0, 20, 224, 0, 0, 18, 0, 112, 0, 12]));

        let v6 = Sum::pseudo_header("fe80::1".parse().unwrap(), "ff02::12".parse().unwrap(), 112, 0x0118);
        let mut bytes = vec![0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        bytes.extend([0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12]);
        bytes.extend([0, 0, 0x01, 0x18, 0, 0, 0, 112]);
        assert_eq!(v6, Sum::of(&bytes));
    }

    proptest! {
        /// Against a sum computed wide and folded at the end, as RFC 1071 section 4.1 does it.
        #[test]
        fn agrees_with_the_wide_sum(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut wide: u64 = bytes
                .chunks(2)
                .map(|pair| u64::from(pair[0]) * 256 + u64::from(pair.get(1).copied().unwrap_or(0)))
                .sum();
            while wide > 0xffff {
                wide = (wide & 0xffff) + (wide >> 16);
            }
            prop_assert_eq!(u64::from(Sum::of(&bytes).0), wide);
        }
    }
}
