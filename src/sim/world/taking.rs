//! Who may take an address from whom: nobody from a master that it hears and may not preempt, and nobody what a machine still answers
//! for whose daemon is silent.

use std::time::Duration;

use super::{Air, Kind, Machine, World};
use crate::{
    config::{Claim, Instance, OnConflict, Preempt, Preference},
    node::Role,
    words::Instant,
};

/// A network where packets take longer is not judged.
const SLOWEST: Duration = Duration::from_millis(50);

impl Air {
    /// Every packet arrives.
    pub(super) fn is_clear(&self) -> bool {
        self.loses_nothing() && self.cut.is_empty() && self.filtered.is_empty()
    }

    /// Every packet arrives, and soon, where nothing is cut.
    pub(super) fn loses_nothing(&self) -> bool {
        self.loss == 0 && self.delay.1 <= SLOWEST
    }
}

impl World {
    /// An instance of a machine has just taken its addresses. Whoever has them already, is heard and has not resigned is
    /// either lower, and this one preempts, or it has been usurped.
    pub(super) fn check_takes(&mut self, index: usize, name: &str) {
        let machine = &self.machines[index];
        let Some(instance) = machine.instance(name) else { return };
        let grouped = machine.config.groups.iter().any(|group| group.instances.iter().any(|member| member == name));
        if machine.kind != Kind::Ha || instance.priority.is_owner() || grouped || !machine.is_plugged(instance) {
            return;
        }
        let preempts = instance.preempt != Preempt::Never;
        let bid = machine.bids.get(name).copied().unwrap_or_default();
        let others = self.machines.iter().enumerate().filter(|(other, _)| *other != index);
        let usurped = others.filter_map(|(_, other)| {
            let theirs = self.leads_audibly(other, instance)?;
            (theirs > bid || !preempts && theirs != bid).then(|| (other.name.clone(), theirs))
        });
        let usurped: Vec<(String, u8)> = usurped.collect();
        for (other, theirs) in usurped {
            let text =
                format!("{name}: takes at priority {bid} what {other} holds at priority {theirs}, which it hears");
            self.violated(Some(index), "usurped", text);
        }
    }

    /// An instance of a machine has just begun to lead. What a killed keepalived has left in its kernel answers for the address, and
    /// whoever takes it after silence has asked (R3, R7): nobody takes it beside that. Who led before it was killed, or took it while
    /// the network was broken, does not find out, and neither does who preempts somebody else.
    pub(super) fn check_leads(&mut self, index: usize, name: &str) {
        let machine = &self.machines[index];
        let Some(instance) = machine.instance(name) else { return };
        if !minds(machine, instance) || !machine.is_plugged(instance) {
            return;
        }
        let others = || {
            let others = self.machines.iter().enumerate().filter(|(other, _)| *other != index);
            others.filter_map(|(_, other)| Some((other, counterpart(other, instance)?)))
        };
        let slowest = others().map(|(_, theirs)| theirs.advertise).chain([instance.advertise]).max();
        let (slowest, version) = (slowest.unwrap_or(instance.advertise), instance.protocol.version());
        let down = slowest.down_interval_of(instance.peer_down_adverts, version, instance.priority);
        let long_ago = |at: Instant| at + down <= self.now;
        let silent = others().all(|(other, theirs)| {
            long_ago(other.started_at) && other.sent_at.get(&theirs.name).is_none_or(|at| long_ago(*at))
        });
        let sound = self.sound_since.is_some_and(long_ago);
        if !silent || !sound || !long_ago(machine.started_at) || !long_ago(machine.forged_at) {
            return;
        }
        let expected = |other: &Machine, theirs: &Instance| {
            let own = other.own(theirs);
            instance.peers.is_empty() || own.is_some_and(|own| instance.peers.contains(&own))
        };
        let left = others().find(|(other, theirs)| {
            other.has_left() && other.is_plugged(theirs) && other.holds(theirs) && expected(other, theirs)
        });
        if let Some((other, _)) = left {
            let text = format!("{name}: takes what {} still answers for, although its daemon is silent", other.name);
            self.violated(Some(index), "usurped", text);
        }
    }

    /// What it bids, if it has led this virtual router for a while and every machine must have heard it.
    pub(super) fn leads_audibly(&self, other: &Machine, ours: &Instance) -> Option<u8> {
        let theirs = counterpart(other, ours)?;
        let interval = theirs.advertise.as_duration();
        let well = other.kind == Kind::Ha && other.runs() && !other.mute && other.slow.is_zero();
        let leads = other.role(&theirs.name) == Role::Master && other.holds(theirs) && other.is_plugged(theirs);
        let before = |at: Option<&Instant>, by: Duration| at.is_some_and(|at| *at + by <= self.now);
        let long = before(self.clear_since.as_ref(), interval * 4 + Duration::from_secs(1))
            && before(other.took_at.get(&theirs.name), interval * 2)
            && before(Some(&other.thawed_at), interval * 4)
            && before(Some(&other.started_at), interval * 4);
        let spoke = other.sent_at.get(&theirs.name).is_some_and(|at| self.now <= *at + interval * 3 / 2);
        let bid = other.bids.get(&theirs.name).copied().filter(|bid| *bid > 0);
        bid.filter(|_| well && leads && long && spoke)
    }
}

/// It asks before it takes after silence, and takes nothing that somebody still answers for.
pub(super) fn minds(machine: &Machine, instance: &Instance) -> bool {
    let own = machine.ports.iter().filter(|port| port.interface == instance.interface).flat_map(|it| &it.own);
    let is_on_link = |net: &ipnet::IpNet| own.clone().any(|own| own.contains(&net.addr()));
    machine.kind == Kind::Ha
        && instance.claim != Claim::Off
        && instance.on_conflict == OnConflict::Hold
        && instance.prefer == Preference::Safety
        && !instance.priority.is_owner()
        && instance.addresses.iter().all(is_on_link)
}

/// The same virtual router on another machine.
pub(super) fn counterpart<'m>(other: &'m Machine, ours: &Instance) -> Option<&'m Instance> {
    other.config.instances.iter().find(|it| (it.vrid, it.family) == (ours.vrid, ours.family))
}
