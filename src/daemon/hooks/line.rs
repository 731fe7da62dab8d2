//! One queue at work: takes a job, has it run on a thread that may block, says what came of it, takes the next.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle, spawn_blocking},
    time::{Instant as Tick, timeout, timeout_at},
};

use super::{
    Bench, Said,
    notice::{self, Notice},
    queue::{Job, Order, Task, Waiting},
};
use crate::{
    control::protocol::Notified,
    daemon::policies::evaluator::say_line,
    node::{Condition, Event, Journal, ReleaseHook, facts},
    policy::{Context, Hook, HookEvent, Policy, Ran, Work, action::Performed, run_hook},
    words::Instant,
};

/// How long a hook may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the node waits for one before a release (R18).
const RELEASE_DEADLINE: Duration = Duration::from_secs(1);
/// How much later than its deadline one that keeps its word comes back.
const GRACE: Duration = Duration::from_secs(1);
/// Runs that were left behind and still occupy a thread.
const LEFT_BEHIND_MAX: usize = 4;
/// How long a hook waits until the status of the node shows what it is told.
const STATUS_TIME: Duration = Duration::from_millis(200);

/// A queue and who works at it. A clone is the same; the last one ends the work, but not a run it may be at.
#[derive(Clone, Debug)]
pub(super) struct Line {
    desk: Arc<Desk>,
    _worker: Arc<Worker>,
}

#[derive(Debug)]
struct Worker(AbortHandle);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    more: Notify,
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// How the instance, or the group, is called.
    name: String,
    waiting: Waiting,
    busy: bool,
    tally: Notified,
    /// When the node last asked for what comes before a release.
    asked_at: Instant,
}

impl Line {
    pub(super) fn start(bench: &Bench, instance: &str) -> Self {
        let desk = Arc::new(Desk::default());
        desk.state().name = instance.to_owned();
        let clerk =
            Clerk { bench: bench.clone(), desk: Arc::clone(&desk), failed: BTreeMap::new(), left_behind: Vec::new() };
        let worker = tokio::spawn(clerk.work()).abort_handle();
        Self { desk, _worker: Arc::new(Worker(worker)) }
    }

    /// It is called so from now on.
    pub(super) fn rename(&self, name: &str) {
        name.clone_into(&mut self.desk.state().name);
    }

    pub(super) fn push(&self, job: Job, order: Order) {
        let mut state = self.desk.state();
        for dropped in state.waiting.push(job, order) {
            state.tally.replaced += u64::from(matches!(dropped.task, Task::Notice(_)));
            tracing::info!("{} is not run: something newer happened", dropped.name());
        }
        drop(state);
        self.desk.more.notify_one();
    }

    /// These before everything that waits, in this order.
    pub(super) fn release(&self, jobs: Vec<Job>, asked_at: Instant) {
        let mut state = self.desk.state();
        state.asked_at = asked_at;
        jobs.into_iter().rev().for_each(|job| state.waiting.push_first(job));
        drop(state);
        self.desk.more.notify_one();
    }

    /// What became of the programs so far.
    pub(super) fn tally(&self) -> Notified {
        self.desk.state().tally
    }

    /// Until nothing waits or runs.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.desk.idle.notified();
            {
                let state = self.desk.state();
                if !state.busy && state.waiting.is_empty() {
                    return;
                }
            }
            idle.await;
        }
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With when the node had last asked by then.
    async fn next(&self) -> (Job, Instant) {
        loop {
            {
                let mut state = self.state();
                if let Some(job) = state.waiting.pop() {
                    state.busy = true;
                    return (job, state.asked_at);
                }
            }
            self.more.notified().await;
        }
    }

    fn done(&self) {
        self.state().busy = false;
        self.idle.notify_waiters();
    }
}

impl Task {
    /// It is this hook, of whatever version.
    pub(super) fn is(&self, wanted: Hook) -> bool {
        match self {
            Self::Hook(hook, _) | Self::Heal(_, Work::Hook(hook, _)) => *hook == wanted,
            Self::Heal(_, Work::Heal(_)) => false,
            Self::Notice(notice) => wanted == Hook::Release && notice.before_release,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Notice(notice) => format!("notify ({})", notice::state(notice.occasion)),
            Self::Hook(hook, _) => hook.to_string(),
            Self::Heal(_, Work::Heal(healing)) => format!("heal(\"{}\")", healing.rule),
            Self::Heal(_, Work::Hook(hook, _)) => hook.to_string(),
        }
    }
}

impl Job {
    fn name(&self) -> String {
        match &self.task {
            Task::Notice(_) => self.task.name(),
            Task::Hook(..) | Task::Heal(..) => format!("{} of policy {}", self.task.name(), self.policy),
        }
    }
}

/// The role that the node is in while a hook runs, where the hook is told of it.
fn role_during(hook: Hook, event: &HookEvent) -> Option<String> {
    match hook {
        Hook::Master | Hook::Backup | Hook::Fault => Some(event.to.clone()),
        Hook::Release | Hook::Stop | Hook::Rule | Hook::Maintenance | Hook::Reload => None,
    }
}

/// Who works at a queue.
struct Clerk {
    bench: Bench,
    desk: Arc<Desk>,
    /// What failed the last time it ran, by policy and name.
    failed: BTreeMap<(String, String), Condition>,
    left_behind: Vec<JoinHandle<Ran>>,
}

impl Clerk {
    async fn work(mut self) {
        loop {
            let (job, asked_at) = self.desk.next().await;
            let releases = job.task.is(Hook::Release);
            self.run(job).await;
            if releases && !self.desk.state().waiting.has(Hook::Release) {
                let (instance, release) = (self.name(), ReleaseHook::Finished { asked_at });
                (self.bench.say)(Said::Release { instance, release });
            }
            self.desk.done();
        }
    }

    async fn run(&mut self, job: Job) {
        let name = job.task.name();
        let (policy, work, limit, role) = match job.task {
            Task::Hook(hook, event) => {
                // The version that runs by now may not have it any more.
                let Some(policy) =
                    (self.bench.find)(&job.policy).filter(|policy| policy.hooks().any(|has| has == hook))
                else {
                    return;
                };
                let limit = if hook == Hook::Release { RELEASE_DEADLINE } else { DEADLINE };
                let role = role_during(hook, &event);
                (policy, Work::Hook(hook, event), limit, role)
            }
            Task::Heal(policy, work) => {
                let limit = if matches!(work, Work::Hook(Hook::Release, _)) { RELEASE_DEADLINE } else { DEADLINE };
                (policy, work, limit, None)
            }
            Task::Notice(notice) => return self.notify(&notice).await,
        };
        let outcome = self.perform(policy, work, limit, role.as_deref()).await;
        self.tell(job.policy, name, outcome);
    }

    /// Starts the programs, one after the other.
    async fn notify(&mut self, notice: &Notice) {
        let context = self.context(notice.role()).await;
        let known = !context.node.instance.is_empty();
        let priority = known.then_some(context.node.effective);
        for (key, program) in notice.programs(&self.name(), priority) {
            let shown = program.argv.join(" ");
            let within = notice.timeout();
            let run = Arc::clone(&self.bench.run);
            let mut running = spawn_blocking(move || run(&program, within));
            let performed = match timeout(within + GRACE, &mut running).await {
                Ok(Ok(performed)) => performed,
                Ok(Err(error)) => Performed::failed(format!("it ended early: {error}")),
                // Whoever runs it keeps the deadline; it is the kernel that does not let go of the process.
                Err(_) => Performed::failed(format!("it did not come back within {within:?}; it is left behind")),
            };
            let mut state = self.desk.state();
            state.tally.ran += 1;
            state.tally.failed += u64::from(!performed.ok);
            drop(state);
            let (how, why) = if performed.ok { ("done", "") } else { ("failed: ", performed.why.as_str()) };
            self.say(Event::Note(format!("{key}: {shown}: {how}{why}")));
            let failure = (!performed.ok).then(|| Condition {
                name: "notify_failed",
                text: format!(
                    "{key}: {shown}: {}. The address is not affected; once that is mended it is told of the next transition",
                    performed.why
                ),
            });
            self.remember((String::new(), key), failure);
        }
    }

    /// What came of it, or why nothing did.
    async fn perform(
        &mut self,
        policy: Policy,
        work: Work,
        limit: Duration,
        role: Option<&str>,
    ) -> Result<Ran, String> {
        self.left_behind.retain(|run| !run.is_finished());
        if self.left_behind.len() >= LEFT_BEHIND_MAX {
            return Err(format!("{LEFT_BEHIND_MAX} runs before it have not come back; it was not run"));
        }
        let context = self.context(role).await;
        let (engine, performer, clock) =
            (self.bench.engine.clone(), Arc::clone(&self.bench.performer), Arc::clone(&self.bench.clock));
        let mut run = spawn_blocking(move || run_hook(&engine, &policy, &work, &context, &performer, &clock, limit));
        match timeout(limit + GRACE, &mut run).await {
            Ok(Ok(ran)) => Ok(ran),
            Ok(Err(error)) => Err(format!("it ended early: {error}")),
            Err(_) => {
                self.left_behind.push(run);
                Err(format!("it did not come back within {limit:?}; it is left behind"))
            }
        }
    }

    /// The node as it is, in this role: what is published may be a turn behind what the hook is told.
    async fn context(&self, role: Option<&str>) -> Context {
        let mut status = self.bench.status.clone();
        let until = Tick::now() + STATUS_TIME;
        loop {
            let seen = Arc::clone(&status.borrow_and_update());
            let now = self.bench.clock.now();
            let context = facts::context(&seen, &self.name(), now, self.bench.started, false).unwrap_or_default();
            let agrees = role.is_none_or(|role| context.node.state == role);
            if agrees || !matches!(timeout_at(until, status.changed()).await, Ok(Ok(()))) {
                return context;
            }
        }
    }

    fn tell(&mut self, policy: String, name: String, outcome: Result<Ran, String>) {
        let whose = format!("{}: policy {policy}", self.name());
        let ran = outcome.unwrap_or_else(|error| Ran { error: Some(error), ..Ran::default() });
        ran.log.iter().for_each(|line| say_line(&whose, line));
        for (action, performed) in &ran.performed {
            let how = if performed.ok { "" } else { "not done: " };
            self.say(Event::Note(format!("{name} of policy {policy}: {action}: {how}{}", performed.why)));
        }
        let broken = ran.error.map(|error| {
            format!("{name} of policy {policy} failed: {error}. The address is not affected; look at the policy")
        });
        let refused = ran.performed.iter().find(|(_, performed)| performed.refused).map(|(action, performed)| {
            format!(
                "{name} of policy {policy}: {action} was refused: {}. The address is not affected; look at the configuration",
                performed.why
            )
        });
        let failure = broken.or(refused).map(|text| Condition { name: "hook_failed", text });
        self.remember((policy, name), failure);
    }

    /// An alarm begins, goes on, changes or ends.
    fn remember(&mut self, key: (String, String), failure: Option<Condition>) {
        let before = self.failed.remove(&key);
        match (before, failure) {
            (Some(before), None) => self.say(Event::Cleared(before)),
            (Some(before), Some(now)) if before == now => {
                self.failed.insert(key, now);
            }
            (before, Some(now)) => {
                before.into_iter().for_each(|before| self.say(Event::Cleared(before)));
                self.say(Event::Raised(now.clone()));
                self.failed.insert(key, now);
            }
            (None, None) => {}
        }
    }

    /// It may be called otherwise a moment later.
    fn name(&self) -> String {
        self.desk.state().name.clone()
    }

    fn say(&self, event: Event) {
        let entry = Journal { at: self.bench.clock.now(), instance: self.name(), event };
        (self.bench.say)(Said::Journal(entry));
    }
}
