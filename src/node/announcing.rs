//! What a master announces when it is due.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    LinkSeen,
    instance::{Instance, Outbox},
};
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

    /// An interface of it has another link-layer address than before: whoever looks for what is held there at the old one is told
    /// at once. What has the virtual address of the router (RFC 9568, 7.3) is where it was.
    pub(super) fn mind_moved(
        &mut self,
        now: Instant,
        before: Option<&LinkSeen>,
        link: Option<&LinkSeen>,
        out: &mut Outbox,
    ) {
        let (Some(before), Some(link)) = (before, link) else { return };
        let moved = before.mac.zip(link.mac).filter(|(old, new)| before.index == link.index && old != new);
        let holds = |net: &IpNet| {
            let device = self.config.device_of(net);
            *self.config.wire_of(net) == link.name && self.config.mac_of(device).is_none()
        };
        let Some((old, new)) = moved.filter(|_| self.leads() && self.config.held_addresses().any(holds)) else {
            return;
        };
        let name = &link.name;
        self.note(now, format!("the link-layer address of {name}, {old} until now, is {new}: it is announced"), out);
        self.announcer.start(now);
        self.announce_if_due(now, out);
    }
}
