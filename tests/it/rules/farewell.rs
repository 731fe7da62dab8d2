//! R18: what is to be done before a planned release is done while this node still serves, for a second at most.

use std::time::Duration;

use ha::{
    node::{ReleaseHook, Role},
    policy::Verdict,
};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, millis, with_policies},
};

/// The founding pair; node 0 has something to do before it lets go.
fn with_a_hook(seed: u64) -> Lan {
    let mut lan = with_policies(seed);
    lan.hook(0, ReleaseHook::Present);
    lan.story.clear();
    lan
}

fn asked(lan: &Lan) -> usize {
    lan.times(0, |line| *line == Line::BeforeRelease).len()
}

#[test]
fn r18_a_planned_release_waits_until_its_hook_is_done() {
    for seed in 0..20 {
        let mut lan = with_a_hook(seed);
        lan.run_for(millis(seed * 53));
        lan.stop(0);
        lan.run_for(millis(500));
        assert_eq!((asked(&lan), lan.role(0), lan.holding()), (1, Role::Master, vec![0]));
        assert!(lan.has_condition(0, "releasing"));
        assert!(lan.times(0, |line| *line == Line::Sent(0)).is_empty(), "it does not resign yet");
        lan.farewell_is_over(0);
        lan.run_for(millis(50));
        assert_eq!(lan.holding(), [1], "{}", lan.tale(20));
        lan.run_for(SECOND * 2);
        assert!(lan.stations[0].node.is_stopped());
        let holders = lan.settle_counts();
        assert_eq!(holders.nobody, Duration::ZERO);
        assert!(holders.longest_two <= HANDOVER, "{holders:?}");
    }
}

#[test]
fn r18_a_hook_that_hangs_is_left_behind_after_a_second_and_it_advertises_meanwhile() {
    let mut lan = with_a_hook(1);
    lan.run_for(millis(400));
    lan.story.clear();
    lan.stop(0);
    lan.run_for(millis(999));
    assert_eq!(lan.holding(), [0]);
    assert!(!lan.times(0, |line| *line == Line::Sent(100)).is_empty(), "{}", lan.tale(20));
    lan.run_for(millis(30));
    assert_eq!(lan.holding(), [1]);
    lan.farewell_is_over(0);
    lan.run_for(SECOND * 3);
    assert_eq!((asked(&lan), lan.holding()), (1, vec![1]), "what comes late changes nothing");
    assert!(lan.stations[0].node.is_stopped());
}

#[test]
fn r18_a_second_stop_does_not_wait() {
    let mut lan = with_a_hook(1);
    lan.stop(0);
    lan.run_for(millis(100));
    lan.stop(0);
    lan.run_for(millis(1));
    assert_eq!(lan.role(0), Role::Fault);
    assert!(!lan.holds(0) && lan.stations[0].node.is_stopped());
}

#[test]
fn r18_without_a_hook_nothing_waits() {
    let mut lan = with_policies(1);
    lan.stop(0);
    lan.run_for(millis(30));
    assert_eq!((asked(&lan), lan.holding()), (0, vec![1]));
    // A policy that no longer has it.
    let mut lan = with_a_hook(1);
    lan.hook(0, ReleaseHook::Absent);
    lan.stop(0);
    lan.run_for(millis(30));
    assert_eq!((asked(&lan), lan.holding()), (0, vec![1]));
}

#[test]
fn r18_maintenance_waits_and_waits_again_the_next_time() {
    let mut lan = with_a_hook(1);
    let maintenance = Verdict::Maintenance { why: "a new kernel".to_owned() };
    for times in [1, 2] {
        lan.set_verdict(0, maintenance.clone());
        lan.judge(0, maintenance.clone());
        lan.run_for(millis(300));
        assert_eq!((asked(&lan), lan.holding()), (times, vec![0]));
        lan.farewell_is_over(0);
        lan.run_for(SECOND * 3);
        assert_eq!(lan.holding(), [1]);
        lan.set_policy(0, true);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0]);
        assert!(!lan.has_condition(0, "releasing"));
    }
}

#[test]
fn r18_what_was_done_for_one_release_does_not_end_the_waiting_of_the_next() {
    let mut lan = with_a_hook(1);
    let maintenance = Verdict::Maintenance { why: "a new kernel".to_owned() };
    lan.set_verdict(0, maintenance.clone());
    lan.judge(0, maintenance.clone());
    lan.run_for(millis(300));
    let first = lan.stations[0].farewell;
    // It hangs; the release does not wait, and there is another one later.
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [1]);
    lan.set_policy(0, true);
    lan.run_for(SECOND * 10);
    lan.set_verdict(0, maintenance.clone());
    lan.judge(0, maintenance);
    lan.run_for(millis(300));
    lan.hook(0, ReleaseHook::Finished { asked_at: first });
    lan.run_for(millis(300));
    assert_eq!((asked(&lan), lan.holding()), (2, vec![0]), "it still waits");
    lan.farewell_is_over(0);
    lan.run_for(millis(300));
    assert_eq!(lan.holding(), [1]);
}

#[test]
fn r18_what_must_go_at_once_goes_at_once() {
    let faults: [fn(&mut Lan); 3] = [
        |lan| {
            lan.set_policy(0, false);
            lan.run_for(SECOND);
        },
        |lan| lan.plug(0, false),
        |lan| lan.set_verdict(1, Verdict::Healthy { delta: 50, note: String::new() }),
    ];
    for fault in faults {
        let mut lan = with_a_hook(1);
        fault(&mut lan);
        lan.run_for(SECOND * 6);
        assert_eq!((asked(&lan), lan.holding()), (0, vec![1]), "{}", lan.tale(20));
    }
}

#[test]
fn r18_a_fault_while_it_waits_ends_the_waiting() {
    let mut lan = with_a_hook(1);
    lan.stop(0);
    lan.run_for(millis(100));
    lan.set_policy(0, false);
    lan.judge(0, Verdict::Fault { why: "web".to_owned(), cause: ha::policy::FaultCause::Rules });
    lan.run_for(millis(50));
    assert_eq!(lan.holding(), [1], "{}", lan.tale(20));
}
