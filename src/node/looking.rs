//! How an instance looks before it takes: the claim (R3-R6), and whether an elected router may serve.

use std::time::Duration;

use ipnet::IpNet;

use super::{
    Pace,
    claim::{Look, spacing},
    course::takes_in_doubt,
    instance::{Instance, Outbox},
    judgement::Opinion,
    watching::{CONFLICT_REMEMBERED, may_be_a_peer, may_be_a_peer_beside, stranger},
};
use crate::{
    config::{Claim as ClaimMode, OnConflict},
    vrrp::{Event, Standing, State},
    wire::Priority,
    words::{Family, Instant, InterfaceName, MacAddr},
};

/// Whether a takeover may go on.
enum Leave {
    Granted,
    /// Not yet, and why.
    Wait(String),
}

impl Instance {
    /// Decides whether an elected router may serve. Only when time is up, never in the middle of what is heard.
    pub(super) fn settle(&mut self, now: Instant, out: &mut Outbox) {
        self.unsettled = false;
        self.ties.ready = false;
        let State::Elected { since, .. } = self.router.state() else {
            if !matches!(self.router.state(), State::Backup { .. }) {
                self.silent_since = None;
            }
            if self.silent_since.is_none() {
                for ended in ["elected", "conflict", "no_master_seen"] {
                    self.condition(now, ended, None, out);
                }
            }
            return;
        };
        let since = *self.silent_since.get_or_insert(since);
        self.vote.campaigned = std::mem::take(&mut self.vote.campaigns);
        let leave = match self.router.standing() {
            Standing::Fit(_) => self.leave(now, out),
            Standing::Barred(_) if self.takes_in_doubt(now) => {
                self.last_fit = Some(Priority::LOWEST);
                self.step(now, Event::Standing(Standing::Fit(Priority::LOWEST)), out);
                self.leave(now, out)
            }
            Standing::Barred(_) | Standing::Fault => Leave::Wait("its policies do not let it".to_owned()),
        };
        self.miss_a_master(now, since, out);
        match leave {
            Leave::Granted => {
                self.condition(now, "elected", None, out);
                self.condition(now, "conflict", None, out);
                // One of a group takes nothing before all may.
                if self.ties.is_bound() {
                    self.ties.ready = true;
                } else {
                    self.promote(now, out);
                }
            }
            // A moment of asking is nothing to speak of.
            Leave::Wait(_) if now < since + spacing(self.down_interval()) * 2 => (),
            Leave::Wait(why) => {
                let how = if self.lower_master_heard(now) { "has a lower priority" } else { "is silent" };
                let text = format!("the master {how}, and this node does not take over yet: {why}");
                self.condition(now, "elected", Some(text), out);
            }
        }
    }

    /// Nothing stands against it: it serves.
    pub(super) fn promote(&mut self, now: Instant, out: &mut Outbox) {
        let listen = if self.is_granted_by_silence(now) { Duration::ZERO } else { self.listen_time() };
        let listen = self.listens_for_the_witness(now, listen);
        self.step(now, Event::Promote { listen }, out);
    }

    /// Nobody serves, and this node's policy cannot be evaluated: somebody must look (R21).
    fn miss_a_master(&mut self, now: Instant, since: Instant, out: &mut Outbox) {
        let missed = since + self.down_interval() <= now && matches!(self.router.standing(), Standing::Barred(_));
        let text = if let (true, Opinion::Hold { why, .. }) = (missed, self.opinion(now)) {
            Some(format!(
                "no master has been heard for two down intervals, and this node does not take the address because its \
                 policy is on hold: {why}. Repair the policy, or give the address to a node by hand"
            ))
        } else {
            None
        };
        self.condition(now, "no_master_seen", text, out);
    }

    fn leave(&mut self, now: Instant, out: &mut Outbox) -> Leave {
        if self.is_permitted(now) || self.lower_master_heard(now) {
            return self.witness_is_away(now).map_or(Leave::Granted, Leave::Wait);
        }
        if let Leave::Wait(why) = self.look(now, out) {
            self.vote.campaigns = self.vote.campaigned;
            return Leave::Wait(why);
        }
        match self.fresh_health(now) {
            Leave::Wait(why) => Leave::Wait(why),
            Leave::Granted => self.witness_objection(now).map_or(Leave::Granted, Leave::Wait),
        }
    }

    /// Nobody can be in the way: the claim was unanswered, and no peer's machine answers at all.
    fn is_granted_by_silence(&self, now: Instant) -> bool {
        !self.is_permitted(now)
            && !self.lower_master_heard(now)
            && self.peers.all_silent(now, spacing(self.down_interval()) * 3 / 4)
    }

    /// A lower master, heard within the last down interval, did not stop the timer: this is a preemption, nothing to claim (R3).
    pub(super) fn lower_master_heard(&self, now: Instant) -> bool {
        self.lower_heard_at.is_some_and(|at| now < at + self.down_interval())
    }

    fn look(&mut self, now: Instant, out: &mut Outbox) -> Leave {
        if !self.claims() {
            return Leave::Granted;
        }
        if !self.link_has_settled(now) {
            return Leave::Wait("nothing was heard on the link since it came up, it may not forward yet".to_owned());
        }
        let spacing = spacing(self.down_interval());
        let (peers, config) = (&self.peers, &self.config);
        let may_hold = |mac, beside: Option<&InterfaceName>| match beside {
            None => may_be_a_peer(peers, config, mac),
            Some(interface) => may_be_a_peer_beside(peers, config, interface, mac),
        };
        match self.claim.look(now, spacing, may_hold) {
            Look::Wait => Leave::Wait("the link is being asked who has the address".to_owned()),
            Look::Clear => Leave::Granted,
            Look::Unconfirmed(mac) => {
                let text =
                    format!("{mac} answered for the address once and not when it was asked again: nobody has it");
                self.condition_until(now + CONFLICT_REMEMBERED, "claim_unconfirmed", text, now, out);
                Leave::Granted
            }
            Look::Stranger(mac) => {
                if let Some(address) = self.virtual_addresses().first() {
                    let text = stranger(*address, mac);
                    self.condition_until(now + CONFLICT_REMEMBERED, "address_conflict", text, now, out);
                }
                Leave::Granted
            }
            Look::Conflict { mac, since } => self.conflict(now, mac, since, out),
        }
    }

    /// A silent peer still answers for the address (R5, R7).
    fn conflict(&mut self, now: Instant, mac: MacAddr, since: Instant, out: &mut Outbox) -> Leave {
        let who = self.peers.at_mac(mac).map_or_else(|| mac.to_string(), |address| format!("{address} ({mac})"));
        let lapse = self.tenure.planned().bound_end.min(self.down_interval() * 3);
        let (does, steals) = match self.config.on_conflict {
            OnConflict::Hold => ("stays backup until that ends", false),
            OnConflict::Steal if since + lapse <= now => ("takes it and keeps announcing, as configured", true),
            OnConflict::Steal => ("takes it after one lease, as configured", false),
        };
        let text = format!(
            "conflict: {who} still answers for the address, its daemon is silent. This node {does}. Look at the daemon there; \
             if it is dead, remove the address by hand"
        );
        self.condition(now, "conflict", Some(text), out);
        if steals { Leave::Granted } else { Leave::Wait(format!("{who} still answers for the address")) }
    }

    /// The first all-ok evaluation since the silence began (R6).
    fn fresh_health(&self, now: Instant) -> Leave {
        let Some(missed_at) = self.missed_at().filter(|_| !self.judgement.is_empty()) else { return Leave::Granted };
        if self.judgement.fresh(missed_at) {
            return Leave::Granted;
        }
        if self.takes_in_doubt(now) {
            return Leave::Granted;
        }
        Leave::Wait(self.judgement.objection(missed_at))
    }

    /// One more down interval without anybody is waited for certainty; a node that was set up wrongly never takes, nor one
    /// whose policy says that it may not.
    fn takes_in_doubt(&self, now: Instant) -> bool {
        let is_refused = self.judgement.is_incomplete() || self.judgement.forbids_takeover();
        let is_long = self.silent_since.is_some_and(|since| since + self.down_interval() <= now);
        if is_refused || !is_long {
            return false;
        }
        takes_in_doubt(&self.opinion(now), &self.config)
    }

    // ---- The questions ----

    /// Whether this instance looks at all: not if told so, nor where the addresses are not on the link's own networks.
    pub(super) fn claims(&self) -> bool {
        let here = |net: &&IpNet| *self.config.wire_of(net) == self.config.interface;
        match self.config.claim {
            ClaimMode::Off => false,
            ClaimMode::Auto => {
                self.config.addresses.iter().filter(here).all(|net| self.is_on_link(net))
                    || self.config.family == Family::V6
            }
        }
    }

    /// A switch port that does not forward yet is not an empty LAN (R4).
    fn link_has_settled(&self, now: Instant) -> bool {
        self.foreign_frame
            || self.is_unheard()
            || self.carrier_since.is_some_and(|since| since + self.config.link_settle <= now)
    }

    /// When the link settles by itself.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        self.carrier_since.filter(|_| !self.foreign_frame).map(|since| since + self.config.link_settle)
    }

    /// When the next question of the claim is due. A lower master that is heard is preempted, not asked for.
    pub(super) fn next_claim(&self, now: Instant) -> Option<Instant> {
        let down_at = match self.router.state() {
            State::Backup { down_at, .. } => down_at,
            State::Elected { since, .. } => since,
            State::Initialize | State::Master { .. } | State::Resigning { .. } => return None,
        };
        if !self.claims() || self.lower_master_heard(now.max(down_at)) {
            return None;
        }
        let ask_at = self.claim.next_ask(down_at, spacing(self.down_interval()), self.interval());
        // Nobody is asked while the master's leave counts, and whoever has not taken by then is one of several again.
        Some(self.leave_ends(now).map_or(ask_at, |at| at.max(ask_at)))
    }

    /// Asks for every address, and for the peers, whose silence says that there is no rival.
    pub(super) fn ask_if_due(&mut self, now: Instant, out: &mut Outbox) {
        if self.next_claim(now).is_none_or(|at| now < at) {
            return;
        }
        self.claim.asked(now);
        let suspects = self.claim.suspects();
        for address in self.claimed_addresses() {
            out.push_back(self.ask(address, None, None));
            out.extend(suspects.iter().map(|suspect| self.ask(address, None, Some(*suspect))));
        }
        self.ask_peers(now, out);
        let devices: Vec<InterfaceName> = self.config.devices().into_iter().cloned().collect();
        devices.iter().for_each(|device| self.ask_peers_beside(device, out));
    }

    pub(super) fn ask_peers(&mut self, now: Instant, out: &mut Outbox) {
        self.peers_asked_at = Some(now);
        let Some(primary) = self.primary() else { return };
        for (address, mac) in self.peers.to_ask() {
            out.push_back(self.ask(address, Some(primary), mac));
            self.peers.asked(now, address);
        }
    }

    /// Whether the policies are to be evaluated fast: the master is missed.
    pub(super) fn repace(&mut self, now: Instant, out: &mut Outbox) {
        // Whoever could preempt and waits for others of its group misses nobody.
        let preempts = self.ties.ready && self.lower_master_heard(now);
        let missed = !preempts && self.missed_at().is_some_and(|at| at <= now);
        self.set_pace(if missed { Pace::Fast } else { Pace::Normal }, out);
    }
}
