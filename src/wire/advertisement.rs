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
        self.0 * 3 + self.skew_time(version, priority)
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
