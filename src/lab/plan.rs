//! Which cables a world has: from each machine to which network, and with which addresses of its own.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::world::{Host, INTERFACE, PREFIX, SERVICE_ADDRESS, SERVICE_ADDRESS_6};

/// A cable from an interface of a machine to a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cable {
    /// Whose.
    pub host: Host,
    /// The interface, as its machine calls it.
    pub interface: String,
    /// The network at the other end, by number.
    pub wire: u8,
    /// The machine's own addresses there.
    pub own: Vec<IpNet>,
}

/// Machines, cables and networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Where daemons run.
    pub nodes: &'static [Host],
    /// Every cable; the first of a machine is its own.
    pub cables: Vec<Cable>,
    /// What the nodes share.
    pub service: Vec<IpAddr>,
}

impl Plan {
    /// The network of the founding scenario for these nodes.
    #[must_use]
    pub fn founding(nodes: &'static [Host]) -> Self {
        let cable = |host: Host| Cable {
            host,
            interface: INTERFACE.to_owned(),
            wire: 0,
            own: IpNet::new(host.address().into(), PREFIX).into_iter().collect(),
        };
        let hosts = nodes.iter().copied().chain([Host::Arbiter, Host::Client]);
        let service = vec![SERVICE_ADDRESS.into(), SERVICE_ADDRESS_6.into()];
        Self { nodes, cables: hosts.map(cable).collect(), service }
    }

    /// How many networks there are.
    #[must_use]
    pub fn wires(&self) -> u8 {
        self.cables.iter().map(|cable| cable.wire + 1).max().unwrap_or_default()
    }

    /// Whether an address belongs to a network of this number, by the addresses that are there.
    #[must_use]
    pub fn is_on(&self, wire: u8, address: IpAddr) -> bool {
        self.cables
            .iter()
            .filter(|cable| cable.wire == wire)
            .flat_map(|cable| &cable.own)
            .any(|own| own.contains(&address))
    }

    /// Whether an address is nobody's yet.
    #[must_use]
    pub fn is_free(&self, address: IpAddr) -> bool {
        let own = || self.cables.iter().flat_map(|cable| &cable.own);
        own().all(|own| own.addr() != address) && !self.service.contains(&address)
    }
}

impl Cable {
    /// Its end at the switch: `to-node1`, and `to-node1.1` for another one.
    #[must_use]
    pub fn port(&self) -> String {
        let port = self.host.port();
        if self.wire == 0 { port.to_owned() } else { format!("{port}.{}", self.wire) }
    }

    /// Where it is laid in two pieces ([`wires`](super::wires)): the end of the piece to the switch.
    #[must_use]
    pub fn near(&self) -> String {
        self.port().replacen("to-", "near-", 1)
    }

    /// The end of the piece to the machine.
    #[must_use]
    pub fn far(&self) -> String {
        self.port().replacen("to-", "far-", 1)
    }

    /// The Ethernet address of its interface.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        let [first, second, third, fourth, _, last] = self.host.mac();
        [first, second, third, fourth, self.wire, last]
    }

    /// Its link-local address is written, and not made by the kernel.
    #[must_use]
    pub fn has_link_local(&self) -> bool {
        self.own.iter().any(|own| matches!(own.addr(), IpAddr::V6(address) if is_link_local(address)))
    }
}

const fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_founding_network_has_one_wire_and_everybody_an_address() {
        let plan = Plan::founding(&Host::NODES);
        assert_eq!((plan.wires(), plan.cables.len()), (1, 4));
        assert!(plan.is_on(0, [192, 168, 0, 1].into()) && !plan.is_on(1, [192, 168, 0, 1].into()));
        assert!(plan.is_free([192, 168, 0, 1].into()) && !plan.is_free([192, 168, 0, 60].into()));
    }

    #[test]
    fn further_cables_have_other_names_and_addresses() {
        let cable = |wire| Cable { host: Host::Node1, interface: "eth1".to_owned(), wire, own: Vec::new() };
        assert_eq!((cable(0).port(), cable(0).mac()), ("to-node1".to_owned(), Host::Node1.mac()));
        assert_eq!((cable(1).port(), cable(1).mac()), ("to-node1.1".to_owned(), [2, 0, 0, 0, 1, 20]));
        assert_eq!((cable(0).near(), cable(12).far()), ("near-node1".to_owned(), "far-node1.12".to_owned()));
    }

    #[test]
    fn a_written_link_local_address_is_the_only_one() {
        let with = |own: &str| Cable {
            host: Host::Node1,
            interface: "eth0".to_owned(),
            wire: 0,
            own: vec![own.parse().unwrap()],
        };
        assert!(with("fe80::1/64").has_link_local());
        assert!(!with("2001:db8::1/64").has_link_local() && !with("10.0.0.1/24").has_link_local());
    }
}
