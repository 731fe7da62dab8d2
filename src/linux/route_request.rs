//! What the kernel is asked about routes and rules, as messages: add this one, take it away (rtnetlink(7)).
//!
//! All of ours bear the mark as their protocol (`RTA` header, `FRA_PROTOCOL`): the kernel then takes away no other.

use std::{io, net::IpAddr};

use ipnet::IpNet;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL},
    packet_route::{
        AddressFamily, IpProtocol, RouteNetlinkMessage,
        route::{
            RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteMetric, RouteNextHop, RouteNextHopFlags,
            RouteProtocol, RouteScope, RouteType, RouteVia,
        },
        rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage, RulePortRange, RuleUidRange},
    },
};

use super::{address_request::MARK, rtnl::Request};
use crate::{
    config::{Hop, Refusal, Route, RouteKey, Rule, RuleAction, RuleKey, Scope, Way},
    words::{Family, InterfaceName},
};

/// Adds it. IPv4: before others of the same key; the kernel refuses with `EEXIST` where there is exactly this one. IPv6: it
/// refuses so where there is one of the same key, whoever made that, for else it would make one of several gateways of both.
///
/// `index`: the number of an interface.
///
/// # Errors
/// An interface is not there.
pub(super) fn add_route(route: &Route, index: impl Fn(&InterfaceName) -> io::Result<u32>) -> io::Result<Request> {
    let flags = if route.destination.addr().is_ipv4() { NLM_F_CREATE } else { NLM_F_CREATE | NLM_F_EXCL };
    Ok(Request { message: RouteNetlinkMessage::NewRoute(whole(route, index)?), flags })
}

/// Takes away exactly this one of ours. What it weighs is not compared.
///
/// # Errors
/// An interface is not there.
pub(super) fn remove_exactly(route: &Route, index: impl Fn(&InterfaceName) -> io::Result<u32>) -> io::Result<Request> {
    let bare = Route { mtu: None, advmss: None, ..route.clone() };
    Ok(Request { message: RouteNetlinkMessage::DelRoute(whole(&bare, index)?), flags: 0 })
}

/// Takes away one of ours with this key; with metric 0 over IPv4, whatever metric it has, the lowest first.
pub(super) fn remove_route(key: &RouteKey) -> Request {
    let mut message = bare_route(key);
    // Any scope.
    message.header.scope = RouteScope::NoWhere;
    Request { message: RouteNetlinkMessage::DelRoute(message), flags: 0 }
}

fn bare_route(key: &RouteKey) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = netlink_family(Family::of(key.destination.addr()));
    header.destination_prefix_length = key.destination.prefix_len();
    header.protocol = RouteProtocol::Other(MARK);
    // The number has a place of its own, for it may be larger.
    header.table = u8::try_from(key.table).unwrap_or(0);
    if key.destination.prefix_len() > 0 {
        message.attributes.push(RouteAttribute::Destination(key.destination.addr().into()));
    }
    message.attributes.push(RouteAttribute::Table(key.table));
    message.attributes.push(RouteAttribute::Priority(key.metric));
    message
}

fn whole(route: &Route, index: impl Fn(&InterfaceName) -> io::Result<u32>) -> io::Result<RouteMessage> {
    let mut message = bare_route(&route.key());
    message.header.kind = match route.way {
        Way::Hops(_) => RouteType::Unicast,
        Way::Refused(Refusal::Blackhole) => RouteType::BlackHole,
        Way::Refused(Refusal::Unreachable) => RouteType::Unreachable,
        Way::Refused(Refusal::Prohibit) => RouteType::Prohibit,
        Way::Refused(Refusal::Throw) => RouteType::Throw,
    };
    message.header.scope = scope(route);
    let family = Family::of(route.destination.addr());
    match &route.way {
        Way::Refused(_) => {}
        Way::Hops(hops) => match hops.as_slice() {
            [hop] => {
                message.attributes.extend(hop.via.map(|via| gateway(via, family)));
                message.attributes.extend(hop.device.as_ref().map(&index).transpose()?.map(RouteAttribute::Oif));
                message.header.flags.set(RouteFlags::Onlink, hop.onlink);
            }
            several => {
                let all = several.iter().map(|hop| next_hop(hop, family, &index));
                message.attributes.push(RouteAttribute::MultiPath(all.collect::<io::Result<_>>()?));
            }
        },
    }
    message.attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    let mtu = route.mtu.map(RouteMetric::Mtu);
    let metrics: Vec<RouteMetric> = mtu.into_iter().chain(route.advmss.map(RouteMetric::Advmss)).collect();
    if !metrics.is_empty() {
        message.attributes.push(RouteAttribute::Metrics(metrics));
    }
    Ok(message)
}

fn next_hop(hop: &Hop, family: Family, index: impl Fn(&InterfaceName) -> io::Result<u32>) -> io::Result<RouteNextHop> {
    let mut next = RouteNextHop::default();
    next.interface_index = hop.device.as_ref().map(index).transpose()?.unwrap_or(0);
    next.hops = u8::try_from(hop.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    next.flags.set(RouteNextHopFlags::Onlink, hop.onlink);
    next.attributes.extend(hop.via.map(|via| gateway(via, family)));
    Ok(next)
}

/// RFC 8950: an IPv4 route may have an IPv6 gateway.
fn gateway(via: IpAddr, family: Family) -> RouteAttribute {
    match via {
        IpAddr::V6(six) if family == Family::V4 => RouteAttribute::Via(RouteVia::Inet6(six)),
        IpAddr::V4(_) | IpAddr::V6(_) => RouteAttribute::Gateway(RouteAddress::from(via)),
    }
}

/// As `ip route` has it: what is not sent on has none, what has no gateway is on the link.
fn scope(route: &Route) -> RouteScope {
    let has_gateway = |hops: &[Hop]| hops.iter().any(|hop| hop.via.is_some());
    match (route.scope, &route.way) {
        (Some(Scope::Global), _) => RouteScope::Universe,
        (Some(Scope::Site), _) => RouteScope::Site,
        (Some(Scope::Link), _) => RouteScope::Link,
        (Some(Scope::Host), _) => RouteScope::Host,
        (None, Way::Hops(hops)) if route.destination.addr().is_ipv4() && !has_gateway(hops) => RouteScope::Link,
        (None, Way::Hops(_) | Way::Refused(_)) => RouteScope::Universe,
    }
}

/// Adds it; the kernel refuses with `EEXIST` where there is an equal one.
pub(super) fn add_rule(rule: &Rule) -> Request {
    Request { message: RouteNetlinkMessage::NewRule(whole_rule(rule)), flags: NLM_F_CREATE | NLM_F_EXCL }
}

/// Takes away one of ours with this key.
pub(super) fn remove_rule(key: RuleKey) -> Request {
    Request { message: RouteNetlinkMessage::DelRule(bare_rule(key)), flags: 0 }
}

fn bare_rule(key: RuleKey) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = netlink_family(key.family);
    message.attributes.push(RuleAttribute::Priority(key.priority));
    message.attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(MARK)));
    message
}

fn whole_rule(rule: &Rule) -> RuleMessage {
    let mut message = bare_rule(rule.key());
    message.header.flags.set(RuleFlags::Invert, rule.inverted);
    message.header.src_len = rule.from.map_or(0, |net| net.prefix_len());
    message.header.dst_len = rule.to.map_or(0, |net| net.prefix_len());
    let selected = |net: Option<IpNet>| net.filter(|net| net.prefix_len() > 0).map(|net| net.addr());
    let attributes = &mut message.attributes;
    attributes.extend(selected(rule.from).map(RuleAttribute::Source));
    attributes.extend(selected(rule.to).map(RuleAttribute::Destination));
    if let Some((mark, mask)) = rule.fwmark {
        attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    attributes.extend(rule.iif.as_ref().map(|name| RuleAttribute::Iifname(name.to_string())));
    attributes.extend(rule.oif.as_ref().map(|name| RuleAttribute::Oifname(name.to_string())));
    attributes.extend(rule.uidrange.map(|(start, end)| RuleAttribute::UidRange(RuleUidRange { start, end })));
    attributes.extend(rule.ip_proto.map(|number| RuleAttribute::IpProtocol(IpProtocol::from(number))));
    let ports = |(start, end)| RulePortRange { start, end };
    attributes.extend(rule.sport.map(ports).map(RuleAttribute::SourcePortRange));
    attributes.extend(rule.dport.map(ports).map(RuleAttribute::DestinationPortRange));
    attributes.extend(rule.suppress_prefixlength.map(RuleAttribute::SuppressPrefixLen));
    message.header.action = match rule.action {
        RuleAction::Table(table) => {
            attributes.push(RuleAttribute::Table(table));
            message.header.table = u8::try_from(table).unwrap_or(0);
            Action::ToTable
        }
        RuleAction::L3mdev => {
            attributes.push(RuleAttribute::L3MDev(true));
            Action::ToTable
        }
        RuleAction::Refused(Refusal::Blackhole) => Action::Blackhole,
        RuleAction::Refused(Refusal::Unreachable) => Action::Unreachable,
        RuleAction::Refused(Refusal::Prohibit | Refusal::Throw) => Action::Prohibit,
    };
    message
}

const fn netlink_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}
