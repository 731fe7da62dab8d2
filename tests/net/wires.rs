//! The lab's cables on which packets take their time: what passes them, and how.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use ha::lab::{Host, World, capture::Capture, plan::Plan, wires::Manner};

use crate::{
    Story,
    stage::{Stage, wait_until},
    world::{Ear, new_tag},
};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "lab_holds_packets_back_and_doubles_them", needs: &[], seconds: 300, tell: holds_back }];

/// For whatever must come about.
const PATIENCE: Duration = Duration::from_secs(60);
const GROUP: [u8; 4] = [224, 0, 0, 18];

fn holds_back(_: &Stage) {
    let world = World::build_delayed(Plan::founding(&Host::NODES), 1).unwrap();
    let (ear, capture) = (Ear::of(&world, Host::Node2), Capture::start(&world).unwrap());
    let send = |from: Host| {
        let tag = new_tag();
        world.send_vrrp(from, GROUP.into(), 255, tag.to_vec()).unwrap();
        tag
    };
    let heard = |tag: &[u8]| ear.hears_within(tag, PATIENCE);

    // At once, as long as nothing was said; and the switch sees whose cable it was.
    assert!(heard(&send(Host::Node1)));
    let seen = || capture.frames().iter().any(|frame| frame.from == Host::Node1);
    wait_until("a frame of node1's cable", PATIENCE, seen);

    // Late, and twice.
    let late = Duration::from_millis(300);
    let wires = world.wires().unwrap();
    wires.treat(|manner| (manner.delay, manner.duplicates) = ((late, late), 100));
    let sent = Instant::now();
    let tag = send(Host::Node1);
    assert!(heard(&tag));
    assert!(sent.elapsed() >= late);
    assert!(heard(&tag), "it came once");

    // Nobody waits for whoever is no node.
    let never = Duration::from_secs(3600);
    wires.treat(|manner| (manner.delay, manner.duplicates) = ((never, never), 0));
    assert!(heard(&send(Host::Client)));
    wires.treat(|manner| *manner = Manner::default());

    // Whole streams pass, with their checksums: from a machine at the switch, and from one node to another.
    for (from, to) in [(Host::Client, Host::Node1), (Host::Node1, Host::Node2)] {
        assert_eq!(stream(&world, from, to), 1 << 20);
    }

    // A cable that is out is out on both sides.
    let carrier = |wanted: bool| {
        wait_until("carrier", PATIENCE, || world.rtnl(Host::Node1).has_carrier("eth0").unwrap() == wanted);
    };
    world.plug(Host::Node1, false).unwrap();
    carrier(false);
    world.plug(Host::Node1, true).unwrap();
    carrier(true);
    wait_until("the cable carries again", PATIENCE, || ear.hears(&send(Host::Node1)));
}

/// How many bytes of a mebibyte arrive.
fn stream(world: &World, from: Host, to: Host) -> usize {
    let listener = world.netns(to).run(move || TcpListener::bind((to.address(), 4000))).unwrap().unwrap();
    let sender = world.netns(from).run(move || TcpStream::connect((to.address(), 4000))).unwrap().unwrap();
    let (mut receiver, _) = listener.accept().unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let sending = thread::spawn(move || (&sender).write_all(&vec![7; 1 << 20]));
    let mut received = Vec::new();
    let _ = receiver.read_to_end(&mut received);
    sending.join().unwrap().unwrap();
    received.len()
}
