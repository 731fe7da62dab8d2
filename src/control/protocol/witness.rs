//! What the witness of an instance says, as the status has it.

use serde::{Deserialize, Serialize};

use crate::{node::WitnessStatus, words::Instant};

/// A third vote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// When it is decisive: `arbiter` or `strict`.
    pub mode: String,
    /// For how long what it said of this node still counts; absent if this node does not hold it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_for_ms: Option<u64>,
    /// The node that holds it, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<String>,
    /// Why it does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Witness {
    pub(super) fn at(now: Instant, witness: &WitnessStatus) -> Self {
        let left = |until: Instant| super::millis(until.saturating_since(now));
        Self {
            mode: witness.mode.to_owned(),
            held_for_ms: witness.held_until.map(left).filter(|left| *left > 0),
            held_by: witness.held_by.clone(),
            trouble: witness.trouble.clone(),
        }
    }
}
