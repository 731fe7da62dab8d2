//! How the nodes of an instance hear each other: transport, peers, source.

use std::net::IpAddr;

use super::{
    Config, Facts, Problem, Severity, Transport,
    address::{Addresses, node_address},
    error::{Findings, Span},
    raw::RawInstance,
    reach::{self, Reach},
    value,
};
use crate::words::Family;

/// Who is heard, and how.
#[derive(Debug)]
pub(super) struct Hearing {
    pub(super) transport: Transport,
    pub(super) peers: Vec<IpAddr>,
    pub(super) reach: Reach,
    pub(super) source: Option<IpAddr>,
}

/// Reads `transport`, `peers` and `source`.
pub(super) fn resolve(raw: &RawInstance, addresses: &Addresses, out: &mut Findings) -> Hearing {
    let choices = [("multicast", Transport::Multicast), ("unicast", Transport::Unicast)];
    let transport = value::choice("transport", &raw.transport, &choices, out).unwrap_or(Transport::Multicast);
    let peers = peers(raw, addresses, out);
    let source = source(raw, addresses, &peers, out);
    let reach = reach::resolve(&raw.reach, transport, addresses.family, out);
    if raw.peers.is_absent() || raw.peers.given().is_some_and(|(written, _)| written.is_empty()) {
        nobody_named(raw, transport, out);
    }
    if addresses.family == Some(Family::V6) {
        check_ipv6(raw, transport, &peers, source.as_ref(), out);
    }
    Hearing {
        transport,
        peers: peers.into_iter().map(|(peer, _)| peer).collect(),
        reach,
        source: source.map(|(source, _)| source),
    }
}

fn peers(raw: &RawInstance, addresses: &Addresses, out: &mut Findings) -> Vec<(IpAddr, Span)> {
    let mut list: Vec<(IpAddr, Span)> = Vec::new();
    for text in raw.peers.given().into_iter().flat_map(|(texts, _)| texts) {
        let span = text.span();
        let Some(peer) = node_address("peers", text.get_ref(), &span, addresses, out) else { continue };
        match list.iter().find(|(earlier, _)| *earlier == peer) {
            None => list.push((peer, span)),
            Some((_, first)) => {
                out.error(span, format!("the peer {peer} is listed twice"), "remove one of the two");
                out.relate(first.clone(), "first here");
            }
        }
    }
    list
}

fn source(
    raw: &RawInstance,
    addresses: &Addresses,
    peers: &[(IpAddr, Span)],
    out: &mut Findings,
) -> Option<(IpAddr, Span)> {
    let (text, span) = raw.source.given()?;
    let source = node_address("source", text, &span, addresses, out)?;
    if let Some((_, peer)) = peers.iter().find(|(peer, _)| *peer == source) {
        let todo = "peers are the other nodes only: remove this node's own address from the list";
        out.error(peer.clone(), format!("{source} is both a peer and this node's own source"), todo);
        out.relate(span.clone(), "own source");
    }
    Some((source, span))
}

fn nobody_named(raw: &RawInstance, transport: Transport, out: &mut Findings) {
    let span = raw.peers.span().or_else(|| raw.transport.span()).unwrap_or_else(|| raw.header.clone());
    let name = raw.name.get_ref();
    match transport {
        Transport::Unicast => out.error(
            span,
            format!("[instance.{name}] is unicast and names no peer: it would advertise to nobody"),
            "write peers = [\"192.168.0.21\"] with the address of each other node",
        ),
        Transport::Multicast => out.warning(
            span,
            format!(
                "[instance.{name}] names no peer: a standby is silent, so the master cannot see whether there is one"
            ),
            "write peers = [\"192.168.0.21\"] with the address of each other node",
        ),
    }
}

/// Peers that are this machine itself: most often the file of the other node, copied. The daemon takes them for nobody.
#[must_use]
pub fn own_peers(config: &Config, facts: &Facts) -> Vec<Problem> {
    let own = config.instances.iter().flat_map(|instance| {
        let here = facts.of_network(instance.netns.as_ref()).networks(&instance.interface).unwrap_or_default();
        let is_here = move |peer: &&IpAddr| here.iter().any(|net| net.addr() == **peer);
        instance.peers.iter().filter(is_here).map(move |peer| (instance, peer))
    });
    let problem = |(instance, peer): (&super::Instance, &IpAddr)| {
        let what =
            format!("{}: the peer {peer} is this machine's own address on {}", instance.name, instance.interface);
        let todo = "write the other node's address there; if this is the other node's file, look at it there";
        Problem::anywhere(Severity::Warning, what, todo)
    };
    own.map(problem).collect()
}

/// Over IPv6 multicast, advertisements come from link-local addresses (RFC 9568, 5.1.2.1).
fn check_ipv6(
    raw: &RawInstance,
    transport: Transport,
    peers: &[(IpAddr, Span)],
    source: Option<&(IpAddr, Span)>,
    out: &mut Findings,
) {
    match transport {
        Transport::Multicast => {
            for (peer, span) in peers.iter().filter(|(peer, _)| !is_link_local(*peer)) {
                out.warning(
                    span.clone(),
                    format!(
                        "advertisements over IPv6 come from link-local addresses: {peer} will not be recognised in them"
                    ),
                    "write the peer's link-local address (`ip -6 -brief address` there; it begins with fe80)",
                );
            }
            if let Some((source, span)) = source.filter(|(source, _)| !is_link_local(*source)) {
                out.error(
                    span.clone(),
                    format!("advertisements over IPv6 multicast come from a link-local address, and {source} is none"),
                    "remove source, or write this interface's link-local address; it begins with fe80",
                );
            }
        }
        Transport::Unicast if raw.source.is_absent() => out.warning(
            raw.header.clone(),
            format!("[instance.{}] is unicast over IPv6 and does not say its source", raw.name.get_ref()),
            "write source = \"…\" with the address that the other nodes name as their peer",
        ),
        Transport::Unicast => {}
    }
}

/// Whether it is in fe80::/10.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}
