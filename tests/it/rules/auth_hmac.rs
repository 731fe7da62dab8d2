//! Signed advertisements: whom a node believes, how keys change under way, and clocks that jump (R28).

use std::{num::NonZeroU8, time::Duration};

use ha::{
    config::{AntiReplay, AuthHmac, HmacKey, HmacMode, Instance, Protocol},
    node::{Datagram, Input, Role},
    wire::{AdverInterval, Advertisement, Key, Priority, Stamp, Vrid, encode_v2, group, sign},
    words::Family,
};

use crate::{
    lan::{Lan, addresses, eth0},
    pair::{HANDOVER, SECOND, running},
};

fn id(number: u8) -> NonZeroU8 {
    NonZeroU8::new(number).unwrap()
}

fn key(number: u8) -> Key {
    Key::new(&[number; 32]).unwrap()
}

fn auth(keys: &[u8], active: u8) -> AuthHmac {
    AuthHmac {
        keys: keys.iter().map(|number| (id(*number), HmacKey::Known(key(*number)))).collect(),
        active_key: id(active),
        anti_replay: AntiReplay::Time,
        time_window: Duration::from_secs(5),
        mode: HmacMode::Enforce,
    }
}

fn signing(change: impl Fn(usize, &mut Instance)) -> Lan {
    Lan::with(1, &[100, 99], |index, instance| {
        instance.auth_hmac = Some(auth(&[1], 1));
        change(index, instance);
    })
}

/// Changes a node by a reload, and lets some advertisements pass.
fn step(lan: &mut Lan, index: usize, auth: Option<AuthHmac>) {
    let mut instance = lan.stations[index].configured.clone();
    instance.auth_hmac = auth;
    lan.reload(index, instance);
    lan.run_for(SECOND * 10);
}

fn discarded(lan: &Lan, index: usize) -> Vec<(&'static str, u64)> {
    lan.stations[index].node.status().instances[0].discarded.iter().map(|(name, count)| (*name, *count)).collect()
}

fn received(lan: &Lan, index: usize) -> u64 {
    lan.stations[index].node.status().instances[0].received
}

/// Nothing moved, nobody was refused, and each advertisement was heard.
fn undisturbed(lan: &Lan, since: (ha::words::Instant, u64)) {
    let seconds = lan.now.saturating_since(since.0).as_secs();
    assert_eq!(lan.transitions(0).len() + lan.transitions(1).len(), 0, "{}", lan.tale(20));
    assert_eq!((discarded(lan, 0), discarded(lan, 1)), (vec![], vec![]));
    let heard = received(lan, 1) - since.1;
    assert!((seconds - 1..=seconds + 20).contains(&heard), "{heard} advertisements in {seconds} s");
    assert_eq!((lan.raised(1, "peer_rejected"), lan.raised(1, "peer_suspect")), (0, 0));
}

#[test]
fn a_signed_pair_hands_over_as_any_other() {
    let mut lan = running(signing(|_, _| ()));
    lan.stop(0);
    lan.run_for(SECOND * 2);
    assert_eq!(lan.holding(), [1]);
    assert!(lan.settle_counts().nobody <= HANDOVER, "priority 0 is believed");
}

/// The new key everywhere, then it signs, then the old one goes: on one node after the other.
#[test]
fn a_key_is_changed_without_a_lost_advertisement() {
    for first in [0, 1] {
        let mut lan = running(signing(|_, _| ()));
        let since = (lan.now, received(&lan, 1));
        for (keys, active) in [(&[1, 2][..], 1), (&[1, 2][..], 2), (&[2][..], 2)] {
            for index in [first, 1 - first] {
                step(&mut lan, index, Some(auth(keys, active)));
            }
        }
        undisturbed(&lan, since);
    }
}

/// From nothing to a pair that believes nothing else.
#[test]
fn signing_begins_without_a_lost_advertisement() {
    let mut lan = running(signing(|_, instance| instance.auth_hmac = None));
    let since = (lan.now, received(&lan, 1));
    for mode in [HmacMode::ReceiveOnly, HmacMode::Permissive, HmacMode::Enforce] {
        for index in [1, 0] {
            step(&mut lan, index, Some(AuthHmac { mode, ..auth(&[1], 1) }));
        }
        assert_eq!(lan.has_condition(1, "peer_unsigned"), mode == HmacMode::ReceiveOnly, "{mode:?}");
    }
    undisturbed(&lan, since);
}

/// Each of these makes the other half unbelievable; whoever holds the address goes on alone, and says what is wrong.
#[test]
fn who_is_not_believed_is_named_and_holds_alone() {
    let breaks: [(&str, &str, Option<AuthHmac>); 3] = [
        ("auth_ext_missing", "auth_hmac trailer missing", None),
        ("auth_ext_unknown_key", "auth_hmac key number unknown here", Some(auth(&[1, 2], 2))),
        ("auth_ext_invalid_hmac", "auth_hmac key", {
            let keys = [(id(1), HmacKey::Known(key(9)))].into();
            Some(AuthHmac { keys, ..auth(&[1], 1) })
        }),
    ];
    for (counter, said, other) in breaks {
        let mut lan = signing(|index, instance| {
            if index == 0 {
                instance.auth_hmac.clone_from(&other);
            }
        });
        lan.run_for(SECOND * 60);
        assert_eq!(lan.holding().len(), 1, "{counter}: {}", lan.tale(20));
        assert!(lan.has_condition(1, "peer_rejected") && lan.has_condition(1, "conflict"), "{counter}");
        assert_eq!(lan.stations[1].node.status().instances[0].peers[0].rejected, Some(said));
        assert!(discarded(&lan, 1).iter().any(|(name, count)| *name == counter && *count > 30), "{counter}");
        assert_eq!(lan.settle_counts().two, Duration::ZERO, "{counter}");
    }
}

/// A resignation that was heard before, or was made with another key, moves nothing.
#[test]
fn what_is_replayed_or_forged_moves_nothing_and_is_named() {
    let mut lan = running(signing(|_, _| ()));
    let source = addresses(2)[0];
    let wall = lan.now.since_epoch();
    let resignation = |number: u8, stamp: Stamp| {
        let advertisement = Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(0),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec!["192.168.0.60".parse().unwrap()],
        };
        sign(encode_v2(&advertisement, Some(b"1111\0\0\0\0")), source, id(1), &key(number), stamp)
    };
    let cases = [
        ("auth_ext_replay", resignation(1, Stamp::at(wall.saturating_sub(SECOND * 3)))),
        ("auth_ext_stale", resignation(1, Stamp::at(wall.saturating_sub(SECOND * 60)))),
        ("auth_ext_invalid_hmac", resignation(9, Stamp::at(wall))),
    ];
    for (counter, payload) in cases {
        let (interface, destination) = (eth0(), group(Family::V4));
        let datagram = Datagram { interface: &interface, source, destination, hop_limit: 255, payload: &payload };
        lan.hand_in(1, Input::Datagram(datagram));
        assert!(discarded(&lan, 1).contains(&(counter, 1)), "{counter}");
        assert!(lan.has_condition(1, "peer_suspect"));
    }
    lan.run_for(SECOND * 10);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
    assert_eq!(lan.transitions(1).len(), 0);
    assert!(!lan.has_condition(1, "peer_suspect"), "it ends by itself");
}

/// The master's clock jumps: its peer does not believe it, and does not take the address either.
#[test]
fn r28_a_clock_that_jumps_is_named_and_makes_no_second_holder() {
    for ahead in [SECOND * 3600, SECOND * 7200] {
        let mut lan = signing(|_, _| ());
        // Both agree, then one does not.
        for index in [0, 1] {
            lan.hand_in(index, Input::Clock { ahead: SECOND * 5400 });
        }
        let mut lan = running(lan);
        lan.hand_in(0, Input::Clock { ahead });
        lan.run_for(SECOND * 30);
        assert_eq!(lan.holding(), [0]);
        assert!(lan.has_condition(1, "peer_rejected"), "{}", lan.tale(20));
        let rejected = lan.stations[1].node.status().instances[0].peers[0].rejected;
        assert_eq!(rejected, Some("auth_hmac time outside of the window: compare the two clocks"));
        assert_eq!(lan.settle_counts().two, Duration::ZERO);
        // One that was ahead goes on from its clock, or it would not be believed for as long as it was.
        lan.hand_in(0, Input::Clock { ahead: SECOND * 5400 });
        lan.run_for(SECOND * 30);
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{}", lan.tale(20));
        assert!(!lan.has_condition(1, "peer_rejected"));
    }
}

/// Both were wrong in the same way and believed each other; one after the other is put right.
#[test]
fn r28_two_clocks_that_are_put_right_make_no_second_holder() {
    for order in [[0, 1], [1, 0]] {
        let mut lan = signing(|_, _| ());
        for index in [0, 1] {
            lan.hand_in(index, Input::Clock { ahead: SECOND * 7200 });
        }
        let mut lan = running(lan);
        for index in order {
            lan.hand_in(index, Input::Clock { ahead: SECOND * 3600 });
            lan.run_for(SECOND * 30);
            assert_eq!(lan.holding(), [0], "{}", lan.tale(20));
        }
        assert!(!lan.has_condition(1, "peer_rejected") && !lan.has_condition(1, "conflict"), "{}", lan.tale(20));
        assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup));
        assert_eq!(lan.settle_counts().two, Duration::ZERO);
    }
}

#[test]
fn r28_without_clocks_a_jump_is_nothing() {
    let mut lan = running(signing(|_, instance| {
        instance.auth_hmac = Some(AuthHmac { anti_replay: AntiReplay::Monotonic, ..auth(&[1], 1) });
    }));
    let since = (lan.now, received(&lan, 1));
    for ahead in [SECOND * 7200, Duration::ZERO] {
        lan.hand_in(0, Input::Clock { ahead });
        lan.run_for(SECOND * 10);
    }
    undisturbed(&lan, since);
}

/// Version 3 over IPv6, where the pseudo header is another one.
#[test]
fn signed_over_ipv6() {
    let mut lan = Lan::v6(1, &[100, 99], |_, instance| {
        assert!(matches!(instance.protocol, Protocol::V3(_)));
        instance.auth_hmac = Some(auth(&[1], 1));
    });
    lan.run_for(SECOND * 20);
    assert_eq!((lan.role(0), lan.role(1)), (Role::Master, Role::Backup), "{}", lan.tale(20));
    assert_eq!((discarded(&lan, 0), discarded(&lan, 1)), (vec![], vec![]));
}
