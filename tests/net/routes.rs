//! Routes and rules beside `virtual_routes` and `virtual_rules` of keepalived in both roles: they come and go with the address,
//! are put back, and do not outlive the daemon.

use std::time::Duration;

use ha::lab::{Host, Setup};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] = [Story {
    name: "routes_and_rules_move_with_the_address_beside_keepalived",
    needs: &[Need::Keepalived],
    seconds: 90,
    tell: beside_keepalived,
}];

fn setup(node: Host) -> Setup {
    Setup::founding(node).version3(Duration::from_millis(200))
}

fn ip(stage: &Stage, node: Host, arguments: &'static str) -> String {
    let output = stage
        .world
        .netns(node)
        .run(move || std::process::Command::new("ip").args(arguments.split_whitespace()).output());
    String::from_utf8(output.unwrap().unwrap().stdout).unwrap()
}

/// Route in a table of its own, route in the main one with the address as its source, rule.
fn count(stage: &Stage, node: Host) -> usize {
    let has = |shows: String, what: &str| usize::from(shows.contains(what));
    has(ip(stage, node, "route show table 100"), "default via 192.168.0.1")
        + has(ip(stage, node, "route show"), "10.9.0.0/16 via 192.168.0.1")
        + has(ip(stage, node, "rule show"), "from 10.8.0.0/16")
}

#[track_caller]
fn all_at(stage: &Stage, node: Host) {
    stage.held_by(&[node], 15);
    wait_until(&format!("everything at {node}"), Duration::from_secs(5), || {
        [count(stage, node), count(stage, node.peer())] == [3, 0]
    });
}

fn beside_keepalived(stage: &Stage) {
    let conf = setup(Host::Node2).keepalived_conf(Host::Node2, None);
    let conf = conf.trim_end().strip_suffix('}').unwrap();
    let keepalived = stage.keepalived_with(
        Host::Node2,
        &format!(
            "{conf} virtual_routes {{\n default via 192.168.0.1 dev eth0 table 100\n 10.9.0.0/16 via 192.168.0.1 dev eth0 src \
             192.168.0.60\n }}\n virtual_rules {{\n from 10.8.0.0/16 table 100 preference 500\n }}\n}}\n"
        ),
    );
    all_at(stage, Host::Node2);

    let toml = setup(Host::Node1).toml(Host::Node1)
        + "routes = [{ to = \"default\", via = \"192.168.0.1\", device = \"eth0\", table = \"100\" }, \
           { to = \"10.9.0.0/16\", via = \"192.168.0.1\", source = \"192.168.0.60\" }]\n\
           rules = [{ from = \"10.8.0.0/16\", table = \"100\", priority = 500 }]\n";
    let mut ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    ip(stage, Host::Node1, "route del 10.9.0.0/16");
    ip(stage, Host::Node1, "rule del priority 500");
    all_at(stage, Host::Node1);
    assert!(ha.log().contains("somebody removed"), "{}", ha.log());
    ha.kill_alone();
    all_at(stage, Host::Node2);
    drop(ha);

    // Killed together with its keeper: what it left is gone once there is a daemon again, or after `ha release`.
    let mut ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    ha.kill();
    stage.held_by(&[Host::Node2], 15);
    assert!(count(stage, Host::Node1) > 0, "they have no lease");
    drop(ha);
    let ha = stage.ha_with(Host::Node1, &(toml.clone() + "preempt = false\n"), &[]);
    all_at(stage, Host::Node2);
    drop(ha);

    let ha = stage.ha_with(Host::Node1, &toml, &[]);
    all_at(stage, Host::Node1);
    let other = toml.replace("10.9.0.0/16", "10.7.0.0/16");
    ha.write_config(&other).unwrap();
    assert!(ha.command(&stage.world, &["reload"]).unwrap().status.success());
    pass(Duration::from_millis(500));
    assert_eq!(count(stage, Host::Node1), 2, "one is another one now");
    assert!(ip(stage, Host::Node1, "route show").contains("10.7.0.0/16"));
    ha.terminate().unwrap();
    all_at(stage, Host::Node2);
    keepalived.terminate().unwrap();
}
