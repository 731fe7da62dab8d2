//! How a node ends: it hands over what it holds, or leaves it to the process after it.
//!
//! A daemon that is started again leaves the addresses under their lease, and that process goes on as master within it (R13).
//! If none comes, the kernel lets go and the peer takes over, as after a death.

use std::time::Duration;

use super::{
    Node,
    instance::{Instance, Outbox},
};
use crate::{
    vrrp::Event as Protocol,
    words::{Instant, readable},
};

/// A process is there again within this time. A peer that takes over earlier would meet it.
const SOON: Duration = Duration::from_secs(2);

impl Node {
    /// Every instance was asked to stop and holds nothing any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.leaving.is_empty() && self.instances.values().all(Instance::is_stopped)
    }

    /// The first time in order, the second time at once.
    pub(super) fn stop(&mut self) {
        let again = std::mem::replace(&mut self.stopping, true);
        self.coming.clear();
        for instance in self.instances.values_mut().chain(&mut self.leaving) {
            if again {
                instance.step(self.now, Protocol::Shutdown, &mut self.outbox);
            } else {
                instance.stopping = true;
                instance.reassess(self.now, &mut self.outbox);
            }
        }
    }

    /// Why what is held cannot be left to the process after this one.
    #[must_use]
    pub fn objection_to_leaving(&self) -> Option<String> {
        if self.stopping {
            return Some("it is stopping already".to_owned());
        }
        if self.is_changing() || !self.coming.is_empty() {
            return Some("a change of the configuration is under way".to_owned());
        }
        self.instances.values().find_map(Instance::objection_to_leaving)
    }

    /// Until when the kernel keeps what was left, at the longest; `None` if nothing was.
    #[must_use]
    pub fn left_until(&self) -> Option<Instant> {
        self.instances.values().filter(|instance| instance.left).filter_map(Instance::lease_end).max()
    }

    /// A last advertisement, which renews the lease; and then not another word.
    pub(super) fn leave(&mut self) {
        if self.objection_to_leaving().is_some() {
            return self.stop();
        }
        self.stopping = true;
        let (now, out) = (self.now, &mut self.outbox);
        for instance in self.instances.values_mut() {
            instance.leave_what_is_held(now, out);
        }
    }
}

impl Instance {
    fn objection_to_leaving(&self) -> Option<String> {
        let name = &self.config.name;
        if self.router.serves() && !self.config.routing.is_empty() {
            return Some(format!(
                "{name} has routes or rules, which have no lease: what is left behind would stay for ever"
            ));
        }
        if !self.router.serves() || self.native {
            return None;
        }
        if !self.leads() {
            return Some(format!("{name} is taking the address or handing it over at this moment"));
        }
        let planned = self.tenure.planned();
        if planned.length.is_none() {
            return Some(format!("{name} has no lease: what is left behind would stay for ever"));
        }
        let takes_over = planned.earliest_takeover_by_peer;
        (takes_over < SOON).then(|| {
            let takes_over = readable(takes_over);
            format!(
                "{name}: its peer takes over {takes_over} after the last advertisement, before a process is there again"
            )
        })
    }

    fn lease_end(&self) -> Option<Instant> {
        self.tenure.ends_at()
    }

    fn leave_what_is_held(&mut self, now: Instant, out: &mut Outbox) {
        if !self.router.serves() {
            self.stopping = true;
            return self.step(now, Protocol::Shutdown, out);
        }
        self.left = true;
        self.tenure.renew_soon();
        let priority = self.router.standing().priority();
        self.transmit(now, priority, out);
    }

    /// The last advertisement did not leave: the peer may be waiting already, so this is an ordinary stop.
    pub(super) fn stay_to_hand_over(&mut self, now: Instant, out: &mut Outbox) {
        if std::mem::take(&mut self.left) {
            self.stopping = true;
            self.reassess(now, out);
        }
    }
}
