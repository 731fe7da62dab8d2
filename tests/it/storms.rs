//! Storms: random faults from a seed, the invariants after every step, and calm at the end.
//!
//! `HA_STORMS=N` runs that many seeds of each kind, `HA_STORM_SEED=S` one of them with its story.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::time::Duration;

use ha::{
    config::{Checksum, Instance, Preempt, Protocol, Transport},
    node::Role,
    wire::AdverInterval,
};

use crate::lan::Lan;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn seeds(usually: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    match (number("HA_STORM_SEED"), number("HA_STORMS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(count)) => 0..count,
        (None, None) => 0..usually,
    }
}

/// Where a storm rages, by its number.
fn place(seed: u64, preempt: Preempt, with_policies: bool) -> Lan {
    let policies = |instance: &mut Instance| {
        instance.preempt = preempt;
        if with_policies {
            instance.policies = vec!["check_local".to_owned()];
        }
    };
    let every = |instance: &mut Instance, centis| {
        policies(instance);
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(centis).unwrap();
    };
    match seed % 9 {
        0..=2 => Lan::with(seed + 1, &[100, 99], |_, instance| policies(instance)),
        3 => Lan::with(seed + 1, &[100, 99], |_, instance| every(instance, 100)),
        4 => Lan::with(seed + 1, &[200, 100], |_, instance| every(instance, 10)),
        5 => Lan::v6(seed + 1, &[100, 99], |_, instance| every(instance, 100)),
        6 => Lan::with(seed + 1, &[100, 99], |_, instance| {
            every(instance, 100);
            instance.transport = Transport::Unicast;
        }),
        7 => Lan::with(seed + 1, &[100, 99, 98], |_, instance| policies(instance)),
        _ => Lan::v6(seed + 1, &[150, 100, 50], |_, instance| every(instance, 50)),
    }
}

/// What may happen to a group of nodes at any moment.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Freeze(usize),
    Thaw(usize),
    Pull(usize),
    Plug(usize),
    Cut(usize, usize),
    Heal,
    DeleteAddress(usize),
    Loss(u32),
    Policy(usize, bool),
    Kill(usize),
    Start(usize),
    Mute(usize, bool),
}

fn fault(lan: &mut Lan) -> Fault {
    let count = u64::try_from(lan.stations.len()).unwrap();
    let [index, other] = [0; 2].map(|_| usize::try_from(lan.random(count)).unwrap());
    match lan.random(13) {
        0 => Fault::Freeze(index),
        1 => Fault::Thaw(index),
        2 => Fault::Pull(index),
        3 => Fault::Plug(index),
        4 => Fault::Cut(index, other),
        5 => Fault::Heal,
        6 => Fault::DeleteAddress(index),
        7 => Fault::Loss(u32::try_from(lan.random(30)).unwrap()),
        8 => Fault::Kill(index),
        9 | 10 => Fault::Start(index),
        11 => Fault::Mute(index, lan.random(2) == 1),
        _ => Fault::Policy(index, lan.random(2) == 1),
    }
}

fn inflict(lan: &mut Lan, fault: Fault) {
    match fault {
        Fault::Freeze(index) => lan.freeze(index),
        Fault::Thaw(index) => lan.thaw(index),
        Fault::Pull(index) => lan.plug(index, false),
        Fault::Plug(index) => lan.plug(index, true),
        Fault::Cut(from, to) => {
            lan.cut_vrrp(from, to);
            if lan.random(2) == 1 {
                lan.cut_vrrp(to, from);
            }
        }
        Fault::Heal => lan.heal(),
        Fault::DeleteAddress(index) => lan.delete_address(index),
        Fault::Loss(percent) => lan.loss = percent,
        Fault::Policy(index, ok) => lan.set_policy(index, ok),
        Fault::Kill(index) => lan.kill(index),
        Fault::Start(index) => lan.start_if_dead(index),
        Fault::Mute(index, mute) => lan.stations[index].mute = mute,
    }
}

fn calm(lan: &mut Lan) {
    lan.loss = 0;
    lan.heal();
    for index in 0..lan.stations.len() {
        lan.stations[index].mute = false;
        lan.start_if_dead(index);
        lan.thaw(index);
        lan.plug(index, true);
        lan.set_policy(index, true);
    }
}

/// One storm of a minute, then calm: exactly one holder, the highest one, and it stays.
fn storm(seed: u64) -> Lan {
    let mut lan = place(seed, Preempt::AtOnce, seed.is_multiple_of(2));
    lan.kernel_late = Duration::from_millis(lan.random(1000));
    lan.run_for(SECOND * 10);
    for _ in 0..30 {
        let fault = fault(&mut lan);
        inflict(&mut lan, fault);
        let pause = lan.random(4000);
        lan.run_for(Duration::from_millis(pause));
    }
    calm(&mut lan);
    // Deletions may have sent a node away for a minute, and a deaf peer is let be for a while.
    lan.run_for(SECOND * 400);
    lan
}

#[test]
fn after_a_storm_the_higher_node_holds_the_address_alone() {
    for seed in seeds(18) {
        let mut lan = storm(seed);
        assert_eq!(lan.holding(), [0], "seed {seed}: {}", lan.tale(60));
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "seed {seed}");
        lan.reset_counts();
        lan.run_for(SECOND * 30);
        let holders = lan.settle_counts();
        assert!(holders.two.is_zero() && holders.nobody.is_zero(), "seed {seed}: {holders:?}");
    }
}

/// Without loss and cuts every advertisement and answer arrives: then freezes and deletions never make two holders for
/// longer than a handover, as long as every takeover looks first.
#[test]
fn freezes_never_make_two_holders_where_every_takeover_is_a_claim() {
    for seed in seeds(18) {
        freezes(seed, Preempt::Never, Duration::from_millis(30));
    }
}

/// A lower master that freezes in the very seconds in which it is being preempted does not let go when it is told; its
/// lease does it then (R3: preemption does not claim).
#[test]
fn freezes_under_preemption_are_bounded_by_the_lease() {
    for seed in seeds(18) {
        freezes(seed, Preempt::AtOnce, Duration::from_millis(3020));
    }
}

fn freezes(seed: u64, preempt: Preempt, bound: Duration) {
    let mut lan = place(seed, preempt, false);
    lan.kernel_late = Duration::from_millis(lan.random(1000));
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    for step in 0..20 {
        let index = usize::try_from(lan.random(2)).unwrap();
        match lan.random(4) {
            0 => lan.freeze(index),
            1 | 2 => lan.thaw(index),
            _ => lan.delete_address(index),
        }
        let pause = lan.random(5000);
        lan.run_for(Duration::from_millis(pause));
        let longest = lan.settle_counts().longest_two;
        assert!(longest <= bound, "seed {seed}, step {step}: {longest:?}\n{}", lan.tale(60));
    }
}
