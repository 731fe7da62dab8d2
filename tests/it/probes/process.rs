//! process: programs of this test, alive and gone, under every kind of name.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
};

use ha::policy::probe::{ErrorKind, Field, ProbeKind, ProbeOutcome, ProcessRequest};

use super::{World, assert_outcome, request};

fn look(wanted: ProcessRequest) -> ProbeOutcome {
    World::new().probe(&request(ProbeKind::Process(wanted)))
}

/// A copy of sleep(1) under another name, so that nobody else's process is counted.
struct Program {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

/// It ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// No other suite on this machine has a process of this name. The kernel keeps 15 bytes of one.
fn ours(tag: &str) -> String {
    format!("{tag}-{}", std::process::id())
}

impl Program {
    fn named(name: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        fs::copy("/bin/sleep", &path).unwrap();
        Self { _directory: directory, path }
    }

    fn start(&self) -> Running {
        // A copy that was just written may still be open for writing in a child that another test is starting.
        let mut attempts = 0;
        loop {
            attempts += 1;
            match Command::new(&self.path).arg("600").spawn() {
                Ok(child) => return Running(child),
                Err(error) => assert!(attempts < 100, "{error}"),
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path.parent().unwrap().join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn a_process_is_counted_by_its_exact_name_while_it_lives() {
    let name = ours("ha-al");
    let program = Program::named(&name);
    let outcome = look(ProcessRequest::named(&name));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "0 processes, not at least 1");
    assert_eq!((&outcome.fields["count"], &outcome.fields["pids"]), (&Field::Int(0), &Field::List(Vec::new())));

    let (one, two) = (program.start(), program.start());
    let outcome = look(ProcessRequest::named(&name));
    assert_outcome(&outcome, true, ErrorKind::None, "2 processes");
    let mut pids = [one.0.id(), two.0.id()];
    pids.sort_unstable();
    assert_eq!(outcome.fields["pids"], Field::List(pids.map(|pid| Field::Int(pid.into())).to_vec()));
    let shorter = &name[..name.len() - 1];
    for other in [shorter, &format!("{name}0"), &name.to_uppercase(), &name[1..]] {
        assert!(!look(ProcessRequest::named(other)).ok, "{other}");
    }
    let too_many = ProcessRequest { max: Some(1), ..ProcessRequest::named(&name) };
    assert_outcome(&look(too_many), false, ErrorKind::Mismatch, "2 processes, not 1");

    let mut zombie = one;
    zombie.0.kill().unwrap();
    let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while look(ProcessRequest::named(&name)).fields["count"] != Field::Int(1) {
        assert!(std::time::Instant::now() < until, "one that is dead and not yet waited for is still counted");
    }
}

#[test]
fn a_name_longer_than_the_kernel_keeps_is_still_exact() {
    let (meant, other) = (ours("ha-lo") + "-that-is-meant", ours("ha-lo") + "-that-is-not");
    let (program, other) = (Program::named(&meant), Program::named(&other));
    let _other = other.start();
    assert!(!look(ProcessRequest::named(&meant)).ok, "the first 15 bytes are the same");
    let _running = program.start();
    let outcome = look(ProcessRequest::named(&meant));
    assert_outcome(&outcome, true, ErrorKind::None, "1 process");
}

#[test]
fn the_user_and_the_command_line_narrow_it() {
    let name = ours("ha-na");
    let program = Program::named(&name);
    let _running = program.start();
    let with = |user: Option<&str>, cmdline: Option<&str>| {
        let (user, cmdline) = (user.map(str::to_owned), cmdline.map(str::to_owned));
        look(ProcessRequest { user, cmdline, ..ProcessRequest::named(&name) })
    };
    let own = nix::unistd::geteuid().to_string();
    assert!(with(Some(&own), Some(&format!("{name} 600"))).ok);
    assert!(!with(Some("4000000"), None).ok && !with(None, Some("601")).ok);
    let outcome = with(Some("no-such-user-here"), None);
    assert_outcome(&outcome, false, ErrorKind::Internal, "there is no user no-such-user-here");
    assert_eq!(outcome.fields["count"], Field::Unit, "not known is not none");
}

#[test]
fn a_pid_file_is_believed_only_of_a_living_process_of_that_name() {
    let name = ours("ha-pf");
    let program = Program::named(&name);
    let running = program.start();
    let by = |path: &Path| look(ProcessRequest { pidfile: Some(path.to_owned()), ..ProcessRequest::named(&name) });

    let right = program.file("right.pid", &format!("{}\n", running.0.id()));
    assert_outcome(&by(&right), true, ErrorKind::None, "1 process");
    let own = program.file("own.pid", &std::process::id().to_string());
    let comm = fs::read_to_string("/proc/self/comm").unwrap();
    let why = format!("{} names process {}, which is {}", own.display(), std::process::id(), comm.trim_end());
    assert_outcome(&by(&own), false, ErrorKind::Mismatch, &why);
    let none = program.file("none.pid", "soon\n");
    assert_outcome(&by(&none), false, ErrorKind::Mismatch, &format!("{}: no process number in it", none.display()));
    let missing = program.path.with_file_name("missing.pid");
    assert_outcome(&by(&missing), false, ErrorKind::Mismatch, "0 processes, not at least 1");

    let pid = running.0.id();
    drop(running);
    let why = format!("{} names process {pid}, which is gone", right.display());
    assert_outcome(&by(&right), false, ErrorKind::Mismatch, &why);
}
