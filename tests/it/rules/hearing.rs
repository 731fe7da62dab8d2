//! R1, R2, R17: who is there, who is not understood, and whose resignation counts.

use std::{net::IpAddr, time::Duration};

use ha::{
    config::{Auth, Checksum, Instance, Protocol, Transport},
    node::{AddressSeen, Ears, Input, LinkSeen, Node, Output, PeerStatus, Role},
    wire::AdverInterval,
    words::{Instant, MacAddr},
};

use crate::{
    lan::{Lan, Line, addresses, config, eth0, instance},
    pair::{HANDOVER, SECOND, millis, running, settled, with_policies},
};

const STRANGER: [u8; 4] = [192, 168, 0, 77];
const PASSWORD: &[u8; 8] = b"1111\0\0\0\0";

fn peer(lan: &Lan, index: usize) -> PeerStatus {
    lan.stations[index].node.status().instances[0].peers[0].clone()
}

#[test]
fn r1_a_silent_backup_is_alive_because_it_answers() {
    let mut lan = settled(1);
    assert!(peer(&lan, 0).alive && peer(&lan, 0).reachable);
    assert_eq!(peer(&lan, 0).last_heard, None, "a backup is never heard");
    lan.power_off(1);
    lan.run_for(SECOND * 4);
    assert!(!peer(&lan, 0).alive);
}

/// The questions of a backup show it to the master, which asks by itself as soon as they stop.
#[test]
fn r1_a_master_asks_a_backup_that_does_not_show_itself() {
    let mut lan = settled(1);
    lan.kill(1);
    for _ in 0..100 {
        lan.run_for(millis(100));
        assert!(peer(&lan, 0).reachable, "its machine answers");
    }
    lan.power_off(1);
    lan.run_for(SECOND * 4);
    assert!(!peer(&lan, 0).reachable);
}

/// At one second each, the question goes along with the advertisement instead of waking the node once more.
#[test]
fn r1_a_question_that_is_almost_due_is_asked_in_a_turn_that_is_made_anyway() {
    let begun = Instant::from_epoch(SECOND);
    let mut node = Node::new(begun, &config(instance(100, &addresses(2)[1..])));
    let mac = Some(MacAddr([2; 6]));
    node.handle_input(
        begun,
        Input::Link(LinkSeen { name: eth0(), index: 2, mac, up: true, carrier: true, port_of: None }),
    );
    let address = "192.168.0.20/24".parse().unwrap();
    let own = AddressSeen { address, marked: false, usable: true, remaining: None };
    let mut asks_after = |time| {
        // What makes the turn: the kernel says again what it has said.
        node.handle_input(begun + time, Input::Addresses { interface: eth0(), addresses: vec![own.clone()] });
        node.handle_timeout(begun + time, Ears::Drained);
        std::iter::from_fn(|| node.poll_output()).filter(|output| matches!(output, Output::Ask(_))).count()
    };
    assert_eq!([0, 899, 900, 1799, 1800].map(|time| asks_after(millis(time))), [1, 0, 1, 0, 1]);
}

/// Each of these makes the other half unintelligible; whoever holds the address goes on alone, and says what is wrong.
#[test]
fn r2_a_peer_that_is_not_understood_is_seen_and_asked() {
    let breaks: [fn(&mut Instance); 4] = [
        |instance| instance.protocol = Protocol::V2(Auth::Pass(*b"2222\0\0\0\0")),
        |instance| instance.protocol = Protocol::V2(Auth::None),
        |instance| instance.advertise = AdverInterval::from_secs(2).unwrap(),
        |instance| instance.addresses.push("192.168.0.61/24".parse().unwrap()),
    ];
    for (number, broken) in breaks.into_iter().enumerate() {
        let mut lan = Lan::with(1, &[100, 99], |index, instance| {
            if index == 1 {
                broken(instance);
            }
        });
        lan.run_for(SECOND * 60);
        assert_eq!(lan.holding(), [0], "{number}: {}", lan.tale(20));
        assert!(lan.has_condition(1, "peer_rejected") && lan.has_condition(1, "conflict"), "{number}");
        assert!(peer(&lan, 1).rejected.is_some());
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "{number}");
    }
}

/// One sends to the group, the other to its peer: neither hears the other, and both say why.
#[test]
fn r2_a_peer_of_the_other_transport_is_told_and_the_address_stays_where_it_is() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 1 {
            instance.transport = Transport::Unicast;
        }
    });
    lan.run_for(SECOND * 60);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
    assert_eq!(peer(&lan, 1).rejected, Some("sent to the wrong address (multicast against unicast, or another group)"));
    assert!(lan.has_condition(1, "peer_rejected") && lan.has_condition(1, "conflict"));
    assert_eq!(lan.settle_counts().two, Duration::ZERO);
}

/// Both in a group of their own: a pair. Only one of them: two that do not hear each other.
#[test]
fn another_group_is_another_conversation() {
    let mut lan = Lan::with(1, &[100, 99], |_, instance| {
        instance.multicast_group = Some("224.0.0.99".parse().unwrap());
    });
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
    assert!(!lan.has_condition(1, "peer_rejected"));

    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        instance.multicast_group = (index == 1).then(|| "224.0.0.99".parse().unwrap());
    });
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
    assert!(lan.has_condition(1, "peer_rejected") && lan.has_condition(1, "conflict"));
}

/// Version 3 believes who serves other addresses, and says so.
#[test]
fn r2_other_addresses_are_told_in_version_3() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        if index == 1 {
            instance.addresses.push("192.168.0.61/24".parse().unwrap());
        }
    });
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
    assert!(lan.has_condition(1, "peer_differs") && !lan.has_condition(1, "peer_rejected"));
    assert!(!lan.has_condition(0, "peer_differs"), "a standby is silent");
}

#[test]
fn r17_the_only_heir_advertises_at_once_and_holds_2_ms_later() {
    let mut lan = settled(1);
    lan.stop(0);
    lan.run_until(millis(1), |lan| !lan.sent(1).is_empty());
    lan.run_until(millis(3), |lan| lan.holds(1));
    assert_eq!(lan.held(1)[0].saturating_since(lan.sent(1)[0]), millis(2));
    lan.run_for(SECOND);
    let announced = lan.announced(1)[0];
    assert_eq!(announced, lan.held(1)[0]);
}

#[test]
fn r17_a_third_sender_rejected_or_not_ends_the_short_cut_until_reload() {
    for password in [PASSWORD, b"other\0\0\0"] {
        let mut lan = settled(1);
        lan.hear(1, STRANGER.into(), 50, password);
        assert!(lan.has_condition(1, "more_nodes_than_configured"));
        lan.stop(0);
        let took = lan.run_until(SECOND * 2, |lan| lan.holds(1));
        assert!(took > millis(600), "one skew time, which orders several: {took:?}");
        assert_eq!(lan.settle_counts().nobody, Duration::ZERO);
        lan.start(0);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
        // The operator has put the list in order on the other node: nothing changed in this node's file.
        let same = lan.stations[1].configured.clone();
        lan.reload(1, same);
        lan.run_for(millis(1));
        assert!(!lan.has_condition(1, "more_nodes_than_configured"));
        lan.stop(0);
        lan.run_until(millis(10), |lan| lan.holds(1));
    }
}

#[test]
fn r17_with_unicast_too_a_third_sender_ends_it() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.transport = Transport::Unicast));
    lan.hear_unicast(1, STRANGER.into(), 50);
    assert!(lan.has_condition(1, "more_nodes_than_configured"));
    lan.stop(0);
    assert!(lan.run_until(SECOND * 2, |lan| lan.holds(1)) > millis(600));
}

/// Anybody can say that the master resigned.
#[test]
fn r17_permission_comes_only_from_the_master_last_heard() {
    for source in [IpAddr::from(STRANGER), addresses(2)[0]] {
        let mut lan = settled(1);
        lan.cut_vrrp(0, 1);
        if source == addresses(2)[0] {
            // Its down timer has run out already.
            lan.run_for(SECOND * 10);
        }
        lan.hear(1, source, 0, PASSWORD);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "{source}");
        assert!(lan.has_condition(1, "conflict"), "{source}: asked, and answered");
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "{source}");
    }
}

#[test]
fn r17_permission_is_used_within_a_down_interval_or_not_at_all() {
    for (late, waits) in [(millis(3000), false), (millis(60_000), true)] {
        let mut lan = with_policies(1);
        lan.set_verdict(1, ha::policy::Verdict::Starting);
        lan.run_for(SECOND);
        lan.stop(0);
        lan.run_for(late);
        assert_eq!(lan.holding(), Vec::<usize>::new());
        lan.set_policy(1, true);
        lan.run_for(SECOND * 2);
        assert_eq!(lan.holding(), [1]);
        assert_eq!(!lan.probed(1).is_empty(), waits, "after {late:?} the link is asked again");
    }
}

#[test]
fn r17_whoever_leaves_fault_inherits_what_was_left_within_a_down_interval() {
    for (late, at_once) in [(millis(3000), true), (millis(3700), false)] {
        let mut lan = with_policies(1);
        lan.set_policy(1, false);
        lan.run_for(SECOND * 2);
        assert_eq!(lan.role(1), Role::Fault);
        lan.stop(0);
        lan.run_for(late);
        lan.set_policy(1, true);
        let took = lan.run_until(SECOND * 6, |lan| lan.holds(1));
        assert_eq!(took < millis(1100), at_once, "{late:?}: {took:?}");
    }
}

#[test]
fn r17_an_advertisement_since_ends_the_permission() {
    let mut lan = with_policies(1);
    lan.set_policy(1, false);
    lan.run_for(SECOND * 2);
    lan.stop(0);
    lan.run_for(millis(500));
    lan.hear(1, addresses(2)[0], 100, PASSWORD);
    lan.set_policy(1, true);
    assert!(lan.run_until(SECOND * 6, |lan| lan.holds(1)) > millis(3500));
}

/// R6 and R17: what the master gave away is taken without a fresh evaluation.
#[test]
fn r6_permission_needs_no_fresh_observation() {
    let mut lan = with_policies(1);
    lan.stations[1].observed_ok = false;
    lan.stop(0);
    lan.run_for(millis(10));
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().longest_two <= HANDOVER);
    assert!(!lan.story.iter().any(|(_, index, line)| *index == 1 && matches!(line, Line::Probed(..))));
}

/// Nobody of the pair advertises so slowly: two packets of anybody on the link left the address to nobody for two minutes.
#[test]
fn who_is_not_named_is_waited_for_no_longer_than_a_master_of_this_pair() {
    let version_3 = |_, instance: &mut Instance| instance.protocol = Protocol::V3(Checksum::Auto);
    let mut lan = running(Lan::with(1, &[100, 99], version_3));
    let address = "192.168.0.60".parse().unwrap();
    for _ in 0..2 {
        for index in 0..2 {
            lan.hear_every(index, STRANGER.into(), 200, address, 4095);
        }
        lan.run_for(millis(500));
    }
    lan.run_for(SECOND * 4);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(40));
    assert!(lan.settle_counts().nobody <= millis(4200), "{:?}", lan.holders);
}

/// Whoever is named advertises as it likes, and is waited for.
#[test]
fn who_is_named_is_waited_for_as_it_advertises() {
    let version_3 = |_, instance: &mut Instance| instance.protocol = Protocol::V3(Checksum::Auto);
    let mut lan = running(Lan::with(1, &[100, 99], version_3));
    lan.power_off(0);
    lan.hear_every(1, addresses(1)[0], 100, "192.168.0.60".parse().unwrap(), 1000);
    lan.run_for(SECOND * 29);
    assert!(lan.holding().is_empty(), "{}", lan.tale(40));
    lan.run_for(SECOND * 8);
    assert_eq!(lan.holding(), [1]);
}
