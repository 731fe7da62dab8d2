//! Whether an instance minds its own interface: `dont_track_primary`.

use crate::import::{ledger::Ledger, outline::Entry, tree::Node};

/// It is a word without a value.
pub(super) fn tracked(node: Option<&Node>, ledger: &mut Ledger) -> Option<Entry> {
    let node = node?;
    let note = "the addresses on the interface itself go while it has no carrier, for nobody reaches them there";
    ledger.mapped(node.place, format!("track_own_interface = false: {note}"));
    Some(Entry::of("track_own_interface", "false".to_owned(), node))
}
