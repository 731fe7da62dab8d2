//! The route probe: what the kernel would take for a packet, or what stands in its tables, by rtnetlink(7).

use std::{io, net::IpAddr};

use nix::errno::Errno;

use super::{
    addr::{bytes, ip, name_of},
    answer::{Answer, Failure, Fields},
    iface::untold,
    netlink::{self, Table, Want, attributes, u16_at, u32_at},
};
use crate::policy::probe::{Destination, ErrorKind, Field, RouteRequest};

/// `RTM_GETROUTE`
const GET_ROUTE: u16 = 26;
/// The fixed part, `struct rtmsg`.
const FIXED: usize = 12;
/// `RT_TABLE_MAIN`
const MAIN: u32 = 254;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
/// `RTNH_F_DEAD | RTNH_F_LINKDOWN`
const LEADS_NOWHERE: u32 = 1 | 16;
/// What types of route a packet gets somewhere by: `RTN_UNICAST` and `RTN_LOCAL`.
const USABLE: [u8; 2] = [1, 2];

#[derive(Debug, Default)]
struct Route {
    to: Option<IpAddr>,
    prefix: u8,
    table: u32,
    kind: u8,
    flags: u32,
    priority: u32,
    dev: Option<u32>,
    via: Option<IpAddr>,
    src: Option<IpAddr>,
}

/// `ok`: there is one, and it leads somewhere. Fields: `via`, `dev`, `src`. Blocks.
pub(super) fn look(wanted: &RouteRequest) -> Answer {
    let mut fields = Fields::from(["via", "dev", "src"].map(|name| (name, Field::Unit)));
    let verdict = find(wanted).and_then(|route| inspect(wanted, route, &mut fields));
    Answer { verdict, fields }
}

fn inspect(wanted: &RouteRequest, route: Option<Route>, fields: &mut Fields) -> Result<String, Failure> {
    let no_way = |why: String| Err(Failure::new(ErrorKind::Unreachable, why));
    let Some(route) = route else { return no_way("no route".to_owned()) };
    let dev = route.dev.map(name_of);
    let text = |ip: Option<IpAddr>| ip.map_or(Field::Unit, |ip| Field::Text(ip.to_string()));
    fields.extend([
        ("via", text(route.via)),
        ("dev", dev.clone().map_or(Field::Unit, Field::Text)),
        ("src", text(route.src)),
    ]);
    let Some(dev) = dev.filter(|_| USABLE.contains(&route.kind)) else {
        return no_way("the route leads nowhere (blackhole, unreachable or prohibit)".to_owned());
    };
    if route.flags & LEADS_NOWHERE != 0 {
        return no_way(format!("by {dev}, which has no carrier"));
    }
    match &wanted.dev {
        Some(wanted) if *wanted != dev => Err(Failure::new(ErrorKind::Mismatch, format!("by {dev}, not by {wanted}"))),
        Some(_) | None => Ok(route.via.map_or_else(|| format!("by {dev}"), |via| format!("by {dev}, via {via}"))),
    }
}

fn find(wanted: &RouteRequest) -> Result<Option<Route>, Failure> {
    match (wanted.to, wanted.table) {
        (Destination::Address(to), None) => taken_for(to),
        (Destination::Address(to), Some(table)) => best(to, table, wanted.dev.as_deref(), |route| route.covers(to)),
        (Destination::Network(to, prefix), table) => {
            let is_it = |route: &Route| route.prefix == prefix && (prefix == 0 || route.to == Some(to));
            best(to, table.unwrap_or(MAIN), wanted.dev.as_deref(), is_it)
        }
    }
}

/// What a packet to this address would take, by every rule and table.
fn taken_for(to: IpAddr) -> Result<Option<Route>, Failure> {
    let address = bytes(to);
    let mut question = rtmsg(to, u8::try_from(address.len() * 8).unwrap_or_default());
    question.extend(u16::try_from(4 + address.len()).unwrap_or_default().to_ne_bytes());
    question.extend(RTA_DST.to_ne_bytes());
    question.extend(address);
    match netlink::ask(Table::Route, GET_ROUTE, Want::One, &question) {
        Ok(answers) => Ok(answers.iter().find_map(|answer| read(answer))),
        Err(error) if is_no_way(&error) => Ok(None),
        Err(error) => Err(untold(&error)),
    }
}

/// How the kernel says that no route matches, or one that leads nowhere: unreachable, prohibit and blackhole.
fn is_no_way(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL))
}

/// The longest of these routes in the table, of equal ones the one that is preferred.
fn best(
    to: IpAddr,
    table: u32,
    dev: Option<&str>,
    is_wanted: impl Fn(&Route) -> bool,
) -> Result<Option<Route>, Failure> {
    let answers = netlink::ask(Table::Route, GET_ROUTE, Want::All, &rtmsg(to, 0)).map_err(|error| untold(&error))?;
    let routes =
        answers.iter().filter_map(|answer| read(answer)).filter(|route| route.table == table && is_wanted(route));
    let by = |route: &Route| dev.is_none_or(|dev| route.dev.map(name_of).as_deref() == Some(dev));
    // One by the wanted interface, else one that says by which it goes instead.
    Ok(routes.min_by_key(|route| (!by(route), u8::MAX - route.prefix, route.priority)))
}

fn rtmsg(to: IpAddr, length: u8) -> Vec<u8> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let mut header = vec![0; FIXED];
    header.splice(0..2, [u8::try_from(family).unwrap_or_default(), length]);
    header
}

fn read(answer: &[u8]) -> Option<Route> {
    let mut route = Route {
        prefix: *answer.get(1)?,
        table: u32::from(*answer.get(4)?),
        kind: *answer.get(7)?,
        flags: u32_at(answer, 8)?,
        ..Route::default()
    };
    for (kind, value) in attributes(answer.get(FIXED..)?) {
        match kind {
            RTA_DST => route.to = ip(value),
            RTA_PRIORITY => route.priority = u32_at(value, 0)?,
            RTA_PREFSRC => route.src = ip(value),
            RTA_TABLE => route.table = u32_at(value, 0)?,
            RTA_MULTIPATH => route.first_of_several(value),
            _ => route.hop(kind, value),
        }
    }
    Some(route)
}

impl Route {
    fn covers(&self, address: IpAddr) -> bool {
        let to = self.to.map_or_else(|| vec![0; bytes(address).len()], bytes);
        let address = bytes(address);
        let bit = |bytes: &[u8], at: usize| bytes.get(at / 8).map(|byte| byte >> (7 - at % 8) & 1);
        to.len() == address.len() && (0..usize::from(self.prefix)).all(|at| bit(&to, at) == bit(&address, at))
    }

    fn hop(&mut self, kind: u16, value: &[u8]) {
        match kind {
            RTA_OIF => self.dev = u32_at(value, 0),
            RTA_GATEWAY => self.via = ip(value),
            // A router of the other family, after the number of that family.
            RTA_VIA => self.via = value.get(2..).and_then(ip),
            _ => {}
        }
    }

    /// `struct rtnexthop`, then attributes of its own.
    fn first_of_several(&mut self, value: &[u8]) {
        let Some(length) = u16_at(value, 0).map(usize::from) else { return };
        self.dev = u32_at(value, 4);
        for (kind, value) in attributes(value.get(8..length).unwrap_or_default()) {
            self.hop(kind, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_covers_its_addresses() {
        let route =
            |to: Option<&str>, prefix| Route { to: to.map(|to| to.parse().unwrap()), prefix, ..Route::default() };
        let covers = |to, prefix, address: &str| route(to, prefix).covers(address.parse().unwrap());
        assert!(covers(Some("10.0.0.0"), 8, "10.9.9.9") && !covers(Some("10.0.0.0"), 8, "11.0.0.0"));
        assert!(
            covers(Some("192.168.0.128"), 25, "192.168.0.200") && !covers(Some("192.168.0.128"), 25, "192.168.0.20")
        );
        assert!(covers(None, 0, "192.0.2.1") && covers(None, 0, "2001:db8::1"));
        assert!(covers(Some("fd00::"), 64, "fd00::1") && !covers(Some("fd00::"), 64, "10.0.0.1"));
    }
}
