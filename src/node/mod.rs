//! Everything this machine is to VRRP, as one sans-IO machine. Four verbs, one output queue.
//!
//! The driver, one turn: drain [`Node::poll_output`]; wait for input or [`Node::poll_timeout`]; hand in every packet that
//! is already waiting with [`Node::handle_input`], then the clock with [`Node::handle_timeout`]. Mutate, drain, mutate.

mod alerts;
mod announcing;
mod bearing;
mod claim;
mod course;
mod deaf;
mod describe;
mod devices;
mod ending;
pub mod facts;
mod farewell;
mod group;
mod hearing;
mod input;
mod instance;
mod judgement;
mod lapse;
mod links;
mod looking;
mod oneself;
mod output;
mod paths;
mod peers;
mod questions;
mod reason;
mod reload;
mod rivals;
mod roll;
mod routing;
mod seeing;
mod signing;
mod speaking;
mod status;
mod strays;
mod tenure;
mod timers;
mod tracked;
mod tracks;
mod untracked;
mod vote;
mod watching;
mod ways;
mod witness;

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

pub use alerts::RULE_ALERT;
pub use bearing::STOPPED;
pub use course::{Course, Judged, Prospect, foresee, held_back_by};
use devices::Device;
pub use farewell::ReleaseHook;
use group::Group;
pub use input::{AddressSeen, Command, Datagram, FileSays, Input, LinkSeen, NeighborFrame};
use instance::{Instance, Outbox};
use links::{Links, quiet_until};
pub use output::{Ask, Event, Hold, Journal, Lifetime, Output, Pace, Routes, Transmit, Will};
use questions::Questions;
use roll::Roll;
pub use signing::Seal;
use signing::WallClock;
pub use status::{Condition, GroupStatus, InstanceStatus, NodeStatus, PathStatus, PeerStatus, Role};
pub use timers::Ears;
pub use tracked::Tracked;
pub use tracks::TrackedFacts;
pub use vote::{Seat, WitnessSays, WitnessStatus};
pub use witness::Wish;

use crate::{
    config::{self, Config},
    vrrp::State,
    wire::{Rejection, vrid_of},
    words::{Family, Instant, InterfaceName},
};

/// Why [`Node::poll_timeout`] wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A timer of the protocol.
    Protocol,
    /// The link is asked, or an answer is due.
    Claim,
    /// The peers are asked whether they are there.
    Peers,
    /// The policies are wanted, or an offer is repeated.
    Policies,
    /// What is done before a release has had its time.
    Release,
    /// An announcement is repeated.
    Announce,
    /// A pause after trouble ends, or the one after the start.
    Trouble,
    /// An interface has been up, or down, for long enough.
    Link,
    /// What the witness said last runs out.
    Witness,
}

/// See the module.
#[derive(Debug)]
pub struct Node {
    name: String,
    instances: Roll,
    /// Instances that lead and follow together.
    groups: Vec<Group>,
    /// Instances of an earlier configuration on their way out.
    leaving: Vec<Instance>,
    /// Instances of the configuration that wait for one of those.
    coming: Vec<config::Instance>,
    virtual_here: Arc<BTreeMap<IpAddr, usize>>,
    stopping: bool,
    links: Links,
    /// What else is tracked.
    facts: TrackedFacts,
    /// It takes no part before.
    quiet_until: Option<Instant>,
    addresses: BTreeMap<InterfaceName, Vec<AddressSeen>>,
    /// The wall clock, once it is known.
    clock: Option<WallClock>,
    /// Datagrams that belong to no instance.
    unclaimed: u64,
    /// What is asked on the links, and not answered yet.
    questions: Questions,
    /// What the witness was told last.
    wished: Wish,
    now: Instant,
    outbox: Outbox,
}

impl Node {
    /// A node that has seen nothing yet: every instance waits for its interface.
    #[must_use]
    pub fn new(now: Instant, config: &Config) -> Self {
        let mut node = Self {
            name: config.node.clone(),
            instances: Roll::default(),
            groups: Vec::new(),
            leaving: Vec::new(),
            coming: Vec::new(),
            virtual_here: Arc::new(virtual_addresses(config)),
            stopping: false,
            links: Links::default(),
            facts: TrackedFacts::default(),
            quiet_until: quiet_until(now, config),
            addresses: BTreeMap::new(),
            clock: None,
            unclaimed: 0,
            questions: Questions::default(),
            wished: Wish::default(),
            now,
            outbox: Outbox::new(),
        };
        node.links.configure(&config.links);
        for instance in &config.instances {
            node.start(instance.clone());
        }
        for instance in node.instances.values_mut() {
            instance.adopts = true;
        }
        node.form_groups(&config.groups);
        node
    }

    /// Takes one input. Fires no timer: packets are believed before timeouts.
    pub fn handle_input(&mut self, now: Instant, input: Input<'_>) {
        self.advance(now);
        let before = self.outbox.len();
        match input {
            Input::Datagram(datagram) => self.on_datagram(datagram),
            Input::Neighbor(frame) => {
                let interface = frame.interface.clone();
                let asked_at = self.asked_at(&frame);
                self.each_on(&interface, |now, instance, out| instance.on_neighbor(now, &frame, asked_at, out));
                self.each_beside(&interface, |now, instance, out| instance.on_device_neighbor(now, &frame, out));
            }
            Input::Link(link) => self.see_link(&link),
            Input::LinkGone(name) => {
                self.links.lose(&name);
                self.addresses.remove(&name);
                self.each_path_on(&name, |instance| instance.on_path_link(&name, None));
                self.tell_addresses(&name);
                self.each_on(&name, |now, instance, out| instance.on_link(now, None, out));
                self.each_tracking(&name, None);
                self.each_beside(&name, |now, instance, out| instance.on_device_link(now, &name, None, out));
            }
            Input::Addresses { interface, addresses } => {
                self.each_path_on(&interface, |instance| instance.on_path_addresses(&interface, &addresses));
                self.addresses.insert(interface.clone(), addresses);
                self.tell_addresses(&interface);
            }
            Input::Transmitted { instance, path: None, result, carrier } => {
                self.on_transmitted(&instance, result, carrier);
            }
            Input::Transmitted { instance, path: Some(path), result, carrier } => {
                self.with(&instance, |now, instance, out| {
                    instance.on_path_transmitted(now, &path, result, carrier, out);
                });
            }
            Input::Held { instance, result } => {
                self.with(&instance, |now, instance, out| instance.on_held(now, result, out));
            }
            Input::Routed { instance, restored, failed } => {
                self.with(&instance, |now, instance, out| instance.on_routed(now, &restored, &failed, out));
            }
            Input::Equipped { instance, result } => {
                self.with(&instance, |now, instance, out| instance.on_equipped(now, result, out));
            }
            Input::File { path, says } => self.see_file(path, says),
            Input::Processes { pattern, count } => self.see_processes(pattern, count),
            Input::Judged { instance, report } => {
                self.with(&instance, |now, instance, out| {
                    instance.judged(now, report, out);
                    instance.reassess(now, out);
                    instance.unsettled = true;
                });
            }
            Input::NeverLoaded { instance, policy, why } => {
                self.with(&instance, |now, instance, out| {
                    instance.judgement.never_loaded(&policy, why);
                    instance.reassess(now, out);
                });
            }
            Input::Hooks { instance, release } => {
                self.with(&instance, |now, instance, out| instance.release_hook(now, release, out));
            }
            Input::Witness(says) => self.hear_the_witness(&says),
            Input::Clock { ahead } => self.set_clock(ahead),
            Input::Command(Command::Stop) => self.stop(),
            Input::Command(Command::Leave) => self.leave(),
            Input::Reload(config) => self.reload(&config),
        }
        self.retire();
        self.move_together();
        self.tell_before_asking(before);
        self.wish();
    }

    /// Fires what is due. Calling it early, or twice, does nothing.
    pub fn handle_timeout(&mut self, now: Instant, ears: Ears) {
        self.advance(now);
        let before = self.outbox.len();
        self.settle_links();
        let out = &mut self.outbox;
        self.instances.tell_the_time(now, ears, |instance| instance.on_timeout(now, ears, out));
        for instance in &mut self.leaving {
            instance.on_timeout(now, ears, out);
        }
        self.retire();
        self.move_together();
        self.take_together();
        self.tell_before_asking(before);
        self.wish();
    }

    /// The next wanted effect, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outbox.pop_front();
        if let Some(Output::Ask(ask)) = &output {
            self.questions.asked(self.now, ask);
        }
        output
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due at the latest, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Wake)> {
        let leaving = self.leaving.iter().filter_map(|instance| instance.next_timeout(self.now));
        let joining = self.joined_at().map(|at| (at, Wake::Protocol));
        let settling = self.links.next().map(|at| (at, Wake::Link));
        let all = self.instances.next_timeout(self.now).into_iter().chain(leaving).chain(joining).chain(settling);
        all.min_by_key(|(at, _)| *at)
    }

    /// What a keeper must do for an instance if this process dies. `None` while it does not serve.
    #[must_use]
    pub fn last_will(&self, instance: &str) -> Option<Will> {
        let leaving = || self.leaving.iter().find(|leaving| leaving.config.name == instance);
        let serving = self.instances.get(instance).or_else(leaving);
        serving.filter(|serving| serving.router.holds() && !serving.native).map(|serving| serving.last_will(self.now))
    }

    /// The whole node at this moment.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            node: self.name.clone(),
            now: self.now,
            instances: self.instances.values().chain(&self.leaving).map(|instance| instance.status(self.now)).collect(),
            groups: self.group_status(),
        }
    }

    /// What must hold whenever the outbox is drained; drivers in debug builds and simulations ask.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), String> {
        for instance in self.instances.values().chain(&self.leaving) {
            let (role, state) = (instance.role(), instance.router.state());
            let consistent = match state {
                State::Initialize => role == Role::Fault,
                State::Backup { .. } | State::Elected { .. } => role == Role::Backup,
                State::Master { .. } | State::Resigning { .. } => role == Role::Master,
            };
            if !consistent {
                return Err(format!("{}: role {role} in state {state:?}", instance.config.name));
            }
        }
        if let Some(forgotten) = self.instances.forgotten(self.now) {
            return Err(format!("{}: it wants the time earlier than is known", forgotten.config.name));
        }
        if let Some(twice) = self.leaving.iter().find(|instance| self.instances.contains_key(&instance.config.name)) {
            return Err(format!("{}: two instances answer to one name", twice.config.name));
        }
        Ok(())
    }

    fn advance(&mut self, now: Instant) {
        debug_assert!(self.now <= now, "time went backwards");
        self.now = self.now.max(now);
    }

    fn start(&mut self, config: config::Instance) {
        let (now, out) = (self.now, &mut self.outbox);
        let mut instance = Instance::new(now, config, Arc::clone(&self.virtual_here));
        instance.ties = group::Ties::of(now, &self.groups, &instance);
        instance.quiet_until = self.quiet_until.filter(|until| now < *until);
        instance.seen_tracked.take(&instance.config.tracks, self.links.all(), &self.facts);
        let wanted = instance.config.clone();
        meet_devices(&mut instance, self.links.all(), &self.addresses, &wanted);
        if let Some(clock) = self.clock {
            instance.signing.set_clock(clock);
        }
        if let Some(link) = self.links.all().get(&instance.config.interface) {
            instance.on_link(now, Some(link.clone()), out);
        }
        if let Some(addresses) = addresses_of(&self.addresses, &instance.config) {
            instance.on_addresses(now, addresses, out);
        }
        ways::show(self.links.all(), &self.addresses, &mut instance);
        self.instances.insert(instance.config.name.clone(), instance);
    }

    /// To every instance that has something to do with this interface: its own, or its device with a virtual MAC address.
    fn tell_addresses(&mut self, interface: &InterfaceName) {
        let (now, out) = (self.now, &mut self.outbox);
        for instance in self.instances.values_mut().chain(&mut self.leaving) {
            let beneath = instance.config.wire_beneath(interface).clone();
            if beneath != instance.config.interface {
                let seen = addresses_beside(self.links.all(), &self.addresses, &instance.config, &beneath);
                if let Some(seen) = seen.filter(|_| instance.config.devices().contains(&beneath)) {
                    instance.on_device_addresses(now, &beneath, seen, out);
                }
                continue;
            }
            match addresses_of(&self.addresses, &instance.config) {
                Some(addresses) => instance.on_addresses(now, addresses, out),
                None if instance.config.interface != *interface => instance.on_device_gone(now, out),
                None => (),
            }
        }
    }

    fn on_datagram(&mut self, datagram: Datagram<'_>) {
        if self.quiet_until.is_some_and(|until| self.now < until) {
            return;
        }
        let (now, out) = (self.now, &mut self.outbox);
        let family = Family::of(datagram.source);
        let vrid = vrid_of(datagram.payload);
        let is_owner = |instance: &Instance| {
            Some(instance.config.vrid) == vrid
                && instance.config.family == family
                && ways::is_on(&instance.config, datagram.interface)
        };
        let mut leaving = self.leaving.iter_mut().filter(|instance| is_owner(instance));
        let owner = self.instances.matching_mut(is_owner).next().or_else(|| leaving.next());
        match owner {
            Some(instance) => instance.on_datagram(now, datagram, out),
            None => self.unclaimed += 1,
        }
    }

    fn with(&mut self, name: &str, act: impl FnOnce(Instant, &mut Instance, &mut Outbox)) {
        let leaving = self.leaving.iter_mut().find(|instance| instance.config.name == name);
        if let Some(instance) = self.instances.get_mut(name).or(leaving) {
            act(self.now, instance, &mut self.outbox);
        }
    }

    fn each_on(&mut self, interface: &InterfaceName, mut act: impl FnMut(Instant, &mut Instance, &mut Outbox)) {
        let is_there = |instance: &Instance| instance.config.interface == *interface;
        let leaving = self.leaving.iter_mut().filter(|instance| is_there(instance));
        for instance in self.instances.matching_mut(is_there).chain(leaving) {
            act(self.now, instance, &mut self.outbox);
        }
    }

    /// Those that have addresses there and advertise elsewhere.
    fn each_beside(&mut self, interface: &InterfaceName, mut act: impl FnMut(Instant, &mut Instance, &mut Outbox)) {
        let is_beside = |instance: &Instance| {
            instance.config.interface != *interface && instance.config.devices().contains(interface)
        };
        let leaving = self.leaving.iter_mut().filter(|instance| is_beside(instance));
        for instance in self.instances.matching_mut(is_beside).chain(leaving) {
            act(self.now, instance, &mut self.outbox);
        }
    }

    /// Instances of an earlier configuration are still handing over: what they need must be there.
    #[must_use]
    pub const fn is_changing(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// Datagrams discarded because no instance has their identifier on the interface.
    #[must_use]
    pub fn unclaimed(&self) -> (&'static str, u64) {
        (Rejection::UnknownVrid.name(), self.unclaimed)
    }
}

/// What an instance sees: the addresses of its interface, then those of its device; `None` while one of them is not known.
fn addresses_of(
    known: &BTreeMap<InterfaceName, Vec<AddressSeen>>,
    instance: &config::Instance,
) -> Option<Vec<AddressSeen>> {
    let mut all = known.get(&instance.interface)?.clone();
    if instance.device() != &instance.interface {
        all.extend(known.get(instance.device())?.iter().cloned());
    }
    Some(all)
}

/// What it sees of another interface: its addresses, then those of the device on it; `None` while one of them is not known.
fn addresses_beside(
    links: &BTreeMap<InterfaceName, LinkSeen>,
    known: &BTreeMap<InterfaceName, Vec<AddressSeen>>,
    instance: &config::Instance,
    wire: &InterfaceName,
) -> Option<Vec<AddressSeen>> {
    let mut all = known.get(wire)?.clone();
    for (device, _) in instance.mac_devices().into_iter().filter(|(_, beneath)| *beneath == wire) {
        match known.get(device) {
            Some(addresses) => all.extend(addresses.iter().cloned()),
            // One that is not there has none.
            None if links.contains_key(device) => return None,
            None => {}
        }
    }
    Some(all)
}

/// An instance looks at the interfaces besides its own.
fn meet_devices(
    instance: &mut Instance,
    links: &BTreeMap<InterfaceName, LinkSeen>,
    addresses: &BTreeMap<InterfaceName, Vec<AddressSeen>>,
    wanted: &config::Instance,
) {
    for name in wanted.devices() {
        let before = instance.devices.remove(name).and_then(|device| device.addresses);
        let addresses = addresses_beside(links, addresses, wanted, name).or(before);
        instance.devices.insert(name.clone(), Device { link: links.get(name).cloned(), addresses });
    }
}

/// The virtual addresses that come and go, each with the number of instances that have it. Those of an owner are the machine's
/// own.
fn virtual_addresses(config: &Config) -> BTreeMap<IpAddr, usize> {
    let instances = config.instances.iter().filter(|instance| !instance.priority.is_owner());
    let mut all = BTreeMap::new();
    for address in instances.flat_map(|instance| instance.held_addresses().map(ipnet::IpNet::addr)) {
        *all.entry(address).or_default() += 1;
    }
    all
}
