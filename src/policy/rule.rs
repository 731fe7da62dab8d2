//! A rule in one evaluation: a condition, what it takes to move its gate, and what it does while down.

use super::{
    Clock, RuleEffect, RuleReport,
    condition::{Condition, Sight},
    options::Options,
};
use crate::{
    health::{Backoff, Detention, Gate, Hysteresis, Observation},
    words::{Instant, readable},
};

/// No count of a rule is higher.
const MOST: u32 = 1000;
/// How long a rule's name may be, in bytes: it stands in tables, in the mail and in every report.
const LONGEST_NAME: usize = 100;
/// Tags of one rule, and how long one may be, in characters.
const MOST_TAGS: usize = 8;
const LONGEST_TAG: usize = 32;

/// A rule as the script gave it.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) effect: RuleEffect,
    /// The file of the module it stands in.
    pub(super) file: Option<String>,
    pub(super) line: u32,
    pub(super) hysteresis: Hysteresis,
    pub(super) external: bool,
    pub(super) alert: bool,
    pub(super) tags: Vec<String>,
    pub(super) condition: Condition,
}

/// What is remembered of a rule from one evaluation to the next.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) gate: Gate,
    /// As it was last evaluated.
    pub(super) last: RuleReport,
    /// Why it failed the last time it did: what it is down for, also while it is coming back.
    pub(super) failure: String,
}

impl Rule {
    /// Reads the options of `require`, `prefer`, `watch` and `gate`.
    pub(super) fn new(
        function: &str,
        name: &str,
        condition: &rhai::Dynamic,
        options: &rhai::Map,
    ) -> Result<Self, String> {
        if name.trim().is_empty() {
            return Err("a rule needs a name: it is what `ha status` and the mail say".to_owned());
        }
        if name.len() > LONGEST_NAME {
            return Err(format!("the name of a rule has at most {LONGEST_NAME} bytes"));
        }
        let condition = Condition::from_script(condition).map_err(|why| format!("{function} {why}"))?;
        let options = Options::new(function, options)?;
        let effect = match function {
            "require" => RuleEffect::Require,
            "prefer" => RuleEffect::Prefer(weight(&options)?),
            "watch" => RuleEffect::Watch,
            _ => RuleEffect::Gate,
        };
        Ok(Self {
            name: name.to_owned(),
            effect,
            file: None,
            line: 0,
            hysteresis: hysteresis(&options)?,
            external: options.truth("external")?,
            alert: options.truth("alert")?,
            tags: options.texts("tags", MOST_TAGS, LONGEST_TAG)?,
            condition,
        })
    }

    /// It asks something else than it did before.
    pub(super) fn asks_otherwise(&self, before: &Remembered) -> bool {
        let probes = self.condition.jobs().iter().map(|job| job.request().label()).collect::<Vec<_>>();
        probes != before.last.probes
    }

    /// Moves the gate by what was seen. `before`: what is remembered of the rule; `unproven`: nothing is known of it yet.
    pub(super) fn settle(
        &self,
        mut gate: Gate,
        before: Option<&Remembered>,
        unproven: bool,
        now: Instant,
        sight: &Sight,
    ) -> Remembered {
        let observation = sight.observation();
        let fails = gate.fails();
        gate.observe(now, observation, &self.hysteresis);
        let failed = observation == Observation::Fail || gate.fails() > fails;
        let failure = before.filter(|_| !failed).map_or_else(|| sight.why.clone(), |before| before.failure.clone());
        let unproven = unproven && observation != Observation::Ok && !gate.is_down();
        let last = RuleReport { unproven, ..self.report(now, gate, observation, sight, &failure) };
        Remembered { gate, last, failure }
    }

    fn report(&self, now: Instant, gate: Gate, observation: Observation, sight: &Sight, failure: &str) -> RuleReport {
        let jobs = self.condition.jobs();
        RuleReport {
            name: self.name.clone(),
            effect: self.effect,
            file: self.file.clone(),
            line: self.line,
            ok: match observation {
                Observation::Ok => Some(true),
                Observation::Fail => Some(false),
                Observation::Nothing => None,
            },
            gate,
            hysteresis: self.hysteresis,
            external: self.external,
            alert: self.alert,
            tags: self.tags.clone(),
            why: match (gate.is_down(), observation) {
                (true, Observation::Ok) => format!("{failure}; now {}, {}", sight.why, self.recovery(now, &gate)),
                (true, Observation::Nothing) if failure != sight.why => format!("{failure}; now {}", sight.why),
                (_, Observation::Ok | Observation::Nothing | Observation::Fail) => sight.why.clone(),
            },
            probes: jobs.iter().map(|job| job.request().label()).collect(),
            elapsed: sight.elapsed,
            timeout: jobs.iter().map(|job| job.request().timeout).max().unwrap_or_default(),
            unproven: false,
        }
    }

    /// How far a rule has come that is down and ok.
    fn recovery(&self, now: Instant, gate: &Gate) -> String {
        let left = |until: Instant| readable(until.saturating_since(now));
        match gate.detained(now, &self.hysteresis) {
            None => format!("{} of {}", gate.oks(), self.hysteresis.rise),
            Some(Detention::Latch) => "latched: it stays down until it is cleared".to_owned(),
            Some(Detention::Backoff { until }) => {
                let falls = gate.falls(now).count;
                format!("held down for {} more because it falls again and again ({falls})", left(until))
            }
            Some(Detention::Time { until }) => format!("down for at least {} more", left(until)),
        }
    }

    pub(super) fn look(&self, clock: &dyn Clock) -> Sight {
        self.condition.look(clock)
    }
}

impl Remembered {
    /// Further observations are worth having soon.
    pub(super) fn in_transition(&self) -> bool {
        self.gate.in_transition(&self.last.hysteresis)
    }

    /// The rule where it was not evaluated: as it was, without an observation.
    pub(super) fn unobserved(&self) -> RuleReport {
        let last = &self.last;
        RuleReport { ok: None, gate: self.gate, elapsed: None, ..last.clone() }
    }
}

fn hysteresis(options: &Options<'_>) -> Result<Hysteresis, String> {
    let default = Hysteresis::default();
    Ok(Hysteresis {
        fall: options.number("fall", default.fall, 1, MOST)?,
        rise: options.number("rise", default.rise, 1, MOST)?,
        fall_for: options.duration("fall_for", default.fall_for)?,
        rise_for: options.duration("rise_for", default.rise_for)?,
        min_up: options.duration("min_up", default.min_up)?,
        min_down: options.duration("min_down", default.min_down)?,
        backoff: options.map("backoff")?.map(|options| backoff(&options)).transpose()?,
        latch: options.truth("latch")?,
        blind_for: options.duration("blind_for", default.blind_for)?,
        linger: options.duration("linger", default.linger)?,
    })
}

fn backoff(options: &Options<'_>) -> Result<Backoff, String> {
    let default = Backoff::default();
    let backoff = Backoff {
        base: options.duration("base", default.base)?,
        max: options.duration("max", default.max)?,
        reset: options.duration("reset", default.reset)?,
    };
    if backoff.base.is_zero() || backoff.max < backoff.base {
        return Err("backoff: base is the first hold and max the longest: 0 < base <= max".to_owned());
    }
    Ok(backoff)
}

fn weight(options: &Options<'_>) -> Result<i32, String> {
    if options.get("weight").is_none() {
        return Err(
            "prefer needs a weight: by how much the priority drops while it is down, #{ weight: 30 }".to_owned()
        );
    }
    options.number("weight", 0, 1, 253)
}
