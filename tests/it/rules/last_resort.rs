//! R21 and R24: what a node does whose rules are down, or whose policy cannot be evaluated, where nobody else serves.

use std::time::Duration;

use ha::{
    config::{LastResort, OnError, Preempt},
    node::Role,
    policy::{FaultCause, Verdict},
};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, external, running},
};

/// The founding pair with policies, each node the last resort.
fn keeping() -> Lan {
    pair(LastResort::Keep)
}

fn pair(last_resort: LastResort) -> Lan {
    running(Lan::with(1, &[100, 99], |_, instance| {
        instance.policies = vec!["check_local".to_owned()];
        instance.last_resort = last_resort;
    }))
}

fn said_by_the_script() -> Verdict {
    Verdict::Fault { why: "do not serve from here".to_owned(), cause: FaultCause::Script }
}

fn priority(lan: &Lan, index: usize) -> Option<u8> {
    lan.stations[index].node.status().instances[0].effective_priority.map(ha::wire::Priority::get)
}

#[test]
fn r24_a_fit_peer_takes_it_without_a_gap() {
    let mut lan = keeping();
    lan.set_policy(0, false);
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(30));
    assert_eq!(lan.role(0), Role::Backup);
    assert!(lan.has_condition(0, "last_resort"));
    let holders = lan.settle_counts();
    assert_eq!(holders.nobody, Duration::ZERO);
    assert!(holders.longest_two <= HANDOVER, "{holders:?}");
    lan.set_policy(0, true);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0], "and it comes back by itself");
    assert!(!lan.has_condition(0, "last_resort"));
}

#[test]
fn r24_where_nobody_is_fit_it_keeps_the_address_at_priority_1() {
    let mut lan = keeping();
    lan.set_policy(1, false);
    lan.run_for(SECOND * 2);
    lan.set_policy(0, false);
    lan.run_for(SECOND * 20);
    assert_eq!((lan.holding(), priority(&lan, 0)), (vec![0], Some(1)), "{}", lan.tale(30));
    lan.run_for(SECOND * 200);
    let holders = lan.settle_counts();
    assert_eq!((holders.nobody, holders.two), (Duration::ZERO, Duration::ZERO), "{}", lan.tale(30));
    // Whoever becomes fit preempts it.
    lan.set_policy(1, true);
    lan.run_for(SECOND * 6);
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r24_alone_it_keeps_the_address_and_without_it_lets_go() {
    for (last_resort, holding) in [(LastResort::Keep, vec![0]), (LastResort::Release, vec![])] {
        for verdict in [
            Verdict::Fault { why: "web: status 500".to_owned(), cause: FaultCause::Rules },
            external("the arbiter does not answer"),
        ] {
            let mut lan = pair(last_resort);
            lan.power_off(1);
            lan.run_for(SECOND * 10);
            lan.stations[0].observed_ok = false;
            lan.set_verdict(0, verdict.clone());
            lan.run_for(SECOND * 100);
            assert_eq!(lan.holding(), holding, "{last_resort:?} {verdict:?}");
        }
    }
}

#[test]
fn r24_what_the_script_itself_says_releases() {
    let mut lan = keeping();
    lan.power_off(1);
    lan.run_for(SECOND * 10);
    lan.set_verdict(0, said_by_the_script());
    lan.run_for(SECOND * 30);
    assert_eq!((lan.holding(), lan.role(0)), (vec![], Role::Fault));
}

#[test]
fn r24_a_peer_that_never_preempts_takes_what_is_offered_again() {
    let mut lan = running(Lan::with(1, &[100, 99], |index, instance| {
        instance.policies = vec!["check_local".to_owned()];
        instance.last_resort = LastResort::Keep;
        if index == 1 {
            instance.preempt = Preempt::Never;
        }
    }));
    lan.set_policy(1, false);
    lan.run_for(SECOND * 2);
    lan.set_policy(0, false);
    lan.run_for(SECOND * 5);
    lan.set_policy(1, true);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), [0], "it does not preempt");
    lan.run_for(SECOND * 45);
    assert_eq!(lan.holding(), [1]);
}

/// The master dies, and the standby is no better than nothing.
#[test]
fn r24_a_standby_takes_only_after_two_down_intervals_of_silence() {
    for (last_resort, holding) in [(LastResort::Keep, vec![1]), (LastResort::Release, vec![])] {
        let mut lan = pair(last_resort);
        lan.set_policy(1, false);
        lan.run_for(SECOND * 2);
        lan.power_off(0);
        lan.run_for(SECOND * 6);
        assert_eq!(lan.holding(), Vec::<usize>::new(), "{last_resort:?}: one down interval is not enough");
        lan.run_for(SECOND * 3);
        assert_eq!(lan.holding(), holding, "{last_resort:?} {}", lan.tale(30));
    }
}

#[test]
fn r24_a_standby_whose_script_or_whose_loader_says_no_does_not_take() {
    let objections: [fn(&mut Lan); 6] = [
        |lan| (lan.set_policy(1, false), lan.forbid_takeover(1)).1,
        |lan| (lan.break_policy(1), lan.forbid_takeover(1)).1,
        |lan| lan.set_verdict(1, said_by_the_script()),
        |lan| lan.set_verdict(1, Verdict::Hold { why: "a backup runs".to_owned() }),
        |lan| lan.set_verdict(1, Verdict::Maintenance { why: "a new kernel".to_owned() }),
        |lan| lan.never_load(1),
    ];
    for object in objections {
        let mut lan = keeping();
        lan.stations[1].observed_ok = false;
        object(&mut lan);
        lan.run_for(SECOND * 2);
        lan.power_off(0);
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), Vec::<usize>::new(), "{}", lan.tale(20));
    }
}

#[test]
fn r21_both_in_error_keep_the_master_and_the_last_resort_takes_over_from_it() {
    for (last_resort, after) in [(LastResort::Release, vec![]), (LastResort::Keep, vec![1])] {
        let mut lan = pair(last_resort);
        lan.break_policy(0);
        lan.break_policy(1);
        lan.run_for(SECOND * 30);
        assert_eq!((lan.holding(), priority(&lan, 0)), (vec![0], Some(100)), "{last_resort:?}");
        lan.power_off(0);
        lan.run_for(SECOND * 6);
        assert_eq!(lan.holding(), Vec::<usize>::new(), "{last_resort:?}: not before two down intervals");
        lan.run_for(SECOND * 3);
        assert_eq!(lan.holding(), after, "{last_resort:?}");
        assert_eq!(lan.has_condition(1, "no_master_seen"), last_resort == LastResort::Release);
        if last_resort == LastResort::Keep {
            assert_eq!(priority(&lan, 1), Some(1), "any fit node takes it back");
        }
    }
}

#[test]
fn r21_an_error_that_lasts_is_a_fault_where_that_is_wanted() {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| {
        instance.policies = vec!["check_local".to_owned()];
        instance.on_error = OnError::FaultAfter(SECOND * 60);
    }));
    lan.break_policy(0);
    lan.run_for(SECOND * 58);
    assert_eq!(lan.holding(), [0]);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]), "{}", lan.tale(20));
    assert!(lan.reason(0).starts_with("policy check_local could not be evaluated for "), "{}", lan.reason(0));
    assert!(lan.story.iter().any(|(_, index, line)| *index == 0 && matches!(line, Line::Event(_))));
}

/// R19c: the questions of a node that may not take it do not keep the other one from doing so.
#[test]
fn r24_a_peer_that_only_asks_does_not_delay_it_for_ever() {
    for index in [0, 1] {
        let mut lan = pair(LastResort::Keep);
        for both in [0, 1] {
            lan.kill(both);
        }
        lan.run_for(SECOND * 10);
        for both in [0, 1] {
            lan.start(both);
        }
        lan.set_verdict(1 - index, Verdict::Hold { why: "a backup runs".to_owned() });
        lan.set_policy(index, false);
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), [index], "{}", lan.tale(40));
    }
}
