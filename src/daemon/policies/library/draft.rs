//! A policy file that may become the next version: read, compared, compiled, put through its own tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{Found, Generation, Library, New, Refusal};
use crate::{
    control::protocol::By,
    daemon::policies::{
        archive::Archive,
        closure::{self, Closure},
    },
    policy::{Cap, Policy, Sources, run_tests, sources::sha256_of},
};

/// What the tests of a policy may take while another version of it runs, and at the start.
const TESTS_TIME: Duration = Duration::from_secs(1);
const TESTS_TIME_AT_START: Duration = Duration::from_secs(10);

/// What the files of a policy say.
pub(super) struct Read {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    pub(super) closure: Result<Closure, String>,
}

/// A file as it lies there.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) closure: Closure,
    running: Option<Arc<Generation>>,
    /// The same texts were refused before.
    refused: Option<Refusal>,
}

/// A file that may run.
pub(super) struct Loaded {
    policy: Policy,
    tests_passed: Option<usize>,
}

impl Loaded {
    pub(super) fn into_new(self, closure: Closure, by: By) -> New {
        let Self { policy, tests_passed } = self;
        let Closure { sources, sha256, .. } = closure;
        New { policy, sources, sha256, by, number: None, last_good: false, tests_passed }
    }
}

impl Draft {
    pub(super) fn is_what_runs(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.sha256 == self.closure.sha256)
    }

    /// Whoever wrote the file; at the start nobody did.
    pub(super) fn by(&self) -> By {
        if self.running.is_none() {
            return By::Start;
        }
        let (uid, seconds) = self.closure.written;
        let written = jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
        By::File { uid, written }
    }

    /// The modules that are not what they are in the running version.
    fn changed_modules(&self) -> BTreeSet<String> {
        let Some(running) = &self.running else { return BTreeSet::new() };
        let now = modules_of(&self.closure.sources);
        let changed =
            now.into_iter().filter(|(name, sha256)| running.modules.get(name).is_some_and(|old| old != sha256));
        changed.map(|(name, _)| name).collect()
    }
}

/// The modules of a policy with the identity of each.
pub(super) fn modules_of(sources: &Sources) -> BTreeMap<String, String> {
    let sum = |text: &Result<crate::policy::Text, String>| {
        text.as_ref().map(|text| sha256_of(text.text.as_bytes())).unwrap_or_default()
    };
    sources.modules().iter().map(|(name, text)| (name.clone(), sum(text))).collect()
}

/// Those that share a module which has changed, together.
pub(super) fn tied(drafts: Vec<Draft>) -> Vec<Vec<Draft>> {
    let mut groups: Vec<(BTreeSet<String>, Vec<Draft>)> = Vec::new();
    for draft in drafts {
        let mut changed = draft.changed_modules();
        let mut group = vec![draft];
        let (ties, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|(modules, _)| !modules.is_disjoint(&changed));
        for (modules, drafts) in ties {
            changed.extend(modules);
            group.extend(drafts);
        }
        groups = apart;
        groups.push((changed, group));
    }
    groups.into_iter().map(|(_, drafts)| drafts).collect()
}

impl Library {
    /// What the files of each policy say.
    pub(super) fn read(&self) -> Vec<Read> {
        let (directory, names) = {
            let stock = self.lock();
            (stock.directory.clone(), stock.entries.keys().cloned().collect::<Vec<_>>())
        };
        let read = |name: String| {
            let closure = closure::read(&self.engine, &directory, &directory, &name, &self.trust);
            Read { name, directory: directory.clone(), closure: closure.map_err(|why| why.to_string()) }
        };
        names.into_iter().map(read).collect()
    }

    /// What was read of a policy. `None`: it does not matter, because a generation is pinned.
    pub(super) fn draft(
        &self,
        name: &str,
        read: &Result<Closure, String>,
        again: bool,
    ) -> Result<Option<Draft>, Refusal> {
        let (running, refused, is_pinned) = {
            let stock = self.lock();
            let Some(entry) = stock.entries.get(name) else { return Ok(None) };
            let refused = entry.stale.as_ref().map(|stale| stale.refusal.clone());
            (entry.running(), refused, entry.pin.is_some())
        };
        if is_pinned {
            if running.is_none() {
                self.fall_back(name);
            }
            if self.lock().entries.get(name).is_some_and(|entry| entry.running().is_some()) {
                return Ok(None);
            }
        }
        let closure = read.clone().map_err(Refusal::file)?;
        if let Some(entry) = self.lock().entries.get_mut(name) {
            entry.files.clone_from(&closure.files);
        }
        if let Some(objection) = &closure.objection {
            return Err(Refusal::file(objection.clone()));
        }
        let refused =
            refused.filter(|refused| refused.sha256.as_ref() == Some(&closure.sha256) && (refused.is_final || !again));
        Ok(Some(Draft { name: name.to_owned(), closure, running, refused }))
    }

    /// All of them, or none.
    pub(super) fn load_together(&self, group: Vec<Draft>, by: Option<&By>, found: &mut Found) {
        let loaded: Vec<(Draft, Result<Loaded, Refusal>)> = group
            .into_iter()
            .map(|draft| {
                let loaded = self.load(&draft);
                (draft, loaded)
            })
            .collect();
        let culprit =
            loaded.iter().find_map(|(draft, loaded)| Some((draft.name.clone(), loaded.as_ref().err()?.clone())));
        if culprit.is_none() {
            self.settle();
        }
        for (draft, loaded) in loaded {
            match (loaded, &culprit) {
                (Err(refusal), _) => self.refuse(&draft.name, refusal, found),
                (Ok(_), Some((name, why))) => self.refuse(&draft.name, Refusal::together(name, why), found),
                (Ok(loaded), None) => {
                    let by = by.cloned().unwrap_or_else(|| draft.by());
                    found.changes.extend(self.install(&draft.name, loaded.into_new(draft.closure, by)));
                }
            }
        }
    }

    /// Makes it ready to run.
    pub(super) fn load(&self, draft: &Draft) -> Result<Loaded, Refusal> {
        if let Some(refused) = &draft.refused {
            return Err(refused.clone());
        }
        let time = if draft.running.is_some() { TESTS_TIME } else { TESTS_TIME_AT_START };
        self.compile(&draft.name, &draft.closure, time)
    }

    /// Compiles it and runs its own tests.
    pub(super) fn compile(&self, name: &str, closure: &Closure, time: Duration) -> Result<Loaded, Refusal> {
        let policy = Policy::from_sources(&self.engine, name, &closure.sources)
            .map_err(|problems| Refusal::problems(&problems, closure))?;
        // What ran before has passed them, and a busy machine at boot must not make it fail them.
        if Archive::open(&self.store, name).has_run(&closure.sha256) {
            return Ok(Loaded { policy, tests_passed: None });
        }
        let report = run_tests(&self.engine, &policy, Some(Cap { clock: Arc::clone(&self.clock), time }));
        match Refusal::tests(&report, closure) {
            None => Ok(Loaded { policy, tests_passed: Some(report.passed) }),
            Some(refusal) => Err(refusal),
        }
    }
}
