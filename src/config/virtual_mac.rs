//! The virtual router MAC address (RFC 9568, 7.3): the addresses are held on a device of their own.

use std::collections::BTreeMap;

use super::{
    Instance, Transport, address::Addresses, error::Findings, instance::Drawn, network, raw::RawInstance, value,
};
use crate::{
    wire::{Priority, Vrid},
    words::{Family, InterfaceName, MacAddr},
};

/// The device with the virtual router MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualMac {
    /// Its name.
    pub name: InterfaceName,
    /// Advertisements leave with that address too; else with the interface's own.
    pub advertises: bool,
}

/// What an instance is that is to have one.
pub(super) struct Around<'c> {
    pub(super) interface: Option<&'c InterfaceName>,
    pub(super) vrid: Option<Vrid>,
    pub(super) family: Option<Family>,
    pub(super) priority: Option<Priority>,
    pub(super) transport: Transport,
}

/// Reads `virtual_mac` and what belongs to it.
pub(super) fn virtual_mac(raw: &RawInstance, around: &Around<'_>, out: &mut Findings) -> Option<VirtualMac> {
    let name = name(raw, around, out);
    let advertises = advertises(raw, around, out);
    let Some((true, span)) = raw.virtual_mac.given() else {
        for (key, span) in [
            ("virtual_mac_name", raw.virtual_mac_name.span()),
            ("virtual_mac_advertise", raw.virtual_mac_advertise.span()),
        ] {
            if let Some(span) = span {
                out.warning(
                    span,
                    format!("{key} without a virtual MAC address"),
                    "write virtual_mac = true, or remove it",
                );
            }
        }
        return None;
    };
    if around.priority.is_some_and(Priority::is_owner) {
        let todo = "remove virtual_mac, or lower the priority";
        out.error(span, "an owner (priority 255) has the address on its interface, with the MAC address of that", todo);
        return None;
    }
    Some(VirtualMac { name: name?, advertises })
}

fn name(raw: &RawInstance, around: &Around<'_>, out: &mut Findings) -> Option<InterfaceName> {
    let Some((text, span)) = raw.virtual_mac_name.given() else {
        let six = if around.family == Some(Family::V6) { "6" } else { "" };
        return format!("ha{six}-{}", around.vrid?).parse().ok();
    };
    let name = text.parse::<InterfaceName>().ok();
    if name.is_none() || name.as_ref() == around.interface {
        let todo = "a name has 1 to 15 letters without spaces, slashes and colons, and no other interface has it";
        out.error(span, format!("\"{text}\" cannot be the name of the device with the virtual MAC address"), todo);
        return None;
    }
    name
}

fn advertises(raw: &RawInstance, around: &Around<'_>, out: &mut Findings) -> bool {
    let choices = [("virtual", true), ("base", false)];
    let chosen = value::choice("virtual_mac_advertise", &raw.virtual_mac_advertise, &choices, out);
    if let (Some(true), Transport::Unicast, Some(span)) = (chosen, around.transport, raw.virtual_mac_advertise.span()) {
        let what = "by unicast advertisements leave with the interface's own MAC address";
        out.error(span, what, "remove virtual_mac_advertise, or write \"base\"");
    }
    chosen.unwrap_or(true) && around.transport == Transport::Multicast
}

/// Names the devices of addresses on other interfaces.
pub(super) fn name_devices(addresses: &mut Addresses, vrid: Option<Vrid>) {
    let (Some(vrid), Some(family)) = (vrid, addresses.family) else { return };
    for manner in addresses.manners.values_mut().filter(|manner| manner.virtual_mac.is_some()) {
        manner.virtual_mac = manner.device.as_ref().and_then(|beneath| name_on(beneath, vrid, family));
    }
}

/// `ha-51-eth1`. A long name of an interface is shortened, and still always the same.
fn name_on(beneath: &InterfaceName, vrid: Vrid, family: Family) -> Option<InterfaceName> {
    let six = if family == Family::V6 { "6" } else { "" };
    let name = |end: &str| format!("ha{six}-{vrid}-{end}").parse().ok();
    name(beneath.as_str()).or_else(|| {
        // FNV-1a, of which seven digits fit behind the longest beginning.
        let mixed = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = beneath.as_str().bytes().fold(0x811c_9dc5, mixed);
        name(&format!("{:07x}", hash & 0x0fff_ffff))
    })
}

/// What of an owner, and of two instances, cannot be on another interface: a MAC address is once on each.
fn check_beside(all: &[(&Drawn, &Instance)], out: &mut Findings) {
    for (index, (drawn, one)) in all.iter().enumerate() {
        let beside: Vec<_> = one
            .manners
            .values()
            .filter_map(|manner| manner.device.as_ref().filter(|_| manner.virtual_mac.is_some()))
            .collect();
        if one.priority.is_owner() && !beside.is_empty() {
            let what = format!(
                "{}: an owner (priority 255) has its addresses at the MAC addresses of its interfaces",
                one.name
            );
            out.error(drawn.header.clone(), what, "remove virtual_mac from its addresses, or lower the priority");
        }
        let others = all.iter().enumerate().filter(|(other, _)| *other != index);
        for (other, (_, first)) in others.filter(|(_, (_, first))| network::meet(one, first)) {
            let is_one_mac = (first.vrid, first.family) == (one.vrid, one.family);
            let theirs: Vec<_> = first.mac_devices().into_values().collect();
            let owned = first.virtual_mac.is_some() && beside.contains(&&first.interface);
            let both = other < index && beside.iter().any(|beneath| theirs.contains(beneath));
            if is_one_mac && (owned || both) {
                let what = format!("{} and {} would have one MAC address on one interface", first.name, one.name);
                out.error(
                    drawn.header.clone(),
                    what,
                    "write another virtual_router_id, or remove virtual_mac from its addresses",
                );
            }
        }
    }
}

/// A device belongs to one instance, and whoever has it names it once.
pub(super) fn check_names(drawn: &[Drawn], out: &mut Findings) {
    let all: Vec<(&Drawn, &Instance)> =
        drawn.iter().filter_map(|drawn| Some((drawn, drawn.instance.as_ref()?))).collect();
    check_beside(&all, out);
    for (index, (owner, one)) in all.iter().enumerate() {
        let Some(VirtualMac { name, .. }) = &one.virtual_mac else { continue };
        if one.devices().contains(name) {
            let what =
                format!("{name} is where the addresses of {} are anyway, with the virtual MAC address", one.name);
            out.error(owner.header.clone(), what, "remove device from its addresses");
        }
        let others = all.iter().enumerate().filter(|(other, _)| *other != index);
        for (other, (_, first)) in others.filter(|(_, (_, first))| network::meet(one, first)) {
            let is_device = first.virtual_mac.as_ref().is_some_and(|device| device.name == *name);
            // Of two that have it the later one is told.
            if is_device && other < index || first.interface == *name || first.devices().contains(name) {
                out.error(
                    owner.header.clone(),
                    format!(
                        "the device {name} of {}, with the virtual MAC address, is one of {} as well",
                        one.name, first.name
                    ),
                    "write another virtual_mac_name",
                );
            }
        }
    }
}

impl Instance {
    /// Where the addresses are held: the device with the virtual MAC address, else the interface.
    #[must_use]
    pub fn device(&self) -> &InterfaceName {
        self.virtual_mac.as_ref().map_or(&self.interface, |device| &device.name)
    }

    /// The devices with the virtual MAC address, each with the interface beneath.
    #[must_use]
    pub fn mac_devices(&self) -> BTreeMap<&InterfaceName, &InterfaceName> {
        let own = self.virtual_mac.as_ref().map(|device| (&device.name, &self.interface));
        let beside = self.manners.values().filter_map(|manner| manner.virtual_mac.as_ref().zip(manner.device.as_ref()));
        own.into_iter().chain(beside).collect()
    }

    /// The interface to whose link what is on `device` is known: the one beneath, or itself.
    #[must_use]
    pub fn wire_beneath<'i>(&'i self, device: &'i InterfaceName) -> &'i InterfaceName {
        if self.virtual_mac.as_ref().is_some_and(|own| own.name == *device) {
            return &self.interface;
        }
        let beside = self.manners.values().find(|manner| manner.virtual_mac.as_ref() == Some(device));
        beside.and_then(|manner| manner.device.as_ref()).unwrap_or(device)
    }

    /// The link-layer address that addresses on `device` have, if that is not its own.
    #[must_use]
    pub fn mac_of(&self, device: &InterfaceName) -> Option<MacAddr> {
        self.mac_devices().contains_key(device).then(|| MacAddr::virtual_router(self.family, self.vrid.get()))
    }

    /// The link-layer address of the virtual addresses on its own interface, if they have one of their own.
    #[must_use]
    pub fn mac(&self) -> Option<MacAddr> {
        self.virtual_mac.as_ref().map(|_| MacAddr::virtual_router(self.family, self.vrid.get()))
    }

    /// Whether it needs something of the machine beside its interface.
    #[must_use]
    pub fn needs_equipment(&self) -> bool {
        self.drops_packets() || !self.mac_devices().is_empty()
    }
}
