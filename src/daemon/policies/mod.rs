//! The policies of this daemon: loaded, watched, evaluated, all of it off the protocol thread.
//!
//! [`Library`] has the versions, [`Evaluator`] evaluates one policy for one instance, a [`Watch`] has the library look when
//! files change. What comes of it is said through one callback, which the driver turns into inputs of the node.

mod archive;
mod clearing;
pub mod clock;
pub mod closure;
pub mod evaluator;
pub mod keeping;
pub mod lending;
pub mod library;
mod refusal;
mod shelf;
pub mod source;
pub mod trial;
pub mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use tokio::sync::watch;

pub use self::{
    clock::DriverClock,
    evaluator::{Bench, Evaluate, EvaluateBeside, Evaluator},
    keeping::Keeping,
    lending::Lending,
    library::{Choice, Found, Library, Probation, Settled},
    trial::Regression,
};
use super::{store::Store, watch::Watch};
use crate::{
    config::Config,
    control::protocol::{self, Clear},
    node::{Event, Journal, NodeStatus, Pace},
    policy::{Clock, Engine, Healing, Policy, Report, probe::Prober},
    words::Instant,
};

/// What comes of the policies.
#[derive(Clone, Debug)]
pub enum Said {
    /// A policy was evaluated, or should have been and was not. `news`: it says something else than the last time, or is
    /// waited for.
    Judged { instance: String, report: Report, news: bool },
    /// No version of a policy could be loaded.
    NeverLoaded { instance: String, policy: String, why: String },
    /// A repair that a policy has ready for one of its rules is due.
    Heal { instance: String, policy: Policy, healing: Healing },
    /// A version was loaded, a file was refused, or fits again.
    Journal(Journal),
}

/// Takes what comes of the policies, from any thread, without waiting.
pub type Say = Arc<dyn Fn(Said) + Send + Sync>;

/// What the policies need of the daemon.
pub struct Surroundings {
    /// The driver's clock.
    pub clock: Arc<dyn Clock>,
    /// Performs the probes.
    pub prober: Arc<dyn Prober>,
    /// Keeps the last good texts, and what policies remember.
    pub store: Store,
    /// The node, as the protocol thread last published it. Evaluations begin when it knows their instance.
    pub status: watch::Receiver<Arc<NodeStatus>>,
    /// Where to say what comes of it.
    pub say: Say,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("store", &self.store).finish_non_exhaustive()
    }
}

/// Every policy of every instance, at work. Ends when this is dropped.
#[derive(Debug)]
pub struct Policies {
    library: Arc<Library>,
    bench: Bench,
    paces: BTreeMap<String, watch::Sender<Pace>>,
    pairs: BTreeMap<(String, String), Evaluator>,
    watch: Watch,
}

impl Policies {
    /// Starts loading, watching and evaluating what `config` names. Must be called inside a tokio runtime; returns at once.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(config: &Config, surroundings: Surroundings) -> io::Result<Self> {
        let Surroundings { clock, prober, store, status, say } = surroundings;
        let engine = Engine::new();
        let keeping = Keeping::open(store.clone(), Arc::clone(&clock));
        tokio::spawn(keeping.clone().write_changes());
        let node = status.clone();
        let settled: Settled = Arc::new(move || is_settled(&node.borrow()));
        let library = Arc::new(Library::new(engine.clone(), Arc::clone(&clock), store, Arc::clone(&say), settled));
        stock(&library, config);
        let looked_in = Arc::clone(&library);
        let watch = Watch::start(library.files(), move || {
            looked_in.look(false, None);
            looked_in.files()
        })?;
        let lending = Lending::default();
        let shadow = beside(&engine, &prober, &clock, &lending);
        let (told, lends) = (Arc::clone(&clock), lending.clone());
        let evaluate: Evaluate = Arc::new(move |judge, policy, generation, context| {
            let prober = lends.lender(&context.node.instance, policy.name(), &prober, &told);
            judge.evaluate(&engine, policy, generation, context, &prober, &told)
        });
        let started = clock.now();
        let bench = Bench {
            evaluate,
            shadow,
            lending,
            regressed: take_back(&library),
            audit: library.audit(),
            clock,
            status,
            say,
            keeping,
            started,
            runtime: tokio::runtime::Handle::current(),
        };
        let mut policies = Self { library, bench, paces: BTreeMap::new(), pairs: BTreeMap::new(), watch };
        policies.pair(config);
        Ok(policies)
    }

    /// From now on what `config` names. A pair that stays keeps its memory and is not disturbed.
    pub fn reconfigure(&mut self, config: &Config) {
        stock(&self.library, config);
        self.pair(config);
        self.watch.watch(self.library.files());
    }

    /// How often the policies of an instance are to be evaluated; `Fast` begins with an evaluation at once.
    pub fn pace(&self, instance: &str, pace: Pace) {
        if let Some(sender) = self.paces.get(instance) {
            sender.send_if_modified(|now| std::mem::replace(now, pace) != pace);
        }
    }

    /// The library, to look again on request (which blocks).
    #[must_use]
    pub fn library(&self) -> Arc<Library> {
        Arc::clone(&self.library)
    }

    /// Writes what policies remember; for the end.
    pub fn keep(&self) {
        self.bench.keeping.write();
    }

    /// Holds a rule down no more, wherever it is meant: what was done, a sentence each.
    ///
    /// # Errors
    /// Why there is nothing to do.
    pub fn clear(&self, clear: &Clear) -> Result<Vec<String>, String> {
        let found = clearing::find(&self.bench.status.borrow(), self.bench.clock.now(), clear)?;
        let mut done = Vec::new();
        for clearing::Found { instance, policy, text } in found {
            if let Some(evaluator) = self.pairs.get(&(instance.clone(), policy)) {
                evaluator.clear(&clear.rule);
                let event = Event::Note(format!("an operator cleared a rule: {text}"));
                (self.bench.say)(Said::Journal(Journal {
                    at: self.bench.clock.now(),
                    instance: instance.clone(),
                    event,
                }));
                done.push(format!("{instance}: {text}"));
            }
        }
        Ok(done)
    }

    /// Every policy, for the control protocol.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<protocol::Policy> {
        self.library.status(now)
    }

    /// Exactly one evaluator for each pair of the configuration.
    fn pair(&mut self, config: &Config) {
        let wanted: BTreeSet<(String, String)> = config
            .instances
            .iter()
            .flat_map(|instance| instance.policies.iter().map(|policy| (instance.name.clone(), policy.clone())))
            .collect();
        self.pairs.retain(|pair, _| wanted.contains(pair));
        self.bench.keeping.retain(|pair| wanted.contains(pair));
        self.paces.retain(|instance, _| wanted.iter().any(|(wanted, _)| wanted == instance));
        for (instance, policy) in wanted {
            let Some(shelf) = self.library.shelf(&policy) else { continue };
            let pace =
                self.paces.entry(instance.clone()).or_insert_with(|| watch::Sender::new(Pace::Normal)).subscribe();
            let bench = &self.bench;
            self.pairs.entry((instance, policy)).or_insert_with_key(|(instance, policy)| {
                Evaluator::start(bench.clone(), instance, policy, shelf, pace)
            });
        }
    }
}

/// How the version before one on probation is evaluated.
fn beside(engine: &Engine, prober: &Arc<dyn Prober>, clock: &Arc<dyn Clock>, lending: &Lending) -> EvaluateBeside {
    let (engine, prober, clock, lending) = (engine.clone(), Arc::clone(prober), Arc::clone(clock), lending.clone());
    Arc::new(move |judge, policy, generation, context| {
        let borrower = lending.borrower(&context.node.instance, policy.name(), &prober);
        let borrows: Arc<dyn Prober> = Arc::clone(&borrower) as Arc<dyn Prober>;
        let report = judge.evaluate(&engine, policy, generation, context, &borrows, &clock);
        let borrowed = borrower.borrowed();
        let started_at = borrowed.oldest.map_or(report.started_at, |oldest| oldest.min(report.started_at));
        (!borrowed.is_lacking).then_some(Report { started_at, ..report })
    })
}

/// Has the library know of what a change has made worse, on a thread that may wait for it.
fn take_back(library: &Arc<Library>) -> Arc<dyn Fn(Regression) + Send + Sync> {
    let library = Arc::clone(library);
    let runtime = tokio::runtime::Handle::current();
    Arc::new(move |regression| {
        let library = Arc::clone(&library);
        runtime.spawn_blocking(move || library.regressed(&regression));
    })
}

/// No instance is about to take over, or to hand over.
fn is_settled(node: &NodeStatus) -> bool {
    let moving = |name: &str| matches!(name, "elected" | "resigning");
    !node.instances.iter().flat_map(|instance| &instance.conditions).any(|condition| moving(condition.name))
}

fn stock(library: &Library, config: &Config) {
    let names: BTreeSet<String> = config.instances.iter().flat_map(|instance| instance.policies.clone()).collect();
    let probation = Probation { length: config.policy.probation, auto_rollback: config.policy.auto_rollback };
    library.stock(config.policy_dir.clone(), probation, names);
}

#[cfg(test)]
mod tests {
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
            let tell = self.tell.clone();
            let surroundings = Surroundings {
                clock: Arc::new(DriverClock::default()),
                prober,
                store: Store::open(&self.base.path().join("state")).unwrap(),
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
        first.keep();
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
        let surroundings = Surroundings {
            clock: Arc::new(DriverClock::default()),
            prober: Arc::new(Nothing),
            store: Store::open(&base.path().join("state")).unwrap(),
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
}
