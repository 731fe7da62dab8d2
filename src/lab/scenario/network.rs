//! The network of a scenario: the wires and own addresses that its simulation has, laid with real cables.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::witness;
use crate::{
    config::Config,
    lab::{
        plan::{Cable, Plan},
        world::{Host, PREFIX},
    },
    sim::{Act, Happening, Node, Scenario, Setup, network},
};

/// Which machine of the lab the nodes are, in the order of the scenario.
pub(super) const HOSTS: [Host; 3] = Host::TRIO;

/// Every address that the nodes share, each once.
pub(super) fn shared(nodes: &[Node]) -> BTreeSet<IpNet> {
    let instances = nodes.iter().flat_map(|node| &node.setup.config.instances);
    instances.flat_map(|instance| instance.held_addresses().copied()).collect()
}

/// The network of these nodes. `asked`: what their policies ping, which the arbiter is to answer for.
pub(super) fn plan(nodes: &[Node], asked: &BTreeSet<IpAddr>) -> Plan {
    let setups: Vec<Setup> = nodes.iter().map(|node| node.setup.clone()).collect();
    let hosts = if nodes.len() > 2 { &HOSTS[..] } else { &Host::NODES[..] };
    let mut plan = Plan { nodes: hosts, cables: Vec::new(), service: shared(nodes).iter().map(IpNet::addr).collect() };
    let mut wires = 0_u8;
    for (host, places) in HOSTS.into_iter().zip(network(&setups)) {
        for place in places {
            let wire = u8::try_from(place.wire).unwrap_or(u8::MAX);
            wires = wires.max(wire.saturating_add(1));
            plan.cables.push(Cable { host, interface: place.interface.to_string(), wire, own: place.own });
        }
    }
    for (host, setup) in HOSTS.into_iter().zip(&setups) {
        for interface in followed(&setup.config) {
            let has = |cable: &Cable| cable.interface == interface;
            if plan.cables.iter().any(|cable| cable.host == host && has(cable)) {
                continue;
            }
            // Where a node has advertised on a wire of that name, this is the same wire, unless this node is on it already.
            let taken: Vec<u8> =
                plan.cables.iter().filter(|cable| cable.host == host).map(|cable| cable.wire).collect();
            let known = plan.cables.iter().find(|cable| has(cable) && !taken.contains(&cable.wire));
            let wire = known.map_or(wires, |cable| cable.wire);
            wires = wires.max(wire.saturating_add(1));
            plan.cables.push(Cable { host, interface, wire, own: Vec::new() });
        }
    }
    let places = witness::places(nodes);
    for wire in 0..wires {
        for host in [Host::Arbiter, Host::Client] {
            let usual = IpAddr::V4(host.address());
            let asked = asked.iter().copied().filter(|_| host == Host::Arbiter);
            let wanted: BTreeSet<IpAddr> = asked.chain([usual]).collect();
            let is_free =
                |address: &IpAddr| plan.is_free(*address) && places.iter().all(|place| place.ip() != *address);
            let own = wanted.into_iter().filter(|address| plan.is_on(wire, *address) && is_free(address));
            let own = own.filter_map(|address| IpNet::new(address, if address.is_ipv4() { PREFIX } else { 64 }).ok());
            let own = own.collect();
            plan.cables.push(Cable { host, interface: format!("eth{wire}"), wire, own });
        }
    }
    plan.cables.extend(witness::cables(witness::hosts(nodes), &places, wires));
    plan
}

/// Whether packets take their time in it, or come twice: then the cables of its nodes allow for it.
pub(super) fn is_delayed(scenario: &Scenario) -> bool {
    scenario.steps.iter().any(|step| matches!(step.what, Happening::Do(Act::Delay(..) | Act::Duplicates(_))))
}

/// Interfaces that a node follows without speaking there; what the daemon makes itself is none of them.
fn followed(config: &Config) -> BTreeSet<String> {
    let made: BTreeSet<_> = config
        .instances
        .iter()
        .filter_map(|instance| instance.virtual_mac.as_ref())
        .map(|device| &device.name)
        .collect();
    let followed = config.instances.iter().flat_map(|instance| instance.tracks.interfaces());
    followed.filter(|name| !made.contains(name)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Facts, sim::Kind};

    fn nodes(configs: &[&str]) -> Vec<Node> {
        let node = |(name, text): (&str, &&str)| {
            let text = format!("node = \"{name}\"\n{text}");
            let config = crate::config::parse(&text, std::path::Path::new("/x/ha.toml"), &Facts::default());
            let setup = Setup {
                name: name.to_owned(),
                kind: Kind::Ha,
                release: crate::sim::Release::default(),
                config: config.unwrap().config,
                addresses: std::collections::BTreeMap::new(),
                policies: std::collections::BTreeMap::new(),
            };
            Node { file: "ha.toml".to_owned(), setup }
        };
        ["a", "b", "c"].into_iter().zip(configs).map(node).collect()
    }

    fn of(plan: &Plan, host: Host) -> Vec<String> {
        let text = |cable: &Cable| {
            let own: Vec<String> = cable.own.iter().map(ToString::to_string).collect();
            format!("{} {} {}", cable.interface, cable.wire, own.join(" "))
        };
        plan.cables.iter().filter(|cable| cable.host == host).map(text).collect()
    }

    fn founding(peer: &str) -> String {
        format!(
            "[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\n\
             addresses = [\"192.168.0.60/24\"]\npeers = [\"{peer}\"]\n"
        )
    }

    #[test]
    fn the_founding_pair_has_the_founding_network() {
        let configs = [founding("192.168.0.21"), founding("192.168.0.20")];
        let plan = plan(&nodes(&[&configs[0], &configs[1]]), &BTreeSet::from([Host::Arbiter.address().into()]));
        let known = Plan::founding(&Host::NODES);
        assert_eq!(plan.cables, known.cables);
        assert_eq!(plan.service, [IpAddr::from([192, 168, 0, 60])]);
    }

    #[test]
    fn a_witness_has_a_network_of_its_own_and_its_address_is_nobody_elses() {
        let witness = "[witness]\nendpoints = [\"http://192.168.0.22:2379\"]\nkey = \"ha/x\"\n";
        let configs = [founding("192.168.0.21") + witness, founding("192.168.0.20") + witness];
        let plan = plan(&nodes(&[&configs[0], &configs[1]]), &BTreeSet::new());
        assert_eq!(of(&plan, Host::Node1), ["eth0 0 192.168.0.20/24", "witness 1 169.254.77.20/24"]);
        assert_eq!(of(&plan, Host::Arbiter), ["eth0 0 "]);
        assert_eq!(of(&plan, Host::Witness), ["witness 1 169.254.77.31/24 192.168.0.22/32"]);
    }

    #[test]
    fn interfaces_with_other_names_meet_where_the_router_is_the_same() {
        let (one, other) = (founding("192.168.0.21"), founding("192.168.0.20").replace("eth0", "bond0"));
        let tracks = "track.interfaces = [\"eth7\"]\n";
        let plan = plan(&nodes(&[&(one + tracks), &other]), &BTreeSet::from(["192.168.0.1".parse().unwrap()]));
        assert_eq!(of(&plan, Host::Node1), ["eth0 0 192.168.0.20/24", "eth7 1 "]);
        assert_eq!(of(&plan, Host::Node2), ["bond0 0 192.168.0.21/24"]);
        assert_eq!(of(&plan, Host::Arbiter), ["eth0 0 192.168.0.1/24 192.168.0.22/24", "eth1 1 "]);
    }
}
