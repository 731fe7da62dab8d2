//! The memory of one policy in one instance, and its evaluation.

use std::{sync::Arc, time::Duration};

use super::{Clock, Context, Engine, Policy, Report, Verdict, probe::Prober};

/// What is remembered of one (instance, policy) from one evaluation to the next; survives reloads.
#[derive(Debug, Default)]
pub struct Judge {}

impl Judge {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Evaluates the policy once. Blocks the thread until the probes have answered, at most
    /// [`Policy::deadline`].
    pub fn evaluate(
        &mut self,
        _engine: &Engine,
        policy: &Policy,
        generation: u64,
        _context: &Context,
        _prober: &Arc<dyn Prober>,
        clock: &Arc<dyn Clock>,
    ) -> Report {
        Report {
            policy: policy.name().to_owned(),
            generation,
            started_at: clock.now(),
            elapsed: Duration::ZERO,
            verdict: Verdict::Hold { why: "policies are not evaluated yet".to_owned() },
            rules: Vec::new(),
            observed_ok: false,
            may_take_over: None,
            error: None,
        }
    }

    /// The next evaluation uses another version: its new rules start up, unproven; rules it no longer names are dropped.
    pub fn reloaded(&mut self) {}

    /// Some rule is on its way down or up, or not known yet: evaluate at [`Policy::fast`].
    #[must_use]
    pub const fn in_transition(&self) -> bool {
        false
    }
}
