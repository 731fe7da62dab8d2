//! How an address is put on its interface, where that is not the kernel's own way: label, scope, broadcast address, far end,
//! route to its network.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;
use toml::Spanned;

use super::{
    address::name_of,
    error::{Findings, Span},
    table::{Entry, Table, Written},
    value,
};
use crate::words::{Family, InterfaceName};

/// `IFNAMSIZ` without the terminating zero.
const LABEL_MAX: usize = 15;

const SCOPES: [(&str, Scope); 4] =
    [("global", Scope::Global), ("site", Scope::Site), ("link", Scope::Link), ("host", Scope::Host)];

/// What an address is put on its interface with. The default is what the kernel does by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// The interface it is on; the instance's own unless written.
    pub device: Option<InterfaceName>,
    /// The device on that interface that has it, with the virtual router MAC address.
    pub virtual_mac: Option<InterfaceName>,
    /// `IFA_LABEL`, IPv4 only: the interface, or the interface with a colon and more.
    pub label: Option<String>,
    /// IPv4 only; unless written global, or link for 169.254.0.0/16.
    pub scope: Option<Scope>,
    /// `IFA_BROADCAST`, IPv4 only.
    pub broadcast: Option<Ipv4Addr>,
    /// The other end of a point-to-point link: the prefix is its network then. The same family.
    pub peer: Option<IpAddr>,
    /// Whether the kernel makes a route to the network of the address.
    pub network_route: NetworkRoute,
    /// What becomes of it where somebody deletes it.
    pub deleted: Deleted,
}

/// What becomes of an address that somebody deletes while it is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deleted {
    /// It is put back, and its interface bears on the instance.
    #[default]
    PutBack,
    /// It stays gone until it is held anew, and its interface bears on nothing.
    LeftGone,
}

/// How far an IPv4 address counts (`rtnetlink(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everywhere.
    Global,
    /// This site.
    Site,
    /// This link.
    Link,
    /// This machine.
    Host,
}

/// Whether an address comes with a route to its network (`IFA_F_NOPREFIXROUTE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkRoute {
    /// It does.
    #[default]
    Made,
    /// It does not.
    LeftOut,
}

/// In the words of `ip address`: `" label eth0:web scope link"`; empty for the kernel's own way.
impl fmt::Display for Manner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(device) = &self.device {
            write!(f, " dev {device}")?;
        }
        if self.virtual_mac.is_some() {
            f.write_str(" with the virtual MAC address")?;
        }
        if let Some(peer) = self.peer {
            write!(f, " peer {peer}")?;
        }
        if let Some(broadcast) = self.broadcast {
            write!(f, " broadcast {broadcast}")?;
        }
        if let Some(scope) = self.scope {
            write!(f, " scope {}", word_of(scope))?;
        }
        if let Some(label) = &self.label {
            write!(f, " label {label}")?;
        }
        f.write_str(match self.network_route {
            NetworkRoute::Made => "",
            NetworkRoute::LeftOut => " without a network route",
        })?;
        f.write_str(match self.deleted {
            Deleted::PutBack => "",
            Deleted::LeftGone => " not tracked",
        })
    }
}

/// One entry of `addresses` as written.
#[derive(Debug)]
pub(super) struct RawAddress {
    pub(super) address: Spanned<String>,
    device: Written<String>,
    virtual_mac: Written<bool>,
    label: Written<String>,
    scope: Written<String>,
    broadcast: Written<String>,
    peer: Written<String>,
    network_route: Written<bool>,
    track: Written<bool>,
}

impl RawAddress {
    const fn plain(address: Spanned<String>) -> Self {
        Self {
            address,
            device: Written::Absent,
            virtual_mac: Written::Absent,
            label: Written::Absent,
            scope: Written::Absent,
            broadcast: Written::Absent,
            peer: Written::Absent,
            network_route: Written::Absent,
            track: Written::Absent,
        }
    }

    /// `None` if it does not say which address.
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Option<Self> {
        let address = table.text("address", out);
        let raw = Self {
            device: table.text("device", out),
            virtual_mac: table.flag("virtual_mac", out),
            label: table.text("label", out),
            scope: table.text("scope", out),
            broadcast: table.text("broadcast", out),
            peer: table.text("peer", out),
            network_route: table.flag("network_route", out),
            track: table.flag("track", out),
            ..Self::plain(Spanned::new(0..0, String::new()))
        };
        if address.is_absent() {
            let todo = "write { address = \"192.168.0.60/24\", … } with the address that clients use";
            out.missing(table.header(), "an entry with settings of its own has no address", todo);
        }
        let Written::Given(address) = address else { return None };
        Some(Self { address, ..raw })
    }
}

/// Reads a list of addresses, each a text or a table; `tables` gets the tables that were read.
pub(super) fn read<'d>(
    key: &'static str,
    table: &mut Table<'d>,
    tables: &mut Vec<Table<'d>>,
    out: &mut Findings,
) -> Written<Vec<RawAddress>> {
    let (entries, span) = match table.entries(key, out) {
        Written::Absent => return Written::Absent,
        Written::Unusable => return Written::Unusable,
        Written::Given(entries) => {
            let span = entries.span();
            (entries.into_inner(), span)
        }
    };
    let count = entries.len();
    let mut list = Vec::with_capacity(count);
    for entry in entries {
        match entry {
            Entry::Text(text) => list.push(RawAddress::plain(text)),
            Entry::Table(mut table) => {
                list.extend(RawAddress::read(&mut table, out));
                tables.push(table);
            }
        }
    }
    if list.len() == count { Written::Given(Spanned::new(span, list)) } else { Written::Unusable }
}

/// The interface that the address is to be on, unless it is the instance's own.
pub(super) fn device(raw: &RawAddress, interface: Option<&InterfaceName>, out: &mut Findings) -> Option<InterfaceName> {
    let (text, span) = raw.device.given()?;
    let Ok(device) = text.parse::<InterfaceName>() else {
        let todo = "a name has 1 to 15 letters without spaces, slashes and colons; `ip -brief link` lists them";
        out.error(span, format!("device: \"{text}\" cannot be the name of an interface"), todo);
        return None;
    };
    Some(device).filter(|device| interface != Some(device))
}

/// What is meant for `net`, an address on `device`, or on the `interface` of its instance.
pub(super) fn resolve(
    raw: &RawAddress,
    net: IpNet,
    device: Option<InterfaceName>,
    interface: Option<&InterfaceName>,
    out: &mut Findings,
) -> Manner {
    for (key, written) in [("label", &raw.label), ("scope", &raw.scope), ("broadcast", &raw.broadcast)] {
        if let Some((_, span)) = written.given().filter(|_| net.addr().is_ipv6()) {
            out.error(span, format!("{key}: IPv6 addresses have none, and {} is one", net.addr()), "remove it");
        }
    }
    let virtual_mac = virtual_mac(&raw.virtual_mac, device.as_ref(), out);
    Manner {
        virtual_mac,
        label: label(&raw.label, device.as_ref().or(interface), out),
        scope: value::choice("scope", &raw.scope, &SCOPES, out),
        broadcast: broadcast(&raw.broadcast, net, out),
        peer: peer(&raw.peer, net, out),
        network_route: match raw.network_route.given() {
            Some((false, _)) => NetworkRoute::LeftOut,
            Some((true, _)) | None => NetworkRoute::Made,
        },
        deleted: match raw.track.given() {
            Some((false, _)) => Deleted::LeftGone,
            Some((true, _)) | None => Deleted::PutBack,
        },
        device,
    }
}

/// What the kernel would refuse: two scopes among the IPv4 addresses of one network.
pub(super) fn check_scopes(list: &[&(IpNet, Span)], manners: &BTreeMap<IpNet, Manner>, out: &mut Findings) {
    let scope =
        |net: &IpNet| manners.get(net).and_then(|manner| manner.scope).unwrap_or_else(|| scope_unless_written(net));
    let network = |net: &IpNet| {
        let prefix_of = manners.get(net).and_then(|manner| manner.peer).unwrap_or(net.addr());
        let device = manners.get(net).and_then(|manner| manner.device.as_ref());
        (IpNet::new(prefix_of, net.prefix_len()).map(|net| net.trunc()).ok(), device)
    };
    for (at, (net, span)) in list.iter().enumerate().filter(|(_, (net, _))| net.addr().is_ipv4()) {
        let earlier = list.iter().take(at).find(|(other, _)| network(other) == network(net));
        let Some((other, first)) = earlier.filter(|(other, _)| scope(other) != scope(net)) else { continue };
        let (mine, theirs) = (word_of(scope(net)), word_of(scope(other)));
        out.error(
            span.clone(),
            format!("{net} has scope {mine} and {other} has scope {theirs}: the kernel wants one for all IPv4 addresses of a network"),
            "write the same scope for both",
        );
        out.relate(first.clone(), "the other one");
    }
}

/// What the kernel is told.
fn scope_unless_written(net: &IpNet) -> Scope {
    match net.addr() {
        IpAddr::V4(address) if address.is_link_local() => Scope::Link,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::Global,
    }
}

fn word_of(scope: Scope) -> &'static str {
    SCOPES.iter().find(|(_, of)| *of == scope).map_or("", |(word, _)| word)
}

/// The device is named once it is known whose it is; until then it is called as the interface beneath.
fn virtual_mac(written: &Written<bool>, device: Option<&InterfaceName>, out: &mut Findings) -> Option<InterfaceName> {
    let (true, span) = written.given()? else { return None };
    if device.is_none() {
        let what = "virtual_mac: this address is on the instance's own interface";
        out.error(
            span,
            what,
            "write virtual_mac = true of the instance, or device = \"eth1\" with the interface it is on",
        );
    }
    device.cloned()
}

fn label(written: &Written<String>, interface: Option<&InterfaceName>, out: &mut Findings) -> Option<String> {
    let (label, span) = written.given()?;
    let name = interface.map_or("eth0", InterfaceName::as_str);
    let fits = label.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if interface.is_some() && !fits {
        let todo = format!("write \"{name}:{label}\", or another label that begins with \"{name}:\"");
        out.error(span, format!("label = \"{label}\" does not begin with the interface"), todo);
    } else if label.len() > LABEL_MAX || label.contains(|c: char| !c.is_ascii_graphic()) {
        let todo = format!("write \"{name}:1\" or another label of at most {LABEL_MAX} letters");
        out.error(span, format!("label = \"{label}\" is too long for the kernel, or no plain text"), todo);
    }
    Some(label.clone())
}

fn broadcast(written: &Written<String>, net: IpNet, out: &mut Findings) -> Option<Ipv4Addr> {
    let (text, span) = written.given()?;
    let IpNet::V4(net) = net else { return None };
    let last = Some(net.broadcast()).filter(|_| net.prefix_len() < 31);
    let meant = if text == "auto" { last } else { text.parse().ok() };
    if meant.is_none() {
        let what = if text == "auto" {
            format!("broadcast = \"auto\": {net} has no broadcast address")
        } else {
            format!("broadcast = \"{text}\" is not an IPv4 address")
        };
        let todo =
            last.map_or_else(|| "remove it".to_owned(), |last| format!("write \"{last}\", or \"auto\" for the same"));
        out.error(span, what, todo);
    }
    meant
}

fn peer(written: &Written<String>, net: IpNet, out: &mut Findings) -> Option<IpAddr> {
    let (text, span) = written.given()?;
    let family = Family::of(net.addr());
    let Ok(peer) = text.parse::<IpAddr>() else {
        let todo = match text.parse::<IpNet>() {
            Ok(peer) => format!("write \"{}\": the prefix is the one of {net}", peer.addr()),
            Err(_) => "write the address at the other end of the link, like \"192.168.0.61\"".to_owned(),
        };
        out.error(span, format!("peer: \"{text}\" is not an address"), todo);
        return None;
    };
    if Family::of(peer) != family || peer == net.addr() {
        let todo = format!("write the {} address at the other end of the link", name_of(family));
        out.error(span, format!("peer: {peer} cannot be the other end of {}", net.addr()), todo);
        return None;
    }
    Some(peer)
}
