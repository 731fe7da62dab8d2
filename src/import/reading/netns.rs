//! `net_namespace`, at the top of the file.

use crate::import::{
    ledger::Ledger,
    outline::{Entry, Outline, quoted},
    tree::Node,
};

/// Of several the first one counts, as in keepalived.
pub(in crate::import) fn netns(nodes: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    let Some((node, later)) = nodes.split_first() else { return };
    for other in later {
        ledger.dropped(
            other.place,
            format!("net_namespace is written in line {} already, which counts", node.place.line),
        );
    }
    let name = node.text(1);
    if name.is_empty() || name.contains('/') {
        let todo = "write the name of a network namespace, as `ip netns list` shows it, behind net_namespace";
        return ledger.refused(node.place, todo);
    }
    let entry = Entry::of("netns", quoted(name), node);
    ledger.mapped(node.place, format!("netns = {}", entry.value));
    out.root.push(entry);
}
