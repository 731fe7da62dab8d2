//! Evaluators whose evaluations are a function of the test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    path::Path,
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use super::*;
use crate::{
    daemon::{
        policies::{DriverClock, Said, library::Generation},
        store::Store,
    },
    node::{InstanceStatus, Role},
    policy::{
        Engine, Verdict,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
    },
    wire::Priority,
};

const QUICK: &str = "const INTERVAL = \"100ms\"; const DEADLINE = \"100ms\"; fn check() {}";
const SLOW: &str = "const INTERVAL = \"30s\"; const DEADLINE = \"100ms\"; fn check() {}";

/// An evaluator whose evaluations are a function of the test.
struct Rig {
    runtime: tokio::runtime::Runtime,
    said: mpsc::Receiver<Said>,
    regressed: mpsc::Receiver<Regression>,
    /// Nobody takes regressions.
    full: Arc<AtomicBool>,
    /// The next time that something is said the thread ends by a panic.
    panics: Arc<AtomicBool>,
    shelf: watch::Sender<Shelf>,
    pace: watch::Sender<Pace>,
    _status: watch::Sender<Arc<NodeStatus>>,
    _evaluator: Evaluator,
    _state: tempfile::TempDir,
}

fn running(number: u64, text: &str) -> Shelf {
    loaded(number, text, Instant::ZERO, None)
}

/// As it is after a change.
fn on_probation(number: u64, text: &str) -> Shelf {
    loaded(number, text, DriverClock::default().now(), Some(Duration::from_secs(60)))
}

fn loaded(number: u64, text: &str, loaded_at: Instant, probation: Option<Duration>) -> Shelf {
    let policy = Policy::load(&Engine::new(), "p", "p.rhai", text).unwrap();
    Shelf::Running(Arc::new(Generation {
        number,
        loaded_at,
        last_good: false,
        sha256: String::new(),
        modules: std::collections::BTreeMap::new(),
        probation,
        policy,
    }))
}

fn status() -> NodeStatus {
    NodeStatus {
        node: "K1".into(),
        now: Instant::ZERO,
        groups: vec![],
        instances: vec![InstanceStatus {
            name: "VI_1".into(),
            interface: "eth0".into(),
            device: None,
            vrid: 51,
            version: 2,
            role: Role::Backup,
            since: Instant::ZERO,
            reason: String::new(),
            conditions: vec![],
            priority: Priority::new(100).unwrap(),
            effective_priority: None,
            source: Some("192.168.0.20".parse().unwrap()),
            addresses: vec![],
            held: vec![],
            devices: std::collections::BTreeMap::new(),
            routing: vec![],
            lease: None,
            peers: vec![],
            paths: vec![],
            witness: None,
            transitions: 0,
            sent: 0,
            received: 0,
            discarded: std::collections::BTreeMap::new(),
            reports: vec![],
        }],
    }
}

impl Rig {
    fn start(shelf: Shelf, work: impl Fn(u64, &Context) + Send + Sync + 'static) -> Self {
        let evaluate: Evaluate = Arc::new(move |_, policy, generation, context| {
            work(generation, context);
            Report {
                policy: policy.name().to_owned(),
                generation,
                started_at: Instant::ZERO,
                elapsed: Duration::ZERO,
                followed_within: None,
                verdict: Verdict::Starting,
                rules: vec![],
                observed_ok: true,
                may_take_over: None,
                error: None,
            }
        });
        Self::with(shelf, evaluate, |_| ())
    }

    /// Really evaluates; `work` is done before that, `beside` where it is for comparison.
    fn with(shelf: Shelf, evaluate: Evaluate, beside: impl Fn(u64) + Send + Sync + 'static) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (tell, said) = mpsc::channel();
        let panics = Arc::new(AtomicBool::new(false));
        let hits = Arc::clone(&panics);
        let shelf = watch::Sender::new(shelf);
        let pace = watch::Sender::new(Pace::Normal);
        let status = watch::Sender::new(Arc::new(status()));
        let shadow = Arc::clone(&evaluate);
        let (regress, regressed) = mpsc::channel();
        let full = Arc::new(AtomicBool::new(false));
        let has_no_room = Arc::clone(&full);
        let state = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
        let keeping = Keeping::open(Store::at(Path::new("/nowhere")), clock);
        let bench = Bench {
            shadow: Arc::new(move |judge, policy, generation, context| {
                beside(generation);
                Some(shadow(judge, policy, generation, context))
            }),
            lending: Lending::default(),
            evaluate,
            regressed: Arc::new(move |regression| {
                !has_no_room.load(Ordering::SeqCst) && regress.send(regression).is_ok()
            }),
            audit: Arc::new(Audit::at(state.path().join("audit.jsonl"))),
            clock: Arc::new(DriverClock::default()),
            status: status.subscribe(),
            say: Arc::new(move |said| {
                drop(tell.send(said));
                assert!(!hits.swap(false, Ordering::SeqCst), "once, on purpose");
            }),
            keeping,
            started: Instant::ZERO,
            runtime: runtime.handle().clone(),
        };
        let evaluator = Evaluator::start(bench, "VI_1", "p", shelf.subscribe(), pace.subscribe());
        Self {
            runtime,
            said,
            regressed,
            full,
            panics,
            shelf,
            pace,
            _status: status,
            _evaluator: evaluator,
            _state: state,
        }
    }

    fn next(&self, within: Duration) -> Report {
        match self.said.recv_timeout(within).expect("nothing was said in time") {
            Said::Judged { report, .. } => report,
            other @ (Said::NeverLoaded { .. } | Said::Heal { .. } | Said::Journal(_)) => panic!("{other:?}"),
        }
    }

    fn end(self) {
        self.runtime.shutdown_background();
    }
}

/// A file that is there or not, as the test wants it.
#[derive(Default)]
struct Switch(AtomicBool);

impl Prober for Switch {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let ok = self.0.load(Ordering::SeqCst);
        let error = if ok { ErrorKind::None } else { ErrorKind::Mismatch };
        let (sender, pending) = mpsc::sync_channel(1);
        let (why, elapsed, fields) = (String::new(), Duration::ZERO, std::collections::BTreeMap::new());
        sender.send(ProbeOutcome { ok, why, error, blind: false, elapsed, fields }).unwrap();
        pending
    }
}

/// Evaluates as the daemon does.
fn really(switch: &Arc<Switch>) -> Evaluate {
    let (engine, prober) = (Engine::new(), Arc::clone(switch) as Arc<dyn Prober>);
    let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
    Arc::new(move |judge, policy, generation, context| {
        judge.evaluate(&engine, policy, generation, context, &prober, &clock)
    })
}

fn quick(check: &str) -> String {
    format!("const INTERVAL = \"100ms\"; const DEADLINE = \"100ms\"; fn check() {{ {check} }}")
}

fn is_fault(report: &Report) -> bool {
    matches!(report.verdict, Verdict::Fault { .. })
}

const SECONDS: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(500);

#[test]
fn evaluations_follow_the_interval_and_never_overlap() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (Arc::clone(&now), Arc::clone(&most));
    let rig = Rig::start(running(1, QUICK), move |_, _| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(150));
        inside.fetch_sub(1, Ordering::SeqCst);
    });
    let begun = std::time::Instant::now();
    for _ in 0..4 {
        assert_eq!(rig.next(SECONDS).error, None);
    }
    // 150 ms each at every second tick of 100 ms: the missed ones are skipped.
    assert!(begun.elapsed() >= Duration::from_millis(740), "{:?}", begun.elapsed());
    assert_eq!(most.load(Ordering::SeqCst), 1);
    rig.end();
}

/// What the version before said holds for as long as that one would have needed.
#[test]
fn a_version_that_may_take_longer_is_waited_for_as_long() {
    let (really, (release, held)) = (really(&Arc::default()), mpsc::sync_channel::<()>(0));
    let held = Mutex::new(held);
    let evaluate: Evaluate = Arc::new(move |judge, policy, generation, context| {
        if generation == 2 {
            let _ = held.lock().unwrap().recv();
        }
        really(judge, policy, generation, context)
    });
    let rig = Rig::with(running(1, QUICK), evaluate, |_| ());
    let first = rig.next(SECONDS);
    let long = QUICK.replace("DEADLINE = \"100ms\"", "DEADLINE = \"30s\"");
    rig.shelf.send_replace(running(2, &long));
    let needed = first.started_at + Duration::from_secs(30);
    let said = (0..100).map(|_| rig.next(SECONDS)).find(|said| said.counts_until().is_some_and(|until| until > needed));
    let said = said.unwrap();
    assert_eq!((said.generation, said.verdict), (1, first.verdict), "the same is said again");
    drop(release);
    assert_eq!(rig.next(SECONDS).generation, 2);
    rig.end();
}

#[test]
fn what_says_the_same_is_no_news_unless_it_is_waited_for() {
    let rig = Rig::start(running(1, QUICK), |_, _| ());
    let news = || match rig.said.recv_timeout(SECONDS).unwrap() {
        Said::Judged { news, .. } => news,
        other @ (Said::NeverLoaded { .. } | Said::Heal { .. } | Said::Journal(_)) => panic!("{other:?}"),
    };
    assert_eq!([news(), news(), news()], [true, false, false]);
    rig.pace.send_replace(Pace::Fast);
    assert!((0..3).any(|_| news()));
    rig.pace.send_replace(Pace::Normal);
    assert!((0..3).any(|_| !news()));
    rig.shelf.send_replace(running(2, QUICK));
    assert!((0..3).any(|_| news()));
    rig.end();
}

#[test]
fn a_take_over_is_not_kept_waiting() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&asked);
    let rig = Rig::start(running(1, SLOW), move |_, context| log.lock().unwrap().push(context.ask_may_take_over));
    rig.next(SECONDS);
    rig.pace.send_replace(Pace::Fast);
    rig.next(SOON);
    assert_eq!(*asked.lock().unwrap(), [false, true]);
    rig.end();
}

#[test]
fn a_take_over_that_is_asked_for_during_an_evaluation_gets_one_of_its_own() {
    let (go, gate) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let gate = Mutex::new(gate);
    let rig = Rig::start(running(1, SLOW), move |_, context| {
        entered.send(context.ask_may_take_over).unwrap();
        let _ = gate.lock().unwrap().recv();
    });
    assert!(!inside.recv_timeout(SECONDS).unwrap());
    rig.pace.send_replace(Pace::Fast);
    go.send(()).unwrap();
    assert!(inside.recv_timeout(SOON).unwrap());
    drop(go);
    rig.end();
}

#[test]
fn a_new_generation_is_evaluated_at_once() {
    let rig = Rig::start(running(1, SLOW), |_, _| ());
    assert_eq!(rig.next(SECONDS).generation, 1);
    rig.shelf.send_replace(running(2, SLOW));
    assert_eq!(rig.next(SOON).generation, 2);
    rig.end();
}

#[test]
fn an_evaluation_that_hangs_is_a_hold_until_another_generation_comes() {
    let rig = Rig::start(running(1, QUICK), |generation, _| {
        if generation == 1 {
            std::thread::sleep(Duration::from_secs(30));
        }
    });
    for _ in 0..2 {
        let report = rig.next(SECONDS);
        assert!(matches!(report.verdict, Verdict::Hold { .. }), "{report:?}");
        assert!(report.error.unwrap().contains("does not come back"));
    }
    rig.shelf.send_replace(running(2, QUICK));
    while rig.next(SECONDS).generation != 2 {}
    rig.end();
}

#[test]
fn an_evaluation_that_panics_is_a_hold_and_the_next_one_runs() {
    let first = AtomicUsize::new(0);
    let rig = Rig::start(running(1, QUICK), move |_, _| {
        assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "the first one fails, on purpose");
    });
    assert!(matches!(rig.next(SECONDS).verdict, Verdict::Hold { .. }));
    assert_eq!(rig.next(SECONDS).error, None);
    rig.end();
}

#[test]
fn nothing_is_done_for_an_evaluation_that_was_left_behind() {
    let (go, gate) = mpsc::channel::<()>();
    let (gate, evaluate) = (Mutex::new(gate), really(&Arc::default()));
    let left: Evaluate = Arc::new(move |judge, policy, generation, context| {
        let report = evaluate(judge, policy, generation, context);
        if generation == 1 {
            let _ = gate.lock().unwrap().recv();
        }
        report
    });
    let heals =
        "require(\"web\", file(\"/web\"), #{ fall: 1 }); heal(\"web\", || service_restart(\"web\"), #{ after: 1 });";
    let rig = Rig::with(running(1, &quick(heals)), left, |_| ());
    assert!(rig.next(SECONDS).error.unwrap().contains("does not come back"));
    rig.shelf.send_replace(running(2, QUICK));
    while rig.next(SECONDS).generation != 2 {}
    drop(go);
    // A repair that comes after all would be said among these.
    (0..5).for_each(|_| assert_eq!(rig.next(SECONDS).generation, 2));
    rig.end();
}

#[test]
fn a_version_that_comes_back_goes_on_with_its_own_gates() {
    let switch = Arc::new(Switch(AtomicBool::new(true)));
    let good = quick("require(\"web\", file(\"/web\"));");
    let rig = Rig::with(running(1, &good), really(&switch), |_| ());
    assert!(!is_fault(&rig.next(SECONDS)));
    rig.shelf.send_replace(on_probation(2, &quick("require(\"web\", !file(\"/web\").ok, #{ fall: 1, latch: true });")));
    while !is_fault(&rig.next(SECONDS)) {}
    assert_eq!(rig.regressed.recv_timeout(SECONDS).unwrap().generation, 2);
    rig.shelf.send_replace(running(1, &good));
    let back = std::iter::from_fn(|| Some(rig.next(SECONDS))).find(|report| report.generation == 1).unwrap();
    assert!(!is_fault(&back), "{:?}", back.verdict);
    rig.end();
}

#[test]
fn what_nobody_could_take_is_told_again() {
    let switch = Arc::new(Switch(AtomicBool::new(true)));
    let good = quick("require(\"web\", file(\"/web\"));");
    let (evaluated, beside) = mpsc::channel();
    let rig = Rig::with(running(1, &good), really(&switch), move |_| {
        let _ = evaluated.send(());
    });
    assert!(!is_fault(&rig.next(SECONDS)));
    rig.full.store(true, Ordering::SeqCst);
    rig.shelf.send_replace(on_probation(2, &quick("require(\"web\", !file(\"/web\").ok, #{ fall: 1 });")));
    while !is_fault(&rig.next(SECONDS)) {}
    // It is compared, and there is no room.
    (0..3).for_each(|_| beside.recv_timeout(SECONDS).expect("it is compared no more"));
    assert_eq!(rig.regressed.try_recv().ok(), None);
    rig.full.store(false, Ordering::SeqCst);
    assert_eq!(rig.regressed.recv_timeout(SECONDS).unwrap().generation, 2);
    rig.end();
}

/// The gate is latched; a version that had forgotten it would be healthy, and the next one worse than it.
#[test]
fn a_change_while_the_version_before_is_evaluated_beside_forgets_nothing() {
    let switch = Arc::<Switch>::default();
    let text = |mark: u8| {
        quick(&format!("let m = {mark}; require(\"web\", file(\"/web\"), #{{ fall: 1, rise: 1, latch: true }});"))
    };
    let (go, gate) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let gate = Mutex::new(gate);
    let rig = Rig::with(running(1, &text(1)), really(&switch), move |_| {
        let _ = entered.send(());
        let _ = gate.lock().unwrap().recv();
    });
    while !is_fault(&rig.next(SECONDS)) {}
    switch.0.store(true, Ordering::SeqCst);
    rig.shelf.send_replace(on_probation(2, &text(2)));
    inside.recv_timeout(SECONDS).unwrap();
    rig.shelf.send_replace(on_probation(3, &text(3)));
    while rig.next(SECONDS).generation != 3 {}
    drop(go);
    inside.recv_timeout(SECONDS).unwrap();
    (0..5).for_each(|_| assert!(is_fault(&rig.next(SECONDS))));
    assert_eq!(rig.regressed.try_recv().ok(), None);
    rig.end();
}

#[test]
fn what_was_never_loaded_is_said_and_evaluated_once_it_is() {
    let rig = Rig::start(Shelf::Empty("p.rhai does not exist".into()), |_, _| ());
    match rig.said.recv_timeout(SECONDS).unwrap() {
        Said::NeverLoaded { instance, policy, why } => {
            assert_eq!((instance.as_str(), policy.as_str(), why.as_str()), ("VI_1", "p", "p.rhai does not exist"));
        }
        other @ (Said::Judged { .. } | Said::Heal { .. } | Said::Journal(_)) => panic!("{other:?}"),
    }
    rig.shelf.send_replace(running(1, QUICK));
    assert_eq!(rig.next(SOON).generation, 1);
    rig.end();
}

/// What was said last would stay for ever.
#[test]
fn a_thread_that_ends_is_a_hold_and_another_one_is_started() {
    let rig = Rig::start(running(1, QUICK), |_, _| ());
    assert_eq!(rig.next(SECONDS).error, None);
    rig.panics.store(true, Ordering::SeqCst);
    let lost = std::iter::from_fn(|| Some(rig.next(SECONDS))).find(|report| report.error.is_some()).unwrap();
    assert!(lost.error.unwrap().contains("its thread has ended"));
    assert_eq!(rig.next(SECONDS).error, None);
    rig.end();
}
