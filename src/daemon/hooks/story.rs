//! What happened to an instance, as its hooks are told: which of them run, and with which event.

use std::collections::BTreeMap;

use crate::{
    node::{Condition, Event, Role},
    policy::{Hook, HookEvent, Report, RuleEffect, RuleEvent, RuleState},
    words::Instant,
};

/// What is known of one instance.
#[derive(Debug)]
pub(super) struct Story {
    role: Role,
    /// Its transitions are quiet.
    maintenance: bool,
    /// The daemon stops.
    leaving: bool,
    events: u64,
    /// By policy: the version and the states of the rules, as last reported.
    seen: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    generation: u64,
    rules: BTreeMap<String, RuleState>,
}

/// A hook that is to run.
#[derive(Debug, PartialEq)]
pub(super) struct Due {
    pub(super) hook: Hook,
    pub(super) event: HookEvent,
}

impl Default for Story {
    fn default() -> Self {
        Self { role: Role::Fault, maintenance: false, leaving: false, events: 0, seen: BTreeMap::new() }
    }
}

impl Story {
    /// What a line of the node's journal means for every policy of the instance.
    pub(super) fn happened(&mut self, at: Instant, event: &Event) -> Option<Due> {
        match event {
            Event::Transition { from, to, reason } => {
                self.role = *to;
                let hook = match to {
                    Role::Master => Hook::Master,
                    Role::Backup => Hook::Backup,
                    // Whoever stands down for maintenance or for good is not broken.
                    Role::Fault if self.maintenance || self.leaving => return None,
                    Role::Fault => Hook::Fault,
                };
                Some(self.due(hook, *from, *to, reason.clone(), at))
            }
            Event::Raised(condition) if is_maintenance(condition) => self.maintenance(true, condition, at),
            Event::Cleared(condition) if is_maintenance(condition) => self.maintenance(false, condition, at),
            Event::Priority { .. }
            | Event::Raised(_)
            | Event::Cleared(_)
            | Event::Note(_)
            | Event::LowerHeard { .. } => None,
        }
    }

    /// What a report means for the policy that it is of.
    pub(super) fn judged(&mut self, report: &Report) -> Vec<Due> {
        let at = report.started_at;
        let rules = report.rules.iter().map(|rule| (rule.name.clone(), rule.state())).collect();
        let before = self.seen.insert(report.policy.clone(), Seen { generation: report.generation, rules });
        let mut due = Vec::new();
        if before.as_ref().is_some_and(|before| before.generation != report.generation) {
            let reason = format!("generation {} of policy {} runs", report.generation, report.policy);
            due.push(self.due(Hook::Reload, self.role, self.role, reason, at));
        }
        for rule in &report.rules {
            let was = before.as_ref().and_then(|before| before.rules.get(&rule.name)).copied();
            let Some(up) = turn(was, rule.state()).filter(|_| rule.effect != RuleEffect::Gate) else { continue };
            let change = if up { "came up" } else { "is down" };
            let reason = format!("{} {change}: {}", rule.name, rule.why);
            let mut one = self.due(Hook::Rule, self.role, self.role, reason, at);
            one.event.rule = Some(RuleEvent { name: rule.name.clone(), up, why: rule.why.clone() });
            due.push(one);
        }
        due
    }

    /// The daemon stops: becoming fault is no fault any more.
    pub(super) const fn leave(&mut self) {
        self.leaving = true;
    }

    /// Whether the daemon stops.
    pub(super) const fn leaves(&self) -> bool {
        self.leaving
    }

    /// What programs are told of an event of the node's that is theirs.
    pub(super) fn told(&self, event: &Event, at: Instant) -> HookEvent {
        let (from, to, reason) = match event {
            Event::Transition { from, to, reason } => (*from, *to, reason.clone()),
            Event::LowerHeard { source, priority } => {
                (self.role, self.role, format!("{source} advertises priority {priority}"))
            }
            Event::Priority { .. } | Event::Raised(_) | Event::Cleared(_) | Event::Note(_) => {
                (self.role, self.role, String::new())
            }
        };
        HookEvent { from: from.to_string(), to: to.to_string(), reason, at, ..HookEvent::default() }
    }

    /// The event of a release or of the end.
    pub(super) fn leaving(&mut self, hook: Hook, why: &str, at: Instant) -> Due {
        self.due(hook, self.role, Role::Fault, why.to_owned(), at)
    }

    fn maintenance(&mut self, on: bool, condition: &Condition, at: Instant) -> Option<Due> {
        self.maintenance = on;
        let reason = if on { condition.text.clone() } else { "maintenance is over".to_owned() };
        Some(self.due(Hook::Maintenance, self.role, self.role, reason, at))
    }

    fn due(&mut self, hook: Hook, from: Role, to: Role, reason: String, at: Instant) -> Due {
        self.events += 1;
        let down = self.seen.values().flat_map(|seen| &seen.rules).filter(|(_, state)| **state == RuleState::Down);
        let event = HookEvent {
            from: from.to_string(),
            to: to.to_string(),
            reason,
            rules_down: down.map(|(name, _)| name.clone()).collect(),
            at,
            seq: self.events,
            rule: None,
        };
        Due { hook, event }
    }
}

fn is_maintenance(condition: &Condition) -> bool {
    condition.name == "maintenance"
}

/// Whether a rule came up or went down. That it is up when it is seen first is no news.
fn turn(was: Option<RuleState>, is: RuleState) -> Option<bool> {
    let was_down = was == Some(RuleState::Down);
    match is {
        RuleState::Down => (!was_down).then_some(false),
        RuleState::Up | RuleState::Failing => was_down.then_some(true),
        RuleState::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        health::{Gate, Hysteresis, Observation},
        policy::Verdict,
    };

    fn gate(state: RuleState) -> Gate {
        let fails = match state {
            RuleState::Unknown => return Gate::unknown(Instant::ZERO),
            RuleState::Up => 0,
            RuleState::Failing => 1,
            RuleState::Down => 3,
        };
        let mut gate = Gate::unproven(Instant::ZERO);
        for _ in 0..fails {
            gate.observe(Instant::ZERO, Observation::Fail, &Hysteresis::default());
        }
        gate
    }

    fn transition(from: Role, to: Role) -> Event {
        Event::Transition { from, to, reason: "so it is".to_owned() }
    }

    fn maintenance() -> Condition {
        Condition { name: "maintenance", text: "a new kernel".to_owned() }
    }

    fn report(generation: u64, state: RuleState) -> Report {
        let rule = crate::policy::RuleReport {
            name: "web".to_owned(),
            effect: RuleEffect::Require,
            file: None,
            line: 1,
            ok: None,
            gate: gate(state),
            hysteresis: Hysteresis::default(),
            external: false,
            alert: false,
            tags: vec![],
            why: "status 500".to_owned(),
            probes: vec![],
            elapsed: None,
            timeout: Duration::ZERO,
            unproven: false,
        };
        Report {
            policy: "check".to_owned(),
            generation,
            started_at: Instant::ZERO,
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict: Verdict::Starting,
            rules: vec![rule],
            observed_ok: true,
            may_take_over: None,
            error: None,
        }
    }

    fn hooks(due: impl IntoIterator<Item = Due>) -> Vec<Hook> {
        due.into_iter().map(|due| due.hook).collect()
    }

    #[test]
    fn a_role_has_its_hook_and_events_are_counted() {
        let mut story = Story::default();
        let backup = story.happened(Instant::ZERO, &transition(Role::Fault, Role::Backup)).unwrap();
        let master = story.happened(Instant::ZERO, &transition(Role::Backup, Role::Master)).unwrap();
        assert_eq!((backup.hook, master.hook), (Hook::Backup, Hook::Master));
        assert_eq!((backup.event.seq, master.event.seq), (1, 2));
        assert_eq!((master.event.from.as_str(), master.event.to.as_str()), ("backup", "master"));
        let release = story.leaving(Hook::Release, "stopped", Instant::ZERO);
        assert_eq!((release.event.from.as_str(), release.event.reason.as_str()), ("master", "stopped"));
    }

    #[test]
    fn maintenance_is_no_fault() {
        let mut story = Story::default();
        let raised = story.happened(Instant::ZERO, &Event::Raised(maintenance()));
        assert_eq!(hooks(raised), [Hook::Maintenance]);
        assert_eq!(story.happened(Instant::ZERO, &transition(Role::Master, Role::Fault)), None);
        assert_eq!(hooks(story.happened(Instant::ZERO, &Event::Cleared(maintenance()))), [Hook::Maintenance]);
        assert_eq!(hooks(story.happened(Instant::ZERO, &transition(Role::Master, Role::Fault))), [Hook::Fault]);
    }

    #[test]
    fn a_rule_that_turns_is_told_once() {
        let mut story = Story::default();
        for (state, expected) in [
            (RuleState::Unknown, None),
            (RuleState::Up, None),
            (RuleState::Failing, None),
            (RuleState::Down, Some(false)),
            (RuleState::Down, None),
            (RuleState::Up, Some(true)),
        ] {
            let due = story.judged(&report(1, state));
            assert_eq!(due.first().and_then(|due| due.event.rule.as_ref()).map(|rule| rule.up), expected, "{state:?}");
        }
        let down = story.judged(&report(1, RuleState::Down));
        assert_eq!(down[0].event.rules_down, ["web"]);
    }

    #[test]
    fn another_version_is_told() {
        let mut story = Story::default();
        assert_eq!(hooks(story.judged(&report(1, RuleState::Up))), []);
        assert_eq!(hooks(story.judged(&report(2, RuleState::Down))), [Hook::Reload, Hook::Rule]);
    }
}
