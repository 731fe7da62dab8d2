//! R19: when there are two after all.

use std::time::Duration;

use ha::{
    config::{Claim, OnConflict},
    node::Role,
    wire::NeighborKind,
    words::MacAddr,
};

use crate::{
    lan::Lan,
    pair::{SECOND, millis, running, settled},
};

const STRANGER: MacAddr = MacAddr([2, 0, 0, 0, 7, 7]);

/// Advertisements do not pass, everything else does, and nobody looked.
fn both_hold(seed: u64) -> Lan {
    let mut lan = running(Lan::with(seed, &[100, 99], |_, instance| instance.claim = Claim::Off));
    lan.cut_vrrp(0, 1);
    lan.cut_vrrp(1, 0);
    lan.run_until(SECOND * 5, |lan| lan.holding() == [0, 1]);
    let again: Vec<_> = lan.stations.iter().map(|station| station.configured.clone()).collect();
    for (index, mut instance) in again.into_iter().enumerate() {
        instance.claim = Claim::Auto;
        lan.reload(index, instance);
    }
    lan.reset_counts();
    lan
}

#[test]
fn r19b_two_that_see_each_other_on_the_link_become_one() {
    for seed in 0..10 {
        let mut lan = both_hold(seed);
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding().len(), 1, "seed {seed}: {}", lan.tale(40));
        let holders = lan.settle_counts();
        assert!(holders.longest_two <= SECOND * 4 + millis(3620), "seed {seed}: {holders:?}");
        lan.reset_counts();
        lan.run_for(SECOND * 60);
        let holders = lan.settle_counts();
        assert_eq!((holders.two, holders.nobody), (Duration::ZERO, Duration::ZERO), "and it stays so");
        lan.heal();
        lan.run_for(SECOND * 10);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    }
}

/// keepalived begins its interval anew with everything it drops, so it speaks once and then not for long; it still holds.
#[test]
fn r19a_a_lower_master_that_is_heard_once_and_still_holds_is_let_have_it() {
    let mut lan = both_hold(1);
    let mut stubborn = lan.stations[1].configured.clone();
    stubborn.on_conflict = OnConflict::Steal;
    lan.reload(1, stubborn);
    lan.hear_from_a_deaf_master(0, 99);
    lan.run_for(SECOND * 3);
    assert!(lan.has_condition(0, "peer_deaf"), "{}", lan.tale(40));
    assert_eq!(lan.holding(), [1]);
}

/// Whoever hears the answer lets go, and nothing comes of the question.
#[test]
fn r19a_a_lower_master_that_lets_go_is_none() {
    let mut lan = settled(1);
    lan.hear_from_a_deaf_master(0, 99);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.released(0).len()), (Role::Master, 0));
    assert!(!lan.has_condition(0, "peer_deaf"));
}

#[test]
fn r19b_one_frame_is_no_evidence() {
    let mut lan = settled(1);
    let mac = lan.stations[1].mac;
    lan.frame(mac, Some(1), None, NeighborKind::Announcement { address: "192.168.0.60".parse().unwrap() });
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.released(0).len()), (Role::Master, 0));
}

/// Two backups that do not hear each other's advertisements claim at the same time.
#[test]
fn r19c_of_two_that_claim_at_once_one_waits() {
    for seed in 0..20 {
        let mut lan = Lan::with(seed, &[100, 99, 98], |_, _| ());
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
        lan.cut_vrrp(1, 2);
        lan.cut_vrrp(2, 1);
        lan.run_for(millis(seed * 41));
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 20);
        assert_eq!(lan.holding(), [1], "seed {seed}: the higher one asked first: {}", lan.tale(40));
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "seed {seed}");
    }
}

/// Equal priorities: the link-layer address decides.
#[test]
fn r19c_equals_are_told_apart_by_their_link_layer_address() {
    for seed in 0..20 {
        let mut lan = Lan::with(seed, &[100, 90, 90], |_, _| ());
        lan.run_for(SECOND * 10);
        lan.cut_vrrp(1, 2);
        lan.cut_vrrp(2, 1);
        lan.run_for(millis(seed * 41));
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 20);
        assert_eq!(lan.holding().len(), 1, "seed {seed}: {}", lan.tale(40));
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "seed {seed}");
    }
}

/// Somebody with the same address comes up and asks for it, again and again.
#[test]
fn r19c_a_strangers_question_does_not_delay() {
    let mut lan = settled(1);
    lan.power_off(0);
    lan.reset_counts();
    for _ in 0..80 {
        lan.frame(MacAddr([9; 6]), None, Some(1), NeighborKind::Probe { target: "192.168.0.60".parse().unwrap() });
        lan.run_for(millis(50));
    }
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= millis(3700));
}

#[test]
fn r19d_a_stranger_is_answered_once_in_ten_seconds() {
    let mut lan = settled(1);
    lan.run_for(SECOND);
    lan.reset_counts();
    let start = lan.now;
    for _ in 0..80 {
        lan.frame(STRANGER, None, Some(0), NeighborKind::Announcement { address: "192.168.0.60".parse().unwrap() });
        lan.run_for(millis(100));
    }
    assert_eq!(lan.role(0), Role::Master);
    assert!(lan.has_condition(0, "address_conflict"));
    let defended = lan.announced(0);
    let refresh = defended.iter().filter(|at| at.saturating_since(start) > millis(10)).count();
    assert!(defended[0].saturating_since(start) <= millis(1), "{defended:?}");
    assert!(refresh <= 1, "one defence, and the refresh: {defended:?}");
}
