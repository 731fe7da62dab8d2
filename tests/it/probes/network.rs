//! iface, route, addr, neigh: a network of this test's own, in every state that they tell apart.

use ha::policy::probe::{
    AddrRequest, Destination, ErrorKind, Field, IfaceRequest, NeighRequest, ProbeKind, ProbeOutcome, RouteRequest,
};

use super::{World, assert_outcome, float, in_namespaces, request, text};

/// `near` has carrier, `lame` not (its peer is down), `off` is down; `team` has both as members, one of them with carrier.
const NETWORK: &str = r#"
ip link set lo up
ip link add near type veth peer name far
ip link add lame type veth peer name deaf
ip link add off type veth peer name gone
ip link add team type bridge
ip link add one type veth peer name other
ip link set one master team
ip link set lame master team
ip link set near mtu 1400
for link in near far lame team one other; do ip link set $link up; done
ip addr add 192.168.0.20/24 dev near
ip addr add 192.168.0.60/32 dev near
ip -6 addr add fd00::20/64 dev near nodad
ip addr add 10.1.0.1/16 dev team
ip route add default via 192.168.0.1 src 192.168.0.20
ip route add 10.8.0.0/16 via 10.1.0.9
ip route add blackhole 10.9.0.0/16
ip route add prohibit 10.10.0.0/16
ip route add 10.0.0.0/8 via 192.168.0.7 table 100
ip route add 10.8.8.0/24 via 192.168.0.8 table 100
ip route add 10.7.0.0/16 nexthop via 192.168.0.3 nexthop via 192.168.0.4
ip neigh add 192.168.0.1 lladdr 52:54:00:00:00:01 dev near nud permanent
ip neigh add 192.168.0.2 lladdr 52:54:00:00:00:02 dev near nud stale
ip neigh add 192.168.0.5 dev near nud failed
ip -6 neigh add fd00::1 lladdr 52:54:00:00:00:01 dev near nud reachable
until ip link show near | grep -q LOWER_UP; do sleep 0.01; done
exec "$@"
"#;

#[test]
fn the_state_of_the_network_is_the_kernels() {
    in_namespaces(NETWORK, "network::everything");
}

#[test]
#[ignore = "run by the_state_of_the_network_is_the_kernels, in namespaces of its own"]
fn everything() {
    let world = World::new();
    interfaces(&world);
    addresses(&world);
    routes(&world);
    neighbours(&world);
}

fn interfaces(world: &World) {
    let iface = |name: &str| world.probe(&request(ProbeKind::Iface(IfaceRequest { interface: name.to_owned() })));
    let outcome = iface("near");
    assert_outcome(&outcome, true, ErrorKind::None, "up");
    assert_eq!(outcome.fields["mtu"], Field::Int(1400));
    assert_eq!(outcome.fields["slaves_up"], Field::Int(0));
    assert_eq!(outcome.fields["errors_rate"], Field::Unit, "at the first look");
    assert!(float(&iface("near"), "errors_rate").abs() < 0.001);
    let Field::List(own) = &outcome.fields["addrs"] else { panic!("{outcome:?}") };
    for address in ["192.168.0.20/24", "192.168.0.60/32", "fd00::20/64"] {
        assert!(own.contains(&Field::text(address)), "{own:?}");
    }
    let outcome = iface("lame");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "no carrier");
    assert_eq!((&outcome.fields["up"], &outcome.fields["carrier"]), (&Field::Bool(true), &Field::Bool(false)));
    assert_outcome(&iface("off"), false, ErrorKind::Mismatch, "down");
    assert_eq!(iface("team").fields["slaves_up"], Field::Int(1));
    let outcome = iface("nea");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "no interface nea");
    assert_eq!(outcome.fields["up"], Field::Unit);
}

fn addresses(world: &World) {
    let addr = |address: &str, dev: Option<&str>| {
        let wanted = AddrRequest { address: address.parse().unwrap(), dev: dev.map(str::to_owned) };
        world.probe(&request(ProbeKind::Addr(wanted)))
    };
    let outcome = addr("192.168.0.60", None);
    assert_outcome(&outcome, true, ErrorKind::None, "on near");
    assert_eq!((text(&outcome, "dev"), &outcome.fields["prefix"]), ("near".to_owned(), &Field::Int(32)));
    assert!(addr("fd00::20", Some("near")).ok && addr("127.0.0.1", None).ok);
    let outcome = addr("192.168.0.6", None);
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "not on this machine");
    assert_eq!(outcome.fields["present"], Field::Bool(false));
    let outcome = addr("192.168.0.60", Some("team"));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "on near, not on team");
}

fn routes(world: &World) {
    let route = |to: Destination, table, dev: Option<&str>| -> ProbeOutcome {
        world.probe(&request(ProbeKind::Route(RouteRequest { to, table, dev: dev.map(str::to_owned) })))
    };
    let address = |to: &str| Destination::Address(to.parse().unwrap());
    let network = |to: &str, prefix| Destination::Network(to.parse().unwrap(), prefix);

    let outcome = route(address("192.0.2.1"), None, None);
    assert_outcome(&outcome, true, ErrorKind::None, "by near, via 192.168.0.1");
    assert_eq!((text(&outcome, "via"), text(&outcome, "src")), ("192.168.0.1".to_owned(), "192.168.0.20".to_owned()));
    assert_outcome(&route(address("192.168.0.99"), None, None), true, ErrorKind::None, "by near");
    assert!(route(address("192.0.2.1"), None, Some("near")).ok);
    let outcome = route(address("192.0.2.1"), None, Some("team"));
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "by near, not by team");
    for nowhere in ["10.9.1.1", "10.10.1.1", "2001:db8::1"] {
        assert_outcome(&route(address(nowhere), None, None), false, ErrorKind::Unreachable, "no route");
    }

    assert_outcome(&route(network("0.0.0.0", 0), None, None), true, ErrorKind::None, "by near, via 192.168.0.1");
    assert_outcome(&route(network("::", 0), None, None), false, ErrorKind::Unreachable, "no route");
    assert_outcome(&route(network("10.8.0.0", 16), None, None), true, ErrorKind::None, "by team, via 10.1.0.9");
    assert!(!route(network("10.8.0.0", 15), None, None).ok, "another network");
    let nowhere = "the route leads nowhere (blackhole, unreachable or prohibit)";
    assert_outcome(&route(network("10.9.0.0", 16), None, None), false, ErrorKind::Unreachable, nowhere);
    assert_outcome(&route(network("10.7.0.0", 16), None, None), true, ErrorKind::None, "by near, via 192.168.0.3");

    assert_outcome(&route(address("10.8.8.8"), Some(100), None), true, ErrorKind::None, "by near, via 192.168.0.8");
    assert_outcome(&route(address("10.8.9.9"), Some(100), None), true, ErrorKind::None, "by near, via 192.168.0.7");
    assert_outcome(&route(address("192.0.2.1"), Some(100), None), false, ErrorKind::Unreachable, "no route");
    assert!(!route(network("0.0.0.0", 0), Some(100), None).ok, "another table's");
}

fn neighbours(world: &World) {
    let neigh =
        |address: &str| world.probe(&request(ProbeKind::Neigh(NeighRequest { address: address.parse().unwrap() })));
    for (address, state, mac) in [
        ("192.168.0.1", "permanent", "52:54:00:00:00:01"),
        ("192.168.0.2", "stale", "52:54:00:00:00:02"),
        ("fd00::1", "reachable", "52:54:00:00:00:01"),
    ] {
        let outcome = neigh(address);
        assert_outcome(&outcome, true, ErrorKind::None, state);
        assert_eq!((text(&outcome, "state").as_str(), text(&outcome, "mac").as_str()), (state, mac));
    }
    let outcome = neigh("192.168.0.5");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "failed");
    let outcome = neigh("192.168.0.6");
    assert_outcome(&outcome, false, ErrorKind::Mismatch, "not among the neighbours");
    assert_eq!(outcome.fields["state"], Field::Unit);
}
