//! exec: programs of every kind of behaviour, run and not run. The shell in these tests is the program under test.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use ha::{
    config::Permits,
    policy::{
        Secret, SecretOrText,
        probe::{ErrorKind, ExecRequest, Field, ProbeKind, ProbeOutcome, ProbeRequest},
    },
};

use super::{World, assert_outcome, assert_took, request, text};

fn permitting(programs: &[&str]) -> World {
    let world = World::new();
    let allow_exec = programs.iter().map(PathBuf::from).collect();
    world.prober.permit(&Permits { allow_exec, ..Permits::default() });
    world
}

fn shell(script: &str) -> ExecRequest {
    ExecRequest::of(["/bin/sh", "-c", script].map(str::to_owned).to_vec())
}

fn run(wanted: ExecRequest) -> ProbeOutcome {
    permitting(&["/bin/sh"]).probe(&request(ProbeKind::Exec(wanted)))
}

fn run_within(timeout: Duration, wanted: ExecRequest) -> ProbeOutcome {
    permitting(&["/bin/sh"]).probe(&ProbeRequest { timeout, ..request(ProbeKind::Exec(wanted)) })
}

fn is_alive(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

#[test]
fn what_is_not_listed_is_not_started() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("mark");
    let script = format!("touch {}", mark.display());
    for listed in [&[][..], &["/bin/true"], &["sh"], &["/bin"], &["/bin/sh -c"], &["/bin/../bin/sh"]] {
        let outcome = permitting(listed).probe(&request(ProbeKind::Exec(shell(&script))));
        let why = "not started: allow_exec in ha.toml does not list /bin/sh";
        assert_outcome(&outcome, false, ErrorKind::Denied, why);
        assert_eq!(outcome.fields["code"], Field::Unit);
    }
    let nothing = World::new().probe(&request(ProbeKind::Exec(shell(&script))));
    assert_eq!(nothing.error, ErrorKind::Denied, "off unless something is listed");
    assert!(!mark.exists());
    assert!(run(shell(&script)).ok && mark.exists(), "the same, listed");
}

#[test]
fn what_may_run_changes_with_the_configuration() {
    let world = permitting(&["/bin/sh"]);
    let probe = || world.probe(&request(ProbeKind::Exec(shell("true"))));
    assert!(probe().ok);
    world.prober.permit(&Permits { allow_exec: BTreeSet::new(), ..Permits::default() });
    assert_eq!(probe().error, ErrorKind::Denied);
}

#[test]
fn the_exit_code_decides() {
    let outcome = run(shell("echo fine; echo hm >&2"));
    assert_outcome(&outcome, true, ErrorKind::None, "exit code 0");
    assert_eq!((text(&outcome, "stdout"), text(&outcome, "stderr")), ("fine\n".to_owned(), "hm\n".to_owned()));
    assert_eq!(outcome.fields["code"], Field::Int(0));

    let outcome = run(shell("echo partly; echo '  array degraded' >&2; exit 3"));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "exit code 3: array degraded");
    assert_eq!(outcome.fields["code"], Field::Int(3));
    let outcome = run(ExecRequest { code: 3, ..shell("exit 3") });
    assert_outcome(&outcome, true, ErrorKind::None, "exit code 3");
    assert!(!run(ExecRequest { code: 3, ..shell("exit 0") }).ok);
    let outcome = run(shell("kill -SEGV $$"));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "ended by signal 11");
    assert_eq!(outcome.fields["code"], Field::Unit);
}

#[test]
fn the_output_must_hold_what_is_expected() {
    let expecting = |script| run(ExecRequest { expect: Some("SYNCED".to_owned()), ..shell(script) });
    assert_outcome(&expecting("echo state SYNCED"), true, ErrorKind::None, "exit code 0");
    let outcome = expecting("echo state BEHIND");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "no \"SYNCED\" in its output: state BEHIND");
    assert!(!expecting("echo SYNCED >&2").ok, "standard error is not its answer");
    assert!(!expecting("echo SYNCED; exit 1").ok);
}

#[test]
fn at_the_deadline_the_whole_group_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    // The shell, a child, and a grandchild that has the pipes.
    let script = format!("sh -c 'sleep 600 & echo $! >> {0}; wait' & echo $! >> {0}; echo begun; wait", pids.display());
    let timeout = Duration::from_millis(500);
    let outcome = run_within(timeout, shell(&script));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 500ms; it was killed");
    assert_took(&outcome, timeout);
    assert_eq!(text(&outcome, "stdout"), "begun\n", "what it had said is kept");
    let pids = fs::read_to_string(&pids).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
    let until = Instant::now() + Duration::from_secs(5);
    while pids.lines().any(is_alive) {
        assert!(Instant::now() < until, "still alive: {pids}");
    }
}

#[test]
fn one_that_ignores_signals_is_killed_all_the_same() {
    let outcome = run_within(Duration::from_millis(300), shell("trap '' TERM INT HUP; while :; do sleep 1; done"));
    assert_eq!(outcome.error, ErrorKind::Timeout);
}

#[test]
fn a_grandchild_that_keeps_the_pipes_delays_nothing_and_does_not_stay() {
    let outcome = run(shell("sleep 600 & echo $!"));
    assert_outcome(&outcome, true, ErrorKind::None, "exit code 0");
    assert!(outcome.elapsed < Duration::from_secs(4), "{:?}", outcome.elapsed);
    let pid = text(&outcome, "stdout");
    let until = Instant::now() + Duration::from_secs(5);
    while is_alive(&pid) {
        assert!(Instant::now() < until, "{pid} was left behind");
    }
}

#[test]
fn a_flood_is_read_to_its_end_and_cut() {
    let outcome = run(shell("head -c 3000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2"));
    assert_outcome(&outcome, true, ErrorKind::None, "exit code 0");
    assert_eq!((text(&outcome, "stdout").len(), text(&outcome, "stderr").len()), (65_536, 65_536));
    let outcome = run(ExecRequest { max_output: 10, ..shell("echo 0123456789abc; exit 0") });
    assert_eq!(text(&outcome, "stdout"), "0123456789");
    let timeout = Duration::from_millis(300);
    let outcome = run_within(timeout, shell("while :; do echo yes; done"));
    assert_eq!(outcome.error, ErrorKind::Timeout, "one without an end");
    assert_took(&outcome, timeout);
}

#[test]
fn one_that_cannot_be_started_is_no_information() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let missing = directory.path().join("missing").display().to_string();
    let (plain, odd, open) = (file("plain", 0o644), file("odd", 0o755), file("open", 0o777));
    let world = permitting(&[&missing, &plain, &odd, &open, "/bin/sh"]);
    let probe = |wanted: ExecRequest| world.probe(&request(ProbeKind::Exec(wanted)));
    let start = |program: &str| probe(ExecRequest::of(vec![program.to_owned()]));
    assert_outcome(&start(&missing), false, ErrorKind::Internal, &format!("not started: there is no {missing}"));
    let denied = "not started: Permission denied (os error 13)";
    assert_outcome(&start(&plain), false, ErrorKind::Denied, denied);
    let gone = "not started: No such file or directory (os error 2)";
    assert_outcome(&start(&odd), false, ErrorKind::Internal, gone);
    let why = format!("not started: {open} is writable by others (mode 0777); chmod go-w");
    assert_outcome(&start(&open), false, ErrorKind::Denied, &why);
    let nowhere = ExecRequest { cwd: Some("/no/such/place".into()), ..shell("true") };
    assert_outcome(&probe(nowhere), false, ErrorKind::Internal, gone);
    let nobody = ExecRequest { user: Some("no-such-user-here".to_owned()), ..shell("true") };
    assert_outcome(&probe(nobody), false, ErrorKind::Internal, "not started: there is no user no-such-user-here");
}

#[test]
fn its_environment_is_what_it_was_given_and_a_path() {
    let plain = |text: &str| SecretOrText::Text(text.to_owned());
    let environment = vec![("GREETING".to_owned(), plain("two words")), ("LANG".to_owned(), plain("C"))];
    let outcome = run(ExecRequest {
        environment,
        ..shell("/usr/bin/env | grep -v '^PWD=\\|^OLDPWD=\\|^SHLVL=\\|^_=' | sort; pwd")
    });
    let want = "GREETING=two words\nLANG=C\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n/\n";
    assert_eq!(text(&outcome, "stdout"), want);
    let outcome = run(ExecRequest { cwd: Some("/usr".into()), ..shell("pwd; cat") });
    assert_eq!(text(&outcome, "stdout"), "/usr\n", "and nothing to read");
}

#[test]
fn it_reads_what_it_is_given_and_need_not() {
    let reading = |input: String, script| run(ExecRequest { input: Some(SecretOrText::Text(input)), ..shell(script) });
    assert_eq!(text(&reading("a question".to_owned(), "cat"), "stdout"), "a question");
    let long = "x".repeat(300_000);
    assert_eq!(text(&reading(long.clone(), "wc -c"), "stdout").trim(), "300000", "more than a pipe holds");
    assert!(reading(long, "exec true").ok, "one that reads nothing is well, too");
}

#[test]
fn secrets_reach_it_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db");
    fs::write(&path, "hunter2\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let world = World::new();
    let permits = Permits { allow_exec: BTreeSet::from(["/bin/sh".into()]), secrets_dir: directory.path().to_owned() };
    world.prober.permit(&permits);
    let secret = |name: &str| SecretOrText::Secret(Secret::named(name).unwrap());
    let probe = |wanted: ExecRequest| world.probe(&request(ProbeKind::Exec(wanted)));

    let script =
        "test \"$PASSWORD\" = hunter2 && read line && test $line = hunter2; echo \"$? with $PASSWORD\" >&2; exit 1";
    let environment = vec![("PASSWORD".to_owned(), secret("db"))];
    let outcome = probe(ExecRequest { environment, input: Some(secret("db")), ..shell(script) });
    // `read` wants the end of a line, which a secret has not.
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "exit code 1: 1 with ***");
    assert!(!format!("{outcome:?}").contains("hunter2"));

    let outcome = probe(ExecRequest { input: Some(secret("none")), ..shell("true") });
    let why = format!("secret none cannot be read: there is no {}", directory.path().join("none").display());
    assert_outcome(&outcome, false, ErrorKind::Internal, &why);
}

#[test]
fn another_user_needs_the_right_to_become_one() {
    let wanted = || ExecRequest { user: Some("nobody".to_owned()), ..shell("id -un; id -G | wc -w") };
    let outcome = run(wanted());
    if nix::unistd::geteuid().is_root() {
        assert_eq!(text(&outcome, "stdout").split_whitespace().collect::<Vec<_>>(), ["nobody", "1"]);
    } else {
        assert_outcome(&outcome, false, ErrorKind::Denied, "not started: Operation not permitted (os error 1)");
    }
}
