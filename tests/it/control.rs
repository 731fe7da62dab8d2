//! The control socket: its round trip, and clients that mean no good.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's helpers fail the test")]

use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ha::control::{
    Clear, Cleared, Client, Reload, Request, Server, Status, Unanswered, Wanted, server::CONNECTIONS_MAX,
};
use tokio::{runtime::Runtime, sync::mpsc};

/// A socket whose daemon answers from a fixed status and counts what it was asked.
struct Daemon {
    runtime: Option<Runtime>,
    asked: std::sync::Arc<std::sync::Mutex<Vec<&'static str>>>,
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
        runtime.spawn(server.serve(requests));
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
                    Request::Reload(_, reply) => {
                        log.lock().unwrap().push("reload");
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
                    Request::Stop(reply) => {
                        log.lock().unwrap().push("stop");
                        let _ = reply.send(());
                    }
                }
            }
        });
        Self { runtime: Some(runtime), asked, socket, _directory: directory }
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
    assert_eq!(client.reload().unwrap(), done());
    client.stop().unwrap();
    assert_eq!(*daemon.asked.lock().unwrap(), ["status", "reload", "stop"]);
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
