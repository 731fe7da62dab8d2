//! `virtual_ipaddress`.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    list,
    settings::{self, Around, Settings},
};
use crate::import::{ledger::Ledger, outline::Entry, tree::Node};

/// One address, and where it stands.
struct Given<'n> {
    net: IpNet,
    settings: Settings,
    line: &'n Node,
}

impl Given<'_> {
    fn entry(&self) -> String {
        self.settings.entry(&self.net)
    }
}

/// Reads the addresses of an instance, as entries of its section, and whether it is one of IPv6.
pub(super) fn addresses(read: &[&Node], interface: &str, vrid: i64, ledger: &mut Ledger) -> (Vec<Entry>, bool) {
    let mut known: Vec<(IpAddr, usize)> = Vec::new();
    let of = |keyword: &str| -> Vec<&Node> { read.iter().filter(|node| node.keyword() == keyword).copied().collect() };
    let (blocks, beside) = (of("virtual_ipaddress"), of("virtual_ipaddress_excluded"));
    let around = Around { interface, own: !of("use_vmac").is_empty(), beside: !of("use_vmac_addr").is_empty() };
    for node in of("use_vmac_addr") {
        ledger.mapped(node.place, "virtual_mac = true of each address on another interface");
    }
    let mut list = listed(&blocks, "addresses", around, &mut known, ledger);
    let six = list.first().is_some_and(|first| first.net.addr().is_ipv6());
    for Given { net, line, .. } in list.iter().filter(|given| given.net.addr().is_ipv6() != six) {
        let todo = "keepalived refuses an address of the other family here: write it in virtual_ipaddress_excluded";
        ledger.refused(line.place, format!("{}: {todo}", net.addr()));
    }
    if six {
        link_local_first(&mut list, vrid, ledger);
    }
    let excluded = listed(&beside, "addresses_excluded", around, &mut known, ledger);
    let mut entries = Vec::new();
    match blocks.first() {
        Some(first) if list.is_empty() => {
            ledger.refused(first.place, "an instance of ha has at least one address: write the address that moves");
        }
        Some(_) => entries.push(entry("addresses", &list, &blocks)),
        None => {}
    }
    if !excluded.is_empty() {
        entries.push(entry("addresses_excluded", &excluded, &beside));
    }
    (entries, six)
}

fn listed<'n>(
    blocks: &[&'n Node],
    key: &str,
    around: Around<'_>,
    known: &mut Vec<(IpAddr, usize)>,
    ledger: &mut Ledger,
) -> Vec<Given<'n>> {
    let mut list = Vec::new();
    let advertised = key == "addresses";
    for block in blocks {
        ledger.mapped(block.place, key);
        for line in block.inner() {
            let Some((net, settings)) = address(line, around, ledger) else { continue };
            match known.iter().find(|(earlier, _)| *earlier == net.addr()) {
                // Its peers compare the lists.
                Some((_, first))
                    if list.iter().any(|given: &Given<'_>| given.net.addr() == net.addr()) && advertised =>
                {
                    let todo = format!(
                        "keepalived advertises it twice, for it is in line {first} too, and ha once: remove it here, on every node"
                    );
                    ledger.refused(line.place, format!("{}: {todo}", net.addr()));
                }
                Some((_, first)) => {
                    ledger.dropped(line.place, format!("{} is there already, in line {first}", net.addr()));
                }
                None => {
                    known.push((net.addr(), line.place.line));
                    list.push(Given { net, settings, line });
                }
            }
        }
    }
    list
}

fn entry(key: &'static str, given: &[Given<'_>], blocks: &[&Node]) -> Entry {
    let lines: Vec<(String, &Node)> = given.iter().map(|given| (given.entry(), given.line)).collect();
    list::entry(key, &lines, blocks)
}

/// RFC 9568 wants a link-local address first; keepalived does not care for the order.
fn link_local_first(list: &mut [Given<'_>], vrid: i64, ledger: &mut Ledger) {
    let local = |given: &Given<'_>| matches!(given.net.addr(), IpAddr::V6(address) if address.is_unicast_link_local());
    let Some(at) = list.iter().position(local) else {
        if let Some(Given { line, .. }) = list.first() {
            let todo = format!(
                "ha needs a link-local address first (RFC 9568): write fe80::{vrid:x}/64 before it, on both nodes"
            );
            ledger.refused(line.place, todo);
        }
        return;
    };
    if at > 0 {
        if let Some(Given { line, .. }) = list.get(at) {
            ledger.mapped(line.place, "the link-local address comes first; peers do not look at the order");
        }
        if let Some(upto) = list.get_mut(..=at) {
            upto.rotate_right(1);
        }
    }
}

fn address(line: &Node, around: Around<'_>, ledger: &mut Ledger) -> Option<(IpNet, Settings)> {
    let text = line.text(0);
    let net = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(net), _) => net,
        (Err(_), Ok(address)) => {
            let net = IpNet::from(address);
            let note = format!(
                "there is no prefix here, which is {net} in keepalived and here; write that of its network if clients are in it"
            );
            ledger.mapped(line.place, note);
            net
        }
        (Err(_), Err(_)) => {
            ledger.refused(
                line.place,
                format!("\"{text}\" is not an address, and keepalived leaves it out: mend or remove it"),
            );
            return None;
        }
    };
    let settings = settings::read(line, net, around, ledger);
    ledger.mapped(line.place, settings.entry(&net));
    Some((net, settings))
}
