//! The daemon dies, freezes, or is taken apart: the address is a lease, and there are never two holders for long.

use std::{
    os::unix::process::ExitStatusExt as _,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup, capture::What, fault::Silence, memory::Memory, world::SERVICE_ADDRESS};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    Need, Story,
    stage::{A_FEW, A_HANDOVER, HA, Stage, pass, random_phase, repetitions, wait_until},
};

pub(crate) const STORIES: [Story; 20] = [
    Story { name: "crash_sigkill_of_everything", needs: &[], seconds: 120, tell: sigkill_of_everything },
    Story { name: "crash_sigkill_of_the_daemon", needs: &[], seconds: 60, tell: sigkill_of_the_daemon },
    Story { name: "crash_out_of_memory", needs: &[Need::Memory], seconds: 60, tell: out_of_memory },
    Story { name: "crash_sigstop", needs: &[], seconds: 900, tell: sigstop },
    Story {
        name: "crash_sigstop_beside_keepalived",
        needs: &[Need::Keepalived],
        seconds: 900,
        tell: sigstop_beside_keepalived,
    },
    Story { name: "crash_sigstop_beside_a_hasty_peer", needs: &[], seconds: 900, tell: sigstop_beside_a_hasty_peer },
    Story {
        name: "crash_sigstop_beside_a_foreign_lifetime",
        needs: &[],
        seconds: 900,
        tell: sigstop_beside_a_foreign_lifetime,
    },
    Story { name: "crash_of_the_keeper", needs: &[], seconds: 60, tell: keeper_killed_after_an_upgrade },
    Story { name: "crash_sigstop_behind_a_gate", needs: &[], seconds: 60, tell: sigstop_behind_a_gate },
    Story { name: "crash_sigstop_of_the_backup", needs: &[], seconds: 60, tell: sigstop_of_the_backup },
    Story { name: "stop_without_a_lost_packet", needs: &[], seconds: 60, tell: stop_without_a_lost_packet },
    Story { name: "stop_alone_lets_go", needs: &[], seconds: 60, tell: stop_alone_lets_go },
    Story { name: "silence_both_ways", needs: &[Need::Nft], seconds: 90, tell: silence_both_ways },
    Story {
        name: "silence_backup_deaf",
        needs: &[Need::Nft],
        seconds: 90,
        tell: |stage| silence_one_way(stage, Host::Node1),
    },
    Story {
        name: "silence_master_deaf",
        needs: &[Need::Nft],
        seconds: 90,
        tell: |stage| silence_one_way(stage, Host::Node2),
    },
    Story { name: "address_deleted_by_hand", needs: &[], seconds: 60, tell: address_deleted_by_hand },
    Story { name: "address_deleted_again_and_again", needs: &[], seconds: 90, tell: address_keeps_vanishing },
    Story { name: "interface_down_and_up", needs: &[], seconds: 60, tell: interface_down_and_up },
    Story { name: "interface_gone_and_back", needs: &[], seconds: 60, tell: interface_gone_and_back },
    Story { name: "interface_missing_at_start", needs: &[], seconds: 60, tell: interface_missing_at_start },
];

fn pair(stage: &Stage) -> [Daemon; 2] {
    stage.pair(Setup::founding)
}

fn sigkill_of_everything(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    for _ in 0..repetitions(2) {
        pass(random_phase());
        let killed = node1.kill();
        let taken = stage.held_by(&[Host::Node2], 10);
        let two = stage.observer.two_holders(killed, taken + Duration::from_millis(100));
        assert!(two < A_HANDOVER, "two holders for {two:?}");
        node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
        stage.held_by(&[Host::Node1], 15);
        pass(Duration::from_secs(2));
    }
}

/// The keeper lets go of the address and resigns: the peer need not wait for silence.
fn sigkill_of_the_daemon(stage: &Stage) {
    let [mut node1, node2] = pair(stage);
    pass(Duration::from_secs(1));
    let killed = node1.kill_alone();
    stage.held_by(&[Host::Node2], 10);
    stage.leads_after_a_resignation(&node2);
    let two = stage.observer.two_holders(killed, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
}

/// The kernel's own OOM killer takes the daemon, the unit's memory being used up; the keeper lives there, too, and does its part.
fn out_of_memory(stage: &Stage) {
    let [mut node1, node2] = pair(stage);
    pass(Duration::from_secs(1));
    let [daemon, keeper] = node1.process().family()[..] else { panic!("{:?}", node1.process().family()) };
    let memory = Memory::bounded().unwrap();
    memory.admit(&[daemon, keeper]).unwrap();
    let began = Instant::now();
    assert!(memory.exhaust(daemon).unwrap() >= 1, "the kernel ended nobody");
    let ended = node1.process().wait(Duration::from_secs(10)).unwrap();
    assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32), "{ended:?}");
    stage.held_by(&[Host::Node2], 10);
    stage.leads_after_a_resignation(&node2);
    let two = stage.observer.two_holders(began, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
}

/// The keeper is killed while nothing changes, and the program on the disk is another one meanwhile: the daemon has a keeper
/// again, of its own version, that knows what to do.
fn keeper_killed_after_an_upgrade(stage: &Stage) {
    let node1 = Host::Node1;
    let directory = stage.world.directory(node1).unwrap();
    let (program, upgrade) = (directory.join("ha"), directory.join("upgrade"));
    std::fs::copy(HA, &program).unwrap();
    let setup = |node| Setup::founding(node).toml(node);
    let mut daemon = Daemon::ha(&stage.world, node1, &program, &setup(node1), &[]).unwrap();
    let peer = stage.ha(Host::Node2, &Setup::founding(Host::Node2));
    stage.held_by(&[node1], 20);
    pass(Duration::from_secs(2));
    std::fs::write(&upgrade, "not a program").unwrap();
    std::fs::rename(&upgrade, &program).unwrap();
    let [pid, keeper] = daemon.process().family()[..] else { panic!("{:?}", daemon.process().family()) };
    kill(Pid::from_raw(keeper), Signal::SIGKILL).unwrap();
    wait_until("another keeper", Duration::from_secs(10), || {
        daemon.process().family().iter().any(|other| ![pid, keeper].contains(other))
    });
    assert!(daemon.log().contains("the keeper process has ended"), "{}", daemon.log());
    pass(Duration::from_secs(1));
    daemon.kill_alone();
    stage.held_by(&[Host::Node2], 10);
    // The new keeper does what the old one would have done.
    stage.leads_after_a_resignation(&peer);
}

fn sigstop(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    freeze_and_thaw(stage, &mut node1);
}

fn sigstop_beside_keepalived(stage: &Stage) {
    let _node2 = stage.keepalived(Host::Node2, &Setup::founding(Host::Node2));
    stage.held_by(&[Host::Node2], 15);
    let mut node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    freeze_and_thaw(stage, &mut node1);
}

/// With 100 ms the kernel's lease is far too long, but the gate is shut in time: the peer finds nobody who answers, and takes
/// over while the frozen kernel still has the address.
fn sigstop_behind_a_gate(stage: &Stage) {
    let gated = |node| Setup::founding(node).version3(Duration::from_millis(100)).toml(node) + "gate = true\n";
    let mut node1 = stage.ha_with(Host::Node1, &gated(Host::Node1), &[]);
    let _node2 = stage.ha_with(Host::Node2, &gated(Host::Node2), &[]);
    stage.held_by(&[Host::Node1], 15);
    let client = stage.client();
    pass(Duration::from_secs(2));
    let outage = client.stop().outage(Instant::now() - Duration::from_secs(2), Instant::now());
    assert!(outage.never_answered <= A_FEW, "an open gate loses nothing: {outage:?}");
    let frozen = node1.freeze();
    wait_until("node2 takes it", Duration::from_secs(5), || stage.observer.first(Host::Node2, true, frozen).is_some());
    let taken = stage.observer.first(Host::Node2, true, frozen).unwrap();
    let dropped = stage.observer.first(Host::Node1, false, frozen);
    assert!(dropped.is_none_or(|dropped| taken < dropped), "it waited until the kernel dropped the address");
    pass(Duration::from_secs(3));
    // Node2 asked, again and again, before it took it; the client asks whoever may have it.
    let late = stage.capture.from(Host::Node1, frozen + Duration::from_millis(350), Instant::now());
    let answers = late.iter().filter(|frame| frame.what == What::ArpReply(SERVICE_ADDRESS)).count();
    assert_eq!(answers, 0, "a frozen master answered behind its gate");
    node1.thaw();
    stage.held_by(&[Host::Node1], 15);
}

/// The shortest skew there is: the peer's priority is 254, and it does not preempt.
fn sigstop_beside_a_hasty_peer(stage: &Stage) {
    let hasty = Setup { priority: 254, preempt: false, ..Setup::founding(Host::Node2) };
    let mut node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    for _ in 0..repetitions(2) {
        let node2 = stage.ha(Host::Node2, &hasty);
        pass(random_phase() + Duration::from_secs(3));
        let frozen = node1.freeze();
        pass(Duration::from_secs(6));
        assert_eq!(stage.holders(), [Host::Node2], "frozen for 6 s");
        node1.thaw();
        pass(Duration::from_secs(4));
        assert_eq!(stage.holders(), [Host::Node2], "the other one serves");
        let two = stage.observer.two_holders(frozen, Instant::now());
        assert!(two < A_HANDOVER, "two holders for {two:?}");
        node2.terminate().unwrap();
        stage.held_by(&[Host::Node1], 15);
    }
}

/// Somebody renews another address ten times a second: the kernel then looks for expired ones later than usual.
fn sigstop_beside_a_foreign_lifetime(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                stage
                    .world
                    .rtnl(Host::Node1)
                    .add_address("eth0", std::net::Ipv4Addr::new(10, 9, 9, 9), 32, Some(2))
                    .unwrap();
                pass(Duration::from_millis(100));
            }
        });
        let told = catch_unwind(AssertUnwindSafe(|| freeze_and_thaw(stage, &mut node1)));
        over.store(true, Ordering::Relaxed);
        told.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

fn freeze_and_thaw(stage: &Stage, node1: &mut Daemon) {
    for _ in 0..repetitions(2) {
        pass(random_phase() + Duration::from_secs(1));
        let frozen = node1.freeze();
        pass(Duration::from_secs(6));
        assert_eq!(stage.holders(), [Host::Node2], "frozen for 6 s");
        let two = stage.observer.two_holders(frozen, Instant::now());
        assert!(two < A_HANDOVER, "two holders for {two:?} while frozen");
        let thawed = node1.thaw();
        stage.held_by(&[Host::Node1], 15);
        pass(Duration::from_secs(1));
        let two = stage.observer.two_holders(thawed, Instant::now());
        assert!(two < A_HANDOVER, "two holders for {two:?} after the thaw");
        let said = stage.capture.priorities(Host::Node1, thawed, thawed + Duration::from_millis(100));
        assert!(said.len() <= 3, "{} advertisements in the first 100 ms after the thaw", said.len());
    }
}

/// A backup that wakes up with advertisements in its socket stays backup.
fn sigstop_of_the_backup(stage: &Stage) {
    let [_node1, mut node2] = pair(stage);
    pass(Duration::from_secs(1));
    let begin = Instant::now();
    node2.freeze();
    pass(Duration::from_secs(6));
    node2.thaw();
    pass(Duration::from_secs(4));
    let taken = stage.observer.first(Host::Node2, true, begin);
    assert_eq!(taken, None, "it usurped");
}

fn stop_without_a_lost_packet(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    pass(Duration::from_secs(2));
    let client = stage.client();
    pass(Duration::from_millis(500));
    let stopped = node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_millis(500));
    let record = client.stop();
    assert_eq!(record.last_answer_by(), Some(Host::Node2));
    let outage = record.outage(stopped, Instant::now());
    assert!(outage.never_answered == 0, "{outage:?}");
}

fn stop_alone_lets_go(stage: &Stage) {
    let mut node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    node1.terminate().unwrap();
    stage.held_by(&[], 10);
    let status = node1.process().wait(Duration::from_secs(10)).unwrap();
    assert!(status.success(), "{status}");
}

/// S13 without its multicast part: nothing of protocol 112 passes, everything else does.
fn silence_both_ways(stage: &Stage) {
    let [_node1, node2] = pair(stage);
    pass(Duration::from_secs(2));
    let [there, back] = [Host::Node1, Host::Node2].map(|from| Silence { from, to: from.peer() });
    let cut = stage.world.filter(&[there, back]).unwrap();
    stage.says(&node2, "conflict", 15);
    pass(Duration::from_secs(8));
    let two = stage.observer.two_holders(cut, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
    assert_eq!(stage.holders().len(), 1, "the address is somewhere");
    stage.world.filter(&[]).unwrap();
    stage.held_by(&[Host::Node1], 15);
}

/// One hears nothing of the other: the address stays where it is answered.
fn silence_one_way(stage: &Stage, from: Host) {
    let _pair = pair(stage);
    pass(Duration::from_secs(2));
    let cut = stage.world.filter(&[Silence { from, to: from.peer() }]).unwrap();
    pass(Duration::from_secs(10));
    let two = stage.observer.two_holders(cut, Instant::now());
    assert!(two < A_HANDOVER, "two holders for {two:?}");
    assert_eq!(stage.holders().len(), 1);
    stage.world.filter(&[]).unwrap();
    stage.held_by(&[Host::Node1], 15);
}

fn address_deleted_by_hand(stage: &Stage) {
    let _pair = pair(stage);
    pass(Duration::from_secs(2));
    let deleted = stage.world.delete_service_address(Host::Node1).unwrap();
    wait_until("the address is put back", Duration::from_secs(2), || {
        stage
            .observer
            .first(Host::Node1, false, deleted)
            .is_some_and(|gone| stage.observer.first(Host::Node1, true, gone).is_some())
    });
    pass(Duration::from_secs(2));
    let nobody = stage.observer.no_holder(deleted, Instant::now());
    assert!(nobody < A_HANDOVER, "put back, not elected anew: nobody for {nobody:?}");
    assert_eq!(stage.observer.first(Host::Node2, true, deleted), None, "no reason for the peer to take over");
}

/// R11: five times in a minute is somebody else's will.
fn address_keeps_vanishing(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    pass(Duration::from_secs(2));
    for _ in 0..5 {
        let Ok(deleted) = stage.world.delete_service_address(Host::Node1) else { break };
        pass(Duration::from_millis(600));
        if stage.observer.first(Host::Node1, true, deleted).is_none() {
            break;
        }
    }
    stage.held_by(&[Host::Node2], 10);
    wait_until("fault", Duration::from_secs(5), || stage.state(&node1).as_deref() == Some("fault"));
}

fn interface_down_and_up(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    pass(Duration::from_secs(1));
    stage.world.interface_up(Host::Node1, false).unwrap();
    stage.held_by(&[Host::Node2], 10);
    wait_until("fault", Duration::from_secs(5), || stage.state(&node1).as_deref() == Some("fault"));
    stage.world.interface_up(Host::Node1, true).unwrap();
    stage.held_by(&[Host::Node1], 20);
}

fn interface_gone_and_back(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    pass(Duration::from_secs(1));
    stage.world.delete_interface(Host::Node1).unwrap();
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_secs(2));
    assert!(node1.process().exited().unwrap().is_none(), "it waits");
    stage.world.recreate_interface(Host::Node1).unwrap();
    stage.held_by(&[Host::Node1], 20);
}

fn interface_missing_at_start(stage: &Stage) {
    stage.world.delete_interface(Host::Node1).unwrap();
    let mut node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
    stage.says(&node1, "waiting", 10);
    assert!(node1.process().exited().unwrap().is_none(), "it waits");
    stage.world.recreate_interface(Host::Node1).unwrap();
    stage.held_by(&[Host::Node1], 20);
}
