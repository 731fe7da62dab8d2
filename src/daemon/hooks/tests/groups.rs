//! Programs that are told of groups.

use super::*;

const GROUP: &str = "[instance.VI_2]\ninterface = \"eth1\"\nvirtual_router_id = 52\naddresses = [\"192.168.1.60/24\"]\n\
                     [group.G1]\ninstances = [\"VI_1\", \"VI_2\"]\nnotify.run = [\"/g\"]\nnotify.master = [\"/m\", \"x\"]\n\
                     notify.stop = [\"/s\"]\n";

fn becomes(stage: &Stage, instance: &str, to: Role) -> Option<Moved> {
    let event = Event::Transition { from: Role::Backup, to, reason: "so it is".to_owned() };
    stage.hooks.happened(&Journal { at: Instant::ZERO, instance: instance.to_owned(), event })
}

#[tokio::test]
async fn a_group_is_told_of_when_every_member_has_come_to_a_state() {
    let mut stage = Stage::with(&[], GROUP);
    assert_eq!(becomes(&stage, "VI_1", Role::Backup), None);
    let moved = becomes(&stage, "VI_2", Role::Backup).unwrap();
    assert_eq!((moved.from, moved.to, moved.instances.len()), (None, Role::Backup, 2));
    assert_eq!(stage.next().await, "/g GROUP G1 BACKUP 0");
    // One that goes and comes back while the other stays has moved nothing.
    assert_eq!(becomes(&stage, "VI_2", Role::Master), None);
    assert_eq!(becomes(&stage, "VI_2", Role::Backup), None);
    assert_eq!(becomes(&stage, "VI_1", Role::Master), None);
    assert_eq!(becomes(&stage, "VI_2", Role::Master).map(|moved| moved.from), Some(Some(Role::Backup)));
    assert_eq!(stage.next().await, "/m x");
    assert_eq!(stage.next().await, "/g GROUP G1 MASTER 0");
}

#[tokio::test]
async fn that_the_daemon_stops_is_told_once_and_is_no_fault() {
    let mut stage = Stage::with(&[], GROUP);
    for name in ["VI_1", "VI_2"] {
        becomes(&stage, name, Role::Master);
    }
    stage.hooks.leave();
    stage.hooks.leave();
    for name in ["VI_1", "VI_2"] {
        assert_eq!(becomes(&stage, name, Role::Fault), None);
    }
    stage.hooks.stop(PATIENCE).await;
    let mut told = Vec::new();
    while let Ok(line) = stage.done.try_recv() {
        told.push(line);
    }
    told.retain(|line| !line.contains("MASTER") && line != "/m x");
    assert_eq!(told, ["/s", "/g GROUP G1 STOP 0"]);
}
