//! Another process, the same address: what is held is left to the next process under its lease.

use std::{
    fs,
    os::unix::net::UnixListener,
    path::Path,
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use ha::lab::{Daemon, Host, Setup};
use tokio::runtime::Runtime;
use zbus::{Guid, ObjectPath, OwnedObjectPath, connection::Builder, interface};

use crate::{
    Story,
    runner::BUS,
    stage::{HA, Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 3] = [
    Story { name: "restart_moves_nothing", needs: &[], seconds: 90, tell: moves_nothing },
    Story { name: "restart_by_the_service_manager", needs: &[], seconds: 60, tell: by_the_service_manager },
    Story { name: "restart_that_cannot_stay_changes_nothing", needs: &[], seconds: 60, tell: cannot_stay },
];

fn pair(stage: &Stage) -> [Daemon; 2] {
    let pair = stage.pair(Setup::founding);
    pass(Duration::from_secs(1));
    pair
}

fn text(output: &Output) -> String {
    [output.stdout.as_slice(), output.stderr.as_slice()].map(String::from_utf8_lossy).concat()
}

fn pid(stage: &Stage, daemon: &Daemon) -> u64 {
    daemon.status(&stage.world).unwrap()["pid"].as_u64().unwrap()
}

/// `ha restart`, from outside: one of the stage's own programs at a time runs on a machine, and this one waits for others.
fn restart(daemon: &Daemon) -> Output {
    let socket = daemon.directory().join("ha.sock");
    Command::new(HA).arg("restart").arg("--socket").arg(socket).output().unwrap()
}

/// It has ended, and lies there until its owner looks.
fn wait_for_the_end_of(pid: u64) {
    wait_until("the process has ended", Duration::from_secs(5), || {
        fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
    });
}

/// What the unit runs after every end of the daemon.
fn clear_up(stage: &Stage, daemon: &Daemon) -> String {
    let config = daemon.directory().join("ha.toml").display().to_string();
    let arguments = ["release", "--stale", "-c", &config].map(str::to_owned);
    text(&ha::lab::process::output(stage.world.netns(daemon.node()), Path::new(HA), &arguments).unwrap())
}

/// A whole restart with traffic, as a service manager does it; then one that nobody completes.
fn moves_nothing(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let old = pid(stage, &node1);
    let client = stage.client();
    pass(Duration::from_millis(500));
    let begun = Instant::now();
    let (said, again) = thread::scope(|scope| {
        let command = scope.spawn(|| restart(&node1));
        wait_for_the_end_of(old);
        let kept = clear_up(stage, &node1);
        assert!(kept.starts_with("a restart is under way"), "{kept}");
        pass(Duration::from_millis(100));
        let again = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
        (text(&command.join().unwrap()), again)
    });
    let new = pid(stage, &again);
    assert_ne!(old, new);
    assert!(said.contains("leaves its addresses to the next one"), "{said}");
    assert!(said.contains(&format!("process {new} runs and leads VI_1")), "{said}");
    pass(Duration::from_secs(5));
    let record = client.stop();
    assert_eq!(record.outage(begun, Instant::now()).never_answered, 0, "no packet is lost");
    assert_eq!(stage.observer.first(Host::Node2, true, begun), None, "the peer never held it");
    assert_eq!(stage.observer.no_holder(begun, Instant::now()), Duration::ZERO);
    let said = stage.capture.priorities(Host::Node1, begun, Instant::now());
    assert!(!said.contains(&0) && said.contains(&100), "nobody resigned: {said:?}");

    let left = Instant::now();
    thread::scope(|scope| {
        let command = scope.spawn(|| restart(&again));
        stage.held_by(&[Host::Node2], 10);
        let output = command.join().unwrap();
        assert_eq!(output.status.code(), Some(71), "{}", text(&output));
    });
    assert_eq!(stage.observer.two_holders(left, Instant::now()), Duration::ZERO, "its lease ended before");
    let cleared = clear_up(stage, &again);
    assert_eq!(cleared, "nothing was left behind\n");
}

/// SIGTERM is half of a restart where the service manager's job says so, and a stop everywhere else.
fn by_the_service_manager(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let systemd = Systemd::start();
    let old = pid(stage, &node1);
    let begun = node1.terminate().unwrap();
    wait_for_the_end_of(old);
    let node1 = stage.ha(Host::Node1, &Setup::founding(Host::Node1));
    wait_until("it goes on", Duration::from_secs(5), || stage.state(&node1).as_deref() == Some("master"));
    pass(Duration::from_secs(4));
    assert_eq!(stage.observer.first(Host::Node2, true, begun), None, "the peer never held it");
    drop(systemd);
    node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
}

/// With 100 ms the peer would have it before a process has started.
fn cannot_stay(stage: &Stage) {
    let fast = |node| Setup::founding(node).version3(Duration::from_millis(100));
    let node1 = stage.ha(Host::Node1, &fast(Host::Node1));
    stage.held_by(&[Host::Node1], 15);
    let old = pid(stage, &node1);
    let output = restart(&node1);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
    assert!(text(&output).contains("Nothing was done"), "{}", text(&output));
    let config = Setup::founding(Host::Node1).toml(Host::Node1);
    node1.write_config(&config.replace("priority", "priorty")).unwrap();
    let output = restart(&node1);
    assert!(text(&output).contains("the configuration on disk cannot be used"), "{}", text(&output));
    pass(Duration::from_secs(1));
    assert_eq!((pid(stage, &node1), stage.holders()), (old, vec![Host::Node1]));
    assert!(!clear_up(stage, &node1).contains("restart"), "the daemon is alive");
}

/// A bus with a systemd on it that restarts whoever asks.
struct Systemd(Option<Runtime>);

struct Bus;

#[interface(name = "org.freedesktop.DBus")]
impl Bus {
    fn hello(&self) -> String {
        ":1.1".to_owned()
    }
}

struct Manager;

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    #[zbus(name = "GetUnitByPID")]
    fn unit_of(&self, _pid: u32) -> OwnedObjectPath {
        ObjectPath::try_from("/unit").unwrap().into()
    }
}

struct Unit;

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property)]
    fn job(&self) -> (u32, OwnedObjectPath) {
        (7, ObjectPath::try_from("/job").unwrap().into())
    }
}

struct Job;

#[interface(name = "org.freedesktop.systemd1.Job")]
impl Job {
    #[zbus(property)]
    fn job_type(&self) -> String {
        "restart".to_owned()
    }
}

impl Systemd {
    fn start() -> Self {
        let listener = UnixListener::bind(std::env::temp_dir().join(BUS)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            let mut connections = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = Builder::unix_stream(stream.into_std().unwrap())
                    .server(Guid::generate())
                    .p2p()
                    .serve_at("/org/freedesktop/DBus", Bus)
                    .serve_at("/org/freedesktop/systemd1", Manager)
                    .serve_at("/unit", Unit)
                    .serve_at("/job", Job)
                    .build()
                    .await;
                connections.push(connection.unwrap());
            }
        });
        Self(Some(runtime))
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
