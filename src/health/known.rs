//! A gate as it can be written down: ages instead of moments, so that another process can go on from it.

use std::time::Duration;

use super::GateState;

/// Everything that bears on what a gate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it says.
    pub state: GateState,
    /// Failures in a row.
    pub fails: u32,
    /// Successes in a row.
    pub oks: u32,
    /// For how long failures, or successes, have come in a row.
    pub streak: Duration,
    /// How long it has been up, or down.
    pub age: Duration,
    /// Its falls.
    pub falls: Falls,
}

/// What outlives a restart of the process (R22).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Falls {
    /// It stays down until it is cleared.
    pub latched: bool,
    /// Falls without a quiet period between them.
    pub count: u32,
    /// For how long it is still held down.
    pub held: Duration,
    /// How long it has been up since; `None` while it is down.
    pub quiet: Option<Duration>,
}

impl Falls {
    /// There is nothing to remember.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self { quiet: self.quiet, ..Self::default() }
    }

    /// The same, so much later.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self { held: self.held.saturating_sub(by), quiet: self.quiet.map(|quiet| quiet.saturating_add(by)), ..self }
    }
}
