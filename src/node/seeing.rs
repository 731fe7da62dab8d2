//! What an instance is told of its own machine: the link, the addresses the kernel has, and what became of its sends and
//! writes.

use ipnet::IpNet;

use super::{
    AddressSeen, LinkSeen,
    instance::{Instance, Outbox},
    tenure::Wake,
};
use crate::{
    vrrp::{Event, State},
    words::Instant,
};

impl Instance {
    /// The interface is now like this, or gone.
    pub(super) fn on_link(&mut self, now: Instant, link: Option<LinkSeen>, out: &mut Outbox) {
        let carries = |link: &Option<LinkSeen>| link.as_ref().is_some_and(LinkSeen::hears);
        let same_device = self.link.as_ref().map(|link| link.index) == link.as_ref().map(|link| link.index);
        if !same_device {
            self.addresses = None;
        }
        if !carries(&link) || !same_device {
            self.carrier_since = None;
            self.foreign_frame = false;
        }
        if carries(&link) && self.carrier_since.is_none() {
            self.carrier_since = Some(now);
        }
        let carries = carries(&link);
        let before = std::mem::replace(&mut self.link, link.clone());
        self.mind_own_link(now, carries, out);
        self.reassess(now, out);
        self.mind_moved(now, before.as_ref(), link.as_ref(), out);
    }

    /// The interface has exactly these addresses now.
    pub(super) fn on_addresses(&mut self, now: Instant, addresses: Vec<AddressSeen>, out: &mut Outbox) {
        let knew_all = self.knows_all_places();
        self.addresses = Some(addresses);
        self.mind_own_peers(now, out);
        self.look_again(now, knew_all, out);
    }

    /// The addresses that are there have changed.
    pub(super) fn look_again(&mut self, now: Instant, knew_all: bool, out: &mut Outbox) {
        self.native = self.addresses_are_native();
        if !knew_all && self.knows_all_places() {
            self.take_stock(now, out);
        }
        if self.router.holds() {
            self.mind_deletions(now, out);
        }
        self.reassess(now, out);
        self.mind_strays(now, out);
    }

    /// Its device, or its interface, is not there: nothing is known of its addresses.
    pub(super) fn on_device_gone(&mut self, now: Instant, out: &mut Outbox) {
        if self.addresses.take().is_some() {
            self.reassess(now, out);
        }
    }

    /// What it needs beside its interface is there, or is not.
    pub(super) fn on_equipped(&mut self, now: Instant, result: Result<(), String>, out: &mut Outbox) {
        if self.equipped.as_ref() != Some(&result) {
            self.equipped = Some(result);
            // At start it comes first: what is not known yet is not missing.
            if self.link.is_some() {
                self.reassess(now, out);
            }
        }
    }

    /// Why it cannot be without it.
    pub(super) fn unequipped(&self) -> Option<String> {
        match &self.equipped {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(why.clone()),
            None => Some("what it needs beside its interface is being set up".to_owned()),
        }
    }

    /// Virtual addresses that are here at start (R13): a predecessor's whose lease runs is taken over with its role,
    /// anything else is let go.
    fn take_stock(&mut self, now: Instant, out: &mut Outbox) {
        let left = self.seen_in_place();
        if left.is_empty() || self.native || self.router.serves() {
            self.adopts = false;
            if !self.router.serves() {
                self.drop_routes(out);
            }
            return;
        }
        let all_here = left.len() == self.config.held_addresses().count();
        let leased =
            left.iter().all(|seen| seen.marked && seen.remaining.is_some_and(|remaining| !remaining.is_zero()));
        let usable = self.could_go_on();
        // What is seen later may be as old as the interface's last change.
        let adopts = std::mem::replace(&mut self.adopts, false);
        let quiet = self.quiet_until.is_some_and(|until| now < until);
        if adopts && all_here && leased && usable && !quiet && self.master.is_none() {
            if self.adopts_by_witness(now) || self.adopts_later(now) {
                return;
            }
            return self.adopt(now, out);
        }
        self.let_go_what_was_left(now, out);
    }

    /// Its interfaces are as they must be for going on with what is here.
    pub(super) fn could_go_on(&self) -> bool {
        self.link.as_ref().is_some_and(LinkSeen::hears)
            && self.primary().is_some()
            && self.device_waited_for().is_none()
    }

    pub(super) fn adopt(&mut self, now: Instant, out: &mut Outbox) {
        let text = "the addresses are still here under this program's running lease: going on as master";
        self.note(now, text.to_owned(), out);
        self.last_fit = Some(self.config.priority);
        self.reassess(now, out);
        self.step(now, Event::Adopt, out);
    }

    pub(super) fn let_go_what_was_left(&mut self, now: Instant, out: &mut Outbox) {
        let names = self.held().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.note(
            now,
            format!("{names} was on {} at start and is let go: who serves is decided now", self.config.device()),
            out,
        );
        self.strays.let_go(now);
        self.release(out);
    }

    /// Somebody deleted what we hold (R11): put back at once, unless it is our own lapse. What is put back is a lease like any
    /// other: it follows an advertisement (R9).
    fn mind_deletions(&mut self, now: Instant, out: &mut Outbox) {
        if self.native {
            return;
        }
        let (kernel, held) = (self.held(), self.config.all_addresses());
        let mut gone = self.tenure.missing(&held, &kernel);
        // What is not to be held now goes with its lease, and so does what was not renewed because the witness does not vouch for it.
        let unrenewed = self.config.witness.is_some() && self.tenure.has_run_out(now);
        gone.retain(|net| !unrenewed && self.serves_on(self.config.device_of(net)));
        self.leave_gone(now, &mut gone, out);
        if gone.is_empty() || self.tenure.wake(now) != Wake::InTime {
            return self.name_lapse(now, out);
        }
        let names = gone.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if self.tenure.deleted(now) {
            return;
        }
        self.note(now, format!("somebody deleted {names} from {}: it is put back", self.config.interface), out);
        if self.leads() && self.tenure.planned().length.is_some() {
            self.tenure.put_back_soon();
            let priority = self.router.standing().priority();
            return self.transmit(now, priority, out);
        }
        self.hold_and_announce(now, out);
    }

    /// What is not tracked is not put back.
    fn leave_gone(&mut self, now: Instant, gone: &mut Vec<IpNet>, out: &mut Outbox) {
        if self.tenure.wake(now) != Wake::InTime {
            return;
        }
        for net in gone.extract_if(.., |net| self.config.is_untracked(net)) {
            self.tenure.leave_gone(net);
            let device = self.config.device_of(&net);
            let text = format!("somebody deleted {net} from {device}: it stays gone, for it is not tracked");
            out.push_back(super::Output::Report(super::Journal {
                at: now,
                instance: self.config.name.clone(),
                event: super::Event::Note(text),
            }));
        }
    }

    fn hold_and_announce(&mut self, now: Instant, out: &mut Outbox) {
        if self.hold(now, out) {
            self.announcer.start(now);
            self.announce_if_due(now, out);
        } else {
            self.tenure.put_back_soon();
        }
    }

    /// An advertisement was sent, or could not be.
    pub(super) fn on_transmitted(
        &mut self,
        now: Instant,
        result: Result<(), String>,
        carrier: Option<bool>,
        out: &mut Outbox,
    ) {
        if carrier == Some(false) && !self.config.track_own_interface {
            return self.on_unheard(now, out);
        }
        self.own_way_took(&result);
        if result.is_ok() {
            self.on_heard(now, out);
        } else if !self.paths.sent(now) {
            self.tenure.not_sent();
        }
        match result {
            Ok(()) => {
                self.counters.sent += 1;
                if self.router.serves() {
                    self.renew(now, out);
                }
            }
            // A failed send renews nothing, and lets nobody begin; once the lease has run out on failures this node is none to serve.
            // One that left on a path has renewed the lease (R9).
            Err(_) if self.paths.sent(now) => (),
            Err(why) if self.router.serves() && self.cannot_go_on(now) => {
                self.cannot_send(now, format!("advertisements cannot be sent: {why}"), out);
            }
            Err(_) => self.stay_to_hand_over(now, out),
        }
        if carrier == Some(false)
            && let Some(link) = self.link.clone().filter(|link| link.carrier)
        {
            self.on_link(now, Some(LinkSeen { carrier: false, ..link }), out);
        }
    }

    /// Its advertisements do not leave: it stays away. Who has adopted what was here has not held it itself yet, and leaves nothing (R13).
    pub(super) fn cannot_send(&mut self, now: Instant, why: String, out: &mut Outbox) {
        let adopted = !self.router.holds() && !self.native && !self.seen_in_place().is_empty();
        self.tenure.cannot(now, "cannot_send", why);
        self.reassess(now, out);
        if adopted && !self.router.serves() {
            self.strays.let_go(now);
            self.release(out);
        }
    }

    /// The link carries again what was lost for a moment: the others have waited for an advertisement.
    pub(super) fn is_heard_again(&mut self, now: Instant, out: &mut Outbox) {
        if self.leads() {
            let priority = self.router.standing().priority();
            self.transmit(now, priority, out);
        }
    }

    /// An advertisement left, so the lease goes on. If it may have run out meanwhile, everybody must be told (R10).
    pub(super) fn renew(&mut self, now: Instant, out: &mut Outbox) {
        let woke = self.tenure.wake(now);
        let due = self.tenure.sent(now);
        if !self.router.holds() {
            return;
        }
        if self.tenure.is_to_be_put_back() {
            self.hold_and_announce(now, out);
        } else if due {
            // What the witness did not vouch for in time may have lapsed, however regularly this node advertised.
            let lapsed = woke == Wake::InTime && self.tenure.has_run_out(now);
            if self.hold(now, out) && lapsed {
                self.announcer.start(now);
                self.announce_if_due(now, out);
            }
        }
        if woke != Wake::InTime {
            self.counters.lease_lapsed += 1;
            self.announcer.start(now);
            self.announce_if_due(now, out);
            let text =
                "this process woke late, or what it sent did not leave: the address may have lapsed and is held again"
                    .to_owned();
            self.note(now, text, out);
        }
    }

    /// It has just become master, or has not sent for a lease.
    fn cannot_go_on(&self, now: Instant) -> bool {
        self.begins(now) || self.tenure.wake(now) != Wake::InTime
    }

    /// It has just become master, and holds nothing yet.
    pub(super) fn begins(&self, now: Instant) -> bool {
        self.since() == now || matches!(self.router.state(), State::Master { hold_at: Some(_), .. })
    }

    /// The kernel took the addresses, or did not.
    pub(super) fn on_held(&mut self, now: Instant, result: Result<(), String>, out: &mut Outbox) {
        let Err(why) = result else { return };
        if !self.router.holds() {
            return self.note(
                now,
                format!("the addresses could not be removed from {}: {why}", self.config.interface),
                out,
            );
        }
        // A renewal that fails is repeated after the next advertisement; a first hold that fails leaves nothing to serve.
        let fresh = now.saturating_since(self.since()) < self.interval();
        if fresh {
            self.tenure.cannot(
                now,
                "cannot_hold",
                format!("the addresses cannot be set on {}: {why}", self.config.interface),
            );
            self.reassess(now, out);
        } else {
            self.note(
                now,
                format!("the addresses could not be renewed: {why}; tried again after the next advertisement"),
                out,
            );
        }
    }
}
