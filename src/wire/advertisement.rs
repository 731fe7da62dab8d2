//! What a VRRP ADVERTISEMENT says (RFC 9568 section 5.2, RFC 3768 section 5.3), and the arithmetic of its timers.

use std::{fmt, net::IpAddr, num::NonZeroU8, time::Duration};

/// Virtual Router Identifier, 1-255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// `None` for 0.
    #[must_use]
    pub const fn new(id: u8) -> Option<Self> {
        match NonZeroU8::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Election priority, 1-255. Zero exists only on the wire, where it means "I resign".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(NonZeroU8);

impl Priority {
    /// The owner of the addresses (RFC 9568, 5.2.4).
    pub const OWNER: Self = Self(NonZeroU8::MAX);
    /// The lowest: one that serves only if nobody else does.
    pub const LOWEST: Self = Self(NonZeroU8::MIN);

    /// `None` for 0.
    #[must_use]
    pub const fn new(priority: u8) -> Option<Self> {
        match NonZeroU8::new(priority) {
            Some(priority) => Some(Self(priority)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Whether this is the address owner's priority, 255.
    #[must_use]
    pub fn is_owner(self) -> bool {
        self == Self::OWNER
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The version of the protocol an instance speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds, optional authentication.
    V2,
    /// RFC 9568: both families, centiseconds.
    V3,
}

/// How often a master advertises: 1-255 whole seconds in version 2, 1-4095 centiseconds in version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdverInterval(Duration);

impl AdverInterval {
    /// Version 2's field; `None` for 0.
    #[must_use]
    pub const fn from_secs(secs: u8) -> Option<Self> {
        if secs == 0 { None } else { Some(Self(Duration::from_secs(secs as u64))) }
    }

    /// Version 3's field; `None` for 0 and for more than twelve bits.
    #[must_use]
    pub const fn from_centis(centis: u16) -> Option<Self> {
        if 1 <= centis && centis <= 4095 { Some(Self(Duration::from_millis(centis as u64 * 10))) } else { None }
    }

    /// The interval as a time.
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// Version 2's field: an interval that is not in whole seconds is the next longer one, and at most 255.
    #[must_use]
    pub fn field_secs(self) -> u8 {
        let whole = self.0.as_secs().saturating_add(u64::from(self.0.subsec_nanos() > 0));
        u8::try_from(whole).unwrap_or(u8::MAX)
    }

    /// Version 3's field: at most 4095, the twelve bits.
    #[must_use]
    pub fn field_centis(self) -> u16 {
        u16::try_from(self.0.as_millis() / 10).unwrap_or(u16::MAX).min(4095)
    }

    /// `Skew_Time`: `(256 - priority) / 256` seconds in version 2 (RFC 3768, 6.1), the same share of the interval in
    /// version 3 (RFC 9568, 6.1). Exact to the nanosecond.
    #[must_use]
    pub fn skew_time(self, version: Version, priority: Priority) -> Duration {
        let whole = match version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.0,
        };
        whole * (256 - u32::from(priority.get())) / 256
    }

    /// `Master_Down_Interval`: three intervals and the skew time.
    #[must_use]
    pub fn down_interval(self, version: Version, priority: Priority) -> Duration {
        self.down_interval_of(3, version, priority)
    }

    /// The same with another number of advertisements that may be missed, which is not in the RFC.
    #[must_use]
    pub fn down_interval_of(self, adverts: u8, version: Version, priority: Priority) -> Duration {
        self.0 * u32::from(adverts) + self.skew_time(version, priority)
    }
}

/// A decoded ADVERTISEMENT, of either version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Which virtual router it speaks for.
    pub vrid: Vrid,
    /// `None` is wire priority 0: the sender resigns.
    pub priority: Option<Priority>,
    /// How often the sender advertises.
    pub interval: AdverInterval,
    /// The addresses the sender serves, in its order.
    pub addresses: Vec<IpAddr>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{AdverInterval, Priority, Version, Vrid};

    fn priorities() -> impl Iterator<Item = Priority> {
        (1..=255).filter_map(Priority::new)
    }

    fn every_second() -> impl Iterator<Item = AdverInterval> {
        (1..=255).filter_map(AdverInterval::from_secs)
    }

    fn every_centisecond() -> impl Iterator<Item = AdverInterval> {
        (1..=4095).filter_map(AdverInterval::from_centis)
    }

    /// The formula of both RFCs in nanoseconds, wide enough for everything.
    fn skew_nanos(share_of: Duration, priority: Priority) -> u128 {
        (256 - u128::from(priority.get())) * share_of.as_nanos() / 256
    }

    #[test]
    fn zero_is_no_identifier_no_priority_and_no_interval() {
        assert_eq!(Vrid::new(0), None);
        assert_eq!(Priority::new(0), None);
        assert_eq!(AdverInterval::from_secs(0), None);
        assert_eq!(AdverInterval::from_centis(0), None);
        assert_eq!(AdverInterval::from_centis(4096), None);
    }

    /// RFC 3768, 6.1: the skew of version 2 is a share of a second, whatever the interval.
    #[test]
    fn skew_and_down_interval_of_version_2_for_all_priorities_and_intervals() {
        for interval in every_second() {
            for priority in priorities() {
                let skew = skew_nanos(Duration::from_secs(1), priority);
                assert_eq!(interval.skew_time(Version::V2, priority).as_nanos(), skew);
                let down = 3 * interval.as_duration().as_nanos() + skew;
                assert_eq!(interval.down_interval(Version::V2, priority).as_nanos(), down);
            }
        }
    }

    /// RFC 9568, 6.1: the skew of version 3 is a share of the interval.
    #[test]
    fn skew_and_down_interval_of_version_3_for_all_priorities_and_intervals() {
        for interval in every_centisecond() {
            for priority in priorities() {
                let skew = skew_nanos(interval.as_duration(), priority);
                assert_eq!(interval.skew_time(Version::V3, priority).as_nanos(), skew);
                let down = 3 * interval.as_duration().as_nanos() + skew;
                assert_eq!(interval.down_interval(Version::V3, priority).as_nanos(), down);
            }
        }
    }

    #[test]
    fn the_figures_operators_know() {
        let second = AdverInterval::from_secs(1).unwrap();
        let hundred = Priority::new(100).unwrap();
        assert_eq!(second.down_interval(Version::V2, hundred), Duration::from_nanos(3_609_375_000));
        assert_eq!(second.down_interval(Version::V2, Priority::OWNER), Duration::from_nanos(3_003_906_250));
        let ten_millis = AdverInterval::from_centis(1).unwrap();
        assert_eq!(ten_millis.down_interval(Version::V3, hundred), Duration::from_nanos(36_093_750));
    }

    #[test]
    fn the_fields_hold_what_they_can_say() {
        for secs in 1..=255 {
            assert_eq!(AdverInterval::from_secs(secs).map(AdverInterval::field_secs), Some(secs));
        }
        for centis in 1..=4095 {
            assert_eq!(AdverInterval::from_centis(centis).map(AdverInterval::field_centis), Some(centis));
        }
    }

    /// Never 0, which nobody accepts, and never shorter than meant where it can be helped.
    #[test]
    fn what_the_fields_cannot_say_becomes_longer_or_the_longest() {
        let centis = |n| AdverInterval::from_centis(n).unwrap().field_secs();
        assert_eq!((centis(1), centis(100), centis(101), centis(4095)), (1, 1, 2, 41));
        let secs = |n| AdverInterval::from_secs(n).unwrap().field_centis();
        assert_eq!((secs(1), secs(40), secs(41), secs(255)), (100, 4000, 4095, 4095));
    }

    proptest! {
        /// A higher priority never waits longer, a longer interval never less: this orders the backups.
        #[test]
        fn the_down_interval_is_monotonic(
            (low, high) in (1_u8..=254).prop_flat_map(|low| (Just(low), low + 1..=255)),
            (short, long) in (1_u16..=4094).prop_flat_map(|short| (Just(short), short + 1..=4095)),
            version in prop_oneof![Just(Version::V2), Just(Version::V3)],
        ) {
            let (low, high) = (Priority::new(low).unwrap(), Priority::new(high).unwrap());
            let (short, long) = (AdverInterval::from_centis(short).unwrap(), AdverInterval::from_centis(long).unwrap());
            prop_assert!(short.down_interval(version, high) < short.down_interval(version, low));
            prop_assert!(short.down_interval(version, low) < long.down_interval(version, low));
        }
    }
}
