//! Which hooks would run if it goes on like this, and what they would do: run on fakes, so that nothing is done.

use serde_json::{Value, json};

use super::would::{Turn, Would};
use crate::{
    node::{Course, Role},
    policy::{Context, Engine, Hook, HookEvent, Policy, Report, RuleReport, RuleState, Verdict, preview_hook},
    words::Instant,
};

/// A hook that would run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The role in which it would; `None`: the one that the node has.
    as_role: Option<&'static str>,
    hook: Hook,
    /// What it would do if everything it does succeeds.
    actions: Vec<String>,
    /// Why it breaks off.
    error: Option<String>,
}

/// The hooks of a policy that would run. `reports`: of all policies of the instance, with the verdicts foreseen.
pub(super) fn due(engine: &Engine, policy: &Policy, context: &Context, would: &Would, reports: &[Report]) -> Vec<Due> {
    let mut found = Vec::new();
    for turn in would.turns() {
        for hook in hooks(&turn, reports).into_iter().filter(|hook| policy.hooks().any(|has| has == *hook)) {
            let ran = preview_hook(engine, policy, hook, event(&turn, reports), &after(context, turn.to));
            found.push(Due {
                as_role: turn.is_supposed.then(|| turn.from.as_str()),
                hook,
                actions: ran.performed.iter().map(|(action, _)| action.to_string()).collect(),
                error: ran.error,
            });
        }
    }
    found
}

/// As the daemon runs them: whoever stands down for maintenance is not broken.
fn hooks(turn: &Turn, reports: &[Report]) -> Vec<Hook> {
    let maintenance = reports.iter().any(|report| matches!(report.verdict, Verdict::Maintenance { .. }));
    let release = (turn.course == Course::HandOver).then_some(Hook::Release);
    let arrival = match turn.to {
        _ if maintenance => Some(Hook::Maintenance),
        role if role.to_string() == turn.from.as_str() => None,
        Role::Master => Some(Hook::Master),
        Role::Backup => Some(Hook::Backup),
        Role::Fault => Some(Hook::Fault),
    };
    release.into_iter().chain(arrival).collect()
}

fn event(turn: &Turn, reports: &[Report]) -> HookEvent {
    let rules = reports.iter().flat_map(|report| &report.rules);
    let why = reports.iter().find_map(|report| match &report.verdict {
        Verdict::Fault { why, .. } | Verdict::Hold { why } | Verdict::Maintenance { why } => Some(why.clone()),
        Verdict::Starting | Verdict::Healthy { .. } => None,
    });
    HookEvent {
        from: turn.from.as_str().to_owned(),
        to: turn.to.to_string(),
        reason: why.unwrap_or_else(|| "if this goes on".to_owned()),
        rules_down: rules.filter(is_down).map(|rule| rule.name.clone()).collect(),
        at: Instant::ZERO,
        seq: 1,
        rule: None,
    }
}

/// It is down, or will be if this goes on.
fn is_down(rule: &&RuleReport) -> bool {
    rule.state() == RuleState::Down || rule.ok == Some(false)
}

/// The node once it has turned.
fn after(context: &Context, role: Role) -> Context {
    let mut context = context.clone();
    context.node.state = role.to_string();
    context.node.is_master = role == Role::Master;
    context.node.is_backup = role == Role::Backup;
    context.node.has_vip = role == Role::Master;
    context
}

impl Due {
    /// For people.
    pub(super) fn sentence(&self) -> String {
        let Self { hook, actions, error, .. } = self;
        let role = self.as_role.map(|role| format!("as {role}: ")).unwrap_or_default();
        let done = if actions.is_empty() { "nothing to do".to_owned() } else { actions.join(", ") };
        let broken = error.as_ref().map(|error| format!("; then it breaks off: {error}")).unwrap_or_default();
        format!("{role}would run {hook}: {done}{broken}")
    }

    pub(super) fn document(&self) -> Value {
        json!({ "hook": self.hook.name(), "as": self.as_role, "actions": self.actions, "error": self.error })
    }
}
