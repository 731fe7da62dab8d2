//! What is remembered over a restart of the process (R22): latches, falls and back-off, notes, the helpers' state, and the
//! budgets of what may happen only so often. Counters are not: a process that has just started has seen nothing.
//!
//! Plain values with ages instead of moments: whoever writes them down adds when that was.

use std::{collections::BTreeMap, time::Duration};

use super::{Note, RuleEffect, RuleReport, memory::Memory, rule::Remembered};
use crate::{
    health::{Average, Falls, Gate, Hysteresis, Rate, Window},
    words::Instant,
};

/// The memory of one policy in one instance, as it can be written down.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// Rules that fell.
    pub rules: BTreeMap<String, KeptRule>,
    /// `put`
    pub notes: BTreeMap<String, Note>,
    /// `changed`
    pub lasts: BTreeMap<String, Note>,
    /// `k_of_n`, as [`Window::bits`].
    pub windows: BTreeMap<String, u64>,
    /// `ewma`
    pub averages: BTreeMap<String, KeptAverage>,
    /// `rate`
    pub rates: BTreeMap<String, KeptRate>,
    /// `once_per`, by name: how long ago.
    pub once: BTreeMap<String, Vec<Duration>>,
    /// Healing actions, by rule: how long ago each was.
    pub heals: BTreeMap<String, Vec<Duration>>,
}

/// A rule that fell.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptRule {
    /// Its falls.
    pub falls: Falls,
    /// What it does while it is down.
    pub effect: RuleEffect,
    /// It judges an external reference.
    pub external: bool,
    /// What it fell for.
    pub why: String,
}

/// A smoothed value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptAverage {
    /// The value.
    pub value: f64,
    /// How long ago it was measured.
    pub age: Duration,
}

/// A counter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptRate {
    /// What it showed.
    pub count: f64,
    /// How fast it grew.
    pub per_second: Option<f64>,
    /// How long ago it was read.
    pub age: Duration,
}

/// Kinds of things that may happen only so often.
pub(super) const ONCE: &str = "once_per";
pub(super) const HEAL: &str = "heal";

impl Kept {
    /// The same, so much later.
    #[must_use]
    pub fn later(mut self, by: Duration) -> Self {
        self.rules.values_mut().for_each(|rule| rule.falls = rule.falls.later(by));
        self.averages.values_mut().for_each(|average| average.age = average.age.saturating_add(by));
        self.rates.values_mut().for_each(|rate| rate.age = rate.age.saturating_add(by));
        for ages in self.once.values_mut().chain(self.heals.values_mut()) {
            ages.iter_mut().for_each(|age| *age = age.saturating_add(by));
        }
        self
    }
}

impl Memory {
    /// What outlives the process.
    pub(super) fn kept(&self, now: Instant) -> Kept {
        let ages = |what: &str| {
            let of_kind = self.moments.iter().filter(|((kind, _), _)| *kind == what);
            let ages = |moments: &[Instant]| moments.iter().map(|at| now.saturating_since(*at)).collect();
            of_kind.map(|((_, name), moments)| (name.clone(), ages(moments))).collect()
        };
        Kept {
            rules: self.kept_rules(now),
            notes: self.notes.clone(),
            lasts: self.lasts.clone(),
            windows: self.windows.0.iter().map(|(name, (_, window))| (name.clone(), window.bits())).collect(),
            averages: self
                .averages
                .0
                .iter()
                .filter_map(|(name, (_, average))| kept_average(now, name, average))
                .collect(),
            rates: self.rates.0.iter().filter_map(|(name, (_, rate))| kept_rate(now, name, rate)).collect(),
            once: ages(ONCE),
            heals: ages(HEAL),
        }
    }

    fn kept_rules(&self, now: Instant) -> BTreeMap<String, KeptRule> {
        let with_gates = self.gates.iter().map(|(name, remembered)| {
            let Remembered { gate, last, failure } = remembered;
            let rule =
                KeptRule { falls: gate.falls(now), effect: last.effect, external: last.external, why: failure.clone() };
            (name.clone(), rule)
        });
        // Nothing holds these: what they do while down does not matter.
        let without = self.falls.iter().map(|(name, (at, falls))| {
            let falls = falls.later(now.saturating_since(*at));
            (name.clone(), KeptRule { falls, effect: RuleEffect::Watch, external: false, why: String::new() })
        });
        with_gates.chain(without).filter(|(_, rule)| !rule.falls.is_nothing()).collect()
    }

    /// What another process left.
    pub(super) fn resumed(now: Instant, kept: Kept) -> Self {
        let mut memory = Self::default();
        (memory.notes, memory.lasts) = (kept.notes, kept.lasts);
        for (name, rule) in kept.rules {
            let gate = Gate::after_restart(now, &rule.falls);
            if gate.is_down() {
                memory.gates.insert(name.clone(), held(name, gate, rule));
            } else {
                memory.falls.insert(name, (now, rule.falls));
            }
        }
        let unused = |(name, bits)| (name, (0, Window::from_bits(bits)));
        memory.windows.0 = kept.windows.into_iter().map(unused).collect();
        // What happened before this boot has no moment on its clock: it keeps its age.
        let average = |kept: KeptAverage| Average { value: kept.value, at: now, before: kept.age };
        memory.averages.0 = kept.averages.into_iter().map(|(name, kept)| (name, (0, average(kept)))).collect();
        let rate = |kept: KeptRate| Rate { count: kept.count, at: now, before: kept.age, per_second: kept.per_second };
        memory.rates.0 = kept.rates.into_iter().map(|(name, kept)| (name, (0, rate(kept)))).collect();
        // These count from the boot at the earliest: for longer than they should, never for less.
        for (kind, things) in [(ONCE, kept.once), (HEAL, kept.heals)] {
            let moments = |ages: Vec<Duration>| ages.into_iter().map(|age| now - age).collect();
            memory.moments.extend(things.into_iter().map(|(name, ages)| ((kind, name), moments(ages))));
        }
        memory
    }
}

/// A rule that is down although this process has not looked yet.
fn held(name: String, gate: Gate, rule: KeptRule) -> Remembered {
    let last = RuleReport {
        name,
        effect: rule.effect,
        file: None,
        line: 0,
        ok: None,
        gate,
        // What it really takes is known once it is evaluated.
        hysteresis: Hysteresis { latch: rule.falls.latched, ..Hysteresis::default() },
        external: rule.external,
        alert: false,
        tags: Vec::new(),
        why: rule.why.clone(),
        probes: Vec::new(),
        elapsed: None,
        timeout: Duration::ZERO,
        unproven: false,
    };
    Remembered { gate, last, failure: rule.why }
}

/// A value that grew out of all bounds is not worth keeping.
fn kept_average(now: Instant, name: &str, average: &Average) -> Option<(String, KeptAverage)> {
    let kept = KeptAverage { value: average.value, age: average.age(now) };
    average.value.is_finite().then(|| (name.to_owned(), kept))
}

fn kept_rate(now: Instant, name: &str, rate: &Rate) -> Option<(String, KeptRate)> {
    let per_second = rate.per_second.filter(|per_second| per_second.is_finite());
    let kept = KeptRate { count: rate.count, per_second, age: rate.age(now) };
    rate.count.is_finite().then(|| (name.to_owned(), kept))
}
