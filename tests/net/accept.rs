//! `accept = false`: the addresses are known on the link and answer nothing.

use std::time::{Duration, Instant};

use ha::{
    lab::{Daemon, Host, Setup, capture::What, world::SERVICE_ADDRESS},
    linux::{GuardTable, Guards},
    wire::Vrid,
    words::Family,
};

use crate::{
    Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "accept_false_drops_and_answers_arp", needs: &[], seconds: 60, tell: drops_and_answers_arp }];

fn setup(accept: bool) -> String {
    let setup = Setup::founding(Host::Node1).version3(Duration::from_millis(200));
    format!("{}accept = {accept}\n", setup.toml(Host::Node1))
}

/// Calls that were answered in half a second, and whether the link knew where the address is.
fn calls(stage: &Stage) -> (usize, bool) {
    let begin = Instant::now();
    let client = stage.client();
    pass(Duration::from_millis(500));
    let answered = client.stop().calls.iter().filter(|call| call.answered).count();
    let frames = stage.capture.from(Host::Node1, begin - Duration::from_secs(2), Instant::now());
    (answered, frames.iter().any(|frame| frame.what == What::ArpReply(SERVICE_ADDRESS)))
}

/// Looks for the table on node1.
fn with_table(stage: &Stage, look: fn(&mut Guards, &GuardTable) -> std::io::Result<bool>) -> bool {
    let found = stage.world.netns(Host::Node1).run(move || {
        let table = GuardTable::of(&"eth0".parse().unwrap(), Vrid::new(51).unwrap(), Family::V4);
        look(&mut Guards::open().unwrap(), &table)
    });
    found.unwrap().unwrap()
}

fn is_there(stage: &Stage) -> bool {
    with_table(stage, |guards, table| guards.is_whole(table, &[SERVICE_ADDRESS.into()]))
}

fn reload(stage: &Stage, daemon: &Daemon, accept: bool) {
    daemon.write_config(&setup(accept)).unwrap();
    assert!(daemon.command(&stage.world, &["reload"]).unwrap().status.success());
    pass(Duration::from_millis(300));
}

fn drops_and_answers_arp(stage: &Stage) {
    let mut daemon = stage.ha_with(Host::Node1, &setup(false), &[]);
    stage.held_by(&[Host::Node1], 15);
    let closed = calls(stage);
    assert_eq!(closed, (0, true), "calls answered, ARP answered");
    assert!(with_table(stage, Guards::remove), "it was there");
    // Whoever flushes the rules of the machine makes the address answer for a moment.
    pass(Duration::from_millis(1500));
    assert_eq!(calls(stage).0, 0, "it is there again");
    reload(stage, &daemon, true);
    assert!(calls(stage).0 > 50);
    assert!(!is_there(stage), "nobody needs it any more");
    reload(stage, &daemon, false);
    assert_eq!(calls(stage).0, 0);
    assert_eq!(stage.holders(), [Host::Node1], "neither moved it");

    daemon.kill_alone();
    stage.held_by(&[], 5);
    wait_until("the keeper took it away", Duration::from_secs(2), || !is_there(stage));
    drop(daemon);
    let daemon = stage.ha_with(Host::Node1, &setup(false), &[]);
    stage.held_by(&[Host::Node1], 15);
    daemon.terminate().unwrap();
    stage.held_by(&[], 5);
    pass(Duration::from_millis(500));
    assert!(!is_there(stage), "it goes with the daemon that stops");
}
