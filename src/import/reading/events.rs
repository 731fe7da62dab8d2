//! `notify_fifo`: what happens, as lines in a FIFO.

use super::{last, value};
use crate::import::{
    ledger::Ledger,
    outline::{Entry, Outline, quoted},
    tree::Node,
};

/// What `global_defs` says of it. Two of them are one in `ha`.
pub(super) fn global(read: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    let fifos: Vec<&Node> =
        ["vrrp_notify_fifo", "notify_fifo"].iter().filter_map(|word| last(word, read, ledger)).collect();
    if let Some((node, others)) = fifos.split_first() {
        if node.text(1).starts_with('/') {
            let value = quoted(node.text(1));
            ledger.mapped(
                node.place,
                format!(
                    "events.fifo = {value}; where its reader does not keep up ha drops the oldest lines, and says so"
                ),
            );
            out.events.push(Entry::of("fifo", value, node));
        } else {
            ledger.refused(node.place, "write the whole path of the FIFO");
        }
        if !node.text(2).is_empty() {
            ledger
                .mapped(node.place, "the FIFO belongs to the user that runs ha: its reader must be the same, or root");
        }
        for other in others {
            ledger.refused(
                other.place,
                "ha has one FIFO: let both programs read the lines from one, and remove this line",
            );
        }
    }
    if let Some(node) = last("vrrp_notify_priority_changes", read, ledger) {
        priorities(node, out, ledger);
    }
}

/// What instances and groups say of it; it is about all of them in `ha`.
pub(in crate::import) fn events(instances: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    for node in instances.iter().flat_map(|instance| instance.inner()) {
        if node.keyword() == "notify_priority_changes" {
            priorities(node, out, ledger);
        }
    }
}

fn priorities(node: &Node, out: &mut Outline, ledger: &mut Ledger) {
    if !value::truth(node, ledger) {
        return ledger.dropped(node.place, "it is so anyway");
    }
    let has = |key: &str| out.events.iter().any(|entry| entry.key == key);
    if !has("fifo") {
        return ledger.dropped(node.place, "there is no FIFO that is told of it");
    }
    ledger.mapped(node.place, "events.priority_changes = true, which is about every instance");
    if !has("priority_changes") {
        out.events.push(Entry::plain("priority_changes", "true".to_owned()));
    }
}
