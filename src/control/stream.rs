//! `GET /v1/events`: a line of JSON for each event. The end of the connection is the end of the answer.
//!
//! Each client is a task that reads the [`Feed`] at its own pace: one that does not take its lines makes nobody wait, and
//! finds a gap when it goes on.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{OwnedSemaphorePermit, mpsc},
    time::{sleep, timeout},
};

use super::{EVENTS_KEPT, FOLLOWERS_MAX, Feed, query, server::Request};

/// Where it is.
pub(super) const PATH: &str = "/v1/events";
/// Lines written at once.
const AT_ONCE: usize = 64;
/// Where nothing happens an empty line is sent this often: whoever follows knows that the daemon is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// Whoever follows may take this long to take a line; whoever does not, [`CLIENT_TIME`](super::server::CLIENT_TIME).
const PATIENCE: Duration = Duration::from_secs(600);

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n";

/// What is to be sent.
pub(super) struct Asked {
    feed: Feed,
    next: u64,
    follow: Option<OwnedSemaphorePermit>,
}

/// Understands a request, or says with which code it is refused, and why.
pub(super) fn asked(method: &str, path: &str, feed: &Feed) -> Result<Asked, (u16, String)> {
    if method != "GET" {
        return Err((405, format!("{PATH} wants GET")));
    }
    let wrong = || (400, "the query may have follow=true or follow=false, and last=NUMBER".to_owned());
    let (_, text) = path.split_once('?').unwrap_or((path, ""));
    let (mut last, mut follow) = (EVENTS_KEPT, false);
    for (name, value) in query::decode(text).ok_or_else(wrong)? {
        match name.as_str() {
            "last" => last = value.parse().map_err(|_| wrong())?,
            "follow" => follow = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    let busy = || (503, format!("{FOLLOWERS_MAX} clients follow the events already; end one of them"));
    let follow = if follow { Some(feed.place().ok_or_else(busy)?) } else { None };
    Ok(Asked { next: feed.beginning(last), feed: feed.clone(), follow })
}

/// Sends it, until that is all, the client hangs up or does not take it, or the daemon ends.
pub(super) async fn serve(stream: &mut UnixStream, asked: Asked, requests: &mpsc::Sender<Request>) {
    let follows = asked.follow.is_some();
    let patience = if follows { PATIENCE } else { super::server::CLIENT_TIME };
    let (mut reader, mut writer) = stream.split();
    let work = async {
        let mut send = async |bytes: &[u8]| timeout(patience, writer.write_all(bytes)).await.is_ok_and(|it| it.is_ok());
        let mut newest = asked.feed.newest();
        let (mut next, mut sent) = (asked.next, send(HEAD.as_bytes()).await);
        while sent {
            newest.mark_unchanged();
            let (lines, after) = asked.feed.read(next, AT_ONCE);
            next = after;
            if !lines.is_empty() {
                sent = send(lines.concat().as_bytes()).await;
            } else if !follows {
                return;
            } else {
                tokio::select! {
                    changed = newest.changed() => sent = changed.is_ok(),
                    () = sleep(SIGN_OF_LIFE) => sent = send(b"\n").await,
                }
            }
        }
    };
    let mut byte = [0; 64];
    let hung_up = async { while reader.read(&mut byte).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        biased;
        () = requests.closed() => (),
        () = work => (),
        // Whoever asks for what there is may close its half at once.
        () = hung_up, if follows => (),
    }
    let _ = timeout(super::server::CLIENT_TIME, stream.shutdown()).await;
}
