//! What time does to an instance: what is due, and when the next thing is.

use super::{
    Wake,
    instance::{Instance, Outbox},
    peers,
    questions::UNDER_WAY,
    tenure,
};
use crate::{
    vrrp::{Event, Reason, State},
    words::Instant,
};

/// Whether everything that had arrived was handed in before the clock (R29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ears {
    /// Nothing more is waiting.
    Drained,
    /// More packets are waiting: a master may be among their senders, so nobody is declared dead yet.
    Behind,
}

impl Instance {
    /// Fires what is due. Calling it early, or twice, does nothing.
    pub(super) fn on_timeout(&mut self, now: Instant, ears: Ears, out: &mut Outbox) {
        self.let_go_of_routes_at_start(out);
        self.wake(now, out);
        self.mind_the_witness(now, out);
        let patient = ears == Ears::Behind && self.waits_for_backlog(now);
        self.behind_since = if ears == Ears::Behind { self.behind_since.or(Some(now)) } else { None };
        if !patient {
            self.ask_if_due(now, out);
            self.step(now, Event::Timeout, out);
        }
        if self.peers_due().is_some_and(|at| at <= now) {
            if self.asks_when_it_advertises() {
                let priority = self.router.standing().priority();
                self.transmit(now, priority, out);
            } else {
                self.ask_peers(now, out);
            }
        }
        if let Some(mac) = self.rivals.ask_due(now) {
            let asks: Vec<_> =
                self.claimed_addresses().into_iter().map(|address| self.ask(address, None, Some(mac))).collect();
            out.extend(asks);
        }
        self.mind_hearers(now, out);
        self.seen_tracked.settle(now);
        self.reassess(now, out);
        self.mind_paths(now, out);
        self.name_lapse(now, out);
        if patient {
            self.ties.ready = false;
        } else {
            self.settle(now, out);
        }
        self.repace(now, out);
        self.announce_if_due(now, out);
        self.name_peers(now, out);
        if self.strays.next().is_some_and(|at| at <= now) {
            self.mind_strays(now, out);
        }
        self.expire_conditions(now, out);
        self.tell_of_fault_from_the_start(now, out);
    }

    /// A master that wakes so late that somebody may have taken the address (R10). Packets were believed first. If the
    /// lease alone has run out it goes on: the advertisement that is due holds again what lapsed.
    pub(super) fn wake(&mut self, now: Instant, out: &mut Outbox) {
        if self.router.serves() && self.tenure.wake(now) == tenure::Wake::TooLate {
            self.counters.lease_lapsed += 1;
            self.step(now, Event::Yield(Reason::LeaseLapsed), out);
        }
    }

    /// While packets remain unread the down timer does not fire, nor does whoever it elected serve; after one extra down
    /// interval they do.
    fn waits_for_backlog(&self, now: Instant) -> bool {
        match self.router.state() {
            State::Backup { down_at, .. } => now < down_at + self.down_interval(),
            State::Elected { .. } => self.behind_since.is_none_or(|since| now < since + self.down_interval()),
            State::Initialize | State::Master { .. } | State::Resigning { .. } => false,
        }
    }

    /// When the peers are to be asked in a turn that is made anyway. Whoever leads waits a little longer: the question of
    /// a backup, which asks as soon as it has heard the advertisement, shows the backup as well as an answer would.
    fn peers_due(&self) -> Option<Instant> {
        if self.leads() { self.peers_overdue() } else { self.peers_overdue().map(|at| at - peers::ASK_SLACK * 2) }
    }

    /// When a turn is made for the question alone.
    fn peers_overdue(&self) -> Option<Instant> {
        if !self.peers.any_configured() || self.primary().is_none() {
            return None;
        }
        let patience = peers::ASK_INTERVAL + peers::ASK_SLACK;
        if !self.counts_answers() {
            let last = self.peers_asked_at.max(self.peers.all_shown_at());
            return Some(last.map_or(Instant::ZERO, |at| at + patience));
        }
        let Some(asked_at) = self.peers_asked_at else { return Some(Instant::ZERO) };
        let again = asked_at + UNDER_WAY;
        let answered = self.peers.all_replied_at().filter(|_| !self.asks_when_it_advertises());
        Some(answered.map_or(again, |at| again.max(at + patience)))
    }

    /// When something is due, and what.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<(Instant, Wake)> {
        let elected = matches!(self.router.state(), State::Elected { .. });
        let waits = [
            (self.router.next_timeout(), Wake::Protocol),
            (self.next_claim(now), Wake::Claim),
            (self.settles_at().filter(|at| elected && now < *at), Wake::Claim),
            (self.next_look(now), Wake::Claim),
            (Some(now).filter(|_| elected && self.unsettled), Wake::Claim),
            (self.peers_overdue(), Wake::Peers),
            (self.missed_at().filter(|at| now < *at && !self.judgement.is_empty()), Wake::Policies),
            (self.next_offer(), Wake::Policies),
            (self.unsaid_until, Wake::Trouble),
            (self.next_farewell(), Wake::Release),
            (self.judgement.next_change(now, self.config.on_error), Wake::Policies),
            (self.rivals.next_ask(), Wake::Claim),
            (self.next_path(), Wake::Claim),
            (self.next_announcement(), Wake::Announce),
            (self.tenure.next_timeout(now), Wake::Trouble),
            (self.listens_until(), Wake::Trouble),
            (self.strays.next(), Wake::Trouble),
            (self.lapses_at().filter(|at| now < *at), Wake::Trouble),
            (self.quiet_until.filter(|at| now < *at), Wake::Trouble),
            (self.next_of_witness(now), Wake::Witness),
            (self.seen_tracked.next(), Wake::Policies),
            (self.next_expiry(), Wake::Trouble),
        ];
        waits.into_iter().filter_map(|(at, wake)| at.map(|at| (at, wake))).min_by_key(|(at, _)| *at)
    }

    /// When an elected router looks again: an answer is due, or it has waited long enough for certainty.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let State::Elected { since, .. } = self.router.state() else { return None };
        let down = self.down_interval();
        let answer = self.claim.next_look(now, super::claim::spacing(down));
        let patience = Some(self.silent_since.unwrap_or(since) + down).filter(|at| now < *at);
        answer.into_iter().chain(patience).min()
    }
}
