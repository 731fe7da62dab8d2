//! tcp: connect, send, expect.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use ha::{
    policy::probe::{ErrorKind, Field, Pattern, ProbeKind, ProbeRequest, Talk, TcpRequest},
    words::Family,
};

use super::{World, assert_outcome, assert_took, closed_port, float, request, request_lines, serve, text};

fn to(address: SocketAddr) -> TcpRequest {
    TcpRequest::to(address.to_string())
}

fn expecting(address: SocketAddr, send: Option<&str>, expect: &str) -> TcpRequest {
    let send = send.unwrap_or_default().as_bytes().to_vec();
    TcpRequest { talk: Talk { send, expect: Some(expect.to_owned()), ..Talk::default() }, ..to(address) }
}

fn short(tcp: TcpRequest) -> ProbeRequest {
    ProbeRequest { timeout: Duration::from_millis(300), ..request(ProbeKind::Tcp(tcp)) }
}

#[test]
fn connected_is_ok() {
    let outcome = World::new().probe(&short(to(serve(|_| {}))));
    assert_outcome(&outcome, true, ErrorKind::None, "connected");
    assert!(float(&outcome, "connect") < 0.3);
    assert_eq!(text(&outcome, "data"), "");
}

#[test]
fn a_conversation_ends_with_the_expected_text() {
    let redis = serve(|mut connection| {
        let mut request = [0; 6];
        connection.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"PING\r\n");
        // In two pieces: the text may come split.
        connection.write_all(b"+PO").unwrap();
        thread::sleep(Duration::from_millis(20));
        connection.write_all(b"NG\r\n").unwrap();
        thread::sleep(Duration::from_secs(10));
    });
    let outcome = World::new().probe(&short(expecting(redis, Some("PING\r\n"), "+PONG")));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert_eq!(text(&outcome, "data"), "+PONG\r\n");
}

#[test]
fn another_answer_is_a_mismatch_whether_it_ends_or_not() {
    let ends = serve(|mut connection| connection.write_all(b"421 go away\r\n").unwrap());
    let stays = serve(|mut connection| {
        connection.write_all(b"421 go away\r\n").unwrap();
        thread::sleep(Duration::from_secs(10));
    });
    let never_ends = serve(|mut connection| while connection.write_all(&[b'x'; 4096]).is_ok() {});
    for server in [ends, stays, never_ends] {
        let outcome = World::new().probe(&short(expecting(server, None, "220 ")));
        assert_outcome(&outcome, false, ErrorKind::Mismatch, "no \"220 \" in the answer");
    }
}

#[test]
fn silence_times_out_and_hanging_up_is_a_reset() {
    let silent = serve(|_connection| thread::sleep(Duration::from_secs(10)));
    let outcome = World::new().probe(&short(expecting(silent, None, "220")));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));

    let outcome = World::new().probe(&short(expecting(serve(|_| {}), None, "220")));
    assert_outcome(&outcome, false, ErrorKind::Reset, "closed without an answer");
}

#[test]
fn nobody_listening_is_refused() {
    let outcome = World::new().probe(&short(to(closed_port())));
    assert_outcome(&outcome, false, ErrorKind::Refused, "connection refused");
    assert_eq!(outcome.fields["connect"], Field::Unit);
}

#[test]
fn the_wrong_source_or_interface_is_no_way_there() {
    let server = serve(|_| {});
    let foreign = ProbeRequest { bind: Some("192.0.2.7".parse().unwrap()), ..short(to(server)) };
    let why = "192.0.2.7: cannot assign requested address";
    assert_outcome(&World::new().probe(&foreign), false, ErrorKind::Unreachable, why);
    let missing = ProbeRequest { iface: Some("nosuch0".to_owned()), ..short(to(server)) };
    assert_outcome(&World::new().probe(&missing), false, ErrorKind::Unreachable, "nosuch0: no such device");
}

#[test]
fn what_is_no_address_says_nothing_about_the_service() {
    let request = short(TcpRequest::to("localhost"));
    assert_outcome(&World::new().probe(&request), false, ErrorKind::Internal, "localhost is not HOST:PORT");
}

#[test]
fn an_expression_is_looked_for_as_the_answer_grows() {
    let greeting = serve(|mut connection| {
        connection.write_all(b"220 mail.example.org ").unwrap();
        thread::sleep(Duration::from_millis(20));
        connection.write_all(b"ESMTP\r\n").unwrap();
        thread::sleep(Duration::from_secs(10));
    });
    let like = |pattern: &str| TcpRequest {
        talk: Talk { expect_re: Some(Pattern::new(pattern).unwrap()), ..Talk::default() },
        ..to(greeting)
    };
    assert_outcome(&World::new().probe(&short(like("^220 .*ESMTP"))), true, ErrorKind::None, "answered");
    let why = "nothing like \"^250 \" in the answer";
    assert_outcome(&World::new().probe(&short(like("^250 "))), false, ErrorKind::Mismatch, why);
}

#[test]
fn a_server_behind_a_proxy_is_told_who_connects() {
    let server = serve(|mut connection| {
        let introduction = request_lines(&connection).concat();
        let from = connection.peer_addr().unwrap();
        let to = connection.local_addr().unwrap();
        let right = format!("PROXY TCP4 127.0.0.8 127.0.0.1 {} {}EHLO", from.port(), to.port());
        let answer = if introduction == right { "welcome" } else { "go away" };
        let _ = connection.write_all(answer.as_bytes());
    });
    let introduced = TcpRequest { proxy_protocol: true, ..expecting(server, Some("EHLO\r\n\r\n"), "welcome") };
    let from = Some("127.0.0.8".parse().unwrap());
    let outcome = World::new().probe(&ProbeRequest { bind: from, ..short(introduced) });
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    let outcome =
        World::new().probe(&ProbeRequest { bind: from, ..short(expecting(server, Some("EHLO\r\n\r\n"), "welcome")) });
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "no \"welcome\" in the answer");
}

#[test]
fn a_name_of_both_families_is_asked_in_the_wanted_one() {
    let server = serve(|_| {});
    let named =
        |family| ProbeRequest { family: Some(family), ..short(TcpRequest::to(format!("localhost:{}", server.port()))) };
    assert_outcome(&World::new().probe(&named(Family::V4)), true, ErrorKind::None, "connected");
    let outcome = World::new().probe(&named(Family::V6));
    // Where localhost has no IPv6 address at all, that is what is said.
    assert!(!outcome.ok && [ErrorKind::Refused, ErrorKind::Dns].contains(&outcome.error), "{outcome:?}");
}
