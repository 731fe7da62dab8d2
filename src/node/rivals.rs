//! When there are two after all: a peer that does not hear us (R19a), and a machine that answers for our addresses while
//! we hold them (R19b, R19d).

use std::time::Duration;

use crate::words::{Instant, MacAddr};

/// The first pause after yielding to a deaf peer; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// A pause is forgotten after so long without a deaf peer.
const FORGET: Duration = Duration::from_secs(7200);
/// Whoever has heard that it lost has let go after this time.
const LETS_GO_WITHIN: Duration = Duration::from_millis(100);
/// Rivals that are told apart, at most.
const RIVALS_MAX: usize = 8;
/// At most one defence of an address per this time (RFC 5227, `DEFEND_INTERVAL`).
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Rivals {
    interval: Duration,
    lower: Option<Lower>,
    /// When a lower router was heard last, whatever it serves.
    spoke_at: Option<Instant>,
    deaf: Option<Deaf>,
    second: Option<Second>,
    defended_at: Option<Instant>,
    /// Those that asked and were let go first since a master was last heard (R19c).
    went_first: Vec<MacAddr>,
}

/// A lower router goes on advertising.
#[derive(Clone, Copy, Debug)]
struct Lower {
    first_at: Instant,
    last_at: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Deaf {
    pause: Duration,
    at: Instant,
}

/// A peer's machine answers for an address of ours.
#[derive(Clone, Copy, Debug)]
struct Second {
    mac: MacAddr,
    first_at: Instant,
    asked_at: Option<Instant>,
}

/// What evidence of a second holder asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Evidence {
    /// Nothing yet.
    Noted,
    /// It has been so for an interval and was confirmed: yield.
    Confirmed,
}

impl Rivals {
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            lower: None,
            spoke_at: None,
            deaf: None,
            second: None,
            defended_at: None,
            went_first: Vec::new(),
        }
    }

    /// The role changed: what was seen belongs to the tenure before.
    pub(super) const fn forget(&mut self) {
        self.lower = None;
        self.spoke_at = None;
        self.second = None;
    }

    /// A rival asks before it takes. Returns whether to let it go first, which is once: whoever asks again has not taken, and might
    /// ask for ever.
    pub(super) fn goes_first(&mut self, mac: MacAddr) -> bool {
        let goes = self.went_first.len() < RIVALS_MAX && !self.went_first.contains(&mac);
        if goes {
            self.went_first.push(mac);
        }
        goes
    }

    /// Somebody leads, or this node does: in the silence after that each may go first again.
    pub(super) fn forget_who_went_first(&mut self) {
        self.went_first.clear();
    }

    /// A lower router advertises while we are master. Returns how long to obey it, if it evidently does not hear us: it
    /// has gone on for more than three intervals. `theirs`: how often it advertises, which in version 3 is its own affair.
    /// `answers`: whether its machine has answered anything since then. One that does not may serve nobody, and is not obeyed;
    /// once it does it must go on for as long anew, for it hears us from then on.
    pub(super) fn lower_heard(
        &mut self,
        now: Instant,
        theirs: Duration,
        answers: impl FnOnce(Instant) -> bool,
    ) -> Option<Duration> {
        self.lower_spoke(now);
        let fresh = |lower: &Lower| now <= lower.last_at + self.interval.max(theirs) * 2;
        let first_at = self.lower.filter(fresh).map(|lower| lower.first_at).filter(|at| answers(*at)).unwrap_or(now);
        self.lower = Some(Lower { first_at, last_at: now });
        if now.saturating_since(first_at) <= self.interval * 3 {
            return None;
        }
        Some(self.pause(now))
    }

    /// A lower router has advertised, whatever it serves.
    pub(super) const fn lower_spoke(&mut self, now: Instant) {
        self.spoke_at = Some(now);
    }

    /// A deaf peer is obeyed, and the next one for longer.
    fn pause(&mut self, now: Instant) -> Duration {
        let again = self.deaf.filter(|deaf| now <= deaf.at + FORGET).map(|deaf| (deaf.pause * 2).min(PAUSE_MAX));
        let pause = again.unwrap_or(PAUSE);
        self.deaf = Some(Deaf { pause, at: now });
        self.lower = None;
        self.spoke_at = None;
        pause
    }

    /// A lower router has advertised, and its machine is at `mac`. Whoever hears our answer lets go at once. Whoever does not
    /// may speak again much later: the timer of keepalived begins anew with every advertisement that it drops. So its
    /// machine is asked whether it still holds the address.
    pub(super) fn doubt(&mut self, now: Instant, mac: MacAddr) {
        let wait = (self.interval * 9 / 4).max(LETS_GO_WITHIN);
        self.second = Some(Second { mac, first_at: now + wait - self.interval, asked_at: None });
    }

    /// Whoever was just confirmed as a second holder was heard as a lower master not long ago: it does not hear us. Returns
    /// how long to obey it.
    pub(super) fn second_is_deaf(&mut self, now: Instant) -> Option<Duration> {
        let heard = self.spoke_at.is_some_and(|at| now <= at + (self.interval * 4).max(LETS_GO_WITHIN * 2));
        heard.then(|| self.pause(now))
    }

    /// A lower router was heard lately: it is dealt with by its advertisements.
    pub(super) fn lower_is_heard(&self, now: Instant) -> bool {
        self.lower.is_some_and(|lower| now <= lower.last_at + self.interval * 2)
    }

    /// Somebody is under suspicion to hold it as well.
    pub(super) fn is_in_doubt(&self, now: Instant) -> bool {
        self.second.is_some_and(|second| now <= second.first_at + self.interval * 3)
    }

    /// This machine may hold the address as well: it is asked an interval from now.
    pub(super) const fn suspect(&mut self, now: Instant, mac: MacAddr) {
        self.second = Some(Second { mac, first_at: now, asked_at: None });
    }

    /// A frame from a peer's machine speaks for an address that we hold. `answers`: because it was asked, so that others reach it,
    /// too.
    pub(super) fn second_seen(&mut self, now: Instant, mac: MacAddr, answers: bool) -> Evidence {
        let known = self.second.filter(|second| second.mac == mac && self.is_in_doubt(now));
        match known {
            Some(Second { first_at, asked_at: Some(asked_at), .. })
                if answers && now >= asked_at && now >= first_at + self.interval =>
            {
                self.second = None;
                Evidence::Confirmed
            }
            Some(_) => Evidence::Noted,
            None => {
                self.suspect(now, mac);
                Evidence::Noted
            }
        }
    }

    /// When the second holder is to be asked whether it still is one.
    pub(super) fn next_ask(&self) -> Option<Instant> {
        self.second.filter(|second| second.asked_at.is_none()).map(|second| second.first_at + self.interval)
    }

    /// Whom to ask now.
    pub(super) fn ask_due(&mut self, now: Instant) -> Option<MacAddr> {
        let due = self.next_ask().is_some_and(|at| at <= now);
        let second = self.second.as_mut().filter(|_| due)?;
        second.asked_at = Some(now);
        Some(second.mac)
    }

    /// A stranger uses one of our addresses. Returns whether to defend it now.
    pub(super) fn defend(&mut self, now: Instant) -> bool {
        let due = self.defended_at.is_none_or(|at| at + DEFEND_INTERVAL <= now);
        if due {
            self.defended_at = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 9]);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    #[test]
    fn r19a_a_peer_that_goes_on_for_three_intervals_is_deaf() {
        let mut rivals = Rivals::new(SECOND);
        for second in 0..=3 {
            assert_eq!(rivals.lower_heard(at(second * 1000), SECOND, |_| true), None);
        }
        assert_eq!(rivals.lower_heard(at(4000), SECOND, |_| true), Some(PAUSE));
    }

    #[test]
    fn r19a_the_pause_doubles_up_to_an_hour() {
        let mut rivals = Rivals::new(SECOND);
        let mut pauses = Vec::new();
        for second in 0..60 {
            pauses.extend(rivals.lower_heard(at(second * 1000), SECOND, |_| true));
        }
        assert_eq!(pauses.first(), Some(&PAUSE));
        assert_eq!(pauses.get(1), Some(&(PAUSE * 2)));
        assert_eq!(pauses.last(), Some(&PAUSE_MAX));
    }

    #[test]
    fn r19a_a_peer_with_a_longer_interval_is_as_deaf() {
        let mut rivals = Rivals::new(SECOND);
        assert_eq!(rivals.lower_heard(at(0), SECOND * 5, |_| true), None);
        assert_eq!(rivals.lower_heard(at(5000), SECOND * 5, |_| true), Some(PAUSE));
    }

    #[test]
    fn r19a_one_late_word_is_not_deafness() {
        let mut rivals = Rivals::new(SECOND);
        assert_eq!(rivals.lower_heard(at(0), SECOND, |_| true), None);
        assert_eq!(rivals.lower_heard(at(9000), SECOND, |_| true), None);
    }

    /// It takes what it holds out of everybody's reach, and is not helped in that. Once it answers it hears us as well.
    #[test]
    fn r19a_a_peer_that_answers_nothing_is_not_obeyed() {
        let mut rivals = Rivals::new(SECOND);
        for second in 0..20 {
            assert_eq!(rivals.lower_heard(at(second * 1000), SECOND, |_| false), None);
        }
        for second in 20..23 {
            assert_eq!(rivals.lower_heard(at(second * 1000), SECOND, |_| true), None);
        }
        assert_eq!(rivals.lower_heard(at(23_000), SECOND, |_| true), Some(PAUSE));
    }

    /// Heard once, and it still holds the address.
    #[test]
    fn r19a_a_lower_router_that_still_holds_is_deaf_however_rarely_it_speaks() {
        let mut rivals = Rivals::new(SECOND);
        assert_eq!(rivals.lower_heard(at(0), SECOND, |_| true), None);
        rivals.doubt(at(0), PEER);
        assert_eq!(rivals.ask_due(at(2249)), None);
        assert_eq!(rivals.ask_due(at(2250)), Some(PEER));
        assert!(!rivals.lower_is_heard(at(2251)));
        assert_eq!(rivals.second_seen(at(2251), PEER, true), Evidence::Confirmed);
        assert_eq!(rivals.second_is_deaf(at(2251)), Some(PAUSE));
        assert_eq!(rivals.second_is_deaf(at(2252)), None);
    }

    #[test]
    fn r19b_a_second_holder_is_asked_after_an_interval_and_believed_then() {
        let mut rivals = Rivals::new(SECOND);
        assert_eq!(rivals.second_seen(at(0), PEER, true), Evidence::Noted);
        assert_eq!(rivals.ask_due(at(999)), None);
        assert_eq!(rivals.second_seen(at(999), PEER, true), Evidence::Noted);
        assert_eq!(rivals.ask_due(at(1000)), Some(PEER));
        assert_eq!(rivals.second_seen(at(1001), PEER, true), Evidence::Confirmed);
    }

    /// What a machine sends by itself does not show that it can be reached.
    #[test]
    fn r19b_a_second_holder_that_does_not_answer_is_not_believed() {
        let mut rivals = Rivals::new(SECOND);
        assert_eq!(rivals.second_seen(at(0), PEER, false), Evidence::Noted);
        assert_eq!(rivals.ask_due(at(1000)), Some(PEER));
        assert_eq!(rivals.second_seen(at(1001), PEER, false), Evidence::Noted);
        assert_eq!(rivals.second_seen(at(1002), PEER, true), Evidence::Confirmed);
    }

    #[test]
    fn r19d_a_defence_every_ten_seconds() {
        let mut rivals = Rivals::new(SECOND);
        assert!(rivals.defend(at(0)));
        assert!(!rivals.defend(at(9_999)));
        assert!(rivals.defend(at(10_000)));
    }
}
