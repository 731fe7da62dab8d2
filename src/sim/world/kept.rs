//! What a master must have, and who must not have anything: a master holds what it leads (R11), and whoever sees nobody and no
//! arbiter does not (takeover, section 6; R23, R25).

use std::time::Duration;

use super::{
    World,
    patience::Sum,
    patience::listening,
    promised::{Promised, Watch},
};
use crate::{
    config::{Instance, LastResort, Preference},
    node::Role,
    policy::{FaultCause, Verdict},
    words::{Instant, readable},
};

/// How long a peer that answered counts as reachable (R1).
const REACHABLE_FOR: Duration = Duration::from_millis(2500);
/// How often that is looked at: policies are evaluated so often.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// The longest skew and a margin: how long an offer stands (R16, R23).
const OFFER: Duration = Duration::from_millis(100);

/// What was seen of an instance that leads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keeping {
    /// Since when it has led and does not have everything.
    lacks_since: Option<Instant>,
    /// It has had everything since it leads.
    had: bool,
    /// Since when it has had something and sees no arbiter.
    blind_since: Option<Instant>,
    told: bool,
}

impl World {
    pub(super) fn see_keeping(&self, index: usize, instance: &Instance, watch: &mut Watch) {
        let (now, machine, keeping) = (self.now, &self.machines[index], &mut watch.keeping);
        let leads = machine.role(&instance.name) == Role::Master;
        let able = machine.runs()
            && machine.is_prompt(now)
            && machine.kind == super::Kind::Ha
            && leads
            && !instance.priority.is_owner();
        if !able {
            // What a master had that was late, it has not to take anew.
            *keeping = Keeping { had: keeping.had && leads, ..Keeping::default() };
            return;
        }
        let mut nets = instance.held_addresses().filter(|net| !instance.is_untracked(net));
        let has_all = nets.all(|net| machine.ports.iter().any(|port| port.held.contains_key(net)));
        let reaches = !machine.mute && machine.ports.iter().all(|port| port.plugged) && instance.witness.is_none();
        keeping.had |= has_all;
        keeping.lacks_since = (reaches && !has_all).then(|| keeping.lacks_since.unwrap_or(now));
        let lets_go = instance.prefer == Preference::Safety && instance.last_resort == LastResort::Release;
        let is_blind = |verdict: &Verdict| matches!(verdict, Verdict::Fault { cause: FaultCause::External, .. });
        let blind = machine.verdicts(&instance.name).any(is_blind);
        let alone = machine.together_with(instance).len() == 1;
        let has_any = instance.held_addresses().any(|net| machine.ports.iter().any(|port| port.held.contains_key(net)));
        keeping.blind_since = (lets_go && blind && alone && has_any).then(|| keeping.blind_since.unwrap_or(now));
        if keeping.lacks_since.is_none() && keeping.blind_since.is_none() {
            keeping.told = false;
        }
    }

    pub(super) fn not_kept(&self, promised: &mut Promised) -> Vec<(Option<usize>, &'static str, String)> {
        let mut found = Vec::new();
        let seen: Vec<_> = (0..self.machines.len()).map(|index| promised.seen(index)).collect();
        for ((index, nth), watch) in promised.watches_mut() {
            let machine = &self.machines[index];
            let Some(instance) = machine.config.instances.get(nth).filter(|_| !watch.keeping.told) else { continue };
            let keeping = &mut watch.keeping;
            if let Some(since) = keeping.lacks_since {
                let deleted = seen[index].last_deletion().is_some_and(|at| at >= since);
                let sum = self.until_it_has_all(instance, keeping.had, deleted);
                if self.now > since + sum.total() {
                    keeping.told = true;
                    let lacks = readable(self.now.saturating_since(since));
                    let text =
                        format!("{}: it has led without its addresses for {lacks}; it may be {sum}", instance.name);
                    found.push((Some(index), "lost", text));
                }
            }
            if let Some(since) = keeping.blind_since {
                let since = since.max(seen[index].heard_at);
                let sum = self.until_it_lets_go(index, instance);
                if self.now > since + sum.total() {
                    keeping.told = true;
                    let text = format!(
                        "{}: it has seen no arbiter and heard nobody for {}, and goes on; it lets go within {sum}",
                        instance.name,
                        readable(self.now.saturating_since(since))
                    );
                    found.push((Some(index), "isolated", text));
                }
            }
        }
        found
    }

    /// What somebody deleted is put back at once, what was lost otherwise with the next advertisement.
    fn until_it_has_all(&self, instance: &Instance, had: bool, deleted: bool) -> Sum {
        let next = if had && !deleted { instance.advertise.as_duration() } else { Duration::ZERO };
        Sum::of("the next advertisement (R9, R10)", next)
            .and("listening for a rival (R36)", if had { Duration::ZERO } else { listening(instance) })
            .beside(self.way_there_and_back())
    }

    fn until_it_lets_go(&self, index: usize, instance: &Instance) -> Sum {
        let (version, slowest) = (instance.protocol.version(), self.slowest(index, instance));
        let down = slowest.down_interval_of(instance.down_adverts, version, crate::wire::Priority::LOWEST);
        let skew = slowest.skew_time(version, crate::wire::Priority::LOWEST);
        Sum::of("until nobody counts as heard or reachable (R1)", down.max(REACHABLE_FOR))
            .and("the next look", LOOKS_EVERY.max(instance.advertise.as_duration()))
            .and("an offer that nobody takes (R23)", skew + OFFER)
            .beside(self.way_there_and_back())
    }
}
