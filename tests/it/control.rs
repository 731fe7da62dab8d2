//! The control socket: its round trip, and clients that mean no good.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    ops::ControlFlow,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ha::control::{
    Clear, Cleared, Client, EVENTS_KEPT, FOLLOWERS_MAX, Feed, Happening, Reload, Request, Server, Status, Unanswered,
    Wanted, What, server::CONNECTIONS_MAX,
};
use tokio::{runtime::Runtime, sync::mpsc};

/// A socket whose daemon answers from a fixed status and counts what it was asked.
struct Daemon {
    runtime: Option<Runtime>,
    asked: std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>,
    feed: Feed,
    socket: PathBuf,
    _directory: tempfile::TempDir,
}

impl Daemon {
    fn start(reload: Reload) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("ha.sock");
        let runtime = Runtime::new().unwrap();
        let (requests, mut asked_for) = mpsc::channel(4);
        let server = {
            let _inside = runtime.enter();
            Server::bind(&socket).unwrap()
        };
        let feed = Feed::default();
        runtime.spawn(server.serve(requests, feed.clone()));
        let asked = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let log = std::sync::Arc::clone(&asked);
        runtime.spawn(async move {
            while let Some(request) = asked_for.recv().await {
                match request {
                    Request::Status(reply) => {
                        log.lock().unwrap().push("status");
                        let _ =
                            reply.send(Status { schema: "ha.status/1".into(), node: "K1".into(), ..Status::default() });
                    }
                    Request::Reload(_, text, reply) => {
                        log.lock().unwrap().push(if text.is_some() { "reload as agreed" } else { "reload" });
                        let _ = reply.send(reload.clone());
                    }
                    Request::WouldReload(text, reply) => {
                        log.lock().unwrap().push(if text.is_some() { "agree" } else { "would reload" });
                        let _ = reply.send(reload.clone());
                    }
                    Request::Clear(clear, reply) => {
                        log.lock().unwrap().push("clear");
                        let _ = reply.send(Cleared::new(if clear == wanted() {
                            Ok(vec!["done".into()])
                        } else {
                            Err(clear.rule)
                        }));
                    }
                    Request::Policy { reply, uid, .. } => {
                        log.lock().unwrap().push("policy");
                        let _ = reply.send(Err(format!("uid {uid} wants what is not there")));
                    }
                    Request::Restart(reply) => {
                        log.lock().unwrap().push("restart");
                        let _ = reply.send(Err("it is stopping already".to_owned()));
                    }
                    Request::Stop(reply) => {
                        log.lock().unwrap().push("stop");
                        let _ = reply.send(());
                    }
                }
            }
        });
        Self { runtime: Some(runtime), asked, feed, socket, _directory: directory }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn answers(&self) -> bool {
        Client::new(&self.socket).status().is_ok_and(|status| status.node == "K1")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn done() -> Reload {
    Reload::new(vec!["policy check_local: generation 2".into()], vec![])
}

#[test]
fn status_reload_and_stop_make_the_round_trip() {
    let daemon = Daemon::start(done());
    let client = Client::new(&daemon.socket);
    assert_eq!(client.status().unwrap().node, "K1");
    assert_eq!(client.agree(&"0a".repeat(32)).unwrap(), done());
    assert_eq!(client.reload_as_agreed(&"0a".repeat(32)).unwrap(), done());
    assert_eq!(client.reload().unwrap(), done());
    assert!(daemon.say(b"POST /v1/reload?only=check HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    client.stop().unwrap();
    let asked = ["status", "agree", "reload as agreed", "reload", "would reload", "stop"];
    assert_eq!(*daemon.asked.lock().unwrap(), asked);
    for wrong in ["only=some", "sha256=0a", "sha256", "text=x"] {
        let request = format!("POST /v1/reload?{wrong} HTTP/1.1\r\n\r\n");
        assert!(daemon.say(request.as_bytes()).starts_with("HTTP/1.1 400 "), "{wrong}");
    }
}

#[test]
fn a_refused_reload_arrives_with_its_errors() {
    let refused = Reload::new(vec![], vec!["ha.toml:3:1: unknown key `adress`".into()]);
    let daemon = Daemon::start(refused.clone());
    assert_eq!(Client::new(&daemon.socket).reload().unwrap(), refused);
    assert!(daemon.say(b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n\r\n").starts_with("HTTP/1.1 422 "));
}

/// A rule whose name no path could have.
fn wanted() -> Clear {
    Clear { rule: "data disk? & más=100%".into(), instance: Some("VI_1".into()), policy: Some("a/b".into()) }
}

#[test]
fn which_rule_is_to_be_cleared_arrives_as_it_was_said() {
    let daemon = Daemon::start(done());
    let client = Client::new(&daemon.socket);
    assert_eq!(client.clear(&wanted()).unwrap(), Cleared::new(Ok(vec!["done".into()])));
    let other = Clear { rule: "web".into(), ..Clear::default() };
    assert_eq!(client.clear(&other).unwrap(), Cleared::new(Err("web".into())));
    assert!(daemon.say(b"POST /v1/clear HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(daemon.say(b"POST /v1/clear?rule=a&rules=b HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(daemon.say(b"GET /v1/clear?rule=a HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert_eq!(daemon.asked.lock().unwrap().len(), 2);
}

#[test]
fn any_http_client_is_understood() {
    let daemon = Daemon::start(done());
    let answer = daemon.say(b"GET /v1/status HTTP/1.1\r\nHost: ha\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(r#""schema":"ha.status/1""#), "{answer}");
    assert!(daemon.say(b"GET /livez HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(daemon.say(b"GET /readyz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200 "));
    assert!(daemon.say(b"GET /masterz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 503 "));
}

#[test]
fn the_wrong_path_or_method_asks_the_daemon_nothing() {
    let daemon = Daemon::start(done());
    assert!(daemon.say(b"GET /etc/passwd HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(daemon.say(b"GET /v1/reload HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(daemon.say(b"DELETE /v1/status HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    assert!(daemon.asked.lock().unwrap().is_empty());
}

#[test]
fn garbage_and_huge_heads_change_nothing() {
    let daemon = Daemon::start(done());
    let noise: Vec<u8> = (0..100_000_u32).map(|i| u8::try_from(i * 7919 % 256).unwrap()).collect();
    assert!(daemon.say(&noise).starts_with("HTTP/1.1 400 "));
    let endless = [b"GET /v1/status HTTP/1.1\r\nX: ".to_vec(), vec![b'a'; 1 << 20]].concat();
    assert!(daemon.say(&endless).starts_with("HTTP/1.1 431 "));
    assert!(daemon.say(b"POST /v1/stop HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nxx").starts_with("HTTP/1.1 413 "));
    assert!(daemon.asked.lock().unwrap().is_empty());
    assert!(daemon.answers());
}

#[test]
fn half_a_request_is_dropped_in_time() {
    let daemon = Daemon::start(done());
    let begun = Instant::now();
    let mut stream = daemon.connect();
    stream.write_all(b"POST /v1/stop HTT").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(daemon.asked.lock().unwrap().is_empty());
}

#[test]
fn many_silent_clients_only_delay_the_next() {
    let daemon = Daemon::start(done());
    let silent: Vec<UnixStream> = (0..CONNECTIONS_MAX + 4).map(|_| daemon.connect()).collect();
    let begun = Instant::now();
    assert!(daemon.answers());
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop(silent);
}

#[test]
fn a_client_that_hangs_up_changes_nothing() {
    let daemon = Daemon::start(done());
    for _ in 0..100 {
        let mut stream = daemon.connect();
        stream.write_all(b"GET /v1/status HTTP/1.1\r\n\r\n").unwrap();
    }
    assert!(daemon.answers());
}

#[test]
fn only_owner_and_group_may_connect() {
    let daemon = Daemon::start(done());
    let mode = std::fs::metadata(&daemon.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}

fn bind(path: &Path) -> (Runtime, std::io::Result<Server>) {
    let runtime = Runtime::new().unwrap();
    let server = {
        let _inside = runtime.enter();
        Server::bind(path)
    };
    (runtime, server)
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("ha.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    assert!(matches!(Client::new(&socket).status(), Err(Unanswered::NotRunning(_))));
    let (_runtime, server) = bind(&socket);
    let server = server.unwrap();
    drop(server);
    assert!(!socket.exists(), "a daemon that stops takes its socket with it");
}

#[test]
fn a_second_daemon_is_refused_and_harms_nothing() {
    let daemon = Daemon::start(done());
    let (_runtime, second) = bind(&daemon.socket);
    assert_eq!(second.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    assert!(daemon.answers());
}

#[test]
fn a_daemon_leaves_the_socket_of_its_successor_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("ha.sock");
    let (_runtime, first) = bind(&socket);
    std::fs::remove_file(&socket).unwrap();
    let (_another, second) = bind(&socket);
    drop(first);
    assert!(socket.exists());
    drop(second);
    assert!(!socket.exists());
}

/// Who asks is what the kernel says of the other end.
#[test]
fn a_command_about_a_policy_arrives_with_the_user_and_its_refusal_comes_back() {
    let daemon = Daemon::start(Reload::new(vec![], vec![]));
    let client = Client::new(&daemon.socket);
    let uid = rustix::process::geteuid().as_raw();
    for answer in [client.choose("p", &Wanted::Rollback(Some(7))).err(), client.generations("p").err()] {
        match answer {
            Some(Unanswered::Refused(409, why)) => assert_eq!(why, format!("uid {uid} wants what is not there")),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        matches!(client.choose("p", &Wanted::Generations), Err(Unanswered::Refused(405, _))),
        "a question is no command"
    );
}

/// Puts so many notes into the feed, with some text.
fn happen(daemon: &Daemon, numbers: std::ops::RangeInclusive<usize>) {
    numbers.for_each(|number| daemon.feed.put("now", "VI_1", What::Note, &format!("{number} {}", "x".repeat(500))));
}

fn numbers(events: &[Happening]) -> Vec<u64> {
    events.iter().map(|event| event.number).collect()
}

#[test]
fn what_happened_is_told_and_what_happens_is_followed() {
    let daemon = Daemon::start(done());
    let client = Client::new(&daemon.socket);
    happen(&daemon, 1..=200);
    let all = |last| {
        let mut all = Vec::new();
        let each = |event| {
            all.push(event);
            ControlFlow::Continue(())
        };
        client.events(last, false, each).unwrap();
        all
    };
    assert_eq!(numbers(&all(None)), (1..=200).collect::<Vec<_>>());
    assert_eq!(numbers(&all(Some(2))), [199, 200]);
    let mut seen = Vec::new();
    let follow = |event: Happening| {
        seen.push(event);
        // It goes on with what happens only now.
        if seen.len() == 3 {
            happen(&daemon, 201..=202);
        }
        if seen.len() == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    client.events(Some(3), true, follow).unwrap();
    assert_eq!(numbers(&seen), [198, 199, 200, 201, 202]);
    for (request, code) in [("POST /v1/events", 405), ("GET /v1/events?last=few", 400), ("GET /v1/events?lats=1", 400)]
    {
        let said = daemon.say(format!("{request} HTTP/1.1\r\n\r\n").as_bytes());
        assert!(said.starts_with(&format!("HTTP/1.1 {code} ")), "{said}");
    }
}

#[test]
fn a_reader_that_does_not_read_delays_nobody_and_finds_a_gap() {
    let daemon = Daemon::start(done());
    let mut slow = daemon.connect();
    slow.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\n\r\n").unwrap();
    slow.read_exact(&mut [0; "HTTP/1.1 200 OK\r\n".len()]).unwrap();
    // More than the socket takes and the feed keeps, and others are served meanwhile.
    let many = EVENTS_KEPT * 4;
    let begin = Instant::now();
    happen(&daemon, 1..=many);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert!(daemon.answers());
    let mut reader = BufReader::new(slow).lines().map_while(Result::ok).skip_while(|line| !line.is_empty()).skip(1);
    let mut next = 1;
    let mut missed_all = 0;
    while next <= u64::try_from(many).unwrap() {
        let line = reader.next().expect("the stream goes on to the last event");
        let event: Happening = serde_json::from_str(&line).unwrap();
        match event.what {
            What::Gap { missed } => {
                assert_eq!(event.number, next + missed - 1, "the gap is as wide as it says");
                missed_all += missed;
            }
            What::Transition { .. }
            | What::Priority { .. }
            | What::Raised { .. }
            | What::Cleared { .. }
            | What::Note => assert_eq!(event.number, next, "in order"),
        }
        next = event.number + 1;
    }
    assert!(missed_all > 0, "the ring was overrun");
}

#[test]
fn those_who_follow_leave_room_for_others_and_end_with_the_daemon() {
    let daemon = Daemon::start(done());
    let follow = || {
        let mut stream = daemon.connect();
        stream.write_all(b"GET /v1/events?follow=true HTTP/1.1\r\n\r\n").unwrap();
        let mut code = [0; 12];
        stream.read_exact(&mut code).unwrap();
        (stream, String::from_utf8_lossy(&code).into_owned())
    };
    let mut followers: Vec<_> = (0..FOLLOWERS_MAX).map(|_| follow()).collect();
    assert!(followers.iter().all(|(_, code)| code == "HTTP/1.1 200"));
    assert_eq!(follow().1, "HTTP/1.1 503");
    assert!(daemon.answers());
    // One that hangs up leaves its place.
    drop(followers.pop());
    let until = Instant::now() + Duration::from_secs(5);
    while follow().1 != "HTTP/1.1 200" {
        assert!(Instant::now() < until, "the place is free again");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(daemon);
    for (mut stream, _) in followers {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
    }
}
