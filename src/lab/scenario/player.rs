//! The nodes of a scenario at work, and what is done to them.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use super::{
    Files, Play, Said,
    actor::{Actor, STOPS},
    census::Vitals,
    late::Pace,
    missing,
    network::{HOSTS, shared},
    switch::Switch,
    witness::{self, Witness},
};
use crate::{
    config::Config,
    lab::{
        observer::Observer,
        service::Mood,
        trouble::{Result, Trouble},
        wires::Manner,
        world::{Host, STRANGER, World},
    },
    sim::{Act, Forgery, Found, Kind, Reload},
    wire::multicast_frame,
    words::MacAddr,
};

/// See the module. The daemons go first.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) nodes: Vec<Actor>,
    /// Each address that the nodes share, and who watches it.
    observers: Vec<(IpNet, Observer)>,
    pub(super) switch: Switch,
    /// Where there is one.
    pub(super) witness: Option<Witness>,
    reloads: Vec<(String, Files)>,
    program: PathBuf,
    pub(super) world: World,
}

impl Player {
    /// The machines and their services; no daemon runs yet.
    pub(super) fn new(world: World, play: &Play) -> Result<Self> {
        let addresses = shared(&play.scenario.nodes).into_iter();
        let observers = addresses.map(|address| Ok((address, Observer::of(&world, address.addr())?)));
        let observers = observers.collect::<Result<Vec<_>>>()?;
        let mut nodes = Vec::new();
        for (index, (node, files)) in play.scenario.nodes.iter().zip(&play.files).enumerate() {
            let host = HOSTS.get(index).copied().ok_or_else(|| missing(&node.file))?;
            let mut actor = Actor::new(&world, host, index, node, files, &play.needs)?;
            actor.pace = Pace::of(play.scenario.seed.wrapping_add(u64::try_from(index).unwrap_or_default()));
            nodes.push(actor);
        }
        Ok(Self {
            nodes,
            observers,
            switch: Switch::default(),
            witness: Witness::start(&world, play)?,
            reloads: play.reloads.clone(),
            program: std::env::current_exe().map_err(Trouble::kernel("find this program"))?,
            world,
        })
    }

    /// All daemons start. When that was.
    pub(super) fn begin(&mut self) -> Result<Instant> {
        let began = Instant::now();
        (0..self.nodes.len()).try_for_each(|index| self.start(index))?;
        Ok(began)
    }

    pub(super) const fn world(&self) -> &World {
        &self.world
    }

    /// The machines that daemons run on, in the order of the scenario.
    pub(super) fn hosts(&self) -> impl Iterator<Item = Host> + use<'_> {
        self.nodes.iter().map(|node| node.host)
    }

    /// The machine of a node.
    pub(super) fn host_of(&self, index: usize) -> Result<Host> {
        self.nodes.get(index).map(|node| node.host).ok_or(Trouble::Gone("a node"))
    }

    /// What the scenario calls a node.
    pub(super) fn title(&self, index: usize) -> &str {
        self.nodes.get(index).map_or("?", |node| &node.name)
    }

    /// What each daemon that runs takes for itself.
    pub(super) fn vitals(&mut self) -> Vec<Option<Vitals>> {
        let vitals = |node: &mut Actor| {
            let runs = node.runs().unwrap_or(false);
            runs.then(|| node.daemon().ok().map(Vitals::of)).flatten()
        };
        self.nodes.iter_mut().map(vitals).collect()
    }

    /// How long ago the daemon of a node was started.
    pub(super) fn age(&self, index: usize) -> Option<Duration> {
        self.nodes.get(index)?.age()
    }

    /// Every daemon stops in order, one after the other.
    pub(super) fn stop_all(&mut self) -> Result<()> {
        for node in &mut self.nodes {
            if node.runs()? {
                node.daemon()?.terminate()?;
            }
            if let Ok(daemon) = node.daemon() {
                daemon.process().wait(STOPS)?;
            }
        }
        Ok(())
    }

    /// Each address that the nodes share, and who watches it.
    pub(super) fn observers(&self) -> &[(IpNet, Observer)] {
        &self.observers
    }

    /// The observer of the only address that there is.
    pub(super) fn observer(&self) -> Result<&Observer> {
        self.observers.first().map(|(_, observer)| observer).ok_or(Trouble::Gone("an observer"))
    }

    /// What the scenario calls a machine.
    pub(super) fn name(&self, host: Host) -> &str {
        self.nodes.iter().find(|node| node.host == host).map_or(host.name(), |node| &node.name)
    }

    /// Its number in the scenario.
    pub(super) fn index(&self, host: Host) -> Option<usize> {
        self.nodes.iter().position(|node| node.host == host)
    }

    /// What its daemon wrote.
    pub(super) fn log(&self, host: Host) -> String {
        self.nodes.iter().find(|node| node.host == host).map(Actor::log).unwrap_or_default()
    }

    fn node(&mut self, index: usize) -> Result<&mut Actor> {
        self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))
    }

    fn start(&mut self, index: usize) -> Result<()> {
        let node = self.node(index)?;
        if node.runs()? {
            return Ok(());
        }
        node.powered = true;
        self.wire(index)?;
        let node = self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))?;
        node.start(&self.world, &self.program)
    }

    /// There is a carrier where there is power and a cable.
    fn wire(&self, index: usize) -> Result<()> {
        let node = self.nodes.get(index).ok_or(Trouble::Gone("a node"))?;
        for cable in self.world.cables(node.host) {
            let plugged = node.powered && !node.pulled.contains(&cable.interface);
            self.world.plug_interface(node.host, &cable.interface, plugged)?;
        }
        Ok(())
    }

    /// Pulls or plugs one cable of a node, or all.
    fn plug(&mut self, index: usize, interface: Option<&str>, plugged: bool) -> Result<()> {
        let host = self.host_of(index)?;
        let all = self.world.cables(host).filter(|cable| !witness::is_its(cable));
        let all = all.map(|cable| cable.interface.clone());
        let meant: Vec<String> = all.filter(|name| interface.is_none_or(|interface| interface == name)).collect();
        let pulled = &mut self.node(index)?.pulled;
        pulled.retain(|name| !meant.contains(name));
        if !plugged {
            pulled.extend(meant);
        }
        self.wire(index)
    }

    /// A stand-in says something else from now on.
    pub(super) fn say(&self, said: &Said) -> Result<()> {
        self.nodes.get(said.node).map_or(Ok(()), |node| node.say(&self.world, said))
    }

    /// Does it, now.
    pub(super) fn perform(&mut self, act: &Act) -> Result<()> {
        match act {
            Act::Pull(index, interface) => {
                self.plug(*index, interface.as_ref().map(crate::words::InterfaceName::as_str), false)?
            }
            Act::Plug(index, interface) => {
                self.plug(*index, interface.as_ref().map(crate::words::InterfaceName::as_str), true)?
            }
            Act::Cut(from, to) => {
                let way = (self.host_of(*from)?, self.host_of(*to)?);
                self.switch.cut.insert(way);
                self.rule()?;
            }
            Act::Isolate(index) => self.separate(&[*index])?,
            Act::Partition(side) => self.separate(side)?,
            Act::Filter(from, to) => {
                let way = (self.host_of(*from)?, self.host_of(*to)?);
                self.switch.filtered.insert(way);
                self.rule()?;
            }
            Act::Heal => self.heal()?,
            Act::Loss(percent) => {
                self.switch.loss = *percent;
                self.rule()?;
            }
            Act::Duplicates(percent) => self.treat(|manner| manner.duplicates = *percent),
            Act::Delay(least, most) => self.treat(|manner| manner.delay = (*least, *most)),
            Act::Freeze(index) => self.node(*index)?.freeze(true)?,
            Act::Thaw(index) => self.node(*index)?.freeze(false)?,
            Act::Kill(index) => self.kill(*index)?,
            Act::KillAll(index) => {
                let node = self.node(*index)?;
                node.pace.hurry();
                node.daemon()?.kill();
            }
            Act::Stop(index) => {
                let node = self.node(*index)?;
                if node.runs()? {
                    node.daemon()?.terminate()?;
                    node.stopping = true;
                }
            }
            Act::PowerOff(index) => {
                let node = self.nodes.get_mut(*index).ok_or(Trouble::Gone("a node"))?;
                node.powered = false;
                node.pace.hurry();
                node.daemon()?.lose_power(&self.world)?;
            }
            Act::Start(index) => self.start(*index)?,
            Act::Slow(index, late) => self.node(*index)?.slow_down(*late)?,
            Act::Mute(index, mute) => self.mute(*index, *mute)?,
            // There may be none.
            Act::Delete(index) => drop(self.world.delete_service_address(self.host_of(*index)?)),
            Act::Probe { machine, policy, probe, found } => self.probe(*machine, policy, probe, *found)?,
            Act::Reload(index, reload) => self.reload(*index, reload)?,
            Act::Witness(mishap) => self.befall(*mishap)?,
            Act::Calm => self.calm()?,
            Act::Forge { to, priority } => self.forge(*to, *priority)?,
            // A stand-in says what comes of it in the simulation.
            Act::Rule { .. } | Act::Takes { .. } | Act::Hangs { .. } => {}
            // Refused before.
            Act::Clock(..) | Act::Misplace(_) => {}
        }
        Ok(())
    }

    /// keepalived has no keeper: what its child would do when its parent ends is not what is meant.
    fn kill(&mut self, index: usize) -> Result<()> {
        let node = self.node(index)?;
        let all = node.kind == Kind::Keepalived;
        node.pace.hurry();
        let daemon = node.daemon()?;
        if all {
            daemon.kill()
        } else {
            daemon.kill_alone()
        };
        Ok(())
    }

    /// Where nothing can be held back, nothing is to be: [`is_delayed`](super::network::is_delayed).
    fn treat(&self, change: impl FnOnce(&mut Manner)) {
        if let Some(wires) = self.world.wires() {
            wires.treat(change);
        }
    }

    /// It arrives at this node and at nobody else.
    fn forge(&self, to: usize, priority: u8) -> Result<()> {
        let node = self.nodes.get(to).ok_or(Trouble::Gone("a node"))?;
        let Some(instance) = node.config.instances.first() else { return Ok(()) };
        let frame = Forgery::of(instance, priority).and_then(|Forgery { source, destination, payload }| {
            multicast_frame(MacAddr(STRANGER), source, destination, &payload)
        });
        let interface = instance.interface.as_str();
        frame.map_or(Ok(()), |frame| self.world.deliver(node.host, interface, frame))
    }

    pub(super) fn rule(&mut self) -> Result<()> {
        let hosts: Vec<Host> = self.hosts().collect();
        self.switch.rule(&self.world, &hosts)
    }

    fn separate(&mut self, side: &[usize]) -> Result<()> {
        let inside: Vec<Host> = side.iter().map(|index| self.host_of(*index)).collect::<Result<_>>()?;
        let hosts: Vec<Host> = self.hosts().collect();
        self.switch.separate(&inside, &hosts);
        self.rule()
    }

    fn heal(&mut self) -> Result<()> {
        self.switch.heal();
        self.rule()
    }

    fn probe(&mut self, index: usize, policy: &str, probe: &str, found: Found) -> Result<()> {
        let up = found == Found::Up;
        let host = self.host_of(index)?;
        let node = self.node(index)?;
        if node.is_played(policy) {
            return Ok(());
        }
        if probe == "http" {
            node.serve(if up { Mood::Well } else { Mood::Broken });
            return Ok(());
        }
        if up {
            self.switch.blind.remove(&host)
        } else {
            self.switch.blind.insert(host)
        };
        self.rule()
    }

    fn mute(&mut self, index: usize, mute: bool) -> Result<()> {
        let node = self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))?;
        if std::mem::replace(&mut node.mute, mute) == mute {
            return Ok(());
        }
        self.world.silence_output(node.host, mute).map(drop)
    }

    fn reload(&mut self, index: usize, reload: &Reload) -> Result<()> {
        let node = self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))?;
        let files: Option<(Files, Config)> = match reload {
            Reload::Same => None,
            Reload::Priority(priority) => Some(node.files_with(*priority)?),
            Reload::File(name, config, _) => {
                let found = self.reloads.iter().find(|(known, _)| known == name);
                let files = found.map(|(_, files)| files.clone()).ok_or_else(|| missing(name))?;
                Some((files, (**config).clone()))
            }
        };
        node.reload(&self.world, files)
    }

    /// Everything is well again.
    fn calm(&mut self) -> Result<()> {
        (self.switch.loss, self.switch.blind) = (0, std::collections::BTreeSet::new());
        self.heal()?;
        self.mend_witness()?;
        self.treat(|manner| *manner = Manner::default());
        for index in 0..self.nodes.len() {
            self.mute(index, false)?;
            self.plug(index, None, true)?;
            let node = self.node(index)?;
            node.serve(Mood::Well);
            node.slow_down(Duration::ZERO)?;
            if node.runs()? {
                node.freeze(false)?;
            }
            // One that was told to stop while it was frozen does so now.
            if node.stopping {
                node.daemon()?.process().wait(STOPS)?;
            }
            self.start(index)?;
        }
        Ok(())
    }
}
