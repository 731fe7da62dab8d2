//! An instance in the words of [`InstanceStatus`].

use ipnet::IpNet;

use super::{Condition, InstanceStatus, Will, instance::Instance};
use crate::{vrrp::State, words::Instant};

impl Instance {
    pub(super) fn status(&self, now: Instant) -> InstanceStatus {
        InstanceStatus {
            name: self.config.name.clone(),
            interface: self.config.interface.to_string(),
            device: self.config.virtual_mac.as_ref().map(|device| device.name.to_string()),
            vrid: self.config.vrid.get(),
            version: self.version_number(),
            role: self.role(),
            since: self.since(),
            reason: self.reason().to_owned(),
            conditions: self.all_conditions(),
            priority: self.config.priority,
            effective_priority: self.router.standing().priority(),
            source: self.primary(),
            addresses: self.config.all_addresses(),
            held: self.held(),
            devices: self.config.addresses_elsewhere(),
            routing: self.config.routing.words(),
            lease: self.tenure.planned().length,
            peers: self.peers.status(now, self.down_interval()),
            paths: self.path_status(now),
            witness: self.witness_status(),
            transitions: self.counters.transitions,
            sent: self.counters.sent,
            received: self.counters.received,
            discarded: self.counters.discarded.iter().map(|(rejection, count)| (rejection.name(), *count)).collect(),
            reports: self.judgement.reports(),
        }
    }

    /// Those that began and have not ended, and the one that is a state.
    fn all_conditions(&self) -> Vec<Condition> {
        let mut conditions = self.conditions();
        conditions.extend(self.alerts.conditions().cloned());
        if matches!(self.router.state(), State::Resigning { .. }) {
            let text = "this node hands the address over and holds it until it is relieved".to_owned();
            conditions.push(Condition { name: "resigning", text });
        }
        conditions
    }

    /// The virtual addresses the kernel has.
    pub(super) fn held(&self) -> Vec<IpNet> {
        self.seen_in_place().into_iter().map(|seen| seen.address).collect()
    }

    /// The release and the resignation that a keeper performs for a dead master. On its own interface it lets go last. It
    /// lets go as well where there is no address to resign from.
    pub(super) fn last_will(&self, now: Instant) -> Will {
        let mut releases = self.releases();
        releases.reverse();
        let resignations = self.compose_all(None);
        let instance = self.config.name.clone();
        Will { instance, releases, resignations, seal: self.seal(now) }
    }
}
