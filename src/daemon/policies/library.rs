//! The policies as loaded: which version of each runs, and why the file on disk does not, if it does not.
//!
//! A file is compiled, linted and put through its own tests before it replaces what runs; a file that fails any of it
//! changes nothing. Policies that share a module which has changed are loaded together or not at all. A policy without a
//! running version falls back to the last good one in the state directory. Looking is idempotent: the daemon looks when
//! files change, when told to, and now and then. What an operator chooses instead is in `chosen`.

mod chosen;
mod draft;

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::watch;

pub use self::chosen::{Choice, StillWanted};
use self::draft::{Read, tied};
pub use super::shelf::{Generation, Shelf};
use super::{
    Said, Say,
    archive::{self, Archive},
    refusal::Refusal,
    shelf::{Entry, Stale, stale_condition},
    source,
    trial::Regression,
};
use crate::{
    control::protocol::{self, By, Kept, millis},
    daemon::{
        audit::{self, Audit},
        store::Store,
    },
    node::{Condition, Event, Journal},
    policy::{Clock, Engine, Policy, Sources, changes},
    probe::Trust,
    words::Instant,
};

/// How long a version that is ready waits for the node to be neither taking over nor handing over.
const SETTLE_MAX: Duration = Duration::from_secs(1);
/// How often that is looked at.
const SETTLE_STEP: Duration = Duration::from_millis(5);

/// Whether the node is neither taking over nor handing over.
pub type Settled = Arc<dyn Fn() -> bool + Send + Sync>;

/// What happens in the time after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probation {
    /// How long the version before is evaluated beside the new one; zero: not at all.
    pub length: Duration,
    /// A version that does worse than the one before it is taken back.
    pub auto_rollback: bool,
}

/// Every policy that some instance names.
pub struct Library {
    engine: Engine,
    clock: Arc<dyn Clock>,
    trust: Trust,
    store: Store,
    audit: Arc<Audit>,
    say: Say,
    settled: Settled,
    /// One look at a time, from reading the files to what comes of it. They may lie on a server that is gone, so nothing else waits
    /// for this.
    reading: Mutex<()>,
    /// One change at a time; the shelves stay readable meanwhile.
    changing: Mutex<()>,
    stock: Mutex<Stock>,
}

struct Stock {
    directory: PathBuf,
    probation: Probation,
    entries: BTreeMap<String, Entry>,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// One sentence for each policy that changed.
    pub changes: Vec<String>,
    /// A whole report for each file that is not what runs.
    pub errors: Vec<String>,
    /// One sentence for each file that has changed and does not matter, because a generation is pinned; only if asked.
    pub remarks: Vec<String>,
}

/// A version to put on the shelf.
struct New {
    policy: Policy,
    sources: Sources,
    sha256: String,
    by: By,
    /// From the archive, with this number.
    number: Option<u64>,
    /// It is the last good one, because the file is not.
    last_good: bool,
    tests_passed: Option<usize>,
}

impl Library {
    /// An empty one.
    #[must_use]
    pub fn new(engine: Engine, clock: Arc<dyn Clock>, store: Store, say: Say, settled: Settled) -> Self {
        let probation = Probation { length: Duration::ZERO, auto_rollback: false };
        let stock = Stock { directory: PathBuf::new(), probation, entries: BTreeMap::new() };
        Self {
            engine,
            clock,
            trust: Trust::of_this_process(),
            audit: Arc::new(Audit::at(store.audit_file())),
            store,
            say,
            settled,
            reading: Mutex::default(),
            changing: Mutex::default(),
            stock: Mutex::new(stock),
        }
    }

    /// From now on exactly these policies, from this directory. Those that stay keep running; look to load the others.
    pub fn stock(&self, directory: PathBuf, probation: Probation, names: impl IntoIterator<Item = String>) {
        let mut stock = self.lock();
        let mut old = std::mem::take(&mut stock.entries);
        let kept = |name: String| {
            let entry = old.remove(&name).unwrap_or_else(Entry::new);
            (name, entry)
        };
        stock.entries = names.into_iter().map(kept).collect();
        stock.directory = directory;
        stock.probation = probation;
        drop(stock);
        for entry in old.into_values() {
            self.clear(entry.stale);
            self.lower(entry.regression);
        }
    }

    /// Policies that are new here, as the last process left them. The disk may be slow: nobody else waits for it.
    fn take_up(&self) {
        let is_new = |(name, entry): (&String, &Entry)| (!entry.taken_up).then(|| name.clone());
        let new: Vec<String> = self.lock().entries.iter().filter_map(is_new).collect();
        for name in new {
            let archive = Archive::open(&self.store, &name);
            let stale = archive.rejected.as_ref().map(|rejected| Stale {
                since: self.clock.now(),
                refusal: Refusal::rejected(rejected),
                condition: None,
            });
            if let Some(entry) = self.lock().entries.get_mut(&name).filter(|entry| !entry.taken_up) {
                (entry.pin, entry.stale, entry.taken_up) = (archive.pin, stale, true);
            }
        }
    }

    /// The files, to be watched: those of the policies, and of every module that was found the last time.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let stock = self.lock();
        let own = stock.entries.keys().map(|name| source::path_of(&stock.directory, name));
        let mut files: Vec<PathBuf> = own.chain(stock.entries.values().flat_map(|entry| entry.files.clone())).collect();
        files.sort();
        files.dedup();
        files
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

    /// Where it is written down who changed what.
    #[must_use]
    pub fn audit(&self) -> Arc<Audit> {
        Arc::clone(&self.audit)
    }

    /// Reads every file and loads what is new and good. `again`: also try a text that was refused before. Blocks for as
    /// long as the files do, compiling and the policies' own tests. `by`: a user who asked for it.
    pub fn look(&self, again: bool, by: Option<&By>) -> Found {
        let _one_at_a_time = lock(&self.reading);
        self.take_up();
        let read = self.read();
        let _one_change = lock(&self.changing);
        let mut found = Found::default();
        let mut drafts = Vec::new();
        for Read { name, directory, closure } in read {
            // A reload has named another one meanwhile, which is looked at next.
            if self.lock().directory != directory {
                continue;
            }
            match self.draft(&name, &closure, again) {
                Ok(draft) => drafts.extend(draft),
                Err(refusal) => self.refuse(&name, refusal, &mut found),
            }
            if again {
                found.remarks.extend(self.beside_its_pin(&name, &closure));
            }
        }
        found
            .changes
            .extend(drafts.iter().filter(|draft| draft.is_what_runs()).filter_map(|draft| self.agree(&draft.name)));
        drafts.retain(|draft| !draft.is_what_runs());
        for group in tied(drafts) {
            self.load_together(group, by, &mut found);
        }
        found
    }

    /// Waits for as long as the node takes over or hands over, within limits.
    fn settle(&self) {
        let until = self.clock.now() + SETTLE_MAX;
        while !(self.settled)() && self.clock.now() < until {
            thread::sleep(SETTLE_STEP);
        }
    }

    /// Every policy, for the control protocol.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<protocol::Policy> {
        let age = |at: Instant| millis(now.saturating_since(at));
        let stock = self.lock();
        let policy = |(name, entry): (&String, &Entry)| {
            let running = entry.running();
            protocol::Policy {
                network: None,
                name: name.clone(),
                path: source::path_of(&stock.directory, name).display().to_string(),
                generation: running.as_ref().map(|running| running.number),
                sha256: running.as_ref().map(|running| running.sha256.clone()),
                age_ms: running.as_ref().map(|running| age(running.loaded_at)),
                last_good: running.as_ref().is_some_and(|running| running.last_good),
                stale: entry
                    .stale
                    .as_ref()
                    .filter(|_| entry.pin.is_none())
                    .map(|stale| protocol::Stale { since_ms: age(stale.since), error: stale.refusal.full.clone() }),
                pinned: entry.pin.clone(),
                probation_ms: running.as_ref().and_then(|running| running.probation_left(now)).map(millis),
                regression: entry.regression.as_ref().map(|condition| condition.text.clone()),
            }
        };
        stock.entries.iter().map(policy).collect()
    }

    /// A version does worse than the one before it, in one instance at least. It is taken back if that is wanted, or if it
    /// cannot be evaluated at all (R21), unless an operator chose it; its text does not come back before the file changes.
    pub fn regressed(&self, regression: &Regression) {
        let Regression { policy: name, instance, generation, broken, why } = regression;
        let _one_change = lock(&self.changing);
        let now = self.clock.now();
        let mut stock = self.lock();
        let wanted = *broken || stock.probation.auto_rollback;
        let Some(entry) = stock.entries.get_mut(name) else { return };
        // An operator's choice stays until that operator takes it back.
        let back = wanted && entry.pin.is_none();
        let Some(running) = entry.running().filter(|running| running.number == *generation) else { return };
        if entry.regression.is_some() {
            return;
        }
        let previous = if back { entry.previous.take() } else { None };
        let then = match (&previous, &entry.previous) {
            (Some(previous), _) => format!("generation {} runs again until the file changes", previous.number),
            // By its number: versions between them may be worse still.
            (None, Some(compared)) => {
                format!("it keeps running; `ha policy rollback {name} {}` goes back", compared.number)
            }
            (None, None) => format!("it keeps running; `ha policy list {name}` shows what there is to go back to"),
        };
        let text =
            format!("policy {name}: the change to generation {generation} caused this in {instance}: {why}; {then}");
        let condition = Condition { name: "policy_regression", text: text.clone() };
        let mut before = None;
        let mut rejected = None;
        if let Some(previous) = &previous {
            let text = archive::Rejected { sha256: running.sha256.clone(), why: text };
            entry.shelf.send_replace(Shelf::Running(Arc::new(previous.restored(now))));
            let refusal = Refusal::rejected(&text);
            before = entry.stale.replace(Stale { since: now, refusal, condition: Some(condition.clone()) });
            rejected = Some(text);
        } else {
            entry.regression = Some(condition.clone());
        }
        drop(stock);
        self.clear(before);
        self.note(Event::Raised(condition));
        if rejected.is_some() {
            // The disk may be slow: the whole daemon reads the stock, and nobody waits for what it says.
            let mut archive = Archive::open(&self.store, name);
            archive.rejected = rejected;
            archive.keep(&self.store, name);
        }
        self.audit.record(&audit::Entry {
            event: if previous.is_some() { "rolled_back" } else { "regression" },
            instance: instance.clone(),
            by: Some(By::Probation),
            why: why.clone(),
            previous: Some(*generation),
            ..entry_of(name, Some(previous.as_ref().unwrap_or(&running)))
        });
    }

    fn lock(&self) -> MutexGuard<'_, Stock> {
        lock(&self.stock)
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

    /// Puts it on the shelf, keeps it, and says so.
    fn install(&self, name: &str, new: New) -> Option<String> {
        let now = self.clock.now();
        let mut archive = Archive::open(&self.store, name);
        let mut stock = self.lock();
        let length = stock.probation.length;
        let entry = stock.entries.get_mut(name)?;
        let running = entry.running();
        let number = new.number.unwrap_or_else(|| {
            // What cannot be kept counts on all the same.
            let after = running.as_ref().map_or(0, |running| running.number + u64::from(running.sha256 != new.sha256));
            archive.number_for(&new.sha256).max(after)
        });
        let is_change = new.number.is_none() && running.is_some();
        let generation = Arc::new(Generation {
            number,
            loaded_at: now,
            last_good: new.last_good,
            modules: draft::modules_of(&new.sources),
            probation: is_change.then_some(length).filter(|length| !length.is_zero()),
            sha256: new.sha256,
            policy: new.policy,
        });
        entry.shelf.send_replace(Shelf::Running(Arc::clone(&generation)));
        // What did not outlive its own probation is nothing to go back to.
        if let Some(running) = running.as_ref().filter(|running| is_change && !running.is_on_probation(now)) {
            entry.previous = Some(Arc::clone(running));
        }
        let stale = if new.last_good { None } else { entry.stale.take() };
        let regression = entry.regression.take();
        drop(stock);
        if new.number.is_none() {
            archive.rejected = None;
            let kept =
                Kept { number, sha256: generation.sha256.clone(), time: archive::wall_time(), by: new.by.clone() };
            archive.add(kept, &new.sources);
            archive.keep(&self.store, name);
        }
        self.clear(stale);
        self.lower(regression);
        let differences =
            running.as_ref().map_or_else(Vec::new, |running| changes(&running.policy, &generation.policy));
        let short = generation.sha256.get(..8).unwrap_or(&generation.sha256);
        let which = if new.last_good { ", the last good text" } else { "" };
        let listed = if differences.is_empty() { String::new() } else { format!(": {}", differences.join(", ")) };
        let sentence =
            format!("policy {name}: generation {number} runs ({short}{which}, {}){listed}", archive::said(&new.by));
        self.note(Event::Note(sentence.clone()));
        self.audit.record(&audit::Entry {
            event: "loaded",
            previous: running.map(|running| running.number),
            by: Some(new.by),
            changes: differences,
            tests_passed: new.tests_passed,
            ..entry_of(name, Some(&generation))
        });
        Some(sentence)
    }

    /// Keeps what runs, or else runs the last good version, or else nothing; says it once.
    fn refuse(&self, name: &str, refusal: Refusal, found: &mut Found) {
        found.errors.push(format!("policy {name}: {}", refusal.full));
        let (is_unread, known) = {
            let stock = self.lock();
            let Some(entry) = stock.entries.get(name) else { return };
            (entry.is_unread(), entry.stale.as_ref().map(|stale| stale.refusal.clone()))
        };
        if known.as_ref() == Some(&refusal) && !is_unread {
            return;
        }
        if is_unread {
            self.fall_back(name);
        }
        let now = self.clock.now();
        let mut stock = self.lock();
        let Some(entry) = stock.entries.get_mut(name) else { return };
        let running = entry.running();
        let condition = running.as_ref().map(|running| stale_condition(name, running, &refusal.brief));
        if condition.is_none() {
            entry.shelf.send_replace(Shelf::Empty(format!("policy {name} cannot be loaded: {}", refusal.brief)));
        }
        let before = entry.stale.take();
        let since = before.as_ref().map_or(now, |before| before.since);
        let (why, sha256) = (refusal.brief.clone(), refusal.sha256.clone().unwrap_or_default());
        entry.stale = Some(Stale { since, refusal, condition: condition.clone() });
        drop(stock);
        self.clear(before);
        if let Some(condition) = condition {
            self.note(Event::Raised(condition));
        }
        self.audit.record(&audit::Entry { event: "refused", sha256, why, ..entry_of(name, running.as_deref()) });
    }

    /// The last good version, or the pinned one, from the state directory.
    fn fall_back(&self, name: &str) {
        let archive = Archive::open(&self.store, name);
        let Some(number) = archive.last_good() else { return };
        if let Some(new) = self.kept(name, &archive, number, By::Start) {
            self.install(name, New { last_good: true, ..new });
        }
    }

    /// A generation of the archive, made ready again.
    fn kept(&self, name: &str, archive: &Archive, number: u64, by: By) -> Option<New> {
        let sources = archive.texts(&self.engine, number)?;
        let policy = Policy::from_sources(&self.engine, name, &sources).ok()?;
        let sha256 = sources.sha256();
        Some(New { policy, sources, sha256, by, number: Some(number), last_good: false, tests_passed: None })
    }

    fn clear(&self, stale: Option<Stale>) {
        self.lower(stale.and_then(|stale| stale.condition));
    }

    fn lower(&self, condition: Option<Condition>) {
        if let Some(condition) = condition {
            self.note(Event::Cleared(condition));
        }
    }

    fn note(&self, event: Event) {
        (self.say)(Said::Journal(Journal { at: self.clock.now(), instance: String::new(), event }));
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A line about what runs now.
fn entry_of(name: &str, running: Option<&Generation>) -> audit::Entry {
    audit::Entry {
        time: archive::wall_time(),
        policy: name.to_owned(),
        generation: running.map(|running| running.number),
        sha256: running.map_or_else(String::new, |running| running.sha256.clone()),
        ..audit::Entry::default()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library").field("files", &self.files()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
