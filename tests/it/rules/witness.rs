//! The third vote: what `arbiter` and `strict` promise and cost, row by row as the README's table has it, and storms.

use std::time::Duration;

use ha::{
    config::{Instance, Preempt, WitnessMode, Witnessed},
    node::Role,
};

use crate::{
    lan::Lan,
    pair::{HANDOVER, SECOND, millis, running},
    storms::seeds,
};

const TTL: Duration = Duration::from_secs(5);
/// Longer than any lease, timer and pause.
const LONG: Duration = Duration::from_secs(60);
const KEY: &str = "ipv4-51";

use WitnessMode::{Arbiter, Strict};

fn witnessed(mode: WitnessMode) -> impl Fn(usize, &mut Instance) {
    move |_, instance| instance.witness = Some(Witnessed { mode, ttl: TTL })
}

/// Node 0 (priority 100) serves and holds the witness, node 1 (99) stands by.
fn settled(seed: u64, mode: WitnessMode) -> Lan {
    let lan = running(Lan::with(seed, &[100, 99], witnessed(mode)));
    assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0));
    lan
}

/// Neither hears anything of the other; both have their carriers.
fn part(lan: &mut Lan) {
    lan.stations[1].blocked = true;
}

fn start_without_witness(lan: &mut Lan) {
    lan.etcd.down = true;
    for index in 0..2 {
        lan.kill(index);
    }
    lan.run_for(SECOND * 10);
    for index in 0..2 {
        lan.start(index);
    }
}

/// A row: what happens, who holds long after it, whether the address was ever with two for longer than a handover.
type Row = (&'static str, fn(&mut Lan), [&'static [usize]; 2]);

/// The holders long after, with `arbiter` and with `strict`.
const ROWS: [Row; 14] = [
    ("nothing", |_| (), [&[0], &[0]]),
    ("the witness is away", |lan| lan.etcd.down = true, [&[0], &[]]),
    ("the witness is away from the master", |lan| lan.etcd.away_from = [0].into(), [&[0], &[1]]),
    ("the witness is away from the standby", |lan| lan.etcd.away_from = [1].into(), [&[0], &[0]]),
    ("the witness is slow", |lan| lan.etcd.takes = millis(400), [&[0], &[0]]),
    ("its answers to the master are lost", |lan| lan.etcd.unheard_by = [0].into(), [&[0], &[1]]),
    ("the nodes are parted", part, [&[0], &[0]]),
    (
        "parted, and the witness is away from the master",
        |lan| {
            part(lan);
            lan.etcd.away_from = [0].into();
        },
        [&[1], &[1]],
    ),
    (
        "parted, and the witness is away from the standby",
        |lan| {
            part(lan);
            lan.etcd.away_from = [1].into();
        },
        [&[0], &[0]],
    ),
    (
        "parted, and the witness is away",
        |lan| {
            part(lan);
            lan.etcd.down = true;
        },
        [&[], &[]],
    ),
    ("the master's machine is gone", |lan| lan.power_off(0), [&[1], &[1]]),
    (
        "the master's machine is gone, and the witness is away",
        |lan| {
            lan.etcd.down = true;
            lan.power_off(0);
        },
        [&[], &[]],
    ),
    ("both start while the witness is away", start_without_witness, [&[], &[]]),
    (
        "the standby's machine is gone, and the witness is away",
        |lan| {
            lan.etcd.down = true;
            lan.power_off(1);
        },
        [&[], &[]],
    ),
];

#[test]
fn what_each_mode_promises_row_by_row() {
    for (what, act, expected) in ROWS {
        for (mode, holders) in [Arbiter, Strict].into_iter().zip(expected) {
            for seed in 0..3 {
                let mut lan = settled(seed, mode);
                lan.kernel_late = millis(seed * 240);
                lan.run_for(millis(seed * 311));
                act(&mut lan);
                lan.run_for(LONG);
                let row = format!("{mode:?}, {what}, seed {seed}");
                assert_eq!(lan.holding(), holders, "{row}\n{}", lan.tale(60));
                assert_eq!(lan.settle_counts().two, Duration::ZERO, "{row}\n{}", lan.tale(60));
            }
        }
    }
}

/// Both ask for the address again and again, and let each other go first (R19c): the silence goes on, and is named once.
#[test]
fn who_waits_for_the_witness_says_so_once() {
    let mut lan = settled(0, Arbiter);
    start_without_witness(&mut lan);
    lan.run_for(LONG);
    for index in 0..2 {
        assert!(lan.has_condition(index, "elected"), "{}", lan.tale(20));
        assert_eq!(lan.raised(index, "elected"), 1, "{}", lan.tale(20));
    }
}

#[test]
fn what_is_mended_serves_again() {
    for (what, act, _) in ROWS {
        for mode in [Arbiter, Strict] {
            let mut lan = settled(3, mode);
            act(&mut lan);
            lan.run_for(LONG);
            lan.etcd.down = false;
            lan.etcd.away_from.clear();
            lan.etcd.unheard_by.clear();
            lan.etcd.takes = millis(2);
            for index in 0..2 {
                lan.stations[index].blocked = false;
                lan.start_if_dead(index);
            }
            lan.run_for(LONG);
            assert_eq!(lan.holding(), [0], "{mode:?}, {what}: {}", lan.tale(60));
            assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0), "{mode:?}, {what}");
        }
    }
}

#[test]
fn losing_the_witness_while_the_peer_is_visible_changes_nothing() {
    let mut lan = settled(1, Arbiter);
    lan.etcd.down = true;
    lan.run_for(LONG);
    let holders = lan.settle_counts();
    assert!(holders.two.is_zero() && holders.nobody.is_zero(), "{holders:?}");
    assert_eq!(lan.raised(0, "witness_unreachable"), 1);
    assert_eq!(lan.transitions(0), Vec::<&str>::new());
}

#[test]
fn who_has_no_word_and_sees_no_peer_lets_go_before_the_other_may_take() {
    for seed in 0..20 {
        let mut lan = settled(seed, Arbiter);
        // It had the peer to stand on, and then nothing.
        lan.etcd.away_from = [0].into();
        lan.run_for(LONG + millis(seed * 53));
        assert_eq!(lan.holding(), [0]);
        part(&mut lan);
        lan.run_for(LONG);
        assert_eq!(lan.holding(), [1], "seed {seed}: {}", lan.tale(60));
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "seed {seed}: {}", lan.tale(60));
    }
}

/// The standby's skew is nothing, and the two are parted at any moment of an interval: at once, after one advertisement was lost, and
/// after they met again for less than an interval.
#[test]
fn a_short_skew_takes_nothing_before_the_other_has_let_go() {
    for (step, way) in (0..24).flat_map(|step| (0..3).map(move |way| (step, way))) {
        let mut lan = running(Lan::with(step + 1, &[254, 253], witnessed(Arbiter)));
        lan.etcd.away_from = [0].into();
        lan.run_for(SECOND * 10 + millis(step * 43));
        match way {
            0 => (),
            1 => {
                lan.cut_vrrp(0, 1);
                lan.run_for(SECOND);
                lan.heal();
            }
            _ => {
                part(&mut lan);
                lan.run_for(millis(1500));
                lan.stations[1].blocked = false;
                lan.run_for(millis(300 + step * 20));
            }
        }
        part(&mut lan);
        lan.run_for(LONG);
        assert_eq!(lan.holding(), [1], "step {step}, way {way}: {}", lan.tale(60));
        let two = lan.settle_counts().longest_two;
        assert!(two <= HANDOVER, "step {step}, way {way}: {two:?} {}", lan.tale(60));
    }
}

/// The two are parted before the higher one takes the address back, and meet again while it waits to hold: it says it once more.
#[test]
fn who_was_parted_when_it_preempted_is_heard_before_it_holds() {
    let mut late = 0;
    for step in 0..40 {
        let mut lan = settled(step, Arbiter);
        lan.stop(0);
        lan.run_for(SECOND * 12);
        assert_eq!((lan.holding(), lan.etcd.holder(lan.now, KEY)), (vec![1], Some(1)));
        lan.start(0);
        lan.run_for(SECOND * 3);
        part(&mut lan);
        lan.run_for(millis(700 + step * 77));
        late += usize::from(lan.role(0) == Role::Master && lan.holding() == [1]);
        lan.reset_counts();
        lan.stations[1].blocked = false;
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), [0], "step {step}: {}", lan.tale(60));
        let holders = lan.settle_counts();
        assert!(holders.longest_two <= HANDOVER, "step {step}: {holders:?} {}", lan.tale(60));
        assert!(holders.nobody.is_zero(), "step {step}: {holders:?} {}", lan.tale(60));
    }
    assert!(late > 20, "it waited {late} times");
}

#[test]
fn a_dead_lease_is_lost_at_once_and_taken_again() {
    for mode in [Arbiter, Strict] {
        let mut lan = settled(2, mode);
        lan.etcd.forget();
        lan.run_for(SECOND * 20);
        assert_eq!(lan.holding(), [0], "{mode:?}: {}", lan.tale(60));
        assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0), "{mode:?}");
        assert_eq!(lan.noted(0, "the witness has lost this node's key"), 1, "{mode:?}");
        let nobody = lan.settle_counts().nobody;
        match mode {
            Arbiter => assert_eq!(nobody, Duration::ZERO, "its peer is visible"),
            Strict => assert!(nobody > Duration::ZERO && nobody < SECOND * 12, "{nobody:?}"),
        }
    }
}

#[test]
fn a_dead_master_is_followed_once_its_lease_has_ended() {
    for (mode, seed) in [Arbiter, Strict].into_iter().flat_map(|mode| (0..5).map(move |seed| (mode, seed))) {
        let mut lan = settled(seed, mode);
        lan.run_for(millis(seed * 97));
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [1], "{mode:?}, seed {seed}: {}", lan.tale(40));
        let nobody = lan.settle_counts().nobody;
        assert!(nobody <= TTL + SECOND, "{mode:?}, seed {seed}: {nobody:?}");
        assert!(nobody >= TTL * 4 / 5 - SECOND, "{mode:?}, seed {seed}: {nobody:?}");
    }
}

#[test]
fn a_stop_hands_over_with_arbiter_without_a_gap_and_with_strict_within_a_few_questions() {
    for (mode, bound) in [(Arbiter, Duration::ZERO), (Strict, millis(600))] {
        for seed in 0..10 {
            let mut lan = settled(seed, mode);
            // Not in the moment of an advertisement, which could arrive after the resignation.
            lan.run_for(millis(41 + seed * 97));
            lan.stop(0);
            lan.run_for(SECOND * 8);
            assert_eq!(lan.holding(), [1], "{mode:?}: {}", lan.tale(60));
            assert_eq!(lan.etcd.holder(lan.now, KEY), Some(1), "{mode:?}");
            let holders = lan.settle_counts();
            assert!(holders.nobody <= bound, "{mode:?}, seed {seed}: {holders:?} {}", lan.tale(60));
            assert!(holders.two <= if mode == Strict { Duration::ZERO } else { HANDOVER }, "{mode:?}: {holders:?}");
        }
    }
}

#[test]
fn a_higher_node_that_comes_back_is_given_the_address_and_the_witness() {
    for (mode, bound) in [(Arbiter, Duration::ZERO), (Strict, millis(600))] {
        for seed in 0..10 {
            let mut lan = settled(seed, mode);
            lan.power_off(0);
            lan.run_for(SECOND * 20 + millis(seed * 97));
            assert_eq!(lan.holding(), [1], "{mode:?}");
            lan.reset_counts();
            lan.start(0);
            lan.run_for(SECOND * 20);
            assert_eq!(lan.holding(), [0], "{mode:?}, seed {seed}: {}", lan.tale(60));
            assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0), "{mode:?}");
            let holders = lan.settle_counts();
            assert!(holders.nobody <= bound, "{mode:?}, seed {seed}: {holders:?} {}", lan.tale(60));
            assert!(holders.two <= if mode == Strict { Duration::ZERO } else { HANDOVER }, "{mode:?}: {holders:?}");
        }
    }
}

#[test]
fn who_cannot_ask_the_witness_makes_nobody_go() {
    let mut lan = settled(4, Strict);
    lan.power_off(0);
    lan.run_for(SECOND * 20);
    lan.etcd.away_from = [0].into();
    lan.start(0);
    lan.reset_counts();
    lan.run_for(LONG);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(60));
    assert_eq!(lan.settle_counts().nobody, Duration::ZERO);
    assert!(lan.has_condition(0, "elected"), "{}", lan.tale(20));
}

/// Somebody who is no node of ha has put a value there: nobody can serve, and the two do not call each other up for ever.
#[test]
fn who_advertised_in_vain_does_so_again_with_the_key_only() {
    for seed in 0..10 {
        let mut lan = settled(seed, Strict);
        lan.run_for(millis(seed * 97));
        lan.etcd.put(lan.now, KEY);
        lan.run_for(LONG);
        assert_eq!(lan.holding(), Vec::<usize>::new(), "seed {seed}: {}", lan.tale(60));
        let changes = |lan: &Lan| [0, 1].map(|index| lan.transitions(index).len());
        let before = changes(&lan);
        assert!(before.iter().all(|changes| *changes <= 4), "seed {seed}: {before:?} {}", lan.tale(60));
        lan.run_for(LONG);
        assert_eq!(changes(&lan), before, "seed {seed}: {}", lan.tale(60));
        for index in [0, 1] {
            assert!(lan.has_condition(index, "elected"), "seed {seed}, {index}: {}", lan.tale(60));
            assert!(lan.has_condition(index, "witness_held_by_other"), "seed {seed}, {index}: {}", lan.tale(60));
        }
        // It is removed: the higher one serves, and goes on leaving the address in order.
        lan.etcd.delete(KEY);
        lan.run_for(LONG);
        assert_eq!(lan.holding(), [0], "seed {seed}: {}", lan.tale(60));
        assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0), "seed {seed}");
        lan.stop(0);
        lan.reset_counts();
        lan.run_for(SECOND * 8);
        assert_eq!(lan.holding(), [1], "seed {seed}: {}", lan.tale(60));
        let holders = lan.settle_counts();
        assert!(holders.two.is_zero() && holders.nobody <= millis(600), "seed {seed}: {holders:?} {}", lan.tale(60));
    }
}

#[test]
fn a_process_goes_on_with_the_address_and_the_witness_of_the_one_before_it() {
    for mode in [Arbiter, Strict] {
        let mut lan = settled(5, mode);
        lan.kill(0);
        lan.run_for(millis(400));
        lan.start(0);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "{mode:?}: {}", lan.tale(60));
        assert_eq!(lan.settle_counts().nobody, Duration::ZERO, "{mode:?}: {}", lan.tale(60));
        // One that may not know does not go on.
        lan.etcd.down = true;
        lan.stations[1].blocked = true;
        lan.kill(0);
        lan.run_for(millis(400));
        lan.start(0);
        lan.run_for(SECOND);
        assert_eq!(lan.holding(), Vec::<usize>::new(), "{mode:?}: {}", lan.tale(60));
    }
}

#[test]
fn the_lease_of_the_address_is_shorter_than_that_of_the_witness_allows() {
    for ttl in [5, 6, 10, 60] {
        let witness = Witnessed { mode: Strict, ttl: SECOND * ttl };
        let lan = running(Lan::with(1, &[100, 99], |_, instance| instance.witness = Some(witness)));
        let lease = lan.stations[0].node.status().instances[0].lease.unwrap();
        assert!(lease + millis(1020) <= witness.room(), "{ttl}: {lease:?}");
    }
}

#[test]
fn a_witness_that_comes_or_goes_with_a_reload_moves_nothing() {
    for mode in [Arbiter, Strict] {
        let mut lan = running(Lan::new(6, &[100, 99]));
        for index in [0, 1] {
            let mut instance = lan.stations[index].configured.clone();
            witnessed(mode)(index, &mut instance);
            lan.reload(index, instance);
        }
        lan.run_for(SECOND * 20);
        assert_eq!(lan.etcd.holder(lan.now, KEY), Some(0), "{mode:?}: {}", lan.tale(40));
        for index in [0, 1] {
            let instance = Instance { witness: None, ..lan.stations[index].configured.clone() };
            lan.reload(index, instance);
        }
        lan.run_for(SECOND * 20);
        let holders = lan.settle_counts();
        assert!(holders.nobody.is_zero() && holders.two.is_zero(), "{mode:?}: {holders:?} {}", lan.tale(40));
        assert_eq!(lan.etcd.holder(lan.now, KEY), None, "{mode:?}: it is given back");
    }
}

/// Cuts, freezes, losses, deaths and everything that a witness can do wrong, at random: with `strict` no two nodes ever hold.
#[test]
fn with_strict_nothing_ever_makes_two_holders() {
    for seed in seeds(12) {
        let preempt = if seed % 3 == 0 { Preempt::Never } else { Preempt::AtOnce };
        let mut lan = Lan::with(seed + 1, &[100, 99], |index, instance| {
            witnessed(Strict)(index, instance);
            instance.preempt = preempt;
        });
        lan.kernel_late = millis(lan.random(1000));
        for step in 0..40 {
            batter(&mut lan);
            let pause = lan.random(4000);
            lan.run_for(millis(pause));
            let two = lan.settle_counts().two;
            assert_eq!(two, Duration::ZERO, "seed {seed}, step {step}: {}", lan.tale(60));
        }
        mend(&mut lan);
        lan.run_for(SECOND * 400);
        let expected = if preempt == Preempt::AtOnce { vec![0] } else { lan.holding() };
        assert_eq!(lan.holding(), expected, "seed {seed}: {}", lan.tale(60));
        assert_eq!(lan.holding().len(), 1, "seed {seed}: {}", lan.tale(60));
    }
}

/// The same with `arbiter`, where nothing passes one way only for long and nobody freezes: then, too, never two but for a handover.
#[test]
fn with_arbiter_no_parting_makes_two_holders() {
    for seed in seeds(24) {
        let priorities = [[100, 99], [254, 253]][usize::from(seed % 2 == 1)];
        let mut lan = Lan::with(seed + 1, &priorities, witnessed(Arbiter));
        lan.kernel_late = millis(lan.random(1000));
        lan.run_for(SECOND * 10);
        for step in 0..40 {
            match lan.random(3) {
                0 => {
                    // Now and then an advertisement was lost before.
                    let lost = lan.random(3) == 0;
                    if let (true, [holder]) = (lost, lan.holding().as_slice()) {
                        lan.cut_vrrp(*holder, 1 - *holder);
                        lan.run_for(SECOND);
                        lan.heal();
                    }
                    lan.stations[1].blocked ^= true;
                }
                1 => etcd_fails(&mut lan),
                _ => {
                    let index = usize::try_from(lan.random(2)).unwrap();
                    if lan.random(2) == 0 { lan.power_off(index) } else { lan.start_if_dead(index) }
                }
            }
            let pause = lan.random(6000);
            lan.run_for(millis(pause));
            let two = lan.settle_counts().longest_two;
            assert!(two <= HANDOVER, "seed {seed}, step {step}: {two:?} {}", lan.tale(60));
        }
        mend(&mut lan);
        lan.run_for(SECOND * 400);
        assert_eq!(lan.holding(), [0], "seed {seed}: {}", lan.tale(60));
    }
}

fn etcd_fails(lan: &mut Lan) {
    let index = usize::try_from(lan.random(2)).unwrap();
    match lan.random(7) {
        0 => lan.etcd.down = true,
        1 => lan.etcd.down = false,
        2 => lan.etcd.takes = millis(2 + lan.random(490)),
        3 => lan.etcd.unheard_by = [index].into(),
        4 => lan.etcd.away_from = [index].into(),
        _ => {
            lan.etcd.away_from.clear();
            lan.etcd.unheard_by.clear();
        }
    }
}

fn batter(lan: &mut Lan) {
    let index = usize::try_from(lan.random(2)).unwrap();
    match lan.random(12) {
        0 => lan.freeze(index),
        1 => lan.thaw(index),
        2 => lan.stations[index].blocked = true,
        3 => lan.stations[index].blocked = false,
        4 => lan.cut_vrrp(index, 1 - index),
        5 => lan.heal(),
        6 => lan.loss = u32::try_from(lan.random(30)).unwrap(),
        7 => lan.kill(index),
        8 => lan.start_if_dead(index),
        _ => etcd_fails(lan),
    }
}

fn mend(lan: &mut Lan) {
    lan.loss = 0;
    lan.heal();
    lan.etcd.down = false;
    lan.etcd.takes = millis(2);
    lan.etcd.away_from.clear();
    lan.etcd.unheard_by.clear();
    for index in 0..2 {
        lan.stations[index].blocked = false;
        lan.start_if_dead(index);
        lan.thaw(index);
    }
}
