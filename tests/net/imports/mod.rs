//! Every fixture of `ha import` that both can run: keepalived and `ha` run it, each in a network of its own that looks the
//! same, once while its checks are well and once while they are not. What they advertise, the addresses they hold and what
//! their checks come to is compared.

mod apart;
mod booth;
mod fixture;
mod heard;
mod held;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex},
    thread,
    time::{Duration, Instant},
};

use ha::lab::{Host, Process};

use self::{
    apart::{APART, DIFFERENT, What},
    booth::{Booth, Runs},
    fixture::Fixture,
};
use crate::{Need, Story, stage::Stage};

pub(crate) const STORIES: [Story; 1] =
    [Story { name: "imports_beside_keepalived", needs: &[Need::Keepalived], seconds: 120, tell: beside_keepalived }];

/// How many fixtures run at a time: they wait for seconds, and use the processor for a moment at their start.
const AT_A_TIME: usize = 16;
/// When the two have come to their roles: three intervals of the slowest, and the first results of the checks.
const PATIENCE: Duration = Duration::from_secs(14);

/// What is around the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum World {
    /// Every check finds what it looks for.
    Well,
    /// No check does.
    Ill,
}

/// What one of the two comes to, by instance or by name of what is compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) roles: BTreeMap<String, String>,
    pub(super) advertisements: BTreeMap<String, String>,
    pub(super) addresses: BTreeMap<String, String>,
}

fn beside_keepalived(stage: &Stage) {
    let fixtures = fixture::all();
    let names: Vec<&str> = fixtures.iter().map(|fixture| fixture.name.as_str()).collect();
    for name in APART.iter().map(|(name, _)| *name).chain(DIFFERENT.iter().map(|different| different.fixture)) {
        assert!(names.contains(&name), "{name} is no fixture that can be imported");
    }
    let root = stage.world.root().join("imports");
    let both: Vec<Fixture> = fixtures.into_iter().filter(apart::can_be_compared).collect();
    assert!(both.len() >= 20, "{} fixtures run in both", both.len());
    let props = fixture::props(stage, &root);
    let well = at_once(&both, World::Well, &root);
    drop::<Vec<Process>>(props);
    let checked: Vec<Fixture> = both.into_iter().filter(Fixture::has_checks).collect();
    let ill = at_once(&checked, World::Ill, &root);
    let mut occurred = BTreeSet::new();
    let mut troubles = Vec::new();
    for compared in well.into_iter().chain(ill) {
        match compared {
            Ok(known) => occurred.extend(known),
            Err(different) => troubles.extend(different),
        }
    }
    // What could not be compared may have hidden it.
    if troubles.is_empty() {
        troubles.extend(apart::stale(&occurred));
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
}

/// What differs on purpose, by its number; or what differs otherwise.
type Compared = Result<BTreeSet<usize>, Vec<String>>;

/// Everything that differs, of each of them.
fn at_once(fixtures: &[Fixture], world: World, root: &Path) -> Vec<Compared> {
    let (free, freed) = (Mutex::new(AT_A_TIME), Condvar::new());
    thread::scope(|scope| {
        let runs: Vec<_> = fixtures
            .iter()
            .map(|fixture| {
                *freed.wait_while(free.lock().unwrap(), |free| *free == 0).unwrap() -= 1;
                let (free, freed) = (&free, &freed);
                scope.spawn(move || {
                    let compared = catch_unwind(AssertUnwindSafe(|| compare(fixture, world, root)));
                    *free.lock().unwrap() += 1;
                    freed.notify_one();
                    compared.unwrap_or_else(|_| Err(vec![format!("{}: panicked", fixture.name)]))
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

/// Runs a fixture in both, until both have come to the same or time is up.
fn compare(fixture: &Fixture, world: World, root: &Path) -> Compared {
    let directory = |who: &str| -> PathBuf { root.join(format!("{}-{world:?}-{who}", fixture.name)) };
    let keepalived = Booth::build(fixture, world, Runs::Keepalived, &directory("keepalived"));
    let ha = Booth::build(fixture, world, Runs::Ha, &directory("ha"));
    let until = Instant::now() + PATIENCE;
    loop {
        let (theirs, ours) = (keepalived.outcome(fixture), ha.outcome(fixture));
        let differences = differences(fixture, world, &theirs, &ours);
        let settled = settled(fixture, &theirs) && settled(fixture, &ours);
        if let (Ok(known), true) = (&differences, settled) {
            return Ok(known.clone());
        }
        if Instant::now() > until {
            let mut troubles = differences.err().unwrap_or_default();
            if troubles.is_empty() {
                troubles.push(format!("nobody came to a role: keepalived {:?}, ha {:?}", theirs.roles, ours.roles));
            }
            let shown = troubles.iter().map(|trouble| format!("{}, {world:?}: {trouble}", fixture.name));
            return Err(shown.chain([keepalived.last_words(), ha.last_words()]).collect());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Whether every instance is master, with an advertisement that was heard, or in fault.
fn settled(fixture: &Fixture, outcome: &Outcome) -> bool {
    outcome.roles.len() == fixture.instances.len() && outcome.roles.values().all(|role| role != "backup")
}

/// What is not the same.
fn differences(fixture: &Fixture, world: World, theirs: &Outcome, ours: &Outcome) -> Compared {
    let parts = [
        (What::Role, &theirs.roles, &ours.roles),
        (What::Advertisement, &theirs.advertisements, &ours.advertisements),
        (What::Address, &theirs.addresses, &ours.addresses),
    ];
    let (mut found, mut known) = (Vec::new(), BTreeSet::new());
    for (what, theirs, ours) in parts {
        let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for name in names {
            let (theirs, ours) = (theirs.get(name).map_or("-", |it| it), ours.get(name).map_or("-", |it| it));
            match apart::meant(fixture, world, what, name).filter(|_| theirs != ours) {
                Some(number) => drop(known.insert(number)),
                None if theirs == ours => (),
                None => found.push(format!("{what:?} {name}:\n  keepalived {theirs}\n  ha         {ours}")),
            }
        }
    }
    if found.is_empty() { Ok(known) } else { Err(found) }
}

/// Where the test's own files are.
fn shelf() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/shelf")
}

/// A file that is there, as text.
fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where whatever is common to all runs is started.
const BACKSTAGE: Host = Host::Arbiter;
