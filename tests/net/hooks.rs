//! What is done before a planned release is done while the address is still there, and for a second at most (R18).

use std::time::{Duration, Instant};

use ha::lab::{Daemon, Host, Setup};

use crate::{
    Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 2] = [
    Story { name: "r18_on_release_runs_while_the_address_is_there", needs: &[], seconds: 60, tell: half_a_second },
    Story { name: "r18_a_release_does_not_wait_longer_than_a_second", needs: &[], seconds: 60, tell: hangs },
];

const ADVERTISE: Duration = Duration::from_millis(100);

/// A hook before the release that asks an address that nobody has, and so takes this long; and one after it.
fn policy(time: &str) -> String {
    format!(
        "fn on_release(ev) {{ http_send(\"http://192.168.0.99/\", #{{ timeout: \"{time}\" }}); }}\n\
         fn on_stop(ev) {{ log_info(`after ${{ev.reason}}`); }}\n"
    )
}

/// Both nodes, node1 serving; node1 has the hooks.
fn pair(stage: &Stage, time: &str) -> [Daemon; 2] {
    let setup = |node| Setup::founding(node).version3(ADVERTISE).toml(node);
    let node1 = setup(Host::Node1) + "policies = [\"leave\"]\n";
    let pair = [
        stage.ha_with(Host::Node1, &node1, &[("leave", &policy(time))]),
        stage.ha_with(Host::Node2, &setup(Host::Node2), &[]),
    ];
    stage.held_by(&[Host::Node1], 20);
    pass(Duration::from_secs(2));
    pair
}

/// Stops node1; how long it kept the address, after it went on advertising all the while.
fn leave(stage: &Stage, node1: &mut Daemon) -> Duration {
    let stopped = node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    let gone = stage.observer.first(Host::Node1, false, stopped).unwrap();
    let until = gone.checked_sub(ADVERTISE * 2).unwrap();
    let said = stage.capture.priorities(Host::Node1, stopped, until.max(stopped));
    assert!(said.len() >= 2 && said.iter().all(|priority| *priority == 100), "{said:?}");
    assert_eq!(stage.observer.no_holder(stopped, Instant::now()), Duration::ZERO, "no gap");
    let status = node1.process().wait(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "{status}");
    wait_until("on_stop is in the journal", Duration::from_secs(2), || node1.log().contains("after the daemon stops"));
    gone.saturating_duration_since(stopped)
}

fn half_a_second(stage: &Stage) {
    let [mut node1, _node2] = pair(stage, "500ms");
    let kept = leave(stage, &mut node1);
    assert!(kept >= Duration::from_millis(450), "{kept:?}");
    let own = "on_release of policy leave: http_send http://192.168.0.99/: not done: timeout after 500ms";
    assert!(node1.log().contains(own), "its own time is over, not the second that it has at most: {}", node1.log());
}

fn hangs(stage: &Stage) {
    let [mut node1, _node2] = pair(stage, "20s");
    let kept = leave(stage, &mut node1);
    // The hook would take twenty.
    assert!((Duration::from_millis(950)..Duration::from_secs(10)).contains(&kept), "{kept:?}");
}
