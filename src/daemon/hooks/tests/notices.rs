//! Programs that are told of transitions: in order, one at a time, and the last role always.

use super::*;

const RUN: &str = "notify.run = [\"/n\"]\n";

fn status_of(stage: &Stage, role: Role) {
    stage.status.send_modify(|status| Arc::make_mut(status).instances[0].role = role);
}

#[tokio::test]
async fn programs_are_told_one_at_a_time_and_the_last_role_always() {
    let mut stage = Stage::with(&[], "notify.run = [\"/wait\"]\nnotify.backup = [\"/b\", \"x\"]\n");
    stage.becomes(Role::Master, "leads");
    assert_eq!(stage.next().await, "/wait INSTANCE VI_1 MASTER 100");
    for role in [Role::Backup, Role::Master, Role::Fault, Role::Backup] {
        status_of(&stage, role);
        stage.becomes(role, "so it is");
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(stage.done.try_recv().is_err(), "one at a time");
    stage.open();
    assert_eq!(stage.next().await, "/b x");
    assert_eq!(stage.next().await, "/wait INSTANCE VI_1 BACKUP 100");
    // It is counted once it has ended.
    while stage.hooks.tally("VI_1").is_none_or(|tally| tally.ran < 3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let tally = stage.hooks.tally("VI_1").unwrap();
    assert_eq!((tally.ran, tally.failed, tally.replaced), (3, 0, 3));
}

/// A role nobody wants to be told of makes what waits untrue all the same.
#[tokio::test]
async fn what_is_not_true_any_more_is_not_told() {
    let mut stage = Stage::with(&[], "notify.master = [\"/m\"]\nnotify.fault = [\"/wait\"]\n");
    stage.becomes(Role::Fault, "broken");
    assert_eq!(stage.next().await, "/wait");
    stage.becomes(Role::Master, "leads");
    stage.becomes(Role::Backup, "does not");
    stage.open();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stage.hooks.stop(PATIENCE).await;
    assert!(stage.done.try_recv().is_err(), "it is no master");
}

#[tokio::test]
async fn a_program_that_fails_is_an_alarm_until_it_succeeds() {
    let mut stage = Stage::with(&[], "notify.run = [\"/fails\"]\n");
    stage.becomes(Role::Master, "leads");
    let (began, condition) = stage.alarm().await;
    assert!(began && condition.name == "notify_failed", "{condition:?}");
    assert_eq!(
        condition.text,
        "notify.run: /fails INSTANCE VI_1 MASTER 100: exit code 1, wanted 0. The address is not affected; once that is \
         mended it is told of the next transition"
    );
    let text = "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
                addresses = [\"192.168.0.60/24\"]\nnotify.run = [\"/n\"]\n";
    let mended = config::parse(text, Path::new("/etc/ha/ha.toml"), &config::Facts::default()).unwrap().config;
    stage.hooks.reconfigure(&mended);
    stage.becomes(Role::Master, "leads");
    assert_eq!(stage.alarm().await, (false, condition));
    let tally = stage.hooks.tally("VI_1").unwrap();
    assert_eq!((tally.ran, tally.failed), (2, 1));
}

/// R18: while the address is there, and once.
#[tokio::test]
async fn r18_that_the_daemon_stops_is_told_before_the_release() {
    let mut stage = Stage::with(&[], RUN);
    assert_eq!(stage.release().await, ReleaseHook::Present);
    stage.hooks.before_release("VI_1", "maintenance", FIRST);
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: FIRST }, "the daemon does not stop");
    stage.hooks.leave();
    stage.hooks.before_release("VI_1", "the daemon stops", SECOND);
    assert_eq!(stage.next().await, "/n INSTANCE VI_1 STOP 100");
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: SECOND });
    stage.becomes(Role::Fault, "stopped by its operator");
    stage.is_over().await;
}

#[tokio::test]
async fn a_backup_is_told_of_the_end_too() {
    let mut stage = Stage::with(&[], RUN);
    stage.hooks.leave();
    stage.becomes(Role::Fault, "stopped by its operator");
    stage.hooks.stop(PATIENCE).await;
    assert_eq!(stage.next().await, "/n INSTANCE VI_1 STOP 100");
    assert!(stage.done.try_recv().is_err());
}

#[tokio::test]
async fn an_instance_that_is_taken_away_is_told_as_a_fault_or_as_deleted() {
    for (settings, told) in [
        ("notify.run = [\"/n\"]\nnotify.fault = [\"/f\"]\n", ["/f", "/n INSTANCE VI_1 FAULT 100"]),
        (
            "notify.run = [\"/n\"]\nnotify.deleted = [\"/d\"]\nnotify.fault = [\"/f\"]\n",
            ["/d", "/n INSTANCE VI_1 DELETED 100"],
        ),
    ] {
        let mut stage = Stage::with(&[], settings);
        stage.hooks.reconfigure(&without_instances());
        stage.status.send_modify(|status| Arc::make_mut(status).instances.clear());
        stage.becomes(Role::Fault, "removed");
        assert_eq!([stage.next().await, stage.next().await], told);
    }
}

#[tokio::test]
async fn a_lower_priority_is_told_to_whoever_wants_to_know() {
    let mut stage = Stage::with(&[], "notify.run = [\"/n\"]\nnotify.lower_priority = [\"/lower\"]\n");
    stage.becomes(Role::Master, "leads");
    let event = Event::LowerHeard { source: "192.168.0.21".parse().unwrap(), priority: 99 };
    stage.hooks.happened(&Journal { at: Instant::ZERO, instance: "VI_1".to_owned(), event });
    assert_eq!(stage.next().await, "/n INSTANCE VI_1 MASTER 100");
    assert_eq!(stage.next().await, "/lower");
}

/// Another name, and the same virtual router: what waits is told of it as it is called by then, and what runs is waited for.
#[tokio::test]
async fn what_waits_is_told_under_the_new_name_of_its_instance() {
    let settings = "notify.run = [\"/wait\"]\nnotify.stop = [\"/s\"]\n[group.G1]\ninstances = [\"VI_1\", \"VI_2\"]\n\
                    notify.master = [\"/m\"]\n[instance.VI_2]\ninterface = \"eth1\"\nvirtual_router_id = 52\n\
                    addresses = [\"192.168.1.60/24\"]\n";
    let mut stage = Stage::with(&[], settings);
    stage.becomes(Role::Master, "leads");
    assert_eq!(stage.next().await, "/wait INSTANCE VI_1 MASTER 100");
    stage.becomes(Role::Backup, "follows");
    let mut config = stage.config.clone();
    config.instances[0].name = "WEB".to_owned();
    config.groups[0].instances[0] = "WEB".to_owned();
    stage.hooks.rename(&Renames::between(&stage.config.instances, [], &config.instances));
    stage.hooks.reconfigure(&config);
    stage.status.send_modify(|status| {
        let instance = &mut Arc::make_mut(status).instances[0];
        (instance.name, instance.role) = ("WEB".to_owned(), Role::Backup);
    });
    stage.hooks.before_release("WEB", "stop", Instant::ZERO);
    stage.open();
    assert_eq!(stage.next().await, "/wait INSTANCE WEB BACKUP 100");
    while stage.hooks.tally("WEB").is_none_or(|tally| tally.ran < 2) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(stage.hooks.tally("VI_1"), None, "nobody is called so any more");
    let told = |instance: &str| {
        let event = Event::Transition { from: Role::Backup, to: Role::Master, reason: "so it is".to_owned() };
        stage.hooks.happened(&Journal { at: Instant::ZERO, instance: instance.to_owned(), event })
    };
    assert_eq!(told("VI_2"), None);
    assert_eq!(told("WEB").map(|moved| moved.instances), Some(vec!["WEB".to_owned(), "VI_2".to_owned()]));
}
