//! R9, R27: several ears. Two machines on two wires: `eth0`, where the address is, and `eth1`, a cable between the two.

use std::time::Duration;

use ha::{
    config::{AntiReplay, AuthHmac, Config, HmacKey, HmacMode, Instance, Path, Preference, Transport},
    node::{Datagram, Input, PathStatus, Role},
    wire::Key,
    words::Instant,
};

use crate::{
    groups::wires::{Wires, interface, own},
    lan,
    pair::{SECOND, millis},
};

fn second(machine: usize) -> Path {
    Path {
        name: "second".to_owned(),
        interface: interface(1),
        transport: Transport::Unicast,
        multicast_group: None,
        min_ttl: 255,
        max_ttl: 255,
        peers: vec![own(1 - machine, 1)],
        source: None,
    }
}

fn config(machine: usize, change: impl Fn(&mut Instance)) -> Config {
    let priority = [100, 99][machine];
    let mut instance = Instance { interface: interface(0), ..lan::instance(priority, &[own(1 - machine, 0)]) };
    instance.paths = vec![second(machine)];
    change(&mut instance);
    lan::config(instance)
}

/// node0 serves, node1 stands by, and hears it twice.
fn settled(change: impl Fn(&mut Instance)) -> Wires {
    let mut wires = Wires::new(1, [0, 1].map(|machine| config(machine, &change)));
    wires.together = false;
    wires.run_for(SECOND * 12);
    roles(&wires, [Role::Master, Role::Backup]);
    wires
}

#[track_caller]
fn roles(wires: &Wires, expected: [Role; 2]) {
    let roles = [0, 1].map(|index| wires.roles(index)[0]);
    assert_eq!(roles, expected, "{}", wires.tale(40));
}

fn path(wires: &Wires, index: usize, name: &str) -> PathStatus {
    let paths = wires.machines[index].node.status().instances[0].paths.clone();
    paths.into_iter().find(|path| path.name == name).unwrap()
}

fn said(wires: &Wires, index: usize, condition: &str) -> String {
    wires.condition(index, 0, condition).unwrap_or_default()
}

/// How long ago a path last heard anybody.
fn silence(wires: &Wires, index: usize, name: &str) -> Duration {
    wires.now.saturating_since(path(wires, index, name).last_heard.unwrap_or(Instant::ZERO))
}

#[test]
fn advertisements_go_over_every_path_and_the_status_says_where_they_are_heard() {
    let wires = settled(|_| ());
    assert_eq!((said(&wires, 0, "path_degraded"), said(&wires, 1, "path_degraded")), (String::new(), String::new()));
    assert!(silence(&wires, 1, "primary") < millis(1100) && silence(&wires, 1, "second") < millis(1100));
    assert_eq!(path(&wires, 1, "second").source, Some(own(1, 1)));
    assert_eq!(path(&wires, 0, "second").last_heard, None, "a backup is silent");
    let peers = wires.machines[1].node.status().instances[0].peers.clone();
    assert_eq!(peers.len(), 1, "one machine, whichever way it is heard: {peers:?}");
}

/// Only multicast is filtered on the own link, or only advertisements: S13's most common causes.
#[test]
fn a_master_that_is_heard_on_another_path_stays_master() {
    let mut wires = settled(|_| ());
    wires.cut(0, 1, 0);
    wires.run_for(SECOND * 30);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(wires.holders(), [0]);
    let text = said(&wires, 1, "path_degraded");
    assert!(text.starts_with("path primary: 192.168.0.20 has not been heard there for "), "{text}");
    assert_eq!(said(&wires, 1, "vip_unreachable"), "", "the address answers");
    wires.heal();
    wires.run_for(SECOND * 2);
    assert_eq!(said(&wires, 1, "path_degraded"), "");
}

#[test]
fn a_silent_path_is_named_after_three_intervals() {
    let mut wires = settled(|_| ());
    wires.cut(0, 1, 1);
    wires.run_for(millis(2500));
    assert_eq!(said(&wires, 1, "path_degraded"), "");
    wires.run_for(SECOND * 3);
    let text = said(&wires, 1, "path_degraded");
    assert!(text.contains("path second: 192.168.0.20 has not been heard there for "), "{text}");
    assert!(path(&wires, 1, "second").trouble.is_some() && path(&wires, 1, "primary").trouble.is_none());
    wires.plug(1, 1, false);
    wires.run_for(SECOND * 2);
    assert!(said(&wires, 1, "path_degraded").contains("path second: interface eth1 has no carrier"));
    roles(&wires, [Role::Master, Role::Backup]);
    wires.heal();
    wires.plug(1, 1, true);
    wires.run_for(SECOND * 3);
    assert_eq!(said(&wires, 1, "path_degraded"), "");
}

/// R9: one way that takes an advertisement renews the lease; the one that does not is named.
#[test]
fn a_master_that_can_send_on_one_way_alone_goes_on_and_says_so() {
    let mut wires = settled(|_| ());
    wires.mute = vec![(0, 0)];
    wires.run_for(SECOND * 20);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(wires.holders(), [0]);
    let text = said(&wires, 0, "path_degraded");
    assert!(text.starts_with("path primary: advertisements cannot be sent: no buffer space available"), "{text}");
    wires.mute.clear();
    wires.run_for(SECOND * 2);
    assert_eq!(said(&wires, 0, "path_degraded"), "");
}

/// R9: what a path takes without a carrier has not left.
#[test]
fn a_path_without_a_carrier_renews_nothing() {
    let mut wires = settled(|_| ());
    wires.pull_unseen(0, 1);
    wires.mute = vec![(0, 0)];
    wires.run_for(SECOND * 4);
    assert_eq!(wires.holders(), [1], "{}", wires.tale(30));
    assert!(said(&wires, 0, "cannot_send").contains("no buffer space"), "{}", wires.tale(30));
}

/// The cable of the address is pulled: priority 0 comes over the other one, so nobody waits for a silence.
#[test]
fn a_resignation_comes_over_whichever_path_is_left() {
    let mut wires = settled(|_| ());
    wires.plug(0, 0, false);
    wires.run_for(millis(100));
    roles(&wires, [Role::Fault, Role::Master]);
    assert_eq!(wires.holders(), [1]);
    wires.plug(0, 0, true);
    wires.run_for(SECOND * 15);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(wires.holders(), [0]);
}

#[test]
fn a_master_that_dies_is_silent_on_every_path() {
    let mut wires = settled(|_| ());
    wires.kill(0);
    wires.plug(0, 0, false);
    wires.plug(0, 1, false);
    wires.run_for(SECOND * 6);
    assert_eq!(wires.roles(1)[0], Role::Master, "{}", wires.tale(30));
    assert!(!said(&wires, 1, "path_degraded").contains("has not been heard"));
}

/// Each machine has its own half of the clients' network, and they still hear each other (R27).
#[test]
fn r27_safety_says_that_the_address_is_out_of_reach_and_stays_backup() {
    let mut wires = settled(|_| ());
    wires.apart = vec![0];
    wires.run_for(SECOND * 5);
    assert_eq!(said(&wires, 1, "vip_unreachable"), "");
    wires.run_for(SECOND * 20);
    let text = said(&wires, 1, "vip_unreachable");
    assert!(text.contains("nobody on eth0 has answered for the address") && text.contains("stays backup"), "{text}");
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(wires.holders(), [0]);
    wires.apart.clear();
    wires.run_for(SECOND * 3);
    assert_eq!(said(&wires, 1, "vip_unreachable"), "");
}

#[test]
fn r27_availability_serves_its_own_side_and_the_higher_one_serves_all_once_they_are_one() {
    let mut wires = settled(|instance| instance.prefer = Preference::Availability);
    wires.apart = vec![0];
    wires.run_for(SECOND * 30);
    roles(&wires, [Role::Master, Role::Master]);
    assert_eq!(wires.holders(), [0, 1], "each serves its own side");
    assert!(said(&wires, 1, "vip_unreachable").contains("serves its own side"));
    wires.run_for(SECOND * 60);
    roles(&wires, [Role::Master, Role::Master]);
    wires.apart.clear();
    wires.run_for(SECOND * 3);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(wires.holders(), [0]);
    assert_eq!(said(&wires, 1, "vip_unreachable"), "");
}

/// A sender that no path knows is told, and decides nothing.
#[test]
fn a_path_is_not_believed_whose_peers_are_others() {
    let mut wires = Wires::new(
        1,
        [0, 1].map(|machine| {
            config(machine, |instance| {
                if machine == 1 {
                    instance.paths[0].peers = vec!["192.168.1.77".parse().unwrap()];
                }
            })
        }),
    );
    wires.together = false;
    wires.run_for(SECOND * 12);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(path(&wires, 1, "second").last_heard, None);
    assert!(said(&wires, 1, "more_nodes_than_configured").contains("192.168.1.20"));
    wires.cut(0, 1, 0);
    wires.run_for(SECOND * 10);
    assert!(wires.condition(1, 0, "conflict").is_some(), "{}", wires.tale(20));
}

/// Two interfaces on one switch: each hears what is said on the other one. A peer stays one machine, whichever address it uses.
#[test]
fn two_ways_in_one_network_make_nobody_a_stranger() {
    let multicast = |instance: &mut Instance| {
        instance.paths[0] = Path { transport: Transport::Multicast, min_ttl: 1, ..instance.paths[0].clone() };
    };
    let mut wires = Wires::new(1, [0, 1].map(|machine| config(machine, multicast)));
    (wires.together, wires.one_network) = (false, true);
    wires.run_for(SECOND * 20);
    roles(&wires, [Role::Master, Role::Backup]);
    assert_eq!(said(&wires, 1, "more_nodes_than_configured"), "");
    let peers = wires.machines[1].node.status().instances[0].peers.clone();
    assert_eq!(peers.len(), 1, "{peers:?}");
    let discarded = wires.machines[1].node.status().instances[0].discarded.clone();
    assert!(discarded.get("not_a_peer").is_some_and(|count| *count > 10), "{discarded:?}");
    wires.stop(0);
    wires.run_for(millis(200));
    assert_eq!(wires.holders(), [1], "it is the only heir: {}", wires.tale(20));
}

fn auth(anti_replay: AntiReplay) -> AuthHmac {
    let id = std::num::NonZeroU8::new(1).unwrap();
    let keys = [(id, HmacKey::Known(Key::new(&[1; 32]).unwrap()))].into();
    AuthHmac { keys, active_key: id, anti_replay, time_window: SECOND * 5, mode: HmacMode::Enforce }
}

/// Signed advertisements go over both ways, also where the peer has one address for both; none is taken for a repetition.
#[test]
fn signed_advertisements_are_believed_on_every_path() {
    for anti_replay in [AntiReplay::Time, AntiReplay::Monotonic] {
        for interfaces in [1, 2] {
            let mut wires = settled(|instance| {
                instance.auth_hmac = Some(auth(anti_replay));
                if interfaces == 1 {
                    instance.paths[0].interface = interface(0);
                    instance.paths[0].peers.clone_from(&instance.peers);
                }
            });
            assert!(silence(&wires, 1, "primary") < millis(1100) && silence(&wires, 1, "second") < millis(1100));
            for index in [0, 1] {
                let discarded = wires.machines[index].node.status().instances[0].discarded.clone();
                assert!(discarded.is_empty(), "{anti_replay:?}, {interfaces}: {discarded:?}");
            }
            wires.plug(0, 0, false);
            wires.run_for(millis(100));
            let taken = if interfaces == 2 { vec![1] } else { vec![] };
            assert_eq!(wires.holders(), taken, "a signed resignation is believed on the path that is left");
        }
    }
}

/// What was heard on the own way is handed in again on the path, and the other way round.
#[test]
fn what_is_repeated_on_another_way_moves_nothing_and_is_named() {
    let mut wires = settled(|instance| {
        instance.auth_hmac = Some(auth(AntiReplay::Monotonic));
        instance.paths[0].interface = interface(0);
        instance.paths[0].peers.clone_from(&instance.peers);
    });
    let old = wires.last_payload(0);
    wires.run_for(SECOND * 10);
    let fresh = wires.last_payload(0);
    let received = |wires: &Wires| wires.machines[1].node.status().instances[0].received;
    let before = received(&wires);
    for payload in [&old, &fresh] {
        for destination in [own(1, 0), "224.0.0.18".parse().unwrap()] {
            let at = interface(0);
            let datagram = Datagram { interface: &at, source: own(0, 0), destination, hop_limit: 255, payload };
            wires.hand_in(1, Input::Datagram(datagram));
        }
    }
    assert_eq!(received(&wires), before);
    let discarded = wires.machines[1].node.status().instances[0].discarded.clone();
    assert_eq!(discarded.get("auth_ext_replay"), Some(&4));
    assert!(said(&wires, 1, "peer_suspect").contains("auth_hmac replay"));
    roles(&wires, [Role::Master, Role::Backup]);
}

/// Paths come and go by a reload, and nothing moves; what stays keeps what was heard.
#[test]
fn a_reload_adds_and_removes_paths_without_a_change_of_role() {
    let mut wires = settled(|_| ());
    let before = wires.story.len();
    for paths in [false, true] {
        for index in [0, 1] {
            let keep = |instance: &mut Instance| {
                if !paths {
                    instance.paths.clear();
                }
            };
            wires.reload(index, config(index, keep));
            wires.run_for(SECOND * 3);
        }
        wires.run_for(SECOND * 3);
        let known = wires.machines[1].node.status().instances[0].paths.len();
        assert_eq!(known, if paths { 2 } else { 0 });
    }
    roles(&wires, [Role::Master, Role::Backup]);
    let moved = wires.story[before..].iter().any(|(_, _, line)| line.contains('→'));
    assert!(!moved, "{}", wires.tale(30));
    assert!(silence(&wires, 1, "second") < millis(1100));
    let heard = path(&wires, 1, "second").last_heard;
    let mut other = config(1, |_| ());
    other.instances[0].announce.refresh = Duration::from_secs(60);
    wires.reload(1, other);
    assert_eq!(path(&wires, 1, "second").last_heard, heard);
}
