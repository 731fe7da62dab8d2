//! `ha` that runs straight from a configuration of keepalived, beside keepalived with its own.

use std::{fs, path::Path, time::Duration};

use ha::lab::{Daemon, Host, Setup};
use nix::sys::signal::Signal;

use crate::{
    Need, Story,
    stage::{HA, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] = [Story {
    name: "straight_from_a_file_of_keepalived",
    needs: &[Need::Keepalived],
    seconds: 60,
    tell: straight_from_a_file_of_keepalived,
}];

/// It serves, keeps what runs where the file is broken, and hands over when the file gives it a lower priority. SIGHUP reloads, too.
fn straight_from_a_file_of_keepalived(stage: &Stage) {
    let config = Setup::founding(Host::Node1).keepalived_conf(Host::Node1, None);
    let mut node1 = Daemon::straight(&stage.world, Host::Node1, Path::new(HA), &config).unwrap();
    stage.held_by(&[Host::Node1], 20);
    let _node2 = stage.keepalived(Host::Node2, &Setup::founding(Host::Node2));
    let file = node1.directory().join("keepalived.conf");
    let write = |config: &str| fs::write(&file, config).unwrap();

    write(&config.replace("virtual_router_id 51", "virtual_router_id 51\n use_ipvlan"));
    let refused = node1.command(&stage.world, &["reload"]).unwrap();
    assert_eq!(refused.status.code(), Some(78), "{refused:?}");
    let why = format!("{}{}", String::from_utf8_lossy(&refused.stderr), String::from_utf8_lossy(&refused.stdout));
    assert!(why.contains("use_ipvlan") && why.contains("keeping the previous configuration"), "{why}");
    pass(Duration::from_secs(2));
    assert_eq!(stage.holders(), [Host::Node1]);

    write(&config);
    hang_up(&mut node1, "the file as it was changes nothing", "reload: nothing has changed");
    write(&config.replace("priority 100", "priority 90"));
    hang_up(&mut node1, "the priority is taken over", "reload: instance ");
    stage.held_by(&[Host::Node2], 15);
}

/// Reloads by a signal, which has no answer but the journal's.
fn hang_up(daemon: &mut Daemon, what: &str, line: &str) {
    daemon.process().signal(Signal::SIGHUP).unwrap();
    wait_until(what, Duration::from_secs(20), || daemon.log().contains(line));
}
