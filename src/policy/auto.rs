//! `ha test --auto`: forces every rule of a policy down, one after the other, and looks whether it falls, whether that does
//! what the rule is for, and whether it comes back by itself. Needs no test code.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Context, Engine, Forced, NodeFacts, PeerFacts, Policy, Report, RuleEffect, RuleReport, RuleState, Simulation,
    Verdict, thrown::Thrown,
};

/// Evaluations until everything that is well is known.
const SETTLING: u32 = 3;
/// Evaluations that a rule may need to fall or to rise: an hour at one per second.
const PATIENCE: u32 = 3600;

/// What became of a rule that was forced down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForcedRule {
    /// Its name.
    pub rule: String,
    /// The role in which it was forced: `backup`, or `master` if only a master evaluates it.
    pub role: &'static str,
    /// The roles in which it is evaluated while all is well. In one alone it may be a trap: what it found is forgotten in
    /// the other.
    pub roles: Vec<&'static str>,
    /// From the first failure until it was down.
    pub fell_after: Option<Duration>,
    /// What that did: `fault`, `priority -30`, `shown`, …
    pub effect: String,
    /// From the first success until it was up again.
    pub rose_after: Option<Duration>,
    /// It stays down until somebody clears it, as it says itself.
    pub is_latched: bool,
    /// What is not as it should be.
    pub objection: Option<String>,
}

/// Every rule that is named in the text or seen while all is well, in the order of the text.
#[must_use]
pub fn force_every_rule(engine: &Engine, policy: &Policy) -> Vec<ForcedRule> {
    let mut names: Vec<String> = policy.rules_named().iter().map(|rule| rule.name.clone()).collect();
    for role in ROLES {
        let seen = settled(engine, policy, role).1;
        names.extend(seen.rules.into_iter().map(|rule| rule.name));
    }
    let mut done = BTreeSet::new();
    names.retain(|name| done.insert(name.clone()));
    names.iter().map(|name| force(engine, policy, name)).collect()
}

/// What a node can be that works.
pub(super) const ROLES: [&str; 2] = ["backup", "master"];

/// A node that has been in this role for a while, everything being well.
fn settled(engine: &Engine, policy: &Policy, role: &str) -> (Simulation, Report) {
    let mut simulation = of_role(engine, policy, role);
    let mut report = simulation.evaluate();
    for _ in 1..SETTLING {
        report = simulation.evaluate();
    }
    (simulation, report)
}

/// What the policy throws until then, if it does.
pub(super) fn thrown(engine: &Engine, policy: &Policy, role: &str) -> Option<Thrown> {
    let mut simulation = of_role(engine, policy, role);
    (0..SETTLING).find_map(|_| {
        simulation.evaluate();
        simulation.thrown().cloned()
    })
}

fn of_role(engine: &Engine, policy: &Policy, role: &str) -> Simulation {
    let is_master = role == "master";
    let node = NodeFacts {
        state: role.to_owned(),
        is_master,
        is_backup: !is_master,
        has_vip: is_master,
        ..NodeFacts::default()
    };
    let context = Context { node, peers: vec![PeerFacts::default()], ..Context::default() };
    Simulation::new(engine, policy, context)
}

fn force(engine: &Engine, policy: &Policy, rule: &str) -> ForcedRule {
    let mut seen: Vec<(&'static str, Simulation, Report)> = Vec::new();
    for role in ROLES {
        let (simulation, before) = settled(engine, policy, role);
        if let Some(error) = &before.error {
            return refused(rule, role, format!("the policy cannot be evaluated although all is well: {error}"));
        }
        if of(&before, rule).is_some() {
            seen.push((role, simulation, before));
        }
    }
    let roles: Vec<&'static str> = seen.iter().map(|(role, ..)| *role).collect();
    let Some((role, simulation, before)) = seen.into_iter().next() else {
        return refused(
            rule,
            "backup",
            "it is evaluated neither by a backup nor by a master while all is well".to_owned(),
        );
    };
    ForcedRule { roles, ..fall_and_rise(simulation, &before, rule, role) }
}

fn refused(rule: &str, role: &'static str, objection: String) -> ForcedRule {
    ForcedRule {
        rule: rule.to_owned(),
        role,
        roles: Vec::new(),
        fell_after: None,
        effect: String::new(),
        rose_after: None,
        is_latched: false,
        objection: Some(objection),
    }
}

fn fall_and_rise(mut simulation: Simulation, before: &Report, rule: &str, role: &'static str) -> ForcedRule {
    let (fell_after, fallen) = until(&mut simulation, rule, Forced::Down, RuleState::Down);
    let effect = effect(before, &fallen);
    if fell_after.is_none() {
        return refused(rule, role, format!("it does not fall in {PATIENCE} evaluations that all fail"));
    }
    let useless = of(&fallen, rule).and_then(|fallen_rule| objection(before, &fallen, fallen_rule));
    let is_latched = of(&fallen, rule).is_some_and(|fallen| fallen.hysteresis.latch);
    let forced = ForcedRule {
        rule: rule.to_owned(),
        role,
        roles: Vec::new(),
        fell_after,
        effect,
        rose_after: None,
        is_latched,
        objection: useless,
    };
    if is_latched {
        return forced;
    }
    let (rose_after, risen) = until(&mut simulation, rule, Forced::Up, RuleState::Up);
    let stuck = match rose_after {
        None => Some(format!("it does not come back in {PATIENCE} evaluations that all succeed")),
        Some(_) if !same(&risen.verdict, &before.verdict) => {
            Some(format!("it is up again, but the verdict is not what it was: {}", shown(&risen.verdict)))
        }
        Some(_) => None,
    };
    ForcedRule { rose_after, objection: forced.objection.or(stuck), ..forced }
}

/// Evaluates until the rule is there; how long that took from the first of these observations, and the last report.
fn until(simulation: &mut Simulation, rule: &str, forced: Forced, wanted: RuleState) -> (Option<Duration>, Report) {
    simulation.force(rule, forced);
    let began = simulation.next();
    let mut now = began;
    let mut report = simulation.evaluate();
    for _ in 1..PATIENCE {
        // A rule that is not evaluated any more stays as it is: another one has taken its place.
        if of(&report, rule).is_none_or(|seen| seen.state() == wanted) {
            break;
        }
        now = simulation.next();
        report = simulation.evaluate();
    }
    let reached = of(&report, rule).is_some_and(|seen| seen.state() == wanted);
    (reached.then(|| now.saturating_sub(began)), report)
}

fn of<'r>(report: &'r Report, rule: &str) -> Option<&'r RuleReport> {
    report.rules.iter().find(|seen| seen.name == rule)
}

/// A rule that falls and does not do what it is for.
fn objection(before: &Report, fallen: &Report, rule: &RuleReport) -> Option<String> {
    let verdict = shown(&fallen.verdict);
    match (rule.effect, &before.verdict, &fallen.verdict) {
        (_, Verdict::Maintenance { .. } | Verdict::Hold { .. }, _) => {
            Some(format!("the policy says {} although all is well", shown(&before.verdict)))
        }
        (RuleEffect::Require, _, Verdict::Fault { .. } | Verdict::Maintenance { .. }) => None,
        (RuleEffect::Require, ..) => {
            Some(format!("it is down, and the node keeps the address all the same: {verdict}"))
        }
        (RuleEffect::Prefer(_), Verdict::Healthy { delta: before, .. }, Verdict::Healthy { delta, .. })
            if delta < before =>
        {
            None
        }
        (RuleEffect::Prefer(_), _, Verdict::Fault { .. }) => None,
        (RuleEffect::Prefer(_), ..) => Some(format!("it is down, and the priority is not lower: {verdict}")),
        (RuleEffect::Watch, before, after) if same(before, after) => None,
        (RuleEffect::Watch, ..) => Some(format!("it only shows, and yet the verdict changes: {verdict}")),
        (RuleEffect::Gate, ..) => None,
    }
}

/// What the fall did to the verdict.
fn effect(before: &Report, fallen: &Report) -> String {
    if same(&before.verdict, &fallen.verdict) { "nothing".to_owned() } else { shown(&fallen.verdict) }
}

fn shown(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Starting => "starting".to_owned(),
        Verdict::Healthy { delta: 0, .. } => "healthy".to_owned(),
        Verdict::Healthy { delta, .. } => format!("priority {delta:+}"),
        Verdict::Fault { cause, .. } if cause.is_external() => "fault, external".to_owned(),
        Verdict::Fault { .. } => "fault".to_owned(),
        Verdict::Hold { .. } => "hold".to_owned(),
        Verdict::Maintenance { .. } => "maintenance".to_owned(),
    }
}

fn same(one: &Verdict, other: &Verdict) -> bool {
    shown(one) == shown(other)
}
