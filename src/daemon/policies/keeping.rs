//! What policies remember outlives the process: it is written to the state directory, at most once a second while it
//! changes, and at the end. Off every path that matters: evaluations leave a copy here and go on.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::written::{self, Moment, Pair};
use crate::{
    config::Renames,
    control::protocol::millis,
    daemon::store::{Store, boot_id},
    policy::{Clock, Judge, Kept},
    words::Instant,
};

/// It is written no more often.
const PAUSE: Duration = Duration::from_secs(1);

/// The memories of all pairs. A clone is the same.
#[derive(Clone)]
pub struct Keeping(Arc<Shared>);

struct Shared {
    store: Store,
    clock: Arc<dyn Clock>,
    desk: Mutex<Desk>,
    changed: Notify,
}

#[derive(Default)]
struct Desk {
    /// Each as it was at its moment.
    pairs: BTreeMap<Pair, (Instant, Kept)>,
    unwritten: bool,
}

impl std::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeping").field("store", &self.0.store).finish_non_exhaustive()
    }
}

impl Keeping {
    /// Takes up what the process before this one left. What cannot be read is said and begins anew.
    #[must_use]
    pub fn open(store: Store, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let pairs = left(&store, &*clock).unwrap_or_else(|error| {
            tracing::warn!(
                "what policies remembered cannot be read: {error}; latches, back-off and notes of policies begin anew"
            );
            BTreeMap::new()
        });
        let pairs = pairs.into_iter().map(|(pair, kept)| (pair, (now, kept))).collect();
        let desk = Mutex::new(Desk { pairs, unwritten: false });
        Self(Arc::new(Shared { store, clock, desk, changed: Notify::new() }))
    }

    /// A judge that goes on from what is known of this pair.
    #[must_use]
    pub fn judge(&self, instance: &str, policy: &str) -> Judge {
        let now = self.0.clock.now();
        match self.desk().pairs.get(&(instance.to_owned(), policy.to_owned())) {
            Some((at, kept)) => Judge::resumed(now, kept.clone().later(now.saturating_since(*at))),
            None => Judge::new(),
        }
    }

    /// From now on this is known of the pair.
    pub fn keep(&self, instance: &str, policy: &str, at: Instant, kept: Kept) {
        let pair = (instance.to_owned(), policy.to_owned());
        let mut desk = self.desk();
        if kept == Kept::default() && !desk.pairs.contains_key(&pair) {
            return;
        }
        desk.pairs.insert(pair, (at, kept));
        desk.unwritten = true;
        drop(desk);
        self.0.changed.notify_one();
    }

    /// Instances are called otherwise from now on.
    pub fn rename(&self, renames: &Renames) {
        let mut desk = self.desk();
        renames.rekey(&mut desk.pairs, |(instance, _)| instance);
        desk.unwritten = true;
        drop(desk);
        self.0.changed.notify_one();
    }

    /// Only these pairs exist.
    pub fn retain(&self, exists: impl Fn(&Pair) -> bool) {
        let mut desk = self.desk();
        let before = desk.pairs.len();
        desk.pairs.retain(|pair, _| exists(pair));
        desk.unwritten |= desk.pairs.len() != before;
    }

    /// Writes whenever something has changed, for as long as the runtime lives.
    pub async fn write_changes(self) {
        loop {
            self.0.changed.notified().await;
            let keeping = self.clone();
            // The disk may be slow; nothing else of the runtime waits for it.
            if tokio::task::spawn_blocking(move || keeping.write()).await.is_err() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes what has changed, now.
    pub fn write(&self) {
        let now = self.0.clock.now();
        let pairs: BTreeMap<Pair, Kept> = {
            let mut desk = self.desk();
            if !std::mem::take(&mut desk.unwritten) {
                return;
            }
            let aged = |(at, kept): &(Instant, Kept)| kept.clone().later(now.saturating_since(*at));
            desk.pairs.iter().map(|(pair, known)| (pair.clone(), aged(known))).collect()
        };
        let written = written::write(moment(&*self.0.clock), &pairs).and_then(|text| self.0.store.keep_memory(&text));
        if let Err(error) = written {
            self.desk().unwritten = true;
            tracing::warn!("what policies remember cannot be written: {error}; a restart would forget it");
        }
    }

    /// Never held while anything is written.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.0.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the process before this one left, as old as it is now.
fn left(store: &Store, clock: &dyn Clock) -> io::Result<BTreeMap<Pair, Kept>> {
    let Some(text) = store.memory()? else { return Ok(BTreeMap::new()) };
    let (at, pairs) = written::read(&text)?;
    let passed = at.until(&moment(clock));
    Ok(pairs.into_iter().map(|(pair, kept)| (pair, kept.later(passed))).collect())
}

fn moment(clock: &dyn Clock) -> Moment {
    Moment { boot: boot_id(), since_boot_ms: millis(clock.now().since_epoch()), unix_s: clock.wall().unix_s }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::{
        health::Falls,
        policy::{KeptRule, RuleEffect, WallTime},
    };

    struct Hand(Mutex<Duration>);

    impl Clock for Hand {
        fn now(&self) -> Instant {
            Instant::from_epoch(*self.0.lock().unwrap())
        }

        fn wall(&self) -> WallTime {
            WallTime { unix_s: 0, utc_offset_s: 0 }
        }
    }

    fn held(seconds: u64) -> Kept {
        let falls = Falls { held: Duration::from_secs(seconds), count: 1, ..Falls::default() };
        let rule = KeptRule { falls, effect: RuleEffect::Require, external: false, why: "status 500".into() };
        Kept { rules: BTreeMap::from([("web".into(), rule)]), ..Kept::default() }
    }

    #[test]
    fn the_next_process_goes_on_from_what_this_one_left() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let clock = Arc::new(Hand(Mutex::new(Duration::from_secs(100))));
        let first = Keeping::open(store.clone(), clock.clone());
        first.keep("VI_1", "check", clock.now(), held(60));
        *clock.0.lock().unwrap() += Duration::from_secs(10);
        first.write();
        let mode = std::fs::metadata(directory.path().join("memory.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        *clock.0.lock().unwrap() += Duration::from_secs(10);
        let second = Keeping::open(store, clock.clone());
        assert_eq!(second.judge("VI_1", "check").kept(clock.now()), held(40));
        assert_eq!(second.judge("VI_2", "check").kept(clock.now()), Kept::default());
        second.retain(|_| false);
        assert_eq!(second.judge("VI_1", "check").kept(clock.now()), Kept::default());
    }

    #[test]
    fn a_file_that_makes_no_sense_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.keep_memory(b"{\"schema\":\"ha.memory/9\"}").unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Hand(Mutex::default()));
        let keeping = Keeping::open(store, Arc::clone(&clock));
        assert_eq!(keeping.judge("VI_1", "check").kept(clock.now()), Kept::default());
    }

    #[test]
    fn what_could_not_be_written_is_written_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        // Where a file is, no directory can be made.
        std::fs::write(&state, "").unwrap();
        let store = Store::at(&state);
        let keeping = Keeping::open(store.clone(), Arc::new(Hand(Mutex::default())));
        keeping.keep("VI_1", "check", Instant::ZERO, held(60));
        keeping.write();
        std::fs::remove_file(&state).unwrap();
        assert_eq!(store.memory().unwrap(), None);
        keeping.write();
        assert!(store.memory().unwrap().unwrap().contains("status 500"));
    }

    #[test]
    fn nothing_is_written_for_policies_that_remember_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let keeping = Keeping::open(store.clone(), Arc::new(Hand(Mutex::default())));
        keeping.keep("VI_1", "check", Instant::ZERO, Kept::default());
        keeping.write();
        assert_eq!(store.memory().unwrap(), None);
    }
}
