//! A reload is a keyed difference: what did not change is not touched, and no change costs the address without need.

use std::time::Duration;

use ha::{
    config::{Auth, Checksum, Instance, Lease, Preempt, Protocol, Transport},
    node::{Event, Role},
    vrrp::Burst,
    wire::{AdverInterval, Vrid},
};

use crate::{
    lan::{Lan, Line, VIP},
    pair::{HANDOVER, SECOND, external, millis, running, settled, with_policies},
};

/// What changes, and how it is called.
type Change = (&'static str, fn(&mut Instance));

const OTHER: &str = "192.168.0.61/24";

/// Both nodes get the change, the second one a second later; then a while.
fn changed(mut lan: Lan, change: fn(&mut Instance)) -> Lan {
    for index in [0, 1] {
        let mut instance = lan.stations[index].configured.clone();
        change(&mut instance);
        lan.reload(index, instance);
        lan.run_for(SECOND);
    }
    lan.run_for(SECOND * 30);
    lan
}

#[test]
fn what_says_nothing_of_the_role_leaves_it_alone() {
    let changes: [Change; 9] = [
        ("nothing", |_| ()),
        ("name", |instance| instance.name = "WEB".to_owned()),
        ("preempt", |instance| instance.preempt = Preempt::Never),
        ("preempt_delay", |instance| instance.preempt = Preempt::After(Duration::from_secs(30))),
        ("peers", |instance| instance.peers.push([192, 168, 0, 99].into())),
        ("link_settle", |instance| instance.link_settle = Duration::from_secs(1)),
        ("refresh", |instance| instance.announce.refresh = Duration::from_secs(3)),
        ("lease off", |instance| instance.lease = Lease::Off),
        ("lease fixed", |instance| instance.lease = Lease::Fixed(Duration::from_secs(3))),
    ];
    for (name, change) in changes {
        let mut lan = changed(settled(1), change);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{name}");
        let holders = lan.settle_counts();
        assert_eq!(
            (holders.two, holders.nobody),
            (Duration::ZERO, Duration::ZERO),
            "{name}: {holders:?}\n{}",
            lan.tale(40)
        );
        assert!(lan.released(0).is_empty() && lan.noted(0, "deleted") == 0, "{name}: {}", lan.tale(40));
    }
}

#[test]
fn a_lease_that_is_switched_on_or_off_is_in_force_at_once() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.lease = Lease::Off));
    lan.run_for(SECOND);
    let mut lan = changed(lan, |instance| instance.lease = Lease::Auto);
    lan.kill(0);
    lan.run_for(SECOND * 8);
    assert_eq!(lan.holding(), [1], "it ran out");
}

#[test]
fn a_refresh_that_is_switched_on_begins() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.announce.refresh = Duration::ZERO));
    lan.run_for(SECOND * 20);
    assert!(lan.announced(0).len() <= 1);
    lan.reset_counts();
    let lan = changed(lan, |instance| instance.announce.refresh = Duration::from_secs(5));
    assert!(lan.announced(0).len() >= 5, "{:?}", lan.announced(0));
}

#[test]
fn a_master_announces_as_often_as_it_is_told_to() {
    let mut lan = Lan::with(1, &[100, 99], |_, instance| {
        instance.announce.takeover = Burst::Twice { repeat: 3, delay: SECOND * 2 };
        instance.announce.refresh = Duration::ZERO;
    });
    lan.run_for(SECOND * 20);
    let announced = lan.announced(0);
    let after: Vec<u128> = announced.iter().map(|at| at.saturating_since(lan.held(0)[0]).as_millis()).take(6).collect();
    assert_eq!(after, [0, 20, 40, 2000, 2020, 2040]);
    assert_eq!(announced.len(), 6, "{announced:?}");
}

#[test]
fn an_interval_that_changes_keeps_the_master() {
    let cases = [(1000, 100), (4000, 100), (100, 1), (1, 100), (100, 1000)];
    for (before, after) in cases {
        for phase in [0, 300, 700] {
            let every = |centis| AdverInterval::from_centis(centis).unwrap();
            let mut lan = Lan::with(1, &[100, 99], |_, instance| {
                instance.protocol = Protocol::V3(Checksum::Auto);
                instance.advertise = every(before);
            });
            lan.run_for(every(before).as_duration() * 5 + SECOND * 10);
            assert_eq!(lan.role(0), Role::Master);
            lan.run_for(every(before).as_duration() * phase / 1000);
            lan.reset_counts();
            for index in [0, 1] {
                let instance = Instance { advertise: every(after), ..lan.stations[index].configured.clone() };
                lan.reload(index, instance);
                lan.run_for(millis(10));
            }
            lan.run_for(SECOND * 60);
            assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{before} to {after}, phase {phase}");
            let holders = lan.settle_counts();
            assert_eq!(
                (holders.two, holders.nobody),
                (Duration::ZERO, Duration::ZERO),
                "{before} to {after}, phase {phase}"
            );
        }
    }
}

#[test]
fn a_policy_that_is_added_costs_nothing() {
    let mut lan = settled(1);
    let instance = Instance { policies: vec!["check_local".to_owned()], ..lan.stations[0].configured.clone() };
    lan.reload(0, instance);
    lan.run_for(SECOND);
    assert_eq!(lan.role(0), Role::Master, "not judged yet");
    lan.judge(0, ha::policy::Verdict::Fault { why: "broken".to_owned(), cause: ha::policy::FaultCause::Rules });
    assert_eq!(lan.role(0), Role::Fault);
    // And one that goes judges no more.
    let instance = Instance { policies: vec![], ..lan.stations[0].configured.clone() };
    lan.reload(0, instance);
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn addresses_come_and_go_together() {
    let both: [ipnet::IpNet; 2] = [VIP.parse().unwrap(), OTHER.parse().unwrap()];
    let steps: [&[&str]; 5] = [&[VIP, OTHER], &[OTHER], &[VIP], &["192.168.0.60/32"], &[VIP, OTHER]];
    let mut lan = settled(1);
    for step in steps {
        let wanted: Vec<ipnet::IpNet> = step.iter().map(|address| address.parse().unwrap()).collect();
        let before = lan.kernel(0);
        lan.reset_counts();
        let instance = Instance { addresses: wanted.clone(), ..lan.stations[0].configured.clone() };
        lan.reload(0, instance);
        assert_eq!(lan.kernel(0), wanted, "from {before:?}");
        let announced = lan.announced(0).len();
        assert_eq!(announced, 1, "from {before:?}");
        lan.run_for(millis(5500));
        assert_eq!(lan.kernel(0), wanted);
        let sets = lan.times(0, |line| matches!(line, crate::lan::Line::Hold(set) if *set != wanted));
        assert!(sets.is_empty(), "never both and never none: {}", lan.tale(30));
        assert_eq!(lan.role(0), Role::Master);
        assert_eq!(lan.noted(0, "deleted"), 0);
    }
    assert_eq!(lan.kernel(0), both);
}

#[test]
fn another_address_while_asleep_longer_than_the_lease_is_not_put_there() {
    let mut lan = settled(1);
    lan.freeze(0);
    lan.run_for(SECOND * 8);
    lan.reset_counts();
    lan.thaw_but_do_not_turn(0);
    let instance = Instance { addresses: vec![OTHER.parse().unwrap()], ..lan.stations[0].configured.clone() };
    lan.reload(0, instance);
    lan.run_for(SECOND);
    assert_eq!((lan.held(0).len(), lan.role(0)), (0, Role::Backup), "{}", lan.tale(20));
}

/// What was performed for the one must not be told to the other.
#[test]
fn another_router_of_the_same_name_waits_as_well() {
    let mut lan = settled(1);
    let instance = Instance {
        vrid: Vrid::new(52).unwrap(),
        addresses: vec![OTHER.parse().unwrap()],
        ..lan.stations[0].configured.clone()
    };
    lan.power_off(1);
    lan.reload(0, instance);
    lan.run_for(SECOND);
    assert_eq!(lan.kernel(0), [VIP.parse().unwrap()], "nobody relieves it");
    lan.run_for(SECOND * 10);
    assert_eq!(lan.kernel(0), [OTHER.parse().unwrap()]);
}

/// What makes it another virtual router: the old one hands over, then the new one begins, and never two hold.
#[test]
fn another_identity_hands_over_and_begins_anew() {
    let changes: [Change; 4] = [
        ("vrid", |instance| instance.vrid = Vrid::new(52).unwrap()),
        ("version", |instance| instance.protocol = Protocol::V3(Checksum::Auto)),
        ("transport", |instance| instance.transport = Transport::Unicast),
        ("name", |instance| instance.name = "VI_2".to_owned()),
    ];
    for (name, change) in changes {
        let mut lan = changed(settled(1), change);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{name}: {}", lan.tale(40));
        assert_eq!(lan.holding(), [0], "{name}");
        let holders = lan.settle_counts();
        assert!(holders.longest_two <= HANDOVER, "{name}: {holders:?}\n{}", lan.tale(60));
    }
}

/// The instance that goes hears its heir, and lets go for it.
#[test]
fn an_instance_that_goes_is_relieved_by_its_heir() {
    let mut lan = settled(1);
    let instance = Instance {
        name: "other".to_owned(),
        vrid: Vrid::new(7).unwrap(),
        addresses: vec![OTHER.parse().unwrap()],
        ..lan.stations[0].configured.clone()
    };
    lan.reload(0, instance);
    assert!(lan.stations[0].node.status().instances.iter().any(|instance| instance.name == "VI_1"), "still seen");
    lan.run_for(millis(30));
    assert!(lan.holds(1));
    assert_eq!(lan.kernel(0), []);
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
    assert!(holders.longest_two <= HANDOVER, "{holders:?}");
}

#[test]
fn two_reloads_in_a_row_end_with_the_last_one() {
    let mut lan = settled(1);
    let original = lan.stations[0].configured.clone();
    for vrid in [52, 53, 51] {
        lan.reload(0, Instance { vrid: Vrid::new(vrid).unwrap(), ..original.clone() });
        lan.run_for(millis(5));
    }
    lan.run_for(SECOND * 20);
    let status = lan.stations[0].node.status();
    assert_eq!(status.instances.iter().map(|instance| instance.vrid).collect::<Vec<_>>(), [51]);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn a_password_that_changes_on_one_node_first_makes_no_second_holder() {
    let mut lan = changed(settled(1), |instance| instance.protocol = Protocol::V2(Auth::Pass(*b"2222\0\0\0\0")));
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    assert_eq!(lan.settle_counts().two, Duration::ZERO);
}

/// Whoever takes what is offered would step down for it, and then nobody would be there.
#[test]
fn a_reload_with_another_address_during_an_offer_goes_on_offering() {
    let mut lan = with_policies(1);
    lan.set_policy(1, false);
    lan.run_for(SECOND * 2);
    lan.set_verdict(0, external("the arbiter does not answer"));
    lan.run_until(SECOND * 2, |lan| lan.has_condition(0, "resigning"));
    lan.run_for(millis(100));
    lan.reset_counts();
    let mut instance = lan.stations[0].configured.clone();
    instance.addresses.push(OTHER.parse().unwrap());
    lan.reload(0, instance);
    lan.run_for(millis(100));
    assert!(lan.has_condition(0, "resigning"));
    assert_eq!(lan.kernel(0).len(), 2, "it is held all the same");
    assert_eq!(lan.times(0, |line| matches!(line, Line::Sent(priority) if *priority > 0)), []);
}

#[test]
fn an_instance_that_is_removed_takes_along_what_was_wrong_with_it() {
    let mut lan = settled(1);
    lan.hear(0, [192, 168, 0, 98].into(), 99, b"2222\0\0\0\0");
    lan.run_for(millis(10));
    assert!(lan.has_condition(0, "peer_rejected"));
    let vrid = Vrid::new(7).unwrap();
    let other = Instance { name: "other".to_owned(), vrid, ..lan.stations[0].configured.clone() };
    lan.reload(0, other);
    lan.run_for(SECOND);
    let ended =
        |line: &Line| matches!(line, Line::Event(Event::Cleared(condition)) if condition.name == "peer_rejected");
    assert_eq!(lan.times(0, ended).len(), 1, "{}", lan.tale(20));
    assert!(!lan.has_condition(0, "peer_rejected"));
}
