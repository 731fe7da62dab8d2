//! What a witness last said of one virtual router, and how long that counts. Knows time and nothing else.
//!
//! A word of the witness counts from the moment *before* the question was sent: whatever happens to the answer on its way, etcd
//! keeps the lease for longer. Losing it is believed at once, keeping it never.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    config::{Planned, Witnessed},
    words::Instant,
};

/// How long a master whose witness is new (a reload) may wait for its first word.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Who has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seat {
    /// This node.
    Ours,
    /// The node of this name.
    Another(String),
    /// Nobody who could lose it: this key of etcd is there, and on no lease. No node of `ha` has put it there.
    Unleased(String),
    /// Nobody.
    Nobody,
}

/// What became of one round of questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessSays {
    /// The lease goes on for `ttl` from `asked_at`, which is before the first question. `seats`: who has which key then; one
    /// that is not in it is nobody's.
    Answered { asked_at: Instant, ttl: Duration, seats: BTreeMap<String, Seat> },
    /// The lease is dead: nothing is held by it any more.
    Lost { why: String },
    /// No member answered, or none that has a leader; why.
    Silent { why: String },
}

/// The witness of an instance at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessStatus {
    /// When it is decisive: `arbiter` or `strict`.
    pub mode: &'static str,
    /// What it said of this node counts until then.
    pub held_until: Option<Instant>,
    /// The node that has the key, if it is another one.
    pub held_by: Option<String>,
    /// Why it does not answer.
    pub trouble: Option<String>,
}

/// A new master that takes the address from one that is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// It has advertised then.
    pub(super) since: Instant,
    /// It listens for a rival until then in any case.
    pub(super) listens_until: Instant,
    /// From then on the old one has let go, also if it has no key and does not hear this node (`arbiter`).
    pub(super) gone_at: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Vote {
    /// This node's key is held until then.
    held_until: Option<Instant>,
    /// Who had it when the witness last answered.
    seat: Option<Seat>,
    /// Why there was no answer, while there is none.
    silent: Option<String>,
    /// A master goes on without a word until then.
    first_word: Option<Instant>,
    /// It was or wanted to be master without it, and has not had it since.
    pub(super) in_vain: bool,
    /// It would serve if it had it.
    pub(super) campaigns: bool,
    /// So it was a moment ago.
    pub(super) campaigned: bool,
    /// It advertises, and holds once this is so.
    pub(super) waits: Option<Waits>,
    /// The process before this one was master; it goes on once this is known, until then at the latest.
    pub(super) adopts: Option<Instant>,
}

impl Vote {
    /// Takes a word in.
    pub(super) fn hear(&mut self, says: &WitnessSays, key: &str) {
        match says {
            WitnessSays::Answered { asked_at, ttl, seats } => {
                let seat = seats.get(key).cloned().unwrap_or(Seat::Nobody);
                let until = *asked_at + Witnessed::counts(*ttl);
                self.held_until = (seat == Seat::Ours).then(|| self.held_until.map_or(until, |held| held.max(until)));
                self.in_vain &= seat != Seat::Ours;
                self.seat = Some(seat);
                self.silent = None;
                self.first_word = None;
            }
            WitnessSays::Lost { .. } => self.lose(),
            WitnessSays::Silent { why } => {
                self.silent = Some(why.clone());
                self.first_word = None;
            }
        }
    }

    /// Nothing is held any more.
    pub(super) fn lose(&mut self) {
        self.held_until = None;
        self.seat = None;
    }

    /// The witness is new to a node that serves already.
    pub(super) fn is_new(&mut self, now: Instant) {
        *self = Self { first_word: Some(now + FIRST_WORD), ..Self::default() };
    }

    /// Whether an address that is held from now on is gone before the key is another's, whatever becomes of this process.
    pub(super) fn covers(&self, now: Instant, planned: &Planned) -> bool {
        self.held_until.is_some_and(|until| now + planned.bound_end <= until)
    }

    /// The last moment at which the lease of an address may be renewed.
    pub(super) fn renews_until(&self, planned: &Planned) -> Option<Instant> {
        self.held_until.map(|until| until - planned.bound_end)
    }

    /// Until when a master may serve that has this alone: then what it renewed last ends, too.
    pub(super) fn serves_until(&self, planned: &Planned, interval: Duration) -> Instant {
        let lateness = planned.bound_end.saturating_sub(planned.length.unwrap_or(planned.bound_end));
        let held = self.held_until.map_or(Instant::ZERO, |until| until - lateness - interval);
        held.max(self.first_word.unwrap_or(Instant::ZERO))
    }

    /// It is new to a node that served before, and has not said anything yet.
    pub(super) fn awaits_first_word(&self, now: Instant) -> bool {
        self.first_word.is_some_and(|until| now < until)
    }

    /// Nothing is known of it yet, or nobody has it.
    pub(super) const fn is_being_asked(&self) -> bool {
        self.silent.is_none() && matches!(self.seat, None | Some(Seat::Nobody))
    }

    pub(super) const fn seat(&self) -> Option<&Seat> {
        self.seat.as_ref()
    }

    pub(super) fn silent(&self) -> Option<&str> {
        self.silent.as_deref()
    }

    pub(super) const fn held_until(&self) -> Option<Instant> {
        self.held_until
    }

    /// What keeps it from being master, as the end of a sentence.
    pub(super) fn objection(&self) -> String {
        match (&self.silent, &self.seat) {
            (Some(why), _) => format!("the witness does not answer ({why})"),
            (None, Some(Seat::Another(by))) => format!("{by} holds the witness"),
            (None, Some(Seat::Unleased(key))) => format!("{key} of etcd is there without a lease"),
            (None, Some(Seat::Ours)) => "what the witness said of this node is too old".to_owned(),
            (None, Some(Seat::Nobody) | None) => "the witness is being asked".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);
    const INTERVAL: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn two_seconds() -> Planned {
        Planned {
            length: Some(Duration::from_secs(2)),
            bound_end: Duration::from_millis(3020),
            overlap: Duration::ZERO,
            gate: None,
            earliest_takeover_by_peer: Duration::from_millis(3613),
            patience_of_peer: Duration::from_secs(3),
        }
    }

    fn answered(asked_at: u64, seat: Seat) -> WitnessSays {
        WitnessSays::Answered {
            asked_at: at(asked_at),
            ttl: TTL,
            seats: BTreeMap::from([("ipv4-51".to_owned(), seat)]),
        }
    }

    fn told(words: &[WitnessSays]) -> Vote {
        let mut vote = Vote::default();
        words.iter().for_each(|says| vote.hear(says, "ipv4-51"));
        vote
    }

    #[test]
    fn a_word_counts_from_before_the_question_and_a_twentieth_less() {
        let vote = told(&[answered(10_000, Seat::Ours)]);
        assert_eq!(vote.held_until(), Some(at(14_750)));
        // An address of two seconds may stay for 3.02 s.
        assert!(vote.covers(at(11_730), &two_seconds()));
        assert!(!vote.covers(at(11_731), &two_seconds()));
        // The last renewal ends when this does, or an interval before.
        assert_eq!(vote.serves_until(&two_seconds(), INTERVAL), at(12_730));
    }

    #[test]
    fn whatever_was_renewed_in_time_ends_before_the_key_is_anothers() {
        let planned = two_seconds();
        let vote = told(&[answered(10_000, Seat::Ours)]);
        let last = vote.renews_until(&planned).unwrap();
        assert!(last + planned.bound_end <= at(10_000) + TTL);
        let given_up = vote.serves_until(&planned, INTERVAL);
        assert!(last + planned.length.unwrap() - INTERVAL <= given_up, "it serves as long as what it renewed is there");
        assert!(given_up + Duration::from_secs(2) <= at(10_000) + TTL);
    }

    #[test]
    fn silence_takes_nothing_back_and_lengthens_nothing() {
        let vote = told(&[answered(10_000, Seat::Ours), WitnessSays::Silent { why: "no leader".to_owned() }]);
        assert_eq!(vote.held_until(), Some(at(14_750)));
        assert_eq!(vote.objection(), "the witness does not answer (no leader)");
    }

    #[test]
    fn a_dead_lease_a_key_that_is_gone_and_one_of_another_are_believed_at_once() {
        for word in [
            WitnessSays::Lost { why: "expired".to_owned() },
            answered(10_100, Seat::Nobody),
            answered(10_100, Seat::Another("K2".to_owned())),
            answered(10_100, Seat::Unleased("ha/web/ipv4-51".to_owned())),
        ] {
            let vote = told(&[answered(10_000, Seat::Ours), word.clone()]);
            assert_eq!(vote.held_until(), None, "{word:?}");
            assert_eq!(vote.serves_until(&two_seconds(), INTERVAL), Instant::ZERO, "{word:?}");
        }
    }

    #[test]
    fn an_answer_that_comes_late_takes_nothing_back() {
        let vote = told(&[answered(10_000, Seat::Ours), answered(9_000, Seat::Ours)]);
        assert_eq!(vote.held_until(), Some(at(14_750)));
    }

    #[test]
    fn a_key_that_is_not_in_the_answer_is_nobodys() {
        let mut vote = told(&[answered(10_000, Seat::Ours)]);
        vote.hear(&answered(10_500, Seat::Ours), "ipv4-52");
        assert_eq!(vote.seat(), Some(&Seat::Nobody));
        assert_eq!(vote.held_until(), None);
    }

    #[test]
    fn who_serves_already_when_the_witness_is_new_waits_for_its_first_word_only() {
        let mut vote = Vote::default();
        vote.is_new(at(10_000));
        assert_eq!(vote.serves_until(&two_seconds(), INTERVAL), at(12_000));
        vote.hear(&WitnessSays::Silent { why: "refused".to_owned() }, "ipv4-51");
        assert_eq!(vote.serves_until(&two_seconds(), INTERVAL), Instant::ZERO);
    }
}
