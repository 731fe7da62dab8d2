//! What the policies of an instance say, taken together (policy.md 3.5, R20-R24): the worst wins, weights add.

use std::collections::BTreeMap;

use crate::{
    policy::{Report, Verdict},
    words::Instant,
};

/// The last word of each policy.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    policies: BTreeMap<String, Word>,
}

#[derive(Debug)]
enum Word {
    /// Not heard of since the process started.
    Nothing,
    /// It could not be loaded and none was running.
    NeverLoaded(String),
    Said(Report),
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opinion {
    /// Serve, with these weights.
    Healthy { delta: i32 },
    /// Not eligible yet.
    Starting,
    /// Not eligible: this policy never loaded.
    NeverLoaded { why: String },
    /// Keep the present role.
    Hold { why: String },
    /// Give up the address.
    Fault { why: String, external: bool },
    /// Stand down quietly.
    Maintenance { why: String },
}

impl Judgement {
    pub(super) fn new(policies: &[String]) -> Self {
        let mut judgement = Self::default();
        judgement.configure(policies);
        judgement
    }

    /// Takes the list of the configuration; what was said by those that stay still counts.
    pub(super) fn configure(&mut self, policies: &[String]) {
        self.policies.retain(|name, _| policies.contains(name));
        for name in policies {
            self.policies.entry(name.clone()).or_insert(Word::Nothing);
        }
    }

    /// A report of a policy that no longer judges this instance is late and counts for nothing.
    pub(super) fn said(&mut self, report: Report) {
        if let Some(word) = self.policies.get_mut(&report.policy) {
            *word = Word::Said(report);
        }
    }

    pub(super) fn never_loaded(&mut self, policy: &str, why: String) {
        if let Some(word) = self.policies.get_mut(policy) {
            *word = Word::NeverLoaded(why);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    pub(super) fn reports(&self) -> Vec<Report> {
        self.policies.values().filter_map(Word::report).cloned().collect()
    }

    /// Every policy was evaluated from the start after `since`, and every observation was good (R6).
    pub(super) fn fresh(&self, since: Instant) -> bool {
        let good = |report: &Report| {
            report.started_at >= since
                && report.observed_ok
                && report.error.is_none()
                && report.may_take_over != Some(false)
        };
        self.policies.values().all(|word| word.report().is_some_and(good))
    }

    /// Why [`fresh`](Self::fresh) is not so, for an operator.
    pub(super) fn objection(&self, since: Instant) -> String {
        let report = |word: &Word| match word.report() {
            None => Some("the policies have not been evaluated yet".to_owned()),
            Some(report) if report.started_at < since => None,
            Some(report) if report.may_take_over == Some(false) => {
                Some(format!("{}: may_take_over says no", report.policy))
            }
            Some(report) => report
                .rules
                .iter()
                .find(|rule| rule.ok != Some(true))
                .map(|rule| format!("{}: {}", rule.name, rule.why)),
        };
        self.policies
            .values()
            .find_map(report)
            .unwrap_or_else(|| "a fresh evaluation of the policies is awaited".to_owned())
    }

    /// Maintenance before fault before never loaded before hold before starting before healthy.
    pub(super) fn opinion(&self) -> Opinion {
        let opinions: Vec<Opinion> = self.policies.iter().map(|(name, word)| word.opinion(name)).collect();
        let delta = opinions.iter().map(|opinion| if let Opinion::Healthy { delta } = opinion { *delta } else { 0 });
        let delta = delta.fold(0, i32::saturating_add);
        let worst = opinions.iter().max_by_key(|opinion| opinion.weight());
        match worst {
            None | Some(Opinion::Healthy { .. }) => Opinion::Healthy { delta },
            // A fault is an external one only if every fault is.
            Some(Opinion::Fault { .. }) => {
                let faults = opinions.iter().filter_map(|opinion| match opinion {
                    Opinion::Fault { why, external } => Some((why.as_str(), *external)),
                    Opinion::Healthy { .. }
                    | Opinion::Starting
                    | Opinion::NeverLoaded { .. }
                    | Opinion::Hold { .. }
                    | Opinion::Maintenance { .. } => None,
                });
                let (whys, external): (Vec<&str>, Vec<bool>) = faults.unzip();
                Opinion::Fault { why: whys.join("; "), external: external.into_iter().all(|external| external) }
            }
            Some(other) => other.clone(),
        }
    }
}

impl Word {
    const fn report(&self) -> Option<&Report> {
        match self {
            Self::Said(report) => Some(report),
            Self::Nothing | Self::NeverLoaded(_) => None,
        }
    }

    fn opinion(&self, policy: &str) -> Opinion {
        match self {
            Self::Nothing => Opinion::Starting,
            Self::NeverLoaded(why) => Opinion::NeverLoaded { why: format!("policy {policy}: {why}") },
            Self::Said(report) => match &report.verdict {
                Verdict::Starting => Opinion::Starting,
                Verdict::Healthy { delta, .. } => Opinion::Healthy { delta: *delta },
                Verdict::Fault { why, external } => Opinion::Fault { why: why.clone(), external: *external },
                Verdict::Hold { why } => Opinion::Hold { why: why.clone() },
                Verdict::Maintenance { why } => Opinion::Maintenance { why: why.clone() },
            },
        }
    }
}

impl Opinion {
    const fn weight(&self) -> u8 {
        match self {
            Self::Healthy { .. } => 0,
            Self::Starting => 1,
            Self::Hold { .. } => 2,
            Self::NeverLoaded { .. } => 3,
            Self::Fault { .. } => 4,
            Self::Maintenance { .. } => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(policy: &str, verdict: Verdict) -> Report {
        Report {
            policy: policy.to_owned(),
            generation: 1,
            started_at: Instant::from_epoch(Duration::from_secs(5)),
            elapsed: Duration::ZERO,
            verdict,
            rules: vec![],
            observed_ok: true,
            may_take_over: None,
            error: None,
        }
    }

    fn judged(verdicts: [Verdict; 2]) -> Opinion {
        let mut judgement = Judgement::new(&["a".to_owned(), "b".to_owned()]);
        let [a, b] = verdicts;
        judgement.said(report("a", a));
        judgement.said(report("b", b));
        judgement.opinion()
    }

    fn fault(external: bool) -> Verdict {
        Verdict::Fault { why: "why".to_owned(), external }
    }

    fn healthy(delta: i32) -> Verdict {
        Verdict::Healthy { delta, note: String::new() }
    }

    #[test]
    fn no_policy_is_healthy_and_an_unheard_one_is_starting() {
        assert_eq!(Judgement::default().opinion(), Opinion::Healthy { delta: 0 });
        assert_eq!(Judgement::new(&["a".to_owned()]).opinion(), Opinion::Starting);
    }

    #[test]
    fn the_worst_wins_and_weights_add() {
        assert_eq!(judged([healthy(-10), healthy(-20)]), Opinion::Healthy { delta: -30 });
        assert_eq!(judged([healthy(-10), Verdict::Starting]), Opinion::Starting);
        assert!(matches!(judged([Verdict::Starting, Verdict::Hold { why: String::new() }]), Opinion::Hold { .. }));
        assert!(matches!(
            judged([fault(true), Verdict::Hold { why: String::new() }]),
            Opinion::Fault { external: true, .. }
        ));
        assert!(matches!(
            judged([fault(false), Verdict::Maintenance { why: String::new() }]),
            Opinion::Maintenance { .. }
        ));
    }

    #[test]
    fn r23_a_fault_is_external_only_if_every_fault_is() {
        assert!(matches!(judged([fault(true), fault(true)]), Opinion::Fault { external: true, .. }));
        assert!(matches!(judged([fault(true), fault(false)]), Opinion::Fault { external: false, .. }));
    }

    #[test]
    fn a_policy_that_never_loaded_is_not_healthy() {
        let mut judgement = Judgement::new(&["a".to_owned()]);
        judgement.never_loaded("a", "no such file".to_owned());
        assert!(matches!(judgement.opinion(), Opinion::NeverLoaded { .. }));
    }

    #[test]
    fn r6_fresh_is_evaluated_since_and_good() {
        let at = |secs| Instant::from_epoch(Duration::from_secs(secs));
        let mut judgement = Judgement::new(&["a".to_owned()]);
        assert!(!judgement.fresh(at(0)));
        judgement.said(report("a", healthy(0)));
        assert!(judgement.fresh(at(5)));
        assert!(!judgement.fresh(at(6)));
        judgement.said(Report { observed_ok: false, ..report("a", healthy(0)) });
        assert!(!judgement.fresh(at(5)));
        judgement.said(Report { may_take_over: Some(false), ..report("a", healthy(0)) });
        assert!(!judgement.fresh(at(5)));
    }
}
