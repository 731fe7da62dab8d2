//! A cable to the peer alone carries the advertisements, the clients are elsewhere: `track_own_interface = false` beside
//! `dont_track_primary` of keepalived. Whoever is left serves when the other machine goes, and nobody takes what is held.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup, rtnl::Plug};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] = [Story {
    name: "own_interface_lost_beside_keepalived",
    needs: &[Need::Keepalived],
    seconds: 90,
    tell: beside_keepalived,
}];

const ON_THE_CABLE: &str = "interface = \"eth1\"";

fn address(node: Host) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, if node == Host::Node1 { 1 } else { 2 })
}

fn setup(node: Host) -> Setup {
    Setup::founding(node).version3(Duration::from_millis(200))
}

/// Founding, but for where it advertises.
fn ha(stage: &Stage, node: Host) -> Daemon {
    let text = setup(node)
        .toml(node)
        .replacen("interface = \"eth0\"", ON_THE_CABLE, 1)
        .replace("[\"192.168.0.60/24\"]", "[{ address = \"192.168.0.60/24\", device = \"eth0\" }]")
        .replace(&node.peer().address().to_string(), &address(node.peer()).to_string());
    stage.ha_with(node, &format!("{text}track_own_interface = false\n"), &[])
}

fn keepalived(stage: &Stage, node: Host) -> Daemon {
    let conf =
        setup(node).keepalived_conf(node, None).replacen("interface eth0", "interface eth1\n dont_track_primary", 1);
    stage.keepalived_with(node, &conf.replace("192.168.0.60/24", "192.168.0.60/24 dev eth0"))
}

fn beside_keepalived(stage: &Stage) {
    let world = &stage.world;
    let there = Plug { name: "eth1", mac: [2, 0, 0, 0, 1, 2], netns: world.netns(Host::Node2) };
    world.rtnl(Host::Node1).add_cable("eth1", there).unwrap();
    for node in Host::NODES {
        world.rtnl(node).add_address("eth1", address(node), 24, None).unwrap();
        world.rtnl(node).set_up("eth1", true).unwrap();
    }
    let node1 = ha(stage, Host::Node1);
    stage.held_by(&[Host::Node1], 20);
    let mut node2 = keepalived(stage, Host::Node2);
    pass(Duration::from_secs(1));

    // The other machine goes, and the carrier with it.
    let begin = Instant::now();
    node2.kill();
    world.rtnl(Host::Node2).set_up("eth1", false).unwrap();
    stage.says(&node1, "own_interface", 10);
    // For longer than the lease.
    pass(Duration::from_secs(4));
    assert_eq!(stage.state(&node1).as_deref(), Some("master"));
    drop(node2);

    // It comes back, hears that somebody serves, and stays backup.
    world.rtnl(Host::Node2).set_up("eth1", true).unwrap();
    let node2 = keepalived(stage, Host::Node2);
    wait_until("the cable is back", Duration::from_secs(10), || !stage.has(&node1, "own_interface"));
    pass(Duration::from_secs(2));
    assert_eq!(stage.holders(), [Host::Node1]);
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moved");
    assert_eq!(stage.observer.first(Host::Node2, true, begin), None, "nothing moved");

    // The other way around: `ha` stands by, its cable is pulled, and the master is there all the same.
    node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 15);
    drop(node1);
    world.rtnl(Host::Node1).set_up("eth1", false).unwrap();
    let begin = Instant::now();
    let mut node1 = ha(stage, Host::Node1);
    stage.says(&node1, "conflict", 20);
    pass(Duration::from_secs(2));
    assert_eq!(stage.holders(), [Host::Node2], "it answers on the other network");
    assert_eq!(stage.observer.first(Host::Node1, true, begin), None);
    node2.terminate().unwrap();
    stage.held_by(&[Host::Node1], 20);
    assert_eq!(stage.state(&node1).as_deref(), Some("master"));
    node1.kill_alone();
    stage.held_by(&[], 10);
}
