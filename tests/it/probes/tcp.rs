//! tcp: connect, send, expect.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    thread,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, Field, ProbeKind, ProbeRequest, TcpRequest};

use super::{World, assert_outcome, assert_took, closed_port, float, request, serve, text};

fn to(address: SocketAddr) -> TcpRequest {
    TcpRequest { target: address.to_string(), send: None, expect: None }
}

fn expecting(address: SocketAddr, send: Option<&str>, expect: &str) -> TcpRequest {
    TcpRequest { send: send.map(str::to_owned), expect: Some(expect.to_owned()), ..to(address) }
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
    let request = short(TcpRequest { target: "localhost".to_owned(), send: None, expect: None });
    assert_outcome(&World::new().probe(&request), false, ErrorKind::Internal, "localhost is not HOST:PORT");
}
