//! Policies of a machine at work: evaluated when they are due, on probes that find what they are made to find.

use std::time::Duration;

use super::World;
use crate::{
    node::{Input, Pace, facts},
    policy::{Context, Engine, Forced, Policy, Report, Simulation, Verdict},
    sim::{log::What, mutation::Mutation},
    words::Instant,
};

/// How much longer than the policy's own deadline an evaluation may take before it counts as lost.
const GRACE: Duration = Duration::from_secs(1);

/// What becomes of the evaluations of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hangs {
    /// They come back.
    #[default]
    No,
    /// They do not, and the daemon says so.
    Told,
    /// They do not, and nobody says so: whoever would is stuck as well.
    Untold,
}

/// One policy in one instance.
#[derive(Debug)]
pub(super) struct Judging {
    pub(super) instance: String,
    pub(super) simulation: Simulation,
    pub(super) pace: Pace,
    /// When it is evaluated next.
    pub(super) due: Instant,
    /// How long an evaluation takes.
    pub(super) takes: Duration,
    /// Whether evaluations come back.
    pub(super) hangs: Hangs,
    /// What is under way, and when it is there.
    pub(super) under_way: Option<(Instant, Report)>,
    /// What it said last.
    pub(super) last: Option<Report>,
}

impl Judging {
    pub(super) fn new(now: Instant, engine: &Engine, instance: &str, policy: &Policy) -> Self {
        Self {
            instance: instance.to_owned(),
            simulation: Simulation::new(engine, policy, Context::default()),
            pace: Pace::Normal,
            due: now + Duration::from_millis(2),
            takes: Duration::from_millis(1),
            hangs: Hangs::No,
            under_way: None,
            last: None,
        }
    }

    pub(super) fn is(&self, instance: &str, policy: &str) -> bool {
        self.instance == instance && self.simulation.policy().name() == policy
    }

    /// When something of it is due.
    pub(super) fn next(&self) -> Instant {
        self.under_way.as_ref().map_or(self.due, |(at, _)| *at)
    }

    /// Nothing is handed in; from some moment on that is worth as much as an error.
    fn say_nothing(&mut self, now: Instant) {
        let counts_until = self.last.as_ref().and_then(Report::counts_until);
        if let Some(until) = counts_until.filter(|until| *until <= now) {
            self.last = Some(Report { followed_within: None, ..self.lost(until, now) });
        }
        let next = now + self.simulation.period(false).max(Duration::from_millis(10));
        self.due = counts_until.filter(|until| now < *until).map_or(next, |until| until.min(next));
    }

    /// What it is taken for while it does not come back.
    fn lost(&self, began: Instant, now: Instant) -> Report {
        let policy = self.simulation.policy();
        let why = format!("policy {}: its evaluation does not come back; the role stays as it is", policy.name());
        Report {
            policy: policy.name().to_owned(),
            generation: 1,
            started_at: began,
            elapsed: now.saturating_since(began),
            followed_within: Some(policy.followed_within()),
            verdict: Verdict::Hold { why: why.clone() },
            rules: self.last.as_ref().map(|last| last.rules.clone()).unwrap_or_default(),
            observed_ok: false,
            may_take_over: policy.has_may_take_over().then_some(false),
            error: Some(why),
        }
    }
}

impl World {
    /// Evaluates what is due on a machine, and hands in what has come back.
    pub(super) fn judge(&mut self, index: usize) {
        for at in 0..self.machines[index].judges.len() {
            if self.machines[index].judges[at].next() > self.now {
                continue;
            }
            if self.machines[index].judges[at].under_way.is_none() {
                self.evaluate(index, at);
            }
            let now = self.now;
            let back = self.machines[index].judges[at].under_way.take_if(|(ready, _)| *ready <= now);
            if let Some((_, report)) = back {
                self.judged(index, at, report);
            }
        }
    }

    fn evaluate(&mut self, index: usize, at: usize) {
        let now = self.now;
        let machine = &mut self.machines[index];
        if machine.judges[at].hangs == Hangs::Untold {
            machine.judges[at].say_nothing(now);
            return;
        }
        let status = machine.daemon.status();
        let judging = &mut machine.judges[at];
        let fast = judging.pace == Pace::Fast;
        let forced = std::mem::take(&mut judging.simulation.context.forced);
        let Some(context) = facts::context(&status, &judging.instance, now, machine.started_at, fast) else {
            judging.due = now + Duration::from_secs(1);
            judging.simulation.context.forced = forced;
            return;
        };
        judging.simulation.context = Context { forced, ..context };
        judging.simulation.set_wall(machine.wall);
        let (ready, report) = if judging.hangs == Hangs::Told {
            let ready = now + judging.simulation.policy().deadline() + GRACE;
            (ready, judging.lost(now, ready))
        } else {
            let mut report = judging.simulation.evaluate_at(now);
            report.elapsed = judging.takes;
            (now + judging.takes, report)
        };
        let period = judging.simulation.period(fast).max(Duration::from_millis(10));
        let mut due = now + period;
        while due < ready {
            due = due + period;
        }
        judging.due = due;
        judging.under_way = Some((ready, report));
    }

    fn judged(&mut self, index: usize, at: usize, report: Report) {
        let judging = &mut self.machines[index].judges[at];
        let instance = judging.instance.clone();
        let said = word(&report.verdict);
        let news = judging.last.as_ref().is_none_or(|last| last.verdict != report.verdict);
        judging.last = Some(report.clone());
        if news {
            let policy = report.policy.clone();
            self.note(index, &instance, What::Verdict { policy, said });
        }
        let report = match self.mutation {
            Some(Mutation::VerdictsIgnored) => {
                Report { verdict: Verdict::Healthy { delta: 0, note: String::new() }, observed_ok: true, ..report }
            }
            Some(_) | None => report,
        };
        self.hand_in(index, Input::Judged { instance, report });
    }

    /// The node wants to know sooner, or as usual.
    pub(super) fn pace(&mut self, index: usize, instance: &str, pace: Pace) {
        let now = self.now;
        for judging in self.machines[index].judges.iter_mut().filter(|judging| judging.instance == instance) {
            if pace == Pace::Fast && judging.pace == Pace::Normal {
                judging.due = now;
            }
            judging.pace = pace;
        }
    }

    /// Rules of this name see this from now on; how many there are.
    pub(super) fn force(&mut self, index: usize, policy: &str, rule: &str, forced: Option<Forced>) {
        for judging in &mut self.machines[index].judges {
            if judging.simulation.policy().name() == policy {
                match forced {
                    Some(forced) => judging.simulation.force(rule, forced),
                    None => drop(judging.simulation.context.forced.remove(rule)),
                }
            }
        }
    }
}

/// The verdict, in a word and a reason.
pub(super) fn word(verdict: &Verdict) -> String {
    let (kind, why) = match verdict {
        Verdict::Starting => ("starting", String::new()),
        Verdict::Healthy { delta: 0, .. } => ("healthy", String::new()),
        Verdict::Healthy { delta, note } => ("healthy", format!("{delta:+} {note}")),
        Verdict::Fault { why, .. } => ("fault", why.clone()),
        Verdict::Hold { why } => ("hold", why.clone()),
        Verdict::Maintenance { why } => ("maintenance", why.clone()),
    };
    if why.is_empty() { kind.to_owned() } else { format!("{kind}: {}", why.trim()) }
}
