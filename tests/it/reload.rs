//! Policies that change while they run: every way of saving a file, with the real watcher, and what an evaluation says then.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant as Real},
};

use ha::{
    config,
    control::protocol,
    daemon::{
        policies::{DriverClock, Keeping, Policies, Said, Surroundings},
        store::Store,
    },
    node::{Event, Node, NodeStatus},
    policy::{
        Report, Verdict,
        probe::{Pending, ProbeRequest, Prober},
    },
    words::Instant,
};
use tokio::{runtime::Runtime, sync::watch};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(10);

/// No probe is made here.
struct Nothing;

impl Prober for Nothing {
    fn start(&self, _: &ProbeRequest) -> Pending {
        mpsc::channel().1
    }
}

/// The policies of a daemon at work, without the daemon: one instance, policy `p`.
struct Site {
    runtime: Runtime,
    policies: Policies,
    reports: Arc<Mutex<Vec<Report>>>,
    raised: Arc<Mutex<Vec<&'static str>>>,
    _status: watch::Sender<Arc<NodeStatus>>,
    base: tempfile::TempDir,
}

impl Site {
    /// `prepare` fills the policy directory; `policy` is the `[policy]` table.
    fn open(policy: &str, prepare: impl FnOnce(&Path)) -> Self {
        let base = tempfile::tempdir().unwrap();
        let directory = base.path().join("policies");
        fs::create_dir(&directory).unwrap();
        prepare(&directory);
        let text = format!(
            "node = \"K1\"\n[policy]\n{policy}\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\npriority = 100\n\
             addresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\npolicies = [\"p\"]\n"
        );
        let config = config::parse(&text, &base.path().join("ha.toml"), &config::Facts::default()).unwrap().config;
        let mut node = Node::new(Instant::ZERO, &config).status();
        node.instances[0].source = Some("192.168.0.20".parse().unwrap());
        let status = watch::Sender::new(Arc::new(node));
        let reports: Arc<Mutex<Vec<Report>>> = Arc::default();
        let raised: Arc<Mutex<Vec<&'static str>>> = Arc::default();
        let (log, conditions) = (Arc::clone(&reports), Arc::clone(&raised));
        let store = Store::open(&base.path().join("state")).unwrap();
        let keeping = Keeping::open(store.clone(), Arc::new(DriverClock::default()));
        let surroundings = Surroundings {
            clock: Arc::new(DriverClock::default()),
            prober: Arc::new(Nothing),
            store,
            keeping,
            status: status.subscribe(),
            say: Arc::new(move |said| match said {
                Said::Judged { report, .. } => {
                    let mut log = log.lock().unwrap();
                    log.push(report);
                    let surplus = log.len().saturating_sub(100);
                    log.drain(..surplus);
                }
                Said::Journal(entry) => match entry.event {
                    Event::Raised(condition) => conditions.lock().unwrap().push(condition.name),
                    Event::Cleared(_)
                    | Event::Note(_)
                    | Event::Transition { .. }
                    | Event::Priority { .. }
                    | Event::LowerHeard { .. } => {}
                },
                Said::NeverLoaded { .. } | Said::Heal { .. } => {}
            }),
        };
        let runtime = Runtime::new().unwrap();
        let policies = {
            let _inside = runtime.enter();
            Policies::start(&config, surroundings).unwrap()
        };
        Self { runtime, policies, reports, raised, _status: status, base }
    }

    /// With one plain file, which runs.
    fn plain() -> Self {
        let site = Self::open("", |directory| fs::write(directory.join("p.rhai"), said("a")).unwrap());
        site.says("a");
        site
    }

    fn directory(&self) -> PathBuf {
        self.base.path().join("policies")
    }

    fn file(&self) -> PathBuf {
        self.directory().join("p.rhai")
    }

    fn policy(&self) -> protocol::Policy {
        self.policies.status(Instant::ZERO).remove(0)
    }

    /// Waits until the last evaluation says this.
    fn says(&self, word: &str) {
        let is_so = |report: &Report| matches!(&report.verdict, Verdict::Hold { why } if why == word);
        wait(&format!("the policy says {word}"), || self.reports.lock().unwrap().last().is_some_and(is_so));
    }

    fn is_stale(&self, because: &str) {
        let is_so = |stale: protocol::Stale| stale.error.contains(because);
        wait(&format!("the file is refused: {because}"), || self.policy().stale.is_some_and(is_so));
    }

    fn is_fresh(&self) {
        wait("the file is what runs", || self.policy().stale.is_none());
    }

    fn close(self) {
        let Self { runtime, policies, .. } = self;
        drop(policies);
        runtime.shutdown_background();
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Real::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A policy that says a word, so that a test knows which one runs.
fn said(word: &str) -> String {
    format!("const INTERVAL = \"100ms\"; fn check() {{ hold(\"{word}\") }}")
}

#[test]
fn saved_in_place_by_rename_and_by_unlink_and_create() {
    let site = Site::plain();
    fs::write(site.file(), said("in place")).unwrap();
    site.says("in place");
    // An editor: a swap file beside it, a backup, a new file moved over the old one.
    fs::write(site.directory().join(".p.rhai.swp"), "b0VIM").unwrap();
    fs::rename(site.file(), site.directory().join("p.rhai~")).unwrap();
    fs::write(site.directory().join("4913"), said("by rename")).unwrap();
    fs::rename(site.directory().join("4913"), site.file()).unwrap();
    fs::remove_file(site.directory().join(".p.rhai.swp")).unwrap();
    site.says("by rename");
    // A checkout: the file goes, and comes back as another one.
    fs::remove_file(site.file()).unwrap();
    fs::write(site.file(), said("by checkout")).unwrap();
    site.says("by checkout");
    assert_eq!(site.policy().generation, Some(4));
    assert_eq!(site.policy().stale, None);
    site.close();
}

#[test]
fn a_link_a_volume_and_a_directory_are_swapped() {
    let site = Site::open("", |directory| {
        fs::create_dir(directory.join("..t1")).unwrap();
        fs::write(directory.join("..t1/p.rhai"), said("t1")).unwrap();
        symlink("..t1", directory.join("..data")).unwrap();
        symlink("..data/p.rhai", directory.join("p.rhai")).unwrap();
    });
    site.says("t1");
    for (old, new) in [("..t1", "..t2"), ("..t2", "..t3")] {
        fs::create_dir(site.directory().join(new)).unwrap();
        fs::write(site.directory().join(new).join("p.rhai"), said(&new[2..])).unwrap();
        symlink(new, site.directory().join("..data_tmp")).unwrap();
        fs::rename(site.directory().join("..data_tmp"), site.directory().join("..data")).unwrap();
        fs::remove_dir_all(site.directory().join(old)).unwrap();
        site.says(&new[2..]);
    }
    fs::write(site.directory().join("v2"), said("v2")).unwrap();
    symlink("v2", site.directory().join("new")).unwrap();
    fs::rename(site.directory().join("new"), site.file()).unwrap();
    site.says("v2");
    let base = site.base.path();
    fs::create_dir(base.join("other")).unwrap();
    fs::write(base.join("other/p.rhai"), said("other")).unwrap();
    fs::rename(site.directory(), base.join("old")).unwrap();
    fs::rename(base.join("other"), site.directory()).unwrap();
    site.says("other");
    fs::write(site.file(), said("after")).unwrap();
    site.says("after");
    site.close();
}

#[test]
fn a_file_appears_disappears_and_is_what_it_was() {
    let site = Site::open("", |_| {});
    site.is_stale("does not exist");
    assert_eq!(site.policy().generation, None);
    fs::write(site.file(), said("first")).unwrap();
    site.says("first");
    fs::remove_file(site.file()).unwrap();
    site.is_stale("does not exist");
    site.says("first");
    fs::write(site.file(), said("first")).unwrap();
    site.is_fresh();
    assert_eq!(site.policy().generation, Some(1), "the same text is no change");
    site.close();
}

#[test]
fn permissions_count_and_times_do_not() {
    let site = Site::plain();
    fs::set_permissions(site.file(), fs::Permissions::from_mode(0o666)).unwrap();
    site.is_stale("writable by others");
    fs::set_permissions(site.file(), fs::Permissions::from_mode(0o600)).unwrap();
    site.is_fresh();
    assert_eq!(site.policy().generation, Some(1));
    // Written by a machine whose clock is decades behind, or ahead.
    for (seconds, word) in [(86_400, "past"), (4_000_000_000, "future"), (86_400, "past again")] {
        let aside = site.base.path().join("aside");
        fs::write(&aside, said(word)).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(rustix::fs::CWD, &aside, &times, rustix::fs::AtFlags::empty()).unwrap();
        fs::rename(&aside, site.file()).unwrap();
        site.says(word);
    }
    site.close();
}

#[test]
fn what_is_broken_or_leads_elsewhere_changes_nothing() {
    let site = Site::plain();
    for (text, because) in [
        ("fn check() { ", "E100"),
        ("fn check() { requier(1) }", "did you mean `require`"),
        ("fn check() {} fn test_x() { assert(false, \"no\"); }", "E111"),
        ("import \"lib/gone\" as g; fn check() {}", "E115"),
    ] {
        fs::write(site.file(), text).unwrap();
        site.is_stale(because);
        site.says("a");
    }
    fs::remove_file(site.file()).unwrap();
    fs::write(site.base.path().join("outside"), said("outside")).unwrap();
    symlink("../outside", site.file()).unwrap();
    site.is_stale("leads out of the policy directory");
    site.says("a");
    assert_eq!(site.policy().generation, Some(1));
    site.close();
}

#[test]
fn a_module_is_watched_from_the_moment_it_is_imported() {
    let site = Site::plain();
    let module = |word: &str| format!("fn word() {{ \"{word}\" }}");
    fs::create_dir_all(site.directory().join("lib/deep")).unwrap();
    fs::write(site.directory().join("lib/deep/words.rhai"), module("one")).unwrap();
    let text = "import \"lib/deep/words\" as words; const INTERVAL = \"100ms\"; fn check() { hold(words::word()) }";
    fs::write(site.file(), text).unwrap();
    site.says("one");
    for word in ["two", "three"] {
        fs::write(site.directory().join("lib/deep/words.rhai"), module(word)).unwrap();
        site.says(word);
    }
    fs::write(site.directory().join("lib/deep/words.rhai"), "import \"lib/deep/words\" as w; fn word() {}").unwrap();
    site.is_stale("in a circle");
    site.says("three");
    site.close();
}

#[test]
fn r21_a_policy_that_throws_is_taken_back_within_its_probation() {
    let site = Site::plain();
    fs::write(site.file(), "const INTERVAL = \"100ms\"; fn check() { let nothing = 0; hold(`${1 / nothing}`) }")
        .unwrap();
    site.is_stale("runs again until the file changes");
    site.says("a");
    assert_eq!(site.policy().generation, Some(1));
    wait("it is said", || *site.raised.lock().unwrap() == ["policy_regression"]);
    fs::write(site.file(), said("mended")).unwrap();
    site.says("mended");
    site.is_fresh();
    site.close();
}

const HEALTHY: &str = "const INTERVAL = \"100ms\"; fn check() { healthy() }";
const FAULT: &str = "const INTERVAL = \"100ms\"; fn check() { fault(\"so it is\") }";

fn verdict(site: &Site, generation: u64, is_so: impl Fn(&Verdict) -> bool) {
    wait(&format!("generation {generation} has its verdict"), || {
        let reports = site.reports.lock().unwrap();
        reports.last().is_some_and(|report| report.generation == generation && is_so(&report.verdict))
    });
}

#[test]
fn a_change_that_gives_the_address_up_is_taken_back_where_that_is_wanted() {
    let site = Site::open("auto_rollback = true", |directory| fs::write(directory.join("p.rhai"), HEALTHY).unwrap());
    verdict(&site, 1, |verdict| matches!(verdict, Verdict::Healthy { .. }));
    fs::write(site.file(), FAULT).unwrap();
    site.is_stale("it says fault (so it is), where generation 1 says healthy; generation 1 runs again");
    verdict(&site, 1, |verdict| matches!(verdict, Verdict::Healthy { .. }));
    let audit = fs::read_to_string(site.base.path().join("state/audit.jsonl")).unwrap();
    assert!(audit.contains("\"verdict_before\":\"healthy\",\"verdict_after\":\"fault: so it is\""), "{audit}");
    site.close();
}

#[test]
fn otherwise_it_is_said_and_without_probation_it_is_not() {
    for (policy, conditions) in [("", vec!["policy_regression"]), ("probation = \"0s\"", vec![])] {
        let site = Site::open(policy, |directory| fs::write(directory.join("p.rhai"), HEALTHY).unwrap());
        verdict(&site, 1, |verdict| matches!(verdict, Verdict::Healthy { .. }));
        // Whole at once: half a file would be said to be broken.
        let aside = site.base.path().join("aside");
        fs::write(&aside, FAULT).unwrap();
        fs::rename(aside, site.file()).unwrap();
        verdict(&site, 2, |verdict| matches!(verdict, Verdict::Fault { .. }));
        if !conditions.is_empty() {
            wait("it is said", || *site.raised.lock().unwrap() == conditions);
        }
        thread::sleep(Duration::from_millis(300));
        assert_eq!(*site.raised.lock().unwrap(), conditions);
        verdict(&site, 2, |verdict| matches!(verdict, Verdict::Fault { .. }));
        site.close();
    }
}

/// Open descriptors and resident memory in KiB of this process.
fn belongings() -> (usize, u64) {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().count();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    (descriptors, resident.split_whitespace().next().unwrap().parse().unwrap())
}

/// Other tests run in this process at the same time, so it is run in one of its own. `HA_RELOADS` is how often, beyond the
/// first hundred.
#[test]
fn hundreds_of_reloads_leave_nothing_behind() {
    const ALONE: &str = "HA_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "reload::hundreds_of_reloads_leave_nothing_behind", "--nocapture"];
        let output = std::process::Command::new(program).args(arguments).env(ALONE, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let site = Site::open("", |directory| fs::write(directory.join("p.rhai"), said("0")).unwrap());
    site.says("0");
    let library = site.policies.library();
    let reload = |number: u32| {
        let text = format!(
            "const INTERVAL = \"50ms\"; fn check() {{ let n = {number}; hold(\"{number}\") }} // {}",
            "x".repeat(2000)
        );
        let aside = site.directory().join("aside");
        fs::write(&aside, text).unwrap();
        fs::rename(&aside, site.file()).unwrap();
        library.look(false, None);
    };
    let more = std::env::var("HA_RELOADS").ok().and_then(|set| set.parse().ok()).unwrap_or(200_u32);
    let last = 100 + more;
    (1..=100).for_each(reload);
    site.says("100");
    let before = belongings();
    (101..=last).for_each(reload);
    site.says(&last.to_string());
    let after = belongings();
    assert_eq!(site.policy().generation, Some(u64::from(last) + 1));
    assert!(after.0 <= before.0 + 4, "descriptors: {before:?} {after:?}");
    assert!(after.1 <= before.1 + 1024 + 8 * u64::from(more), "KiB: {before:?} {after:?}");
    site.close();
}
