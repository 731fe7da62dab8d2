//! Who is stopped, or killed while its keeper lives, says so; whoever stands by and hears it serves at once, or after the skew time
//! where several may (R16, R17). After a stop there is no moment without anybody.

use std::time::Duration;

use ipnet::IpNet;

use super::{Act, Kind, World, patience::Sum, patience::listening, promised::Promised};
use crate::{
    config::{Instance, WitnessMode},
    node::Role,
    words::{Instant, readable},
};

/// What must happen next, if nothing else is done to anybody.
#[derive(Clone, Debug)]
pub(super) struct Handover {
    from: usize,
    /// Who stands by, and as which of its instances.
    to: (usize, usize),
    began: Instant,
    addresses: Vec<IpNet>,
    /// Within this somebody else has them.
    within: Sum,
    /// So long nobody may have them.
    gap: Sum,
}

impl World {
    /// What follows if this is done now.
    pub(super) fn handovers_of(&self, act: &Act) -> Vec<Handover> {
        let (from, holds_on) = if let Act::Stop(index) = act {
            (*index, true)
        } else if let Act::Kill(index) = act {
            (*index, false)
        } else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for (index, machine) in self.machines.iter().enumerate().filter(|(index, _)| *index != from) {
            for (nth, instance) in machine.config.instances.iter().enumerate() {
                let long = instance.advertise.as_duration() * 4 + Duration::from_secs(1);
                let ready = self.promised.ready(index, nth).filter(|ready| ready.since + long <= self.now);
                let together = machine.together_with(instance);
                let follows = |instance: &&Instance| {
                    machine.role(&instance.name) == Role::Backup
                        && instance.witness.is_none_or(|witness| witness.mode != WitnessMode::Strict)
                        && self.leads_well(from, instance)
                };
                let Some(ready) = ready.filter(|_| together.iter().all(follows)) else { continue };
                let others = self.others_of(index, instance).count();
                let is_heir = instance.peers.len() == 1 && others == 1 && machine.forged_at == Instant::ZERO;
                let skew = self.slowest(index, instance).skew_time(instance.protocol.version(), ready.rank);
                let within = Sum::of("skew time (RFC 9568, 6.4.2)", if is_heir { Duration::ZERO } else { skew })
                    .and("listening for a rival (R36)", listening(instance))
                    .beside(self.way_there_and_back());
                let holds_on = holds_on && self.machines[from].kind == Kind::Ha;
                let gap = if holds_on { self.way_there_and_back() } else { within.clone() };
                found.push(Handover {
                    from,
                    to: (index, nth),
                    began: self.now,
                    addresses: instance.all_addresses(),
                    within,
                    gap,
                });
            }
        }
        found
    }

    /// It leads this virtual router and everything that goes with it, every machine must have heard it, and it is well.
    fn leads_well(&self, index: usize, theirs: &Instance) -> bool {
        let machine = &self.machines[index];
        let Some(ours) = super::taking::counterpart(machine, theirs) else { return false };
        machine.together_with(ours).iter().all(|instance| {
            self.leads_audibly(machine, instance).is_some()
                && machine.verdicts(&instance.name).all(|it| matches!(it, crate::policy::Verdict::Healthy { .. }))
        })
    }

    /// Those that are over and did not happen.
    pub(super) fn late_handovers(&self, promised: &mut Promised) -> Vec<(Option<usize>, &'static str, String)> {
        let mut found = Vec::new();
        for handover in std::mem::take(&mut promised.handovers) {
            let Handover { from, to: (index, nth), began, addresses, within, gap } = &handover;
            if promised.ready(*index, *nth).is_none_or(|ready| ready.since >= *began) {
                continue;
            }
            let (from, to) = (&self.machines[*from].name, &self.machines[*index].name);
            let gone = addresses.iter().filter_map(|address| promised.vacant_since(address)).min();
            let lacks = gone.map(|gone| self.now.saturating_since(gone.max(*began)));
            if let Some(lacks) = lacks.filter(|lacks| *lacks > gap.total()) {
                let text = format!(
                    "{from} has resigned, and nobody has had the address for {}; it may be {gap}",
                    readable(lacks)
                );
                found.push((None, "handover", text));
            } else if self.now > *began + within.total() {
                let since = readable(self.now.saturating_since(*began));
                found.push((
                    None,
                    "handover",
                    format!("{from} resigned {since} ago, and {to} takes over within {within}"),
                ));
            } else if !self.is_taken_over(&handover) {
                promised.handovers.push(handover);
            }
        }
        found
    }

    fn is_taken_over(&self, handover: &Handover) -> bool {
        handover.addresses.iter().all(|address| self.holders(address).iter().any(|holder| *holder != handover.from))
    }
}
