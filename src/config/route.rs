//! A route that an instance sets while it holds its addresses, as it is meant (`ip-route(8)`).

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::Scope;
use crate::words::{Family, InterfaceName};

/// `RT_TABLE_MAIN`.
pub const MAIN_TABLE: u32 = 254;

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where packets go that it is for; its family is the route's.
    pub destination: IpNet,
    /// What becomes of them.
    pub way: Way,
    /// The address that this machine's own packets get.
    pub source: Option<IpAddr>,
    /// The table it is in.
    pub table: u32,
    /// Which of several for the same destination counts: the lowest. IPv4: 0 unless written, IPv6: 1024.
    pub metric: u32,
    /// IPv4 only; unless written link for a route without a gateway, else global.
    pub scope: Option<Scope>,
    /// The largest packet, in bytes.
    pub mtu: Option<u32>,
    /// The segment size that TCP is told, in bytes.
    pub advmss: Option<u32>,
    /// Put back if somebody removes it.
    pub tracked: bool,
}

/// What becomes of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// They are sent on; over several hops by their weights.
    Hops(Vec<Hop>),
    /// They are not.
    Refused(Refusal),
}

/// Where packets are sent on to: at least one of `via` and `device`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The gateway; an IPv4 route may have an IPv6 one.
    pub via: Option<IpAddr>,
    /// The interface.
    pub device: Option<InterfaceName>,
    /// The gateway is on the link whatever the addresses say.
    pub onlink: bool,
    /// 1 to 256; its share where there are several.
    pub weight: u16,
}

/// What packets are met with that are not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Silence.
    Blackhole,
    /// "Host unreachable".
    Unreachable,
    /// "Administratively prohibited".
    Prohibit,
    /// The next rule is asked.
    Throw,
}

/// The words for it.
pub(super) const REFUSALS: [(&str, Refusal); 4] = [
    ("blackhole", Refusal::Blackhole),
    ("unreachable", Refusal::Unreachable),
    ("prohibit", Refusal::Prohibit),
    ("throw", Refusal::Throw),
];

/// What finds a route of ours again: among those that bear the mark there is one like that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// See [`Route`].
    pub destination: IpNet,
    /// See [`Route`].
    pub table: u32,
    /// See [`Route`].
    pub metric: u32,
}

impl Route {
    /// See [`RouteKey`].
    #[must_use]
    pub const fn key(&self) -> RouteKey {
        RouteKey { destination: self.destination, table: self.table, metric: self.metric }
    }

    /// The metric of an IPv6 route for which none is written.
    #[must_use]
    pub const fn usual_metric(family: Family) -> u32 {
        match family {
            Family::V4 => 0,
            Family::V6 => 1024,
        }
    }
}

/// In the words of `ip route`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Way::Refused(refusal) = self.way {
            let word = REFUSALS.iter().find(|(_, of)| *of == refusal).map_or("", |(word, _)| word);
            write!(f, "{word} ")?;
        }
        match self.destination.prefix_len() {
            0 if self.destination.addr().is_ipv4() => f.write_str("default")?,
            0 => f.write_str("::/0")?,
            _ => write!(f, "{}", self.destination)?,
        }
        if let Way::Hops(hops) = &self.way {
            for hop in hops {
                hop.write(f, hops.len() > 1)?;
            }
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.table != MAIN_TABLE {
            write!(f, " table {}", self.table)?;
        }
        if self.metric != Self::usual_metric(Family::of(self.destination.addr())) {
            write!(f, " metric {}", self.metric)?;
        }
        Ok(())
    }
}

impl Hop {
    fn write(&self, f: &mut fmt::Formatter<'_>, one_of_several: bool) -> fmt::Result {
        if one_of_several {
            f.write_str(" nexthop")?;
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(device) = &self.device {
            write!(f, " dev {device}")?;
        }
        if one_of_several {
            write!(f, " weight {}", self.weight)?;
        }
        if self.onlink { f.write_str(" onlink") } else { Ok(()) }
    }
}
