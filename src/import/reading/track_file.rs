//! `track_file` at the top of the file and in instances and groups: numbers in files.

use super::{
    last, script, sorted,
    track::{Tracked, Whose},
};
use crate::import::{
    keyword::Context,
    ledger::{Ledger, Place},
    outline::Entry,
    reading::script::Weight,
    tree::Node,
};

/// A file as it is defined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::import) struct File {
    name: String,
    place: Place,
    path: String,
    weight: Weight,
    /// What it counts as while it does not exist.
    missing: i64,
}

/// Reads one block at the top of the file.
pub(in crate::import) fn file(node: &Node, ledger: &mut Ledger) -> Option<File> {
    let read = sorted(Context::File, node.inner(), ledger);
    ledger.mapped(node.place, "");
    let Some(path) = last("file", &read, ledger) else {
        ledger.refused(node.place, "there is no file in it: keepalived leaves it out; write one, or remove the block");
        return None;
    };
    if !path.text(1).starts_with('/') {
        ledger.refused(path.place, "write the whole path of the file, from / on");
        return None;
    }
    ledger
        .mapped(path.place, "what cannot be read, or is no number, keeps the role as it is; keepalived counts it as 0");
    let weight = last("weight", &read, ledger).map(|node| {
        ledger.mapped(node.place, "");
        script::weight(node, 1, 254, ledger)
    });
    let init = last("init_file", &read, ledger).map(|node| {
        let words: Vec<&str> = node.words.iter().skip(1).map(|word| word.text.as_str()).collect();
        let number = words.first().filter(|word| **word != "overwrite").map_or(Some(0), |word| word.parse().ok());
        if number.is_none() {
            ledger.refused(node.place, format!("\"{}\" is no number: write the one that is meant", node.text(1)));
        }
        let number = number.unwrap_or(0);
        ledger.mapped(
            node.place,
            format!("missing = {number}: ha writes no such file; while there is none it counts as that"),
        );
        if words.contains(&"overwrite") {
            ledger.mapped(node.place, "ha does not overwrite it at its start either: what it says then counts");
        }
        number
    });
    let weight = weight.unwrap_or(Weight { number: 1, reverse: false });
    let missing = init.unwrap_or(0);
    Some(File { name: node.text(1).to_owned(), place: node.place, path: path.text(1).to_owned(), weight, missing })
}

/// Reads `track_file` of an instance or a group.
pub(super) fn files(blocks: &[&Node], defined: &[File], whose: Whose<'_>, ledger: &mut Ledger) -> Option<Entry> {
    let mut list = Tracked::default();
    for block in blocks {
        ledger.mapped(block.place, "");
        list.comments(&block.comments, block.trailing.as_ref());
        for line in block.inner() {
            list.comments(&line.all_comments(), None);
            let name = line.text(0);
            let Some(file) = defined.iter().rev().find(|file| file.name == name) else {
                let what = format!("there is no track_file {name}: keepalived ignores it");
                ledger.refused(line.place, format!("{what}; define it, or remove the line"));
                continue;
            };
            let more = format!(", missing = {}", file.missing);
            if list.names(&format!("{}{more}", file.path)) {
                ledger.dropped(line.place, "it is tracked already");
                continue;
            }
            let weight = super::track::weight(line, file.weight, 254, ledger);
            if !whose.weightless || weight.number == 0 {
                super::track::late(file.place, line.place, &format!("track_file {name}"), ledger);
            }
            // The number has a sign of its own; only a fault needs to be told the other way around.
            let weight = if weight.reverse && weight.number != 0 {
                Weight { number: -weight.number, reverse: false }
            } else {
                weight
            };
            list.add(("file", &file.path, &more), weight, whose, line, ledger);
        }
    }
    list.entry("track.files")
}
