//! What moves a gate: the observations, and how much of them it takes.

use std::time::Duration;

use super::Backoff;

/// How much it takes to move a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hysteresis {
    /// Failures in a row that take it down, at least 1.
    pub fall: u32,
    /// Successes in a row that bring it up again, at least 1. The first time one is enough: start-up is fast.
    pub rise: u32,
    /// How long failures must have come in a row besides.
    pub fall_for: Duration,
    /// How long successes must have come in a row besides.
    pub rise_for: Duration,
    /// How long it stays up at least once it came up.
    pub min_up: Duration,
    /// How long it stays down at least once it fell.
    pub min_down: Duration,
    /// How long it stays down at least if it falls again and again.
    pub backoff: Option<Backoff>,
    /// Once down it stays down until somebody clears it.
    pub latch: bool,
    /// How long observations may bring no information before each of them counts as a failure.
    pub blind_for: Duration,
    /// How long what the gate knows holds while nobody asks: a gate that only a master asks stays down this long after
    /// the node ceased to be master.
    pub linger: Duration,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self {
            fall: 3,
            rise: 2,
            fall_for: Duration::ZERO,
            rise_for: Duration::ZERO,
            min_up: Duration::ZERO,
            min_down: Duration::ZERO,
            backoff: None,
            latch: false,
            blind_for: Duration::from_secs(10),
            linger: Duration::from_secs(60),
        }
    }
}

/// What one evaluation saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// It is as it should be.
    Ok,
    /// It is not.
    Fail,
    /// Nothing could be learned, for a reason of this machine's own.
    Nothing,
}
