//! What is tracked beside the instance's own interface, with keepalived as the other half.

use std::{
    fs,
    os::unix::fs::symlink,
    process::Command,
    time::{Duration, Instant},
};

use ha::lab::{Host, Setup, rtnl::Plug};

use crate::{
    Need, Story,
    reload_hangs::Gone,
    stage::{A_FEW, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 4] = [
    Story { name: "tracked_interfaces_beside_keepalived", needs: &[Need::Keepalived], seconds: 60, tell: interfaces },
    Story { name: "a_tracked_process_ends_and_comes_back", needs: &[], seconds: 60, tell: process },
    Story { name: "a_lever_in_a_file", needs: &[], seconds: 60, tell: lever },
    Story {
        name: "a_lever_beside_one_that_hangs",
        needs: &[Need::Fuse],
        seconds: 90,
        tell: lever_beside_one_that_hangs,
    },
];

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

/// The lever is pulled and put back, and the client loses next to nothing; without it the role stays as it is.
fn lever(stage: &Stage) {
    let path = stage.world.directory(Host::Node1).unwrap().join("away");
    fs::write(&path, "0\n").unwrap();
    let tracked = format!("track.files = [\"{}\"]\n", path.display());
    let ours = stage.ha_with(Host::Node1, &(setup(Host::Node1).toml(Host::Node1) + tracked.as_str()), &[]);
    let _other = stage.ha(Host::Node2, &setup(Host::Node2));
    stage.held_by(&[Host::Node1], 15);
    let client = stage.client();
    pass(Duration::from_millis(300));
    let begin = Instant::now();
    fs::write(&path, "1\n").unwrap();
    stage.held_by(&[Host::Node2], 5);
    stage.says(&ours, "maintenance", 5);
    fs::write(&path, "0\n").unwrap();
    stage.held_by(&[Host::Node1], 10);
    pass(Duration::from_millis(300));
    let outage = client.stop().outage(begin, Instant::now());
    assert!(outage.never_answered <= A_FEW, "{outage:?}");
    fs::remove_file(&path).unwrap();
    stage.says(&ours, "track_unknown", 5);
    stage.held_by(&[Host::Node1], 5);
}

/// The file server of one lever is gone: what it says is not known any more, and the other one does what it did.
fn lever_beside_one_that_hangs(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap();
    let (first, second) = (directory.join("a-lever"), directory.join("b-lever"));
    fs::write(&first, "0\n").unwrap();
    fs::write(&second, "0\n").unwrap();
    let tracked = format!("track.files = [{first:?}, {second:?}]\n");
    let ours = stage.ha_with(Host::Node1, &(setup(Host::Node1).toml(Host::Node1) + tracked.as_str()), &[]);
    let _other = stage.ha(Host::Node2, &setup(Host::Node2));
    stage.held_by(&[Host::Node1], 15);
    let gone = Gone::at(stage, Host::Node1, &directory.join("gone"));
    symlink(directory.join("gone/lever"), directory.join("swapped")).unwrap();
    fs::rename(directory.join("swapped"), &first).unwrap();
    stage.says(&ours, "track_unknown", 20);
    stage.held_by(&[Host::Node1], 5);
    fs::write(&second, "1\n").unwrap();
    stage.held_by(&[Host::Node2], 5);
    fs::write(&second, "0\n").unwrap();
    fs::remove_file(&first).unwrap();
    fs::write(&first, "0\n").unwrap();
    drop(gone);
    stage.held_by(&[Host::Node1], 15);
    wait_until("all is known again", Duration::from_secs(10), || !stage.has(&ours, "track_unknown"));
}

/// A program with a name that no other has is killed, and started again.
fn process(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap();
    let program = directory.join("ha-story-web");
    fs::copy("/bin/sleep", &program).unwrap();
    let start = || Command::new(&program).arg("600").spawn().unwrap();
    let mut running = start();
    let tracked = "track.processes = [\"ha-story-web\"]\n";
    let ours = stage.ha_with(Host::Node1, &(setup(Host::Node1).toml(Host::Node1) + tracked), &[]);
    let _other = stage.ha(Host::Node2, &setup(Host::Node2));
    stage.held_by(&[Host::Node1], 15);
    running.kill().unwrap();
    running.wait().unwrap();
    stage.held_by(&[Host::Node2], 5);
    wait_until("fault", Duration::from_secs(5), || stage.state(&ours).as_deref() == Some("fault"));
    let mut running = start();
    stage.held_by(&[Host::Node1], 10);
    running.kill().unwrap();
    running.wait().unwrap();
}
