//! An instance that is not in fault while its own interface has no carrier (`track_own_interface = false`; keepalived:
//! `dont_track_primary`): where the link leads to the peer alone, or where the addresses are on other interfaces.
//!
//! What it sends meanwhile nobody hears, which is counted. Its addresses on other interfaces go on being held, each lease as
//! if the advertisement had left, for there is nobody on the link whose patience could run out. Those on the link itself
//! nobody reaches: they go with their lease. When the link is back somebody may hold them there, so before it holds them again
//! this node listens, or steps back where they are all it has.

use super::{
    Output, Role,
    instance::{Instance, Outbox},
};
use crate::{
    vrrp::{Event, Reason},
    words::{Instant, InterfaceName, readable},
};

const CONDITION: &str = "own_interface";

/// Whether anybody on the own link hears this instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Hearers {
    /// As far as is known.
    #[default]
    There,
    /// Nobody: there is no carrier. The last advertisement left then.
    Nobody { silent_since: Instant },
    /// There may be, again; until then somebody may hold the addresses there who was elected meanwhile.
    Perhaps { until: Instant },
}

impl Instance {
    /// The link has no carrier, and that is no fault.
    pub(super) fn is_unheard(&self) -> bool {
        !self.config.track_own_interface && matches!(self.hearers, Hearers::Nobody { .. })
    }

    /// Addresses on this interface are held and announced.
    pub(super) fn serves_on(&self, interface: &InterfaceName) -> bool {
        self.hearers == Hearers::There || !self.is_own_link(interface)
    }

    fn is_own_link(&self, interface: &InterfaceName) -> bool {
        *interface == self.config.interface || interface == self.config.device()
    }

    /// The own interface is like this now.
    pub(super) fn mind_own_link(&mut self, now: Instant, carries: bool, out: &mut Outbox) {
        if self.config.track_own_interface || self.link.is_none() {
            // What was said of it before is no longer so; the lease decides what is still held (R10).
            if std::mem::take(&mut self.hearers) != Hearers::There {
                self.condition(now, CONDITION, None, out);
            }
            return;
        }
        match (self.hearers, carries) {
            (Hearers::There | Hearers::Perhaps { .. }, false) => self.lose_hearers(now, out),
            (Hearers::Nobody { silent_since }, true) => self.find_hearers(now, silent_since, true, out),
            (Hearers::Nobody { .. }, false) | (Hearers::There | Hearers::Perhaps { .. }, true) => (),
        }
    }

    /// An advertisement found no carrier: nobody was to hear it, so it counts as if it had left.
    pub(super) fn on_unheard(&mut self, now: Instant, out: &mut Outbox) {
        if !matches!(self.hearers, Hearers::Nobody { .. }) {
            self.lose_hearers(now, out);
        }
        self.counters.unheard += 1;
        self.name_hearers(now, out);
        if self.router.serves() {
            self.renew(now, out);
        }
    }

    /// One has left, before it was known that the link is back: whoever heard it has let go.
    pub(super) fn on_heard(&mut self, now: Instant, out: &mut Outbox) {
        if let Hearers::Nobody { silent_since } = self.hearers {
            self.find_hearers(now, silent_since, false, out);
        }
    }

    fn lose_hearers(&mut self, now: Instant, out: &mut Outbox) {
        // Whoever listened holds nothing there since longer than that.
        let silent_since = match self.hearers {
            Hearers::There => self.tenure.last_sent().unwrap_or(now),
            Hearers::Nobody { silent_since } => silent_since,
            Hearers::Perhaps { .. } => Instant::ZERO,
        };
        self.hearers = Hearers::Nobody { silent_since };
        if self.router.holds() && self.tenure.planned().length.is_none() && !self.native {
            out.extend(self.releases().into_iter().filter(|hold| self.is_own_link(&hold.interface)).map(Output::Hold));
        }
        self.name_hearers(now, out);
    }

    fn find_hearers(&mut self, now: Instant, silent_since: Instant, is_first: bool, out: &mut Outbox) {
        let silence = now.saturating_since(silent_since);
        self.hearers = Hearers::There;
        if self.router.serves() && !self.native && self.tenure.outlasts(silence) {
            self.tenure.renew_soon();
        } else if self.router.serves() && !self.native && self.has_own_addresses() {
            let is_all = self.releases().iter().all(|hold| self.is_own_link(&hold.interface));
            self.hearers = Hearers::Perhaps { until: now + self.down_interval() };
            if is_first && is_all && !self.ties.is_bound() {
                self.step(now, Event::Yield(Reason::LeaseLapsed), out);
            } else {
                self.tenure.renew_soon();
            }
        }
        self.name_hearers(now, out);
        if is_first {
            self.is_heard_again(now, out);
        }
    }

    fn has_own_addresses(&self) -> bool {
        self.releases().iter().any(|hold| self.is_own_link(&hold.interface))
    }

    /// When it has listened long enough.
    pub(super) const fn listens_until(&self) -> Option<Instant> {
        match self.hearers {
            Hearers::Perhaps { until } => Some(until),
            Hearers::There | Hearers::Nobody { .. } => None,
        }
    }

    /// Nobody else held the addresses of the link: they are held again.
    pub(super) fn mind_hearers(&mut self, now: Instant, out: &mut Outbox) {
        if self.listens_until().is_none_or(|until| now < until) {
            return;
        }
        self.hearers = Hearers::There;
        self.name_hearers(now, out);
        if self.leads() {
            self.tenure.put_back_soon();
            let priority = self.router.standing().priority();
            self.transmit(now, priority, out);
        }
    }

    /// It holds nothing any more that somebody else could hold.
    pub(super) fn need_not_listen(&mut self, role: Role) {
        if role != Role::Master && matches!(self.hearers, Hearers::Perhaps { .. }) {
            self.hearers = Hearers::There;
        }
    }

    pub(super) fn name_hearers(&mut self, now: Instant, out: &mut Outbox) {
        let interface = &self.config.interface;
        let text = match self.hearers {
            Hearers::There => None,
            Hearers::Nobody { .. } => Some(format!(
                "interface {interface} has no carrier, or is down: nobody hears this node there ({} advertisements so far). It \
                 goes on all the same (track_own_interface = false); what it holds on {interface} goes with its lease, for \
                 nobody reaches it. Look at the cable and at the machine at its other end",
                self.counters.unheard
            )),
            Hearers::Perhaps { until } => Some(format!(
                "interface {interface} carries again: another node may have taken the address there, so this one listens \
                 for {} before it holds it",
                readable(until.saturating_since(now))
            )),
        };
        self.condition(now, CONDITION, text, out);
    }
}
