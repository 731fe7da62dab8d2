//! `vrrp_instance`.

use super::{
    Globals, Script, accept, address, announce, auth_hmac, authentication, election, hearing, last, own_interface,
    patience, routing, sorted, told, track, track::Track, value, vmac,
};
use crate::import::{
    keyword::Context,
    ledger::Ledger,
    outline::{Entry, Section, plain_name, quoted, time},
    tree::Node,
};

/// The keys of a section, in their order.
const ORDER: &[&str] = &[
    "interface",
    "virtual_router_id",
    "priority",
    "version",
    "advertise",
    "auth.password",
    "auth_hmac.keys",
    "auth_hmac.active_key",
    "auth_hmac.anti_replay",
    "auth_hmac.time_window",
    "auth_hmac.mode",
    "checksum",
    "preempt",
    "preempt_delay",
    "addresses",
    "addresses_excluded",
    "routes",
    "rules",
    "peers",
    "transport",
    "multicast_group",
    "min_ttl",
    "max_ttl",
    "source",
    "track_own_interface",
    "peer_down_adverts",
    "down_adverts",
    "announce_refresh",
    "announce_refresh_repeat",
    "announce_repeat",
    "announce_delay",
    "announce_lower_repeat",
    "announce_lower_delay",
    "announce_interval",
    "notify.run",
    "notify.master",
    "notify.backup",
    "notify.fault",
    "notify.stop",
    "notify.deleted",
    "notify.lower_priority",
    "notify.user",
    "accept",
    "virtual_mac",
    "virtual_mac_name",
    "virtual_mac_advertise",
    "track.interfaces",
    "track.files",
    "track.processes",
];

/// Reads one; the answer is its section, without policies, and the checks it looks at.
pub(in crate::import) fn instance(
    node: &Node,
    globals: &Globals,
    scripts: &[Script],
    defined: &track::Defined,
    ledger: &mut Ledger,
) -> (Section, Vec<Track>) {
    let read = sorted(Context::Instance, node.inner(), ledger);
    let name = plain_name(node.text(1));
    if name == node.text(1) {
        ledger.mapped(node.place, format!("[instance.{name}]"));
    } else {
        ledger.mapped(node.place, format!("[instance.{name}]: names have letters, digits, - and _ only"));
    }
    let mut comments = node.comments.clone();
    comments.extend(node.trailing.clone());
    // What is left out, or becomes something else, leaves its comments at the top of the section.
    let kept = |inner: &&Node| {
        !read.contains(inner)
            || matches!(inner.keyword(), "state" | "track_script" | "smtp_alert" | "notify_priority_changes")
    };
    comments.extend(node.inner().iter().filter(kept).flat_map(Node::all_comments));
    let mut entries = Vec::new();
    let interface = interface(node, last("interface", &read, ledger), ledger);
    let vrid = vrid(node, last("virtual_router_id", &read, ledger), ledger);
    let id = vrid.as_ref().and_then(|entry| entry.value.parse().ok()).unwrap_or(51);
    if !read.iter().any(|node| node.keyword() == "virtual_ipaddress") {
        ledger.refused(node.place, "an instance of ha has at least one address: write virtual_ipaddress");
    }
    let name_of_interface = interface.as_ref().map_or("", |entry| entry.value.trim_matches('"')).to_owned();
    let (addresses, six) = address::addresses(&read, &name_of_interface, id, ledger);
    let (routing, places) = routing::routing(&read, six, &defined.numbers, ledger);
    let version = version(last("version", &read, ledger), globals, six, &mut entries, ledger);
    entries.extend([interface, vrid].into_iter().flatten());
    entries.extend(addresses);
    entries.extend(routing);
    entries.extend(interval(last("advert_int", &read, ledger), version, ledger));
    let keys = last("auth_hmac", &read, ledger);
    let old = last("authentication", &read, ledger);
    let password = authentication::authentication(old, (&name, version), keys.is_some(), ledger);
    let (password, mut secrets): (Vec<Entry>, Vec<_>) = password.into_iter().unzip();
    let (keys, of_keys) = auth_hmac::auth_hmac(keys, &name, ledger);
    entries.extend(password.into_iter().chain(keys));
    secrets.extend(of_keys);
    let tracked: Vec<&Node> = read.iter().filter(|node| node.keyword() == "track_script").copied().collect();
    let mut tracks = track::tracks(&tracked, scripts, ledger);
    if globals.weightless.contains(node.text(1)) {
        leave_weights_out(&mut tracks, &tracked, ledger);
    }
    let mut election = election::election(node, &read, ledger);
    raise(&mut election, &tracks, node, ledger);
    let owner = election.priority == 255;
    let whose = track::Whose {
        interface: Some(&name_of_interface),
        owner,
        member: globals.members.contains(node.text(1)),
        weightless: globals.weightless.contains(node.text(1)),
    };
    entries.extend(track::entries(&read, defined, whose, ledger));
    entries.extend(election.node);
    entries.extend(election.entries);
    entries.extend(hearing::hearing(node, &read, globals, six, ledger));
    entries.extend(checksum(last("v3_checksum_as_v2", &read, ledger), version, six, ledger));
    entries.extend(patience::patience(&read, globals.down_adverts, ledger));
    entries.extend(announce::announce(&read, &globals.announce, (&name_of_interface, six), ledger));
    entries.extend(told::told(&read, "INSTANCE, the name, the state and the priority", globals, ledger));
    entries.extend(accept::accept(&read, ledger));
    entries.extend(own_interface::tracked(last("dont_track_primary", &read, ledger), ledger));
    entries.extend(vmac::vmac(&read, owner, ledger));
    if let Some(alert) = last("smtp_alert", &read, ledger) {
        match (value::truth(alert, ledger), globals.has_mail) {
            (true, _) => ledger.mapped(alert.place, "[mail], which is about every instance"),
            (false, true) => {
                ledger.dropped(alert.place, "[mail] is about every instance: this one is mailed about too")
            }
            (false, false) => ledger.mapped(alert.place, "nobody is mailed"),
        }
    }
    entries.sort_by_key(|entry| ORDER.iter().position(|key| *key == entry.key));
    (Section { name, comments, entries, secrets, routing: places, ..Section::default() }, tracks)
}

fn interface(head: &Node, node: Option<&Node>, ledger: &mut Ledger) -> Option<Entry> {
    let Some(node) = node else {
        ledger.refused(
            head.place,
            "there is no interface: keepalived leaves the instance out; write the one that faces the clients",
        );
        return None;
    };
    let name = node.text(1);
    if name.parse::<crate::words::InterfaceName>().is_err() || name == "lo" {
        ledger.refused(
            node.place,
            format!("\"{name}\" cannot be the interface of an instance: write the one that faces the clients"),
        );
    }
    ledger.mapped(node.place, format!("interface = {}", quoted(name)));
    Some(Entry::of("interface", quoted(name), node))
}

fn vrid(head: &Node, node: Option<&Node>, ledger: &mut Ledger) -> Option<Entry> {
    let Some(node) = node else {
        ledger.refused(
            head.place,
            "there is no virtual_router_id: keepalived leaves the instance out; write the number of both nodes",
        );
        return None;
    };
    let number = value::number(node, 1, 255, ledger)?;
    ledger.mapped(node.place, format!("virtual_router_id = {number}"));
    Some(Entry::of("virtual_router_id", number.to_string(), node))
}

fn version(node: Option<&Node>, globals: &Globals, six: bool, out: &mut Vec<Entry>, ledger: &mut Ledger) -> i64 {
    let written = node.and_then(|node| value::number(node, 2, 3, ledger).map(|number| (number, node)));
    match written {
        Some((2, node)) if six => {
            ledger.refused(
                node.place,
                "version 2 over IPv6 is no standard, and ha does not speak it: change both nodes to version 3 first",
            );
            3
        }
        Some((number, node)) => {
            ledger.mapped(node.place, format!("version = {number}"));
            out.push(Entry::of("version", number.to_string(), node));
            number
        }
        None => {
            let number = if six { 3 } else { globals.version.unwrap_or(2) };
            out.push(Entry::plain("version", number.to_string()));
            number
        }
    }
}

fn interval(node: Option<&Node>, version: i64, ledger: &mut Ledger) -> Option<Entry> {
    let Some(node) = node else { return Some(Entry::plain("advertise", quoted("1s"))) };
    let micros = value::seconds(node, 10_000, 255_000_000, ledger)?;
    let rounded = if version == 2 {
        (micros.saturating_add(500_000) / 1_000_000).max(1) * 1_000_000
    } else {
        (micros.saturating_add(5_000) / 10_000).max(1) * 10_000
    };
    if version == 3 && rounded > 40_950_000 {
        ledger.refused(node.place, "version 3 carries intervals up to 40.95 seconds: write a shorter one");
        return None;
    }
    let value = quoted(&time(rounded));
    if rounded == micros {
        ledger.mapped(node.place, format!("advertise = {value}"));
    } else {
        ledger.mapped(
            node.place,
            format!("advertise = {value}: version {version} cannot carry {}, and keepalived rounds it", node.text(1)),
        );
    }
    Some(Entry::of("advertise", value, node))
}

/// keepalived ignores a check with a weight in a member of a sync group, unless the group has sync_group_tracking_weight.
fn leave_weights_out(tracks: &mut Vec<Track>, blocks: &[&Node], ledger: &mut Ledger) {
    for line in blocks.iter().flat_map(|block| block.inner()) {
        let weighs = |track: &Track| track.script.name == line.text(0) && track.weight.number != 0;
        if tracks.iter().any(weighs) {
            ledger.dropped(line.place, track::left_out("a check"));
        }
    }
    tracks.retain(|track| track.weight.number == 0);
}

/// A weight above zero raises the priority while its check is well: that is the priority here, and the check lowers it.
fn raise(election: &mut election::Election, tracks: &[Track], head: &Node, ledger: &mut Ledger) {
    let weighted: Vec<&Track> = tracks.iter().filter(|track| track.weight.number != 0).collect();
    if election.priority == 255 {
        for track in weighted {
            ledger.dropped(track.script.place, "an owner (priority 255) ignores weights, in keepalived and here");
        }
        return;
    }
    let base = election.priority;
    let rise: i64 = weighted
        .iter()
        .filter(|track| track.weight.number > 0 && !track.weight.reverse)
        .map(|track| track.weight.number)
        .sum();
    let turned: i64 = weighted
        .iter()
        .filter(|track| track.weight.number < 0 && track.weight.reverse)
        .map(|track| -track.weight.number)
        .sum();
    let sum = base + rise + turned;
    if sum > 254 {
        let what = format!(
            "the priority and its weights come to {sum}, which keepalived cuts at 254: a check that fails then takes less than its weight"
        );
        ledger.refused(head.place, format!("{what}. Lower the priorities of both nodes by {}", sum - 254));
        return;
    }
    if sum > base
        && let Some(entry) = &mut election.node
    {
        entry.value = sum.to_string();
        entry.comments.push(format!("# {base}, and what its checks add while they are well."));
    }
    for track in weighted {
        let least = (sum - track.weight.number.abs()).max(1);
        let mut note = format!(
            "{}: the node bids {sum} while it {} and {least} while it {}; the address moves only if the other node bids more than {least}",
            head.text(1),
            if track.weight.reverse { "fails" } else { "is well" },
            if track.weight.reverse { "is well" } else { "fails" },
        );
        if sum - track.weight.number.abs() < 1 {
            note += ", and less than the weight says, for 1 is the lowest priority";
        }
        if election.never_preempts {
            note += ". With nopreempt on the other node it never moves: such a weight cannot hand over; leave the weight out there";
        }
        ledger.mapped(track.script.place, note);
    }
}

fn checksum(node: Option<&Node>, version: i64, six: bool, ledger: &mut Ledger) -> Option<Entry> {
    let node = node?;
    if !value::truth(node, ledger) || version == 2 || six {
        ledger.dropped(node.place, "there is only one checksum");
        return None;
    }
    ledger.mapped(
        node.place,
        "checksum = \"rfc9568\"; a checksum that is wrong is rejected all the same, which keepalived does not do",
    );
    Some(Entry::of("checksum", quoted("rfc9568"), node))
}
