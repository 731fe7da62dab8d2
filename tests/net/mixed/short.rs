//! The forms in which a pair is deployed, each in a short life: election, preemption, and an orderly stop, in both roles.

use std::time::{Duration, Instant};

use ha::lab::{Host, Setup};

use super::{BOTH, start, v3_unicast};
use crate::{
    Story,
    stage::{A_HANDOVER, Stage, pass},
};

const FAST: Duration = Duration::from_millis(100);

pub(crate) const STORIES: [Story; 12] = [
    story("mixed_v2_without_password_ha_first", |stage| life(stage, Host::Node1, open)),
    story("mixed_v2_without_password_ha_second", |stage| life(stage, Host::Node2, open)),
    story("mixed_v3_unicast_ha_second", |stage| life(stage, Host::Node2, v3_unicast)),
    story("mixed_v3_ipv6_multicast_ha_first", |stage| life(stage, Host::Node1, ipv6)),
    story("mixed_v3_ipv6_multicast_ha_second", |stage| life(stage, Host::Node2, ipv6)),
    story("mixed_v3_ipv6_unicast_ha_first", |stage| life(stage, Host::Node1, ipv6_unicast)),
    story("mixed_v3_ipv6_unicast_ha_second", |stage| life(stage, Host::Node2, ipv6_unicast)),
    story("mixed_v3_another_group_ha_first", |stage| life(stage, Host::Node1, another_group)),
    story("mixed_v3_another_group_ha_second", |stage| life(stage, Host::Node2, another_group)),
    story("mixed_v3_unicast_with_a_least_ttl", |stage| life(stage, Host::Node1, from_the_link)),
    // Legal in version 3: a backup waits three intervals of the master's.
    story("mixed_v3_ha_has_the_longer_interval", |stage| life(stage, Host::Node1, slow_first)),
    story("mixed_v3_keepalived_has_the_longer_interval", |stage| life(stage, Host::Node2, slow_first)),
];

const fn story(name: &'static str, tell: fn(&Stage)) -> Story {
    Story { name, needs: BOTH, seconds: 60, tell }
}

fn open(node: Host) -> Setup {
    Setup { password: None, ..Setup::founding(node) }
}

fn ipv6(node: Host) -> Setup {
    Setup::founding(node).version3(FAST).over_ipv6()
}

fn ipv6_unicast(node: Host) -> Setup {
    Setup { unicast: true, ..ipv6(node) }
}

fn another_group(node: Host) -> Setup {
    Setup { group: Some("224.0.0.99"), ..Setup::founding(node).version3(FAST) }
}

fn from_the_link(node: Host) -> Setup {
    Setup { unicast: true, min_ttl: Some(255), ..Setup::founding(node).version3(FAST) }
}

fn slow_first(node: Host) -> Setup {
    Setup::founding(node).version3(if node == Host::Node1 { FAST * 4 } else { FAST })
}

fn life(stage: &Stage, ha_on: Host, setup: fn(Host) -> Setup) {
    let begin = Instant::now();
    let longest = setup(Host::Node1).advertise;
    let node2 = start(stage, Host::Node2, ha_on, setup);
    stage.held_by(&[Host::Node2], 15);
    let node1 = start(stage, Host::Node1, ha_on, setup);
    stage.held_by(&[Host::Node1], 15);
    pass(longest * 5);
    assert_eq!(stage.holders(), [Host::Node1], "a backup stays backup");
    let stopped = node1.terminate().unwrap();
    let taken = stage.held_by(&[Host::Node2], 15);
    let late = taken.saturating_duration_since(stopped);
    assert!(late < longest * 3 + Duration::from_secs(1), "priority 0 hands over sooner than silence: {late:?}");
    let two = stage.observer.two_holders(begin, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
    drop((node1, node2));
}
