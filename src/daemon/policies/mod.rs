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

use tokio::{
    sync::{mpsc, watch},
    task::spawn_blocking,
};

pub use self::{
    clock::DriverClock,
    evaluator::{Bench, Desk, Evaluate, EvaluateBeside, Evaluator, Silence},
    keeping::Keeping,
    lending::Lending,
    library::{Choice, Found, Library, Probation, Settled},
    trial::Regression,
};
use super::{store::Store, watch::Watch};
use crate::{
    config::{Config, Renames},
    control::protocol::{self, Clear},
    node::{Event, Journal, NodeStatus, Pace},
    policy::{Clock, Engine, Healing, Policy, Report, probe::Prober},
    words::Instant,
};

/// Changes that made something worse and that are not dealt with yet, at most.
const REGRESSIONS: usize = 64;

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
    /// Keeps the last good texts.
    pub store: Store,
    /// What policies remember.
    pub keeping: Keeping,
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
        let Surroundings { clock, prober, store, keeping, status, say } = surroundings;
        let engine = Engine::new();
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

    /// What is known of the pairs of instances that are called otherwise in another configuration.
    #[must_use]
    pub fn desks(&self, renames: &Renames) -> Vec<Desk> {
        let pairs = self.pairs.iter().filter(|((instance, _), _)| renames.name(instance) != instance.as_str());
        pairs.map(|(_, evaluator)| evaluator.desk()).collect()
    }

    /// Instances are called otherwise from now on, and `silence` is over their pairs: none is disturbed.
    pub fn rename(&mut self, renames: &Renames, silence: &mut Silence<'_>) {
        silence.rename(renames);
        renames.rekey(&mut self.pairs, |(instance, _)| instance);
        renames.rekey(&mut self.paces, |instance| instance);
        self.bench.keeping.rename(renames);
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

    /// What policies remember, to be written at the end.
    #[must_use]
    pub fn keeping(&self) -> Keeping {
        self.bench.keeping.clone()
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

/// Has the library know of what a change has made worse, on a thread that may wait for it: one of them, however many there are to
/// tell. Whoever still does worse is told of again.
fn take_back(library: &Arc<Library>) -> Arc<dyn Fn(Regression) -> bool + Send + Sync> {
    let library = Arc::clone(library);
    let (told, mut regressions) = mpsc::channel(REGRESSIONS);
    tokio::spawn(async move {
        while let Some(regression) = regressions.recv().await {
            let library = Arc::clone(&library);
            if spawn_blocking(move || library.regressed(&regression)).await.is_err() {
                tracing::error!("whether a version of a policy is taken back could not be found out: it panicked");
            }
        }
    });
    // No room: what is told already must be done first.
    Arc::new(move |regression| told.try_send(regression).is_ok())
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
mod tests;
