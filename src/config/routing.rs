//! Reading `routes` and `rules` of an instance.

use std::{collections::BTreeSet, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::{
    Effect, Instance, Scope, TrackedInterface, WellWhile,
    address::name_of,
    error::{Findings, Problem, Severity, Span},
    instance::Drawn,
    network,
    route::{Hop, MAIN_TABLE, REFUSALS, Route, Way},
    rule::{Routing, Rule},
    table::{Entry, Table, Written},
    value,
};
use crate::words::{Family, InterfaceName};

/// Tables that have a name everywhere.
const TABLES: [(&str, u32); 3] = [("local", 255), ("main", MAIN_TABLE), ("default", 253)];

const SCOPES: [(&str, Scope); 4] =
    [("global", Scope::Global), ("site", Scope::Site), ("link", Scope::Link), ("host", Scope::Host)];

/// One entry of `routes` as written.
#[derive(Debug)]
pub(super) struct RawRoute {
    span: Span,
    kind: Written<String>,
    to: Written<String>,
    hop: RawHop,
    nexthops: Vec<RawHop>,
    source: Written<String>,
    table: Written<String>,
    metric: Written<i64>,
    scope: Written<String>,
    mtu: Written<i64>,
    advmss: Written<i64>,
    track: Written<bool>,
}

/// One entry of `nexthops`, or the only hop of a route.
#[derive(Debug)]
pub(super) struct RawHop {
    via: Written<String>,
    device: Written<String>,
    onlink: Written<bool>,
    weight: Written<i64>,
}

impl RawRoute {
    /// `tables` gets those of its hops.
    pub(super) fn read<'d>(table: &mut Table<'d>, tables: &mut Vec<Table<'d>>, out: &mut Findings) -> Self {
        let hop = RawHop { weight: Written::Absent, ..RawHop::read_single(table, out) };
        let nexthops = tables_of("nexthops", "{ via = \"192.168.0.1\", weight = 1 }", table, out);
        let read = nexthops.into_iter().map(|mut table| {
            let hop = RawHop::read(&mut table, out);
            tables.push(table);
            hop
        });
        let nexthops = read.collect();
        Self {
            span: table.header(),
            kind: table.text("kind", out),
            to: table.text("to", out),
            hop,
            nexthops,
            source: table.text("source", out),
            table: table.text("table", out),
            metric: table.number("metric", out),
            scope: table.text("scope", out),
            mtu: table.number("mtu", out),
            advmss: table.number("advmss", out),
            track: table.flag("track", out),
        }
    }
}

impl RawHop {
    fn read_single(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            via: table.text("via", out),
            device: table.text("device", out),
            onlink: table.flag("onlink", out),
            weight: Written::Absent,
        }
    }

    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self { weight: table.number("weight", out), ..Self::read_single(table, out) }
    }

    fn is_absent(&self) -> bool {
        self.via.is_absent() && self.device.is_absent()
    }
}

/// The tables of a list that has nothing else; `example`: what one looks like.
pub(super) fn tables_of<'d>(
    key: &'static str,
    example: &str,
    table: &mut Table<'d>,
    out: &mut Findings,
) -> Vec<Table<'d>> {
    let Written::Given(entries) = table.entries(key, out) else { return Vec::new() };
    let mut tables = Vec::new();
    for entry in entries.into_inner() {
        match entry {
            Entry::Table(table) => tables.push(table),
            Entry::Text(text) => {
                let what = format!("\"{}\" in {key} is no table", text.get_ref());
                out.error(text.span(), what, format!("write {key} = [{example}]"));
            }
        }
    }
    tables
}

/// What is meant by the routes of an instance of this family.
pub(super) fn routes(raw: &[RawRoute], family: Option<Family>, out: &mut Findings) -> Vec<Route> {
    let mut list: Vec<(Route, Span)> = Vec::new();
    for raw in raw {
        let Some(route) = route(raw, family, out) else { continue };
        if let Some((_, first)) = list.iter().find(|(other, _)| other.key() == route.key()) {
            let first = first.clone();
            let what = format!("two routes to {} in one table with one metric", route.destination);
            out.error(raw.span.clone(), what, "write another metric for one, or one route with nexthops");
            out.relate(first, "first here");
            continue;
        }
        list.push((route, raw.span.clone()));
    }
    list.into_iter().map(|(route, _)| route).collect()
}

fn route(raw: &RawRoute, family: Option<Family>, out: &mut Findings) -> Option<Route> {
    if raw.to.is_absent() {
        let todo = "write to = \"10.0.0.0/8\", or to = \"default\"";
        out.missing(raw.span.clone(), "a route does not say where to", todo);
    }
    let via = parsed::<IpAddr>("via", &raw.hop.via, "an address", "192.168.0.1", out);
    let usual = via.map(Family::of).or(family);
    let destination = destination(&raw.to, usual, out);
    let way = way(raw, via, destination, out);
    let source = parsed::<IpAddr>("source", &raw.source, "an address", "192.168.0.60", out);
    let table = table("table", &raw.table, out);
    let metric = whole("metric", &raw.metric, 0, u32::MAX, out);
    let scope = value::choice("scope", &raw.scope, &SCOPES, out);
    let mtu = whole("mtu", &raw.mtu, 68, 65535, out);
    let advmss = whole("advmss", &raw.advmss, 1, 65535, out);
    let destination = destination?;
    let own = Family::of(destination.addr());
    if let Some((source, span)) = source.zip(raw.source.span()).filter(|(source, _)| Family::of(*source) != own) {
        let what = format!("source: {source} is no {} address, as the route's destination is", name_of(own));
        out.error(span, what, "write one of the same family");
    }
    if let Some(span) = raw.scope.span().filter(|_| own == Family::V6) {
        out.error(span, "scope: IPv6 routes have none", "remove it");
    }
    Some(Route {
        destination,
        way: way?,
        source,
        table: table.unwrap_or(MAIN_TABLE),
        metric: metric.filter(|metric| *metric > 0 || own == Family::V4).unwrap_or(Route::usual_metric(own)),
        scope,
        mtu,
        advmss,
        tracked: raw.track.given().is_none_or(|(track, _)| *track),
    })
}

fn destination(written: &Written<String>, usual: Option<Family>, out: &mut Findings) -> Option<IpNet> {
    let (text, span) = written.given()?;
    if text == "default" {
        let everything = if usual? == Family::V6 { "::/0" } else { "0.0.0.0/0" };
        return everything.parse().ok();
    }
    network("to", text, span, out)
}

/// A network, or an address alone.
pub(super) fn network(key: &str, text: &str, span: Span, out: &mut Findings) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok();
    match net {
        None => {
            out.error(span, format!("{key}: \"{text}\" is no network"), format!("write {key} = \"10.0.0.0/8\""));
        }
        Some(net) if net.trunc() != net => {
            let what = format!("{key}: {net} has bits beyond its prefix");
            out.error(span, what, format!("write \"{}\", or \"{}\" for the address alone", net.trunc(), net.addr()));
        }
        Some(_) => {}
    }
    net
}

fn way(raw: &RawRoute, via: Option<IpAddr>, destination: Option<IpNet>, out: &mut Findings) -> Option<Way> {
    let refusal = value::choice("kind", &raw.kind, &REFUSALS, out);
    if !raw.kind.is_absent() {
        if !raw.hop.is_absent() || !raw.nexthops.is_empty() {
            let what = "a route of this kind sends nothing on: it has no via, device or nexthops";
            out.error(raw.span.clone(), what, "remove them, or kind");
        }
        return refusal.map(Way::Refused);
    }
    if raw.hop.is_absent() == raw.nexthops.is_empty() {
        let what = "a route has a via or a device, or nexthops, or a kind like blackhole";
        let todo = "write via = \"192.168.0.1\", the gateway, or device = \"eth0\"";
        out.error(raw.span.clone(), what, todo);
        return None;
    }
    let family = destination.map(|net| Family::of(net.addr()));
    if raw.nexthops.is_empty() {
        return Some(Way::Hops(vec![hop(&raw.hop, via, family, &raw.span, out)?]));
    }
    let hops: Vec<Option<Hop>> = raw
        .nexthops
        .iter()
        .map(|raw_hop| {
            let via = parsed::<IpAddr>("via", &raw_hop.via, "an address", "192.168.0.1", out);
            hop(raw_hop, via, family, &raw.span, out)
        })
        .collect();
    hops.into_iter().collect::<Option<Vec<Hop>>>().map(Way::Hops)
}

fn hop(raw: &RawHop, via: Option<IpAddr>, family: Option<Family>, route: &Span, out: &mut Findings) -> Option<Hop> {
    if raw.is_absent() {
        out.error(route.clone(), "a nexthop has neither via nor device", "write via = \"192.168.0.1\"");
        return None;
    }
    let device = interface("device", &raw.device, out);
    if let Some((via, span)) = via.zip(raw.via.span())
        && via.is_ipv4()
        && family == Some(Family::V6)
    {
        let todo = "write an IPv6 gateway; only an IPv4 route may have one of the other family";
        out.error(span, format!("via: {via} is an IPv4 gateway of an IPv6 route"), todo);
    }
    let onlink = raw.onlink.given().is_some_and(|(onlink, _)| *onlink);
    if let Some(span) = raw.onlink.span().filter(|_| onlink && (raw.device.is_absent() || raw.via.is_absent())) {
        out.error(span, "onlink says that a via is on the link of a device", "write both, or remove onlink");
    }
    let weight = whole("weight", &raw.weight, 1, 256, out).and_then(|weight| u16::try_from(weight).ok());
    Some(Hop { via, device, onlink, weight: weight.unwrap_or(1) })
}

/// The interfaces without which these routes lead nowhere, as what is tracked: of several gateways one is enough. Not those
/// of `own`, which are watched in any case.
pub(super) fn followed(routes: &[Route], own: &[&InterfaceName]) -> Vec<TrackedInterface> {
    let mut list: Vec<TrackedInterface> = Vec::new();
    for route in routes.iter().filter(|route| route.tracked) {
        let Way::Hops(hops) = &route.way else { continue };
        let Some(mut any) = hops.iter().map(|hop| hop.device.clone()).collect::<Option<Vec<InterfaceName>>>() else {
            continue;
        };
        any.sort();
        any.dedup();
        if !any.iter().any(|name| own.contains(&name)) && !list.iter().any(|known| known.any == any) {
            list.push(TrackedInterface { any, well: WellWhile::There, effect: Effect::Fault });
        }
    }
    list
}

/// Several instances may set the same; what is only in the same place would take the other's.
pub(super) fn check_shared(drawn: &[Drawn], out: &mut Findings) {
    let all: Vec<(&Drawn, &Instance)> =
        drawn.iter().filter_map(|drawn| Some((drawn, drawn.instance.as_ref()?))).collect();
    for (index, (place, later)) in all.iter().enumerate() {
        for (_, first) in all.iter().take(index).filter(|(_, first)| network::meet(first, later)) {
            let (mine, others) = (&later.routing, &first.routing);
            let in_place = |route: &&Route| others.routes.iter().any(|it| it.key() == route.key() && it != *route);
            let routes = mine.routes.iter().filter(in_place).map(|route| format!("the route {route}"));
            let in_place = |rule: &&Rule| others.rules.iter().any(|it| it.key() == rule.key() && it != *rule);
            let rules = mine.rules.iter().filter(in_place).map(|rule| format!("the rule {rule}"));
            for what in routes.chain(rules) {
                let what = format!("{what} of {} is in the place of another one of {}", later.name, first.name);
                out.error(place.header.clone(), what, "write another metric, table or priority, or the same in both");
            }
        }
    }
}

/// What only one node of a pair sets. That a gateway differs may be meant.
pub(super) fn compare((a, name_a): (&Instance, &str), (b, name_b): (&Instance, &str), found: &mut Vec<Problem>) {
    let named = |instance: &Instance| -> BTreeSet<String> {
        let route = |route: &Route| format!("the route to {} in table {}", route.destination, route.table);
        let rule = |rule: &Rule| format!("the rule {rule}");
        let Routing { routes, rules } = &instance.routing;
        routes.iter().map(route).chain(rules.iter().map(rule)).collect()
    };
    let both = (named(a), named(b));
    for (only, name) in [(&both.0 - &both.1, name_a), (&both.1 - &both.0, name_b)] {
        if !only.is_empty() {
            let list = only.into_iter().collect::<Vec<_>>().join(", ");
            let what = format!("{}: only {name} sets {list}", a.name);
            let todo = "write the same routes and rules in both: what only one has is gone after a takeover";
            found.push(Problem::anywhere(Severity::Warning, what, todo));
        }
    }
}

/// The number of a table.
pub(super) fn table(key: &str, written: &Written<String>, out: &mut Findings) -> Option<u32> {
    let (text, span) = written.given()?;
    let named = TABLES.iter().find(|(name, _)| name == text).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok().filter(|number| *number > 0));
    if number.is_none() {
        let todo = format!(
            "write {key} = \"100\", or \"main\"; other names are in /etc/iproute2/rt_tables, with their numbers"
        );
        out.error(span, format!("{key}: \"{text}\" is no table"), todo);
    }
    number
}

/// The name of an interface.
pub(super) fn interface(key: &str, written: &Written<String>, out: &mut Findings) -> Option<InterfaceName> {
    parsed(key, written, "the name of an interface", "eth0", out)
}

/// A text that means something.
pub(super) fn parsed<T: FromStr>(
    key: &str,
    written: &Written<String>,
    what: &str,
    example: &str,
    out: &mut Findings,
) -> Option<T> {
    let (text, span) = written.given()?;
    let meant = text.parse().ok();
    if meant.is_none() {
        out.error(span, format!("{key}: \"{text}\" is not {what}"), format!("write {key} = \"{example}\""));
    }
    meant
}

/// A number within its range.
pub(super) fn whole(key: &str, written: &Written<i64>, lowest: u32, highest: u32, out: &mut Findings) -> Option<u32> {
    let (number, span) = written.given()?;
    let fitting = u32::try_from(*number).ok().filter(|number| (lowest..=highest).contains(number));
    if fitting.is_none() {
        out.error(span, format!("{key} = {number} is out of range"), format!("{key} is {lowest} to {highest}"));
    }
    fitting
}
