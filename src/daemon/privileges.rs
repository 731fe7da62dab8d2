//! What the daemon gives up before anything else of it runs: the user, capabilities, and by confining itself the rest.
//!
//! Programs that it starts would inherit the confinement. Where the configuration names some, it is not confined; and a
//! daemon that is does not take a configuration that names the first one, nor one that wants to write elsewhere.

use std::{
    fs, iter,
    path::{Path, PathBuf},
};

use super::{origin::Origin, regular};
use crate::{
    config::Config,
    linux::{Allowed, Confined, become_user, confine, forgo_capabilities, keep_capabilities, make_directory_for},
};

/// What every daemon needs.
const NEEDED: [&str; 2] = ["CAP_NET_ADMIN", "CAP_NET_RAW"];
/// What root keeps for its policies besides: files, processes and signals of others, as root has them.
const OF_ROOT: [&str; 5] = ["CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_CHOWN", "CAP_KILL", "CAP_SYS_PTRACE"];

/// What entering another network takes (setns(2)), and giving up what it takes.
const OF_ENTERING: [&str; 2] = ["CAP_SYS_ADMIN", "CAP_SETPCAP"];

/// Becomes the user that the configuration names. Comes first: everything that is made from then on is that user's. Where
/// instances live in networks of their own, what entering those takes is kept until [`stay`].
///
/// # Errors
/// It is not possible, or that user could not read the configuration at the next reload: a sentence.
pub(super) fn change_user(config: &Config, file: &Path) -> Result<(), String> {
    let Some(user) = &config.privileges.user else { return Ok(()) };
    if nix::unistd::geteuid().is_root() {
        for directory in own_directories(config) {
            make_directory_for(user, directory)?;
        }
    }
    let entering = OF_ENTERING.iter().filter(|_| !config.networks().is_empty());
    let kept: Vec<&str> = capabilities(config).into_iter().chain(entering.copied()).collect();
    become_user(user, &kept).map_err(|why| format!("not running as {user}: {why}"))?;
    regular::open_anything(file).map(drop).map_err(|error| {
        format!("{user} cannot read {}: {error}; every reload would fail. Give it to that user's group", file.display())
    })
}

/// Gives up entering other networks, for this thread. Root keeps it until it is confined, if it is.
///
/// # Errors
/// The kernel refused: a sentence.
pub(super) fn stay(config: &Config) -> Result<(), String> {
    if nix::unistd::geteuid().is_root() && config.privileges.user.is_none() {
        return Ok(());
    }
    let wanted = |name: &&str| !config.privileges.capabilities.iter().any(|wanted| wanted == name);
    forgo_capabilities(&OF_ENTERING.into_iter().filter(wanted).collect::<Vec<_>>())
}

/// Confines this process as the configuration wants it, and says so.
///
/// # Errors
/// The kernel refused: a sentence.
pub(super) fn confine_as_wanted(config: &Config, origin: &Origin) -> Result<(), String> {
    let done = confine_thread(config, origin)?;
    let Some(done) = done else {
        if let Some(program) = config.programs().first().filter(|_| config.privileges.confine) {
            let program = program.display();
            tracing::info!(
                "not confined: {program} and other programs would be too. Keep them few and their files root's"
            );
        }
        return Ok(());
    };
    match (done.files, done.calls) {
        (true, true) => tracing::info!("confined: writes its own directories, starts no program, fewer system calls"),
        (files, calls) => tracing::warn!(
            "confined in part: {}, {}. The kernel cannot do more (Landlock needs 5.13), or the unit forbids it (its \
             SystemCallFilter must have seccomp and landlock_*); ha goes on",
            if files {
                "writes its own directories and starts no program"
            } else {
                "files are not limited (no Landlock)"
            },
            if calls { "fewer system calls" } else { "system calls are not limited (no seccomp)" },
        ),
    }
    Ok(())
}

/// The same for the calling thread alone, without a word. None: the configuration does not want it.
///
/// # Errors
/// The kernel refused: a sentence.
pub(super) fn confine_thread(config: &Config, origin: &Origin) -> Result<Option<Confined>, String> {
    if !is_confined(config) {
        return Ok(None);
    }
    if config.privileges.user.is_none() && nix::unistd::geteuid().is_root() {
        let kept: Vec<&str> = capabilities(config).into_iter().chain(OF_ROOT).collect();
        keep_capabilities(&kept)?;
    }
    let mut writable: Vec<PathBuf> = own_directories(config).chain(wanted(config)).map(Path::to_owned).collect();
    writable.extend(origin.writes());
    for directory in &writable {
        // Whoever needs it says what is wrong.
        let _ = fs::create_dir_all(directory);
    }
    confine(&Allowed { writable, namespaces: false }).map(Some)
}

/// Why a running daemon cannot take a configuration on: it has given up what that would need. None: it can.
pub(super) fn objection(running: &Config, new: &Config) -> Option<String> {
    if !is_confined(running) {
        return None;
    }
    let started = "this daemon was confined when it started";
    if let Some(program) = new.programs().first() {
        return Some(format!("{program} cannot be started: {started}. Restart ha", program = program.display()));
    }
    let fifo = new.events.fifo.as_deref()?;
    let may = own_directories(running).chain(wanted(running)).any(|allowed| fifo.starts_with(allowed));
    (!may).then(|| format!("{} cannot be made: {started}. Restart ha", fifo.display()))
}

fn is_confined(config: &Config) -> bool {
    config.privileges.confine && config.programs().is_empty()
}

fn capabilities(config: &Config) -> Vec<&str> {
    let realtime = config.realtime_priority.map(|_| "CAP_SYS_NICE");
    let extra = config.privileges.capabilities.iter().map(String::as_str);
    NEEDED.into_iter().chain(realtime).chain(extra).collect()
}

/// What is fixed while the daemon runs.
fn own_directories(config: &Config) -> impl Iterator<Item = &Path> {
    iter::once(config.control.state_dir.as_path()).chain(config.control.socket.parent())
}

fn wanted(config: &Config) -> impl Iterator<Item = &Path> {
    let fifo = config.events.fifo.as_deref().and_then(Path::parent);
    fifo.into_iter().chain(config.privileges.writable.iter().map(PathBuf::as_path))
}
