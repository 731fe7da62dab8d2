//! Names of things on a network.

use std::{fmt, net::IpAddr, str::FromStr};

/// Which internet protocol a virtual router serves; routers of the two families are independent (RFC 9568, 5.2.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The virtual router MAC address, `00:00:5e:00:01:VRID` or `00:00:5e:00:02:VRID` (RFC 9568, 7.3).
    #[must_use]
    pub const fn virtual_router(family: Family, vrid: u8) -> Self {
        let family = match family {
            Family::V4 => 1,
            Family::V6 => 2,
        };
        Self([0x00, 0x00, 0x5e, 0x00, family, vrid])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a network interface: 1 to 15 bytes, no slash, no white space, not `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not the name of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnInterfaceName;

impl FromStr for InterfaceName {
    type Err = NotAnInterfaceName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let forbidden = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
        if (1..=15).contains(&text.len()) && text != "." && text != ".." && !text.contains(forbidden) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnInterfaceName)
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
