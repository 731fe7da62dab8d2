//! What a master announces when it is due.

use std::net::IpAddr;

use ipnet::IpNet;

use super::instance::{Instance, Outbox};
use crate::words::Instant;

impl Instance {
    pub(super) fn announce_if_due(&mut self, now: Instant, out: &mut Outbox) {
        if !self.may_announce() {
            return;
        }
        let addresses: Vec<IpAddr> = self.config.held_addresses().map(IpNet::addr).collect();
        let due = self.announcer.due(now, addresses.len());
        if let Some(due) = addresses.get(due).filter(|due| !due.is_empty()) {
            self.announce(due.to_vec(), out);
        }
    }

    pub(super) fn announce(&self, addresses: Vec<IpAddr>, out: &mut Outbox) {
        out.extend(self.announcements(&addresses));
    }

    /// When the next one is due.
    pub(super) fn next_announcement(&self) -> Option<Instant> {
        self.announcer.next_timeout().filter(|_| self.may_announce())
    }

    /// Whoever is about to hand over must not call the clients back, nor whoever nobody hears: another one may have taken the
    /// address. What is due then is made up for once an advertisement has left.
    pub(super) fn may_announce(&self) -> bool {
        self.leads() && !self.tenure.is_unheard()
    }
}
