//! `interface_up_down_delays`, `vrrp_startup_delay`, `vrrp_delay_after_boot`: how long something must be so before it counts.

use super::{last, value};
use crate::import::{
    ledger::{Ledger, Place},
    outline::{Entry, Outline, Section, key, quoted, time},
    tree::Node,
};

/// keepalived's longest, in microseconds.
const LINK_MAX: u64 = 255_000_000;
/// The longest of `ha`, in microseconds.
const START_MAX: u64 = 3_600_000_000;

/// Reads what stands in `global_defs`.
pub(super) fn start(read: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    for (keyword, key) in [("vrrp_startup_delay", "start_delay"), ("vrrp_delay_after_boot", "boot_delay")] {
        let Some(node) = last(keyword, read, ledger) else { continue };
        let Some(micros) = value::seconds(node, 0, START_MAX, ledger) else { continue };
        let value = quoted(&time(micros));
        ledger.mapped(node.place, format!("{key} = {value}"));
        out.root.push(Entry::of(key, value, node));
    }
}

/// Reads every `interface_up_down_delays`; the instances must have been read.
pub(in crate::import) fn links(blocks: &[&Node], out: &mut Outline, ledger: &mut Ledger) {
    for block in blocks {
        ledger.mapped(block.place, "");
        let mut comments = block.comments.clone();
        comments.extend(block.trailing.clone());
        for line in block.inner() {
            comments.extend(line.all_comments());
            if let Some(link) = link(line, std::mem::take(&mut comments), ledger) {
                check(&link, line.place, out, ledger);
                out.links.retain(|known| known.name != link.name);
                out.links.push(link);
            }
        }
    }
}

/// `IF down [up]`.
fn link(line: &Node, comments: Vec<String>, ledger: &mut Ledger) -> Option<Section> {
    let name = line.text(0);
    if name.parse::<crate::words::InterfaceName>().is_err() {
        ledger.refused(line.place, format!("\"{name}\" cannot be the name of an interface: mend or remove it"));
        return None;
    }
    let down = value::seconds(line, 0, LINK_MAX, ledger)?;
    let up = match line.text(2) {
        "" => {
            ledger.mapped(line.place, "without a second time keepalived does not wait for an interface that comes up, although its manual says so");
            0
        }
        text => value::micros(text).filter(|micros| *micros <= LINK_MAX).or_else(|| {
            let what = format!("\"{text}\" is not a time from 0 to 255 seconds");
            ledger.refused(line.place, format!("{what}: keepalived reports it; write the one that is meant"));
            None
        })?,
    };
    let delays = [("down_delay", down), ("up_delay", up)];
    let written = delays.into_iter().filter(|(_, micros)| *micros > 0);
    let entries: Vec<Entry> = written.map(|(key, micros)| Entry::plain(key, quoted(&time(micros)))).collect();
    let text: Vec<String> = entries.iter().map(|entry| format!("{} = {}", entry.key, entry.value)).collect();
    ledger.mapped(line.place, format!("[interface.{}] {}", key(name), text.join(", ")));
    Some(Section { name: name.to_owned(), comments, entries, ..Section::default() })
}

/// The peer must not take over meanwhile.
fn check(link: &Section, place: Place, out: &Outline, ledger: &mut Ledger) {
    let value = |section: &Section, key: &str| {
        let entry = section.entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.trim_matches('"').to_owned())
    };
    let Some(down) = value(link, "down_delay").and_then(|text| lasts(&text)) else { return };
    for instance in out.instances.iter().filter(|other| value(other, "interface").as_deref() == Some(&link.name)) {
        let missed: u64 = value(instance, "peer_down_adverts").and_then(|text| text.parse().ok()).unwrap_or(3);
        let Some(interval) = value(instance, "advertise").and_then(|text| lasts(&text)) else { continue };
        if down >= interval * missed.saturating_sub(1) {
            let what =
                format!("the other node takes the addresses of {} within this time, and both have them", instance.name);
            ledger.refused(place, format!("{what}: write less than {} intervals", missed.saturating_sub(1)));
        }
    }
}

/// What [`time`] wrote, in microseconds.
fn lasts(text: &str) -> Option<u64> {
    let one = |part: &str| match part.strip_suffix("ms") {
        Some(millis) => millis.parse::<u64>().ok().map(|millis| millis * 1000),
        None => part.strip_suffix('s')?.parse::<u64>().ok().map(|seconds| seconds * 1_000_000),
    };
    text.split(' ').map(one).sum()
}
