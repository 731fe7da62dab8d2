//! A daemon that is late: whatever wakes it waits, up to so long, until it gets its turn.
//!
//! Its processes are stopped for a while and go on until all of them are at rest again, over and over. What arrives while they are
//! stopped waits for the rest of that time, as in the simulation, where each turn is late by chance.

use std::{
    fs,
    os::fd::OwnedFd,
    sync::mpsc::{self, RecvTimeoutError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::{
    lab::{
        process::descendants_of,
        trouble::{Result, Trouble},
    },
    sim::Dice,
};

/// Between two looks at whether it is at rest.
const LOOK: Duration = Duration::from_millis(2);
/// A turn is over by then, also of a process that never rests.
const TURN: Duration = Duration::from_millis(250);

/// How the daemon of a node gets to run.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Not at all.
    pub(super) frozen: bool,
    /// Whenever it is its turn it is up to this late.
    pub(super) slow: Duration,
    late: Option<Late>,
    seed: u64,
}

impl Pace {
    /// As it likes. Chance comes from `seed`.
    pub(super) fn of(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// This daemon, which runs, is as late as it is to be.
    pub(super) fn keep(&mut self, pid: i32) -> Result<()> {
        self.hurry();
        if !self.frozen && !self.slow.is_zero() {
            self.late = Some(Late::begin(pid, self.slow, self.seed)?);
        }
        Ok(())
    }

    /// Nothing holds it up for now: something else is about to be done to its processes.
    pub(super) fn hurry(&mut self) {
        self.late = None;
    }
}

/// Keeps a daemon late until it is dropped; then the daemon goes on.
#[derive(Debug)]
struct Late {
    over: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Late {
    /// Up to `most`; chance comes from `seed`.
    fn begin(pid: i32, most: Duration, seed: u64) -> Result<Self> {
        let number = rustix::process::Pid::from_raw(pid).ok_or(Trouble::Gone("a daemon"))?;
        // Its number may be another's one day, and this is not.
        let process = pidfd_open(number, PidfdFlags::empty()).map_err(Trouble::kernel("watch a daemon"))?;
        let (over, is_over) = mpsc::channel();
        let keep = move || keep(&process, pid, most, &mut Dice::new(seed), &is_over);
        let thread = thread::Builder::new().name("late".to_owned()).spawn(keep);
        Ok(Self { over: Some(over), thread: Some(thread.map_err(Trouble::kernel("start a thread"))?) })
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.over = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn keep(process: &OwnedFd, pid: i32, most: Duration, dice: &mut Dice, over: &mpsc::Receiver<()>) {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    loop {
        if pidfd_send_signal(process, rustix::process::Signal::STOP).is_err() {
            return;
        }
        let others = descendants_of(pid);
        signal_all(&others, Signal::SIGSTOP);
        let is_over = waits(over, Duration::from_micros(dice.roll(most) + 1));
        signal_all(&others, Signal::SIGCONT);
        // One that has ended needs no signal.
        let _ = pidfd_send_signal(process, rustix::process::Signal::CONT);
        let until = Instant::now() + TURN;
        if is_over || waits(over, LOOK) {
            return;
        }
        while Instant::now() < until && !others.iter().chain([&pid]).all(|pid| is_at_rest(*pid)) {
            if waits(over, LOOK) {
                return;
            }
        }
    }
}

/// Whether it is over before this long.
fn waits(over: &mpsc::Receiver<()>, time: Duration) -> bool {
    over.recv_timeout(time) != Err(RecvTimeoutError::Timeout)
}

fn signal_all(pids: &[i32], signal: Signal) {
    for pid in pids {
        // One that ended meanwhile needs no signal.
        let _ = signal::kill(Pid::from_raw(*pid), signal);
    }
}

/// Every thread of it waits for something. What has ended is at rest.
fn is_at_rest(pid: i32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default()).all(|stat| waits_in(&stat))
}

fn waits_in(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").and_then(|(_, fields)| fields.chars().next());
    !matches!(state, Some('R' | 'D' | 'T'))
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A program that does nothing, and ends with its owner.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            let sleeper = Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
            Self(sleeper)
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }

        fn is(&self, states: &str) -> bool {
            let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
            stat.rsplit_once(") ").unwrap().1.starts_with(|state| states.contains(state))
        }

        /// Waits until it is in one of these states.
        fn comes_to(&self, states: &str) {
            let until = Instant::now() + Duration::from_secs(60);
            while !self.is(states) {
                assert!(Instant::now() < until, "it does not come to {states}");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_late_process_is_stopped_now_and_then_and_goes_on_in_the_end() {
        let sleeper = Sleeper::start();
        let late = Late::begin(sleeper.pid(), Duration::from_millis(40), 1).unwrap();
        for _ in 0..3 {
            sleeper.comes_to("T");
            sleeper.comes_to("S");
        }
        drop(late);
        sleeper.comes_to("S");
        assert!(is_at_rest(sleeper.pid()));
    }

    #[test]
    fn one_that_is_to_be_late_for_long_goes_on_as_soon_as_that_is_over() {
        let sleeper = Sleeper::start();
        let late = Late::begin(sleeper.pid(), Duration::from_secs(100_000), 1).unwrap();
        sleeper.comes_to("T");
        drop(late);
        sleeper.comes_to("S");
    }

    #[test]
    fn one_that_has_ended_is_nobodys_concern() {
        let mut sleeper = Sleeper::start();
        let late = Late::begin(sleeper.pid(), Duration::from_millis(5), 1).unwrap();
        sleeper.0.kill().unwrap();
        sleeper.0.wait().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        while !late.thread.as_ref().unwrap().is_finished() {
            assert!(Instant::now() < until, "it goes on to send signals to that number");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn who_runs_or_is_stopped_is_not_at_rest() {
        assert!(waits_in("7 (a) b) S 1 7") && waits_in("7 (a) Z 1") && waits_in(""));
        assert!(!waits_in("7 (a) R 1") && !waits_in("7 (S) D 1") && !waits_in("7 (a) T 1"));
    }
}
