//! The pair of a scenario at work, and what is done to it.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Files, Play, census::Vitals, fit, missing};
use crate::{
    lab::{
        daemon::Daemon,
        observer::Observer,
        service::{Mailbox, Mood, Web, start_echo},
        trouble::{Result, Trouble},
        world::{Host, World},
    },
    sim::{Act, Claim, Expectation, Found, Reload},
};

/// How long a daemon may take to stop in order.
const STOPS: Duration = Duration::from_secs(20);

/// See the module. The daemons go first.
#[derive(Debug)]
pub(super) struct Player {
    nodes: Vec<Actor>,
    observer: Observer,
    /// From, to: nothing passes.
    cut: BTreeSet<(Host, Host)>,
    /// From, to: no advertisement passes.
    filtered: BTreeSet<(Host, Host)>,
    /// The arbiter does not answer these.
    blind: BTreeSet<Host>,
    loss: u32,
    /// The switch has rules.
    ruled: bool,
    reloads: Vec<(String, Files)>,
    program: PathBuf,
    world: World,
}

/// A node.
#[derive(Debug)]
struct Actor {
    name: String,
    host: Host,
    files: Files,
    daemon: Option<Daemon>,
    web: Web,
    _mailbox: Mailbox,
    mute: bool,
    /// The machine has power, and its cable is in.
    powered: bool,
    plugged: bool,
    /// Its daemon was told to stop.
    stopping: bool,
    started_at: Option<Instant>,
}

impl Player {
    /// The machines and their services; no daemon runs yet.
    pub(super) fn new(world: World, play: &Play) -> Result<Self> {
        let observer = Observer::start(&world)?;
        let mut nodes = Vec::new();
        for (node, files) in play.scenario.nodes.iter().zip(&play.files) {
            let host = fit::host_of(&node.setup, play.scenario.nodes.len()).ok_or_else(|| missing(&node.file))?;
            start_echo(&world, host)?;
            nodes.push(Actor {
                name: node.setup.name.clone(),
                host,
                files: files.clone(),
                daemon: None,
                web: Web::start(&world, host)?,
                _mailbox: Mailbox::start(&world, host)?,
                mute: false,
                powered: true,
                plugged: true,
                stopping: false,
                started_at: None,
            });
        }
        Ok(Self {
            nodes,
            observer,
            cut: BTreeSet::new(),
            filtered: BTreeSet::new(),
            blind: BTreeSet::new(),
            loss: 0,
            ruled: false,
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
        self.host(index)
    }

    /// What the scenario calls a node.
    pub(super) fn title(&self, index: usize) -> &str {
        self.nodes.get(index).map_or("?", |node| &node.name)
    }

    /// What each daemon that runs takes for itself.
    pub(super) fn vitals(&mut self) -> Vec<Option<Vitals>> {
        (0..self.nodes.len())
            .map(|index| self.runs(index).unwrap_or(false).then(|| self.daemon(index).ok().map(Vitals::of)).flatten())
            .collect()
    }

    /// How long ago the daemon of a node was started.
    pub(super) fn age(&self, index: usize) -> Option<Duration> {
        Some(self.nodes.get(index)?.started_at?.elapsed())
    }

    /// Whether every node runs, and the right one leads.
    pub(super) fn is_well(&mut self) -> std::result::Result<(), String> {
        for index in 0..self.nodes.len() {
            if self.role(index).is_none_or(|role| role == "fault") {
                return Err(format!("{} is not fit", self.title(index)));
            }
        }
        self.look(&Expectation { instance: None, claim: Claim::Well })
    }

    /// Every daemon stops in order, one after the other.
    pub(super) fn stop_all(&mut self) -> Result<()> {
        for index in 0..self.nodes.len() {
            if self.runs(index)? {
                self.daemon(index)?.terminate()?;
            }
            if let Ok(daemon) = self.daemon(index) {
                daemon.process().wait(STOPS)?;
            }
        }
        Ok(())
    }

    pub(super) const fn observer(&self) -> &Observer {
        &self.observer
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
        let daemon = self.nodes.iter().find(|node| node.host == host).and_then(|node| node.daemon.as_ref());
        daemon.map(Daemon::log).unwrap_or_default()
    }

    fn node(&mut self, index: usize) -> Result<&mut Actor> {
        self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))
    }

    fn host(&self, index: usize) -> Result<Host> {
        self.nodes.get(index).map(|node| node.host).ok_or(Trouble::Gone("a node"))
    }

    fn daemon(&mut self, index: usize) -> Result<&mut Daemon> {
        self.node(index)?.daemon.as_mut().ok_or(Trouble::Gone("a daemon"))
    }

    /// Whether its daemon runs.
    fn runs(&mut self, index: usize) -> Result<bool> {
        let daemon = self.node(index)?.daemon.as_mut();
        daemon.map_or(Ok(false), |daemon| daemon.process().exited().map(|ended| ended.is_none()))
    }

    fn start(&mut self, index: usize) -> Result<()> {
        if self.runs(index)? {
            return Ok(());
        }
        self.node(index)?.powered = true;
        self.wire(index)?;
        let node = self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))?;
        (node.stopping, node.started_at) = (false, Some(Instant::now()));
        let policies: Vec<(&str, &str)> =
            node.files.policies.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        node.daemon = Some(Daemon::ha(&self.world, node.host, &self.program, &node.files.config, &policies)?);
        Ok(())
    }

    /// There is a carrier where there is power and a cable.
    fn wire(&self, index: usize) -> Result<()> {
        let node = self.nodes.get(index).ok_or(Trouble::Gone("a node"))?;
        self.world.plug(node.host, node.powered && node.plugged).map(drop)
    }

    fn plug(&mut self, index: usize, plugged: bool) -> Result<()> {
        self.node(index)?.plugged = plugged;
        self.wire(index)
    }

    /// Does it, now.
    pub(super) fn perform(&mut self, act: &Act) -> Result<()> {
        match act {
            Act::Pull(index, _) => self.plug(*index, false)?,
            Act::Plug(index, _) => self.plug(*index, true)?,
            Act::Cut(from, to) => {
                self.cut.insert((self.host(*from)?, self.host(*to)?));
                self.rule()?;
            }
            Act::Isolate(index) => self.separate(&[*index])?,
            Act::Partition(side) => self.separate(side)?,
            Act::Filter(from, to) => {
                self.filtered.insert((self.host(*from)?, self.host(*to)?));
                self.rule()?;
            }
            Act::Heal => self.heal()?,
            Act::Loss(percent) => {
                self.loss = *percent;
                self.rule()?;
            }
            Act::Freeze(index) => drop(self.daemon(*index)?.freeze()),
            Act::Thaw(index) => drop(self.daemon(*index)?.thaw()),
            Act::Kill(index) => drop(self.daemon(*index)?.kill_alone()),
            Act::KillAll(index) => drop(self.daemon(*index)?.kill()),
            Act::Stop(index) => {
                if self.runs(*index)? {
                    self.daemon(*index)?.terminate()?;
                    self.node(*index)?.stopping = true;
                }
            }
            Act::PowerOff(index) => {
                let node = self.nodes.get_mut(*index).ok_or(Trouble::Gone("a node"))?;
                node.powered = false;
                node.daemon.as_mut().ok_or(Trouble::Gone("a daemon"))?.lose_power(&self.world)?;
            }
            Act::Start(index) => self.start(*index)?,
            Act::Mute(index, mute) => self.mute(*index, *mute)?,
            // There may be none.
            Act::Delete(index) => drop(self.world.delete_service_address(self.host(*index)?)),
            Act::Probe { machine, probe, found, .. } => self.probe(*machine, probe, *found)?,
            Act::Reload(index, reload) => self.reload(*index, reload)?,
            Act::Calm => self.calm()?,
            Act::Duplicates(_)
            | Act::Delay(..)
            | Act::Slow(..)
            | Act::Clock(..)
            | Act::Rule { .. }
            | Act::Takes { .. }
            | Act::Hangs { .. }
            | Act::Forge { .. } => {}
        }
        Ok(())
    }

    fn separate(&mut self, side: &[usize]) -> Result<()> {
        let inside: Vec<Host> = side.iter().map(|index| self.host(*index)).collect::<Result<_>>()?;
        for host in &inside {
            let others = self.nodes.iter().map(|node| node.host).chain([Host::Client]);
            for other in others.filter(|other| !inside.contains(other)) {
                self.cut.extend([(*host, other), (other, *host)]);
            }
        }
        self.rule()
    }

    fn heal(&mut self) -> Result<()> {
        self.cut.clear();
        self.filtered.clear();
        self.rule()
    }

    fn probe(&mut self, index: usize, probe: &str, found: Found) -> Result<()> {
        let up = found == Found::Up;
        if probe == "http" {
            self.node(index)?.web.set(if up { Mood::Well } else { Mood::Broken });
            return Ok(());
        }
        let host = self.host(index)?;
        if up {
            self.blind.remove(&host)
        } else {
            self.blind.insert(host)
        };
        self.rule()
    }

    /// What passes on the switch, as everything together has it.
    fn rule(&mut self) -> Result<()> {
        let mut rules = String::new();
        let mut push = |from: Host, to: Host, what: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(rules, "iifname {} oifname {} {what} drop", from.port(), to.port());
        };
        self.cut.iter().for_each(|(from, to)| push(*from, *to, ""));
        self.filtered.iter().for_each(|(from, to)| push(*from, *to, "ip protocol 112"));
        self.blind.iter().for_each(|host| push(*host, Host::Arbiter, "ip protocol icmp"));
        if self.loss > 0 {
            let share = format!("numgen random mod 100 < {}", self.loss);
            for one in &self.nodes {
                self.nodes.iter().filter(|it| it.host != one.host).for_each(|it| push(one.host, it.host, &share));
            }
        }
        if rules.is_empty() && !self.ruled {
            return Ok(());
        }
        self.ruled = true;
        self.world.rule_the_switch(&rules).map(drop)
    }

    fn mute(&mut self, index: usize, mute: bool) -> Result<()> {
        let node = self.nodes.get_mut(index).ok_or(Trouble::Gone("a node"))?;
        if std::mem::replace(&mut node.mute, mute) == mute {
            return Ok(());
        }
        self.world.silence_output(node.host, mute).map(drop)
    }

    fn reload(&mut self, index: usize, reload: &Reload) -> Result<()> {
        let files = match reload {
            Reload::Same => None,
            Reload::Priority(priority) => {
                let mut files = self.node(index)?.files.clone();
                files.config = with_priority(&files.config, priority.get())?;
                Some(files)
            }
            Reload::File(name, ..) => {
                let found = self.reloads.iter().find(|(known, _)| known == name);
                Some(found.map(|(_, files)| files.clone()).ok_or_else(|| missing(name))?)
            }
        };
        if let Some(files) = files {
            self.node(index)?.files = files.clone();
            if let Ok(daemon) = self.daemon(index) {
                daemon.write_config(&files.config)?;
                files.policies.iter().try_for_each(|(name, text)| daemon.write_policy(name, text).map(drop))?;
            }
        }
        // One that does not run reads its file when it starts.
        let node = self.nodes.get(index).and_then(|node| node.daemon.as_ref());
        node.map_or(Ok(()), |daemon| daemon.command(&self.world, &["reload"]).map(drop))
    }

    /// Everything is well again.
    fn calm(&mut self) -> Result<()> {
        (self.loss, self.blind) = (0, BTreeSet::new());
        self.heal()?;
        for index in 0..self.nodes.len() {
            self.mute(index, false)?;
            self.plug(index, true)?;
            self.node(index)?.web.set(Mood::Well);
            if self.runs(index)? {
                self.daemon(index)?.thaw();
            }
            // One that was told to stop while it was frozen does so now.
            if self.node(index)?.stopping {
                self.daemon(index)?.process().wait(STOPS)?;
            }
            self.start(index)?;
        }
        Ok(())
    }

    /// Whether it is so; else what is.
    pub(super) fn look(&self, expectation: &Expectation) -> std::result::Result<(), String> {
        let holders: Vec<usize> = self.observer.holders().into_iter().filter_map(|host| self.index(host)).collect();
        let names = |all: &[usize]| {
            let names: Vec<&str> =
                all.iter().filter_map(|at| self.nodes.get(*at)).map(|node| node.name.as_str()).collect();
            if names.is_empty() {
                "nobody has the address".to_owned()
            } else {
                format!("{} has the address", names.join(" and "))
            }
        };
        let leads = |index: usize| match (holders.as_slice(), self.role(index).as_deref()) {
            ([one], Some("master")) if *one == index => Ok(()),
            (_, role) => Err(format!("{}, and it is {}", names(&holders), role.unwrap_or("not to be asked"))),
        };
        match &expectation.claim {
            Claim::Leads(index) => leads(*index),
            Claim::NobodyLeads if holders.is_empty() => Ok(()),
            Claim::NobodyLeads => Err(names(&holders)),
            Claim::Well => self.first().map_or(Ok(()), leads),
            Claim::Is(index, role) => match self.role(*index) {
                Some(found) if found == role.to_string() => Ok(()),
                found => Err(format!("it is {}", found.as_deref().unwrap_or("not to be asked"))),
            },
            Claim::Has { machine, condition, present } => {
                let instance = self.instance(*machine).ok_or("it does not answer")?;
                let conditions = instance.get("conditions").and_then(Value::as_array).cloned().unwrap_or_default();
                let all: Vec<&str> = conditions.iter().filter_map(|one| one.get("name")?.as_str()).collect();
                let found = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
                if all.contains(&condition.as_str()) == *present { Ok(()) } else { Err(format!("it has {found}")) }
            }
        }
    }

    /// Who should lead: of those that take part, the one with the greatest priority.
    fn first(&self) -> Option<usize> {
        let fit =
            (0..self.nodes.len()).filter(|index| matches!(self.role(*index).as_deref(), Some("master" | "backup")));
        fit.max_by_key(|index| self.instance(*index).and_then(|instance| instance.get("effective_priority")?.as_u64()))
    }

    fn instance(&self, index: usize) -> Option<Value> {
        let status = self.nodes.get(index)?.daemon.as_ref()?.status(&self.world)?;
        status.pointer("/instances/0").cloned()
    }

    fn role(&self, index: usize) -> Option<String> {
        self.instance(index)?.get("state")?.as_str().map(str::to_owned)
    }
}

/// Every instance has this priority.
fn with_priority(config: &str, priority: u8) -> Result<String> {
    let bad = |why: String| Trouble::File { name: "the configuration".to_owned(), why };
    let mut table: toml::Table = config.parse().map_err(|error: toml::de::Error| bad(error.to_string()))?;
    let instances = table.get_mut("instance").and_then(toml::Value::as_table_mut);
    for (_, instance) in instances.into_iter().flatten() {
        if let Some(instance) = instance.as_table_mut() {
            instance.insert("priority".to_owned(), toml::Value::Integer(i64::from(priority)));
        }
    }
    toml::to_string(&table).map_err(|error| bad(error.to_string()))
}
