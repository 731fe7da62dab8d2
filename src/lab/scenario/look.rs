//! What a scenario expects, looked at with real daemons: who has the addresses is the kernels' word, roles and conditions are the
//! daemons' own.

use std::collections::BTreeSet;

use ipnet::IpNet;
use serde_json::Value;

use super::{actor::Actor, player::Player};
use crate::{
    config::{Instance, Preempt},
    lab::observer::Observer,
    sim::{Claim, Expectation, Kind},
    words::Family,
};

/// So, or what is instead.
type Found = std::result::Result<(), String>;

impl Player {
    /// Whether every node runs, and the right one leads.
    pub(super) fn is_well(&mut self) -> Found {
        for node in &self.nodes {
            let fit = |instance: &Instance| node.role(&self.world, &instance.name).is_some_and(|role| role != "fault");
            if !node.config.instances.iter().all(fit) {
                return Err(format!("{} is not fit", node.name));
            }
        }
        self.look(&Expectation { instance: None, claim: Claim::Well })
    }

    /// Whether it is so; else what is.
    pub(super) fn look(&self, expectation: &Expectation) -> Found {
        let meant = |instance: &&Instance| expectation.instance.as_ref().is_none_or(|name| *name == instance.name);
        let node = |index: usize| self.nodes.get(index).ok_or_else(|| "there is no such node".to_owned());
        match &expectation.claim {
            Claim::Leads(index) => {
                let instances = node(*index)?.config.instances.iter().filter(meant);
                instances.into_iter().try_for_each(|instance| self.leads(*index, instance))
            }
            Claim::NobodyLeads => {
                let all = self.nodes.iter().flat_map(|node| &node.config.instances).filter(meant);
                all.into_iter().try_for_each(|instance| self.held_by(instance, None))
            }
            Claim::Well => self.routers().into_iter().try_for_each(|router| self.one_leads(router)),
            Claim::Is(index, role) => {
                let node = node(*index)?;
                let is = |instance: &Instance| match node.role(&self.world, &instance.name) {
                    Some(found) if found == role.to_string() => Ok(()),
                    found => Err(format!("it is {}", found.as_deref().unwrap_or("not to be asked"))),
                };
                node.config.instances.iter().filter(meant).try_for_each(is)
            }
            Claim::Has { machine, condition, present } => {
                let node = node(*machine)?;
                let mut all = BTreeSet::new();
                for instance in node.config.instances.iter().filter(meant) {
                    all.extend(self.conditions(node, instance)?);
                }
                let found =
                    if all.is_empty() { "none".to_owned() } else { Vec::from_iter(all.iter().cloned()).join(", ") };
                if all.contains(condition) == *present { Ok(()) } else { Err(format!("it has {found}")) }
            }
        }
    }

    fn conditions(&self, node: &Actor, instance: &Instance) -> Result<Vec<String>, String> {
        if node.kind == Kind::Keepalived {
            return Ok(Vec::new());
        }
        let instance = node.instance(&self.world, &instance.name).ok_or("it does not answer")?;
        let conditions = instance.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(conditions.iter().filter_map(|one| Some(one.get("name")?.as_str()?.to_owned())).collect())
    }

    /// Master, and nobody else has an address of it.
    fn leads(&self, index: usize, instance: &Instance) -> Found {
        let role = self.nodes.get(index).and_then(|node| node.role(&self.world, &instance.name));
        let held = self.held_by(instance, Some(index));
        if held.is_ok() && role.as_deref() == Some("master") {
            return Ok(());
        }
        let held = held.err().unwrap_or_else(|| "it alone has the addresses".to_owned());
        let role = role.unwrap_or_else(|| "not to be asked".to_owned());
        Err(format!("{held}, and it is {role} in {}", instance.name))
    }

    /// Every address of it is on this node alone; `None`: on none.
    fn held_by(&self, instance: &Instance, wanted: Option<usize>) -> Found {
        let wanted: BTreeSet<usize> = wanted.into_iter().collect();
        for (address, observer) in self.observers() {
            if instance.held_addresses().any(|own| own.addr() == address.addr()) {
                let holders = self.holders(observer);
                if holders != wanted {
                    return Err(self.say_who(address, &holders));
                }
            }
        }
        Ok(())
    }

    fn holders(&self, observer: &Observer) -> BTreeSet<usize> {
        observer.holders().into_iter().filter_map(|host| self.index(host)).collect()
    }

    fn say_who(&self, address: &IpNet, holders: &BTreeSet<usize>) -> String {
        let names: Vec<&str> = holders.iter().map(|index| self.title(*index)).collect();
        let who = if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") };
        format!("{who} has {}", self.said(address))
    }

    /// What an address is called: nothing but "the address" where there is one.
    pub(super) fn said(&self, address: &IpNet) -> String {
        if self.observers().len() == 1 { "the address".to_owned() } else { address.addr().to_string() }
    }

    /// Every virtual router that there is.
    fn routers(&self) -> BTreeSet<(u8, Family)> {
        let all = self.nodes.iter().flat_map(|node| &node.config.instances);
        all.map(|instance| (instance.vrid.get(), instance.family)).collect()
    }

    /// Of those that take part in it the one with the greatest priority leads; without preemption, or in a group, any of them.
    fn one_leads(&self, router: (u8, Family)) -> Found {
        let is = |instance: &&Instance| (instance.vrid.get(), instance.family) == router;
        let all = self.nodes.iter().enumerate();
        let all = all.filter_map(|(index, node)| Some((index, node, node.config.instances.iter().find(is)?)));
        let fit = |(_, node, instance): &(usize, &Actor, &Instance)| {
            matches!(node.role(&self.world, &instance.name).as_deref(), Some("master" | "backup"))
        };
        let fit: Vec<_> = all.filter(fit).collect();
        let in_group = |node: &Actor, instance: &Instance| {
            node.config.groups.iter().any(|group| group.instances.contains(&instance.name))
        };
        if fit.iter().any(|(_, node, instance)| instance.preempt == Preempt::Never || in_group(node, instance))
            && let Some((index, _, instance)) =
                fit.iter().find(|(index, _, instance)| self.leads(*index, instance).is_ok())
        {
            return self.leads(*index, instance);
        }
        let first = fit.into_iter().max_by_key(|(_, node, instance)| node.priority(&self.world, instance));
        first.map_or(Ok(()), |(index, _, instance)| self.leads(index, instance))
    }
}
