//! The protocol thread's sockets: for each interface and family of the configuration one for advertisements and one for
//! ARP or neighbour discovery. They come and go with the interfaces.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use crate::{
    config::Config,
    linux::{DATAGRAM_MAX, NeighborSocket, VrrpSocket},
    node::{Ask, Datagram, Ears, Input, LinkSeen, Transmit},
    wire::multicast_frame,
    words::{Family, Instant, InterfaceName, MacAddr},
};

/// What could not be had is tried again after this time.
const RETRY: Duration = Duration::from_secs(10);

type Place = (InterfaceName, Family);

/// See the module.
pub(super) struct Sockets {
    wanted: BTreeMap<Place, Needs>,
    links: BTreeMap<InterfaceName, LinkSeen>,
    open: BTreeMap<Place, Pair>,
    buffer: Vec<u8>,
    /// What could not be had when it was tried last.
    failed: BTreeSet<String>,
    /// When that is tried again.
    retry_at: Option<Instant>,
}

/// What is needed at a place beside a socket for neighbours.
#[derive(Default)]
struct Needs {
    /// The groups to be heard, beside that of the RFC; `None` where addresses are only held, and advertised elsewhere.
    advertisements: Option<BTreeSet<IpAddr>>,
}

struct Pair {
    vrrp: Option<VrrpSocket>,
    neighbor: NeighborSocket,
    joined: BTreeSet<IpAddr>,
}

impl Pair {
    fn open(interface: &InterfaceName, family: Family) -> io::Result<Self> {
        Ok(Self { vrrp: None, neighbor: NeighborSocket::open(interface, family)?, joined: BTreeSet::new() })
    }

    /// Hears advertisements, if those are needed.
    fn listen(&mut self, interface: &InterfaceName, family: Family, needs: &Needs) -> io::Result<()> {
        if needs.advertisements.is_some() && self.vrrp.is_none() {
            self.vrrp = Some(VrrpSocket::open(interface, family)?);
            self.joined.clear();
        }
        Ok(())
    }

    /// Joins what is wanted and not joined yet. Whoever is not heard any more goes with the socket: what comes for a group
    /// that no instance has is discarded.
    fn join(&mut self, needs: &Needs) -> io::Result<()> {
        let Some(vrrp) = &self.vrrp else { return Ok(()) };
        for group in needs.advertisements.iter().flatten() {
            if !self.joined.contains(group) {
                vrrp.join(*group)?;
                self.joined.insert(*group);
            }
        }
        Ok(())
    }
}

impl Sockets {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            wanted: places(config),
            links: BTreeMap::new(),
            open: BTreeMap::new(),
            buffer: vec![0; DATAGRAM_MAX],
            failed: BTreeSet::new(),
            retry_at: None,
        }
    }

    /// Tries again to open what could not be had, now and then. Returns what to tell.
    pub(super) fn try_again(&mut self, now: Instant) -> Vec<String> {
        if self.failed.is_empty() {
            self.retry_at = None;
            return Vec::new();
        }
        if now < *self.retry_at.get_or_insert(now + RETRY) {
            return Vec::new();
        }
        self.retry_at = Some(now + RETRY);
        let mut notes = self.open_missing();
        if self.failed.is_empty() {
            notes.push("every socket that could not be had is there now".to_owned());
        }
        notes
    }

    /// Opens what a new configuration needs in addition. What nobody needs any more stays until it is closed: whoever
    /// hands over on another interface still speaks and listens. Returns what could not be opened.
    pub(super) fn reconfigure(&mut self, config: &Config) -> Vec<String> {
        self.wanted = places(config);
        self.open_missing()
    }

    /// Closes what the configuration does not need.
    pub(super) fn close_unwanted(&mut self) {
        self.open.retain(|place, _| self.wanted.contains_key(place));
        for (place, pair) in &mut self.open {
            pair.vrrp.take_if(|_| self.wanted.get(place).is_some_and(|needs| needs.advertisements.is_none()));
        }
    }

    /// An interface is there, perhaps another one of the same name.
    pub(super) fn link(&mut self, link: &LinkSeen) -> Vec<String> {
        self.open.retain(|(interface, _), pair| *interface != link.name || pair.neighbor.index() == link.index);
        self.links.insert(link.name.clone(), link.clone());
        self.open_missing()
    }

    pub(super) fn gone(&mut self, name: &InterfaceName) {
        self.links.remove(name);
        self.open.retain(|(interface, _), _| interface != name);
        // What is not there any more is not missed.
        let _ = self.open_missing();
    }

    /// Returns what cannot be had, if it was not said already.
    fn open_missing(&mut self) -> Vec<String> {
        let mut notes = BTreeSet::new();
        for ((interface, family), needs) in &self.wanted {
            if !self.links.contains_key(interface) {
                continue;
            }
            let pair = match self.open.entry((interface.clone(), *family)) {
                Entry::Occupied(open) => Ok(open.into_mut()),
                Entry::Vacant(free) => Pair::open(interface, *family).map(|pair| free.insert(pair)),
            };
            match pair.and_then(|pair| pair.listen(interface, *family, needs).map(|()| pair)) {
                Ok(pair) => {
                    if let Err(error) = pair.join(needs) {
                        notes.insert(format!(
                            "{interface} cannot listen to a multicast_group: {error}; its instance does not hear its peers. \
                             Look at net.ipv4.igmp_max_memberships"
                        ));
                    }
                }
                Err(error) => {
                    notes.insert(format!(
                        "no sockets on {interface}: {error}; its instances hear and send nothing there, and ha tries again \
                         every {} s. CAP_NET_RAW is needed, and free descriptors",
                        RETRY.as_secs()
                    ));
                }
            }
        }
        let told = std::mem::replace(&mut self.failed, notes);
        self.failed.difference(&told).cloned().collect()
    }

    pub(super) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let vrrp = self.open.values().filter_map(|pair| pair.vrrp.as_ref()).map(AsFd::as_fd);
        vrrp.chain(self.open.values().map(|pair| pair.neighbor.as_fd()))
    }

    /// Hands in what is waiting, at most `budget` pieces, and from each socket at most its share: a flood on one
    /// interface does not deafen the others.
    pub(super) fn receive(&mut self, budget: usize, mut hand_in: impl FnMut(Input<'_>)) -> Ears {
        let share = share(budget, self.open.len());
        let mut ears = Ears::Drained;
        for ((interface, _), pair) in &mut self.open {
            let (mut of_vrrp, mut of_neighbors) = (share, share);
            while of_vrrp > 0 {
                let Some(vrrp) = &mut pair.vrrp else { break };
                // An error is told once by the kernel (the interface went down) and says nothing the monitor does not.
                let Ok(Some(received)) = vrrp.receive(&mut self.buffer) else { break };
                of_vrrp -= 1;
                hand_in(Input::Datagram(Datagram {
                    interface,
                    source: received.source,
                    destination: received.destination,
                    hop_limit: received.hop_limit,
                    payload: received.payload,
                }));
            }
            while of_neighbors > 0 {
                let Ok(Some(frame)) = pair.neighbor.receive() else { break };
                of_neighbors -= 1;
                hand_in(Input::Neighbor(frame));
            }
            if of_vrrp == 0 || of_neighbors == 0 {
                ears = Ears::Behind;
            }
        }
        ears
    }

    /// Sends to every destination; well if one of them took it.
    pub(super) fn send(&self, transmit: &Transmit) -> Result<(), String> {
        let place = (transmit.interface.clone(), Family::of(transmit.source));
        let pair = self.open.get(&place).and_then(|pair| Some((&pair.neighbor, pair.vrrp.as_ref()?)));
        let Some((neighbor, vrrp)) = pair else {
            return Err(format!("there is no socket on {}", transmit.interface));
        };
        let mut result = Err("there is nobody to send to".to_owned());
        for (destination, payload) in transmit.destinations.iter().zip(&transmit.payloads) {
            let frame = transmit.mac.and_then(|mac| multicast_frame(mac, transmit.source, *destination, payload));
            let sent = match frame {
                Some(frame) => neighbor.transmit(&frame),
                None => vrrp.send(transmit.source, *destination, payload),
            };
            result = match (result, sent) {
                (Ok(()), _) | (_, Ok(())) => Ok(()),
                (Err(_), Err(error)) => Err(format!("to {destination}: {error}")),
            };
        }
        result
    }

    /// An announcement that fails is repeated by its schedule.
    pub(super) fn announce(&self, interface: &InterfaceName, at: Option<MacAddr>, addresses: &[IpAddr]) {
        for family in [Family::V4, Family::V6] {
            let of_family: Vec<IpAddr> =
                addresses.iter().copied().filter(|address| Family::of(*address) == family).collect();
            if let Some((pair, mac)) = self.at(interface, family).filter(|_| !of_family.is_empty()) {
                let _ = pair.neighbor.announce(&of_family, at.unwrap_or(mac));
            }
        }
    }

    /// A question that fails counts as not answered, like one that is lost.
    pub(super) fn ask(&self, ask: &Ask) {
        if let Some((pair, mac)) = self.at(&ask.interface, Family::of(ask.target)) {
            let _ = pair.neighbor.ask(ask, mac);
        }
    }

    fn at(&self, interface: &InterfaceName, family: Family) -> Option<(&Pair, MacAddr)> {
        let mac = self.links.get(interface)?.mac?;
        Some((self.open.get(&(interface.clone(), family))?, mac))
    }
}

/// What one of two sockets of a place may hand in of a turn's budget: something, however many places there are.
fn share(budget: usize, places: usize) -> usize {
    (budget / (2 * places).max(1)).max(1)
}

fn places(config: &Config) -> BTreeMap<Place, Needs> {
    let mut places = BTreeMap::<Place, Needs>::new();
    for instance in &config.instances {
        for net in instance.held_addresses() {
            places.entry((instance.wire_of(net).clone(), Family::of(net.addr()))).or_default();
        }
        let needs = places.entry((instance.interface.clone(), instance.family)).or_default();
        needs.advertisements.get_or_insert_default().extend(instance.multicast_group);
        for path in &instance.paths {
            let needs = places.entry((path.interface.clone(), instance.family)).or_default();
            needs.advertisements.get_or_insert_default().extend(path.multicast_group);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_places_there_are_each_is_heard() {
        assert_eq!((share(1024, 0), share(1024, 1), share(1024, 512)), (1024, 512, 1));
        assert_eq!((share(1024, 513), share(1024, 5000)), (1, 1));
    }
}
