//! Probation: for a time after a change, the version before it is evaluated beside the new one, with real probes and a
//! memory of its own, and without any effect: what acts is not done for it (`lending`). Where the old one says healthy and
//! the new one does not, the change caused it.
//!
//! A verdict is compared only with an evaluation of the other version that saw nothing older: what broke in between is not
//! the fault of the change. Nor is it compared while the old one is on its way down as well.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
    time::{Instant as Tick, sleep_until, timeout_at},
};

use super::{evaluator::Bench, lending::Loan, library::Generation};
use crate::{
    node::facts,
    policy::{Judge, Report, RuleEffect, RuleReport, Verdict},
    words::Instant,
};

/// The version before is not evaluated more often, however fast the new one asks.
const PAUSE: Duration = Duration::from_millis(100);
/// How much longer than its own deadline it may take before it is given up.
const GRACE: Duration = Duration::from_secs(1);

/// A version does worse than the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regression {
    /// The policy.
    pub policy: String,
    /// The instance in which it was seen.
    pub instance: String,
    /// The version.
    pub generation: u64,
    /// It cannot be evaluated at all.
    pub broken: bool,
    /// What it says, and what the other one does.
    pub why: String,
}

/// A version on probation, beside the one before it. Ends when this is dropped.
#[derive(Debug)]
pub(super) struct Trial {
    seen: watch::Sender<Option<Report>>,
    /// What is evaluated beside it.
    pub(super) before: Arc<Generation>,
    own: Own,
    until: Instant,
    task: JoinHandle<()>,
    _loan: Loan,
}

/// What a version remembers that is evaluated beside another one. An evaluation works on a copy and brings it back, so that
/// whoever asks meanwhile gets what was known before it. A clone is the same.
#[derive(Clone, Debug)]
struct Own(Arc<Mutex<Known>>);

#[derive(Debug)]
struct Known {
    judge: Judge,
    /// Rules that an operator cleared during the evaluation that is under way.
    cleared: BTreeSet<String>,
}

impl Own {
    fn new(judge: Judge) -> Self {
        Self(Arc::new(Mutex::new(Known { judge, cleared: BTreeSet::new() })))
    }

    fn copy(&self) -> Judge {
        self.lock().judge.clone()
    }

    /// The copy that an evaluation works on.
    fn lend(&self) -> Judge {
        let mut known = self.lock();
        known.cleared.clear();
        known.judge.clone()
    }

    fn bring_back(&self, mut judge: Judge) {
        let mut known = self.lock();
        for rule in std::mem::take(&mut known.cleared) {
            judge.clear(&rule);
        }
        known.judge = judge;
    }

    fn clear(&self, rule: &str) {
        let mut known = self.lock();
        known.judge.clear(rule);
        known.cleared.insert(rule.to_owned());
    }

    /// Never held while anything is evaluated.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Trial {
    /// Begins to evaluate `before`, which remembers what `judge` does.
    pub(super) fn start(
        bench: &Bench,
        instance: &str,
        before: Arc<Generation>,
        judge: Judge,
        tried: &Generation,
    ) -> Self {
        let until = tried.loaded_at + tried.probation.unwrap_or_default();
        let (seen, sees) = watch::channel(None);
        let own = Own::new(judge);
        let loan = bench.lending.open(instance, before.policy.name());
        let shadow = Shadow {
            bench: bench.clone(),
            instance: instance.to_owned(),
            generation: Arc::clone(&before),
            own: own.clone(),
            until,
        };
        Self { seen, before, own, until, task: bench.runtime.spawn(shadow.run(sees)), _loan: loan }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until
    }

    /// Ends it: what was evaluated beside the version on probation, and what that remembers.
    pub(super) fn end(self) -> (Arc<Generation>, Judge) {
        (Arc::clone(&self.before), self.memory())
    }

    /// What the version before remembers.
    pub(super) fn memory(&self) -> Judge {
        self.own.copy()
    }

    /// An operator holds a rule down no more.
    pub(super) fn clear(&self, rule: &str) {
        self.own.clear(rule);
    }

    /// What the version on probation says.
    pub(super) fn saw(&self, report: &Report) {
        self.seen.send_replace(Some(report.clone()));
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The version before, while it is evaluated.
struct Shadow {
    bench: Bench,
    instance: String,
    generation: Arc<Generation>,
    own: Own,
    until: Instant,
}

impl Shadow {
    async fn run(self, mut sees: watch::Receiver<Option<Report>>) {
        while self.bench.clock.now() < self.until {
            let begun = Tick::now();
            let Some(old) = self.evaluate().await else { return };
            let new = sees.borrow_and_update().clone();
            if let Some((new, why)) = new.zip(old).and_then(|(new, old)| worse(&new, &old).map(|why| (new, why))) {
                let Report { policy, generation, .. } = new;
                let instance = self.instance.clone();
                if (self.bench.regressed)(Regression { policy, instance, generation, broken: false, why }) {
                    return;
                }
            }
            let due = begun + self.generation.policy.interval().max(PAUSE);
            // A verdict that is not well is compared at once.
            let ill = async {
                while sees.changed().await.is_ok() {
                    if sees.borrow().as_ref().is_some_and(|report| !is_well(report)) {
                        return;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = sleep_until(due) => {}
                () = ill => sleep_until((begun + PAUSE).min(due)).await,
            }
        }
    }

    /// `None`: it does not come back, or the node is gone. A report of `None`: what it would say is not known.
    async fn evaluate(&self) -> Option<Option<Report>> {
        let bench = &self.bench;
        let status = Arc::clone(&bench.status.borrow());
        let context = facts::context(&status, &self.instance, bench.clock.now(), bench.started, false)?;
        let (mut judge, evaluate) = (self.own.lend(), Arc::clone(&bench.shadow));
        let generation = Arc::clone(&self.generation);
        let patience = Tick::now() + generation.policy.deadline() + GRACE;
        let evaluation = spawn_blocking(move || {
            let report = evaluate(&mut judge, &generation.policy, generation.number, &context);
            // Nobody is to read it twice, and nothing is to be repaired by a version that does not decide.
            drop((judge.take_log(), judge.take_heals()));
            (report, judge)
        });
        let (report, judge) = timeout_at(patience, evaluation).await.ok()?.ok()?;
        if report.is_some() {
            self.own.bring_back(judge);
        }
        Some(report)
    }
}

/// Serves, with its whole priority.
fn is_well(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Healthy { delta: 0.., .. }) && report.error.is_none()
}

/// How the new version does worse than the old one, where the old one is healthy.
fn worse(new: &Report, old: &Report) -> Option<String> {
    let Verdict::Healthy { delta: before, .. } = &old.verdict else { return None };
    if old.error.is_some() || new.started_at > old.started_at || old.rules.iter().any(is_falling) {
        return None;
    }
    let said = match &new.verdict {
        Verdict::Fault { why, .. } => format!("it says fault ({why})"),
        Verdict::Healthy { delta, note } if delta < before => format!("it lowers the priority by {} ({note})", -delta),
        // Whoever asks for that means it.
        Verdict::Healthy { .. } | Verdict::Hold { .. } | Verdict::Maintenance { .. } | Verdict::Starting => {
            return None;
        }
    };
    Some(format!("{said}, where generation {} says healthy", old.generation))
}

/// It may be down soon.
fn is_falling(rule: &RuleReport) -> bool {
    rule.ok == Some(false) && !rule.is_down() && rule.effect != RuleEffect::Watch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::FaultCause;

    fn report(generation: u64, at: u64, verdict: Verdict) -> Report {
        Report {
            policy: "p".into(),
            generation,
            started_at: Instant::from_epoch(Duration::from_secs(at)),
            elapsed: Duration::ZERO,
            followed_within: None,
            verdict,
            rules: vec![],
            observed_ok: true,
            may_take_over: None,
            error: None,
        }
    }

    fn healthy(delta: i32) -> Verdict {
        Verdict::Healthy { delta, note: "disk".into() }
    }

    fn fault() -> Verdict {
        Verdict::Fault { why: "web".into(), cause: FaultCause::Rules }
    }

    #[test]
    fn only_what_the_change_made_worse_counts() {
        let hold = || Verdict::Hold { why: String::new() };
        for (new, old, expected) in [
            (fault(), healthy(0), Some("it says fault (web), where generation 1 says healthy")),
            (healthy(-30), healthy(0), Some("it lowers the priority by 30 (disk), where generation 1 says healthy")),
            (healthy(-30), healthy(-30), None),
            (healthy(0), healthy(-30), None),
            (fault(), fault(), None),
            (fault(), hold(), None),
            (fault(), Verdict::Starting, None),
            (hold(), healthy(0), None),
            (Verdict::Maintenance { why: String::new() }, healthy(0), None),
        ] {
            let (new, old) = (report(2, 10, new), report(1, 10, old));
            assert_eq!(worse(&new, &old).as_deref(), expected, "{new:?} {old:?}");
        }
    }

    #[test]
    fn what_broke_since_is_not_the_fault_of_the_change() {
        assert_eq!(worse(&report(2, 11, fault()), &report(1, 10, healthy(0))), None);
        let broken = Report { error: Some("it throws".into()), ..report(1, 10, healthy(0)) };
        assert_eq!(worse(&report(2, 10, fault()), &broken), None);
    }
}
