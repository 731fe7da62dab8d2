//! Namespaces: one set for the whole lab, and a network namespace for each machine in it.
//!
//! [`enter`] takes the process into namespaces of its own and must come before any thread: the kernel lets no threaded
//! process enter a user namespace. A [`Netns`] is kept by a thread that lives in it and does whatever is to be done
//! there; what that thread starts, threads or programs, lives there too. Nothing has a name outside of this process, so
//! everything disappears with it.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::fd::{AsRawFd, RawFd},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd,
};

use super::trouble::{Result, Trouble};

/// Takes this process into namespaces of its own: an ordinary user's, or root's where user namespaces are forbidden.
///
/// # Errors
///
/// Where neither is allowed, or where this process has more than one thread.
pub fn enter() -> Result<()> {
    let (uid, gid) = (unistd::getuid(), unistd::getgid());
    let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let outside = if uid.is_root() { Outside::start().ok() } else { None };
    match unshare(CloneFlags::CLONE_NEWUSER | own) {
        Ok(()) if outside.is_some_and(Outside::map_everybody) => {}
        Ok(()) => become_root(uid.as_raw(), gid.as_raw()).map_err(Trouble::NoNamespaces)?,
        Err(_) if uid.is_root() => unshare(own).map_err(|error| Trouble::NoNamespaces(error.into()))?,
        Err(error) => return Err(Trouble::NoNamespaces(error.into())),
    }
    mount_nothing("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE).map_err(Trouble::NoNamespaces)
}

/// As [`enter`], but with the rights of the real root, which has them already: only it gets real-time priority.
///
/// # Errors
///
/// Where this process is not root's, or has more than one thread.
pub fn enter_as_root() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(|error| Trouble::NoNamespaces(error.into()))?;
    mount_nothing("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE).map_err(Trouble::NoNamespaces)
}

/// Whether [`enter`] would work, tried in a process of its own by the caller: `Err` says why not.
///
/// # Errors
///
/// As [`enter`], and where a network cannot be made although the namespaces can.
pub fn try_out() -> Result<()> {
    enter()?;
    Netns::create("trial").map(drop)
}

/// A shell that stays outside of root's new user namespace and gives it all of root's users and groups. Without them no
/// program inside may change its groups, and keepalived takes its check scripts for successful (it starts none).
struct Outside(Child);

impl Outside {
    fn start() -> io::Result<Self> {
        let map = "read -r _ && echo 0 0 4294967295 >/proc/$PPID/uid_map && echo 0 0 4294967295 >/proc/$PPID/gid_map";
        let mut shell = Command::new("sh");
        shell.args(["-c", map]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map(Self)
    }

    /// Whether it could.
    fn map_everybody(mut self) -> bool {
        let told = self.0.stdin.take().is_some_and(|mut stdin| stdin.write_all(b"\n").is_ok());
        told && self.0.wait().is_ok_and(|status| status.success())
    }
}

/// Inside a new user namespace: the user becomes root of it, and of nothing else.
fn become_root(uid: u32, gid: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

fn mount_nothing(target: &str, flags: MsFlags) -> io::Result<()> {
    mount(None::<&str>, target, None::<&str>, flags, None::<&str>).map_err(Into::into)
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a resident: the thread that keeps it and works in it.
#[derive(Debug)]
pub struct Netns {
    name: &'static str,
    file: File,
    jobs: mpsc::Sender<Job>,
}

impl Netns {
    /// Makes an empty one.
    ///
    /// # Errors
    ///
    /// Where the kernel does not allow it.
    pub fn create(name: &'static str) -> Result<Self> {
        let (jobs, to_do) = mpsc::channel::<Job>();
        let (ready, is_ready) = mpsc::channel();
        thread::Builder::new()
            .name(format!("in {name}"))
            .spawn(move || {
                let made = move_in();
                let moved_in = made.is_ok();
                if ready.send(made).is_ok() && moved_in {
                    to_do.into_iter().for_each(|job| job());
                }
            })
            .map_err(Trouble::kernel("start a thread"))?;
        let made = is_ready.recv().map_err(|_| Trouble::Gone("a namespace's thread"))?;
        let file = made.map_err(Trouble::kernel(format!("make the network namespace {name}")))?;
        Ok(Self { name, file, jobs })
    }

    /// Its name, for people.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The descriptor that stands for it, valid in this process.
    #[must_use]
    pub fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Does `job` inside and waits for it. Sockets made there stay there; so do threads and programs started there.
    ///
    /// # Errors
    ///
    /// If an earlier job panicked.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, is_done) = mpsc::channel();
        let job = Box::new(move || {
            // The receiver waits below; it is gone only if this process is going down.
            let _ = done.send(job());
        });
        self.jobs.send(job).map_err(|_| Trouble::Gone("a namespace's thread"))?;
        is_done.recv().map_err(|_| Trouble::Gone("a namespace's thread"))
    }

    /// A command line prefix that runs a program in it, from outside, for as long as this process lives.
    #[must_use]
    pub fn nsenter(&self) -> String {
        let pid = std::process::id();
        let user = if in_own_user_namespace() {
            format!(" --user=/proc/{pid}/ns/user --preserve-credentials")
        } else {
            String::new()
        };
        format!("nsenter{user} --net=/proc/{pid}/fd/{}", self.file.as_raw_fd())
    }
}

/// The calling thread gets a network namespace, and a mount namespace in which `/sys` shows that network.
fn move_in() -> io::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount_nothing("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;
    // Where parts of /sys are hidden (in a container) the kernel refuses; then programs see the outer /sys, which only
    // those notice that read interfaces there.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>);
    File::open("/proc/thread-self/ns/net")
}

fn in_own_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.trim_end().ends_with("4294967295"))
}
