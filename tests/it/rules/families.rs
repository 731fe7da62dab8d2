//! The same stories over IPv6, with short intervals, by unicast, with three nodes and with equals.

use std::time::Duration;

use ha::{
    config::{Checksum, Claim, Instance, Preempt, Protocol, Transport},
    node::Role,
    wire::AdverInterval,
};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, millis},
};

/// One way to run a group of nodes.
struct Kind {
    name: &'static str,
    priorities: &'static [u8],
    centis: u16,
    make: fn(u64, &[u8], u16) -> Lan,
}

fn v3(instance: &mut Instance, centis: u16) {
    instance.protocol = Protocol::V3(Checksum::Auto);
    instance.advertise = AdverInterval::from_centis(centis).unwrap();
}

fn v4_lan(seed: u64, priorities: &[u8], centis: u16) -> Lan {
    Lan::with(seed, priorities, |_, instance| v3(instance, centis))
}

fn v6_lan(seed: u64, priorities: &[u8], centis: u16) -> Lan {
    Lan::v6(seed, priorities, |_, instance| v3(instance, centis))
}

fn unicast_lan(seed: u64, priorities: &[u8], centis: u16) -> Lan {
    Lan::with(seed, priorities, |_, instance| {
        v3(instance, centis);
        instance.transport = Transport::Unicast;
    })
}

fn v2_lan(seed: u64, priorities: &[u8], _: u16) -> Lan {
    Lan::new(seed, priorities)
}

fn kinds() -> Vec<Kind> {
    vec![
        Kind { name: "version 3", priorities: &[100, 99], centis: 100, make: v4_lan },
        Kind { name: "IPv6", priorities: &[100, 99], centis: 100, make: v6_lan },
        Kind { name: "IPv6, 10 ms", priorities: &[100, 90], centis: 1, make: v6_lan },
        Kind { name: "10 ms", priorities: &[100, 99], centis: 1, make: v4_lan },
        Kind { name: "10 ms, far apart", priorities: &[200, 100], centis: 1, make: v4_lan },
        Kind { name: "50 ms", priorities: &[100, 99], centis: 5, make: v4_lan },
        Kind { name: "unicast", priorities: &[100, 99], centis: 100, make: unicast_lan },
        Kind { name: "three", priorities: &[100, 99, 98], centis: 100, make: v2_lan },
        Kind { name: "three, far apart", priorities: &[150, 100, 50], centis: 100, make: v4_lan },
        Kind { name: "three by unicast", priorities: &[100, 99, 98], centis: 100, make: unicast_lan },
        Kind { name: "three, 10 ms", priorities: &[200, 130, 60], centis: 1, make: v4_lan },
        Kind { name: "three over IPv6", priorities: &[100, 99, 98], centis: 100, make: v6_lan },
    ]
}

impl Kind {
    fn settled(&self, seed: u64) -> Lan {
        let mut lan = (self.make)(seed, self.priorities, self.centis);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "{}, seed {seed}: {}", self.name, lan.tale(40));
        // Whoever was overruled answers the calls on their way for up to 3 ms.
        assert!(lan.settle_counts().longest_two <= millis(4), "{}: starting together", self.name);
        lan.reset_counts();
        lan
    }

    fn interval(&self) -> Duration {
        AdverInterval::from_centis(self.centis).unwrap().as_duration()
    }

    /// What a lower node may take to preempt or to be missed, with a margin.
    fn down(&self) -> Duration {
        self.interval() * 4 + millis(20)
    }

    fn is_a_pair(&self) -> bool {
        self.priorities.len() == 2
    }
}

#[test]
fn the_highest_leads_and_takes_back_what_it_lost() {
    for kind in kinds() {
        let mut lan = kind.settled(1);
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [1], "{}: {}", kind.name, lan.tale(40));
        let holders = lan.settle_counts();
        assert_eq!(holders.two, Duration::ZERO, "{}", kind.name);
        assert!(holders.nobody <= kind.down(), "{}: {holders:?}", kind.name);
        lan.reset_counts();
        lan.start(0);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "{}", kind.name);
        let holders = lan.settle_counts();
        assert_eq!(holders.nobody, Duration::ZERO, "{}", kind.name);
        assert!(holders.longest_two <= HANDOVER, "{}: {holders:?}", kind.name);
    }
}

#[test]
fn resigning_leaves_no_gap_and_the_only_heir_is_at_once() {
    for kind in kinds() {
        let mut lan = kind.settled(2);
        lan.stop(0);
        let took = lan.run_until(SECOND * 2, |lan| lan.holds(1));
        if kind.is_a_pair() {
            assert!(took <= millis(3), "{}: {took:?}", kind.name);
        } else {
            let skew = kind.interval() * (256 - u32::from(kind.priorities[1])) / 256;
            assert!(took >= skew, "{}: the skew orders several: {took:?}", kind.name);
        }
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [1], "{}", kind.name);
        let holders = lan.settle_counts();
        assert_eq!(holders.nobody, Duration::ZERO, "{}: {holders:?}", kind.name);
        assert!(holders.longest_two <= HANDOVER, "{}: {holders:?}", kind.name);
    }
}

#[test]
fn a_freeze_ends_with_one_holder() {
    for kind in kinds() {
        for phase in 0..2 {
            let mut lan = kind.settled(phase);
            lan.run_for(millis(phase * 517));
            lan.freeze(0);
            lan.run_for(SECOND * 6);
            assert_eq!(lan.holding(), [1], "{}, phase {phase}: {}", kind.name, lan.tale(30));
            lan.thaw(0);
            lan.run_for(SECOND * 6);
            assert_eq!(lan.holding(), [0], "{}, phase {phase}", kind.name);
            let holders = lan.settle_counts();
            assert!(holders.longest_nobody <= kind.down() + SECOND * 3, "{}: {holders:?}", kind.name);
            // Where a second is too long for the lease, `ha check` says so; the claim waits for its end.
            assert!(holders.longest_two <= HANDOVER, "{}, phase {phase}: {holders:?}", kind.name);
        }
    }
}

#[test]
fn killed_daemons_addresses_lapse_before_they_are_taken() {
    for kind in kinds() {
        let mut lan = kind.settled(3);
        lan.kill(0);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [1], "{}", kind.name);
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "{}", kind.name);
    }
}

#[test]
fn a_cable_moves_the_address_and_brings_it_back() {
    for kind in kinds() {
        let mut lan = kind.settled(4);
        lan.plug(0, false);
        lan.run_for(SECOND * 8);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master), "{}", kind.name);
        lan.plug(0, true);
        lan.run_for(SECOND * 15);
        assert_eq!(lan.holding(), [0], "{}", kind.name);
        assert!(lan.settle_counts().longest_two <= HANDOVER, "{}", kind.name);
    }
}

#[test]
fn advertisements_cut_both_ways_make_no_second_holder() {
    for kind in kinds().iter().filter(|kind| kind.is_a_pair()) {
        let mut lan = kind.settled(5);
        lan.cut_vrrp(0, 1);
        lan.cut_vrrp(1, 0);
        lan.run_for(SECOND * 12);
        assert_eq!(lan.holding(), [0], "{}: {}", kind.name, lan.tale(40));
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "{}", kind.name);
        lan.heal();
        lan.run_for(SECOND * 5);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{}", kind.name);
    }
}

/// The address breaks the tie, among masters only: who leads stays.
#[test]
fn equals_are_ordered_by_address_only_when_both_lead() {
    for make in [v4_lan, v6_lan, v2_lan] {
        for seed in 0..10 {
            let mut lan = make(seed, &[100, 100], 100);
            lan.run_for(SECOND * 15);
            assert_eq!(lan.holding().len(), 1, "seed {seed}: {}", lan.tale(40));
            assert!(lan.settle_counts().longest_two <= HANDOVER, "seed {seed}");
            let first = lan.holding()[0];
            let other = 1 - first;
            lan.power_off(first);
            lan.run_for(SECOND * 6);
            assert_eq!(lan.holding(), [other]);
            lan.start(first);
            lan.run_for(SECOND * 10);
            assert_eq!(lan.holding(), [other], "an equal does not preempt");
        }
    }
}

#[test]
fn of_two_equals_that_both_lead_the_higher_address_goes_on() {
    for seed in 0..5 {
        let mut lan = Lan::with(seed, &[100, 100], |_, instance| instance.claim = Claim::Off);
        lan.run_for(SECOND * 10);
        lan.cut_vrrp(0, 1);
        lan.cut_vrrp(1, 0);
        lan.run_until(SECOND * 5, |lan| lan.holding() == [0, 1]);
        lan.heal();
        lan.run_for(SECOND * 2);
        assert_eq!(lan.holding(), [1], "seed {seed}: {}", lan.tale(40));
        assert!(lan.reason(0).contains("the same priority and a higher address"), "{}", lan.reason(0));
    }
}

#[test]
fn of_three_the_skew_chooses_the_highest_that_is_left() {
    for seed in 0..10 {
        let mut lan = Lan::new(seed, &[100, 60, 90]);
        lan.run_for(SECOND * 15);
        assert_eq!(lan.holding(), [0]);
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 3 + millis(800));
        assert_eq!(lan.holding(), [2], "seed {seed}: {}", lan.tale(40));
        lan.run_for(SECOND * 10);
        assert!(lan.sent(1).is_empty(), "seed {seed}: the lowest never spoke: {}", lan.tale(40));
        assert_eq!(lan.settle_counts().two, Duration::ZERO);
    }
}

#[test]
fn without_preemption_whoever_leads_stays() {
    let mut lan = Lan::v6(1, &[100, 99, 98], |_, instance| instance.preempt = Preempt::Never);
    lan.run_for(SECOND * 15);
    lan.power_off(0);
    lan.run_for(SECOND * 6);
    let leads = lan.holding();
    lan.start(0);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), leads);
    assert_eq!(lan.role(0), Role::Backup);
}

#[test]
fn r15_over_ipv6_the_source_is_link_local_and_the_first_address_too() {
    let lan = Kind { name: "IPv6", priorities: &[100, 99], centis: 100, make: v6_lan }.settled(1);
    let status = lan.stations[0].node.status();
    let source = status.instances[0].source.unwrap();
    assert!(matches!(source, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local()));
    assert_eq!(lan.kernel(0).len(), 2);
    assert!(!lan.story.iter().any(|(_, index, line)| *index == 1 && matches!(line, Line::Sent(_))));
}
