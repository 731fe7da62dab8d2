//! Scripts that were written for keepalived are told of transitions by `ha`, with the same arguments, unchanged.

use std::{
    fs,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup};

use crate::{
    Need, Story,
    stage::{Stage, wait_until},
};

pub(crate) const STORIES: [Story; 4] = [
    Story { name: "notify_fifo_has_keepalived_s_lines", needs: &[Need::Keepalived], seconds: 60, tell: fifo },
    Story { name: "notify_group_from_a_fault_to_the_end", needs: &[Need::Keepalived], seconds: 60, tell: group },
    Story { name: "notify_scripts_run_unchanged", needs: &[Need::Keepalived], seconds: 60, tell: unchanged },
    Story { name: "r18_notify_stop_runs_while_the_address_is_there", needs: &[], seconds: 60, tell: stop },
];

const ADVERTISE: Duration = Duration::from_millis(200);

/// In the style of what tutorials publish: three arguments, a case, a state file, a log.
const SCRIPT: &str = r#"#!/bin/bash
TYPE=$1
NAME=$2
STATE=$3
PRIORITY=$4
cd "$(dirname "$0")" || exit 1
echo "$TYPE $NAME $STATE $PRIORITY" >> told
ip -4 addr show dev eth0 | grep -q 192.168.0.60 && echo "$STATE with the address" >> told
case $STATE in
    "MASTER") echo master > role; exit 0 ;;
    "BACKUP") echo backup > role; exit 0 ;;
    "FAULT")  echo fault > role; exit 0 ;;
    "STOP")   exit 0 ;;
    *)        echo "unknown state $STATE"; exit 1 ;;
esac
"#;

fn write(directory: &Path) -> String {
    let script = directory.join("notify.sh");
    fs::write(&script, SCRIPT).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    script.display().to_string()
}

/// What the script of a node was told, without the lines about the address.
fn told(daemon: &Daemon) -> Vec<String> {
    let text = fs::read_to_string(daemon.directory().join("told")).unwrap_or_default();
    text.lines().filter(|line| !line.contains("with the address")).map(str::to_owned).collect()
}

/// The words that both daemons say in the same story: alone it serves, cut off it does not, then it serves again.
fn unchanged(stage: &Stage) {
    let setup = Setup::founding(Host::Node1).version3(ADVERTISE);
    let directory = stage.world.directory(Host::Node1).unwrap();
    fs::create_dir_all(&directory).unwrap();
    let script = write(&directory);
    let mut heard = Vec::new();
    for with_ha in [false, true] {
        let _ = fs::remove_file(directory.join("told"));
        let mut daemon = if with_ha {
            stage.ha_with(Host::Node1, &format!("{}notify.run = [\"{script}\"]\n", setup.toml(Host::Node1)), &[])
        } else {
            let config = setup.keepalived_conf(Host::Node1, None);
            let config = format!("{} notify \"{script}\"\n}}\n", config.strip_suffix("}\n").unwrap());
            stage.keepalived_with(Host::Node1, &config)
        };
        stage.held_by(&[Host::Node1], 20);
        let says = |state: &str| {
            let wanted = format!("INSTANCE VI_1 {state} 100");
            wait_until(&format!("the script is told: {wanted}"), Duration::from_secs(5), || {
                told(&daemon).last() == Some(&wanted)
            });
        };
        says("MASTER");
        stage.world.plug(Host::Node1, false).unwrap();
        says("FAULT");
        stage.world.plug(Host::Node1, true).unwrap();
        stage.held_by(&[Host::Node1], 20);
        says("MASTER");
        daemon.terminate().unwrap();
        says("STOP");
        daemon.process().wait(Duration::from_secs(10)).unwrap();
        heard.push(told(&daemon));
        assert_eq!(fs::read_to_string(directory.join("role")).unwrap(), "master\n");
    }
    let [keepalived, ours] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(keepalived, ours, "the same words in the same order");
}

/// The same story of both daemons, as each of them writes it into a FIFO.
fn fifo(stage: &Stage) {
    let setup = Setup::founding(Host::Node1).version3(ADVERTISE);
    let directory = stage.world.directory(Host::Node1).unwrap();
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("events");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    // Open both ways nobody waits for the other end, and what was written stays.
    let mut reader = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let mut heard = Vec::new();
    for with_ha in [false, true] {
        let name = path.display();
        let mut daemon = if with_ha {
            stage.ha_with(Host::Node1, &format!("events.fifo = \"{name}\"\n{}", setup.toml(Host::Node1)), &[])
        } else {
            let fifo = format!("global_defs {{\n vrrp_notify_fifo {name}");
            stage
                .keepalived_with(Host::Node1, &setup.keepalived_conf(Host::Node1, None).replace("global_defs {", &fifo))
        };
        let mut lines = String::new();
        // keepalived leaves a line out if its state has changed again before it came to writing.
        let mut until_it_says = |last: &str| {
            wait_until(&format!("the FIFO's last line has {last}"), Duration::from_secs(20), || {
                let mut bytes = [0; 4096];
                let length = reader.read(&mut bytes).unwrap_or_default();
                lines += &String::from_utf8_lossy(&bytes[..length]);
                lines.ends_with(&format!("{last} 100\n"))
            });
        };
        until_it_says("MASTER");
        stage.world.plug(Host::Node1, false).unwrap();
        until_it_says("FAULT");
        stage.held_by(&[], 10);
        stage.world.plug(Host::Node1, true).unwrap();
        until_it_says("MASTER");
        daemon.terminate().unwrap();
        daemon.process().wait(Duration::from_secs(10)).unwrap();
        until_it_says("STOP");
        heard.push(lines);
    }
    let [keepalived, ours] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(keepalived, ours);
    assert!(ours.contains("INSTANCE \"VI_1\" MASTER 100\n"), "{ours}");
}

/// A group of two routers that starts in fault, leads, and stops: both daemons write the same lines, those of its members in
/// any order.
fn group(stage: &Stage) {
    let setup = Setup::founding(Host::Node1).version3(ADVERTISE);
    let directory = stage.world.directory(Host::Node1).unwrap();
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("events");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
    let mut reader = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let script = write(&directory);
    let second = |text: &str| {
        text.replace("192.168.0.60", "192.168.0.61")
            .replace("router_id = 51", "router_id = 52")
            .replace("router_id 51", "router_id 52")
    };
    let mut heard = Vec::new();
    for with_ha in [false, true] {
        let _ = fs::remove_file(directory.join("told"));
        stage.world.plug(Host::Node1, false).unwrap();
        let name = path.display();
        let mut daemon = if with_ha {
            let one = setup.toml(Host::Node1);
            let two = second(one.split_once("[instance.VI_1]").unwrap().1);
            let group = "[group.G1]\ninstances = [\"VI_1\", \"VI_2\"]\n";
            let config =
                format!("events.fifo = \"{name}\"\n{one}\n[instance.VI_2]{two}\n{group}notify.run = [\"{script}\"]\n");
            stage.ha_with(Host::Node1, &config, &[])
        } else {
            let one = setup.keepalived_conf(Host::Node1, None);
            let two = second(one.split_once("vrrp_instance VI_1").unwrap().1);
            let fifo = format!("global_defs {{\n vrrp_notify_fifo {name}");
            let group = format!("vrrp_sync_group G1 {{\n group {{\n VI_1\n VI_2\n }}\n notify \"{script}\"\n}}\n");
            let config = format!("{}vrrp_instance VI_2{two}{group}", one.replace("global_defs {", &fifo));
            stage.keepalived_with(Host::Node1, &config)
        };
        let mut lines: Vec<String> = Vec::new();
        let mut says = |state: &str| {
            let mut phase = String::new();
            wait_until(&format!("three lines about {state}"), Duration::from_secs(20), || {
                let mut bytes = [0; 4096];
                let length = reader.read(&mut bytes).unwrap_or_default();
                phase += &String::from_utf8_lossy(&bytes[..length]);
                phase.lines().filter(|line| line.contains(state)).count() == 3
            });
            let mut phase: Vec<String> = phase.lines().map(str::to_owned).collect();
            phase.sort();
            lines.extend(phase);
        };
        says("FAULT");
        stage.world.plug(Host::Node1, true).unwrap();
        says("MASTER");
        wait_until("the script of the group is told", Duration::from_secs(5), || {
            told(&daemon).last().is_some_and(|line| line == "GROUP G1 MASTER 0")
        });
        daemon.terminate().unwrap();
        daemon.process().wait(Duration::from_secs(10)).unwrap();
        says("STOP");
        wait_until("the script is told of the end", Duration::from_secs(5), || {
            told(&daemon).last().is_some_and(|line| line == "GROUP G1 STOP 0")
        });
        heard.push((lines, told(&daemon)));
    }
    let [keepalived, ours] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(keepalived.0, ours.0);
    // keepalived starts its scripts without waiting for one another: which comes first is chance.
    let sorted = |lines: &[String]| lines.iter().cloned().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(sorted(&keepalived.1), sorted(&ours.1));
    assert_eq!(ours.1, ["FAULT", "BACKUP", "MASTER", "STOP"].map(|state| format!("GROUP G1 {state} 0")));
}

fn stop(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap();
    fs::create_dir_all(&directory).unwrap();
    let script = write(&directory);
    let setup = |node| Setup::founding(node).version3(ADVERTISE).toml(node);
    let config = format!("{}notify.run = [\"{script}\"]\n", setup(Host::Node1));
    let mut node1 = stage.ha_with(Host::Node1, &config, &[]);
    let _node2 = stage.ha_with(Host::Node2, &setup(Host::Node2), &[]);
    stage.held_by(&[Host::Node1], 20);
    wait_until("it is told of its role", Duration::from_secs(5), || {
        told(&node1).last().is_some_and(|line| line.contains("MASTER"))
    });
    let stopped = node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    let status = node1.process().wait(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(stage.observer.no_holder(stopped, Instant::now()), Duration::ZERO, "no gap");
    let text = fs::read_to_string(directory.join("told")).unwrap();
    assert!(text.contains("STOP with the address"), "{text}");
    assert!(node1.log().contains("notify.run: "), "{}", node1.log());
}
