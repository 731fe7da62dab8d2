//! What one evaluation of a policy says.

use std::time::Duration;

use crate::words::Instant;

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
    /// What follows for the instance.
    pub verdict: Verdict,
    /// Every evaluated or lingering rule, in the order of the script.
    pub rules: Vec<RuleReport>,
    /// Every `require` observation of this evaluation was ok (not merely its gate up), none was blind, nothing threw.
    pub observed_ok: bool,
    /// What `may_take_over` said, if the policy has it and was asked.
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
    /// Line of the call in the policy, from 1.
    pub line: u32,
    /// This evaluation's observation; `None` if there was no information.
    pub ok: Option<bool>,
    /// What the gate says after it.
    pub state: RuleState,
    /// Failures in a row, and successes in a row.
    pub fails: u32,
    /// See `fails`.
    pub oks: u32,
    /// Failures in a row that take it down.
    pub fall: u32,
    /// Successes in a row that bring it up.
    pub rise: u32,
    /// It judges an external reference.
    pub external: bool,
    /// Why, for an operator.
    pub why: String,
    /// The probes behind it, as `kind target`, in order.
    pub probes: Vec<String>,
    /// How long the probes behind it took, if there were any.
    pub elapsed: Option<Duration>,
    /// The longest a probe behind it may take.
    pub timeout: Duration,
    /// Since when it is in this state.
    pub since: Instant,
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

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleState {
    /// No observation yet.
    Unknown,
    /// Up.
    Up,
    /// Up, with failures counted.
    Failing,
    /// Down.
    Down,
}
