//! A rule as it travels.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{age, fine_millis, millis};
use crate::{
    health::{self, Falls, Gate, Hysteresis, Known},
    policy::{RuleEffect, RuleReport, RuleState},
    words::Instant,
};

/// A rule as the evaluation left it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// `require`, `prefer`, `watch` or `gate`.
    pub effect: String,
    /// The weight of a `prefer`.
    pub weight: Option<i32>,
    /// The file of the module whose function made it; absent: the policy's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Line of the call in that file, from 1.
    pub line: u32,
    /// The observation; absent: no information.
    pub ok: Option<bool>,
    /// `unknown`, `up`, `failing` or `down`.
    pub state: String,
    /// Failures in a row.
    pub fails: u32,
    /// Successes in a row.
    pub oks: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// What else it takes to move it.
    #[serde(default)]
    pub options: Options,
    /// It judges an external reference.
    pub external: bool,
    /// Somebody is told when it falls and when it is up again.
    #[serde(default)]
    pub alert: bool,
    /// The operator's words for it.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Why.
    pub why: String,
    /// The probes behind it, `kind target`.
    pub probes: Vec<String>,
    /// How long they took.
    pub elapsed_ms: Option<f64>,
    /// The longest one of them may take.
    pub timeout_ms: u64,
    /// Age of the state.
    pub since_ms: u64,
    /// For how long it has been up, or down.
    #[serde(default)]
    pub position_ms: u64,
    /// For how long failures, or successes, have come in a row.
    #[serde(default)]
    pub streak_ms: u64,
    /// It stays down until `ha clear` ends it.
    #[serde(default)]
    pub latched: bool,
    /// Falls without a quiet period between them.
    #[serde(default)]
    pub flaps: u32,
    /// For how long its falls still hold it down.
    #[serde(default)]
    pub held_ms: u64,
    /// For how long it has been up since its last fall; absent: it is down, or never was up.
    #[serde(default)]
    pub quiet_ms: Option<u64>,
    /// It is up because nothing was shown yet: it is new in a policy that was reloaded, or asks something else than before.
    #[serde(default)]
    pub unproven: bool,
}

/// What it takes to move a rule, besides counts; zero: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// How long failures must last.
    pub fall_for_ms: u64,
    /// How long successes must last.
    pub rise_for_ms: u64,
    /// How long it stays up at least.
    pub min_up_ms: u64,
    /// How long it stays down at least.
    pub min_down_ms: u64,
    /// How long its falls hold it down.
    pub backoff: Option<Backoff>,
    /// Once down it stays down.
    pub latch: bool,
    /// How long it stays down where it is not evaluated.
    pub linger_ms: u64,
    /// How long no information may last.
    pub blind_for_ms: u64,
}

/// How long falls hold a rule down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// After the first fall.
    pub base_ms: u64,
    /// At most.
    pub max_ms: u64,
    /// Up for so long, the next fall is a first one again.
    pub reset_ms: u64,
}

impl Rule {
    /// The rule as seen at `now`.
    #[must_use]
    pub fn at(now: Instant, rule: &RuleReport) -> Self {
        let (effect, weight) = match rule.effect {
            RuleEffect::Require => ("require", None),
            RuleEffect::Prefer(weight) => ("prefer", Some(weight)),
            RuleEffect::Watch => ("watch", None),
            RuleEffect::Gate => ("gate", None),
        };
        let known = rule.gate.known(now);
        Self {
            name: rule.name.clone(),
            effect: effect.to_owned(),
            weight,
            file: rule.file.clone(),
            line: rule.line,
            ok: rule.ok,
            state: word_of(known.state).to_owned(),
            fails: known.fails,
            oks: known.oks,
            fall: rule.hysteresis.fall,
            rise: rule.hysteresis.rise,
            options: Options::from(&rule.hysteresis),
            external: rule.external,
            alert: rule.alert,
            tags: rule.tags.clone(),
            why: rule.why.clone(),
            probes: rule.probes.clone(),
            elapsed_ms: rule.elapsed.map(fine_millis),
            timeout_ms: millis(rule.timeout),
            since_ms: age(now, rule.gate.since()),
            position_ms: millis(known.age),
            streak_ms: millis(known.streak),
            unproven: rule.unproven,
            latched: known.falls.latched,
            flaps: known.falls.count,
            held_ms: millis(known.falls.held),
            quiet_ms: known.falls.quiet.map(millis),
        }
    }

    /// It is down and stays so whatever is seen: `ha clear` would end that.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state == "down" && (self.latched || self.held_ms > 0)
    }

    /// Its gate, to go on from: as the daemon had it when it answered, `age_ms` ago.
    #[must_use]
    pub fn gate(&self, now: Instant) -> Gate {
        let state = match self.state.as_str() {
            "up" => RuleState::Up,
            "failing" => RuleState::Failing,
            "down" => RuleState::Down,
            _ => RuleState::Unknown,
        };
        let time = Duration::from_millis;
        let falls = Falls {
            latched: self.latched,
            count: self.flaps,
            held: time(self.held_ms),
            quiet: self.quiet_ms.map(time),
        };
        let (streak, age) = (time(self.streak_ms), time(self.position_ms));
        Gate::resumed(now, &Known { state, fails: self.fails, oks: self.oks, streak, age, falls })
    }
}

impl From<&Hysteresis> for Options {
    fn from(hysteresis: &Hysteresis) -> Self {
        Self {
            fall_for_ms: millis(hysteresis.fall_for),
            rise_for_ms: millis(hysteresis.rise_for),
            min_up_ms: millis(hysteresis.min_up),
            min_down_ms: millis(hysteresis.min_down),
            backoff: hysteresis.backoff.as_ref().map(Backoff::from),
            latch: hysteresis.latch,
            linger_ms: millis(hysteresis.linger),
            blind_for_ms: millis(hysteresis.blind_for),
        }
    }
}

impl From<&health::Backoff> for Backoff {
    fn from(backoff: &health::Backoff) -> Self {
        Self { base_ms: millis(backoff.base), max_ms: millis(backoff.max), reset_ms: millis(backoff.reset) }
    }
}

const fn word_of(state: RuleState) -> &'static str {
    match state {
        RuleState::Unknown => "unknown",
        RuleState::Up => "up",
        RuleState::Failing => "failing",
        RuleState::Down => "down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Observation;

    #[test]
    fn a_gate_that_travelled_goes_on_as_it_was() {
        let hysteresis = Hysteresis {
            fall: 2,
            min_down: Duration::from_secs(9),
            backoff: Some(health::Backoff::default()),
            ..Hysteresis::default()
        };
        let at = |second| Instant::from_epoch(Duration::from_secs(second));
        let mut gate = Gate::unproven(at(100));
        for second in 101..104 {
            gate.observe(at(second), Observation::Fail, &hysteresis);
        }
        let report = RuleReport {
            name: "web".into(),
            effect: RuleEffect::Require,
            file: None,
            line: 1,
            ok: Some(false),
            gate,
            hysteresis,
            external: false,
            alert: true,
            tags: vec!["front".into()],
            why: String::new(),
            probes: vec![],
            elapsed: None,
            timeout: Duration::ZERO,
            unproven: false,
        };
        let rule = Rule::at(at(104), &report);
        assert_eq!((rule.state.as_str(), rule.held_ms, rule.position_ms), ("down", 3_000, 2_000));
        assert!(rule.is_held() && rule.alert);
        assert_eq!(rule.gate(at(204)).known(at(204)), gate.known(at(104)));
    }
}
