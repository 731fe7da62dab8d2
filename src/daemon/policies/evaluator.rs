//! One policy in one instance, evaluated again and again.
//!
//! A task decides when; the evaluation itself blocks a thread of the runtime's pool, for its probes' sake. Evaluations of
//! one pair never overlap, those of different pairs know nothing of each other, and a tick that is missed is skipped. An
//! evaluation that does not come back is reported as such for as long as it stays away: a hold, and an alarm. Only another
//! version of the policy is worth leaving it behind for.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant as Tick, sleep_until, timeout},
};

use super::{
    Keeping, Lending, Said, Say, facts,
    library::{Generation, Shelf},
    trial::{Regression, Trial},
};
use crate::{
    control::protocol,
    daemon::audit::{self, Audit},
    node::{NodeStatus, Pace},
    policy::{Clock, Context, Healing, Judge, Kept, LogLevel, LogLine, Policy, Report, Verdict},
    words::Instant,
};

/// The pace a take-over asks for where the policy names none: this share of its interval, but not below
/// [`FAST_MIN`].
const FAST_SHARE: u32 = 5;
const FAST_MIN: Duration = Duration::from_millis(100);
/// No policy is evaluated more often.
const INTERVAL_MIN: Duration = Duration::from_millis(10);
/// How much longer than the policy's own deadline an evaluation may take before it is given up.
const GRACE: Duration = Duration::from_secs(1);
/// How long the first evaluation waits for the node to have an address of its own.
const FIRST_ADDRESS: Duration = Duration::from_secs(1);
/// Evaluations of one pair that were left behind and still occupy a thread.
const LEFT_BEHIND_MAX: usize = 4;

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
    /// Takes what the change of a policy has made worse; must not block.
    pub regressed: Arc<dyn Fn(Regression) + Send + Sync>,
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
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("started", &self.started).finish_non_exhaustive()
    }
}

/// A pair at work. Ends when this is dropped; an evaluation it may be at comes to nothing.
#[derive(Debug)]
pub struct Evaluator {
    task: JoinHandle<()>,
    wishes: Arc<Wishes>,
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
    /// Starts evaluating `policy` for `instance`. Must be called inside a tokio runtime.
    #[must_use]
    pub fn start(
        bench: Bench,
        instance: &str,
        policy: &str,
        shelf: watch::Receiver<Shelf>,
        pace: watch::Receiver<Pace>,
    ) -> Self {
        let judge = Arc::new(Mutex::new(bench.keeping.judge(instance, policy)));
        let wishes = Arc::<Wishes>::default();
        let pair = Pair {
            bench,
            instance: instance.to_owned(),
            policy: policy.to_owned(),
            judge,
            revision: 0,
            wishes: Arc::clone(&wishes),
            last: None,
            trial: None,
            fast: false,
            judged: None,
            left_behind: Vec::new(),
        };
        Self { task: tokio::spawn(pair.run(shelf, pace)), wishes }
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

struct Pair {
    bench: Bench,
    instance: String,
    policy: String,
    judge: Arc<Mutex<Judge>>,
    /// Of what was kept last.
    revision: u64,
    wishes: Arc<Wishes>,
    /// The version evaluated last.
    last: Option<Arc<Generation>>,
    /// The version before, while this one is on probation.
    trial: Option<Trial>,
    /// The node waits for what it says now.
    fast: bool,
    /// What it said last.
    judged: Option<Report>,
    left_behind: Vec<JoinHandle<Done>>,
}

/// What an evaluation left.
struct Done {
    /// Which policy it was of; what it wants repaired, and what it has for the journal.
    policy: Policy,
    heals: Vec<Healing>,
    log: Vec<LogLine>,
    report: Report,
    in_transition: bool,
    revision: u64,
    /// What is to outlive the process, if that has changed.
    kept: Option<Kept>,
    /// The line about what a version says first.
    first: Option<audit::Entry>,
}

/// What an evaluation, or waiting for one, came to.
enum Outcome {
    /// It came back; `in_transition`: look again soon.
    Done { in_transition: bool },
    /// Another version is there.
    Superseded,
    /// The daemon ends.
    Over,
}

impl Pair {
    /// Until the library or the node is gone.
    async fn run(mut self, mut shelf: watch::Receiver<Shelf>, mut pace: watch::Receiver<Pace>) {
        while let Some(generation) = self.next_to_evaluate(&mut shelf).await {
            let begun = Tick::now();
            let asked = *pace.borrow_and_update();
            self.fast = asked == Pace::Fast;
            let Some(context) = self.context(asked).await else { return };
            let in_transition = match self.evaluate(&generation, context, &mut shelf).await {
                Outcome::Done { in_transition } => in_transition,
                Outcome::Superseded => continue,
                Outcome::Over => return,
            };
            let due = |pace| next_tick(begun, Tick::now(), period(&generation.policy, pace, in_transition));
            if !wait(asked, due, &mut shelf, &mut pace, &self.wishes.wake).await {
                return;
            }
        }
    }

    /// The version to evaluate, once there is one. `None`: the policy is not in stock any more.
    async fn next_to_evaluate(&mut self, shelf: &mut watch::Receiver<Shelf>) -> Option<Arc<Generation>> {
        loop {
            let now = shelf.borrow_and_update().clone();
            match now {
                Shelf::Running(generation) => return Some(generation),
                Shelf::Empty(why) => {
                    self.say(Said::NeverLoaded { instance: self.instance.clone(), policy: self.policy.clone(), why })
                }
                Shelf::Unread => {}
            }
            shelf.changed().await.ok()?;
        }
    }

    /// What the node says of itself, once it knows the instance. `None`: the node is gone.
    async fn context(&mut self, pace: Pace) -> Option<Context> {
        let fast = pace == Pace::Fast;
        // Before the kernel has told its addresses, a probe of the node's own service would fail for no reason.
        let patient = self.last.is_none();
        let until = Tick::now() + FIRST_ADDRESS;
        loop {
            let status = Arc::clone(&self.bench.status.borrow_and_update());
            let now = self.bench.clock.now();
            let context = facts::context(&status, &self.instance, now, self.bench.started, fast);
            let changed = self.bench.status.changed();
            match context {
                Some(context) if patient && context.node.addr.is_empty() && Tick::now() < until => {
                    tokio::select! {
                        changed = changed => changed.ok()?,
                        () = sleep_until(until) => return Some(context),
                    }
                }
                Some(context) => return Some(context),
                None => changed.await.ok()?,
            }
        }
    }

    async fn evaluate(
        &mut self,
        generation: &Arc<Generation>,
        context: Context,
        shelf: &mut watch::Receiver<Shelf>,
    ) -> Outcome {
        let started_at = self.bench.clock.now();
        let mut evaluation = self.begin(generation, context, started_at);
        let mut patience = generation.policy.deadline() + GRACE;
        loop {
            match timeout(patience, &mut evaluation).await {
                Ok(Ok(done)) => {
                    let in_transition = done.in_transition;
                    self.done(started_at, done);
                    return Outcome::Done { in_transition };
                }
                Ok(Err(failed)) => {
                    self.judged(self.lost(generation, started_at, format!("its evaluation failed: {failed}")));
                    return Outcome::Done { in_transition: true };
                }
                Err(_) => {
                    let why = "its evaluation does not come back; the role stays as it is".to_owned();
                    self.judged(self.lost(generation, started_at, why));
                    patience = generation.policy.interval().max(GRACE);
                }
            }
            match shelf.has_changed() {
                Ok(true) if self.leave_behind_is_possible() => {
                    self.left_behind.push(evaluation);
                    // What it remembers is with the lost one: the new version starts from what was kept.
                    let judge = self.bench.keeping.judge(&self.instance, &self.policy);
                    (self.judge, self.revision) = (Arc::new(Mutex::new(judge)), 0);
                    return Outcome::Superseded;
                }
                Ok(_) => {}
                Err(_) => return Outcome::Over,
            }
        }
    }

    fn done(&mut self, at: Instant, done: Done) {
        if let Some(kept) = done.kept {
            self.bench.keeping.keep(&self.instance, &self.policy, at, kept);
        }
        if let Some(first) = done.first {
            // The disk may be slow: no verdict waits for it.
            let audit = Arc::clone(&self.bench.audit);
            spawn_blocking(move || audit.record(&first));
        }
        // Only here: of an evaluation that was left behind nothing is done and nothing is said.
        let whose = format!("{}: policy {}", self.instance, self.policy);
        done.log.iter().for_each(|line| say_line(&whose, line));
        for healing in done.heals {
            self.say(Said::Heal { instance: self.instance.clone(), policy: done.policy.clone(), healing });
        }
        self.revision = done.revision;
        self.judged(done.report);
    }

    fn begin(&mut self, generation: &Arc<Generation>, context: Context, at: Instant) -> JoinHandle<Done> {
        let before = self.last.replace(Arc::clone(generation)).filter(|last| last.number != generation.number);
        let reloaded = before.is_some();
        let first = reloaded.then(|| self.first_verdict(generation));
        if let Some(before) = before {
            self.trial = self.try_out(before, generation);
        }
        let judge = Arc::clone(&self.judge);
        let evaluate = Arc::clone(&self.bench.evaluate);
        let generation = Arc::clone(generation);
        let cleared = self.wishes.take();
        if let Some(trial) = &self.trial {
            cleared.iter().for_each(|rule| trial.clear(rule));
        }
        let known = self.revision;
        spawn_blocking(move || {
            // After a panic the counters are still the best that is known.
            let mut judge = judge.lock().unwrap_or_else(PoisonError::into_inner);
            if reloaded {
                judge.reloaded();
            }
            for rule in &cleared {
                judge.clear(rule);
            }
            let report = evaluate(&mut judge, &generation.policy, generation.number, &context);
            let in_transition = judge.in_transition();
            let log = judge.take_log();
            let heals = judge.take_heals();
            let revision = judge.revision();
            let kept = (revision != known).then(|| judge.kept(at));
            drop(judge);
            let first = first.map(|first| audit::Entry { verdict_after: said(&report), ..first });
            Done { policy: generation.policy.clone(), heals, log, report, in_transition, revision, kept, first }
        })
    }

    /// A line about what a version says first, to be completed.
    fn first_verdict(&self, generation: &Generation) -> audit::Entry {
        audit::Entry {
            time: jiff::Timestamp::now().to_string(),
            event: "first_verdict",
            policy: self.policy.clone(),
            instance: self.instance.clone(),
            generation: Some(generation.number),
            sha256: generation.sha256.clone(),
            verdict_before: self.judged.as_ref().map(said).unwrap_or_default(),
            ..audit::Entry::default()
        }
    }

    /// Evaluates beside a version that is on probation the last one that was not. One that comes back goes on with what it
    /// has remembered meanwhile: the gates of the version between are not its own.
    fn try_out(&mut self, last: Arc<Generation>, generation: &Generation) -> Option<Trial> {
        let now = self.bench.clock.now();
        let trial = self.trial.take().filter(|trial| !trial.is_over(now));
        if let Some(trial) = trial.as_ref().filter(|trial| trial.before.is_the_same(generation)) {
            self.memory().returns_to(trial.memory());
            return None;
        }
        if !generation.is_on_probation(now) {
            return None;
        }
        let (before, memory) = match trial {
            Some(trial) => (Arc::clone(&trial.before), trial.memory()),
            None => (last, self.memory().clone()),
        };
        Some(Trial::start(&self.bench, &self.instance, before, memory, generation))
    }

    /// Free between evaluations: one that is left behind has taken its own along.
    fn memory(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave_behind_is_possible(&mut self) -> bool {
        self.left_behind.retain(|evaluation| !evaluation.is_finished());
        self.left_behind.len() < LEFT_BEHIND_MAX
    }

    /// A report in place of one that did not come.
    fn lost(&self, generation: &Generation, started_at: Instant, why: String) -> Report {
        let why = format!("policy {}: {why}", self.policy);
        Report {
            policy: self.policy.clone(),
            generation: generation.number,
            started_at,
            elapsed: self.bench.clock.now().saturating_since(started_at),
            verdict: Verdict::Hold { why: why.clone() },
            rules: self.judged.as_ref().map(|last| last.rules.clone()).unwrap_or_default(),
            observed_ok: false,
            // Whoever cannot say yes says no.
            may_take_over: generation.policy.has_may_take_over().then_some(false),
            error: Some(why),
        }
    }

    fn judged(&mut self, report: Report) {
        let now = self.bench.clock.now();
        drop(self.trial.take_if(|trial| trial.is_over(now)));
        if let Some(trial) = &self.trial {
            trial.saw(&report);
            if let Some(error) = &report.error {
                (self.bench.regressed)(Regression {
                    policy: self.policy.clone(),
                    instance: self.instance.clone(),
                    generation: report.generation,
                    broken: true,
                    why: format!("it cannot be evaluated: {error}"),
                });
            }
        }
        let news = self.fast || self.judged.as_ref().is_none_or(|last| !report.says_what(last));
        self.judged = Some(report.clone());
        self.say(Said::Judged { instance: self.instance.clone(), report, news });
    }

    fn say(&self, said: Said) {
        (self.bench.say)(said);
    }
}

/// Until it is due, another version is there, or the node wants to know at once: it asked for `Fast` after the last
/// evaluation, at pace `before`, had begun. `false`: the daemon ends.
async fn wait(
    mut before: Pace,
    due: impl Fn(Pace) -> Tick,
    shelf: &mut watch::Receiver<Shelf>,
    pace: &mut watch::Receiver<Pace>,
    wake: &Notify,
) -> bool {
    loop {
        let now = *pace.borrow_and_update();
        if (before, now) == (Pace::Normal, Pace::Fast) {
            return true;
        }
        before = now;
        tokio::select! {
            biased;
            changed = shelf.changed() => return changed.is_ok(),
            changed = pace.changed() => if changed.is_err() { return false },
            () = wake.notified() => return true,
            () = sleep_until(due(now)) => return true,
        }
    }
}

/// The verdict, in a word and a reason.
fn said(report: &Report) -> String {
    let verdict = protocol::Verdict::from(&report.verdict);
    if verdict.why.is_empty() { verdict.kind } else { format!("{}: {}", verdict.kind, verdict.why) }
}

/// What the script itself had to say.
pub(in crate::daemon) fn say_line(whose: &str, line: &LogLine) {
    match line.level {
        LogLevel::Info => tracing::info!("{whose}: {}", line.text),
        LogLevel::Warn => tracing::warn!("{whose}: {}", line.text),
        LogLevel::Error => tracing::error!("{whose}: {}", line.text),
    }
}

/// How often to evaluate.
fn period(policy: &Policy, pace: Pace, in_transition: bool) -> Duration {
    let interval = policy.interval().max(INTERVAL_MIN);
    let period = match pace {
        Pace::Fast => policy.fast().unwrap_or_else(|| (interval / FAST_SHARE).max(FAST_MIN).min(interval)),
        Pace::Normal if in_transition => policy.fast().unwrap_or(interval),
        Pace::Normal => interval,
    };
    period.max(INTERVAL_MIN)
}

/// The first tick of the series that began at `begun` which is not over at `now`.
fn next_tick(begun: Tick, now: Tick, period: Duration) -> Tick {
    let since = now.saturating_duration_since(begun).as_nanos();
    let missed = since.checked_div(period.as_nanos()).unwrap_or(0);
    begun + period.saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1))
}

#[cfg(test)]
mod tests;
