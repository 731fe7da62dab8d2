//! `notify` and its like: scripts that are told of transitions.

use super::{Globals, globals::with_group, last};
use crate::import::{
    check::split,
    ledger::Ledger,
    outline::{Entry, list, quoted},
    tree::Node,
};

/// keepalived's word and ours, in the order of the file.
const WORDS: [(&str, &str); 7] = [
    ("notify", "notify.run"),
    ("notify_master", "notify.master"),
    ("notify_backup", "notify.backup"),
    ("notify_fault", "notify.fault"),
    ("notify_stop", "notify.stop"),
    ("notify_deleted", "notify.deleted"),
    ("notify_master_rx_lower_pri", "notify.lower_priority"),
];
const AND: &str = "it is killed after notify.timeout, 30 s; one at a time, in order, and a newer transition takes the place of one that waits";

/// The entries of an instance, or of a group: `arguments` says what is behind those of the general program.
pub(super) fn told(read: &[&Node], arguments: &str, globals: &Globals, ledger: &mut Ledger) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut users: Vec<(Option<String>, &Node)> = Vec::new();
    for (word, key) in WORDS {
        let Some(node) = last(word, read, ledger) else { continue };
        if node.words.len() == 1 && word == "notify_deleted" {
            ledger.mapped(node.place, format!("{key} = []: notify.run is told DELETED, not FAULT"));
            entries.push(Entry::of(key, "[]".to_owned(), node));
            continue;
        }
        let Some(argv) = argv(node, ledger) else { continue };
        let value = list(&argv);
        let arguments = if word == "notify" { format!(", with {arguments} behind") } else { String::new() };
        let and = if users.is_empty() { format!("; {AND}") } else { String::new() };
        ledger.mapped(node.place, format!("{key} = {value}{arguments}{and}"));
        entries.push(Entry::of(key, value, node));
        let user = user(node, globals);
        if let Some(user) = &user {
            say_user(node, user, ledger);
        }
        users.push((user, node));
    }
    let Some((first, _)) = users.first().cloned() else { return entries };
    if let Some((_, node)) = users.iter().find(|(other, _)| *other != first) {
        let todo =
            "the scripts of this block run as different users, and ha has one for all of them: write the same for each";
        ledger.refused(node.place, todo);
    }
    match first {
        Some(user) if user != "root" => entries.push(Entry::plain("notify.user", quoted(&user))),
        Some(_) => {}
        None => {
            for (_, node) in users {
                let note = "keepalived runs it as keepalived_script where there is such a user, else as root; ha as its own user unless notify.user is written";
                ledger.mapped(node.place, note);
            }
        }
    }
    entries
}

/// `user`, `user:group`, as it is written or of all scripts.
fn user(node: &Node, globals: &Globals) -> Option<String> {
    match node.text(2) {
        "" => globals.user_of_scripts(),
        user => Some(with_group(user, node.text(3))),
    }
}

/// Says as whom the programs run, and what the words behind one mean to keepalived.
fn say_user(node: &Node, user: &str, ledger: &mut Ledger) {
    let whence = if node.text(2).is_empty() {
        ", of script_user"
    } else {
        ": what stands behind the program is a user and a group, in keepalived too; its arguments stand in one pair of quotes with it"
    };
    let written = if user == "root" {
        "ha runs it as its own user".to_owned()
    } else {
        format!("notify.user = {}", quoted(user))
    };
    ledger.mapped(node.place, format!("{written}{whence}"));
}

fn argv(node: &Node, ledger: &mut Ledger) -> Option<Vec<String>> {
    let command = node.text(1);
    let argv = split(command).filter(|argv| !argv.is_empty());
    let Some(argv) = argv else {
        ledger.refused(
            node.place,
            format!("\"{command}\" is no command: write the path of the script and its arguments"),
        );
        return None;
    };
    if argv.first().is_some_and(|program| !program.starts_with('/')) {
        ledger.refused(node.place, format!("{command} has no directory: write the whole path of the program"));
        return None;
    }
    Some(argv)
}
