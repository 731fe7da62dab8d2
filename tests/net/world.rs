//! The lab itself, shown with a pair of keepalived: it runs, its faults do what they say, and the observer sees the very
//! things that `ha` promises to avoid.

use std::time::{Duration, Instant};

use ha::lab::{Host, Setup, World, capture::What, fault::Silence};

use crate::{
    Need, Story,
    stage::{Stage, pass, wait_until},
};

pub(crate) const STORIES: [Story; 7] = [
    Story { name: "lab_wires_everybody", needs: &[], seconds: 20, tell: wires_everybody },
    Story { name: "lab_cables_and_filters", needs: &[Need::Nft], seconds: 20, tell: cables_and_filters },
    Story { name: "lab_keepalived_elects", needs: &[Need::Keepalived], seconds: 60, tell: keepalived_elects },
    Story {
        name: "lab_keepalived_loses_its_cable",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: keepalived_loses_its_cable,
    },
    Story {
        name: "lab_sees_two_holders_after_a_kill",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: two_holders_after_a_kill,
    },
    Story {
        name: "lab_sees_two_holders_without_multicast",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: two_holders_without_multicast,
    },
    Story {
        name: "lab_sees_nobody_during_a_graceful_stop",
        needs: &[Need::Keepalived],
        seconds: 60,
        tell: nobody_during_a_graceful_stop,
    },
];

/// The observer sees an address come and go, the capture sees frames, the client is answered.
fn wires_everybody(stage: &Stage) {
    let begin = Instant::now();
    for node in Host::NODES {
        let rtnl = stage.world.rtnl(node);
        assert!(rtnl.has_carrier("eth0").unwrap());
        rtnl.add_address("eth0", ha::lab::world::SERVICE_ADDRESS, 24, None).unwrap();
        stage.held_by(&[node], 2);
        let client = stage.client();
        pass(Duration::from_secs(1));
        let record = client.stop();
        assert!(record.calls.len() > 50, "{} calls in a second", record.calls.len());
        // Nobody announced the second move: the client goes on calling node1.
        assert_eq!(record.last_answer_by(), (node == Host::Node1).then_some(node));
        stage.world.delete_service_address(node).unwrap();
        stage.held_by(&[], 2);
    }
    let asked = stage.capture.from(Host::Client, begin, Instant::now());
    let question = What::ArpRequest { sender: Host::Client.address(), target: ha::lab::world::SERVICE_ADDRESS };
    assert!(asked.iter().any(|frame| frame.what == question), "{asked:?}");
}

/// Carrier, multicast filter, isolation, protocol filter, deletion: each alone, each undone.
fn cables_and_filters(stage: &Stage) {
    let world = &stage.world;
    let carrier = |wanted: bool| {
        wait_until("carrier", Duration::from_secs(2), || {
            world.rtnl(Host::Node1).has_carrier("eth0").unwrap() == wanted
        });
    };
    world.plug(Host::Node1, false).unwrap();
    carrier(false);
    world.plug(Host::Node1, true).unwrap();
    carrier(true);
    world.delete_interface(Host::Node1).unwrap();
    assert!(world.rtnl(Host::Node1).index_of("eth0").is_err());
    world.recreate_interface(Host::Node1).unwrap();
    carrier(true);

    let ear = Ear::of(world, Host::Node2);
    let [group, unicast] = [[224, 0, 0, 18], [192, 168, 0, 21]];
    let hears = |destination: [u8; 4]| {
        let number = new_tag();
        world.send_vrrp(Host::Node1, destination.into(), 255, number.to_vec()).unwrap();
        ear.hears(&number)
    };
    // The kernel tells the switch of a new carrier up to a second later.
    wait_until("the new interface forwards", Duration::from_secs(3), || hears(group));
    assert!(hears(unicast));
    world.hears_multicast(Host::Node2, false).unwrap();
    assert!(!hears(group) && hears(unicast), "only multicast is gone");
    world.hears_multicast(Host::Node2, true).unwrap();
    assert!(hears(group));
    world.filter(&[Silence { from: Host::Node2, to: Host::Node1 }]).unwrap();
    assert!(hears(group) && hears(unicast), "the other way is open");
    world.filter(&[Silence { from: Host::Node1, to: Host::Node2 }]).unwrap();
    assert!(!hears(group) && !hears(unicast));
    world.filter(&[]).unwrap();
    assert!(hears(group) && hears(unicast));
    world.cut_off(Host::Node1, Host::Node2, true).unwrap();
    assert!(!hears(group) && !hears(unicast));
    world.cut_off(Host::Node1, Host::Node2, false).unwrap();
    assert!(hears(group) && hears(unicast));
}

fn keepalived_elects(stage: &Stage) {
    let _node2 = stage.keepalived(Host::Node2, &Setup::founding(Host::Node2));
    stage.held_by(&[Host::Node2], 10);
    let begin = Instant::now();
    let _node1 = stage.keepalived(Host::Node1, &Setup::founding(Host::Node1));
    stage.held_by(&[Host::Node1], 10);
    pass(Duration::from_millis(1500));
    assert!(stage.capture.priorities(Host::Node1, begin, Instant::now()).contains(&100));
}

/// S5 with keepalived.
fn keepalived_loses_its_cable(stage: &Stage) {
    let _pair = pair(stage);
    stage.world.plug(Host::Node1, false).unwrap();
    stage.held_by(&[Host::Node2], 10);
    stage.world.plug(Host::Node1, true).unwrap();
    stage.held_by(&[Host::Node1], 10);
}

/// The address stays behind for ever: nothing but the observer says so.
fn two_holders_after_a_kill(stage: &Stage) {
    let [mut node1, _node2] = pair(stage);
    node1.kill();
    let both = stage.held_by(&[Host::Node1, Host::Node2], 10);
    pass(Duration::from_secs(2));
    let two = stage.observer.two_holders(both, Instant::now());
    assert!(two >= Duration::from_millis(1900), "{two:?}");
}

/// S13 with keepalived.
fn two_holders_without_multicast(stage: &Stage) {
    let _pair = pair(stage);
    stage.world.hears_multicast(Host::Node2, false).unwrap();
    stage.held_by(&[Host::Node1, Host::Node2], 10);
    stage.world.hears_multicast(Host::Node2, true).unwrap();
    stage.held_by(&[Host::Node1], 10);
}

/// keepalived lets go first and its peer waits: the client sees it.
fn nobody_during_a_graceful_stop(stage: &Stage) {
    let [node1, _node2] = pair(stage);
    let client = stage.client();
    pass(Duration::from_millis(500));
    let stop = node1.terminate().unwrap();
    stage.held_by(&[Host::Node2], 10);
    pass(Duration::from_millis(500));
    let outage = client.stop().outage(stop, Instant::now());
    assert!(outage.lost > 50, "{outage:?}");
    assert!(stage.observer.no_holder(stop, Instant::now()) > Duration::from_millis(100));
}

fn pair(stage: &Stage) -> [ha::lab::Daemon; 2] {
    let pair = Host::NODES.map(|node| stage.keepalived(node, &Setup::founding(node)));
    stage.held_by(&[Host::Node1], 15);
    pair
}

/// Longer than a packet is under way.
const SOON: Duration = Duration::from_millis(150);

/// Listens for protocol 112 on a machine.
pub(crate) struct Ear(socket2::Socket);

impl Ear {
    pub(crate) fn of(world: &World, host: Host) -> Self {
        use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
        let opened = world.netns(host).run(|| -> std::io::Result<Socket> {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(112)))?;
            let interface = InterfaceIndexOrAddress::Index(nix::net::if_::if_nametoindex("eth0")?);
            socket.join_multicast_v4_n(&[224, 0, 0, 18].into(), &interface)?;
            socket.set_read_timeout(Some(SOON))?;
            Ok(socket)
        });
        Self(opened.unwrap().unwrap())
    }

    /// Whether a datagram with this payload is heard soon.
    pub(crate) fn hears(&self, payload: &[u8]) -> bool {
        self.hears_within(payload, SOON)
    }

    /// The same, with more patience.
    pub(crate) fn hears_within(&self, payload: &[u8], at_most: Duration) -> bool {
        let until = Instant::now() + at_most;
        let mut bytes = [0; 256];
        loop {
            match std::io::Read::read(&mut &self.0, &mut bytes) {
                Ok(length) if bytes[..length].ends_with(payload) => return true,
                Ok(_) => {}
                Err(_) if Instant::now() > until => return false,
                Err(_) => {}
            }
        }
    }
}

/// A payload unlike any other.
pub(crate) fn new_tag() -> [u8; 8] {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0x1122_3344);
    NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes()
}
