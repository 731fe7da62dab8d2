//! Look before you take: who answers for the addresses while the down timer runs out (R3, R4, R5).
//!
//! The questions are asked before the timer fires, so that an undisturbed takeover is not later than the RFC's.

use std::time::Duration;

use crate::words::{Instant, MacAddr};

/// Questions before the takeover.
const ASKS: u32 = 2;

/// The look of one silence.
#[derive(Clone, Debug, Default)]
pub(super) struct Claim {
    asks: u32,
    asked_at: Option<Instant>,
    evidence: Option<Evidence>,
    conflict_since: Option<Instant>,
}

/// Somebody who is not this machine answers for one of the addresses.
#[derive(Clone, Copy, Debug)]
struct Evidence {
    mac: MacAddr,
    asked_again_at: Instant,
    answered_at: Option<Instant>,
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
    /// It answers, also when asked again; for so long already.
    Answered { mac: MacAddr, since: Instant },
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
        let again =
            self.evidence.filter(|evidence| evidence.answered_at.is_none()).map(|evidence| evidence.asked_again_at);
        let due = [self.asked_at, again].into_iter().flatten().map(|at| at + answer_time(spacing));
        due.filter(|at| now < *at).min()
    }

    pub(super) const fn is_running(&self) -> bool {
        self.asked_at.is_some()
    }

    /// A foreign machine answered for one of the addresses. Returns whether it is to be asked again, directly.
    pub(super) fn answered(&mut self, now: Instant, mac: MacAddr) -> bool {
        match &mut self.evidence {
            Some(evidence) if evidence.mac == mac => {
                evidence.answered_at = Some(now);
                false
            }
            Some(_) | None => {
                self.evidence = Some(Evidence { mac, asked_again_at: now, answered_at: None });
                true
            }
        }
    }

    /// The one that answered, who is asked directly each time.
    pub(super) fn suspect(&self) -> Option<MacAddr> {
        self.evidence.map(|evidence| evidence.mac)
    }

    /// What is known now that the down timer has fired.
    pub(super) fn look(&mut self, now: Instant, spacing: Duration) -> Look {
        let Some(asked_at) = self.asked_at.filter(|_| self.asks >= ASKS) else { return Look::Wait };
        let settled = asked_at + answer_time(spacing) <= now;
        match self.evidence {
            None if settled => Look::Clear,
            None => Look::Wait,
            Some(Evidence { mac, asked_again_at, answered_at: None }) => {
                if asked_again_at + answer_time(spacing) <= now { Look::Unconfirmed(mac) } else { Look::Wait }
            }
            Some(Evidence { mac, answered_at: Some(answered_at), .. }) => {
                let since = *self.conflict_since.get_or_insert(now);
                let silent_now = answered_at < asked_at && settled;
                if silent_now { Look::Clear } else { Look::Answered { mac, since } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACING: Duration = Duration::from_millis(50);
    const SECOND: Duration = Duration::from_secs(1);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

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
        assert_eq!(asked_twice().look(at(3600), SPACING), Look::Clear);
    }

    #[test]
    fn without_both_questions_nothing_is_known() {
        let mut claim = Claim::default();
        assert_eq!(claim.look(at(3600), SPACING), Look::Wait);
        claim.asked(at(3600));
        assert_eq!(claim.look(at(3700), SPACING), Look::Wait);
        claim.asked(at(3700));
        assert_eq!(claim.look(at(3737), SPACING), Look::Wait);
        assert_eq!(claim.look(at(3738), SPACING), Look::Clear);
    }

    #[test]
    fn r5_an_answer_that_is_not_repeated_is_unconfirmed() {
        let mut claim = asked_twice();
        assert!(claim.answered(at(3560), OTHER), "ask it again");
        assert_eq!(claim.look(at(3597), SPACING), Look::Wait);
        assert_eq!(claim.look(at(3598), SPACING), Look::Unconfirmed(OTHER));
    }

    #[test]
    fn r7_a_confirmed_answer_is_a_conflict_until_it_ends() {
        let mut claim = asked_twice();
        claim.answered(at(3560), OTHER);
        assert!(!claim.answered(at(3561), OTHER));
        assert_eq!(claim.look(at(3600), SPACING), Look::Answered { mac: OTHER, since: at(3600) });
        claim.asked(at(4600));
        assert_eq!(claim.look(at(4601), SPACING), Look::Answered { mac: OTHER, since: at(3600) });
        claim.answered(at(4601), OTHER);
        assert_eq!(claim.look(at(4645), SPACING), Look::Answered { mac: OTHER, since: at(3600) });
        claim.asked(at(5600));
        assert_eq!(claim.look(at(5650), SPACING), Look::Clear);
    }
}
