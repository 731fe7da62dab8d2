//! The pair, in virtual time: the founding scenario and the rules of taking, holding and handing over, as stories.

use std::time::Duration;

use ha::{
    config::{Checksum, OnConflict, Preference, Protocol},
    node::{Event, Role, Wake},
    policy::{FaultCause, Verdict},
    wire::AdverInterval,
};

use crate::lan::{Lan, Line};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// A handover's few milliseconds: what is neither a gap nor a second holder.
pub(crate) const HANDOVER: Duration = Duration::from_millis(25);

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Node 0 (priority 100) serves, node 1 (99) stands by.
pub(crate) fn settled(seed: u64) -> Lan {
    running(Lan::new(seed, &[100, 99]))
}

pub(crate) fn running(mut lan: Lan) -> Lan {
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{:#?}", lan.story);
    lan.reset_counts();
    lan
}

pub(crate) fn with_policies(seed: u64) -> Lan {
    running(Lan::with(seed, &[100, 99], |_, instance| instance.policies = vec!["check_local".to_owned()]))
}

fn healthy() -> Verdict {
    Verdict::Healthy { delta: 0, note: String::new() }
}

pub(crate) fn external(why: &str) -> Verdict {
    Verdict::Fault { why: why.to_owned(), cause: FaultCause::External }
}

#[test]
fn r1_a_quiet_pair_asks_for_its_peers_in_turns_that_are_made_anyway() {
    for seed in 0..20 {
        let mut lan = settled(seed);
        for _ in 0..5000 {
            lan.run_for(millis(1));
            for station in &lan.stations {
                let (at, wake) = station.node.poll_timeout().unwrap();
                let own = wake == Wake::Peers && at <= lan.now + millis(1);
                assert!(!own, "seed {seed}: a turn for the question alone, at {at:?}");
            }
        }
    }
}

#[test]
fn s1_power_loss_moves_the_address_after_the_down_interval_and_not_later() {
    for seed in 0..20 {
        let mut lan = settled(seed);
        lan.run_for(millis(seed * 53));
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 6);
        assert_eq!(lan.holding(), [1]);
        let nobody = lan.settle_counts().nobody;
        assert!(nobody <= millis(3614), "seed {seed}: {nobody:?}");
        assert!(nobody >= millis(2600), "seed {seed}: {nobody:?}");
    }
}

#[test]
fn a_backup_waits_for_as_many_advertisements_as_it_is_told() {
    for (adverts, seconds) in [(2, 2), (5, 5)] {
        let mut lan = running(Lan::with(1, &[100, 99], |_, instance| {
            instance.down_adverts = adverts;
            instance.peer_down_adverts = adverts;
        }));
        lan.power_off(0);
        lan.reset_counts();
        lan.run_for(SECOND * 8);
        assert_eq!(lan.holding(), [1]);
        let nobody = lan.settle_counts().nobody;
        assert!(nobody <= SECOND * seconds + millis(614), "{adverts}: {nobody:?}");
        assert!(nobody >= SECOND * (seconds - 1) + millis(600), "{adverts}: {nobody:?}");
    }
}

#[test]
fn s5_a_pulled_cable_moves_the_address_and_plugging_it_in_brings_it_back() {
    let mut lan = settled(1);
    lan.plug(0, false);
    lan.run_for(SECOND * 6);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
    lan.plug(0, true);
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    assert_eq!(lan.holding(), [0]);
    let holders = lan.settle_counts();
    assert!(holders.longest_two <= HANDOVER, "{holders:?}");
}

#[test]
fn a_graceful_stop_leaves_no_gap() {
    for seed in 0..20 {
        let mut lan = settled(seed);
        lan.run_for(millis(seed * 37));
        lan.stop(0);
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [1]);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
        assert_eq!(lan.reason(0), "stopped by its operator; 192.168.0.21 took the address over");
        let holders = lan.settle_counts();
        assert_eq!(holders.nobody, Duration::ZERO, "seed {seed}: {holders:?}");
        assert!(holders.longest_two <= HANDOVER, "seed {seed}: {holders:?}");
        assert!(lan.stations[0].node.is_stopped());
    }
}

#[test]
fn a_stopped_node_that_nobody_relieves_lets_go_anyway() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.stop(0);
    lan.run_for(SECOND * 2);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert_eq!(lan.reason(0), "stopped by its operator");
    assert!(lan.stations[0].node.is_stopped());
}

#[test]
fn s8_a_failing_check_has_a_new_holder_within_milliseconds() {
    let mut lan = with_policies(1);
    lan.set_policy(0, false);
    lan.run_for(SECOND * 4);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
    let holders = lan.settle_counts();
    assert!(holders.nobody <= millis(10), "{holders:?}");
    assert_eq!(holders.two, Duration::ZERO);
    // S10: it comes back by itself.
    lan.set_policy(0, true);
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn s12_a_standby_that_cannot_observe_well_does_not_take() {
    let mut lan = with_policies(1);
    // The gate is still up, the observation fails.
    lan.stations[1].observed_ok = false;
    lan.power_off(0);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert!(lan.has_condition(1, "elected"));
    lan.stations[1].observed_ok = true;
    lan.run_for(millis(300));
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r6_the_evaluation_is_made_while_the_timer_runs_and_delays_nothing() {
    let mut lan = with_policies(1);
    lan.power_off(0);
    lan.reset_counts();
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= millis(3614));
}

#[test]
fn s13_advertisements_cut_both_ways_make_no_second_holder() {
    for seed in 0..10 {
        let mut lan = settled(seed);
        lan.cut_vrrp(0, 1);
        lan.cut_vrrp(1, 0);
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), [0], "seed {seed}");
        assert!(lan.has_condition(1, "conflict"));
        assert_eq!(lan.settle_counts().two, Duration::ZERO);
        lan.heal();
        lan.run_for(SECOND * 5);
        assert!(!lan.has_condition(1, "conflict"));
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    }
}

#[test]
fn s13_a_peer_that_does_not_hear_us_is_let_have_it() {
    let mut lan = settled(1);
    lan.power_off(1);
    let mut yielded_after = None;
    for second in 0..20 {
        lan.hear_from_a_deaf_master(0, 99);
        lan.run_for(SECOND);
        if lan.role(0) == Role::Backup {
            yielded_after = yielded_after.or(Some(second));
        }
    }
    assert_eq!(yielded_after, Some(4), "more than three intervals");
    assert_eq!(lan.role(0), Role::Backup, "and it does not preempt again at once");
    assert!(lan.has_condition(0, "peer_deaf"));
    for _ in 0..60 {
        lan.hear_from_a_deaf_master(0, 99);
        lan.run_for(SECOND);
    }
    assert!(
        lan.story.iter().any(
            |(_, _, line)| matches!(line, Line::Event(Event::Cleared(condition)) if condition.name == "peer_deaf")
        )
    );
}

#[test]
fn r34_after_a_heal_the_winner_announces() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.claim = ha::config::Claim::Off));
    lan.cut_vrrp(0, 1);
    lan.cut_vrrp(1, 0);
    // Node 1 takes over at 3.6 s without looking; node 0 finds out by what the link says or by the heal.
    lan.run_for(millis(4200));
    lan.heal();
    lan.story.clear();
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [0]);
    assert!(lan.story.iter().any(|(_, index, line)| *index == 0 && *line == Line::Announce), "{:#?}", lan.story);
}

#[test]
fn everything_killed_lets_go_by_the_lease_before_the_other_takes() {
    for late in [20, 400, 980] {
        let mut lan = settled(late);
        lan.kernel_late = millis(late);
        lan.run_for(SECOND * 2 + millis(late * 7 % 1000));
        lan.reset_counts();
        lan.kill(0);
        lan.run_for(SECOND * 8);
        assert_eq!(lan.holding(), [1]);
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "kernel late by {late} ms");
    }
}

#[test]
fn a_freeze_makes_no_second_holder_and_the_thawed_one_asks_nobody_twice() {
    for phase in 0..30 {
        let mut lan = settled(phase);
        lan.kernel_late = millis(phase * 33 % 1000);
        lan.run_for(SECOND * 2 + millis(phase * 31));
        lan.reset_counts();
        lan.freeze(0);
        lan.run_for(SECOND * 6);
        assert_eq!(lan.holding(), [1], "phase {phase}");
        let before = lan.story.len();
        lan.thaw(0);
        lan.run_for(millis(100));
        let sent =
            lan.story.iter().skip(before).filter(|(_, index, line)| *index == 0 && matches!(line, Line::Sent(_)));
        assert_eq!(sent.count(), 0, "phase {phase}: it listens first");
        lan.run_for(SECOND * 8);
        assert_eq!(lan.holding(), [0], "phase {phase}: it preempts in order");
        let holders = lan.settle_counts();
        assert!(holders.longest_two <= HANDOVER, "phase {phase}: {holders:?}");
    }
}

#[test]
fn r10_a_short_freeze_without_anybody_else_goes_on_as_master() {
    let mut lan = settled(1);
    lan.power_off(1);
    lan.run_for(SECOND * 2);
    let sent_at = lan.story.iter().rfind(|(_, _, line)| matches!(line, Line::Sent(_))).map(|(at, _, _)| *at).unwrap();
    lan.freeze(0);
    lan.run_for((sent_at + millis(2500)).saturating_since(lan.now));
    assert_eq!(lan.holding(), Vec::<usize>::new(), "the lease ran out");
    lan.thaw(0);
    lan.run_for(SECOND);
    assert_eq!(lan.role(0), Role::Master);
    assert_eq!(lan.holding(), [0]);
}

/// Between the first advertisement and the addresses.
#[test]
fn r10_a_master_that_listens_and_wakes_too_late_does_not_take() {
    let mut lan = settled(1);
    lan.stop(0);
    lan.run_for(millis(1));
    assert_eq!((lan.role(1), lan.holds(1)), (Role::Master, false));
    lan.freeze(1);
    lan.run_for(SECOND * 5);
    lan.story.clear();
    lan.thaw(1);
    lan.run_for(millis(100));
    assert_eq!(lan.role(1), Role::Backup, "{}", lan.tale(20));
    let took = |(_, index, line): &(_, usize, Line)| *index == 1 && matches!(line, Line::Hold(_) | Line::Announce);
    assert!(!lan.story.iter().any(took), "not even for a moment: {}", lan.tale(20));
    lan.run_for(SECOND * 4);
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r11_a_deleted_address_is_put_back_at_once_and_five_times_are_too_many() {
    let mut lan = settled(1);
    for _ in 0..4 {
        lan.delete_address(0);
        lan.run_for(millis(10));
        assert_eq!(lan.holding(), [0]);
        lan.run_for(SECOND);
    }
    lan.delete_address(0);
    lan.run_for(SECOND);
    assert!(lan.has_condition(0, "address_vanishes"));
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r7_a_silent_peer_that_still_answers_is_a_conflict() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.lease = ha::config::Lease::Off;
        }
    });
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    lan.kill(0);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "the address was left behind, and nobody doubles it");
    assert!(lan.has_condition(1, "conflict"));
    lan.delete_address(0);
    lan.run_for(millis(1100));
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r7_steal_takes_after_one_lease() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| match index {
        0 => instance.lease = ha::config::Lease::Off,
        _ => instance.on_conflict = OnConflict::Steal,
    });
    lan.run_for(SECOND * 10);
    lan.kill(0);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0, 1]);
}

#[test]
fn r23_an_arbiter_that_reboots_leaves_nobody_without_an_address() {
    let mut lan = with_policies(1);
    for index in [0, 1] {
        lan.stations[index].observed_ok = false;
        lan.set_verdict(index, external("the arbiter does not answer"));
    }
    lan.run_for(SECOND * 150);
    // One of them offered it to the other, and whoever saw the arbiter last keeps it.
    let holding = lan.holding();
    assert_eq!(holding.len(), 1, "{:#?}", lan.story);
    assert!(lan.has_condition(holding[0], "common_mode"));
    assert_eq!(lan.settle_counts().nobody, Duration::ZERO);
    lan.set_policy(0, true);
    lan.set_policy(1, true);
    lan.run_for(SECOND * 10);
    assert!(!lan.has_condition(holding[0], "common_mode"));
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn r23_a_node_that_alone_lost_the_arbiter_hands_over_without_a_gap() {
    let mut lan = with_policies(1);
    lan.set_verdict(0, external("the arbiter does not answer"));
    lan.run_for(SECOND * 2);
    assert_eq!(lan.holding(), [1]);
    assert_eq!(
        lan.transitions(0),
        ["the arbiter does not answer; 192.168.0.21 took the address over", "the arbiter does not answer"]
    );
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
    assert!(holders.longest_two <= HANDOVER);
}

/// Both notice within the milliseconds of a handover, at every phase of it.
#[test]
fn r23_two_that_lose_the_arbiter_together_never_both_let_go() {
    for later in (0..120).map(|step| Duration::from_micros(250) * step) {
        let mut lan = with_policies(1);
        for (index, wait) in [(0, later), (1, SECOND * 5)] {
            lan.set_verdict(index, external("the arbiter does not answer"));
            lan.judge(index, external("the arbiter does not answer"));
            lan.run_for(wait);
        }
        assert_eq!(lan.holding().len(), 1, "the standby noticed {later:?} later");
        assert_eq!(lan.settle_counts().nobody, Duration::ZERO, "the standby noticed {later:?} later");
    }
}

#[test]
fn r23_isolated_is_released_or_kept_as_preferred() {
    for (prefer, holding) in [(Preference::Safety, vec![]), (Preference::Availability, vec![0])] {
        let mut lan = running(Lan::with(1, &[100, 99], |_, instance| {
            instance.policies = vec!["check_local".to_owned()];
            instance.prefer = prefer;
        }));
        lan.power_off(1);
        lan.run_for(SECOND * 10);
        lan.set_verdict(0, external("the arbiter does not answer"));
        lan.run_for(SECOND * 2);
        assert_eq!(lan.holding(), holding, "{prefer:?}");
        assert!(lan.has_condition(0, "isolated") || prefer == Preference::Safety);
    }
}

#[test]
fn r25_availability_takes_at_the_lowest_priority_where_safety_waits() {
    for (prefer, holding) in [(Preference::Safety, vec![]), (Preference::Availability, vec![1])] {
        let mut lan = running(Lan::with(1, &[100, 99], |_, instance| {
            instance.policies = vec!["check_local".to_owned()];
            instance.prefer = prefer;
        }));
        lan.power_off(0);
        lan.stations[1].observed_ok = false;
        lan.set_verdict(1, Verdict::Hold { why: "the policy throws".to_owned() });
        lan.run_for(SECOND * 15);
        assert_eq!(lan.holding(), holding, "{prefer:?} {:#?}", lan.story);
    }
}

/// The verdict comes back before the handover is over: whoever went comes back in order.
#[test]
fn maintenance_on_and_off_within_a_second_never_gets_stuck() {
    for seed in 0..20 {
        for alone in [false, true] {
            let mut lan = with_policies(seed);
            if alone {
                lan.power_off(1);
                lan.run_for(SECOND * 2);
            }
            lan.set_verdict(0, Verdict::Maintenance { why: "a new kernel".to_owned() });
            lan.judge(0, Verdict::Maintenance { why: "a new kernel".to_owned() });
            lan.run_for(millis(seed * 47));
            lan.set_policy(0, true);
            lan.judge(0, healthy());
            lan.run_for(SECOND * 10);
            assert_eq!(lan.role(0), Role::Master, "seed {seed}, alone {alone}: {}", lan.tale(40));
            assert_eq!(lan.holding(), [0], "seed {seed}, alone {alone}");
            let holders = lan.settle_counts();
            assert!(holders.longest_two <= HANDOVER, "seed {seed}, alone {alone}: {holders:?}");
            assert!(alone || holders.nobody.is_zero(), "seed {seed}: {holders:?}");
        }
    }
}

/// Its policies may tell an owner to let go, and then it leads again at once.
#[test]
fn s6_4_1_an_owner_with_a_policy_goes_and_comes_back_at_once() {
    let owner = |seed| {
        let mut lan = Lan::with(seed, &[255, 99], |_, instance| instance.policies = vec!["check_local".to_owned()]);
        lan.run_for(millis(1100));
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{}", lan.tale(40));
        lan
    };
    for seed in 0..20 {
        for verdict in [
            Verdict::Maintenance { why: "a new kernel".to_owned() },
            Verdict::Fault { why: "the web is broken".to_owned(), cause: FaultCause::Rules },
            external("the arbiter does not answer"),
        ] {
            // On and off within a second: it ends up serving, and the other follows.
            let mut lan = owner(seed);
            lan.set_verdict(0, verdict.clone());
            lan.judge(0, verdict.clone());
            lan.run_for(millis(seed * 47));
            lan.set_policy(0, true);
            lan.judge(0, healthy());
            lan.run_for(SECOND * 5);
            assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{seed} {verdict:?} {}", lan.tale(40));
            // For longer: the other serves meanwhile.
            lan.set_verdict(0, verdict.clone());
            lan.run_for(SECOND * 10);
            assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master), "{seed} {verdict:?} {}", lan.tale(40));
            lan.set_policy(0, true);
            lan.run_for(millis(1100));
            assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{seed} {verdict:?} {}", lan.tale(40));
        }
    }
}

/// The interval that was learned counts as long as nobody else is heard.
#[test]
fn r25_one_more_down_interval_is_one_of_the_master_that_was_heard() {
    let mut lan = running(Lan::with(1, &[100, 99], |index, instance| {
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.policies = vec!["check_local".to_owned()];
        instance.prefer = Preference::Availability;
        if index == 0 {
            instance.advertise = AdverInterval::from_secs(2).unwrap();
        }
    }));
    lan.power_off(0);
    lan.stations[1].observed_ok = false;
    lan.run_for(SECOND * 12);
    assert_eq!(lan.holding(), Vec::<usize>::new(), "twice 7.2 seconds, less what the last advertisement is old");
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r20_on_hold_a_master_stays_and_a_backup_does_not_take() {
    let mut lan = with_policies(1);
    lan.judge(0, Verdict::Hold { why: "the policy throws".to_owned() });
    assert_eq!(lan.role(0), Role::Master);
    assert!(lan.has_condition(0, "hold"));
}

#[test]
fn r3_preemption_and_a_start_do_not_claim() {
    let mut lan = settled(1);
    lan.stop(0);
    lan.run_for(SECOND * 3);
    let mut back = Lan::new(2, &[99, 100]);
    back.run_for(SECOND * 30);
    assert_eq!(back.holding(), [1], "the higher one leads in the end");
}

#[test]
fn r17_a_third_sender_ends_the_short_cut() {
    // Node 2 is in nobody's list.
    let pair: Vec<_> = crate::lan::addresses(2);
    let mut lan = running(Lan::with(1, &[100, 99, 50], |index, instance| {
        instance.peers = pair.iter().copied().filter(|peer| *peer != crate::lan::addresses(3)[index]).collect();
    }));
    lan.cut_vrrp(0, 2);
    lan.run_for(SECOND * 8);
    let _ = lan.has_condition(1, "more_nodes_than_configured");
    lan.stop(0);
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding().len(), 1);
}

#[test]
fn a_reload_that_changes_nothing_does_nothing() {
    let mut lan = settled(1);
    let same = crate::lan::instance(100, &[crate::lan::addresses(2)[1]]);
    lan.reload(0, same);
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [0]);
    assert!(!lan.story.iter().any(|(_, _, line)| matches!(line, Line::Event(Event::Transition { .. }))));
}

#[test]
fn a_reload_with_another_priority_moves_the_address_in_order() {
    let mut lan = settled(1);
    lan.reload(0, crate::lan::instance(50, &[crate::lan::addresses(2)[1]]));
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [1]);
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
    assert!(holders.longest_two <= HANDOVER, "{holders:?}");
}

#[test]
fn a_reload_with_a_shorter_interval_is_no_late_wake() {
    let slow = |instance: &mut ha::config::Instance| instance.advertise = AdverInterval::from_secs(30).unwrap();
    let mut lan = Lan::with(1, &[100, 99], |_, instance| slow(instance));
    lan.run_for(SECOND * 200);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    lan.reset_counts();
    for index in [1, 0] {
        lan.reload(index, crate::lan::instance([100, 99][index], &[crate::lan::addresses(2)[1 - index]]));
    }
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0]);
    assert!(
        !lan.story.iter().any(|(_, _, line)| matches!(line, Line::Event(Event::Transition { .. }))),
        "{}",
        lan.tale(40)
    );
}

#[test]
fn a_reload_that_removes_the_instance_hands_over() {
    let mut lan = settled(1);
    let mut other = crate::lan::instance(100, &[crate::lan::addresses(2)[1]]);
    other.name = "other".to_owned();
    other.vrid = ha::wire::Vrid::new(7).unwrap();
    other.addresses = vec!["192.168.0.61/24".parse().unwrap()];
    lan.reload(0, other);
    lan.run_for(SECOND * 3);
    assert!(lan.holds(1));
}
