//! Pairs that do not understand each other. What keepalived cannot read it drops without a word, and takes the address;
//! `ha` says what is wrong, and never is the second holder for longer than it takes to see the first.
//!
//! As a backup (`…_ha_second`) it stays backup while the other machine answers for the address. As a master
//! (`…_ha_first`) it cannot keep keepalived from taking the address as well, which is the half that keepalived breaks: it
//! yields to it.

use std::time::{Duration, Instant};

use ha::lab::{Daemon, Host, Setup, fault::Silence};

use super::{BOTH, FILTERED};
use crate::{
    Need, Story, runner,
    stage::{Stage, pass, wait_until},
};

/// What differs.
struct Mismatch {
    ha: fn(Setup) -> Setup,
    keepalived: fn(Setup) -> Setup,
    /// More of keepalived's instance, before its end.
    extra: &'static str,
    /// What something between the two does to what keepalived sends.
    meddles: Option<&'static str>,
    /// What `ha` says of its peer.
    says: &'static str,
}

const NONE: Mismatch = Mismatch { ha: same, keepalived: same, extra: "", meddles: None, says: "" };

const VERSION: Mismatch = Mismatch { ha: |setup| setup.version3(SECOND), says: "protocol version", ..NONE };
const AUTH_TYPE: Mismatch = Mismatch { ha: |setup| Setup { password: None, ..setup }, says: "auth type", ..NONE };
const PASSWORD: Mismatch =
    Mismatch { ha: |setup| Setup { password: Some("2222"), ..setup }, says: "auth password", ..NONE };
const INTERVAL: Mismatch =
    Mismatch { keepalived: |setup| Setup { advertise: SECOND * 2, ..setup }, says: "advertisement interval", ..NONE };
const ADDRESSES: Mismatch =
    Mismatch { extra: " virtual_ipaddress {\n  192.168.0.61/24\n }\n", says: "address list", ..NONE };
const TRANSPORT: Mismatch =
    Mismatch { keepalived: |setup| Setup { unicast: true, ..setup }, says: "multicast against unicast", ..NONE };
const HOP_LIMIT: Mismatch = Mismatch { meddles: Some("ip ttl set 64"), says: "is not 255", ..NONE };
/// Both speak unicast and want each other on the same link.
const FAR: Mismatch =
    Mismatch { ha: near, keepalived: near, meddles: Some("ip ttl set 64"), says: "below min_ttl", ..NONE };
/// The priority is not what was sent, and the checksum tells.
const SPOILED: Mismatch = Mismatch { meddles: Some("@th,16,8 set 101"), says: "checksum", ..NONE };

pub(crate) const STORIES: [Story; 17] = [
    story("mixed_mismatch_version_ha_second", BOTH, |stage| second(stage, &VERSION)),
    story("mixed_mismatch_auth_type_ha_second", BOTH, |stage| second(stage, &AUTH_TYPE)),
    story("mixed_mismatch_password_ha_second", BOTH, |stage| second(stage, &PASSWORD)),
    story("mixed_mismatch_interval_ha_second", BOTH, |stage| second(stage, &INTERVAL)),
    story("mixed_mismatch_addresses_ha_second", BOTH, |stage| second(stage, &ADDRESSES)),
    story("mixed_mismatch_transport_ha_second", BOTH, |stage| second(stage, &TRANSPORT)),
    story("mixed_mismatch_hop_limit_ha_second", FILTERED, |stage| second(stage, &HOP_LIMIT)),
    story("mixed_mismatch_checksum_spoiled_ha_second", FILTERED, |stage| second(stage, &SPOILED)),
    story("mixed_mismatch_least_ttl_ha_second", FILTERED, |stage| second(stage, &FAR)),
    story("mixed_mismatch_version_ha_first", BOTH, |stage| first(stage, &VERSION)),
    story("mixed_mismatch_auth_type_ha_first", BOTH, |stage| first(stage, &AUTH_TYPE)),
    story("mixed_mismatch_password_ha_first", BOTH, |stage| first(stage, &PASSWORD)),
    story("mixed_mismatch_interval_ha_first", BOTH, |stage| first(stage, &INTERVAL)),
    story("mixed_mismatch_transport_ha_first", BOTH, |stage| first(stage, &TRANSPORT)),
    story("mixed_mismatch_checksum_form_ha_first", BOTH, checksum_form),
    story("mixed_mismatch_addresses_v3_ha_first", BOTH, |stage| heard_by_one(stage, Host::Node1)),
    story("mixed_mismatch_addresses_v3_ha_second", BOTH, |stage| heard_by_one(stage, Host::Node2)),
];

const SECOND: Duration = Duration::from_secs(1);

const fn story(name: &'static str, needs: &'static [Need], tell: fn(&Stage)) -> Story {
    Story { name, needs, seconds: 60, tell }
}

fn near(setup: Setup) -> Setup {
    Setup { unicast: true, min_ttl: Some(255), ..setup }
}

fn same(setup: Setup) -> Setup {
    setup
}

/// keepalived on a node, with more lines in its instance.
fn keepalived(stage: &Stage, node: Host, setup: &Setup, extra: &str) -> Daemon {
    let conf = setup.keepalived_conf(node, None);
    let conf = conf.trim_end().strip_suffix('}').unwrap().to_owned() + extra + "}\n";
    stage.keepalived_with(node, &conf)
}

/// Starts the half of keepalived, and what is between the two.
fn other_half(stage: &Stage, node: Host, mismatch: &Mismatch) -> Daemon {
    if let Some(change) = mismatch.meddles {
        stage.world.meddle(Silence { from: node, to: node.peer() }, change).unwrap();
    }
    keepalived(stage, node, &(mismatch.keepalived)(Setup::founding(node)), mismatch.extra)
}

/// keepalived serves. `ha` says what is wrong, and finds that the address is taken.
fn second(stage: &Stage, mismatch: &Mismatch) {
    let keepalived = other_half(stage, Host::Node1, mismatch);
    stage.held_by(&[Host::Node1], 15);
    let begin = Instant::now();
    let ha = stage.ha(Host::Node2, &(mismatch.ha)(Setup::founding(Host::Node2)));
    told(stage, &ha, "peer_rejected", mismatch.says);
    // Its down timer has run out, and it has looked.
    stage.says(&ha, "conflict", 15);
    pass(SECOND);
    assert_eq!(stage.observer.two_holders(begin, Instant::now()), Duration::ZERO, "never a second holder");
    keepalived.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
}

/// `ha` serves, and keepalived takes the address too because it drops what it hears. `ha` says what is wrong and yields.
fn first(stage: &Stage, mismatch: &Mismatch) {
    let ha = stage.ha(Host::Node1, &(mismatch.ha)(Setup::founding(Host::Node1)));
    stage.held_by(&[Host::Node1], 15);
    let begin = Instant::now();
    let _keepalived = other_half(stage, Host::Node2, mismatch);
    stage.held_by(&[Host::Node1, Host::Node2], 15);
    told(stage, &ha, "peer_rejected", mismatch.says);
    stage.held_by(&[Host::Node2], 10);
    let two = stage.observer.two_holders(begin, Instant::now());
    assert!(two < SECOND * 3, "two holders for {two:?}");
}

/// Only keepalived does not understand: it wants the pseudo header, and `ha` was told to leave it out. It begins its interval
/// anew with every advertisement it drops, so as a master it is rarely heard.
fn checksum_form(stage: &Stage) {
    let setup = |node| Setup::founding(node).version3(Duration::from_millis(100));
    let config = setup(Host::Node1).toml(Host::Node1) + "checksum = \"rfc9568\"\n";
    let ha = stage.ha_with(Host::Node1, &config, &[]);
    stage.held_by(&[Host::Node1], 15);
    let _keepalived = keepalived(stage, Host::Node2, &setup(Host::Node2), "");
    told(stage, &ha, "peer_deaf", "does not hear us");
    stage.held_by(&[Host::Node2], 10);
}

/// Version 3 believes a sender that serves other addresses, and says so. keepalived does since 2.3.3; before, it drops what
/// it hears and takes the address.
fn heard_by_one(stage: &Stage, ha_on: Host) {
    let setup = |node| Setup::founding(node).version3(Duration::from_millis(100));
    let other = ha_on.peer();
    let keepalived_there = || keepalived(stage, other, &setup(other), ADDRESSES.extra);
    if ha_on == Host::Node1 {
        let ha = stage.ha(ha_on, &setup(ha_on));
        stage.held_by(&[ha_on], 15);
        let keepalived = keepalived_there();
        if runner::keepalived_version() >= [2, 3, 3] {
            wait_until("keepalived has heard it", SECOND * 15, || keepalived.log().contains("expected 2 VIPs"));
            pass(SECOND * 2);
            assert_eq!(stage.holders(), [ha_on], "it believes as well");
            return;
        }
        told(stage, &ha, "peer_differs", "192.168.0.61");
        stage.says(&ha, "peer_deaf", 10);
        stage.held_by(&[other], 10);
    } else {
        let _keepalived = keepalived_there();
        stage.held_by(&[other], 15);
        let ha = stage.ha(ha_on, &setup(ha_on));
        told(stage, &ha, "peer_differs", "192.168.0.61");
        pass(SECOND * 2);
        assert_eq!(stage.holders(), [other], "a master that is heard is left alone");
    }
}

/// Waits until it says that a condition is so, in a text with this in it.
#[track_caller]
pub(super) fn told(stage: &Stage, daemon: &Daemon, condition: &str, text: &str) {
    wait_until(&format!("{condition} with \"{text}\""), SECOND * 15, || {
        let instance = stage.instance(daemon).unwrap_or_default();
        let conditions = instance["conditions"].as_array().cloned().unwrap_or_default();
        conditions
            .iter()
            .any(|is| is["name"] == condition && is["text"].as_str().is_some_and(|said| said.contains(text)))
    });
}
