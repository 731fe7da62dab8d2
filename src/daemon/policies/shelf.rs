//! What is there to evaluate of a policy, and why the file on disk does not run, if it does not.

use std::sync::Arc;

use tokio::sync::watch;

use super::refusal::Refusal;
use crate::{node::Condition, policy::Policy, words::Instant};

/// One loaded version of a policy.
#[derive(Debug)]
pub struct Generation {
    /// From 1, in this process.
    pub number: u64,
    /// When it was loaded.
    pub loaded_at: Instant,
    /// It is the last good text, not the file.
    pub last_good: bool,
    /// SHA-256 of its text.
    pub sha256: String,
    /// Ready to be evaluated.
    pub policy: Policy,
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
    pub(super) stale: Option<Stale>,
}

/// The file on disk is not what runs.
pub(super) struct Stale {
    pub(super) since: Instant,
    pub(super) refusal: Refusal,
    /// Raised while another version runs; without one, each instance of the node has a condition of its own.
    pub(super) condition: Option<Condition>,
}

impl Entry {
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
