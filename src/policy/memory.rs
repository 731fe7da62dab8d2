//! What evaluations leave for the next one: the gates of rules, and what helpers and `put` keep, each by its name.

use std::{collections::BTreeMap, time::Duration};

use super::{Note, RuleReport, rule::Remembered};
use crate::{
    health::{Average, Falls, Gate, Rate, Window},
    words::Instant,
};

/// Names that one helper may be used with, and notes that may be kept.
const MOST: usize = 64;
/// How long such a name may be, in bytes.
const LONGEST_NAME: usize = 100;
/// Rules without a gate whose falls are remembered: names may be computed.
const MOST_FALLS: usize = 512;
/// The falls of a rule that is not evaluated any more count no longer than this: no option is longer.
const FALLS_COUNT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What is remembered of one policy in one instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// There has been an evaluation in which every `require` and `gate` was known.
    pub(super) started: bool,
    /// The present evaluation is the first one of another version.
    pub(super) reloaded: bool,
    pub(super) gates: BTreeMap<String, Remembered>,
    /// The falls of rules that have no gate at present, as they were at that moment.
    pub(super) falls: BTreeMap<String, (Instant, Falls)>,
    /// `put` and `get`.
    pub(super) notes: BTreeMap<String, Note>,
    /// `changed`.
    pub(super) lasts: BTreeMap<String, Note>,
    /// `k_of_n`.
    pub(super) windows: Named<Window>,
    /// `ewma`.
    pub(super) averages: Named<Average>,
    /// `rate`.
    pub(super) rates: Named<Rate>,
    /// When things happened that may happen only so often, by what kind of thing it is and its name.
    pub(super) moments: BTreeMap<(&'static str, String), Vec<Instant>>,
    /// Counts evaluations.
    evaluation: u64,
    /// Counts changes of what outlives the process.
    revision: u64,
}

/// Machines by name, each used at most once in an evaluation.
#[derive(Clone, Debug)]
pub(super) struct Named<T>(pub(super) BTreeMap<String, (u64, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl Memory {
    pub(super) const fn begin_evaluation(&mut self) {
        self.evaluation += 1;
    }

    /// This, in the place of another memory of the same pair, whose budgets were really spent.
    pub(super) fn instead_of(self, other: &Self) -> Self {
        let revision = self.revision.max(other.revision) + 1;
        Self { moments: other.moments.clone(), revision, ..self }
    }

    /// How often what outlives the process has changed.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) const fn revise(&mut self) {
        self.revision += 1;
    }

    /// The gate of a rule that has none yet: not known at the start, later up and unproven.
    pub(super) fn new_gate(&mut self, rule: &str, now: Instant) -> Gate {
        let gate = if self.started { Gate::unproven(now) } else { Gate::unknown(now) };
        match self.falls.remove(rule) {
            Some((at, falls)) => gate.with_falls(now, &falls.later(now.saturating_since(at))),
            None => gate,
        }
    }

    /// Rules that nobody has asked for longer than they linger are not known any more; their falls still count.
    pub(super) fn forget_stale(&mut self, now: Instant, seen: impl Fn(&str) -> bool) {
        let falls = &mut self.falls;
        self.gates.retain(|name, remembered| {
            let stays = seen(name) || !remembered.gate.is_stale(now, remembered.last.hysteresis.linger);
            let past = remembered.gate.falls(now);
            if !stays && !past.is_nothing() && falls.len() < MOST_FALLS {
                // From now on it counts as quiet: nothing is known to the contrary.
                let past = Falls { quiet: Some(past.quiet.unwrap_or_default()), ..past };
                falls.insert(name.clone(), (now, past));
            }
            stays
        });
        falls.retain(|_, (at, _)| now.saturating_since(*at) < FALLS_COUNT_FOR);
    }

    /// Only these rules exist.
    pub(super) fn keep_rules(&mut self, named: impl Fn(&str) -> bool) {
        self.gates.retain(|name, _| named(name));
        self.falls.retain(|name, _| named(name));
        self.revision += 1;
    }

    /// Ends what holds a rule down besides its observations; false if nothing is known of the rule.
    pub(super) fn clear(&mut self, rule: &str) -> bool {
        self.revision += 1;
        let falls = self.falls.remove(rule);
        match self.gates.get_mut(rule) {
            Some(remembered) => {
                remembered.gate.clear();
                true
            }
            None => falls.is_some(),
        }
    }

    /// The rule as it was last evaluated, as long as it is known.
    pub(super) fn rule(&self, name: &str) -> Option<&RuleReport> {
        self.gates.get(name).map(|remembered| &remembered.last)
    }

    /// Keeps a note.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub(super) fn put(&mut self, key: &str, note: Note) -> Result<(), String> {
        if self.notes.get(key) != Some(&note) {
            set(&mut self.notes, "put", key, note)?;
            self.revision += 1;
        }
        Ok(())
    }

    /// Whether this is another value than last time; the first one is none.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub(super) fn changed(&mut self, name: &str, now: Note) -> Result<bool, String> {
        match self.lasts.get(name) {
            Some(last) if *last == now => Ok(false),
            known => {
                let changed = known.is_some();
                set(&mut self.lasts, "changed", name, now)?;
                self.revision += 1;
                Ok(changed)
            }
        }
    }

    /// Whether something that may happen `most` times in any `per` may happen now; if so, it has.
    ///
    /// # Errors
    ///
    /// There are too many such things.
    pub(super) fn spend(
        &mut self,
        what: &'static str,
        name: &str,
        now: Instant,
        most: usize,
        per: Duration,
    ) -> Result<bool, String> {
        check_name(what, name)?;
        let key = (what, name.to_owned());
        if !self.moments.contains_key(&key) && self.moments.keys().filter(|(other, _)| *other == what).count() == MOST {
            return Err(too_many(what));
        }
        let moments = self.moments.entry(key).or_default();
        moments.retain(|at| now.saturating_since(*at) < per);
        let free = moments.len() < most;
        if free {
            moments.push(now);
            self.revision += 1;
        }
        Ok(free)
    }

    /// Uses the window of this name.
    ///
    /// # Errors
    ///
    /// As for every helper that counts: used twice in one evaluation, or too many names.
    pub(super) fn window(&mut self, name: &str) -> Result<&mut Window, String> {
        self.revision += 1;
        let unused = Window::default();
        self.windows.used("k_of_n", name, self.evaluation, || unused).map(|(window, _)| window)
    }

    /// One more measurement; the smoothed value.
    ///
    /// # Errors
    ///
    /// As for [`window`](Self::window).
    pub(super) fn average(
        &mut self,
        name: &str,
        now: Instant,
        measured: f64,
        half_life: Duration,
    ) -> Result<f64, String> {
        self.revision += 1;
        let first = || Average::first(now, measured);
        let (average, is_new) = self.averages.used("ewma", name, self.evaluation, first)?;
        if !is_new {
            average.measure(now, measured, half_life);
        }
        Ok(average.value)
    }

    /// One more reading; how fast it grows.
    ///
    /// # Errors
    ///
    /// As for [`window`](Self::window).
    pub(super) fn rate(&mut self, name: &str, now: Instant, count: f64) -> Result<Option<f64>, String> {
        self.revision += 1;
        let (rate, is_new) = self.rates.used("rate", name, self.evaluation, || Rate::first(now, count))?;
        if !is_new {
            rate.read(now, count);
        }
        Ok(rate.per_second)
    }
}

impl<T> Named<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.0.get(name).map(|(_, machine)| machine)
    }

    /// The machine of this name, once in each evaluation; true if it is new.
    fn used(
        &mut self,
        helper: &str,
        name: &str,
        evaluation: u64,
        first: impl FnOnce() -> T,
    ) -> Result<(&mut T, bool), String> {
        check_name(helper, name)?;
        let is_new = !self.0.contains_key(name);
        if is_new && self.0.len() == MOST {
            return Err(too_many(helper));
        }
        let (used_in, machine) = self.0.entry(name.to_owned()).or_insert_with(|| (0, first()));
        if *used_in == evaluation {
            return Err(format!("a second {helper}(\"{name}\", …) in one evaluation: it would count twice"));
        }
        *used_in = evaluation;
        Ok((machine, is_new))
    }
}

fn set<T>(map: &mut BTreeMap<String, T>, helper: &str, name: &str, value: T) -> Result<(), String> {
    check_name(helper, name)?;
    if map.len() == MOST && !map.contains_key(name) {
        return Err(too_many(helper));
    }
    map.insert(name.to_owned(), value);
    Ok(())
}

fn check_name(helper: &str, name: &str) -> Result<(), String> {
    if name.len() > LONGEST_NAME {
        return Err(format!("{helper} takes names up to {LONGEST_NAME} bytes"));
    }
    Ok(())
}

fn too_many(helper: &str) -> String {
    format!("{helper} keeps up to {MOST} names")
}
