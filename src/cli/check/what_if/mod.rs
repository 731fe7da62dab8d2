//! `ha check --what-if`: what would follow if rules saw this, in virtual time. The judge is the daemon's, what the node
//! would do is decided by the node's own code; no probe is made.

mod assumption;
mod document;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

pub(super) use self::assumption::Assumption;
use super::{
    configuration::ConfigurationFile,
    outlook,
    running::Running,
    would::{Others, Would},
};
use crate::{
    cli::{Code, machine, policy_file::PolicyFile},
    config::{self, Config, Instance},
    policy::{Context, Engine, Forced, Report, RuleReport, RuleState, Simulation, Verdict},
};

/// Evaluations of each policy before anything is assumed: everything that is well is known then.
const SETTLING: usize = 3;
/// Evaluations without any change after which nothing more is awaited, once the rules are where they are forced to.
const QUIET: usize = 3;
/// Evaluations that are awaited at the most: an hour at one per second.
const PATIENCE: usize = 3600;

/// What would follow in one instance.
#[derive(Debug)]
pub(super) struct WhatIf {
    instance: String,
    assumption: Assumption,
    before: Would,
    /// What happens while it is so.
    course: Vec<Moment>,
    during: BTreeMap<String, Verdict>,
    /// Every `require` was seen to be well in the last of these evaluations.
    observed_ok: bool,
    then: Would,
    /// What happens once it is so no more.
    recovery: Vec<Moment>,
    after: Would,
    /// Rules that are not up again.
    stuck: Vec<String>,
}

/// Something that changes.
#[derive(Debug)]
struct Moment {
    /// Since it is so, or so no more.
    at: Duration,
    policy: String,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Rule(Box<RuleReport>),
    Verdict(Verdict),
    Would(Would),
}

impl WhatIf {
    /// 0 if the node would stay healthy, 2 if not.
    pub(super) fn code(&self) -> Code {
        if self.during.values().all(outlook::is_healthy) { Code::OK } else { Code(2) }
    }
}

/// Simulates every instance of the first configuration that has policies; `ticks`: how many evaluations it is so.
pub(super) fn simulate(
    engine: &Engine,
    configurations: &[ConfigurationFile],
    files: &[PolicyFile],
    running: Option<&Running>,
    assumption: &Assumption,
    ticks: Option<usize>,
) -> Result<Vec<WhatIf>, String> {
    let Some(config) = configurations.first().and_then(ConfigurationFile::config) else { return Ok(Vec::new()) };
    let other = configurations.get(1).and_then(ConfigurationFile::config);
    let mut found = Vec::new();
    let mut known: Vec<String> = Vec::new();
    for instance in config.instances.iter().filter(|instance| !instance.policies.is_empty()) {
        let mut stage = Stage::new(engine, config, instance, files, running, other, assumption);
        stage.settle();
        known.extend(stage.rules());
        found.push((instance, stage));
    }
    if let Some(stranger) = assumption.rules.keys().find(|rule| !known.contains(rule)) {
        let mut told = BTreeSet::new();
        known.retain(|rule| told.insert(rule.clone()));
        return Err(format!("there is no rule {stranger}; there are {}", known.join(", ")));
    }
    Ok(found.into_iter().map(|(instance, stage)| stage.play(&instance.name, assumption, ticks)).collect())
}

/// An instance in virtual time.
struct Stage<'a> {
    instance: &'a Instance,
    role: Option<crate::control::protocol::State>,
    simulations: Vec<Simulation>,
    last: BTreeMap<String, Report>,
    others: Others,
}

impl<'a> Stage<'a> {
    fn new(
        engine: &Engine,
        config: &Config,
        instance: &'a Instance,
        files: &[PolicyFile],
        running: Option<&Running>,
        other: Option<&Config>,
        assumption: &Assumption,
    ) -> Self {
        let beside = running.and_then(|running| running.instance(&instance.name));
        let mut context = machine::context(config, instance, beside);
        for peer in &mut context.peers {
            peer.alive = true;
            peer.last_seen_s.get_or_insert(0.0);
        }
        let policies = files.iter().filter_map(|file| file.policy.as_ref());
        let policies = policies.filter(|policy| instance.policies.iter().any(|name| name == policy.name()));
        let of_pair = other.and_then(|other| {
            let all: Vec<&Instance> = other.instances.iter().collect();
            let counterpart = config::counterpart(instance, &all)?;
            Some(Others { rival: Some((other.node.clone(), Some(counterpart.priority.get()))) })
        });
        let others = of_pair
            .or_else(|| beside.map(Others::beside))
            .filter(|others| others.rival.is_some())
            .unwrap_or_else(|| Others::configured(instance));
        let others = if assumption.peer_is_dead { Others::default() } else { others };
        Self {
            instance,
            role: beside.map(|beside| beside.state),
            simulations: policies.map(|policy| Simulation::new(engine, policy, context.clone())).collect(),
            last: BTreeMap::new(),
            others,
        }
    }

    /// All is well, for long enough that everything is known.
    fn settle(&mut self) {
        for simulation in &mut self.simulations {
            for _ in 0..SETTLING {
                let report = simulation.evaluate();
                self.last.insert(report.policy.clone(), report);
            }
        }
    }

    fn rules(&self) -> Vec<String> {
        let named = self.simulations.iter().flat_map(|simulation| simulation.policy().rules_named());
        let seen = self.last.values().flat_map(|report| &report.rules).map(|rule| rule.name.clone());
        named.map(|rule| rule.name.clone()).chain(seen).collect()
    }

    fn play(mut self, instance: &str, assumption: &Assumption, ticks: Option<usize>) -> WhatIf {
        let before = self.would();
        self.change(|context| {
            context.forced.clone_from(&assumption.rules);
            for peer in &mut context.peers {
                peer.alive &= !assumption.peer_is_dead;
            }
        });
        let course = self.run(&assumption.rules, ticks);
        let during = self.last.iter().map(|(policy, report)| (policy.clone(), report.verdict.clone())).collect();
        let observed_ok = self.last.values().all(|report| report.observed_ok);
        let then = self.would();
        let again: BTreeMap<String, Forced> = assumption.rules.keys().map(|rule| (rule.clone(), Forced::Up)).collect();
        self.change(|context| {
            context.forced.clone_from(&again);
            for peer in &mut context.peers {
                peer.alive = true;
            }
        });
        let recovery = self.run(&again, None);
        let stuck = again.keys().filter(|rule| !self.is_at(rule, Forced::Up)).cloned().collect();
        let after = self.would();
        let (instance, assumption) = (instance.to_owned(), assumption.clone());
        WhatIf { instance, assumption, before, course, during, observed_ok, then, recovery, after, stuck }
    }

    fn change(&mut self, change: impl Fn(&mut Context)) {
        self.simulations.iter_mut().for_each(|simulation| change(&mut simulation.context));
    }

    /// So many evaluations, or until the rules are where they are forced to and nothing changes any more.
    fn run(&mut self, forced: &BTreeMap<String, Forced>, ticks: Option<usize>) -> Vec<Moment> {
        let mut moments = Vec::new();
        let mut quiet = 0;
        let first = self.simulations.iter().map(Simulation::next).min().unwrap_or_default();
        for _ in 0..ticks.unwrap_or(PATIENCE).saturating_mul(self.simulations.len()) {
            let before = moments.len();
            self.evaluate_one(first, &mut moments);
            quiet = if moments.len() == before { quiet + 1 } else { 0 };
            let settled = quiet >= QUIET * self.simulations.len();
            if ticks.is_none() && settled && forced.iter().all(|(rule, forced)| self.is_at(rule, *forced)) {
                break;
            }
        }
        moments
    }

    /// The policy that is due first.
    fn evaluate_one(&mut self, first: Duration, moments: &mut Vec<Moment>) {
        let would = self.would();
        let Some(simulation) = self.simulations.iter_mut().min_by_key(|simulation| simulation.next()) else { return };
        let at = simulation.next().saturating_sub(first);
        let report = simulation.evaluate();
        let policy = report.policy.clone();
        let before = self.last.insert(policy.clone(), report.clone());
        let mut push = |change| moments.push(Moment { at, policy: policy.clone(), change });
        for rule in &report.rules {
            let was = before.iter().flat_map(|before| &before.rules).find(|was| was.name == rule.name);
            if was.map(RuleReport::state) != Some(rule.state()) {
                push(Change::Rule(Box::new(rule.clone())));
            }
        }
        if before.is_none_or(|before| before.verdict != report.verdict) {
            push(Change::Verdict(report.verdict));
        }
        let now = self.would();
        if now != would {
            moments.push(Moment { at, policy, change: Change::Would(now) });
        }
    }

    /// The rule is where this makes it go. One that no policy of this instance has need not go anywhere.
    fn is_at(&self, rule: &str, forced: Forced) -> bool {
        let seen = self.last.values().flat_map(|report| &report.rules).find(|seen| seen.name == rule);
        let wanted = match forced {
            Forced::Up => RuleState::Up,
            Forced::Down | Forced::Blind => RuleState::Down,
        };
        seen.is_none_or(|seen| seen.state() == wanted)
    }

    fn would(&self) -> Would {
        let reports: Vec<Report> = self.last.values().cloned().collect();
        Would::of(self.instance, self.role, &self.others, &reports, None)
    }
}
