//! Looking again the moment a watched file may have changed.
//!
//! Knows nothing of what the files mean: it calls `look`, which reads and compares. A watch on a file dies with the first
//! rename over it, so directories are watched: those that hold a link on the way to the file, the file's own, and the one
//! above it. Reading a file is an event too, hence only events that can mean "the content or the way to it is another" count.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind},
};

use crate::{policy::STACK, probe::trail};

/// A writer is taken to be finished after this much silence.
const QUIET: Duration = Duration::from_millis(30);
/// A writer that is never silent is read anyway after this long.
const QUIET_MAX: Duration = Duration::from_millis(300);
/// Network file systems send no events.
const RECHECK: Duration = Duration::from_secs(30);
/// Without a watch of the kernel's (its limits are shared by everybody).
const RECHECK_BLIND: Duration = Duration::from_secs(2);

/// A thread that looks. Ends when this is dropped, after the look it may be at.
#[derive(Debug)]
pub struct Watch {
    wake: SyncSender<()>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    paths: Mutex<Vec<PathBuf>>,
    ended: AtomicBool,
}

impl Watch {
    /// Looks once at once, then after each change of one of the absolute `paths`, or of the way to it. `look` returns what
    /// else is to be watched from then on.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(paths: Vec<PathBuf>, look: impl FnMut() -> Vec<PathBuf> + Send + 'static) -> io::Result<Self> {
        Self::at_least_every(RECHECK, paths, look)
    }

    /// The same, and looks again after `recheck` where nothing has happened: for what must be known to be as it was.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn at_least_every(
        recheck: Duration,
        paths: Vec<PathBuf>,
        mut look: impl FnMut() -> Vec<PathBuf> + Send + 'static,
    ) -> io::Result<Self> {
        // One slot: a second event before the first is seen adds nothing.
        let (wake, woken) = sync_channel(1);
        let shared = Arc::new(Shared { paths: Mutex::new(paths), ended: AtomicBool::new(false) });
        let watch = Self { wake: wake.clone(), shared: Arc::clone(&shared) };
        thread::Builder::new().name("ha-watch".to_owned()).stack_size(STACK).spawn(move || {
            let mut watches = Watches::new(wake);
            let mut also = Vec::new();
            while !shared.ended.load(Ordering::Acquire) {
                // The watches first: what changes after the look is then an event.
                watches.refresh(&[shared.paths(), also.clone()].concat());
                let found = look();
                if found != also {
                    also = found;
                    continue;
                }
                wait_for_change(&woken, recheck.min(watches.recheck()));
            }
        })?;
        Ok(watch)
    }

    /// Watches these instead, and looks at them soon.
    pub fn watch(&self, paths: Vec<PathBuf>) {
        *self.shared.paths.lock().unwrap_or_else(PoisonError::into_inner) = paths;
        self.wake_up();
    }

    fn wake_up(&self) {
        // Full: it is about to look anyway.
        let _ = self.wake.try_send(());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        self.wake_up();
    }
}

impl Shared {
    fn paths(&self) -> Vec<PathBuf> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The kernel's watches, by directory, with the identity each had when it was made: a directory that is replaced keeps its
/// path and not its watch.
struct Watches {
    watcher: Option<RecommendedWatcher>,
    held: BTreeMap<PathBuf, (u64, u64)>,
}

impl Watches {
    fn new(wake: SyncSender<()>) -> Self {
        let on_event = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| event.need_rescan() || may_change(event.kind)) {
                let _ = wake.try_send(());
            }
        };
        let watcher = RecommendedWatcher::new(on_event, notify::Config::default());
        if let Err(error) = &watcher {
            tracing::warn!("files are looked at every {RECHECK_BLIND:?}, because they cannot be watched: {error}");
        }
        Self { watcher: watcher.ok(), held: BTreeMap::new() }
    }

    fn refresh(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = paths.iter().flat_map(|path| directories(path)).collect();
        self.held.retain(|directory, identity| {
            let keep = wanted.contains(directory) && identity_of(directory) == Some(*identity);
            if !keep {
                // Gone with its directory, mostly.
                let _ = watcher.unwatch(directory);
            }
            keep
        });
        for directory in wanted {
            let Some(identity) = identity_of(&directory) else { continue };
            if !self.held.contains_key(&directory) && watcher.watch(&directory, RecursiveMode::NonRecursive).is_ok() {
                self.held.insert(directory, identity);
            }
        }
    }

    fn recheck(&self) -> Duration {
        if self.watcher.is_some() && !self.held.is_empty() { RECHECK } else { RECHECK_BLIND }
    }
}

/// The directories whose entries decide what `path` is, each by its real path: two watches on one directory are one watch.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let steps = trail(path);
    let links = steps.iter().filter(|step| step.is_symlink());
    let ends = steps.last().into_iter().map(PathBuf::as_path).chain([path]);
    let near = ends.chain(path.parent()).filter_map(Path::parent);
    links.filter_map(|link| link.parent()).chain(near).filter_map(nearest).collect()
}

/// The directory itself, or the nearest one above it that exists.
fn nearest(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find_map(|directory| directory.canonicalize().ok())
}

fn identity_of(directory: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(directory).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Whether another look is due. Opening and reading must not count: looking does both.
fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        // Metadata: an owner or a mode that makes the file unfit, or fit again.
        EventKind::Modify(modify) => matches!(modify, ModifyKind::Name(_) | ModifyKind::Metadata(_)),
        EventKind::Create(_) | EventKind::Remove(_) => true,
        EventKind::Any | EventKind::Other => false,
    }
}

fn wait_for_change(woken: &Receiver<()>, recheck: Duration) {
    if woken.recv_timeout(recheck).is_err() {
        return;
    }
    let until = Instant::now() + QUIET_MAX;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match woken.recv_timeout(QUIET.min(left)) {
            Ok(()) if !left.is_zero() => {}
            Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, sync::mpsc};

    use super::*;

    /// A watched file and what is seen of it: each new content once.
    struct Seen {
        base: tempfile::TempDir,
        contents: mpsc::Receiver<Option<String>>,
        watch: Watch,
    }

    impl Seen {
        fn of(prepare: impl FnOnce(&Path)) -> Self {
            let base = tempfile::tempdir().unwrap();
            fs::create_dir(base.path().join("w")).unwrap();
            prepare(&base.path().join("w"));
            let path = base.path().join("w/p");
            let (tell, contents) = mpsc::channel();
            let mut last = None;
            let file = path.clone();
            let watch = Watch::start(vec![path], move || {
                let content = fs::read_to_string(&file).ok();
                if last.as_ref() != Some(&content) {
                    last = Some(content.clone());
                    let _ = tell.send(content);
                }
                Vec::new()
            })
            .unwrap();
            let seen = Self { base, contents, watch };
            seen.next();
            seen
        }

        fn dir(&self) -> PathBuf {
            self.base.path().join("w")
        }

        fn next(&self) -> Option<String> {
            self.contents.recv_timeout(Duration::from_secs(5)).expect("no change was seen")
        }

        fn is(&self, expected: &str) {
            assert_eq!(self.next().as_deref(), Some(expected));
        }
    }

    fn plain() -> Seen {
        Seen::of(|dir| fs::write(dir.join("p"), "a").unwrap())
    }

    #[test]
    fn written_in_place() {
        let seen = plain();
        let begun = Instant::now();
        fs::write(seen.dir().join("p"), "b").unwrap();
        seen.is("b");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }

    #[test]
    fn a_slow_writer_is_read_when_it_is_done() {
        let seen = plain();
        let mut file = fs::File::create(seen.dir().join("p")).unwrap();
        for part in ["b", "c", "d"] {
            io::Write::write_all(&mut file, part.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(60));
        }
        drop(file);
        seen.is("bcd");
    }

    #[test]
    fn renamed_over_again_and_again() {
        let seen = plain();
        for content in ["b", "c", "d"] {
            fs::write(seen.dir().join("p.new"), content).unwrap();
            fs::rename(seen.dir().join("p.new"), seen.dir().join("p")).unwrap();
            seen.is(content);
        }
    }

    #[test]
    fn a_link_is_swapped() {
        let seen = Seen::of(|dir| {
            fs::write(dir.join("v1"), "a").unwrap();
            fs::write(dir.join("v2"), "b").unwrap();
            symlink("v1", dir.join("p")).unwrap();
        });
        symlink("v2", seen.dir().join("p.new")).unwrap();
        fs::rename(seen.dir().join("p.new"), seen.dir().join("p")).unwrap();
        seen.is("b");
    }

    #[test]
    fn written_through_a_link_into_another_directory() {
        let seen = Seen::of(|dir| {
            fs::create_dir(dir.join("sub")).unwrap();
            fs::write(dir.join("sub/x"), "a").unwrap();
            symlink("sub/x", dir.join("p")).unwrap();
        });
        fs::write(seen.dir().join("sub/x"), "b").unwrap();
        seen.is("b");
    }

    #[test]
    fn a_kubernetes_volume_is_updated() {
        let seen = Seen::of(|dir| {
            fs::create_dir(dir.join("..t1")).unwrap();
            fs::write(dir.join("..t1/p"), "a").unwrap();
            symlink("..t1", dir.join("..data")).unwrap();
            symlink("..data/p", dir.join("p")).unwrap();
        });
        for (old, new, content) in [("..t1", "..t2", "b"), ("..t2", "..t3", "c")] {
            fs::create_dir(seen.dir().join(new)).unwrap();
            fs::write(seen.dir().join(new).join("p"), content).unwrap();
            symlink(new, seen.dir().join("..data_tmp")).unwrap();
            fs::rename(seen.dir().join("..data_tmp"), seen.dir().join("..data")).unwrap();
            fs::remove_dir_all(seen.dir().join(old)).unwrap();
            seen.is(content);
        }
    }

    #[test]
    fn deleted_and_made_again() {
        let seen = plain();
        fs::remove_file(seen.dir().join("p")).unwrap();
        assert_eq!(seen.next(), None);
        fs::write(seen.dir().join("p"), "b").unwrap();
        seen.is("b");
    }

    #[test]
    fn the_directory_is_replaced_and_its_successor_watched() {
        let seen = plain();
        let base = seen.base.path();
        fs::create_dir(base.join("w2")).unwrap();
        fs::write(base.join("w2/p"), "b").unwrap();
        fs::rename(base.join("w"), base.join("w.old")).unwrap();
        fs::rename(base.join("w2"), base.join("w")).unwrap();
        while seen.next().as_deref() != Some("b") {}
        fs::write(seen.dir().join("p"), "c").unwrap();
        seen.is("c");
    }

    #[test]
    fn a_mode_that_changes_is_a_reason_to_look() {
        let (tell, looks) = mpsc::channel();
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("p");
        fs::write(&path, "a").unwrap();
        let _watch = Watch::start(vec![path.clone()], move || {
            let _ = tell.send(());
            Vec::new()
        })
        .unwrap();
        looks.recv_timeout(Duration::from_secs(5)).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
        looks.recv_timeout(Duration::from_secs(5)).unwrap();
    }

    #[test]
    fn other_files_are_watched_from_now_on() {
        let seen = plain();
        fs::write(seen.dir().join("p"), "b").unwrap();
        seen.is("b");
        let elsewhere = seen.base.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        seen.watch.watch(vec![elsewhere.join("q")]);
        thread::sleep(Duration::from_millis(200));
        fs::write(seen.dir().join("p"), "c").unwrap();
        // Nobody watches it any more; it is found by the next look, which the new directory causes.
        assert!(seen.contents.recv_timeout(Duration::from_millis(300)).is_err());
        fs::write(elsewhere.join("q"), "").unwrap();
        seen.is("c");
    }

    #[test]
    fn looking_is_no_reason_to_look() {
        let (tell, looks) = mpsc::channel();
        let base = tempfile::tempdir().unwrap();
        // The directory above is watched too, and what is above that belongs to everybody.
        let directory = base.path().join("policies");
        fs::create_dir(&directory).unwrap();
        let path = directory.join("p");
        fs::write(&path, "a").unwrap();
        let file = path.clone();
        let _watch = Watch::start(vec![path.clone()], move || {
            let _ = fs::read(&file);
            let _ = tell.send(());
            Vec::new()
        })
        .unwrap();
        thread::sleep(Duration::from_millis(100));
        fs::write(&path, "b").unwrap();
        thread::sleep(Duration::from_millis(700));
        assert!(looks.try_iter().count() > 1, "it looked at the start, and at what was written");
        // Whoever looks because somebody looked never comes to rest.
        thread::sleep(Duration::from_millis(500));
        assert_eq!(looks.try_iter().count(), 0);
    }
}
