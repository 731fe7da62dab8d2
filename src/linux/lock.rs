//! One owner of a virtual router: a second daemon for the same one is refused.
//!
//! Two locks, both held and not written, so that nothing stale ever stops a start: a locked file in the state directory,
//! and a name in the abstract socket namespace, which is one for each network namespace. The first keeps two daemons from
//! one memory, the second two configurations from one virtual router.

use std::{
    fs::{self, File},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener, UnixStream},
    },
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    wire::Vrid,
    words::{Family, InterfaceName},
};

/// How often it is looked whether a process that ends has ended.
const LOOK: Duration = Duration::from_millis(20);

/// While it lives, no other daemon runs this virtual router. Descriptors are closed on exec; a forked child that goes on
/// without exec shares the lock.
#[derive(Debug)]
pub struct VirtualRouterLock {
    _file: Option<File>,
    _name: Option<UnixListener>,
}

/// Why there is no lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockError {
    /// Another process has it: a sentence.
    Held(String),
    /// It could not be tried: a sentence.
    Failed(String),
}

impl std::fmt::Display for LockError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Held(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for LockError {}

impl VirtualRouterLock {
    /// Takes the lock of a virtual router in this network namespace, without waiting.
    ///
    /// # Errors
    /// [`LockError::Held`] if another process has it.
    pub fn acquire(state_dir: &Path, interface: &InterfaceName, vrid: Vrid, family: Family) -> Result<Self, LockError> {
        let router = Router { interface, vrid, family };
        let file = match lock_file(state_dir, &router) {
            Ok(file) => Ok(file),
            Err(LockError::Failed(why)) => Err(why),
            Err(held) => return Err(held),
        };
        let name = take_name(&router)?;
        let file = match (file, &name) {
            (Ok(file), _) => Some(file),
            (Err(why), Some(_)) => {
                tracing::warn!("{why}; the name of a socket keeps another ha from it meanwhile");
                None
            }
            (Err(why), None) => {
                return Err(LockError::Failed(format!(
                    "{why}. ha does not start; make state_dir a directory it can write to"
                )));
            }
        };
        Ok(Self { _file: file, _name: name })
    }

    /// The process that runs a virtual router in this network namespace, if it is root's, this user's or that `user`'s, a
    /// number, and still does then; whatever has become of its files.
    #[must_use]
    pub fn holder(
        interface: &InterfaceName,
        vrid: Vrid,
        family: Family,
        user: Option<u32>,
        until: Instant,
    ) -> Option<i32> {
        let address = SocketAddr::from_abstract_name(Router { interface, vrid, family }.name()).ok()?;
        while UnixListener::bind_addr(&address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            if until <= Instant::now() {
                // Asked once: nobody takes what is asked from the queue of a listener.
                let holder = holder(&address).filter(|holder| holder.may_run_it() || Some(holder.uid) == user);
                return holder.map(|holder| holder.pid);
            }
            thread::sleep(LOOK);
        }
        None
    }
}

/// Which virtual router.
struct Router<'a> {
    interface: &'a InterfaceName,
    vrid: Vrid,
    family: Family,
}

impl Router<'_> {
    fn name(&self) -> String {
        format!("ha/vr/{}/{}/{}", self.interface, self.vrid, self.family())
    }

    const fn family(&self) -> &'static str {
        match self.family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        }
    }

    fn held(&self, by: &str) -> LockError {
        LockError::Held(format!(
            "virtual router {} on {} ({}) is run by another ha: {by}. Only one can run it; this one leaves it alone. Stop the other first",
            self.vrid,
            self.interface,
            self.family()
        ))
    }
}

fn lock_file(state_dir: &Path, router: &Router<'_>) -> Result<File, LockError> {
    let path = state_dir.join(format!("{}-{}-{}.lock", router.interface, router.vrid, router.family()));
    let failed = |error: io::Error| LockError::Failed(format!("{} cannot be opened: {error}", path.display()));
    fs::create_dir_all(state_dir).map_err(failed)?;
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    // Where nothing can be written, a file of an earlier process will do.
    let file = file.or_else(|error| File::open(&path).map_err(|_| error)).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(router.held(&format!("{} is locked", path.display()))),
        Err(error) => Err(failed(error.into())),
    }
}

/// `None` if somebody without the right to it sits on the name: any local user can, and that must not stop a start.
fn take_name(router: &Router<'_>) -> Result<Option<UnixListener>, LockError> {
    let name = router.name();
    let failed = |error: io::Error| {
        LockError::Failed(format!("the socket name @{name} cannot be taken: {error}. ha does not start"))
    };
    let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
    match UnixListener::bind_addr(&address) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder(&address) {
            Some(holder) if holder.may_run_it() => {
                Err(router.held(&format!("process {} has the name @{name}", holder.pid)))
            }
            Some(Holder { pid, uid }) => {
                tracing::warn!(pid, uid, name, "a stranger's process has the name of this lock; ha starts without it");
                Ok(None)
            }
            None => {
                tracing::warn!(name, "something that is not ha has the name of this lock; ha starts without it");
                Ok(None)
            }
        },
        Err(error) => Err(failed(error)),
    }
}

/// The process that listens on a name.
struct Holder {
    pid: i32,
    uid: u32,
}

impl Holder {
    /// Root's or our own.
    fn may_run_it(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }
}

fn holder(address: &SocketAddr) -> Option<Holder> {
    let stream = UnixStream::connect_addr(address).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(Holder { pid: peer.pid.as_raw_nonzero().get(), uid: peer.uid.as_raw() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(name: &str) -> (InterfaceName, Vrid) {
        (name.parse().unwrap(), Vrid::new(51).unwrap())
    }

    #[test]
    fn a_second_owner_is_refused_until_the_first_is_gone() {
        let (interface, vrid) = router("ha-lock-a");
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let first = VirtualRouterLock::acquire(one.path(), &interface, vrid, Family::V4).unwrap();
        // The same memory, and another configuration for the same virtual router.
        for state_dir in [one.path(), two.path()] {
            let Err(LockError::Held(text)) = VirtualRouterLock::acquire(state_dir, &interface, vrid, Family::V4) else {
                panic!("locked twice");
            };
            assert!(text.starts_with("virtual router 51 on ha-lock-a (ipv4) is run by another ha"), "{text}");
        }
        VirtualRouterLock::acquire(one.path(), &interface, vrid, Family::V6).unwrap();
        drop(first);
        VirtualRouterLock::acquire(one.path(), &interface, vrid, Family::V4).unwrap();
    }

    #[test]
    fn each_of_the_two_locks_refuses_alone() {
        let (interface, vrid) = router("ha-lock-c");
        let router = Router { interface: &interface, vrid, family: Family::V6 };
        let state = tempfile::tempdir().unwrap();
        let file = lock_file(state.path(), &router).unwrap();
        assert!(matches!(lock_file(state.path(), &router), Err(LockError::Held(_))));
        let name = take_name(&router).unwrap();
        assert!(matches!(take_name(&router), Err(LockError::Held(_))));
        drop((file, name));
        VirtualRouterLock::acquire(state.path(), &interface, vrid, Family::V6).unwrap();
    }

    /// Any local user can take a name; nobody listens on this one.
    #[test]
    fn a_name_that_something_else_sits_on_stops_nothing() {
        let (interface, vrid) = router("ha-lock-d");
        let address = rustix::net::SocketAddrUnix::new_abstract_name(b"ha/vr/ha-lock-d/51/ipv4").unwrap();
        let squatter =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::net::bind(&squatter, &address).unwrap();
        let state = tempfile::tempdir().unwrap();
        VirtualRouterLock::acquire(state.path(), &interface, vrid, Family::V4).unwrap();
    }

    /// The directory is a file: nothing can be written there, by root neither.
    #[test]
    fn a_directory_that_takes_no_file_stops_nothing_where_the_name_can_be_had() {
        let (interface, vrid) = router("ha-lock-e");
        let base = tempfile::tempdir().unwrap();
        let state = base.path().join("state");
        fs::write(&state, "").unwrap();
        let first = VirtualRouterLock::acquire(&state, &interface, vrid, Family::V4).unwrap();
        let second = VirtualRouterLock::acquire(&state, &interface, vrid, Family::V4);
        assert!(matches!(second, Err(LockError::Held(_))), "{second:?}");
        assert!(VirtualRouterLock::holder(&interface, vrid, Family::V4, None, Instant::now()).is_some());
        drop(first);
        assert_eq!(VirtualRouterLock::holder(&interface, vrid, Family::V4, None, Instant::now()), None);
    }

    #[test]
    fn a_lock_file_that_was_left_behind_stops_nothing() {
        let (interface, vrid) = router("ha-lock-b");
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("ha-lock-b-51-ipv4.lock"), "4711").unwrap();
        VirtualRouterLock::acquire(state.path(), &interface, vrid, Family::V4).unwrap();
    }
}
