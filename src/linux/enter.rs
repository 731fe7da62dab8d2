//! Into a network namespace: the calling thread, and every thread and program that it starts from then on.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::sched::{CloneFlags, setns};

/// What the calling thread sees of the network.
const OWN: &str = "/proc/thread-self/ns/net";

/// A network namespace that was found: whoever has this may enter it whatever becomes of its name and of the right to see it.
#[derive(Debug)]
pub struct Network {
    path: PathBuf,
    file: File,
}

impl Network {
    /// Looks for it.
    ///
    /// # Errors
    /// A sentence: it does not exist, or cannot be reached.
    pub fn find(path: &Path) -> Result<Self, String> {
        // Whatever else may have that name is not waited for.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
        let file = file.map_err(|error| missing(path, &error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// What has that name is not, or not any more, what the calling thread sees. One that cannot be looked at is as it was.
    #[must_use]
    pub fn is_another(path: &Path) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        match (fs::metadata(path).map(identity), fs::metadata(OWN).map(identity)) {
            (Ok(named), Ok(own)) => named != own,
            (Err(error), _) => error.kind() == io::ErrorKind::NotFound,
            (Ok(_), Err(_)) => false,
        }
    }

    /// As [`enter_network`].
    ///
    /// # Errors
    /// A sentence: it is no network namespace, or the capability is missing. The thread is where it was.
    pub fn enter(&self) -> Result<(), String> {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let wanted = self.file.metadata().map(identity).map_err(|error| missing(&self.path, &error))?;
        if fs::metadata(OWN).is_ok_and(|own| identity(own) == wanted) {
            return Ok(());
        }
        enter(&self.path, &self.file)
    }
}

/// Moves the calling thread into the namespace that `path` stands for. Where it is already there, that takes no privilege.
///
/// # Errors
/// A sentence: it does not exist, is none, or the capability is missing. The thread is where it was.
pub fn enter_network(path: &Path) -> Result<(), String> {
    Network::find(path)?.enter()
}

fn enter(path: &Path, file: &File) -> Result<(), String> {
    let shown = path.display();
    setns(file, CloneFlags::CLONE_NEWNET).map_err(io::Error::from).map_err(|error| match error.raw_os_error() {
        Some(libc::EINVAL) => format!("{shown} is no network namespace: name one that `ip netns list` shows"),
        Some(libc::EPERM) => format!(
            "the network namespace {shown} cannot be entered: {error}; that takes CAP_SYS_ADMIN, or let the service manager \
             start ha in it (NetworkNamespacePath={shown} in the unit)"
        ),
        Some(_) | None => format!("the network namespace {shown} cannot be entered: {error}"),
    })
}

fn missing(path: &Path, error: &io::Error) -> String {
    let shown = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        return format!("the network namespace {shown} does not exist: make it before ha starts (ip netns add)");
    }
    format!("the network namespace {shown} cannot be reached: {error}")
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::{
        super::namespace::{alone, ip, ip_shows},
        *,
    };

    #[test]
    fn a_thread_moves_and_whatever_it_starts_is_there_too() {
        alone(|| {
            ip("link add outer type bridge");
            let there = thread::spawn(|| {
                nix::sched::unshare(CloneFlags::CLONE_NEWNET).unwrap();
                ip("link add inner type bridge");
                File::open(OWN).unwrap()
            });
            let there = there.join().unwrap();
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&there));
            let seen = thread::spawn(move || {
                enter_network(Path::new(&path)).unwrap();
                enter_network(Path::new(&path)).unwrap();
                thread::spawn(|| ip_shows("link show")).join().unwrap()
            });
            let seen = seen.join().unwrap();
            assert!(seen.contains("inner") && !seen.contains("outer"), "{seen}");
            assert!(ip_shows("link show").contains("outer"), "nobody else moved");
        });
    }

    #[test]
    fn what_cannot_be_entered_is_said() {
        let why = |path| enter_network(Path::new(path)).unwrap_err();
        assert!(why("/run/netns/no-such-namespace").contains("ip netns add"));
        assert_eq!(enter_network(Path::new(OWN)), Ok(()), "it is here");
        alone(|| {
            assert!(enter_network(Path::new("/proc/self/cmdline")).unwrap_err().contains("is no network namespace"));
            let directory = tempfile::tempdir().unwrap();
            let fifo = directory.path().join("fifo");
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
            assert!(
                enter_network(&fifo).unwrap_err().contains("is no network namespace"),
                "and nobody waits for a writer"
            );
            assert!(!Network::is_another(Path::new(OWN)) && Network::is_another(&fifo));
            assert!(Network::is_another(&directory.path().join("gone")));
        });
    }
}
