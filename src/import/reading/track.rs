//! `track_script`, `track_interface`: which checks an instance looks at, and what each comes to.

use super::{Script, script};
use crate::import::{
    ledger::Ledger,
    outline::{plain_name, quoted},
    reading::script::Weight,
    tree::Node,
};

/// How often an interface is looked at, in microseconds.
const INTERFACE_INTERVAL: u64 = 200_000;

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

/// Reads `track_interface`; `own`: the interface of the instance, which is looked at in any case.
pub(super) fn interfaces(blocks: &[&Node], own: &str, ledger: &mut Ledger) -> Vec<Track> {
    let mut tracks: Vec<Track> = Vec::new();
    for block in blocks {
        ledger.mapped(block.place, "");
        for line in block.inner() {
            let name = line.text(0);
            let check = plain_name(&format!("interface_{name}"));
            if name == own {
                ledger.mapped(line.place, "the instance's own interface is looked at in any case");
            } else if name.parse::<crate::words::InterfaceName>().is_err() {
                ledger.refused(line.place, format!("\"{name}\" cannot be the name of an interface: mend or remove it"));
            } else if tracks.iter().any(|track| track.script.name == check) {
                ledger.dropped(line.place, "it is tracked already");
            } else {
                ledger.mapped(line.place, "keepalived is told at once, ha looks five times a second");
                let weight = weight(line, Weight::default(), ledger);
                tracks.push(Track { script: interface(line, name, check), weight });
            }
        }
    }
    tracks
}

fn interface(line: &Node, name: &str, check: String) -> Script {
    Script {
        name: check,
        place: line.place,
        command_at: line.place,
        command: format!("interface {name}"),
        condition: Some(format!("iface({})", quoted(name))),
        interval: INTERFACE_INTERVAL,
        timeout: INTERFACE_INTERVAL,
        weight: Weight::default(),
        rise: 1,
        fall: 1,
        user: None,
        comments: line.all_comments(),
    }
}
