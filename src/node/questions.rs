//! Which question an answer is to. It does not say: neither ARP (RFC 826) nor neighbour discovery (RFC 4861) has a number for it,
//! and every instance on an interface sees the answers to all of them.
//!
//! So an answer counts as one to the oldest question that may be under way still: that one was asked then at the earliest,
//! whatever was lost meanwhile. Nothing follows from an answer to a question of nobody here, nor where one that was asked as nobody
//! may be under way: whoever is asked does not learn from it that this machine sees it.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use super::Ask;
use crate::words::{Instant, InterfaceName};

/// How long an answer may be under way. What is asked again is asked after that.
pub(super) const UNDER_WAY: Duration = Duration::from_millis(500);

/// What was asked on each interface, after whom, and may be answered still: when, and whether in this machine's name.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<(InterfaceName, IpAddr), VecDeque<(Instant, bool)>>);

impl Questions {
    /// A question leaves, of whoever asks.
    pub(super) fn asked(&mut self, now: Instant, ask: &Ask) {
        self.0.retain(|_, asked| asked.back().is_some_and(|(at, _)| is_under_way(now, *at)));
        let asked = self.0.entry((ask.interface.clone(), ask.target)).or_default();
        asked.retain(|(at, _)| is_under_way(now, *at));
        asked.push_back((now, ask.source.is_some()));
    }

    /// How many of the same may be under way.
    pub(super) fn under_way(&self, now: Instant, ask: &Ask) -> usize {
        let asked = self.0.get(&(ask.interface.clone(), ask.target));
        asked.map_or(0, |asked| asked.iter().filter(|(at, _)| is_under_way(now, *at)).count())
    }

    /// An answer has come. When what it answers was asked at the earliest; `None`: it may be one to nobody's question.
    pub(super) fn answered(&mut self, now: Instant, interface: &InterfaceName, target: IpAddr) -> Option<Instant> {
        let asked = self.0.get_mut(&(interface.clone(), target))?;
        asked.retain(|(at, _)| is_under_way(now, *at));
        let all_named = asked.iter().all(|(_, named)| *named);
        asked.pop_front().filter(|_| all_named).map(|(at, _)| at)
    }
}

fn is_under_way(now: Instant, asked_at: Instant) -> bool {
    now < asked_at + UNDER_WAY
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 21));

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn eth0() -> InterfaceName {
        "eth0".parse().unwrap()
    }

    fn ask(target: IpAddr, source: Option<IpAddr>) -> Ask {
        Ask { interface: eth0(), target, source, to: None }
    }

    fn asked(times: &[u64]) -> Questions {
        let mut questions = Questions::default();
        times.iter().for_each(|millis| questions.asked(at(*millis), &ask(PEER, Some(PEER))));
        questions
    }

    #[test]
    fn while_somebody_asks_as_nobody_nothing_follows() {
        let mut questions = asked(&[1000]);
        questions.asked(at(1100), &ask(PEER, None));
        assert_eq!(questions.answered(at(1101), &eth0(), PEER), None);
        assert_eq!(questions.answered(at(1102), &eth0(), PEER), None);
        questions.asked(at(1103), &ask(PEER, Some(PEER)));
        assert_eq!(questions.answered(at(1104), &eth0(), PEER), Some(at(1103)));
    }

    #[test]
    fn an_answer_is_one_to_the_oldest_question_that_may_be_under_way() {
        let mut questions = asked(&[1000, 1100]);
        assert_eq!(questions.under_way(at(1101), &ask(PEER, None)), 2);
        assert_eq!(questions.under_way(at(1500), &ask(PEER, None)), 1);
        assert_eq!(questions.answered(at(1101), &eth0(), PEER), Some(at(1000)));
        assert_eq!(questions.answered(at(1102), &eth0(), PEER), Some(at(1100)));
        assert_eq!(questions.answered(at(1103), &eth0(), PEER), None, "nobody has asked");
    }

    #[test]
    fn what_is_not_answered_in_time_is_not_answered_any_more() {
        assert_eq!(asked(&[1000]).answered(at(1499), &eth0(), PEER), Some(at(1000)));
        assert_eq!(asked(&[1000]).answered(at(1500), &eth0(), PEER), None);
        assert_eq!(asked(&[1000, 1500]).answered(at(1501), &eth0(), PEER), Some(at(1500)));
    }

    #[test]
    fn another_machine_or_another_interface_has_not_been_asked() {
        let mut questions = asked(&[1000]);
        assert_eq!(questions.answered(at(1001), &eth0(), [192, 168, 0, 22].into()), None);
        assert_eq!(questions.answered(at(1001), &"eth1".parse().unwrap(), PEER), None);
    }

    #[test]
    fn what_nobody_answers_is_forgotten() {
        let mut questions = asked(&[]);
        for last in 0..=255 {
            questions.asked(at(1000 * u64::from(last)), &ask([10, 0, 0, last].into(), Some(PEER)));
        }
        assert_eq!(questions.0.len(), 1);
    }
}
