//! Whether the addresses answer: accept, no_accept.

use crate::import::{ledger::Ledger, outline::Entry, tree::Node};

/// Of both words the last one counts.
pub(super) fn accept(read: &[&Node], ledger: &mut Ledger) -> Option<Entry> {
    let mut words: Vec<&&Node> = read.iter().filter(|node| matches!(node.keyword(), "accept" | "no_accept")).collect();
    let last = words.pop()?;
    for earlier in words {
        ledger.dropped(earlier.place, format!("{} in line {} counts", last.keyword(), last.place.line));
    }
    if last.keyword() == "accept" {
        ledger.dropped(last.place, "it is so anyway");
        return None;
    }
    ledger.mapped(last.place, "accept = false");
    Some(Entry::of("accept", "false".to_owned(), last))
}
