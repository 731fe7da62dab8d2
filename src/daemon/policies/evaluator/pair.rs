//! What is known of a pair between evaluations, and what becomes of each of them.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::watch;

use super::{Bench, Evaluate, Wishes, say_line};
use crate::{
    config::Renames,
    control::protocol,
    daemon::{
        audit,
        policies::{
            Said,
            library::{Generation, Shelf},
            trial::{Regression, Trial},
        },
    },
    node::Pace,
    policy::{Context, Healing, Judge, Kept, LogLine, Policy, Report, Verdict},
    words::Instant,
};

/// How much longer than the policy's own deadline an evaluation may take before it is given up.
const GRACE: Duration = Duration::from_secs(1);
/// Evaluations of one pair that were left behind and still occupy a thread.
const LEFT_BEHIND_MAX: usize = 4;

/// See the module.
pub(super) struct Pair {
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
    under_way: Option<UnderWay>,
    /// Evaluations so far.
    begun: u64,
    left_behind: Vec<JoinHandle<()>>,
}

/// An evaluation that has begun.
struct UnderWay {
    number: u64,
    generation: Arc<Generation>,
    at: Instant,
    /// When it is late, or late again.
    late_at: Instant,
}

/// What is to be done about an evaluation that may be late.
pub(super) enum Overdue {
    /// Nothing; look again then.
    Look { after: Duration },
    /// There is another version: somebody else evaluates that one.
    LeaveBehind,
}

/// One evaluation, ready to be performed on a thread that may block.
pub(super) struct Work {
    judge: Arc<Mutex<Judge>>,
    evaluate: Evaluate,
    generation: Arc<Generation>,
    context: Context,
    cleared: std::collections::BTreeSet<String>,
    reloaded: bool,
    known: u64,
    at: Instant,
    first: Option<audit::Entry>,
}

/// What an evaluation left.
pub(super) struct Done {
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

impl Work {
    pub(super) fn perform(self) -> Done {
        let Self { generation, at, .. } = self;
        // After a panic the counters are still the best that is known.
        let mut judge = self.judge.lock().unwrap_or_else(PoisonError::into_inner);
        if self.reloaded {
            judge.reloaded();
        }
        for rule in &self.cleared {
            judge.clear(rule);
        }
        let report = (self.evaluate)(&mut judge, &generation.policy, generation.number, &self.context);
        let in_transition = judge.in_transition();
        let log = judge.take_log();
        let heals = judge.take_heals();
        let revision = judge.revision();
        let kept = (revision != self.known).then(|| judge.kept(at));
        drop(judge);
        let first = self.first.map(|first| audit::Entry { verdict_after: said(&report), ..first });
        Done { policy: generation.policy.clone(), heals, log, report, in_transition, revision, kept, first }
    }
}

impl Pair {
    pub(super) fn new(bench: Bench, instance: &str, policy: &str, wishes: Arc<Wishes>) -> Self {
        Self {
            judge: Arc::new(Mutex::new(bench.keeping.judge(instance, policy))),
            bench,
            instance: instance.to_owned(),
            policy: policy.to_owned(),
            revision: 0,
            wishes,
            last: None,
            trial: None,
            fast: false,
            judged: None,
            under_way: None,
            begun: 0,
            left_behind: Vec::new(),
        }
    }

    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Ends what is evaluated beside it, to be begun again by [`rename`](Self::rename).
    pub(super) fn end_trial(&mut self) -> Option<(Arc<Generation>, Judge)> {
        self.trial.take().map(Trial::end)
    }

    /// Its instance is called otherwise. An evaluation that is under way comes to something all the same.
    pub(super) fn rename(&mut self, renames: &Renames, trial: Option<(Arc<Generation>, Judge)>) {
        renames.rename(&mut self.instance);
        if let (Some((before, memory)), Some(tried)) = (trial, &self.last) {
            self.trial = Some(Trial::start(&self.bench, &self.instance, before, memory, tried));
        }
    }

    pub(super) fn now(&self) -> Instant {
        self.bench.clock.now()
    }

    /// When the daemon started.
    pub(super) const fn started(&self) -> Instant {
        self.bench.started
    }

    /// Nothing was evaluated yet.
    pub(super) const fn is_new(&self) -> bool {
        self.last.is_none()
    }

    pub(super) fn never_loaded(&self, why: String) {
        self.say(Said::NeverLoaded { instance: self.instance.clone(), policy: self.policy.clone(), why });
    }

    /// Nobody evaluates it now. What it remembers stays.
    pub(super) fn not_begun(&mut self, why: &str) {
        self.under_way = None;
        match self.last.clone() {
            Some(generation) => self.judged(self.lost(&generation, self.now(), why)),
            None => self.never_loaded(why.to_owned()),
        }
    }

    /// The work to do, and its number.
    pub(super) fn begin(&mut self, generation: &Arc<Generation>, context: Context, pace: Pace) -> (u64, Work) {
        self.fast = pace == Pace::Fast;
        let at = self.now();
        let before = self.last.replace(Arc::clone(generation)).filter(|last| last.number != generation.number);
        let reloaded = before.is_some();
        let first = reloaded.then(|| self.first_verdict(generation));
        if let Some(before) = before {
            self.trial = self.try_out(before, generation);
            self.may_take(generation, at);
        }
        let cleared = self.wishes.take();
        if let Some(trial) = &self.trial {
            cleared.iter().for_each(|rule| trial.clear(rule));
        }
        self.begun += 1;
        let late_at = at + patience(generation);
        self.under_way = Some(UnderWay { number: self.begun, generation: Arc::clone(generation), at, late_at });
        let work = Work {
            judge: Arc::clone(&self.judge),
            evaluate: Arc::clone(&self.bench.evaluate),
            generation: Arc::clone(generation),
            context,
            cleared,
            reloaded,
            known: self.revision,
            at,
            first,
        };
        (self.begun, work)
    }

    /// The version before promised the next report within its own time. Where this one may take longer, what was said last holds for
    /// as long: else it would be taken for one that nobody evaluates any more.
    fn may_take(&mut self, generation: &Generation, at: Instant) {
        let needed = at + generation.policy.reported_within();
        let Some(report) = self.judged.as_mut().filter(|last| last.counts_until().is_some_and(|until| until < needed))
        else {
            return;
        };
        report.followed_within = Some(needed.saturating_since(report.started_at + report.elapsed));
        let (instance, report) = (self.instance.clone(), report.clone());
        // No news, but it must not be dropped.
        self.say(Said::Judged { instance, report, news: true });
    }

    /// What a piece of work came to; whether to look again soon. `None`: it was left behind, nothing is done and nothing is
    /// said.
    pub(super) fn end(&mut self, number: u64, generation: &Generation, done: Result<Done, String>) -> Option<bool> {
        let UnderWay { at, .. } = self.under_way.take_if(|under_way| under_way.number == number)?;
        Some(match done {
            Ok(done) => {
                let in_transition = done.in_transition;
                self.done(at, done);
                in_transition
            }
            Err(failed) => {
                self.judged(self.lost(generation, at, &format!("its evaluation failed: {failed}")));
                true
            }
        })
    }

    fn done(&mut self, at: Instant, done: Done) {
        if let Some(kept) = done.kept {
            self.bench.keeping.keep(&self.instance, &self.policy, at, kept);
        }
        if let Some(first) = done.first {
            // The disk may be slow: no verdict waits for it.
            let audit = Arc::clone(&self.bench.audit);
            self.bench.runtime.spawn_blocking(move || audit.record(&first));
        }
        let whose = format!("{}: policy {}", self.instance, self.policy);
        done.log.iter().for_each(|line| say_line(&whose, line));
        for healing in done.heals {
            self.say(Said::Heal { instance: self.instance.clone(), policy: done.policy.clone(), healing });
        }
        self.revision = done.revision;
        self.judged(done.report);
    }

    /// Says so if an evaluation is late.
    pub(super) fn overdue(&mut self, shelf: &watch::Receiver<Shelf>) -> Overdue {
        let now = self.now();
        let Some(under_way) = &mut self.under_way else {
            // One that begins now is not late before.
            return Overdue::Look { after: self.last.as_deref().map_or(GRACE, patience) };
        };
        if now < under_way.late_at {
            return Overdue::Look { after: under_way.late_at.saturating_since(now) };
        }
        let after = under_way.generation.policy.interval().max(GRACE);
        under_way.late_at = now + after;
        let (generation, at) = (Arc::clone(&under_way.generation), under_way.at);
        let why = "its evaluation does not come back; the role stays as it is";
        self.judged(self.lost(&generation, at, why));
        let is_another = match &*shelf.borrow() {
            Shelf::Running(running) => running.number != generation.number,
            Shelf::Empty(_) | Shelf::Unread => true,
        };
        self.left_behind.retain(|thread| !thread.is_finished());
        if is_another && self.left_behind.len() < LEFT_BEHIND_MAX {
            return Overdue::LeaveBehind;
        }
        Overdue::Look { after }
    }

    /// What is under way comes to nothing, whenever that is.
    pub(super) fn leave_behind(&mut self, thread: JoinHandle<()>) {
        self.left_behind.push(thread);
        self.under_way = None;
        // What it remembers is with the lost one: the new version starts from what was kept.
        self.judge = Arc::new(Mutex::new(self.bench.keeping.judge(&self.instance, &self.policy)));
        self.revision = 0;
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
        let now = self.now();
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

    /// A report in place of one that did not come.
    fn lost(&self, generation: &Generation, started_at: Instant, why: &str) -> Report {
        let why = format!("policy {}: {why}", self.policy);
        Report {
            policy: self.policy.clone(),
            generation: generation.number,
            started_at,
            elapsed: self.now().saturating_since(started_at),
            followed_within: Some(generation.policy.followed_within()),
            verdict: Verdict::Hold { why: why.clone() },
            rules: self.judged.as_ref().map(|last| last.rules.clone()).unwrap_or_default(),
            observed_ok: false,
            // Whoever cannot say yes says no.
            may_take_over: generation.policy.has_may_take_over().then_some(false),
            error: Some(why),
        }
    }

    fn judged(&mut self, report: Report) {
        let now = self.now();
        drop(self.trial.take_if(|trial| trial.is_over(now)));
        if let Some(trial) = &self.trial {
            trial.saw(&report);
            if let Some(error) = &report.error {
                // One that cannot be told is told with the next report.
                let _ = (self.bench.regressed)(Regression {
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

/// How long an evaluation may take.
fn patience(generation: &Generation) -> Duration {
    generation.policy.deadline() + GRACE
}

/// The verdict, in a word and a reason.
fn said(report: &Report) -> String {
    let verdict = protocol::Verdict::from(&report.verdict);
    if verdict.why.is_empty() { verdict.kind } else { format!("{}: {}", verdict.kind, verdict.why) }
}

/// What a panic said.
pub(super) fn why_panicked(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it panicked".to_owned())
}
