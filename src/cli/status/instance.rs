//! What `ha status` shows of an instance: its state, its addresses, its peers, what else is so.

use super::{alarm, evaluation_text, judged, passes, wrap};
use crate::{
    cli::{
        paint::Paint,
        particulars::{counters, particulars},
        path,
    },
    control::protocol::{Instance, Peer, State, Witness},
};

pub(super) fn instance_text(instance: &Instance, paint: Paint) -> String {
    let state = instance.state.as_str().to_uppercase();
    let state = match instance.state {
        State::Master if instance.serves() => paint.good(&state),
        State::Master | State::Fault => paint.bad(&state),
        State::Backup => paint.strong(&state),
    };
    let mut text = format!("{}  {state}  for {}\n", paint.strong(&instance.name), judged::ago(instance.since_ms));
    text +=
        &instance.network.iter().map(|network| format!("  in the network namespace {network}\n")).collect::<String>();
    if !instance.reason.is_empty() {
        text += &format!("  {}\n", wrap(&instance.reason, 2));
    }
    text += &format!("  {}\n  {}\n", wrap(&particulars(instance), 2), counters(instance));
    for address in &instance.addresses {
        let held = instance.held.contains(address);
        let (mark, word) = match (held, instance.state) {
            (true, State::Master) => (paint.good("✔"), "held"),
            (true, State::Backup | State::Fault) => (paint.bad("!"), "on this machine, though this node is not master"),
            (false, State::Master) => (paint.bad("✘"), "not on this machine"),
            (false, State::Backup | State::Fault) => (" ".to_owned(), "not here"),
        };
        let device = instance.devices.get(address).map(|device| format!(" on {device}")).unwrap_or_default();
        text += &format!("  {mark} {address}{device}  {word}\n");
    }
    let word = match instance.state {
        // Which of them is not there the condition says.
        State::Master if instance.conditions.iter().any(|is| is.name == "routes") => "wanted",
        State::Master => "set",
        State::Backup | State::Fault => "not here",
    };
    text += &instance.routing.iter().map(|what| format!("    {what}  {word}\n")).collect::<String>();
    text += &instance.peers.iter().map(|peer| peer_text(peer, paint)).collect::<String>();
    text += &path::text(&instance.paths, paint);
    text += &instance.witness.iter().map(|witness| witness_text(witness, paint)).collect::<String>();
    for condition in &instance.conditions {
        text += &if passes(condition) {
            format!("    {}: {}\n", condition.name, wrap(&condition.text, 4))
        } else {
            alarm(&format!("{}: {}", condition.name, condition.text), 2, paint)
        };
    }
    if !instance.discarded.is_empty() {
        let counts: Vec<String> =
            instance.discarded.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        text += &format!("    discarded: {}\n", wrap(&counts.join(", "), 4));
    }
    text + instance
        .reports
        .iter()
        .map(|report| evaluation_text(report, &instance.name, paint))
        .collect::<String>()
        .as_str()
}

fn witness_text(witness: &Witness, paint: Paint) -> String {
    let held = match (witness.held_for_ms, &witness.held_by) {
        (Some(left), _) => format!("held by this node, for {} more unless it is renewed", judged::ago(left)),
        (None, Some(by)) => format!("held by {by}"),
        (None, None) => "not held by this node".to_owned(),
    };
    let (mark, trouble) = match &witness.trouble {
        Some(why) => ("!", format!(", does not answer: {why}")),
        None => (" ", String::new()),
    };
    let text = format!("witness  {}, {held}{trouble}", witness.mode);
    format!("  {} {}\n", paint.doubtful(mark), wrap(&text, 4))
}

fn peer_text(peer: &Peer, paint: Paint) -> String {
    if let Some(reason) = &peer.rejected {
        return alarm(&format!("peer {} seen, rejected: {reason}", peer.address), 2, paint);
    }
    let (mark, mut words) = if peer.alive { (" ", vec!["alive".to_owned()]) } else { ("!", vec!["silent".to_owned()]) };
    words.extend(peer.priority.map(|priority| format!("priority {priority}")));
    words.extend(peer.last_heard_ms.map(|ms| format!("heard {} ago", judged::ago(ms))));
    if !peer.configured {
        words.push("not in the configuration".to_owned());
    }
    format!("  {} peer {}  {}\n", paint.doubtful(mark), peer.address, words.join(", "))
}
