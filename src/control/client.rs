//! The commands' end of the socket. Blocking, every wait bounded.

use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    Happening,
    about::Wanted,
    protocol::{Clear, Cleared, Done, Generations, Reload, Status, Texts},
    query,
};

/// How long connecting and sending may take.
const SEND_TIME: Duration = Duration::from_secs(5);
/// How long the daemon may be silent: longer than the server gives a reload.
const READ_TIME: Duration = Duration::from_secs(35);
/// Bytes of an answer.
const ANSWER_MAX: u64 = 16 * 1024 * 1024;

/// Bytes of a line of events.
const LINE_MAX: u64 = 1024 * 1024;

const HEADERS_MAX: usize = 32;

/// One daemon, by its socket. Connects anew for each request.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
    /// How long the daemon may be silent.
    patience: Duration,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// Nobody listens at the socket.
    NotRunning(PathBuf),
    /// This user may not use the socket.
    Denied(PathBuf),
    /// The daemon listens and does not answer, or the connection broke.
    Broken(io::Error),
    /// The daemon says no, with an HTTP status and its words.
    Refused(u16, String),
    /// The answer makes no sense to this version of the program.
    Unreadable(String),
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRunning(socket) => write!(f, "no daemon answers at {}; is `ha run` running?", socket.display()),
            Self::Denied(socket) => {
                write!(
                    f,
                    "permission denied for {}; run this as root or as a member of the socket's group",
                    socket.display()
                )
            }
            Self::Broken(error) => write!(f, "the daemon listens but does not answer: {error}"),
            Self::Refused(code, why) => write!(f, "the daemon says {code}: {why}"),
            Self::Unreadable(why) => {
                write!(f, "the daemon's answer makes no sense here ({why}); is it another version?")
            }
        }
    }
}

impl std::error::Error for Unanswered {}

impl Client {
    /// Of the daemon that listens at `socket`. Does not connect yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), patience: READ_TIME }
    }

    /// The same, for whoever cannot wait as long for an answer.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How the daemon is.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn status(&self) -> Result<Status, Unanswered> {
        self.ask("GET", "/v1/status")
    }

    /// Has configuration and policies read again; waits until that is done. An answer may say that nothing was taken.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn reload(&self) -> Result<Reload, Unanswered> {
        self.ask_for_reload("/v1/reload")
    }

    /// Asks whether the configuration on disk would be taken, if it has this SHA-256, in hexadecimal digits; nothing is done but that
    /// the daemon keeps it for [`reload_as_agreed`](Self::reload_as_agreed). An answer has the errors.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn agree(&self, sha256: &str) -> Result<Reload, Unanswered> {
        self.ask_for_reload(&format!("/v1/reload?only=check&sha256={sha256}"))
    }

    /// Has the configuration with this SHA-256 taken, whatever is in the file by now. An answer may say that nothing was taken.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn reload_as_agreed(&self, sha256: &str) -> Result<Reload, Unanswered> {
        self.ask_for_reload(&format!("/v1/reload?sha256={sha256}"))
    }

    /// Has a rule held down no more. An answer may say that there was nothing to clear.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn clear(&self, clear: &Clear) -> Result<Cleared, Unanswered> {
        let (code, body) = self.exchange("POST", &format!("/v1/clear?{}", query::encode(&clear.pairs())))?;
        if code == 200 || code == 422 { read(&body) } else { Err(refused(code, &body)) }
    }

    /// Has the daemon stop in order; returns when the stop has begun.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn stop(&self) -> Result<(), Unanswered> {
        let (code, body) = self.exchange("POST", "/v1/stop")?;
        if code == 200 { Ok(()) } else { Err(refused(code, &body)) }
    }

    /// Has the daemon end and leave what it holds to the next process; returns what it says to that.
    ///
    /// # Errors
    /// Why there is no answer, or why nothing was done.
    pub fn restart(&self) -> Result<String, Unanswered> {
        let (code, body) = self.exchange("POST", "/v1/restart")?;
        if code == 200 { Ok(message(&body).unwrap_or_default()) } else { Err(refused(code, &body)) }
    }

    /// Gives `each` what happened lately, at most the `last` so many, and with `follow` what happens from now on, until the
    /// daemon ends or `each` says no more.
    ///
    /// # Errors
    /// Why there is no answer, or no more of it.
    pub fn events(
        &self,
        last: Option<usize>,
        follow: bool,
        mut each: impl FnMut(Happening) -> ControlFlow<()>,
    ) -> Result<(), Unanswered> {
        let mut socket = self.connect().map_err(|error| self.unconnected(error))?;
        let last = last.map(|last| format!("&last={last}")).unwrap_or_default();
        let request = format!("GET {}?follow={follow}{last} HTTP/1.1\r\nHost: ha\r\n\r\n", super::stream::PATH);
        socket.write_all(request.as_bytes()).map_err(Unanswered::Broken)?;
        let mut reader = BufReader::new(socket);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if next_line(&mut reader, &mut head)? == 0 {
                return Err(Unanswered::Unreadable("it is cut off".to_owned()));
            }
        }
        let (code, _) = split(&head)?;
        if code != 200 {
            let mut body = Vec::new();
            reader.take(ANSWER_MAX).read_to_end(&mut body).map_err(Unanswered::Broken)?;
            return Err(refused(code, &body));
        }
        loop {
            let mut line = Vec::new();
            if next_line(&mut reader, &mut line)? == 0 {
                return Ok(());
            }
            // An empty line only says that the daemon is there.
            if line != b"\n" && each(read(&line)?).is_break() {
                return Ok(());
            }
        }
    }

    /// What is kept of a policy.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn generations(&self, policy: &str) -> Result<Generations, Unanswered> {
        self.ask("GET", &Wanted::Generations.path(policy))
    }

    /// The texts of a generation of a policy.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn texts(&self, policy: &str, number: u64) -> Result<Texts, Unanswered> {
        self.ask("GET", &Wanted::Texts(number).path(policy))
    }

    /// Has it run another version of a policy.
    ///
    /// # Errors
    /// Why there is no answer, or why nothing was changed.
    pub fn choose(&self, policy: &str, wanted: &Wanted) -> Result<Done, Unanswered> {
        self.ask("POST", &wanted.path(policy))
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<T, Unanswered> {
        let (code, body) = self.exchange(method, path)?;
        if code == 200 { read(&body) } else { Err(refused(code, &body)) }
    }

    fn ask_for_reload(&self, path: &str) -> Result<Reload, Unanswered> {
        let (code, body) = self.exchange("POST", path)?;
        if code == 200 || code == 422 { read(&body) } else { Err(refused(code, &body)) }
    }

    fn exchange(&self, method: &str, path: &str) -> Result<(u16, Vec<u8>), Unanswered> {
        let mut socket = self.connect().map_err(|error| self.unconnected(error))?;
        let request = format!("{method} {path} HTTP/1.1\r\nHost: ha\r\nContent-Length: 0\r\n\r\n");
        socket.write_all(request.as_bytes()).map_err(Unanswered::Broken)?;
        let mut answer = Vec::new();
        socket.take(ANSWER_MAX).read_to_end(&mut answer).map_err(Unanswered::Broken)?;
        split(&answer)
    }

    fn unconnected(&self, error: io::Error) -> Unanswered {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            Unanswered::NotRunning(self.socket.clone())
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Unanswered::Denied(self.socket.clone())
        } else {
            Unanswered::Broken(error)
        }
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // Also bounds connecting, should the daemon's queue be full.
        socket.set_write_timeout(Some(SEND_TIME.min(self.patience)))?;
        socket.set_read_timeout(Some(self.patience))?;
        socket.connect(&SockAddr::unix(&self.socket)?)?;
        Ok(socket)
    }
}

/// The status code and the body.
fn split(answer: &[u8]) -> Result<(u16, Vec<u8>), Unanswered> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let unreadable = |why: &str| Unanswered::Unreadable(why.to_owned());
    match response.parse(answer) {
        Ok(httparse::Status::Complete(length)) => {
            let body = answer.get(length..).unwrap_or_default().to_vec();
            Ok((response.code.ok_or_else(|| unreadable("no status"))?, body))
        }
        Ok(httparse::Status::Partial) => Err(unreadable("it is cut off")),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

/// Adds a line to what is there, and says how long it is; 0 at the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> Result<usize, Unanswered> {
    reader.take(LINE_MAX).read_until(b'\n', line).map_err(Unanswered::Broken)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Unanswered> {
    serde_json::from_slice(body).map_err(|error| Unanswered::Unreadable(error.to_string()))
}

fn refused(code: u16, body: &[u8]) -> Unanswered {
    Unanswered::Refused(code, message(body).unwrap_or_else(|| "no reason given".to_owned()))
}

fn message(body: &[u8]) -> Option<String> {
    let words = serde_json::from_slice::<serde_json::Value>(body).ok()?;
    Some(words.get("message")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_into_code_and_body() {
        assert_eq!(split(b"HTTP/1.1 422 x\r\nA: b\r\n\r\n{}").unwrap(), (422, b"{}".to_vec()));
        assert!(matches!(split(b"HTTP/1.1 200 OK\r\n"), Err(Unanswered::Unreadable(_))));
        assert!(matches!(split(b"220 mail.example.org ESMTP\r\n\r\n"), Err(Unanswered::Unreadable(_))));
    }

    #[test]
    fn nobody_there_is_said_with_the_path() {
        let error = Client::new(Path::new("/nowhere/ha.sock")).status().unwrap_err();
        assert_eq!(error.to_string(), "no daemon answers at /nowhere/ha.sock; is `ha run` running?");
    }
}
