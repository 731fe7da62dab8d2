//! The exec probe: the only place where a check starts a process, and only one that the configuration lists.
//!
//! No shell, no inherited environment, a process group of its own. The program is done when its process ends: whoever it
//! left behind with its pipes is not waited for, and is killed with the group before the process is reaped, so that the
//! group's number cannot have become somebody else's. Whatever keeps a program from starting says nothing of what it would
//! have found, hence is blind.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind as Io, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use nix::unistd::{Group, User};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::ioctl_fionbio,
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    secrets::{Revealed, Secrets},
    trust::Trust,
};
use crate::{
    config::Permits,
    policy::{
        SecretOrText,
        action::Performed,
        probe::{ErrorKind, ExecRequest, Field},
    },
};

/// The thread keeps the deadline itself; beyond this a process that cannot even be killed is left to it.
pub(super) const GRACE: Duration = Duration::from_millis(100);
/// Where a program looks for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Chunks that are taken from a pipe whose writer has ended: the largest pipe there is.
const PIPES_FULL: usize = 16;
/// How much of the output of a program is kept that nobody asks anything.
const PROGRAM_OUTPUT: usize = 4096;
/// How much of what it said stands in the reason.
const EXCERPT: usize = 200;

/// What a program may have, and which programs there are.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    listed: BTreeSet<PathBuf>,
    pub(super) secrets: Secrets,
}

/// What is known of a program that was started.
#[derive(Default)]
struct Said {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Programs {
    pub(super) fn of(permits: &Permits) -> Self {
        Self { listed: permits.allow_exec.clone(), secrets: Secrets::of(permits.secrets_dir.clone()) }
    }

    /// `ok`: it ended in time with the wanted code and said what is expected. Fields: `code`, `stdout`, `stderr`. Blocks
    /// until it has ended or was killed.
    pub(super) fn run(&self, wanted: &ExecRequest, deadline: Deadline) -> Answer {
        let mut said = Said::default();
        let mut hidden = Vec::new();
        let verdict = self.command(wanted, &mut hidden).and_then(|(mut command, input)| {
            let child = command.spawn().map_err(|error| not_started(&error, wanted.user.as_deref()))?;
            // Its pipes would keep this end from being polled; the command holds them as long as it lives.
            drop(command);
            follow(child, input, wanted.max_output, deadline, &mut said)
        });
        said.into_answer(wanted, verdict, &hidden)
    }

    /// The command, and what it will read. What must not be shown of its output goes to `hidden`.
    fn command(&self, wanted: &ExecRequest, hidden: &mut Vec<String>) -> Result<(Command, Vec<u8>), Failure> {
        let Some((program, arguments)) = wanted.argv.split_first() else {
            return Err(Failure::internal("nothing to run"));
        };
        self.permit(Path::new(program))?;
        let mut reveal = |text: &SecretOrText| -> Result<Revealed, Failure> {
            let revealed = self.secrets.reveal(text).map_err(|why| Failure::internal(why.to_string()))?;
            if matches!(text, SecretOrText::Secret(_)) {
                hidden.push(revealed.as_str().to_owned());
            }
            Ok(revealed)
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", PATH).process_group(0);
        for (name, value) in &wanted.environment {
            command.env(name, reveal(value)?.as_str());
        }
        let input = wanted.input.as_ref().map(&mut reveal).transpose()?;
        command.current_dir(wanted.cwd.as_deref().unwrap_or(Path::new("/")));
        if let Some(user) = &wanted.user {
            let (uid, gid) = user_and_group(user)?;
            // Whoever is set to another user is rid of every other group, too.
            command.uid(uid).gid(gid);
        }
        let stdin = if input.is_some() { Stdio::piped() } else { Stdio::null() };
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok((command, input.map(|input| input.as_str().as_bytes().to_vec()).unwrap_or_default()))
    }

    /// Listed, and nobody else's: what others can change would run with the rights of this process.
    fn permit(&self, program: &Path) -> Result<(), Failure> {
        let denied = |why: String| Err(Failure::new(ErrorKind::Denied, format!("not started: {why}")));
        if !self.listed.contains(program) {
            return denied(format!("allow_exec in ha.toml does not list {}", program.display()));
        }
        if fs::metadata(program).is_err() {
            return Err(Failure::internal(format!("not started: there is no {}", program.display())));
        }
        program_objection(program).map_or(Ok(()), denied)
    }
}

/// Why this process does not start a program: it is not there, or others could change it or something on the way to it.
#[must_use]
pub fn program_objection(program: &Path) -> Option<String> {
    let trust = Trust::of_this_process();
    match fs::metadata(program) {
        Err(error) => Some(format!("{} cannot be started: {error}", program.display())),
        Ok(metadata) if metadata.is_dir() => Some(format!("{} is a directory", program.display())),
        Ok(metadata) => trust.objection(program, &metadata).or_else(|| trust.objection_on_the_way(program)),
    }
}

/// Runs a program that the configuration itself names, under the same conditions as one that `allow_exec` lists, and
/// blocks until it and all that it started have ended, or were killed `within` this time. Ok: exit code 0.
#[must_use]
pub fn run_program(
    argv: &[String],
    user: Option<&str>,
    environment: &[(String, String)],
    within: Duration,
) -> Performed {
    let named = argv.first().map(PathBuf::from);
    let programs = Programs { listed: named.into_iter().collect(), secrets: Secrets::of(PathBuf::new()) };
    let text = |(name, value): &(String, String)| (name.clone(), SecretOrText::Text(value.replace('\0', " ")));
    let wanted = ExecRequest {
        argv: argv.to_vec(),
        user: user.map(str::to_owned),
        environment: environment.iter().map(text).collect(),
        cwd: None,
        input: None,
        code: 0,
        expect: None,
        max_output: PROGRAM_OUTPUT,
    };
    let outcome = programs.run(&wanted, Deadline::after(within)).into_outcome(Duration::ZERO);
    Performed { refused: !outcome.ok && outcome.error == ErrorKind::Denied, ok: outcome.ok, why: outcome.why }
}

/// `user`, or `user:group`; without a group the user's own.
fn user_and_group(text: &str) -> Result<(u32, u32), Failure> {
    let (user, group) = text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
    let (uid, own) = user_and_own_group(user)?;
    let Some(group) = group else { return Ok((uid, own)) };
    let looked_up = match group.parse() {
        Ok(gid) => return Ok((uid, gid)),
        Err(_) => Group::from_name(group),
    };
    match looked_up {
        Ok(Some(group)) => Ok((uid, group.gid.as_raw())),
        Ok(None) => Err(Failure::internal(format!("not started: there is no group {group}"))),
        Err(error) => {
            Err(Failure::internal(format!("not started: looking up {group}: {}", error.desc().to_lowercase())))
        }
    }
}

/// Why no program can be started as this one: `user`, or `user:group`, is not here.
#[must_use]
pub fn user_objection(user: &str) -> Option<String> {
    let why = user_and_group(user).err()?.why;
    Some(why.strip_prefix("not started: ").unwrap_or(&why).to_owned())
}

fn user_and_own_group(user: &str) -> Result<(u32, u32), Failure> {
    let looked_up = match user.parse() {
        Ok(uid) => User::from_uid(nix::unistd::Uid::from_raw(uid)),
        Err(_) => User::from_name(user),
    };
    match looked_up {
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        Ok(None) => Err(Failure::internal(format!("not started: there is no user {user}"))),
        Err(error) => {
            Err(Failure::internal(format!("not started: looking up {user}: {}", error.desc().to_lowercase())))
        }
    }
}

/// Stays with it until it ends or its time is over; nothing of its group is left then.
fn follow(
    mut child: Child,
    input: Vec<u8>,
    most: usize,
    deadline: Deadline,
    said: &mut Said,
) -> Result<ExitStatus, Failure> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let ended = match group.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        Some(Ok(pidfd)) => attend(&mut child, pidfd.as_fd(), &input, most, deadline, said),
        Some(Err(error)) => Err(error.into()),
        None => Err(Io::InvalidData.into()),
    };
    if let Some(group) = group {
        // Nobody may be left in it.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait().map_err(|error| Failure::internal(format!("its end is unknown: {error}")))?;
    match ended {
        Ok(true) => Ok(status),
        Ok(false) => Err(Failure { why: format!("{}; it was killed", deadline.passed().why), ..deadline.passed() }),
        Err(error) => Err(Failure::internal(format!("it cannot be followed and was killed: {error}"))),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system's errors are open-ended")]
fn not_started(error: &io::Error, user: Option<&str>) -> Failure {
    if let Some(user) = user.filter(|_| error.raw_os_error() == Some(libc::EPERM)) {
        let todo = "this daemon may not become another user: `ha check` prints the drop-in for the unit that lets it";
        return Failure::new(ErrorKind::Denied, format!("not started as {user}: {error}; {todo}"));
    }
    let kind = match error.kind() {
        Io::PermissionDenied => ErrorKind::Denied,
        _ => ErrorKind::Internal,
    };
    Failure::new(kind, format!("not started: {error}"))
}

/// Reads what it says and writes what it reads until it has ended (true), or until its time is over.
fn attend(
    child: &mut Child,
    ended: BorrowedFd<'_>,
    mut input: &[u8],
    most: usize,
    deadline: Deadline,
    said: &mut Said,
) -> io::Result<bool> {
    let (mut stdin, mut stdout, mut stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    for pipe in [stdin.as_ref().map(AsFd::as_fd), stdout.as_ref().map(AsFd::as_fd), stderr.as_ref().map(AsFd::as_fd)] {
        pipe.map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
    }
    loop {
        let left = deadline.left();
        if left.is_zero() {
            return Ok(false);
        }
        let mut watched = vec![PollFd::from_borrowed_fd(ended, PollFlags::IN)];
        watched.extend(stdout.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(stderr.iter().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        watched.extend(stdin.iter().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        match poll(&mut watched, Timespec::try_from(left).ok().as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let over = watched.first().is_some_and(|process| !process.revents().is_empty());
        drain(&mut stdout, &mut said.stdout, most);
        drain(&mut stderr, &mut said.stderr, most);
        feed(&mut stdin, &mut input);
        if over {
            // What it said before its end is in the pipes.
            for _ in 0..PIPES_FULL {
                drain(&mut stdout, &mut said.stdout, most);
                drain(&mut stderr, &mut said.stderr, most);
            }
            return Ok(true);
        }
    }
}

/// Takes what is there, keeps the first `most` bytes. One chunk at a time: a flood must not hold up the deadline.
fn drain(pipe: &mut Option<impl Read>, kept: &mut Vec<u8>, most: usize) {
    let Some(open) = pipe else { return };
    let mut chunk = [0; 64 * 1024];
    match open.read(&mut chunk) {
        Ok(0) => *pipe = None,
        Ok(count) => kept.extend(chunk.iter().take(count.min(most.saturating_sub(kept.len())))),
        Err(error) if [Io::WouldBlock, Io::Interrupted].contains(&error.kind()) => {}
        Err(_) => *pipe = None,
    }
}

/// Gives it what it still has to read; one that does not want it is not wrong for that.
fn feed(pipe: &mut Option<impl Write>, input: &mut &[u8]) {
    let Some(open) = pipe else { return };
    match open.write(input) {
        Ok(count) => *input = input.get(count..).unwrap_or_default(),
        Err(error) if [Io::WouldBlock, Io::Interrupted].contains(&error.kind()) => {}
        Err(_) => *input = &[],
    }
    if input.is_empty() {
        *pipe = None;
    }
}

impl Said {
    fn into_answer(mut self, wanted: &ExecRequest, ended: Result<ExitStatus, Failure>, hidden: &[String]) -> Answer {
        let (stdout, stderr) = (shown(&self.stdout, hidden), shown(&self.stderr, hidden));
        let verdict = ended.and_then(|status| {
            self.code = status.code();
            let Some(code) = self.code else {
                let signal = status.signal().unwrap_or_default();
                return Err(Failure::new(ErrorKind::Mismatch, format!("ended by signal {signal}")));
            };
            match wanted.judge_end(code.into(), &stdout) {
                (true, why) => Ok(why),
                (false, why) => Err(Failure::new(ErrorKind::Mismatch, with_excerpt(why, &stderr, &stdout))),
            }
        });
        let code = self.code.map_or(Field::Unit, |code| Field::Int(code.into()));
        let fields = Fields::from([("code", code), ("stdout", Field::Text(stdout)), ("stderr", Field::Text(stderr))]);
        Answer { verdict, fields }
    }
}

/// As text, without the secrets it was given.
fn shown(bytes: &[u8], hidden: &[String]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    hidden.iter().fold(text, |text, secret| text.replace(secret, "***"))
}

/// The first line it said, on standard error if there is one.
fn with_excerpt(why: String, stderr: &str, stdout: &str) -> String {
    let line = [stderr, stdout].into_iter().find_map(|text| text.lines().map(str::trim).find(|line| !line.is_empty()));
    let excerpt: Option<String> = line.map(|line| line.chars().take(EXCERPT).collect());
    excerpt.map_or(why.clone(), |excerpt| format!("{why}: {excerpt}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_may_not_become_another_user_says_what_would_let_it() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        let why = not_started(&denied, Some("nobody")).why;
        let todo = "this daemon may not become another user: `ha check` prints the drop-in for the unit that lets it";
        assert_eq!(why, format!("not started as nobody: {denied}; {todo}"));
        assert_eq!(not_started(&denied, None).why, format!("not started: {denied}"));
    }

    #[test]
    fn who_is_not_here_starts_nothing() {
        assert_eq!(user_objection("root"), None);
        assert_eq!(user_objection("root:root"), None);
        assert_eq!(user_objection("nosuchuser"), Some("there is no user nosuchuser".to_owned()));
        assert_eq!(user_objection("root:nosuchgroup"), Some("there is no group nosuchgroup".to_owned()));
    }
}
