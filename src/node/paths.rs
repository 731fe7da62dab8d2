//! Several ears: the ways on which an instance advertises and listens beside its own interface.
//!
//! Whatever is heard on a path counts as if it had come on the instance's own way, and from the address that the sender has
//! there: so ties, permission and rivals are the same on every node, whichever way a packet took. The own interface stays
//! where the addresses are and where the link is asked.
//!
//! A standby that hears its master only on a path looks whether clients still reach the address (R27): it asks its own
//! link for it. Where nobody answers, `prefer` decides: the paths are set aside and it takes over as without them, or it
//! only says so.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    AddressSeen, LinkSeen, Transmit,
    bearing::Bearing,
    instance::{Instance, Outbox},
    status::PathStatus,
};
use crate::{
    config::{PRIMARY, Path, Preference, Transport},
    vrrp::State,
    wire::{Priority, Rejection},
    words::{Family, Instant, InterfaceName, readable},
};

/// Which way a packet took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The instance's own interface.
    Primary,
    /// One of its paths, by its place in the list.
    Path(usize),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// By the names of the paths, and [`PRIMARY`].
    ears: BTreeMap<String, Ear>,
    /// Since when each peer has been heard without a pause, on whichever way, and when last.
    heard: BTreeMap<IpAddr, (Instant, Instant)>,
    /// When a path last took an advertisement.
    sent_at: Option<Instant>,
    /// Whether somebody on the own link still answers for the addresses.
    question: Option<Question>,
    /// The address is out of reach, and this node serves its own side: what comes by a path does not count.
    aside: bool,
}

/// One way.
#[derive(Debug, Default)]
struct Ear {
    link: Option<LinkSeen>,
    addresses: Vec<AddressSeen>,
    heard: BTreeMap<IpAddr, Instant>,
    rejected: Option<(Instant, Rejection)>,
    /// Why it took no advertisement last time.
    failing: Option<String>,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    since: Instant,
    asked_at: Option<Instant>,
    answered_at: Option<Instant>,
}

impl Paths {
    /// Another configuration: what is unchanged keeps what was heard.
    pub(super) fn adapt(&mut self, old: &[Path], new: &[Path]) {
        self.ears.retain(|name, _| name == PRIMARY || new.iter().any(|path| path.name == *name && old.contains(path)));
        if new.is_empty() {
            *self = Self::default();
        }
    }

    fn ear(&mut self, name: &str) -> &mut Ear {
        self.ears.entry(name.to_owned()).or_default()
    }

    fn last_on(&self, name: &str, peer: IpAddr) -> Option<Instant> {
        self.ears.get(name)?.heard.get(&peer).copied()
    }

    /// Somebody on the own link answers for an address.
    pub(super) fn answered(&mut self, now: Instant) {
        if let Some(question) = &mut self.question {
            question.answered_at = Some(now);
        }
        self.aside = false;
    }

    /// A path took the advertisement of this moment.
    pub(super) fn sent(&self, now: Instant) -> bool {
        self.sent_at == Some(now)
    }
}

impl Instance {
    /// The way of a datagram, which is one of this instance's.
    pub(super) fn way_of(&self, interface: &InterfaceName, destination: IpAddr) -> Way {
        let fits = |at: &InterfaceName, transport| {
            at == interface && (transport == Transport::Multicast) == destination.is_multicast()
        };
        if fits(&self.config.interface, self.config.transport) {
            return Way::Primary;
        }
        let path = self.config.paths.iter().position(|path| fits(&path.interface, path.transport));
        let by_interface = || self.config.paths.iter().position(|path| path.interface == *interface);
        let other = || by_interface().filter(|_| self.config.interface != *interface);
        path.or_else(other).map_or(Way::Primary, Way::Path)
    }

    pub(super) fn path(&self, way: Way) -> Option<&Path> {
        match way {
            Way::Primary => None,
            Way::Path(at) => self.config.paths.get(at),
        }
    }

    fn way_name(&self, way: Way) -> &str {
        self.path(way).map_or(PRIMARY, |path| &path.name)
    }

    /// Who a sender is, by the address that it has on the instance's own way. A stranger is who it is there.
    pub(super) fn sender(&self, way: Way, source: IpAddr) -> IpAddr {
        let named = match self.path(way) {
            None => Some(source).filter(|source| self.config.peers.contains(source)),
            Some(path) => path.peers.iter().position(|peer| *peer == source).and_then(|at| self.peer_at(at)),
        };
        named.or_else(|| self.peer_by_path(source)).unwrap_or(source)
    }

    /// The peer that has this address on any path.
    pub(super) fn peer_by_path(&self, source: IpAddr) -> Option<IpAddr> {
        let on = |path: &Path| path.peers.iter().position(|peer| *peer == source);
        self.config.paths.iter().find_map(on).and_then(|at| self.peer_at(at))
    }

    fn peer_at(&self, at: usize) -> Option<IpAddr> {
        self.config.peers.get(at).copied()
    }

    /// Whether an address is this machine's own, on whichever way.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        let on_paths = self.config.paths.iter().filter_map(|path| self.paths.ears.get(&path.name));
        let seen = self.seen().iter().chain(on_paths.flat_map(|ear| &ear.addresses));
        seen.into_iter().any(|seen| seen.address.addr() == address)
    }

    // ---- What the machine shows ----

    /// The interface of paths is like this now, or gone.
    pub(super) fn on_path_link(&mut self, interface: &InterfaceName, link: Option<&LinkSeen>) {
        for path in self.config.paths.iter().filter(|path| path.interface == *interface) {
            let ear = self.paths.ear(&path.name);
            ear.link = link.cloned();
            if link.is_none() {
                ear.addresses.clear();
            }
        }
    }

    /// The interface of paths has exactly these addresses now.
    pub(super) fn on_path_addresses(&mut self, interface: &InterfaceName, addresses: &[AddressSeen]) {
        for path in self.config.paths.iter().filter(|path| path.interface == *interface) {
            self.paths.ear(&path.name).addresses = addresses.to_vec();
        }
    }

    // ---- Speaking ----

    /// Everything that is sent for an advertisement, not signed yet: on the paths, and on the own way last, whose result
    /// decides what is to be said of both.
    pub(super) fn compose_all(&self, priority: Option<Priority>) -> Vec<Transmit> {
        let used = self.config.paths.iter().filter(|_| !self.paths.aside);
        used.filter_map(|path| self.compose_for(path, priority)).chain(self.compose(priority)).collect()
    }

    fn compose_for(&self, path: &Path, priority: Option<Priority>) -> Option<Transmit> {
        let source = self.path_source(path)?;
        let destinations = match path.transport {
            Transport::Unicast => path.peers.clone(),
            Transport::Multicast => vec![path.group(self.config.family)],
        };
        Some(Transmit {
            instance: self.config.name.clone(),
            path: Some(path.name.clone()),
            interface: path.interface.clone(),
            mac: None,
            source,
            payloads: self.payloads(priority, source, &destinations),
            destinations,
        })
    }

    /// The address a path's advertisements come from; as R12 has it for the own way.
    fn path_source(&self, path: &Path) -> Option<IpAddr> {
        let ear = self.paths.ears.get(&path.name)?;
        ear.link.as_ref().filter(|link| link.up && link.carrier)?;
        let mut usable = ear.addresses.iter().filter(|seen| seen.usable).map(|seen| seen.address.addr());
        let eligible = |address: &IpAddr| {
            Family::of(*address) == self.config.family
                && !self.is_virtual(*address)
                && !self.virtual_here.contains_key(address)
                && !matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local())
        };
        match path.source {
            Some(source) => usable.find(|address| *address == source),
            None => usable.find(eligible),
        }
    }

    /// A path took an advertisement, or did not. One that left renews the lease (R9).
    pub(super) fn on_path_transmitted(
        &mut self,
        now: Instant,
        name: &str,
        result: Result<(), String>,
        carrier: Option<bool>,
        out: &mut Outbox,
    ) {
        if !self.config.paths.iter().any(|path| path.name == name) {
            return;
        }
        let ear = self.paths.ear(name);
        if let (Some(carrier), Some(link)) = (carrier, &mut ear.link) {
            link.carrier = carrier;
        }
        // What is sent without a carrier has not left.
        let sent = result.is_ok() && carrier != Some(false);
        ear.failing = result.err();
        if sent {
            self.paths.sent_at = Some(now);
            if self.router.serves() {
                self.renew(now, out);
            }
        }
        self.name_paths(now, out);
    }

    /// The own way took an advertisement, or did not: said where another one carries on.
    pub(super) fn own_way_took(&mut self, result: &Result<(), String>) {
        if !self.config.paths.is_empty() {
            self.paths.ear(PRIMARY).failing = result.as_ref().err().cloned();
        }
    }

    // ---- Hearing ----

    /// A valid advertisement of a peer came on this way. Whether it counts.
    pub(super) fn heard_on(&mut self, now: Instant, way: Way, peer: IpAddr) -> bool {
        if self.config.paths.is_empty() {
            return true;
        }
        if self.config.peers.contains(&peer) {
            let pause = self.interval_heard() * 3;
            let since = self.paths.heard.get(&peer).filter(|(_, last)| now <= *last + pause).map(|(since, _)| *since);
            self.paths.heard.insert(peer, (since.unwrap_or(now), now));
            let name = self.way_name(way).to_owned();
            let ear = self.paths.ear(&name);
            ear.heard.insert(peer, now);
            ear.rejected = None;
        }
        if way == Way::Primary {
            // Both sides are one again: the election is made here.
            self.paths.aside = false;
        }
        !self.paths.aside
    }

    /// Whether a peer is understood on a way.
    pub(super) fn is_heard_on(&self, now: Instant, way: Way, peer: IpAddr) -> bool {
        let within = self.down_interval();
        if self.config.paths.is_empty() || !self.config.peers.contains(&peer) {
            return self.peers.is_heard(now, peer, within);
        }
        self.paths.last_on(self.way_name(way), peer).is_some_and(|at| now <= at + within)
    }

    /// A peer that is heard on one way is not understood on another, or comes on one that is none of its own: that is a
    /// matter of the way. Whether it was noted.
    pub(super) fn rejected_on(&mut self, now: Instant, way: Way, peer: IpAddr, rejection: Rejection) -> bool {
        let told = !self.config.paths.is_empty()
            && (rejection.means_unusable_peer() || rejection == Rejection::NotAPeer)
            && self.peers.is_heard(now, peer, self.down_interval());
        if told {
            let name = self.way_name(way).to_owned();
            self.paths.ear(&name).rejected = Some((now, rejection));
        }
        told
    }

    fn interval_heard(&self) -> Duration {
        self.master_interval().as_duration()
    }

    /// The ways, the own one first.
    fn ways(&self) -> impl Iterator<Item = (&str, &InterfaceName)> {
        let paths = self.config.paths.iter().map(|path| (path.name.as_str(), &path.interface));
        std::iter::once((PRIMARY, &self.config.interface)).chain(paths)
    }

    /// What is wrong with a way: its interface, what it is told, or that others hear what it does not.
    fn trouble_of(&self, now: Instant, name: &str, interface: &InterfaceName) -> Option<String> {
        let ear = self.paths.ears.get(name);
        if let Some(path) = self.config.paths.iter().find(|path| path.name == name) {
            match ear.and_then(|ear| ear.link.as_ref()) {
                None => return Some(format!("interface {interface} does not exist")),
                Some(link) if !link.up => return Some(format!("interface {interface} is down")),
                Some(link) if !link.carrier => return Some(format!("interface {interface} has no carrier")),
                Some(_) if self.path_source(path).is_none() => {
                    return Some(format!("{interface} has no address of its own to advertise from"));
                }
                Some(_) => (),
            }
        }
        if let Some(why) = ear.and_then(|ear| ear.failing.as_ref()) {
            return Some(format!("advertisements cannot be sent: {why}"));
        }
        let interval = self.interval_heard();
        let recent = |at: &Instant| now <= *at + interval * 3;
        let rejected = ear.and_then(|ear| ear.rejected).filter(|(at, _)| recent(at));
        if let Some((_, rejection)) = rejected {
            return Some(format!("what comes there is rejected: {rejection}"));
        }
        let missed = self.paths.heard.iter().find(|(peer, (since, last))| {
            let here = self.paths.last_on(name, **peer).max(Some(*since));
            now <= *last + interval * 2 && here.is_some_and(|at| !recent(&at))
        });
        let (peer, (since, _)) = missed?;
        let at = self.paths.last_on(name, *peer).map_or(*since, |at| at.max(*since));
        let silence = readable(now.saturating_since(at));
        Some(format!("{peer} has not been heard there for {silence}, and is heard on another path"))
    }

    fn name_paths(&mut self, now: Instant, out: &mut Outbox) {
        let troubles: Vec<String> = self
            .ways()
            .filter_map(|(name, interface)| Some(format!("path {name}: {}", self.trouble_of(now, name, interface)?)))
            .collect();
        let text = (!troubles.is_empty()).then(|| {
            format!(
                "{}. The other paths serve meanwhile; look at cable, switch and filters of this one on both nodes",
                troubles.join("; ")
            )
        });
        self.condition(now, "path_degraded", text, out);
    }

    // ---- Whether the address is in reach (R27) ----

    /// What time does to the paths.
    pub(super) fn mind_paths(&mut self, now: Instant, out: &mut Outbox) {
        if self.config.paths.is_empty() {
            return self.condition(now, "path_degraded", None, out);
        }
        self.look_for_the_address(now, out);
        self.name_paths(now, out);
    }

    /// When the own link is asked next.
    pub(super) fn next_path(&self) -> Option<Instant> {
        let asked_at = self.paths.question?.asked_at?;
        Some(asked_at + self.interval_heard())
    }

    fn look_for_the_address(&mut self, now: Instant, out: &mut Outbox) {
        if self.paths.aside && self.is_aside_over(now) {
            self.paths.aside = false;
        }
        let Some(since) = self.out_of_reach_since(now, out) else {
            if !self.paths.aside {
                self.condition(now, "vip_unreachable", None, out);
            }
            return;
        };
        let alone = readable(now.saturating_since(since));
        let (does, takes) = match self.config.prefer {
            Preference::Availability => {
                ("This node serves its own side, as configured (prefer = \"availability\")", true)
            }
            Preference::Safety => ("This node stays backup, as configured (prefer = \"safety\")", false),
        };
        let master = self.master.map_or_else(|| "the master".to_owned(), |master| master.to_string());
        let text = format!(
            "{master} is heard on another path, but nobody on {} has answered for the address for {alone}: clients on this side \
             do not reach it. {does}. Look at the network between the two nodes on {}",
            self.config.interface, self.config.interface
        );
        self.paths.aside = takes;
        self.condition(now, "vip_unreachable", Some(text), out);
    }

    /// Asks the own link while the master is heard on a path alone; since when nobody has answered, if that is long enough.
    fn out_of_reach_since(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant> {
        let interval = self.interval_heard();
        let master = self.master.filter(|_| !self.paths.aside);
        let listens = matches!(self.router.state(), State::Backup { .. });
        let by_path_alone = master.and_then(|master| {
            let (since, last) = self.paths.heard.get(&master)?;
            let here = self.paths.last_on(PRIMARY, master).max(Some(*since))?;
            Some(now <= *last + interval * 2 && here + interval * 3 < now)
        });
        let well = || self.claims() && matches!(self.bearing(now), Bearing::Fit(_));
        if !listens || by_path_alone != Some(true) || !well() {
            self.paths.question = None;
            return None;
        }
        let question = self.paths.question.get_or_insert(Question { since: now, asked_at: None, answered_at: None });
        let due = question.asked_at.is_none_or(|at| at + interval <= now);
        let unanswered = question.answered_at.unwrap_or(question.since);
        if due {
            question.asked_at = Some(now);
            for address in self.virtual_addresses() {
                out.push_back(self.ask(address, None, None));
            }
        }
        (unanswered + interval * 3 <= now).then_some(unanswered)
    }

    /// Nobody is left on the other side, or this node takes no part itself.
    fn is_aside_over(&self, now: Instant) -> bool {
        let silent = self.paths.heard.values().all(|(_, last)| *last + self.down_interval() < now);
        match self.router.state() {
            State::Initialize => true,
            State::Master { .. } | State::Resigning { .. } => silent,
            State::Backup { .. } | State::Elected { .. } => false,
        }
    }

    // ---- Telling ----

    /// Each way, where there is more than one.
    pub(super) fn path_status(&self, now: Instant) -> Vec<PathStatus> {
        if self.config.paths.is_empty() {
            return Vec::new();
        }
        let row = |(name, interface): (&str, &InterfaceName)| PathStatus {
            name: name.to_owned(),
            interface: interface.to_string(),
            source: match self.config.paths.iter().find(|path| path.name == name) {
                Some(path) => self.path_source(path),
                None => self.primary(),
            },
            last_heard: self.paths.ears.get(name).and_then(|ear| ear.heard.values().max().copied()),
            trouble: self.trouble_of(now, name, interface),
        };
        self.ways().map(row).collect()
    }
}
