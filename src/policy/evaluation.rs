//! One evaluation while it runs: what the functions of a policy see and write down. It travels as the engine's tag, so one
//! engine serves every policy and every instance.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rhai::{Dynamic, NativeCallContext};

use super::{
    Clock, Context, Forced, RuleReport,
    condition::Sight,
    context,
    heal::{Heal, MOST_HEALS},
    hook::HookRun,
    job::{Job, Reserved},
    memory::Memory,
    probe::{ProbeRequest, Prober},
    rehearsal::Rehearsal,
    rule::Rule,
    script::Policy,
};
use crate::words::Instant;

/// Probes one evaluation may start.
const MOST_PROBES: usize = 64;
/// Rules one evaluation may have.
const MOST_RULES: usize = 128;
/// Rules that may be remembered: those of an evaluation, and those that linger.
const MOST_REMEMBERED: usize = 4 * MOST_RULES;
/// Lines one evaluation may log.
const MOST_LINES: usize = 64;

/// What is being run.
#[derive(Clone)]
pub(super) enum Frame {
    /// A policy, for real.
    Check(Arc<Evaluation>),
    /// A hook, or what `heal` was given.
    Hook(Arc<HookRun>),
    /// A policy's test.
    Test(Arc<Rehearsal>),
}

/// How grave a line of a policy's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `log_error`
    Error,
    /// `log_warn`
    Warn,
    /// `log_info`, `print`, `debug`
    Info,
}

/// A line that a policy logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// How grave it is.
    pub level: LogLevel,
    /// What it says.
    pub text: String,
}

/// One evaluation.
pub(super) struct Evaluation {
    policy: Policy,
    facts: BTreeMap<&'static str, Dynamic>,
    forced: BTreeMap<String, Forced>,
    pub(super) started_at: Instant,
    deadline_at: Instant,
    prober: Arc<dyn Prober>,
    reserved: Reserved,
    pub(super) clock: Arc<dyn Clock>,
    ledger: Mutex<Ledger>,
}

/// What an evaluation writes down.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) memory: Memory,
    pub(super) rules: Vec<(Rule, Option<RuleReport>)>,
    pub(super) heals: Vec<Heal>,
    pub(super) log: Vec<LogLine>,
    probes: usize,
    /// The rules have been settled: what comes now are questions besides.
    sealed: bool,
}

impl Frame {
    /// The frame of the running script; `None` where constants are computed.
    pub(super) fn of(tag: Option<&Dynamic>) -> Option<Self> {
        tag?.clone().try_cast()
    }

    /// The frame a function was called in.
    ///
    /// # Errors
    ///
    /// It was called where constants are computed.
    pub(super) fn of_call(call: &NativeCallContext<'_>) -> Result<Self, String> {
        Self::of(call.tag()).ok_or_else(|| format!("{}() works inside functions only", call.fn_name()))
    }

    /// `node`, `peer`, `peers`, `now`, or a constant of the policy.
    pub(super) fn variable(&self, name: &str) -> Option<Dynamic> {
        match self {
            Self::Check(evaluation) => evaluation.facts.get(name).or_else(|| evaluation.policy.constant(name)).cloned(),
            Self::Hook(run) => run.variable(name),
            Self::Test(rehearsal) => rehearsal.variable(name),
        }
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Self::Check(evaluation) => Arc::clone(&evaluation.clock),
            Self::Hook(run) => run.clock(),
            Self::Test(rehearsal) => rehearsal.clock(),
        }
    }
}

impl Evaluation {
    pub(super) fn new(
        policy: &Policy,
        context: &Context,
        prober: &Arc<dyn Prober>,
        clock: &Arc<dyn Clock>,
        memory: Memory,
    ) -> Self {
        let started_at = clock.now();
        Self {
            policy: policy.clone(),
            facts: context::facts(context, started_at),
            forced: context.forced.clone(),
            started_at,
            deadline_at: started_at + policy.deadline(),
            prober: Arc::clone(prober),
            reserved: Reserved::default(),
            clock: Arc::clone(clock),
            ledger: Mutex::new(Ledger { memory, ..Ledger::default() }),
        }
    }

    pub(super) const fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) const fn deadline_at(&self) -> Instant {
        self.deadline_at
    }

    /// The file of a call, unless it is the policy's own.
    pub(super) fn module_file(&self, file: Option<&str>) -> Option<String> {
        file.filter(|file| *file != self.policy.file()).map(str::to_owned)
    }

    /// What it has written down. Never held while something is waited for.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a probe.
    ///
    /// # Errors
    ///
    /// There have been too many.
    pub(super) fn probe(&self, request: ProbeRequest) -> Result<Arc<Job>, String> {
        {
            let mut ledger = self.ledger();
            ledger.probes += 1;
            if ledger.probes > MOST_PROBES {
                return Err(format!("more than {MOST_PROBES} probes in one evaluation"));
            }
        }
        let left = self.deadline_at.saturating_since(self.clock.now());
        Ok(Job::start(request, left, &self.prober, &self.reserved, &*self.clock))
    }

    /// Takes a rule; returns its number.
    ///
    /// # Errors
    ///
    /// Its name was there already, or there are too many.
    pub(super) fn declare(&self, rule: Rule) -> Result<usize, String> {
        let mut ledger = self.ledger();
        if ledger.sealed {
            return Err("rules belong into check()".to_owned());
        }
        if let Some((first, _)) = ledger.rules.iter().find(|(other, _)| other.name == rule.name) {
            return Err(format!(
                "a second rule \"{}\" in one evaluation; the first is in line {}",
                rule.name, first.line
            ));
        }
        if ledger.rules.len() == MOST_RULES {
            return Err(format!("more than {MOST_RULES} rules in one evaluation"));
        }
        if ledger.memory.gates.len() >= MOST_REMEMBERED && !ledger.memory.gates.contains_key(&rule.name) {
            return Err(format!("more than {MOST_REMEMBERED} rules are remembered: are their names computed?"));
        }
        ledger.rules.push((rule, None));
        Ok(ledger.rules.len() - 1)
    }

    /// Takes a repair.
    ///
    /// # Errors
    ///
    /// The rule has one, or there are too many.
    pub(super) fn heal(&self, heal: Heal) -> Result<(), String> {
        let mut ledger = self.ledger();
        if ledger.heals.iter().any(|other| other.rule == heal.rule) {
            return Err(format!("a second heal for \"{}\" in one evaluation", heal.rule));
        }
        if ledger.heals.len() == MOST_HEALS {
            return Err(format!("more than {MOST_HEALS} repairs in one evaluation"));
        }
        ledger.heals.push(heal);
        Ok(())
    }

    /// Waits for what the rule depends on and moves its gate, once.
    pub(super) fn settle(&self, number: usize) -> Option<RuleReport> {
        let (rule, settled) = self.ledger().rules.get(number).cloned()?;
        if settled.is_some() {
            return settled;
        }
        let forced = self.forced.get(&rule.name);
        let sight = forced.map_or_else(|| rule.look(&*self.clock), |forced| Sight::forced(*forced));
        let mut ledger = self.ledger();
        let now = self.started_at;
        let memory = &mut ledger.memory;
        let before = memory.gates.remove(&rule.name);
        let gate = before.as_ref().map_or_else(|| memory.new_gate(&rule.name, now), |before| before.gate);
        let unproven = match &before {
            // Counters stay, but they say nothing of the new target.
            Some(before) => before.last.unproven || memory.reloaded && rule.asks_otherwise(before),
            None => memory.started,
        };
        let after = rule.settle(gate, before.as_ref(), unproven, now, &sight);
        if after.gate.is_down() != gate.is_down() {
            memory.revise();
        }
        let report = after.last.clone();
        memory.gates.insert(rule.name, after);
        if let Some((_, settled)) = ledger.rules.get_mut(number) {
            *settled = Some(report.clone());
        }
        Some(report)
    }

    /// Settles every rule; those that were evaluated, in the order of their calls.
    pub(super) fn settle_all(&self) -> Vec<RuleReport> {
        let count = {
            let mut ledger = self.ledger();
            ledger.sealed = true;
            ledger.rules.len()
        };
        (0..count).filter_map(|number| self.settle(number)).collect()
    }

    pub(super) fn log(&self, level: LogLevel, text: &str) {
        let mut ledger = self.ledger();
        if ledger.log.len() < MOST_LINES {
            ledger.log.push(LogLine { level, text: text.to_owned() });
        }
    }
}
