//! Each story in a process of its own: starting it, waiting for it, and what it says when it fails.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::{
        OnceLock, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ha::lab::{memory::Memory, netns, process::on_path};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{Need, Story, stage::Stage, stories, unit};

/// Names the story to tell, in the process that tells it; `try-out` only tries the namespaces.
pub(crate) const TELL: &str = "HA_NET_TELL";
const TRY_OUT: &str = "try-out";
/// The system bus of the daemons of a story, in its directory.
pub(crate) const BUS: &str = "bus";
/// What a story says, in its directory.
const SAID: &str = "said";
/// How many at a time: each of them takes a twentieth of a processor, and waits otherwise.
const AT_A_TIME: usize = 5;
/// How many stories of a run may need a second telling.
const FLAKY_AT_MOST: usize = 2;

/// Shared by the stories that are told side by side; whoever is told again has it for itself.
static STAGE: RwLock<()> = RwLock::new(());
/// How many were told again and went well.
static FLAKY: AtomicUsize = AtomicUsize::new(0);

pub(crate) fn run_all() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let trial = |story: Story| Trial::ignorable_test(story.name, move || run(&story));
    let trials = stories().into_iter().map(trial).chain([unit::trial()]).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(story: &Story) -> Result<Completion, Failed> {
    if let Some(reason) = no_namespaces() {
        return Ok(Completion::ignored_with(reason));
    }
    for need in story.needs {
        match need {
            Need::Keepalived | Need::KeepalivedSigns if keepalived().is_none() && keepalived_is_required() => {
                return Err("keepalived is not installed, and this run requires it".into());
            }
            Need::Keepalived | Need::KeepalivedSigns if keepalived().is_none() => {
                return Ok(Completion::ignored_with("keepalived is not installed"));
            }
            Need::KeepalivedSigns if !keepalived_signs() => {
                let [major, minor, patch] = keepalived_version();
                let what =
                    format!("auth_hmac needs keepalived 2.4.2 with VRRP_AUTH, and this is {major}.{minor}.{patch}");
                return Ok(Completion::ignored_with(what));
            }
            Need::Nft if on_path("nft").is_none() => return Ok(Completion::ignored_with("nft is not installed")),
            Need::Msmtpd if on_path("msmtpd").is_none() => {
                return Ok(Completion::ignored_with("msmtpd is not installed (Debian: msmtp-mta)"));
            }
            Need::Etcd if on_path("etcd").is_none() => {
                return Ok(Completion::ignored_with("etcd is not installed (Debian: etcd-server)"));
            }
            Need::Memory => {
                if let Err(trouble) = Memory::bounded() {
                    return Ok(Completion::ignored_with(trouble.to_string()));
                }
            }
            Need::Fuse if File::options().read(true).write(true).open("/dev/fuse").is_err() => {
                return Ok(Completion::ignored_with("/dev/fuse cannot be opened"));
            }
            Need::Keepalived | Need::KeepalivedSigns | Need::Nft | Need::Msmtpd | Need::Etcd | Need::Fuse => {}
        }
    }
    beside_others(story.name, || tell_apart(story).map(|()| Completion::Completed))
}

/// What failed beside others, once more and alone: what is wrong fails again, and what only a busy machine did to it is told,
/// counted, and to be mended.
pub(crate) fn beside_others(name: &str, tell: impl Fn() -> Result<Completion, Failed>) -> Result<Completion, Failed> {
    let told = {
        let _shared = STAGE.read().unwrap_or_else(PoisonError::into_inner);
        tell()
    };
    let Err(first) = told else { return told };
    let _alone = STAGE.write().unwrap_or_else(PoisonError::into_inner);
    let said = first.message().unwrap_or_default();
    if let Err(second) = tell() {
        let second = second.message().unwrap_or_default();
        return Err(format!("{said}\n\n=== told again, alone, it failed again ===\n{second}").into());
    }
    let count = FLAKY.fetch_add(1, Ordering::Relaxed) + 1;
    eprintln!("\n=== flaky: {name} failed, and went well when it was told again, alone. At first:\n{said}\n===");
    if count > FLAKY_AT_MOST {
        return Err(format!("{count} stories needed a second telling; {FLAKY_AT_MOST} may").into());
    }
    Ok(Completion::Completed)
}

/// One telling, in a process of its own.
fn tell_apart(story: &Story) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let began = Instant::now();
    let mut child = start(story.name, directory.path())?;
    let ended = wait(&mut child, Duration::from_secs(story.seconds));
    note_time(story.name, began.elapsed())?;
    let said = fs::read_to_string(directory.path().join(SAID)).unwrap_or_default();
    match ended.map(|status| status.success()) {
        Some(true) => Ok(()),
        Some(false) => Err(said.into()),
        None => Err(format!("{said}\nnot over after {} s", story.seconds).into()),
    }
}

/// Where `HA_NET_TIMES` names a file, a line is added to it for each story: the seconds that it took, and its name.
fn note_time(name: &str, took: Duration) -> std::io::Result<()> {
    let Some(file) = std::env::var_os("HA_NET_TIMES") else { return Ok(()) };
    let line = format!("{:6.1} {name}\n", took.as_secs_f64());
    fs::OpenOptions::new().create(true).append(true).open(file)?.write_all(line.as_bytes())
}

/// Starts the process of a story, its output and all its files in `directory`.
fn start(name: &str, directory: &Path) -> std::io::Result<Child> {
    let file = fs::File::create(directory.join(SAID))?;
    Command::new(std::env::current_exe()?)
        .env(TELL, name)
        .env("TMPDIR", directory)
        // Nobody's, unless a story puts one there.
        .env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", directory.join(BUS).display()))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
}

/// How it ended; `None` if it had to be stopped.
pub(crate) fn wait(child: &mut Child, at_most: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + at_most;
    while Instant::now() < until {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// Inside the process of one story.
pub(crate) fn tell(name: &str) -> ExitCode {
    // With the runner, its stories end, and with them their daemons.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .expect("asking is always possible");
    // Whoever outlives its own parent is this process's from then on, and ends with the story.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("asking is always possible");
    if name == TRY_OUT {
        return match netns::try_out() {
            Ok(()) => ExitCode::SUCCESS,
            Err(trouble) => {
                println!("{trouble}");
                ExitCode::FAILURE
            }
        };
    }
    let story = stories().into_iter().find(|story| story.name == name).expect("the story exists");
    netns::enter().expect("namespaces were tried before");
    let stage = Stage::build().expect("the lab can be built");
    let told = catch_unwind(AssertUnwindSafe(|| (story.tell)(&stage)));
    if told.is_err() {
        stage.print_logs();
    }
    drop(stage);
    end_orphans();
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A daemon whose parent died before its owner looked, and what that started.
fn end_orphans() {
    let own = std::process::id().to_string();
    let is_ours = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        fields.next() != Some("Z") && fields.next() == Some(own.as_str())
    };
    for _ in 0..5 {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let orphans: Vec<i32> = pids.filter(is_ours).collect();
        for pid in &orphans {
            // Gone already is as good.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), nix::sys::signal::Signal::SIGKILL);
        }
        if orphans.is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Why there are no namespaces here, tried once, in a process of its own.
fn no_namespaces() -> Option<&'static str> {
    static WHY: OnceLock<Option<String>> = OnceLock::new();
    let try_out = || {
        let directory = tempfile::tempdir().ok()?;
        let ended = wait(&mut start(TRY_OUT, directory.path()).ok()?, Duration::from_secs(10));
        (!ended.is_some_and(|status| status.success()))
            .then(|| fs::read_to_string(directory.path().join(SAID)).unwrap_or_default().trim().to_owned())
    };
    WHY.get_or_init(try_out).as_deref()
}

/// The keepalived to test with.
pub(crate) fn keepalived() -> Option<PathBuf> {
    match std::env::var_os("HA_TEST_KEEPALIVED") {
        Some(named) => Some(PathBuf::from(named)).filter(|file| file.is_file()),
        None => on_path("keepalived"),
    }
}

/// `PATH` with the keepalived to test with before all others, for a program that looks for it there.
pub(crate) fn path() -> OsString {
    let keepalived = keepalived().and_then(|program| Some(program.parent()?.to_owned()));
    let usual = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(keepalived.into_iter().chain(std::env::split_paths(&usual))).unwrap()
}

/// Which keepalived it is; zeros if it does not say.
pub(crate) fn keepalived_version() -> [u32; 3] {
    let said = keepalived_says();
    let version = said.split_whitespace().nth(1).unwrap_or_default();
    let mut parts = version.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or_default());
    [(); 3].map(|()| parts.next().unwrap_or_default())
}

/// Whether it knows `auth_hmac`, in the layout that did not change any more.
pub(crate) fn keepalived_signs() -> bool {
    keepalived_version() >= [2, 4, 2] && keepalived_says().split_whitespace().any(|word| word == "VRRP_AUTH")
}

/// What it says of itself.
fn keepalived_says() -> &'static str {
    static SAYS: OnceLock<String> = OnceLock::new();
    SAYS.get_or_init(|| {
        let output = keepalived().and_then(|program| Command::new(program).arg("--version").output().ok());
        // 2.2.7 writes it to the standard error.
        output.map_or_else(String::new, |it| String::from_utf8_lossy(&[it.stdout, it.stderr].concat()).into_owned())
    })
}

fn keepalived_is_required() -> bool {
    let is = |name, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    is("CI", "true") || is("HA_TEST_REQUIRE_KEEPALIVED", "1")
}
