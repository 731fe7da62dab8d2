//! R19: when there are two after all.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, OnConflict, Preference, Protocol},
    node::Role,
    wire::NeighborKind,
    words::MacAddr,
};

use crate::{
    lan::{Host, Lan},
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

/// It may hear nothing at all: to leave the address to it would leave it to nobody, which availability does not.
#[test]
fn r19a_availability_leaves_nothing_to_a_lower_master_that_answers_nothing() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.prefer = Preference::Availability));
    lan.power_off(1);
    for _ in 0..20 {
        lan.hear_from_a_deaf_master(0, 99);
        lan.run_for(SECOND);
    }
    assert_eq!((lan.role(0), lan.released(0).len()), (Role::Master, 0), "{}", lan.tale(40));
    assert!(!lan.has_condition(0, "peer_deaf"));
}

/// It is not in `peers`: it may advertise what it likes, and answer for it.
#[test]
fn r19d_a_stranger_that_advertises_is_defended_against() {
    let stranger = "192.168.0.99".parse().unwrap();
    let mut lan = settled(1);
    lan.hosts.push(Host { mac: STRANGER, answers: vec![stranger, "192.168.0.60".parse().unwrap()], left: u32::MAX });
    for _ in 0..60 {
        lan.hear(0, stranger, 1, b"1111\0\0\0\0");
        lan.hear(1, stranger, 1, b"1111\0\0\0\0");
        lan.frame(STRANGER, None, Some(0), NeighborKind::Announcement { address: stranger });
        lan.frame(STRANGER, None, Some(0), NeighborKind::Announcement { address: "192.168.0.60".parse().unwrap() });
        lan.run_for(millis(300));
    }
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{}", lan.tale(40));
    assert_eq!(lan.released(0).len(), 0);
    assert!(lan.has_condition(0, "more_nodes_than_configured"));
    assert!(!lan.has_condition(0, "peer_deaf"));
}

/// Nobody is named, so whoever advertises may be a peer. It says itself that it has none of our addresses.
#[test]
fn r19a_without_a_list_whoever_serves_other_addresses_gets_none_of_ours() {
    let other = "192.168.0.99".parse().unwrap();
    let nameless = |_, instance: &mut ha::config::Instance| {
        instance.peers.clear();
        instance.protocol = Protocol::V3(Checksum::Auto);
    };
    let mut lan = running(Lan::with(1, &[100, 99], nameless));
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    let mac = STRANGER;
    lan.hosts.push(Host { mac, answers: vec![other], left: u32::MAX });
    for _ in 0..60 {
        lan.hear_of(0, other, 1, "10.9.9.9".parse().unwrap());
        lan.run_for(millis(300));
    }
    assert_eq!((lan.holding(), lan.released(0).len()), (vec![0], 0), "{}", lan.tale(40));
    // It has it all the same: whoever holds does not hear us, or would have let go.
    lan.hosts.push(Host { mac, answers: vec!["192.168.0.60".parse().unwrap()], left: u32::MAX });
    for _ in 0..20 {
        lan.hear_of(0, other, 1, "10.9.9.9".parse().unwrap());
        lan.run_for(SECOND);
    }
    assert!(lan.has_condition(0, "peer_deaf"), "{}", lan.tale(40));
    assert_eq!(lan.role(0), Role::Backup);
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

/// A standby that may not take asks each interval, for ever: it has had its turn.
#[test]
fn r19c_a_rival_that_does_not_take_is_let_go_first_once() {
    let mut lan = settled(1);
    let rival = lan.stations[0].mac;
    lan.power_off(0);
    lan.reset_counts();
    for _ in 0..200 {
        lan.frame(rival, None, Some(1), NeighborKind::Probe { target: "192.168.0.60".parse().unwrap() });
        lan.run_for(millis(50));
    }
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= millis(4400));
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
