//! A probe of an evaluation and its outcome. Reading the outcome waits for it; starting does not, so probes run concurrently.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak, mpsc::RecvTimeoutError},
    time::Duration,
};

use super::{
    Clock, duration,
    probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober, given_up},
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
    prober: Arc<dyn Prober>,
    reserved: Reserved,
    state: Mutex<State>,
}

enum State {
    /// Nobody is at it yet.
    Reserved,
    Running(Pending),
    Done(Arc<ProbeOutcome>),
}

/// The probe that the evaluation's own thread performs while it would wait anyway, which saves another thread its work:
/// the last of those that [only block](Prober::only_blocks). As soon as there is something else to wait for it is sent on
/// its way as any other.
#[derive(Clone, Default)]
pub(super) struct Reserved(Arc<Mutex<Weak<Job>>>);

impl Reserved {
    /// Puts `next` in the place of the one there is, which starts.
    fn replace(&self, next: Weak<Job>) {
        let before = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), next);
        if let Some(job) = before.upgrade() {
            job.begin();
        }
    }

    /// It is `job`: nobody else will start it.
    fn take(&self, job: &Job) -> bool {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_this = std::ptr::eq(held.as_ptr(), job);
        if is_this {
            *held = Weak::new();
        }
        is_this
    }
}

impl Job {
    /// Starts the probe. It gets its own timeout or what is `left` of the evaluation, whichever is less.
    pub(super) fn start(
        mut request: ProbeRequest,
        left: Duration,
        prober: &Arc<dyn Prober>,
        reserved: &Reserved,
        clock: &dyn Clock,
    ) -> Arc<Self> {
        let started_at = clock.now();
        let cut_short = left < request.timeout;
        request.timeout = request.timeout.min(left);
        let only_blocks = !request.timeout.is_zero() && prober.only_blocks(&request);
        let state = if request.timeout.is_zero() {
            State::Done(Arc::new(deadline()))
        } else if only_blocks {
            State::Reserved
        } else {
            State::Running(prober.start(&request))
        };
        let (prober, reserved) = (Arc::clone(prober), reserved.clone());
        let job = Arc::new(Self { request, started_at, cut_short, prober, reserved, state: Mutex::new(state) });
        if only_blocks {
            job.reserved.replace(Arc::downgrade(&job));
        }
        job
    }

    /// What was asked.
    pub(super) const fn request(&self) -> &ProbeRequest {
        &self.request
    }

    /// The outcome, as soon as there is one.
    pub(super) fn outcome(&self, clock: &dyn Clock) -> Arc<ProbeOutcome> {
        let performs = self.reserved.take(self);
        if !performs && !self.is_done() {
            self.reserved.replace(Weak::new());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match &*state {
            State::Done(outcome) => return Arc::clone(outcome),
            State::Running(pending) => Arc::new(self.wait(pending, clock)),
            State::Reserved => Arc::new(self.perform(clock)),
        };
        *state = State::Done(Arc::clone(&outcome));
        outcome
    }

    fn is_done(&self) -> bool {
        matches!(&*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Done(_))
    }

    /// Sends a reserved probe on its way.
    fn begin(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(&*state, State::Reserved) {
            *state = State::Running(self.prober.start(&self.request));
        }
    }

    fn perform(&self, clock: &dyn Clock) -> ProbeOutcome {
        let timeout = self.request.timeout.saturating_sub(clock.now().saturating_since(self.started_at));
        if timeout.is_zero() {
            return self.late();
        }
        self.named(self.prober.perform(&ProbeRequest { timeout, ..self.request.clone() }))
    }

    fn wait(&self, pending: &Pending, clock: &dyn Clock) -> ProbeOutcome {
        let passed = clock.now().saturating_since(self.started_at);
        match pending.recv_timeout((self.request.timeout + GRACE).saturating_sub(passed)) {
            Ok(outcome) => self.named(outcome),
            Err(RecvTimeoutError::Timeout) => self.late(),
            Err(RecvTimeoutError::Disconnected) => given_up(),
        }
    }

    /// What ended it is named by its cause: the policy's deadline, not the probe's own.
    fn named(&self, outcome: ProbeOutcome) -> ProbeOutcome {
        if self.cut_short && outcome.error == ErrorKind::Timeout { deadline() } else { outcome }
    }

    fn late(&self) -> ProbeOutcome {
        if self.cut_short {
            return deadline();
        }
        let why = format!("timeout after {}", duration::show(self.request.timeout));
        failed(ErrorKind::Timeout, why, self.request.timeout)
    }
}

fn deadline() -> ProbeOutcome {
    failed(ErrorKind::Deadline, "not finished before the policy's deadline".to_owned(), Duration::ZERO)
}

fn failed(error: ErrorKind, why: String, elapsed: Duration) -> ProbeOutcome {
    ProbeOutcome { ok: false, why, error, blind: false, elapsed, fields: BTreeMap::new() }
}
