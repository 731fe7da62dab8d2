//! A started probe and its outcome. Reading the outcome waits for it; starting does not, so probes run concurrently.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, mpsc::RecvTimeoutError},
    time::Duration,
};

use super::{
    Clock, duration,
    probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
};
use crate::words::Instant;

/// How much later than promised an outcome may come: scheduling.
const GRACE: Duration = Duration::from_millis(250);

/// A probe on its way.
pub(super) struct Job {
    request: ProbeRequest,
    started_at: Instant,
    /// The evaluation ends before the probe's own timeout.
    cut_short: bool,
    state: Mutex<State>,
}

enum State {
    Running(Pending),
    Done(Arc<ProbeOutcome>),
}

impl Job {
    /// Starts the probe. It gets its own timeout or what is `left` of the evaluation, whichever is less.
    pub(super) fn start(mut request: ProbeRequest, left: Duration, prober: &dyn Prober, clock: &dyn Clock) -> Self {
        let started_at = clock.now();
        let cut_short = left < request.timeout;
        request.timeout = request.timeout.min(left);
        let state = if request.timeout.is_zero() {
            State::Done(Arc::new(deadline()))
        } else {
            State::Running(prober.start(&request))
        };
        Self { request, started_at, cut_short, state: Mutex::new(state) }
    }

    /// What was asked.
    pub(super) const fn request(&self) -> &ProbeRequest {
        &self.request
    }

    /// The outcome, as soon as there is one.
    pub(super) fn outcome(&self, clock: &dyn Clock) -> Arc<ProbeOutcome> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &*state {
            State::Done(outcome) => return Arc::clone(outcome),
            State::Running(pending) => Arc::new(self.wait(pending, clock)),
        };
        *state = State::Done(Arc::clone(&outcome));
        outcome
    }

    fn wait(&self, pending: &Pending, clock: &dyn Clock) -> ProbeOutcome {
        let passed = clock.now().saturating_since(self.started_at);
        match pending.recv_timeout((self.request.timeout + GRACE).saturating_sub(passed)) {
            Ok(outcome) if self.cut_short && outcome.error == ErrorKind::Timeout => deadline(),
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) if self.cut_short => deadline(),
            Err(RecvTimeoutError::Timeout) => {
                let why = format!("timeout after {}", duration::show(self.request.timeout));
                failed(ErrorKind::Timeout, why, self.request.timeout, false)
            }
            Err(RecvTimeoutError::Disconnected) => {
                failed(ErrorKind::Internal, "the probe was given up by its worker".to_owned(), Duration::ZERO, true)
            }
        }
    }
}

fn deadline() -> ProbeOutcome {
    failed(ErrorKind::Deadline, "not finished before the policy's deadline".to_owned(), Duration::ZERO, false)
}

fn failed(error: ErrorKind, why: String, elapsed: Duration, blind: bool) -> ProbeOutcome {
    ProbeOutcome { ok: false, why, error, blind, elapsed, fields: BTreeMap::new() }
}
