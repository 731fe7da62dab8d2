//! What a service manager would be told by the process, the daemon is: that it runs. One that does not say so any more is found here.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::{fs::DirBuilderExt, net::UnixDatagram},
    path::{Path, PathBuf},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

/// The socket, in the state directory of the process, where nobody else may write.
const NAME: &str = "pulse";
/// A process that has shown that it runs, and then does not for so many seconds, hangs; it does so each one to three. They are counted
/// one by one: a machine that was frozen has not waited.
const SILENT: u32 = 5;

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Pulse {
    /// In the directory of a process, which is made if it is not there.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn at(directory: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join(NAME);
        // Of a daemon that is dead.
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, path })
    }

    /// Where the process is to say it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns when the process has ended, or hangs; says whether it hangs.
    pub(super) fn watch(&self, pid: u32) -> bool {
        let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return false };
        // A kernel that cannot: its end is waited for by whoever asked.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let (mut shown, mut stopping, mut silent) = (false, false, 0);
        while silent < SILENT {
            let mut both = [PollFd::new(&process, PollFlags::IN), PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut both, Some(&second)) {
                Ok(0) if shown && !stopping => silent += 1,
                Ok(_) | Err(_) => (),
            }
            let [ended, said] = &both;
            if !ended.revents().is_empty() {
                return false;
            }
            if !said.revents().is_empty() {
                silent = 0;
                let mut buffer = [0; 256];
                while let Ok(length) = self.socket.recv(&mut buffer) {
                    let said = buffer.get(..length).unwrap_or_default();
                    let says = |word: &[u8]| said.split(|byte| *byte == b'\n').any(|line| line == word);
                    shown |= says(b"WATCHDOG=1");
                    stopping |= says(b"STOPPING=1");
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, thread, time::Duration};

    use super::*;

    #[test]
    fn one_that_ends_does_not_take_its_successors_socket_away() {
        let directory = tempfile::tempdir().unwrap();
        let first = Pulse::at(directory.path()).unwrap();
        let second = Pulse::at(directory.path()).unwrap();
        drop(first);
        UnixDatagram::unbound().unwrap().send_to(b"WATCHDOG=1", second.path()).unwrap();
        assert_eq!(second.socket.recv(&mut [0; 16]).unwrap(), 10);
    }

    #[test]
    fn a_process_hangs_that_has_shown_itself_and_does_not_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let pulse = Pulse::at(&directory.path().join("new")).unwrap();
        let say = |text: &str| UnixDatagram::unbound().unwrap().send_to(text.as_bytes(), pulse.path()).unwrap();
        let mut process = Command::new("sleep").arg("300").spawn().unwrap();
        let pid = process.id();
        say("READY=1\nWATCHDOG=1");
        assert!(pulse.watch(pid), "it does not say that it runs");
        say("WATCHDOG=1\n");
        say("STOPPING=1\n");
        let ended = thread::scope(|scope| {
            let watch = scope.spawn(|| pulse.watch(pid));
            thread::sleep(Duration::from_secs(u64::from(SILENT) + 1));
            let waits = !watch.is_finished();
            process.kill().unwrap();
            (waits, watch.join().unwrap())
        });
        process.wait().unwrap();
        assert_eq!(ended, (true, false), "whoever stops need not say so, and has ended");
    }
}
