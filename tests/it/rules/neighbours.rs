//! R4: a silence that is this node's own.

use ha::{config::Preference, node::Role, wire::NeighborKind, words::MacAddr};

use crate::{
    lan::{Host, Lan},
    pair::{SECOND, millis, running},
};

const CONDITION: &str = "hears_nothing";
const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);

/// A machine that is no node speaks on the link.
fn gateway_speaks(lan: &mut Lan) {
    let kind = NeighborKind::Request { sender: [192, 168, 0, 1].into(), target: [192, 168, 0, 200].into() };
    lan.frame(GATEWAY, None, None, kind);
}

/// There is a gateway, which was heard.
fn with_gateway(prefer: Preference) -> Lan {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.prefer = prefer));
    lan.hosts.push(Host { mac: GATEWAY, answers: vec![[192, 168, 0, 1].into()], left: u32::MAX });
    gateway_speaks(&mut lan);
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    lan
}

#[test]
fn r4_a_backup_that_hears_nobody_takes_nothing() {
    let mut lan = with_gateway(Preference::Safety);
    lan.stations[1].deaf = true;
    lan.run_for(SECOND * 60);
    assert_eq!((lan.holding(), lan.role(0)), (vec![0], Role::Master), "{}", lan.tale(40));
    assert!(lan.has_condition(1, CONDITION));
    lan.stations[1].deaf = false;
    lan.run_for(SECOND * 5);
    assert!(!lan.has_condition(1, CONDITION));
    assert_eq!(lan.holding(), [0]);
}

/// Availability takes after all, and the master does not leave it to whom nobody reaches.
#[test]
fn r4_availability_waits_for_link_settle_and_the_master_stays() {
    let mut lan = with_gateway(Preference::Availability);
    lan.stations[1].deaf = true;
    lan.run_for(SECOND * 7);
    assert_eq!(lan.holding(), [0], "{}", lan.tale(40));
    lan.run_for(SECOND * 53);
    assert_eq!((lan.holding(), lan.role(0)), (vec![0, 1], Role::Master), "{}", lan.tale(40));
    assert!(!lan.has_condition(0, "peer_deaf"));
    lan.stations[1].deaf = false;
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [0]);
}

/// The silence of a peer that has lost its power is no different.
#[test]
fn r4_where_nobody_else_was_silence_is_believed() {
    let mut lan = running(Lan::new(1, &[100, 99]));
    lan.power_off(0);
    lan.run_for(millis(3614));
    assert_eq!(lan.holding(), [1], "{}", lan.tale(40));
}

#[test]
fn r4_a_gateway_that_answers_delays_nothing() {
    let mut lan = with_gateway(Preference::Safety);
    lan.power_off(0);
    lan.run_for(millis(3614));
    assert_eq!(lan.holding(), [1], "{}", lan.tale(40));
}

/// The first machine that is heard ends it.
#[test]
fn r4_whoever_is_heard_later_ends_the_wait() {
    let mut lan = with_gateway(Preference::Safety);
    lan.hosts.clear();
    lan.power_off(0);
    lan.run_for(SECOND * 30);
    assert_eq!(lan.holding(), Vec::<usize>::new());
    assert!(lan.has_condition(1, CONDITION));
    gateway_speaks(&mut lan);
    lan.run_for(millis(300));
    assert_eq!(lan.holding(), [1], "{}", lan.tale(40));
    assert!(!lan.has_condition(1, CONDITION));
}
