//! R13, while it runs: a virtual address on a node that does not serve.

use std::time::Duration;

use ha::node::{Condition, Role};

use crate::{
    lan::{Lan, addresses},
    pair::{SECOND, millis, settled},
};

const CONDITION: &str = "address_misplaced";

#[test]
fn r13_an_address_that_somebody_puts_on_a_backup_is_removed() {
    let mut lan = settled(1);
    lan.misplace_address(1);
    lan.run_for(millis(10));
    assert_eq!((lan.holding(), lan.raised(1, CONDITION)), (vec![0], 1), "{}", lan.tale(40));
    assert!(!lan.has_condition(1, CONDITION), "it has gone");
    assert_eq!(lan.noted(1, "does not serve"), 0, "the condition has said it");
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.role(1), lan.raised(1, CONDITION)), (Role::Master, Role::Backup, 1));
    assert!(lan.settle_counts().longest_two <= millis(10));
}

#[test]
fn r13_what_is_put_there_again_and_again_is_left_for_a_minute_and_said() {
    let mut lan = settled(1);
    for _ in 0..6 {
        lan.misplace_address(1);
        lan.run_for(SECOND * 2);
    }
    assert_eq!((lan.holding(), lan.raised(1, CONDITION)), (vec![0, 1], 6), "{}", lan.tale(40));
    let said = lan.stations[1].node.status().instances[0].conditions.clone();
    let left = |it: &Condition| it.name == CONDITION && it.text.contains("again and again, and this node leaves it");
    assert!(said.iter().any(left), "{said:?}");
    lan.run_for(SECOND * 50);
    assert_eq!((lan.raised(1, CONDITION), lan.noted(1, "does not serve")), (6, 0), "it does not fight");
    lan.run_for(SECOND * 12);
    assert_eq!(lan.holding(), [0]);
    assert!(!lan.has_condition(1, CONDITION));
    assert_eq!(lan.noted(1, "somebody put it there, and this node removes it"), 1, "the sentence is another one");
}

/// In fault it takes no part, and has nothing either.
#[test]
fn r13_nor_is_it_left_on_a_node_in_fault() {
    let mut lan = settled(1);
    lan.set_addressed(1, false);
    assert_eq!(lan.role(1), Role::Fault);
    lan.misplace_address(1);
    lan.run_for(millis(10));
    assert_eq!(lan.holding(), [0]);
}

/// Whatever it does itself: what it hears of its kernel afterwards is not taken for somebody else's doing.
#[test]
fn r13_what_a_node_does_itself_is_nobody_elses() {
    for seed in 0..20 {
        let mut lan = settled(seed);
        lan.freeze(0);
        lan.run_for(SECOND * 5 + millis(seed * 37));
        lan.thaw(0);
        lan.run_for(SECOND * 10);
        lan.plug(0, false);
        lan.run_for(SECOND * 5 + millis(seed * 41));
        lan.plug(0, true);
        lan.run_for(SECOND * 10);
        lan.kill(0);
        lan.run_for(millis(seed * 300));
        lan.start(0);
        lan.run_for(SECOND * 10);
        lan.stop(0);
        lan.run_for(SECOND * 2);
        lan.start(0);
        lan.run_for(SECOND * 10);
        assert_eq!((lan.raised(0, CONDITION), lan.raised(1, CONDITION)), (0, 0), "seed {seed}: {}", lan.tale(60));
        assert_eq!(lan.holding(), [0], "seed {seed}");
    }
}

/// Nothing arrives on it, whatever leaves it.
#[test]
fn r31_a_port_of_a_bridge_is_no_interface_to_serve_on() {
    let mut lan = settled(1);
    lan.make_port(0, Some("br0"));
    lan.run_for(SECOND * 5);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]), "{}", lan.tale(40));
    assert!(lan.reason(0).contains("eth0 is a port of br0"), "{}", lan.reason(0));
    lan.make_port(0, None);
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
}

/// The file of the first node was copied to the second.
#[test]
fn r1_a_node_is_no_peer_of_its_own() {
    let mut lan = Lan::with(1, &[100, 99], |index, instance| {
        if index == 1 {
            instance.peers = vec![addresses(2)[1]];
        }
    });
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [0]);
    assert!(lan.has_condition(1, "peer_is_this_node"));
    assert!(!lan.has_condition(1, "more_nodes_than_configured"), "the other node is no stranger");
    lan.power_off(0);
    lan.run_for(SECOND * 5);
    assert_eq!(lan.holding(), [1]);
    let mended = ha::config::Instance { peers: vec![addresses(2)[0]], ..lan.stations[1].configured.clone() };
    lan.reload(1, mended);
    assert!(!lan.has_condition(1, "peer_is_this_node"));
    assert!(lan.settle_counts().longest_two < Duration::from_millis(1));
}
