//! `garp_…`: how a master announces.

use super::{last, value};
use crate::import::{
    keyword::ANNOUNCES,
    ledger::{Fate, Ledger},
    outline::{Entry, quoted, time},
    tree::Node,
};

/// keepalived's word in an instance, the one in `global_defs`, and ours.
const WORDS: [(&str, &str, &str); 6] = [
    ("garp_master_refresh", "vrrp_garp_master_refresh", "announce_refresh"),
    ("garp_master_refresh_repeat", "vrrp_garp_master_refresh_repeat", "announce_refresh_repeat"),
    ("garp_master_repeat", "vrrp_garp_master_repeat", "announce_repeat"),
    ("garp_master_delay", "vrrp_garp_master_delay", "announce_delay"),
    ("garp_lower_prio_repeat", "vrrp_garp_lower_prio_repeat", "announce_lower_repeat"),
    ("garp_lower_prio_delay", "vrrp_garp_lower_prio_delay", "announce_lower_delay"),
];

/// What `global_defs` says of it: our key and its value, as TOML.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::import) struct Announce {
    values: Vec<(&'static str, String)>,
    /// Between two frames, IPv4 and IPv6.
    interval: [Option<String>; 2],
    /// The same on these interfaces, of `garp_group`.
    grouped: Vec<(Vec<String>, [Option<String>; 2])>,
}

/// The blocks `garp_group`.
pub(in crate::import) fn garp_groups(blocks: &[&Node], globals: &mut super::Globals, ledger: &mut Ledger) {
    for block in blocks {
        let (mut interfaces, mut interval) = (Vec::new(), [None, None]);
        for line in block.inner() {
            let listed = line.inner().iter().flat_map(|line| line.words.iter());
            let named = line.words.iter().skip(1).chain(listed).map(|word| word.text.clone());
            match line.keyword() {
                "garp_interval" => interval[0] = gap(line, ledger),
                "gna_interval" => interval[1] = gap(line, ledger),
                "interface" | "interfaces" => interfaces.extend(named),
                other => {
                    let what = format!("\"{other}\" is an unknown keyword here, which keepalived ignores");
                    line.note_all(Fate::Dropped, &what, ledger);
                    continue;
                }
            }
            line.note_all(Fate::Mapped, "", ledger);
        }
        let list = interfaces.join(", ");
        let note = format!(
            "announce_interval of each instance on {list}: keepalived waits between the announcements of all of them, ha between those of each"
        );
        ledger.mapped(block.place, note);
        globals.announce.grouped.push((interfaces, interval));
    }
}

/// Between two frames, as TOML. Milliseconds are what a time in ha has; what is less is one.
fn gap(node: &Node, ledger: &mut Ledger) -> Option<String> {
    let micros = value::seconds(node, 0, 10_000_000, ledger)?;
    Some(quoted(&time(if micros == 0 { 0 } else { micros.max(1000) })))
}

/// Of `global_defs`.
pub(super) fn global(read: &[&Node], ledger: &mut Ledger) -> Announce {
    let mut announce = Announce::default();
    for (_, word, key) in WORDS {
        let Some(node) = last(word, read, ledger) else { continue };
        if let Some(value) = value_of(key, node, ledger) {
            // It is keepalived's default, and nobody means it.
            if (key, value.as_str()) == ("announce_refresh", "\"0s\"") {
                ledger.dropped(
                    node.place,
                    "ha announces again every 10 s all the same; write announce_refresh = \"0s\" if it must not",
                );
                continue;
            }
            ledger.mapped(node.place, format!("{key} = {value} of each instance"));
            announce.values.push((key, value));
        }
    }
    if let Some(node) = last("vrrp_min_garp", read, ledger) {
        if value::truth(node, ledger) {
            ledger.mapped(node.place, "announce_repeat = 1, announce_delay = \"0s\" of each instance");
            announce.values.retain(|(key, _)| !["announce_repeat", "announce_delay"].contains(key));
            announce.values.extend([("announce_repeat", "1".to_owned()), ("announce_delay", quoted("0s"))]);
        } else {
            ledger.dropped(node.place, "it is so anyway");
        }
    }
    for (word, which, family) in [("vrrp_garp_interval", 0, "IPv4"), ("vrrp_gna_interval", 1, "IPv6")] {
        let Some(node) = last(word, read, ledger) else { continue };
        let Some(value) = gap(node, ledger) else { continue };
        ledger.mapped(node.place, format!("announce_interval = {value} of each instance of {family}"));
        if let Some(interval) = announce.interval.get_mut(which) {
            *interval = Some(value);
        }
    }
    announce
}

/// Of an instance on this interface; `six`: its addresses are IPv6.
pub(super) fn announce(
    read: &[&Node],
    globals: &Announce,
    (interface, six): (&str, bool),
    ledger: &mut Ledger,
) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (word, _, key) in WORDS {
        if let Some(node) = last(word, read, ledger) {
            if let Some(value) = value_of(key, node, ledger) {
                ledger.mapped(node.place, format!("{key} = {value}"));
                entries.push(Entry::of(key, value, node));
            }
        } else if let Some((_, value)) = globals.values.iter().find(|(known, _)| *known == key) {
            entries.push(Entry::plain(key, value.clone()));
        }
    }
    let of = |interval: &[Option<String>; 2]| interval.get(usize::from(six)).cloned().flatten();
    let here = |(interfaces, _): &&(Vec<String>, _)| interfaces.iter().any(|name| name == interface);
    let grouped = globals.grouped.iter().filter(here).find_map(|(_, interval)| of(interval));
    let interval = grouped.or_else(|| of(&globals.interval));
    entries.extend(interval.map(|value| Entry::plain("announce_interval", value)));
    entries
}

/// As TOML. `None`: it was refused, or is left out.
fn value_of(key: &str, node: &Node, ledger: &mut Ledger) -> Option<String> {
    if !key.ends_with("repeat") {
        return value::seconds(node, 0, 3_600_000_000, ledger).map(|micros| quoted(&time(micros)));
    }
    let number = value::number(node, 0, 100, ledger)?;
    if number == 0 {
        ledger
            .dropped(node.place, format!("without any announcement clients go on calling the other node; {ANNOUNCES}"));
        return None;
    }
    Some(number.to_string())
}
