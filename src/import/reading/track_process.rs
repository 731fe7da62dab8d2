//! `vrrp_track_process` at the top of the file, `track_process` in instances and groups: so many processes of a name.

use super::{
    last, script, sorted,
    track::{Tracked, Whose},
    value,
};
use crate::import::{
    keyword::Context,
    ledger::{Ledger, Place},
    outline::{Entry, quoted, time},
    reading::script::Weight,
    tree::Node,
};

/// The longest delay of `ha`, in microseconds.
const DELAY_MAX: u64 = 3_600_000_000;

/// Processes as they are defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct Process {
    name: String,
    place: Place,
    program: String,
    weight: Weight,
    /// What else an entry says, as TOML.
    more: String,
}

/// Reads one block at the top of the file.
pub(in crate::import) fn process(node: &Node, ledger: &mut Ledger) -> Option<Process> {
    let read = sorted(Context::Process, node.inner(), ledger);
    ledger.mapped(node.place, "");
    let Some(command) = last("process", &read, ledger) else {
        ledger
            .refused(node.place, "there is no process in it: keepalived leaves it out; write one, or remove the block");
        return None;
    };
    let words: Vec<&str> = command.words.iter().skip(1).flat_map(|word| word.text.split_whitespace()).collect();
    let (path, parameters) = words.split_first()?;
    let program = path.rsplit('/').next().unwrap_or(path);
    if program.is_empty() {
        ledger.refused(command.place, format!("\"{path}\" is not the name of a program: write it"));
        return None;
    }
    ledger.mapped(command.place, "");
    let mut more = String::new();
    let full = last("full_command", &read, ledger).is_some_and(|node| {
        ledger.mapped(node.place, "the whole path is looked for in the command line");
        true
    });
    if let Some(text) = cmdline(command, parameters, full.then_some(*path), &read, ledger) {
        more += &format!(", cmdline = {}", quoted(&text));
    }
    let mut count = |keyword| {
        let node = last(keyword, &read, ledger)?;
        let number = value::number(node, 0, 65_535, ledger)?;
        ledger.mapped(node.place, "");
        Some(number)
    };
    let (quorum, most) = (count("quorum"), count("quorum_max"));
    match (quorum, most) {
        (Some(1) | None, None) | (None, Some(0)) => {}
        (Some(least), _) => more += &format!(", min = {least}"),
        (None, Some(_)) => {}
    }
    if let Some(most) = most {
        more += &format!(", max = {most}");
    }
    if let (Some(least), Some(most)) = (quorum.or((most != Some(0)).then_some(1)), most)
        && most < least
    {
        ledger.refused(
            node.place,
            format!("quorum_max {most} is less than quorum {least}: write the ones that are meant"),
        );
    }
    if quorum == Some(0) && most.is_none() {
        ledger.refused(
            node.place,
            "with quorum 0 any number of processes is enough: remove the block, or write quorum 1",
        );
    }
    for (keyword, keys) in [
        ("delay", &["up_delay", "down_delay"][..]),
        ("fork_delay", &["up_delay"]),
        ("terminate_delay", &["down_delay"]),
    ] {
        let Some(node) = last(keyword, &read, ledger) else { continue };
        let Some(micros) = value::seconds(node, 0, DELAY_MAX, ledger) else { continue };
        ledger.mapped(node.place, "");
        for key in keys.iter().filter(|_| micros > 0) {
            more = format!("{}, {key} = {}", without(&more, key), quoted(&time(micros)));
        }
    }
    let weight = last("weight", &read, ledger).map(|node| {
        ledger.mapped(node.place, "");
        script::weight(node, 1, 254, ledger)
    });
    Some(Process {
        name: node.text(1).to_owned(),
        place: node.place,
        program: program.to_owned(),
        weight: weight.unwrap_or_default(),
        more,
    })
}

/// What the command line must have in it.
fn cmdline(
    command: &Node,
    parameters: &[&str],
    path: Option<&str>,
    read: &[&Node],
    ledger: &mut Ledger,
) -> Option<String> {
    let matched = last("param_match", read, ledger);
    if let Some(node) = matched {
        match node.text(1) {
            "initial" | "partial" => {
                ledger.mapped(node.place, "ha looks for the parameters anywhere in the command line")
            }
            other => {
                ledger.refused(node.place, format!("\"{other}\" is neither initial nor partial: write one of them"))
            }
        }
    } else if !parameters.is_empty() {
        let todo = "ha does not compare all parameters, it looks for a text in the command line: write param_match partial, or remove the parameters";
        ledger.refused(command.place, todo);
    }
    let words: Vec<&str> = path.into_iter().chain(parameters.iter().copied()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// An earlier delay does not count where a more exact one follows.
fn without(more: &str, key: &str) -> String {
    let kept = more.split(", ").filter(|part| !part.starts_with(&format!("{key} = ")));
    kept.collect::<Vec<_>>().join(", ")
}

/// Reads `track_process` of an instance or a group.
pub(super) fn processes(blocks: &[&Node], defined: &[Process], whose: Whose<'_>, ledger: &mut Ledger) -> Option<Entry> {
    let mut list = Tracked::default();
    for block in blocks {
        ledger.mapped(block.place, "");
        list.comments(&block.comments, block.trailing.as_ref());
        for line in block.inner() {
            list.comments(&line.all_comments(), None);
            let name = line.text(0);
            let Some(process) = defined.iter().rev().find(|process| process.name == name) else {
                let what = format!("there is no vrrp_track_process {name}: keepalived ignores it");
                ledger.refused(line.place, format!("{what}; define it, or remove the line"));
                continue;
            };
            let named = format!("{}{}", process.program, process.more);
            if list.names(&named) {
                ledger.dropped(line.place, "it is tracked already");
                continue;
            }
            super::track::late(process.place, line.place, &format!("vrrp_track_process {name}"), ledger);
            let weight = super::track::weight(line, process.weight, 254, ledger);
            list.add(("process", &process.program, &process.more), weight, whose, line, ledger);
        }
    }
    list.entry("track.processes")
}
