//! The stage: the machines, what runs on them, and those who watch.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    progress::{GLANCE, Progress},
    step::{Need, Said},
};
use crate::lab::{
    Daemon, Setup,
    capture::{Capture, What},
    fault::Silence,
    observer::Observer,
    process::on_path,
    service::{Mailbox, Mood, Web, start_echo},
    trouble::{Result, Trouble},
    world::{Host, World},
};

/// The founding pair.
const CONFIG: Pair<&str> =
    Pair { node1: include_str!("../../../config/node1.toml"), node2: include_str!("../../../config/node2.toml") };
/// Its policy.
pub(super) const POLICY: &str = include_str!("../../../scripts/check_local.rhai");
/// Name of its policy.
pub(super) const POLICY_NAME: &str = "check_local";
/// Until the pair serves as at first.
const COME_BACK: Duration = Duration::from_secs(40);

/// Which daemon a node runs.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    keepalived: Option<(Host, PathBuf)>,
    nft: bool,
}

impl Cast {
    /// `ha` on both, or keepalived on one.
    pub(super) fn new(keepalived: Option<(Host, PathBuf)>) -> Self {
        Self { keepalived, nft: on_path("nft").is_some() }
    }

    /// Whether a node runs `ha`.
    pub(super) fn is_ha(&self, node: Host) -> bool {
        self.keepalived.as_ref().is_none_or(|(other, _)| *other != node)
    }

    /// The daemon of a node.
    pub(super) fn daemon(&self, node: Host) -> &'static str {
        if self.is_ha(node) { "ha" } else { "keepalived" }
    }

    /// Whether a step can have what it needs.
    pub(super) fn has(&self, need: Need) -> bool {
        match need {
            Need::Policy(node) | Need::Keeper(node) => self.is_ha(node),
            Need::Nft => self.nft,
        }
    }
}

/// Everything. The daemons go first.
#[derive(Debug)]
pub(super) struct Stage {
    daemons: Pair<Option<Daemon>>,
    webs: Pair<Web>,
    mailboxes: Pair<Mailbox>,
    pub(super) observer: Observer,
    pub(super) capture: Capture,
    pub(super) cast: Cast,
    pub(super) progress: Progress,
    program: PathBuf,
    silenced: bool,
    pub(super) world: World,
}

impl Stage {
    /// The services of the machines; no daemon runs yet.
    pub(super) fn build(cast: Cast, world: World) -> Result<Self> {
        let [node1, node2] = Host::NODES;
        start_echo(&world, node1)?;
        start_echo(&world, node2)?;
        let program = std::env::current_exe().map_err(Trouble::kernel("find this program"))?;
        Ok(Self {
            daemons: Pair { node1: None, node2: None },
            webs: Pair { node1: Web::start(&world, node1)?, node2: Web::start(&world, node2)? },
            mailboxes: Pair { node1: Mailbox::start(&world, node1)?, node2: Mailbox::start(&world, node2)? },
            observer: Observer::start(&world)?,
            capture: Capture::start(&world)?,
            cast,
            progress: Progress::new(),
            program,
            silenced: false,
            world,
        })
    }

    /// Starts the daemon of a node, with the files of the founding pair.
    pub(super) fn start(&mut self, node: Host) -> Result<()> {
        let daemon = match &self.cast.keepalived {
            Some((other, program)) if *other == node => {
                Daemon::keepalived(&self.world, node, program, &Setup::founding(node).keepalived_conf(node, None))?
            }
            Some(_) | None => Daemon::ha(&self.world, node, &self.program, CONFIG.of(node), &[(POLICY_NAME, POLICY)])?,
        };
        *self.daemons.of_mut(node) = Some(daemon);
        Ok(())
    }

    /// The daemon of a node.
    pub(super) fn daemon(&mut self, node: Host) -> Result<&mut Daemon> {
        self.daemons.of_mut(node).as_mut().ok_or(Trouble::Gone("a daemon"))
    }

    /// The web server of a node.
    pub(super) fn web(&self, node: Host) -> &Web {
        self.webs.of(node)
    }

    /// Mails that the daemons have sent so far.
    pub(super) fn mails(&self) -> usize {
        Host::NODES.into_iter().map(|node| self.mailboxes.of(node).mails().len()).sum()
    }

    /// This program.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// The control socket of a node's `ha`.
    pub(super) fn socket(&self, node: Host) -> PathBuf {
        self.world.root().join(node.name()).join("ha.sock")
    }

    /// What `ha status --json` says of a node; `None` from a daemon that does not answer, and from keepalived.
    pub(super) fn status(&self, node: Host) -> Option<Value> {
        if self.cast.is_ha(node) { self.daemons.of(node).as_ref()?.status(&self.world) } else { None }
    }

    /// The only instance of a node.
    pub(super) fn instance(&self, node: Host) -> Option<Value> {
        self.status(node)?.pointer("/instances/0").cloned()
    }

    /// The text of a condition, while it is so.
    pub(super) fn condition(&self, node: Host, name: &str) -> Option<String> {
        condition_of(&self.instance(node)?, name)
    }

    /// What both said since a moment, in order.
    pub(super) fn said_since(&self, began: Instant) -> Vec<Said> {
        let mut said: Vec<Said> = Host::NODES.into_iter().flat_map(|node| self.said_by(node, began)).collect();
        said.sort_by_key(|said| said.after);
        said
    }

    fn said_by(&self, node: Host, began: Instant) -> Vec<Said> {
        let Some(status) = self.status(node) else { return Vec::new() };
        let so_far = began.elapsed();
        let said = |happened: &Value| {
            let age = Duration::from_millis(happened.get("age_ms")?.as_u64()?);
            let text = happened.get("text")?.as_str()?.to_owned();
            Some(Said { after: so_far.checked_sub(age)?, node, text })
        };
        entries(&status, "history").filter_map(said).collect()
    }

    /// Waits until exactly these hold the address; returns when that began.
    pub(super) fn held_by(&self, holders: &[Host], seconds: u64) -> Result<Instant> {
        let (began, at_most) = (Instant::now(), Duration::from_secs(seconds));
        let what =
            format!("waiting until {} has the address", holders.iter().map(|host| host.name()).collect::<String>());
        loop {
            self.progress.waiting(&what, began);
            let left = at_most.saturating_sub(began.elapsed());
            match self.observer.wait_for(holders, left.min(GLANCE)) {
                Err(Trouble::Late { .. }) if !left.is_zero() => {}
                Err(Trouble::Late { what, .. }) => return Err(Trouble::Late { what, waited: at_most }),
                other => return other,
            }
        }
    }

    /// Waits until something is so; returns when it was seen.
    pub(super) fn until<T>(&self, what: &str, seconds: u64, look: impl Fn(&Self) -> Option<T>) -> Result<T> {
        let (began, at_most) = (Instant::now(), Duration::from_secs(seconds));
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if began.elapsed() > at_most {
                return Err(Trouble::Late { what: what.to_owned(), waited: at_most });
            }
            self.progress.waiting(&format!("waiting until {what}"), began);
            thread::sleep(GLANCE);
        }
    }

    /// Lets time pass until a moment.
    pub(super) fn pass_until(&self, what: &str, until: Instant) {
        let began = Instant::now();
        while Instant::now() < until {
            self.progress.waiting(what, began);
            thread::sleep(GLANCE.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Lets a second pass.
    pub(super) fn pass_a_second(&self) {
        self.pass_until("watching", Instant::now() + Duration::from_secs(1));
    }

    /// How long after `fault` the peer of a master that falls silent may take over at the earliest: three intervals and
    /// the skew of priority 99, counted from the last advertisement that left node1.
    pub(super) fn down_interval_after(&self, fault: Instant) -> Option<Duration> {
        let down = Duration::from_secs(3) + Self::skew();
        let sent = self.capture.from(Host::Node1, fault.checked_sub(Duration::from_secs(5))?, fault);
        let last = sent.iter().rev().find(|frame| matches!(frame.what, What::Advertisement { .. }))?;
        Some((last.at + down).saturating_duration_since(fault))
    }

    /// How long node2 waits after a resignation: (256 − its priority) / 256 of a second.
    pub(super) fn skew() -> Duration {
        Duration::from_secs(256 - 99) / 256
    }

    /// A machine loses its power: no carrier, no daemon, no address.
    pub(super) fn power_off(&mut self, node: Host) -> Result<Instant> {
        self.daemons.of_mut(node).as_mut().ok_or(Trouble::Gone("a daemon"))?.lose_power(&self.world)
    }

    /// And has it again.
    pub(super) fn power_on(&mut self, node: Host) -> Result<Instant> {
        let on = self.world.plug(node, true)?;
        self.start(node)?;
        Ok(on)
    }

    /// Drops these advertisements; an empty list drops none any more.
    pub(super) fn silence(&mut self, silences: &[Silence]) -> Result<Instant> {
        let done = self.world.filter(silences)?;
        self.silenced = !silences.is_empty();
        Ok(done)
    }

    /// Undoes every fault and waits until node1 serves and both are well.
    pub(super) fn restore(&mut self) -> Result<()> {
        for node in Host::NODES {
            self.web(node).set(Mood::Well);
            self.world.plug(node, true)?;
            if self.daemon(node).map_or(Ok(true), |daemon| daemon.process().exited().map(|ended| ended.is_some()))? {
                self.start(node)?;
            } else {
                self.daemon(node)?.thaw();
            }
        }
        self.world.cut_off(Host::Node2, Host::Arbiter, false)?;
        if self.silenced {
            self.silence(&[])?;
        }
        let began = Instant::now();
        self.held_by(&[Host::Node1], COME_BACK.as_secs())?;
        self.until("both nodes are well", COME_BACK.as_secs(), |stage| stage.is_well().then_some(()))?;
        // A holder that changed meanwhile would be somebody else's step.
        let left = COME_BACK.saturating_sub(began.elapsed());
        self.held_by(&[Host::Node1], left.as_secs()).map(drop)
    }

    fn is_well(&self) -> bool {
        let mut nodes = Host::NODES.into_iter().filter(|node| self.cast.is_ha(*node));
        nodes.all(|node| self.instance(node).is_some_and(|instance| is_well(&instance, node == Host::Node1)))
    }
}

/// Its policy finds nothing wrong, nothing unusual is so, and it serves, or does not.
fn is_well(instance: &Value, serves: bool) -> bool {
    let healthy = |report: &Value| {
        report.pointer("/verdict/kind").is_some_and(|kind| kind == "healthy") && report["observed_ok"] == true
    };
    let judged = entries(instance, "reports").count() > 0 && entries(instance, "reports").all(healthy);
    let calm = entries(instance, "conditions").count() == 0;
    judged && calm && instance["state"] == if serves { "master" } else { "backup" }
}

/// The entries of a list in a status.
pub(super) fn entries<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The text of a condition of an instance.
pub(super) fn condition_of(instance: &Value, name: &str) -> Option<String> {
    let mut conditions = entries(instance, "conditions");
    conditions.find(|condition| condition["name"] == name)?.get("text")?.as_str().map(str::to_owned)
}

/// One of something for each node.
#[derive(Debug)]
struct Pair<T> {
    node1: T,
    node2: T,
}

impl<T> Pair<T> {
    const fn of(&self, node: Host) -> &T {
        match node {
            Host::Node1 | Host::Node3 | Host::Arbiter | Host::Client | Host::Witness => &self.node1,
            Host::Node2 => &self.node2,
        }
    }

    const fn of_mut(&mut self, node: Host) -> &mut T {
        match node {
            Host::Node1 | Host::Node3 | Host::Arbiter | Host::Client | Host::Witness => &mut self.node1,
            Host::Node2 => &mut self.node2,
        }
    }
}
