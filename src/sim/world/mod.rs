//! Machines on networks, as operators configure them, in virtual time: their nodes are the real ones, their kernels, links and
//! probes are played. One seed reproduces everything.
//!
//! Whoever drives it does something to it ([`World::perform`]) and lets time pass ([`World::run_until`]). It writes down what
//! happens ([`Entry`]) and looks after every step at what must hold (`checks`); what does not is a [`Violation`].

mod checks;
mod faults;
mod forgery;
mod handover;
mod judging;
mod kept;
mod kernel;
mod machine;
mod mishap;
mod network;
mod patience;
mod placing;
mod promised;
mod sharing;
mod taking;
mod turns;
mod understanding;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

pub use checks::Violation;
pub(super) use faults::time;
pub use faults::{Act, Found, Reload};
pub use forgery::Forgery;
pub use judging::Hangs;
pub use machine::Machine;
pub use mishap::Mishap;
pub use placing::{Kind, Place, Release, Setup, network};

use super::{log::Entry, mutation::Mutation, witness::Etcd};
use crate::{
    node::NeighborFrame,
    policy::Engine,
    words::{Instant, InterfaceName},
};

/// When every world begins, on the clock of its machines.
pub(super) const BEGINNING: Instant = Instant::from_epoch(Duration::from_secs(3600));

/// What lies between the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Air {
    /// How long a packet is under way, at least and at most.
    pub delay: (Duration, Duration),
    /// How many of a hundred are lost.
    pub loss: u32,
    /// How many of a hundred arrive twice.
    pub duplicates: u32,
    /// From, to: nothing arrives.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// From, to: advertisements do not arrive, everything else does.
    pub(super) filtered: BTreeSet<(usize, usize)>,
}

impl Default for Air {
    fn default() -> Self {
        Self {
            delay: (Duration::from_micros(20), Duration::from_micros(200)),
            loss: 0,
            duplicates: 0,
            cut: BTreeSet::new(),
            filtered: BTreeSet::new(),
        }
    }
}

/// What is on its way to a machine, or waits there to be read.
#[derive(Clone, Debug)]
pub(super) enum Delivery {
    Vrrp {
        port: usize,
        source: IpAddr,
        destination: IpAddr,
        payload: Arc<[u8]>,
    },
    Neighbor(NeighborFrame),
    /// Its kernel has news of a link.
    Link(usize),
    /// Its kernel has news of the addresses of a link.
    Addresses(usize),
    /// Its daemon is told to read its file again.
    Reload,
    /// Its daemon is told to stop.
    Stop,
}

/// See the module.
#[derive(Debug)]
pub struct World {
    /// The moment.
    pub now: Instant,
    /// Everybody, in the order of the scenario.
    pub machines: Vec<Machine>,
    /// What lies between them.
    pub air: Air,
    /// What happened.
    pub log: Vec<Entry>,
    /// What must not be, and was.
    pub violations: Vec<Violation>,
    /// How late kernels remove an address whose lifetime is over.
    pub kernel_late: Duration,
    /// What is made wrong on purpose.
    pub mutation: Option<Mutation>,
    /// The witness of those that have one.
    pub(super) etcd: Etcd,
    pub(super) engine: Engine,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    deliveries: BTreeMap<u64, Delivery>,
    sequence: u64,
    random: u64,
    /// Who holds each virtual address, as the network sees it.
    holders: BTreeMap<IpNet, checks::Holding>,
    /// What an outside observer has seen.
    promised: promised::Promised,
    sharing: sharing::Sharing,
    /// When all of that was last looked at.
    looked_at: Instant,
    /// Since when every packet has arrived.
    pub(super) clear_since: Option<Instant>,
    /// Since when nothing has been wrong with network and machines.
    pub(super) sound_since: Option<Instant>,
    /// How long two may hold an address at a time, if that is bounded whatever happens.
    pub two_at_most: Option<Duration>,
}

impl World {
    /// Machines as they are set up, all plugged in and starting together.
    #[must_use]
    pub fn new(seed: u64, engine: &Engine, setups: Vec<Setup>) -> Self {
        let mut world = Self {
            now: BEGINNING,
            machines: Vec::new(),
            air: Air::default(),
            log: Vec::new(),
            violations: Vec::new(),
            kernel_late: Duration::from_millis(20),
            mutation: None,
            etcd: Etcd::default(),
            engine: engine.clone(),
            queue: BinaryHeap::new(),
            deliveries: BTreeMap::new(),
            sequence: 0,
            random: seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            holders: BTreeMap::new(),
            promised: promised::Promised::default(),
            sharing: sharing::Sharing::default(),
            looked_at: BEGINNING,
            clear_since: Some(BEGINNING),
            sound_since: Some(BEGINNING),
            two_at_most: None,
        };
        world.etcd = Etcd::of(setups.iter().map(|setup| setup.name.clone()).collect());
        let places = placing::places(&setups);
        for (setup, ports) in setups.into_iter().zip(places) {
            let machine = Machine::new(BEGINNING, &world.engine, setup, ports);
            world.machines.push(machine);
        }
        for index in 0..world.machines.len() {
            world.wake(index);
        }
        world
    }

    /// Makes this wrong, from the beginning on.
    pub fn mutate(&mut self, mutation: Option<Mutation>) {
        self.mutation = mutation;
        if mutation == Some(Mutation::DownTimerTooLong) {
            for index in 0..self.machines.len() {
                self.machines[index].patience = 3;
                self.machines[index].begin(self.now, &self.engine);
                self.wake(index);
            }
        }
    }

    /// How long it has been running.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_since(BEGINNING)
    }

    /// A number below `below`, which is not 0.
    pub fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// The machine of this name.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<usize> {
        self.machines.iter().position(|machine| machine.name == name)
    }

    /// Its daemon hears of everything its kernel has, as one that starts does.
    pub(super) fn wake(&mut self, index: usize) {
        for port in 0..self.machines[index].ports.len() {
            self.tell(index, Delivery::Link(port));
            self.tell(index, Delivery::Addresses(port));
        }
    }

    pub(super) fn schedule(&mut self, at: Instant, to: usize, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.insert(self.sequence, delivery);
        self.queue.push(Reverse((at, self.sequence, to)));
    }
}

/// The port of a machine that is this interface.
pub(super) fn port_of(machine: &Machine, interface: &InterfaceName) -> Option<usize> {
    machine.ports.iter().position(|port| port.interface == *interface)
}
