//! The machines of the founding scenario and the switch between them.
//!
//! ```text
//!   node1 .20    node2 .21    arbiter .22    client .30       network namespaces, each with eth0
//!        └──────────┴──── br0 ────┴─────────────┘             in the namespace "switch"
//! ```
//!
//! A third node, `.23`, is there and has a cable only in a world that is built with three; the machine of a witness only where a
//! scenario has one. Other networks are built from a
//! [`Plan`]: a bridge for each of them, and as many cables as the plan has.

use std::{
    fmt,
    fs::{self, DirBuilder},
    io,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    netns::Netns,
    plan::{Cable, Plan},
    rtnl::{Plug, Rtnl},
    trouble::{Result, Trouble},
    wires::Wires,
};

/// The service address of the founding scenario.
pub const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 0, 60);
/// The service address of pairs over IPv6: link-local, as the first address of a virtual router must be.
pub const SERVICE_ADDRESS_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33);
/// The prefix of the only network here.
pub const PREFIX: u8 = 24;
/// The interface of each machine.
pub const INTERFACE: &str = "eth0";
/// The Ethernet address of whoever is no machine of the lab.
pub(crate) const STRANGER: [u8; 6] = [2, 0, 0, 0, 0xba, 0xd1];
/// What a switch is called, with the number of its network.
const BRIDGE: &str = "br";
/// Far more than the second that a kernel may take.
const CABLES_WITHIN: Duration = Duration::from_secs(10);

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// Serves by default.
    Node1,
    /// Stands by.
    Node2,
    /// Stands by too, where there are three.
    Node3,
    /// Answers pings.
    Arbiter,
    /// Wants to be served.
    Client,
    /// Runs etcd, where a scenario has a witness.
    Witness,
}

impl Host {
    /// Every machine of a pair's world.
    pub const ALL: [Self; 4] = [Self::Node1, Self::Node2, Self::Arbiter, Self::Client];
    /// The pair.
    pub const NODES: [Self; 2] = [Self::Node1, Self::Node2];
    /// The nodes where there are three.
    pub const TRIO: [Self; 3] = [Self::Node1, Self::Node2, Self::Node3];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node1 => "node1",
            Self::Node2 => "node2",
            Self::Node3 => "node3",
            Self::Arbiter => "arbiter",
            Self::Client => "client",
            Self::Witness => "witness",
        }
    }

    /// Its own address.
    #[must_use]
    pub const fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(192, 168, 0, self.number())
    }

    /// The link-local address that its kernel makes of its Ethernet address.
    #[must_use]
    pub const fn link_local(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, self.number() as u16)
    }

    /// The Ethernet address of its interface.
    #[must_use]
    pub const fn mac(self) -> [u8; 6] {
        [2, 0, 0, 0, 0, self.number()]
    }

    /// The switch's end of its cable.
    #[must_use]
    pub const fn port(self) -> &'static str {
        match self {
            Self::Node1 => "to-node1",
            Self::Node2 => "to-node2",
            Self::Node3 => "to-node3",
            Self::Arbiter => "to-arbiter",
            Self::Client => "to-client",
            Self::Witness => "to-witness",
        }
    }

    /// The other node of the pair; who is not of the pair has none and is its own.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Node1 => Self::Node2,
            Self::Node2 => Self::Node1,
            Self::Node3 | Self::Arbiter | Self::Client | Self::Witness => self,
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Node1 => 20,
            Self::Node2 => 21,
            Self::Arbiter => 22,
            Self::Node3 => 23,
            Self::Client => 30,
            Self::Witness => 31,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The machines, wired, and a directory for their files. Everything disappears with it.
#[derive(Debug)]
pub struct World {
    switch: Machine,
    machines: [Machine; 6],
    plan: Plan,
    wires: Option<Wires>,
    directory: Directory,
}

/// A namespace and a way to talk to its kernel.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) netns: Netns,
    pub(crate) rtnl: Rtnl,
}

impl World {
    /// Builds it, for a pair. [`enter`](super::netns::enter) comes first.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn build() -> Result<Self> {
        Self::build_for(&Host::NODES)
    }

    /// The same for three nodes.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn build_trio() -> Result<Self> {
        Self::build_for(&Host::TRIO)
    }

    fn build_for(nodes: &'static [Host]) -> Result<Self> {
        Self::build_plan(Plan::founding(nodes))
    }

    /// The same for any network.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn build_plan(plan: Plan) -> Result<Self> {
        Self::build_with(plan, None)
    }

    /// The same, and what is on its way from one node to another can be held back and doubled ([`wires`](Self::wires)). Chance
    /// comes from `seed`.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn build_delayed(plan: Plan, seed: u64) -> Result<Self> {
        let mut world = Self::build_with(plan, Some(Wires::create()?))?;
        let (nodes, others): (Vec<Cable>, Vec<Cable>) =
            world.plan.cables.iter().cloned().partition(|cable| world.plan.nodes.contains(&cable.host));
        let bystanders = others.iter().map(Cable::mac).chain([STRANGER]).collect();
        if let Some(wires) = &mut world.wires {
            wires.start(&nodes, bystanders, seed)?;
        }
        Ok(world)
    }

    fn build_with(plan: Plan, wires: Option<Wires>) -> Result<Self> {
        let switch = Machine::create("switch")?;
        for wire in 0..plan.wires() {
            switch.rtnl.add_bridge(&format!("{BRIDGE}{wire}"))?;
        }
        let [node1, node2, arbiter, client] = Host::ALL;
        let machines = [
            Machine::create(node1.name())?,
            Machine::create(node2.name())?,
            Machine::create(arbiter.name())?,
            Machine::create(client.name())?,
            Machine::create(Host::Node3.name())?,
            Machine::create(Host::Witness.name())?,
        ];
        let world = Self { switch, machines, plan, wires, directory: Directory::create()? };
        world.plan.cables.iter().try_for_each(|cable| world.lay(cable))?;
        world.wait_for_cables()?;
        Ok(world)
    }

    /// Where daemons may run.
    #[must_use]
    pub const fn nodes(&self) -> &'static [Host] {
        self.plan.nodes
    }

    /// How it was planned.
    #[must_use]
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What can hold packets back, where there is such a thing.
    #[must_use]
    pub const fn wires(&self) -> Option<&Wires> {
        self.wires.as_ref()
    }

    /// The same for a cable that leads through them.
    pub(crate) fn wires_of(&self, cable: &Cable) -> Option<&Wires> {
        self.wires().filter(|_| self.plan.nodes.contains(&cable.host))
    }

    /// The cables of a machine.
    pub(crate) fn cables(&self, host: Host) -> impl Iterator<Item = &Cable> {
        self.plan.cables.iter().filter(move |cable| cable.host == host)
    }

    /// Waits until both ends of every cable carry frames: the kernel sees a carrier up to a second late.
    fn wait_for_cables(&self) -> Result<()> {
        let deadline = Instant::now() + CABLES_WITHIN;
        for cable in &self.plan.cables {
            let there = || self.rtnl(cable.host).is_operational(&cable.interface);
            let here = || self.switch_rtnl().is_operational(&cable.port());
            while !(there()? && here()?) {
                if Instant::now() > deadline {
                    let late = io::Error::from(io::ErrorKind::TimedOut);
                    return Err(Trouble::kernel(format!("see the carrier of {}", cable.port()))(late));
                }
                thread::sleep(Duration::from_millis(2));
            }
        }
        Ok(())
    }

    /// The directory of a machine's files, of mode 0700.
    ///
    /// # Errors
    ///
    /// Where it cannot be made.
    pub fn directory(&self, host: Host) -> Result<PathBuf> {
        let path = self.directory.0.join(host.name());
        make_private(&path)?;
        Ok(path)
    }

    /// The directory of the lab.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.directory.0
    }

    /// The namespace of a machine.
    #[must_use]
    pub fn netns(&self, host: Host) -> &Netns {
        &self.machine(host).netns
    }

    /// The kernel of a machine, for questions and for doing things by hand.
    #[must_use]
    pub fn rtnl(&self, host: Host) -> &Rtnl {
        &self.machine(host).rtnl
    }

    /// The namespace of the switch.
    #[must_use]
    pub const fn switch(&self) -> &Netns {
        &self.switch.netns
    }

    pub(crate) const fn switch_rtnl(&self) -> &Rtnl {
        &self.switch.rtnl
    }

    /// Lays the cables of a machine and gives its interfaces their own addresses.
    pub(crate) fn wire(&self, host: Host) -> Result<()> {
        self.cables(host).try_for_each(|cable| self.lay(cable))
    }

    fn lay(&self, cable: &Cable) -> Result<()> {
        let machine = self.machine(cable.host);
        let (port, interface) = (cable.port(), cable.interface.clone());
        if let Some(wires) = self.wires_of(cable) {
            wires.lay(cable, (&self.switch.rtnl, &self.switch.netns), &machine.netns)?;
        } else {
            self.switch.rtnl.add_cable(&port, Plug { name: &interface, mac: cable.mac(), netns: &machine.netns })?;
        }
        self.switch.rtnl.attach(&port, &format!("{BRIDGE}{}", cable.wire))?;
        for own in &cable.own {
            machine.rtnl.add_address(&interface, own.addr(), own.prefix_len(), None)?;
        }
        if cable.has_link_local() {
            let file = format!("/proc/sys/net/ipv6/conf/{interface}/addr_gen_mode");
            // A kernel without IPv6 has none, and has refused the address.
            let _ = machine.netns.run(move || fs::write(file, "1"))?;
        }
        machine.rtnl.set_up(&interface, true)
    }

    const fn machine(&self, host: Host) -> &Machine {
        let [node1, node2, arbiter, client, node3, witness] = &self.machines;
        match host {
            Host::Node1 => node1,
            Host::Node2 => node2,
            Host::Node3 => node3,
            Host::Arbiter => arbiter,
            Host::Client => client,
            Host::Witness => witness,
        }
    }
}

impl Machine {
    fn create(name: &'static str) -> Result<Self> {
        let netns = Netns::create(name)?;
        netns.run(quiet_ipv6)?;
        let rtnl = Rtnl::open(&netns)?;
        rtnl.set_up("lo", true)?;
        Ok(Self { netns, rtnl })
    }
}

/// Duplicate address detection would only add a second of waiting: nobody else is on this network.
fn quiet_ipv6() {
    // A kernel without IPv6 has no such file, and nothing to quiet.
    let _ = fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
}

/// A directory that goes with its owner.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn create() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ha-lab-{}-{number}", std::process::id()));
        make_private(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What is left of it lies in the directory for temporary files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make_private(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Trouble::kernel(format!("make the directory {}", path.display())))
}
