//! The virtual router MAC address: clients see the same one before and after a takeover, also beside keepalived.

use std::{
    fs,
    net::{SocketAddrV6, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use ha::lab::{
    Daemon, Host, Setup,
    world::{SERVICE_ADDRESS, SERVICE_ADDRESS_6},
};

use crate::{
    Need, Story,
    devices::second_network,
    runner,
    stage::{A_FEW, A_HANDOVER, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 5] = [
    Story { name: "vmac_pair_keeps_the_mac_address", needs: &[], seconds: 60, tell: pair },
    Story { name: "vmac_on_another_interface", needs: &[], seconds: 60, tell: beside },
    Story { name: "vmac_over_ipv6", needs: &[], seconds: 30, tell: over_ipv6 },
    Story {
        name: "vmac_mixed_ha_first",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: |stage| mixed(stage, Host::Node1),
    },
    Story {
        name: "vmac_mixed_ha_second",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: |stage| mixed(stage, Host::Node2),
    },
];

const MAC: &str = "00:00:5e:00:01:33";

fn setup(node: Host) -> Setup {
    Setup::founding(node).version3(Duration::from_millis(200))
}

fn ha(stage: &Stage, node: Host) -> Daemon {
    stage.ha_with(node, &format!("{}virtual_mac = true\n", setup(node).toml(node)), &[])
}

fn keepalived(stage: &Stage, node: Host) -> Daemon {
    let conf = setup(node).keepalived_conf(node, None);
    let conf = conf.replace(" virtual_router_id 51\n", " virtual_router_id 51\n use_vmac vrrp.51\n");
    Daemon::keepalived(&stage.world, node, &runner::keepalived().unwrap(), &conf).unwrap()
}

/// The MAC address at which the client knows the address.
fn known(stage: &Stage) -> Option<String> {
    let table =
        stage.world.netns(Host::Client).run(|| fs::read_to_string("/proc/thread-self/net/arp")).unwrap().unwrap();
    let line = table.lines().find(|line| line.starts_with(&format!("{SERVICE_ADDRESS} ")))?;
    line.split_whitespace().nth(3).map(str::to_owned)
}

/// The client is served.
fn served(stage: &Stage, by: Host) {
    let client = stage.client();
    pass(Duration::from_millis(500));
    let record = client.stop();
    assert_eq!(record.last_answer_by(), Some(by));
}

/// The client is served, at the MAC address of the virtual router.
fn served_at_mac(stage: &Stage, by: Host) {
    served(stage, by);
    assert_eq!(known(stage).as_deref(), Some(MAC), "served by {by}");
}

fn arp_ignore(stage: &Stage, node: Host) -> String {
    let read = || fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_ignore");
    stage.world.netns(node).run(read).unwrap().unwrap().trim().to_owned()
}

fn has_device(stage: &Stage, node: Host) -> bool {
    stage.world.rtnl(node).index_of("ha-51").is_ok()
}

fn pair(stage: &Stage) {
    let mut pair = Host::NODES.map(|node| ha(stage, node));
    stage.held_by(&[Host::Node1], 15);
    served_at_mac(stage, Host::Node1);
    assert_eq!((arp_ignore(stage, Host::Node1).as_str(), has_device(stage, Host::Node2)), ("1", true));
    let client = stage.client();
    pass(Duration::from_millis(300));
    let stopped = pair[0].terminate().unwrap();
    stage.held_by(&[Host::Node2], 5);
    pass(Duration::from_millis(500));
    let outage = client.stop().outage(stopped, Instant::now());
    assert!(outage.never_answered <= A_FEW, "{outage:?}");
    served_at_mac(stage, Host::Node2);
    assert!(!has_device(stage, Host::Node1), "it goes with the daemon that stops");
    assert_eq!(arp_ignore(stage, Host::Node1), "0", "as it was");

    // The keeper tidies up as well.
    pair[1].kill_alone();
    stage.held_by(&[], 5);
    wait_until("the keeper took the device away", Duration::from_secs(2), || !has_device(stage, Host::Node2));
    wait_until("and gave eth0 its habits back", Duration::from_secs(2), || arp_ignore(stage, Host::Node2) == "0");

    // What nobody tidied up is taken over.
    pair[1] = ha(stage, Host::Node2);
    stage.held_by(&[Host::Node2], 15);
    pair[1].kill();
    stage.held_by(&[], 10);
    assert!(has_device(stage, Host::Node2));
    pair[1] = ha(stage, Host::Node2);
    stage.held_by(&[Host::Node2], 15);
    served_at_mac(stage, Host::Node2);
    pair[1].terminate().unwrap();
    stage.held_by(&[], 5);
    wait_until("everything is as it was", Duration::from_secs(2), || arp_ignore(stage, Host::Node2) == "0");
}

/// An address on another interface has it there, at whichever node it is.
fn beside(stage: &Stage) {
    second_network(stage);
    let run = |node: Host, command: String| {
        let run = move || Command::new("ip").args(command.split(' ')).output().unwrap();
        String::from_utf8(stage.world.netns(node).run(run).unwrap().stdout).unwrap()
    };
    for (node, own) in Host::NODES.into_iter().zip(["10.1.0.1", "10.1.0.2"]) {
        run(node, format!("address add {own}/24 dev eth1"));
    }
    let shows = |node: Host, device: &str, what: &str| run(node, format!("address show dev {device}")).contains(what);
    // Held by this node, at that MAC address: the other one asks its kernel.
    let at_mac = |node: Host| {
        wait_until(&format!("it is known by its MAC address at {node}"), Duration::from_secs(5), || {
            let ask = || UdpSocket::bind("0.0.0.0:0").unwrap().send_to(b"?", "10.1.0.60:9");
            let _ = stage.world.netns(node.peer()).run(ask).unwrap();
            shows(node, "ha-51-eth1", "10.1.0.60/24")
                && run(node.peer(), "neigh show 10.1.0.60 dev eth1".to_owned()).contains(MAC)
        });
        assert!(!shows(node, "eth1", "10.1.0.60"));
    };
    let beside = "addresses_excluded = [{ address = \"10.1.0.60/24\", device = \"eth1\", virtual_mac = true }]\n";
    let mut pair = Host::NODES.map(|node| stage.ha_with(node, &(setup(node).toml(node) + beside), &[]));
    stage.held_by(&[Host::Node1], 15);
    at_mac(Host::Node1);
    assert!(!shows(Host::Node2, "ha-51-eth1", "10.1.0.60"), "there, and empty");
    pair[0].terminate().unwrap();
    stage.held_by(&[Host::Node2], 5);
    at_mac(Host::Node2);
    assert!(stage.world.rtnl(Host::Node1).index_of("ha-51-eth1").is_err(), "it goes with the daemon that stops");
    // The process after this one goes on with it.
    pair[1].kill();
    pair[1] = stage.ha_with(Host::Node2, &(setup(Host::Node2).toml(Host::Node2) + beside), &[]);
    wait_until("it serves", Duration::from_secs(15), || stage.state(&pair[1]).as_deref() == Some("master"));
    at_mac(Host::Node2);
    pair[1].kill_alone();
    stage.held_by(&[], 5);
    wait_until("the keeper took the device away", Duration::from_secs(5), || {
        stage.world.rtnl(Host::Node2).index_of("ha-51-eth1").is_err()
    });
}

/// Where the client finds the address over IPv6: asked anew.
fn found_over_ipv6(stage: &Stage) -> String {
    let show = |command: String| {
        let run = move || Command::new("ip").args(command.split(' ')).output().unwrap();
        String::from_utf8(stage.world.netns(Host::Client).run(run).unwrap().stdout).unwrap()
    };
    let index = stage.world.rtnl(Host::Client).index_of("eth0").unwrap();
    let ask = move || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        let _ = socket.send_to(b"?", SocketAddrV6::new(SERVICE_ADDRESS_6, 9, 0, index));
    };
    show("-6 neigh flush dev eth0".to_owned());
    let mut found = String::new();
    wait_until("the client finds the address", Duration::from_secs(3), || {
        stage.world.netns(Host::Client).run(ask).unwrap();
        found = show(format!("-6 neigh show {SERVICE_ADDRESS_6} dev eth0"));
        found.contains("lladdr")
    });
    found
}

fn over_ipv6(stage: &Stage) {
    let toml = |node: Host| format!("{}virtual_mac = true\n", setup(node).over_ipv6().toml(node));
    let mut pair = Host::NODES.map(|node| stage.ha_with(node, &toml(node), &[]));
    stage.held_by(&[Host::Node1], 15);
    let found = found_over_ipv6(stage);
    assert!(found.contains("00:00:5e:00:02:33"), "{found}");
    pair[0].terminate().unwrap();
    stage.held_by(&[Host::Node2], 5);
    let found = found_over_ipv6(stage);
    assert!(found.contains("00:00:5e:00:02:33"), "{found}");
    pair[1].kill_alone();
    stage.held_by(&[], 5);
    wait_until("the keeper took the device away", Duration::from_secs(2), || {
        stage.world.rtnl(Host::Node2).index_of("ha6-51").is_err()
    });
}

fn mixed(stage: &Stage, ha_on: Host) {
    let begin = Instant::now();
    // keepalived asks for the client in the name of the address, from the interface beneath: its MAC address is known then.
    let served = |by| if by == ha_on { served_at_mac(stage, by) } else { served(stage, by) };
    let start = |node| if node == ha_on { ha(stage, node) } else { keepalived(stage, node) };
    let node2 = start(Host::Node2);
    stage.held_by(&[Host::Node2], 15);
    served(Host::Node2);
    let node1 = start(Host::Node1);
    stage.held_by(&[Host::Node1], 15);
    served(Host::Node1);
    pass(Duration::from_secs(1));
    assert_eq!(stage.holders(), [Host::Node1], "a backup stays backup");
    node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    served(Host::Node2);
    let two = stage.observer.two_holders(begin, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
    drop((node1, node2));
}
