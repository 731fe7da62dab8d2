//! A daemon that is started in one network and works in another.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use ha::lab::{Daemon, Host, Process, Setup};

use crate::{
    Story,
    stage::{HA, Stage, wait_until},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "netns_everything_happens_there", needs: &[], seconds: 60, tell: everything_happens_there }];

/// What the two programs of a daemon and their threads see of the network.
fn networks(process: &mut Process) -> Vec<PathBuf> {
    let threads = |pid: i32| fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let family = process.family();
    family.into_iter().flat_map(threads).filter_map(|thread| fs::read_link(thread.path().join("ns/net")).ok()).collect()
}

fn everything_happens_there(stage: &Stage) {
    let setup = |node| Setup::founding(node).version3(Duration::from_millis(200));
    let there = |node: Host| format!("/proc/{}/fd/{}", std::process::id(), stage.world.netns(node).as_raw_fd());
    let toml = |node: Host| {
        format!(
            "netns = \"{}\"\n{}accept = false\nvirtual_mac = true\npolicies = [\"own\"]\n",
            there(node),
            setup(node).toml(node)
        )
    };
    // Where the client is; there is an eth0 as well.
    let start = |node: Host| {
        Daemon::ha_from(&stage.world, Host::Client, node, Path::new(HA), &toml(node), &[("own", POLICY)]).unwrap()
    };
    let mut pair = Host::NODES.map(start);
    stage.held_by(&[Host::Node1], 15);
    let network = fs::read_link(there(Host::Node1)).unwrap();
    let seen = networks(pair[0].process());
    assert!(seen.len() > 4 && seen.iter().all(|seen| *seen == network), "{network:?}: {seen:?}");
    assert_eq!(stage.state(&pair[1]).as_deref(), Some("backup"));
    pair[0].kill_alone();
    stage.held_by(&[Host::Node2], 5);
    wait_until("the keeper tidied up there", Duration::from_secs(2), || {
        stage.world.rtnl(Host::Node1).index_of("ha-51").is_err()
    });

    // What was left behind is removed there, by a command that is called elsewhere.
    pair[1].kill();
    assert!(stage.world.rtnl(Host::Node2).index_of("ha-51").is_ok());
    let file = pair[1].directory().join("ha.toml").display().to_string();
    let arguments = ["release", "-c", &file].map(str::to_owned);
    let log = pair[1].directory().join("release.log");
    let mut release = Process::start(stage.world.netns(Host::Client), Path::new(HA), &arguments, &log).unwrap();
    release.wait(Duration::from_secs(5)).unwrap();
    assert!(stage.world.rtnl(Host::Node2).index_of("ha-51").is_err(), "{}", release.log());
}

const POLICY: &str = r#"
fn check() {
    require("own", addr(node.addr));
}
"#;
