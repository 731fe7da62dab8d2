//! Who should lead, found without the nodes' own opinion: of the machines that are fit the one with the greatest priority, and
//! of equal ones the one with the greatest address (RFC 9568, 6.4.3).

use std::{cmp::Reverse, collections::BTreeSet, net::IpAddr};

use super::{Machine, World};
use crate::{
    config::{Instance, Preempt},
    node::Role,
    policy::Verdict,
    words::Family,
};

/// Whether all is as it should be now that nothing happens any more: each virtual router has one leader, the right one, which
/// holds every address alone.
///
/// # Errors
/// What is wrong.
pub fn look(world: &World) -> Result<(), String> {
    let routers: BTreeSet<(u8, Family)> =
        all(world).map(|(_, instance)| (instance.vrid.get(), instance.family)).collect();
    routers.into_iter().try_for_each(|router| one(world, router))
}

fn all(world: &World) -> impl Iterator<Item = (usize, &Instance)> {
    let machines = world.machines.iter().enumerate();
    machines.flat_map(|(index, machine)| machine.config.instances.iter().map(move |instance| (index, instance)))
}

fn one(world: &World, (vrid, family): (u8, Family)) -> Result<(), String> {
    let members: Vec<(usize, &Instance)> =
        all(world).filter(|(_, instance)| (instance.vrid.get(), instance.family) == (vrid, family)).collect();
    let leaders: Vec<&(usize, &Instance)> = members
        .iter()
        .filter(|(index, instance)| {
            world.machines[*index].runs() && world.machines[*index].role(&instance.name) == Role::Master
        })
        .collect();
    let name = |index: usize| world.machines[index].name.as_str();
    let names = |list: &[&(usize, &Instance)]| {
        if list.is_empty() {
            "nobody".to_owned()
        } else {
            list.iter().map(|(index, _)| name(*index)).collect::<Vec<_>>().join(" and ")
        }
    };
    let mut candidates: Vec<&(usize, &Instance)> =
        members.iter().filter(|(index, instance)| is_fit(&world.machines[*index], instance)).collect();
    candidates.sort_by_key(|(index, instance)| Reverse(rank(&world.machines[*index], instance)));
    let Some((first, _)) = candidates.first() else {
        // Who may serve although it is not fit is a matter of preferences, which are not judged here.
        return Ok(());
    };
    let [leader] = leaders.as_slice() else {
        return Err(format!("virtual router {vrid}: {} lead, and {} should", names(&leaders), name(*first)));
    };
    // The RFC lets whoever leads stay before its equals.
    let top = candidates.first().map(|(index, instance)| rank(&world.machines[*index], instance).0);
    let equal = |(index, instance): &&&(usize, &Instance)| Some(rank(&world.machines[*index], instance).0) == top;
    let is_free =
        candidates.iter().all(|(_, instance)| instance.preempt == Preempt::Never) || in_group(world, &members);
    let right = if is_free {
        candidates.iter().any(|(index, _)| *index == leader.0)
    } else {
        candidates.iter().filter(equal).any(|(index, _)| *index == leader.0)
    };
    if !right {
        return Err(format!("virtual router {vrid}: {} leads, and {} should", name(leader.0), name(*first)));
    }
    for address in &leader.1.addresses {
        let holders = world.holders(address);
        let native = leader.1.priority.is_owner();
        if !(holders == [leader.0] || native && holders.is_empty()) {
            let found: Vec<&str> = holders.iter().map(|index| name(*index)).collect();
            return Err(format!(
                "virtual router {vrid}: {} leads, and {} is held by {found:?}",
                name(leader.0),
                address.addr()
            ));
        }
    }
    Ok(())
}

/// Of a group with priorities that cross, any member's order may be the one that counts.
fn in_group(world: &World, members: &[(usize, &Instance)]) -> bool {
    members.iter().any(|(index, instance)| {
        let mut groups = world.machines[*index].config.groups.iter();
        groups.any(|group| group.instances.contains(&instance.name))
    })
}

fn rank(machine: &Machine, instance: &Instance) -> (i32, Option<IpAddr>) {
    let base = i32::from(instance.priority.get());
    let delta: i32 = reports(machine, instance)
        .map(|verdict| if let Verdict::Healthy { delta, .. } = verdict { *delta } else { 0 })
        .sum();
    let priority = if instance.priority.is_owner() { base } else { (base + delta).clamp(1, 254) };
    (priority, machine.own(instance))
}

/// Its daemon runs, it is connected, and its policies are content.
fn is_fit(machine: &Machine, instance: &Instance) -> bool {
    let mut groups = machine.config.groups.iter().filter(|group| group.instances.contains(&instance.name));
    let all = groups.next().map_or_else(|| vec![instance.name.clone()], |group| group.instances.clone());
    all.iter().filter_map(|name| machine.instance(name)).all(|instance| {
        machine.runs()
            && machine.is_plugged(instance)
            && reports(machine, instance).all(|verdict| matches!(verdict, Verdict::Healthy { .. }))
    })
}

fn reports<'a>(machine: &'a Machine, instance: &'a Instance) -> impl Iterator<Item = &'a Verdict> {
    machine.verdicts(&instance.name)
}
