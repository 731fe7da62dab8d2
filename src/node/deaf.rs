//! A lower router goes on advertising to a master: it does not hear that it lost (R19a). Whether the address is left to it.
//!
//! That is for a peer that has the address as well. Whoever is none of the configured peers is defended against (R19d), and
//! whoever does not serve our addresses takes no client from us. A machine that answers nothing at all may be deaf to everybody,
//! and then serves nobody, or to this node alone: `prefer` decides (R25).

use std::{net::IpAddr, time::Duration};

use super::{
    instance::{Instance, Outbox},
    paths::Way,
};
use crate::{
    config::Preference,
    vrrp::{Event, Reason},
    wire::{Advertisement, Priority},
    words::Instant,
};

impl Instance {
    /// It bids less than this node does, and does not resign.
    pub(super) fn is_lower(&self, adv: &Advertisement, wins_tie: bool) -> bool {
        let ours = self.router.standing().priority();
        adv.priority.is_some() && (adv.priority < ours || (adv.priority == ours && !wins_tie))
    }

    /// A master that a lower router goes on contradicting is not heard by it: the address would stay on both (R19a).
    pub(super) fn mind_the_deaf(
        &mut self,
        now: Instant,
        way: Way,
        source: IpAddr,
        adv: &Advertisement,
        out: &mut Outbox,
    ) {
        if !self.leads() {
            return;
        }
        let theirs = adv.priority.map_or(0, Priority::get);
        self.report(now, crate::node::Event::LowerHeard { source, priority: theirs }, out);
        if self.peers.is_stranger(source) {
            return;
        }
        self.rivals.lower_spoke(now);
        // What it answers shows that it can be reached, and where it is.
        let asks = way == Way::Primary && self.is_neighbour(source);
        if asks {
            out.push_back(self.ask(source, self.primary(), None));
        }
        if self.serves_none_of_ours(adv) {
            // It is a second holder if its machine says so.
            if let Some(mac) = self.peers.mac_of(source)
                && !self.rivals.is_in_doubt(now)
            {
                self.rivals.doubt(now, mac);
            }
            return;
        }
        let demands = asks && self.config.prefer == Preference::Availability;
        let hears = |since| !demands || self.peers.has_replied_since(source, since);
        match self.rivals.lower_heard(now, adv.interval.as_duration(), hears) {
            Some(pause) => self.yield_to_the_deaf(now, source, pause, out),
            None => {
                if let Some(mac) = self.peers.mac_of(source) {
                    self.rivals.doubt(now, mac);
                }
            }
        }
    }

    /// It says itself that it does not hold what this node holds.
    fn serves_none_of_ours(&self, adv: &Advertisement) -> bool {
        let ours = self.virtual_addresses();
        !adv.addresses.is_empty() && !adv.addresses.iter().any(|address| ours.contains(address))
    }

    /// The link is asked for it, for it is in a network of the interface.
    fn is_neighbour(&self, address: IpAddr) -> bool {
        self.seen().iter().any(|seen| seen.address.contains(&address))
    }

    /// It does not hear that it lost.
    pub(super) fn yield_to_the_deaf(&mut self, now: Instant, source: IpAddr, pause: Duration, out: &mut Outbox) {
        self.master = Some(source);
        self.router.defer_preemption(now + pause);
        let text = format!(
            "{source} goes on as master although this node advertises a higher priority: it does not hear us, or does not \
             understand us. This node lets it have the address and tries again in {} s. Look at multicast, filters and \
             switches in the direction from here to there, and compare the two configurations",
            pause.as_secs()
        );
        self.condition_until(now + pause, "peer_deaf", text, now, out);
        self.step(now, Event::Yield(Reason::PeerDeaf), out);
    }
}
