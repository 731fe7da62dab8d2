//! Addresses that are not advertised, some of them on another interface, beside `virtual_ipaddress_excluded` of keepalived in
//! both roles: they move with the others, both ways, and nothing stays behind. And where the own interface is filtered, who
//! answers on the other one decides.

use std::{fs, time::Duration};

use ha::{
    lab::{Host, Setup, fault::Silence, rtnl::Plug},
    linux,
};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 2] = [
    Story {
        name: "devices_move_with_the_others_beside_keepalived",
        needs: &[Need::Keepalived],
        seconds: 90,
        tell: beside_keepalived,
    },
    Story {
        name: "devices_have_one_holder_where_advertisements_do_not_pass",
        needs: &[Need::Nft],
        seconds: 60,
        tell: apart,
    },
];

/// Interface and address.
const BESIDE: [(&str, &str); 3] = [("eth0", "192.168.0.61/24"), ("eth1", "10.1.0.60/24"), ("eth1", "fd00:9::60/64")];

fn setup(node: Host) -> Setup {
    Setup::founding(node).version3(Duration::from_millis(200))
}

/// A second network between the two machines.
pub(crate) fn second_network(stage: &Stage) {
    let [one, two] = Host::NODES.map(|node| stage.world.rtnl(node));
    let far = Plug { name: "eth1", mac: [2, 0, 0, 0, 1, 2], netns: stage.world.netns(Host::Node2) };
    one.add_cable("eth1", far).unwrap();
    for rtnl in [one, two] {
        rtnl.set_up("eth1", true).unwrap();
    }
}

/// How many of them are on this machine, as its kernel has it.
fn count(stage: &Stage, node: Host) -> usize {
    let there = stage.world.netns(node).run(linux::snapshot).unwrap().unwrap();
    let has = |(device, address): &&(&str, &str)| {
        let mut on = there.iter().filter(|(link, _)| link.name.as_str() == *device);
        on.any(|(_, addresses)| addresses.iter().any(|seen| seen.address.to_string() == *address))
    };
    BESIDE.iter().filter(has).count()
}

#[track_caller]
fn all_at(stage: &Stage, node: Host) {
    stage.held_by(&[node], 15);
    wait_until(&format!("everything at {node}"), Duration::from_secs(5), || {
        [count(stage, node), count(stage, node.peer())] == [BESIDE.len(), 0]
    });
}

fn beside_keepalived(stage: &Stage) {
    second_network(stage);
    let list: String = BESIDE.iter().map(|(device, address)| format!("{address} dev {device}\n")).collect();
    let conf = setup(Host::Node2).keepalived_conf(Host::Node2, None);
    let conf = conf.trim_end().strip_suffix('}').unwrap();
    let keepalived =
        stage.keepalived_with(Host::Node2, &format!("{conf} virtual_ipaddress_excluded {{\n{list} }}\n}}\n"));
    all_at(stage, Host::Node2);

    let list: Vec<String> = BESIDE
        .iter()
        .map(|(device, address)| format!("{{ address = \"{address}\", device = \"{device}\" }}"))
        .collect();
    let toml = setup(Host::Node1).toml(Host::Node1) + format!("addresses_excluded = [{}]\n", list.join(", ")).as_str();
    let mut ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    let shown = stage.instance(&ha).unwrap();
    assert_eq!(shown["devices"]["10.1.0.60/24"], "eth1", "{shown:#}");
    assert_eq!(shown["held"].as_array().unwrap().len(), 4, "{shown:#}");
    ha.kill_alone();
    all_at(stage, Host::Node2);
    drop(ha);

    let ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    pass(Duration::from_millis(500));
    ha.terminate().unwrap();
    all_at(stage, Host::Node2);
    drop(ha);

    // The cable of the second network bears on it as its own does.
    let ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    keepalived.terminate().unwrap();
    stage.world.rtnl(Host::Node2).set_up("eth1", false).unwrap();
    stage.held_by(&[], 5);
    wait_until("nothing stays", Duration::from_secs(2), || count(stage, Host::Node1) == 0);
    assert_eq!(stage.state(&ha).as_deref(), Some("fault"));
}

/// The kernel answers on eth1 for everything (0) or for nothing (8).
fn arp_ignore(stage: &Stage, node: Host, how: &'static str) {
    stage.world.netns(node).run(move || fs::write("/proc/sys/net/ipv4/conf/eth1/arp_ignore", how)).unwrap().unwrap();
}

/// No advertisement passes on eth0, and at first no answer on eth1: both take the address there. No machine has an address of
/// its own on eth1.
fn apart(stage: &Stage) {
    second_network(stage);
    let silences = Host::NODES.map(|from| Silence { from, to: from.peer() });
    stage.world.filter(&silences).unwrap();
    let started = Host::NODES.map(|node| {
        arp_ignore(stage, node, "8");
        let address = "addresses = [{ address = \"10.1.0.60/24\", device = \"eth1\" }]\nannounce_refresh = \"1s\"\n";
        let toml: String = setup(node)
            .toml(node)
            .lines()
            .filter(|line| !line.starts_with("addresses"))
            .fold(String::new(), |text, line| text + line + "\n");
        stage.ha_with(node, &(toml + address), &[])
    });
    let holders = || Host::NODES.map(|node| count(stage, node));
    wait_until("both hold it", Duration::from_secs(15), || holders() == [1, 1]);
    for node in Host::NODES {
        arp_ignore(stage, node, "0");
    }
    wait_until("one yields", Duration::from_secs(15), || holders().iter().sum::<usize>() == 1);
    let other = usize::from(holders() == [1, 0]);
    // Whoever comes second sees that it is held.
    stage.says(&started[other], "conflict", 10);
    assert_eq!(holders().iter().sum::<usize>(), 1);
    drop(started);
}
