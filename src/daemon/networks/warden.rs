//! One thread for each network of instances that have one of their own. It enters the network while that is still permitted, gives
//! up what entering took, and starts from there the process that works in it: again, whenever that ends by itself.
//!
//! The process reads a pipe that it gets nothing by: its end is the end of the daemon, or the wish that it stops. So nobody serves
//! on with nobody to command it.

use std::{
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use super::{super::privileges, Announce, Part, pulse::Pulse};
use crate::{
    config::{Config, Netns},
    daemon::origin::Origin,
    linux::{BootClock, Network},
    node::{Condition, Event},
    words::readable,
};

/// How long after its end a process is started again; twice as long each time, at most [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A process that ran for so long begins with the shortest pause again.
const LASTED: Duration = Duration::from_secs(60);
/// How often a network is looked for that is not there.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The name of the condition that says that nobody serves in a network.
const CONDITION: &str = "network_down";

/// See the module. A clone is the same.
#[derive(Clone)]
pub(super) struct Warden(Arc<Shared>);

struct Shared {
    part: Part,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    wish: Wish,
    /// Whether the thread is in its network, once it has tried.
    entered: Option<Result<(), String>>,
    process: Option<Process>,
    /// Processes started so far.
    starts: u64,
    /// Why nobody serves there, if it is so.
    trouble: Option<String>,
    /// That was said.
    raised: Option<Condition>,
    /// Nothing more will happen.
    over: bool,
    announce: Option<Announce>,
}

struct Process {
    pid: Pid,
    /// None: it was asked to stop.
    pipe: Option<ChildStdin>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Not before it is told so.
    Wait,
    /// A process works there.
    Run,
    /// One that works there goes on; one that ends is not started again.
    Rest,
    /// No process works there.
    End,
}

impl Warden {
    /// Starts the thread, and waits until it has tried to enter. `found`: the network, if it was looked for already.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start(
        part: Part,
        found: Result<Network, String>,
        config: &Arc<Config>,
        origin: &Origin,
    ) -> io::Result<Self> {
        let state = State {
            wish: Wish::Wait,
            entered: None,
            process: None,
            starts: 0,
            trouble: Some("its process is not started yet".to_owned()),
            raised: None,
            over: false,
            announce: None,
        };
        let warden = Self(Arc::new(Shared { part, state: Mutex::new(state), changed: Condvar::new() }));
        let (shared, config, origin) = (Arc::clone(&warden.0), Arc::clone(config), origin.clone());
        thread::Builder::new().name("network".to_owned()).spawn(move || {
            shared.work(found, &config, &origin);
            shared.change(|state| state.over = true);
        })?;
        drop(warden.0.wait_while(|state| state.entered.is_none() && !state.over));
        Ok(warden)
    }

    pub(super) fn part(&self) -> &Part {
        &self.0.part
    }

    /// Why the network could not be entered, if so.
    pub(super) fn refused(&self) -> Option<String> {
        self.0.state().entered.clone()?.err()
    }

    /// A process shall work there from now on. `announce` is told when nobody does.
    pub(super) fn launch(&self, announce: Announce) {
        self.0.change(|state| {
            state.announce = Some(announce);
            state.wish = Wish::Run;
        });
    }

    /// Whether a process that ends is started again.
    pub(super) fn rest(&self, resting: bool) {
        self.0.change(|state| match (state.wish, resting) {
            (Wish::Run, true) => state.wish = Wish::Rest,
            (Wish::Rest, false) => state.wish = Wish::Run,
            _ => (),
        });
    }

    /// The process shall stop in order, and no other one be started.
    pub(super) fn end(&self) {
        self.0.change(|state| {
            state.wish = Wish::End;
            if let Some(process) = &mut state.process {
                process.pipe = None;
            }
        });
    }

    /// Sends a signal to the process, if there is one.
    pub(super) fn signal(&self, signal: Signal) {
        let state = self.0.state();
        if let Some(process) = &state.process {
            // It has not been waited for, so the number is its own.
            let _ = kill(process.pid, signal);
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.state().over
    }

    /// The process and why it does not serve: the one, the other, or both.
    pub(super) fn look(&self) -> (Option<u32>, Option<String>) {
        let state = self.0.state();
        let pid = state.process.as_ref().and_then(|process| u32::try_from(process.pid.as_raw()).ok());
        (pid, state.trouble.clone())
    }

    /// Waits for a process, and says how many there were with it. None: there will be none any more.
    pub(super) fn wait_for_process(&self) -> Option<u64> {
        let state = self.0.wait_while(|state| state.process.is_none() && !state.over);
        state.process.as_ref().map(|_| state.starts)
    }

    /// It answers.
    pub(super) fn serves(&self, starts: u64) {
        let mut state = self.0.state();
        if state.starts == starts && state.process.is_some() {
            self.0.tell(&mut state, None);
        }
    }

    /// It does not answer.
    pub(super) fn is_silent(&self, starts: u64) {
        let mut state = self.0.state();
        if state.starts == starts
            && let Some(process) = &state.process
        {
            let why = format!("its process {} does not answer; was it stopped, or does it hang?", process.pid);
            self.0.tell(&mut state, Some(why));
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn wait_while(&self, so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.state(), |state| so(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing for so long, unless there is something else to do.
    fn pause(&self, time: Duration) {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| state.wish == Wish::Run);
        drop(waited);
    }

    fn work(&self, found: Result<Network, String>, config: &Config, origin: &Origin) {
        let mut place = found.and_then(|network| network.enter());
        if let Err(why) = privileges::stay(config) {
            place = place.and(Err(why));
        }
        self.change(|state| state.entered = Some(place.clone()));
        if self.wait_while(|state| state.wish == Wish::Wait).wish == Wish::End {
            return;
        }
        if let Err(why) = privileges::confine_thread(config, origin) {
            return self.trouble(why);
        }
        let pulse = Pulse::at(&self.part.control.state_dir);
        if let Err(error) = &pulse {
            let network = &self.part.network;
            tracing::warn!("whether the process for the network namespace {network} hangs cannot be told: {error}");
        }
        let pulse = pulse.ok();
        let mut pause = PAUSE;
        while self.wait_while(|state| state.wish == Wish::Rest).wish == Wish::Run {
            let path = self.part.network.path();
            if place.is_ok() && Network::is_another(&path) {
                place = Network::find(&path).and_then(|network| network.enter());
            }
            if let Err(why) = &place {
                self.trouble(format!("{why}. If it is there now, restart ha; what is served elsewhere goes on"));
                self.pause(LOOK_EVERY);
                place = Network::find(&path).and_then(|network| network.enter());
                continue;
            }
            let began = BootClock.now();
            let why = match self.spawn(pulse.as_ref()) {
                Ok(child) => self.attend(child, pulse.as_ref()),
                Err(error) => format!("its process cannot be started: {error}"),
            };
            let lasted = BootClock.now().saturating_since(began) >= LASTED;
            pause = if lasted { PAUSE } else { pause };
            if self.state().wish == Wish::Run {
                self.trouble(format!("{why}; it is started again in {}", readable(pause)));
                self.pause(pause);
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Until it has ended; says how.
    fn attend(&self, mut child: Child, pulse: Option<&Pulse>) -> String {
        let pid = child.id();
        let hangs = pulse.is_some_and(|pulse| pulse.watch(pid));
        if hangs {
            // Not SIGABRT: a process that was stopped does not get that.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        // Not taken away yet: until then nobody else gets its number.
        let ended = loop {
            match waitid(Id::Pid(Pid::from_raw(pid.cast_signed())), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
                Err(nix::errno::Errno::EINTR) => (),
                ended => break ended,
            }
        };
        self.change(|state| state.process = None);
        let _ = child.wait();
        match ended {
            _ if hangs => format!("its process {pid} no longer showed that it runs, and was killed"),
            Ok(WaitStatus::Exited(_, code)) => format!("its process {pid} has ended with exit code {code}"),
            Ok(WaitStatus::Signaled(_, signal, _)) => format!("its process {pid} was ended by {signal}"),
            Ok(_) | Err(_) => format!("its process {pid} has ended"),
        }
    }

    /// In a process group of its own, as the keeper is. What it has to tell a service manager it tells the daemon.
    fn spawn(&self, pulse: Option<&Pulse>) -> io::Result<Child> {
        let mut program = Command::new("/proc/self/exe");
        program.arg0(std::env::args_os().next().unwrap_or_else(|| "ha".into()));
        program.args(self.part.arguments());
        for name in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
            program.env_remove(name);
        }
        if let Some(pulse) = pulse {
            program.env("NOTIFY_SOCKET", pulse.path());
        }
        let mut child = program.stdin(Stdio::piped()).process_group(0).spawn()?;
        let pipe = child.stdin.take();
        let pid = Pid::from_raw(child.id().cast_signed());
        tracing::info!("network namespace {}: process {pid} works there", self.part.network);
        self.change(|state| {
            let pipe = pipe.filter(|_| state.wish != Wish::End);
            state.process = Some(Process { pid, pipe });
            state.starts += 1;
        });
        Ok(child)
    }

    fn trouble(&self, why: String) {
        self.tell(&mut self.state(), Some(why));
    }

    /// Remembers it, and says it if it is news.
    fn tell(&self, state: &mut State, trouble: Option<String>) {
        if state.trouble == trouble {
            return;
        }
        let network = &self.part.network;
        let event = match (&trouble, &state.raised) {
            (Some(why), None) => {
                let text = format!("nobody serves the instances in the network namespace {network}: {why}");
                let condition = Condition { name: CONDITION, text };
                state.raised = Some(condition.clone());
                Some(Event::Raised(condition))
            }
            (Some(why), Some(_)) => Some(Event::Note(format!("network namespace {network}: {why}"))),
            (None, _) => state.raised.take().map(Event::Cleared),
        };
        state.trouble = trouble;
        if let (Some(event), Some(announce)) = (event, &state.announce) {
            announce(event);
        }
    }
}

impl Part {
    /// Those that make this program work there; only the daemon gives them.
    fn arguments(&self) -> [std::ffi::OsString; 8] {
        let Self { file, network, control } = self;
        let path = |path: &PathBuf| path.clone().into_os_string();
        let (socket, state_dir) = (path(&control.socket), path(&control.state_dir));
        let network: &Netns = network;
        [
            "run".into(),
            "--config".into(),
            path(file),
            format!("--network={network}").into(),
            "--network-socket".into(),
            socket,
            "--network-state-dir".into(),
            state_dir,
        ]
    }
}
