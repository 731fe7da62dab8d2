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
    let Table { links, mut addresses, names: _ } = Table::read()?;
    Ok(links.into_iter().map(|(index, link)| (link, addresses.remove(&index).unwrap_or_default())).collect())
}

/// Everything by interface number.
#[derive(Debug, Default)]
struct Table {
    links: BTreeMap<u32, LinkSeen>,
    addresses: BTreeMap<u32, Vec<AddressSeen>>,
    /// What each is called, for whoever is a port of it.
    names: BTreeMap<u32, InterfaceName>,
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
        let links = netlink.links()?;
        table.names = links.iter().filter_map(|link| Some((link.index, link.name.clone()?))).collect();
        for link in links {
            table.links.extend(table.link_seen(link).map(|seen| (seen.index, seen)));
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
            Seen::NewLink(link) => {
                self.names.extend(link.name.clone().map(|name| (link.index, name)));
                self.link_seen(link).map_or_else(Vec::new, |link| self.put_link(link))
            }
            Seen::DelLink(link) => {
                self.addresses.remove(&link.index);
                self.names.remove(&link.index);
                self.links.remove(&link.index).map(|link| MonitorEvent::LinkGone(link.name)).into_iter().collect()
            }
            Seen::NewAddress(address) if self.put_address(&address) => self.tell_addresses(address.index),
            Seen::DelAddress(address) if self.remove_address(&address) => self.tell_addresses(address.index),
            Seen::NewAddress(_) | Seen::DelAddress(_) | Seen::Other => Vec::new(),
        }
    }

    fn link_seen(&self, link: Link) -> Option<LinkSeen> {
        let Link { index, name, mac, up, carrier, port_of, .. } = link;
        let called = |of: u32| self.names.get(&of).map_or_else(|| format!("interface {of}"), ToString::to_string);
        Some(LinkSeen { name: name?, index, mac, up, carrier, port_of: port_of.map(called) })
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

#[cfg(test)]
mod tests;
