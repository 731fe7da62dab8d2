//! udp: one datagram, and what comes back.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::mpsc,
    thread,
    time::Duration,
};

use ha::policy::probe::{ErrorKind, Pattern, ProbeKind, ProbeRequest, Talk, UdpRequest};

use super::{World, assert_outcome, assert_took, request, text};

/// A server that answers each datagram with what it makes of it.
fn serve(answer: impl Fn(&[u8], SocketAddr) -> Option<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&buffer[..length], from) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

fn asking(server: SocketAddr, talk: Talk) -> ProbeRequest {
    let udp = UdpRequest { target: server.to_string(), talk };
    ProbeRequest { timeout: Duration::from_millis(300), ..request(ProbeKind::Udp(udp)) }
}

fn hello() -> Talk {
    Talk { send: b"hello".to_vec(), ..Talk::default() }
}

#[test]
fn any_answer_is_ok_where_nothing_is_expected() {
    let echo = serve(|data, _| Some(data.to_vec()));
    let outcome = World::new().probe(&asking(echo, hello()));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert_eq!(text(&outcome, "data"), "hello");
    let long = Talk { send: vec![b'x'; 1400], ..Talk::default() };
    assert_eq!(text(&World::new().probe(&asking(echo, long)), "data").len(), 1400);
}

#[test]
fn another_answer_than_the_expected_one_is_a_mismatch() {
    let echo = serve(|data, _| Some(data.to_vec()));
    let expecting = |expect: &str| Talk { expect: Some(expect.to_owned()), ..hello() };
    assert_outcome(&World::new().probe(&asking(echo, expecting("ell"))), true, ErrorKind::None, "answered");
    let outcome = World::new().probe(&asking(echo, expecting("bye")));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "no \"bye\" in the answer");
    assert_eq!(text(&outcome, "data"), "hello");
    let like = Talk { expect_re: Some(Pattern::new("^h.*o$").unwrap()), ..hello() };
    assert_outcome(&World::new().probe(&asking(echo, like)), true, ErrorKind::None, "answered");
}

#[test]
fn bytes_that_are_no_text_are_shown_as_digits() {
    let server = serve(|data, _| (data == [0, 0xff]).then(|| vec![2, 0xfe]));
    let talk = Talk { send: vec![0, 0xff], expect: Some("fe".to_owned()), hex: true, ..Talk::default() };
    let outcome = World::new().probe(&asking(server, talk));
    assert_outcome(&outcome, true, ErrorKind::None, "answered");
    assert_eq!(text(&outcome, "data"), "02fe");
}

#[test]
fn silence_times_out_and_a_closed_port_is_refused() {
    let silent = serve(|_, _| None);
    let outcome = World::new().probe(&asking(silent, hello()));
    assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout after 300ms");
    assert_took(&outcome, Duration::from_millis(300));

    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let outcome = World::new().probe(&asking(closed, hello()));
    assert_outcome(&outcome, false, ErrorKind::Refused, "connection refused");
    assert!(outcome.elapsed < Duration::from_millis(200), "heard of it at once: {:?}", outcome.elapsed);
}

#[test]
fn a_stranger_cannot_answer() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = serve(move |_, from| {
        stranger.send_to(b"forged", from).unwrap();
        thread::sleep(Duration::from_millis(50));
        Some(b"genuine".to_vec())
    });
    assert_eq!(text(&World::new().probe(&asking(server, hello())), "data"), "genuine");
}

#[test]
fn it_comes_from_the_source_address_and_interface_it_is_told() {
    let (sender, seen) = mpsc::channel();
    let server = serve(move |data, from| {
        sender.send(from.ip()).unwrap();
        Some(data.to_vec())
    });
    let source: IpAddr = "127.0.0.7".parse().unwrap();
    let told = ProbeRequest { bind: Some(source), iface: Some("lo".to_owned()), ..asking(server, hello()) };
    assert_outcome(&World::new().probe(&told), true, ErrorKind::None, "answered");
    assert_eq!(seen.recv().unwrap(), source);
    let missing = ProbeRequest { iface: Some("nosuch0".to_owned()), ..asking(server, hello()) };
    assert_outcome(&World::new().probe(&missing), false, ErrorKind::Unreachable, "nosuch0: no such device");
}
