//! The policies as loaded: which version of each runs, and why the file on disk does not, if it does not.
//!
//! A file is compiled, linted and put through its own tests before it replaces what runs; a file that fails any of it
//! changes nothing. A policy without a running version falls back to the last good text in the state directory. Looking
//! is idempotent: the daemon looks when files change, when told to, and now and then.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

pub use super::shelf::{Generation, Shelf};
use super::{
    Said, Say,
    refusal::Refusal,
    shelf::{Entry, Stale, stale_condition},
    source::{self, Source, sha256_of},
};
use crate::{
    control::protocol::{self, millis},
    daemon::store::Store,
    node::{Event, Journal},
    policy::{Cap, Clock, Engine, Policy, run_tests},
    probe::Trust,
    words::Instant,
};

/// What the tests of a policy may take while another version of it runs, and at the start.
const TESTS_TIME: Duration = Duration::from_secs(1);
const TESTS_TIME_AT_START: Duration = Duration::from_secs(10);

/// Every policy that some instance names.
pub struct Library {
    engine: Engine,
    clock: Arc<dyn Clock>,
    trust: Trust,
    store: Store,
    say: Say,
    /// One look at a time; the shelves stay readable meanwhile.
    looking: Mutex<()>,
    stock: Mutex<Stock>,
}

#[derive(Default)]
struct Stock {
    directory: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One sentence for each policy that changed.
    pub changes: Vec<String>,
    /// A whole report for each file that is not what runs.
    pub errors: Vec<String>,
}

impl Library {
    /// An empty one.
    #[must_use]
    pub fn new(engine: Engine, clock: Arc<dyn Clock>, store: Store, say: Say) -> Self {
        let trust = Trust::of_this_process();
        Self { engine, clock, trust, store, say, looking: Mutex::default(), stock: Mutex::default() }
    }

    /// From now on exactly these policies, from this directory. Those that stay keep running; look to load the others.
    pub fn stock(&self, directory: PathBuf, names: impl IntoIterator<Item = String>) {
        let mut stock = self.lock();
        let mut old = std::mem::take(&mut stock.entries);
        let kept = |name: String| {
            let entry =
                old.remove(&name).unwrap_or_else(|| Entry { shelf: watch::Sender::new(Shelf::Unread), stale: None });
            (name, entry)
        };
        stock.entries = names.into_iter().map(kept).collect();
        stock.directory = directory;
        drop(stock);
        for entry in old.into_values() {
            self.clear(entry.stale);
        }
    }

    /// The files, to be watched.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let stock = self.lock();
        stock.entries.keys().map(|name| source::path_of(&stock.directory, name)).collect()
    }

    /// What is there to evaluate of a policy, now and after each change. `None` if it is not in stock.
    #[must_use]
    pub fn shelf(&self, name: &str) -> Option<watch::Receiver<Shelf>> {
        self.lock().entries.get(name).map(|entry| entry.shelf.subscribe())
    }

    /// The version of a policy that runs now.
    #[must_use]
    pub fn running(&self, name: &str) -> Option<Policy> {
        let running = self.lock().entries.get(name)?.running()?;
        Some(running.policy.clone())
    }

    /// Reads every file and loads what is new and good. `again`: also try a text that was refused before. Blocks for as
    /// long as compiling and the policies' own tests take.
    pub fn look(&self, again: bool) -> Found {
        let _one_at_a_time = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = self.lock().entries.keys().cloned().collect();
        let mut found = Found::default();
        for name in names {
            match self.look_at(&name, again) {
                Ok(change) => found.changes.extend(change),
                Err(refusal) => {
                    found.errors.push(format!("policy {name}: {}", refusal.full));
                    self.refuse(&name, refusal);
                }
            }
        }
        found
    }

    /// Every policy, for the control protocol.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<protocol::Policy> {
        let age = |at: Instant| millis(now.saturating_since(at));
        let stock = self.lock();
        let policy = |(name, entry): (&String, &Entry)| {
            let running = entry.running();
            protocol::Policy {
                name: name.clone(),
                path: source::path_of(&stock.directory, name).display().to_string(),
                generation: running.as_ref().map(|running| running.number),
                sha256: running.as_ref().map(|running| running.sha256.clone()),
                age_ms: running.as_ref().map(|running| age(running.loaded_at)),
                last_good: running.is_some_and(|running| running.last_good),
                stale: entry
                    .stale
                    .as_ref()
                    .map(|stale| protocol::Stale { since_ms: age(stale.since), error: stale.refusal.full.clone() }),
            }
        };
        stock.entries.iter().map(policy).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sentence if another version runs now.
    fn look_at(&self, name: &str, again: bool) -> Result<Option<String>, Refusal> {
        let Some((directory, running, refused)) = self.known(name) else { return Ok(None) };
        let source = source::read(&directory, name, &self.trust).map_err(|why| Refusal::file(why.to_string()))?;
        if let Some(objection) = &source.objection {
            return Err(Refusal::file(objection.clone()));
        }
        if running.as_ref().is_some_and(|running| running.sha256 == source.sha256) {
            return Ok(self.agree(name));
        }
        if let Some(refused) = refused.filter(|refused| !again && refused.sha256.as_ref() == Some(&source.sha256)) {
            return Err(refused);
        }
        let policy = self.load(name, &source, running.is_some())?;
        if let Err(error) = self.store.keep_policy(name, &source.text) {
            tracing::warn!("policy {name}: no copy is kept for the next start: {error}");
        }
        Ok(self.install(name, policy, source.sha256, false))
    }

    fn known(&self, name: &str) -> Option<(PathBuf, Option<Arc<Generation>>, Option<Refusal>)> {
        let stock = self.lock();
        let entry = stock.entries.get(name)?;
        Some((stock.directory.clone(), entry.running(), entry.stale.as_ref().map(|stale| stale.refusal.clone())))
    }

    fn load(&self, name: &str, source: &Source, something_runs: bool) -> Result<Policy, Refusal> {
        let file = source.path.display().to_string();
        let policy = Policy::load(&self.engine, name, &file, &source.text)
            .map_err(|problems| Refusal::problems(&problems, source))?;
        // What ran before has passed them, and a busy machine at boot must not make it fail them.
        if self.is_last_good(name, &source.sha256) {
            return Ok(policy);
        }
        let time = if something_runs { TESTS_TIME } else { TESTS_TIME_AT_START };
        let report = run_tests(&self.engine, &policy, Some(Cap { clock: Arc::clone(&self.clock), time }));
        match report.failures.first() {
            None => Ok(policy),
            Some(first) => Err(Refusal {
                brief: format!("{file}:{} E111 its test {} fails: {}", first.line, first.name, first.message),
                full: report.failures.iter().fold(String::new(), |text, failure| {
                    format!("{text}{file}:{} E111 its test {} fails: {}\n", failure.line, failure.name, failure.message)
                }),
                sha256: Some(source.sha256.clone()),
            }),
        }
    }

    fn is_last_good(&self, name: &str, sha256: &str) -> bool {
        let kept = self.store.last_good_policy(name).ok().flatten();
        kept.is_some_and(|text| sha256_of(text.as_bytes()) == sha256)
    }

    /// The file is what runs.
    fn agree(&self, name: &str) -> Option<String> {
        let mut stock = self.lock();
        let entry = stock.entries.get_mut(name)?;
        let stale = entry.stale.take();
        let sentence = stale.as_ref().map(|_| format!("policy {name}: the file is what runs again"));
        drop(stock);
        self.clear(stale);
        sentence
    }

    fn install(&self, name: &str, policy: Policy, sha256: String, last_good: bool) -> Option<String> {
        let loaded_at = self.clock.now();
        let mut stock = self.lock();
        let entry = stock.entries.get_mut(name)?;
        let number = entry.running().map_or(1, |running| running.number + 1);
        let short = sha256.get(..8).unwrap_or(&sha256).to_owned();
        let generation = Generation { number, loaded_at, last_good, sha256, policy };
        entry.shelf.send_replace(Shelf::Running(Arc::new(generation)));
        let stale = if last_good { None } else { entry.stale.take() };
        drop(stock);
        let which = if last_good { ", the last good text" } else { "" };
        let sentence = format!("policy {name}: generation {number} runs ({short}{which})");
        self.clear(stale);
        self.note(Event::Note(sentence.clone()));
        Some(sentence)
    }

    /// Keeps what runs, or else runs the last good text, or else nothing; says it once.
    fn refuse(&self, name: &str, refusal: Refusal) {
        let Some((_, running, known)) = self.known(name) else { return };
        if known.as_ref() == Some(&refusal) {
            return;
        }
        if running.is_none() {
            self.fall_back(name);
        }
        let now = self.clock.now();
        let mut stock = self.lock();
        let Some(entry) = stock.entries.get_mut(name) else { return };
        let condition = entry.running().map(|running| stale_condition(name, &running, &refusal.brief));
        if condition.is_none() {
            entry.shelf.send_replace(Shelf::Empty(format!("policy {name} cannot be loaded: {}", refusal.brief)));
        }
        let before = entry.stale.take();
        let since = before.as_ref().map_or(now, |before| before.since);
        entry.stale = Some(Stale { since, refusal, condition: condition.clone() });
        drop(stock);
        self.clear(before);
        if let Some(condition) = condition {
            self.note(Event::Raised(condition));
        }
    }

    fn fall_back(&self, name: &str) {
        let Ok(Some(text)) = self.store.last_good_policy(name) else { return };
        if let Ok(policy) = Policy::load(&self.engine, name, "the last good text", &text) {
            self.install(name, policy, sha256_of(text.as_bytes()), true);
        }
    }

    fn clear(&self, stale: Option<Stale>) {
        if let Some(condition) = stale.and_then(|stale| stale.condition) {
            self.note(Event::Cleared(condition));
        }
    }

    fn note(&self, event: Event) {
        (self.say)(Said::Journal(Journal { at: self.clock.now(), instance: String::new(), event }));
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("files", &self.files()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
