//! unix_socket: a server of this machine, such as haproxy's control socket.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, Pattern, ProbeKind, ProbeRequest, Talk, UnixSocketRequest};
use tempfile::TempDir;

use super::{World, assert_outcome, assert_took, request, text};

/// A server that treats each connection the same; it is there as long as its directory.
fn serve(treat: impl Fn(UnixStream) + Send + Copy + 'static) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || treat(connection));
        }
    });
    (dir, path)
}

/// One line in, two lines out, and the end, as haproxy does it.
fn haproxy() -> (TempDir, PathBuf) {
    serve(|mut connection| {
        let mut line = String::new();
        BufReader::new(&connection).read_line(&mut line).unwrap();
        write!(connection, "# {}", line.replace("show ", "")).unwrap();
        thread::sleep(Duration::from_millis(20));
        connection.write_all(b"web,BACKEND,UP\n").unwrap();
    })
}

fn asking(path: &Path, talk: Talk) -> ProbeRequest {
    let socket = UnixSocketRequest { path: path.to_owned(), talk };
    ProbeRequest { timeout: Duration::from_millis(300), ..request(ProbeKind::UnixSocket(socket)) }
}

fn saying(text: &str) -> Talk {
    Talk { send: text.as_bytes().to_vec(), ..Talk::default() }
}

#[test]
fn an_answer_is_read_to_its_end() {
    let (_dir, path) = haproxy();
    let outcome = World::new().probe(&asking(&path, saying("show stat\n")));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert_eq!(text(&outcome, "data"), "# stat\nweb,BACKEND,UP\n");
    assert!(outcome.elapsed < Duration::from_millis(250), "did not wait for the deadline");
}

#[test]
fn an_answer_without_an_end_is_what_came_until_the_deadline() {
    let (_dir, path) = serve(|mut connection| {
        let _ = connection.write_all(b"OK\n");
        thread::sleep(Duration::from_secs(10));
    });
    let outcome = World::new().probe(&asking(&path, saying("PING\n")));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert_eq!(text(&outcome, "data"), "OK\n");
    assert_took(&outcome, Duration::from_millis(300));
    // What is expected is the end.
    let outcome = World::new().probe(&asking(&path, Talk { expect: Some("OK".to_owned()), ..saying("PING\n") }));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert!(outcome.elapsed < Duration::from_millis(250), "did not wait for the deadline");
}

#[test]
fn what_is_expected_decides() {
    let (_dir, path) = haproxy();
    let like = |pattern: &str| Talk { expect_re: Some(Pattern::new(pattern).unwrap()), ..saying("show stat\n") };
    assert_outcome(&World::new().probe(&asking(&path, like("web,.*,UP"))), true, ErrorKind::None, "answered");
    let why = "nothing like \"web,.*,DOWN\" in the answer";
    assert_outcome(&World::new().probe(&asking(&path, like("web,.*,DOWN"))), false, ErrorKind::Mismatch, why);
}

#[test]
fn connected_is_enough_where_nothing_is_said() {
    let (_dir, path) = serve(|_| thread::sleep(Duration::from_secs(10)));
    let outcome = World::new().probe(&asking(&path, Talk::default()));
    assert_outcome(&outcome, true, ErrorKind::None, "connected");
}

#[test]
fn hanging_up_silence_and_nobody_are_told_apart() {
    let (_dir, path) = serve(drop);
    let outcome = World::new().probe(&asking(&path, Talk { expect: Some("OK".to_owned()), ..Talk::default() }));
    assert_outcome(&outcome, false, ErrorKind::Reset, "closed without an answer");

    let (_dir, path) = serve(|_connection| thread::sleep(Duration::from_secs(10)));
    let outcome = World::new().probe(&asking(&path, saying("PING\n")));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone.sock");
    let outcome = World::new().probe(&asking(&path, saying("PING\n")));
    assert_outcome(&outcome, false, ErrorKind::Refused, &format!("{}: no such socket", path.display()));
    drop(UnixListener::bind(&path).unwrap());
    let outcome = World::new().probe(&asking(&path, saying("PING\n")));
    assert_outcome(&outcome, false, ErrorKind::Refused, &format!("{}: connection refused", path.display()));
}

#[test]
fn a_full_queue_is_waited_for_until_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("busy.sock");
    let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    socket.listen(0).unwrap();
    let _waiting = UnixStream::connect(&path).unwrap();
    let outcome = World::new().probe(&asking(&path, Talk::default()));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));
}
