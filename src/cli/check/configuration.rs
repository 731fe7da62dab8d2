//! A configuration file as `ha check` looks at it.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Facts, Loaded, Problem, Problems};

/// A file that was looked at.
#[derive(Debug)]
pub(super) struct ConfigurationFile {
    pub(super) path: PathBuf,
    pub(super) loaded: Result<Loaded, Problems>,
}

impl ConfigurationFile {
    pub(super) fn examine(path: &Path, facts: &Facts) -> Self {
        let loaded = config::load_with(path, facts).map_err(|problems| problems.with_outcome("it cannot be used"));
        Self { path: path.to_owned(), loaded }
    }

    /// What it says, if it can be used.
    pub(super) fn config(&self) -> Option<&Config> {
        self.loaded.as_ref().ok().map(|loaded| &loaded.config)
    }

    /// The files of the policies that it names.
    pub(super) fn policies(&self) -> Vec<PathBuf> {
        let Ok(Loaded { config, .. }) = &self.loaded else { return Vec::new() };
        let names = config.instances.iter().flat_map(|instance| &instance.policies);
        names.map(|name| config.policy_dir.join(format!("{name}.rhai"))).collect()
    }

    /// What does not fit between the two halves of a pair.
    pub(super) fn compare(&self, other: &Self) -> Vec<Problem> {
        match (&self.loaded, &other.loaded) {
            (Ok(one), Ok(other)) => config::compare(&one.config, &other.config),
            _ => Vec::new(),
        }
    }

    /// What it comes to, beside the other half of the pair if that is known.
    pub(super) fn description(&self, other: Option<&Self>) -> String {
        let other = other.and_then(|other| other.loaded.as_ref().ok()).map(|other| &other.config);
        self.loaded.as_ref().map_or_else(|_| String::new(), |loaded| config::describe(&loaded.config, other))
    }
}
