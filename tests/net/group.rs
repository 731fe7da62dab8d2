//! Two virtual routers that lead and follow together, alone and beside a sync group of keepalived in both roles (R16, R26).

use std::{fmt::Write as _, fs, time::Duration};

use ha::lab::{Daemon, Host, Setup};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

const BOTH: &[Need] = &[Need::Keepalived];

pub(crate) const STORIES: [Story; 3] = [
    Story { name: "group_a_fault_of_one_moves_all", needs: &[], seconds: 60, tell: alone },
    Story { name: "group_beside_keepalived_ha_first", needs: BOTH, seconds: 90, tell: ha_first },
    Story { name: "group_beside_keepalived_ha_second", needs: BOTH, seconds: 90, tell: ha_second },
];

const FLAG: &str = "fn check() { require(\"flag\", file(\"FLAG\"), #{ fall: 1, rise: 1 }); }\n";

fn setup(node: Host) -> Setup {
    let priority = if node == Host::Node1 { 150 } else { 100 };
    Setup { priority, ..Setup::founding(node).version3(Duration::from_millis(200)) }
}

/// `ha` with both routers in a group; the second one looks at a file.
fn ha(stage: &Stage, node: Host) -> Daemon {
    let flag = flag(stage, node);
    fs::write(&flag, "").unwrap();
    let one = setup(node).toml(node);
    let two = one.split_once("[instance.VI_1]").unwrap().1;
    let two = two.replace("virtual_router_id = 51", "virtual_router_id = 52").replace("192.168.0.60", "192.168.0.61");
    let mut text = one.clone();
    write!(text, "\n[instance.VI_2]{two}policies = [\"flag\"]\n\n[group.G1]\ninstances = [\"VI_1\", \"VI_2\"]\n")
        .unwrap();
    stage.ha_with(node, &text, &[("flag", &FLAG.replace("FLAG", &flag.display().to_string()))])
}

fn keepalived(stage: &Stage, node: Host) -> Daemon {
    let one = setup(node).keepalived_conf(node, None);
    let two = one.split_once("vrrp_instance VI_1").unwrap().1;
    let two = two.replace("virtual_router_id 51", "virtual_router_id 52").replace("192.168.0.60", "192.168.0.61");
    let group = "vrrp_sync_group G1 {\n group {\n VI_1\n VI_2\n }\n}\n";
    let program = crate::runner::keepalived().unwrap();
    Daemon::keepalived(&stage.world, node, &program, &format!("{one}vrrp_instance VI_2{two}{group}")).unwrap()
}

fn flag(stage: &Stage, node: Host) -> std::path::PathBuf {
    stage.world.directory(node).unwrap().join("flag")
}

/// Waits until every member is in this state.
#[track_caller]
fn all(stage: &Stage, daemon: &Daemon, state: &str) {
    wait_until(&format!("all {state}"), Duration::from_secs(15), || {
        let status = daemon.status(&stage.world).unwrap_or_default();
        let of = |index: usize| status["instances"][index]["state"] == state;
        of(0) && of(1) && status["groups"][0]["state"] == state
    });
}

fn alone(stage: &Stage) {
    let pair = Host::NODES.map(|node| ha(stage, node));
    let both = |states: [&str; 2]| pair.iter().zip(states).for_each(|(daemon, state)| all(stage, daemon, state));
    both(["master", "backup"]);
    fs::remove_file(flag(stage, Host::Node1)).unwrap();
    both(["fault", "master"]);
    stage.held_by(&[Host::Node2], 5);
    assert!(stage.has(&pair[0], "group"), "the first says for whom it is in fault");
    fs::write(flag(stage, Host::Node1), "").unwrap();
    both(["master", "backup"]);
    stage.held_by(&[Host::Node1], 5);
}

fn ha_first(stage: &Stage) {
    let other = keepalived(stage, Host::Node2);
    stage.held_by(&[Host::Node2], 15);
    let ours = ha(stage, Host::Node1);
    stage.held_by(&[Host::Node1], 15);
    all(stage, &ours, "master");
    fs::remove_file(flag(stage, Host::Node1)).unwrap();
    all(stage, &ours, "fault");
    stage.held_by(&[Host::Node2], 15);
    fs::write(flag(stage, Host::Node1), "").unwrap();
    all(stage, &ours, "master");
    stage.held_by(&[Host::Node1], 15);
    other.terminate().unwrap();
    pass(Duration::from_secs(1));
    all(stage, &ours, "master");
}

fn ha_second(stage: &Stage) {
    let other = keepalived(stage, Host::Node1);
    stage.held_by(&[Host::Node1], 15);
    let ours = ha(stage, Host::Node2);
    pass(Duration::from_secs(2));
    all(stage, &ours, "backup");
    stage.world.plug(Host::Node1, false).unwrap();
    all(stage, &ours, "master");
    stage.world.plug(Host::Node1, true).unwrap();
    stage.held_by(&[Host::Node1], 15);
    all(stage, &ours, "backup");
    other.terminate().unwrap();
    all(stage, &ours, "master");
}
