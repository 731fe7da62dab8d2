//! Instances in virtual time, each with its policies and what it tracks, and those beside each other that lead together.

use std::{collections::BTreeMap, time::Duration};

use super::{
    super::{
        running::Running,
        would::{Others, Would},
    },
    Assumption, Change, Moment, WhatIf,
};
use crate::{
    cli::{machine, policy_file::PolicyFile},
    config::{self, Config, Group, Instance},
    control::protocol::State,
    node::{Judged, Tracked},
    policy::{Context, Engine, Forced, Report, RuleReport, RuleState, Simulation},
};

/// Evaluations of each policy before anything is assumed: everything that is well is known then.
const SETTLING: usize = 3;
/// Evaluations without any change after which nothing more is awaited, once the rules are where they are forced to.
const QUIET: usize = 3;
/// Evaluations that are awaited at the most: an hour at one per second.
const PATIENCE: usize = 3600;

/// An instance in virtual time.
pub(super) struct Stage<'a> {
    instance: &'a Instance,
    role: Option<State>,
    simulations: Vec<Simulation>,
    last: BTreeMap<String, Report>,
    tracked: Tracked,
    others: Others,
}

impl<'a> Stage<'a> {
    pub(super) fn new(
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
            tracked: Tracked::supposed(&instance.tracks, &BTreeMap::new()),
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

    /// The rules, and what is tracked.
    fn names(&self) -> impl Iterator<Item = String> {
        let named = self.simulations.iter().flat_map(|simulation| simulation.policy().rules_named());
        let seen = self.last.values().flat_map(|report| &report.rules).map(|rule| rule.name.clone());
        let tracked = self.tracked.findings().map(|(name, _)| name.to_owned());
        named.map(|rule| rule.name.clone()).chain(seen).chain(tracked)
    }

    fn is_judged(&self) -> bool {
        !self.instance.policies.is_empty() || self.tracked.findings().next().is_some()
    }

    fn change(&mut self, change: impl Fn(&mut Context)) {
        self.simulations.iter_mut().for_each(|simulation| change(&mut simulation.context));
    }

    /// What is tracked is like this now; what changes by that.
    fn suppose(&mut self, assumed: &BTreeMap<String, Forced>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.tracked, Tracked::supposed(&self.instance.tracks, assumed));
        let pairs = before.findings().zip(self.tracked.findings());
        let changed = pairs.filter(|((_, before), (_, after))| before != after);
        changed.map(|(_, (name, why))| Change::Tracked { name: name.to_owned(), why: why.map(str::to_owned) }).collect()
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

    /// Evaluates one policy; what changes by that.
    fn evaluate(&mut self, simulation: usize) -> (String, Vec<Change>) {
        let Some(simulation) = self.simulations.get_mut(simulation) else { return (String::new(), Vec::new()) };
        let report = simulation.evaluate();
        let policy = report.policy.clone();
        let before = self.last.insert(policy.clone(), report.clone());
        let mut changes = Vec::new();
        for rule in &report.rules {
            let was = before.iter().flat_map(|before| &before.rules).find(|was| was.name == rule.name);
            if was.map(RuleReport::state) != Some(rule.state()) {
                changes.push(Change::Rule(Box::new(rule.clone())));
            }
        }
        if before.is_none_or(|before| before.verdict != report.verdict) {
            changes.push(Change::Verdict(report.verdict));
        }
        (policy, changes)
    }
}

/// Every instance of a node.
pub(super) struct Company<'a> {
    stages: Vec<Stage<'a>>,
    groups: &'a [Group],
}

impl<'a> Company<'a> {
    pub(super) const fn new(stages: Vec<Stage<'a>>, groups: &'a [Group]) -> Self {
        Self { stages, groups }
    }

    pub(super) fn settle(&mut self) {
        self.stages.iter_mut().for_each(Stage::settle);
    }

    /// Whatever can be assumed to be otherwise.
    pub(super) fn names(&self) -> Vec<String> {
        self.stages.iter().flat_map(Stage::names).collect()
    }

    /// What follows in every instance that is judged by anything, or leads together with one that is.
    pub(super) fn play(mut self, assumption: &Assumption, ticks: Option<usize>) -> Vec<WhatIf> {
        let begun = self.stages.iter().zip(self.all_would());
        let mut found: Vec<WhatIf> =
            begun.map(|(stage, would)| WhatIf::begun(&stage.instance.name, assumption, would)).collect();
        self.change(|context| {
            context.forced.clone_from(&assumption.rules);
            for peer in &mut context.peers {
                peer.alive &= !assumption.peer_is_dead;
            }
        });
        let course = self.run(&assumption.rules, ticks);
        for ((what_if, stage), (moments, would)) in
            found.iter_mut().zip(&self.stages).zip(course.into_iter().zip(self.all_would()))
        {
            what_if.course = moments;
            what_if.during = stage.last.iter().map(|(name, report)| (name.clone(), report.verdict.clone())).collect();
            what_if.observed_ok = stage.last.values().all(|report| report.observed_ok);
            what_if.tracked_well = stage.tracked.is_well();
            what_if.then = would;
        }
        let again: BTreeMap<String, Forced> = assumption.rules.keys().map(|rule| (rule.clone(), Forced::Up)).collect();
        self.change(|context| {
            context.forced.clone_from(&again);
            for peer in &mut context.peers {
                peer.alive = true;
            }
        });
        let recovery = self.run(&again, None);
        for ((what_if, stage), (moments, would)) in
            found.iter_mut().zip(&self.stages).zip(recovery.into_iter().zip(self.all_would()))
        {
            what_if.recovery = moments;
            what_if.stuck = again.keys().filter(|rule| !stage.is_at(rule, Forced::Up)).cloned().collect();
            what_if.after = would;
        }
        let is_judged = |what_if: &WhatIf| {
            let mut of_it = self.stages.iter().filter(|stage| stage.instance.name == what_if.instance);
            !what_if.then.is_as(&what_if.before) || of_it.any(Stage::is_judged)
        };
        found.into_iter().filter(is_judged).collect()
    }

    fn change(&mut self, change: impl Fn(&mut Context)) {
        self.stages.iter_mut().for_each(|stage| stage.change(&change));
    }

    /// So many evaluations, or until the rules are where they are forced to and nothing changes any more. What happens, for
    /// each instance.
    fn run(&mut self, forced: &BTreeMap<String, Forced>, ticks: Option<usize>) -> Vec<Vec<Moment>> {
        let mut moments: Vec<Vec<Moment>> = self.stages.iter().map(|_| Vec::new()).collect();
        let would = self.all_would();
        for (stage, moments) in self.stages.iter_mut().zip(&mut moments) {
            let changes = stage.suppose(forced).into_iter();
            moments.extend(changes.map(|change| Moment { at: Duration::ZERO, policy: None, change }));
        }
        let mut would = self.follow(Duration::ZERO, None, would, &mut moments);
        let policies: usize = self.stages.iter().map(|stage| stage.simulations.len()).sum();
        let first = self.due().map(|(_, _, at)| at).unwrap_or_default();
        let mut quiet = 0;
        for _ in 0..ticks.unwrap_or(PATIENCE).saturating_mul(policies) {
            let Some((stage, simulation, at)) = self.due() else { break };
            let Some((stage, told)) = self.stages.get_mut(stage).zip(moments.get_mut(stage)) else { break };
            let (at, (policy, changes)) = (at.saturating_sub(first), stage.evaluate(simulation));
            let changed = !changes.is_empty();
            told.extend(changes.into_iter().map(|change| Moment { at, policy: Some(policy.clone()), change }));
            would = self.follow(at, Some(&policy), would, &mut moments);
            quiet = if changed { 0 } else { quiet + 1 };
            let is_there = || forced.iter().all(|(rule, to)| self.stages.iter().all(|stage| stage.is_at(rule, *to)));
            if ticks.is_none() && quiet >= QUIET * policies && is_there() {
                break;
            }
        }
        moments
    }

    /// The evaluation that is due first: of which instance, which of its policies, and when.
    fn due(&self) -> Option<(usize, usize, Duration)> {
        let of = |(stage, it): (usize, &Stage<'_>)| {
            let simulations = it.simulations.iter().enumerate();
            simulations.map(move |(at, simulation)| (stage, at, simulation.next())).collect::<Vec<_>>()
        };
        self.stages.iter().enumerate().flat_map(of).min_by_key(|(_, _, at)| *at)
    }

    /// What the instances would do now, each change of it noted.
    fn follow(
        &self,
        at: Duration,
        policy: Option<&String>,
        before: Vec<Would>,
        moments: &mut [Vec<Moment>],
    ) -> Vec<Would> {
        let now = self.all_would();
        for ((moments, now), before) in moments.iter_mut().zip(&now).zip(before) {
            if !now.is_as(&before) {
                moments.push(Moment { at, policy: policy.cloned(), change: Change::Would(now.clone()) });
            }
        }
        now
    }

    fn all_would(&self) -> Vec<Would> {
        let reports: Vec<Vec<Report>> =
            self.stages.iter().map(|stage| stage.last.values().cloned().collect()).collect();
        let all = self.stages.iter().zip(&reports);
        let all: Vec<Judged<'_>> =
            all.map(|(stage, reports)| Judged { instance: stage.instance, reports, tracked: &stage.tracked }).collect();
        let would = |(stage, own): (&Stage<'_>, &Judged<'_>)| {
            let group = self.groups.iter().find(|group| group.instances.contains(&own.instance.name));
            let others = |group: &Group| {
                let others = all.iter().filter(|other| other.instance.name != own.instance.name);
                others.filter(|other| group.instances.contains(&other.instance.name)).copied().collect::<Vec<_>>()
            };
            let others = group.map(|group| (group.name.as_str(), others(group)));
            let others = others.as_ref().map(|(name, others)| (*name, others.as_slice()));
            Would::of(own, stage.role, &stage.others, others)
        };
        self.stages.iter().zip(&all).map(would).collect()
    }
}
