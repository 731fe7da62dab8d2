//! What a running daemon has denied itself, and that it does its work all the same.

use std::{fs, time::Duration};

use ha::lab::{Daemon, Host, Setup};
use serde_json::Value;

use crate::{Story, stage::Stage};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "a_confined_daemon_holds_lets_go_and_refuses_programs", needs: &[], seconds: 60, tell: confined }];

/// The lines of `/proc/PID/status` that say what a process may.
fn status(stage: &Stage, daemon: &Daemon) -> (String, Option<i64>) {
    let answer = daemon.status(&stage.world).unwrap();
    let pid = answer["pid"].as_i64();
    (fs::read_to_string(format!("/proc/{}/status", pid.unwrap())).unwrap(), pid)
}

fn capabilities(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap()
}

fn confined(stage: &Stage) {
    let toml = Setup::founding(Host::Node1).version3(Duration::from_millis(100)).toml(Host::Node1);
    let mut node1 = stage.ha_with(Host::Node1, &toml, &[]);
    let _node2 = stage.ha(Host::Node2, &Setup::founding(Host::Node2).version3(Duration::from_millis(100)));
    stage.held_by(&[Host::Node1], 15);

    let (may, _) = status(stage, &node1);
    assert!(may.contains("\nSeccomp:\t2\n") && may.contains("\nNoNewPrivs:\t1\n"), "{may}");
    // CAP_NET_ADMIN and CAP_NET_RAW are there, CAP_SYS_ADMIN, CAP_SYS_MODULE and CAP_SETUID are not.
    let has = |number: u32| capabilities(&may) & (1 << number) != 0;
    assert!(has(12) && has(13) && !has(21) && !has(16) && !has(7), "{may}");

    // A program cannot be started any more, so it is not promised either.
    node1.write_config(&format!("allow_exec = [\"/bin/true\"]\n{toml}")).unwrap();
    let refused = node1.command(&stage.world, &["reload", "--json"]).unwrap();
    let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
    let why = answer["errors"].to_string();
    assert!(
        !refused.status.success() && why.contains("/bin/true cannot be started: this daemon was confined"),
        "{answer}"
    );

    // What the keeper was started with it has too; it does its work.
    node1.kill_alone();
    stage.held_by(&[Host::Node2], 10);
}
