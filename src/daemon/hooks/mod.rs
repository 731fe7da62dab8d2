//! The hooks of policies: told what happened, run one at a time and in order for each instance, never where the protocol
//! runs. What policies give to `heal` has a queue of its own, so that neither waits for the other.
//!
//! Programs that the configuration has in `notify` stand in the queue of the hooks, and before them.
//!
//! A hook that fails, or does not come back, is an alarm and no verdict: the address stays where it is.

mod group;
mod line;
mod notice;
mod performer;
mod queue;
mod story;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use self::{
    group::Groups,
    line::Line,
    notice::Notice,
    queue::{Job, Order, Task},
    story::{Due, Story},
};
use crate::{
    config::{self, Config, Notify, Occasion, Renames},
    control::{Status, protocol::Notified},
    daemon::events::Events,
    node::{Journal, NodeStatus, ReleaseHook},
    policy::{
        Clock, Engine, Healing, Hook, HookEvent, Policy, Report, Work,
        action::{Performed, Performer},
    },
    probe::run_program,
    words::Instant,
};

pub use self::{
    group::Moved,
    notice::Program,
    performer::{Alarm, RealPerformer},
};

/// What the hooks have for the rest of the daemon.
#[derive(Clone, Debug)]
pub enum Said {
    /// For the journal.
    Journal(Journal),
    /// For the node.
    Release { instance: String, release: ReleaseHook },
}

/// Finds the version of a policy that runs now.
pub type Find = Arc<dyn Fn(&str) -> Option<Policy> + Send + Sync>;

/// Takes what hooks say, from any thread, without waiting.
pub type Say = Arc<dyn Fn(Said) + Send + Sync>;

/// Runs a program of `notify` within this time; blocks.
pub type Run = Arc<dyn Fn(&Program, Duration) -> Performed + Send + Sync>;

/// Runs a program for real; blocks.
#[must_use]
pub fn run(program: &Program, within: Duration) -> Performed {
    run_program(&program.argv, program.user.as_deref(), &program.environment, within)
}

/// What hooks need.
#[derive(Clone)]
pub struct Bench {
    /// The script engine.
    pub engine: Engine,
    /// Does what they want done.
    pub performer: Arc<dyn Performer>,
    /// Runs the programs of `notify`.
    pub run: Run,
    /// Takes a line for each transition.
    pub events: Events,
    /// The driver's clock.
    pub clock: Arc<dyn Clock>,
    /// The node, as it last said it is.
    pub status: watch::Receiver<Arc<NodeStatus>>,
    /// When the daemon started.
    pub started: Instant,
    /// The version of a policy that runs now.
    pub find: Find,
    /// Takes what they say, without waiting.
    pub say: Say,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("started", &self.started).finish_non_exhaustive()
    }
}

/// The hooks of every instance. A clone is the same.
#[derive(Clone, Debug)]
pub struct Hooks {
    bench: Bench,
    instances: Arc<Mutex<BTreeMap<String, Instance>>>,
    groups: Arc<Mutex<Groups>>,
}

#[derive(Debug)]
struct Instance {
    policies: Vec<String>,
    config: config::Instance,
    /// That the daemon stops was told before the release.
    said_stop: bool,
    story: Story,
    release: ReleaseHook,
    /// The configuration has it no more: the policies, as they were, that have something to do before it hands over.
    leaving: Option<Vec<Policy>>,
    hooks: Line,
    heals: Line,
}

impl Hooks {
    /// Those of this configuration. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(bench: Bench, config: &Config) -> Self {
        tokio::spawn(bench.events.clone().follow_priorities(bench.status.clone()));
        let hooks = Self { bench, instances: Arc::default(), groups: Arc::default() };
        hooks.reconfigure(config);
        hooks
    }

    /// From now on those of this one. What an instance that goes still has to run is not run, but for what comes before it
    /// hands over (R18): the versions of now, since nobody knows them any more by then.
    pub fn reconfigure(&self, config: &Config) {
        self.bench.events.reconfigure(&config.events);
        self.groups().reconfigure(&config.groups, &self.bench);
        let mut instances = self.lock();
        let wanted: BTreeSet<&str> = config.instances.iter().map(|instance| instance.name.as_str()).collect();
        // Those that were leaving before have gone, or begin anew.
        instances.retain(|_, instance| instance.leaving.is_none());
        for (name, instance) in instances.iter_mut().filter(|(name, _)| !wanted.contains(name.as_str())) {
            let names = self.having(&instance.policies, Hook::Release);
            instance.leaving = Some(names.iter().filter_map(|name| (self.bench.find)(name)).collect());
            (instance.hooks, instance.heals) = (Line::start(&self.bench, name), Line::start(&self.bench, name));
        }
        for instance in &config.instances {
            let known = instances.entry(instance.name.clone()).or_insert_with(|| Instance {
                policies: Vec::new(),
                config: instance.clone(),
                said_stop: false,
                story: Story::default(),
                release: ReleaseHook::Absent,
                leaving: None,
                hooks: Line::start(&self.bench, &instance.name),
                heals: Line::start(&self.bench, &instance.name),
            });
            known.policies.clone_from(&instance.policies);
            known.config = instance.clone();
            let release = self.release_of(known);
            // A router that begins anew knows nothing of it.
            if std::mem::replace(&mut known.release, release) != release || release == ReleaseHook::Present {
                (self.bench.say)(Said::Release { instance: instance.name.clone(), release });
            }
        }
    }

    /// Instances are called otherwise from now on. What waits to be run, and what is known of them, stays theirs.
    pub fn rename(&self, renames: &Renames) {
        self.groups().rename(renames);
        let mut instances = self.lock();
        renames.rekey(&mut *instances, |name| name);
        for (name, instance) in instances.iter_mut().filter(|(name, instance)| **name != instance.config.name) {
            instance.config.name.clone_from(name);
            instance.hooks.rename(name);
            instance.heals.rename(name);
        }
    }

    /// With what became of the programs, where there are some.
    #[must_use]
    pub fn counted(&self, mut status: Status) -> Status {
        for instance in &mut status.instances {
            instance.notify = self.tally(&instance.name);
        }
        status
    }

    fn tally(&self, name: &str) -> Option<Notified> {
        let instances = self.lock();
        let instance = instances.get(name).filter(|instance| instance.config.notify.all().next().is_some())?;
        Some(instance.hooks.tally())
    }

    /// A line of the node's journal. Says which group moved by it, if one did.
    pub fn happened(&self, entry: &Journal) -> Option<Moved> {
        if let Some(instance) = self.lock().get_mut(&entry.instance) {
            instance.tell(entry, &self.bench);
        }
        self.with(&entry.instance, |instance| {
            let due = instance.story.happened(entry.at, &entry.event);
            let policies = instance.policies.clone();
            due.into_iter().for_each(|due| self.enqueue(instance, &policies, due));
        });
        self.groups().happened(entry, &self.bench)
    }

    /// A report of a policy.
    pub fn judged(&self, name: &str, report: &Report) {
        self.with(name, |instance| {
            for due in instance.story.judged(report) {
                self.enqueue(instance, std::slice::from_ref(&report.policy), due);
            }
            let release = self.release_of(instance);
            if std::mem::replace(&mut instance.release, release) != release {
                (self.bench.say)(Said::Release { instance: name.to_owned(), release });
            }
        });
    }

    /// A repair that is due, of the version that asked for it.
    pub fn heal(&self, name: &str, policy: &Policy, healing: Healing) {
        self.with(name, |instance| {
            let task = Task::Heal(policy.clone(), Work::Heal(healing));
            instance.heals.push(Job { policy: policy.name().to_owned(), task }, Order::All);
        });
    }

    /// An instance is about to hand over: `on_release` comes before everything that waits.
    pub fn before_release(&self, name: &str, why: &str, asked_at: Instant) {
        let now = self.bench.clock.now();
        let known = self.lock().get_mut(name).map(|instance| {
            let Due { hook, event } = instance.story.leaving(Hook::Release, why, now);
            let mut jobs: Vec<Job> = match &instance.leaving {
                None => {
                    let job = |policy| Job { policy, task: Task::Hook(hook, event.clone()) };
                    self.having(&instance.policies, hook).into_iter().map(job).collect()
                }
                Some(policies) => {
                    let task = |policy: &Policy| Task::Heal(policy.clone(), Work::Hook(hook, event.clone()));
                    let job = |policy: &Policy| Job { policy: policy.name().to_owned(), task: task(policy) };
                    policies.iter().map(job).collect()
                }
            };
            jobs.extend(instance.farewell(&event));
            let some = !jobs.is_empty();
            instance.hooks.release(jobs, asked_at);
            some
        });
        if known != Some(true) {
            (self.bench.say)(Said::Release { instance: name.to_owned(), release: ReleaseHook::Finished { asked_at } });
        }
    }

    /// The daemon is asked to stop: what becomes fault from now on is no fault.
    pub fn leave(&self) {
        self.lock().values_mut().for_each(|instance| instance.story.leave());
        self.groups().leave(self.bench.clock.now());
    }

    /// Every address has gone: runs `on_stop` and what waits before it, for at most this long.
    pub async fn stop(&self, patience: Duration) {
        let now = self.bench.clock.now();
        let lines: Vec<Line> = {
            let mut instances = self.lock();
            for instance in instances.values_mut().filter(|instance| instance.leaving.is_none()) {
                let due = instance.story.leaving(Hook::Stop, "the daemon stops", now);
                let policies = instance.policies.clone();
                instance.write(Occasion::Stop, &self.bench);
                if !instance.said_stop {
                    instance.notice(Occasion::Stop, due.event.clone());
                }
                self.enqueue(instance, &policies, due);
            }
            let groups = self.groups().stop(now, &self.bench);
            instances.values().map(|instance| instance.hooks.clone()).chain(groups).collect()
        };
        self.wait(lines, patience).await;
    }

    /// Nothing has changed hands, and the process ends all the same: what runs may finish, for at most this long.
    pub async fn finish(&self, patience: Duration) {
        let lines = self.lock().values().map(|instance| instance.hooks.clone()).chain(self.groups().lines()).collect();
        self.wait(lines, patience).await;
    }

    async fn wait(&self, lines: Vec<Line>, patience: Duration) {
        let all = async {
            for line in lines {
                line.idle().await;
            }
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("hooks still run after {patience:?}; leaving without them");
        }
        self.bench.events.finish().await;
    }

    fn enqueue(&self, instance: &Instance, policies: &[String], due: Due) {
        for name in self.having(policies, due.hook) {
            let ordered = (self.bench.find)(&name).is_some_and(|policy| policy.is_ordered());
            let order = if ordered { Order::All } else { Order::Latest };
            instance.hooks.push(Job { policy: name, task: Task::Hook(due.hook, due.event.clone()) }, order);
        }
    }

    /// Those of the policies that have the hook now.
    fn having(&self, policies: &[String], hook: Hook) -> Vec<String> {
        let has = |name: &&String| (self.bench.find)(name).is_some_and(|policy| policy.hooks().any(|has| has == hook));
        policies.iter().filter(has).cloned().collect()
    }

    fn release_of(&self, instance: &Instance) -> ReleaseHook {
        let some =
            instance.config.notify.tells(Occasion::Stop) || !self.having(&instance.policies, Hook::Release).is_empty();
        if some { ReleaseHook::Present } else { ReleaseHook::Absent }
    }

    /// With an instance of the configuration.
    fn with<T>(&self, name: &str, act: impl FnOnce(&mut Instance) -> T) -> Option<T> {
        self.lock().get_mut(name).filter(|instance| instance.leaving.is_none()).map(act)
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instance>> {
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance {
    /// Programs are told, before any hook is.
    fn tell(&mut self, entry: &Journal, bench: &Bench) {
        let going = self.leaving.is_some();
        let Some(occasion) = notice::occasion(&entry.event, going, &self.config.notify) else { return };
        // Of the end of the daemon they are told as such.
        if !(self.story.leaves() && occasion == Occasion::Fault) {
            self.write(occasion, bench);
            self.notice(occasion, self.story.told(&entry.event, entry.at));
        }
    }

    /// A line for whoever follows.
    fn write(&self, occasion: Occasion, bench: &Bench) {
        let status = bench.status.borrow();
        let known = status.instances.iter().find(|instance| instance.name == self.config.name);
        let priority = known.and_then(|instance| instance.effective_priority).unwrap_or(self.config.priority);
        bench.events.instance(&self.config.name, notice::state(occasion), priority.get());
    }

    fn notice(&self, occasion: Occasion, event: HookEvent) {
        let notice = Notice::new(occasion, event, &self.config);
        // Also where nobody is told of this one: what waits is not true any more.
        if self.config.notify != Notify::default() {
            self.hooks.push(Job { policy: String::new(), task: Task::Notice(notice) }, Order::Latest);
        }
    }

    /// What programs are told before a planned release: that the daemon stops, if it does.
    fn farewell(&mut self, event: &HookEvent) -> Option<Job> {
        if !self.story.leaves() || self.said_stop || !self.config.notify.tells(Occasion::Stop) {
            return None;
        }
        self.said_stop = true;
        let notice = Notice { before_release: true, ..Notice::new(Occasion::Stop, event.clone(), &self.config) };
        Some(Job { policy: String::new(), task: Task::Notice(notice) })
    }
}

#[cfg(test)]
mod tests;
