//! service: a systemd of our own at the end of a Unix socket, and no systemd at all.

use std::{
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use ha::policy::action::{Performed, ServiceVerb};
use ha::policy::probe::{ErrorKind, Field, ProbeKind, ProbeOutcome, ProbeRequest, ServiceRequest};
use tokio::runtime::Runtime;
use zbus::{Connection, Guid, OwnedObjectPath, connection::Builder, fdo, interface};

use super::{World, assert_outcome, assert_took, request, text};

/// What the bus itself is asked for.
struct FakeBus;

#[interface(name = "org.freedesktop.DBus")]
impl FakeBus {
    fn hello(&self) -> String {
        ":1.1".to_owned()
    }
}

/// Its jobs take three looks to be done, except that of a stop.
struct FakeManager {
    nginx: FakeUnit,
    looks: Arc<Mutex<u32>>,
}

impl FakeManager {
    fn job(&self, state: [&'static str; 3], looks: u32) -> OwnedObjectPath {
        *self.nginx.0.lock().unwrap() = state;
        *self.looks.lock().unwrap() = looks;
        OwnedObjectPath::try_from("/job").unwrap()
    }
}

struct FakeJob(Arc<Mutex<u32>>);

#[interface(name = "org.freedesktop.systemd1.Job")]
impl FakeJob {
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        let mut left = self.0.lock().unwrap();
        *left = left.checked_sub(1).ok_or_else(|| fdo::Error::UnknownObject("no such job".to_owned()))?;
        Ok("running".to_owned())
    }
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl FakeManager {
    fn load_unit(&self, name: &str) -> fdo::Result<OwnedObjectPath> {
        let path = match name {
            "nginx.service" => "/unit/nginx",
            "hang.service" => {
                std::thread::sleep(Duration::from_secs(3));
                "/unit/gone"
            }
            "secret.service" => return Err(fdo::Error::AccessDenied("not for you".to_owned())),
            _ => "/unit/gone",
        };
        Ok(OwnedObjectPath::try_from(path).unwrap())
    }

    fn start_unit(&self, _name: &str, _mode: &str) -> OwnedObjectPath {
        self.job(["failed", "failed", "loaded"], 3)
    }

    fn stop_unit(&self, _name: &str, _mode: &str) -> OwnedObjectPath {
        self.job(["inactive", "dead", "loaded"], 0)
    }

    fn restart_unit(&self, _name: &str, mode: &str) -> OwnedObjectPath {
        assert_eq!(mode, "replace");
        self.job(["active", "running", "loaded"], 3)
    }

    fn reload_unit(&self, _name: &str, _mode: &str) -> fdo::Result<OwnedObjectPath> {
        Err(fdo::Error::AccessDenied("not for you".to_owned()))
    }
}

/// `ActiveState`, `SubState`, `LoadState`.
#[derive(Clone)]
struct FakeUnit(Arc<Mutex<[&'static str; 3]>>);

impl FakeUnit {
    fn new(state: [&'static str; 3]) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    fn get(&self, at: usize) -> String {
        self.0.lock().unwrap().get(at).copied().unwrap_or_default().to_owned()
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl FakeUnit {
    #[zbus(property)]
    fn active_state(&self) -> String {
        self.get(0)
    }
    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.get(1)
    }
    #[zbus(property)]
    fn load_state(&self) -> String {
        self.get(2)
    }
    #[zbus(property)]
    fn state_change_timestamp_monotonic(&self) -> u64 {
        1
    }
}

struct FakeService;

#[interface(name = "org.freedesktop.systemd1.Service")]
impl FakeService {
    #[zbus(property, name = "NRestarts")]
    fn n_restarts(&self) -> u32 {
        2
    }
}

/// A bus with a systemd on it, for as long as it lives.
struct Systemd {
    nginx: FakeUnit,
    connections: Arc<Mutex<Vec<Connection>>>,
    _runtime: Runtime,
}

impl Systemd {
    fn at(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let nginx = FakeUnit::new(["active", "running", "loaded"]);
        let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let runtime = Runtime::new().unwrap();
        let (unit, kept) = (nginx.clone(), Arc::clone(&connections));
        runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = serve(stream.into_std().unwrap(), unit.clone()).await.unwrap();
                kept.lock().unwrap().push(connection);
            }
        });
        Self { nginx, connections, _runtime: runtime }
    }

    fn hang_up(&self) {
        self.connections.lock().unwrap().clear();
    }
}

async fn serve(stream: std::os::unix::net::UnixStream, nginx: FakeUnit) -> zbus::Result<Connection> {
    let looks: Arc<Mutex<u32>> = Arc::default();
    Builder::unix_stream(stream)
        .server(Guid::generate())
        .p2p()
        .serve_at("/org/freedesktop/DBus", FakeBus)
        .serve_at("/org/freedesktop/systemd1", FakeManager { nginx: nginx.clone(), looks: Arc::clone(&looks) })
        .serve_at("/job", FakeJob(looks))
        .serve_at("/unit/nginx", nginx)
        .serve_at("/unit/nginx", FakeService)
        .serve_at("/unit/gone", FakeUnit::new(["inactive", "dead", "not-found"]))
        .build()
        .await
}

fn bus_at(path: &Path) -> World {
    World::with_bus(&format!("unix:path={}", path.display()))
}

fn probe(world: &World, unit: &str) -> ProbeOutcome {
    let timeout = Duration::from_secs(1);
    world.probe(&ProbeRequest { timeout, ..request(ProbeKind::Service(ServiceRequest { unit: unit.to_owned() })) })
}

#[test]
fn an_active_unit_is_ok_and_tells_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let systemd = Systemd::at(&path);
    let world = bus_at(&path);
    for name in ["nginx", "nginx.service"] {
        let outcome = probe(&world, name);
        assert_outcome(&outcome, true, ErrorKind::None, "active (running)");
        assert_eq!(outcome.fields["active"], Field::Bool(true));
        assert_eq!((text(&outcome, "state"), text(&outcome, "sub")), ("active".to_owned(), "running".to_owned()));
        assert_eq!(outcome.fields["restarts"], Field::Int(2));
        assert!(matches!(outcome.fields["since"], Field::Float(since) if since > 0.0));
    }
    assert_eq!(systemd.connections.lock().unwrap().len(), 1, "one connection, kept");
}

#[test]
fn a_unit_in_another_state_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let systemd = Systemd::at(&path);
    let world = bus_at(&path);
    for (state, ok, why) in [
        (["reloading", "reload", "loaded"], true, "reloading (reload)"),
        (["failed", "failed", "loaded"], false, "failed (failed)"),
        (["activating", "start-pre", "loaded"], false, "activating (start-pre)"),
        (["inactive", "dead", "masked"], false, "unit nginx.service is masked"),
        (["inactive", "dead", "bad-setting"], false, "unit nginx.service is not loaded: bad-setting"),
    ] {
        *systemd.nginx.0.lock().unwrap() = state;
        let error = if ok { ErrorKind::None } else { ErrorKind::Mismatch };
        assert_outcome(&probe(&world, "nginx"), ok, error, why);
    }
}

#[test]
fn a_unit_that_does_not_exist_is_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _systemd = Systemd::at(&path);
    let outcome = probe(&bus_at(&path), "ngnix");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "unit ngnix.service is not loaded");
    assert_eq!(outcome.fields["active"], Field::Bool(false));
}

#[test]
fn a_broken_connection_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let systemd = Systemd::at(&path);
    let world = bus_at(&path);
    assert!(probe(&world, "nginx").ok);
    systemd.hang_up();
    assert_outcome(&probe(&world, "nginx"), true, ErrorKind::None, "active (running)");
}

#[test]
fn a_systemd_that_refuses_or_hangs_says_nothing_about_the_unit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let _systemd = Systemd::at(&path);
    let world = bus_at(&path);
    assert_outcome(&probe(&world, "secret"), false, ErrorKind::Denied, "systemd refuses: not for you");
    let outcome = probe(&world, "hang");
    assert_outcome(&outcome, false, ErrorKind::Internal, "systemd does not answer: timeout after 1s");
    assert_took(&outcome, Duration::from_secs(1));
    assert_eq!(outcome.fields["active"], Field::Unit);
}

#[test]
fn without_a_bus_the_probe_is_blind_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let outcome = probe(&bus_at(&path), "nginx");
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Internal, true), "{outcome:?}");
    assert!(outcome.why.starts_with("no way to systemd on unix:path="), "{}", outcome.why);

    let _systemd = Systemd::at(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::os::unix::net::UnixStream::connect(&path).is_ok() {
        eprintln!("skipped in part: this process may connect to what it may not");
        return;
    }
    let outcome = probe(&bus_at(&path), "nginx");
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Denied, true), "{outcome:?}");
}

#[test]
fn a_unit_is_acted_on_and_the_end_of_the_job_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bus");
    let systemd = Systemd::at(&path);
    let world = bus_at(&path);
    let act = |verb, unit: &str| world.prober.act_on_unit(verb, unit, Duration::from_secs(2));
    *systemd.nginx.0.lock().unwrap() = ["failed", "failed", "loaded"];
    for (verb, expected) in [
        (ServiceVerb::Restart, Performed::done("active (running)")),
        (ServiceVerb::Stop, Performed::done("inactive (dead)")),
        (ServiceVerb::Start, Performed::failed("failed (failed)")),
        (ServiceVerb::Reload, Performed::failed("systemd refuses: not for you")),
    ] {
        assert_eq!(act(verb, "nginx"), expected, "{verb:?}");
    }
    assert_eq!(act(ServiceVerb::Restart, "ngnix"), Performed::failed("unit ngnix.service is not loaded"));
    let late = world.prober.act_on_unit(ServiceVerb::Restart, "hang", Duration::from_millis(200));
    assert!(!late.ok && late.why.starts_with("hang.service is not done yet"), "{late:?}");
    let nowhere =
        bus_at(&dir.path().join("none")).prober.act_on_unit(ServiceVerb::Stop, "nginx", Duration::from_secs(1));
    assert!(nowhere.why.starts_with("no way to systemd on unix:path="), "{nowhere:?}");
}
