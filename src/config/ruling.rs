//! Reading `rules` of an instance.

use ipnet::IpNet;

use super::{
    error::{Findings, Span},
    route::REFUSALS,
    routing::{interface, network, table, whole},
    rule::{Rule, RuleAction},
    table::{Table, Written},
    value,
};
use crate::words::Family;

const FAMILIES: [(&str, Family); 2] = [("ipv4", Family::V4), ("ipv6", Family::V6)];

const PROTOCOLS: [(&str, u8); 6] = [("icmp", 1), ("tcp", 6), ("udp", 17), ("icmpv6", 58), ("vrrp", 112), ("sctp", 132)];

/// One entry of `rules` as written.
#[derive(Debug)]
pub(super) struct RawRule {
    span: Span,
    family: Written<String>,
    priority: Written<i64>,
    invert: Written<bool>,
    from: Written<String>,
    to: Written<String>,
    fwmark: Written<String>,
    iif: Written<String>,
    oif: Written<String>,
    uidrange: Written<String>,
    ip_proto: Written<String>,
    sport: Written<String>,
    dport: Written<String>,
    table: Written<String>,
    l3mdev: Written<bool>,
    kind: Written<String>,
    suppress_prefixlength: Written<i64>,
    track: Written<bool>,
}

impl RawRule {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            span: table.header(),
            family: table.text("family", out),
            priority: table.number("priority", out),
            invert: table.flag("invert", out),
            from: table.text("from", out),
            to: table.text("to", out),
            fwmark: table.text("fwmark", out),
            iif: table.text("iif", out),
            oif: table.text("oif", out),
            uidrange: table.text("uidrange", out),
            ip_proto: table.text("ip_proto", out),
            sport: table.text("sport", out),
            dport: table.text("dport", out),
            table: table.text("table", out),
            l3mdev: table.flag("l3mdev", out),
            kind: table.text("kind", out),
            suppress_prefixlength: table.number("suppress_prefixlength", out),
            track: table.flag("track", out),
        }
    }
}

/// What is meant by the rules of an instance of this family.
pub(super) fn rules(raw: &[RawRule], family: Option<Family>, out: &mut Findings) -> Vec<Rule> {
    let mut list: Vec<(Rule, Span)> = Vec::new();
    for raw in raw {
        let Some(rule) = rule(raw, family, out) else { continue };
        if let Some((_, first)) = list.iter().find(|(other, _)| other.key() == rule.key()) {
            let first = first.clone();
            out.error(raw.span.clone(), format!("two rules with the priority {}", rule.priority), "write another one");
            out.relate(first, "first here");
            continue;
        }
        list.push((rule, raw.span.clone()));
    }
    list.into_iter().map(|(rule, _)| rule).collect()
}

fn rule(raw: &RawRule, family: Option<Family>, out: &mut Findings) -> Option<Rule> {
    let net = |key: &str, written: &Written<String>, out: &mut Findings| -> Option<IpNet> {
        let (text, span) = written.given().filter(|(text, _)| *text != "all")?;
        network(key, text, span, out)
    };
    let (from, to) = (net("from", &raw.from, out), net("to", &raw.to, out));
    let written = value::choice("family", &raw.family, &FAMILIES, out);
    let of_nets = from.or(to).map(|net| Family::of(net.addr()));
    let own = written.or(of_nets).or(family)?;
    let spans = [(from, raw.from.span()), (to, raw.to.span())];
    for (net, span) in spans.into_iter().filter_map(|(net, span)| net.zip(span)) {
        if Family::of(net.addr()) != own {
            out.error(span, format!("{net} is of another family than the rule"), "make two rules of it");
        }
    }
    let action = action(raw, out);
    if raw.priority.is_absent() {
        let todo = "write priority = 500: the lowest is asked first, and each rule has its own";
        out.missing(raw.span.clone(), "a rule does not say when it is asked", todo);
    }
    let priority = whole("priority", &raw.priority, 1, 32_765, out);
    let suppress = whole("suppress_prefixlength", &raw.suppress_prefixlength, 0, 128, out);
    Some(Rule {
        family: own,
        priority: priority?,
        inverted: raw.invert.given().is_some_and(|(invert, _)| *invert),
        from,
        to,
        fwmark: fwmark(&raw.fwmark, out),
        iif: interface("iif", &raw.iif, out),
        oif: interface("oif", &raw.oif, out),
        uidrange: range("uidrange", &raw.uidrange, "0-1000", out),
        ip_proto: protocol(&raw.ip_proto, out),
        sport: range("sport", &raw.sport, "1024-65535", out),
        dport: range("dport", &raw.dport, "80", out),
        action: action?,
        suppress_prefixlength: suppress,
        tracked: raw.track.given().is_none_or(|(track, _)| *track),
    })
}

fn action(raw: &RawRule, out: &mut Findings) -> Option<RuleAction> {
    let l3mdev = raw.l3mdev.given().is_some_and(|(l3mdev, _)| *l3mdev);
    let written = [!raw.table.is_absent(), l3mdev, !raw.kind.is_absent()];
    if written.into_iter().filter(|written| *written).count() != 1 {
        let what = "a rule says one of: which table is asked, l3mdev, or a kind like blackhole";
        out.error(raw.span.clone(), what, "write table = \"100\", or another one of them");
        return None;
    }
    if l3mdev {
        return Some(RuleAction::L3mdev);
    }
    if let Some(span) = raw.kind.given().filter(|(kind, _)| *kind == "throw").map(|(_, span)| span) {
        out.error(span, "kind = \"throw\" is for routes", "write blackhole, unreachable or prohibit");
        return None;
    }
    let refused = value::choice("kind", &raw.kind, &REFUSALS, out).map(RuleAction::Refused);
    refused.or_else(|| table("table", &raw.table, out).map(RuleAction::Table))
}

/// `0x10` or `0x10/0xff`.
fn fwmark(written: &Written<String>, out: &mut Findings) -> Option<(u32, u32)> {
    let (text, span) = written.given()?;
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    let meant = match text.split_once('/') {
        Some((mark, mask)) => number(mark).zip(number(mask)),
        None => number(text).map(|mark| (mark, u32::MAX)),
    };
    if meant.is_none() {
        out.error(
            span,
            format!("fwmark: \"{text}\" is no mark"),
            "write fwmark = \"0x10\", or \"0x10/0xff\" with a mask",
        );
    }
    meant
}

/// `80` or `80-90`.
fn range<T: std::str::FromStr + Copy + PartialOrd>(
    key: &str,
    written: &Written<String>,
    example: &str,
    out: &mut Findings,
) -> Option<(T, T)> {
    let (text, span) = written.given()?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let meant = first.parse().ok().zip(last.parse().ok()).filter(|(first, last)| first <= last);
    if meant.is_none() {
        out.error(span, format!("{key}: \"{text}\" is no range"), format!("write {key} = \"{example}\""));
    }
    meant
}

fn protocol(written: &Written<String>, out: &mut Findings) -> Option<u8> {
    let (text, span) = written.given()?;
    let named = PROTOCOLS.iter().find(|(name, _)| name == text).map(|(_, number)| *number);
    let number = named.or_else(|| text.parse().ok());
    if number.is_none() {
        let todo = "write ip_proto = \"tcp\" or a number; /etc/protocols lists them";
        out.error(span, format!("ip_proto: \"{text}\" is no protocol"), todo);
    }
    number
}
