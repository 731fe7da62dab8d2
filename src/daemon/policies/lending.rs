//! What acts is done once: a program, or an HTTP request that does more than ask, is performed for the version that decides.
//! The version that is evaluated beside it sees what came of the equal request, each outcome once, and performs none.
//! Where there is no such outcome its evaluation comes to nothing: what it would say is not known.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::Duration,
};

use tokio::{runtime::Handle, task::spawn_blocking};

use crate::{
    policy::{
        Clock,
        probe::{ErrorKind, Fields, Pending, ProbeOutcome, ProbeRequest, Prober},
    },
    words::Instant,
};

/// Outcomes that wait for one version at most: an evaluation makes no more probes.
const MOST: usize = 64;

/// An instance and a policy.
type Pair = (String, String);

/// What came of the probes of the versions that decide, for as long as somebody wants it. A clone is the same.
#[derive(Clone, Debug, Default)]
pub struct Lending(Arc<Mutex<BTreeMap<Pair, Vec<Lent>>>>);

#[derive(Debug)]
struct Lent {
    request: ProbeRequest,
    /// When it was asked.
    at: Instant,
    outcome: ProbeOutcome,
}

/// While this lives, outcomes of its pair are kept.
#[derive(Debug)]
pub(super) struct Loan {
    lending: Lending,
    pair: Pair,
}

impl Lending {
    /// From now on somebody wants the outcomes of this pair.
    pub(super) fn open(&self, instance: &str, policy: &str) -> Loan {
        let pair = (instance.to_owned(), policy.to_owned());
        self.lock().insert(pair.clone(), Vec::new());
        Loan { lending: self.clone(), pair }
    }

    /// The prober for the version of a pair that decides.
    pub(super) fn lender(
        &self,
        instance: &str,
        policy: &str,
        prober: &Arc<dyn Prober>,
        clock: &Arc<dyn Clock>,
    ) -> Arc<dyn Prober> {
        let pair = (instance.to_owned(), policy.to_owned());
        if !self.lock().contains_key(&pair) {
            return Arc::clone(prober);
        }
        Arc::new(Lender { lending: self.clone(), pair, prober: Arc::clone(prober), clock: Arc::clone(clock) })
    }

    /// The prober for the version of a pair that is evaluated beside it.
    pub(super) fn borrower(&self, instance: &str, policy: &str, prober: &Arc<dyn Prober>) -> Arc<Borrower> {
        let pair = (instance.to_owned(), policy.to_owned());
        Arc::new(Borrower { lending: self.clone(), pair, prober: Arc::clone(prober), borrowed: Mutex::default() })
    }

    fn keep(&self, pair: &Pair, lent: Lent) {
        if let Some(kept) = self.lock().get_mut(pair) {
            kept.retain(|other| !is_equal(&other.request, &lent.request));
            if kept.len() < MOST {
                kept.push(lent);
            }
        }
    }

    fn take(&self, pair: &Pair, request: &ProbeRequest) -> Option<Lent> {
        let mut all = self.lock();
        let kept = all.get_mut(pair)?;
        let place = kept.iter().position(|lent| is_equal(&lent.request, request))?;
        Some(kept.swap_remove(place))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Pair, Vec<Lent>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lending.lock().remove(&self.pair);
    }
}

/// They ask the same; how long each has left for it does not matter, nor what reports call it.
fn is_equal(one: &ProbeRequest, other: &ProbeRequest) -> bool {
    let of = |request: &ProbeRequest| ProbeRequest { timeout: Duration::ZERO, name: None, ..request.clone() };
    of(one) == of(other)
}

struct Lender {
    lending: Lending,
    pair: Pair,
    prober: Arc<dyn Prober>,
    clock: Arc<dyn Clock>,
}

impl Prober for Lender {
    fn start(&self, request: &ProbeRequest) -> Pending {
        let at = self.clock.now();
        let pending = self.prober.start(request);
        if !request.kind.acts() || Handle::try_current().is_err() {
            return pending;
        }
        let (sender, passed_on) = mpsc::sync_channel(1);
        let (lending, pair, request) = (self.lending.clone(), self.pair.clone(), request.clone());
        spawn_blocking(move || {
            // A prober that gives up gives up here too: the sender is dropped.
            if let Ok(outcome) = pending.recv() {
                lending.keep(&pair, Lent { request, at, outcome: outcome.clone() });
                // Nobody waits any more if the evaluation is over.
                let _ = sender.try_send(outcome);
            }
        });
        passed_on
    }
}

/// Performs what only asks.
pub(super) struct Borrower {
    lending: Lending,
    pair: Pair,
    prober: Arc<dyn Prober>,
    borrowed: Mutex<Borrowed>,
}

/// What an evaluation took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Borrowed {
    /// When the oldest of it was asked.
    pub(super) oldest: Option<Instant>,
    /// Something was not there.
    pub(super) is_lacking: bool,
}

impl Borrower {
    pub(super) fn borrowed(&self) -> Borrowed {
        *self.borrowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Prober for Borrower {
    fn start(&self, request: &ProbeRequest) -> Pending {
        if !request.kind.acts() {
            return self.prober.start(request);
        }
        let lent = self.lending.take(&self.pair, request);
        let mut borrowed = self.borrowed.lock().unwrap_or_else(PoisonError::into_inner);
        match &lent {
            Some(lent) => borrowed.oldest = Some(borrowed.oldest.map_or(lent.at, |oldest| oldest.min(lent.at))),
            None => borrowed.is_lacking = true,
        }
        drop(borrowed);
        let (sender, pending) = mpsc::sync_channel(1);
        // There is room for it.
        let _ = sender.try_send(lent.map_or_else(nothing, |lent| lent.outcome));
        pending
    }
}

fn nothing() -> ProbeOutcome {
    ProbeOutcome {
        ok: false,
        why: "it acts, and is done for the version that decides only".to_owned(),
        error: ErrorKind::Internal,
        blind: true,
        elapsed: Duration::ZERO,
        fields: Fields::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        daemon::policies::DriverClock,
        policy::probe::{ExecRequest, FileRequest, ProbeKind},
    };

    /// Notes what it performs.
    #[derive(Default)]
    struct World(Mutex<Vec<String>>);

    impl Prober for World {
        fn start(&self, request: &ProbeRequest) -> Pending {
            self.0.lock().unwrap().push(request.key());
            let (sender, pending) = mpsc::sync_channel(1);
            sender.send(ProbeOutcome { ok: true, why: "done".into(), blind: false, ..nothing() }).unwrap();
            pending
        }
    }

    fn exec(program: &str) -> ProbeRequest {
        let exec = ExecRequest {
            argv: vec![program.to_owned()],
            user: None,
            environment: vec![],
            cwd: None,
            input: None,
            code: 0,
            expect: None,
            max_output: 1,
        };
        ProbeRequest::new(ProbeKind::Exec(exec), Duration::from_secs(1))
    }

    #[test]
    fn what_acts_is_done_once_and_each_outcome_is_seen_once() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let lending = Lending::default();
        let world = Arc::new(World::default());
        let prober: Arc<dyn Prober> = world.clone();
        let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
        let done = |prober: &dyn Prober, request: &ProbeRequest| prober.start(request).recv().unwrap();

        let loan = lending.open("VI_1", "p");
        let before = clock.now();
        assert!(done(&*lending.lender("VI_1", "p", &prober, &clock), &exec("/bin/a")).ok);
        let beside = lending.borrower("VI_1", "p", &prober);
        let later = ProbeRequest { timeout: Duration::from_millis(7), ..exec("/bin/a") };
        assert!(done(&*beside, &later).ok, "the same, with less time");
        assert!(beside.borrowed().oldest.is_some_and(|at| at >= before) && !beside.borrowed().is_lacking);
        let file = ProbeKind::File(FileRequest { path: "/a".into() });
        assert!(done(&*beside, &ProbeRequest::new(file, Duration::from_secs(1))).ok, "what only asks is asked");
        assert!(done(&*beside, &exec("/bin/a")).blind, "it was seen");
        assert!(beside.borrowed().is_lacking);
        let other = lending.borrower("VI_1", "p", &prober);
        assert!(done(&*other, &exec("/bin/b")).blind && other.borrowed().is_lacking);
        assert_eq!(*world.0.lock().unwrap(), ["exec:/bin/a", "file:/a"]);

        drop(loan);
        assert!(done(&*lending.lender("VI_1", "p", &prober, &clock), &exec("/bin/a")).ok);
        assert!(done(&*lending.borrower("VI_1", "p", &prober), &exec("/bin/a")).blind, "nobody kept it");
    }
}
