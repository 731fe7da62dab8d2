//! `track_script`, `track_interface`: what an instance or a group looks at, and what each comes to.

use super::{Script, script};
use crate::import::{
    ledger::{Ledger, Place},
    outline::{Entry, quoted},
    reading::script::Weight,
    tree::Node,
};

/// A check that an instance looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Track {
    pub(in crate::import) script: Script,
    pub(in crate::import) weight: Weight,
}

/// Reads the blocks; `scripts`: every check of the configuration.
pub(super) fn tracks(blocks: &[&Node], scripts: &[Script], ledger: &mut Ledger) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for block in blocks {
        ledger.mapped(block.place, "");
        for line in block.inner() {
            let name = line.text(0);
            let Some(script) = scripts.iter().rev().find(|script| script.name == name) else {
                let what = format!("there is no vrrp_script {name}: keepalived ignores the check and serves unchecked");
                ledger.refused(line.place, format!("{what}; define it, or remove the line"));
                continue;
            };
            if tracks.iter().any(|track| track.script.name == name) {
                ledger.dropped(line.place, "it is tracked already");
                continue;
            }
            ledger.mapped(line.place, "");
            if script.place > line.place && script.place.file == line.place.file {
                let note = format!(
                    "vrrp_script {name} is defined after this, in line {}: keepalived ignores the check and serves unchecked. ha checks",
                    script.place.line
                );
                ledger.mapped(line.place, note);
            }
            tracks.push(Track { weight: weight(line, script.weight, 253, ledger), script: script.clone() });
        }
    }
    tracks
}

pub(super) fn weight(line: &Node, default: Weight, most: i64, ledger: &mut Ledger) -> Weight {
    let read = match (line.text(1), line.text(3)) {
        ("weight", "reverse" | "noreverse") => 4,
        ("weight", _) => 3,
        _ => 1,
    };
    let ignored: Vec<&str> = line.words.iter().skip(read).map(|word| word.text.as_str()).collect();
    if !ignored.is_empty() {
        ledger.dropped(
            line.place,
            format!("keepalived ignores \"{}\" here: it reads one name in each line", ignored.join(" ")),
        );
    }
    if read == 1 {
        return default;
    }
    let mut weight = script::weight(line, 2, most, ledger);
    weight.reverse |= default.reverse && line.text(3) != "noreverse";
    weight
}

/// What is defined at the top of the file to be tracked, beside scripts.
#[derive(Debug, Default)]
pub(in crate::import) struct Defined {
    pub(in crate::import) files: Vec<super::track_file::File>,
    pub(in crate::import) processes: Vec<super::track_process::Process>,
    /// What lines of routes and rules do not say themselves.
    pub(in crate::import) numbers: super::Numbers,
}

/// Of whom something is tracked; the default is a group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Whose<'i> {
    /// Of the instance, which is looked at in any case.
    pub(super) interface: Option<&'i str>,
    /// Its priority is 255.
    pub(super) owner: bool,
    /// It is in a sync group.
    pub(super) member: bool,
    /// In one where keepalived ignores checks and files with a weight.
    pub(super) weightless: bool,
}

/// Why something with a weight is not there.
pub(super) fn left_out(what: &str) -> String {
    format!(
        "keepalived ignores {what} with a weight in a member of a sync group: it is left out. If it is meant to \
         count for the whole group, track it in the group, or write sync_group_tracking_weight there"
    )
}

/// Everything that an instance or a group tracks but its scripts.
pub(super) fn entries(read: &[&Node], defined: &Defined, whose: Whose<'_>, ledger: &mut Ledger) -> Vec<Entry> {
    let blocks = |keyword: &str| read.iter().filter(|node| node.keyword() == keyword).copied().collect::<Vec<&Node>>();
    let interfaces = interfaces(&blocks("track_interface"), whose, ledger);
    let files = super::track_file::files(&blocks("track_file"), &defined.files, whose, ledger);
    let processes = super::track_process::processes(&blocks("track_process"), &defined.processes, whose, ledger);
    interfaces.into_iter().chain(files).chain(processes).collect()
}

/// Reads `track_interface`.
fn interfaces(blocks: &[&Node], whose: Whose<'_>, ledger: &mut Ledger) -> Option<Entry> {
    let mut list = Tracked::default();
    for block in blocks {
        ledger.mapped(block.place, "");
        list.comments(&block.comments, block.trailing.as_ref());
        for line in block.inner() {
            let name = line.text(0);
            list.comments(&line.all_comments(), None);
            if Some(name) == whose.interface {
                // Its weight does not count; what else is in the line is told.
                let _ = weight(line, Weight::default(), 253, ledger);
                ledger
                    .mapped(line.place, "keepalived ignores the own interface here: dont_track_primary decides of it");
            } else if name.parse::<crate::words::InterfaceName>().is_err() {
                ledger.refused(line.place, format!("\"{name}\" cannot be the name of an interface: mend or remove it"));
            } else if list.names(name) {
                ledger.dropped(line.place, "it is tracked already");
            } else {
                let weight = weight(line, Weight::default(), 253, ledger);
                list.add(("interface", name, ""), weight, whose, line, ledger);
            }
        }
    }
    list.entry("track.interfaces")
}

/// A list of what is tracked, in the making.
#[derive(Debug, Default)]
pub(super) struct Tracked {
    names: Vec<String>,
    entries: Vec<String>,
    comments: Vec<String>,
}

impl Tracked {
    pub(super) fn names(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    pub(super) fn comments(&mut self, before: &[String], behind: Option<&String>) {
        self.comments.extend(before.iter().chain(behind).cloned());
    }

    /// An entry, `key = name`. `more`: what else it says, as TOML.
    pub(super) fn add(
        &mut self,
        (key, name, more): (&str, &str, &str),
        weight: Weight,
        whose: Whose<'_>,
        line: &Node,
        ledger: &mut Ledger,
    ) {
        self.names.push(format!("{name}{more}"));
        if whose.owner && weight.number != 0 {
            ledger.dropped(line.place, "an owner (priority 255) ignores weights, in keepalived and here");
            return;
        }
        if whose.weightless && key == "file" && weight.number != 0 {
            ledger.dropped(line.place, left_out("a file"));
            return;
        }
        let effect = effect(weight);
        let entry = if effect.is_empty() && more.is_empty() {
            quoted(name)
        } else {
            format!("{{ {key} = {}{more}{effect} }}", quoted(name))
        };
        ledger.mapped(line.place, entry.clone());
        if whose.member && weight.number != 0 {
            let note = "in keepalived this weight moves this instance only, in ha every member of its group: they move together";
            ledger.mapped(line.place, note);
        }
        self.entries.push(entry);
    }

    pub(super) fn entry(self, key: &'static str) -> Option<Entry> {
        let value = format!("[{}]", self.entries.join(", "));
        (!self.entries.is_empty()).then(|| Entry { comments: self.comments, ..Entry::plain(key, value) })
    }
}

/// Something that is defined after it is used.
pub(super) fn late(defined: Place, used: Place, what: &str, ledger: &mut Ledger) {
    if defined > used && defined.file == used.file {
        let note =
            format!("{what} is defined after this, in line {}: keepalived ignores it, ha does not", defined.line);
        ledger.mapped(used, note);
    }
}

/// What follows, as TOML. keepalived's `reverse` turns the sign of a weight, and of a fault the condition: `ha` turns the
/// condition in both cases.
fn effect(weight: Weight) -> String {
    match (weight.number, weight.reverse) {
        (0, false) => String::new(),
        (0, true) => ", reverse = true".to_owned(),
        (number, false) => format!(", weight = {number}"),
        (number, true) => format!(", weight = {}, reverse = true", -number),
    }
}
