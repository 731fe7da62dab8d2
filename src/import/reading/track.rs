//! `track_script`, `track_interface`: what an instance or a group looks at, and what each comes to.

use super::{Script, script};
use crate::import::{
    ledger::Ledger,
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
            tracks.push(Track { weight: weight(line, script.weight, ledger), script: script.clone() });
        }
    }
    tracks
}

fn weight(line: &Node, default: Weight, ledger: &mut Ledger) -> Weight {
    match line.text(1) {
        "" => default,
        "weight" => {
            let mut weight = script::weight(line, 2, 253, ledger);
            weight.reverse |= default.reverse && line.text(3) != "noreverse";
            weight
        }
        other => {
            ledger.dropped(line.place, format!("keepalived ignores \"{other}\" here"));
            default
        }
    }
}

/// Reads `track_interface`; `own`: the interface of the instance, which is looked at in any case; `owner`: its priority is
/// 255.
pub(super) fn interfaces(blocks: &[&Node], own: Option<&str>, owner: bool, ledger: &mut Ledger) -> Option<Entry> {
    let mut list = Tracked::default();
    for block in blocks {
        ledger.mapped(block.place, "");
        list.comments(&block.comments, block.trailing.as_ref());
        for line in block.inner() {
            let name = line.text(0);
            list.comments(&line.all_comments(), None);
            if Some(name) == own {
                ledger.mapped(line.place, "the instance's own interface is looked at in any case");
            } else if name.parse::<crate::words::InterfaceName>().is_err() {
                ledger.refused(line.place, format!("\"{name}\" cannot be the name of an interface: mend or remove it"));
            } else if list.names(name) {
                ledger.dropped(line.place, "it is tracked already");
            } else {
                let weight = weight(line, Weight::default(), ledger);
                list.add("interface", name, weight, "", owner, line, ledger);
            }
        }
    }
    list.entry("track.interfaces")
}

/// A list of what is tracked, in the making.
#[derive(Debug, Default)]
struct Tracked {
    names: Vec<String>,
    entries: Vec<String>,
    comments: Vec<String>,
}

impl Tracked {
    fn names(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn comments(&mut self, before: &[String], behind: Option<&String>) {
        self.comments.extend(before.iter().chain(behind).cloned());
    }

    /// `more`: what else the entry says, as TOML.
    #[allow(clippy::too_many_arguments, reason = "one entry of a list, word by word")]
    fn add(
        &mut self,
        key: &str,
        name: &str,
        weight: Weight,
        more: &str,
        owner: bool,
        line: &Node,
        ledger: &mut Ledger,
    ) {
        self.names.push(name.to_owned());
        if owner && weight.number != 0 {
            ledger.dropped(line.place, "an owner (priority 255) ignores weights, in keepalived and here");
            return;
        }
        let effect = effect(weight);
        let entry = if effect.is_empty() && more.is_empty() {
            quoted(name)
        } else {
            format!("{{ {key} = {}{more}{effect} }}", quoted(name))
        };
        ledger.mapped(line.place, entry.clone());
        self.entries.push(entry);
    }

    fn entry(self, key: &'static str) -> Option<Entry> {
        let value = format!("[{}]", self.entries.join(", "));
        (!self.entries.is_empty()).then(|| Entry { comments: self.comments, ..Entry::plain(key, value) })
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
