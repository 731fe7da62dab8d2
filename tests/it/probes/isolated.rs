//! What probes say where this machine is the trouble: no privilege, no network.

use std::time::Duration;

use ha::policy::probe::{ArpingRequest, ErrorKind, ProbeKind, Talk, TcpRequest, UdpRequest};

use super::{World, assert_outcome, get, in_namespaces, ping, request};

/// A namespace within has no rights over the network without.
const POWERLESS: &str = r#"
ip link add near type veth peer name far
ip addr add 192.168.0.20/24 dev near
ip link set near up
exec unshare -U "$@"
"#;

#[test]
fn without_privilege_pings_are_blind() {
    in_namespaces(POWERLESS, "isolated::powerless");
}

#[test]
#[ignore = "run by without_privilege_pings_are_blind, in namespaces of its own"]
fn powerless() {
    let world = World::new();
    let outcome = world.probe(&request(ProbeKind::Ping(ping("127.0.0.1"))));
    let why = "this process may not ping: it needs CAP_NET_RAW, or its group in net.ipv4.ping_group_range";
    assert_outcome(&outcome, false, ErrorKind::Denied, why);
    let arping = ArpingRequest { target: "192.168.0.22".parse().unwrap(), count: 1, min: 1 };
    let outcome = world.probe(&request(ProbeKind::Arping(arping)));
    assert_outcome(&outcome, false, ErrorKind::Denied, "near: this process lacks CAP_NET_RAW");
}

#[test]
fn without_a_network_nothing_is_reachable_and_that_is_an_answer() {
    in_namespaces("exec \"$@\"", "isolated::no_network");
}

#[test]
#[ignore = "run by without_a_network_nothing_is_reachable_and_that_is_an_answer, in namespaces of its own"]
fn no_network() {
    let world = World::new();
    let outcome = world.probe(&request(ProbeKind::Ping(ping("192.168.0.22"))));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "network is unreachable, 0/1 replies");
    assert!(outcome.elapsed < Duration::from_secs(1), "does not wait for the deadline");
    let outcome = world.probe(&request(ProbeKind::Http(get("http://192.168.0.20/"))));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "network is unreachable");
    let outcome = world.probe(&request(ProbeKind::Tcp(TcpRequest::to("192.168.0.20:22"))));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "network is unreachable");
    let talk = Talk { send: b"?".to_vec(), ..Talk::default() };
    let udp = UdpRequest { target: "192.168.0.20:1812".to_owned(), talk };
    let outcome = world.probe(&request(ProbeKind::Udp(udp)));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "network is unreachable");
}
