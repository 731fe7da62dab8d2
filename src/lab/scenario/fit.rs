//! What of a scenario a kernel can be made to do, and what only a simulation can.

use std::collections::BTreeSet;

use ipnet::IpNet;

use super::{
    network::{HOSTS, plan, shared},
    witness,
};
use crate::{
    config::Instance,
    lab::{
        plan::Plan,
        process::on_path,
        world::{Host, PREFIX, SERVICE_ADDRESS},
    },
    sim::{Act, Claim, Expectation, Happening, Kind, Node, Reload, Scenario, Step},
};

/// What chaos is thrown at, for whoever wrote something else: its client asks for this address.
const NETWORK: &str = "chaos has two nodes of ha, 192.168.0.20 and 192.168.0.21 on eth0, or a third one, 192.168.0.23, and the address \
     192.168.0.60/24";

/// Why a scenario cannot be played here, each with its line; 0: none of its own.
#[must_use]
pub fn misfits(scenario: &Scenario, chaos: bool) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let count = scenario.nodes.len();
    if count > HOSTS.len() {
        found.push((0, format!("there are {count} nodes, and the lab has {} machines for them", HOSTS.len())));
    }
    for node in &scenario.nodes {
        let why = unfit(node).or_else(|| witness::refusal(&node.setup.config, &scenario.nodes));
        found.extend(why.map(|why| (0, format!("node {}: {why}", node.setup.name))));
    }
    if chaos && found.is_empty() {
        found.extend(not_founding(&scenario.nodes).map(|why| (0, format!("{why}; {NETWORK}"))));
    }
    found.extend(scenario.steps.iter().filter_map(|step| unplayable(scenario, step)));
    found
}

/// Why this node cannot run here.
fn unfit(node: &Node) -> Option<String> {
    let config = &node.setup.config;
    let has = |is: fn(&Instance) -> bool| config.instances.iter().any(is);
    let why = match node.setup.kind {
        Kind::Ha if !node.file.ends_with("toml") => {
            "ha with a configuration of keepalived; import it first, or let keepalived itself run it (keepalived NAME FILE)"
        }
        Kind::Keepalived if node.file.ends_with("toml") => {
            "keepalived with a configuration of ha; here the real one runs, and needs a file of its own"
        }
        Kind::Keepalived if on_path("keepalived").is_none() => {
            "keepalived is not installed (Debian: apt install keepalived), and here the real one runs"
        }
        Kind::Keepalived if has(|it| !it.policies.is_empty()) || has(has_programs) => {
            "its configuration runs scripts, and the lab has none of them; take them out of a copy of the file"
        }
        Kind::Ha | Kind::Keepalived if has(|it| it.priority.is_owner()) => {
            "it owns its address (priority 255): its machine has it before the daemon starts"
        }
        Kind::Ha | Kind::Keepalived if config.netns.is_some() || has(|it| it.netns.is_some()) => {
            "it works in a network namespace of its own"
        }
        Kind::Ha | Kind::Keepalived => return None,
    };
    Some(why.to_owned())
}

fn has_programs(instance: &Instance) -> bool {
    !instance.notify.run.is_empty() || !instance.notify.programs.is_empty()
}

/// Why these are not the founding pair, or three of them.
fn not_founding(nodes: &[Node]) -> Option<String> {
    let service: Option<IpNet> = IpNet::new(SERVICE_ADDRESS.into(), PREFIX).ok();
    if nodes.len() < 2 {
        return Some("there are too few nodes".to_owned());
    }
    if let Some(node) = nodes.iter().find(|node| node.setup.kind != Kind::Ha) {
        return Some(format!("node {} is none of ha", node.setup.name));
    }
    if let Some(node) = nodes.iter().find(|node| node.setup.config.witness.is_some()) {
        return Some(format!("node {} has a witness", node.setup.name));
    }
    let known = Plan::founding(if nodes.len() > 2 { &HOSTS } else { &Host::NODES });
    let found = plan(nodes, &BTreeSet::new());
    let is_known = found.cables == known.cables && shared(nodes).into_iter().eq(service);
    (!is_known).then(|| "the nodes have other addresses, interfaces or peers".to_owned())
}

fn unplayable(scenario: &Scenario, step: &Step) -> Option<(usize, String)> {
    let act = match &step.what {
        Happening::Do(act) => act,
        Happening::Expect(expectation) => {
            return untold(scenario, expectation).map(|why| (step.line, why));
        }
    };
    let is_keepalived =
        |index: &usize| scenario.nodes.get(*index).is_some_and(|node| node.setup.kind == Kind::Keepalived);
    let why = match act {
        Act::Clock(..) => "a machine has a wall clock of its own",
        Act::Misplace(_) => "somebody else puts an address on a machine",
        Act::Reload(index, Reload::File(file, ..)) if file.ends_with("toml") == is_keepalived(index) => {
            "a daemon loads a configuration of the other kind"
        }
        Act::Reload(_, Reload::File(_, config, _)) if witness::is_elsewhere(config, scenario) => {
            "a daemon loads a configuration whose witness is where no node had one before"
        }
        Act::Reload(index, Reload::Priority(_)) if is_keepalived(index) => {
            "keepalived gets another priority without another file"
        }
        Act::Pull(..)
        | Act::Plug(..)
        | Act::Cut(..)
        | Act::Isolate(_)
        | Act::Filter(..)
        | Act::Partition(_)
        | Act::Heal
        | Act::Loss(_)
        | Act::Duplicates(_)
        | Act::Delay(..)
        | Act::Freeze(_)
        | Act::Thaw(_)
        | Act::Kill(_)
        | Act::KillAll(_)
        | Act::Stop(_)
        | Act::PowerOff(_)
        | Act::Start(_)
        | Act::Slow(..)
        | Act::Mute(..)
        | Act::Delete(_)
        | Act::Probe { .. }
        | Act::Rule { .. }
        | Act::Takes { .. }
        | Act::Hangs { .. }
        | Act::Forge { .. }
        | Act::Reload(..)
        | Act::Witness(_)
        | Act::Calm => return None,
    };
    Some((step.line, format!("only in a simulation {why}; the lab cannot play this statement")))
}

/// Why nobody can say here whether it is so.
fn untold(scenario: &Scenario, expectation: &Expectation) -> Option<String> {
    let Claim::Has { machine, .. } = &expectation.claim else { return None };
    let node = scenario.nodes.get(*machine)?;
    let silent = node.setup.kind == Kind::Keepalived;
    silent.then(|| format!("{} runs keepalived, which tells no conditions", node.setup.name))
}
