//! `heal`: a repair that is tried before a node gives up, within a budget. It runs besides the evaluation, never waits for
//! it, and decides nothing: whether it helped is what the rule sees next.

use std::{fmt, time::Duration};

use rhai::{Dynamic, FnPtr, Map};

use super::{RuleReport, kept::HEAL, memory::Memory, options::Options};
use crate::words::Instant;

/// Repairs one evaluation may ask for.
pub(super) const MOST_HEALS: usize = 16;

/// What a script said about healing a rule.
#[derive(Clone)]
pub(super) struct Heal {
    pub(super) rule: String,
    closure: FnPtr,
    /// Failures in a row before it is tried.
    after: u32,
    /// How often …
    max: usize,
    /// … within this time.
    per: Duration,
    /// How long it is given to take effect.
    settle: Duration,
}

/// A repair that is due.
#[derive(Clone)]
pub struct Healing {
    /// The rule that fails.
    pub rule: String,
    /// Why it does.
    pub why: String,
    closure: FnPtr,
}

impl Heal {
    /// Reads what `heal` was given.
    pub(super) fn new(rule: &str, closure: FnPtr, options: &Map) -> Result<Self, String> {
        let options = Options::new("heal", options)?;
        Ok(Self {
            rule: rule.to_owned(),
            closure,
            after: options.number("after", 2, 1, 1000)?,
            max: usize::try_from(options.number("max", 1_u32, 1, 100)?).unwrap_or(1),
            per: options.duration("per", Duration::from_secs(600))?,
            settle: options.duration("settle", Duration::from_secs(5))?,
        })
    }

    /// The repair, if it is due by what this evaluation saw; then it is spent.
    ///
    /// # Errors
    ///
    /// Too many rules have one.
    pub(super) fn due(&self, seen: &RuleReport, memory: &mut Memory, now: Instant) -> Result<Option<Healing>, String> {
        let last = memory.moments.get(&(HEAL, self.rule.clone())).and_then(|tries| tries.last());
        let settling = last.is_some_and(|at| now < *at + self.settle);
        let failing = seen.ok == Some(false) && seen.gate.fails() >= self.after;
        let due = failing && !settling && memory.spend(HEAL, &self.rule, now, self.max, self.per)?;
        Ok(due.then(|| Healing { rule: self.rule.clone(), why: seen.why.clone(), closure: self.closure.clone() }))
    }
}

impl Healing {
    pub(super) fn function(&self) -> &str {
        self.closure.fn_name()
    }

    pub(super) fn arguments(&self) -> Vec<Dynamic> {
        self.closure.curry().to_vec()
    }
}

impl fmt::Debug for Healing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Healing({}: {})", self.rule, self.why)
    }
}
