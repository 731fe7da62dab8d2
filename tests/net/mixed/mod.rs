//! One node runs `ha`, the other keepalived: a correct pair, in both roles and in every form that is deployed. What is the matter where they do not
//! understand each other is in `mismatch`.

mod mismatch;
mod short;
mod signed;

use std::time::{Duration, Instant};

use ha::lab::{Daemon, Host, Setup, fault::Silence};

use crate::{
    Need, Story,
    stage::{A_HANDOVER, Stage, pass},
};

const BOTH: &[Need] = &[Need::Keepalived];
const FILTERED: &[Need] = &[Need::Keepalived, Need::Nft];

pub(crate) fn stories() -> impl Iterator<Item = Story> {
    WHOLE_LIVES.into_iter().chain(short::STORIES).chain(signed::STORIES).chain(mismatch::STORIES)
}

const WHOLE_LIVES: [Story; 12] = [
    Story {
        name: "mixed_v2_multicast_ha_first",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node1, v2),
    },
    Story {
        name: "mixed_v2_multicast_ha_second",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node2, v2),
    },
    Story {
        name: "mixed_v3_multicast_ha_first",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node1, v3),
    },
    Story {
        name: "mixed_v3_multicast_ha_second",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node2, v3),
    },
    Story {
        name: "mixed_v2_unicast_ha_first",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node1, unicast),
    },
    Story {
        name: "mixed_v2_unicast_ha_second",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node2, unicast),
    },
    Story {
        name: "mixed_v3_unicast_ha_first",
        needs: BOTH,
        seconds: 90,
        tell: |stage| whole_life(stage, Host::Node1, v3_unicast),
    },
    Story { name: "mixed_tie_ha_has_the_higher_address", needs: FILTERED, seconds: 60, tell: ha_wins_the_tie },
    Story { name: "mixed_tie_ha_has_the_lower_address", needs: FILTERED, seconds: 60, tell: ha_loses_the_tie },
    Story { name: "mixed_without_preemption", needs: BOTH, seconds: 60, tell: without_preemption },
    Story {
        name: "mixed_keepalived_killed_leaves_its_address",
        needs: BOTH,
        seconds: 60,
        tell: keepalived_leaves_its_address,
    },
    Story {
        name: "mixed_ha_stops_and_keepalived_takes_over_without_a_gap",
        needs: BOTH,
        seconds: 60,
        tell: no_gap_towards_keepalived,
    },
];

fn v2(node: Host) -> Setup {
    Setup::founding(node)
}

fn v3(node: Host) -> Setup {
    Setup::founding(node).version3(Duration::from_millis(200))
}

fn unicast(node: Host) -> Setup {
    Setup { unicast: true, ..Setup::founding(node) }
}

fn v3_unicast(node: Host) -> Setup {
    Setup { unicast: true, ..v3(node) }
}

fn start(stage: &Stage, node: Host, ha_on: Host, setup: fn(Host) -> Setup) -> Daemon {
    if node == ha_on { stage.ha(node, &setup(node)) } else { stage.keepalived(node, &setup(node)) }
}

/// Election, preemption, orderly stop of either (priority 0), and back: never two for longer than a handover.
fn whole_life(stage: &Stage, ha_on: Host, setup: fn(Host) -> Setup) {
    let begin = Instant::now();
    let down = setup(Host::Node2).advertise * 3 + Duration::from_secs(1);
    let node2 = start(stage, Host::Node2, ha_on, setup);
    stage.held_by(&[Host::Node2], 15);
    let node1 = start(stage, Host::Node1, ha_on, setup);
    stage.held_by(&[Host::Node1], 15);
    pass(Duration::from_secs(2));
    assert_eq!(stage.holders(), [Host::Node1], "a backup stays backup");

    let stopped = node1.terminate().unwrap();
    let taken = stage.held_by(&[Host::Node2], 15);
    let late = taken.saturating_duration_since(stopped);
    assert!(late < down, "priority 0 hands over sooner than silence: {late:?}");
    assert!(stage.capture.priorities(Host::Node1, stopped, Instant::now()).contains(&0));
    drop(node1);

    let node1 = start(stage, Host::Node1, ha_on, setup);
    stage.held_by(&[Host::Node1], 15);
    node2.terminate().unwrap();
    pass(Duration::from_secs(2));
    assert_eq!(stage.holders(), [Host::Node1], "the end of a backup is no event");
    let two = stage.observer.two_holders(begin, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
    drop((node1, node2));
}

/// Equal priorities, and keepalived usurps because it hears nothing for a while: the higher address has to win.
fn usurp(stage: &Stage, ha_on: Host) -> [Daemon; 2] {
    let equal = |node| Setup { priority: 100, ..Setup::founding(node) };
    let ha = stage.ha(ha_on, &equal(ha_on));
    stage.held_by(&[ha_on], 15);
    let keepalived = stage.keepalived(ha_on.peer(), &equal(ha_on.peer()));
    pass(Duration::from_secs(5));
    assert_eq!(stage.holders(), [ha_on], "equal is not higher");
    stage.world.filter(&[Silence { from: ha_on, to: ha_on.peer() }]).unwrap();
    pass(Duration::from_secs(5));
    stage.world.filter(&[]).unwrap();
    [ha, keepalived]
}

fn ha_wins_the_tie(stage: &Stage) {
    let _pair = usurp(stage, Host::Node2);
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_secs(3));
    assert_eq!(stage.holders(), [Host::Node2]);
}

fn ha_loses_the_tie(stage: &Stage) {
    let _pair = usurp(stage, Host::Node1);
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_secs(3));
    assert_eq!(stage.holders(), [Host::Node2]);
}

fn without_preemption(stage: &Stage) {
    let setup = |node| Setup { preempt: false, ..Setup::founding(node) };
    let keepalived = stage.keepalived(Host::Node2, &setup(Host::Node2));
    stage.held_by(&[Host::Node2], 15);
    let _ha = stage.ha(Host::Node1, &setup(Host::Node1));
    pass(Duration::from_secs(6));
    assert_eq!(stage.holders(), [Host::Node2]);
    keepalived.terminate().unwrap();
    stage.held_by(&[Host::Node1], 10);
}

/// R7: its kernel goes on answering. We stay backup and say so, until it lets go.
fn keepalived_leaves_its_address(stage: &Stage) {
    let mut keepalived = stage.keepalived(Host::Node1, &v2(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    let ha = stage.ha(Host::Node2, &v2(Host::Node2));
    pass(Duration::from_secs(2));
    let killed = keepalived.kill();
    stage.says(&ha, "conflict", 15);
    pass(Duration::from_secs(3));
    let two = stage.observer.two_holders(killed, Instant::now());
    assert_eq!(two, Duration::ZERO, "the address is still answered, it must not be taken");
    stage.world.delete_service_address(Host::Node1).unwrap();
    stage.held_by(&[Host::Node2], 10);
}

fn no_gap_towards_keepalived(stage: &Stage) {
    let _keepalived = stage.keepalived(Host::Node2, &v2(Host::Node2));
    stage.held_by(&[Host::Node2], 15);
    let ha = stage.ha(Host::Node1, &v2(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    pass(Duration::from_secs(2));
    let client = stage.client();
    pass(Duration::from_millis(500));
    let stopped = ha.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_millis(500));
    let record = client.stop();
    assert_eq!(record.last_answer_by(), Some(Host::Node2));
    let outage = record.outage(stopped, Instant::now());
    assert!(outage.never_answered == 0, "{outage:?}");
}
