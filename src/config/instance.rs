//! One `[instance.NAME]` as meant.

use std::{path::Path, time::Duration};

use ipnet::IpNet;

use super::{
    Facts, GateUse, Instance, Netns, Routing, accept,
    address::{self, Addresses},
    announce, auth_hmac,
    error::{Findings, Span},
    hearing, own_interface, path, protocol,
    raw::RawInstance,
    routing, ruling, takeover, told, track, value, virtual_mac, weighed,
};
use crate::{
    wire::{Priority, Version, Vrid},
    words::{Family, InterfaceName},
};

const HOUR: Duration = Duration::from_secs(3600);
const NAME_MAX: usize = 64;

/// What is known of an instance, usable or not.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) header: Span,
    pub(super) netns: Option<Netns>,
    pub(super) interface: Option<InterfaceName>,
    pub(super) vrid: Option<Vrid>,
    pub(super) addresses: Addresses,
    /// The instance itself, unless something is missing that it cannot be without.
    pub(super) instance: Option<Instance>,
}

/// Reads one instance, which works in this network.
pub(super) fn resolve(
    raw: &RawInstance,
    netns: Option<Netns>,
    base: &Path,
    facts: &Facts,
    out: &mut Findings,
) -> Drawn {
    let facts = facts.of_network(netns.as_ref());
    check_name("an instance", raw.name.get_ref(), raw.name.span(), out);
    let interface = interface(raw, out);
    let vrid = vrid(raw, out);
    let mut addresses = address::virtual_addresses(raw, interface.as_ref(), facts, out);
    virtual_mac::name_devices(&mut addresses, vrid);
    let version = protocol::version(&raw.version, addresses.family, out);
    if version == Some(Version::V3) {
        check_link_local_first(vrid, &addresses, out);
    }
    let priority = takeover::priority(raw, out);
    if priority.is_some_and(Priority::is_owner) {
        let native = interface.as_ref().and_then(|interface| facts.networks(interface));
        takeover::check_owner(raw, native, &addresses, out);
    }
    let parts = Parts { base, netns: netns.clone(), interface: interface.clone(), vrid, version, priority };
    let instance = assemble(raw, parts, &addresses, out);
    if let Some(instance) = &instance {
        takeover::check_lease(raw, instance, out);
    }
    Drawn { header: raw.header.clone(), netns, interface, vrid, addresses, instance }
}

/// What an instance cannot be without.
struct Parts<'p> {
    /// Where relative paths start from.
    base: &'p Path,
    netns: Option<Netns>,
    interface: Option<InterfaceName>,
    vrid: Option<Vrid>,
    version: Option<Version>,
    priority: Option<Priority>,
}

/// Reads the rest, all of it, before anything that is missing ends the assembly.
fn assemble(raw: &RawInstance, parts: Parts<'_>, addresses: &Addresses, out: &mut Findings) -> Option<Instance> {
    let hearing = hearing::resolve(raw, addresses, out);
    let own = path::Own { interface: parts.interface.as_ref(), transport: hearing.transport, peers: &hearing.peers };
    let paths = path::resolve(raw, &own, addresses, out);
    let family = addresses.family;
    let protocol = parts.version.map(|version| protocol::protocol(version, family, &raw.password, &raw.checksum, out));
    let advertise = parts.version.and_then(|version| protocol::interval(&raw.advertise, version, out));
    let auth_hmac = auth_hmac::resolve(&raw.auth_hmac, advertise, parts.base, out);
    let preempt = takeover::preempt(raw, out);
    let lease = takeover::lease(raw, out);
    let doubt = takeover::doubt(raw, out);
    let peer_down_adverts = value::number("peer_down_adverts", &raw.peer_down_adverts, 1, 100, out).unwrap_or(3);
    let down_adverts = value::number("down_adverts", &raw.down_adverts, 2, 100, out).unwrap_or(3);
    let link_settle = value::time("link_settle", &raw.link_settle, Duration::ZERO, HOUR, out);
    let announce = announce::resolve(&raw.announce, out);
    let notify = told::resolve(&raw.notify, out);
    let accept = accept::accept(raw, parts.priority, out);
    let around = virtual_mac::Around {
        interface: parts.interface.as_ref(),
        vrid: parts.vrid,
        family,
        priority: parts.priority,
        transport: hearing.transport,
    };
    let virtual_mac = virtual_mac::virtual_mac(raw, &around, out);
    let owner = parts.priority.is_some_and(Priority::is_owner);
    let mut tracks = track::resolve(&raw.track, parts.interface.as_ref(), owner, out);
    let routes = routing::routes(&raw.routes, family, out);
    let own = parts.interface.as_ref().into_iter().chain(virtual_mac.as_ref().map(|device| &device.name));
    tracks.follow(&routing::followed(&routes, &own.collect::<Vec<_>>()));
    let rules = ruling::rules(&raw.rules, family, out);
    let last_resort = takeover::last_resort(raw, out);
    let on_error = takeover::on_error(raw, out);
    let (policies, policy_weights) = weighed::resolve(&raw.policies, owner, out);
    Some(Instance {
        name: raw.name.get_ref().clone(),
        netns: parts.netns,
        interface: parts.interface?,
        vrid: parts.vrid?,
        family: family?,
        priority: parts.priority?,
        protocol: protocol?,
        auth_hmac,
        advertise: advertise?,
        preempt,
        addresses: addresses.list.iter().map(|(net, _)| *net).collect::<Vec<IpNet>>(),
        excluded: addresses.excluded.iter().map(|(net, _)| *net).collect(),
        manners: addresses.manners.clone(),
        routing: Routing { routes, rules },
        peers: hearing.peers,
        transport: hearing.transport,
        multicast_group: hearing.reach.group,
        min_ttl: hearing.reach.min_ttl,
        max_ttl: hearing.reach.max_ttl,
        source: hearing.source,
        track_own_interface: own_interface::tracked(raw, out),
        paths,
        lease,
        claim: doubt.claim,
        on_conflict: doubt.on_conflict,
        prefer: doubt.prefer,
        peer_down_adverts,
        down_adverts,
        link_settle: link_settle.unwrap_or(Duration::from_secs(5)),
        announce,
        notify,
        accept,
        gate: match raw.gate.given() {
            None => GateUse::WhereNeeded,
            Some((true, _)) => GateUse::Always,
            Some((false, _)) => GateUse::Never,
        },
        virtual_mac,
        tracks,
        last_resort,
        on_error,
        policies,
        policy_weights,
        // Told when the whole file is read.
        witness: None,
    })
}

fn interface(raw: &RawInstance, out: &mut Findings) -> Option<InterfaceName> {
    if raw.interface.is_absent() {
        let what = format!("[instance.{}] has no interface", raw.name.get_ref());
        out.missing(raw.header.clone(), what, "write interface = \"eth0\" with the one that faces the clients");
    }
    let (text, span) = raw.interface.given()?;
    let interface = text.parse::<InterfaceName>().ok();
    if interface.is_none() {
        let todo = "a name has 1 to 15 letters without spaces, slashes and colons; `ip -brief link` lists them";
        out.error(span, format!("\"{text}\" cannot be the name of an interface"), todo);
    } else if text == "lo" {
        let todo = "write the interface that faces the clients; `ip -brief link` lists them";
        out.warning(span, "lo reaches only this machine: no other node hears its advertisements", todo);
    }
    interface
}

fn vrid(raw: &RawInstance, out: &mut Findings) -> Option<Vrid> {
    if raw.virtual_router_id.is_absent() {
        let what = format!("[instance.{}] has no virtual_router_id", raw.name.get_ref());
        let todo = "write virtual_router_id = 51, the same number on every node, and no other router's on this network";
        out.missing(raw.header.clone(), what, todo);
    }
    value::number("virtual_router_id", &raw.virtual_router_id, 1, 255, out).and_then(Vrid::new)
}

/// RFC 9568, 5.2.9: the first IPv6 address is the link-local one of the virtual router.
fn check_link_local_first(vrid: Option<Vrid>, addresses: &Addresses, out: &mut Findings) {
    let Some((first, span)) = addresses.list.first() else { return };
    if addresses.family != Some(Family::V6) || hearing::is_link_local(first.addr()) {
        return;
    }
    let id = vrid.map_or(51, Vrid::get);
    out.error(
        span.clone(),
        format!("the first IPv6 address must be link-local, and {} is not", first.addr()),
        format!(
            "write one before it that no machine has, the same on every node: addresses = [\"fe80::{id:x}/64\", \"{first}\"]"
        ),
    );
}

/// Names become parts of file names, of mail subjects and of commands.
pub(super) fn check_name(kind: &str, name: &str, span: Span, out: &mut Findings) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(plain) {
        let todo = format!("a name has 1 to {NAME_MAX} letters, digits, - and _");
        out.error(span, format!("\"{name}\" cannot be the name of {kind}"), todo);
    }
}
