//! A policy in virtual time: every probe is ok, and rules see what they are made to see. The judge is the real one.

use std::{sync::Arc, time::Duration};

use rhai::{Dynamic, Map};

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
    prober: Arc<FakeProber>,
    began_at: Instant,
    last_at: Option<Instant>,
    probed: Vec<String>,
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
            prober: Arc::default(),
            began_at,
            last_at: None,
            probed: Vec::new(),
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
        self.evaluate_at(self.next_at())
    }

    /// Evaluates at this moment, which is not before the last.
    pub fn evaluate_at(&mut self, now: Instant) -> Report {
        self.clock.set(now);
        let prober: Arc<dyn Prober> = Arc::clone(&self.prober) as Arc<dyn Prober>;
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let report = self.judge.evaluate(&self.engine, &self.policy, 1, &self.context, &prober, &clock);
        self.last_at = Some(report.started_at);
        self.probed = self.prober.take_probed();
        report
    }

    /// The keys of the probes that the last evaluation made.
    #[must_use]
    pub fn probed(&self) -> &[String] {
        &self.probed
    }

    /// From now on every probe with this key (or matching it, where it has `*`) finds that all is not well, or that it cannot
    /// look.
    ///
    /// # Errors
    /// The key names no probe.
    pub fn fail(&self, key: &str, blind: bool) -> Result<(), String> {
        let mut answer = Map::from([("ok".into(), Dynamic::FALSE)]);
        if blind {
            answer.insert("blind".into(), Dynamic::TRUE);
        }
        self.prober.fake(key, &[Dynamic::from_map(answer)])
    }

    /// Probes with this key find that all is well again; with `None` every probe does.
    pub fn mend(&self, key: Option<&str>) {
        match key {
            // One that was well all the time is well now.
            Some(key) => drop(self.prober.unfake(key)),
            None => self.prober.unfake_all(),
        }
    }

    /// What the machine's wall clock is ahead of the true time, in seconds.
    pub fn set_wall(&self, ahead: i64) {
        self.clock.set_wall(ahead);
    }

    /// How long after one evaluation the next is due; `fast`: the node waits for it.
    #[must_use]
    pub fn period(&self, fast: bool) -> Duration {
        self.policy.period(fast, self.judge.in_transition())
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
