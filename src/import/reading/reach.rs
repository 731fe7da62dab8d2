//! How far advertisements go and come from: the group of multicast, the TTL of unicast.

use std::net::IpAddr;

use super::{Globals, last, value};
use crate::import::{
    ledger::{Ledger, Place},
    outline::Entry,
    tree::Node,
};

/// The TTL and hop limit of everything that `ha` sends.
const SENT: i64 = 255;

/// The group a line names, of the family; `None` where it names none.
pub(super) fn group(node: &Node, six: bool, ledger: &mut Ledger) -> Option<IpAddr> {
    let text = node.text(1);
    let fits = |group: &IpAddr| match group {
        IpAddr::V4(group) => !six && group.is_multicast(),
        IpAddr::V6(group) => {
            six && group.is_multicast() && group.segments().first().is_some_and(|first| first & 15 == 2)
        }
    };
    let group = text.parse::<IpAddr>().ok().filter(fits);
    if group.is_some() {
        ledger.mapped(node.place, format!("multicast_group = \"{text}\""));
    } else {
        let family = if six { "a link-local IPv6" } else { "an IPv4" };
        let what = format!("\"{text}\" is not {family} group: write the one that is meant");
        ledger.refused(node.place, what);
    }
    group
}

/// Reads `mcast_dst_ip` and `unicast_ttl` of an instance; `six`: the addresses are IPv6.
pub(super) fn reach(
    read: &[&Node],
    globals: &Globals,
    multicast: bool,
    six: bool,
    ledger: &mut Ledger,
) -> Option<Entry> {
    if let Some(node) = last("unicast_ttl", read, ledger) {
        ttl(node, multicast, ledger);
    }
    let own = last("mcast_dst_ip", read, ledger);
    if let Some(node) = own.filter(|_| !multicast) {
        ledger.dropped(node.place, "it is for multicast only");
        return None;
    }
    if let Some(node) = own {
        let group = group(node, six, ledger)?;
        return Some(Entry::of("multicast_group", format!("\"{group}\""), node));
    }
    let [four, other] = globals.groups;
    let group = if six { other } else { four }.filter(|_| multicast)?;
    Some(Entry::plain("multicast_group", format!("\"{group}\"")))
}

/// What is sent with 255 arrives wherever a lower one does.
fn ttl(node: &Node, multicast: bool, ledger: &mut Ledger) {
    if multicast {
        let text = "without unicast_peer keepalived sends with TTL 0 then, and nobody hears it: remove the line";
        ledger.refused(node.place, text);
    } else if value::number(node, 0, SENT, ledger).is_some() {
        ledger.dropped(node.place, "ha sends with TTL 255, which goes as far; a peer with max_ttl must let it pass");
    }
}

/// The range of the TTL behind a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    least: i64,
    most: i64,
    place: Place,
}

/// The range of every peer, which is one for all of an instance here.
pub(super) fn range(limits: &[Limits], ledger: &mut Ledger) -> Vec<Entry> {
    let Some(&Limits { least, most, .. }) = limits.first() else { return Vec::new() };
    if let Some(other) = limits.iter().find(|other| (other.least.max(1), other.most) != (least.max(1), most)) {
        let todo =
            "ha has one min_ttl and one max_ttl for all peers of an instance: write the same behind each of them";
        ledger.refused(other.place, todo);
        return Vec::new();
    }
    let keys = [("min_ttl", least, least > 1), ("max_ttl", most, most < SENT)];
    let written = keys.into_iter().filter(|(_, _, says)| *says);
    let entries: Vec<Entry> = written.map(|(key, ttl, _)| Entry::plain(key, ttl.to_string())).collect();
    if !entries.is_empty() {
        let note =
            entries.iter().map(|entry| format!("{} = {}", entry.key, entry.value)).collect::<Vec<_>>().join(", ");
        limits.iter().for_each(|limit| ledger.mapped(limit.place, note.clone()));
    }
    entries
}

/// What stands behind a peer; everything where nothing does.
pub(super) fn limits(line: &Node, ledger: &mut Ledger) -> Limits {
    let mut limits = Limits { least: 0, most: SENT, place: line.place };
    let mut words = line.words.iter().skip(1);
    while let Some(word) = words.next() {
        let number = words.next().and_then(|number| number.text.parse::<i64>().ok());
        match (word.text.as_str(), number.filter(|ttl| (0..=SENT).contains(ttl))) {
            ("min_ttl", Some(limit)) => limits.least = limit,
            ("max_ttl", Some(limit)) => limits.most = limit,
            (word, _) => {
                let what = format!("\"{word}\" behind a peer is not understood: remove it, or mend its number");
                ledger.refused(line.place, what);
            }
        }
    }
    if limits.least > limits.most || limits.most == 0 {
        ledger.refused(line.place, "nothing has a TTL in this range, so keepalived hears nobody: mend its numbers");
    }
    limits
}
