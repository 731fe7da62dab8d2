//! The gateway against an etcd that is played: what its answers mean, and who asks.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::mpsc,
    thread,
};

use tokio::runtime::Runtime;

use super::*;
use crate::{
    config::{Permits, WitnessMode},
    policy::Secret,
};

#[test]
fn what_etcd_says_is_an_answer_a_refusal_or_silence() {
    assert!(read(200, "{\"ID\":\"5\",\"TTL\":\"5\"}").is_ok());
    let refused = |code, message: &str| Err(Trouble::Refused { code, message: message.to_owned() });
    let gone = "{\"error\":\"etcdserver: requested lease not found\",\"code\":5}";
    assert_eq!(read(404, gone), refused(5, "etcdserver: requested lease not found"));
    let token = "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}";
    assert_eq!(read(401, token), refused(16, "etcdserver: invalid auth token"));
    let silent = |why: &str| Err(Trouble::Silent(why.to_owned()));
    assert_eq!(read(503, "{\"error\":\"etcdserver: no leader\",\"code\":14}"), silent("etcdserver: no leader"));
    let stream = "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no leader\"}}";
    assert_eq!(read(200, stream), silent("etcdserver: no leader"));
    assert_eq!(read(502, "<html>bad gateway</html>"), silent("its answer is none of etcd (status 502)"));
    assert_eq!(read(200, "hello"), silent("its answer is none of etcd (status 200)"));
    assert_eq!(read(200, "[1]"), silent("its answer is none of etcd (status 200)"));
    assert_eq!(read(200, &"x".repeat(LONGEST)), silent("its answer is longer than 1 MiB"));
    assert_eq!(read(200, ""), silent("its answer is none of etcd (status 200)"));
}

/// What etcd was asked: the path, and who asked.
type Asked = (String, Option<String>);

/// An etcd that gives these answers (status, body), one after the other, and a gateway to it that logs in.
struct Played {
    gateway: Gateway,
    asked: mpsc::Receiver<Asked>,
    _runtime: Runtime,
    _secrets: tempfile::TempDir,
}

impl Played {
    fn new(answers: &[(u16, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = mpsc::channel();
        let answers: Vec<(u16, String)> = answers.iter().map(|(status, body)| (*status, (*body).to_owned())).collect();
        thread::spawn(move || answers.iter().for_each(|answer| answer_one(&listener, answer, &sender)));
        let (runtime, secrets) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
        let directory = secrets.path().canonicalize().unwrap();
        std::fs::write(directory.join("etcd"), "hunter2\n").unwrap();
        std::fs::set_permissions(directory.join("etcd"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let prober = RealProber::new(runtime.handle().clone());
        prober.permit(&Permits { secrets_dir: directory, ..Permits::default() });
        let login = Login { user: "ha".to_owned(), password: Secret::named("etcd").unwrap() };
        let witness = Witness {
            endpoints: vec![url],
            mode: WitnessMode::Strict,
            key: "ha/web".to_owned(),
            ttl: Duration::from_secs(5),
            timeout: Duration::from_secs(20),
            login: Some(login),
            ca: None,
        };
        Self { gateway: Gateway::new(&witness, prober), asked, _runtime: runtime, _secrets: secrets }
    }

    fn ask(&mut self) -> Result<Value, Trouble> {
        self.gateway.ask("kv/range", &json!({}))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.try_iter().collect()
    }
}

fn answer_one(listener: &TcpListener, (status, answer): &(u16, String), sender: &mpsc::Sender<Asked>) {
    let (connection, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(connection);
    let (mut path, mut token, mut length, mut line) = (String::new(), None, 0, String::new());
    while reader.read_line(&mut line).unwrap() > 2 {
        match line.trim().split_once(' ') {
            Some(("POST", rest)) => path = rest.replace("/v3/", "").replace(" HTTP/1.1", ""),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization:") => token = Some(value.to_owned()),
            Some((name, value)) if name.eq_ignore_ascii_case("content-length:") => length = value.parse().unwrap(),
            Some(_) | None => (),
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    sender.send((path, token)).unwrap();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    reader.get_mut().write_all(format!("{head}{answer}").as_bytes()).unwrap();
}

fn login() -> Asked {
    ("auth/authenticate".to_owned(), None)
}

fn range(token: Option<&str>) -> Asked {
    ("kv/range".to_owned(), token.map(str::to_owned))
}

const ONE: (u16, &str) = (200, "{\"header\":{},\"token\":\"one\"}");
const TWO: (u16, &str) = (200, "{\"header\":{},\"token\":\"two\"}");
const FOUND: (u16, &str) = (200, "{\"header\":{}}");

/// Each of them is what a token that was good is told: it has ended, the users of etcd have changed since (JWT), it is one of
/// before a restart.
#[test]
fn who_is_refused_logs_in_once_more_whatever_the_refusal_is() {
    for refused in [
        (401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}"),
        (400, "{\"error\":\"etcdserver: revision of auth store is old\",\"code\":3}"),
        (400, "{\"error\":\"etcdserver: user name is empty\",\"code\":3}"),
        (200, "{\"error\":{\"grpc_code\":3,\"message\":\"etcdserver: revision of auth store is old\"}}"),
        (400, "{\"error\":\"something new\",\"code\":9}"),
    ] {
        let mut etcd = Played::new(&[ONE, FOUND, refused, TWO, FOUND]);
        assert!(etcd.ask().is_ok());
        assert_eq!(etcd.ask(), Ok(json!({ "header": {} })), "{refused:?}");
        assert_eq!(etcd.asked(), [login(), range(Some("one")), range(Some("one")), login(), range(Some("two"))]);
    }
}

#[test]
fn what_says_nothing_of_who_asks_is_believed_at_once() {
    let gone = (404, "{\"error\":\"etcdserver: requested lease not found\",\"code\":5}");
    let denied = (403, "{\"error\":\"etcdserver: permission denied\",\"code\":7}");
    for (refused, code) in [(gone, 5), (denied, 7)] {
        let mut etcd = Played::new(&[ONE, FOUND, refused, FOUND]);
        assert!(etcd.ask().is_ok());
        assert!(matches!(etcd.ask(), Err(Trouble::Refused { code: said, .. }) if said == code));
        assert!(etcd.ask().is_ok());
        assert_eq!(etcd.asked(), [login(), range(Some("one")), range(Some("one")), range(Some("one"))]);
    }
}

#[test]
fn who_has_just_logged_in_and_is_refused_asks_no_third_time() {
    let old = (400, "{\"error\":\"etcdserver: revision of auth store is old\",\"code\":3}");
    let mut etcd = Played::new(&[ONE, old, TWO, FOUND]);
    assert!(matches!(etcd.ask(), Err(Trouble::Refused { code: 3, .. })));
    assert_eq!(etcd.asked(), [login(), range(Some("one"))]);
    // Next time it does.
    assert!(etcd.ask().is_ok());
    assert_eq!(etcd.asked(), [login(), range(Some("two"))]);
}

#[test]
fn who_need_not_say_who_it_is_asks_without_a_token() {
    let off = (400, "{\"error\":\"etcdserver: authentication is not enabled\",\"code\":9}");
    let invalid = (401, "{\"error\":\"etcdserver: invalid auth token\",\"code\":16}");
    let mut etcd = Played::new(&[ONE, FOUND, invalid, off, FOUND, off, FOUND, ONE, FOUND]);
    let words = [0; 4].map(|_| etcd.ask().is_ok());
    assert_eq!(words, [true; 4]);
    let first = [login(), range(Some("one")), range(Some("one"))];
    let without = [login(), range(None), login(), range(None)];
    let asked = [first.to_vec(), without.to_vec(), vec![login(), range(Some("one"))]].concat();
    assert_eq!(etcd.asked(), asked);
}
