//! listening: sockets of this test, in every form, and one that is gone.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use ha::policy::probe::{ErrorKind, Field, ListeningRequest, ProbeKind, ProbeOutcome, Transport};
use socket2::{Domain, Socket, Type};

use super::{World, assert_outcome, closed_port, request, text};

fn look(port: u16, proto: Transport, addr: Option<&str>) -> ProbeOutcome {
    let addr = addr.map(|addr| addr.parse().unwrap());
    World::new().probe(&request(ProbeKind::Listening(ListeningRequest { port, proto, addr })))
}

/// This test's program, as the kernel keeps its name.
fn own_name() -> String {
    std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned()
}

#[test]
fn a_listener_is_found_with_who_has_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let outcome = look(port, Transport::Tcp, None);
    let (pid, name) = (std::process::id(), own_name());
    assert_outcome(&outcome, true, ErrorKind::None, &format!("listens on 127.0.0.1:{port}, {name} ({pid})"));
    assert_eq!(outcome.fields["pid"], Field::Int(pid.into()));
    assert_eq!(text(&outcome, "process"), name);

    let outcome = look(port, Transport::Tcp, Some("127.0.0.1"));
    assert!(outcome.ok);
    let outcome = look(port, Transport::Tcp, Some("192.168.0.60"));
    let why = format!("nobody listens on 192.168.0.60:{port} (tcp); somebody does on 127.0.0.1:{port}");
    assert_outcome(&outcome, false, ErrorKind::Refused, &why);
    let outcome = look(port, Transport::Udp, None);
    assert_outcome(&outcome, false, ErrorKind::Refused, &format!("nobody listens on port {port} (udp)"));
}

#[test]
fn a_closed_port_and_a_connection_are_no_listener() {
    let port = closed_port().port();
    let outcome = look(port, Transport::Tcp, None);
    assert_outcome(&outcome, false, ErrorKind::Refused, &format!("nobody listens on port {port} (tcp)"));
    assert_eq!(outcome.fields["pid"], Field::Unit);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!look(client.local_addr().unwrap().port(), Transport::Tcp, None).ok, "the client's own port");
}

#[test]
fn a_socket_of_both_families_serves_both_and_one_of_ipv6_only_does_not() {
    for (only, covers) in [(false, true), (true, false)] {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        socket.set_only_v6(only).unwrap();
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
        socket.listen(1).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        assert!(look(port, Transport::Tcp, Some("fd00::60")).ok);
        assert_eq!(look(port, Transport::Tcp, Some("192.168.0.60")).ok, covers, "IPV6_V6ONLY {only}");
    }
}

#[test]
fn a_udp_socket_waits_until_it_has_a_peer() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    assert!(look(port, Transport::Udp, None).ok);
    assert!(!look(port, Transport::Tcp, None).ok);
    socket.connect("127.0.0.1:9").unwrap();
    assert!(!look(port, Transport::Udp, None).ok, "it answers nobody but its peer");
    drop(socket);
    assert!(!look(port, Transport::Udp, None).ok);
}
