//! What is tracked beside an instance's own interface: a fault, or a part of the priority, told and taken back.

use ha::{
    config::{Effect, Instance, LastResort, TrackedInterface, WellWhile},
    node::{Event, Input, LinkSeen, Role},
    words::InterfaceName,
};

use crate::{
    lan::{Lan, Line},
    pair::{HANDOVER, SECOND, running},
};

fn name(text: &str) -> InterfaceName {
    text.parse().unwrap()
}

fn interface(any: &[&str], effect: Effect) -> TrackedInterface {
    TrackedInterface { any: any.iter().map(|text| name(text)).collect(), well: WellWhile::There, effect }
}

/// The other interfaces of node 0: up, with or without a carrier.
fn link(lan: &mut Lan, text: &str, carrier: bool) {
    let link = LinkSeen { name: name(text), index: 7, mac: None, up: true, carrier };
    lan.hand_in(0, Input::Link(link));
}

fn gone(lan: &mut Lan, text: &str) {
    lan.hand_in(0, Input::LinkGone(name(text)));
}

/// Node 0 tracks, all of it is well, and it serves.
fn tracking(tracked: &[TrackedInterface], change: impl Fn(&mut Instance)) -> Lan {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.interfaces = tracked.to_vec();
            change(instance);
        }
    });
    for name in ["eth1", "eth2"] {
        link(&mut lan, name, true);
    }
    running(lan)
}

fn bid(lan: &Lan, index: usize) -> Option<u8> {
    lan.stations[index].node.status().instances[0].effective_priority.map(ha::wire::Priority::get)
}

fn said(lan: &Lan, index: usize, name: &str) -> Option<String> {
    let conditions = lan.stations[index].node.status().instances.remove(0).conditions;
    conditions.into_iter().find(|condition| condition.name == name).map(|condition| condition.text)
}

fn reason(lan: &Lan, index: usize) -> String {
    lan.stations[index].node.status().instances.remove(0).reason
}

fn notes(lan: &Lan, index: usize) -> Vec<String> {
    let note = |(_, who, line): &(_, usize, Line)| {
        let Line::Event(Event::Note(text)) = line else { return None };
        (*who == index).then(|| text.clone())
    };
    lan.story.iter().filter_map(note).collect()
}

#[test]
fn an_interface_that_must_be_there_is_a_fault_while_it_is_not() {
    let mut lan = tracking(&[interface(&["eth1"], Effect::Fault)], |_| {});
    for (lose, why) in
        [(Some(false), "interface eth1 has no carrier (tracked)"), (None, "interface eth1 does not exist (tracked)")]
    {
        match lose {
            Some(carrier) => link(&mut lan, "eth1", carrier),
            None => gone(&mut lan, "eth1"),
        }
        assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, why), "at once");
        assert!(!lan.holds(0));
        lan.run_for(SECOND * 5);
        assert_eq!(lan.holding(), [1]);
        link(&mut lan, "eth1", true);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.holding(), [0], "it comes back by itself");
    }
}

/// Never seen is not up: a node that starts without it does not serve.
#[test]
fn an_interface_that_never_was_there_is_a_fault() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 0 {
            instance.tracks.interfaces = vec![interface(&["eth1"], Effect::Fault)];
        }
    });
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]));
}

#[test]
fn a_weight_moves_the_priority_and_says_why() {
    let tracked = [interface(&["eth1"], Effect::Weight(-20)), interface(&["eth2"], Effect::Weight(10))];
    let mut lan = tracking(&tracked, |_| {});
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority")), (Some(110), None), "what is usual is not worth a word");
    link(&mut lan, "eth2", false);
    assert_eq!((bid(&lan, 0), lan.role(0)), (Some(100), Role::Master));
    assert_eq!(said(&lan, 0, "priority").unwrap(), "interface eth2 has no carrier (-10): this node bids 100 now");
    link(&mut lan, "eth1", false);
    let both = "interface eth1 has no carrier (-20), interface eth2 has no carrier (-10): this node bids 80 now";
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority").as_deref()), (Some(80), Some(both)));
    assert_eq!(notes(&lan, 0), [both], "each change is said");
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1], "{}", lan.tale(30));
    assert!(lan.settle_counts().nobody <= HANDOVER, "it is handed over, not dropped");
    link(&mut lan, "eth1", true);
    link(&mut lan, "eth2", true);
    assert_eq!((bid(&lan, 0), said(&lan, 0, "priority")), (Some(110), None));
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

#[test]
fn the_priority_stays_between_1_and_254() {
    for (weight, least) in [(-253, 1), (253, 100)] {
        let mut lan = tracking(&[interface(&["eth1"], Effect::Weight(weight))], |_| {});
        assert_eq!(bid(&lan, 0), Some(if weight > 0 { 254 } else { 100 }));
        link(&mut lan, "eth1", false);
        assert_eq!(bid(&lan, 0), Some(least));
    }
}

#[test]
fn of_several_one_is_enough() {
    let mut lan = tracking(&[interface(&["eth1", "eth2"], Effect::Fault)], |_| {});
    link(&mut lan, "eth1", false);
    assert_eq!(lan.role(0), Role::Master);
    gone(&mut lan, "eth2");
    let why = "interface eth1 has no carrier and interface eth2 does not exist (tracked)";
    assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, why));
    link(&mut lan, "eth1", true);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.role(0), Role::Master);
}

#[test]
fn the_other_way_around_it_is_well_while_it_is_down() {
    let tracked = TrackedInterface { well: WellWhile::Absent, ..interface(&["eth3"], Effect::Fault) };
    let mut lan = tracking(&[tracked], |_| {});
    link(&mut lan, "eth3", true);
    assert_eq!((lan.role(0), reason(&lan, 0).as_str()), (Role::Fault, "interface eth3 is up (tracked)"));
    link(&mut lan, "eth3", false);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.role(0), Role::Master);
}

/// R24: what is tracked counts like a rule of a policy.
#[test]
fn r24_the_last_resort_offers_and_keeps_it_where_nobody_is_better_off() {
    let keep = |instance: &mut Instance| instance.last_resort = LastResort::Keep;
    let mut lan = tracking(&[interface(&["eth1"], Effect::Fault)], keep);
    link(&mut lan, "eth1", false);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= HANDOVER);
    lan.power_off(1);
    lan.run_for(SECOND * 15);
    assert_eq!((lan.holding(), bid(&lan, 0)), (vec![0], Some(1)), "{}", lan.tale(30));
}

/// What is known of an interface before it is tracked counts from the first moment on.
#[test]
fn a_reload_that_tracks_what_is_up_moves_nothing() {
    for up in [true, false] {
        let mut lan = tracking(&[], |_| {});
        link(&mut lan, "eth1", up);
        let mut new = lan.stations[0].configured.clone();
        new.tracks.interfaces = vec![interface(&["eth1"], Effect::Fault)];
        lan.reload(0, new.clone());
        assert_eq!(lan.role(0), if up { Role::Master } else { Role::Fault });
        new.tracks.interfaces.clear();
        lan.reload(0, new);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.role(0), Role::Master);
    }
}
