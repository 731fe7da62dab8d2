//! How far advertisements come from: the group of multicast, and the range of the TTL of unicast.

use std::net::IpAddr;

use super::{
    Transport,
    error::Findings,
    table::{Table, Written},
    value,
};
use crate::{wire::group, words::Family};

/// See the module.
#[derive(Debug)]
pub(super) struct Reach {
    /// `None`: the RFC's.
    pub(super) group: Option<IpAddr>,
    pub(super) min_ttl: u8,
    pub(super) max_ttl: u8,
}

/// As written.
#[derive(Debug)]
pub(super) struct RawReach {
    group: Written<String>,
    min_ttl: Written<i64>,
    max_ttl: Written<i64>,
}

impl RawReach {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            group: table.text("multicast_group", out),
            min_ttl: table.number("min_ttl", out),
            max_ttl: table.number("max_ttl", out),
        }
    }
}

/// Reads them, each of which only one transport has.
pub(super) fn resolve(raw: &RawReach, transport: Transport, family: Option<Family>, out: &mut Findings) -> Reach {
    let multicast_group = multicast_group(&raw.group, family, out);
    let min_ttl = value::number("min_ttl", &raw.min_ttl, 1, 255, out).unwrap_or(1);
    let max_ttl = value::number("max_ttl", &raw.max_ttl, 1, 255, out).unwrap_or(u8::MAX);
    if let Some(span) = raw.max_ttl.span().filter(|_| max_ttl < min_ttl) {
        let what = format!("nothing has a TTL of at least {min_ttl} and at most {max_ttl}");
        out.error(span, what, "write a max_ttl that is not below min_ttl");
    }
    match transport {
        Transport::Unicast => {
            if let Some(span) = raw.group.span() {
                let todo = "remove it, or transport = \"unicast\"";
                out.error(span, "multicast_group is for multicast, and this instance is unicast", todo);
            }
        }
        Transport::Multicast => {
            for (key, written) in [("min_ttl", &raw.min_ttl), ("max_ttl", &raw.max_ttl)] {
                if let Some(span) = written.span() {
                    let todo = "remove it: what comes by multicast has TTL 255, or is discarded";
                    out.error(span, format!("{key} is for unicast, and this instance is multicast"), todo);
                }
            }
        }
    }
    Reach { group: multicast_group, min_ttl, max_ttl }
}

/// RFC 9568, 5.1.1.2 and 5.1.2.2: the group does not leave the link.
fn multicast_group(written: &Written<String>, family: Option<Family>, out: &mut Findings) -> Option<IpAddr> {
    let (text, span) = written.given()?;
    let written = text.parse::<IpAddr>().ok();
    let family = family.or_else(|| written.map(Family::of))?;
    let fits = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => {
            address.is_multicast() && address.segments().first().is_some_and(|first| first & 15 == 2)
        }
    };
    let Some(address) = written.filter(|address| Family::of(*address) == family && fits(address)) else {
        let (what, todo) = match family {
            Family::V4 => ("an IPv4 group", "write one of 224.0.0.0 to 239.255.255.255, the same on every node"),
            Family::V6 => ("a link-local IPv6 group", "write one that begins with ff02, the same on every node"),
        };
        out.error(span, format!("multicast_group = \"{text}\" is not {what}"), todo);
        return None;
    };
    (address != group(family)).then_some(address)
}
