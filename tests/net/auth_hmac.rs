//! Signed advertisements between two nodes: a key that is changed under way, and a daemon that dies.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup};

use crate::{
    Story,
    stage::{Stage, pass},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "auth_hmac_changes_its_key_and_outlives_its_daemon", needs: &[], seconds: 60, tell: whole_life }];

const OLD: &str = "1 = \"hex:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"";

fn config(stage: &Stage, node: Host, keys: &str, active: u8) -> String {
    let setup = Setup::founding(node).version3(Duration::from_millis(200));
    let directory = stage.world.directory(node).unwrap();
    let file = directory.join("new.key");
    fs::write(&file, "a key of more than 32 letters, from a file\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let keys = keys.replace("NEW", &format!("2 = \"file:{}\"", file.display())).replace("OLD", OLD);
    format!("{}auth_hmac.keys = {{ {keys} }}\nauth_hmac.active_key = {active}\n", setup.toml(node))
}

fn counted(stage: &Stage, daemon: &Daemon, counter: &str) -> u64 {
    stage.instance(daemon).unwrap()[counter].as_u64().unwrap()
}

fn whole_life(stage: &Stage) {
    let [mut node1, node2] = Host::NODES.map(|node| stage.ha_with(node, &config(stage, node, "OLD", 1), &[]));
    stage.held_by(&[Host::Node1], 20);
    pass(Duration::from_secs(1));
    let begin = Instant::now();
    let before = counted(stage, &node2, "received");
    for (keys, active) in [("OLD, NEW", 1), ("OLD, NEW", 2), ("NEW", 2)] {
        for (node, daemon) in [(Host::Node2, &node2), (Host::Node1, &node1)] {
            daemon.write_config(&config(stage, node, keys, active)).unwrap();
            let output = daemon.command(&stage.world, &["reload"]).unwrap();
            assert!(output.status.success(), "{output:?}");
            let said = format!("{output:?}");
            assert!(!said.contains("000102") && !said.contains("letters"), "{said}");
            pass(Duration::from_millis(300));
        }
    }
    let (heard, due) = (counted(stage, &node2, "received") - before, begin.elapsed().as_millis() as u64 / 200);
    assert!(heard + 2 >= due, "{heard} advertisements of {due}");
    assert_eq!(stage.instance(&node2).unwrap()["discarded"], serde_json::json!({}), "none was refused");
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
    // What dies resigns with a signature of this moment, and the only heir does not wait.
    pass(Duration::from_secs(6));
    let killed = node1.kill_alone();
    stage.held_by(&[Host::Node2], 10);
    stage.leads_after_a_resignation(&node2);
    assert!(stage.capture.priorities(Host::Node1, killed, Instant::now()).contains(&0));
}
