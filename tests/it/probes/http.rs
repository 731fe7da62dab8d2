//! http: every way in which a web server can be good or bad.

use std::{
    io::Write,
    net::{IpAddr, TcpStream},
    os::unix::net::UnixListener,
    sync::mpsc,
    thread,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, Field, HttpRequest, ProbeKind, ProbeRequest};
use socket2::SockRef;

use super::{World, assert_outcome, assert_took, closed_port, get, request, request_lines, serve, text};

const SHORT: Duration = Duration::from_millis(300);

/// A server that always sends `response` and hangs up.
fn responding(response: &'static str) -> String {
    let address = serve(move |mut connection| {
        request_lines(&connection);
        let _ = connection.write_all(response.as_bytes());
    });
    format!("http://{address}/")
}

/// A server that does as told after the request has come.
fn behaving(behave: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> String {
    let address = serve(move |mut connection| {
        request_lines(&connection);
        behave(&mut connection);
    });
    format!("http://{address}/")
}

fn short(http: HttpRequest) -> ProbeRequest {
    ProbeRequest { timeout: SHORT, ..request(ProbeKind::Http(http)) }
}

#[test]
fn two_hundred_is_ok_and_a_policy_can_read_it() {
    let url = responding("HTTP/1.1 200 OK\r\nX-Node: a\r\nx-node: b\r\nContent-Length: 5\r\n\r\nhello");
    let outcome = World::new().http(get(url));
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(outcome.fields["status"], Field::Int(200));
    assert_eq!(text(&outcome, "body"), "hello");
    assert_eq!(text(&outcome, "phase"), "done");
    let Field::Texts(headers) = &outcome.fields["headers"] else { panic!("{outcome:?}") };
    assert_eq!(headers["x-node"], "a, b");
}

#[test]
fn another_status_is_a_mismatch_and_its_body_can_be_read() {
    for (response, why) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone", "status 404"),
        ("HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\ngone", "status 500"),
        ("HTTP/1.1 204 None\r\n\r\n", "status 204"),
    ] {
        let outcome = World::new().http(get(responding(response)));
        assert_outcome(&outcome, false, ErrorKind::Mismatch, why);
        assert_eq!(text(&outcome, "body"), if why == "status 204" { "" } else { "gone" });
    }
}

#[test]
fn wanted_statuses_are_ranges() {
    let url = responding("HTTP/1.1 304 Not Modified\r\n\r\n");
    let http = HttpRequest { status: vec![(200, 200), (300, 399)], ..get(url) };
    assert_outcome(&World::new().http(http), true, ErrorKind::None, "304");
}

#[test]
fn the_body_must_hold_the_wanted_text() {
    let url = responding("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsick: db");
    let http = HttpRequest { body: Some("healthy".to_owned()), ..get(&url) };
    assert_outcome(&World::new().http(http), false, ErrorKind::Mismatch, "200, no \"healthy\" in the body");
    let http = HttpRequest { body: Some("sick".to_owned()), ..get(&url) };
    assert_outcome(&World::new().http(http), true, ErrorKind::None, "200");
}

#[test]
fn a_redirect_is_followed_only_as_told() {
    let end = responding("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend");
    let url = behaving(move |connection| {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {end}\r\nContent-Length: 0\r\n\r\n");
        connection.write_all(head.as_bytes()).unwrap();
    });
    assert_outcome(&World::new().http(get(&url)), false, ErrorKind::Mismatch, "status 302");
    let outcome = World::new().http(HttpRequest { follow: 1, ..get(url) });
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body"), "end");
}

#[test]
fn silence_slow_headers_and_a_dripping_body_end_at_the_deadline() {
    let silence = behaving(|_| thread::sleep(Duration::from_secs(10)));
    let slow = behaving(|connection| {
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if connection.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    });
    let dripping = behaving(|connection| {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        while connection.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    for (url, phase) in [(silence, "answer"), (slow, "answer"), (dripping, "body")] {
        let outcome = World::new().probe(&short(get(url)));
        assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
        assert_took(&outcome, SHORT);
        assert_eq!(text(&outcome, "phase"), phase);
    }
}

#[test]
fn a_bad_status_is_reported_even_if_its_body_never_ends() {
    let url = behaving(|connection| {
        let _ = connection.write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 1000\r\n\r\nwait");
        thread::sleep(Duration::from_secs(10));
    });
    let outcome = World::new().probe(&short(get(url)));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "status 503");
    assert_eq!(text(&outcome, "body"), "wait");
}

#[test]
fn nobody_listening_is_refused() {
    let outcome = World::new().http(get(format!("http://{}/", closed_port())));
    assert_outcome(&outcome, false, ErrorKind::Refused, "connection refused");
    assert_eq!(outcome.fields["status"], Field::Unit);
    assert_eq!(text(&outcome, "phase"), "connect");
}

#[test]
fn hanging_up_is_a_reset() {
    let closing = behaving(|_| {});
    let resetting = behaving(|connection| {
        SockRef::from(&*connection).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let halfway = responding("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    for url in [closing, resetting, halfway] {
        let outcome = World::new().http(get(url));
        assert_outcome(&outcome, false, ErrorKind::Reset, "connection closed by the other side");
    }
}

#[test]
fn something_else_than_http_is_a_protocol_error() {
    let outcome = World::new().http(get(responding("SSH-2.0-OpenSSH_9.2\r\n\r\n")));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Protocol, false), "{outcome:?}");
}

#[test]
fn a_big_body_is_read_only_as_far_as_told() {
    let url = behaving(|connection| {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        while connection.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let outcome = World::new().http(HttpRequest { max_body: 1000, ..get(url) });
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body").len(), 1000);
}

#[test]
fn the_request_is_as_told() {
    let (sender, seen) = mpsc::channel();
    let address = serve(move |mut connection| {
        sender.send(request_lines(&connection)).unwrap();
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let http = HttpRequest {
        method: "PURGE".to_owned(),
        host: Some("www.example.org".to_owned()),
        headers: vec![("X-Probe".to_owned(), "1".to_owned())],
        ..get(format!("http://{address}/health?deep=1"))
    };
    assert_outcome(&World::new().http(http), true, ErrorKind::None, "200");
    let lines = seen.recv().unwrap();
    assert_eq!(lines[0], "PURGE /health?deep=1 HTTP/1.1");
    let lower: Vec<String> = lines.iter().map(|line| line.to_lowercase()).collect();
    for header in ["host: www.example.org", "x-probe: 1", "connection: close"] {
        assert!(lower.iter().any(|line| line == header), "{header} in {lines:?}");
    }
}

#[test]
fn it_comes_from_the_source_address_and_interface_it_is_told() {
    let (sender, seen) = mpsc::channel();
    let address = serve(move |mut connection| {
        sender.send(connection.peer_addr().unwrap().ip()).unwrap();
        request_lines(&connection);
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let url = format!("http://{address}/");
    let source: IpAddr = "127.0.0.7".parse().unwrap();
    let told = ProbeRequest { bind: Some(source), iface: Some("lo".to_owned()), ..short(get(&url)) };
    assert_outcome(&World::new().probe(&told), true, ErrorKind::None, "200");
    assert_eq!(seen.recv().unwrap(), source);

    let not_ours = ProbeRequest { bind: Some("192.0.2.7".parse().unwrap()), ..short(get(&url)) };
    let why = "192.0.2.7: cannot assign requested address";
    assert_outcome(&World::new().probe(&not_ours), false, ErrorKind::Unreachable, why);
    let not_there = ProbeRequest { iface: Some("nosuch0".to_owned()), ..short(get(&url)) };
    assert_outcome(&World::new().probe(&not_there), false, ErrorKind::Unreachable, "nosuch0: no such device");
}

#[test]
fn a_unix_socket_is_as_good_as_a_port() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    let listener = UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        request_lines(&connection);
        connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix").unwrap();
    });
    let http = HttpRequest { unix: Some(path), ..get("http://localhost/") };
    let outcome = World::new().http(http);
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(text(&outcome, "body"), "unix");

    let gone = dir.path().join("gone.sock");
    let why = format!("{}: no such socket", gone.display());
    let outcome = World::new().http(HttpRequest { unix: Some(gone), ..get("http://localhost/") });
    assert_outcome(&outcome, false, ErrorKind::Refused, &why);
}

#[test]
fn a_unix_socket_whose_owner_sleeps_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let outcome = World::new().probe(&short(HttpRequest { unix: Some(path), ..get("http://localhost/") }));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, SHORT);
}

#[test]
fn what_is_no_url_says_nothing_about_the_service() {
    let outcome = World::new().http(get("localhost/health"));
    let why = "localhost/health is not an absolute http or https URL";
    assert_outcome(&outcome, false, ErrorKind::Internal, why);
}
