//! What is tracked beside the instance's own interface, with keepalived as the other half.

use std::time::Duration;

use ha::lab::{Host, Setup, rtnl::Plug};

use crate::{
    Need, Story,
    stage::{Stage, wait_until},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "tracked_interfaces_beside_keepalived", needs: &[Need::Keepalived], seconds: 60, tell: interfaces }];

fn setup(node: Host) -> Setup {
    let priority = if node == Host::Node1 { 150 } else { 100 };
    Setup { priority, ..Setup::founding(node).version3(Duration::from_millis(200)) }
}

/// A cable within the first node: `NAME0`, which is tracked, and `NAME1`, where it is pulled.
fn cable(stage: &Stage, name: &str, last: u8) {
    let (here, there) = (format!("{name}0"), format!("{name}1"));
    let plug = Plug { name: &there, mac: [2, 0, 0, 0, 9, last], netns: stage.world.netns(Host::Node1) };
    stage.world.rtnl(Host::Node1).add_cable(&here, plug).unwrap();
    pull(stage, &here, false);
    pull(stage, &there, false);
}

fn pull(stage: &Stage, name: &str, pulled: bool) {
    stage.world.rtnl(Host::Node1).set_up(name, !pulled).unwrap();
}

fn interfaces(stage: &Stage) {
    cable(stage, "up", 1);
    cable(stage, "in", 2);
    let tracked = "track.interfaces = [\"up0\", { interface = \"in0\", weight = -60 }]\n";
    let ours = stage.ha_with(Host::Node1, &(setup(Host::Node1).toml(Host::Node1) + tracked), &[]);
    let other = stage.keepalived(Host::Node2, &setup(Host::Node2));
    let is = |state: &str| {
        wait_until(state, Duration::from_secs(10), || stage.state(&ours).as_deref() == Some(state));
    };
    stage.held_by(&[Host::Node1], 15);
    is("master");
    pull(stage, "up1", true);
    is("fault");
    stage.held_by(&[Host::Node2], 5);
    pull(stage, "up1", false);
    stage.held_by(&[Host::Node1], 10);
    pull(stage, "in1", true);
    is("backup");
    stage.held_by(&[Host::Node2], 5);
    assert!(stage.has(&ours, "priority"), "it says why it bids less");
    pull(stage, "in1", false);
    stage.held_by(&[Host::Node1], 10);
    is("master");
    other.terminate().unwrap();
}
