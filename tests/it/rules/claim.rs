//! R3 to R7: look before you take.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, Instance, Lease, OnConflict, Protocol},
    node::{Event, Role},
    wire::{AdverInterval, NeighborKind},
    words::MacAddr,
};

use crate::{
    lan::{Host, Lan, Line, VIP},
    pair::{SECOND, millis, running, settled, with_policies},
};

const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 7, 7]);

/// Node 0's daemon is dead, and what it held is still there.
fn left_behind(seed: u64, change: impl Fn(usize, &mut Instance)) -> Lan {
    let mut lan = running(Lan::with(seed, &[100, 99], |index, instance| {
        if index == 0 {
            instance.lease = Lease::Off;
        }
        change(index, instance);
    }));
    lan.kill(0);
    lan
}

fn proxy(answers: &[&str]) -> Host {
    Host { mac: ROUTER, answers: answers.iter().map(|address| address.parse().unwrap()).collect(), left: u32::MAX }
}

#[test]
fn r3_a_takeover_asks_and_a_preemption_does_not() {
    let mut lan = settled(1);
    lan.power_off(0);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.probed(1).len(), 2, "{}", lan.tale(20));
    lan.start(0);
    lan.reset_counts();
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0], "it preempts");
    assert!(lan.probed(0).is_empty(), "{}", lan.tale(20));
}

/// Two advertisements of the master in one turn are no lower master.
#[test]
fn r3_a_master_heard_twice_at_once_is_still_claimed_against() {
    let mut lan = left_behind(1, |index, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        if index == 1 {
            instance.advertise = AdverInterval::from_secs(10).unwrap();
        }
    });
    lan.start(0);
    lan.run_for(SECOND * 60);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    lan.freeze(1);
    lan.run_for(millis(2200));
    lan.thaw(1);
    lan.kill(0);
    lan.run_for(SECOND * 60);
    assert_eq!(lan.holding(), [0]);
    assert!(lan.has_condition(1, "conflict"));
}

#[test]
fn r4_two_questions_for_every_address_before_the_timer() {
    let second = "192.168.0.61/24";
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.addresses.push(second.parse().unwrap())));
    lan.power_off(0);
    lan.run_until(SECOND * 5, |lan| lan.role(1) == Role::Master);
    for address in [VIP, second] {
        let net: ipnet::IpNet = address.parse().unwrap();
        let asked = lan.times(1, |line| *line == Line::Probed(net.addr(), None));
        let before: Vec<Duration> = asked.iter().map(|at| lan.now.saturating_since(*at)).collect();
        assert_eq!(before, [millis(100), millis(50)], "{address}");
    }
}

#[test]
fn r4_one_held_is_all_held() {
    let mut lan = left_behind(1, |_, instance| instance.addresses.push("192.168.0.61/24".parse().unwrap()));
    lan.remove_from_kernel(0, VIP);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.kernel(1), []);
    assert!(lan.has_condition(1, "conflict"));
    lan.delete_address(0);
    lan.run_for(millis(1100));
    assert_eq!(lan.kernel(1).len(), 2);
}

#[test]
fn r4_silence_counts_only_on_a_link_that_forwards() {
    let mut lan = Lan::new(1, &[100]);
    let took = lan.run_until(SECOND * 10, |lan| lan.holds(0));
    assert!(took >= SECOND * 5, "link_settle: {took:?}");
    // A foreign frame is as good.
    let mut lan = Lan::new(1, &[100]);
    lan.run_for(millis(100));
    lan.flood(0, 1);
    let took = lan.run_until(SECOND * 10, |lan| lan.holds(0));
    assert!(took < millis(3600), "{took:?}");
}

/// The questions that were asked into a switch port which does not forward were not asked.
#[test]
fn r4_what_was_asked_before_the_link_forwarded_does_not_count() {
    for late in [3700, 4300, 4500, 4900] {
        let mut lan = settled(1);
        lan.power_off(1);
        lan.cut_vrrp(0, 1);
        lan.start(1);
        lan.stations[1].blocked = true;
        lan.run_for(millis(late));
        lan.stations[1].blocked = false;
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "forwards after {late} ms: {}", lan.tale(30));
        assert!(lan.has_condition(1, "conflict"));
    }
}

#[test]
fn r5_an_answer_that_is_not_confirmed_delays_nothing() {
    let mut lan = settled(1);
    lan.hosts.push(Host { left: 1, ..proxy(&["192.168.0.60"]) });
    lan.power_off(0);
    let took = lan.run_until(SECOND * 6, |lan| lan.holds(1));
    assert!(took < millis(3700), "{took:?}");
    assert!(lan.has_condition(1, "claim_unconfirmed"));
}

#[test]
fn r5_an_unconfirmed_answer_is_told_once() {
    let mut lan = with_policies(1);
    lan.hosts.push(Host { left: 1, ..proxy(&["192.168.0.60"]) });
    lan.stations[1].observed_ok = false;
    lan.power_off(0);
    lan.run_for(SECOND * 15);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    let told = lan.raised(1, "claim_unconfirmed") + lan.noted(1, "claim_unconfirmed");
    assert_eq!(told, 1, "{}", lan.tale(30));
}

#[test]
fn r5_a_stranger_is_taken_from_announced_against_and_never_yielded_to() {
    let mut lan = settled(1);
    lan.hosts.push(proxy(&["192.168.0.60"]));
    lan.power_off(0);
    let took = lan.run_until(SECOND * 6, |lan| lan.holds(1));
    assert!(took < millis(3700), "{took:?}");
    assert!(lan.has_condition(1, "address_conflict"));
    for _ in 0..60 {
        lan.frame(ROUTER, None, Some(1), NeighborKind::Announcement { address: "192.168.0.60".parse().unwrap() });
        lan.run_for(SECOND / 2);
        assert_eq!(lan.holding(), [1]);
    }
}

/// A router that answers for everybody stands beside the peer's machine, which has the address.
#[test]
fn r5_a_stranger_does_not_hide_the_peer_that_holds() {
    let mut lan = left_behind(1, |_, _| ());
    lan.hosts.push(proxy(&["192.168.0.60"]));
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(40));
    assert!(lan.has_condition(1, "conflict"));
    let asked = lan.times(1, |line| matches!(line, Line::Probed(..))).len();
    assert!(asked < 200, "nobody is asked {asked} times");
}

#[test]
fn r5_without_a_list_of_peers_whoever_answers_is_a_holder() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.peers.clear()));
    lan.hosts.push(proxy(&["192.168.0.60"]));
    lan.power_off(0);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert!(lan.has_condition(1, "conflict"));
}

#[test]
fn r5_off_asks_nobody() {
    let mut lan = left_behind(1, |_, instance| instance.claim = Claim::Off);
    lan.run_for(SECOND * 4);
    assert_eq!(lan.holding(), [0, 1]);
    assert!(lan.probed(1).is_empty());
}

#[test]
fn r5_nobody_is_asked_where_the_addresses_are_not_on_the_link() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| {
        instance.addresses = vec!["10.9.9.9/32".parse().unwrap()];
    }));
    lan.power_off(0);
    lan.run_for(SECOND * 4);
    assert_eq!(lan.holding(), [1]);
    assert!(lan.probed(1).is_empty());
}

/// The evaluation must have begun after the master fell silent, by the master's own interval.
#[test]
fn r6_an_evaluation_from_before_the_silence_is_not_fresh() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        if index == 1 {
            instance.policies = vec!["check_local".to_owned()];
            instance.advertise = AdverInterval::from_secs(10).unwrap();
        }
    });
    lan.run_for(SECOND * 60);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    // The last good word was said just before.
    lan.stations[1].judges = false;
    lan.power_off(0);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert!(lan.has_condition(1, "elected"));
    lan.stations[1].judges = true;
    lan.run_for(SECOND);
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r6_the_policies_hurry_from_the_first_missed_advertisement() {
    let mut lan = with_policies(1);
    let sent = lan.run_until(SECOND * 2, |lan| !lan.sent(0).is_empty());
    assert!(sent <= SECOND);
    let at = lan.now;
    lan.power_off(0);
    lan.run_for(SECOND * 5);
    let hurried = lan.times(1, |line| *line == Line::Paced(ha::node::Pace::Fast));
    assert!((1500..1501).contains(&hurried[0].saturating_since(at).as_millis()), "{hurried:?}");
    let calm = lan.times(1, |line| *line == Line::Paced(ha::node::Pace::Normal));
    assert_eq!(calm[0], lan.sent(1)[0], "a master is in no hurry");
}

#[test]
fn r6_a_preemption_needs_no_fresh_observation() {
    let mut lan = with_policies(1);
    lan.set_policy(0, false);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    lan.set_policy(0, true);
    lan.stations[0].observed_ok = false;
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn r7_a_conflict_is_one_condition_from_its_beginning_to_its_end() {
    let mut lan = left_behind(1, |_, _| ());
    lan.run_for(SECOND * 30);
    assert_eq!(lan.raised(1, "conflict"), 1);
    let cleared =
        lan.times(1, |line| matches!(line, Line::Event(Event::Cleared(condition)) if condition.name == "conflict"));
    assert!(cleared.is_empty());
    // Its daemon restarts and lets go of what is not its own any more.
    lan.delete_address(0);
    lan.run_for(millis(1100));
    assert_eq!(lan.holding(), [1]);
    assert!(!lan.has_condition(1, "conflict"));
}

/// Whoever was told to steal keeps what it took, though the dead daemon's kernel goes on speaking for the address.
#[test]
fn r7_steal_keeps_what_it_took() {
    let mut lan = left_behind(1, |index, instance| {
        if index == 1 {
            instance.on_conflict = OnConflict::Steal;
        }
    });
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0, 1]);
    lan.reset_counts();
    let mac = lan.stations[0].mac;
    for _ in 0..60 {
        let sender = "192.168.0.60".parse().unwrap();
        lan.frame(mac, Some(0), None, NeighborKind::Request { sender, target: "192.168.0.1".parse().unwrap() });
        lan.run_for(SECOND);
        assert_eq!(lan.role(1), Role::Master, "{}", lan.tale(30));
    }
    assert!(lan.announced(1).len() >= 5, "and keeps announcing");
}
