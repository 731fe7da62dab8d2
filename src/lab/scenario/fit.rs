//! What of a scenario a kernel can be made to do, and what only a simulation can.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use crate::{
    lab::world::{Host, INTERFACE, PREFIX, SERVICE_ADDRESS},
    sim::{Act, Happening, Kind, Reload, Scenario, Setup, Step},
};

/// What is known of the lab, for whoever wrote something else.
const NETWORK: &str = "the lab has two nodes of ha, 192.168.0.20 and 192.168.0.21 on eth0, or a third one, 192.168.0.23, and the address \
     192.168.0.60/24";

/// Why a scenario cannot be played here, each with its line; 0: none of its own.
#[must_use]
pub fn misfits(scenario: &Scenario) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let count = scenario.nodes.len();
    if !(2..=3).contains(&count) {
        found.push((0, format!("there are {count} nodes; {NETWORK}")));
    }
    for node in &scenario.nodes {
        let name = &node.setup.name;
        if node.setup.kind != Kind::Ha || !node.file.ends_with("toml") {
            found.push((0, format!("node {name} is none of ha with a file of its own; {NETWORK}")));
        } else if host_of(&node.setup, count).is_none() {
            found.push((0, format!("node {name} has other addresses, interfaces or peers; {NETWORK}")));
        }
    }
    let hosts: BTreeSet<Option<Host>> = scenario.nodes.iter().map(|node| host_of(&node.setup, count)).collect();
    if found.is_empty() && hosts.len() < count {
        found.push((0, format!("two nodes have the same peers; {NETWORK}")));
    }
    found.extend(scenario.steps.iter().filter_map(unplayable));
    found
}

/// Which machine of the lab a node is, by its peers.
pub(super) fn host_of(setup: &Setup, count: usize) -> Option<Host> {
    let [instance] = setup.config.instances.as_slice() else { return None };
    let service = IpNet::new(SERVICE_ADDRESS.into(), PREFIX).ok();
    let ours = instance.interface.as_str() == INTERFACE && instance.addresses == Vec::from_iter(service);
    let peers: BTreeSet<IpAddr> = instance.peers.iter().copied().collect();
    let hosts = || Host::TRIO.into_iter().take(count);
    let others = |host: Host| hosts().filter(move |other| *other != host).map(|other| IpAddr::V4(other.address()));
    hosts().find(|host| ours && others(*host).collect::<BTreeSet<_>>() == peers)
}

fn unplayable(step: &Step) -> Option<(usize, String)> {
    let Happening::Do(act) = &step.what else { return None };
    let why = match act {
        Act::Duplicates(_) => "packets are duplicated",
        Act::Delay(..) => "packets are delayed",
        Act::Slow(..) => "a daemon is slow",
        Act::Clock(..) => "wall clocks are set",
        Act::Rule { .. } => "rules find what they are told",
        Act::Takes { .. } | Act::Hangs { .. } => "policies are slow",
        Act::Forge { .. } => "advertisements are forged",
        Act::Probe { probe, found, .. }
            if *found == crate::sim::Found::Blind || !matches!(probe.as_str(), "http" | "ping") =>
        {
            "probes other than http and ping find what they are told, or none"
        }
        Act::Reload(_, Reload::File(file, ..)) if !file.ends_with("toml") => "a configuration of keepalived is loaded",
        Act::Pull(..)
        | Act::Plug(..)
        | Act::Cut(..)
        | Act::Isolate(_)
        | Act::Filter(..)
        | Act::Partition(_)
        | Act::Heal
        | Act::Loss(_)
        | Act::Freeze(_)
        | Act::Thaw(_)
        | Act::Kill(_)
        | Act::KillAll(_)
        | Act::Stop(_)
        | Act::PowerOff(_)
        | Act::Start(_)
        | Act::Mute(..)
        | Act::Delete(_)
        | Act::Probe { .. }
        | Act::Reload(..)
        | Act::Calm => return None,
    };
    Some((step.line, format!("only in a simulation {why}; the lab cannot play this statement")))
}
