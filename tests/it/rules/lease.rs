//! R8 to R11: the address is a lease, renewed by what was sent.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, Protocol},
    node::Role,
    wire::AdverInterval,
};

use crate::{
    lan::{Lan, Line, addresses},
    pair::{HANDOVER, SECOND, millis, running, settled},
};

fn every(centis: u16) -> Lan {
    Lan::with(1, &[100, 99], |_, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(centis).unwrap();
    })
}

#[test]
fn r9_the_lease_is_renewed_after_an_advertisement_and_never_runs_out() {
    // (interval, lease, renewals in ten intervals or ten seconds)
    for (centis, lease, renewals) in [(100, 2, 10), (1, 1, 40), (4000, 119, 10)] {
        let mut lan = every(centis);
        let interval = AdverInterval::from_centis(centis).unwrap().as_duration();
        lan.run_for((interval * 10).max(SECOND * 20));
        assert_eq!(lan.role(0), Role::Master, "{centis}");
        assert_eq!(lan.stations[0].node.status().instances[0].lease, Some(SECOND * lease), "{centis}");
        lan.reset_counts();
        lan.run_for((interval * 10).max(SECOND * 10));
        let (sent, held) = (lan.sent(0), lan.held(0));
        assert!(held.iter().all(|at| sent.contains(at)), "only after an advertisement");
        assert!((renewals - 1..=renewals + 1).contains(&held.len()), "{centis}: {}", held.len());
        assert_eq!(lan.settle_counts().nobody, Duration::ZERO, "{centis}");
    }
}

/// Nothing leaves any more: the peer will take over, so the lease must run out.
#[test]
fn r9_a_failed_send_renews_nothing() {
    for phase in 0..10 {
        let mut lan = running(Lan::with(phase, &[100, 99], |_, instance| instance.claim = Claim::Off));
        lan.run_for(millis(phase * 97));
        lan.reset_counts();
        lan.stations[0].mute = true;
        lan.run_for(SECOND * 10);
        assert_eq!(lan.held(0), [], "phase {phase}: {}", lan.tale(20));
        assert_eq!(lan.holding(), [1], "phase {phase}");
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "phase {phase}");
        assert!(lan.raised(0, "cannot_send") > 0, "phase {phase}");
        lan.stations[0].mute = false;
        lan.run_for(SECOND * 15);
        assert_eq!(lan.holding(), [0], "phase {phase}");
    }
}

/// Whoever cannot send does not take either: no address, no announcement that would draw the traffic to it. Not where the
/// master is gone with its machine, so that nobody is listened for; not where it is lower and would be preempted.
#[test]
fn r9_who_cannot_send_when_it_would_lead_never_holds() {
    for priorities in [[100, 99], [100, 200]] {
        let mut lan = Lan::new(1, &priorities);
        lan.stations[1].mute = true;
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "{priorities:?}");
        lan.plug(0, false);
        lan.run_for(SECOND * 20);
        assert!(lan.raised(1, "cannot_send") > 1, "{priorities:?}: it keeps trying");
        assert_eq!((lan.held(1), lan.announced(1)), (vec![], vec![]), "{priorities:?}: {}", lan.tale(20));
    }
}

/// A second of lease where the peer waits for 0.3 s: whoever advertises by then has taken the address, and nothing that this node
/// says of itself is heard.
#[test]
fn r9_who_cannot_send_leaves_it_to_whoever_replaced_it_and_announces_nothing() {
    for phase in 0..10 {
        let mut lan = running(Lan::with(phase, &[100, 99], |_, instance| {
            instance.protocol = Protocol::V3(Checksum::Auto);
            instance.advertise = AdverInterval::from_centis(10).unwrap();
            instance.claim = Claim::Off;
        }));
        lan.run_for(millis(phase * 13));
        lan.reset_counts();
        lan.stations[0].mute = true;
        lan.run_for(SECOND * 20);
        assert_eq!(lan.announced(0), [], "phase {phase}: {}", lan.tale(40));
        assert_eq!((lan.holding(), lan.released(1).len()), (vec![1], 0), "phase {phase}: {}", lan.tale(40));
        let holders = lan.settle_counts();
        assert!(holders.two <= HANDOVER && holders.nobody <= HANDOVER, "phase {phase}: {holders:?}");
    }
}

/// What was due meanwhile is announced once it can be heard again.
#[test]
fn r9_announcements_wait_for_an_advertisement_that_leaves() {
    let mut lan = Lan::new(1, &[100, 99]);
    lan.run_until(SECOND * 6, |lan| !lan.announced(0).is_empty());
    let held = lan.now;
    lan.run_for(millis(1300));
    lan.stations[0].mute = true;
    lan.run_for(millis(1500));
    lan.stations[0].mute = false;
    lan.run_for(SECOND);
    let announced: Vec<Duration> = lan.announced(0).into_iter().map(|at| at.saturating_since(held)).collect();
    let sent = lan.sent(0).into_iter().map(|at| at.saturating_since(held)).find(|at| *at > millis(2800)).unwrap();
    assert_eq!(announced, [Duration::ZERO, millis(1200), sent], "{}", lan.tale(40));
}

#[test]
fn r9_a_few_failed_sends_cost_nothing() {
    let mut lan = settled(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.stations[0].mute = true;
    lan.run_for(millis(1500));
    lan.stations[0].mute = false;
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [0]);
    let holders = lan.settle_counts();
    assert_eq!((holders.two, holders.nobody), (Duration::ZERO, Duration::ZERO));
}

#[test]
fn r10_within_the_lease_it_goes_on() {
    let mut lan = settled(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.freeze(0);
    lan.run_for(millis(1900));
    lan.thaw(0);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    assert_eq!(lan.settle_counts().nobody, Duration::ZERO);
    assert_eq!(lan.noted(0, "woke late"), 0);
}

/// Between the lease and three intervals: nobody can have taken it.
#[test]
fn r10_after_the_lease_it_sends_holds_and_announces() {
    let mut lan = settled(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.freeze(0);
    lan.run_for(millis(2500));
    let thawed = lan.now;
    lan.reset_counts();
    lan.thaw(0);
    lan.run_for(millis(100));
    assert_eq!(lan.sent(0), [thawed]);
    assert_eq!(lan.held(0), [thawed]);
    assert_eq!(lan.announced(0), [thawed]);
    assert_eq!(lan.noted(0, "woke late"), 1);
    let order: Vec<&Line> = lan
        .story
        .iter()
        .map(|(_, _, line)| line)
        .filter(|line| !matches!(line, Line::Event(_) | Line::Done(_)))
        .collect();
    assert!(matches!(order[..3], [Line::Sent(100), Line::Hold(_), Line::Announce]), "{order:?}");
}

#[test]
fn r10_after_the_lease_a_foreign_word_decides() {
    for password in [b"1111\0\0\0\0", b"other\0\0\0"] {
        let mut lan = settled(1);
        lan.power_off(1);
        lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
        lan.freeze(0);
        lan.run_for(millis(2500));
        lan.hear(0, addresses(2)[1], 99, password);
        lan.reset_counts();
        lan.thaw(0);
        lan.run_for(SECOND * 3);
        assert_eq!((lan.role(0), lan.sent(0).len()), (Role::Backup, 0), "{}", lan.tale(20));
        lan.run_for(SECOND);
        assert_eq!(lan.holding(), [0], "nobody was there after all");
    }
}

#[test]
fn r10_too_late_it_lets_go_and_listens_for_a_full_down_interval() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.freeze(0);
    lan.run_for(millis(3100));
    lan.reset_counts();
    lan.thaw(0);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    let took = lan.run_until(SECOND * 5, |lan| !lan.sent(0).is_empty());
    assert!(took >= millis(3600), "{took:?}");
    assert_eq!(lan.released(0).len(), 1);
}

/// A peer that misses two advertisements only may have taken it sooner, whatever the own count is.
#[test]
fn r10_too_late_is_what_the_peers_count_says() {
    for (adverts, asleep, goes_on) in [(2, 2050, false), (3, 2050, true), (3, 3100, false), (6, 3100, true)] {
        let mut lan = Lan::with(1, &[100, 99], |_, instance| instance.peer_down_adverts = adverts);
        lan.run_until(SECOND * 10, |lan| lan.holding() == [0]);
        lan.power_off(1);
        lan.run_for(SECOND * 3);
        lan.reset_counts();
        lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
        lan.freeze(0);
        lan.run_for(millis(asleep));
        lan.reset_counts();
        lan.thaw(0);
        lan.run_for(millis(100));
        assert_eq!(lan.sent(0).len() == 1, goes_on, "{adverts} intervals, {asleep} ms: {}", lan.tale(20));
    }
}

/// Frozen between its first advertisement and its addresses, it knows nothing of what went on since.
#[test]
fn r10_whoever_wakes_late_from_listening_does_not_hold() {
    let mut lan = settled(1);
    lan.stop(0);
    lan.run_until(millis(5), |lan| !lan.sent(1).is_empty());
    assert!(!lan.holds(1));
    lan.freeze(1);
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    lan.thaw(1);
    // The resignation is still in its socket: the skew time, and a claim.
    let took = lan.run_until(SECOND * 5, |lan| !lan.sent(1).is_empty());
    assert!(took >= millis(600), "{took:?}: {}", lan.tale(20));
    assert_eq!(lan.probed(1).len(), 2);
    lan.run_for(millis(10));
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r10_whoever_wakes_late_from_resigning_lets_go_without_a_word() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.run_for(SECOND);
    lan.stop(0);
    lan.run_for(millis(5));
    assert_eq!(lan.holding(), [0]);
    lan.freeze(0);
    lan.run_for(millis(1500));
    lan.reset_counts();
    lan.thaw(0);
    lan.run_for(millis(10));
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert_eq!(lan.sent(0), []);
    assert!(lan.stations[0].node.is_stopped());
}

/// The stop was waiting beside the clock: there is nothing left to hand over, and somebody may have it.
#[test]
fn r10_whoever_is_stopped_when_it_wakes_too_late_lets_go_without_a_word() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.freeze(0);
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    lan.stop(0);
    lan.thaw(0);
    lan.run_for(millis(10));
    assert_eq!((lan.sent(0), lan.held(0)), (vec![], vec![]), "{}", lan.tale(20));
    assert!(lan.stations[0].node.is_stopped());
}

/// A node that nobody hears any more does not lengthen its lease because somebody deletes the address.
#[test]
fn r11_what_is_put_back_follows_an_advertisement() {
    let mut lan = settled(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.run_for(millis(400));
    lan.reset_counts();
    lan.delete_address(0);
    lan.run_for(millis(10));
    assert_eq!((lan.sent(0), lan.announced(0).len()), (lan.held(0), 1), "said, put back, announced: {}", lan.tale(20));
    assert_eq!(lan.holding(), [0]);
    lan.stations[0].mute = true;
    lan.run_for(millis(500));
    lan.reset_counts();
    lan.delete_address(0);
    lan.run_for(SECOND * 10);
    assert_eq!((lan.held(0), lan.holding()), (vec![], vec![1]), "{}", lan.tale(20));
    assert_eq!(lan.settle_counts().two, Duration::ZERO);
}

#[test]
fn r11_its_own_lapse_is_not_put_back() {
    let mut lan = settled(1);
    lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    lan.freeze(0);
    lan.run_for(SECOND * 8);
    lan.reset_counts();
    lan.thaw(0);
    lan.run_for(SECOND);
    assert_eq!(lan.held(0), []);
    assert_eq!(lan.noted(0, "somebody deleted"), 0);
}

#[test]
fn r11_after_a_minute_away_it_comes_back() {
    let mut lan = settled(1);
    for _ in 0..5 {
        lan.delete_address(0);
        lan.run_for(SECOND);
    }
    assert_eq!(lan.holding(), [1]);
    lan.run_for(SECOND * 54);
    assert_eq!(lan.holding(), [1]);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}
