//! A second path between the nodes: the way over the switch is cut, and one master remains.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup, rtnl::Plug};

use crate::{
    Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "paths_the_own_link_is_cut_and_one_master_remains", needs: &[], seconds: 60, tell: cut }];

fn address(node: Host) -> Ipv4Addr {
    Ipv4Addr::new(10, 9, 0, if node == Host::Node1 { 1 } else { 2 })
}

const KEY: &str = "1 = \"hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"";

fn config(node: Host) -> String {
    let setup = Setup::founding(node).version3(Duration::from_millis(200)).toml(node);
    let peer = address(node.peer());
    format!(
        "{setup}auth_hmac.keys = {{ {KEY} }}\n[instance.VI_1.path.second]\ninterface = \"eth1\"\ntransport = \"unicast\"\nmin_ttl = 255\npeers = [\"{peer}\"]\n"
    )
}

fn trouble(stage: &Stage, daemon: &Daemon, path: usize) -> Option<String> {
    stage.instance(daemon)?["paths"][path]["trouble"].as_str().map(str::to_owned)
}

fn cut(stage: &Stage) {
    let world = &stage.world;
    let there = Plug { name: "eth1", mac: [2, 0, 0, 0, 1, 2], netns: world.netns(Host::Node2) };
    world.rtnl(Host::Node1).add_cable("eth1", there).unwrap();
    for node in Host::NODES {
        world.rtnl(node).add_address("eth1", address(node), 24, None).unwrap();
        world.rtnl(node).set_up("eth1", true).unwrap();
    }
    let [mut node1, node2] = Host::NODES.map(|node| stage.ha_with(node, &config(node), &[]));
    stage.held_by(&[Host::Node1], 20);
    wait_until("both ways are heard", Duration::from_secs(5), || {
        let paths = stage.instance(&node2).unwrap_or_default()["paths"].clone();
        paths[0]["last_heard_ms"].is_u64() && paths[1]["last_heard_ms"].is_u64()
    });
    // The kernel tells of a new carrier up to a second late.
    wait_until("no way is in trouble", Duration::from_secs(5), || {
        (trouble(stage, &node2, 0), trouble(stage, &node2, 1)) == (None, None)
    });
    pass(Duration::from_secs(1));
    assert_eq!(stage.instance(&node2).unwrap()["discarded"], serde_json::json!({}), "none is taken for a repetition");

    let begin = Instant::now();
    world.cut_off(Host::Node1, Host::Node2, true).unwrap();
    stage.says(&node2, "path_degraded", 5);
    stage.says(&node2, "vip_unreachable", 5);
    pass(Duration::from_millis(500));
    assert_eq!(stage.holders(), [Host::Node1], "the standby hears its master on the other way");
    assert_eq!(stage.observer.first(Host::Node2, true, begin), None);
    assert!(trouble(stage, &node2, 0).is_some_and(|why| why.contains("has not been heard")));
    world.cut_off(Host::Node1, Host::Node2, false).unwrap();
    wait_until("it is said to be over", Duration::from_secs(5), || {
        !stage.has(&node2, "path_degraded") && !stage.has(&node2, "vip_unreachable")
    });

    // The resignation of a node without its cable comes over the other one: nobody waits for a silence.
    world.plug(Host::Node1, false).unwrap();
    stage.held_by(&[Host::Node2], 10);
    stage.leads_after_a_resignation(&node2);

    // The keeper's word, too: its own cable is there, and leads nowhere.
    world.plug(Host::Node1, true).unwrap();
    stage.held_by(&[Host::Node1], 20);
    world.cut_off(Host::Node1, Host::Node2, true).unwrap();
    pass(Duration::from_secs(1));
    node1.kill_alone();
    stage.held_by(&[Host::Node2], 10);
    stage.leads_after_a_resignation(&node2);
}
