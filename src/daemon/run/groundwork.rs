//! What a reload needs before anything is held by a new configuration: the locks of its virtual routers, and the record of what may be
//! held. Both lie in the state directory, whose disk may be slow: the daemon goes on meanwhile, by the old configuration.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::oneshot, task::JoinHandle};

use super::scribe::{Scribe, Unwritten};
use crate::{
    config::Config,
    control::{Reload, protocol::By},
    daemon::{
        boot::{self, Booted},
        leftovers,
        locks::{self, Locks},
        networks::Newcomers,
        store::{Record, Store},
    },
};

/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A reload, and whether it may go on.
pub(super) struct Groundwork {
    pub(super) by: Option<By>,
    pub(super) booted: Booted,
    pub(super) newcomers: Newcomers,
    pub(super) answer: Box<dyn FnOnce(Reload) + Send>,
    pub(super) laid: Result<(), String>,
}

/// Who lays it, and where.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) scribe: Scribe,
    pub(super) store: Store,
    locks: Arc<Mutex<Locks>>,
    patience: Duration,
}

/// The groundwork that is being laid, once it is; for ever if there is none.
pub(super) async fn laid(laying: &mut Option<JoinHandle<Groundwork>>) -> Option<Groundwork> {
    let Some(task) = laying else { return std::future::pending().await };
    let done = task.await;
    *laying = None;
    done.inspect_err(|failed| tracing::error!("a fault of ha, before a reload: {failed}")).ok()
}

impl Site {
    /// Must be called inside the runtime.
    pub(super) fn new(store: Store, locks: Locks) -> Self {
        Self { scribe: Scribe::start(), store, locks: Arc::new(Mutex::new(locks)), patience: PATIENCE }
    }

    /// Lays it for a new configuration. What is not laid in time leaves nothing behind.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn lay(&self, old: Arc<Config>, new: Arc<Config>) -> Result<(), String> {
        let lay = {
            let (site, old, new) = (self.clone(), Arc::clone(&old), Arc::clone(&new));
            move || site.lay_now(&old, &new)
        };
        let undo = {
            let (site, old) = (self.clone(), Arc::clone(&old));
            move |done: Result<Option<Vec<Record>>, String>| site.undo(&old, done)
        };
        match self.scribe.ask(self.patience, "what a new configuration may hold", lay, undo).await {
            Ok(done) => done.map(drop),
            Err(late) => self.without(&old, new, &late),
        }
    }

    /// Keeps a text for a boot with a broken file, when there is time for it.
    pub(super) fn keep(&self, text: String) -> oneshot::Receiver<()> {
        let store = self.store.clone();
        self.scribe.leave("the configuration, for a boot with a broken file", move || {
            if let Err(error) = boot::keep(&store, &text) {
                tracing::warn!("the configuration cannot be kept for a boot with a broken file: {error}");
            }
        })
    }

    /// From now on only these are locked.
    pub(super) fn settle(&self, config: Arc<Config>) {
        let locks = Arc::clone(&self.locks);
        drop(self.scribe.leave("which virtual routers are locked", move || lock(&locks).keep_only(&config)));
    }

    /// Returns what was recorded before, if it is something else now.
    fn lay_now(&self, old: &Config, new: &Config) -> Result<Option<Vec<Record>>, String> {
        let mut locks = lock(&self.locks);
        locks.add(new)?;
        leftovers::record(&self.store, new).inspect_err(|_| locks.keep_only(old))
    }

    fn undo(&self, old: &Config, done: Result<Option<Vec<Record>>, String>) {
        let Ok(before) = done else { return };
        lock(&self.locks).keep_only(old);
        if let Some(before) = before
            && let Err(error) = self.store.record_held(&before)
        {
            tracing::warn!("{}", leftovers::unrecorded(&error));
        }
    }

    /// It came too late. What needs neither a lock nor a record goes on all the same, and is recorded when that can be done.
    fn without(&self, old: &Config, new: Arc<Config>, late: &Unwritten) -> Result<(), String> {
        if locks::adds(old, &new) {
            return Err(format!("a virtual router that is new cannot be locked in the state directory: {late}"));
        }
        leftovers::go_on_without(&new, late)?;
        let store = self.store.clone();
        drop(self.scribe.leave("what this node may hold", move || {
            if let Err(why) = leftovers::record(&store, &new) {
                tracing::warn!("{why}");
            }
        }));
        Ok(())
    }
}

fn lock(locks: &Mutex<Locks>) -> MutexGuard<'_, Locks> {
    locks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::config::{Lease, fixture};

    const SHORT: Duration = Duration::from_millis(20);

    fn config(interface: &str) -> Config {
        let (mut config, _) = fixture::pair();
        config.instances[0].interface = interface.parse().unwrap();
        config
    }

    /// A site, and what keeps its disk from answering until it is dropped.
    fn site(directory: &std::path::Path, patience: Duration, config: &Config) -> (Site, Sender<()>) {
        let store = Store::open(directory).unwrap();
        leftovers::record(&store, config).unwrap();
        let site = Site { patience, ..Site::new(store, Locks::default()) };
        let (release, held) = channel::<()>();
        drop(site.scribe.leave("what hangs", move || {
            let _ = held.recv();
        }));
        (site, release)
    }

    #[tokio::test]
    async fn a_disk_that_does_not_answer_stops_only_what_needs_a_lock_or_a_record() {
        let directory = tempfile::tempdir().unwrap();
        let old = Arc::new(config("ha-gw0"));
        let (site, release) = site(directory.path(), SHORT, &old);
        let mut same = config("ha-gw0");
        same.instances[0].addresses = vec!["192.168.0.61/24".parse().unwrap()];
        let mut lasting = same.clone();
        lasting.instances[0].lease = Lease::Off;
        let lay = |new: &Config| {
            let (site, old, new) = (site.clone(), Arc::clone(&old), Arc::new(new.clone()));
            async move { site.lay(old, new).await }
        };
        let why = lay(&lasting).await.unwrap_err();
        assert!(why.contains("cannot be recorded") && why.contains("without a lifetime"), "{why}");
        let why = lay(&config("ha-gw1")).await.unwrap_err();
        assert!(why.starts_with("a virtual router that is new cannot be locked"), "{why}");
        assert_eq!(lay(&same).await, Ok(()), "addresses with a lease");
        drop(release);
        assert_eq!(site.scribe.finish(Duration::from_secs(60)).await, Ok(()));
        assert_eq!(
            site.store.held().unwrap(),
            Record::of(&same),
            "what was refused left nothing, what was taken is there"
        );
        assert_eq!(lock(&site.locks).number(), 0);
    }

    #[tokio::test]
    async fn what_was_laid_too_late_is_taken_back() {
        let directory = tempfile::tempdir().unwrap();
        let old = config("ha-gw2");
        let (site, release) = site(directory.path(), SHORT, &old);
        drop(release);
        lock(&site.locks).add(&Config { control: at(directory.path()), ..old.clone() }).unwrap();
        let new = Config { control: at(directory.path()), ..config("ha-gw3") };
        let done = site.lay_now(&old, &new);
        assert_eq!((site.store.held().unwrap(), lock(&site.locks).number()), (Record::of(&new), 2));
        site.undo(&old, done);
        assert_eq!((site.store.held().unwrap(), lock(&site.locks).number()), (Record::of(&old), 1));
    }

    fn at(directory: &std::path::Path) -> crate::config::Control {
        crate::config::Control { state_dir: directory.to_owned(), ..fixture::pair().0.control }
    }
}
