//! Who serves: state, priority, preemption.

use super::{last, value};
use crate::import::{
    ledger::Ledger,
    outline::{Entry, time},
    tree::Node,
};

/// How the instance stands in an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Election {
    /// Base priority, without what checks add.
    pub(super) priority: i64,
    pub(super) node: Option<Entry>,
    pub(super) never_preempts: bool,
    pub(super) entries: Vec<Entry>,
}

/// Reads them; `head` is the instance.
pub(super) fn election(head: &Node, read: &[&Node], ledger: &mut Ledger) -> Election {
    let master = state(last("state", read, ledger), ledger);
    let written = last("priority", read, ledger);
    let (priority, entry) = match written {
        Some(node) => {
            let priority = value::number(node, 1, 255, ledger).unwrap_or(100);
            ledger.mapped(node.place, format!("priority = {priority}"));
            (priority, Entry::of("priority", priority.to_string(), node))
        }
        None if master => {
            let place = last("state", read, ledger).map_or(head.place, |state| state.place);
            let note = "state MASTER without a priority is priority 255 in keepalived, the owner of the address, whose weighted checks \
                        are ignored; it is written as 255. Write the priority that is meant, 150 for instance, if this was an oversight";
            ledger.mapped(place, note);
            let mut entry = Entry::plain("priority", "255".to_owned());
            entry.comments = vec!["# keepalived's default with `state MASTER`; probably an oversight.".to_owned()];
            (255, entry)
        }
        None => {
            ledger.mapped(head.place, "there is no priority, which is 100 in keepalived and here");
            (100, Entry::plain("priority", "100".to_owned()))
        }
    };
    let mut election = Election { priority, node: Some(entry), never_preempts: false, entries: Vec::new() };
    preemption(&mut election, master, read, ledger);
    election
}

fn state(node: Option<&Node>, ledger: &mut Ledger) -> bool {
    let Some(node) = node else { return false };
    match node.text(1) {
        "MASTER" => {
            ledger.mapped(
                node.place,
                "the priority decides, in keepalived too: nothing starts as master unless its priority is 255",
            );
            true
        }
        "BACKUP" => {
            ledger.mapped(node.place, "every node starts as backup");
            false
        }
        other => {
            let what = format!("\"{other}\" is no state, and keepalived takes BACKUP");
            ledger.refused(node.place, format!("{what}: write MASTER or BACKUP"));
            false
        }
    }
}

fn preemption(election: &mut Election, master: bool, read: &[&Node], ledger: &mut Ledger) {
    let never = last("nopreempt", read, ledger);
    let delay = last("preempt_delay", read, ledger);
    let cancelled = if master {
        Some(
            "state MASTER cancels it in keepalived: this node preempts at once. Write state BACKUP on both nodes if it is meant",
        )
    } else if election.priority == 255 {
        Some("priority 255 cancels it in keepalived: an owner preempts at once")
    } else {
        None
    };
    if let Some(node) = never {
        if !value::truth(node, ledger) {
            ledger.mapped(node.place, "preempt = true, which is so anyway");
        } else if let Some(why) = cancelled {
            ledger.dropped(node.place, why);
        } else {
            ledger.mapped(node.place, "preempt = false");
            election.never_preempts = true;
            election.entries.push(Entry::of("preempt", "false".to_owned(), node));
        }
    }
    let Some(node) = delay else { return };
    let Some(micros) = value::seconds(node, 0, 1_000_000_000, ledger) else { return };
    if let Some(why) = cancelled {
        ledger.dropped(node.place, why);
    } else if election.never_preempts {
        ledger.dropped(node.place, "nopreempt cancels it in keepalived: there is nothing to delay");
    } else {
        let value = format!("\"{}\"", time(micros));
        let note = "keepalived counts from the first lower advertisement, ha from when this node is fit";
        ledger.mapped(node.place, format!("preempt_delay = {value}: {note}"));
        election.entries.push(Entry::of("preempt_delay", value, node));
    }
}
