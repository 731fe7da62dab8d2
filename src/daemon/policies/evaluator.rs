//! One policy in one instance, evaluated again and again.
//!
//! A thread of its own decides when, evaluates, and sleeps by itself: no other thread is woken for that. Evaluations of one
//! pair never overlap, those of different pairs know nothing of each other, and a tick that is missed is skipped. Somebody
//! else watches that an evaluation comes back: one that does not is reported as such for as long as it stays away, a hold
//! and an alarm. Only another version of the policy is worth leaving it behind for.

mod pair;
mod pause;
mod worker;

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::JoinHandle,
    time::sleep,
};

use self::{
    pair::{Overdue, Pair},
    worker::Worker,
};
use super::{Keeping, Lending, Say, library::Shelf, trial::Regression};
use crate::{
    config::Renames,
    daemon::audit::Audit,
    node::{NodeStatus, Pace},
    policy::{Clock, Context, Judge, LogLevel, LogLine, Policy, Report, STACK},
    words::Instant,
};

/// How long a pair waits before it tries again to get a thread.
const NO_THREAD: Duration = Duration::from_secs(1);

/// Performs one evaluation; blocks.
pub type Evaluate = Arc<dyn Fn(&mut Judge, &Policy, u64, &Context) -> Report + Send + Sync>;

/// Performs one evaluation for comparison only; blocks. The report begins when the oldest of what it saw was asked; `None`:
/// it could not see all that it asked for, and what it would say is not known.
pub type EvaluateBeside = Arc<dyn Fn(&mut Judge, &Policy, u64, &Context) -> Option<Report> + Send + Sync>;

/// What every evaluator needs.
#[derive(Clone)]
pub struct Bench {
    /// How to evaluate.
    pub evaluate: Evaluate,
    /// The same without any effect: of a version that is evaluated for comparison only.
    pub shadow: EvaluateBeside,
    /// What the probes of the version that decides came to, where they act.
    pub lending: Lending,
    /// Takes what the change of a policy has made worse; must not block. `false`: it is to be told again.
    pub regressed: Arc<dyn Fn(Regression) -> bool + Send + Sync>,
    /// Where the first verdict of a version is written down.
    pub audit: Arc<Audit>,
    /// The driver's clock.
    pub clock: Arc<dyn Clock>,
    /// The node, as it last said it is.
    pub status: watch::Receiver<Arc<NodeStatus>>,
    /// Where reports go.
    pub say: Say,
    /// What outlives the process.
    pub keeping: Keeping,
    /// When the daemon started.
    pub started: Instant,
    /// Where everything else waits.
    pub runtime: Handle,
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("started", &self.started).finish_non_exhaustive()
    }
}

/// A pair at work. Ends when this is dropped; an evaluation it may be at comes to nothing.
#[derive(Debug)]
pub struct Evaluator {
    desk: Desk,
    /// Watches that evaluations come back.
    task: JoinHandle<()>,
    wishes: Arc<Wishes>,
    /// Gone with this: the thread ends.
    _alive: watch::Sender<()>,
}

/// What is known of a pair. A clone is the same.
#[derive(Clone)]
pub struct Desk(Arc<Mutex<Pair>>);

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

/// Pairs of which nothing is said as long as this lives; evaluations go on.
pub struct Silence<'p>(Vec<MutexGuard<'p, Pair>>);

impl fmt::Debug for Silence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Silence").field("pairs", &self.0.len()).finish()
    }
}

impl<'p> Silence<'p> {
    /// Over these, each of them once.
    #[must_use]
    pub fn over(desks: &'p [Desk]) -> Self {
        Self(desks.iter().map(|desk| lock(&desk.0)).collect())
    }

    /// Their instances are called otherwise from now on. They remember what they did.
    pub fn rename(&mut self, renames: &Renames) {
        // All of them first: two may change places.
        let trials: Vec<_> = self.0.iter_mut().map(|pair| pair.end_trial()).collect();
        for (pair, trial) in self.0.iter_mut().zip(trials) {
            pair.rename(renames, trial);
        }
    }
}

/// What an operator wants of a pair.
#[derive(Debug, Default)]
struct Wishes {
    /// Rules that are to be held down no more; names of rules that are, so there are not many.
    clear: Mutex<BTreeSet<String>>,
    wake: Notify,
}

impl Wishes {
    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.clear.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Evaluator {
    /// Starts evaluating `policy` for `instance`.
    #[must_use]
    pub fn start(
        bench: Bench,
        instance: &str,
        policy: &str,
        shelf: watch::Receiver<Shelf>,
        pace: watch::Receiver<Pace>,
    ) -> Self {
        let wishes = Arc::<Wishes>::default();
        let (alive, over) = watch::channel(());
        let runtime = bench.runtime.clone();
        let status = bench.status.clone();
        let pair = Arc::new(Mutex::new(Pair::new(bench, instance, policy, Arc::clone(&wishes))));
        let desk = Desk(Arc::clone(&pair));
        let worker = Worker { pair, shelf, pace, status, over, wishes: Arc::clone(&wishes) };
        Self { desk, task: runtime.spawn(watch_over(worker)), wishes, _alive: alive }
    }

    /// What is known of it.
    #[must_use]
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Holds a rule down no more, and evaluates at once.
    pub fn clear(&self, rule: &str) {
        self.wishes.clear.lock().unwrap_or_else(PoisonError::into_inner).insert(rule.to_owned());
        self.wishes.wake.notify_one();
    }
}

impl Drop for Evaluator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sees to it that somebody evaluates, and says when an evaluation does not come back.
async fn watch_over(worker: Worker) {
    'threads: loop {
        let thread = loop {
            match start(worker.clone()) {
                Ok(thread) => break thread,
                Err(why) => {
                    lock(&worker.pair).not_begun(&format!("no thread can be started: {why}"));
                    sleep(NO_THREAD).await;
                }
            }
        };
        loop {
            if thread.is_finished() {
                if worker.shelf.has_changed().is_err() || worker.status.has_changed().is_err() {
                    return;
                }
                // Nobody would say any more how it is: what was said last must not stay.
                lock(&worker.pair).not_begun("its thread has ended, which is a fault of ha; it is started anew");
                sleep(NO_THREAD).await;
                continue 'threads;
            }
            let overdue = lock(&worker.pair).overdue(&worker.shelf);
            match overdue {
                Overdue::Look { after } => sleep(after).await,
                Overdue::LeaveBehind => break,
            }
        }
        lock(&worker.pair).leave_behind(thread);
    }
}

fn start(worker: Worker) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("ha-policy".to_owned()).stack_size(STACK).spawn(move || worker.run())
}

/// Never held while anything is evaluated.
fn lock(pair: &Mutex<Pair>) -> MutexGuard<'_, Pair> {
    // After a panic what it remembers is still the best that is known.
    pair.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the script itself had to say.
pub(in crate::daemon) fn say_line(whose: &str, line: &LogLine) {
    match line.level {
        LogLevel::Info => tracing::info!("{whose}: {}", line.text),
        LogLevel::Warn => tracing::warn!("{whose}: {}", line.text),
        LogLevel::Error => tracing::error!("{whose}: {}", line.text),
    }
}

#[cfg(test)]
mod tests;
