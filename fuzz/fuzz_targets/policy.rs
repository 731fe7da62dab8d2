//! A policy's file, whatever is in it: it is refused or loaded, and what is loaded is judged and its tests are run.
//!
//! Probes answer at once, and the clock is one that each look moves: a deadline comes soon and always at the same step.

#![no_main]

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
use libfuzzer_sys::fuzz_target;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: ha::linux::CountingAllocator = ha::linux::CountingAllocator;

static ENGINE: LazyLock<Engine> = LazyLock::new(Engine::new);

fuzz_target!(|text: &str| {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(4 * STACK);
        thread.spawn_scoped(scope, || judge(text)).unwrap().join().unwrap();
    });
});

fn judge(text: &str) {
    let Ok(policy) = Policy::load(&ENGINE, "fuzzed", "fuzzed.rhai", text) else { return };
    let prober: Arc<dyn Prober> = Arc::new(AtOnce);
    let clock: Arc<dyn Clock> = Arc::new(Hasty::default());
    let report = Judge::new().evaluate(&ENGINE, &policy, 1, &Context::default(), &prober, &clock);
    let failures = run_tests(&ENGINE, &policy, Some(Cap { clock, time: Duration::from_secs(1) })).failures;
    for said in report.error.into_iter().chain(failures.into_iter().map(|failure| failure.message)) {
        assert!(!said.contains("a fault inside ha"), "{said}");
    }
}

struct AtOnce;

impl Prober for AtOnce {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, pending) = mpsc::sync_channel(1);
        let (why, elapsed, fields) = ("so it is".to_owned(), Duration::from_millis(1), BTreeMap::new());
        let _ = sender.try_send(ProbeOutcome { ok: false, why, error: ErrorKind::Refused, blind: false, elapsed, fields });
        pending
    }
}

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
