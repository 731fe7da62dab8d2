//! `[instance.NAME.track]` and `[group.NAME.track]`: what bears on a node beside an instance's own interface and its
//! policies. What is tracked by a group is tracked by every member.

mod file;
mod process;

use std::{fmt, path::Path};

use toml::Spanned;

use super::{
    Group, Instance,
    error::{Findings, Span},
    raw::Texts,
    table::{Entry, Table, Written},
};
use crate::words::InterfaceName;
use file::RawFile;
pub use file::TrackedFile;
use process::RawProcess;
pub use process::{ProcessPattern, TrackedProcess};

/// Farthest from 0 that one weight may be; with it no weight alone is lost in the range of priorities.
const WEIGHT_MAX: i64 = 253;

/// What is tracked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracks {
    /// Other interfaces.
    pub interfaces: Vec<TrackedInterface>,
    /// Numbers in files.
    pub files: Vec<TrackedFile>,
    /// Processes.
    pub processes: Vec<TrackedProcess>,
}

/// Interfaces of which one is enough: it is well while one of them is up and has a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedInterface {
    /// At least one.
    pub any: Vec<InterfaceName>,
    /// What counts as well.
    pub well: WellWhile,
    /// What follows.
    pub effect: Effect,
}

/// Which way something is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WellWhile {
    /// While it is there.
    There,
    /// While it is not (`reverse`).
    Absent,
}

/// What follows from something that is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// While it is not well the instance is in fault.
    Fault,
    /// Above 0: what it adds to the priority while it is well. Below 0: what it takes away while it is not. Within 253.
    Weight(i16),
}

impl Tracks {
    /// Whether this interface is tracked.
    #[must_use]
    pub fn names(&self, interface: &InterfaceName) -> bool {
        self.interfaces().any(|tracked| tracked == interface)
    }

    /// Whether this file is tracked.
    #[must_use]
    pub fn names_file(&self, path: &Path) -> bool {
        self.files.iter().any(|tracked| tracked.path == path)
    }

    /// Whether these processes are tracked.
    #[must_use]
    pub fn names_processes(&self, pattern: &ProcessPattern) -> bool {
        self.processes.iter().any(|tracked| tracked.pattern == *pattern)
    }

    /// Interfaces that matter beside those that are written; what is written of one counts.
    pub(super) fn follow(&mut self, more: &[TrackedInterface]) {
        add(&mut self.interfaces, more, |tracked| tracked.any.clone());
    }

    /// Every interface that is tracked.
    pub fn interfaces(&self) -> impl Iterator<Item = &InterfaceName> {
        self.interfaces.iter().flat_map(|tracked| &tracked.any)
    }
}

impl Effect {
    /// What it comes to for the priority while it is well, and while it is not.
    #[must_use]
    pub fn deltas(self) -> (i32, i32) {
        match self {
            Self::Fault => (0, 0),
            Self::Weight(weight) if weight > 0 => (weight.into(), 0),
            Self::Weight(weight) => (0, weight.into()),
        }
    }
}

/// `interface eth1`, `interfaces eth1, eth2`: what it is called.
impl fmt::Display for TrackedInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.any.iter().map(InterfaceName::as_str).collect();
        let kind = if names.len() == 1 { "interface" } else { "interfaces" };
        write!(f, "{kind} {}", names.join(", "))
    }
}

/// What is tracked, and what follows, as parts of a sentence.
#[must_use]
pub(super) fn describe(tracks: &Tracks) -> Vec<String> {
    let interface = |tracked: &TrackedInterface| {
        let one = tracked.any.len() == 1;
        let while_bad = match (tracked.well, one) {
            (WellWhile::There, true) => "while it is down",
            (WellWhile::There, false) => "while all of them are down",
            (WellWhile::Absent, true) => "while it is up",
            (WellWhile::Absent, false) => "while one of them is up",
        };
        let while_well = match (tracked.well, one) {
            (WellWhile::There, true) => "while it is up",
            (WellWhile::There, false) => "while one of them is up",
            (WellWhile::Absent, true) => "while it is down",
            (WellWhile::Absent, false) => "while all of them are down",
        };
        match tracked.effect {
            Effect::Fault => format!("{tracked}: in fault {while_bad}"),
            Effect::Weight(weight) => {
                format!("{tracked}: priority {weight:+} {}", if weight > 0 { while_well } else { while_bad })
            }
        }
    };
    tracks
        .interfaces
        .iter()
        .map(interface)
        .chain(tracks.files.iter().map(file::describe))
        .chain(tracks.processes.iter().map(process::describe))
        .collect()
}

/// The table as written.
#[derive(Debug)]
pub(super) struct RawTracks {
    interfaces: Written<Vec<RawInterface>>,
    files: Written<Vec<RawFile>>,
    processes: Written<Vec<RawProcess>>,
}

/// One entry of `interfaces` as written.
#[derive(Debug)]
struct RawInterface {
    place: Span,
    interface: Written<String>,
    any: Written<Texts>,
    effect: RawEffect,
}

#[derive(Debug)]
struct RawEffect {
    weight: Written<i64>,
    reverse: Written<bool>,
}

impl RawTracks {
    /// Reads the table; `tables` gets the tables of its entries.
    pub(super) fn read<'d>(table: &mut Table<'d>, tables: &mut Vec<Table<'d>>, out: &mut Findings) -> Self {
        Self {
            interfaces: list("interfaces", table, tables, RawInterface::plain, RawInterface::read, out),
            files: list("files", table, tables, RawFile::plain, RawFile::read, out),
            processes: list("processes", table, tables, RawProcess::plain, RawProcess::read, out),
        }
    }

    /// The tables of entries, `prefix` being the table itself: which keys there are.
    pub(super) fn entries(prefix: &str, out: &mut Findings) -> Vec<Table<'static>> {
        let mut interface = Table::absent(&format!("{prefix}.interfaces[]"));
        RawInterface::read(&mut interface, out);
        let mut file = Table::absent(&format!("{prefix}.files[]"));
        RawFile::read(&mut file, out);
        let mut process = Table::absent(&format!("{prefix}.processes[]"));
        RawProcess::read(&mut process, out);
        vec![interface, file, process]
    }
}

impl RawInterface {
    fn plain(text: Spanned<String>) -> Self {
        let effect = RawEffect { weight: Written::Absent, reverse: Written::Absent };
        Self { place: text.span(), interface: Written::Given(text), any: Written::Absent, effect }
    }

    fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            place: table.header(),
            interface: table.text("interface", out),
            any: table.texts("any", out),
            effect: RawEffect { weight: table.number("weight", out), reverse: table.flag("reverse", out) },
        }
    }
}

/// A list of texts and tables.
pub(super) fn list<'d, T>(
    key: &'static str,
    table: &mut Table<'d>,
    tables: &mut Vec<Table<'d>>,
    plain: impl Fn(Spanned<String>) -> T,
    read: impl Fn(&mut Table<'d>, &mut Findings) -> T,
    out: &mut Findings,
) -> Written<Vec<T>> {
    let entries = match table.entries(key, out) {
        Written::Absent => return Written::Absent,
        Written::Unusable => return Written::Unusable,
        Written::Given(entries) => entries,
    };
    let span = entries.span();
    let mut one = |entry| match entry {
        Entry::Text(text) => plain(text),
        Entry::Table(mut table) => {
            let one = read(&mut table, out);
            tables.push(table);
            one
        }
    };
    let list = entries.into_inner().into_iter().map(&mut one).collect();
    Written::Given(Spanned::new(span, list))
}

/// Reads what is tracked. `own`: the interface of the instance; `owner`: its priority is 255.
pub(super) fn resolve(raw: &RawTracks, own: Option<&InterfaceName>, owner: bool, out: &mut Findings) -> Tracks {
    let mut tracks = Tracks::default();
    for raw in raw.interfaces.given().into_iter().flat_map(|(list, _)| list) {
        let effect = effect(&raw.effect.weight, WEIGHT_MAX, owner, out);
        let Some(any) = names(raw, out) else { continue };
        if any.first() == own && any.len() == 1 {
            let what = format!("{} is the instance's own interface, which is watched in any case", joined(&any));
            out.warning(raw.place.clone(), what, "remove it here");
            continue;
        }
        let tracked = TrackedInterface { any, well: well(&raw.effect.reverse), effect };
        if tracks.interfaces.iter().any(|other| other.any == tracked.any) {
            out.error(raw.place.clone(), format!("{tracked} is tracked twice"), "remove one of the two");
        }
        tracks.interfaces.push(tracked);
    }
    let files = raw.files.given().map(|(list, _)| list.as_slice()).unwrap_or_default();
    tracks.files = file::resolve(files, owner, out);
    let processes = raw.processes.given().map(|(list, _)| list.as_slice()).unwrap_or_default();
    tracks.processes = process::resolve(processes, owner, out);
    tracks
}

/// What a group tracks, tracked by each of its members.
pub(super) fn spread(groups: &[(Group, Tracks)], instances: &mut [Instance]) {
    for (group, tracks) in groups {
        for member in instances.iter_mut().filter(|instance| group.instances.contains(&instance.name)) {
            let own = [member.interface.clone()];
            let others = tracks.interfaces.iter().filter(|tracked| tracked.any != own);
            add(&mut member.tracks.interfaces, others, |tracked| tracked.any.clone());
            add(&mut member.tracks.files, &tracks.files, |tracked| tracked.path.clone());
            add(&mut member.tracks.processes, &tracks.processes, |tracked| tracked.pattern.clone());
        }
    }
}

/// What a member tracks itself counts as it is written there.
fn add<'t, T: Clone + 't, K: PartialEq>(to: &mut Vec<T>, more: impl IntoIterator<Item = &'t T>, key: impl Fn(&T) -> K) {
    for one in more {
        if !to.iter().any(|known| key(known) == key(one)) {
            to.push(one.clone());
        }
    }
}

fn names(raw: &RawInterface, out: &mut Findings) -> Option<Vec<InterfaceName>> {
    const TODO: &str =
        "write \"eth1\", { interface = \"eth1\", … }, or { any = [\"eth1\", \"eth2\"], … } where one is enough";
    let one = raw.interface.given().map(|(name, span)| (name.as_str(), span));
    let many = raw.any.given().into_iter().flat_map(|(texts, _)| texts);
    let written: Vec<(&str, Span)> =
        one.into_iter().chain(many.map(|text| (text.get_ref().as_str(), text.span()))).collect();
    let both = !raw.interface.is_absent() && !raw.any.is_absent();
    if both {
        out.error(raw.place.clone(), "an entry has interface or any, not both", TODO);
        return None;
    }
    if raw.interface.is_absent() && written.is_empty() && !matches!(raw.any, Written::Unusable) {
        out.error(raw.place.clone(), "an entry of interfaces does not say which", TODO);
        return None;
    }
    let mut names: Vec<InterfaceName> = Vec::new();
    for (text, span) in written {
        match text.parse::<InterfaceName>() {
            Err(_) => {
                let todo = "a name has 1 to 15 letters without spaces, slashes and colons; `ip -brief link` lists them";
                out.error(span, format!("\"{text}\" cannot be the name of an interface"), todo);
            }
            Ok(name) if names.contains(&name) => {
                out.error(span, format!("{name} is in this list twice"), "remove one of the two");
            }
            Ok(name) => names.push(name),
        }
    }
    (!names.is_empty()).then_some(names)
}

fn joined(names: &[InterfaceName]) -> String {
    names.iter().map(InterfaceName::as_str).collect::<Vec<_>>().join(", ")
}

fn well(reverse: &Written<bool>) -> WellWhile {
    match reverse.given() {
        Some((true, _)) => WellWhile::Absent,
        Some((false, _)) | None => WellWhile::There,
    }
}

/// What a weight means, a fault where there is none.
pub(super) fn effect(weight: &Written<i64>, most: i64, owner: bool, out: &mut Findings) -> Effect {
    let Some((weight, span)) = weight.given() else { return Effect::Fault };
    if *weight == 0 {
        out.error(span, "weight = 0 changes nothing", "write a weight, or remove it: without one it is a fault");
        return Effect::Fault;
    }
    if owner {
        out.warning(span.clone(), "the priority of an owner (255) never moves: a weight has no effect", "remove it");
    }
    match i16::try_from(*weight).ok().filter(|_| weight.abs() <= most) {
        Some(weight) => Effect::Weight(weight),
        None => {
            let todo = format!("weight is -{most} to {most}, without 0");
            out.error(span, format!("weight = {weight} is out of range"), todo);
            Effect::Fault
        }
    }
}
