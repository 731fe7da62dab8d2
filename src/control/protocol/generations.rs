//! The generations of a policy as they travel: which are kept, who brought them, what an operator has chosen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Who brought it about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "lowercase")]
pub enum By {
    /// The daemon started.
    Start,
    /// Somebody wrote a file: its owner, and when it was written (RFC 3339).
    File { uid: u32, written: String },
    /// A command at the control socket: the user at the other end.
    Command { uid: u32 },
    /// The version did worse than the one before it.
    Probation,
}

/// An operator has chosen a generation: the file on disk does not matter until it is unpinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Which one.
    pub generation: u64,
    /// Who.
    pub by: By,
    /// When, RFC 3339.
    pub time: String,
}

/// A good generation that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its number, from 1, over restarts.
    pub number: u64,
    /// SHA-256 of all its texts.
    pub sha256: String,
    /// When it was loaded first, RFC 3339.
    pub time: String,
    /// Who brought it.
    pub by: By,
}

/// The name and version of [`Generations`] as JSON.
pub const GENERATIONS_SCHEMA: &str = "ha.generations/1";

/// What is kept of one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generations {
    /// [`GENERATIONS_SCHEMA`].
    pub schema: String,
    /// The network namespace whose instances it judges; absent: the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The policy.
    pub policy: String,
    /// Which one runs.
    pub running: Option<u64>,
    /// It runs whatever the file says.
    pub pinned: Option<Pinned>,
    /// The oldest first.
    pub generations: Vec<Kept>,
}

/// The texts of one generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// The policy.
    pub policy: String,
    /// Which generation.
    pub number: u64,
    /// Its files, by name: the policy's own and those of its modules.
    pub files: BTreeMap<String, String>,
}

/// What became of a command about a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// One sentence.
    pub message: String,
}
