//! Programs that run on a machine of the lab, and what can be done to them.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use super::{
    netns::Netns,
    trouble::{Result, Trouble},
};

/// Set in the environment of a process that is to become another program.
const BECOME: &str = "HA_LAB_BECOME";

/// To be called first thing in `main`, before any thread: if this process was started by the lab to become another
/// program inside one of its namespaces, it becomes that program and does not come back.
///
/// The detour lets the kernel kill the program when the lab ends in whatever way; only a process itself can ask for that.
pub fn become_program() {
    if std::env::var_os(BECOME).is_none() {
        return;
    }
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else { return };
    let asked = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let error = match asked {
        Ok(()) => Command::new(&program).args(arguments).env_remove(BECOME).exec(),
        Err(error) => error.into(),
    };
    eprintln!("{}: {error}", program.display());
    std::process::exit(127);
}

/// A program on a machine. It ends with its owner.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// It ended and its number may be another's by now.
    ended: bool,
    /// What it was seen to have started, with the time of its start: a number alone may be another's by now.
    descendants: BTreeMap<i32, String>,
}

impl Process {
    /// Starts `program` in `netns`, its output added to the file `log`.
    ///
    /// # Errors
    ///
    /// Where it does not start.
    pub fn start(netns: &Netns, program: &Path, arguments: &[String], log: &Path) -> Result<Self> {
        let name = program.display().to_string();
        let failed = |error| Trouble::Program { name: name.clone(), error };
        let output = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
        let mut command = detour(program, arguments).map_err(failed)?;
        command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
        let child = netns.run(move || command.spawn())?.map_err(failed)?;
        Ok(Self { child, log: log.to_owned(), ended: false, descendants: BTreeMap::new() })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or(i32::MAX)
    }

    /// It and what it started, as far as they are alive, itself first.
    #[must_use]
    pub fn family(&self) -> Vec<i32> {
        let mut all = Vec::new();
        if !self.ended {
            all.push(self.pid());
            all.extend(descendants_of(self.pid()));
        }
        let known = self.descendants.iter().filter(|(pid, began)| start_of(**pid).as_ref() == Some(began));
        for (pid, _) in known {
            if !all.contains(pid) {
                all.push(*pid);
            }
        }
        all
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    ///
    /// If it is gone.
    pub fn signal(&self, signal: Signal) -> Result<Instant> {
        if self.ended {
            return Err(Trouble::Gone("a daemon"));
        }
        let now = Instant::now();
        signal::kill(Pid::from_raw(self.pid()), signal).map_err(Trouble::kernel(format!("send {signal}")))?;
        Ok(now)
    }

    /// Sends a signal to it and to everything it started.
    pub fn signal_family(&mut self, signal: Signal) -> Instant {
        self.remember();
        let family = self.family();
        let now = Instant::now();
        for pid in family {
            // One that ended meanwhile needs no signal.
            let _ = signal::kill(Pid::from_raw(pid), signal);
        }
        now
    }

    /// Kills it and everything it started. All are frozen first, so that none acts on the end of another.
    pub fn kill_family(&mut self) -> Instant {
        let now = self.signal_family(Signal::SIGSTOP);
        for pid in self.family().into_iter().rev() {
            let _ = signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        self.ended |= self.child.wait().is_ok();
        now
    }

    /// Kills it alone; what it started may act on that.
    pub fn kill_alone(&mut self) -> Instant {
        self.remember();
        let now = Instant::now();
        let _ = self.child.kill();
        self.ended |= self.child.wait().is_ok();
        now
    }

    /// Keeps in mind what it started so far: once it has ended, nobody can tell any more whose children those were.
    fn remember(&mut self) {
        if !self.ended {
            let seen = descendants_of(self.pid()).into_iter().filter_map(|pid| Some((pid, start_of(pid)?)));
            self.descendants.extend(seen);
        }
    }

    /// Its exit status, if it ended.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait().map_err(Trouble::kernel("wait for a process"))?;
        self.ended |= status.is_some();
        Ok(status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// If it does not end in time.
    pub fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(Trouble::Late { what: "the end of a process".to_owned(), waited: at_most });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        read.map_or_else(|error| format!("no log: {error}"), |_| String::from_utf8_lossy(&text).into_owned())
    }

    /// Memory of it and its children, each page divided by the number of its users, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.family().into_iter().filter_map(|pid| of_memory(pid, "Pss:")).sum()
    }

    /// Memory of it and its children, pages in common counted for each, in bytes.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.family().into_iter().filter_map(|pid| of_memory(pid, "Rss:")).sum()
    }

    /// What it and its children wrote into their memory themselves (heaps and stacks, not the program), in bytes.
    #[must_use]
    pub fn anonymous(&self) -> u64 {
        self.family().into_iter().filter_map(|pid| of_memory(pid, "Anonymous:")).sum()
    }

    /// How many descriptors it and its children have open.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        let open = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.family().into_iter().map(open).sum()
    }

    /// Processor time of it, its children, and their children that ended, so far.
    #[must_use]
    pub fn processor_time(&self) -> Duration {
        self.family().into_iter().filter_map(processor_time).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ended |= self.child.try_wait().is_ok_and(|status| status.is_some());
        if !self.family().is_empty() {
            self.kill_family();
        }
    }
}

/// Runs a program on a machine to its end.
///
/// # Errors
///
/// Where it does not start.
pub fn output(netns: &Netns, program: &Path, arguments: &[String]) -> Result<Output> {
    let failed = |error| Trouble::Program { name: program.display().to_string(), error };
    let mut command = detour(program, arguments).map_err(failed)?;
    command.stdin(Stdio::null());
    netns.run(move || command.output())?.map_err(failed)
}

/// The processes that live in a network namespace, this one's threads aside.
#[must_use]
pub(super) fn inhabitants(netns: &Netns) -> Vec<i32> {
    let Ok(wanted) = fs::read_link(format!("/proc/self/fd/{}", netns.as_raw_fd())) else { return Vec::new() };
    let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
    let lives =
        |pid: &i32| *pid != own && fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|link| link == wanted);
    processes().filter(lives).collect()
}

/// Where a program is found.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(usual).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn detour(program: &Path, arguments: &[String]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(program).args(arguments).env(BECOME, "1").env_remove("NOTIFY_SOCKET");
    Ok(command)
}

/// Everything that descends from `ancestor` now.
pub(super) fn descendants_of(ancestor: i32) -> Vec<i32> {
    let parents: Vec<(i32, i32)> = processes().filter_map(|pid| Some((pid, parent_of(pid)?))).collect();
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` after the name, from the state on.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

fn parent_of(pid: i32) -> Option<i32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// When a process started, in ticks since the machine did; `None` for one that is gone or waits to be buried.
fn start_of(pid: i32) -> Option<String> {
    let fields = stat(pid)?;
    let is_there = fields.first().is_some_and(|state| state != "Z");
    fields.get(19).filter(|_| is_there).cloned()
}

/// Its own by its clock, in nanoseconds; that of children that ended is told in ticks only.
fn processor_time(pid: i32) -> Option<Duration> {
    let own = clock_gettime(clock_getcpuclockid(Pid::from_raw(pid)).ok()?).ok()?;
    let fields = stat(pid)?;
    let ticks: u64 = fields.get(13..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    let per_second = u64::try_from(nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from(own) + Duration::from_millis(ticks * 1000 / per_second))
}

/// A line of a process's memory, in bytes.
fn of_memory(pid: i32, which: &str) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find(|line| line.starts_with(which))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}
