//! `vrrp_sync_group`.

use std::collections::BTreeSet;

use super::{Globals, Script, last, sorted, told, track, track::Track};
use crate::import::{
    keyword::Context,
    ledger::Ledger,
    outline::{Section, Together, list, plain_name},
    tree::Node,
};

/// The words that let checks with a weight count in members.
const WEIGHTS: [&str; 2] = ["sync_group_tracking_weight", "global_tracking"];

/// The members, as they are written, of groups in which keepalived ignores the checks of members that have a weight.
pub(in crate::import) fn weightless(groups: &[&Node]) -> BTreeSet<String> {
    let ignores = |group: &&Node| !group.inner().iter().any(|node| WEIGHTS.contains(&node.keyword()));
    members(&groups.iter().copied().filter(ignores).collect::<Vec<_>>())
}

/// The members of these groups, as they are written.
pub(in crate::import) fn members(groups: &[&Node]) -> BTreeSet<String> {
    let blocks = groups.iter().flat_map(|group| group.inner()).filter(|node| node.keyword() == "group");
    let words = blocks.flat_map(|block| {
        let lines = block.inner().iter().flat_map(|line| line.words.iter());
        block.words.iter().skip(1).chain(lines)
    });
    words.map(|word| word.text.clone()).collect()
}

/// What a check of the group adds while it is well, every member bids, as with a check of its own.
pub(in crate::import) fn raise_members(
    members: &[String],
    tracks: &[Track],
    node: &Node,
    instances: &mut [Section],
    ledger: &mut Ledger,
) {
    let adds = |track: &Track| match (track.weight.number, track.weight.reverse) {
        (number, false) => number.max(0),
        (number, true) => (-number).max(0),
    };
    for track in tracks.iter().filter(|track| track.weight.number != 0) {
        let (when, less) = (if track.weight.reverse { "is well" } else { "fails" }, track.weight.number.abs());
        ledger.mapped(track.script.place, format!("{}: every member bids {less} less while it {when}", node.text(1)));
    }
    let sum: i64 = tracks.iter().map(adds).sum();
    for section in instances.iter_mut().filter(|section| sum > 0 && members.contains(&section.name)) {
        let Some(entry) = section.entries.iter_mut().find(|entry| entry.key == "priority") else { continue };
        let base: i64 = entry.value.parse().unwrap_or_default();
        if base + sum > 254 {
            let todo = format!(
                "the priority of {} and the weights of the group come to {}, which keepalived cuts at 254: lower the priorities of both nodes",
                section.name,
                base + sum
            );
            ledger.refused(node.place, todo);
            continue;
        }
        entry.value = (base + sum).to_string();
        entry.comments.push(format!("# {base}, and what the checks of its group add while they are well."));
    }
}

/// Reads one: its section, its members, and the checks it looks at. `instances`: the names of those that there are, and
/// whether each owns its addresses.
pub(in crate::import) fn group(
    node: &Node,
    instances: &[(String, bool)],
    taken: &mut Vec<String>,
    (globals, scripts, defined): (&Globals, &[Script], &track::Defined),
    ledger: &mut Ledger,
) -> Option<(Together, Vec<String>, Vec<Track>)> {
    let name = node.text(1);
    ledger.mapped(node.place, "");
    let read = sorted(Context::Group, node.inner(), ledger);
    let Some(members) = last("group", &read, ledger) else {
        ledger.refused(
            node.place,
            "a vrrp_sync_group has a block `group` with its members: write it, or remove the whole",
        );
        return None;
    };
    ledger.mapped(members.place, "");
    let mut names: Vec<String> = Vec::new();
    let words = members.words.iter().skip(1).map(|word| (members.place, word.text.as_str()));
    let lines = members.inner().iter().flat_map(|line| line.words.iter().map(|word| (line.place, word.text.as_str())));
    for (place, member) in words.chain(lines) {
        let plain = plain_name(member);
        match instances.iter().find(|(name, _)| *name == plain) {
            None => ledger.refused(
                place,
                format!("there is no vrrp_instance {member}: keepalived leaves it out of the group. Define it, or remove it here"),
            ),
            Some((_, true)) => ledger.refused(
                place,
                format!("{member} has priority 255: it leads whatever the others do. Lower it, or remove it here"),
            ),
            Some(_) if taken.contains(&plain) => {
                ledger.refused(place, format!("{member} is in a group already: remove it here or there"));
            }
            Some(_) => {
                ledger.mapped(place, "");
                taken.push(plain.clone());
                names.push(plain);
            }
        }
    }
    if names.len() == 1 {
        ledger.mapped(members.place, "one member has nobody to move with: ha warns of it");
    }
    let mut comments = node.comments.clone();
    comments.extend(node.trailing.clone());
    let kept = |inner: &&Node| {
        !matches!(inner.keyword(), "track_interface" | "track_file" | "track_process" | "track_script")
            && !inner.keyword().starts_with("notify")
    };
    comments.extend(node.inner().iter().filter(kept).flat_map(Node::all_comments));
    comments.dedup();
    let mut entries = track::entries(&read, defined, track::Whose::default(), ledger);
    entries.extend(told::told(&read, "GROUP, the name, the state and 0", globals, ledger));
    if let Some(alert) = last("smtp_alert", &read, ledger) {
        ledger.mapped(alert.place, "[mail], which is about every instance, and about the group as a whole");
    }
    let first = names.first()?.clone();
    let blocks: Vec<&Node> = read.iter().filter(|node| node.keyword() == "track_script").copied().collect();
    comments.extend(blocks.iter().flat_map(|block| block.all_comments()));
    let tracks = track::tracks(&blocks, scripts, ledger);
    for block in &blocks {
        ledger.mapped(
            block.place,
            format!("policies of [instance.{first}]: what one member's checks find holds for all"),
        );
    }
    Some((Together { name: plain_name(name), comments, members: list(&names), entries }, names, tracks))
}
