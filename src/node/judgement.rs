//! What the policies of an instance say, taken together (policy.md 3.5, R20-R24): the worst wins, weights add.

use std::collections::BTreeMap;

use crate::{
    config::OnError,
    policy::{FaultCause, Report, Verdict},
    words::{Instant, readable},
};

/// The last word of each policy.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    policies: BTreeMap<String, Word>,
    /// Those whose fault moves the priority, and by how much.
    weights: BTreeMap<String, i16>,
}

#[derive(Debug)]
enum Word {
    /// Not heard of since the process started.
    Nothing,
    /// It could not be loaded and none was running.
    NeverLoaded(String),
    /// `error_since`: the first of the evaluations that failed in a row, this one the last of them.
    Said { report: Report, error_since: Option<Instant> },
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
    Hold { why: String, cause: HoldCause },
    /// Give up the address.
    Fault { why: String, cause: FaultCause },
    /// Stand down quietly.
    Maintenance { why: String },
}

/// Why a policy wants the role to stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldCause {
    /// It said so.
    Script,
    /// It could not be evaluated.
    Error,
    /// It is no policy, but something that is tracked and cannot be seen.
    Unseen,
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

    /// These move the priority where others are a fault: above 0 they add while they are well, below 0 they take away while
    /// they are not.
    pub(super) fn weigh(&mut self, weights: &BTreeMap<String, i16>) {
        self.weights.clone_from(weights);
    }

    /// A report of a policy that no longer judges this instance is late and counts for nothing.
    pub(super) fn said(&mut self, report: Report) {
        if let Some(word) = self.policies.get_mut(&report.policy) {
            let began = match word {
                Word::Said { error_since, .. } => *error_since,
                Word::Nothing | Word::NeverLoaded(_) => None,
            };
            let failed = report.error.is_some() && matches!(report.verdict, Verdict::Hold { .. });
            let error_since = failed.then(|| began.unwrap_or(report.started_at));
            *word = Word::Said { report, error_since };
        }
    }

    /// It judges this instance.
    pub(super) fn knows(&self, policy: &str) -> bool {
        self.policies.contains_key(policy)
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

    /// Every policy was evaluated from the start after `since`, and every observation was good (R6), but for those of policies
    /// that only move the priority.
    pub(super) fn fresh(&self, since: Instant) -> bool {
        let good = |name: &String, report: &Report| {
            report.started_at >= since
                && (report.observed_ok || self.weights.contains_key(name))
                && report.error.is_none()
                && report.may_take_over != Some(false)
        };
        self.policies.iter().all(|(name, word)| word.report().is_some_and(|report| good(name, report)))
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

    /// Some policy has no version to evaluate: a node that was set up wrongly.
    pub(super) fn is_incomplete(&self) -> bool {
        self.policies.values().any(|word| match word {
            Word::NeverLoaded(_) => true,
            Word::Nothing | Word::Said { .. } => false,
        })
    }

    /// Some policy says that this node may not take over: no preference goes over that.
    pub(super) fn forbids_takeover(&self) -> bool {
        self.policies.values().any(|word| word.report().is_some_and(|report| report.may_take_over == Some(false)))
    }

    /// When a policy is not heard of any more, or an error has lasted so long that it becomes a fault; what lies ahead of it.
    pub(super) fn next_change(&self, now: Instant, on_error: OnError) -> Option<Instant> {
        let since = self.policies.values().filter_map(|word| match word {
            Word::Said { report, error_since } => error_since.or_else(|| report.counts_until()),
            Word::Nothing | Word::NeverLoaded(_) => None,
        });
        let fault_at = |since: Instant| match on_error {
            OnError::Hold => None,
            OnError::FaultAfter(time) => Some(since + time),
        };
        since.flat_map(|since| [Some(since), fault_at(since)]).flatten().filter(|at| now < *at).min()
    }

    /// What each policy adds to the priority.
    pub(super) fn weights(&self, now: Instant, on_error: OnError) -> BTreeMap<String, i32> {
        let healthy = |(name, word): (&String, &Word)| match self.weighed(name, word.opinion(name, now, on_error)) {
            Opinion::Healthy { delta } => Some((name.clone(), delta)),
            Opinion::Starting
            | Opinion::NeverLoaded { .. }
            | Opinion::Hold { .. }
            | Opinion::Fault { .. }
            | Opinion::Maintenance { .. } => None,
        };
        self.policies.iter().filter_map(healthy).collect()
    }

    /// What policies with a weight take from the priority, and why.
    pub(super) fn moves(&self, now: Instant, on_error: OnError) -> Vec<String> {
        let moved = |(name, weight): (&String, &i16)| match self.policies.get(name)?.opinion(name, now, on_error) {
            Opinion::Fault { why, .. } => Some(format!("policy {name}: {why} (-{})", weight.unsigned_abs())),
            Opinion::Healthy { .. }
            | Opinion::Starting
            | Opinion::NeverLoaded { .. }
            | Opinion::Hold { .. }
            | Opinion::Maintenance { .. } => None,
        };
        self.weights.iter().filter_map(moved).collect()
    }

    fn weighed(&self, policy: &str, opinion: Opinion) -> Opinion {
        let Some(weight) = self.weights.get(policy).copied().map(i32::from) else { return opinion };
        match opinion {
            Opinion::Fault { .. } => Opinion::Healthy { delta: weight.min(0) },
            Opinion::Healthy { delta } => Opinion::Healthy { delta: delta.saturating_add(weight.max(0)) },
            Opinion::Starting | Opinion::NeverLoaded { .. } | Opinion::Hold { .. } | Opinion::Maintenance { .. } => {
                opinion
            }
        }
    }

    /// Maintenance before fault before never loaded before hold before starting before healthy.
    pub(super) fn opinion(&self, now: Instant, on_error: OnError) -> Opinion {
        let each = self.policies.iter().map(|(name, word)| self.weighed(name, word.opinion(name, now, on_error)));
        each.fold(Opinion::WELL, Opinion::beside)
    }
}

impl Word {
    const fn report(&self) -> Option<&Report> {
        match self {
            Self::Said { report, .. } => Some(report),
            Self::Nothing | Self::NeverLoaded(_) => None,
        }
    }

    fn opinion(&self, policy: &str, now: Instant, on_error: OnError) -> Opinion {
        match self {
            Self::Nothing => Opinion::Starting,
            Self::NeverLoaded(why) => Opinion::NeverLoaded { why: format!("policy {policy}: {why}") },
            Self::Said { report, error_since: Some(since) } => failed(report, *since, now, on_error),
            Self::Said { report, error_since: None } => match report.counts_until().filter(|until| *until <= now) {
                Some(since) => failed(&silent(report), since, now, on_error),
                None => Opinion::of(&report.verdict),
            },
        }
    }
}

/// A report in place of those that do not come. Whoever evaluates says an error himself (R21); nothing is said where a thread of
/// the daemon waits for what does not come.
fn silent(report: &Report) -> Report {
    let why = format!(
        "policy {}: nothing is heard of it any more, not even that it hangs; the role stays as it is. That is a fault of ha: \
         restart it",
        report.policy
    );
    Report { verdict: Verdict::Hold { why: why.clone() }, error: Some(why), ..report.clone() }
}

/// What a policy comes to that cannot be evaluated: a hold, and a fault once it has lasted, if that is wanted (R21).
fn failed(report: &Report, since: Instant, now: Instant, on_error: OnError) -> Opinion {
    let why = report.error.clone().unwrap_or_default();
    match on_error {
        OnError::FaultAfter(time) if since + time <= now => {
            let lasted = readable(now.saturating_since(since));
            let why = format!("policy {} could not be evaluated for {lasted}: {why}", report.policy);
            Opinion::Fault { why, cause: FaultCause::Rules }
        }
        OnError::Hold | OnError::FaultAfter(_) => {
            let why = if let Verdict::Hold { why } = &report.verdict { why.clone() } else { why };
            Opinion::Hold { why, cause: HoldCause::Error }
        }
    }
}

impl Opinion {
    /// Nothing is the matter.
    pub(super) const WELL: Self = Self::Healthy { delta: 0 };

    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Starting => Self::Starting,
            Verdict::Healthy { delta, .. } => Self::Healthy { delta: *delta },
            Verdict::Fault { why, cause } => Self::Fault { why: why.clone(), cause: *cause },
            Verdict::Hold { why } => Self::Hold { why: why.clone(), cause: HoldCause::Script },
            Verdict::Maintenance { why } => Self::Maintenance { why: why.clone() },
        }
    }

    /// Both taken together: the graver one, and of two of a kind what both say.
    pub(super) fn beside(self, other: Self) -> Self {
        match (self, other) {
            (Self::Healthy { delta: one }, Self::Healthy { delta: two }) => {
                Self::Healthy { delta: one.saturating_add(two) }
            }
            // The gravest cause counts: it is an external fault only if every fault is.
            (Self::Fault { why: one, cause }, Self::Fault { why: two, cause: other }) => {
                Self::Fault { why: format!("{one}; {two}"), cause: cause.max(other) }
            }
            (one, two) if one.weight() > two.weight() => one,
            (_, two) => two,
        }
    }

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
            followed_within: None,
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
        opinion(&judgement)
    }

    fn at(secs: u64) -> Instant {
        Instant::from_epoch(Duration::from_secs(secs))
    }

    fn opinion(judgement: &Judgement) -> Opinion {
        judgement.opinion(at(5), OnError::Hold)
    }

    fn fault(cause: FaultCause) -> Verdict {
        Verdict::Fault { why: "why".to_owned(), cause }
    }

    fn healthy(delta: i32) -> Verdict {
        Verdict::Healthy { delta, note: String::new() }
    }

    #[test]
    fn no_policy_is_healthy_and_an_unheard_one_is_starting() {
        assert_eq!(opinion(&Judgement::default()), Opinion::Healthy { delta: 0 });
        assert_eq!(opinion(&Judgement::new(&["a".to_owned()])), Opinion::Starting);
    }

    #[test]
    fn the_worst_wins_and_weights_add() {
        assert_eq!(judged([healthy(-10), healthy(-20)]), Opinion::Healthy { delta: -30 });
        assert_eq!(judged([healthy(-10), Verdict::Starting]), Opinion::Starting);
        assert!(matches!(judged([Verdict::Starting, Verdict::Hold { why: String::new() }]), Opinion::Hold { .. }));
        assert!(matches!(
            judged([fault(FaultCause::External), Verdict::Hold { why: String::new() }]),
            Opinion::Fault { cause: FaultCause::External, .. }
        ));
        assert!(matches!(
            judged([fault(FaultCause::Script), Verdict::Maintenance { why: String::new() }]),
            Opinion::Maintenance { .. }
        ));
    }

    #[test]
    fn r23_a_fault_is_external_only_if_every_fault_is() {
        use FaultCause::{External, Rules, Script};
        for (one, other, both) in [
            (External, External, External),
            (External, Rules, Rules),
            (Script, External, Script),
            (Rules, Script, Script),
        ] {
            let why = "why; why".to_owned();
            assert_eq!(judged([fault(one), fault(other)]), Opinion::Fault { why, cause: both });
        }
    }

    #[test]
    fn a_fault_of_a_policy_with_a_weight_moves_the_priority() {
        let mut judgement = Judgement::new(&["a".to_owned(), "b".to_owned()]);
        judgement.weigh(&BTreeMap::from([("a".to_owned(), -20), ("b".to_owned(), 10)]));
        let said = |judgement: &mut Judgement, policy: &str, verdict| {
            judgement.said(Report { observed_ok: false, ..report(policy, verdict) });
        };
        said(&mut judgement, "a", healthy(-1));
        said(&mut judgement, "b", healthy(0));
        assert_eq!(opinion(&judgement), Opinion::Healthy { delta: 9 });
        assert!(judgement.fresh(at(5)), "what only moves the priority keeps nobody from a claim");
        for cause in [FaultCause::Rules, FaultCause::External, FaultCause::Script] {
            said(&mut judgement, "a", fault(cause));
            said(&mut judgement, "b", fault(cause));
            assert_eq!(opinion(&judgement), Opinion::Healthy { delta: -20 });
        }
        assert_eq!(judgement.weights(at(5), OnError::Hold), BTreeMap::from([("a".into(), -20), ("b".into(), 0)]));
        let moves = judgement.moves(at(5), OnError::Hold);
        assert_eq!(moves, ["policy a: why (-20)", "policy b: why (-10)"]);
        said(&mut judgement, "a", Verdict::Hold { why: String::new() });
        assert!(matches!(opinion(&judgement), Opinion::Hold { .. }), "only a fault is weighed");
    }

    #[test]
    fn a_policy_that_never_loaded_is_not_healthy() {
        let mut judgement = Judgement::new(&["a".to_owned()]);
        judgement.never_loaded("a", "no such file".to_owned());
        assert!(matches!(opinion(&judgement), Opinion::NeverLoaded { .. }));
    }

    /// One of two policies never loaded: what the other says counts where it is graver, and nothing makes it healthy.
    #[test]
    fn beside_one_that_never_loaded_only_a_graver_word_counts() {
        for (verdict, graver) in [
            (healthy(10), false),
            (Verdict::Starting, false),
            (Verdict::Hold { why: String::new() }, false),
            (fault(FaultCause::Rules), true),
            (Verdict::Maintenance { why: String::new() }, true),
        ] {
            let mut judgement = Judgement::new(&["a".to_owned(), "b".to_owned()]);
            judgement.never_loaded("a", "no such file".to_owned());
            judgement.said(report("b", verdict.clone()));
            let never = matches!(opinion(&judgement), Opinion::NeverLoaded { .. });
            assert_eq!(never, !graver, "{verdict:?}");
            assert!(judgement.is_incomplete());
        }
    }

    fn failing(started_at: u64) -> Report {
        let verdict = Verdict::Hold { why: "the policy could not be evaluated: it throws".to_owned() };
        Report { error: Some("it throws".to_owned()), started_at: at(started_at), ..report("a", verdict) }
    }

    #[test]
    fn r21_an_error_is_a_hold_and_a_fault_only_if_that_is_wanted_and_it_lasted() {
        let wanted = OnError::FaultAfter(Duration::from_secs(60));
        let mut judgement = Judgement::new(&["a".to_owned()]);
        let is_hold = |opinion| matches!(opinion, Opinion::Hold { cause: HoldCause::Error, .. });
        judgement.said(failing(10));
        judgement.said(failing(69));
        assert!(is_hold(judgement.opinion(at(69), wanted)));
        assert_eq!(judgement.next_change(at(69), wanted), Some(at(70)));
        assert!(is_hold(judgement.opinion(at(999), OnError::Hold)), "only if it is wanted");
        assert_eq!(judgement.next_change(at(69), OnError::Hold), None);
        let why = "policy a could not be evaluated for 60.00 s: it throws".to_owned();
        assert_eq!(judgement.opinion(at(70), wanted), Opinion::Fault { why, cause: FaultCause::Rules });
        assert_eq!(judgement.next_change(at(70), wanted), None);
        // One evaluation that succeeds ends it.
        judgement.said(report("a", healthy(0)));
        judgement.said(failing(80));
        assert!(is_hold(judgement.opinion(at(139), wanted)));
    }

    #[test]
    fn a_policy_that_falls_silent_is_held_like_one_that_cannot_be_evaluated() {
        let promise = |verdict| Report { followed_within: Some(Duration::from_secs(9)), ..report("a", verdict) };
        let wanted = OnError::FaultAfter(Duration::from_secs(60));
        for verdict in [healthy(10), fault(FaultCause::Rules), Verdict::Maintenance { why: String::new() }] {
            let mut judgement = Judgement::new(&["a".to_owned()]);
            judgement.said(promise(verdict));
            assert_eq!(judgement.next_change(at(5), OnError::Hold), Some(at(14)));
            let before = judgement.opinion(at(13), OnError::Hold);
            assert!(!matches!(before, Opinion::Hold { .. }), "{before:?}");
            let silent = judgement.opinion(at(14), OnError::Hold);
            assert!(matches!(silent, Opinion::Hold { cause: HoldCause::Error, .. }), "{silent:?}");
            assert_eq!(judgement.next_change(at(14), OnError::Hold), None);
            assert_eq!(judgement.next_change(at(14), wanted), Some(at(74)));
            assert!(matches!(judgement.opinion(at(74), wanted), Opinion::Fault { cause: FaultCause::Rules, .. }));
            // One word ends it.
            judgement.said(Report { started_at: at(80), ..promise(healthy(0)) });
            assert_eq!(judgement.opinion(at(88), OnError::Hold), Opinion::Healthy { delta: 0 });
        }
    }

    #[test]
    fn a_hold_that_the_script_asked_for_is_no_error() {
        let mut judgement = Judgement::new(&["a".to_owned()]);
        judgement.said(report("a", Verdict::Hold { why: "a backup runs".to_owned() }));
        let wanted = OnError::FaultAfter(Duration::from_secs(60));
        let held = Opinion::Hold { why: "a backup runs".to_owned(), cause: HoldCause::Script };
        assert_eq!(judgement.opinion(at(999), wanted), held);
    }

    #[test]
    fn r6_fresh_is_evaluated_since_and_good() {
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
