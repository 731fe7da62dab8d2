//! `vrrp_sync_group`.

use super::{Globals, last, sorted, told, track};
use crate::import::{
    keyword::Context,
    ledger::Ledger,
    outline::{Together, list, plain_name},
    tree::Node,
};

/// Reads one; `instances`: the names of those that there are, and whether each owns its addresses.
pub(in crate::import) fn group(
    node: &Node,
    instances: &[(String, bool)],
    taken: &mut Vec<String>,
    (globals, defined): (&Globals, &track::Defined),
    ledger: &mut Ledger,
) -> Option<Together> {
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
        !matches!(inner.keyword(), "track_interface" | "track_file" | "track_process")
            && !inner.keyword().starts_with("notify")
    };
    comments.extend(node.inner().iter().filter(kept).flat_map(Node::all_comments));
    comments.dedup();
    let mut entries = track::entries(&read, defined, None, false, ledger);
    entries.extend(told::told(&read, "GROUP, the name, the state and 0", globals, ledger));
    if let Some(alert) = last("smtp_alert", &read, ledger) {
        ledger.mapped(alert.place, "[mail], which is about every instance, and about the group as a whole");
    }
    (!names.is_empty()).then(|| Together { name: plain_name(name), comments, members: list(&names), entries })
}
