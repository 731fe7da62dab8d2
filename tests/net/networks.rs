//! Instances in networks of their own: one daemon, a process for each network.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use ha::{
    control::Client,
    lab::{Daemon, Host, Setup, process::output, rtnl::Plug},
    linux,
    policy::sources::sha256_of,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    Story,
    stage::{HA, Stage, wait_until},
};

pub(crate) const STORIES: [Story; 2] = [
    Story { name: "networks_are_served_by_one_daemon", needs: &[], seconds: 90, tell: one_daemon },
    Story { name: "networks_end_with_their_daemon", needs: &[], seconds: 90, tell: one_end },
];

/// The other network of each node: the machine of somebody else, and an interface between the two.
const OTHER: [Host; 2] = [Host::Arbiter, Host::Client];
const ADDRESS: &str = "10.77.0.60/24";
const JUDGED: &str = "policies = [\"own\"]\n";
/// Well where the instance works, and nowhere else.
const POLICIES: &[(&str, &str)] = &[("own", "fn check() {\n    require(\"own\", addr(node.addr));\n}\n")];
const PATIENCE: Duration = Duration::from_secs(20);

fn other(node: Host) -> Host {
    if node == Host::Node1 { OTHER[0] } else { OTHER[1] }
}

/// The second network as a path: the namespaces of the lab have no name.
fn path(stage: &Stage, node: Host) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), stage.world.netns(other(node)).as_raw_fd())
}

fn second_network(stage: &Stage) {
    let [one, two] = OTHER.map(|host| stage.world.rtnl(host));
    let far = Plug { name: "eth1", mac: [2, 0, 0, 0, 7, 2], netns: stage.world.netns(OTHER[1]) };
    one.add_cable("eth1", far).unwrap();
    for (rtnl, last) in [(one, 20), (two, 21)] {
        rtnl.add_address("eth1", std::net::Ipv4Addr::from([10, 77, 0, last]), 24, None).unwrap();
        rtnl.set_up("eth1", true).unwrap();
    }
}

/// The same virtual router in both networks.
fn elsewhere(stage: &Stage, node: Host) -> String {
    let (priority, peer) = if node == Host::Node1 { (100, "10.77.0.21") } else { (99, "10.77.0.20") };
    format!(
        "[instance.VI_2]\nnetns = \"{}\"\ninterface = \"eth1\"\nvirtual_router_id = 51\npriority = {priority}\nversion = 3\n\
         advertise = \"200ms\"\naddresses = [\"{ADDRESS}\"]\npeers = [\"{peer}\"]\n{JUDGED}",
        path(stage, node)
    )
}

fn here(node: Host) -> String {
    Setup::founding(node).version3(Duration::from_millis(200)).toml(node) + JUDGED
}

fn both(stage: &Stage, node: Host) -> String {
    [here(node), elsewhere(stage, node)].concat()
}

fn start(stage: &Stage, node: Host) -> Daemon {
    stage.ha_with(node, &both(stage, node), POLICIES)
}

/// Whether the second network of a node has the address, as its kernel has it.
fn holds(stage: &Stage, node: Host) -> bool {
    let there = stage.world.netns(other(node)).run(linux::snapshot).unwrap().unwrap();
    there.iter().any(|(_, addresses)| addresses.iter().any(|seen| seen.address.to_string() == ADDRESS))
}

#[track_caller]
fn held_elsewhere_by(stage: &Stage, holder: Option<Host>) {
    wait_until(&format!("{ADDRESS} at {holder:?}"), PATIENCE, || {
        Host::NODES.iter().all(|node| holds(stage, *node) == (Some(*node) == holder))
    });
}

fn instance(stage: &Stage, daemon: &Daemon, name: &str) -> Value {
    let status = daemon.status(&stage.world).unwrap_or_default();
    let instances = status["instances"].as_array().cloned().unwrap_or_default();
    instances.into_iter().find(|instance| instance["name"] == name).unwrap_or_default()
}

/// The process that works for this daemon in its second network.
fn process(stage: &Stage, daemon: &Daemon) -> Option<i32> {
    let network = daemon.status(&stage.world)?["networks"][0].clone();
    network["pid"].as_i64().filter(|_| network["trouble"].is_null()).and_then(|pid| i32::try_from(pid).ok())
}

fn transitions(stage: &Stage, daemon: &Daemon, name: &str) -> u64 {
    instance(stage, daemon, name)["transitions"].as_u64().unwrap_or_default()
}

fn reload(stage: &Stage, daemon: &Daemon) -> (bool, String) {
    let output = daemon.command(&stage.world, &["reload"]).unwrap();
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat();
    (output.status.success(), text)
}

fn checked(stage: &Stage, daemon: &Daemon) -> (Option<i32>, String) {
    let output = daemon.command(&stage.world, &["status", "--check"]).unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// A dry run judges each instance in its network, and each network has its own generations of a policy.
fn each_by_itself(stage: &Stage, daemon: &Daemon) {
    let file = daemon.directory().join("ha.toml").display().to_string();
    let arguments = ["check", "--dry-run", &file].map(str::to_owned);
    let checked = output(stage.world.netns(Host::Node1), Path::new(HA), &arguments).unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(String::from_utf8_lossy(&checked.stdout).matches("✔ own").count(), 2, "one of each");
    let command = |arguments: &[&str]| daemon.command(&stage.world, arguments).unwrap();
    let unclear = command(&["policy", "pin", "own"]);
    assert_eq!(unclear.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&unclear.stderr).contains("--network"));
    assert!(command(&["policy", "pin", "own", "--network", &path(stage, Host::Node1)]).status.success());
    let lists: Value = serde_json::from_slice(&command(&["policy", "list", "--json"]).stdout).unwrap();
    assert!(lists[0]["pinned"].is_null() && lists[0]["network"].is_null(), "{lists:#}");
    assert!(lists[1]["pinned"].is_object() && lists[1]["network"].is_string(), "{lists:#}");
    assert!(command(&["policy", "unpin", "own", "--network", &path(stage, Host::Node1)]).status.success());
}

fn one_daemon(stage: &Stage) {
    second_network(stage);
    let [one, two] = Host::NODES.map(|node| start(stage, node));
    stage.held_by(&[Host::Node1], 20);
    held_elsewhere_by(stage, Some(Host::Node1));
    wait_until("one status shows both", PATIENCE, || instance(stage, &one, "VI_2")["state"] == "master");
    assert_eq!(instance(stage, &one, "VI_1")["network"], Value::Null);
    assert_eq!(instance(stage, &one, "VI_2")["network"], path(stage, Host::Node1));
    wait_until("all is well", PATIENCE, || checked(stage, &one).0 == Some(0));

    each_by_itself(stage, &one);

    // Its process is killed: the peer takes over there, another one comes, and here nothing has happened.
    let (calm, before) = (transitions(stage, &one, "VI_1"), transitions(stage, &two, "VI_2"));
    let killed = process(stage, &one).unwrap();
    kill(Pid::from_raw(killed), Signal::SIGKILL).unwrap();
    wait_until("the peer was master there and is not any more", PATIENCE, || {
        transitions(stage, &two, "VI_2") >= before + 2 && instance(stage, &two, "VI_2")["state"] == "backup"
    });
    held_elsewhere_by(stage, Some(Host::Node1));
    wait_until("another process works there", PATIENCE, || process(stage, &one).is_some_and(|pid| pid != killed));
    assert_eq!(transitions(stage, &one, "VI_1"), calm, "no other network has noticed");
    let events = one.command(&stage.world, &["events"]).unwrap();
    let events = String::from_utf8_lossy(&events.stdout).into_owned();
    assert!(events.contains("nobody serves the instances in the network namespace"), "{events}");
    assert!(events.lines().filter(|line| line.contains("VI_2: master")).count() >= 2, "{events}");

    // One that hangs is found, and another one comes.
    let hung = process(stage, &one).unwrap();
    kill(Pid::from_raw(hung), Signal::SIGSTOP).unwrap();
    wait_until("another process works there", Duration::from_secs(40), || {
        process(stage, &one).is_some_and(|pid| pid != hung)
    });
    held_elsewhere_by(stage, Some(Host::Node1));

    // A reload is for all of them or for none.
    let (there, process_before) = (transitions(stage, &one, "VI_2"), process(stage, &one));
    let wrong = elsewhere(stage, Host::Node1).replace(ADDRESS, "10.77.0.600/24");
    one.write_config(&[here(Host::Node1), wrong].concat()).unwrap();
    assert!(!reload(stage, &one).0);
    let higher = here(Host::Node1).replace("priority = 100", "priority = 120");
    one.write_config(&[higher.clone(), elsewhere(stage, Host::Node1)].concat()).unwrap();
    let (done, said) = reload(stage, &one);
    assert!(done && said.contains("instance VI_1 changed") && !said.contains("VI_2"), "{said}");
    assert_eq!((transitions(stage, &one, "VI_2"), process(stage, &one)), (there, process_before), "it misses nothing");
    let preferred = elsewhere(stage, Host::Node1).replace("priority = 100", "priority = 110");
    one.write_config(&[higher.clone(), preferred].concat()).unwrap();
    let (done, said) = reload(stage, &one);
    assert!(done && said.contains("instance VI_2 changed"), "{said}");
    assert_eq!(instance(stage, &one, "VI_2")["priority"], 110);

    // Its process takes the text that it has judged, and no other one.
    let there = Client::new(Path::new(one.status(&stage.world).unwrap()["networks"][0]["socket"].as_str().unwrap()));
    let save = |priority: u8| {
        let changed = elsewhere(stage, Host::Node1).replace("priority = 100", &format!("priority = {priority}"));
        one.write_config(&[higher.clone(), changed].concat()).unwrap();
        sha256_of(&fs::read(one.directory().join("ha.toml")).unwrap())
    };
    let first = save(111);
    assert!(there.agree(&first).unwrap().ok);
    let second = save(112);
    assert!(there.reload_as_agreed(&first).unwrap().ok);
    assert_eq!(instance(stage, &one, "VI_2")["priority"], 111);
    let refused = there.agree(&first).unwrap();
    assert!(refused.errors[0].contains("was saved again") && first != second, "{refused:?}");

    // The last instance of a network goes with its process, in order; it cannot come back without a start.
    one.write_config(&higher).unwrap();
    let (done, said) = reload(stage, &one);
    assert!(done && said.contains("its process ends"), "{said}");
    held_elsewhere_by(stage, Some(Host::Node2));
    assert_eq!(one.status(&stage.world).unwrap()["networks"], Value::Null);
    one.write_config(&[higher, elsewhere(stage, Host::Node1)].concat()).unwrap();
    // Its process of before may still be about to end; until then that is what a reload says.
    wait_until("a reload says that this takes a start", PATIENCE, || {
        let (done, said) = reload(stage, &one);
        assert!(!done && (said.contains("restart ha") || said.contains("is still ending: reload again")), "{said}");
        said.contains("restart ha")
    });
    assert_eq!(stage.holders(), [Host::Node1]);
}

/// Each second an advertisement: there is time for another process while the lease runs.
fn slow(stage: &Stage, node: Host) -> Daemon {
    stage.ha_with(node, &both(stage, node).replace("200ms", "1000ms"), POLICIES)
}

fn one_end(stage: &Stage) {
    second_network(stage);
    let [mut one, two] = Host::NODES.map(|node| slow(stage, node));
    stage.held_by(&[Host::Node1], 20);
    held_elsewhere_by(stage, Some(Host::Node1));
    wait_until("its process is known", PATIENCE, || process(stage, &one).is_some());

    // Whoever works for a daemon that is dead stops in order.
    let orphan = process(stage, &one).unwrap();
    one.kill_alone();
    stage.held_by(&[Host::Node2], 20);
    held_elsewhere_by(stage, Some(Host::Node2));
    wait_until("it has ended", PATIENCE, || is_gone(orphan));

    // Nothing is left in either network of a daemon that stops.
    let mut one = slow(stage, Host::Node1);
    stage.held_by(&[Host::Node1], 20);
    held_elsewhere_by(stage, Some(Host::Node1));
    wait_until("its process is known", PATIENCE, || process(stage, &one).is_some());
    let child = process(stage, &one).unwrap();
    one.terminate().unwrap();
    assert!(one.process().wait(PATIENCE).unwrap().success(), "{}", one.log());
    assert!(is_gone(child), "whoever stops waits for the others");
    stage.held_by(&[Host::Node2], 20);
    held_elsewhere_by(stage, Some(Host::Node2));

    // What is left to the next process is left in both.
    let old = two.status(&stage.world).unwrap()["pid"].as_i64().unwrap();
    let (said, two) = thread::scope(|scope| {
        let socket = two.directory().join("ha.sock");
        let command =
            scope.spawn(move || Command::new(HA).arg("restart").arg("--socket").arg(socket).output().unwrap());
        wait_until("it has ended", PATIENCE, || is_gone(i32::try_from(old).unwrap()));
        let next = slow(stage, Host::Node2);
        (String::from_utf8_lossy(&command.join().unwrap().stdout).into_owned(), next)
    });
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("leaves its addresses to the next one") && !said.contains("move:"), "{said}");
    stage.held_by(&[Host::Node2], 20);
    held_elsewhere_by(stage, Some(Host::Node2));

    // What everybody leaves behind who is killed is removed in both.
    let mut two = two;
    two.kill();
    let file = two.directory().join("ha.toml");
    let release = || {
        let file = file.clone();
        let run = move || Command::new(HA).arg("release").arg("-c").arg(file).output().unwrap();
        let output = stage.world.netns(Host::Node2).run(run).unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let _ = release();
    held_elsewhere_by(stage, None);
    assert_eq!(release(), "nothing was left behind\n");
    stage.held_by(&[], 5);

    // A network that is not there is said, and keeps no other one from being served.
    let gone = elsewhere(stage, Host::Node1).replace(&path(stage, Host::Node1), "no-such-network");
    let one = stage.ha_with(Host::Node1, &[here(Host::Node1), gone].concat(), POLICIES);
    stage.held_by(&[Host::Node1], 20);
    wait_until("it is said", PATIENCE, || {
        let (code, said) = checked(stage, &one);
        code == Some(2) && said.contains("ip netns add")
    });
}
