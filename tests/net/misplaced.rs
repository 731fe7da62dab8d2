//! What somebody does to the network of a node that runs: the address is put on the backup, the master's interface becomes a
//! port of a bridge.

use std::{process::Command, time::Duration};

use ha::lab::{Host, Setup, world::SERVICE_ADDRESS};

use crate::{
    Story,
    stage::{Stage, wait_until},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "misplaced_address_and_enslaved_interface", needs: &[], seconds: 60, tell: both }];

fn ip(stage: &Stage, node: Host, command: String) -> bool {
    let run = move || Command::new("ip").args(command.split(' ')).status().unwrap().success();
    stage.world.netns(node).run(run).unwrap()
}

fn both(stage: &Stage) {
    let [node1, node2] = stage.pair(|node| Setup::founding(node).version3(Duration::from_millis(200)));
    stage.held_by(&[Host::Node1], 20);
    wait_until("the other one stands by", Duration::from_secs(20), || stage.state(&node2).as_deref() == Some("backup"));
    assert!(ip(stage, Host::Node2, format!("address add {SERVICE_ADDRESS}/24 dev eth0")));
    wait_until("it is said", Duration::from_secs(20), || node2.log().contains("somebody put it there"));
    stage.held_by(&[Host::Node1], 20);
    for command in ["link add br0 type bridge", "link set br0 up", "link set eth0 master br0"] {
        assert!(ip(stage, Host::Node1, command.to_owned()), "{command}");
    }
    stage.held_by(&[Host::Node2], 20);
    stage.says(&node1, "waiting", 20);
    assert!(node1.log().contains("eth0 is a port of br0"), "{}", node1.log());
    assert!(ip(stage, Host::Node1, "link set eth0 nomaster".to_owned()));
    stage.held_by(&[Host::Node1], 30);
}
