//! R20 to R23, R25: what policies do to a role.

use std::time::Duration;

use ha::{config::Preference, node::Role, policy::Verdict};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, external, millis, running, with_policies},
};

fn hold() -> Verdict {
    Verdict::Hold { why: "the policy throws".to_owned() }
}

fn preferring(prefer: Preference) -> Lan {
    running(Lan::with(1, &[100, 99], |_, instance| {
        instance.policies = vec!["check_local".to_owned()];
        instance.prefer = prefer;
    }))
}

fn priority(lan: &Lan, index: usize) -> Option<u8> {
    lan.stations[index].node.status().instances[0].effective_priority.map(ha::wire::Priority::get)
}

#[test]
fn r20_a_master_on_hold_keeps_its_last_fit_priority() {
    let mut lan = with_policies(1);
    lan.set_verdict(0, Verdict::Healthy { delta: 10, note: String::new() });
    lan.run_for(SECOND * 2);
    assert_eq!(priority(&lan, 0), Some(110));
    lan.set_verdict(0, hold());
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), priority(&lan, 0)), (Role::Master, Some(110)));
    assert!(lan.has_condition(0, "hold"));
}

#[test]
fn r20_a_master_on_hold_obeys_higher_advertisements_and_the_cable() {
    let mut lan = with_policies(1);
    lan.set_verdict(0, hold());
    lan.run_for(SECOND * 2);
    lan.set_verdict(1, Verdict::Healthy { delta: 50, note: String::new() });
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(30));
    let mut lan = with_policies(1);
    lan.set_verdict(0, hold());
    lan.run_for(SECOND * 2);
    lan.plug(0, false);
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Fault, Role::Master));
}

#[test]
fn r20_a_master_on_hold_stops_in_order() {
    let mut lan = with_policies(1);
    lan.set_verdict(0, hold());
    lan.run_for(SECOND * 2);
    lan.stop(0);
    lan.run_for(SECOND * 2);
    assert_eq!(lan.holding(), [1]);
    assert_eq!(lan.settle_counts().nobody, Duration::ZERO);
}

#[test]
fn r20_a_backup_that_starts_does_not_take() {
    let mut lan = with_policies(1);
    lan.set_verdict(1, Verdict::Starting);
    lan.run_for(SECOND * 2);
    assert!(lan.has_condition(1, "starting"));
    lan.power_off(0);
    lan.run_for(SECOND * 20);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    lan.set_policy(1, true);
    lan.run_for(SECOND);
    assert_eq!(lan.holding(), [1], "as soon as it is known");
}

#[test]
fn r21_both_on_hold_keeps_the_master_and_loses_it_with_safety_only() {
    for (prefer, after) in [(Preference::Safety, vec![]), (Preference::Availability, vec![1])] {
        let mut lan = preferring(prefer);
        for index in [0, 1] {
            lan.set_verdict(index, hold());
            lan.stations[index].observed_ok = false;
        }
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), [0], "{prefer:?}");
        lan.power_off(0);
        lan.run_for(SECOND * 15);
        assert_eq!(lan.holding(), after, "{prefer:?}");
        assert_eq!(lan.has_condition(1, "no_master_seen"), prefer == Preference::Safety);
    }
}

#[test]
fn r23_an_offer_is_repeated_every_minute_and_costs_nothing() {
    let mut lan = with_policies(1);
    for index in [0, 1] {
        lan.stations[index].observed_ok = false;
        lan.set_verdict(index, external("the arbiter does not answer"));
    }
    lan.run_for(SECOND * 20);
    let holder = lan.holding()[0];
    assert!(lan.has_condition(holder, "common_mode"));
    assert_eq!(priority(&lan, holder), Some(1));
    let offered = lan.times(holder, |line| *line == Line::Sent(0))[0];
    let high = lan.times(holder, |line| matches!(line, Line::Sent(priority) if *priority > 1));
    assert!(high.iter().all(|at| *at <= offered), "whoever was offered it is not told otherwise");
    lan.reset_counts();
    lan.run_for(SECOND * 180);
    let zeros = lan.times(holder, |line| *line == Line::Sent(0));
    assert_eq!(zeros.len(), 9, "three offers of three words");
    let holders = lan.settle_counts();
    assert_eq!((holders.two, holders.nobody), (Duration::ZERO, Duration::ZERO));
}

/// The peer dies while the offer stands; nothing may be due for ever.
#[test]
fn r23_isolation_after_an_offer_is_quiet() {
    for (prefer, holding) in [(Preference::Safety, vec![]), (Preference::Availability, vec![0])] {
        let mut lan = preferring(prefer);
        lan.set_policy(1, false);
        lan.run_for(SECOND * 2);
        lan.set_verdict(0, external("the arbiter does not answer"));
        lan.run_for(SECOND * 10);
        assert!(lan.has_condition(0, "common_mode"));
        lan.power_off(1);
        lan.run_for(SECOND * 120);
        assert_eq!(lan.holding(), holding, "{prefer:?}");
        assert!(lan.has_condition(0, "isolated"), "{prefer:?}");
    }
}

/// A doubt of the standby, how it comes about, and whether availability takes in spite of it.
type Doubt = (&'static str, fn(&mut Lan), bool);

#[test]
fn r25_what_is_preferred_decides_every_doubt() {
    let doubts: [Doubt; 9] = [
        ("blind", |_| (), true),
        ("hold", |lan| lan.set_verdict(1, hold()), true),
        ("starting", |lan| lan.set_verdict(1, Verdict::Starting), true),
        ("fault", |lan| lan.set_policy(1, false), false),
        ("only external ones", |lan| lan.set_verdict(1, external("the arbiter does not answer")), false),
        ("never loaded", |lan| lan.never_load(1), false),
        ("maintenance", |lan| lan.set_verdict(1, Verdict::Maintenance { why: String::new() }), false),
        ("may_take_over says no", |lan| lan.forbid_takeover(1), false),
        ("on hold, and may_take_over says no", |lan| (lan.forbid_takeover(1), lan.set_verdict(1, hold())).1, false),
    ];
    for (name, doubt, takes) in doubts {
        for prefer in [Preference::Safety, Preference::Availability] {
            let mut lan = preferring(prefer);
            lan.stations[1].observed_ok = false;
            doubt(&mut lan);
            lan.run_for(SECOND * 2);
            lan.power_off(0);
            lan.run_for(SECOND * 20);
            let expected = if takes && prefer == Preference::Availability { vec![1] } else { vec![] };
            assert_eq!(lan.holding(), expected, "{name}, {prefer:?}");
        }
    }
}

/// Whatever it took in doubt it gives to whoever is in none.
#[test]
fn r25_what_availability_took_in_doubt_a_fit_peer_takes_back() {
    let mut lan = preferring(Preference::Availability);
    lan.set_verdict(1, hold());
    lan.stations[1].observed_ok = false;
    lan.run_for(SECOND * 2);
    lan.power_off(0);
    lan.run_for(SECOND * 20);
    assert_eq!((lan.holding(), priority(&lan, 1)), (vec![1], Some(1)));
    lan.start(0);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
    assert!(lan.settle_counts().longest_two <= HANDOVER.max(millis(30)));
}
