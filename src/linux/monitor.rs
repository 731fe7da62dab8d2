//! Links and addresses as they change, reported from a thread of its own.
//!
//! What was reported is remembered, so only differences are told: the renewal of a lease is none, and the rest of a
//! lifetime is as it was when its address was told. After anything that can have lost an event the whole is read anew.

mod failures;

use std::{
    collections::BTreeMap,
    io,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, poll};

use self::failures::Failures;
use super::{
    clock::Waker,
    rtnl::{Address, GROUPS, Link, Rtnl, Seen},
};
use crate::{
    node::{AddressSeen, LinkSeen},
    words::InterfaceName,
};

/// A change of this machine's network, as [`Input`](crate::node::Input) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MonitorEvent {
    /// An interface exists, and how it is now.
    Link(LinkSeen),
    /// An interface is gone, or is called otherwise now.
    LinkGone(InterfaceName),
    /// All addresses an interface has now, in the kernel's order.
    Addresses { interface: InterfaceName, addresses: Vec<AddressSeen> },
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Monitor {
    stop: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Starts to watch the network namespace of the calling thread: reports everything there is, then every change.
    ///
    /// # Errors
    /// No socket or thread can be had.
    pub fn start(report: impl FnMut(MonitorEvent) + Send + 'static) -> io::Result<Self> {
        let events = Rtnl::open(GROUPS)?;
        let stop = Waker::new()?;
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("ha-monitor".to_owned()).spawn(move || {
            watch(events, &stopped, report);
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.stop.wake();
        if let Some(thread) = self.thread.take() {
            // A panic in the report was told by its own message.
            let _ = thread.join();
        }
    }
}

/// Every interface and all its addresses, once.
///
/// # Errors
/// The kernel does not answer.
pub fn snapshot() -> io::Result<Vec<(LinkSeen, Vec<AddressSeen>)>> {
    let Table { links, mut addresses } = Table::read()?;
    Ok(links.into_iter().map(|(index, link)| (link, addresses.remove(&index).unwrap_or_default())).collect())
}

/// Everything by interface number.
#[derive(Debug, Default)]
struct Table {
    links: BTreeMap<u32, LinkSeen>,
    addresses: BTreeMap<u32, Vec<AddressSeen>>,
}

fn watch(events: Rtnl, stop: &Waker, mut report: impl FnMut(MonitorEvent)) {
    let mut table = Table::default();
    let (mut events, mut failures) = (Ok(events), Failures::default());
    loop {
        let error = match events.and_then(|events| session(events, &mut table, stop, &mut failures, &mut report)) {
            Ok(()) => return,
            Err(error) => error,
        };
        if failures.is_first() {
            tracing::warn!(%error, "events of the network were lost; ha reads all links and addresses anew, until it can");
        }
        if readable(stop, None, Some(failures.rest())).is_ok_and(|ready| ready.stop) {
            return;
        }
        events = Rtnl::open(GROUPS);
    }
}

/// Until it is stopped, or something may have been lost.
fn session(
    mut events: Rtnl,
    table: &mut Table,
    stop: &Waker,
    failures: &mut Failures,
    report: &mut impl FnMut(MonitorEvent),
) -> io::Result<()> {
    // Subscribed already: what changes during the dump comes as an event after it.
    let new = Table::read()?;
    failures.are_over();
    table.replace(new).into_iter().for_each(&mut *report);
    loop {
        let ready = readable(stop, Some(&events), None)?;
        if ready.stop {
            return Ok(());
        }
        if ready.events {
            for seen in events.events()?.unwrap_or_default() {
                table.apply(seen).into_iter().for_each(&mut *report);
            }
        }
    }
}

struct Ready {
    stop: bool,
    events: bool,
}

fn readable(stop: &Waker, events: Option<&Rtnl>, timeout: Option<Duration>) -> io::Result<Ready> {
    let mut fds = vec![PollFd::new(stop, PollFlags::IN)];
    fds.extend(events.map(|events| PollFd::new(events, PollFlags::IN)));
    let timeout = timeout.and_then(|timeout| timeout.try_into().ok());
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
    Ok(Ready { stop: ready.next().unwrap_or(false), events: ready.next().unwrap_or(false) })
}

impl Table {
    fn read() -> io::Result<Self> {
        let mut netlink = Rtnl::open(0)?;
        let mut table = Self::default();
        for link in netlink.links()? {
            table.links.extend(link_seen(link).map(|seen| (seen.index, seen)));
        }
        for address in netlink.addresses()? {
            table.put_address(&address);
        }
        Ok(table)
    }

    fn addresses_of(&self, index: u32) -> Vec<AddressSeen> {
        self.addresses.get(&index).cloned().unwrap_or_default()
    }

    /// Takes over another table as a whole.
    fn replace(&mut self, new: Self) -> Vec<MonitorEvent> {
        let same = |link: &&LinkSeen| new.links.get(&link.index).is_some_and(|now| now.name == link.name);
        let gone = self.links.values().filter(|link| !same(link));
        let mut events: Vec<MonitorEvent> = gone.map(|link| MonitorEvent::LinkGone(link.name.clone())).collect();
        *self = new;
        for (index, link) in &self.links {
            events.push(MonitorEvent::Link(link.clone()));
            events.extend(self.tell_addresses(*index));
        }
        events
    }

    fn apply(&mut self, seen: Seen) -> Vec<MonitorEvent> {
        match seen {
            Seen::NewLink(link) => link_seen(link).map_or_else(Vec::new, |link| self.put_link(link)),
            Seen::DelLink(link) => {
                self.addresses.remove(&link.index);
                self.links.remove(&link.index).map(|link| MonitorEvent::LinkGone(link.name)).into_iter().collect()
            }
            Seen::NewAddress(address) if self.put_address(&address) => self.tell_addresses(address.index),
            Seen::DelAddress(address) if self.remove_address(&address) => self.tell_addresses(address.index),
            Seen::NewAddress(_) | Seen::DelAddress(_) | Seen::Other => Vec::new(),
        }
    }

    fn put_link(&mut self, link: LinkSeen) -> Vec<MonitorEvent> {
        let index = link.index;
        let before = self.links.insert(index, link.clone());
        match before {
            Some(before) if before == link => Vec::new(),
            Some(before) if before.name == link.name => vec![MonitorEvent::Link(link)],
            before => {
                let gone = before.map(|before| MonitorEvent::LinkGone(before.name));
                gone.into_iter().chain([MonitorEvent::Link(link)]).chain(self.tell_addresses(index)).collect()
            }
        }
    }

    /// Whether that is a change.
    fn put_address(&mut self, address: &Address) -> bool {
        let Address { index, address, manner: _, marked, usable, remaining } = *address;
        let seen = AddressSeen { address, marked, usable, remaining };
        let all = self.addresses.entry(index).or_default();
        match all.iter_mut().find(|known| known.address == address) {
            Some(known) => {
                let before = std::mem::replace(known, seen.clone());
                let as_long = before.remaining.is_none() == remaining.is_none();
                !as_long || before != AddressSeen { remaining: before.remaining, ..seen }
            }
            None => {
                all.push(seen);
                true
            }
        }
    }

    /// Whether that is a change.
    fn remove_address(&mut self, address: &Address) -> bool {
        let Some(all) = self.addresses.get_mut(&address.index) else { return false };
        let before = all.len();
        all.retain(|known| known.address != address.address);
        all.len() != before
    }

    /// Nothing while the interface is not known by name.
    fn tell_addresses(&self, index: u32) -> Vec<MonitorEvent> {
        let told = self
            .links
            .get(&index)
            .map(|link| MonitorEvent::Addresses { interface: link.name.clone(), addresses: self.addresses_of(index) });
        told.into_iter().collect()
    }
}

fn link_seen(link: Link) -> Option<LinkSeen> {
    let Link { index, name, mac, up, carrier, .. } = link;
    Some(LinkSeen { name: name?, index, mac, up, carrier })
}

#[cfg(test)]
mod tests {
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
        LinkSeen { name: name(interface), index, mac: None, up: true, carrier: true }
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
            addresses: BTreeMap::new(),
        };
        table.replace(links(&[seen(1, "lo"), seen(2, "a"), seen(3, "b"), seen(4, "c")]));
        // One stays, one is called otherwise, one was made anew, one is gone.
        let events = table.replace(links(&[seen(1, "lo"), seen(2, "x"), seen(5, "b")]));
        let gone = |text| MonitorEvent::LinkGone(name(text));
        assert_eq!(events[..3], [gone("a"), gone("b"), gone("c")]);
        let named: Vec<&MonitorEvent> =
            events[3..].iter().filter(|event| matches!(event, MonitorEvent::Link(_))).collect();
        assert_eq!(named.len(), 3);
        assert_eq!(events.len(), 3 + 6, "each with its addresses");
    }
}
