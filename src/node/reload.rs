//! A new configuration as a keyed difference: what did not change is not touched.

use super::{
    instance::{Instance, Outbox, router_config},
    rivals::Rivals,
};
use crate::{
    config::{self, lease_length},
    words::Instant,
};

/// What becomes of a running instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It goes on, role and address untouched.
    Adapt,
    /// It speaks another protocol or sits elsewhere: it stops, and a new one starts.
    Replace,
}

/// Which of the two a new configuration asks for.
pub(super) fn change(old: &config::Instance, new: &config::Instance) -> Change {
    let identity = |instance: &config::Instance| {
        (instance.interface.clone(), instance.vrid, instance.family, instance.protocol.version(), instance.transport)
    };
    if identity(old) == identity(new) { Change::Adapt } else { Change::Replace }
}

impl Instance {
    /// Takes a configuration of the same identity.
    pub(super) fn adapt(&mut self, now: Instant, config: config::Instance, out: &mut Outbox) {
        let old = std::mem::replace(&mut self.config, config);
        if old == self.config {
            return;
        }
        self.router.reconfigure(now, router_config(&self.config));
        self.peers.configure(&self.config.peers);
        self.judgement.configure(&self.config.policies);
        let interval = self.config.advertise.as_duration();
        self.replan(now);
        if old.advertise != self.config.advertise {
            self.rivals = Rivals::new(interval);
        }
        if old.announce_refresh != self.config.announce_refresh {
            self.announcer.set_refresh(now, self.config.announce_refresh, self.leads());
        }
        if self.router.holds() && old.addresses != self.config.addresses {
            self.exchange(now, &old, out);
        }
        self.reassess(now, out);
        self.settle(now, out);
    }

    /// Another list of addresses while holding: the new ones first, then nothing of the old.
    fn exchange(&mut self, now: Instant, old: &config::Instance, out: &mut Outbox) {
        self.tenure.begin(now);
        self.hold(now, out);
        if let Some(super::Output::Hold(hold)) = out.back_mut() {
            hold.configured.extend(old.addresses.iter().filter(|address| !self.config.addresses.contains(address)));
        }
        out.extend(self.transmit(self.router.standing().priority()).map(super::Output::Transmit));
        self.announcer.start(now);
        self.announce_if_due(now, out);
    }

    /// The lease against the peer as it is known now.
    pub(super) fn replan(&mut self, now: Instant) {
        let peer = self.peers.latest_priority().and_then(crate::wire::Priority::new);
        self.tenure.replan(now, lease_length(&self.config, peer), self.config.advertise.as_duration());
    }
}
