//! What lint is told of the nodes that a policy judges: this node's configuration, the other node's if it was given, and
//! what a running daemon hears.

use std::{collections::BTreeSet, path::PathBuf};

use super::{configuration::ConfigurationFile, running::Running};
use crate::{
    cli::policy_file::PolicyFile,
    config::{self, Config, Instance},
    policy::{Engine, Surroundings},
};

/// Has lint look at every policy again, with what is known around it.
pub(super) fn inform(
    engine: &Engine,
    configurations: &[ConfigurationFile],
    policies: &mut [PolicyFile],
    running: Option<&Running>,
) {
    let known: Vec<Vec<Surroundings>> =
        policies.iter().map(|file| around(engine, configurations, policies, running, file)).collect();
    for (file, around) in policies.iter_mut().zip(known) {
        file.inform(engine, &around);
    }
}

/// One for each instance that the policy judges.
fn around(
    engine: &Engine,
    configurations: &[ConfigurationFile],
    policies: &[PolicyFile],
    running: Option<&Running>,
    file: &PolicyFile,
) -> Vec<Surroundings> {
    let loaded: Vec<&ConfigurationFile> = configurations.iter().filter(|file| file.config().is_some()).collect();
    let judges = loaded.iter().filter(|configuration| belongs(file, configuration, &loaded));
    let mut found = Vec::new();
    for configuration in judges {
        let other = loaded.iter().find(|other| !std::ptr::eq(**other, *configuration));
        for instance in configuration.config().into_iter().flat_map(|config| &config.instances) {
            if instance.policies.contains(&file.name) {
                let counterpart = other.and_then(|other| {
                    let config = other.config()?;
                    let all: Vec<&Instance> = config.instances.iter().collect();
                    Some((*other, config, config::counterpart(instance, &all)?))
                });
                let around = match counterpart {
                    Some((other, config, counterpart)) => {
                        beside(instance, config, counterpart, required(engine, other, counterpart, policies, &loaded))
                    }
                    None => alone(instance, running),
                };
                found.push(Surroundings { allow_exec: configuration.config().map(allowed), ..around });
            }
        }
    }
    found
}

fn allowed(config: &Config) -> BTreeSet<String> {
    config.permits.allow_exec.iter().map(|program| program.display().to_string()).collect()
}

fn beside(instance: &Instance, other: &Config, counterpart: &Instance, required: BTreeSet<String>) -> Surroundings {
    let own = counterpart.peers.iter().copied().filter(|address| !instance.peers.contains(address));
    Surroundings {
        peers: vec![(other.node.clone(), counterpart.priority.get())],
        own: own.chain(instance.source).collect(),
        other: Some((other.node.clone(), required)),
        ..of(instance)
    }
}

fn alone(instance: &Instance, running: Option<&Running>) -> Surroundings {
    let beside = running.and_then(|running| running.instance(&instance.name));
    let heard = beside.into_iter().flat_map(|beside| &beside.peers);
    Surroundings {
        peers: heard.filter_map(|peer| Some((peer.address.to_string(), peer.priority?))).collect(),
        own: beside.and_then(|beside| beside.source).or(instance.source).into_iter().collect(),
        ..of(instance)
    }
}

fn of(instance: &Instance) -> Surroundings {
    Surroundings {
        instance: instance.name.clone(),
        priority: instance.priority.get(),
        virtual_addresses: instance.held_addresses().map(ipnet::IpNet::addr).collect(),
        ..Surroundings::default()
    }
}

/// It is one of those that the configuration names, or stands for one: no configuration names it.
fn belongs(file: &PolicyFile, configuration: &ConfigurationFile, all: &[&ConfigurationFile]) -> bool {
    let is_named = all.iter().any(|configuration| configuration.policies().contains(&file.path));
    let stands_for = |path: &PathBuf| path.file_stem() == file.path.file_stem();
    let configured = configuration.policies();
    configured.contains(&file.path) || !is_named && configured.iter().any(stands_for)
}

/// What the policies of the other node's instance require.
fn required(
    engine: &Engine,
    other: &ConfigurationFile,
    counterpart: &Instance,
    policies: &[PolicyFile],
    all: &[&ConfigurationFile],
) -> BTreeSet<String> {
    let theirs = policies.iter().filter(|file| counterpart.policies.contains(&file.name) && belongs(file, other, all));
    theirs.flat_map(|file| file.required_hosts(engine)).collect()
}
