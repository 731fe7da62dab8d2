//! The virtual router MAC address: use_vmac, vmac_xmit_base.

use super::last;
use crate::{
    import::{
        ledger::Ledger,
        outline::{Entry, Section, quoted},
        tree::Node,
    },
    words::InterfaceName,
};

/// Reads them; `owner`: the priority is 255.
pub(super) fn vmac(read: &[&Node], owner: bool, ledger: &mut Ledger) -> Vec<Entry> {
    let base = last("vmac_xmit_base", read, ledger);
    let Some(node) = last("use_vmac", read, ledger) else {
        if let Some(base) = base {
            ledger.dropped(base.place, "there is no use_vmac");
        }
        return Vec::new();
    };
    if owner {
        let todo = "in ha an owner (priority 255) has the address on its interface already: remove use_vmac, or lower the priority";
        ledger.refused(node.place, todo);
        if let Some(base) = base {
            ledger.dropped(base.place, "it is about use_vmac");
        }
        return Vec::new();
    }
    let mut entries = vec![Entry::of("virtual_mac", "true".to_owned(), node)];
    ledger.mapped(node.place, "virtual_mac = true");
    if let Some(name) = name(node, ledger) {
        ledger.mapped(node.place, format!("virtual_mac_name = {}", quoted(name)));
        entries.push(Entry::plain("virtual_mac_name", quoted(name)));
    }
    let unicast = read.iter().any(|node| node.keyword() == "unicast_peer");
    match base {
        Some(base) if unicast => ledger.dropped(base.place, "by unicast it is so anyway"),
        Some(base) => {
            ledger.mapped(base.place, "virtual_mac_advertise = \"base\"");
            entries.push(Entry::of("virtual_mac_advertise", quoted("base"), base));
        }
        None => {}
    }
    entries
}

/// Names the device of a section whose default name an earlier one has: the same identifier on another interface.
pub(in crate::import) fn name_device(section: &mut Section, earlier: &[Section], node: &Node, ledger: &mut Ledger) {
    let value = |section: &Section, key: &str| {
        section.entries.iter().find(|entry| entry.key == key).map(|entry| entry.value.clone())
    };
    let six = |section: &Section| value(section, "addresses").is_some_and(|list| list.contains("::"));
    let names_none =
        |section: &Section| value(section, "virtual_mac").is_some() && value(section, "virtual_mac_name").is_none();
    let Some(id) = value(section, "virtual_router_id").filter(|_| names_none(section)) else { return };
    let taken = |name: &str| earlier.iter().any(|other| value(other, "virtual_mac_name") == Some(quoted(name)));
    let twin = |other: &Section| {
        names_none(other) && value(other, "virtual_router_id").as_ref() == Some(&id) && six(other) == six(section)
    };
    if !earlier.iter().any(twin) {
        return;
    }
    let family = if six(section) { "ha6" } else { "ha" };
    let names = (2..).map(|number: u32| format!("{family}-{id}-{number}"));
    let Some(name) = names.take(earlier.len() + 1).find(|name| !taken(name)) else { return };
    let entry = Entry::plain("virtual_mac_name", quoted(&name));
    ledger.mapped(node.place, format!("virtual_mac_name = {}: another instance has the usual name", entry.value));
    let at = section.entries.iter().position(|entry| entry.key == "virtual_mac").map_or(0, |at| at + 1);
    section.entries.insert(at, entry);
}

/// What stands behind use_vmac: a name, with or without the word, and what ha does not have.
fn name<'n>(node: &'n Node, ledger: &mut Ledger) -> Option<&'n str> {
    let mut found = None;
    let mut words = node.words.iter().skip(1).map(|word| word.text.as_str());
    while let Some(word) = words.next() {
        match word {
            "netlink_notify_msg" => {
                ledger.dropped(node.place, "netlink_notify_msg: ha always lets the kernel tell of its device")
            }
            "group" => {
                // Its number.
                let _ = words.next();
                ledger.refused(node.place, "ha puts its device into no group of interfaces: remove `group`");
            }
            _ if word.split(':').count() == 6 => {
                ledger.refused(node.place, "the MAC address is that of the RFC, of virtual_router_id: remove it");
            }
            "name" => found = words.next(),
            _ => found = Some(word),
        }
    }
    let name = found?;
    if name.parse::<InterfaceName>().is_err() {
        ledger.refused(node.place, format!("\"{name}\" cannot be the name of a device: write 1 to 15 letters"));
        return None;
    }
    Some(name)
}
