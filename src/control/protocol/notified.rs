//! What became of the programs that are told of transitions.

use serde::{Deserialize, Serialize};

/// What became of the programs that an instance tells of transitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notified {
    /// Runs.
    pub ran: u64,
    /// Of these, those that failed.
    pub failed: u64,
    /// Transitions that were not told, because a newer one came before.
    pub replaced: u64,
}
