//! Instances that lead and follow together (R16, R17, R26): two machines with two virtual routers each.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's own machinery")]

pub(crate) mod wires;

use std::time::Duration;

use ha::{
    config::{Config, Effect, Preempt, Preference, TrackedInterface, WellWhile},
    node::{
        Input, LinkSeen,
        Role::{Backup, Fault, Master},
    },
    policy::Verdict,
    wire::Priority,
};
use wires::{Wires, config};

use crate::pair::{SECOND, millis};

const APART: [usize; 2] = [0, 1];
const ONE_WIRE: [usize; 2] = [0, 0];

fn with(seed: u64, wires: [usize; 2], change: impl Fn(usize, &mut Config)) -> Wires {
    let configs = [(0, 150), (1, 100)].map(|(index, priority)| {
        let mut config = config(index, priority, wires);
        change(index, &mut config);
        config
    });
    Wires::new(seed, configs)
}

/// Machine 0 leads both.
fn settled(seed: u64, wires: [usize; 2]) -> Wires {
    running(with(seed, wires, |_, _| ()))
}

fn running(mut wires: Wires) -> Wires {
    wires.run_for(SECOND * 12);
    assert_eq!(wires.holding(), [vec![0], vec![0]], "{}", wires.tale(60));
    assert_eq!(wires.roles(1), [Backup, Backup]);
    wires
}

fn judged(wires: &mut Wires) {
    for (index, member) in [(0, "VI_1"), (0, "VI_2"), (1, "VI_1"), (1, "VI_2")] {
        wires.set_policy(index, member, true);
    }
}

fn with_policies(seed: u64, wires: [usize; 2]) -> Wires {
    let mut wires = with(seed, wires, |_, config| {
        for instance in &mut config.instances {
            instance.policies = vec!["check_local".to_owned()];
        }
    });
    judged(&mut wires);
    running(wires)
}

#[test]
fn one_cable_moves_both_and_both_come_back() {
    for (seed, wire) in (0..10).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        let mut wires = settled(seed, APART);
        wires.run_for(millis(seed * 97));
        wires.plug(0, wire, false);
        assert_eq!(wires.roles(0), [Fault, Fault]);
        let other = 1 - wire;
        let text = wires.condition(0, other, "group").unwrap();
        assert!(text.starts_with(&format!("VI_{}, of the same group G1: interface eth{wire}", wire + 1)), "{text}");
        let at = wires.now;
        let zeros = |wires: &Wires, vrid: u8| wires.sent.iter().filter(|sent| **sent == (at, 0, vrid, 0)).count();
        assert!(zeros(&wires, 51 + u8::try_from(other).unwrap()) >= 1, "the dragged member resigns on the wire");
        wires.run_for(SECOND * 6);
        assert_eq!(wires.holding(), [vec![1], vec![1]], "seed {seed}: {}", wires.tale(60));
        assert!(wires.condition(1, 0, "group_waits").is_none());
        wires.plug(0, wire, true);
        wires.run_for(SECOND * 15);
        assert_eq!(wires.holding(), [vec![0], vec![0]], "seed {seed}: {}", wires.tale(60));
    }
}

/// R17: the permission of one member is that of all that follow the same machine.
#[test]
fn r17_permission_covers_every_member_that_follows_the_same_machine() {
    for seed in 0..10 {
        let mut wires = settled(seed, ONE_WIRE);
        wires.run_for(millis(seed * 97));
        // Only one of the two resignations is heard.
        wires.lost = Some(52);
        wires.stop(0);
        wires.run_for(millis(200));
        assert_eq!(wires.holding(), [vec![1], vec![1]], "seed {seed}: {}", wires.tale(60));
    }
}

#[test]
fn a_fault_of_one_is_a_fault_of_all() {
    for seed in 0..10 {
        let mut wires = with_policies(seed, APART);
        wires.set_policy(0, "VI_2", false);
        wires.run_for(SECOND);
        assert_eq!(wires.roles(0), [Fault, Fault]);
        wires.run_for(SECOND * 5);
        assert_eq!(wires.holding(), [vec![1], vec![1]], "seed {seed}: {}", wires.tale(60));
        wires.set_policy(0, "VI_2", true);
        wires.run_for(SECOND * 15);
        assert_eq!(wires.holding(), [vec![0], vec![0]], "seed {seed}: {}", wires.tale(60));
    }
}

/// What a policy of one member adds to its priority holds for all, so the pair agrees on who leads.
#[test]
fn weights_hold_for_every_member() {
    let mut wires = with_policies(1, APART);
    wires.set_verdict(0, "VI_2", Verdict::Healthy { delta: -100, note: String::new() });
    wires.run_for(SECOND * 10);
    let bids = wires.machines[0]
        .node
        .status()
        .instances
        .iter()
        .map(|it| it.effective_priority.unwrap().get())
        .collect::<Vec<_>>();
    assert_eq!(bids, [50, 50]);
    assert_eq!(wires.holding(), [vec![1], vec![1]], "{}", wires.tale(60));
}

/// R26: the machine that is silent still answers for one of the addresses.
#[test]
fn r26_a_member_in_conflict_keeps_the_whole_group_back() {
    let mut wires = with(1, APART, |_, config| {
        for instance in &mut config.instances {
            instance.lease = ha::config::Lease::Off;
        }
    });
    wires.run_for(SECOND * 12);
    wires.kill(0);
    wires.delete_address(0, 0);
    wires.run_for(SECOND * 10);
    assert_eq!(wires.roles(1), [Backup, Backup], "{}", wires.tale(60));
    assert!(wires.condition(1, 1, "conflict").is_some());
    let text = wires.condition(1, 0, "group_waits").unwrap();
    assert!(text.contains("group G1 leads only as a whole. VI_2: conflict: 192.168.1.20"), "{text}");
    wires.delete_address(0, 1);
    wires.run_for(SECOND * 3);
    assert_eq!(wires.holding(), [vec![1], vec![1]], "{}", wires.tale(60));
    assert!(wires.condition(1, 0, "group_waits").is_none());
}

/// The wire of one member is cut: the backup hears the other and leaves both alone.
#[test]
fn silence_of_one_member_alone_takes_nothing() {
    let mut wires = settled(1, APART);
    wires.cut(0, 1, 0);
    wires.run_for(SECOND * 20);
    assert_eq!(wires.holding(), [vec![0], vec![0]], "{}", wires.tale(60));
    wires.heal();
    wires.run_for(SECOND * 20);
    assert_eq!(wires.holding(), [vec![0], vec![0]], "{}", wires.tale(60));
}

#[test]
fn a_stop_hands_over_everything_without_a_gap() {
    for (seed, place) in (0..10).flat_map(|seed| [(seed, APART), (seed, ONE_WIRE)]) {
        let mut wires = settled(seed, place);
        wires.run_for(millis(seed * 97));
        wires.stop(0);
        for _ in 0..60 {
            wires.run_for(millis(5));
            let holding = wires.holding();
            assert!(holding.iter().all(|holders| !holders.is_empty()), "seed {seed}: {}", wires.tale(60));
        }
        assert_eq!(wires.holding(), [vec![1], vec![1]], "seed {seed}: {}", wires.tale(60));
        assert_eq!(wires.roles(0), [Fault, Fault]);
    }
}

/// Somebody higher takes one member: the rest goes too, in order.
#[test]
fn whoever_loses_one_member_hands_over_the_others() {
    let mut wires = settled(1, APART);
    wires.together = false;
    let mut single = wires.machines[1].config.clone();
    single.groups.clear();
    single.instances[0].priority = ha::wire::Priority::new(200).unwrap();
    wires.reload(1, single);
    wires.run_for(SECOND * 8);
    assert_eq!(wires.holding(), [vec![1], vec![1]], "{}", wires.tale(60));
    assert_eq!(wires.roles(0), [Backup, Backup]);
    let reason = wires.machines[0].node.status().instances[1].reason.clone();
    assert_eq!(reason, "VI_1, of the same group G1, does not lead: 192.168.0.21 leads it");
}

/// Different ranks of the members: nobody ever preempts, and nothing moves.
#[test]
fn crossed_priorities_do_not_make_it_flap() {
    for seed in 0..10 {
        let mut wires = with(seed, APART, |index, config| {
            let crossed = if index == 0 { 90 } else { 120 };
            config.instances[1].priority = ha::wire::Priority::new(crossed).unwrap();
        });
        wires.run_for(SECOND * 20);
        let first = wires.holding();
        assert!(
            first == [vec![0], vec![0]] || first == [vec![1], vec![1]],
            "seed {seed}: {first:?}\n{}",
            wires.tale(60)
        );
        wires.story.clear();
        wires.run_for(SECOND * 60);
        assert_eq!(wires.holding(), first);
        assert!(!wires.tale(10_000).contains(" → "), "seed {seed}: {}", wires.tale(60));
    }
}

/// A group that a reload forms, widens or dissolves: whoever leads goes on.
#[test]
fn a_reload_of_groups_keeps_the_roles() {
    let mut wires = settled(1, APART);
    wires.story.clear();
    let grouped = [0, 1].map(|index| wires.machines[index].config.clone());
    let dissolved = grouped.clone().map(|mut config| {
        config.groups.clear();
        config
    });
    for configs in [dissolved, grouped.clone(), grouped] {
        for (index, config) in configs.into_iter().enumerate() {
            wires.reload(index, config);
            wires.run_for(SECOND * 3);
        }
    }
    assert!(!wires.tale(10_000).contains(" → "), "{}", wires.tale(60));
}

/// A virtual router is what it is on the wire, whatever it is called: alone, in a group, with the name of another one, and
/// with another priority.
#[test]
fn an_instance_that_is_called_otherwise_keeps_its_role() {
    let mut wires = settled(1, APART);
    wires.story.clear();
    wires.sent.clear();
    let begin = wires.now;
    let calls = [["WEB", "VI_2"], ["VI_2", "WEB"], ["WEB", "VI_1"], ["VI_1", "VI_2"]];
    for (step, names) in calls.into_iter().enumerate() {
        for index in [0, 1] {
            let mut config = wires.machines[index].config.clone();
            for (instance, name) in config.instances.iter_mut().zip(names) {
                instance.name = name.to_owned();
                instance.priority =
                    Priority::new(if index == 0 { 150 + u8::try_from(step).unwrap() } else { 100 }).unwrap();
            }
            config.groups[0].instances = names.map(str::to_owned).to_vec();
            wires.reload(index, config);
            let called: Vec<String> =
                wires.machines[index].node.status().instances.into_iter().map(|it| it.name).collect();
            assert!(names.iter().all(|name| called.contains(&(*name).to_owned())), "{called:?}");
            wires.run_for(millis(3700));
        }
    }
    let tale = wires.tale(10_000);
    assert!(!tale.contains(" → ") && tale.contains("VI_2: Note(\"it was called VI_1 until now"), "{tale}");
    assert_eq!(wires.holding(), [vec![0], vec![0]]);
    for vrid in [51, 52] {
        let mine = wires.sent.iter().filter(|sent| (sent.1, sent.2) == (0, vrid));
        let at: Vec<_> = std::iter::once(begin).chain(mine.map(|sent| sent.0)).collect();
        assert!(at.windows(2).all(|two| two[1].saturating_since(two[0]) <= SECOND), "{vrid}: {at:?}");
    }
    assert!(wires.sent.iter().all(|sent| sent.1 == 0 && sent.3 >= 150), "{:?}", wires.sent);
}

/// The name is another's now: whoever had it hands over under one of its own.
#[test]
fn an_instance_that_goes_makes_room_for_its_name() {
    let mut wires = with(1, APART, |_, config| config.groups.clear());
    wires.together = false;
    wires.run_for(SECOND * 12);
    wires.story.clear();
    let mut config = wires.machines[0].config.clone();
    config.instances.remove(1);
    config.instances[0].name = "VI_2".to_owned();
    let before = std::mem::replace(&mut wires.machines[0].config, config.clone());
    wires.reload(0, config);
    let names = |wires: &Wires| -> Vec<String> {
        wires.machines[0].node.status().instances.into_iter().map(|it| it.name).collect()
    };
    assert_eq!(names(&wires), ["VI_2", "VI_2 (before)"]);
    wires.run_for(SECOND * 3);
    assert_eq!(names(&wires), ["VI_2"]);
    wires.machines[0].config = before;
    assert_eq!(wires.holding(), [vec![0], vec![1]], "{}", wires.tale(60));
    assert!(!wires.tale(10_000).contains("VI_2: master →"), "{}", wires.tale(60));
}

/// A member that is new is waited for.
#[test]
fn a_member_that_comes_joins_those_that_lead() {
    let mut wires = with(1, APART, |_, _| ());
    let full = [0, 1].map(|index| wires.machines[index].config.clone());
    wires.together = false;
    for (index, config) in full.clone().into_iter().enumerate() {
        let mut small = config;
        small.instances.truncate(1);
        small.groups.clear();
        wires.reload(index, small);
    }
    wires.run_for(SECOND * 12);
    assert_eq!(wires.machines[0].node.status().instances[0].role, Master);
    wires.story.clear();
    for (index, config) in full.into_iter().enumerate() {
        wires.reload(index, config);
        wires.run_for(millis(500));
    }
    wires.run_for(SECOND * 10);
    assert_eq!(wires.holding(), [vec![0], vec![0]], "{}", wires.tale(60));
    assert!(!wires.tale(10_000).contains("VI_1: master →"), "{}", wires.tale(60));
}

/// The process dies and comes back within its lease: it goes on as master of both.
#[test]
fn r13_a_restart_goes_on_with_all_of_them() {
    for seed in 0..10 {
        let mut wires = settled(seed, APART);
        wires.kill(0);
        wires.run_for(millis(500));
        wires.start_if_dead(0);
        wires.run_for(millis(10));
        assert_eq!(wires.roles(0), [Master, Master], "{}", wires.tale(60));
        wires.run_for(SECOND * 10);
        assert_eq!(wires.holding(), [vec![0], vec![0]], "{}", wires.tale(60));
    }
}

fn inflict(wires: &mut Wires) {
    let [index, wire] = [0; 2].map(|_| usize::try_from(wires.random(2)).unwrap());
    let member = if wire == 0 { "VI_1" } else { "VI_2" };
    match wires.random(13) {
        0 => wires.freeze(index),
        1 | 2 => wires.thaw(index),
        3 => wires.plug(index, wire, false),
        4 => wires.plug(index, wire, true),
        5 => wires.cut(index, 1 - index, wire),
        6 => wires.heal(),
        7 => wires.delete_address(index, wire),
        8 => wires.loss = wires.random(30),
        9 => wires.kill(index),
        10 => wires.start_if_dead(index),
        11 => wires.set_policy(index, member, false),
        _ => wires.set_policy(index, member, true),
    }
}

fn calm(wires: &mut Wires) {
    wires.loss = 0;
    wires.heal();
    for index in 0..2 {
        wires.start_if_dead(index);
        wires.thaw(index);
        wires.plug(index, 0, true);
        wires.plug(index, 1, true);
    }
    judged(wires);
}

/// Random faults: the members of a group never differ for longer than a handover (see the simulator), and in the end the
/// higher node holds everything alone.
#[test]
fn after_a_storm_the_higher_node_holds_everything() {
    for seed in crate::storms::seeds(5) {
        let place = if seed % 3 == 0 { ONE_WIRE } else { APART };
        let mut wires = with(seed, place, |_, config| {
            for instance in &mut config.instances {
                instance.policies = vec!["check_local".to_owned()];
                instance.prefer = if seed % 4 == 1 { Preference::Availability } else { Preference::Safety };
                instance.preempt = if seed % 4 == 2 { Preempt::After(SECOND * 2) } else { Preempt::AtOnce };
            }
        });
        judged(&mut wires);
        wires.run_for(SECOND * 12);
        for _ in 0..30 {
            inflict(&mut wires);
            let pause = wires.random(4000);
            wires.run_for(millis(pause));
        }
        calm(&mut wires);
        // Deletions may have sent a node away for a minute, and a deaf peer is let be for a while.
        wires.run_for(SECOND * 200);
        assert_eq!(wires.holding(), [vec![0], vec![0]], "seed {seed}: {}", wires.tale(80));
        wires.story.clear();
        wires.run_for(Duration::from_secs(30));
        assert!(!wires.tale(10_000).contains(" → "), "seed {seed}: {}", wires.tale(60));
    }
}

/// What both members track counts once, and a fault of it is a fault of both.
#[test]
fn what_a_group_tracks_counts_once() {
    let mut wires = running(with(1, APART, |index, config| {
        for instance in config.instances.iter_mut().filter(|_| index == 0) {
            let tracked = |name: &str, effect| TrackedInterface {
                any: vec![name.parse().unwrap()],
                well: WellWhile::Absent,
                effect,
            };
            instance.tracks.interfaces = vec![tracked("eth7", Effect::Weight(-20)), tracked("eth8", Effect::Fault)];
        }
    }));
    let bids = |wires: &Wires| -> Vec<_> {
        let status = wires.machines[0].node.status();
        status.instances.iter().map(|instance| instance.effective_priority.map(ha::wire::Priority::get)).collect()
    };
    let link = |wires: &mut Wires, name: &str, carrier| {
        let link = LinkSeen { name: name.parse().unwrap(), index: 7, mac: None, up: true, carrier, port_of: None };
        wires.hand_in(0, Input::Link(link));
    };
    assert_eq!(bids(&wires), [Some(150), Some(150)]);
    link(&mut wires, "eth7", true);
    assert_eq!(bids(&wires), [Some(130), Some(130)]);
    link(&mut wires, "eth8", true);
    assert_eq!(wires.roles(0), [Fault, Fault]);
    wires.run_for(SECOND * 6);
    assert_eq!(wires.holding(), [vec![1], vec![1]]);
    link(&mut wires, "eth8", false);
    wires.run_for(SECOND * 15);
    assert_eq!(wires.holding(), [vec![0], vec![0]]);
}
