//! The last good generations of one policy, as they outlive the process: texts, who brought them, and which one an operator
//! has chosen to run whatever the file says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    control::protocol::{By, Kept, Pinned},
    daemon::store::Store,
    policy::{Engine, Sources, Text},
};

/// Generations kept of each policy.
const KEPT_MAX: usize = 10;

/// What is kept of one policy.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Archive {
    /// The oldest first, at most [`KEPT_MAX`].
    generations: Vec<Stored>,
    /// Runs until it is unpinned.
    pub(super) pin: Option<Pinned>,
    /// A text that was taken back: it does not run again, until the file changes.
    pub(super) rejected: Option<Rejected>,
}

/// A text that was good by its own tests, and bad when it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rejected {
    pub(super) sha256: String,
    pub(super) why: String,
}

/// One generation, with its texts; those of `std/…` belong to the program.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    kept: Kept,
    file: String,
    text: String,
    modules: BTreeMap<String, (String, String)>,
}

impl Archive {
    /// What is kept of a policy; nothing if it cannot be read.
    pub(super) fn open(store: &Store, name: &str) -> Self {
        let text = match store.policy(name) {
            Ok(text) => text,
            Err(error) => {
                tracing::warn!("policy {name}: its earlier generations cannot be read: {error}");
                None
            }
        };
        text.and_then(|text| {
            serde_json::from_str(&text)
                .map_err(|error| tracing::warn!("policy {name}: its earlier generations make no sense: {error}"))
                .ok()
        })
        .unwrap_or_default()
    }

    /// Writes it down. Without it the daemon serves all the same.
    pub(super) fn keep(&self, store: &Store, name: &str) {
        let kept = serde_json::to_vec(self).map_err(std::io::Error::from);
        if let Err(error) = kept.and_then(|bytes| store.keep_policy(name, &bytes)) {
            tracing::warn!("policy {name}: no copy is kept for the next start: {error}");
        }
    }

    /// The number of a generation of these texts: that of the latest one if it is the same.
    pub(super) fn number_for(&self, sha256: &str) -> u64 {
        match self.generations.last() {
            Some(latest) if latest.kept.sha256 == sha256 => latest.kept.number,
            Some(latest) => latest.kept.number + 1,
            None => 1,
        }
    }

    /// Adds a generation, unless it is the latest one anyway.
    pub(super) fn add(&mut self, kept: Kept, sources: &Sources) {
        if self.generations.last().is_some_and(|latest| latest.kept.number == kept.number) {
            return;
        }
        let modules = sources.modules().iter().filter(|(name, _)| !name.starts_with("std/"));
        let modules = modules
            .filter_map(|(name, text)| {
                text.as_ref().ok().map(|text| (name.clone(), (text.file.clone(), text.text.clone())))
            })
            .collect();
        let Text { file, text } = sources.main().clone();
        self.generations.push(Stored { kept, file, text, modules });
        if self.generations.len() > KEPT_MAX {
            self.generations.remove(0);
        }
    }

    /// Every generation, the oldest first.
    pub(super) fn list(&self) -> Vec<Kept> {
        self.generations.iter().map(|stored| stored.kept.clone()).collect()
    }

    pub(super) fn has_run(&self, sha256: &str) -> bool {
        self.generations.iter().any(|stored| stored.kept.sha256 == sha256)
    }

    /// The generation before this one, by its number.
    pub(super) fn before(&self, number: u64) -> Option<u64> {
        self.generations.iter().rev().map(|stored| stored.kept.number).find(|other| *other < number)
    }

    /// The texts of a generation.
    pub(super) fn texts(&self, engine: &Engine, number: u64) -> Option<Sources> {
        let stored = self.generations.iter().find(|stored| stored.kept.number == number)?;
        let main = Text { file: stored.file.clone(), text: stored.text.clone() };
        Some(Sources::gather(engine, main, |name| {
            let found = stored.modules.get(name).map(|(file, text)| Text { file: file.clone(), text: text.clone() });
            found.ok_or_else(|| "it is not among the texts that were kept".to_owned())
        }))
    }

    /// What runs where nothing else can: the pinned generation, else the latest that was not taken back.
    pub(super) fn last_good(&self) -> Option<u64> {
        let rejected = self.rejected.as_ref().map(|rejected| rejected.sha256.as_str());
        let latest = self.generations.iter().rev().find(|stored| Some(stored.kept.sha256.as_str()) != rejected);
        self.pin.as_ref().map(|pin| pin.generation).or_else(|| latest.map(|stored| stored.kept.number))
    }
}

/// The time of day, for people.
pub(super) fn wall_time() -> String {
    jiff::Timestamp::now().to_string()
}

/// Who it was, in a sentence.
pub(super) fn said(by: &By) -> String {
    match by {
        By::Start => "at the start".to_owned(),
        By::File { uid, .. } => format!("file of uid {uid}"),
        By::Command { uid } => format!("by command of uid {uid}"),
        By::Probation => "by probation".to_owned(),
    }
}
