//! What is there to evaluate of a policy, and why the file on disk does not run, if it does not.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::refusal::Refusal;
use crate::{control::protocol::Pinned, node::Condition, policy::Policy, words::Instant};

/// One loaded version of a policy.
#[derive(Debug)]
pub struct Generation {
    /// From 1; goes on over restarts.
    pub number: u64,
    /// When it was loaded.
    pub loaded_at: Instant,
    /// It is the last good text, not the file.
    pub last_good: bool,
    /// SHA-256 of all its texts.
    pub sha256: String,
    /// SHA-256 of each of its modules.
    pub modules: BTreeMap<String, String>,
    /// For how long the version before it is evaluated beside it.
    pub probation: Option<Duration>,
    /// Ready to be evaluated.
    pub policy: Policy,
}

impl Generation {
    /// It has not run for long enough to be trusted.
    #[must_use]
    pub fn is_on_probation(&self, now: Instant) -> bool {
        self.probation_left(now).is_some()
    }

    /// How much of its probation is left.
    #[must_use]
    pub fn probation_left(&self, now: Instant) -> Option<Duration> {
        let left = self.probation?.saturating_sub(now.saturating_since(self.loaded_at));
        (!left.is_zero()).then_some(left)
    }

    /// It is another's number, or another's texts.
    pub(super) fn is_the_same(&self, other: &Self) -> bool {
        self.number == other.number || !self.sha256.is_empty() && self.sha256 == other.sha256
    }

    /// The same again, after another one did not hold what it promised.
    pub(super) fn restored(&self, now: Instant) -> Self {
        Self {
            number: self.number,
            loaded_at: now,
            last_good: false,
            sha256: self.sha256.clone(),
            modules: self.modules.clone(),
            probation: None,
            policy: self.policy.clone(),
        }
    }
}

/// What is there to evaluate.
#[derive(Clone, Debug)]
pub enum Shelf {
    /// Nobody has looked yet.
    Unread,
    /// Nothing, and why.
    Empty(String),
    /// This.
    Running(Arc<Generation>),
}

/// One policy of the library.
pub(super) struct Entry {
    pub(super) shelf: watch::Sender<Shelf>,
    /// What ran before it.
    pub(super) previous: Option<Arc<Generation>>,
    pub(super) stale: Option<Stale>,
    /// What the last process left is known.
    pub(super) taken_up: bool,
    /// An operator's choice: the file does not matter.
    pub(super) pin: Option<Pinned>,
    /// Raised while the version that runs does worse than the one before it did.
    pub(super) regression: Option<Condition>,
    /// Every file that it was read from, or could not be.
    pub(super) files: Vec<PathBuf>,
}

/// The file on disk is not what runs.
pub(super) struct Stale {
    pub(super) since: Instant,
    pub(super) refusal: Refusal,
    /// Raised while another version runs; without one, each instance of the node has a condition of its own.
    pub(super) condition: Option<Condition>,
}

impl Entry {
    pub(super) fn new() -> Self {
        let shelf = watch::Sender::new(Shelf::Unread);
        Self { shelf, previous: None, stale: None, taken_up: false, pin: None, regression: None, files: Vec::new() }
    }

    /// Nobody has looked at it yet.
    pub(super) fn is_unread(&self) -> bool {
        matches!(*self.shelf.borrow(), Shelf::Unread)
    }

    pub(super) fn running(&self) -> Option<Arc<Generation>> {
        match &*self.shelf.borrow() {
            Shelf::Running(generation) => Some(Arc::clone(generation)),
            Shelf::Unread | Shelf::Empty(_) => None,
        }
    }
}

/// Raised while another version than the file's runs.
pub(super) fn stale_condition(name: &str, running: &Generation, brief: &str) -> Condition {
    let text = format!(
        "policy {name}: the file on disk is not what runs; generation {} keeps running: {brief}",
        running.number
    );
    Condition { name: "policy_stale", text }
}
