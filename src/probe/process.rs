//! The process probe: who is alive, by /proc. No process is started, and none of them is asked anything.
//!
//! The kernel keeps the first 15 bytes of a program's name (`comm`, proc(5)); for a longer one the command line or the program
//! file must have the whole of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::User;

use super::answer::{Answer, Failure, Fields};
use crate::policy::probe::{ErrorKind, Field, ProcessRequest};

/// As much of a name as the kernel keeps.
const COMM_MAX: usize = 15;
/// Where in a command line an interpreter's script may stand.
const SCRIPT_WITHIN: usize = 3;

/// `ok`: as many as there should be. Fields: `count`, `pids`. Blocks.
pub(super) fn look(wanted: &ProcessRequest) -> Answer {
    let found = match &wanted.pidfile {
        None => everybody().map(|pids| (pids, None)),
        Some(path) => named_in(path).map(|pid| (pid.into_iter().collect(), Some(path))),
    };
    let pids = found.and_then(|(pids, pidfile)| {
        let uid = wanted.user.as_deref().map(uid_of).transpose()?;
        let fitting: Vec<u32> = pids.iter().copied().filter(|pid| fits(*pid, wanted, uid)).collect();
        match (pidfile, pids.first()) {
            (Some(path), Some(pid)) if fitting.is_empty() => Err(stale(path, *pid, wanted)),
            (Some(_) | None, _) => Ok(fitting),
        }
    });
    match pids {
        Ok(pids) => judge(wanted, &pids),
        Err(failure) => answer(Err(failure), &[]),
    }
}

/// Every process that is wanted.
///
/// # Errors
/// A sentence: nobody knows.
pub fn find(wanted: &ProcessRequest) -> Result<Vec<u32>, String> {
    if is_blindfolded() {
        return Err("this process does not see those of others: /proc is mounted with hidepid".to_owned());
    }
    let pids = everybody().map_err(|failure| failure.why)?;
    Ok(pids.into_iter().filter(|pid| fits(*pid, wanted, None)).collect())
}

/// Whether a process is one of those.
#[must_use]
pub fn is(pid: u32, wanted: &ProcessRequest) -> bool {
    fits(pid, wanted, None)
}

fn judge(wanted: &ProcessRequest, pids: &[u32]) -> Answer {
    let verdict = match wanted.judge_count(pids.len()) {
        (true, why) => Ok(why),
        (false, _) if is_blindfolded() => Err(Failure::new(
            ErrorKind::Denied,
            "this process does not see those of others: /proc is mounted with hidepid",
        )),
        (false, why) => Err(Failure::new(ErrorKind::Mismatch, why)),
    };
    answer(verdict, pids)
}

/// What is not known is not counted as none.
fn answer(verdict: Result<String, Failure>, pids: &[u32]) -> Answer {
    let unknown = matches!(&verdict, Err(failure) if failure.error != ErrorKind::Mismatch);
    let fields = if unknown {
        Fields::from([("count", Field::Unit), ("pids", Field::Unit)])
    } else {
        let list = pids.iter().map(|pid| Field::Int((*pid).into())).collect();
        Fields::from([
            ("count", Field::Int(i64::try_from(pids.len()).unwrap_or(i64::MAX))),
            ("pids", Field::List(list)),
        ])
    };
    Answer { verdict, fields }
}

/// The first process of every machine is not to be seen.
fn is_blindfolded() -> bool {
    !Path::new("/proc/1").exists()
}

fn everybody() -> Result<Vec<u32>, Failure> {
    let processes = fs::read_dir("/proc").map_err(|error| Failure::internal(format!("/proc: {error}")))?;
    let mut pids: Vec<u32> =
        processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

/// The number in a pid file; `None` if there is no such file, so that nobody runs.
fn named_in(path: &Path) -> Result<Option<u32>, Failure> {
    let said = |why: String| Failure::internal(format!("{}: {why}", path.display()));
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Failure { error: ErrorKind::Denied, ..said(error.to_string()) })
        }
        Err(error) => Err(said(error.to_string())),
        Ok(text) => match text.split_whitespace().next().and_then(|word| word.parse().ok()) {
            Some(pid) => Ok(Some(pid)),
            None => Err(Failure::new(ErrorKind::Mismatch, format!("{}: no process number in it", path.display()))),
        },
    }
}

fn stale(path: &Path, pid: u32, wanted: &ProcessRequest) -> Failure {
    let is = match comm(pid) {
        Some(name) if is_alive(pid) && name.as_bytes() != short(&wanted.name) => format!("is {name}"),
        Some(_) if is_alive(pid) => "is another one".to_owned(),
        Some(_) | None => "is gone".to_owned(),
    };
    Failure::new(ErrorKind::Mismatch, format!("{} names process {pid}, which {is}", path.display()))
}

fn uid_of(user: &str) -> Result<u32, Failure> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    match User::from_name(user) {
        Ok(Some(user)) => Ok(user.uid.as_raw()),
        Ok(None) => Err(Failure::internal(format!("there is no user {user}"))),
        Err(error) => Err(Failure::internal(format!("looking up the user {user}: {}", error.desc().to_lowercase()))),
    }
}

fn fits(pid: u32, wanted: &ProcessRequest, uid: Option<u32>) -> bool {
    comm(pid).is_some_and(|name| name.as_bytes() == short(&wanted.name))
        && (wanted.name.len() <= COMM_MAX || is_wholly(pid, &wanted.name))
        && is_alive(pid)
        && uid.is_none_or(|uid| effective_uid(pid) == Some(uid))
        && wanted.cmdline.as_ref().is_none_or(|text| arguments(pid).join(" ").contains(text))
}

fn short(name: &str) -> &[u8] {
    name.as_bytes().get(..COMM_MAX).unwrap_or(name.as_bytes())
}

fn comm(pid: u32) -> Option<String> {
    let bytes = fs::read(of(pid, "comm")).ok()?;
    let name = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    Some(String::from_utf8_lossy(name).into_owned())
}

fn is_wholly(pid: u32, name: &str) -> bool {
    let is_it = |path: &Path| path.file_name().is_some_and(|last| last == name);
    fs::read_link(of(pid, "exe")).is_ok_and(|program| is_it(&program))
        || arguments(pid).iter().take(SCRIPT_WITHIN).any(|argument| is_it(Path::new(argument)))
}

fn arguments(pid: u32) -> Vec<String> {
    let line = fs::read(of(pid, "cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0)
        .filter(|argument| !argument.is_empty())
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect()
}

/// Neither a zombie nor dead.
fn is_alive(pid: u32) -> bool {
    status(pid, "State:").is_some_and(|state| !state.starts_with(['Z', 'X', 'x']))
}

fn effective_uid(pid: u32) -> Option<u32> {
    status(pid, "Uid:")?.split_whitespace().nth(1)?.parse().ok()
}

fn status(pid: u32, key: &str) -> Option<String> {
    let status = fs::read(of(pid, "status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    Some(status.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned())
}

fn of(pid: u32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}
