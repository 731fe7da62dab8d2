//! The virtual router MAC address (RFC 9568, 7.3): the addresses are held on a device of their own.

use super::{Instance, Transport, error::Findings, instance::Drawn, network, raw::RawInstance, value};
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

/// A device belongs to one instance, and whoever has it names it once.
pub(super) fn check_names(drawn: &[Drawn], out: &mut Findings) {
    let all: Vec<(&Drawn, &Instance)> =
        drawn.iter().filter_map(|drawn| Some((drawn, drawn.instance.as_ref()?))).collect();
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

    /// The link-layer address of the virtual addresses, if they have one of their own.
    #[must_use]
    pub fn mac(&self) -> Option<MacAddr> {
        self.virtual_mac.as_ref().map(|_| MacAddr::virtual_router(self.family, self.vrid.get()))
    }

    /// Whether it needs something of the machine beside its interface.
    #[must_use]
    pub fn needs_equipment(&self) -> bool {
        self.drops_packets() || self.virtual_mac.is_some()
    }
}
