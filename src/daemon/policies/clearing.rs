//! Which rules an operator means by a name, and what clearing them does.

use std::collections::BTreeSet;

use crate::{
    control::protocol::Clear,
    node::NodeStatus,
    policy::{Report, RuleReport},
    words::Instant,
};

/// A rule that is held down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) instance: String,
    pub(super) policy: String,
    /// What is done about it.
    pub(super) text: String,
}

/// The rules that are meant and that something holds down.
///
/// # Errors
///
/// There is none, and why.
pub(super) fn find(status: &NodeStatus, now: Instant, clear: &Clear) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    let mut others = Vec::new();
    for (instance, report, rule) in rules(status).filter(|(instance, report, _)| is_meant(clear, instance, report)) {
        if rule.name != clear.rule {
            continue;
        }
        let whose = format!("rule {} of policy {}", rule.name, report.policy);
        if rule.gate.is_held(now) {
            let text = format!("{whose} is held down no more; it comes up with {}", next(rule));
            found.push(Found { instance: instance.to_owned(), policy: report.policy.clone(), text });
        } else if rule.is_down() {
            others.push(format!("{instance}: nothing but its observations keeps {whose} down: {}", rule.why));
        } else {
            others.push(format!("{instance}: {whose} is not down"));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    Err(if others.is_empty() { unknown(status, now, clear) } else { others.join("; ") })
}

fn rules(status: &NodeStatus) -> impl Iterator<Item = (&str, &Report, &RuleReport)> {
    status.instances.iter().flat_map(|instance| {
        let name = instance.name.as_str();
        instance.reports.iter().flat_map(move |report| report.rules.iter().map(move |rule| (name, report, rule)))
    })
}

fn is_meant(clear: &Clear, instance: &str, report: &Report) -> bool {
    clear.instance.as_ref().is_none_or(|wanted| wanted == instance)
        && clear.policy.as_ref().is_none_or(|wanted| *wanted == report.policy)
}

/// What it takes from now on.
fn next(rule: &RuleReport) -> String {
    let missing = rule.hysteresis.rise.saturating_sub(rule.gate.oks());
    if missing <= 1 { "the next success".to_owned() } else { format!("the next {missing} successes in a row") }
}

/// No rule is called so.
fn unknown(status: &NodeStatus, now: Instant, clear: &Clear) -> String {
    let instances: Vec<&str> = status.instances.iter().map(|instance| instance.name.as_str()).collect();
    if let Some(stranger) = clear.instance.as_ref().filter(|wanted| !instances.contains(&wanted.as_str())) {
        return format!("there is no instance {stranger}; there are {}", instances.join(", "));
    }
    let reports = status.instances.iter().flat_map(|instance| &instance.reports);
    let policies: BTreeSet<&str> = reports.map(|report| report.policy.as_str()).collect();
    if let Some(stranger) = clear.policy.as_ref().filter(|wanted| !policies.contains(wanted.as_str())) {
        let known = policies.into_iter().collect::<Vec<_>>().join(", ");
        return format!("no policy {stranger} was evaluated; there are {known}");
    }
    let held = rules(status).filter(|(_, _, rule)| rule.gate.is_held(now));
    let held: Vec<String> = held.map(|(instance, _, rule)| format!("{} in {instance}", rule.name)).collect();
    let there =
        if held.is_empty() { "no rule is held down".to_owned() } else { format!("held down: {}", held.join(", ")) };
    format!("no rule \"{}\" is known there; {there}", clear.rule)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::fixture,
        health::{Falls, Gate, Hysteresis},
        node::Node,
        policy::{RuleEffect, Verdict},
    };

    const NOW: Instant = Instant::from_epoch(Duration::from_secs(100));

    fn rule(name: &str, gate: Gate) -> RuleReport {
        RuleReport {
            name: name.into(),
            effect: RuleEffect::Require,
            file: None,
            line: 1,
            ok: Some(true),
            gate,
            hysteresis: Hysteresis { rise: 3, ..Hysteresis::default() },
            external: false,
            alert: false,
            tags: vec![],
            unproven: false,
            why: "status 500".into(),
            probes: vec![],
            elapsed: None,
            timeout: Duration::ZERO,
        }
    }

    fn status() -> NodeStatus {
        let latched = Gate::after_restart(NOW, &Falls { latched: true, ..Falls::default() });
        let mut down = latched;
        down.clear();
        let rules = vec![rule("data", latched), rule("web", down), rule("net", Gate::unproven(NOW))];
        let report = Report {
            policy: "check_local".into(),
            generation: 1,
            started_at: NOW,
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict: Verdict::Starting,
            rules,
            observed_ok: true,
            may_take_over: None,
            error: None,
        };
        let mut status = Node::new(NOW, &fixture::pair().0).status();
        status.instances[0].reports.push(report);
        status
    }

    fn clear(rule: &str) -> Clear {
        Clear { rule: rule.into(), ..Clear::default() }
    }

    #[test]
    fn a_rule_that_is_latched_is_found_and_what_it_takes_is_said() {
        let found = find(&status(), NOW, &clear("data")).unwrap();
        let text =
            "rule data of policy check_local is held down no more; it comes up with the next 3 successes in a row";
        assert_eq!(found, [Found { instance: "VI_1".into(), policy: "check_local".into(), text: text.into() }]);
        let elsewhere = Clear { instance: Some("VI_2".into()), ..clear("data") };
        assert_eq!(find(&status(), NOW, &elsewhere).unwrap_err(), "there is no instance VI_2; there are VI_1");
        let other = Clear { policy: Some("other".into()), ..clear("data") };
        assert_eq!(find(&status(), NOW, &other).unwrap_err(), "no policy other was evaluated; there are check_local");
    }

    #[test]
    fn where_there_is_nothing_to_clear_it_is_said_why() {
        let why = |rule| find(&status(), NOW, &clear(rule)).unwrap_err();
        assert_eq!(
            why("web"),
            "VI_1: nothing but its observations keeps rule web of policy check_local down: status 500"
        );
        assert_eq!(why("net"), "VI_1: rule net of policy check_local is not down");
        assert_eq!(why("date"), "no rule \"date\" is known there; held down: data in VI_1");
    }
}
