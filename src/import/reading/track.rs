//! `track_script`: which checks an instance looks at, and what each comes to.

use super::{Script, script};
use crate::import::{ledger::Ledger, reading::script::Weight, tree::Node};

/// A check that an instance looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Track<'s> {
    pub(in crate::import) script: &'s Script,
    pub(in crate::import) weight: Weight,
}

/// Reads the blocks; `scripts`: every check of the configuration.
pub(super) fn tracks<'s>(blocks: &[&Node], scripts: &'s [Script], ledger: &mut Ledger) -> Vec<Track<'s>> {
    let mut tracks: Vec<Track<'s>> = Vec::new();
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
            tracks.push(Track { script, weight: weight(line, script, ledger) });
        }
    }
    tracks
}

fn weight(line: &Node, script: &Script, ledger: &mut Ledger) -> Weight {
    match line.text(1) {
        "" => script.weight,
        "weight" => {
            let mut weight = script::weight(line, 2, 253, ledger);
            weight.reverse |= script.weight.reverse && line.text(3) != "noreverse";
            weight
        }
        other => {
            ledger.dropped(line.place, format!("keepalived ignores \"{other}\" here"));
            script.weight
        }
    }
}
