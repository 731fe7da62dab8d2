//! The probe of a stream socket of this machine.

use std::{io, path::Path};

use tokio::net::UnixStream;

use super::{
    answer::{Answer, Failure},
    deadline::Deadline,
    talk::{self, Unexpected},
};
use crate::policy::probe::{ErrorKind, UnixSocketRequest};

/// `ok`: connected, sent, and the expected answer came; if something was sent and nothing is expected, any answer, read to
/// its end or the deadline. Fields: `data`, at most 64 KiB.
pub(super) async fn probe(socket: &UnixSocketRequest, deadline: Deadline) -> Answer {
    let mut data = Vec::new();
    let verdict = match deadline.within(converse(socket, &mut data)).await {
        Ok(verdict) => verdict,
        Err(_) => talk::cut_off(&socket.talk, &data, deadline),
    };
    talk::answer(&socket.talk, verdict, &data)
}

async fn converse(socket: &UnixSocketRequest, data: &mut Vec<u8>) -> Result<String, Failure> {
    let mut stream = connect(&socket.path).await?;
    talk::hold(&mut stream, &socket.talk, Unexpected::ToTheEnd, data).await
}

/// A full queue of the other side is waited for as long as the probe may take.
async fn connect(path: &Path) -> Result<UnixStream, Failure> {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::time::sleep(PAUSE).await,
            Err(error) => return Err(of_unix_socket(&error).during(path.display())),
        }
    }
}

/// A server that is not running has often no socket at all, or left one behind.
pub(super) fn of_unix_socket(error: &io::Error) -> Failure {
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    if is_missing { Failure::new(ErrorKind::Refused, "no such socket") } else { Failure::of_socket(error) }
}
