//! A configuration in words: what each instance does, and what bounds follow. For `ha check`.

use std::{fmt::Write, time::Duration};

use super::{
    Auth, Checksum, Claim, Config, Instance, LastResort, Lease, Notify, OnConflict, OnError, Preempt, Preference,
    Privileges, Protocol, Transport, auth_hmac, compare::counterpart, lease_length, path, value::readable, witness,
};
use crate::wire::Priority;

/// The node and each of its instances; the priorities of `peer`, the other node's configuration, make the bounds exact.
#[must_use]
pub fn describe(config: &Config, peer: Option<&Config>) -> String {
    let mut text = format!("node {}, policies in {}\n", config.node, config.policy_dir.display());
    if let Some(netns) = &config.netns {
        let what = if config.networks().is_empty() { "everything" } else { "what names no other one" };
        line(&mut text, "network", &format!("{what} happens in the network namespace {netns}"));
    }
    if let Some(mail) = &config.mail {
        line(&mut text, "mail", &format!("to {}, through {}", mail.to.join(", "), mail.smtp));
    }
    if let Some(asked) = &config.witness {
        line(&mut text, "witness", &witness::describe(asked));
    }
    if let Some(fifo) = &config.events.fifo {
        line(&mut text, "events", &format!("in the FIFO {}", fifo.display()));
    }
    if !config.webhooks.is_empty() {
        let names: Vec<&str> = config.webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
        line(&mut text, "webhooks", &names.join(", "));
    }
    if let Some(priority) = config.realtime_priority {
        line(&mut text, "real time", &format!("SCHED_FIFO {priority} for the protocol thread"));
    }
    if config.privileges != Privileges::default() {
        line(&mut text, "process", &privileges(config));
    }
    let starts = [("start", config.start.start), ("boot", config.start.boot)];
    for (after, time) in starts.into_iter().filter(|(_, time)| !time.is_zero()) {
        line(&mut text, "starts", &format!("takes no part for {} after the {after}", readable(time)));
    }
    for (name, delays) in &config.links {
        let (up, down) = (readable(delays.up), readable(delays.down));
        line(&mut text, "interface", &format!("{name}: counts as up after {up}, as down after {down}"));
    }
    if !config.permits.allow_exec.is_empty() {
        let programs = config.permits.allow_exec.iter().map(|path| path.display());
        line(&mut text, "exec", &format!("policies may run {}", list(&programs.collect::<Vec<_>>())));
    }
    for instance in &config.instances {
        let theirs: Vec<&Instance> = peer.into_iter().flat_map(|peer| &peer.instances).collect();
        let other = counterpart(instance, &theirs)
            .filter(|other| (other.vrid, other.family) == (instance.vrid, instance.family));
        text += "\n";
        describe_instance(&mut text, instance, other.map(|other| other.priority));
        let group = config.groups.iter().find(|group| group.instances.contains(&instance.name));
        if let Some(group) = group {
            let others: Vec<&String> = group.instances.iter().filter(|name| **name != instance.name).collect();
            let others = list(&others);
            line(
                &mut text,
                "group",
                &format!("{}: leads and follows together with {others}, in fault if one is", group.name),
            );
            if let Some(told) = told(&group.notify).filter(|_| group.instances.first() == Some(&instance.name)) {
                line(&mut text, "group tells", &told);
            }
        }
    }
    text
}

fn privileges(config: &Config) -> String {
    let Privileges { user, capabilities: _, confine, writable } = &config.privileges;
    let user = user.as_ref().map_or_else(|| "whoever starts it".to_owned(), |user| format!("becomes {user}"));
    let programs = config.programs();
    match (confine, programs.first()) {
        (false, _) => format!("{user}, not confined"),
        (true, Some(program)) => format!("{user}, not confined, for it starts programs ({}, …)", program.display()),
        (true, None) if writable.is_empty() => format!("{user}, confined to its own directories"),
        (true, None) => {
            let writable: Vec<_> = writable.iter().map(|path| path.display()).collect();
            format!("{user}, confined to its own directories and {}", list(&writable))
        }
    }
}

fn describe_instance(text: &mut String, instance: &Instance, peer_priority: Option<Priority>) {
    let Instance { name, vrid, interface, priority, .. } = instance;
    let protocol = protocol(&instance.protocol);
    let _ = writeln!(text, "{name}: virtual router {vrid} on {interface}, {protocol}, priority {priority}");
    if let Some(netns) = &instance.netns {
        line(text, "network", &format!("in the network namespace {netns}, by a process of its own"));
    }
    line(text, "addresses", &list(&addresses(instance, &instance.addresses)));
    if !instance.excluded.is_empty() {
        line(text, "beside them", &format!("{}, not advertised", list(&addresses(instance, &instance.excluded))));
    }
    for route in &instance.routing.routes {
        line(text, "route", &format!("{route}{}", untracked(route.tracked)));
    }
    for rule in &instance.routing.rules {
        line(text, "rule", &format!("{rule}{}", untracked(rule.tracked)));
    }
    line(text, "peers", &peers(instance));
    if !instance.paths.is_empty() {
        let paths: Vec<String> = instance.paths.iter().map(path::describe).collect();
        line(text, "paths", &format!("advertises and listens there as well: {}", paths.join("; ")));
    }
    if let Some(auth) = &instance.auth_hmac {
        line(text, "signs", &auth_hmac::describe(auth));
    }
    if let Some(told) = told(&instance.notify) {
        line(text, "tells", &told);
    }
    line(text, "policies", &policies(instance));
    line(text, "advertises", &format!("every {} while master", readable(instance.advertise.as_duration())));
    line(text, "takes over", &takeover(instance));
    if let (Some(device), Some(mac)) = (&instance.virtual_mac, instance.mac()) {
        let from = if device.advertises { "advertises from it too" } else { "advertises from the interface's own" };
        line(
            text,
            "shared MAC",
            &format!(
                "{mac}, on the macvlan {}; {from}. Both nodes use it: a second holder is known by its advertisements only, \
                 a silent one by its answers",
                device.name
            ),
        );
    }
    if !instance.track_own_interface {
        let what = format!(
            "goes on while {} is down or has no carrier; what it holds there goes with its lease, the rest stays",
            instance.interface
        );
        line(text, "own link", &what);
    }
    if instance.drops_packets() {
        line(
            text,
            "accepts",
            "nothing that is sent to the addresses: nftables drops it, ARP and neighbour discovery are answered; where \
             the kernel cannot do that, this node does not serve",
        );
    }
    for tracked in super::track::describe(&instance.tracks) {
        line(text, "tracks", &tracked);
    }
    if priority.is_owner() {
        line(
            text,
            "owner",
            "where the address is this machine's own it is never leased nor removed; prefer has no effect",
        );
    } else {
        lease(text, instance, peer_priority);
        line(text, "in doubt", &doubt(instance));
        line(text, "rules down", &rules_down(instance));
    }
}

fn policies(instance: &Instance) -> String {
    let one = |name: &String| match instance.policy_weights.get(name) {
        None => name.clone(),
        Some(weight) if *weight > 0 => format!("{name} (priority {weight:+} while it is well)"),
        Some(weight) => format!("{name} (priority {weight:+} instead of a fault)"),
    };
    let each: Vec<String> = instance.policies.iter().map(one).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

const fn untracked(tracked: bool) -> &'static str {
    if tracked { "" } else { ", left gone if somebody removes it" }
}

/// Each address with what is its own.
fn addresses(instance: &Instance, nets: &[ipnet::IpNet]) -> Vec<String> {
    let manner = |net| instance.manners.get(net).map(ToString::to_string).unwrap_or_default();
    nets.iter().map(|net| format!("{net}{}", manner(net))).collect()
}

fn protocol(protocol: &Protocol) -> String {
    match protocol {
        Protocol::V2(Auth::None) => "version 2".to_owned(),
        Protocol::V2(Auth::Pass(_) | Auth::Secret(_)) => "version 2 with a password".to_owned(),
        Protocol::V3(Checksum::Auto) => "version 3".to_owned(),
        Protocol::V3(Checksum::PseudoHeader) => "version 3, checksum with the pseudo header".to_owned(),
        Protocol::V3(Checksum::Rfc9568) => "version 3, checksum of the message only".to_owned(),
    }
}

fn peers(instance: &Instance) -> String {
    let transport = match instance.transport {
        Transport::Multicast => {
            instance.multicast_group.map_or_else(|| "multicast".to_owned(), |group| format!("multicast to {group}"))
        }
        Transport::Unicast => match (instance.min_ttl, instance.max_ttl) {
            (0 | 1, u8::MAX) => "unicast".to_owned(),
            (least, u8::MAX) => format!("unicast, with a TTL of at least {least}"),
            (least, most) => format!("unicast, with a TTL of {least} to {most}"),
        },
    };
    let source = instance.source.map_or_else(String::new, |source| format!(", from {source}"));
    if instance.peers.is_empty() {
        return format!("none named, by {transport}{source}: the master cannot see whether there is a standby");
    }
    format!("{}, by {transport}{source}", list(&instance.peers))
}

/// Who is told of transitions.
fn told(notify: &Notify) -> Option<String> {
    let each = notify.all().map(|(key, argv)| {
        let when = if key == "run" { String::new() } else { format!(" ({key})") };
        format!("{}{when}", argv.join(" "))
    });
    let programs: Vec<String> = each.collect();
    let user = notify.user.as_ref().map_or_else(String::new, |user| format!(", as {user}"));
    let timeout = readable(notify.timeout);
    (!programs.is_empty()).then(|| format!("{}{user}; each has {timeout}", programs.join(", ")))
}

fn takeover(instance: &Instance) -> String {
    if instance.priority.is_owner() {
        return "at once, from whoever is master: an owner never waits".to_owned();
    }
    let down =
        instance.advertise.down_interval_of(instance.down_adverts, instance.protocol.version(), instance.priority);
    let claim = match instance.claim {
        Claim::Auto => ", if nobody answers for the address any more",
        Claim::Off => ", without asking whether somebody still answers for the address",
    };
    let preempt = match instance.preempt {
        Preempt::Never => "leaves a lower master alone".to_owned(),
        Preempt::AtOnce => "from a lower master at once".to_owned(),
        Preempt::After(delay) => format!("from a lower master after {} of good health", readable(delay)),
    };
    format!("{} after the last advertisement of a silent master{claim}; {preempt}", readable(down))
}

/// What the kernel promises if this node dies, and what it does not.
fn lease(text: &mut String, instance: &Instance, peer_priority: Option<Priority>) {
    let planned = lease_length(instance, peer_priority);
    let (Some(length), Some(renewal)) = (planned.length, planned.renew_every()) else {
        line(text, "lease", "off: if ha is killed the address stays here for ever, also when the peer has taken it");
        return;
    };
    let how = match instance.lease {
        Lease::Auto => "automatic",
        Lease::Fixed(_) | Lease::Off => "as configured",
    };
    let length = readable(length);
    line(
        text,
        "lease",
        &format!("{length}, {how}; renewed after an advertisement was sent, at most every {}", readable(renewal)),
    );
    if let Some(gate) = planned.gate {
        let gate = readable_down(gate);
        line(
            text,
            "gate",
            &format!("packets to the addresses are let in for {gate} after each advertisement (nftables)"),
        );
    }
    let assumed = match peer_priority {
        Some(priority) => format!("at priority {priority}"),
        None => "at priority 254, the worst case".to_owned(),
    };
    line(
        text,
        "if it dies",
        &format!(
            "the address is gone within {} of the last advertisement; the peer, {assumed}, takes it after {}",
            readable(planned.bound_end),
            readable_down(planned.earliest_takeover_by_peer),
        ),
    );
    line(
        text,
        "",
        &if planned.overlap.is_zero() {
            "so there are never two holders, if the peer received the last advertisement".to_owned()
        } else {
            format!(
                "so there may be two holders for {}, if the peer received the last advertisement",
                readable(planned.overlap)
            )
        },
    );
    let interval = readable(instance.advertise.as_duration());
    let closed = "a peer that runs ha looks first whether somebody still answers, which closes it";
    line(text, "", &format!("(each lost one adds {interval}; {closed})"));
    line(text, "", "not covered: a virtual machine that is paused together with its clock");
}

fn doubt(instance: &Instance) -> String {
    let preference = match instance.prefer {
        Preference::Safety => "safety: rather nobody than two",
        Preference::Availability => "availability: rather two than nobody",
    };
    let conflict = match instance.on_conflict {
        OnConflict::Hold => "stays backup while a silent peer still answers for the address",
        OnConflict::Steal => "takes the address even while a silent peer still answers for it",
    };
    format!("{preference}; {conflict}")
}

fn rules_down(instance: &Instance) -> String {
    let last = match instance.last_resort {
        LastResort::Release => "lets go of the address",
        LastResort::Keep => "offers the address, and keeps it at priority 1 while no fit peer takes it",
    };
    let error = match instance.on_error {
        OnError::Hold => "keeps its role while a policy cannot be evaluated".to_owned(),
        OnError::FaultAfter(time) => {
            format!("a policy that cannot be evaluated for {} counts as a fault", readable(time))
        }
    };
    format!("{last}; {error}")
}

/// A lower bound must not look later than it is.
fn readable_down(time: Duration) -> String {
    readable(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

fn list(items: &[impl ToString]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// One line of the table, wrapped to the width of a terminal.
fn line(text: &mut String, key: &str, value: &str) {
    const WIDTH: usize = 100;
    let mut current = format!("  {key:<11}");
    let mut room = false;
    for word in value.split(' ') {
        if room && current.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{current}");
            current = " ".repeat(13);
            room = false;
        }
        if room {
            current.push(' ');
        }
        current.push_str(word);
        room = true;
    }
    let _ = writeln!(text, "{current}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::fixture, wire::AdverInterval};

    fn one(change: impl FnOnce(&mut Instance)) -> String {
        let (mut node1, _) = fixture::pair();
        change(node1.instances.first_mut().unwrap());
        describe(&node1, None)
    }

    #[test]
    fn the_founding_pair() {
        let (node1, node2) = fixture::pair();
        insta::assert_snapshot!(describe(&node1, None));
        insta::assert_snapshot!(describe(&node1, Some(&node2)));
        insta::assert_snapshot!(describe(&node2, Some(&node1)));
    }

    #[test]
    fn everything_else() {
        let fast = one(|instance| {
            instance.protocol = Protocol::V3(Checksum::Rfc9568);
            instance.advertise = AdverInterval::from_centis(1).unwrap();
            instance.claim = Claim::Off;
            instance.preempt = Preempt::Never;
            instance.prefer = Preference::Availability;
            instance.on_conflict = OnConflict::Steal;
            instance.last_resort = LastResort::Keep;
            instance.on_error = OnError::FaultAfter(Duration::from_secs(60));
            instance.policies.clear();
            instance.peers.clear();
        });
        let off = one(|instance| {
            instance.lease = Lease::Off;
            instance.preempt = Preempt::After(Duration::from_secs(90));
            instance.transport = Transport::Unicast;
            instance.source = Some("192.168.0.20".parse().unwrap());
            instance.accept = false;
            instance.track_own_interface = false;
            instance.paths = vec![path::Path {
                name: "second".to_owned(),
                interface: "eth1".parse().unwrap(),
                transport: Transport::Unicast,
                multicast_group: None,
                min_ttl: 1,
                max_ttl: 255,
                peers: vec!["10.9.0.2".parse().unwrap()],
                source: None,
            }];
            instance.virtual_mac = Some(crate::config::VirtualMac { name: "ha-51".parse().unwrap(), advertises: true });
            let keys =
                [1, 2].map(|id| (std::num::NonZeroU8::new(id).unwrap(), super::super::HmacKey::File("/k".into())));
            instance.auth_hmac = Some(super::super::AuthHmac {
                active_key: keys[1].0,
                keys: keys.into(),
                anti_replay: super::super::AntiReplay::Time,
                time_window: Duration::from_secs(5),
                mode: super::super::HmacMode::Enforce,
            });
        });
        let routed = one(|instance| {
            instance.routing = fixture::routing();
            instance.routing.rules[0].tracked = false;
        });
        let fixed = one(|instance| instance.lease = Lease::Fixed(Duration::from_secs(5)));
        let owner = one(|instance| instance.priority = Priority::OWNER);
        insta::assert_snapshot!([fast, off, fixed, owner, routed].join("\n"));
    }
}
