//! A policy in virtual time: every probe is ok, and rules see what they are made to see. The judge is the real one.

use std::{sync::Arc, time::Duration};

use super::{
    Clock, Context, Engine, Forced, Judge, Policy, Report, fake::FakeProber, probe::Prober, rehearsal::VirtualClock,
    thrown::Thrown,
};
use crate::words::Instant;

/// One policy in one instance.
pub struct Simulation {
    engine: Engine,
    policy: Policy,
    judge: Judge,
    /// What the policy is told; whoever simulates changes it between evaluations.
    pub context: Context,
    clock: Arc<VirtualClock>,
    began_at: Instant,
    last_at: Option<Instant>,
}

impl Simulation {
    /// Nothing has been evaluated yet.
    #[must_use]
    pub fn new(engine: &Engine, policy: &Policy, context: Context) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let began_at = clock.now();
        Self {
            engine: engine.clone(),
            policy: policy.clone(),
            judge: Judge::new(),
            context,
            clock,
            began_at,
            last_at: None,
        }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// From now on the rule of this name sees this.
    pub fn force(&mut self, rule: &str, forced: Forced) {
        self.context.forced.insert(rule.to_owned(), forced);
    }

    /// When the next evaluation is due, since the first.
    #[must_use]
    pub fn next(&self) -> Duration {
        self.next_at().saturating_since(self.began_at)
    }

    /// Evaluates when it is due next.
    pub fn evaluate(&mut self) -> Report {
        self.clock.set(self.next_at());
        let prober: Arc<dyn Prober> = Arc::new(FakeProber::default());
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let report = self.judge.evaluate(&self.engine, &self.policy, 1, &self.context, &prober, &clock);
        self.last_at = Some(report.started_at);
        report
    }

    /// What the last evaluation threw.
    pub(super) const fn thrown(&self) -> Option<&Thrown> {
        self.judge.thrown()
    }

    fn next_at(&self) -> Instant {
        let pace = self.policy.fast().filter(|_| self.judge.in_transition()).unwrap_or_else(|| self.policy.interval());
        self.last_at.map_or(self.began_at, |last| last + pace)
    }
}

impl std::fmt::Debug for Simulation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Simulation({:?})", self.policy)
    }
}
