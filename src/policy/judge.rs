//! The memory of one policy in one instance, and its evaluation.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rhai::Dynamic;

use super::{
    Clock, Context, Engine, Kept, LogLevel, LogLine, Policy, Report, RuleReport,
    evaluation::{Evaluation, Frame},
    functions::Explicit,
    heal::Healing,
    kind,
    memory::Memory,
    probe::Prober,
    rule::Remembered,
    thrown::Thrown,
    verdict::{Evidence, decide},
};
use crate::words::Instant;

/// What is remembered of one (instance, policy) from one evaluation to the next; survives reloads.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    memory: Memory,
    reloaded: bool,
    in_transition: bool,
    log: Vec<LogLine>,
    heals: Vec<Healing>,
    thrown: Option<Thrown>,
}

impl Judge {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Evaluates the policy once. Blocks the thread until the probes have answered, at most
    /// [`Policy::deadline`] (plus scheduling).
    pub fn evaluate(
        &mut self,
        engine: &Engine,
        policy: &Policy,
        generation: u64,
        context: &Context,
        prober: &Arc<dyn Prober>,
        clock: &Arc<dyn Clock>,
    ) -> Report {
        let removed = self.forget_removed(policy);
        self.heals.clear();
        // A copy: should this program fail on the way, what was known is still known.
        let mut memory = self.memory.clone();
        memory.begin_evaluation();
        let evaluation = Arc::new(Evaluation::new(policy, context, prober, clock, memory));
        let checked = check(engine, policy, &evaluation);
        // What it returned counts, whatever is wrong besides: an error must not undo a fault.
        let explicit = checked.as_ref().ok().cloned().flatten();
        let evaluated = settle(&evaluation);
        let (checked, evaluated) = match evaluated {
            Ok(evaluated) => (checked, evaluated),
            Err(error) => (checked.and(Err(error)), Vec::new()),
        };
        let error = match checked.and_then(|_| heal(&evaluation, &evaluated)) {
            Ok(heals) => {
                self.heals = heals;
                None
            }
            Err(error) => Some(error),
        };
        let (unobserved, starting) = {
            let mut ledger = evaluation.ledger();
            let unobserved = rest(&mut ledger.memory, &evaluated, evaluation.started_at, error.is_some());
            ledger.memory.started |= error.is_none() && !evaluated.iter().any(RuleReport::decides_unknown);
            (unobserved, !ledger.memory.started)
        };
        let verdict = decide(&Evidence {
            explicit,
            error: error.as_ref().map(Thrown::to_string).as_deref(),
            evaluated: &evaluated,
            unobserved: &unobserved,
            starting,
        });
        let asked = context.ask_may_take_over.then(|| may_take_over(engine, policy, &evaluation));
        let (may_take_over, hook_error) = asked.flatten().map_or((None, None), |(may, error)| (Some(may), error));

        let mut ledger = evaluation.ledger();
        self.memory = std::mem::take(&mut ledger.memory);
        self.memory.reloaded = false;
        self.reloaded = false;
        self.log = removed;
        self.log.append(&mut ledger.log);
        drop(ledger);
        self.in_transition = self.memory.gates.values().any(Remembered::in_transition);
        let observed_ok = error.is_none() && hook_error.is_none() && evaluated.iter().all(RuleReport::is_not_amiss);
        self.thrown = error.or(hook_error);
        let mut rules = evaluated;
        rules.extend(unobserved);
        rules.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Report {
            policy: policy.name().to_owned(),
            generation,
            started_at: evaluation.started_at,
            elapsed: clock.now().saturating_since(evaluation.started_at),
            followed_within: Some(policy.followed_within()),
            verdict,
            rules,
            observed_ok,
            may_take_over,
            error: self.thrown.as_ref().map(Thrown::to_string),
        }
    }

    /// Goes on from what another process kept, as it is at `now`.
    #[must_use]
    pub fn resumed(now: Instant, kept: Kept) -> Self {
        // The policy may have changed meanwhile.
        Self { memory: Memory::resumed(now, kept), reloaded: true, ..Self::default() }
    }

    /// What is to outlive this process, as it is at `now`.
    #[must_use]
    pub fn kept(&self, now: Instant) -> Kept {
        self.memory.kept(now)
    }

    /// Counts changes of what [`kept`](Self::kept) says, but for its ages.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.memory.revision()
    }

    /// Ends what holds a rule down besides its observations: a latch, its back-off. False if nothing is known of it.
    pub fn clear(&mut self, rule: &str) -> bool {
        self.memory.clear(rule)
    }

    /// The next evaluation uses another version. What is remembered stays, by the names of the rules; rules that the new
    /// version does not name are dropped, those that are new start up, unproven.
    pub const fn reloaded(&mut self) {
        self.reloaded = true;
    }

    /// A version is evaluated again, which has remembered this of its own meanwhile: its gates and helpers count. What has
    /// really happened stays: repairs, and what may happen only so often.
    pub fn returns_to(&mut self, own: Self) {
        self.memory = own.memory.instead_of(&self.memory);
    }

    /// Some rule is on its way down or up, or not known yet: evaluate at [`Policy::fast`].
    #[must_use]
    pub const fn in_transition(&self) -> bool {
        self.in_transition
    }

    /// What the last evaluation logged, for the journal.
    pub fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log)
    }

    /// The repairs that are due after the last evaluation.
    pub fn take_heals(&mut self) -> Vec<Healing> {
        std::mem::take(&mut self.heals)
    }

    /// What the last evaluation threw: what its report says in words.
    pub(super) const fn thrown(&self) -> Option<&Thrown> {
        self.thrown.as_ref()
    }

    /// Drops the rules that another version does not have; says so of those that were down.
    fn forget_removed(&mut self, policy: &Policy) -> Vec<LogLine> {
        self.memory.reloaded = self.reloaded;
        if !self.memory.reloaded || policy.names_rules_while_running() {
            return Vec::new();
        }
        let named: BTreeSet<&str> = policy.rules_named().iter().map(|rule| rule.name.as_str()).collect();
        let mut lines = Vec::new();
        let is_named = |name: &str| named.contains(name);
        for (name, _) in self.memory.gates.iter().filter(|(name, rule)| rule.gate.is_down() && !is_named(name)) {
            let text = format!("rule {name} is gone from the policy; it was down, and that has no effect any more");
            lines.push(LogLine { level: LogLevel::Warn, text });
        }
        self.memory.keep_rules(is_named);
        lines
    }
}

impl RuleReport {
    /// It bears on the verdict, and nothing is known of it.
    pub(super) fn decides_unknown(&self) -> bool {
        use super::{RuleEffect, RuleState};
        match self.effect {
            RuleEffect::Require | RuleEffect::Gate => self.state() == RuleState::Unknown,
            RuleEffect::Prefer(_) | RuleEffect::Watch => false,
        }
    }

    /// Since the start it was only seen to fail, though not often enough to be down.
    pub(super) fn fails_from_the_start(&self) -> bool {
        self.state() == super::RuleState::Unknown && self.gate.fails() > 0
    }

    /// It is no `require`, or was seen ok.
    fn is_not_amiss(&self) -> bool {
        self.effect != super::RuleEffect::Require || self.ok == Some(true)
    }
}

/// What `check()` says. A policy of hooks alone has none, and nothing against anything.
fn check(engine: &Engine, policy: &Policy, evaluation: &Arc<Evaluation>) -> Result<Option<Explicit>, Thrown> {
    if policy.has_check() { call(engine, policy, evaluation, "check", Vec::new()).and_then(explicit) } else { Ok(None) }
}

/// The repairs that are due by what was seen.
fn heal(evaluation: &Evaluation, evaluated: &[RuleReport]) -> Result<Vec<Healing>, Thrown> {
    let mut ledger = evaluation.ledger();
    let heals = std::mem::take(&mut ledger.heals);
    let mut due = Vec::new();
    for heal in heals {
        let Some(seen) = evaluated.iter().find(|rule| rule.name == heal.rule) else {
            return Err(format!("heal(\"{}\", …): this evaluation has no rule of that name", heal.rule).into());
        };
        due.extend(heal.due(seen, &mut ledger.memory, evaluation.started_at)?);
    }
    Ok(due)
}

/// Calls a function of the policy, bounded.
fn call(
    engine: &Engine,
    policy: &Policy,
    evaluation: &Arc<Evaluation>,
    function: &str,
    arguments: Vec<Dynamic>,
) -> Result<Dynamic, Thrown> {
    let frame = Frame::Check(Arc::clone(evaluation));
    let call = || engine.call(policy, frame, &evaluation.clock, evaluation.deadline_at(), function, arguments);
    unwound(call).and_then(|result| result.map_err(|error| policy.thrown(&error)))
}

fn settle(evaluation: &Evaluation) -> Result<Vec<RuleReport>, Thrown> {
    unwound(|| evaluation.settle_all())
}

/// A panic is a fault of this program; it must not take the worker with it, and it is no verdict.
fn unwound<T>(work: impl FnOnce() -> T) -> Result<T, Thrown> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let what = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        format!("a fault inside ha itself, please report it: {}", what.unwrap_or("panic without a message")).into()
    })
}

/// What `check()` returned, if it is a verdict. A rule as the last expression is none.
fn explicit(value: Dynamic) -> Result<Option<Explicit>, Thrown> {
    if value.is_unit() || value.is::<super::functions::Handle>() {
        return Ok(None);
    }
    let what = kind::of(&value);
    value.try_cast::<Explicit>().map(Some).ok_or_else(|| {
        format!("check() returned {what}: return healthy(), adjust(), fault(), hold(), maintenance(), or nothing")
            .into()
    })
}

/// The rules that this evaluation did not come to. If it broke off, they are as they were; otherwise the ones that are
/// down linger, and those that nobody has asked for long enough are forgotten.
fn rest(memory: &mut Memory, evaluated: &[RuleReport], now: Instant, broke_off: bool) -> Vec<RuleReport> {
    let seen: BTreeSet<&str> = evaluated.iter().map(|rule| rule.name.as_str()).collect();
    if broke_off {
        for (_, remembered) in memory.gates.iter_mut().filter(|(name, _)| !seen.contains(name.as_str())) {
            remembered.gate.not_reached(now);
        }
    } else {
        memory.forget_stale(now, |name| seen.contains(name));
    }
    let unseen = memory.gates.iter().filter(|(name, _)| !seen.contains(name.as_str()));
    unseen
        .filter(|(_, remembered)| broke_off || remembered.gate.is_down())
        .map(|(_, remembered)| remembered.unobserved())
        .collect()
}

/// Asks `may_take_over`, if the policy has it. Whoever cannot say yes says no. One that holds is asked too: where the node
/// would take in spite of a hold, it must know of a no.
fn may_take_over(engine: &Engine, policy: &Policy, evaluation: &Arc<Evaluation>) -> Option<(bool, Option<Thrown>)> {
    let arguments = match policy.may_take_over_takes()? {
        0 => Vec::new(),
        _ => vec![Dynamic::from_map(rhai::Map::from([
            ("from".into(), "backup".into()),
            ("to".into(), "master".into()),
            ("at".into(), evaluation.started_at.since_epoch().as_secs_f64().into()),
        ]))],
    };
    let answer = call(engine, policy, evaluation, "may_take_over", arguments).and_then(|value| {
        value
            .as_bool()
            .map_err(|_| format!("may_take_over() returned {}: return true or false", kind::of(&value)).into())
    });
    Some(match answer {
        Ok(answer) => (answer, None),
        Err(error) => (false, Some(error)),
    })
}
