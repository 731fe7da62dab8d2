//! Rules whose author wants somebody to be told: a condition while one is down, each for itself.

use std::collections::{BTreeMap, btree_map::Entry};

use super::{Condition, Event};
use crate::policy::Report;

/// What such a condition is called.
pub const RULE_ALERT: &str = "rule_alert";

/// Those that are down, by policy and rule.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<(String, String), Condition>);

impl Alerts {
    /// Takes what an evaluation says of a policy's rules; says what began and what ended.
    pub(super) fn follow(&mut self, report: &Report) -> Vec<Event> {
        let policy = &report.policy;
        let is_down = |name: &str| report.rules.iter().any(|rule| rule.alert && rule.is_down() && rule.name == name);
        let mut events = self.end(|(of, rule)| of == policy && !is_down(rule));
        for rule in report.rules.iter().filter(|rule| rule.alert && rule.is_down()) {
            if let Entry::Vacant(free) = self.0.entry((policy.clone(), rule.name.clone())) {
                let text = format!("rule {} of policy {policy} is down: {}", rule.name, rule.why);
                events.push(Event::Raised(free.insert(Condition { name: RULE_ALERT, text }).clone()));
            }
        }
        events
    }

    /// Only these policies judge from now on; says what ended.
    pub(super) fn keep(&mut self, policies: &[String]) -> Vec<Event> {
        self.end(|(of, _)| !policies.contains(of))
    }

    /// What is so now.
    pub(super) fn conditions(&self) -> impl Iterator<Item = &Condition> {
        self.0.values()
    }

    fn end(&mut self, over: impl Fn(&(String, String)) -> bool) -> Vec<Event> {
        self.0.extract_if(.., |key, _| over(key)).map(|(_, condition)| Event::Cleared(condition)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::fixture,
        health::{Gate, Hysteresis, Observation},
        node::{Input, Node, Output},
        policy::{RuleEffect, RuleReport, Verdict},
        words::Instant,
    };

    /// A rule that is down because of `why`, or up.
    fn rule(name: &str, alert: bool, why: Option<&str>) -> RuleReport {
        let hysteresis = Hysteresis { fall: 1, ..Hysteresis::default() };
        let mut gate = Gate::unproven(Instant::ZERO);
        if why.is_some() {
            gate.observe(Instant::ZERO, Observation::Fail, &hysteresis);
        }
        RuleReport {
            name: name.into(),
            effect: RuleEffect::Watch,
            file: None,
            line: 1,
            ok: Some(why.is_none()),
            gate,
            hysteresis,
            external: false,
            alert,
            tags: vec![],
            unproven: false,
            why: why.unwrap_or_default().into(),
            probes: vec![],
            elapsed: None,
            timeout: Duration::ZERO,
        }
    }

    fn report(rules: Vec<RuleReport>) -> Report {
        Report {
            policy: "check_local".into(),
            generation: 1,
            started_at: Instant::ZERO,
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict: Verdict::Healthy { delta: 0, note: String::new() },
            rules,
            observed_ok: true,
            may_take_over: None,
            error: None,
        }
    }

    fn condition(text: &str) -> Condition {
        Condition { name: RULE_ALERT, text: text.into() }
    }

    #[test]
    fn each_rule_is_said_once_when_it_falls_and_once_when_it_is_up() {
        let mut alerts = Alerts::default();
        let web = condition("rule web of policy check_local is down: status 500");
        let down = |why| report(vec![rule("web", true, Some(why)), rule("quiet", false, Some("x"))]);
        assert_eq!(alerts.follow(&down("status 500")), [Event::Raised(web.clone())]);
        assert_eq!(alerts.follow(&down("timeout")), [], "one more failure is no news");
        let both = report(vec![rule("web", true, Some("timeout")), rule("db", true, Some("refused"))]);
        let db = condition("rule db of policy check_local is down: refused");
        assert_eq!(alerts.follow(&both), [Event::Raised(db.clone())]);
        assert_eq!(alerts.conditions().count(), 2);
        assert_eq!(alerts.follow(&report(vec![rule("web", true, None)])), [Event::Cleared(db), Event::Cleared(web)]);
    }

    #[test]
    fn a_policy_that_judges_no_more_alerts_nobody() {
        let mut alerts = Alerts::default();
        alerts.follow(&report(vec![rule("web", true, Some("x"))]));
        assert_eq!(alerts.keep(&["check_local".into()]), []);
        assert_eq!(alerts.keep(&[]).len(), 1);
    }

    #[test]
    fn the_node_reports_and_shows_it() {
        let (config, _) = fixture::pair();
        let mut node = Node::new(Instant::ZERO, &config);
        let judged = report(vec![rule("web", true, Some("status 500"))]);
        node.handle_input(Instant::ZERO, Input::Judged { instance: "VI_1".into(), report: judged });
        let web = condition("rule web of policy check_local is down: status 500");
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll_output()).collect();
        let raised = Event::Raised(web.clone());
        assert!(outputs.iter().any(|output| matches!(output, Output::Report(journal) if journal.event == raised)));
        assert!(node.status().instances[0].conditions.contains(&web));
    }
}
