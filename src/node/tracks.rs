//! What is tracked beside the instance's own interface and its policies, and what it comes to: a fault, or a part of the
//! priority.
//!
//! What is not well counts like a policy's rule that is down (R23, R24): it meets what the policies say, and the worse holds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    FileSays, LinkSeen, Node,
    bearing::Bearing,
    instance::{Instance, Outbox},
    judgement::{HoldCause, Opinion},
};
use crate::{
    config::{self, Config, Effect, ProcessPattern, TrackedFile, TrackedInterface, TrackedProcess, WellWhile},
    policy::{FaultCause, Forced},
    words::{Instant, InterfaceName},
};

/// The condition of an instance whose priority is not what it is while everything is well.
const CONDITION: &str = "priority";
/// The product of number and weight from which a file takes a node out.
const LEVER: i32 = 254;

/// An interface as far as tracking cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Missing,
    Down,
    NoCarrier,
    Up,
}

impl LinkState {
    const fn of(link: Option<&LinkSeen>) -> Self {
        match link {
            None => Self::Missing,
            Some(link) if !link.up => Self::Down,
            Some(link) if !link.carrier => Self::NoCarrier,
            Some(_) => Self::Up,
        }
    }
}

/// What a node was told of files and processes that are tracked.
#[derive(Debug, Default)]
pub struct TrackedFacts {
    /// What each file says.
    pub files: BTreeMap<PathBuf, FileSays>,
    /// How many processes there are of each kind; an error if nobody can say.
    pub processes: BTreeMap<ProcessPattern, Result<u32, String>>,
}

impl TrackedFacts {
    /// What another configuration does not track any more is forgotten.
    pub(super) fn forget_all_but(&mut self, config: &Config) {
        let tracks = || config.instances.iter().map(|instance| &instance.tracks);
        self.files.retain(|path, _| tracks().any(|tracks| tracks.names_file(path)));
        self.processes.retain(|pattern, _| tracks().any(|tracks| tracks.names_processes(pattern)));
    }
}

/// What is known of everything that is tracked by an instance.
#[derive(Debug, Default)]
pub(super) struct Seen {
    links: BTreeMap<InterfaceName, LinkState>,
    files: BTreeMap<PathBuf, FileSays>,
    processes: BTreeMap<ProcessPattern, Counted>,
}

/// Processes, as they are and as they count.
#[derive(Clone, Debug)]
struct Counted {
    count: Result<u32, String>,
    /// Whether that is well.
    is_well: bool,
    /// What counts.
    counts_well: bool,
    /// When the other counts, unless it ends before.
    counts_at: Option<Instant>,
}

impl Counted {
    fn new(tracked: &TrackedProcess, count: &Result<u32, String>) -> Self {
        let is_well = count.as_ref().is_ok_and(|count| tracked.judge(*count).0);
        Self { count: count.clone(), is_well, counts_well: is_well, counts_at: None }
    }

    /// The next count. What is not known counts at once, and so does what is known again.
    fn next(&self, now: Instant, tracked: &TrackedProcess, count: &Result<u32, String>) -> Self {
        let new = Self::new(tracked, count);
        let delay = if new.is_well { tracked.delays.up } else { tracked.delays.down };
        if self.count.is_err() || count.is_err() || new.is_well == self.counts_well || delay.is_zero() {
            return new;
        }
        let counts_at = self.counts_at.or(Some(now + delay));
        Self { counts_well: self.counts_well, counts_at, ..new }
    }
}

/// What one thing that is tracked comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What it is called, the same for every member of a group.
    pub(super) name: String,
    /// Why it is not well; `None` while it is.
    pub(super) why: Option<String>,
    pub(super) comes_to: ComesTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ComesTo {
    /// This is added to the priority; `usual`, while everything is well.
    Adds { delta: i32, usual: i32 },
    /// The instance is in fault.
    Fault,
    /// It is somebody's wish that this node takes no part: it hands over in order.
    StandDown,
    /// Nobody knows: never well.
    Unknown,
    /// It has not been looked at yet.
    NotYet,
}

impl Seen {
    /// Everything that is to be tracked from now on, as it is now.
    pub(super) fn take(
        &mut self,
        tracks: &config::Tracks,
        links: &BTreeMap<InterfaceName, LinkSeen>,
        facts: &TrackedFacts,
    ) {
        self.links = tracks.interfaces().map(|name| (name.clone(), LinkState::of(links.get(name)))).collect();
        let said = tracks.files.iter().filter_map(|tracked| facts.files.get_key_value(&tracked.path));
        self.files = said.map(|(path, says)| (path.clone(), says.clone())).collect();
        let counted = tracks.processes.iter().filter_map(|tracked| {
            let pattern = &tracked.pattern;
            let new = Counted::new(tracked, facts.processes.get(pattern)?);
            // What was on its way to count goes on its way, if it is judged as it was.
            let known = self.processes.get(pattern).filter(|known| known.is_well == new.is_well);
            Some((pattern.clone(), known.cloned().unwrap_or(new)))
        });
        self.processes = counted.collect();
    }

    /// There are so many processes now; whether that is news.
    fn processes(&mut self, now: Instant, tracked: &TrackedProcess, count: &Result<u32, String>) -> bool {
        let known = self.processes.get(&tracked.pattern);
        if known.is_some_and(|known| known.count == *count) {
            return false;
        }
        let new = known.map_or_else(|| Counted::new(tracked, count), |known| known.next(now, tracked, count));
        self.processes.insert(tracked.pattern.clone(), new);
        true
    }

    /// What has lasted long enough counts.
    pub(super) fn settle(&mut self, now: Instant) {
        for counted in self.processes.values_mut().filter(|counted| counted.counts_at.is_some_and(|at| at <= now)) {
            counted.counts_well = counted.is_well;
            counted.counts_at = None;
        }
    }

    /// When something may count next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.processes.values().filter_map(|counted| counted.counts_at).min()
    }

    /// A file that is tracked says this now; whether that is news.
    fn file(&mut self, path: &Path, says: &FileSays) -> bool {
        self.files.insert(path.to_owned(), says.clone()).as_ref() != Some(says)
    }

    /// An interface that is tracked is like this now; whether that is news.
    fn link(&mut self, name: &InterfaceName, link: Option<&LinkSeen>) -> bool {
        let state = LinkState::of(link);
        self.links.insert(name.clone(), state) != Some(state)
    }

    pub(super) fn findings(&self, tracks: &config::Tracks) -> Vec<Finding> {
        let files = tracks.files.iter().map(|tracked| Finding::of_file(tracked, self.files.get(&tracked.path)));
        let processes =
            tracks.processes.iter().map(|tracked| Finding::of_process(tracked, self.processes.get(&tracked.pattern)));
        tracks.interfaces.iter().map(|tracked| self.interface(tracked)).chain(files).chain(processes).collect()
    }

    fn interface(&self, tracked: &TrackedInterface) -> Finding {
        let state = |name| self.links.get(name).copied().unwrap_or(LinkState::Missing);
        let up = tracked.any.iter().find(|name| state(name) == LinkState::Up);
        let why = match (tracked.well, up) {
            (WellWhile::There, Some(_)) | (WellWhile::Absent, None) => None,
            (WellWhile::Absent, Some(up)) => Some(format!("interface {up} is up")),
            (WellWhile::There, None) => {
                let each = tracked.any.iter().map(|name| match state(name) {
                    LinkState::Missing => format!("interface {name} does not exist"),
                    LinkState::Down => format!("interface {name} is down"),
                    LinkState::NoCarrier | LinkState::Up => format!("interface {name} has no carrier"),
                });
                Some(each.collect::<Vec<_>>().join(" and "))
            }
        };
        Finding::of(tracked.to_string(), why, tracked.effect)
    }
}

impl Finding {
    fn of(name: String, why: Option<String>, effect: Effect) -> Self {
        let (well, bad) = effect.deltas();
        let comes_to = match (effect, &why) {
            (Effect::Fault, Some(_)) => ComesTo::Fault,
            (Effect::Fault | Effect::Weight(_), None) => ComesTo::Adds { delta: well, usual: well },
            (Effect::Weight(_), Some(_)) => ComesTo::Adds { delta: bad, usual: well },
        };
        Self { name, why, comes_to }
    }

    /// A number is a wish: it hands over in order. What it would be where it cannot be read is not known.
    fn of_file(tracked: &TrackedFile, says: Option<&FileSays>) -> Self {
        let name = tracked.to_string();
        let number = match (says, tracked.missing) {
            (Some(FileSays::Number(number)), _) => *number,
            (Some(FileSays::Missing), Some(number)) => number,
            (Some(FileSays::Missing), None) => return Self::unknown(format!("{name} does not exist"), name),
            (Some(FileSays::Unusable(why)), _) => return Self::unknown(format!("{name}: {why}"), name),
            (None, _) => return Self { why: None, comes_to: ComesTo::NotYet, name },
        };
        let says = format!("{name} says {number}");
        match (tracked.effect, tracked.well) {
            (Effect::Fault, well) if (number == 0) == (well == WellWhile::Absent) => {
                Self { name, why: None, comes_to: ComesTo::Adds { delta: 0, usual: 0 } }
            }
            (Effect::Fault, _) => Self { name, why: Some(says), comes_to: ComesTo::StandDown },
            (Effect::Weight(weight), _) => {
                let product = number.saturating_mul(weight.into()).clamp((-LEVER).into(), LEVER.into());
                let delta = i32::try_from(product).unwrap_or(-LEVER);
                let comes_to = if delta == -LEVER { ComesTo::StandDown } else { ComesTo::Adds { delta, usual: 0 } };
                Self { name, why: (delta != 0).then_some(says), comes_to }
            }
        }
    }

    fn of_process(tracked: &TrackedProcess, counted: Option<&Counted>) -> Self {
        let name = tracked.to_string();
        let Some(counted) = counted else { return Self { why: None, comes_to: ComesTo::NotYet, name } };
        match &counted.count {
            Err(why) => Self::unknown(format!("{name}: {why}"), name),
            Ok(_) if counted.counts_well => Self::of(name, None, tracked.effect),
            Ok(count) => {
                let why = format!("{name}: {}", tracked.judge(*count).1);
                Self::of(name, Some(why), tracked.effect)
            }
        }
    }

    /// As an assumption has it; well where there is none.
    pub(super) fn supposed(name: String, effect: Effect, forced: Option<Forced>) -> Self {
        let why = |word: &str| format!("{name} is supposed to be {word}");
        match forced {
            None | Some(Forced::Up) => Self::of(name, None, effect),
            Some(Forced::Down) => {
                let why = why("down");
                Self::of(name, Some(why), effect)
            }
            Some(Forced::Blind) => Self::unknown(why("out of sight"), name),
        }
    }

    /// The same for a number: 0 is well, and what is down says 1, or 0 where that is wrong.
    pub(super) fn supposed_file(tracked: &TrackedFile, forced: Option<Forced>) -> Self {
        let (well, bad) = if tracked.well == WellWhile::Absent { (0, 1) } else { (1, 0) };
        let says = match forced {
            None | Some(Forced::Up) => FileSays::Number(well),
            Some(Forced::Down) => FileSays::Number(bad),
            Some(Forced::Blind) => FileSays::Unusable("it is supposed to be out of sight".to_owned()),
        };
        Self::of_file(tracked, Some(&says))
    }

    const fn unknown(why: String, name: String) -> Self {
        Self { name, why: Some(why), comes_to: ComesTo::Unknown }
    }

    pub(super) fn opinion(self) -> Opinion {
        let why = format!("{} (tracked)", self.why.unwrap_or(self.name));
        match self.comes_to {
            ComesTo::Adds { delta, .. } => Opinion::Healthy { delta },
            ComesTo::Fault => Opinion::Fault { why, cause: FaultCause::Rules },
            ComesTo::StandDown => Opinion::Maintenance { why },
            ComesTo::Unknown => Opinion::Hold { why, cause: HoldCause::Unseen },
            ComesTo::NotYet => Opinion::Starting,
        }
    }

    /// What it takes from the priority, or adds to it, compared with what is usual, and why.
    fn moves(&self) -> Option<String> {
        match (self.comes_to, &self.why) {
            (ComesTo::Adds { delta, usual }, Some(why)) => Some(format!("{why} ({:+})", delta - usual)),
            (ComesTo::Adds { .. }, None)
            | (ComesTo::Fault | ComesTo::StandDown | ComesTo::Unknown | ComesTo::NotYet, _) => None,
        }
    }
}

impl Node {
    pub(super) fn each_tracking(&mut self, interface: &InterfaceName, link: Option<&LinkSeen>) {
        for instance in self.instances.matching_mut(|instance| instance.config.tracks.names(interface)) {
            instance.on_tracked_link(self.now, interface, link, &mut self.outbox);
        }
    }

    pub(super) fn see_file(&mut self, path: PathBuf, says: FileSays) {
        for instance in self.instances.matching_mut(|instance| instance.config.tracks.names_file(&path)) {
            instance.on_tracked_file(self.now, &path, &says, &mut self.outbox);
        }
        self.facts.files.insert(path, says);
    }

    pub(super) fn see_processes(&mut self, pattern: ProcessPattern, count: Result<u32, String>) {
        for instance in self.instances.matching_mut(|instance| instance.config.tracks.names_processes(&pattern)) {
            instance.on_tracked_processes(self.now, &pattern, &count, &mut self.outbox);
        }
        self.facts.processes.insert(pattern, count);
    }
}

impl Instance {
    /// An interface that is tracked is now like this, or gone.
    fn on_tracked_link(&mut self, now: Instant, name: &InterfaceName, link: Option<&LinkSeen>, out: &mut Outbox) {
        if self.seen_tracked.link(name, link) {
            self.reassess(now, out);
            self.unsettled = true;
        }
    }

    /// A file that is tracked says this now.
    fn on_tracked_file(&mut self, now: Instant, path: &Path, says: &FileSays, out: &mut Outbox) {
        if self.seen_tracked.file(path, says) {
            self.reassess(now, out);
            self.unsettled = true;
        }
    }

    /// There are so many processes now that are tracked.
    fn on_tracked_processes(
        &mut self,
        now: Instant,
        pattern: &ProcessPattern,
        count: &Result<u32, String>,
        out: &mut Outbox,
    ) {
        let tracked = self.config.tracks.processes.iter().find(|tracked| tracked.pattern == *pattern);
        if tracked.is_some_and(|tracked| self.seen_tracked.processes(now, tracked, count)) {
            self.reassess(now, out);
            self.unsettled = true;
        }
    }

    /// What everything that is tracked comes to.
    pub(super) fn tracked_opinion(&self) -> Opinion {
        let findings = self.seen_tracked.findings(&self.config.tracks).into_iter();
        findings.map(Finding::opinion).fold(Opinion::WELL, Opinion::beside)
    }

    /// What its policies and what it tracks add to the priority, by name.
    pub(super) fn weights(&self, now: Instant) -> BTreeMap<String, i32> {
        let mut weights = self.judgement.weights(now, self.config.on_error);
        for finding in self.seen_tracked.findings(&self.config.tracks) {
            match finding.comes_to {
                ComesTo::Adds { delta, .. } => weights.insert(finding.name, delta),
                ComesTo::Fault | ComesTo::StandDown | ComesTo::Unknown | ComesTo::NotYet => None,
            };
        }
        weights
    }

    /// Says what moves the priority, and each time that this changes.
    pub(super) fn name_weights(&mut self, now: Instant, bearing: &Bearing, out: &mut Outbox) {
        let findings = self.seen_tracked.findings(&self.config.tracks);
        let mut moved = self.judgement.moves(now, self.config.on_error);
        moved.extend(findings.iter().filter_map(Finding::moves));
        let text = match bearing {
            Bearing::Fit(priority) if !moved.is_empty() && !self.config.priority.is_owner() => {
                Some(format!("{}: this node bids {priority} now", moved.join(", ")))
            }
            Bearing::Fit(_)
            | Bearing::Fault { .. }
            | Bearing::StandDown { .. }
            | Bearing::Reluctant { .. }
            | Bearing::Barred { .. } => None,
        };
        let known = self.conditions().into_iter().find(|condition| condition.name == CONDITION);
        if let (Some(text), Some(known)) = (&text, known)
            && *text != known.text
        {
            self.note(now, text.clone(), out);
        }
        self.condition(now, CONDITION, text, out);
    }
}
