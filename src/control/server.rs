//! The daemon's end of the socket: strict, bounded, and of no consequence to the protocol.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | the [`Status`] |
//! | `POST /v1/reload` | the [`Reload`]; 422 if something was refused. `only=check`: nothing is done, only what would be refused is said. `sha256=`: this text and no other, from another process of the same daemon |
//! | `POST /v1/clear?rule=…` | the [`Cleared`]; 422 if nothing was. `instance=` and `policy=` may follow |
//! | `POST /v1/stop` | as SIGTERM does |
//! | `GET /v1/events` | what happened lately, a line of JSON each; `last=N`: only so many; `follow=true`: and what happens |
//! | `/v1/policies/NAME/…` | see [`about`](super::about) |
//! | `GET /livez` | 200 while the protocol thread answers |
//! | `GET /readyz` | 200 if every policy is loaded and every instance knows its verdict |
//! | `GET /masterz` | 200 if some instance is master *and* the kernel has its addresses, else 503 |
//!
//! What a client can cost is bounded: [`CONNECTIONS_MAX`] at a time (more wait in the kernel's queue), a request head of
//! [`HEAD_MAX`] bytes, no body, [`CLIENT_TIME`] to send it and as much to take the answer.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::{Semaphore, mpsc, oneshot},
    time::timeout,
};

use super::{
    Feed,
    about::{About, Wanted},
    protocol::{Clear, Cleared, Reload, Status},
    query, stream,
};

/// Clients served at the same time.
pub const CONNECTIONS_MAX: usize = 16;
/// Bytes of a request line and its headers.
pub const HEAD_MAX: usize = 8 * 1024;
/// How long a client may take to send its request, and to take the answer.
pub const CLIENT_TIME: Duration = Duration::from_secs(2);
/// How long the daemon may take to say how it is.
const STATUS_TIME: Duration = Duration::from_secs(2);
/// How long a reload may take: the policies' own tests run in it.
const RELOAD_TIME: Duration = Duration::from_secs(30);

/// Whoever is at the other end, where the kernel does not say.
const NOBODY: u32 = 65_534;

const HEADERS_MAX: usize = 32;

/// What a client wants of the daemon.
#[derive(Debug)]
pub enum Request {
    /// How is it?
    Status(oneshot::Sender<Status>),
    /// Read configuration and policies again; the user who asks. With the SHA-256 of a text: take that one, which was agreed on.
    Reload(u32, Option<String>, oneshot::Sender<Reload>),
    /// Would a reload be done, of the text with this SHA-256? Nothing is; the answer has the errors only.
    WouldReload(Option<String>, oneshot::Sender<Reload>),
    /// A question or a command about a policy; the user who asks.
    Policy { policy: String, wanted: Wanted, uid: u32, reply: oneshot::Sender<Result<About, String>> },
    /// Hold a rule down no more.
    Clear(Clear, oneshot::Sender<Cleared>),
    /// End, and leave what is held to the next process. Answered when that is done, or with the reason why it is not.
    Restart(oneshot::Sender<Result<String, String>>),
    /// Stop in order. Answered when the stop has begun.
    Stop(oneshot::Sender<()>),
}

/// A bound socket. Its file disappears with it.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    identity: (u64, u64),
}

impl Server {
    /// Binds `path` with mode 0660 and replaces the file of a dead daemon. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// `AddrInUse` if a daemon answers there; otherwise what the system said.
    pub fn bind(path: &Path) -> io::Result<Self> {
        refuse_a_living_one(path)?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // Bound aside and moved into place: nobody sees it with another mode, and a dead file never needs a gap.
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".{}", std::process::id()));
        let aside = PathBuf::from(aside);
        remove_if_there(&aside)?;
        let listener = UnixListener::bind(&aside)?;
        let placed = fs::set_permissions(&aside, fs::Permissions::from_mode(0o660))
            .and_then(|()| fs::metadata(&aside))
            .and_then(|metadata| fs::rename(&aside, path).map(|()| (metadata.dev(), metadata.ino())));
        match placed {
            Ok(identity) => Ok(Self { listener, path: path.to_owned(), identity }),
            Err(error) => {
                remove_if_there(&aside)?;
                Err(error)
            }
        }
    }

    /// Serves until `requests` is closed. Run it as a task of its own.
    pub async fn serve(self, requests: mpsc::Sender<Request>, feed: Feed) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                biased;
                () = requests.closed() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (requests, feed) = (requests.clone(), feed.clone());
                    tokio::spawn(async move {
                        serve_connection(stream, &requests, &feed).await;
                        drop(slot);
                    });
                }
                // Out of descriptors, or a client gone before it was accepted.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.identity) {
            // Nobody is left to tell; a leftover is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn refuse_a_living_one(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another daemon answers there")),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// An answer, ready but for its framing.
struct Answer {
    code: u16,
    body: String,
}

impl Answer {
    fn text(code: u16, text: &str) -> Self {
        Self { code, body: serde_json::json!({ "message": text }).to_string() }
    }

    fn json<T: serde::Serialize>(code: u16, value: &T) -> Self {
        match serde_json::to_string(value) {
            Ok(body) => Self { code, body },
            Err(error) => Self::text(500, &error.to_string()),
        }
    }

    fn framed(&self) -> String {
        let reason = match self.code {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            409 => "Conflict",
            408 => "Request Timeout",
            413 => "Content Too Large",
            422 => "Unprocessable Content",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            _ => "Service Unavailable",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}\n",
            self.code,
            self.body.len() + 1,
            self.body,
        )
    }
}

/// Reads one request, answers it, and closes the connection: within [`CLIENT_TIME`] for each, but for a stream of events.
pub async fn serve_connection(mut stream: UnixStream, requests: &mpsc::Sender<Request>, feed: &Feed) {
    // The overflow uid: nobody in particular.
    let uid = stream.peer_cred().map_or(NOBODY, |peer| peer.uid());
    let answer = match timeout(CLIENT_TIME, read_head(&mut stream)).await {
        Ok(Ok((method, path))) if path.split('?').next() == Some(stream::PATH) => {
            match stream::asked(&method, &path, feed) {
                Ok(asked) => return stream::serve(&mut stream, asked, requests).await,
                Err((code, why)) => Answer::text(code, &why),
            }
        }
        Ok(Ok((method, path))) => answer(&method, &path, uid, requests).await,
        Ok(Err(Refused::Gone)) => return,
        Ok(Err(Refused::With(answer))) => answer,
        Err(_) => Answer::text(408, "the request did not arrive in time"),
    };
    // A client that does not take its answer loses it.
    let _ = timeout(CLIENT_TIME, async {
        stream.write_all(answer.framed().as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

enum Refused {
    /// It hung up.
    Gone,
    /// It asked wrongly.
    With(Answer),
}

/// The method and the path of a request without a body.
async fn read_head(stream: &mut UnixStream) -> Result<(String, String), Refused> {
    let mut head = Vec::with_capacity(512);
    loop {
        let mut room = [0; 1024];
        let room = room.get_mut(..(HEAD_MAX - head.len()).min(1024)).unwrap_or_default();
        if room.is_empty() {
            return Err(Refused::With(Answer::text(431, "the request is too long")));
        }
        match stream.read(room).await {
            Ok(0) | Err(_) => return Err(Refused::Gone),
            Ok(read) => head.extend_from_slice(room.get(..read).unwrap_or_default()),
        }
        if let Some(request) = parse(&head).map_err(Refused::With)? {
            return Ok(request);
        }
    }
}

/// `None` if the head is not complete yet.
fn parse(head: &[u8]) -> Result<Option<(String, String)>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Answer::text(431, "the request has too many headers")),
        Err(error) => return Err(Answer::text(400, &format!("not an HTTP request: {error}"))),
    }
    for header in request.headers.iter() {
        let chunked = header.name.eq_ignore_ascii_case("transfer-encoding");
        let body = header.name.eq_ignore_ascii_case("content-length") && header.value != b"0";
        if chunked || body {
            return Err(Answer::text(413, "no request has a body here"));
        }
    }
    match (request.method, request.path) {
        (Some(method), Some(path)) => Ok(Some((method.to_owned(), path.to_owned()))),
        _ => Err(Answer::text(400, "not an HTTP request")),
    }
}

async fn answer(method: &str, path: &str, uid: u32, requests: &mpsc::Sender<Request>) -> Answer {
    if let Some((policy, wanted)) = Wanted::parse(path) {
        return about(method, path, policy, wanted, uid, requests).await;
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let expected = match path {
        "/v1/status" | "/livez" | "/readyz" | "/masterz" => "GET",
        "/v1/reload" | "/v1/clear" | "/v1/restart" | "/v1/stop" => "POST",
        _ => {
            return Answer::text(
                404,
                "there is /v1/status, /v1/events, /v1/reload, /v1/clear, /v1/restart, /v1/stop, /v1/policies/NAME/…, /livez, /readyz, /masterz",
            );
        }
    };
    if method != expected {
        return Answer::text(405, &format!("{path} wants {expected}"));
    }
    let answered = match path {
        "/v1/reload" => match reload_wanted(query) {
            Some((true, text)) => ask(requests, |reply| Request::WouldReload(text, reply), STATUS_TIME).await,
            Some((false, text)) => ask(requests, |reply| Request::Reload(uid, text, reply), RELOAD_TIME).await,
            None => return Answer::text(400, "the query may be only=check and sha256=, with 64 hexadecimal digits"),
        }
        .map(|reload| reload_answer(&reload)),
        "/v1/clear" => match wanted(query) {
            Ok(clear) => {
                ask(requests, |reply| Request::Clear(clear, reply), STATUS_TIME).await.map(|it| cleared_answer(&it))
            }
            Err(why) => return Answer::text(400, &why),
        },
        "/v1/restart" => ask(requests, Request::Restart, RELOAD_TIME).await.map(|left| match left {
            Ok(told) => Answer::text(200, &told),
            Err(why) => Answer::text(409, &why),
        }),
        "/v1/stop" => ask(requests, Request::Stop, STATUS_TIME).await.map(|()| Answer::text(200, "stopping")),
        _ => ask(requests, Request::Status, STATUS_TIME).await.map(|status| status_answer(path, &status)),
    };
    answered.unwrap_or_else(|| Answer::text(503, "the daemon does not answer in time"))
}

async fn about(
    method: &str,
    path: &str,
    policy: String,
    wanted: Wanted,
    uid: u32,
    requests: &mpsc::Sender<Request>,
) -> Answer {
    let expected = if wanted.is_command() { "POST" } else { "GET" };
    if method != expected {
        return Answer::text(405, &format!("{path} wants {expected}"));
    }
    let request = |reply| Request::Policy { policy, wanted, uid, reply };
    match ask(requests, request, RELOAD_TIME).await {
        Some(Ok(About::Generations(generations))) => Answer::json(200, &generations),
        Some(Ok(About::Texts(texts))) => Answer::json(200, &texts),
        Some(Ok(About::Done(done))) => Answer::json(200, &done),
        Some(Err(why)) => Answer::text(409, &why),
        None => Answer::text(503, "the daemon does not answer in time"),
    }
}

/// `None` if the daemon is busy for longer than `limit`, or gone.
async fn ask<T>(
    requests: &mpsc::Sender<Request>,
    request: impl FnOnce(oneshot::Sender<T>) -> Request,
    limit: Duration,
) -> Option<T> {
    let (reply, replied) = oneshot::channel();
    let asking = async {
        requests.send(request(reply)).await.ok()?;
        replied.await.ok()
    };
    timeout(limit, asking).await.ok().flatten()
}

/// Which rule a client wants cleared.
fn wanted(query: &str) -> Result<Clear, String> {
    let pairs =
        query::decode(query).ok_or_else(|| "the query makes no sense: name=value, escaped, with &".to_owned())?;
    Clear::from_pairs(pairs)
}

fn cleared_answer(cleared: &Cleared) -> Answer {
    Answer::json(if cleared.error.is_none() { 200 } else { 422 }, cleared)
}

/// Whether a reload is only to be judged, and of which text; `None` if that makes no sense.
fn reload_wanted(query: &str) -> Option<(bool, Option<String>)> {
    let (mut only_check, mut text) = (false, None);
    for (name, value) in query::decode(query)? {
        match name.as_str() {
            "only" if value == "check" => only_check = true,
            "sha256" if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) => text = Some(value),
            _ => return None,
        }
    }
    Some((only_check, text))
}

fn reload_answer(reload: &Reload) -> Answer {
    Answer::json(if reload.ok { 200 } else { 422 }, reload)
}

fn status_answer(path: &str, status: &Status) -> Answer {
    let said = |good: bool, yes: &str, no: &str| if good { Answer::text(200, yes) } else { Answer::text(503, no) };
    match path {
        "/livez" => Answer::text(200, "the daemon answers"),
        "/readyz" => said(status.is_ready(), "ready", "a policy is not loaded, or its verdict is not known yet"),
        "/masterz" => said(
            status.instances.iter().any(super::protocol::Instance::serves),
            "this node serves",
            "this node does not serve",
        ),
        _ => Answer::json(200, status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(head: &[u8]) -> Option<u16> {
        parse(head).err().map(|answer| answer.code)
    }

    #[test]
    fn a_head_is_read_when_it_is_whole() {
        let head = b"GET /v1/status HTTP/1.1\r\nHost: ha\r\n\r\n";
        for cut in 0..head.len() {
            assert!(parse(&head[..cut]).is_ok_and(|request| request.is_none()), "{cut}");
        }
        assert_eq!(parse(head).ok().flatten(), Some(("GET".into(), "/v1/status".into())));
    }

    #[test]
    fn what_is_not_a_plain_request_is_refused() {
        assert_eq!(code(b"\x16\x03\x01\x02\x00\x01"), Some(400), "TLS");
        assert_eq!(code(b"GET / HTTP/9.9\r\n\r\n"), Some(400));
        assert_eq!(code(b"POST /v1/reload HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), Some(413));
        assert_eq!(code(b"POST /v1/reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Some(413));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(code(many.as_bytes()), Some(431));
    }
}
