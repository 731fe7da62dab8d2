#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::daemon::policies::DriverClock;

const GOOD: &str = "fn check() { }";
const BETTER: &str = "fn check() { let better = 1; }";
const BROKEN: &str = "fn check() { ";

struct Shop {
    base: tempfile::TempDir,
    library: Library,
    said: Arc<Mutex<Vec<String>>>,
}

/// A library of one policy, `p`, in a directory of its own.
fn shop(text: Option<&str>) -> Shop {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("policies")).unwrap();
    if let Some(text) = text {
        fs::write(base.path().join("policies/p.rhai"), text).unwrap();
    }
    open(base)
}

fn open(base: tempfile::TempDir) -> Shop {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&said);
    let say: Say = Arc::new(move |said| {
        let Said::Journal(Journal { event, .. }) = said else { return };
        log.lock().unwrap().push(match event {
            Event::Raised(condition) => format!("+{}", condition.name),
            Event::Cleared(condition) => format!("-{}", condition.name),
            Event::Note(text) => text.split(" (").next().unwrap().to_owned(),
            Event::Transition { .. } => panic!("a library has no role"),
        });
    });
    let store = Store::open(&base.path().join("state")).unwrap();
    let library = Library::new(Engine::new(), Arc::new(DriverClock::default()), store, say);
    library.stock(base.path().join("policies"), ["p".to_owned()]);
    Shop { base, library, said }
}

impl Shop {
    fn file(&self) -> PathBuf {
        self.base.path().join("policies/p.rhai")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    fn look(&self) -> protocol::Policy {
        self.library.look(false);
        self.library.status(Instant::ZERO).remove(0)
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// The daemon starts again, with what is on disk.
    fn restart(self) -> Self {
        open(self.base)
    }
}

#[test]
fn a_good_file_runs_and_so_does_its_successor() {
    let shop = shop(Some(GOOD));
    assert_eq!(shop.look().generation, Some(1));
    assert_eq!(shop.look().generation, Some(1), "nothing changed");
    shop.write(BETTER);
    assert_eq!(shop.look().generation, Some(2));
    assert_eq!(shop.said(), ["policy p: generation 1 runs", "policy p: generation 2 runs"]);
}

#[test]
fn a_broken_file_changes_nothing_and_is_said_once() {
    let shop = shop(Some(GOOD));
    shop.look();
    shop.said();
    shop.write(BROKEN);
    for _ in 0..3 {
        let policy = shop.look();
        assert_eq!(policy.generation, Some(1));
        assert!(policy.stale.unwrap().error.contains("p.rhai"));
    }
    assert_eq!(shop.said(), ["+policy_stale"]);
    shop.write(GOOD);
    assert_eq!(shop.look().stale, None);
    assert_eq!(shop.said(), ["-policy_stale"]);
}

#[test]
fn a_deleted_file_changes_nothing() {
    let shop = shop(Some(GOOD));
    shop.look();
    fs::remove_file(shop.file()).unwrap();
    let policy = shop.look();
    assert_eq!(policy.generation, Some(1));
    assert!(policy.stale.unwrap().error.ends_with("does not exist"));
}

#[test]
fn loosened_permissions_are_noticed_though_the_text_is_the_same() {
    let shop = shop(Some(GOOD));
    shop.look();
    fs::set_permissions(shop.file(), fs::Permissions::from_mode(0o666)).unwrap();
    let policy = shop.look();
    assert_eq!(policy.generation, Some(1));
    assert!(policy.stale.unwrap().error.contains("writable by others"));
    fs::set_permissions(shop.file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(shop.look().stale, None);
}

#[test]
fn a_broken_file_at_the_start_is_replaced_by_the_last_good_text() {
    let shop = shop(Some(GOOD));
    shop.look();
    shop.write(BROKEN);
    let shop = shop.restart();
    let policy = shop.look();
    assert_eq!((policy.generation, policy.last_good), (Some(1), true));
    assert!(policy.stale.is_some());
    shop.write(BETTER);
    let policy = shop.look();
    assert_eq!((policy.generation, policy.last_good, policy.stale), (Some(2), false, None));
}

#[test]
fn what_was_never_loaded_is_an_empty_shelf() {
    let shop = shop(Some(BROKEN));
    let shelf = shop.library.shelf("p").unwrap();
    assert_eq!(shop.look().generation, None);
    assert!(matches!(&*shelf.borrow(), Shelf::Empty(why) if why.contains("cannot be loaded")));
    assert_eq!(shop.said(), Vec::<String>::new(), "each instance says it for itself");
    shop.write(GOOD);
    assert_eq!(shop.look().generation, Some(1));
    assert_eq!(shop.said(), ["policy p: generation 1 runs"]);
}

#[test]
fn a_request_to_look_again_repeats_the_error() {
    let shop = shop(Some(GOOD));
    shop.look();
    shop.write(BROKEN);
    shop.look();
    let found = shop.library.look(true);
    assert!(found.changes.is_empty());
    assert!(found.errors[0].starts_with("policy p: "), "{found:?}");
    shop.write(BETTER);
    let found = shop.library.look(true);
    assert!(found.changes[0].starts_with("policy p: generation 2 runs ("), "{found:?}");
    assert_eq!(found.errors, Vec::<String>::new());
}
