//! A peer that behaves as keepalived 2.2 and 2.4 were measured to: same four verbs as a node, other decisions.
//!
//! What it has in common with RFC 3768 and 9568 is not repeated here. What it does its own way: it drops advertisements whose
//! version, password or (version 2) interval are not its own, and 2.2 those with other addresses as well, which 2.4 believes; 2.4 signs
//! where it is told to (`auth_hmac`), 2.2 does not; a backup ignores a lower master and takes over when its
//! timer ends; a loser says nothing; an address that somebody deleted is given up with priority 0 and retaken after the skew
//! time; addresses have no lifetime and stay where the process is killed; nobody is asked before a takeover. Groups: `group`.

mod group;

use std::{collections::VecDeque, net::IpAddr, sync::Arc, time::Duration};

use super::Release;
use crate::{
    config::{Auth, AuthHmac, Config, HmacMode, Instance, Preempt, Protocol, Transport},
    node::{
        Command, Datagram, Event, Hold, Input, InstanceStatus, Journal, Lifetime, NodeStatus, Output, Role, Transmit,
    },
    policy::Verdict,
    wire::{self, AdverInterval, Advertisement, AuthField, ChecksumForm, Priority, Stamp, Trailer},
    words::{Family, Instant},
};

/// When a new master announces again.
const AGAIN: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Keepalived {
    release: Release,
    config: Config,
    routers: Vec<Router>,
    outbox: VecDeque<Output>,
    stopped: bool,
    now: Instant,
}

#[derive(Debug)]
struct Router {
    release: Release,
    config: Instance,
    role: Role,
    since: Instant,
    reason: String,
    source: Option<IpAddr>,
    carrier: bool,
    /// What its scripts say.
    verdicts: std::collections::BTreeMap<String, Verdict>,
    /// As backup: when it takes over. As master: when it advertises.
    timer: Option<Instant>,
    /// The interval of the master that it hears (version 3).
    learnt: Option<AdverInterval>,
    announces_at: Option<Instant>,
    /// Its addresses were in the kernel since it wrote them.
    seen: bool,
    /// As backup: its timer has run out.
    wants: bool,
}

impl Keepalived {
    pub(super) fn new(release: Release, now: Instant, config: &Config) -> Self {
        let mut new =
            Self { release, config: config.clone(), routers: Vec::new(), outbox: VecDeque::new(), stopped: false, now };
        new.routers = config.instances.iter().map(|instance| Router::new(release, now, instance.clone())).collect();
        for router in &new.routers {
            // What a dead one left behind is removed first.
            new.outbox.push_back(Output::Hold(router.hold(false)));
        }
        new
    }

    pub(super) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.now = now;
        let out = &mut self.outbox;
        match input {
            Input::Datagram(datagram) => {
                let vrid = wire::vrid_of(datagram.payload);
                let family = Family::of(datagram.source);
                let ours = self.routers.iter().position(|router| {
                    let config = &router.config;
                    Some(config.vrid) == vrid && config.family == family && config.interface == *datagram.interface
                });
                if let Some((index, router)) = ours.and_then(|at| Some((at, self.routers.get_mut(at)?))) {
                    let was = router.role;
                    let lower = router.hear(now, datagram, out);
                    self.follow(now, index, was, lower);
                }
            }
            Input::Link(link) => {
                for router in self.routers.iter_mut().filter(|router| router.config.interface == link.name) {
                    router.carrier = link.up && link.carrier;
                }
                self.settle(now);
            }
            Input::LinkGone(name) => {
                for router in self.routers.iter_mut().filter(|router| router.config.interface == name) {
                    router.carrier = false;
                }
                self.settle(now);
            }
            Input::Addresses { interface, addresses } => {
                let here: Vec<_> = addresses.iter().map(|seen| seen.address).collect();
                for index in 0..self.routers.len() {
                    let Some(router) = self.routers.get_mut(index).filter(|it| it.config.interface == interface) else {
                        continue;
                    };
                    let own = here.iter().find(|address| {
                        Family::of(address.addr()) == router.config.family && !router.config.addresses.contains(address)
                    });
                    router.source = router.config.source.or(own.map(ipnet::IpNet::addr));
                    let was = router.role;
                    router.see(now, &here, &mut self.outbox);
                    self.follow(now, index, was, false);
                }
                self.settle(now);
            }
            Input::Judged { instance, report } => {
                if let Some(router) = self.routers.iter_mut().find(|router| router.config.name == instance) {
                    router.verdicts.insert(report.policy, report.verdict);
                }
                self.settle(now);
            }
            // The kernel tells of each change: one that was undone before this machine looked is seen all the same.
            Input::Held { instance, result: Ok(()) } => {
                self.routers
                    .iter_mut()
                    .filter(|it| it.config.name == instance)
                    .for_each(|it| it.seen = it.role == Role::Master);
            }
            Input::Reload(config) => self.reload(now, &config),
            Input::Command(Command::Stop | Command::Leave) => {
                self.stopped = true;
                self.routers.iter_mut().for_each(|router| router.fault(now, "stopped", out));
            }
            Input::Neighbor(_)
            | Input::Transmitted { .. }
            | Input::Held { result: Err(_), .. }
            | Input::Equipped { .. }
            | Input::NeverLoaded { .. }
            | Input::File { .. }
            | Input::Processes { .. }
            | Input::Clock { .. }
            | Input::Witness(_)
            | Input::Routed { .. }
            | Input::Hooks { .. } => {}
        }
    }

    fn reload(&mut self, now: Instant, config: &Arc<Config>) {
        self.config = (**config).clone();
        for instance in &config.instances {
            let known = self.routers.iter_mut().find(|router| {
                (router.config.vrid, router.config.family) == (instance.vrid, instance.family)
                    && router.config.interface == instance.interface
            });
            match known {
                Some(router) => router.config = instance.clone(),
                None => self.routers.push(Router::new(self.release, now, instance.clone())),
            }
        }
        let out = &mut self.outbox;
        self.routers.retain_mut(|router| {
            let stays = config.instances.iter().any(|instance| instance.name == router.config.name);
            if !stays {
                router.fault(now, "removed by a reload", out);
            }
            stays
        });
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        let out = &mut self.outbox;
        self.routers.iter_mut().for_each(|router| router.on_timeout(now, out));
        self.take_together(now);
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.routers.iter().flat_map(|router| router.timer.into_iter().chain(router.announces_at)).min()
    }

    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// As much of a status as a policy is told.
    pub(super) fn status(&self) -> NodeStatus {
        let instances = self.routers.iter().map(Router::status).collect();
        NodeStatus { node: self.config.node.clone(), now: self.now, instances, groups: Vec::new() }
    }
}

impl Router {
    fn new(release: Release, now: Instant, config: Instance) -> Self {
        Self {
            release,
            config,
            role: Role::Fault,
            since: now,
            reason: String::new(),
            source: None,
            carrier: false,
            verdicts: std::collections::BTreeMap::new(),
            timer: None,
            learnt: None,
            announces_at: None,
            seen: false,
            wants: false,
        }
    }

    fn priority(&self) -> Priority {
        let delta: i32 =
            self.verdicts.values().map(|it| if let Verdict::Healthy { delta, .. } = it { *delta } else { 0 }).sum();
        let base = i32::from(self.config.priority.get());
        let sum = u8::try_from((base + delta).clamp(1, 254)).ok().and_then(Priority::new);
        sum.filter(|_| !self.config.priority.is_owner()).unwrap_or(self.config.priority)
    }

    /// A script that has failed is a fault; one that was not asked yet keeps it waiting.
    fn is_fit(&self) -> bool {
        let asked = self.config.policies.iter().all(|policy| self.verdicts.contains_key(policy));
        let well = |verdict: &Verdict| matches!(verdict, Verdict::Healthy { .. });
        self.carrier && self.source.is_some() && asked && self.verdicts.values().all(well)
    }

    /// `fit`: all of its group are.
    fn settle(&mut self, now: Instant, fit: bool, out: &mut VecDeque<Output>) {
        match (self.role, fit) {
            (Role::Fault, true) => {
                self.become_role(now, Role::Backup, "no fault any more", out);
                self.wants = false;
                self.timer = Some(now + self.down_interval());
            }
            (Role::Backup | Role::Master, false) => self.fault(now, "fault", out),
            (Role::Fault, false) | (Role::Backup | Role::Master, true) => {}
        }
    }

    fn skew(&self) -> Duration {
        let interval = self.learnt.unwrap_or(self.config.advertise);
        interval.skew_time(self.config.protocol.version(), self.priority())
    }

    fn down_interval(&self) -> Duration {
        let interval = self.learnt.unwrap_or(self.config.advertise);
        interval.as_duration() * 3 + self.skew()
    }

    fn on_timeout(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        if self.announces_at.is_some_and(|at| at <= now) {
            self.announces_at = None;
            self.announce(out);
        }
        if self.timer.is_none_or(|at| at > now) {
            return;
        }
        match self.role {
            Role::Fault => self.timer = None,
            Role::Backup => (self.timer, self.wants) = (None, true),
            Role::Master => {
                self.advertise(now, Some(self.priority()), out);
                self.timer = Some(now + self.config.advertise.as_duration());
            }
        }
    }

    /// First the advertisement, then the addresses, then the announcement.
    fn take(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        (self.learnt, self.wants) = (None, false);
        self.advertise(now, Some(self.priority()), out);
        self.become_role(now, Role::Master, "no advertisement", out);
        out.push_back(Output::Hold(self.hold(true)));
        self.announce(out);
        self.seen = false;
        self.announces_at = Some(now + AGAIN);
        self.timer = Some(now + self.config.advertise.as_duration());
    }

    /// Whether a master has heard a lower one.
    fn hear(&mut self, now: Instant, datagram: Datagram<'_>, out: &mut VecDeque<Output>) -> bool {
        let Some(adv) = self.admitted(datagram) else { return false };
        let source = datagram.source;
        match self.role {
            Role::Fault => {}
            Role::Backup => self.hear_as_backup(now, &adv),
            Role::Master => self.hear_as_master(now, &adv, source, out),
        }
        self.role == Role::Master && adv.priority.is_some()
    }

    /// What it does not drop.
    fn admitted(&self, datagram: Datagram<'_>) -> Option<Advertisement> {
        let multicast = datagram.destination.is_multicast();
        if multicast != (self.config.transport == Transport::Multicast) || Some(datagram.source) == self.source {
            return None;
        }
        let (message, trailer) = Trailer::split(datagram.source, datagram.payload).ok()?;
        if !self.believes(datagram.source, message, trailer.as_ref()) {
            return None;
        }
        let decoded = wire::decode(datagram.source, datagram.destination, datagram.payload).ok()?;
        let adv = decoded.advertisement;
        if decoded.version != self.config.protocol.version() {
            return None;
        }
        let mut ours: Vec<IpAddr> = self.config.addresses.iter().map(ipnet::IpNet::addr).collect();
        let mut theirs = adv.addresses.clone();
        ours.sort();
        theirs.sort();
        let understood = match &self.config.protocol {
            Protocol::V2(Auth::Secret(_)) => false,
            Protocol::V2(Auth::None) => decoded.auth == AuthField::None && adv.interval == self.config.advertise,
            Protocol::V2(Auth::Pass(password)) => {
                decoded.auth.admit(Some(password)).is_ok() && adv.interval == self.config.advertise
            }
            Protocol::V3(_) => true,
        };
        (understood && (ours == theirs || self.release.believes_other_addresses())).then_some(adv)
    }

    /// How it signs, if it does: 2.2 does not know the word.
    fn signing(&self) -> Option<&AuthHmac> {
        self.config.auth_hmac.as_ref().filter(|_| self.release.signs())
    }

    /// What is signed has another length, so whoever does not sign drops it; whoever does wants a key that it has.
    fn believes(&self, source: IpAddr, message: &[u8], trailer: Option<&Trailer>) -> bool {
        match (self.signing(), trailer) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some(auth), None) => auth.mode != HmacMode::Enforce,
            (Some(auth), Some(trailer)) => {
                auth.key(trailer.key).is_some_and(|key| trailer.is_made_with(key, source, message))
            }
        }
    }

    fn hear_as_backup(&mut self, now: Instant, adv: &Advertisement) {
        let Some(priority) = adv.priority else {
            (self.timer, self.wants) = (Some(now + self.skew()), false);
            return;
        };
        let version3 = matches!(self.config.protocol, Protocol::V3(_));
        if priority >= self.priority() || self.config.preempt == Preempt::Never {
            (self.learnt, self.wants) = (Some(adv.interval).filter(|_| version3), false);
            self.timer = Some(now + self.down_interval());
        }
    }

    /// From master to backup, without a word.
    fn step_back(&mut self, now: Instant, why: &str, out: &mut VecDeque<Output>) {
        if self.role != Role::Master {
            return;
        }
        out.push_back(Output::Hold(self.hold(false)));
        self.become_role(now, Role::Backup, why, out);
        (self.timer, self.announces_at) = (Some(now + self.down_interval()), None);
    }

    fn hear_as_master(&mut self, now: Instant, adv: &Advertisement, source: IpAddr, out: &mut VecDeque<Output>) {
        let Some(priority) = adv.priority else {
            return self.advertise(now, Some(self.priority()), out);
        };
        let wins_tie = self.source.is_some_and(|own| source > own);
        if priority > self.priority() || priority == self.priority() && wins_tie {
            self.learnt = Some(adv.interval).filter(|_| matches!(self.config.protocol, Protocol::V3(_)));
            return self.step_back(now, "a higher advertisement", out);
        }
        self.advertise(now, Some(self.priority()), out);
        self.announce(out);
        self.announces_at = Some(now + AGAIN);
    }

    /// An address that somebody deleted is given up.
    fn see(&mut self, now: Instant, here: &[ipnet::IpNet], out: &mut VecDeque<Output>) {
        let complete = self.config.addresses.iter().all(|address| here.contains(address));
        if self.role != Role::Master || self.config.priority.is_owner() {
            return;
        }
        if complete {
            self.seen = true;
        } else if self.seen {
            self.advertise(now, None, out);
            out.push_back(Output::Hold(self.hold(false)));
            self.become_role(now, Role::Backup, "an address was deleted", out);
            self.timer = Some(now + self.skew());
        }
    }

    fn fault(&mut self, now: Instant, why: &str, out: &mut VecDeque<Output>) {
        if self.role == Role::Master {
            self.advertise(now, None, out);
            out.push_back(Output::Hold(self.hold(false)));
        }
        (self.timer, self.announces_at, self.wants) = (None, None, false);
        self.become_role(now, Role::Fault, why, out);
    }

    fn become_role(&mut self, now: Instant, to: Role, why: &str, out: &mut VecDeque<Output>) {
        let from = std::mem::replace(&mut self.role, to);
        why.clone_into(&mut self.reason);
        if from != to {
            self.since = now;
            let event = Event::Transition { from, to, reason: why.to_owned() };
            out.push_back(Output::Report(Journal { at: now, instance: self.config.name.clone(), event }));
        }
    }

    fn hold(&self, holds: bool) -> Hold {
        Hold {
            instance: self.config.name.clone(),
            interface: self.config.interface.clone(),
            addresses: if holds { self.config.addresses.clone() } else { Vec::new() },
            manners: self.config.manners.clone(),
            configured: self.config.addresses.clone(),
            lifetime: Lifetime::Forever,
            not_after: None,
        }
    }

    fn announce(&self, out: &mut VecDeque<Output>) {
        let addresses = self.config.addresses.iter().map(ipnet::IpNet::addr).collect();
        let (instance, interface) = (self.config.name.clone(), self.config.interface.clone());
        out.push_back(Output::Announce { instance, interface, mac: None, addresses });
    }

    fn advertise(&self, now: Instant, priority: Option<Priority>, out: &mut VecDeque<Output>) {
        let Some(source) = self.source else { return };
        let adv = Advertisement {
            vrid: self.config.vrid,
            priority,
            interval: self.config.advertise,
            addresses: self.config.addresses.iter().map(ipnet::IpNet::addr).collect(),
        };
        let destinations = match self.config.transport {
            Transport::Multicast => vec![self.config.group()],
            Transport::Unicast => self.config.peers.clone(),
        };
        let payload = |destination: &IpAddr| match &self.config.protocol {
            Protocol::V2(Auth::Pass(password)) => wire::encode_v2(&adv, Some(password)),
            Protocol::V2(Auth::None | Auth::Secret(_)) => wire::encode_v2(&adv, None),
            Protocol::V3(_) => wire::encode_v3(&adv, source, *destination, ChecksumForm::PseudoHeader),
        };
        let sealed = |payload: Vec<u8>| match self.signing().and_then(AuthHmac::signs_with) {
            Some((id, key)) => wire::sign(payload, source, id, key, Stamp::at(now.since_epoch())),
            None => payload,
        };
        let payloads = destinations.iter().map(payload).map(sealed).collect();
        let (instance, interface) = (self.config.name.clone(), self.config.interface.clone());
        out.push_back(Output::Transmit(Transmit {
            instance,
            interface,
            mac: None,
            path: None,
            source,
            destinations,
            payloads,
        }));
    }

    fn status(&self) -> InstanceStatus {
        let held = if self.role == Role::Master { self.config.addresses.clone() } else { Vec::new() };
        InstanceStatus {
            name: self.config.name.clone(),
            interface: self.config.interface.to_string(),
            device: None,
            vrid: self.config.vrid.get(),
            version: match self.config.protocol {
                Protocol::V2(_) => 2,
                Protocol::V3(_) => 3,
            },
            role: self.role,
            since: self.since,
            reason: self.reason.clone(),
            conditions: Vec::new(),
            priority: self.config.priority,
            effective_priority: Some(self.priority()),
            source: self.source,
            addresses: self.config.addresses.clone(),
            held,
            devices: std::collections::BTreeMap::new(),
            routing: Vec::new(),
            lease: None,
            peers: Vec::new(),
            paths: Vec::new(),
            witness: None,
            transitions: 0,
            sent: 0,
            received: 0,
            discarded: std::collections::BTreeMap::new(),
            reports: Vec::new(),
        }
    }
}
