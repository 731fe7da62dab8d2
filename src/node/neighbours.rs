//! The other machines on the link. They tell a node that hears nobody from a link on which nobody is left.
//!
//! A backup whose master falls silent asks for the address, and takes it where nobody answers (R4). One that hears nothing at
//! all (a filter, a driver, a switch port that only sends) hears no answer either, and would take the address to where nobody
//! reaches it. So silence counts only where something was heard since the master was: whoever was on the link lately, and is
//! no peer, is asked together with the address. Where nobody else ever was, silence is all that there can be.

use std::{collections::VecDeque, net::IpAddr, time::Duration};

use super::{
    claim::spacing,
    instance::{Instance, Outbox},
};
use crate::{
    config::Preference,
    vrrp::State,
    words::{Family, Instant, MacAddr},
};

/// The condition of a node that hears nobody.
pub(super) const CONDITION: &str = "hears_nothing";
/// So many are remembered.
const REMEMBERED: usize = 8;
/// So many are asked, the last heard first.
const ASKED: usize = 3;
/// Whoever was not heard for longer before the silence may have left as well.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// The last heard first.
    known: VecDeque<Neighbour>,
    /// When anything was heard last.
    heard_at: Option<Instant>,
    /// It waits for anybody. What was asked meanwhile may not have been answered for the same reason.
    pub(super) waits: bool,
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    address: IpAddr,
    mac: MacAddr,
    at: Instant,
}

impl Neighbours {
    /// Somebody else was heard, whoever it was.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = Some(now);
    }

    /// A machine with this address is there.
    pub(super) fn seen(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        self.known.retain(|known| known.address != address);
        self.known.truncate(REMEMBERED - 1);
        self.known.push_front(Neighbour { address, mac, at: now });
    }

    fn is_silent_since(&self, moment: Instant) -> bool {
        self.heard_at.is_none_or(|at| at <= moment)
    }
}

impl Instance {
    /// A frame says that `address` is at `mac`. What the virtual router has is nobody's.
    pub(super) fn meet(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        if Family::of(address) == self.config.family && !self.is_virtual(address) && !address.is_unspecified() {
            self.neighbours.seen(now, address, mac);
        }
    }

    /// Since when somebody is missed: when the next word of a master that was heard was due. Whoever answered right after its last
    /// one was heard while it was.
    fn silence_began(&self) -> Option<Instant> {
        let began = match self.router.state() {
            State::Elected { since, .. } => self.silent_since.unwrap_or(since) - self.down_interval(),
            State::Backup { down_at, .. } => down_at - self.down_interval(),
            State::Initialize | State::Master { .. } | State::Resigning { .. } => return None,
        };
        Some(self.alive_heard_at?.max(began) + self.master_interval().as_duration())
    }

    /// Who was here before the silence and is no machine of the virtual router.
    fn bystanders(&self, began: Instant) -> impl Iterator<Item = IpAddr> {
        let lately = move |known: &&Neighbour| began <= known.at + REMEMBERED_FOR;
        let apart = |known: &&Neighbour| !self.peers.knows(known.address) && self.peers.at_mac(known.mac).is_none();
        self.neighbours.known.iter().filter(lately).filter(apart).map(|known| known.address)
    }

    /// Asks whoever was there, so that the silence of the master is not only silence.
    pub(super) fn ask_bystanders(&self, out: &mut Outbox) {
        let Some(began) = self.silence_began().filter(|began| self.neighbours.is_silent_since(*began)) else { return };
        let asks = self.bystanders(began).take(ASKED).map(|address| self.ask(address, self.primary(), None));
        out.extend(asks.collect::<Vec<_>>());
    }

    /// Why the silence may be this node's own, as the end of a sentence; `None` if it hears somebody, if nobody else was there,
    /// or if it is to take the address all the same (R25).
    pub(super) fn hears_nothing(&mut self, now: Instant, out: &mut Outbox) -> Option<String> {
        let began = self.silence_began().filter(|began| self.neighbours.is_silent_since(*began));
        let missing = began.map_or(0, |began| self.bystanders(began).count());
        let since = self.silent_since.unwrap_or(now);
        let enough = self.config.prefer == Preference::Availability && since + self.config.link_settle <= now;
        if missing == 0 || enough || self.is_unheard() {
            self.neighbours.waits = false;
            self.condition(now, CONDITION, None, out);
            return None;
        }
        self.neighbours.waits = true;
        // A moment of asking is nothing to speak of.
        if since + spacing(self.down_interval()) * 2 <= now {
            let does = match self.config.prefer {
                Preference::Safety => "until it hears anybody",
                Preference::Availability => "before it has waited for link_settle",
            };
            let text = format!(
                "nothing at all is heard on {}, neither the master nor any of the {missing} other machines that were there: \
                 it may be this node that does not hear. It does not take the address {does}. Look at its cable, its switch \
                 port and its filters (nft list ruleset, tc filter show)",
                self.config.interface
            );
            self.condition(now, CONDITION, Some(text), out);
        }
        Some("it hears nobody at all, so it may be this node that is cut off".to_owned())
    }
}
