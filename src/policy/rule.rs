//! A rule in one evaluation: a condition, what it takes to move its gate, and what it does while down.

use std::time::Duration;

use super::{
    Clock, RuleEffect, RuleReport, RuleState,
    condition::{Condition, Sight},
    options::Options,
};
use crate::{
    health::{Gate, GateState, Hysteresis, Observation},
    words::Instant,
};

/// No count of a rule is higher.
const MOST: u32 = 1000;
/// How long a rule's name may be, in bytes: it stands in tables, in the mail and in every report.
const LONGEST_NAME: usize = 100;

/// A rule as the script gave it.
#[derive(Clone)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) effect: RuleEffect,
    pub(super) line: u32,
    pub(super) hysteresis: Hysteresis,
    pub(super) external: bool,
    pub(super) condition: Condition,
}

/// What is remembered of a rule from one evaluation to the next.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    pub(super) gate: Gate,
    /// How long it lingers when it is not evaluated.
    pub(super) linger: Duration,
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
        let default = Hysteresis::default();
        let hysteresis = Hysteresis {
            fall: options.number("fall", default.fall, 1, MOST)?,
            rise: options.number("rise", default.rise, 1, MOST)?,
            blind_for: options.duration("blind_for", default.blind_for)?,
            linger: options.duration("linger", default.linger)?,
        };
        let external = options.truth("external")?;
        Ok(Self { name: name.to_owned(), effect, line: 0, hysteresis, external, condition })
    }

    /// Moves the gate by what was seen. `before`: what is remembered of the rule.
    pub(super) fn settle(
        &self,
        mut gate: Gate,
        before: Option<&Remembered>,
        now: Instant,
        sight: &Sight,
    ) -> Remembered {
        let observation = sight.observation();
        let fails = gate.fails();
        gate.observe(now, observation, &self.hysteresis);
        let failed = observation == Observation::Fail || gate.fails() > fails;
        let failure = before.filter(|_| !failed).map_or_else(|| sight.why.clone(), |before| before.failure.clone());
        let last = self.report(&gate, observation, sight, &failure);
        Remembered { gate, linger: self.hysteresis.linger, last, failure }
    }

    fn report(&self, gate: &Gate, observation: Observation, sight: &Sight, failure: &str) -> RuleReport {
        let jobs = self.condition.jobs();
        RuleReport {
            name: self.name.clone(),
            effect: self.effect,
            line: self.line,
            ok: match observation {
                Observation::Ok => Some(true),
                Observation::Fail => Some(false),
                Observation::Nothing => None,
            },
            state: state(gate),
            fails: gate.fails(),
            oks: gate.oks(),
            fall: self.hysteresis.fall,
            rise: self.hysteresis.rise,
            external: self.external,
            why: match (gate.is_down(), observation) {
                (true, Observation::Ok) => {
                    format!("{failure}; now {}, {} of {}", sight.why, gate.oks(), self.hysteresis.rise)
                }
                (true, Observation::Nothing) if failure != sight.why => format!("{failure}; now {}", sight.why),
                (_, Observation::Ok | Observation::Nothing | Observation::Fail) => sight.why.clone(),
            },
            probes: jobs.iter().map(|job| job.request().label()).collect(),
            elapsed: sight.elapsed,
            timeout: jobs.iter().map(|job| job.request().timeout).max().unwrap_or_default(),
            since: gate.since(),
        }
    }

    pub(super) fn look(&self, clock: &dyn Clock) -> Sight {
        self.condition.look(clock)
    }
}

impl Remembered {
    /// The rule where it was not evaluated: as it was, without an observation.
    pub(super) fn unobserved(&self) -> RuleReport {
        let last = &self.last;
        RuleReport {
            ok: None,
            state: state(&self.gate),
            fails: self.gate.fails(),
            oks: self.gate.oks(),
            elapsed: None,
            since: self.gate.since(),
            ..last.clone()
        }
    }
}

fn weight(options: &Options<'_>) -> Result<i32, String> {
    if options.get("weight").is_none() {
        return Err(
            "prefer needs a weight: by how much the priority drops while it is down, #{ weight: 30 }".to_owned()
        );
    }
    options.number("weight", 0, 1, 253)
}

pub(super) const fn state(gate: &Gate) -> RuleState {
    match gate.state() {
        GateState::Unknown => RuleState::Unknown,
        GateState::Up => RuleState::Up,
        GateState::Failing => RuleState::Failing,
        GateState::Down => RuleState::Down,
    }
}
