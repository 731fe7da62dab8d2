//! Where machines are: which interfaces are on one wire, and which addresses are their own, as the configurations have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::machine::Port;
use crate::{
    config::{Config, Instance},
    policy::Policy,
    words::{Family, InterfaceName, MacAddr},
};

/// What runs on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The real node.
    Ha,
    /// A model of keepalived.
    Keepalived,
}

/// A machine before it is there.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the scenario calls it.
    pub name: String,
    /// What runs on it.
    pub kind: Kind,
    /// Its configuration.
    pub config: Config,
    /// Its own addresses, where they do not follow from the configurations.
    pub addresses: BTreeMap<InterfaceName, Vec<IpNet>>,
    /// The policies of its instances, by name.
    pub policies: BTreeMap<String, Policy>,
}

/// The ports of each machine.
pub(super) fn places(setups: &[Setup]) -> Vec<Vec<Port>> {
    let mut wires = 0;
    let mut placed: Vec<Vec<Port>> = Vec::new();
    for (index, setup) in setups.iter().enumerate() {
        let mut ports: Vec<Port> = Vec::new();
        for interface in interfaces(&setup.config) {
            let wire = wire_of(setups, &placed, &setup.config, &interface).unwrap_or_else(|| {
                wires += 1;
                wires - 1
            });
            let number = ports.len();
            let own = own_addresses(setups, index, &interface);
            ports.push(Port {
                interface,
                wire,
                mac: MacAddr([2, 0, 0, 0, byte(number), byte(index)]),
                index: 2 + u32::from(byte(number)),
                own,
                plugged: true,
                held: BTreeMap::new(),
            });
        }
        placed.push(ports);
    }
    placed
}

pub(super) fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn interfaces(config: &Config) -> BTreeSet<InterfaceName> {
    let all = |instance: &Instance| -> Vec<InterfaceName> {
        std::iter::once(&instance.interface).chain(instance.devices()).cloned().collect()
    };
    config.instances.iter().flat_map(all).collect()
}

/// Which virtual routers are here, and whether they advertise here or only have addresses here.
fn routers(config: &Config, interface: &InterfaceName) -> BTreeSet<(u8, Family, bool)> {
    let is_here = |it: &&Instance| it.interface == *interface || it.devices().contains(interface);
    let here = config.instances.iter().filter(is_here);
    here.map(|it| (it.vrid.get(), it.family, it.interface == *interface)).collect()
}

/// The wire of an earlier machine where the same virtual routers are; an interface of the same name comes first.
fn wire_of(setups: &[Setup], placed: &[Vec<Port>], config: &Config, interface: &InterfaceName) -> Option<usize> {
    let ours = routers(config, interface);
    let candidates = || {
        placed.iter().zip(setups).flat_map(|(ports, setup)| {
            ports.iter().map(|port| (port, !routers(&setup.config, &port.interface).is_disjoint(&ours)))
        })
    };
    let same_name = candidates().find(|(port, shares)| *shares && port.interface == *interface);
    same_name.or_else(|| candidates().find(|(_, shares)| *shares)).map(|(port, _)| port.wire)
}

/// Written in the scenario; else what the others call their peer; else one that nobody has.
fn own_addresses(setups: &[Setup], index: usize, interface: &InterfaceName) -> Vec<IpNet> {
    let setup = &setups[index];
    if let Some(written) = setup.addresses.get(interface) {
        return written.clone();
    }
    let mut own: Vec<IpNet> = Vec::new();
    for instance in setup.config.instances.iter().filter(|instance| instance.interface == *interface) {
        let address =
            instance.source.or_else(|| called(setups, index, instance)).unwrap_or_else(|| made_up(instance, index));
        if own.iter().all(|known| known.addr() != address) {
            own.extend(IpNet::new(address, prefix(instance, address)));
        }
    }
    own
}

/// What other nodes have as the address of a peer that this one does not have as a peer of its own.
fn called(setups: &[Setup], index: usize, instance: &Instance) -> Option<IpAddr> {
    let others = setups.iter().enumerate().filter(|(other, _)| *other != index);
    let counterparts = others.flat_map(|(_, setup)| &setup.config.instances);
    let same = counterparts.filter(|other| (other.vrid, other.family) == (instance.vrid, instance.family));
    let mut known: Vec<IpAddr> = same.flat_map(|other| other.peers.iter().copied()).collect();
    known.retain(|address| !instance.peers.contains(address));
    known.first().copied()
}

/// An address in the network of the virtual one.
fn made_up(instance: &Instance, index: usize) -> IpAddr {
    match instance.addresses.first() {
        Some(IpNet::V4(network)) => {
            let taken = |address: &IpAddr| {
                instance.addresses.iter().any(|own| own.addr() == *address) || instance.peers.contains(address)
            };
            let hosts = network.trunc().hosts().skip(index + 1).map(IpAddr::V4);
            hosts.into_iter().find(|host| !taken(host)).unwrap_or(IpAddr::V4(network.addr()))
        }
        Some(IpNet::V6(_)) | None => IpAddr::V6([0xfe80, 0, 0, 0, 0, 0, 0xff, 0x20 + u16::from(byte(index))].into()),
    }
}

fn prefix(instance: &Instance, address: IpAddr) -> u8 {
    let network = instance.addresses.iter().find(|network| network.contains(&address));
    network.map_or(if address.is_ipv4() { 24 } else { 64 }, IpNet::prefix_len)
}
