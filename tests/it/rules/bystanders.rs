//! Who else is on the link, and a silence that is this node's own.

use ha::{config::Preference, node::Role, wire::NeighborKind, words::MacAddr};

use crate::{
    lan::{Host, Lan},
    pair::{SECOND, millis, running},
};

const GATEWAY: MacAddr = MacAddr([2, 0, 0, 0, 1, 1]);

/// There is a gateway, which was heard.
fn with_gateway(prefer: Preference) -> Lan {
    let mut lan = running(Lan::with(1, &[100, 99], |_, instance| instance.prefer = prefer));
    lan.hosts.push(Host { mac: GATEWAY, answers: vec![[192, 168, 0, 1].into()], left: u32::MAX });
    let kind = NeighborKind::Request { sender: [192, 168, 0, 1].into(), target: [192, 168, 0, 200].into() };
    lan.frame(GATEWAY, None, None, kind);
    lan.run_for(SECOND * 10);
    lan.reset_counts();
    lan
}

/// A machine that was there and is switched off says nothing of the master's end, which is followed as soon as ever.
#[test]
fn r4_others_that_have_left_delay_no_takeover() {
    for prefer in [Preference::Safety, Preference::Availability] {
        let mut lan = with_gateway(prefer);
        lan.hosts.clear();
        lan.power_off(0);
        lan.run_for(millis(3614));
        assert_eq!(lan.holding(), [1], "{}", lan.tale(40));
    }
}

/// With availability the master does not leave the address to whom nobody reaches.
#[test]
fn r19a_availability_keeps_the_address_beside_a_backup_that_hears_nobody() {
    let mut lan = with_gateway(Preference::Availability);
    lan.stations[1].deaf = true;
    lan.run_for(SECOND * 60);
    assert_eq!((lan.holding(), lan.role(0)), (vec![0, 1], Role::Master), "{}", lan.tale(40));
    assert!(!lan.has_condition(0, "peer_deaf"));
    lan.stations[1].deaf = false;
    lan.run_for(SECOND * 3);
    assert_eq!(lan.holding(), [0]);
}
