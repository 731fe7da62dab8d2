//! How the nodes hear each other: unicast or multicast, peers, source.

use std::net::IpAddr;

use super::{Globals, last, reach};
use crate::import::{
    ledger::Ledger,
    outline::{Entry, list, quoted},
    tree::Node,
};

/// Reads transport, peers and source; `six`: the addresses are IPv6.
pub(super) fn hearing(head: &Node, read: &[&Node], globals: &Globals, six: bool, ledger: &mut Ledger) -> Vec<Entry> {
    let mut entries = Vec::new();
    let blocks: Vec<&&Node> = read.iter().filter(|node| node.keyword() == "unicast_peer").collect();
    let mut peers = Vec::new();
    let mut limits = Vec::new();
    for block in &blocks {
        ledger.mapped(block.place, "transport = \"unicast\", peers");
        for line in block.inner() {
            if let Some(address) = peer(line, six, ledger) {
                peers.push(address);
                limits.push(reach::limits(line, ledger));
            }
        }
    }
    entries.extend(reach::range(&limits, ledger));
    entries.extend(reach::reach(read, globals, blocks.is_empty(), six, ledger));
    if let Some(block) = blocks.first() {
        if peers.is_empty() {
            ledger.refused(
                block.place,
                "there is no peer here, and keepalived falls back to multicast: remove the block, or name the peers",
            );
        } else {
            entries.push(Entry::plain("transport", quoted("unicast")));
            entries.push(Entry::of("peers", list(&peers), block));
        }
    } else {
        let note = "keepalived does not say where the other nodes are: write peers = [\"…\"] in ha.toml, so that a silent peer is seen";
        ledger.mapped(head.place, note);
    }
    let (own, other) =
        if blocks.is_empty() { ("mcast_src_ip", "unicast_src_ip") } else { ("unicast_src_ip", "mcast_src_ip") };
    if let Some(node) = last(other, read, ledger) {
        ledger
            .dropped(node.place, format!("it is for {} only", if blocks.is_empty() { "unicast" } else { "multicast" }));
    }
    if let Some(node) = last(own, read, ledger) {
        entries.extend(source(node, six, blocks.is_empty(), &peers, ledger));
    }
    entries
}

fn peer(line: &Node, six: bool, ledger: &mut Ledger) -> Option<String> {
    let text = line.text(0);
    match text.parse::<IpAddr>() {
        Ok(address) if address.is_ipv6() == six => {
            ledger.mapped(line.place, "");
            Some(address.to_string())
        }
        Ok(address) => {
            ledger.refused(
                line.place,
                format!("{address} is of another family than the addresses: write the peer's address of theirs"),
            );
            None
        }
        Err(_) => {
            ledger.refused(line.place, format!("\"{text}\" is not an address: mend or remove it"));
            None
        }
    }
}

fn source(node: &Node, six: bool, multicast: bool, peers: &[String], ledger: &mut Ledger) -> Option<Entry> {
    let text = node.text(1);
    let address = text.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() == six);
    let Some(address) = address else {
        ledger.refused(
            node.place,
            format!("\"{text}\" is not an address of the family of the virtual addresses: mend it"),
        );
        return None;
    };
    let local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    if six && multicast && !local {
        ledger.refused(
            node.place,
            "advertisements over IPv6 come from a link-local address: remove the line, or write that of the interface",
        );
        return None;
    }
    if peers.contains(&address.to_string()) {
        ledger.refused(node.place, format!("{address} is named as a peer as well: remove it from unicast_peer"));
        return None;
    }
    ledger.mapped(node.place, format!("source = \"{address}\""));
    Some(Entry::of("source", format!("\"{address}\""), node))
}
