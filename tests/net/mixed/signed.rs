//! `auth_hmac` beside a keepalived that knows it (2.4.2 and later): both believe each other in every form, a key is changed
//! without a lost advertisement, and who has another key is named and is no second holder for longer than it takes to see.

use std::{
    fs,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup};
use nix::sys::signal::Signal;

use super::mismatch::told;
use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

const SIGNS: &[Need] = &[Need::KeepalivedSigns];
const FAST: Duration = Duration::from_millis(200);

pub(crate) const STORIES: [Story; 8] = [
    story("mixed_signed_v2_multicast_ha_first", |stage| life(stage, Host::Node1, open)),
    story("mixed_signed_v2_multicast_ha_second", |stage| life(stage, Host::Node2, open)),
    story("mixed_signed_v3_unicast_ha_first", |stage| life(stage, Host::Node1, unicast)),
    story("mixed_signed_v3_ipv6_ha_first", |stage| life(stage, Host::Node1, ipv6)),
    story("mixed_signed_v3_ipv6_ha_second", |stage| life(stage, Host::Node2, ipv6)),
    story("mixed_signed_key_is_changed", key_is_changed),
    story("mixed_signed_with_another_key_ha_second", another_key_second),
    story("mixed_signed_with_another_key_ha_first", another_key_first),
];

const fn story(name: &'static str, tell: fn(&Stage)) -> Story {
    Story { name, needs: SIGNS, seconds: 60, tell }
}

fn open(node: Host) -> Setup {
    Setup { password: None, ..Setup::founding(node) }
}

fn v3(node: Host) -> Setup {
    Setup::founding(node).version3(FAST)
}

fn unicast(node: Host) -> Setup {
    Setup { unicast: true, ..v3(node) }
}

fn ipv6(node: Host) -> Setup {
    v3(node).over_ipv6()
}

/// A key of this number: of bytes, or as a text.
fn key(number: u8) -> String {
    if number.is_multiple_of(2) {
        format!("a-text-of-more-than-32-letters-{number:04}")
    } else {
        format!("hex:{}", format!("{number:02x}").repeat(32))
    }
}

fn ha(stage: &Stage, node: Host, setup: &Setup, keys: &[u8], active: u8) -> Daemon {
    stage.ha_with(node, &toml(node, setup, keys, active), &[])
}

fn toml(node: Host, setup: &Setup, keys: &[u8], active: u8) -> String {
    let keys: Vec<String> = keys.iter().map(|number| format!("{number} = \"{}\"", key(*number))).collect();
    format!("{}auth_hmac = {{ active_key = {active}, keys = {{ {} }} }}\n", setup.toml(node), keys.join(", "))
}

fn keepalived(stage: &Stage, node: Host, setup: &Setup, keys: &[u8], active: u8) -> Daemon {
    stage.keepalived_with(node, &conf(node, setup, keys, active))
}

fn conf(node: Host, setup: &Setup, keys: &[u8], active: u8) -> String {
    let keys: String = keys.iter().map(|number| format!("  key {number} {}\n", key(*number))).collect();
    let conf = setup.keepalived_conf(node, None);
    let inside = conf.trim_end().strip_suffix('}').unwrap();
    format!("{inside} auth_hmac {{\n{keys}  active_key {active}\n }}\n}}\n")
}

/// None was refused.
#[track_caller]
fn all_believed(stage: &Stage, ha: &Daemon) {
    let instance = stage.instance(ha).unwrap();
    assert_eq!(instance["discarded"], serde_json::json!({}), "{instance:#}");
    assert!(instance["received"].as_u64() > Some(0), "{instance:#}");
}

/// Election, preemption, and an orderly stop of either.
fn life(stage: &Stage, ha_on: Host, setup: fn(Host) -> Setup) {
    let start = |node| match node == ha_on {
        true => ha(stage, node, &setup(node), &[1], 1),
        false => keepalived(stage, node, &setup(node), &[1], 1),
    };
    let node2 = start(Host::Node2);
    stage.held_by(&[Host::Node2], 15);
    let node1 = start(Host::Node1);
    stage.held_by(&[Host::Node1], 15);
    pass(setup(Host::Node1).advertise * 5);
    assert_eq!(stage.holders(), [Host::Node1], "a backup hears the other and stays backup");
    let ours = if ha_on == Host::Node1 { &node1 } else { &node2 };
    all_believed(stage, ours);
    let stopped = node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 15);
    if !setup(Host::Node1).ipv6 {
        assert!(stage.capture.priorities(Host::Node1, stopped, Instant::now()).contains(&0));
    }
    if ha_on == Host::Node2 {
        all_believed(stage, &node2);
    }
    let taken = stage.observer.changes().iter().filter(|change| change.holds).count();
    assert_eq!(taken, 3, "nobody took the address but for a reason");
}

/// The new key everywhere, then it signs, then the old one goes; on keepalived first.
fn key_is_changed(stage: &Stage) {
    let [first, second] = Host::NODES.map(v3);
    let ours = ha(stage, Host::Node1, &first, &[1], 1);
    stage.held_by(&[Host::Node1], 15);
    let mut theirs = keepalived(stage, Host::Node2, &second, &[1], 1);
    pass(FAST * 10);
    let begin = Instant::now();
    for (keys, active) in [(&[1, 2][..], 1), (&[1, 2][..], 2), (&[2][..], 2)] {
        let file = theirs.directory().join("keepalived.conf");
        fs::write(file, conf(Host::Node2, &second, keys, active)).unwrap();
        let loaded = theirs.log().matches("Reload complete").count();
        theirs.process().signal(Signal::SIGHUP).unwrap();
        wait_until("keepalived reads its file again", Duration::from_secs(10), || {
            theirs.log().matches("Reload complete").count() > loaded
        });
        pass(FAST * 5);
        ours.write_config(&toml(Host::Node1, &first, keys, active)).unwrap();
        let output = ours.command(&stage.world, &["reload"]).unwrap();
        assert!(output.status.success(), "{output:?}");
        pass(FAST * 5);
    }
    assert_eq!(stage.observer.first(Host::Node2, true, begin), None, "nothing moves");
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
    // Now it is keepalived that signs with the new key, and is believed.
    ours.terminate().unwrap();
    stage.held_by(&[Host::Node2], 15);
    drop(ours);
    let ours = ha(stage, Host::Node1, &Setup { preempt: false, ..first }, &[2], 2);
    wait_until("an advertisement that is believed", Duration::from_secs(15), || {
        stage.instance(&ours).is_some_and(|instance| instance["received"].as_u64() > Some(0))
    });
    all_believed(stage, &ours);
    assert_eq!(stage.holders(), [Host::Node2]);
}

/// keepalived serves. `ha` says what is wrong, finds that the address is taken, and never takes it as well.
fn another_key_second(stage: &Stage) {
    let theirs = keepalived(stage, Host::Node1, &v3(Host::Node1), &[1], 1);
    stage.held_by(&[Host::Node1], 15);
    let begin = Instant::now();
    let ours = ha(stage, Host::Node2, &v3(Host::Node2), &[2], 2);
    told(stage, &ours, "peer_rejected", "auth_hmac key number unknown here");
    stage.says(&ours, "conflict", 15);
    pass(Duration::from_secs(1));
    assert_eq!(stage.observer.two_holders(begin, Instant::now()), Duration::ZERO, "never a second holder");
    theirs.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
}

/// `ha` serves, and keepalived, which believes no word of it, takes the address as well. `ha` says what is wrong and yields.
fn another_key_first(stage: &Stage) {
    let setup = v3(Host::Node1);
    let ours = ha(stage, Host::Node1, &setup, &[1], 1);
    stage.held_by(&[Host::Node1], 15);
    // The same number, and another key.
    let conf = conf(Host::Node2, &v3(Host::Node2), &[1], 1).replace(&key(1), &key(3));
    let _theirs = stage.keepalived_with(Host::Node2, &conf);
    told(stage, &ours, "peer_rejected", "auth_hmac key");
    stage.held_by(&[Host::Node2], 15);
    pass(Duration::from_secs(1));
    assert_eq!(stage.holders(), [Host::Node2], "it stays with whoever believes nobody");
}
