//! A conversation on a connected stream: say something, look for something in the answer.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    tls,
};
use crate::policy::probe::{ErrorKind, Field, Talk};

/// How much of an answer is looked at.
pub(super) const DATA_MAX: usize = 64 * 1024;

/// Where the answer ends if nothing in particular is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unexpected {
    /// It is not read.
    Unread,
    /// Where the other side ends it, or at the deadline.
    ToTheEnd,
}

/// What came of it, filled as it comes, so that a deadline does not lose it.
pub(super) async fn hold(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    talk: &Talk,
    otherwise: Unexpected,
    data: &mut Vec<u8>,
) -> Result<String, Failure> {
    if !talk.send.is_empty() {
        stream.write_all(&talk.send).await.map_err(|error| tls::failure(&error))?;
        stream.flush().await.map_err(|error| tls::failure(&error))?;
    }
    if talk.expects() {
        return await_expected(stream, talk, data).await;
    }
    if otherwise == Unexpected::Unread || talk.send.is_empty() {
        return Ok("connected".to_owned());
    }
    while data.len() < DATA_MAX && read(stream, data).await? > 0 {}
    if data.is_empty() { Err(unanswered()) } else { Ok("answered".to_owned()) }
}

/// Reads until the expected is there, or the answer ended, or grew too long without it.
async fn await_expected(
    stream: &mut (impl AsyncRead + Unpin),
    talk: &Talk,
    data: &mut Vec<u8>,
) -> Result<String, Failure> {
    loop {
        let judged = judge(talk, data);
        if judged.is_ok() || data.len() >= DATA_MAX {
            return judged;
        }
        match read(stream, data).await? {
            0 if data.is_empty() => return Err(unanswered()),
            0 => return judged,
            _ => {}
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), data: &mut Vec<u8>) -> Result<usize, Failure> {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).await.map_err(|error| tls::failure(&error))?;
    data.extend(chunk.iter().take(count));
    Ok(count)
}

fn unanswered() -> Failure {
    Failure::new(ErrorKind::Reset, "closed without an answer")
}

pub(super) fn judge(talk: &Talk, data: &[u8]) -> Result<String, Failure> {
    let judged = talk.judge(&talk.show(data));
    judged.map(|()| "answered".to_owned()).map_err(|why| Failure::new(ErrorKind::Mismatch, why))
}

/// What a conversation comes to that was cut off: something came, and it was not what was asked for; or, if nothing was
/// asked for, it is the answer.
pub(super) fn cut_off(talk: &Talk, data: &[u8], deadline: Deadline) -> Result<String, Failure> {
    if data.is_empty() { Err(deadline.passed()) } else { judge(talk, data) }
}

pub(super) fn answer(talk: &Talk, verdict: Result<String, Failure>, data: &[u8]) -> Answer {
    Answer { verdict, fields: Fields::from([("data", Field::Text(talk.show(data)))]) }
}
