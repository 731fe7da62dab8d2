//! The real probes against real counterparts on loopback.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod cert;
mod concurrency;
mod disk;
mod dns;
mod exec;
mod file;
mod http;
mod https;
mod isolated;
mod link;
mod listening;
mod near_end;
mod network;
mod ping;
mod process;
mod service;
mod tcp;
mod tls;
mod udp;
mod unix_socket;
mod vitals;

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use ha::{
    policy::probe::{ErrorKind, Field, HttpRequest, PingRequest, ProbeKind, ProbeOutcome, ProbeRequest, Prober},
    probe::RealProber,
};
use tokio::runtime::Runtime;

/// A prober and the runtime it works on.
struct World {
    prober: RealProber,
    _runtime: Runtime,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        Self { prober: RealProber::new(runtime.handle().clone()), _runtime: runtime }
    }

    fn with_bus(address: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        Self { prober: RealProber::with_bus(runtime.handle().clone(), address), _runtime: runtime }
    }

    fn probe(&self, request: &ProbeRequest) -> ProbeOutcome {
        let pending = self.prober.start(request);
        let outcome = pending.recv_timeout(request.timeout + Duration::from_secs(5)).expect("an answer");
        assert!(pending.recv().is_err(), "answers exactly once");
        outcome
    }

    fn http(&self, http: HttpRequest) -> ProbeOutcome {
        self.probe(&request(ProbeKind::Http(http)))
    }
}

fn request(kind: ProbeKind) -> ProbeRequest {
    ProbeRequest::new(kind, Duration::from_secs(5))
}

fn get(url: impl Into<String>) -> HttpRequest {
    HttpRequest::get(url)
}

fn ping(host: &str) -> PingRequest {
    PingRequest { host: host.to_owned(), count: 1, gap: Duration::from_millis(200), min: 1, size: 16, ttl: None }
}

/// Asserts what an outcome says, in one line.
#[track_caller]
fn assert_outcome(outcome: &ProbeOutcome, ok: bool, error: ErrorKind, why: &str) {
    let want = (ok, error, why);
    assert_eq!((outcome.ok, outcome.error, outcome.why.as_str()), want, "{outcome:?}");
    let blind = matches!(error, ErrorKind::Denied | ErrorKind::Internal);
    assert_eq!(outcome.blind, blind, "{outcome:?}");
}

/// Asserts that it ended at its deadline and not much later.
#[track_caller]
fn assert_took(outcome: &ProbeOutcome, deadline: Duration) {
    let bound = deadline..deadline + Duration::from_millis(250);
    assert!(bound.contains(&outcome.elapsed), "took {:?}, not {deadline:?}", outcome.elapsed);
}

fn text(outcome: &ProbeOutcome, field: &str) -> String {
    match outcome.fields.get(field) {
        Some(Field::Text(text)) => text.clone(),
        other => panic!("{field}: {other:?}"),
    }
}

fn float(outcome: &ProbeOutcome, field: &str) -> f64 {
    match outcome.fields.get(field) {
        Some(Field::Float(number)) => *number,
        other => panic!("{field}: {other:?}"),
    }
}

/// A server on loopback that treats each connection the same, each on a thread of its own.
fn serve(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(connection));
        }
    });
    address
}

/// A port on loopback where nobody listens.
fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The lines of a request up to the empty one.
fn request_lines(connection: impl std::io::Read) -> Vec<String> {
    let lines = BufReader::new(connection).lines().map_while(Result::ok);
    lines.take_while(|line| !line.is_empty()).collect()
}

/// Runs an ignored test of this program in user and network namespaces of its own; `script` furnishes them and then runs
/// `"$@"`. Says so where the machine does not permit it.
#[track_caller]
fn in_namespaces(script: &str, test: &str) {
    let test = format!("probes::{test}");
    let inside = Command::new("unshare")
        .args(["-Urn", "sh", "-ec", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--ignored", "--nocapture"])
        .output();
    let Ok(inside) = inside else {
        return eprintln!("skipped: no unshare(1)");
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&inside.stdout), String::from_utf8_lossy(&inside.stderr));
    if stderr.contains("unshare failed") {
        return eprintln!("skipped: {stderr}");
    }
    assert!(inside.status.success() && stdout.contains("1 passed"), "{stdout}\n{stderr}");
}
