//! Who holds the service address, as the kernels say: netlink monitors in all nodes, one thread, one clock.

use std::{
    collections::BTreeSet,
    io,
    net::IpAddr,
    os::fd::OwnedFd,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rtnetlink::{
    packet_core::{NLM_F_DUMP, NetlinkPayload},
    packet_route::{RouteNetlinkMessage, address::AddressMessage},
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    rtnl::{IPV4_ADDRESSES, IPV6_ADDRESSES, address_dump, bears, open_socket, receive, send_request},
    trouble::{Result, Trouble},
    world::{Host, SERVICE_ADDRESS, SERVICE_ADDRESS_6, World},
};

/// How long to wait before looking whether it is over.
const A_WHILE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A node took the address or let go of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When it was seen, some 50 µs after it happened.
    pub at: Instant,
    /// Which node.
    pub node: Host,
    /// Took it.
    pub holds: bool,
}

/// A stretch of time in which the holders did not change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// Its beginning.
    pub from: Instant,
    /// Its end.
    pub to: Instant,
    /// Those who held the address.
    pub holders: BTreeSet<Host>,
}

impl Reign {
    /// How long it was.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to.saturating_duration_since(self.from)
    }
}

/// Watches the nodes until it is dropped.
#[derive(Debug)]
pub struct Observer {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Seen {
    changes: Mutex<Vec<Change>>,
    news: Condvar,
    over: AtomicBool,
    /// What is watched: the first of them that a pair has.
    addresses: Vec<IpAddr>,
}

impl Observer {
    /// Starts to watch. What a node holds already counts from now.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn start(world: &World) -> Result<Self> {
        Self::watch(world, vec![SERVICE_ADDRESS.into(), SERVICE_ADDRESS_6.into()])
    }

    /// The same with any address.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn of(world: &World, address: IpAddr) -> Result<Self> {
        Self::watch(world, vec![address])
    }

    fn watch(world: &World, addresses: Vec<IpAddr>) -> Result<Self> {
        let sockets = world.nodes().iter().map(|node| Ok((*node, subscribe(world, *node)?)));
        let sockets = sockets.collect::<Result<Vec<_>>>()?;
        let seen = Arc::new(Seen { addresses, ..Seen::default() });
        let shared = Arc::clone(&seen);
        let thread = thread::Builder::new().name("observer".to_owned()).spawn(move || shared.watch(&sockets));
        Ok(Self { seen, thread: Some(thread.map_err(Trouble::kernel("start a thread"))?) })
    }

    /// Everything seen so far.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.seen.lock().clone()
    }

    /// Who holds the address now.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<Host> {
        holders(&self.seen.lock())
    }

    /// Waits until exactly `wanted` hold the address; returns when that began.
    ///
    /// # Errors
    ///
    /// If it does not come about in time.
    pub fn wait_for(&self, wanted: &[Host], at_most: Duration) -> Result<Instant> {
        let wanted: BTreeSet<Host> = wanted.iter().copied().collect();
        let until = Instant::now() + at_most;
        let mut changes = self.seen.lock();
        while holders(&changes) != wanted {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("{} (now {})", held_by(&wanted), held_by(&holders(&changes)));
                return Err(Trouble::Late { what, waited: at_most });
            }
            changes = self.seen.news.wait_timeout(changes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(changes.last().map_or_else(Instant::now, |change| change.at))
    }

    /// The reigns between two moments, in order; none of them empty.
    #[must_use]
    pub fn reigns(&self, from: Instant, to: Instant) -> Vec<Reign> {
        reigns(&self.seen.lock(), from, to)
    }

    /// How long two nodes held the address at once between two moments, in sum.
    #[must_use]
    pub fn two_holders(&self, from: Instant, to: Instant) -> Duration {
        self.reigns(from, to).iter().filter(|reign| reign.holders.len() > 1).map(Reign::length).sum()
    }

    /// How long nobody held it, in sum.
    #[must_use]
    pub fn no_holder(&self, from: Instant, to: Instant) -> Duration {
        self.reigns(from, to).iter().filter(|reign| reign.holders.is_empty()).map(Reign::length).sum()
    }

    /// When `node` first took it (or let go of it) after a moment.
    #[must_use]
    pub fn first(&self, node: Host, holds: bool, after: Instant) -> Option<Instant> {
        let changes = self.seen.lock();
        changes
            .iter()
            .find(|change| change.at >= after && change.node == node && change.holds == holds)
            .map(|change| change.at)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.seen.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, sockets: &[(Host, OwnedFd)]) {
        while !self.over.load(Ordering::Relaxed) {
            let mut waiting: Vec<PollFd<'_>> =
                sockets.iter().map(|(_, socket)| PollFd::new(socket, PollFlags::IN)).collect();
            if !poll(&mut waiting, Some(&A_WHILE)).is_ok_and(|ready| ready > 0) {
                continue;
            }
            // All are stamped alike: what came between two looks has no order between the nodes.
            let at = Instant::now();
            for ((node, socket), waited) in sockets.iter().zip(waiting) {
                if !waited.revents().is_empty() {
                    self.read(at, *node, socket);
                }
            }
        }
    }

    fn read(&self, at: Instant, node: Host, socket: &OwnedFd) {
        let Ok(messages) = receive(socket) else { return };
        for message in messages {
            let NetlinkPayload::InnerMessage(message) = message.payload else { continue };
            if let RouteNetlinkMessage::NewAddress(address) = &message {
                self.note(Change { at, node, holds: true }, address);
            } else if let RouteNetlinkMessage::DelAddress(address) = &message {
                self.note(Change { at, node, holds: false }, address);
            }
        }
    }

    /// A renewal is no change.
    fn note(&self, change: Change, address: &AddressMessage) {
        if !self.addresses.iter().any(|watched| bears(address, *watched)) {
            return;
        }
        let mut changes = self.lock();
        if holders(&changes).contains(&change.node) != change.holds {
            changes.push(change);
            self.news.notify_all();
        }
    }
}

fn subscribe(world: &World, node: Host) -> Result<OwnedFd> {
    let subscribed = world.netns(node).run(|| -> io::Result<OwnedFd> {
        let socket = open_socket(IPV4_ADDRESSES | IPV6_ADDRESSES)?;
        send_request(&socket, address_dump(), NLM_F_DUMP, 1)?;
        Ok(socket)
    })?;
    subscribed.map_err(Trouble::kernel(format!("watch the addresses of {node}")))
}

/// Holders at the end of `changes`.
fn holders(changes: &[Change]) -> BTreeSet<Host> {
    let mut holders = BTreeSet::new();
    changes.iter().for_each(|change| apply(&mut holders, change));
    holders
}

fn apply(holders: &mut BTreeSet<Host>, change: &Change) {
    if change.holds {
        holders.insert(change.node);
    } else {
        holders.remove(&change.node);
    }
}

fn reigns(changes: &[Change], from: Instant, to: Instant) -> Vec<Reign> {
    let mut reigns = Vec::new();
    let mut now = BTreeSet::new();
    let mut since = from;
    for change in changes.iter().filter(|change| change.at <= to) {
        if change.at > since {
            reigns.push(Reign { from: since, to: change.at, holders: now.clone() });
            since = change.at;
        }
        apply(&mut now, change);
    }
    if to > since {
        reigns.push(Reign { from: since, to, holders: now });
    }
    reigns
}

/// "node1 and node2 hold the address".
fn held_by(holders: &BTreeSet<Host>) -> String {
    let names: Vec<&str> = holders.iter().map(|host| host.name()).collect();
    match names.as_slice() {
        [] => "nobody holds the address".to_owned(),
        [one] => format!("{one} holds the address"),
        several => format!("{} hold the address", several.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(origin: Instant, millis: u64) -> Instant {
        origin + Duration::from_millis(millis)
    }

    fn story(origin: Instant) -> Vec<Change> {
        let change = |millis, node, holds| Change { at: at(origin, millis), node, holds };
        vec![
            change(10, Host::Node1, true),
            change(100, Host::Node2, true),
            change(130, Host::Node1, false),
            change(200, Host::Node2, false),
        ]
    }

    #[test]
    fn reigns_cover_the_whole_stretch_and_know_the_holders() {
        let origin = Instant::now();
        let seen: Vec<(u128, usize)> = reigns(&story(origin), origin, at(origin, 300))
            .iter()
            .map(|reign| (reign.length().as_millis(), reign.holders.len()))
            .collect();
        assert_eq!(seen, [(10, 0), (90, 1), (30, 2), (70, 1), (100, 0)]);
    }

    #[test]
    fn a_stretch_that_begins_late_knows_who_held_before() {
        let origin = Instant::now();
        let seen: Vec<(u128, usize)> = reigns(&story(origin), at(origin, 50), at(origin, 110))
            .iter()
            .map(|reign| (reign.length().as_millis(), reign.holders.len()))
            .collect();
        assert_eq!(seen, [(50, 1), (10, 2)]);
    }
}
