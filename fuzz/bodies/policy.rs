//! A policy's file, whatever is in it: it is refused or loaded, and what is loaded is judged and its tests are run.
//!
//! Probes answer at once, and the clock is one that each look moves: a deadline comes soon and always at the same step.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::Duration,
};

use ha::{
    policy::{
        Cap, Clock, Context, Engine, Judge, Policy, STACK, WallTime,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
        run_tests,
    },
    words::Instant,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

/// What the fuzzer's instruments add to each frame has room too.
const ROOM: usize = if cfg!(fuzzing) { 4 * STACK } else { STACK };

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(ROOM);
        thread.spawn_scoped(scope, || judge(text)).unwrap().join().unwrap();
    });
}

fn judge(text: &str) {
    let Ok(policy) = Policy::load(&ENGINE, "fuzzed", "fuzzed.rhai", text) else { return };
    let prober: Arc<dyn Prober> = Arc::new(Fickle::default());
    let clock: Arc<dyn Clock> = Arc::new(Hasty::default());
    let mut judge = Judge::new();
    let reports = [1, 2].map(|number| judge.evaluate(&ENGINE, &policy, number, &Context::default(), &prober, &clock));
    let failures = run_tests(&ENGINE, &policy, Some(Cap { clock, time: Duration::from_secs(1) })).failures;
    let said = reports.into_iter().filter_map(|report| report.error);
    for said in said.chain(failures.into_iter().map(|failure| failure.message)) {
        assert!(!said.contains("a fault inside ha"), "{said}");
    }
}

/// Every other probe fails.
#[derive(Default)]
struct Fickle(AtomicU64);

impl Prober for Fickle {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, pending) = mpsc::sync_channel(1);
        let ok = self.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        let error = if ok { ErrorKind::None } else { ErrorKind::Refused };
        let (why, elapsed, fields) = ("so it is".to_owned(), Duration::from_millis(1), BTreeMap::new());
        let _ = sender.try_send(ProbeOutcome { ok, why, error, blind: false, elapsed, fields });
        pending
    }
}

/// Each look takes ten milliseconds.
#[derive(Default)]
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Instant {
        Instant::from_epoch(Duration::from_millis(10 * self.0.fetch_add(1, Ordering::Relaxed)))
    }

    fn wall(&self) -> WallTime {
        WallTime::default()
    }
}
