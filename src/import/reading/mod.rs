//! What the statements mean: the globals, the check scripts, the instances.

mod accept;
mod address;
mod announce;
mod auth_hmac;
mod authentication;
mod delays;
mod election;
mod events;
mod globals;
mod group;
mod hearing;
mod instance;
mod list;
mod netns;
mod own_interface;
mod patience;
mod reach;
mod route;
mod routing;
mod routing_word;
mod rule;
mod script;
mod settings;
mod told;
mod track;
mod track_file;
mod track_process;
mod value;
mod vmac;

use super::{
    keyword::{Becomes, Context, becomes, elsewhere},
    ledger::{Fate, Ledger},
    tree::Node,
};

pub(super) use announce::garp_groups;
pub(super) use delays::links;
pub(super) use events::events;
pub(super) use globals::{Globals, globals, mails};
pub(super) use group::{group, members, raise_members, weightless};
pub(super) use instance::instance;
pub(super) use netns::netns;
pub(super) use routing::Numbers;
pub(super) use script::{INTERVAL_MIN, Script, Weight, script};
pub(super) use track::{Defined, Track};
pub(super) use track_file::file;
pub(super) use track_process::process;
pub(super) use value::micros;
pub(super) use vmac::name_device;

/// The statements that are read; whatever becomes of the others is noted. Of several the last one counts, as in keepalived.
pub(super) fn sorted<'n>(context: Context, nodes: &'n [Node], ledger: &mut Ledger) -> Vec<&'n Node> {
    let mut mapped = Vec::new();
    for node in nodes {
        match becomes(context, node.keyword()) {
            Some(Becomes::Mapped(most)) => {
                if node.words.len() > most.saturating_add(1) {
                    let ignored: Vec<&str> = node.words.iter().skip(most + 1).map(|word| word.text.as_str()).collect();
                    let todo = format!("keepalived ignores what follows in this line: \"{}\"", ignored.join(" "));
                    ledger.dropped(node.place, todo);
                }
                mapped.push(node);
            }
            Some(Becomes::Dropped(why)) => node.note_all(Fate::Dropped, why, ledger),
            Some(Becomes::Refused(todo)) => node.note_all(Fate::Refused, todo, ledger),
            None => {
                let hint = elsewhere(node.keyword()).map(|at| format!("; it belongs {at}")).unwrap_or_default();
                let what = format!("\"{}\" is an unknown keyword here, which keepalived ignores{hint}", node.keyword());
                node.note_all(Fate::Dropped, &what, ledger);
            }
        }
    }
    mapped
}

/// The last statement with this keyword; the ones before it do not count.
pub(super) fn last<'n>(keyword: &str, nodes: &[&'n Node], ledger: &mut Ledger) -> Option<&'n Node> {
    let mut found: Vec<&&Node> = nodes.iter().filter(|node| node.keyword() == keyword).collect();
    let last = found.pop()?;
    for earlier in found {
        ledger.dropped(earlier.place, format!("{keyword} is written again in line {}, which counts", last.place.line));
    }
    Some(last)
}
