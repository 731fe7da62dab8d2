//! Look before you take: who answers for the addresses while the down timer runs out (R3, R4, R5).
//!
//! The questions are asked before the timer fires, so that an undisturbed takeover is not later than the RFC's.

use std::time::Duration;

use crate::words::{Instant, InterfaceName, MacAddr};

/// Questions before the takeover.
const ASKS: u32 = 2;
/// Machines that answer and are told apart, at most.
const WITNESSES_MAX: usize = 8;

/// The look of one silence.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    asks: u32,
    asked_at: Option<Instant>,
    witnesses: Vec<Witness>,
    conflict_since: Option<Instant>,
}

/// A machine that is not this one and answers for one of the addresses.
#[derive(Clone, Debug)]
struct Witness {
    mac: MacAddr,
    /// On another interface than the one on which the peers are heard.
    beside: Option<InterfaceName>,
    asked_again_at: Instant,
    answered_at: Option<Instant>,
}

/// What a witness is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// Asked again, and its time is not over.
    Pending,
    /// It answered once and not when asked again.
    Unconfirmed,
    /// It answers.
    Confirmed,
    /// It answered, and no longer does.
    Gone,
}

/// What the look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Not enough is known yet.
    Wait,
    /// Nobody answers.
    Clear,
    /// Somebody answered once, and not when asked again.
    Unconfirmed(MacAddr),
    /// Somebody answers who cannot be a holder of ours.
    Stranger(MacAddr),
    /// Somebody answers who may be one, for so long already.
    Conflict { mac: MacAddr, since: Instant },
}

/// What an answer may take: less than the time between two questions, so that a question asked a little late does not
/// delay the takeover.
fn answer_time(spacing: Duration) -> Duration {
    spacing * 3 / 4
}

/// The time between two questions.
#[must_use]
pub(super) fn spacing(down_interval: Duration) -> Duration {
    (down_interval / 8).clamp(Duration::from_millis(2), Duration::from_millis(50))
}

impl Claim {
    /// When the next question is due: twice before the down timer fires, then every `interval`.
    pub(super) fn next_ask(&self, down_at: Instant, spacing: Duration, interval: Duration) -> Instant {
        match self.asked_at {
            Some(asked_at) if self.asks >= ASKS => asked_at + interval.max(spacing),
            Some(asked_at) => asked_at + spacing,
            None => down_at - spacing * 2,
        }
    }

    pub(super) const fn asked(&mut self, now: Instant) {
        self.asks = self.asks.saturating_add(1);
        self.asked_at = Some(now);
    }

    /// When an answer that is awaited is due at the latest, if that lies ahead.
    pub(super) fn next_look(&self, now: Instant, spacing: Duration) -> Option<Instant> {
        let again = self.witnesses.iter().filter(|witness| witness.answered_at.is_none());
        let again = again.map(|witness| witness.asked_again_at);
        let due = self.asked_at.into_iter().chain(again).map(|at| at + answer_time(spacing));
        due.filter(|at| now < *at).min()
    }

    pub(super) const fn is_running(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Somebody who may be a holder answered: this is no empty link on which rivals race.
    pub(super) const fn is_contested(&self) -> bool {
        self.conflict_since.is_some()
    }

    /// A foreign machine answered for one of the addresses. Returns whether it is to be asked again, directly.
    pub(super) fn answered(&mut self, now: Instant, mac: MacAddr) -> bool {
        self.heard(now, mac, None)
    }

    /// The same on another interface than the one on which the peers are heard.
    pub(super) fn answered_beside(&mut self, now: Instant, interface: &InterfaceName, mac: MacAddr) -> bool {
        self.heard(now, mac, Some(interface))
    }

    fn heard(&mut self, now: Instant, mac: MacAddr, beside: Option<&InterfaceName>) -> bool {
        let is_it = |witness: &&mut Witness| witness.mac == mac && witness.beside.as_ref() == beside;
        if let Some(witness) = self.witnesses.iter_mut().find(is_it) {
            witness.answered_at = Some(now);
            return false;
        }
        let heard = self.witnesses.len() < WITNESSES_MAX;
        if heard {
            self.witnesses.push(Witness { mac, beside: beside.cloned(), asked_again_at: now, answered_at: None });
        }
        heard
    }

    /// Those that answered, who are asked directly each time.
    pub(super) fn suspects(&self) -> Vec<MacAddr> {
        self.witnesses.iter().map(|witness| witness.mac).collect()
    }

    /// What is known now that the down timer has fired. One that `may_hold` weighs more than any that cannot.
    pub(super) fn look(
        &mut self,
        now: Instant,
        spacing: Duration,
        may_hold: impl Fn(MacAddr, Option<&InterfaceName>) -> bool,
    ) -> Look {
        let Some(asked_at) = self.asked_at.filter(|_| self.asks >= ASKS) else { return Look::Wait };
        let settled = asked_at + answer_time(spacing) <= now;
        let worth = |witness: &Witness| match witness.answered_at {
            None if now < witness.asked_again_at + answer_time(spacing) => Worth::Pending,
            None => Worth::Unconfirmed,
            Some(answered_at) if answered_at < asked_at && settled => Worth::Gone,
            Some(_) => Worth::Confirmed,
        };
        let all = |wanted: Worth| self.witnesses.iter().filter(move |it| worth(it) == wanted);
        let who = |wanted: Worth| all(wanted).map(|it| it.mac);
        let holder = all(Worth::Confirmed).find(|it| may_hold(it.mac, it.beside.as_ref()));
        if let Some(mac) = holder.map(|it| it.mac) {
            let since = *self.conflict_since.get_or_insert(now);
            return Look::Conflict { mac, since };
        }
        if !settled || who(Worth::Pending).next().is_some() {
            return Look::Wait;
        }
        let found = who(Worth::Confirmed).next().map(Look::Stranger);
        let found = found.or_else(|| who(Worth::Unconfirmed).next().map(Look::Unconfirmed));
        self.conflict_since = None;
        found.unwrap_or(Look::Clear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(50);
    const SECOND: Duration = Duration::from_secs(1);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);
    const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 8]);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn asked_twice() -> Claim {
        let mut claim = Claim::default();
        for _ in 0..ASKS {
            let next = claim.next_ask(at(3600), SPACING, SECOND);
            claim.asked(next);
        }
        claim
    }

    /// All of them may be holders.
    fn look(claim: &mut Claim, millis: u64) -> Look {
        claim.look(at(millis), SPACING, |_, _| true)
    }

    #[test]
    fn r4_the_questions_lie_before_the_timer() {
        let mut claim = Claim::default();
        assert_eq!(claim.next_ask(at(3600), SPACING, SECOND), at(3500));
        claim.asked(at(3500));
        assert_eq!(claim.next_ask(at(3600), SPACING, SECOND), at(3550));
        claim.asked(at(3550));
        assert_eq!(claim.next_ask(at(3600), SPACING, SECOND), at(4550));
    }

    #[test]
    fn r4_spacing_is_an_eighth_of_the_down_interval_within_limits() {
        assert_eq!(spacing(Duration::from_secs(3)), Duration::from_millis(50));
        assert_eq!(spacing(Duration::from_millis(320)), Duration::from_millis(40));
        assert_eq!(spacing(Duration::from_millis(8)), Duration::from_millis(2));
    }

    #[test]
    fn an_undisturbed_takeover_is_not_delayed() {
        assert_eq!(look(&mut asked_twice(), 3600), Look::Clear);
    }

    #[test]
    fn without_both_questions_nothing_is_known() {
        let mut claim = Claim::default();
        assert_eq!(look(&mut claim, 3600), Look::Wait);
        claim.asked(at(3600));
        assert_eq!(look(&mut claim, 3700), Look::Wait);
        claim.asked(at(3700));
        assert_eq!(look(&mut claim, 3737), Look::Wait);
        assert_eq!(look(&mut claim, 3738), Look::Clear);
    }

    #[test]
    fn r5_an_answer_that_is_not_repeated_is_unconfirmed() {
        let mut claim = asked_twice();
        assert!(claim.answered(at(3560), OTHER), "ask it again");
        assert_eq!(look(&mut claim, 3597), Look::Wait);
        assert_eq!(look(&mut claim, 3598), Look::Unconfirmed(OTHER));
    }

    #[test]
    fn r5_a_holder_is_found_behind_a_stranger() {
        let peer = |mac, _: Option<&InterfaceName>| mac == OTHER;
        let mut claim = asked_twice();
        for mac in [ROUTER, OTHER] {
            assert!(claim.answered(at(3560), mac), "each is asked again");
        }
        for mac in [OTHER, ROUTER] {
            assert!(!claim.answered(at(3561), mac), "and not for ever");
        }
        assert_eq!(claim.look(at(3600), SPACING, peer), Look::Conflict { mac: OTHER, since: at(3600) });
        claim.asked(at(4600));
        claim.answered(at(4601), ROUTER);
        assert_eq!(claim.look(at(4650), SPACING, peer), Look::Stranger(ROUTER));
    }

    #[test]
    fn a_crowd_of_forged_answers_is_bounded() {
        let mut claim = asked_twice();
        let asked = (0..100).filter(|last| claim.answered(at(3560), MacAddr([2, 9, 0, 0, 0, *last]))).count();
        assert_eq!((asked, claim.suspects().len()), (WITNESSES_MAX, WITNESSES_MAX));
    }

    #[test]
    fn r7_a_confirmed_answer_is_a_conflict_until_it_ends() {
        let mut claim = asked_twice();
        claim.answered(at(3560), OTHER);
        assert!(!claim.answered(at(3561), OTHER));
        assert_eq!(look(&mut claim, 3600), Look::Conflict { mac: OTHER, since: at(3600) });
        claim.asked(at(4600));
        assert_eq!(look(&mut claim, 4601), Look::Conflict { mac: OTHER, since: at(3600) });
        claim.answered(at(4601), OTHER);
        assert_eq!(look(&mut claim, 4645), Look::Conflict { mac: OTHER, since: at(3600) });
        claim.asked(at(5600));
        assert_eq!(look(&mut claim, 5650), Look::Clear);
    }
}
