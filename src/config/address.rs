//! Addresses: the virtual ones of an instance, and those that nodes have of their own.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;

use super::{
    Facts,
    error::{Findings, Span},
    manner::{self, Manner, RawAddress},
    raw::RawInstance,
};
use crate::words::{Family, InterfaceName};

/// The length of the list in an advertisement is one byte.
const ADDRESSES_MAX: usize = 255;
/// What older versions of keepalived take in one advertisement.
const KEEPALIVED_MAX: usize = 20;

/// The virtual addresses, as far as they are usable.
#[derive(Debug)]
pub(super) struct Addresses {
    /// In the order of the file, each with its place.
    pub(super) list: Vec<(IpNet, Span)>,
    /// Those that are not advertised; of any family.
    pub(super) excluded: Vec<(IpNet, Span)>,
    /// How they are put there, where that is not the kernel's own way.
    pub(super) manners: BTreeMap<IpNet, Manner>,
    /// The family of the first one.
    pub(super) family: Option<Family>,
}

impl Addresses {
    /// Whether `address` is one of them, and where it stands.
    pub(super) fn place_of(&self, address: IpAddr) -> Option<Span> {
        self.all().find(|(net, _)| net.addr() == address).map(|(_, span)| span.clone())
    }

    /// Advertised or not.
    pub(super) fn all(&self) -> impl Iterator<Item = &(IpNet, Span)> {
        self.list.iter().chain(&self.excluded)
    }

    /// One entry, unless it is unusable or there already.
    fn entry(
        &mut self,
        raw: &RawAddress,
        interface: Option<&InterfaceName>,
        facts: &Facts,
        out: &mut Findings,
    ) -> Option<(IpNet, Span)> {
        let span = raw.address.span();
        let device = manner::device(raw, interface, out);
        let net = virtual_address(raw.address.get_ref(), &span, device.as_ref().or(interface), facts, out)?;
        let manner = manner::resolve(raw, net, device, interface, out);
        if let Some(first) = self.place_of(net.addr()) {
            out.error(span, format!("{} is listed twice", net.addr()), "remove one of the two");
            out.relate(first, "first here");
            return None;
        }
        if manner != Manner::default() {
            self.manners.insert(net, manner);
        }
        Some((net, span))
    }
}

/// Reads `addresses`.
pub(super) fn virtual_addresses(
    raw: &RawInstance,
    interface: Option<&InterfaceName>,
    facts: &Facts,
    out: &mut Findings,
) -> Addresses {
    const TODO: &str = "write addresses = [\"192.168.0.60/24\"] with the address that clients use";
    let name = raw.name.get_ref();
    if raw.addresses.is_absent() {
        out.missing(raw.header.clone(), format!("[instance.{name}] has no addresses"), TODO);
    }
    if let Some((texts, whole)) = raw.addresses.given() {
        match texts.len() {
            0 => out.error(whole, format!("[instance.{name}] has no addresses"), TODO),
            1..=KEEPALIVED_MAX => {}
            count if count <= ADDRESSES_MAX => out.warning(
                whole,
                format!("{count} addresses in one advertisement: older keepalived peers take at most {KEEPALIVED_MAX}"),
                "if the peer runs keepalived, spread them over several instances",
            ),
            count => out.error(
                whole,
                format!("{count} addresses; an advertisement carries at most {ADDRESSES_MAX}"),
                "write what is too much as addresses_excluded, or spread them over several instances",
            ),
        }
    }
    let mut addresses = Addresses { list: Vec::new(), excluded: Vec::new(), manners: BTreeMap::new(), family: None };
    for raw in raw.addresses.given().into_iter().flat_map(|(list, _)| list) {
        let entry = addresses.entry(raw, interface, facts, out);
        addresses.list.extend(entry);
    }
    for raw in raw.addresses_excluded.given().into_iter().flat_map(|(list, _)| list) {
        let entry = addresses.entry(raw, interface, facts, out);
        addresses.excluded.extend(entry);
    }
    let list = &addresses.list;
    let family = list.first().map(|(first, _)| Family::of(first.addr()));
    for (net, span) in list {
        if Some(Family::of(net.addr())) != family {
            let (own, other) = (name_of(Family::of(net.addr())), family.map_or("", name_of));
            out.error(
                span.clone(),
                format!("{} is {own}, the first address is {other}: one instance serves one of them", net.addr()),
                format!(
                    "make an instance of its own for the {own} addresses; it may use the same virtual_router_id. Or write it as \
                     addresses_excluded: it moves with the others, and advertisements do not name it"
                ),
            );
        }
    }
    addresses.family = family;
    manner::check_scopes(&addresses.all().collect::<Vec<_>>(), &addresses.manners, out);
    addresses
}

/// An address of one node: a peer's, or our own source.
pub(super) fn node_address(
    key: &str,
    text: &str,
    span: &Span,
    addresses: &Addresses,
    out: &mut Findings,
) -> Option<IpAddr> {
    let Ok(address) = text.parse::<IpAddr>() else {
        let todo = match (text.parse::<IpNet>(), text.split_once('%')) {
            (Ok(net), _) => format!("write \"{}\", without the prefix", net.addr()),
            (Err(_), Some((address, _))) => format!("write \"{address}\": the interface is the instance's"),
            (Err(_), None) => {
                "write the address a node has of its own, like \"192.168.0.21\"; names are not looked up".to_owned()
            }
        };
        out.error(span.clone(), format!("{key}: \"{text}\" is not an address"), todo);
        return None;
    };
    if let Some(place) = addresses.place_of(address) {
        let todo = "write the address that the node has of its own, whoever is master";
        out.error(span.clone(), format!("{key}: {address} is a virtual address of this instance"), todo);
        out.relate(place, "virtual address");
        return None;
    }
    if let Some(why) = never_a_nodes(address) {
        let todo = "write the address that the node has of its own on this network";
        out.error(span.clone(), format!("{key}: {address} is {why}"), todo);
        return None;
    }
    if let Some(family) = addresses.family.filter(|family| *family != Family::of(address)) {
        let (own, wanted) = (name_of(Family::of(address)), name_of(family));
        out.error(
            span.clone(),
            format!("{key}: {address} is {own}, the addresses of this instance are {wanted}"),
            format!("write the node's {wanted} address: advertisements travel in the family they speak of"),
        );
        return None;
    }
    Some(address)
}

/// IPv4 or IPv6, for messages.
pub(super) const fn name_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// One entry of `addresses`. Without a prefix it is an error, but the address still counts for the other checks.
fn virtual_address(
    text: &str,
    span: &Span,
    interface: Option<&InterfaceName>,
    facts: &Facts,
    out: &mut Findings,
) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let single = IpNet::from(address);
        out.error(
            span.clone(),
            format!("{address} has no prefix: it would become {single}, which other machines may not reach"),
            prefix_todo(address, single, interface, facts),
        );
        return Some(single);
    }
    let Ok(net) = text.parse::<IpNet>() else {
        let todo = "write an address with its prefix, like \"192.168.0.60/24\" or \"2001:db8::60/64\"; names are not looked up";
        out.error(span.clone(), format!("\"{text}\" is not an address"), todo);
        return None;
    };
    if let Some(why) = never_virtual(&net) {
        out.error(
            span.clone(),
            format!("{} is {why}", net.addr()),
            "write the address that clients use, with its prefix",
        );
    }
    Some(net)
}

/// What to write instead, with what the interface has now.
fn prefix_todo(address: IpAddr, single: IpNet, interface: Option<&InterfaceName>, facts: &Facts) -> String {
    let guess = match address {
        IpAddr::V4(_) => 24,
        IpAddr::V6(_) => 64,
    };
    let own = |net: &&IpNet| Family::of(net.addr()) == Family::of(address) && net.addr() != address;
    let networks = interface.and_then(|interface| facts.networks(interface));
    let networks: Option<Vec<IpNet>> = networks.map(|networks| networks.iter().filter(own).copied().collect());
    let name = interface.map_or("the interface", InterfaceName::as_str);
    let meant = format!("or \"{single}\" if exactly that is meant");
    let Some(networks) = networks else {
        return format!(
            "write it with the prefix of {name} (`ip -brief address show {name}`), for example \"{address}/{guess}\", {meant}"
        );
    };
    match networks.iter().find(|network| network.contains(&address)) {
        Some(network) => format!("write \"{address}/{}\": {name} has {network}; {meant}", network.prefix_len()),
        None if networks.is_empty() => {
            format!("write it with the prefix of its network, for example \"{address}/{guess}\", {meant}")
        }
        None => {
            let listed = networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            format!("none of the networks of {name} ({listed}) contains it: write the prefix of its network, {meant}")
        }
    }
}

/// Why clients can never use this as the address of a service.
fn never_virtual(net: &IpNet) -> Option<String> {
    let address = net.addr();
    let has_ends = match net {
        IpNet::V4(net) => net.prefix_len() < 31,
        IpNet::V6(net) => net.prefix_len() < 127,
    };
    if let Some(why) = never_a_nodes(address) {
        Some(why.to_owned())
    } else if has_ends && address == net.network() {
        Some(format!("the address of the network {} itself", net.trunc()))
    } else if has_ends && address.is_ipv4() && address == net.broadcast() {
        Some(format!("the broadcast address of {}", net.trunc()))
    } else {
        None
    }
}

/// Why no machine has this address on a network.
fn never_a_nodes(address: IpAddr) -> Option<&'static str> {
    if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_loopback() {
        Some("a loopback address: no other machine can reach it")
    } else if address.is_unspecified() {
        Some("no address at all")
    } else if address == IpAddr::from([255; 4]) {
        Some("the broadcast address")
    } else {
        None
    }
}
