//! `[instance.NAME.path.NAME]`: another way for advertisements, beside the instance's own interface.

use std::{collections::BTreeSet, net::IpAddr};

use toml::Spanned;

use super::{
    Instance, Transport,
    address::{Addresses, node_address},
    error::{Findings, Problem, Severity, Span},
    hearing::is_link_local,
    instance::{Drawn, check_name},
    raw::{RawInstance, Texts},
    reach::{self, RawReach},
    table::{Table, Written},
    value,
};
use crate::{
    wire::group,
    words::{Family, InterfaceName},
};

/// What the instance's own way is called.
pub const PRIMARY: &str = "primary";

/// Another way for the advertisements of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The name in the file.
    pub name: String,
    /// Where it leads.
    pub interface: InterfaceName,
    /// How advertisements travel on it.
    pub transport: Transport,
    /// The group of multicast; `None` is the RFC's.
    pub multicast_group: Option<IpAddr>,
    /// Unicast: what arrives with a lower TTL or hop limit is discarded.
    pub min_ttl: u8,
    /// Likewise with a higher one; 255 by default.
    pub max_ttl: u8,
    /// The other nodes' addresses on it, in the order of [`Instance::peers`].
    pub peers: Vec<IpAddr>,
    /// Source address of advertisements; else the interface's first own address.
    pub source: Option<IpAddr>,
}

impl Path {
    /// Where advertisements of a family go in multicast.
    #[must_use]
    pub fn group(&self, family: Family) -> IpAddr {
        self.multicast_group.unwrap_or_else(|| group(family))
    }
}

/// As written.
#[derive(Debug)]
pub(super) struct RawPath {
    name: Spanned<String>,
    header: Span,
    interface: Written<String>,
    transport: Written<String>,
    reach: RawReach,
    peers: Written<Texts>,
    source: Written<String>,
}

impl RawPath {
    pub(super) fn read(name: Spanned<String>, table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            name,
            header: table.header(),
            interface: table.text("interface", out),
            transport: table.text("transport", out),
            reach: RawReach::read(table, out),
            peers: table.texts("peers", out),
            source: table.text("source", out),
        }
    }
}

/// The instance's own way, as far as it is known.
pub(super) struct Own<'i> {
    pub(super) interface: Option<&'i InterfaceName>,
    pub(super) transport: Transport,
    pub(super) peers: &'i [IpAddr],
}

/// Reads every path of an instance; those that lack what they cannot be without are left out, and are problems.
pub(super) fn resolve(raw: &RawInstance, own: &Own<'_>, addresses: &Addresses, out: &mut Findings) -> Vec<Path> {
    let mut paths: Vec<Path> = Vec::new();
    for written in &raw.paths {
        let Some(path) = one(written, own, addresses, out) else { continue };
        let same = |interface: &InterfaceName, transport| *interface == path.interface && transport == path.transport;
        let twin = paths.iter().find(|other| same(&other.interface, other.transport)).map(|other| other.name.as_str());
        let own = own.interface.filter(|interface| same(interface, own.transport)).map(|_| PRIMARY);
        if let Some(twin) = own.or(twin) {
            let what = format!("path {} is the same way as {twin}: both are {} there", path.name, name(path.transport));
            out.error(written.header.clone(), what, "write another interface, or the other transport");
        }
        paths.push(path);
    }
    paths
}

fn one(raw: &RawPath, own: &Own<'_>, addresses: &Addresses, out: &mut Findings) -> Option<Path> {
    let name = raw.name.get_ref();
    check_name("a path", name, raw.name.span(), out);
    if name == PRIMARY {
        let todo = "write another name: primary is the interface of the instance itself";
        out.error(raw.name.span(), "a path cannot be called primary", todo);
    }
    let interface = interface(raw, out);
    let choices = [("multicast", Transport::Multicast), ("unicast", Transport::Unicast)];
    let transport = value::choice("transport", &raw.transport, &choices, out).unwrap_or(Transport::Multicast);
    let reach = reach::resolve(&raw.reach, transport, addresses.family, out);
    let peers = peers(raw, own, addresses, out);
    let source = raw.source.given().and_then(|(text, span)| {
        let source = node_address("source", text, &span, addresses, out)?;
        if peers.contains(&source) {
            let todo = "peers are the other nodes only: remove this node's own address from the list";
            out.error(span.clone(), format!("{source} is both a peer and this node's own source"), todo);
        }
        if matches!((source, transport), (IpAddr::V6(_), Transport::Multicast)) && !is_link_local(source) {
            let todo = "remove source, or write the link-local address of this path's interface";
            out.error(span, "advertisements over IPv6 multicast come from a link-local address", todo);
        }
        Some(source)
    });
    Some(Path {
        name: name.clone(),
        interface: interface?,
        transport,
        multicast_group: reach.group,
        min_ttl: reach.min_ttl,
        max_ttl: reach.max_ttl,
        peers,
        source,
    })
}

fn interface(raw: &RawPath, out: &mut Findings) -> Option<InterfaceName> {
    if raw.interface.is_absent() {
        let what = format!("path {} has no interface", raw.name.get_ref());
        out.missing(raw.header.clone(), what, "write interface = \"eth1\" with the one that leads to the other node");
    }
    let (text, span) = raw.interface.given()?;
    let interface = text.parse::<InterfaceName>().ok();
    if interface.is_none() {
        let todo = "a name has 1 to 15 letters without spaces, slashes and colons; `ip -brief link` lists them";
        out.error(span, format!("\"{text}\" cannot be the name of an interface"), todo);
    }
    interface
}

/// As many as the instance has: the first is the same node there and here.
fn peers(raw: &RawPath, own: &Own<'_>, addresses: &Addresses, out: &mut Findings) -> Vec<IpAddr> {
    let (path, count) = (raw.name.get_ref(), own.peers.len());
    let texts = raw.peers.given().map(|(texts, _)| texts.as_slice()).unwrap_or_default();
    let mut list: Vec<IpAddr> = Vec::new();
    for text in texts {
        let Some(peer) = node_address("peers", text.get_ref(), &text.span(), addresses, out) else { continue };
        if list.contains(&peer) {
            out.error(text.span(), format!("the peer {peer} is listed twice"), "remove one of the two");
        }
        list.push(peer);
    }
    if count == 0 {
        let todo = "write peers in the instance, and in the path the same nodes' addresses in the same order";
        out.missing(raw.header.clone(), format!("path {path} needs the instance to name its peers"), todo);
    } else if list.len() != count && texts.len() == list.len() {
        let span = raw.peers.span().unwrap_or_else(|| raw.header.clone());
        let what = format!("path {path} names {} peers, and the instance {count}", list.len());
        out.error(span, what, "write each node's address on this path, in the order of the instance's peers");
    }
    list
}

const fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Multicast => "multicast",
        Transport::Unicast => "unicast",
    }
}

/// A path in words.
pub(super) fn describe(path: &Path) -> String {
    let peers = path.peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let source = path.source.map_or_else(String::new, |source| format!(", from {source}"));
    format!("{} on {}, {} to {peers}{source}", path.name, path.interface, name(path.transport))
}

/// What does not fit between the paths of the two nodes of a pair.
pub(super) fn compare(a: (&Instance, &str), b: (&Instance, &str), found: &mut Vec<Problem>) {
    let mut say = |severity, what: String, todo: &str| found.push(Problem::anywhere(severity, what, todo));
    let instance = &a.0.name;
    for ((here, node), (there, other)) in [(a, b), (b, a)] {
        for path in here.paths.iter().filter(|path| !there.paths.iter().any(|other| other.name == path.name)) {
            let what = format!("{instance}: only {node} has the path {}", path.name);
            say(Severity::Error, what, "write it in both: what only one sends on is not heard, and not answered");
        }
        for (path, theirs) in both(here, there) {
            if let Some(source) = path.source.filter(|source| !theirs.peers.contains(source)) {
                let what = format!(
                    "{instance}: on the path {} {node} advertises from {source}, which is no peer of {other}",
                    path.name
                );
                say(Severity::Error, what, "add it to the peers of the path there");
            }
        }
    }
    for (one, two) in both(a.0, b.0) {
        let path = &one.name;
        if one.transport != two.transport {
            let what = format!("{instance}: the path {path} is {} on {}", name(one.transport), a.1);
            let what = format!("{what} and {} on {}", name(two.transport), b.1);
            say(Severity::Error, what, "write the same transport in both: they do not hear each other there");
        } else if one.transport == Transport::Multicast && one.group(a.0.family) != two.group(b.0.family) {
            let what = format!("{instance}: the multicast_group of the path {path} differs");
            say(Severity::Error, what, "write the same in both: they do not hear each other there");
        }
        let set = |path: &Path| path.peers.iter().copied().collect::<BTreeSet<_>>();
        if set(one) == set(two) {
            let what = format!("{instance}: both nodes name the same peers on the path {path}");
            say(Severity::Error, what, "peers are the other nodes: in each file, name the other one's address there");
        }
    }
}

/// The paths of one that the other has as well.
fn both<'i>(here: &'i Instance, there: &'i Instance) -> impl Iterator<Item = (&'i Path, &'i Path)> {
    here.paths.iter().filter_map(|path| Some((path, there.paths.iter().find(|other| other.name == path.name)?)))
}

/// On no interface is there a virtual router twice, whichever way it comes there.
pub(super) fn check_against(later: &Drawn, first: &Drawn, out: &mut Findings) {
    let (Some(one), Some(two)) = (&first.instance, &later.instance) else { return };
    if (one.vrid, one.family) != (two.vrid, two.family) {
        return;
    }
    let ways = |instance: &Instance| {
        let paths = instance.paths.iter().map(|path| path.interface.clone());
        std::iter::once(instance.interface.clone()).chain(paths).collect::<BTreeSet<_>>()
    };
    // Two on the same interface of their own are found already.
    let shared = ways(one)
        .intersection(&ways(two))
        .find(|interface| one.interface != two.interface || **interface != one.interface)
        .cloned();
    if let Some(interface) = shared {
        let what = format!("virtual router {} is on {interface} twice, once by a path", two.vrid);
        out.error(later.header.clone(), what, "give one of the two another virtual_router_id, or another interface");
        out.relate(first.header.clone(), "the other one");
    }
}
