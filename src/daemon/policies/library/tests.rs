//! Stories of policy files: good, broken, deleted, shared, and what an operator chooses instead.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::daemon::policies::DriverClock;

const GOOD: &str = "fn check() { }";
const BETTER: &str = "fn check() { let better = 1; }";
const BROKEN: &str = "fn check() { ";
const PROBATION: Probation = Probation { length: Duration::from_secs(60), auto_rollback: true };

struct Shop {
    base: tempfile::TempDir,
    library: Library,
    said: Arc<Mutex<Vec<String>>>,
}

/// A library of the policies `p` and `q` in a directory of its own; both use `lib/m`.
fn two(module: &str) -> Shop {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir_all(base.path().join("policies/lib")).unwrap();
    for policy in ["p", "q"] {
        let text = format!("import \"lib/m\" as m; fn check() {{ m::f(1); }} fn only_{policy}() {{}}");
        fs::write(base.path().join(format!("policies/{policy}.rhai")), text).unwrap();
    }
    fs::write(base.path().join("policies/lib/m.rhai"), module).unwrap();
    open(base, 2)
}

/// A library of one policy, `p`, in a directory of its own.
fn shop(text: Option<&str>) -> Shop {
    let base = tempfile::tempdir().unwrap();
    fs::create_dir(base.path().join("policies")).unwrap();
    if let Some(text) = text {
        fs::write(base.path().join("policies/p.rhai"), text).unwrap();
    }
    open(base, 1)
}

fn open(base: tempfile::TempDir, policies: usize) -> Shop {
    let said: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&said);
    let say: Say = Arc::new(move |said| {
        let Said::Journal(Journal { event, .. }) = said else { return };
        log.lock().unwrap().push(match event {
            Event::Raised(condition) => format!("+{}", condition.name),
            Event::Cleared(condition) => format!("-{}", condition.name),
            Event::Note(text) => text.split(" (").next().unwrap().to_owned(),
            Event::Transition { .. } | Event::Priority { .. } | Event::LowerHeard { .. } => {
                panic!("a library has no role")
            }
        });
    });
    let store = Store::open(&base.path().join("state")).unwrap();
    let library = Library::new(Engine::new(), Arc::new(DriverClock::default()), store, say, Arc::new(|| true));
    let names = ["p", "q"].map(str::to_owned);
    library.stock(base.path().join("policies"), PROBATION, names.into_iter().take(policies));
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
        self.library.look(false, None);
        self.library.status(Instant::ZERO).remove(0)
    }

    fn run_other(&self, other: &str) -> Result<String, String> {
        self.library.run_other("p", other, &By::Command { uid: 1000 }, &|| Ok(()))
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// The daemon starts again, with what is on disk.
    fn restart(self) -> Self {
        open(self.base, 1)
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
    let found = shop.library.look(true, None);
    assert!(found.changes.is_empty());
    assert!(found.errors[0].starts_with("policy p: "), "{found:?}");
    shop.write(BETTER);
    let found = shop.library.look(true, None);
    assert!(found.changes[0].starts_with("policy p: generation 2 runs ("), "{found:?}");
    assert_eq!(found.errors, Vec::<String>::new());
}

const MODULE: &str = "fn f(x) { require(\"m\", true); }";
const OTHER_MODULE: &str = "fn f(x) { require(\"m\", true, #{ fall: 5 }); }";
const OTHER_FUNCTION: &str = "fn f(x, y) { }";

impl Shop {
    fn module(&self, text: &str) {
        fs::write(self.base.path().join("policies/lib/m.rhai"), text).unwrap();
    }

    /// The running generation of each policy, and whether its file is not what runs.
    fn all(&self) -> Vec<(Option<u64>, bool)> {
        self.library.look(false, None);
        let status = self.library.status(Instant::ZERO);
        status.into_iter().map(|policy| (policy.generation, policy.stale.is_some())).collect()
    }

    fn choose(&self, choice: &Choice) -> Result<String, String> {
        self.library.choose("p", choice, &By::Command { uid: 1000 }, &|| Ok(()))
    }

    /// The events of the audit record, with the generation after each.
    fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.base.path().join("state/audit.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

#[test]
fn a_module_that_changes_reloads_everything_that_uses_it() {
    let shop = two(MODULE);
    assert_eq!(shop.all(), [(Some(1), false), (Some(1), false)]);
    shop.module(OTHER_MODULE);
    assert_eq!(shop.all(), [(Some(2), false), (Some(2), false)]);
    assert!(shop.library.files().iter().any(|file| file.ends_with("lib/m.rhai")));
    let last = shop.audit().pop().unwrap();
    assert_eq!(last["changes"][0], "~ rule m: fall unset → 5");
    assert_eq!(last["by"]["how"], "file");
}

#[test]
fn a_module_that_does_not_suit_one_of_its_users_is_loaded_by_none() {
    let shop = two(MODULE);
    shop.all();
    fs::write(shop.base.path().join("policies/q.rhai"), "import \"lib/m\" as m; fn check() { m::f(1, 2); }").unwrap();
    shop.module(OTHER_FUNCTION);
    assert_eq!(shop.all(), [(Some(1), true), (Some(1), true)], "p calls f(1), q calls f(1, 2)");
    let errors = shop.library.look(false, None).errors;
    assert!(
        errors.iter().any(|error| error.contains("policy q: a module of it has changed, and policy p")),
        "{errors:?}"
    );

    fs::write(shop.file(), "import \"lib/m\" as m; fn check() { m::f(1, 2); }").unwrap();
    assert_eq!(shop.all(), [(Some(2), false), (Some(2), false)]);
}

#[test]
fn a_module_that_is_missing_is_found_when_it_is_there() {
    let shop = two(MODULE);
    let module = shop.base.path().join("policies/lib/m.rhai");
    fs::remove_file(&module).unwrap();
    assert_eq!(shop.all(), [(None, true), (None, true)]);
    shop.module(MODULE);
    assert_eq!(shop.all(), [(Some(1), false), (Some(1), false)]);
    fs::remove_file(&module).unwrap();
    assert_eq!(shop.all(), [(Some(1), true), (Some(1), true)], "what runs keeps its module");
    fs::write(&module, "import \"lib/m\" as m; fn f(x) {}").unwrap();
    shop.all();
    let error = shop.library.status(Instant::ZERO).remove(0).stale.unwrap().error;
    assert!(error.contains("E115") && error.contains("circle"), "{error}");
}

#[test]
fn generations_are_numbered_and_kept_over_restarts() {
    let mut shop = shop(None);
    for number in 1..=12 {
        shop.write(&format!("fn check() {{ let number = {number}; }}"));
        assert_eq!(shop.look().generation, Some(number));
    }
    let kept = |shop: &Shop| -> Vec<u64> {
        shop.library.generations("p").unwrap().generations.iter().map(|kept| kept.number).collect()
    };
    assert_eq!(kept(&shop), (3..=12).collect::<Vec<u64>>());
    shop = shop.restart();
    assert_eq!(shop.look().generation, Some(12), "the same text is the same generation");
    shop.write(GOOD);
    assert_eq!(shop.look().generation, Some(13));
    let texts = shop.library.texts("p", 12).unwrap();
    assert!(texts.files.values().any(|text| text.contains("number = 12")), "{texts:?}");
    assert!(shop.library.texts("p", 3).unwrap_err().contains("is not kept"));
}

#[test]
fn what_is_rolled_back_stays_until_it_is_unpinned() {
    let mut shop = shop(Some(GOOD));
    shop.look();
    shop.write(BETTER);
    shop.look();
    assert!(shop.choose(&Choice::Rollback(Some(7))).unwrap_err().contains("generation 7 of policy p is not kept"));
    let said = shop.choose(&Choice::Rollback(None)).unwrap();
    assert!(said.contains("generation 1 runs") && said.contains("ha policy unpin p"), "{said}");
    for _ in 0..2 {
        let policy = shop.look();
        assert_eq!((policy.generation, policy.stale), (Some(1), None));
        assert_eq!(policy.pinned.unwrap().by, By::Command { uid: 1000 });
        shop.write("fn check() { let another = 3; }");
        shop = shop.restart();
    }
    let found = shop.library.look(true, Some(&By::Command { uid: 1000 }));
    let remark = "policy p: the file says something else, and generation 1 is pinned and keeps running; `ha policy unpin p` \
                  follows the file again";
    assert_eq!(found, Found { remarks: vec![remark.to_owned()], ..Found::default() });
    assert_eq!(shop.library.look(false, None), Found::default(), "whoever does not ask is not told each time");
    assert!(shop.library.texts("nope", 1).unwrap_err().starts_with("no instance has a policy nope"));
    shop.choose(&Choice::Unpin).unwrap();
    let policy = shop.look();
    assert_eq!((policy.generation, policy.pinned), (Some(3), None));
    assert!(shop.choose(&Choice::Unpin).unwrap_err().contains("is not pinned"));
    let events: Vec<String> = shop.audit().iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["loaded", "loaded", "loaded", "pinned", "loaded", "loaded", "unpinned", "loaded"]);
    assert_eq!(shop.audit()[3]["by"]["uid"], 1000);
}

#[test]
fn another_file_can_be_used_instead() {
    let shop = shop(Some(GOOD));
    shop.look();
    assert!(shop.run_other("emergency").unwrap_err().contains("does not exist"));
    let emergency = shop.base.path().join("policies/emergency.rhai");
    fs::write(&emergency, BROKEN).unwrap();
    assert!(shop.run_other("emergency").unwrap_err().contains("E100"));
    assert_eq!(shop.look().generation, Some(1));
    fs::write(&emergency, BETTER).unwrap();
    shop.run_other("emergency").unwrap();
    let policy = shop.look();
    assert_eq!((policy.generation, policy.pinned.map(|pin| pin.generation)), (Some(2), Some(2)));
}

#[test]
fn what_an_operator_chose_is_not_taken_back() {
    let mut shop = shop(Some(GOOD));
    shop.look();
    fs::write(shop.base.path().join("policies/emergency.rhai"), BETTER).unwrap();
    shop.run_other("emergency").unwrap();
    shop.library.regressed(&regression(2, "VI_1", true, "it throws"));
    let policy = shop.look();
    assert_eq!((policy.generation, policy.pinned.map(|pin| pin.generation)), (Some(2), Some(2)));
    assert!(policy.regression.unwrap().ends_with("it keeps running; `ha policy rollback p 1` goes back"));
    shop = shop.restart();
    assert_eq!(shop.look().generation, Some(2));
}

fn regression(generation: u64, instance: &str, broken: bool, why: &str) -> Regression {
    Regression { policy: "p".into(), instance: instance.into(), generation, broken, why: why.into() }
}

#[test]
fn what_does_worse_is_taken_back_and_not_tried_again_until_it_changes() {
    let mut shop = shop(Some(GOOD));
    shop.look();
    shop.write(BETTER);
    shop.look();
    shop.said();
    shop.library.regressed(&regression(2, "VI_1", false, "it says fault"));
    for _ in 0..2 {
        let policy = shop.look();
        assert_eq!(policy.generation, Some(1));
        assert!(policy.stale.unwrap().error.contains("caused this in VI_1: it says fault; generation 1 runs again"));
        shop.library.look(true, None);
        shop = shop.restart();
    }
    shop.write("fn check() { let another = 3; }");
    let policy = shop.look();
    assert_eq!((policy.generation, policy.stale), (Some(3), None));
    assert!(shop.audit().iter().any(|line| line["event"] == "rolled_back" && line["generation"] == 1));
}

#[test]
fn without_auto_rollback_it_is_said_only_unless_it_cannot_be_evaluated() {
    let shop = shop(Some(GOOD));
    let only_said = Probation { auto_rollback: false, ..PROBATION };
    shop.library.stock(shop.base.path().join("policies"), only_said, ["p".to_owned()]);
    shop.look();
    shop.write(BETTER);
    shop.look();
    shop.said();
    shop.library.regressed(&regression(2, "VI_1", false, "it says fault"));
    shop.library.regressed(&regression(2, "VI_2", false, "it says fault"));
    let policy = shop.look();
    assert_eq!(policy.generation, Some(2));
    assert!(policy.regression.unwrap().ends_with("it keeps running; `ha policy rollback p 1` goes back"));
    assert_eq!(shop.said(), ["+policy_regression"], "once");
    shop.write("fn check() { let another = 3; }");
    shop.look();
    assert_eq!(shop.said(), ["-policy_regression", "policy p: generation 3 runs"]);
    shop.library.regressed(&regression(3, "VI_1", true, "it throws"));
    assert_eq!(shop.look().generation, Some(1), "2 had not outlived its own probation");
}

#[test]
fn what_was_taken_back_is_nothing_to_roll_back_to() {
    let shop = shop(Some(GOOD));
    shop.look();
    shop.write(BETTER);
    shop.look();
    shop.library.regressed(&regression(2, "VI_1", true, "it throws"));
    shop.write("fn check() { let another = 3; }");
    assert_eq!(shop.look().generation, Some(3));
    let said = shop.choose(&Choice::Rollback(None)).unwrap();
    assert!(said.contains("generation 1 runs"), "{said}");
}

#[test]
fn what_was_taken_back_does_not_come_back_with_an_unpin() {
    let mut shop = shop(Some(GOOD));
    shop.look();
    shop.write(BETTER);
    shop.look();
    shop.library.regressed(&regression(2, "VI_1", true, "it throws"));
    shop.choose(&Choice::Pin(None)).unwrap();
    shop.said();
    shop.choose(&Choice::Unpin).unwrap();
    assert_eq!(shop.said(), ["+policy_stale", "policy p: unpinned, by command of uid 1000"]);
    for _ in 0..2 {
        let policy = shop.look();
        assert_eq!((policy.generation, policy.stale.is_some()), (Some(1), true));
        shop = shop.restart();
    }
    // An operator who chooses it by its number means it.
    shop.choose(&Choice::Pin(Some(2))).unwrap();
    shop.choose(&Choice::Unpin).unwrap();
    assert_eq!(shop.look().generation, Some(2));
}

#[test]
fn a_change_waits_for_the_node_to_settle_but_not_for_ever() {
    let shop = shop(Some(GOOD));
    let Shop { base, .. } = shop;
    let store = Store::open(&base.path().join("state")).unwrap();
    let asked: Arc<Mutex<u32>> = Arc::default();
    let count = Arc::clone(&asked);
    let settled: Settled = Arc::new(move || {
        let mut asked = count.lock().unwrap();
        *asked += 1;
        *asked > 3
    });
    let library = Library::new(Engine::new(), Arc::new(DriverClock::default()), store, Arc::new(|_| ()), settled);
    library.stock(base.path().join("policies"), PROBATION, ["p".to_owned()]);
    library.look(false, None);
    assert_eq!((*asked.lock().unwrap(), library.status(Instant::ZERO)[0].generation), (4, Some(1)));
}
