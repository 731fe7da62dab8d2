//! What an operator chooses to run, whatever the file says: an earlier generation, this one, or another file. It stays
//! chosen, over restarts too, until it is unpinned.

use std::{sync::Arc, time::Duration};

use super::{Entry, Generation, Library, Refusal, Stale, entry_of, lock, stale_condition};
use crate::{
    control::protocol::{By, GENERATIONS_SCHEMA, Generations, Pinned, Texts},
    daemon::{
        audit,
        policies::{
            archive::{Archive, wall_time},
            closure::{self, Closure},
        },
    },
    node::Event,
};

/// What the tests of a file that is chosen may take: somebody waits for it.
const TESTS_TIME: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This generation; else the last one before the running one that outlived its probation.
    Rollback(Option<u64>),
    /// This generation; else the running one.
    Pin(Option<u64>),
    /// What the file says.
    Unpin,
}

/// Asked right before something is changed: whether whoever chose it still waits for it.
///
/// # Errors
/// A sentence: he does not, and nothing may be changed.
pub type StillWanted<'a> = &'a dyn Fn() -> Result<(), String>;

impl Library {
    /// Does it; says what it did.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn choose(&self, name: &str, choice: &Choice, by: &By, still: StillWanted<'_>) -> Result<String, String> {
        let _one_change = lock(&self.changing);
        let (running, previous) = {
            let stock = self.lock();
            let entry = stock.entries.get(name).ok_or_else(|| no_policy(name))?;
            let number = |generation: &Arc<Generation>| generation.number;
            (entry.running().as_ref().map(number), entry.previous.as_ref().map(number))
        };
        let archive = Archive::open(&self.store, name);
        let nothing = || format!("nothing runs of policy {name}; name a generation (`ha policy list {name}`)");
        match choice {
            Choice::Rollback(Some(number)) | Choice::Pin(Some(number)) => {
                self.run_kept(name, &archive, *number, by, still)
            }
            Choice::Rollback(None) => {
                let running = running.ok_or_else(nothing)?;
                // What a later version was compared with, if it was one: others may have been taken back.
                let before = previous.filter(|previous| *previous < running).or_else(|| archive.before(running));
                let before = before.ok_or_else(|| format!("no generation of policy {name} before this one is kept"))?;
                self.run_kept(name, &archive, before, by, still)
            }
            Choice::Pin(None) => {
                let running = running.ok_or_else(nothing)?;
                still()?;
                Ok(self.pin(name, running, by))
            }
            Choice::Unpin => self.unpin(name, by, still),
        }
    }

    /// What is kept of a policy.
    ///
    /// # Errors
    /// There is no such policy.
    pub fn generations(&self, name: &str) -> Result<Generations, String> {
        let stock = self.lock();
        let entry = stock.entries.get(name).ok_or_else(|| no_policy(name))?;
        let (running, pinned) = (entry.running().map(|running| running.number), entry.pin.clone());
        drop(stock);
        Ok(Generations {
            schema: GENERATIONS_SCHEMA.to_owned(),
            network: None,
            policy: name.to_owned(),
            running,
            pinned,
            generations: Archive::open(&self.store, name).list(),
        })
    }

    /// The texts of one generation.
    ///
    /// # Errors
    /// It is not kept, or there is no such policy.
    pub fn texts(&self, name: &str, number: u64) -> Result<Texts, String> {
        if !self.lock().entries.contains_key(name) {
            return Err(no_policy(name));
        }
        let archive = Archive::open(&self.store, name);
        let sources = archive.texts(&self.engine, number).ok_or_else(|| not_kept(name, number))?;
        let files = sources.texts().map(|text| (text.file.clone(), text.text.clone()));
        Ok(Texts { policy: name.to_owned(), number, files: files.collect() })
    }

    /// What a file would say that does not matter because a generation is pinned; nothing if it is that generation.
    pub(super) fn beside_its_pin(&self, name: &str, read: &Result<Closure, String>) -> Option<String> {
        let running = self.lock().entries.get(name).filter(|entry| entry.pin.is_some())?.running()?;
        let what = match read {
            Ok(closure) if closure.sha256 == running.sha256 => return None,
            Ok(_) => "the file says something else".to_owned(),
            Err(why) => format!("the file cannot be read ({why})"),
        };
        Some(format!(
            "policy {name}: {what}, and generation {} is pinned and keeps running; `ha policy unpin {name}` follows the file \
             again",
            running.number
        ))
    }

    fn run_kept(
        &self,
        name: &str,
        archive: &Archive,
        number: u64,
        by: &By,
        still: StillWanted<'_>,
    ) -> Result<String, String> {
        let runs = |entry: &Entry| entry.running().is_some_and(|running| running.number == number);
        if self.lock().entries.get(name).is_some_and(runs) {
            still()?;
            return Ok(self.pin(name, number, by));
        }
        if archive.texts(&self.engine, number).is_none() {
            return Err(not_kept(name, number));
        }
        let new = self.kept(name, archive, number, by.clone());
        let new =
            new.ok_or_else(|| format!("generation {number} of policy {name} is no policy to this version of ha"))?;
        self.settle();
        still()?;
        let sentence = self.install(name, new).unwrap_or_default();
        Ok(format!("{sentence}; {}", self.pin(name, number, by)))
    }

    /// Reads another file of the policy directory, by its name without the ending, and runs it as this policy, whatever its own file
    /// says. Says what it did.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn run_other(&self, name: &str, other: &str, by: &By, still: StillWanted<'_>) -> Result<String, String> {
        if !self.lock().entries.contains_key(name) {
            return Err(no_policy(name));
        }
        let directory = self.lock().directory.clone();
        if other.is_empty() || other.contains(['/', '\0']) {
            return Err(format!("\"{other}\" is not the name of a file of the policy directory, without its ending"));
        }
        let read = closure::read(&self.engine, &directory, &directory, other, &self.trust);
        let closure = read.map_err(|why| why.to_string())?;
        let _one_change = lock(&self.changing);
        if let Some(objection) = closure.objection {
            return Err(objection);
        }
        let loaded = self.compile(name, &closure, TESTS_TIME).map_err(|refusal| refusal.full)?;
        self.settle();
        still()?;
        let sentence = self.install(name, loaded.into_new(closure, by.clone()));
        let running = self.lock().entries.get(name).and_then(Entry::running);
        let number = running.map(|running| running.number).unwrap_or_default();
        let pinned = self.pin(name, number, by);
        Ok(format!("{}; {pinned}", sentence.unwrap_or_default()))
    }

    /// From now on this generation, whatever the file says.
    fn pin(&self, name: &str, generation: u64, by: &By) -> String {
        let pinned = Pinned { generation, by: by.clone(), time: wall_time() };
        self.set_pin(name, Some(pinned), by, "pinned");
        format!(
            "policy {name} stays at generation {generation}, whatever the file says, until `ha policy unpin {name}`"
        )
    }

    fn unpin(&self, name: &str, by: &By, still: StillWanted<'_>) -> Result<String, String> {
        if self.lock().entries.get(name).is_none_or(|entry| entry.pin.is_none()) {
            return Err(format!("policy {name} is not pinned"));
        }
        still()?;
        self.set_pin(name, None, by, "unpinned");
        Ok(format!("policy {name} follows its file again"))
    }

    fn set_pin(&self, name: &str, pin: Option<Pinned>, by: &By, event: &'static str) {
        let mut archive = Archive::open(&self.store, name);
        archive.pin.clone_from(&pin);
        archive.keep(&self.store, name);
        let mut stock = self.lock();
        let Some(entry) = stock.entries.get_mut(name) else { return };
        let running = entry.running();
        // A text that was taken back stays refused: the file is followed again, not what it said then.
        let rejected = archive.rejected.filter(|rejected| {
            pin.is_none() && running.as_ref().is_some_and(|running| running.sha256 != rejected.sha256)
        });
        entry.pin = pin;
        let refused = rejected.zip(running.as_ref()).map(|(rejected, running)| {
            let refusal = Refusal::rejected(&rejected);
            let condition = stale_condition(name, running, &refusal.brief);
            Stale { since: self.clock.now(), refusal, condition: Some(condition) }
        });
        let raised = refused.as_ref().and_then(|stale| stale.condition.clone());
        let stale = std::mem::replace(&mut entry.stale, refused);
        drop(stock);
        self.clear(stale);
        if let Some(condition) = raised {
            self.note(Event::Raised(condition));
        }
        self.note(Event::Note(format!("policy {name}: {event}, {}", super::archive::said(by))));
        self.audit.record(&audit::Entry { event, by: Some(by.clone()), ..entry_of(name, running.as_deref()) });
    }
}

fn no_policy(name: &str) -> String {
    format!("no instance has a policy {name}; `ha policy list` shows those that there are")
}

fn not_kept(name: &str, number: u64) -> String {
    format!("generation {number} of policy {name} is not kept; `ha policy list {name}` shows those that are")
}
