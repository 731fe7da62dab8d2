//! arping: on loopback, where nobody is, and on a link of its own with a neighbour.

use std::time::{Duration, Instant};

use ha::policy::probe::{ArpingRequest, ErrorKind, Field, ProbeKind, ProbeRequest};

use super::{World, assert_outcome, assert_took, in_namespaces, request, text};

fn arping(target: &str, iface: Option<&str>) -> ProbeRequest {
    let arping = ArpingRequest { target: target.parse().unwrap(), count: 1, min: 1 };
    let timeout = Duration::from_millis(300);
    ProbeRequest { timeout, iface: iface.map(str::to_owned), ..request(ProbeKind::Arping(arping)) }
}

#[test]
fn without_a_link_to_the_target_there_is_no_way() {
    let world = World::new();
    let outcome = world.probe(&arping("240.0.0.1", None));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "no interface is on a network with 240.0.0.1");
    assert_eq!((&outcome.fields["received"], &outcome.fields["mac"]), (&Field::Int(0), &Field::Unit));
    let outcome = world.probe(&arping("127.0.0.1", Some("lo")));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "lo is not an Ethernet interface");
    let outcome = world.probe(&arping("127.0.0.1", Some("nosuch0")));
    assert_outcome(&outcome, false, ErrorKind::Unreachable, "no interface nosuch0");
}

/// A link with a neighbour at its other end, as seen from a process alone in its network namespace.
const NEIGHBOURHOOD: &str = r#"
set -e
unshare -n sleep 60 &
neighbour=$!
trap 'kill $neighbour' EXIT
until [ "$(readlink /proc/$neighbour/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add near type veth peer name far netns $neighbour
ip addr add 192.168.0.20/24 dev near
ip -6 addr add fd00::20/64 dev near nodad
ip link set lo up
ip link set near up
nsenter -t $neighbour -n sh -e -c '
    ip link set far address 52:54:00:00:00:22
    ip addr add 192.168.0.22/24 dev far
    ip -6 addr add fd00::22/64 dev far nodad
    ip link set far up'
until ip link show near | grep -q "state UP"; do sleep 0.01; done
"$@"
"#;

#[test]
fn neighbours_answer_and_empty_addresses_do_not() {
    in_namespaces(NEIGHBOURHOOD, "link::neighbourhood");
}

#[test]
#[ignore = "run by neighbours_answer_and_empty_addresses_do_not, in namespaces of its own"]
fn neighbourhood() {
    let world = World::new();
    // A kernel speaks IPv6 on a new link only a moment after it is up.
    let until = Instant::now() + Duration::from_secs(5);
    while !world.probe(&arping("fd00::22", None)).ok && Instant::now() < until {}
    for (target, iface) in [("192.168.0.22", None), ("192.168.0.22", Some("near")), ("fd00::22", None)] {
        let outcome = world.probe(&arping(target, iface));
        assert_outcome(&outcome, true, ErrorKind::None, "1/1 replies");
        assert_eq!(text(&outcome, "mac"), "52:54:00:00:00:22");
        assert_eq!(outcome.fields["received"], Field::Int(1));
    }
    for target in ["192.168.0.99", "fd00::99"] {
        let outcome = world.probe(&arping(target, None));
        assert_outcome(&outcome, false, ErrorKind::Timeout, "timeout, 0/1 replies");
        assert_took(&outcome, Duration::from_millis(300));
    }
    let all = ArpingRequest { target: "192.168.0.22".parse().unwrap(), count: 3, min: 3 };
    let outcome = world.probe(&request(ProbeKind::Arping(all)));
    assert_outcome(&outcome, true, ErrorKind::None, "3/3 replies");
}
