//! Memory that ends: a control group with a bound, for whatever lives in it, and the kernel's own OOM killer behind it.

use std::{
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::trouble::{Result, Trouble};

/// What a group may have. It is more than a daemon and its keeper need, so that whoever wants it all is the greatest in it.
const BOUND: u64 = 64 << 20;
/// How many this process has made: several may be there at the same time.
static MADE: AtomicU32 = AtomicU32::new(0);
/// Takes memory for as long as it gets some: a line of zeros that does not end. Whatever the group does, it gets no more than 1 GiB.
const GREEDY: &str = "ulimit -v 1048576 && echo $$ >\"$1/cgroup.procs\" && exec tail /dev/zero";

/// A control group of version 1 or 2. Who is left in it when it is dropped goes back to the group above.
#[derive(Debug)]
pub struct Memory {
    above: PathBuf,
    directory: PathBuf,
}

impl Memory {
    /// A new group, for which it takes the rights of root outside of any namespace.
    ///
    /// # Errors
    /// What the kernel says, also where it has no control of memory.
    pub fn bounded() -> Result<Self> {
        let name = format!("ha-lab-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let (above, bound) = hierarchy().map_err(Trouble::kernel("bound the memory of processes"))?;
        let directory = above.join(name);
        let make = || {
            fs::create_dir(&directory)?;
            let made = Self { above, directory };
            made.write(bound, &BOUND.to_string()).map(|()| made)
        };
        make().map_err(Trouble::kernel("make a control group with bounded memory"))
    }

    /// From now on these processes, and what they start, live with the bound. What they have already is not counted.
    ///
    /// # Errors
    /// What the kernel says: one of them is gone.
    pub fn admit(&self, processes: &[i32]) -> Result<()> {
        let admit = |process: &i32| self.write("cgroup.procs", &process.to_string());
        processes.iter().try_for_each(admit).map_err(Trouble::kernel("put a process into a control group"))
    }

    /// Another process in the group takes all the memory that there is. The kernel ends `first`, which is in the group, and when
    /// that does not help the greedy one itself. Returns when it has, with how many it ended.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn exhaust(&self, first: i32) -> Result<u64> {
        fs::write(format!("/proc/{first}/oom_score_adj"), "1000").map_err(Trouble::kernel("name who ends first"))?;
        let failed = |error| Trouble::Program { name: "sh".to_owned(), error };
        let mut greedy = Command::new("sh");
        greedy.args(["-c", GREEDY, "sh"]).arg(&self.directory).stdin(Stdio::null()).stdout(Stdio::null());
        greedy.stderr(Stdio::null()).status().map_err(failed)?;
        self.ended().map_err(Trouble::kernel("read what a control group says"))
    }

    /// How many processes of the group the kernel has ended for want of memory.
    fn ended(&self) -> io::Result<u64> {
        let one = |name| fs::read_to_string(self.directory.join(name));
        let said = one("memory.events").or_else(|_| one("memory.oom_control"))?;
        let count = said.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).ok_or_else(|| ErrorKind::InvalidData.into())
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        fs::write(self.directory.join(name), text)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let above = self.above.join("cgroup.procs");
        // One that is about to end keeps its group for a moment.
        for _ in 0..50 {
            let left = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
            for process in left.lines() {
                // It may have ended meanwhile.
                let _ = fs::write(&above, process);
            }
            if fs::remove_dir(&self.directory).is_ok() || !self.directory.exists() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The group above all, and the file of a bound in those below.
fn hierarchy() -> io::Result<(PathBuf, &'static str)> {
    let root = Path::new("/sys/fs/cgroup");
    let first = root.join("memory");
    if first.join("memory.limit_in_bytes").exists() {
        return Ok((first, "memory.limit_in_bytes"));
    }
    let controlled = fs::read_to_string(root.join("cgroup.subtree_control"))?;
    if controlled.split_whitespace().any(|controller| controller == "memory") {
        return Ok((root.to_owned(), "memory.max"));
    }
    Err(io::Error::new(ErrorKind::Unsupported, "no control group of this machine has bounded memory"))
}
