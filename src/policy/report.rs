//! What one evaluation of a policy says.

use std::time::Duration;

use crate::{
    health::{Gate, Hysteresis, Observation},
    words::Instant,
};

/// What the gate of a rule says.
pub type RuleState = crate::health::GateState;

/// The outcome of one evaluation of one policy for one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The policy's name.
    pub policy: String,
    /// Which loaded version was evaluated; counts from 1.
    pub generation: u64,
    /// When the evaluation started, on the driver's clock.
    pub started_at: Instant,
    /// How long it took.
    pub elapsed: Duration,
    /// How long after that the next one is there at the latest; none: nobody has promised one.
    pub followed_within: Option<Duration>,
    /// What follows for the instance.
    pub verdict: Verdict,
    /// Every evaluated or lingering rule, in the order of the script.
    pub rules: Vec<RuleReport>,
    /// Every `require` observation of this evaluation was ok (not merely its gate up), none was blind, nothing threw.
    pub observed_ok: bool,
    /// What `may_take_over` said, if the policy has it and was asked; no, if it could not say.
    pub may_take_over: Option<bool>,
    /// Why the policy could not be evaluated, if it could not.
    pub error: Option<String>,
}

/// What a policy wants for its instance.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Not yet known: some `require` has had no observation since the process started. Not eligible for master.
    Starting,
    /// Serve, with the priority changed by `delta` (0 or negative for rules; scripts may return either sign).
    Healthy { delta: i32, note: String },
    /// Give up the address.
    Fault { why: String, cause: FaultCause },
    /// Freeze the present role: no take-over, no release.
    Hold { why: String },
    /// Stand down quietly.
    Maintenance { why: String },
}

/// What a fault rests on, from the one that leaves most room to the one that leaves none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultCause {
    /// Only rules about external references are down: a peer may see the same (R23).
    External,
    /// Rules are down.
    Rules,
    /// The script itself said so with `fault()`: the address goes, whatever is configured (R24).
    Script,
}

impl FaultCause {
    /// Only rules about external references are down.
    #[must_use]
    pub const fn is_external(self) -> bool {
        match self {
            Self::External => true,
            Self::Rules | Self::Script => false,
        }
    }
}

/// A rule as an evaluation left it.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    /// Its name in the script.
    pub name: String,
    /// What it does while down.
    pub effect: RuleEffect,
    /// The file of the module whose function made it; `None`: the policy's own.
    pub file: Option<String>,
    /// Line of the call in that file, from 1.
    pub line: u32,
    /// This evaluation's observation; `None` if there was no information.
    pub ok: Option<bool>,
    /// Its gate as this evaluation left it.
    pub gate: Gate,
    /// What it takes to move the gate.
    pub hysteresis: Hysteresis,
    /// It judges an external reference.
    pub external: bool,
    /// Somebody is to be told when it falls and when it is up again.
    pub alert: bool,
    /// The operator's words for it.
    pub tags: Vec<String>,
    /// Why, for an operator.
    pub why: String,
    /// The probes behind it, as `kind target`, in order.
    pub probes: Vec<String>,
    /// How long the probes behind it took, if there were any.
    pub elapsed: Option<Duration>,
    /// The longest a probe behind it may take.
    pub timeout: Duration,
    /// It is up because nothing was shown yet: new since a reload, or asking something else than before, and neither seen
    /// ok nor down since.
    pub unproven: bool,
}

impl Report {
    /// When the next one is there at the latest, on the driver's clock. After that this one says nothing any more.
    #[must_use]
    pub fn counts_until(&self) -> Option<Instant> {
        self.followed_within.map(|within| self.started_at + self.elapsed + within)
    }

    /// It says of the instance what `before` said; only times, counters and words may differ.
    #[must_use]
    pub fn says_what(&self, before: &Self) -> bool {
        let rule = |rule: &RuleReport| (rule.effect, rule.state(), rule.ok, rule.external, rule.alert, rule.unproven);
        let same_rule =
            |(ours, theirs): (&RuleReport, &RuleReport)| ours.name == theirs.name && rule(ours) == rule(theirs);
        let said = |report: &Self| (report.generation, report.observed_ok, report.may_take_over);
        said(self) == said(before)
            && self.policy == before.policy
            && self.verdict == before.verdict
            && self.error == before.error
            && self.rules.len() == before.rules.len()
            && self.rules.iter().zip(&before.rules).all(same_rule)
    }
}

impl RuleReport {
    /// What its gate says.
    #[must_use]
    pub const fn state(&self) -> RuleState {
        self.gate.state()
    }

    /// It is down.
    #[must_use]
    pub const fn is_down(&self) -> bool {
        self.gate.is_down()
    }

    /// What this evaluation saw; `None` if it did not come to the rule.
    #[must_use]
    pub fn observation(&self) -> Option<Observation> {
        match self.ok {
            Some(true) => Some(Observation::Ok),
            Some(false) => Some(Observation::Fail),
            // Only a probe can be blind.
            None => self.elapsed.map(|_| Observation::Nothing),
        }
    }

    /// `web: status 500`
    pub(super) fn reason(&self) -> String {
        format!("{}: {}", self.name, self.why)
    }
}

/// What a rule does while it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleEffect {
    /// `require`: give up the address.
    Require,
    /// `prefer`: lower the priority by this weight.
    Prefer(i32),
    /// `watch`: nothing.
    Watch,
    /// `gate`: whatever the script does with it.
    Gate,
}
