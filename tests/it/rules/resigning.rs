//! R16, R23, R34, R35, R36: handing over without a gap.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, Protocol},
    node::Role,
    wire::AdverInterval,
};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, external, millis, running, settled, with_policies},
};

fn v3(centis: u16) -> Lan {
    let mut lan = Lan::with(1, &[100, 99], |_, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(centis).unwrap();
    });
    lan.run_for(SECOND * 20);
    running(lan)
}

/// Nobody takes it: the longest skew any other node can have, and a margin.
#[test]
fn r16_patience_is_the_longest_skew() {
    for (mut lan, patience) in [(settled(1), 1100), (v3(100), 1100), (v3(1), 110), (v3(300), 3100)] {
        lan.power_off(1);
        lan.run_for(SECOND * 10);
        lan.reset_counts();
        lan.stop(0);
        let held = lan.run_until(SECOND * 5, |lan| lan.holding().is_empty());
        assert_eq!(held, millis(patience));
        let start = lan.sent(0)[0];
        let sent: Vec<u128> = lan.sent(0).iter().map(|at| at.saturating_since(start).as_millis()).collect();
        assert_eq!(sent, [0, 20, 60], "priority zero, three times");
    }
}

/// The lease of a second must not end before the patience.
#[test]
fn r16_the_lease_is_renewed_once_after_the_first_word() {
    let mut lan = v3(70);
    lan.kernel_late = Duration::ZERO;
    lan.power_off(1);
    lan.run_until(SECOND, |lan| !lan.sent(0).is_empty());
    lan.run_for(millis(240));
    lan.reset_counts();
    let stopped = lan.now;
    lan.stop(0);
    lan.run_until(SECOND * 5, |lan| lan.holding().is_empty());
    assert_eq!(lan.now.saturating_since(stopped), millis(800));
    assert_eq!(lan.held(0), [stopped], "{}", lan.tale(20));
}

/// The winner's announcement may be lost, its advertisement was heard.
#[test]
fn r16_it_holds_no_longer_than_20_ms_after_a_foreign_advertisement() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.stop(0);
    lan.run_for(millis(1));
    lan.hear(0, crate::lan::addresses(2)[1], 99, b"1111\0\0\0\0");
    let held = lan.run_until(SECOND, |lan| lan.holding().is_empty());
    assert_eq!(held, millis(20));
}

#[test]
fn r16_a_second_stop_releases_at_once() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.stop(0);
    lan.run_for(millis(5));
    assert_eq!(lan.holding(), [0]);
    lan.stop(0);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert!(lan.stations[0].node.is_stopped());
}

#[test]
fn r16_a_stop_during_an_offer_waits_no_longer_than_the_offer() {
    let mut lan = with_policies(1);
    lan.set_policy(1, false);
    lan.run_for(SECOND * 2);
    lan.set_verdict(0, external("the arbiter does not answer"));
    lan.run_until(SECOND * 2, |lan| lan.has_condition(0, "resigning"));
    lan.run_for(millis(500));
    lan.stop(0);
    let held = lan.run_until(SECOND * 5, |lan| lan.holding().is_empty());
    assert_eq!(held, millis(600));
    assert!(lan.stations[0].node.is_stopped());
}

#[test]
fn r16_a_broken_service_releases_at_once() {
    let mut lan = with_policies(1);
    lan.power_off(1);
    lan.set_policy(0, false);
    lan.run_until(SECOND * 2, |lan| lan.role(0) == Role::Fault);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    let last = lan.story.iter().rfind(|(_, index, line)| *index == 0 && matches!(line, Line::Sent(_))).unwrap();
    assert_eq!((last.0, &last.2), (lan.now, &Line::Sent(0)));
}

#[test]
fn r16_invariant_maintenance_hands_over_in_order() {
    let mut lan = with_policies(1);
    lan.set_verdict(0, ha::policy::Verdict::Maintenance { why: "kernel update".to_owned() });
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [1]);
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
    assert!(holders.longest_two <= HANDOVER, "{holders:?}");
    assert!(lan.has_condition(0, "maintenance"));
}

#[test]
fn r34_the_loser_says_a_last_word_and_the_winner_announces_after_it() {
    let mut lan = settled(1);
    lan.stop(0);
    lan.run_for(SECOND * 5);
    lan.start(0);
    lan.reset_counts();
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [0]);
    let last = *lan.sent(1).last().unwrap();
    assert!(last >= lan.sent(0)[0], "it heard the winner and answered");
    assert!(lan.announced(0).iter().any(|at| *at >= last));
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
}

#[test]
fn r34_announcements_are_refreshed() {
    let mut lan = settled(1);
    lan.run_for(SECOND * 60);
    assert_eq!(lan.announced(0).len(), 6);
}

/// The peer, which does not look, has advertised for half a second while the higher node was stopped, every 10 ms.
#[test]
fn r35_a_backlog_is_worth_one_advertisement_and_one_announcement() {
    for frozen in [100, 300, 700] {
        let mut lan = Lan::with(1, &[100, 99], |_, instance| {
            instance.claim = Claim::Off;
            instance.protocol = Protocol::V3(Checksum::Auto);
            instance.advertise = AdverInterval::from_centis(1).unwrap();
        });
        lan.run_for(SECOND * 20);
        lan.freeze(0);
        lan.reset_counts();
        lan.run_for(millis(frozen));
        assert!(lan.sent(1).len() > 5, "{:?}", lan.sent(1));
        lan.reset_counts();
        lan.thaw(0);
        lan.run_for(Duration::ZERO);
        assert_eq!(lan.sent(0).len(), 1, "frozen for {frozen} ms: {}", lan.tale(20));
        assert_eq!(lan.announced(0).len(), 1, "{}", lan.tale(20));
        lan.run_for(SECOND * 3);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
        assert_eq!(lan.holding(), [0]);
    }
}

/// Their timers fire within a few microseconds of each other, and neither looks: the RFC's rule decides before any
/// address is held.
#[test]
fn r36_two_that_start_together_never_hold_together() {
    for centis in [1, 5, 100] {
        for seed in 0..10 {
            let mut lan = Lan::with(seed, &[100, 99], |_, instance| {
                instance.claim = Claim::Off;
                instance.protocol = Protocol::V3(Checksum::Auto);
                instance.advertise = AdverInterval::from_centis(centis).unwrap();
            });
            lan.run_for(SECOND * 20);
            assert_eq!(lan.holding(), [0]);
            assert!(lan.held(1).is_empty() && lan.announced(1).is_empty(), "every {centis} cs: {}", lan.tale(30));
        }
    }
}
