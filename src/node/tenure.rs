//! What a master keeps of its addresses: the lease, its renewal, and what happens to it behind our back.
//!
//! The lease is renewed only after an advertisement was sent (R9). Whoever did not send for longer than the lease may have
//! lost the addresses without noticing (R10).

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use ipnet::IpNet;

use crate::{config::Planned, words::Instant};

/// This many deletions …
const DELETIONS_MAX: usize = 5;
/// … within this time mean that somebody does not want the address here (R11).
const DELETIONS_WITHIN: Duration = Duration::from_secs(60);
/// How long this node then stays away.
const VANISHING_PAUSE: Duration = Duration::from_secs(60);
/// How long this node stays away after it could not send or hold.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Tenure {
    planned: Planned,
    sent_at: Option<Instant>,
    /// What was to be sent since has not left: there was no carrier.
    unsent: bool,
    /// What was to be sent last was refused.
    refused: bool,
    renewed_at: Option<Instant>,
    /// Somebody deleted what the next advertisement puts back.
    deleted: bool,
    /// Held addresses that the kernel was seen to have.
    present: BTreeSet<IpNet>,
    /// Somebody deleted them, and they are left gone.
    left_gone: BTreeSet<IpNet>,
    deletions: VecDeque<Instant>,
    trouble: Option<Trouble>,
}

/// Why this node stays away for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) name: &'static str,
    pub(super) why: String,
    pub(super) until: Instant,
}

/// How late a master woke (R10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    InTime,
    /// The addresses may be gone, nobody can have taken them yet.
    Lapsed,
    /// Somebody may have taken them.
    TooLate,
}

impl Tenure {
    pub(super) const fn new(planned: Planned) -> Self {
        Self {
            planned,
            sent_at: None,
            unsent: false,
            refused: false,
            renewed_at: None,
            deleted: false,
            present: BTreeSet::new(),
            left_gone: BTreeSet::new(),
            deletions: VecDeque::new(),
            trouble: None,
        }
    }

    /// Another length from the next renewal on. Whoever was in time by a longer interval is not late by the shorter one.
    pub(super) fn replan(&mut self, now: Instant, planned: Planned) {
        if planned.patience_of_peer < self.planned.patience_of_peer && self.wake(now) == Wake::InTime {
            self.sent_at = self.sent_at.map(|_| now);
        }
        self.planned = planned;
    }

    pub(super) const fn planned(&self) -> &Planned {
        &self.planned
    }

    /// The addresses are about to be held (anew).
    pub(super) fn begin(&mut self, now: Instant) {
        self.renewed_at = Some(now);
        self.sent_at = self.sent_at.or(Some(now));
        self.present.clear();
        self.left_gone.clear();
    }

    /// The addresses are let go.
    pub(super) fn end(&mut self) {
        self.deleted = false;
        self.renewed_at = None;
        self.sent_at = None;
        self.present.clear();
        self.left_gone.clear();
    }

    /// The next advertisement renews, however short the last renewal is ago.
    pub(super) fn renew_soon(&mut self) {
        self.renewed_at = self.renewed_at.map(|_| Instant::ZERO);
    }

    /// The next advertisement puts back what somebody deleted.
    pub(super) const fn put_back_soon(&mut self) {
        self.deleted = true;
    }

    /// Whether it is to do so; asked once.
    pub(super) const fn is_to_be_put_back(&mut self) -> bool {
        std::mem::replace(&mut self.deleted, false)
    }

    /// An advertisement left. Returns whether the lease is to be renewed now.
    pub(super) fn sent(&mut self, now: Instant) -> bool {
        self.sent_at = Some(now);
        (self.unsent, self.refused) = (false, false);
        let due = |every: Duration| self.renewed_at.is_some_and(|at| at + every <= now);
        self.planned.renew_every().is_some_and(due)
    }

    /// When the kernel lets go of the addresses at the latest, unless the lease is renewed.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        let renewed_at = self.renewed_at.filter(|_| self.planned.length.is_some())?;
        Some(renewed_at + self.planned.bound_end)
    }

    /// The lease has not been renewed for longer than it is.
    pub(super) fn has_run_out(&self, now: Instant) -> bool {
        self.renewed_at.zip(self.planned.length).is_some_and(|(at, length)| at + length <= now)
    }

    pub(super) const fn renewed(&mut self, now: Instant) {
        self.renewed_at = Some(now);
    }

    /// What was to be sent has not left the machine, which is no trouble yet.
    pub(super) const fn not_left(&mut self) {
        self.unsent = true;
    }

    /// So it was with the last one.
    pub(super) const fn is_unsent(&self) -> bool {
        self.unsent
    }

    /// The system would not send it, which is no trouble before the lease has run out.
    pub(super) const fn not_sent(&mut self) {
        self.refused = true;
    }

    /// Nobody has heard what was to be said last.
    pub(super) const fn is_unheard(&self) -> bool {
        self.unsent || self.refused
    }

    /// Nobody has heard it for as long as the peer waits: who advertises now may have taken the address, although the lease runs.
    pub(super) fn may_be_replaced(&self, now: Instant) -> bool {
        let silence = self.sent_at.map(|at| now.saturating_since(at));
        self.is_unheard() && silence.is_some_and(|silence| silence >= self.planned.patience_of_peer)
    }

    /// Since when the lease has run out because nothing has left, or when it will; `None` while what is sent leaves.
    pub(super) fn lapses_at(&self) -> Option<Instant> {
        let length = self.planned.length.filter(|_| self.unsent && self.renewed_at.is_some())?;
        self.sent_at.map(|at| at + length)
    }

    /// When an advertisement left last, as long as it serves.
    pub(super) const fn last_sent(&self) -> Option<Instant> {
        self.sent_at
    }

    /// After so long a silence nobody else can have taken the addresses, and the kernel has not let go of them.
    pub(super) fn outlasts(&self, silence: Duration) -> bool {
        silence < self.planned.length.unwrap_or(self.planned.patience_of_peer)
    }

    /// How late it is, for a router that serves. One that holds nothing yet has no lease to lose.
    pub(super) fn wake(&self, now: Instant) -> Wake {
        let Some(sent_at) = self.sent_at else { return Wake::InTime };
        let silence = now.saturating_since(sent_at);
        let lease = self.planned.length.filter(|_| self.renewed_at.is_some());
        // Nobody waits longer than the peer does, whatever the lease is.
        let patience = self.planned.patience_of_peer;
        let length = lease.unwrap_or(patience);
        match () {
            () if silence < length => Wake::InTime,
            () if silence < patience => Wake::Lapsed,
            () => Wake::TooLate,
        }
    }

    /// Compares what the kernel has with what is held; returns the addresses that somebody deleted.
    pub(super) fn missing(&mut self, held: &[IpNet], kernel: &[IpNet]) -> Vec<IpNet> {
        let (here, gone): (Vec<IpNet>, Vec<IpNet>) = held.iter().partition(|address| kernel.contains(address));
        let gone: Vec<IpNet> = gone.into_iter().filter(|address| self.present.remove(address)).collect();
        self.present.extend(here);
        gone
    }

    /// Somebody deleted it, and it is not put back before it is held anew.
    pub(super) fn leave_gone(&mut self, address: IpNet) {
        self.left_gone.insert(address);
    }

    pub(super) fn is_left_gone(&self, address: &IpNet) -> bool {
        self.left_gone.contains(address)
    }

    /// Somebody deleted an address; returns whether it has become too much.
    pub(super) fn deleted(&mut self, now: Instant) -> bool {
        self.deletions.push_back(now);
        while self.deletions.front().is_some_and(|at| *at + DELETIONS_WITHIN < now) {
            self.deletions.pop_front();
        }
        let too_often = self.deletions.len() >= DELETIONS_MAX;
        if too_often {
            self.deletions.clear();
            self.stay_away(
                "address_vanishes",
                "the address keeps vanishing: something on this machine deletes it".into(),
                now + VANISHING_PAUSE,
            );
        }
        too_often
    }

    pub(super) fn cannot(&mut self, now: Instant, name: &'static str, why: String) {
        self.stay_away(name, why, now + TROUBLE_PAUSE);
    }

    fn stay_away(&mut self, name: &'static str, why: String, until: Instant) {
        self.trouble = Some(Trouble { name, why, until });
    }

    /// Why this node must stay away now.
    pub(super) fn trouble(&self, now: Instant) -> Option<&Trouble> {
        self.trouble.as_ref().filter(|trouble| now < trouble.until)
    }

    /// When that ends; nothing once it has ended.
    pub(super) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        self.trouble(now).map(|trouble| trouble.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn two_seconds() -> Tenure {
        let planned = Planned {
            length: Some(Duration::from_secs(2)),
            bound_end: Duration::from_millis(3020),
            overlap: Duration::ZERO,
            gate: None,
            earliest_takeover_by_peer: Duration::from_millis(3613),
            patience_of_peer: Duration::from_secs(3),
        };
        Tenure::new(planned)
    }

    #[test]
    fn r9_renewed_after_a_sent_advertisement_at_most_every_half_second() {
        let mut tenure = two_seconds();
        tenure.begin(at(0));
        assert!(!tenure.sent(at(499)));
        assert!(tenure.sent(at(500)));
        tenure.renewed(at(500));
        assert!(!tenure.sent(at(999)));
    }

    #[test]
    fn r10_the_silence_says_how_late_it_is() {
        let mut tenure = two_seconds();
        tenure.begin(at(0));
        tenure.sent(at(1000));
        assert_eq!(tenure.wake(at(2999)), Wake::InTime);
        assert_eq!(tenure.wake(at(3000)), Wake::Lapsed);
        assert_eq!(tenure.wake(at(3999)), Wake::Lapsed);
        assert_eq!(tenure.wake(at(4000)), Wake::TooLate);
        tenure.end();
        assert_eq!(tenure.wake(at(9000)), Wake::InTime);
    }

    #[test]
    fn r11_only_an_address_that_was_there_can_be_deleted() {
        let mut tenure = two_seconds();
        let address: IpNet = "192.168.0.60/24".parse().unwrap();
        tenure.begin(at(0));
        assert!(tenure.missing(&[address], &[]).is_empty());
        assert!(tenure.missing(&[address], &[address]).is_empty());
        assert_eq!(tenure.missing(&[address], &[]), [address]);
        assert!(tenure.missing(&[address], &[]).is_empty());
    }

    #[test]
    fn r11_five_deletions_within_a_minute_are_too_many() {
        let mut tenure = two_seconds();
        for second in [0, 20, 40, 61, 81, 82] {
            assert!(!tenure.deleted(at(second * 1000)), "never five within a minute: {second}");
        }
        assert!(tenure.deleted(at(83_000)));
        assert!(tenure.trouble(at(84_000)).is_some());
        assert!(tenure.trouble(at(200_000)).is_none());
    }
}
