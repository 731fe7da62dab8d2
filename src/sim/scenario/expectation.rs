//! What a scenario expects, and whether it is so.

use crate::{
    config::Instance,
    node::Role,
    sim::{Machine, World, oracle},
};

/// Something that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Of which virtual router, by the name of its instance; `None`: of all.
    pub instance: Option<String>,
    /// What.
    pub claim: Claim,
}

/// What must be so. Machines are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// This one is master and holds every address, and nobody else holds any.
    Leads(usize),
    /// Every virtual router has one leader, the right one, which holds every address alone.
    Well,
    /// Nobody holds an address.
    NobodyLeads,
    /// This one has this role.
    Is(usize, Role),
    /// This one has a condition of this name, or does not.
    Has { machine: usize, condition: String, present: bool },
}

impl Expectation {
    /// As a scenario has it.
    #[must_use]
    pub fn text(&self, names: &[String]) -> String {
        let name = |index: &usize| names.get(*index).map_or("?", String::as_str);
        let of = self.instance.as_ref().map(|instance| format!(" {instance}")).unwrap_or_default();
        match &self.claim {
            Claim::Leads(index) => format!("expect {} leads{of}", name(index)),
            Claim::Well => "expect well".to_owned(),
            Claim::NobodyLeads => format!("expect nobody leads{of}"),
            Claim::Is(index, role) => format!("expect {} is {role}{of}", name(index)),
            Claim::Has { machine, condition, present: true } => format!("expect {} has {condition}{of}", name(machine)),
            Claim::Has { machine, condition, present: false } => {
                format!("expect {} has no {condition}{of}", name(machine))
            }
        }
    }

    /// Whether it is so; else what is.
    ///
    /// # Errors
    /// What is so instead.
    pub fn look(&self, world: &World) -> Result<(), String> {
        match &self.claim {
            Claim::Leads(index) => self.each(world, *index, |instance| leads(world, *index, instance)),
            Claim::Well => oracle::look(world),
            Claim::NobodyLeads => {
                let all = 0..world.machines.len();
                all.into_iter().try_for_each(|index| self.each(world, index, |instance| nobody(world, instance)))
            }
            Claim::Is(index, role) => self.each(world, *index, |instance| {
                let found = world.machines[*index].role(&instance.name);
                if found == *role {
                    Ok(())
                } else {
                    Err(format!("{} is {found} in {}", world.machines[*index].name, instance.name))
                }
            }),
            Claim::Has { machine, condition, present } => {
                let status = world.machines[*machine].status();
                let ours =
                    status.instances.iter().filter(|it| self.instance.as_ref().is_none_or(|name| *name == it.name));
                let all: Vec<&str> = ours.flat_map(|it| &it.conditions).map(|condition| condition.name).collect();
                let found = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                let name = &world.machines[*machine].name;
                if all.contains(&condition.as_str()) == *present { Ok(()) } else { Err(format!("{name} has {found}")) }
            }
        }
    }

    fn each(&self, world: &World, index: usize, look: impl Fn(&Instance) -> Result<(), String>) -> Result<(), String> {
        let instances = world.machines[index].config.instances.iter();
        let meant = |instance: &&Instance| self.instance.as_ref().is_none_or(|name| *name == instance.name);
        instances.filter(meant).try_for_each(look)
    }
}

fn leads(world: &World, index: usize, instance: &Instance) -> Result<(), String> {
    let machine = &world.machines[index];
    let role = machine.role(&instance.name);
    let others = instance.addresses.iter().flat_map(|address| world.holders(address)).filter(|other| *other != index);
    let others: std::collections::BTreeSet<&str> = others.map(|other| world.machines[other].name.as_str()).collect();
    if role != Role::Master || !machine.holds(instance) || !others.is_empty() {
        let holds = if machine.holds(instance) { "holds" } else { "does not hold" };
        let also = others.into_iter().collect::<Vec<_>>().join(" and ");
        let also = if also.is_empty() { "nobody else does".to_owned() } else { format!("{also} does") };
        return Err(format!("{} is {role} in {} and {holds} the addresses, {also}", machine.name, instance.name));
    }
    Ok(())
}

fn nobody(world: &World, instance: &Instance) -> Result<(), String> {
    let holds = |machine: &&Machine| instance.addresses.iter().any(|address| machine.held().contains(address));
    match world.machines.iter().find(holds) {
        Some(machine) => Err(format!("{} holds addresses of {}", machine.name, instance.name)),
        None => Ok(()),
    }
}
