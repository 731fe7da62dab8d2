//! One machine: its daemon, and what its kernel has.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    Delivery,
    judging::Judging,
    placing::{Kind, Release, Setup},
};
use crate::{
    config::{Config, Instance, Renames, Witnessed},
    node::{Ears, Input, Output, Role},
    policy::{Engine, Policy, Verdict},
    sim::{daemon::Daemon, witness::Asking},
    words::{Family, Instant, InterfaceName, MacAddr},
};

/// An interface, and the network it is on.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) interface: InterfaceName,
    pub(super) wire: usize,
    pub(super) mac: MacAddr,
    pub(super) index: u32,
    pub(super) own: Vec<IpNet>,
    pub(super) plugged: bool,
    /// Virtual addresses, and until when.
    pub(super) held: BTreeMap<IpNet, Option<Instant>>,
}

/// See the module.
#[derive(Debug)]
pub struct Machine {
    /// What the scenario calls it.
    pub name: String,
    /// What runs on it.
    pub kind: Kind,
    /// Which keepalived, if it is one.
    pub release: Release,
    /// What its daemon was told last.
    pub config: Config,
    pub(super) daemon: Daemon,
    pub(super) ports: Vec<Port>,
    pub(super) policies: BTreeMap<String, Policy>,
    pub(super) judges: Vec<Judging>,
    pub(super) backlog: VecDeque<Delivery>,
    /// Its daemon runs, or would if the machine did.
    pub(super) alive: bool,
    pub(super) frozen: bool,
    pub(super) powered: bool,
    /// Its sends fail.
    pub(super) mute: bool,
    /// How late it may be whenever it is its turn.
    pub(super) slow: Duration,
    /// When it gets to it, if it is late.
    pub(super) wakes_at: Option<Instant>,
    /// What its wall clock is ahead of the others', in seconds.
    pub(super) wall: i64,
    /// The role of each instance, as it was reported.
    pub(super) roles: BTreeMap<String, Role>,
    /// When an advertisement of each instance last went out.
    pub(super) sent_at: BTreeMap<String, Instant>,
    /// What each instance advertised last; 0 is priority 0.
    pub(super) bids: BTreeMap<String, u8>,
    /// When each instance last announced its addresses.
    pub(super) announced_at: BTreeMap<String, Instant>,
    pub(super) started_at: Instant,
    pub(super) frozen_at: Instant,
    pub(super) thawed_at: Instant,
    /// When somebody forged an advertisement to it last.
    pub(super) forged_at: Instant,
    /// Until when it may still be as late as it was while it was slow.
    pub(super) late_until: Instant,
    /// What somebody deleted since it was held.
    pub(super) deleted: BTreeSet<IpNet>,
    /// How many more advertisements its daemon may miss than the configuration says, where that is made wrong.
    pub(super) patience: u8,
    /// What its clock is behind, where that is made wrong.
    pub(super) lag: Duration,
    /// When it took the addresses of each instance.
    pub(super) took_at: BTreeMap<String, Instant>,
    /// Turns at one moment after which something was still due.
    pub(super) spins: (Instant, u32),
    /// Since when the members of each group have differed.
    pub(super) apart_since: BTreeMap<String, Instant>,
    pub(super) asking: Asking,
}

impl Machine {
    pub(super) fn new(now: Instant, engine: &Engine, setup: Setup, ports: Vec<Port>) -> Self {
        let Setup { name, kind, release, config, policies, .. } = setup;
        let mut machine = Self {
            name,
            kind,
            release,
            daemon: Daemon::new(kind, release, now, &config),
            config,
            ports,
            policies,
            judges: Vec::new(),
            backlog: VecDeque::new(),
            alive: true,
            frozen: false,
            powered: true,
            mute: false,
            slow: Duration::ZERO,
            wakes_at: None,
            wall: 0,
            roles: BTreeMap::new(),
            sent_at: BTreeMap::new(),
            bids: BTreeMap::new(),
            announced_at: BTreeMap::new(),
            started_at: now,
            frozen_at: now,
            thawed_at: now,
            forged_at: Instant::ZERO,
            late_until: Instant::ZERO,
            deleted: BTreeSet::new(),
            patience: 0,
            lag: Duration::ZERO,
            took_at: BTreeMap::new(),
            spins: (now, 0),
            apart_since: BTreeMap::new(),
            asking: Asking::default(),
        };
        machine.begin(now, engine);
        machine
    }

    /// A new process, which has seen nothing yet.
    pub(super) fn begin(&mut self, now: Instant, engine: &Engine) {
        self.daemon = Daemon::new(self.kind, self.release, now, &self.told());
        self.asking = Asking::begin(now, self.witnessed());
        (self.alive, self.frozen, self.powered, self.started_at) = (true, false, true, now);
        self.wakes_at = None;
        self.backlog.clear();
        self.sent_at.clear();
        self.bids.clear();
        self.announced_at.clear();
        self.took_at.clear();
        self.lag = Duration::ZERO;
        self.apart_since.clear();
        self.roles = self.config.instances.iter().map(|instance| (instance.name.clone(), Role::Fault)).collect();
        self.judges.clear();
        self.hire(now, engine);
    }

    /// It is not late, nor is anything under way on it from when it was.
    pub(super) fn is_prompt(&self, now: Instant) -> bool {
        self.slow.is_zero() && self.late_until <= now
    }

    /// What its daemon is told: its configuration, unless that is made wrong.
    pub(super) fn told(&self) -> Config {
        let mut config = self.config.clone();
        for instance in &mut config.instances {
            instance.down_adverts = instance.down_adverts.saturating_add(self.patience);
        }
        config
    }

    pub(super) fn witnessed(&self) -> Option<Witnessed> {
        self.config.instances.iter().find_map(|instance| instance.witness)
    }

    /// Its policies, as the configuration has them; those that stay remember what they know.
    pub(super) fn hire(&mut self, now: Instant, engine: &Engine) {
        let mut before = std::mem::take(&mut self.judges);
        for instance in &self.config.instances {
            for name in &instance.policies {
                let known = before.iter().position(|judging| judging.is(&instance.name, name));
                let judging = match known {
                    Some(at) => Some(before.swap_remove(at)),
                    None => self.policies.get(name).map(|policy| Judging::new(now, engine, &instance.name, policy)),
                };
                self.judges.extend(judging);
            }
        }
    }

    /// Instances are called otherwise from now on.
    pub(super) fn rename(&mut self, renames: &Renames) {
        for known in [&mut self.sent_at, &mut self.announced_at, &mut self.took_at] {
            renames.rekey(known, |name| name);
        }
        renames.rekey(&mut self.bids, |name| name);
        renames.rekey(&mut self.roles, |name| name);
        self.judges.iter_mut().for_each(|judging| renames.rename(&mut judging.instance));
    }

    /// A keepalived whose process was killed: its addresses stay where they are, and answer.
    pub(super) fn has_left(&self) -> bool {
        self.kind == Kind::Keepalived && self.powered && !self.alive
    }

    /// Its daemon gets to run.
    pub(in crate::sim) const fn runs(&self) -> bool {
        self.alive && self.powered && !self.frozen
    }

    pub(super) fn is_on(&self, port: usize) -> bool {
        self.powered && self.ports.get(port).is_some_and(|port| port.plugged)
    }

    /// Its kernel answers for this address there; over IPv4 for the machine's own on every interface (`arp_ignore` 0).
    pub(super) fn answers(&self, port: usize, target: IpAddr) -> bool {
        let Some(port) = self.ports.get(port) else { return false };
        let beside = self.ports.iter().flat_map(|port| &port.own).filter(|own| own.addr().is_ipv4());
        let own = port.own.iter().chain(beside).chain(self.native(&port.interface));
        own.chain(port.held.keys()).any(|address| address.addr() == target)
    }

    /// The link-layer address that answers for a virtual address, if it is not the interface's own.
    pub(super) fn mac_of(&self, port: usize, target: IpAddr) -> Option<MacAddr> {
        let interface = &self.ports.get(port)?.interface;
        let all = self.config.instances.iter();
        let mut all = all.flat_map(|instance| instance.held_addresses().map(move |net| (instance, net)));
        let (instance, net) = all.find(|(it, net)| net.addr() == target && it.wire_of(net) == interface)?;
        instance.mac_of(instance.device_of(net))
    }

    /// The virtual addresses that it owns: they are there by themselves.
    pub(super) fn native<'a>(&'a self, interface: &'a InterfaceName) -> impl Iterator<Item = &'a IpNet> {
        let owned = self.config.instances.iter().filter(move |it| it.priority.is_owner() && it.interface == *interface);
        owned.flat_map(|instance| &instance.addresses)
    }

    /// The instance of this name, as it is configured.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Instance> {
        self.config.instances.iter().find(|instance| instance.name == name)
    }

    /// The role of an instance; of one that is not there, fault.
    #[must_use]
    pub fn role(&self, instance: &str) -> Role {
        if self.alive && self.powered { self.roles.get(instance).copied().unwrap_or(Role::Fault) } else { Role::Fault }
    }

    /// Which virtual addresses its kernel has.
    #[must_use]
    pub fn held(&self) -> Vec<IpNet> {
        self.ports.iter().flat_map(|port| port.held.keys().copied()).collect()
    }

    /// Its own address where the instance advertises.
    pub(in crate::sim) fn own(&self, instance: &Instance) -> Option<IpAddr> {
        let port = self.ports.iter().find(|port| port.interface == instance.interface)?;
        port.own.iter().map(IpNet::addr).find(|own| Family::of(*own) == instance.family)
    }

    /// The interface of the instance is on the network.
    pub(in crate::sim) fn is_plugged(&self, instance: &Instance) -> bool {
        let port = self.ports.iter().find(|port| port.interface == instance.interface);
        self.powered && port.is_some_and(|port| port.plugged)
    }

    /// What the policies of an instance said last.
    pub(in crate::sim) fn verdicts<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = &'a Verdict> {
        let judges = self.judges.iter().filter(move |judging| judging.instance == instance);
        judges.map(|judging| judging.last.as_ref().map_or(&Verdict::Starting, |last| &last.verdict))
    }

    /// It holds all addresses of the instance.
    #[must_use]
    pub fn holds(&self, instance: &Instance) -> bool {
        let native = instance.priority.is_owner() && self.runs();
        let has = |address: &IpNet| self.ports.iter().any(|port| port.held.contains_key(address));
        self.powered && (native || instance.held_addresses().all(has))
    }

    /// The whole node as it describes itself.
    #[must_use]
    pub fn status(&self) -> crate::node::NodeStatus {
        self.daemon.status()
    }

    // The four verbs, whatever runs here.

    pub(super) fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.daemon.handle_input(now - self.lag, input);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, ears: Ears) {
        self.daemon.handle_timeout(now - self.lag, ears);
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.daemon.poll_output()
    }

    pub(super) fn due_at(&self) -> Option<Instant> {
        self.daemon.poll_timeout().map(|at| at + self.lag)
    }
}
