//! The disk on which the state directory lies does not answer. What the daemon serves does not depend on it, and whoever wants
//! something of the daemon is told.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host};
use nix::sys::signal::Signal;

use crate::{
    Need, Story,
    reload_hangs::{Gone, LONG, judged, nothing_moved, pair, told},
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 2] = [
    Story { name: "state_that_hangs", needs: &[Need::Fuse], seconds: 120, tell: hangs },
    Story { name: "state_that_hangs_at_the_start", needs: &[Need::Fuse], seconds: 60, tell: hangs_at_the_start },
];

/// A reload, and a restart that is refused; and then the daemon stops in order, whatever the disk does.
fn hangs(stage: &Stage) {
    let [mut node1, node2] = pair(stage);
    let state = node1.directory().join("state");
    let gone = Gone::at(stage, Host::Node1, &node1.directory().join("gone"));
    let begin = Instant::now();
    fs::rename(&state, node1.directory().join("state.aside")).unwrap();
    symlink(node1.directory().join("gone/state"), &state).unwrap();
    let reload = |daemon: &Daemon, priority: u8| {
        let other = format!("priority = {priority}");
        daemon.write_config(&judged(Host::Node1).replace("priority = 100", &other)).unwrap();
        let (code, text) = told(stage, daemon, &["reload"]);
        assert!(code == Some(0), "{code:?} {text}");
        text
    };
    let text = reload(&node1, 101);
    assert!(text.contains("not kept for a boot with a broken file yet"), "{text}");
    assert!(node1.log().contains("what this node may hold cannot be recorded in the state directory"));
    reload(&node1, 102);
    let (code, text) = told(stage, &node1, &["restart"]);
    assert!(code != Some(0) && text.contains("it cannot be recorded in the state directory"), "{code:?} {text}");
    node1.process().signal(Signal::SIGHUP).unwrap();
    pass(LONG);
    nothing_moved(stage, &node1, begin);
    // It comes back.
    drop(gone);
    fs::remove_file(&state).unwrap();
    fs::rename(node1.directory().join("state.aside"), &state).unwrap();
    wait_until("it is kept again", Duration::from_secs(15), || {
        !reload(&node1, 103).contains("not kept")
            && fs::read_to_string(state.join("ha.toml")).is_ok_and(|kept| kept.contains("priority = 103"))
    });
    assert!(!fs::exists(state.join("left.json")).unwrap(), "nothing was left");
    fs::rename(&state, node1.directory().join("state.aside")).unwrap();
    let _gone = Gone::at(stage, Host::Node1, &node1.directory().join("again"));
    symlink(node1.directory().join("again/state"), &state).unwrap();
    node1.terminate().unwrap();
    stage.leads_after_a_resignation(&node2);
    assert!(node1.process().wait(Duration::from_secs(10)).unwrap().success());
    assert!(node1.log().contains("that nothing is held any more"), "it says what is not recorded");
}

/// It says what it waits for, and whoever wants it to end has his way.
fn hangs_at_the_start(stage: &Stage) {
    let directory = stage.world.directory(Host::Node1).unwrap();
    let _gone = Gone::at(stage, Host::Node1, &directory.join("gone"));
    symlink(directory.join("gone/state"), directory.join("state")).unwrap();
    let mut node1 = stage.ha_with(Host::Node1, &judged(Host::Node1), &[]);
    wait_until("it says what it waits for", Duration::from_secs(10), || {
        node1.log().contains("the start waits for the state directory")
    });
    node1.process().signal(Signal::SIGHUP).unwrap();
    node1.process().signal(Signal::SIGTERM).unwrap();
    assert!(node1.process().wait(Duration::from_secs(10)).unwrap().success());
    assert!(node1.log().contains("stopped while starting"));
}
