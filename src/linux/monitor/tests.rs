//! What the monitor tells, of a network namespace of its own.

use std::{
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver, Sender},
};

use super::{
    super::{
        Holder, kernel_keeps_marks,
        namespace::{Far, address, alone, ip, mac, name},
    },
    *,
};
use crate::node::{Hold, Lifetime};

const PATIENCE: Duration = Duration::from_secs(8);

fn watched() -> (Monitor, Receiver<MonitorEvent>) {
    let (told, events) = mpsc::channel();
    (Monitor::start(move |event| drop(told.send(event))).unwrap(), events)
}

/// Reads on until there is one like that.
fn until(events: &Receiver<MonitorEvent>, what: &str, wanted: impl Fn(&MonitorEvent) -> bool) -> MonitorEvent {
    let mut passed = Vec::new();
    while let Ok(event) = events.recv_timeout(PATIENCE) {
        if wanted(&event) {
            return event;
        }
        passed.push(event);
    }
    panic!("no event: {what}; there were {passed:#?}");
}

fn until_link(events: &Receiver<MonitorEvent>, interface: &str, up: bool, carrier: bool) -> LinkSeen {
    let like = |event: &MonitorEvent| {
        matches!(event, MonitorEvent::Link(link)
            if link.name == name(interface) && link.up == up && link.carrier == carrier)
    };
    let event = until(events, &format!("{interface} up {up} carrier {carrier}"), like);
    let MonitorEvent::Link(link) = event else { panic!("{event:?}") };
    link
}

/// The addresses of an interface once there is one, or is none, like that.
fn until_address(events: &Receiver<MonitorEvent>, on: &str, address: &str, there: bool) -> Vec<AddressSeen> {
    let like = |event: &MonitorEvent| {
        matches!(event, MonitorEvent::Addresses { interface, addresses }
            if *interface == name(on)
                && addresses.iter().any(|seen| seen.address.addr().to_string() == address) == there)
    };
    let event = until(events, &format!("{address} on {on}: {there}"), like);
    let MonitorEvent::Addresses { addresses, .. } = event else { panic!("{event:?}") };
    addresses
}

#[test]
fn it_tells_whose_port_an_interface_is() {
    alone(|| {
        let (_far, (_monitor, events)) = (Far::connect(), watched());
        ip("link add br0 type bridge");
        for (command, of) in [("link set va master br0", Some("br0")), ("link set va nomaster", None)] {
            ip(command);
            let port_of = |link: &LinkSeen| link.name == name("va") && link.port_of.as_deref() == of;
            until(&events, command, |event| matches!(event, MonitorEvent::Link(link) if port_of(link)));
        }
    });
}

fn leased(seconds: u64) -> Hold {
    let addresses = vec!["192.168.0.60/24".parse().unwrap()];
    let configured = addresses.clone();
    let lifetime = Lifetime::For(Duration::from_secs(seconds));
    Hold {
        instance: "web".to_owned(),
        interface: name("va"),
        addresses,
        manners: std::collections::BTreeMap::new(),
        configured,
        lifetime,
        not_after: None,
    }
}

fn until_gone(events: &Receiver<MonitorEvent>, interface: &str) {
    until(events, "gone", |event| *event == MonitorEvent::LinkGone(name(interface)));
}

#[test]
fn it_tells_what_there_is_and_every_change_of_a_link() {
    alone(|| {
        let far = Far::connect();
        let (_monitor, events) = watched();
        let lo = until_link(&events, "lo", true, true);
        assert_eq!((lo.mac, lo.index), (None, 1));
        let va = until_link(&events, "va", true, true);
        assert_eq!(va.mac, Some(mac("va")));
        assert_eq!(until_address(&events, "va", "192.168.0.1", true).len(), 3);
        far.ip("link set vb down");
        until_link(&events, "va", true, false);
        far.ip("link set vb up");
        until_link(&events, "va", true, true);
        ip("link set va down");
        until_link(&events, "va", false, false);
        ip("link set va up");
        until_link(&events, "va", true, true);
        ip("link del va");
        until_gone(&events, "va");
        drop(far);
        let _far = Far::connect();
        let anew = until_link(&events, "va", true, true);
        assert_ne!(anew.index, va.index);
    });
}

#[test]
fn it_tells_all_addresses_of_an_interface_at_every_change() {
    alone(|| {
        let _far = Far::connect();
        let (_monitor, events) = watched();
        until_address(&events, "va", "fe80::1", true);
        let mut holder = Holder::open().unwrap();
        holder.apply(&leased(1000)).unwrap();
        let all = until_address(&events, "va", "192.168.0.60", true);
        assert_eq!(all.len(), 4);
        let seen = all.iter().find(|seen| seen.address.to_string() == "192.168.0.60/24").unwrap();
        assert_eq!((seen.marked, seen.usable), (kernel_keeps_marks(), true));
        assert!(seen.remaining.is_some_and(|rest| rest.as_secs().abs_diff(1000) < 3), "{:?}", seen.remaining);
        assert_eq!(all.iter().filter(|seen| seen.marked || seen.remaining.is_some()).count(), 1);
        holder.release_all().unwrap();
        assert_eq!(until_address(&events, "va", "192.168.0.60", false).len(), 3);
        // Not usable before duplicate detection is through.
        ip("addr add fd00::60/64 dev va");
        let detecting = until_address(&events, "va", "fd00::60", true);
        assert_eq!(detecting.iter().filter(|seen| !seen.usable).count(), 1);
        let done = until_address(&events, "va", "fd00::60", true);
        assert_eq!(done.iter().filter(|seen| !seen.usable).count(), 0);
    });
}

#[test]
fn the_renewal_of_a_lease_is_no_change() {
    alone(|| {
        let _far = Far::connect();
        let (_monitor, events) = watched();
        let mut holder = Holder::open().unwrap();
        holder.apply(&leased(100)).unwrap();
        until_address(&events, "va", "192.168.0.60", true);
        (0..5).for_each(|more| holder.apply(&leased(110 + more)).unwrap());
        // From leased to for ever is one.
        holder.apply(&Hold { lifetime: Lifetime::Forever, ..leased(1) }).unwrap();
        let next = events.recv_timeout(PATIENCE).unwrap();
        let MonitorEvent::Addresses { addresses, .. } = next else { panic!("{next:?}") };
        assert!(addresses.iter().all(|seen| seen.remaining.is_none()), "{addresses:?}");
    });
}

#[test]
fn a_new_name_is_another_interface() {
    alone(|| {
        let _far = Far::connect();
        let (_monitor, events) = watched();
        let va = until_link(&events, "va", true, true);
        ip("link set va down");
        ip("link set va name wan");
        until_gone(&events, "va");
        let wan = until_link(&events, "wan", false, false);
        assert_eq!(wan.index, va.index);
        until_address(&events, "wan", "192.168.0.1", true);
        ip("link set wan up");
        until_link(&events, "wan", true, true);
    });
}

/// A report that takes its time makes the kernel drop events.
#[test]
fn after_lost_events_everything_is_read_anew() {
    alone(|| {
        let _far = Far::connect();
        let (told, events) = mpsc::channel();
        let (go_on, stopped): (Sender<()>, Receiver<()>) = mpsc::channel();
        let mut block = Some(stopped);
        let _monitor = Monitor::start(move |event| {
            let first_of_many = matches!(&event, MonitorEvent::Addresses { addresses, .. }
                if addresses.iter().any(|seen| seen.address.to_string() == "10.9.9.9/32"));
            drop(told.send(event));
            if first_of_many && let Some(stopped) = block.take() {
                stopped.recv().unwrap();
            }
        })
        .unwrap();
        ip("addr add 10.9.9.9/32 dev va");
        until_address(&events, "va", "10.9.9.9", true);
        let mut script = String::new();
        for action in ["add", "del"].repeat(4) {
            (0..1000).for_each(|at| script += &format!("addr {action} 10.8.{}.{}/32 dev lo\n", at / 250, at % 250));
        }
        script += "addr del 10.9.9.9/32 dev va\n";
        batch(&script);
        ip("link set va down");
        go_on.send(()).unwrap();
        until_link(&events, "va", false, false);
        until_address(&events, "va", "10.9.9.9", false);
        // And what comes after that.
        ip("addr add 10.7.7.7/32 dev va");
        until_address(&events, "va", "10.7.7.7", true);
    });
}

fn batch(script: &str) {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut ip.stdin.take().unwrap(), script.as_bytes()).unwrap();
    assert!(ip.wait().unwrap().success());
}

fn seen(index: u32, interface: &str) -> LinkSeen {
    LinkSeen { name: name(interface), index, mac: None, up: true, carrier: true, port_of: None }
}

#[test]
fn a_link_that_is_told_again_is_no_change() {
    let mut table = Table::default();
    assert_eq!(table.put_link(seen(2, "a")).len(), 2);
    assert_eq!(table.put_link(seen(2, "a")), []);
    assert_eq!(table.put_link(LinkSeen { carrier: false, ..seen(2, "a") }).len(), 1);
}

#[test]
fn of_a_point_to_point_link_the_own_end_is_the_address() {
    alone(|| {
        let _far = Far::connect();
        ip("addr add 10.0.0.1 peer 10.0.0.2/32 dev va");
        assert_eq!(address("va", "10.0.0.1").unwrap().address.to_string(), "10.0.0.1/32");
        assert_eq!(address("va", "10.0.0.2"), None);
    });
}

#[test]
fn a_table_that_is_replaced_tells_what_is_gone_and_all_there_is() {
    let mut table = Table::default();
    let links = |links: &[LinkSeen]| Table {
        links: links.iter().map(|link| (link.index, link.clone())).collect(),
        ..Table::default()
    };
    table.replace(links(&[seen(1, "lo"), seen(2, "a"), seen(3, "b"), seen(4, "c")]));
    // One stays, one is called otherwise, one was made anew, one is gone.
    let events = table.replace(links(&[seen(1, "lo"), seen(2, "x"), seen(5, "b")]));
    let gone = |text| MonitorEvent::LinkGone(name(text));
    assert_eq!(events[..3], [gone("a"), gone("b"), gone("c")]);
    let named: Vec<&MonitorEvent> = events[3..].iter().filter(|event| matches!(event, MonitorEvent::Link(_))).collect();
    assert_eq!(named.len(), 3);
    assert_eq!(events.len(), 3 + 6, "each with its addresses");
}
