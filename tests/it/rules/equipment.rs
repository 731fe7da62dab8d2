//! What an instance needs of the machine beside its interface: without it it takes no part, and never serves open.

use ha::node::{Condition, Input, Role};

use crate::{
    lan::Lan,
    pair::{SECOND, running},
};

fn equip(lan: &mut Lan, index: usize, result: Result<(), &str>) {
    let result = result.map_err(str::to_owned);
    lan.hand_in(index, Input::Equipped { instance: "VI_1".to_owned(), result });
}

fn guarded() -> Lan {
    Lan::with(1, &[100, 99], |index, instance| instance.accept = index != 0)
}

#[test]
fn without_what_it_needs_an_instance_waits_and_says_why() {
    let mut lan = guarded();
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]));
    equip(&mut lan, 0, Err("no nftables"));
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Fault, vec![1]));
    let status = lan.stations[0].node.status();
    let says = |condition: &Condition| condition.name == "waiting" && condition.text.contains("no nftables");
    assert!(status.instances[0].conditions.iter().any(says), "{:?}", status.instances[0].conditions);
    equip(&mut lan, 0, Ok(()));
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.holding()), (Role::Master, vec![0]));
}

#[test]
fn a_master_that_loses_it_lets_go_at_once() {
    let mut lan = guarded();
    equip(&mut lan, 0, Ok(()));
    let mut lan = running(lan);
    assert_eq!(lan.holding(), [0]);
    equip(&mut lan, 0, Err("no nftables"));
    assert_eq!((lan.role(0), lan.holds(0)), (Role::Fault, false));
    lan.run_for(SECOND * 10);
    assert_eq!(lan.holding(), [1]);
}

/// What was told before the configuration that needs it counts.
#[test]
fn a_reload_that_needs_what_is_there_moves_nothing() {
    for there in [true, false] {
        let mut lan = running(Lan::with(1, &[100, 99], |_, _| {}));
        if there {
            equip(&mut lan, 0, Ok(()));
        }
        let mut new = lan.stations[0].configured.clone();
        new.accept = false;
        lan.reload(0, new);
        assert_eq!(lan.holds(0), there, "it does not serve open");
    }
}
