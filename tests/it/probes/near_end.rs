//! Where a probe leaves this machine: source address, interface and family, as somebody on another machine sees it.

use std::{
    fs::File,
    io::{Read, Write},
    net::{IpAddr, Ipv6Addr, TcpListener, UdpSocket},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use ha::policy::probe::{ErrorKind, PingRequest, ProbeKind, ProbeOutcome, ProbeRequest, Talk, TcpRequest, UdpRequest};
use nix::sched::{CloneFlags, setns};

use super::{World, assert_outcome, get, in_namespaces, ping, request};

const PORT: u16 = 8080;

/// A machine with two addresses, a link that leads nowhere, and a neighbour.
const TWO_MACHINES: &str = r#"
unshare -n sleep 60 &
neighbour=$!
trap 'kill $neighbour' EXIT
until [ "$(readlink /proc/$neighbour/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
ip link add near type veth peer name far netns $neighbour
ip link add nowhere type veth peer name end
ip addr add 192.168.0.20/24 dev near
ip addr add 192.168.0.30/24 dev near
ip -6 addr add fd00::20/64 dev near nodad
ip -6 addr add fd00::30/64 dev near nodad
ip -6 addr add fe80::20/64 dev near nodad
ip addr add 10.9.9.9/24 dev nowhere
for link in lo near nowhere end; do ip link set $link up; done
ip route add 10.5.5.0/24 via 192.168.0.22
nsenter -t $neighbour -n sh -e -c '
    ip link set far addrgenmode none
    ip addr add 192.168.0.22/24 dev far
    ip -6 addr add fd00::22/64 dev far nodad
    ip -6 addr add fe80::22/64 dev far nodad
    ip link set lo up
    ip link set far up
    ip link add beyond type veth peer name end
    ip addr add 10.5.5.1/24 dev beyond
    ip link set beyond up
    ip link set end up
    sysctl -qw net.ipv4.ip_forward=1'
until ip link show near | grep -q "state UP"; do sleep 0.01; done
HA_NEIGHBOUR=$neighbour "$@"
"#;

#[test]
fn a_neighbour_sees_where_probes_come_from() {
    in_namespaces(TWO_MACHINES, "near_end::two_machines");
}

/// Servers at the neighbour that tell who asks them, by UDP, and by TCP as a web server.
fn neighbour() -> Receiver<IpAddr> {
    let (sender, seen) = mpsc::channel();
    let namespace = format!("/proc/{}/ns/net", std::env::var("HA_NEIGHBOUR").unwrap());
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        // Only this thread is somewhere else.
        setns(File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let udp = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, PORT)).unwrap();
        let tcp = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT)).unwrap();
        ready.send(()).unwrap();
        let by_udp = sender.clone();
        thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                by_udp.send(from.ip().to_canonical()).unwrap();
                let _ = udp.send_to(b"pong", from);
            }
        });
        for mut connection in tcp.incoming().map_while(Result::ok) {
            sender.send(connection.peer_addr().unwrap().ip().to_canonical()).unwrap();
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    is_ready.recv().unwrap();
    seen
}

/// The same question in four ways.
fn probes(host: &str) -> Vec<ProbeRequest> {
    let bare = host.trim_matches(['[', ']']);
    let talk = Talk { send: b"ping".to_vec(), ..Talk::default() };
    let kinds = [
        ProbeKind::Http(get(format!("http://{host}:{PORT}/"))),
        ProbeKind::Tcp(TcpRequest::to(format!("{host}:{PORT}"))),
        ProbeKind::Udp(UdpRequest { target: format!("{host}:{PORT}"), talk }),
        ProbeKind::Ping(ping(bare)),
    ];
    kinds.into_iter().map(|kind| ProbeRequest { timeout: Duration::from_millis(500), ..request(kind) }).collect()
}

/// A kernel speaks IPv6 on a new link only a moment after it is up.
fn patiently(world: &World, request: &ProbeRequest) -> ProbeOutcome {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let outcome = world.probe(request);
        if outcome.ok || Instant::now() > until {
            return outcome;
        }
    }
}

#[test]
#[ignore = "run by a_neighbour_sees_where_probes_come_from, in namespaces of its own"]
fn two_machines() {
    let (world, seen) = (World::new(), neighbour());
    for (host, source) in [("192.168.0.22", "192.168.0.30"), ("[fd00::22]", "fd00::30")] {
        let source: IpAddr = source.parse().unwrap();
        for probe in probes(host) {
            let told = ProbeRequest { bind: Some(source), iface: Some("near".to_owned()), ..probe };
            let outcome = patiently(&world, &told);
            assert!(outcome.ok, "{told:?}: {outcome:?}");
            // What was tried while the link came up counts too; it came from the same address.
            while let Ok(from) = seen.recv_timeout(Duration::from_millis(50)) {
                assert_eq!(from, source, "{told:?}");
            }
        }
    }
    for probe in probes("192.168.0.22") {
        let astray = ProbeRequest { iface: Some("nowhere".to_owned()), ..probe };
        let outcome = world.probe(&astray);
        assert!(!outcome.ok && !outcome.blind, "{astray:?}: {outcome:?}");
    }
    for probe in probes("[fe80::22]") {
        let on_a_link = ProbeRequest { iface: Some("near".to_owned()), ..probe.clone() };
        let outcome = world.probe(&on_a_link);
        assert!(outcome.ok, "{on_a_link:?}: {outcome:?}");
        let why = "fe80::22 is on every link; say on which it is meant: iface: \"…\"";
        assert_outcome(&world.probe(&probe), false, ErrorKind::Internal, why);
    }
    // A neighbour is as far as one router's permission reaches.
    for (host, ok, error, why) in [
        ("192.168.0.22", true, ErrorKind::None, "1/1 replies"),
        ("10.5.5.1", true, ErrorKind::None, "1/1 replies"),
        ("10.5.5.5", false, ErrorKind::Unreachable, "time to live exceeded, 0/1 replies"),
    ] {
        let near = PingRequest { ttl: Some(1), ..ping(host) };
        assert_outcome(&world.probe(&request(ProbeKind::Ping(near))), ok, error, why);
    }
}
