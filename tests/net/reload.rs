//! A change never costs the address: policies and configuration, good and broken; and packets that mean harm.

use std::time::{Duration, Instant};

use ha::lab::{Daemon, Host, Setup};

use crate::{
    Story,
    stage::{A_FEW, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 7] = [
    Story { name: "reload_of_a_policy", needs: &[], seconds: 60, tell: reload_of_a_policy },
    Story { name: "reload_fifty_times_at_10_ms", needs: &[], seconds: 90, tell: reload_fifty_times_at_10_ms },
    Story { name: "reload_of_a_broken_policy", needs: &[], seconds: 60, tell: reload_of_a_broken_policy },
    Story { name: "reload_of_a_broken_configuration", needs: &[], seconds: 60, tell: reload_of_a_broken_configuration },
    Story { name: "reload_of_the_configuration", needs: &[], seconds: 60, tell: reload_of_the_configuration },
    Story { name: "reload_of_a_label", needs: &[], seconds: 60, tell: reload_of_a_label },
    Story { name: "bad_packets_move_nothing", needs: &[], seconds: 60, tell: bad_packets_move_nothing },
];

const FINE: &str = "const INTERVAL = \"200ms\";\nfn check() { require(\"always\", expect(true, \"fine\")); }\n";
const BAD: &str =
    "const INTERVAL = \"200ms\";\nfn check() { require(\"never\", expect(false, \"not fine\"), #{ fall: 1 }); }\n";

fn judged(node: Host) -> String {
    Setup::founding(node).toml(node) + "policies = [\"judge\"]\n"
}

/// Both nodes judged by a policy that is fine.
fn pair(stage: &Stage) -> [Daemon; 2] {
    let pair = Host::NODES.map(|node| stage.ha_with(node, &judged(node), &[("judge", FINE)]));
    stage.held_by(&[Host::Node1], 20);
    pass(Duration::from_secs(1));
    pair
}

/// A policy that says otherwise takes effect without a command, and so does its repair.
fn reload_of_a_policy(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let written = node1.write_policy("judge", BAD).unwrap();
    let moved = stage.held_by(&[Host::Node2], 10);
    let late = moved.saturating_duration_since(written);
    assert!(late < Duration::from_secs(5), "{late:?}");
    node1.write_policy("judge", FINE).unwrap();
    stage.held_by(&[Host::Node1], 15);
}

/// Fifty versions one after the other, under advertisements every 10 ms: each is sent that is due, and the peer stays quiet.
fn reload_fifty_times_at_10_ms(stage: &Stage) {
    let fast = |node| Setup::founding(node).version3(Duration::from_millis(10)).toml(node) + "policies = [\"judge\"]\n";
    let [node1, _node2] = Host::NODES.map(|node| stage.ha_with(node, &fast(node), &[("judge", FINE)]));
    stage.held_by(&[Host::Node1], 20);
    pass(Duration::from_secs(2));
    let begin = Instant::now();
    for number in 2..=51_u64 {
        node1.write_policy("judge", &format!("{FINE}// {number}\n")).unwrap();
        wait_until("the next generation runs", Duration::from_secs(10), || {
            node1.status(&stage.world).unwrap_or_default()["policies"][0]["generation"] == number
        });
    }
    let sent = || stage.instance(&node1).unwrap()["sent"].as_u64().unwrap();
    let seen = || stage.capture.priorities(Host::Node1, begin - Duration::from_secs(60), Instant::now()).len() as u64;
    let (least, said, most) = (seen(), sent(), {
        pass(Duration::from_millis(200));
        seen()
    });
    assert!((least..=most).contains(&said), "said to be sent: {said}, seen at the switch: {least} to {most}");
    let due = begin.elapsed().as_millis() as usize / 10;
    let were = stage.capture.priorities(Host::Node1, begin, Instant::now()).len();
    assert!(were * 100 >= due * 95, "{were} advertisements of {due}");
    assert_eq!(stage.capture.priorities(Host::Node2, begin, Instant::now()), Vec::<u8>::new());
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
}

/// A broken file changes nothing and is visible.
fn reload_of_a_broken_policy(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let written = node1.write_policy("judge", "fn check() { requier(1) }\n").unwrap();
    wait_until("the broken file is visible", Duration::from_secs(5), || {
        let status = node1.status(&stage.world).unwrap_or_default();
        status["policies"][0]["stale"]["error"].as_str().is_some_and(|error| error.contains("requier"))
    });
    pass(Duration::from_secs(2));
    assert_eq!(stage.observer.first(Host::Node1, false, written), None, "nothing moves");
    node1.write_policy("judge", FINE).unwrap();
    wait_until("the repair is seen", Duration::from_secs(5), || {
        node1.status(&stage.world).unwrap_or_default()["policies"][0]["stale"].is_null()
    });
}

fn reload_of_a_broken_configuration(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let begin = Instant::now();
    node1.write_config(&judged(Host::Node1).replace("priority = 100", "priority = 1000")).unwrap();
    let output = node1.command(&stage.world, &["reload"]).unwrap();
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    pass(Duration::from_secs(4));
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
}

/// A lower priority hands over, without a restart and without a lost packet.
fn reload_of_the_configuration(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let client = stage.client();
    pass(Duration::from_millis(300));
    let begin = Instant::now();
    node1.write_config(&judged(Host::Node1).replace("priority = 100", "priority = 90")).unwrap();
    let output = node1.command(&stage.world, &["reload"]).unwrap();
    assert!(output.status.success(), "{output:?}");
    stage.held_by(&[Host::Node2], 15);
    pass(Duration::from_millis(500));
    let outage = client.stop().outage(begin, Instant::now());
    assert!(outage.never_answered <= A_FEW, "{outage:?}");
}

/// Another label for an address that is held: the role stays, no packet is lost, and the lease goes on under it.
fn reload_of_a_label(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let has = |label: &str| {
        let all = stage.world.rtnl(Host::Node1).addresses().unwrap();
        let labels = all.iter().flat_map(|address| &address.attributes).map(|attribute| format!("{attribute:?}"));
        labels.into_iter().any(|it| it == format!("Label(\"{label}\")"))
    };
    assert!(!has("eth0:web"));
    let client = stage.client();
    pass(Duration::from_millis(300));
    let begin = Instant::now();
    for label in ["eth0:web", "eth0:other"] {
        let entry = format!("addresses = [{{ address = \"192.168.0.60/24\", label = \"{label}\" }}]");
        let config = judged(Host::Node1).replace("addresses = [\"192.168.0.60/24\"]", &entry);
        node1.write_config(&config).unwrap();
        let output = node1.command(&stage.world, &["reload"]).unwrap();
        assert!(output.status.success(), "{output:?}");
        wait_until("the label is there", Duration::from_secs(2), || has(label));
        // For longer than the lease: its renewals know the label.
        pass(Duration::from_secs(4));
        assert!(has(label));
    }
    assert!(!has("eth0:web"));
    assert_eq!(stage.capture.priorities(Host::Node2, begin, Instant::now()), Vec::<u8>::new());
    stage.held_by(&[Host::Node1], 1);
    let outage = client.stop().outage(begin, Instant::now());
    assert!(outage.never_answered <= A_FEW, "{outage:?}");
}

/// Every bad packet is counted and moves nothing.
fn bad_packets_move_nothing(stage: &Stage) {
    let [node1, node2] = pair(stage);
    let begin = Instant::now();
    let group = [224, 0, 0, 18].into();
    // Version 2, router 51, priority 250, one address, PASS 1111, checksum right; then one thing wrong in each.
    let good = advertisement(51, 250, b"1111\0\0\0\0");
    let wrong_checksum = good.iter().enumerate().map(|(at, byte)| if at == 6 { byte ^ 0xff } else { *byte }).collect();
    let bad: [(u8, Vec<u8>); 6] = [
        (254, good.clone()),
        (255, wrong_checksum),
        (255, advertisement(51, 250, b"2222\0\0\0\0")),
        (255, good[..12].to_vec()),
        (255, vec![]),
        (255, vec![0xff; 64]),
    ];
    for (hop_limit, payload) in bad {
        stage.world.send_vrrp(Host::Arbiter, group, hop_limit, payload).unwrap();
    }
    pass(Duration::from_secs(2));
    for daemon in [&node1, &node2] {
        let instance = stage.instance(daemon).unwrap();
        let counted: u64 =
            instance["discarded"].as_object().unwrap().values().filter_map(serde_json::Value::as_u64).sum();
        assert!(counted >= 4, "{:#}", instance["discarded"]);
    }
    assert_eq!(stage.observer.first(Host::Node1, false, begin), None, "nothing moves");
}

/// A version 2 advertisement of the founding address.
fn advertisement(vrid: u8, priority: u8, password: &[u8; 8]) -> Vec<u8> {
    let mut bytes = vec![0x21, vrid, priority, 1, 1, 1, 0, 0, 192, 168, 0, 60];
    bytes.extend(password);
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
    bytes
}
