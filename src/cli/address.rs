//! Where the daemon is reached.
//!
//! A command has to reach the daemon whose configuration file is broken by now, so only the two values that matter are
//! read from it, and nothing is complained about.

use std::{
    fs::File,
    io, panic,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::Daemon;
use crate::{
    config::Netns,
    control::Client,
    daemon::{regular, store::Store},
    linux::enter_network,
};

/// Where the configuration does not say otherwise.
const SOCKET: &str = "/run/ha/ha.sock";
const STATE_DIR: &str = "/var/lib/ha";
/// How long the file may take to be read.
const READ_TIME: Duration = Duration::from_secs(3);
/// Where a shell passes what another program writes, which may be a pipe.
const PASSED: [&str; 3] = ["/dev/fd", "/dev/stdin", "/proc/self/fd"];

impl Daemon {
    /// The client of this daemon.
    pub(super) fn client(&self) -> Client {
        match &self.socket {
            Some(socket) => Client::new(socket),
            None => Client::new(&socket_of(&self.config)),
        }
    }
}

/// The socket that a configuration file names.
pub(super) fn socket_of(config: &Path) -> PathBuf {
    control_path(config, "socket", SOCKET)
}

/// The state directory that a configuration file names.
pub(super) fn state_dir_of(config: &Path) -> PathBuf {
    control_path(config, "state_dir", STATE_DIR)
}

/// This thread, and whoever it starts, works in the network that a configuration file names from here on; if the file is broken,
/// in that of the last good one.
///
/// # Errors
/// A sentence: it cannot be entered.
pub(super) fn enter_network_of(config: &Path) -> Result<(), String> {
    // What a pipe says can be read once, and is to be looked at yet.
    if is_passed(config) {
        return Ok(());
    }
    let text = text_of(config).unwrap_or_default();
    let kept = || Store::at(&state_dir_of(config)).last_good_config().ok().flatten().unwrap_or_default();
    let text = if text.parse::<toml::Table>().is_ok() { text } else { kept() };
    Netns::named_in(&text).map_or(Ok(()), |netns| enter_network(&netns.path()))
}

/// Works on a thread in that network.
///
/// # Errors
/// A sentence: it cannot be entered.
pub(super) fn within<T: Send>(network: &Netns, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    let there = thread::scope(|scope| {
        let thread = scope.spawn(|| enter_network(&network.path()).map(|()| work()));
        thread.join()
    });
    there.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn control_path(config: &Path, key: &str, otherwise: &str) -> PathBuf {
    let named = text_of(config).and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        Some(PathBuf::from(table.get("control")?.get(key)?.as_str()?))
    });
    let absolute = std::path::absolute(config).unwrap_or_else(|_| config.to_owned());
    let base = absolute.parent().unwrap_or(Path::new("/"));
    base.join(named.unwrap_or_else(|| PathBuf::from(otherwise)))
}

/// What the file says, or what is passed as one. `None` also where nobody gives it out: the daemon may be asked for that very reason.
fn text_of(config: &Path) -> Option<String> {
    let path = config.to_owned();
    let passed = is_passed(config);
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let opened = if passed { File::open(&path) } else { regular::open(&path) };
        tell.send(opened.and_then(io::read_to_string).ok())
    });
    told.recv_timeout(READ_TIME).ok().flatten()
}

fn is_passed(config: &Path) -> bool {
    PASSED.iter().any(|directory| config.starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_names_the_socket_or_the_default_counts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ha.toml");
        assert_eq!(socket_of(&file), Path::new(SOCKET));
        std::fs::write(&file, "nonsense = 1\n[control]\nsocket = \"run/ha.sock\"\nstate_dir = \"/s\"\n").unwrap();
        assert_eq!(socket_of(&file), directory.path().join("run/ha.sock"));
        assert_eq!(state_dir_of(&file), Path::new("/s"));
        std::fs::write(&file, "broken = ").unwrap();
        assert_eq!(socket_of(&file), Path::new(SOCKET));
        // Nobody writes there.
        std::fs::remove_file(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(socket_of(&file), Path::new(SOCKET));
    }
}
