//! http: every way in which a web server can be good or bad.

use std::{
    fs::Permissions,
    io::{Read, Write},
    net::{IpAddr, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    sync::mpsc,
    thread,
    time::Duration,
};

use ha::{
    config::Permits,
    policy::{
        Secret, SecretOrText,
        probe::{
            Authorization, Data, ErrorKind, Field, HttpRequest, HttpVersion, JsonExpectation, Pattern, ProbeKind,
            ProbeRequest,
        },
    },
    words::Family,
};
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
        headers: vec![("X-Probe".to_owned(), plain("1"))],
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

fn plain(text: &str) -> SecretOrText {
    SecretOrText::Text(text.to_owned())
}

/// A server that answers 200 and tells what it was asked.
fn listening() -> (String, mpsc::Receiver<String>) {
    let (sender, seen) = mpsc::channel();
    let address = serve(move |mut connection| {
        let mut asked = [0; 4096];
        let mut length = 0;
        // The whole request, its body too, comes within a moment.
        connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        while let Ok(count @ 1..) = connection.read(&mut asked[length..]) {
            length += count;
        }
        sender.send(String::from_utf8_lossy(&asked[..length]).into_owned()).unwrap();
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    (format!("http://{address}/"), seen)
}

#[test]
fn a_header_must_hold_the_wanted_text() {
    let url = responding("HTTP/1.1 200 OK\r\nX-Cache: MISS from edge\r\nContent-Length: 0\r\n\r\n");
    let wanting =
        |name: &str, text: &str| HttpRequest { header: vec![(name.to_owned(), text.to_owned())], ..get(&url) };
    assert_outcome(&World::new().http(wanting("x-cache", "MISS")), true, ErrorKind::None, "200");
    assert_outcome(&World::new().http(wanting("x-cache", "")), true, ErrorKind::None, "200");
    let why = "200, no \"HIT\" in the header x-cache";
    assert_outcome(&World::new().http(wanting("x-cache", "HIT")), false, ErrorKind::Mismatch, why);
    assert_outcome(&World::new().http(wanting("etag", "")), false, ErrorKind::Mismatch, "200, no header etag");
}

#[test]
fn an_expression_must_be_found_in_the_body() {
    let url = responding("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nlag: 12s");
    let like = |pattern: &str| HttpRequest { body_re: Some(Pattern::new(pattern).unwrap()), ..get(&url) };
    assert_outcome(&World::new().http(like("^lag: [0-9]+s$")), true, ErrorKind::None, "200");
    let why = "200, nothing like \"^lag: [0-9]s$\" in the body";
    assert_outcome(&World::new().http(like("^lag: [0-9]s$")), false, ErrorKind::Mismatch, why);
}

#[test]
fn a_document_can_be_read_and_judged() {
    let url = responding("HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n{\"health\":\"true\",\"lag\":[1]}\n");
    let expecting = |json: &str| HttpRequest { json: Some(JsonExpectation::new(json).unwrap()), ..get(&url) };
    let outcome = World::new().http(expecting("$.health == 'true'"));
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    let Field::Map(document) = &outcome.fields["json"] else { panic!("{outcome:?}") };
    assert_eq!(document["lag"], Field::List(vec![Field::Int(1)]));
    let why = "200, $.lag[0] is 1, wanted $.lag[0] < 1";
    assert_outcome(&World::new().http(expecting("$.lag[0] < 1")), false, ErrorKind::Mismatch, why);

    let broken = responding("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1,");
    let outcome = World::new().http(HttpRequest { json: Some(JsonExpectation::new("$").unwrap()), ..get(broken) });
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "200, the body is no JSON document");
}

#[test]
fn what_is_sent_is_sent_whole_and_said_to_be_what_it_is() {
    let (url, seen) = listening();
    let data = Data { text: plain("{\"query\":1}"), content_type: Some("application/json") };
    let http = HttpRequest {
        method: "POST".to_owned(),
        authorization: Some(Authorization::Basic(plain("ha:s3cret"))),
        data: Some(data),
        ..get(&url)
    };
    assert_outcome(&World::new().http(http.clone()), true, ErrorKind::None, "200");
    let asked = seen.recv().unwrap();
    let lower = asked.to_lowercase();
    assert!(asked.starts_with("POST / HTTP/1.1\r\n") && asked.ends_with("\r\n\r\n{\"query\":1}"), "{asked}");
    for header in ["content-length: 11", "content-type: application/json", "authorization: basic age6cznjcmv0"] {
        assert!(lower.contains(&format!("\r\n{header}\r\n")), "{header} in {asked}");
    }

    let typed = HttpRequest {
        method: "GET".to_owned(),
        headers: vec![("Content-Type".to_owned(), plain("text/x-query"))],
        authorization: Some(Authorization::Bearer(plain("t0ken"))),
        ..http
    };
    assert_outcome(&World::new().http(typed), true, ErrorKind::None, "200");
    let asked = seen.recv().unwrap().to_lowercase();
    assert!(asked.starts_with("get / ") && asked.ends_with("{\"query\":1}"), "{asked}");
    assert_eq!(asked.matches("content-type: ").count(), 1, "{asked}");
    assert!(
        asked.contains("content-type: text/x-query\r\n") && asked.contains("authorization: bearer t0ken\r\n"),
        "{asked}"
    );
}

#[test]
fn an_old_server_is_asked_in_its_version() {
    let (url, seen) = listening();
    let old = HttpRequest { version: HttpVersion::Http10, ..get(&url) };
    assert_outcome(&World::new().http(old.clone()), true, ErrorKind::None, "200");
    assert!(seen.recv().unwrap().starts_with("GET / HTTP/1.0\r\n"));
    let data = Some(Data { text: plain("hello"), content_type: None });
    assert_outcome(
        &World::new().http(HttpRequest { method: "POST".to_owned(), data, ..old }),
        true,
        ErrorKind::None,
        "200",
    );
    let asked = seen.recv().unwrap();
    assert!(asked.starts_with("POST / HTTP/1.0\r\n") && asked.ends_with("\r\n\r\nhello"), "{asked}");
}

#[test]
fn a_proxy_is_asked_for_a_tunnel() {
    let web = responding("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nweb");
    let (sender, seen) = mpsc::channel();
    let proxy = serve(move |mut connection| {
        let line = request_lines(&connection).remove(0);
        let to = line.split(' ').nth(1).unwrap().to_owned();
        sender.send(line).unwrap();
        let Ok(mut onward) = TcpStream::connect(to) else {
            let _ = connection.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n");
            return;
        };
        connection.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
        let (mut back, mut answers) = (connection.try_clone().unwrap(), onward.try_clone().unwrap());
        thread::spawn(move || std::io::copy(&mut connection, &mut onward));
        let _ = std::io::copy(&mut answers, &mut back);
    });
    let through = |url: &str| HttpRequest { proxy: Some(format!("http://{proxy}")), ..get(url) };
    let outcome = World::new().http(through(&web));
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!((text(&outcome, "body").as_str(), text(&outcome, "remote")), ("web", proxy.to_string()));
    let host = web.trim_start_matches("http://").trim_end_matches('/');
    assert_eq!(seen.recv().unwrap(), format!("CONNECT {host} HTTP/1.1"));

    let outcome = World::new().http(through(&format!("http://{}/", closed_port())));
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Protocol, false), "{outcome:?}");
    assert!(outcome.why.contains("502"), "{}", outcome.why);
    let gone = HttpRequest { proxy: Some(format!("http://{}", closed_port())), ..get(&web) };
    assert_outcome(&World::new().http(gone), false, ErrorKind::Refused, "connection refused");
}

#[test]
fn who_answered_can_be_read_and_a_name_is_asked_in_the_wanted_family() {
    let url = responding("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let named = url.replace("127.0.0.1", "localhost");
    let v4 = ProbeRequest { family: Some(Family::V4), ..short(get(&named)) };
    let outcome = World::new().probe(&v4);
    assert_outcome(&outcome, true, ErrorKind::None, "200");
    assert_eq!(format!("http://{}/", text(&outcome, "remote")), url);
    let outcome = World::new().probe(&ProbeRequest { family: Some(Family::V6), ..short(get(&named)) });
    // Where localhost has no IPv6 address at all, that is what is said.
    assert!(!outcome.ok && [ErrorKind::Refused, ErrorKind::Dns].contains(&outcome.error), "{outcome:?}");
}

#[test]
fn a_secret_is_read_when_it_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let secrets_dir = directory.path().canonicalize().unwrap();
    let world = World::new();
    world.prober.permit(&Permits { secrets_dir: secrets_dir.clone(), ..Permits::default() });
    let (url, seen) = listening();
    let secret = |name: &str| SecretOrText::Secret(Secret::named(name).unwrap());
    let http = HttpRequest {
        authorization: Some(Authorization::Bearer(secret("token"))),
        headers: vec![("X-Api-Key".to_owned(), secret("token"))],
        ..get(&url)
    };
    let outcome = world.http(http.clone());
    assert_eq!((outcome.ok, outcome.error, outcome.blind), (false, ErrorKind::Internal, true), "{outcome:?}");
    assert!(outcome.why.starts_with("secret token cannot be read: "), "{}", outcome.why);

    std::fs::write(secrets_dir.join("token"), "t0ken\n").unwrap();
    std::fs::set_permissions(secrets_dir.join("token"), Permissions::from_mode(0o600)).unwrap();
    assert_outcome(&world.http(http), true, ErrorKind::None, "200");
    let asked = seen.recv().unwrap().to_lowercase();
    assert!(asked.contains("authorization: bearer t0ken\r\n") && asked.contains("x-api-key: t0ken\r\n"), "{asked}");
}
