//! R12 to R14, R29 to R31: what the machine has, and what it does to a node.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, Instance, Lease, Protocol},
    node::{AddressSeen, Command, Event, Input, LinkSeen, Node, Role},
    wire::{AdverInterval, Priority, Vrid},
    words::MacAddr,
};

use crate::{
    lan::{Lan, Line, VIP, addresses, config, eth0, instance},
    pair::{SECOND, millis, running, settled},
};

#[test]
fn r12_the_source_is_the_first_address_that_is_no_instances() {
    let one = instance(100, &addresses(2)[1..]);
    let mut two = one.clone();
    two.name = "VI_2".to_owned();
    two.vrid = Vrid::new(52).unwrap();
    two.addresses = vec!["192.168.0.61/24".parse().unwrap()];
    let mut both = config(one);
    both.instances.push(two);
    let now = ha::words::Instant::from_epoch(SECOND);
    let mut node = Node::new(now, &both);
    let mac = Some(MacAddr([2; 6]));
    node.handle_input(
        now,
        Input::Link(LinkSeen { name: eth0(), index: 2, mac, up: true, carrier: true, port_of: None }),
    );
    // Where the kernel keeps no marks, an address of one's own looks like any other.
    let seen =
        |address: &str| AddressSeen { address: address.parse().unwrap(), marked: false, usable: true, remaining: None };
    let addresses = vec![seen(VIP), seen("192.168.0.61/24"), seen("192.168.0.20/24")];
    node.handle_input(now, Input::Addresses { interface: eth0(), addresses });
    for instance in node.status().instances {
        assert_eq!(instance.source, Some(crate::lan::addresses(1)[0]), "{}", instance.name);
    }
}

#[test]
fn r12_without_an_address_of_its_own_it_waits() {
    let mut lan = settled(1);
    lan.set_addressed(0, false);
    lan.run_for(SECOND * 6);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
    assert!(lan.has_condition(0, "waiting"));
    lan.set_addressed(0, true);
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [0]);
    assert!(!lan.has_condition(0, "waiting"));
}

#[test]
fn r13_a_new_process_goes_on_within_the_lease_without_an_outage() {
    for down in [10, 500, 900] {
        let mut lan = settled(1);
        lan.kill(0);
        lan.run_for(millis(down));
        lan.start_if_dead(0);
        assert_eq!(lan.role(0), Role::Master, "at once");
        lan.run_for(SECOND * 10);
        assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup));
        let holders = lan.settle_counts();
        assert_eq!((holders.two, holders.nobody), (Duration::ZERO, Duration::ZERO), "down for {down} ms");
    }
}

/// A restart: the last word is an advertisement like any other, and the lease is whole.
#[test]
fn r13_what_is_left_to_the_next_process_stays_where_it_is() {
    for (phase, down) in [(0, 100), (730, 1000), (990, 1900)] {
        let mut lan = settled(1);
        lan.run_for(millis(phase));
        lan.reset_counts();
        lan.hand_in(0, Input::Command(Command::Leave));
        assert_eq!((lan.sent(0).len(), lan.held(0).len()), (1, 1), "a last word, and the lease is renewed");
        assert!(lan.stations[0].node.is_stopped() && lan.stations[0].node.left_until().is_some());
        lan.kill(0);
        lan.run_for(millis(down));
        lan.start_if_dead(0);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.holding(), lan.role(0), lan.role(1)), (vec![0], Role::Master, Role::Backup));
        let holders = lan.settle_counts();
        assert_eq!((holders.two, holders.nobody), (Duration::ZERO, Duration::ZERO), "down for {down} ms");
    }
}

/// Nobody comes: as after a death of everything, the lease ends before the peer takes over.
#[test]
fn r13_what_is_left_and_not_taken_up_is_the_peers() {
    let mut lan = settled(1);
    lan.hand_in(0, Input::Command(Command::Leave));
    lan.kill(0);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [1]);
    assert_eq!(lan.settle_counts().two, Duration::ZERO);
}

/// A peer that would take over meanwhile, no lease, a handover that has begun: then it is an ordinary stop.
#[test]
fn r13_what_cannot_be_left_is_handed_over() {
    let hasty = |_, instance: &mut Instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(10).unwrap();
    };
    let stations = [
        (running(Lan::with(1, &[100, 99], hasty)), "its peer takes over"),
        (running(Lan::with(1, &[100, 99], |_, instance| instance.lease = Lease::Off)), "has no lease"),
    ];
    for (mut lan, why) in stations {
        let said = lan.stations[0].node.objection_to_leaving().unwrap();
        assert!(said.contains(why), "{said}");
        lan.hand_in(0, Input::Command(Command::Leave));
        lan.run_for(SECOND * 3);
        assert_eq!(lan.holding(), [1], "{why}");
        assert!(lan.stations[0].node.is_stopped() && lan.stations[0].node.left_until().is_none());
    }
    let mut lan = settled(1);
    lan.stop(0);
    assert_eq!(lan.stations[0].node.objection_to_leaving().unwrap(), "it is stopping already");
}

/// Its last word does not leave it: the peer is waiting already.
#[test]
fn r13_who_cannot_send_a_last_word_leaves_nothing() {
    let mut lan = settled(1);
    lan.stations[0].mute = true;
    lan.hand_in(0, Input::Command(Command::Leave));
    assert!(lan.stations[0].node.left_until().is_none());
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [1]);
}

/// It has not held them itself yet, and the lease of the process before would be all that ends it.
#[test]
fn r13_who_adopts_and_cannot_send_leaves_nothing() {
    let mut lan = settled(1);
    lan.kill(0);
    lan.stations[0].mute = true;
    lan.run_for(SECOND / 2);
    lan.start_if_dead(0);
    lan.run_for(SECOND / 200);
    assert_eq!(lan.noted(0, "going on as master"), 1, "{:#?}", lan.story);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r13_a_backup_leaves_without_a_word() {
    let mut lan = settled(1);
    lan.reset_counts();
    lan.hand_in(1, Input::Command(Command::Leave));
    assert!(lan.stations[1].node.is_stopped() && lan.stations[1].node.left_until().is_none());
    assert_eq!(lan.sent(1), []);
}

/// Held for ever by a process before: nobody knows how long ago that was.
#[test]
fn r13_what_has_no_lease_is_released_and_said() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.lease = Lease::Off));
    lan.kill(0);
    lan.run_for(SECOND);
    lan.start_if_dead(0);
    assert_eq!(lan.role(0), Role::Backup);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert_eq!(lan.noted(0, "is let go"), 1);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn r14_an_owners_address_is_never_leased_and_never_removed() {
    let mut lan = Lan::with(1, &[255, 99], |_, instance| {
        instance.addresses = vec!["192.168.0.20/24".parse().unwrap()];
        instance.policies = vec!["check_local".to_owned()];
    });
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    lan.set_policy(0, false);
    lan.run_for(SECOND * 2);
    assert_eq!(lan.role(0), Role::Fault, "any fault still wins");
    lan.set_policy(0, true);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.role(0), Role::Master);
    lan.stop(0);
    lan.run_for(SECOND * 2);
    assert!(!lan.story.iter().any(|(_, index, line)| *index == 0 && matches!(line, Line::Hold(_))));
}

#[test]
fn r14_prefer_does_not_move_an_owner_and_255_without_the_address_is_leased() {
    let mut lan = running(Lan::with(1, &[255, 99], |_, instance| {
        instance.policies = vec!["check_local".to_owned()];
        instance.addresses = vec!["192.168.0.61/24".parse().unwrap()];
    }));
    lan.set_verdict(0, ha::policy::Verdict::Healthy { delta: -100, note: String::new() });
    lan.run_for(SECOND * 5);
    assert_eq!(lan.stations[0].node.status().instances[0].effective_priority, Some(Priority::OWNER));
    assert!(!lan.held(0).is_empty(), "renewed");
    lan.kill(0);
    lan.run_for(SECOND * 8);
    assert_eq!(lan.holding(), [1]);
}

/// Two thousand frames stand before the master's advertisement.
#[test]
fn r29_while_packets_are_unread_nobody_is_declared_dead() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.claim = Claim::Off));
    lan.freeze(1);
    lan.flood(1, 2000);
    lan.run_for(SECOND * 4);
    lan.stations[1].reads = Some(10);
    lan.thaw(1);
    lan.run_for(SECOND * 10);
    assert!(lan.sent(1).is_empty(), "{}", lan.tale(20));
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn r29_after_one_extra_down_interval_the_timer_fires_all_the_same() {
    let mut lan = settled(1);
    lan.power_off(0);
    lan.stations[1].reads = Some(1);
    let start = lan.now;
    while lan.sent(1).is_empty() && lan.now < start + SECOND * 10 {
        lan.flood(1, 50);
        lan.run_for(millis(1));
    }
    let took = lan.now.saturating_since(start);
    assert!(took > millis(6000) && took < millis(7300), "{took:?}");
}

#[test]
fn r29_a_flooded_master_goes_on_advertising() {
    let mut lan = settled(1);
    lan.stations[0].reads = Some(1);
    for _ in 0..3000 {
        lan.flood(0, 50);
        lan.run_for(millis(1));
    }
    assert!((2..=4).contains(&lan.sent(0).len()), "{:?}", lan.sent(0));
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn r30_another_daemon_with_this_identifier_is_seen() {
    let mut lan = settled(1);
    lan.hear(0, addresses(1)[0], 200, b"1111\0\0\0\0");
    assert!(lan.has_condition(0, "duplicate_source"));
    assert_eq!(lan.role(0), Role::Master, "and not obeyed");
    lan.run_for(SECOND * 10);
    assert!(!lan.has_condition(0, "duplicate_source"));
}

#[test]
fn r31_an_interface_that_goes_is_waited_for() {
    let mut lan = settled(1);
    lan.set_link(0, None);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
    assert!(lan.has_condition(0, "waiting"));
    // Another device of the same name.
    lan.set_link(0, Some(7));
    lan.run_for(SECOND * 10);
    assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup));
}

#[test]
fn r31_an_interface_made_anew_between_two_looks_is_another_one() {
    let mut lan = settled(1);
    lan.set_link(0, Some(7));
    lan.run_for(SECOND * 10);
    assert_eq!((lan.holding(), lan.role(1)), (vec![0], Role::Backup), "{}", lan.tale(30));
}

/// All of the machine comes back after the daemon was started: nothing is polled, nothing burns.
#[test]
fn r31_a_node_without_an_interface_waits_quietly() {
    let mut lan = Lan::with(1, &[100, 99], |_, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(1).unwrap();
    });
    lan.set_link(0, None);
    lan.run_for(SECOND * 60);
    assert_eq!(lan.role(0), Role::Fault);
    assert_eq!(lan.stations[0].node.poll_timeout(), None);
    lan.set_link(0, Some(3));
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

/// Programs and people are told of it as of any fault (keepalived calls its scripts at the start, too).
#[test]
fn a_node_that_starts_in_fault_says_so_once_it_has_looked_for_a_second() {
    let from_the_start =
        |line: &Line| matches!(line, Line::Event(Event::Transition { from: Role::Fault, to: Role::Fault, .. }));
    for (without, expected) in [(SECOND * 30, 1), (SECOND / 2, 0)] {
        let mut lan = Lan::with(1, &[100, 99], |_, _| {});
        lan.kill(0);
        lan.set_link(0, None);
        lan.start_if_dead(0);
        let begin = lan.now;
        lan.run_for(without);
        lan.set_link(0, Some(3));
        lan.run_for(SECOND * 20);
        assert_eq!(lan.holding(), [0]);
        let said = lan.times(0, from_the_start);
        assert_eq!(said.len(), expected, "{}", lan.tale(30));
        assert!(said.iter().all(|at| *at == begin + SECOND), "{said:?}");
    }
}

/// Clients would look for the address at the old one until the next refresh.
#[test]
fn another_link_layer_address_is_announced_at_once() {
    let moved = |index: usize, lan: &mut Lan, mac| {
        lan.stations[index].mac = mac;
        lan.hand_in(
            index,
            Input::Link(LinkSeen { name: eth0(), index: 2, mac: Some(mac), up: true, carrier: true, port_of: None }),
        );
    };
    let mut lan = settled(1);
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    let now = lan.now;
    moved(0, &mut lan, MacAddr([2, 0, 0, 0, 7, 7]));
    moved(1, &mut lan, MacAddr([2, 0, 0, 0, 7, 8]));
    lan.run_for(SECOND * 6);
    let announced: Vec<Duration> = lan.announced(0).into_iter().map(|at| at.saturating_since(now)).collect();
    assert_eq!(announced, [0, 1200, 2400, 5000].map(millis), "{}", lan.tale(40));
    assert_eq!(lan.noted(0, "02:00:00:00:00:00 until now, is 02:00:00:00:07:07"), 1, "{}", lan.tale(40));
    assert_eq!((lan.announced(1), lan.noted(1, "until now")), (vec![], 0), "a backup has nothing to say");
    assert_eq!((lan.holding(), lan.released(0).len()), (vec![0], 0));
}
