//! The founding pair on its stage, and how a step is played on it.

use std::{
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    super::{
        capture::{Capture, What},
        client::Stream,
        daemon::{Daemon, Setup},
        observer::Observer,
        service::{Web, start_echo},
        trouble::{Result, Trouble},
        world::{Host, World},
    },
    step::{Says, Step, Verdict, Wanted, complaints},
};

const CONFIG1: &str = include_str!("../../../config/node1.toml");
const CONFIG2: &str = include_str!("../../../config/node2.toml");
const POLICIES: [(&str, &str); 1] = [("check_local", include_str!("../../../scripts/check_local.rhai"))];

/// How long the client calls before and after a deed.
const CALM: Duration = Duration::from_millis(600);

/// Two nodes and everything that watches them.
pub(super) struct Pair {
    pub(super) world: World,
    pub(super) webs: [Web; 2],
    observer: Observer,
    capture: Capture,
    daemons: [Option<Daemon>; 2],
    keepalived: Option<(Host, PathBuf)>,
}

/// A step as it is to be played.
pub(super) struct Scene {
    pub(super) row: &'static str,
    pub(super) title: &'static str,
    pub(super) did: &'static str,
    /// The node whose doing is judged.
    pub(super) subject: Host,
    pub(super) wanted: Wanted,
    /// How long the wanted holders may take.
    pub(super) patience: Duration,
    pub(super) minimum: Minimum,
}

/// The shortest outage that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minimum {
    /// None at all.
    Nothing,
    /// The peer has to wait for three intervals and its skew after the last advertisement of this node.
    Silence(Host),
    /// As long as the step lasts: nobody may take over.
    Forever,
}

impl Pair {
    pub(super) fn new(world: World, keepalived: Option<(Host, PathBuf)>) -> Result<Self> {
        let [node1, node2] = Host::NODES;
        start_echo(&world, node1)?;
        start_echo(&world, node2)?;
        let webs = [Web::start(&world, node1)?, Web::start(&world, node2)?];
        let (observer, capture) = (Observer::start(&world)?, Capture::start(&world)?);
        Ok(Self { world, webs, observer, capture, daemons: [None, None], keepalived })
    }

    /// Starts the daemon of a node.
    pub(super) fn start(&mut self, node: Host) -> Result<Instant> {
        let now = Instant::now();
        let daemon = match &self.keepalived {
            Some((on, program)) if *on == node => {
                let conf = Setup::founding(node).keepalived_conf(node, None);
                Daemon::keepalived(&self.world, node, program, &conf)?
            }
            Some(_) | None => {
                let ha = std::env::current_exe().map_err(Trouble::kernel("find this program"))?;
                Daemon::ha(&self.world, node, &ha, if node == Host::Node1 { CONFIG1 } else { CONFIG2 }, &POLICIES)?
            }
        };
        *self.slot(node) = Some(daemon);
        Ok(now)
    }

    /// The daemon of a node.
    pub(super) fn daemon(&mut self, node: Host) -> Result<&mut Daemon> {
        self.slot(node).as_mut().ok_or(Trouble::Gone("a daemon"))
    }

    /// The world and the daemon of a node.
    pub(super) fn lose_power(&mut self, node: Host) -> Result<Instant> {
        let [one, two] = &mut self.daemons;
        let daemon = if node == Host::Node1 { one } else { two };
        daemon.as_mut().ok_or(Trouble::Gone("a daemon"))?.lose_power(&self.world)
    }

    /// The daemons that run, for showing how to talk to them.
    pub(super) fn running(&self) -> impl Iterator<Item = (&Daemon, bool)> {
        self.daemons.iter().flatten().map(|daemon| (daemon, self.runs_keepalived(daemon.node())))
    }

    pub(super) fn runs_keepalived(&self, node: Host) -> bool {
        self.keepalived.as_ref().is_some_and(|(on, _)| *on == node)
    }

    /// Waits until these hold the address.
    pub(super) fn held_by(&self, holders: &[Host], patience: Duration) -> Result<Instant> {
        self.observer.wait_for(holders, patience)
    }

    /// Plays a step: the client calls, `deed` is done and says when, the wanted holders are waited for.
    pub(super) fn play(&mut self, scene: &Scene, deed: impl FnOnce(&mut Self) -> Result<Instant>) -> Result<Step> {
        let stream = Stream::start(&self.world)?;
        thread::sleep(CALM);
        let done = deed(self)?;
        let arrived = self.observer.wait_for(scene.wanted.holders, scene.patience).ok();
        thread::sleep(CALM);
        let end = Instant::now();
        let record = stream.stop();
        let mut step = Step {
            row: scene.row,
            title: scene.title,
            did: scene.did,
            holders: self.observer.holders(),
            took: arrived.map(|at| at.saturating_duration_since(done)),
            says: Host::NODES.map(|node| self.says(node)),
            outage: record.outage(done, end),
            minimum: self.minimum(scene.minimum, done, end),
            two_holders: self.observer.two_holders(done, end),
            verdict: Verdict::Seen,
            why: Vec::new(),
        };
        if !self.runs_keepalived(scene.subject) {
            let taken = scene.wanted.never.and_then(|host| self.observer.first(host, true, done));
            step.why = complaints(&scene.wanted, &step, taken);
            step.verdict = if step.why.is_empty() { Verdict::Held } else { Verdict::Failed };
        }
        Ok(step)
    }

    fn minimum(&self, minimum: Minimum, done: Instant, end: Instant) -> (Duration, &'static str) {
        match minimum {
            Minimum::Nothing => (Duration::ZERO, "a handover needs no gap"),
            Minimum::Forever => (end.saturating_duration_since(done), "nobody may take over"),
            Minimum::Silence(node) => {
                let last = self.last_advertisement(node, done).unwrap_or(done);
                let heir = Setup::founding(node.peer());
                let skew = Duration::from_secs(1) * (256 - u32::from(heir.priority)) / 256;
                let due = last + heir.advertise * 3 + skew;
                (due.saturating_duration_since(done), "3 intervals and the skew after the last advertisement")
            }
        }
    }

    fn last_advertisement(&self, node: Host, before: Instant) -> Option<Instant> {
        let frames = self.capture.frames();
        let advertisements = frames.iter().rev().filter(|frame| frame.from == node && frame.at <= before);
        advertisements.filter(|frame| matches!(frame.what, What::Advertisement { .. })).map(|frame| frame.at).next()
    }

    fn says(&self, node: Host) -> Says {
        if self.runs_keepalived(node) {
            return Says { program: "keepalived", ..Says::default() };
        }
        let [one, two] = &self.daemons;
        let daemon = if node == Host::Node1 { one } else { two };
        let status = daemon.as_ref().and_then(|daemon| daemon.status(&self.world)).unwrap_or_default();
        let instance = status.pointer("/instances/0").cloned().unwrap_or_default();
        let text = |name: &str| instance.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let conditions = instance.get("conditions").and_then(Value::as_array).into_iter().flatten();
        let sentence = |condition: &Value| condition.get("text").and_then(Value::as_str).map(str::to_owned);
        Says {
            program: "ha",
            state: text("state"),
            reason: text("reason"),
            conditions: conditions.filter_map(sentence).collect(),
        }
    }

    const fn slot(&mut self, node: Host) -> &mut Option<Daemon> {
        let [one, two] = &mut self.daemons;
        match node {
            Host::Node1 => one,
            Host::Node2 | Host::Arbiter | Host::Client => two,
        }
    }
}
