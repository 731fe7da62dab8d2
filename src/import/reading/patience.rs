//! How many advertisements may be missed: `down_timer_adverts`, `vrrp_down_timer_adverts`.

use super::{last, value};
use crate::import::{ledger::Ledger, outline::Entry, tree::Node};

/// The protocol's own.
const USUAL: i64 = 3;

/// What `global_defs` says for every instance.
pub(super) fn global(read: &[&Node], ledger: &mut Ledger) -> Option<i64> {
    let node = last("vrrp_down_timer_adverts", read, ledger)?;
    let adverts = adverts(node, ledger)?;
    ledger.mapped(node.place, "written in each instance");
    Some(adverts)
}

/// Of an instance. All nodes of keepalived must have the same: it counts for the peer too.
pub(super) fn patience(read: &[&Node], global: Option<i64>, ledger: &mut Ledger) -> Vec<Entry> {
    let node = last("down_timer_adverts", read, ledger);
    let own = node.and_then(|node| Some((node, adverts(node, ledger)?)));
    if let Some((node, adverts)) = own {
        ledger.mapped(node.place, format!("down_adverts = {adverts}, peer_down_adverts = {adverts}"));
    }
    // The protocol's own is written where it was.
    let inherited = global.filter(|adverts| *adverts != USUAL);
    let Some(adverts) = own.map(|(_, adverts)| adverts).or(inherited) else { return Vec::new() };
    let text = adverts.to_string();
    let first = own.map_or_else(
        || Entry::plain("down_adverts", text.clone()),
        |(node, _)| Entry::of("down_adverts", text.clone(), node),
    );
    vec![first, Entry::plain("peer_down_adverts", text)]
}

fn adverts(node: &Node, ledger: &mut Ledger) -> Option<i64> {
    let adverts = value::number(node, 1, 100, ledger)?;
    if adverts == 1 {
        let todo = "with 1 a single lost advertisement moves the address: write 2 or more on every node";
        ledger.refused(node.place, todo);
        return None;
    }
    Some(adverts)
}
