//! `net_namespace`, at the top or in `global_defs`.

use super::last;
use crate::import::{
    ledger::Ledger,
    outline::{Entry, Outline, quoted},
    tree::Node,
};

/// `nodes`: everything that is read in both places.
pub(in crate::import) fn netns(nodes: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    let Some(node) = last("net_namespace", nodes, ledger) else { return };
    let name = node.text(1);
    if name.is_empty() || name.contains('/') {
        let todo = "write the name of a network namespace, as `ip netns list` shows it, behind net_namespace";
        return ledger.refused(node.place, todo);
    }
    let entry = Entry::of("netns", quoted(name), node);
    ledger.mapped(node.place, format!("netns = {}", entry.value));
    out.root.push(entry);
}
