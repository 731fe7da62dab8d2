//! Policies at work around a node that is played.

use std::{
    fs,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::*;
use crate::{
    config,
    policy::{
        FaultCause, Verdict,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest},
    },
};

/// No probe is made here.
struct Nothing;

impl Prober for Nothing {
    fn start(&self, _: &ProbeRequest) -> Pending {
        mpsc::channel().1
    }
}

fn configuration(directory: &Path, policies: &str) -> Config {
    let text = format!(
        "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\nversion = 2\n\
         advertise = \"1s\"\naddresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\npolicies = [{policies}]\n"
    );
    config::parse(&text, &directory.join("ha.toml"), &config::Facts::default()).unwrap().config
}

fn next(said: &mpsc::Receiver<Said>) -> (String, u64, Verdict) {
    loop {
        match said.recv_timeout(Duration::from_secs(5)).expect("nothing was said") {
            Said::Judged { report, .. } => return (report.policy, report.generation, report.verdict),
            Said::NeverLoaded { .. } | Said::Heal { .. } | Said::Journal(_) => {}
        }
    }
}

/// The daemon around the policies: their files, and the node's status with what they said last.
struct Around {
    base: tempfile::TempDir,
    config: Config,
    status: watch::Sender<Arc<NodeStatus>>,
    tell: mpsc::Sender<Said>,
    said: mpsc::Receiver<Said>,
}

impl Around {
    fn with(text: &str) -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("policies")).unwrap();
        let config = configuration(base.path(), "\"a\"");
        let mut node = crate::node::Node::new(Instant::ZERO, &config).status();
        node.instances[0].source = Some("192.168.0.20".parse().unwrap());
        let (tell, said) = mpsc::channel();
        let around = Self { base, config, status: watch::Sender::new(Arc::new(node)), tell, said };
        around.write(text);
        around
    }

    fn write(&self, text: &str) {
        fs::write(self.base.path().join("policies/a.rhai"), text).unwrap();
    }

    fn start(&self) -> Policies {
        self.start_with(Arc::new(Nothing))
    }

    fn start_with(&self, prober: Arc<dyn Prober>) -> Policies {
        self.start_after(prober, Renames::default())
    }

    fn start_after(&self, prober: Arc<dyn Prober>, renamed: Renames) -> Policies {
        let tell = self.tell.clone();
        let store = Store::open(&self.base.path().join("state")).unwrap();
        let keeping = Keeping::open(store.clone(), Arc::new(DriverClock::default()));
        keeping.rename(&renamed);
        let surroundings = Surroundings {
            clock: Arc::new(DriverClock::default()),
            prober,
            store,
            keeping,
            status: self.status.subscribe(),
            say: Arc::new(move |said| drop(tell.send(said))),
        };
        Policies::start(&self.config, surroundings).unwrap()
    }

    /// The next verdict; the node takes note of it.
    fn next(&self) -> Verdict {
        loop {
            let Said::Judged { report, .. } = self.said.recv_timeout(Duration::from_secs(5)).unwrap() else {
                continue;
            };
            let verdict = report.verdict.clone();
            self.status.send_modify(|status| {
                let mut changed = (**status).clone();
                changed.instances[0].reports = vec![report];
                *status = Arc::new(changed);
            });
            return verdict;
        }
    }

    fn until(&self, wanted: impl Fn(&Verdict) -> bool) {
        while !wanted(&self.next()) {}
    }
}

#[test]
fn a_latch_outlives_the_process_and_ends_when_it_is_cleared() {
    let rule = |ok| {
        format!(
            "const INTERVAL = \"50ms\"; fn check() {{ require(\"data\", {ok}, #{{ fall: 1, rise: 1, latch: true }}); }}"
        )
    };
    let around = Around::with(&rule(false));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let healthy = |verdict: &Verdict| matches!(verdict, Verdict::Healthy { .. });
    let first = around.start();
    around.until(|verdict| matches!(verdict, Verdict::Fault { .. }));
    first.keeping().write();
    drop(first);
    around.write(&rule(true));
    while around.said.recv_timeout(Duration::from_millis(200)).is_ok() {}

    let second = around.start();
    (0..5).for_each(|_| assert!(!healthy(&around.next()), "latched by the process before this one"));
    let clear = |rule: &str| second.clear(&Clear { rule: rule.into(), ..Clear::default() });
    assert!(clear("date").unwrap_err().contains("held down: data in VI_1"));
    let done = "VI_1: rule data of policy a is held down no more; it comes up with the next success";
    assert_eq!(clear("data").unwrap(), [done]);
    around.until(healthy);
    drop(second);
    runtime.shutdown_background();
}

/// Counts, and is always well.
#[derive(Default)]
struct Counts(AtomicUsize);

impl Prober for Counts {
    fn start(&self, _: &ProbeRequest) -> Pending {
        self.0.fetch_add(1, Ordering::SeqCst);
        let (sender, pending) = mpsc::sync_channel(1);
        let (why, elapsed, fields) = (String::new(), Duration::ZERO, BTreeMap::new());
        sender.send(ProbeOutcome { ok: true, why, error: ErrorKind::None, blind: false, elapsed, fields }).unwrap();
        pending
    }
}

#[test]
fn what_acts_is_done_once_while_two_versions_are_evaluated() {
    let post = "http(\"http://192.0.2.1/\", #{ method: \"POST\" })";
    let text =
        |fall| format!("const INTERVAL = \"100ms\"; fn check() {{ require(\"a\", {post}, #{{ fall: {fall} }}); }}");
    let around = Around::with(&text(1));
    let counts = Arc::<Counts>::default();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let policies = around.start_with(Arc::clone(&counts) as Arc<dyn Prober>);
    let of = |wanted: u64| loop {
        if let Said::Judged { report, .. } = around.said.recv_timeout(Duration::from_secs(5)).unwrap()
            && report.generation == wanted
        {
            return report;
        }
    };
    of(1);
    around.write(&text(2));
    of(2);
    let before = counts.0.load(Ordering::SeqCst);
    (0..10).for_each(|_| assert!(matches!(of(2).verdict, Verdict::Healthy { .. })));
    let done = counts.0.load(Ordering::SeqCst) - before;
    assert!((9..=12).contains(&done), "{done} in 10 evaluations");
    drop(policies);
    runtime.shutdown_background();
}

#[test]
fn from_a_file_to_verdicts_and_to_those_of_its_successor() {
    let base = tempfile::tempdir().unwrap();
    let policies = base.path().join("policies");
    fs::create_dir(&policies).unwrap();
    let slow = |verdict| format!("const INTERVAL = \"30s\"; fn check() {{ {verdict}(\"so it is\") }}");
    fs::write(policies.join("a.rhai"), slow("hold")).unwrap();
    fs::write(policies.join("b.rhai"), slow("fault")).unwrap();
    let config = configuration(base.path(), "\"a\"");
    let mut node = crate::node::Node::new(Instant::ZERO, &config).status();
    node.instances[0].source = Some("192.168.0.20".parse().unwrap());
    let status = watch::Sender::new(Arc::new(node));
    let (tell, said) = mpsc::channel();
    let store = Store::open(&base.path().join("state")).unwrap();
    let surroundings = Surroundings {
        clock: Arc::new(DriverClock::default()),
        prober: Arc::new(Nothing),
        keeping: Keeping::open(store.clone(), Arc::new(DriverClock::default())),
        store,
        status: status.subscribe(),
        say: Arc::new(move |said| drop(tell.send(said))),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let mut at_work = Policies::start(&config, surroundings).unwrap();
    let hold = Verdict::Hold { why: "so it is".into() };
    assert_eq!(next(&said), ("a".into(), 1, hold.clone()));

    fs::write(policies.join("a.rhai"), slow("maintenance")).unwrap();
    let maintenance = Verdict::Maintenance { why: "so it is".into() };
    assert_eq!(next(&said), ("a".into(), 2, maintenance), "at once, not after the interval");

    at_work.reconfigure(&configuration(base.path(), "\"b\""));
    let fault = Verdict::Fault { why: "so it is".into(), cause: FaultCause::Script };
    assert_eq!(next(&said), ("b".into(), 1, fault), "and no more of the other");
    assert_eq!(at_work.status(Instant::ZERO).len(), 1);
    drop(at_work);
    runtime.shutdown_background();
}

/// Another name over a restart.
#[test]
fn a_latch_follows_its_instance_to_a_name_that_only_the_next_process_calls_it_by() {
    let rule = |ok| {
        format!(
            "const INTERVAL = \"50ms\"; fn check() {{ require(\"data\", {ok}, #{{ fall: 1, rise: 1, latch: true }}); }}"
        )
    };
    let mut around = Around::with(&rule(false));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let first = around.start();
    around.until(|verdict| matches!(verdict, Verdict::Fault { .. }));
    first.keeping().write();
    drop(first);
    around.write(&rule(true));
    while around.said.recv_timeout(Duration::from_millis(200)).is_ok() {}

    let old = around.config.clone();
    around.config.instances[0].name = "WEB".to_owned();
    let mut node = crate::node::Node::new(Instant::ZERO, &around.config).status();
    node.instances[0].source = Some("192.168.0.20".parse().unwrap());
    around.status.send_replace(Arc::new(node));
    let renames = Renames::between(&old.instances, [], &around.config.instances);
    let second = around.start_after(Arc::new(Nothing), renames);
    (0..5).for_each(|_| assert!(!matches!(around.next(), Verdict::Healthy { .. }), "latched under the old name"));
    drop(second);
    runtime.shutdown_background();
}

/// Another name, and the same virtual router: what is known of it goes on, and is said of the new name only.
#[test]
fn a_pair_goes_on_under_the_new_name_of_its_instance() {
    let text = "const INTERVAL = \"50ms\"; fn check() { require(\"data\", false, #{ fall: 3 }); }";
    let around = Around::with(text);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _inside = runtime.enter();
    let mut policies = around.start();
    let next = || loop {
        if let Said::Judged { instance, report, .. } = around.said.recv_timeout(Duration::from_secs(5)).unwrap() {
            return (instance, report.rules[0].gate.fails());
        }
    };
    while next() < ("VI_1".to_owned(), 5) {}
    let mut renamed = around.config.clone();
    renamed.instances[0].name = "WEB".to_owned();
    let renames = Renames::between(&around.config.instances, [], &renamed.instances);
    let desks = policies.desks(&renames);
    let mut silence = Silence::over(&desks);
    around.status.send_modify(|status| {
        let mut changed = (**status).clone();
        changed.instances[0].name = "WEB".to_owned();
        *status = Arc::new(changed);
    });
    let before = std::iter::from_fn(|| around.said.try_recv().ok()).count();
    policies.rename(&renames, &mut silence);
    policies.reconfigure(&renamed);
    drop(silence);
    let (name, fails) = next();
    assert!(name == "WEB" && fails > 5, "{name}: {fails} (and {before} before)");
    policies.pace("WEB", Pace::Fast);
    assert_eq!(next().0, "WEB");
    // Nobody goes on under the old one.
    assert!((0..5).all(|_| next().0 == "WEB"));
    drop(policies);
    runtime.shutdown_background();
}
