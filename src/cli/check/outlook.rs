//! What a verdict is worth, and what a report would be beside what was counted before.

use crate::{
    control::protocol::Rule,
    policy::{FaultCause, Report, RuleEffect, RuleReport, RuleState, Verdict},
    words::Instant,
};

/// It may serve with its full priority.
pub(super) fn is_healthy(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Healthy { delta, .. } => *delta >= 0,
        Verdict::Starting | Verdict::Fault { .. } | Verdict::Hold { .. } | Verdict::Maintenance { .. } => false,
    }
}

/// Nothing is known yet.
pub(super) fn is_starting(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Starting)
}

/// The report as the daemon would have made it: its counters, and this observation.
pub(super) fn continued(fresh: Report, before: &[Rule]) -> Report {
    let explicit_delta = delta_of(&fresh.verdict) + weights_down(&fresh.rules);
    let explicit_fault = matches!(fresh.verdict, Verdict::Fault { .. }) && down(&fresh.rules).next().is_none();
    let mut rules = fresh.rules;
    for rule in &mut rules {
        if let Some(before) = before.iter().find(|before| before.name == rule.name) {
            go_on(rule, fresh.started_at, before);
        }
    }
    let verdict = match fresh.verdict {
        Verdict::Hold { .. } | Verdict::Maintenance { .. } => fresh.verdict,
        Verdict::Fault { .. } if explicit_fault => fresh.verdict,
        Verdict::Starting | Verdict::Healthy { .. } | Verdict::Fault { .. } => decide(&rules, explicit_delta),
    };
    Report { verdict, rules, ..fresh }
}

/// Counts this observation on top of what was counted before.
fn go_on(rule: &mut RuleReport, now: Instant, before: &Rule) {
    rule.gate = before.gate(now);
    if let Some(observation) = rule.observation() {
        rule.gate.observe(now, observation, &rule.hysteresis);
    }
}

/// The rules decide: any `require` that is down is a fault, the weights of every `prefer` that is down add up.
fn decide(rules: &[RuleReport], delta: i32) -> Verdict {
    let faults: Vec<&RuleReport> = down(rules).collect();
    if !faults.is_empty() {
        let reasons: Vec<String> = faults.iter().map(|rule| format!("{}: {}", rule.name, rule.why)).collect();
        let external = faults.iter().all(|rule| rule.external);
        let cause = if external { FaultCause::External } else { FaultCause::Rules };
        return Verdict::Fault { why: reasons.join("; "), cause };
    }
    let unknown = |rule: &RuleReport| rule.effect == RuleEffect::Require && rule.state() == RuleState::Unknown;
    if rules.iter().any(unknown) {
        return Verdict::Starting;
    }
    Verdict::Healthy { delta: delta - weights_down(rules), note: String::new() }
}

fn down(rules: &[RuleReport]) -> impl Iterator<Item = &RuleReport> {
    rules.iter().filter(|rule| rule.effect == RuleEffect::Require && rule.is_down())
}

fn weights_down(rules: &[RuleReport]) -> i32 {
    let weight = |rule: &RuleReport| match rule.effect {
        RuleEffect::Prefer(weight) if rule.is_down() => weight,
        RuleEffect::Prefer(_) | RuleEffect::Require | RuleEffect::Watch | RuleEffect::Gate => 0,
    };
    rules.iter().map(weight).fold(0, i32::saturating_add)
}

fn delta_of(verdict: &Verdict) -> i32 {
    match verdict {
        Verdict::Healthy { delta, .. } => *delta,
        Verdict::Starting | Verdict::Fault { .. } | Verdict::Hold { .. } | Verdict::Maintenance { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::health::{Gate, Hysteresis, Observation};

    fn rule(effect: RuleEffect, ok: Option<bool>) -> RuleReport {
        let mut gate = Gate::unknown(Instant::ZERO);
        if let Some(ok) = ok {
            let observation = if ok { Observation::Ok } else { Observation::Fail };
            gate.observe(Instant::ZERO, observation, &Hysteresis::default());
        }
        RuleReport {
            name: "web".into(),
            effect,
            file: None,
            line: 1,
            ok,
            gate,
            hysteresis: Hysteresis::default(),
            alert: false,
            tags: vec![],
            external: false,
            why: "status 500".into(),
            probes: vec![],
            elapsed: None,
            timeout: Duration::ZERO,
            unproven: false,
        }
    }

    fn fresh(verdict: Verdict, rule: RuleReport) -> Report {
        Report {
            policy: "p".into(),
            generation: 0,
            started_at: Instant::ZERO,
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict,
            rules: vec![rule],
            observed_ok: false,
            may_take_over: None,
            error: None,
        }
    }

    /// The same rule as the daemon has it.
    fn before(state: &str, fails: u32, oks: u32) -> [Rule; 1] {
        let rule = Rule::at(Instant::ZERO, &rule(RuleEffect::Require, None));
        [Rule { state: state.into(), fails, oks, ..rule }]
    }

    fn healthy(delta: i32) -> Verdict {
        Verdict::Healthy { delta, note: String::new() }
    }

    #[test]
    fn this_observation_is_counted_on_top_of_the_daemons() {
        let failed = || fresh(Verdict::Starting, rule(RuleEffect::Require, Some(false)));
        let report = continued(failed(), &before("failing", 1, 0));
        assert_eq!(
            (report.rules[0].gate.fails(), report.rules[0].state(), report.verdict),
            (2, RuleState::Failing, healthy(0))
        );
        let report = continued(failed(), &before("failing", 2, 0));
        let fault = Verdict::Fault { why: "web: status 500".into(), cause: FaultCause::Rules };
        assert_eq!((report.rules[0].state(), report.verdict), (RuleState::Down, fault));
    }

    #[test]
    fn a_rule_that_is_down_needs_all_its_successes() {
        let passed = || fresh(healthy(0), rule(RuleEffect::Require, Some(true)));
        assert_eq!(continued(passed(), &before("down", 0, 0)).rules[0].state(), RuleState::Down);
        assert_eq!(continued(passed(), &before("down", 0, 1)).verdict, healthy(0));
    }

    #[test]
    fn no_information_changes_nothing() {
        let report = continued(fresh(Verdict::Starting, rule(RuleEffect::Require, None)), &before("up", 0, 9));
        assert_eq!(
            (report.rules[0].state(), report.rules[0].gate.oks(), report.verdict),
            (RuleState::Up, 9, healthy(0))
        );
    }

    #[test]
    fn what_the_script_decided_itself_stands() {
        let explicit = Verdict::Fault { why: "because".into(), cause: FaultCause::Script };
        let report = continued(fresh(explicit.clone(), rule(RuleEffect::Watch, Some(true))), &before("up", 0, 9));
        assert_eq!(report.verdict, explicit);
        let hold = Verdict::Hold { why: "wait".into() };
        let report = continued(fresh(hold.clone(), rule(RuleEffect::Require, Some(false))), &before("down", 5, 0));
        assert_eq!(report.verdict, hold);
    }

    #[test]
    fn weights_of_rules_that_are_down_add_to_what_the_script_adjusts() {
        let report = continued(fresh(healthy(-1), rule(RuleEffect::Prefer(10), Some(false))), &before("failing", 2, 0));
        assert_eq!(report.verdict, healthy(-11));
    }
}
