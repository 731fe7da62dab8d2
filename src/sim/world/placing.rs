//! Where machines are: which interfaces are on one wire, and which addresses are their own, as the configurations have it.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::machine::Port;
use crate::{
    config::{Config, Instance, Path},
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

/// Which keepalived a model is of, as far as a pair sees a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 2.2, and what came before 2.3.3: it drops what serves other addresses, and knows no `auth_hmac`.
    #[default]
    Two,
    /// 2.4 from 2.4.2 on: it believes what serves other addresses, whatever the version of the protocol, and signs.
    Four,
}

impl Release {
    /// As a scenario has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Two => "2.2",
            Self::Four => "2.4",
        }
    }

    pub(in crate::sim) const fn believes_other_addresses(self) -> bool {
        matches!(self, Self::Four)
    }

    pub(in crate::sim) const fn signs(self) -> bool {
        matches!(self, Self::Four)
    }
}

/// A machine before it is there.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What the scenario calls it.
    pub name: String,
    /// What runs on it.
    pub kind: Kind,
    /// Which keepalived, if it is one.
    pub release: Release,
    /// Its configuration.
    pub config: Config,
    /// Its own addresses, where they do not follow from the configurations.
    pub addresses: BTreeMap<InterfaceName, Vec<IpNet>>,
    /// The policies of its instances, by name.
    pub policies: BTreeMap<String, Policy>,
}

/// Where an interface of a machine is, for whoever builds the same network of real cables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface.
    pub interface: InterfaceName,
    /// The network that it is on, by number.
    pub wire: usize,
    /// The machine's own addresses there.
    pub own: Vec<IpNet>,
}

/// Where these machines are, in their order.
#[must_use]
pub fn network(setups: &[Setup]) -> Vec<Vec<Place>> {
    let place = |Port { interface, wire, own, .. }| Place { interface, wire, own };
    places(setups).into_iter().map(|ports| ports.into_iter().map(place).collect()).collect()
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
        let paths = instance.paths.iter().map(|path| &path.interface);
        std::iter::once(&instance.interface).chain(instance.devices()).chain(paths).cloned().collect()
    };
    config.instances.iter().flat_map(all).collect()
}

/// What a virtual router has on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Here<'c> {
    Advertisements,
    Addresses,
    Path(&'c str),
}

/// Which virtual routers are here, and with what.
fn routers<'c>(config: &'c Config, interface: &InterfaceName) -> BTreeSet<(u8, Family, Here<'c>)> {
    let with = |it: &'c Instance| {
        let paths = it.paths.iter().filter(|path| path.interface == *interface).map(|path| Here::Path(&path.name));
        let own = (it.interface == *interface).then_some(Here::Advertisements);
        let beside = (it.interface != *interface && it.devices().contains(interface)).then_some(Here::Addresses);
        paths.chain(own).chain(beside).map(|what| (it.vrid.get(), it.family, what)).collect::<Vec<_>>()
    };
    config.instances.iter().flat_map(with).collect()
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
    for (instance, path) in paths_at(&setup.config, interface) {
        let address = path.source.or_else(|| called_on(setups, index, instance, path));
        if let Some(address) = address.filter(|address| own.iter().all(|known| known.addr() != *address)) {
            own.extend(IpNet::new(address, if address.is_ipv4() { 24 } else { 64 }));
        }
    }
    own
}

fn paths_at<'c>(config: &'c Config, interface: &InterfaceName) -> Vec<(&'c Instance, &'c Path)> {
    let all = config.instances.iter().flat_map(|instance| instance.paths.iter().map(move |path| (instance, path)));
    all.filter(|(_, path)| path.interface == *interface).collect()
}

/// What other nodes have as the address of a peer on the same path.
fn called_on(setups: &[Setup], index: usize, instance: &Instance, path: &Path) -> Option<IpAddr> {
    let others = setups.iter().enumerate().filter(|(other, _)| *other != index);
    let counterparts = others.flat_map(|(_, setup)| &setup.config.instances);
    let same = counterparts.filter(|other| (other.vrid, other.family) == (instance.vrid, instance.family));
    let paths = same.flat_map(|other| &other.paths).filter(|other| other.name == path.name);
    paths.flat_map(|other| other.peers.iter().copied()).find(|address| !path.peers.contains(address))
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
