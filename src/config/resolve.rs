//! The whole file as meant: what concerns the node, and what concerns several instances.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use lettre::message::Mailbox;

use super::{
    Config, Control, Facts, Mail, Permits, PolicyChanges, delays,
    error::{Findings, Span},
    events, group,
    instance::{self, Drawn},
    netns, network, path as paths, privileges,
    raw::{RawConfig, RawInstance, RawMail, Texts},
    routing,
    table::Written,
    track, value, virtual_mac, webhook, witness,
};

const NODE_MAX: usize = 64;
const PROBATION: Duration = Duration::from_secs(60);
const PROBATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// Reads the whole file; relative paths are relative to `base`. `None` only if a problem was found.
pub(super) fn resolve(raw: &RawConfig, base: &Path, facts: &Facts, out: &mut Findings) -> Option<Config> {
    let node = node(&raw.node, out);
    let policy_dir = path("policy_dir", &raw.policy_dir, "policies", base, out);
    let netns = netns::resolve(&raw.netns, out);
    let realtime_priority = value::number("realtime_priority", &raw.realtime_priority, 1, 99, out);
    let control = Control {
        socket: socket(&raw.socket, base, out),
        state_dir: path("state_dir", &raw.state_dir, "/var/lib/ha", base, out),
    };
    let start = delays::start(&raw.start, out);
    let permits = Permits {
        secrets_dir: path("secrets_dir", &raw.secrets_dir, "/etc/ha/secrets", base, out),
        allow_exec: programs(&raw.allow_exec, out),
    };
    let policy = policy(raw, out);
    let events = events::resolve(&raw.events, base, out);
    let mail = raw.mail.as_ref().map(|raw| mail(raw, out));
    let webhooks: Vec<_> = raw.webhooks.iter().map(|raw| webhook::resolve(raw, out)).collect();
    if raw.instances.is_empty() {
        out.missing(
            0..0,
            "no instance: there is no address to keep",
            "write [instance.VI_1] and its settings below it",
        );
    }
    let mut networks = Vec::new();
    let mut draw = |raw: &RawInstance| {
        // Where the daemon is anyway is nowhere else.
        let other = netns::resolve(&raw.netns, out).filter(|other| Some(other) != netns.as_ref());
        networks.extend(other.clone().zip(raw.netns.span()));
        instance::resolve(raw, other, base, facts, out)
    };
    let drawn: Vec<Drawn> = raw.instances.iter().map(&mut draw).collect();
    network::check_sockets(&control, &networks, out);
    for (index, later) in drawn.iter().enumerate() {
        check_against(later, drawn.iter().take(index), out);
    }
    virtual_mac::check_names(&drawn, out);
    routing::check_shared(&drawn, out);
    let names: Vec<_> = raw.instances.iter().map(|raw| raw.name.get_ref().as_str()).collect();
    let named: Vec<_> = names.into_iter().zip(drawn.iter().map(|drawn| drawn.instance.as_ref())).collect();
    let groups = group::resolve(&raw.groups, &named, out);
    let mut instances: Vec<_> = drawn.into_iter().map(|drawn| drawn.instance).collect::<Option<_>>()?;
    track::spread(&groups, &mut instances);
    let links = delays::links(&raw.links, &instances, out);
    let witness = witness::resolve(raw.witness.as_ref(), &mut instances, base, out);
    Some(Config {
        node: node?,
        policy_dir,
        netns,
        realtime_priority,
        lock_memory: flag(&raw.lock_memory, false),
        boot_last_good: flag(&raw.boot_last_good, true),
        privileges: privileges::resolve(&raw.privileges, base, out),
        start,
        links,
        permits,
        control,
        policy,
        events,
        mail,
        webhooks: webhooks.into_iter().collect::<Option<_>>()?,
        groups: groups.into_iter().map(|(group, _)| group).collect(),
        instances,
        witness,
    })
}

fn node(written: &Written<String>, out: &mut Findings) -> Option<String> {
    const TODO: &str =
        "write node = \"K1\", a name by which people know this machine; it is in the journal and in the mail";
    if written.is_absent() {
        out.missing(0..0, "this node has no name", TODO);
    }
    let (name, span) = written.given()?;
    if name.trim() != name || name.is_empty() || name.len() > NODE_MAX || name.contains(char::is_control) {
        let what = format!("{} cannot be the name of a node: it is empty, too long or no plain text", out.text(&span));
        out.error(span, what, TODO);
    }
    Some(name.clone())
}

fn flag(written: &Written<bool>, default: bool) -> bool {
    written.given().map_or(default, |(flag, _)| *flag)
}

fn path(key: &str, written: &Written<String>, default: &str, base: &Path, out: &mut Findings) -> PathBuf {
    let text = match written.given() {
        None => default,
        Some((text, span)) => {
            if text.is_empty() || text.contains('\0') {
                out.error(span, format!("{key} is not a path"), format!("write {key} = \"{default}\" or another path"));
            }
            text
        }
    };
    base.join(text)
}

/// Absolute, so that nobody chooses the program by where the daemon was started.
fn programs(written: &Written<Texts>, out: &mut Findings) -> BTreeSet<PathBuf> {
    let mut programs = BTreeSet::new();
    for text in written.given().map(|(texts, _)| texts.as_slice()).unwrap_or_default() {
        let path = text.get_ref();
        if !path.starts_with('/') || path.contains('\0') {
            let todo = "write allow_exec = [\"/usr/bin/program\"], without its arguments";
            out.error(text.span(), format!("\"{path}\" is not the absolute path of a program"), todo);
        }
        programs.insert(PathBuf::from(path));
    }
    programs
}

fn socket(written: &Written<String>, base: &Path, out: &mut Findings) -> PathBuf {
    let socket = path("socket", written, "/run/ha/ha.sock", base, out);
    let length = network::length(&socket);
    if let Some((_, span)) = written.given().filter(|_| length > network::SOCKET_MAX) {
        let todo = "write a shorter absolute path, like \"/run/ha/ha.sock\"";
        let most = network::SOCKET_MAX;
        out.error(span, format!("the path of the socket has {length} bytes, the kernel takes {most}"), todo);
    }
    socket
}

fn policy(raw: &RawConfig, out: &mut Findings) -> PolicyChanges {
    let probation = value::time("probation", &raw.probation, Duration::ZERO, PROBATION_MAX, out);
    PolicyChanges { probation: probation.unwrap_or(PROBATION), auto_rollback: flag(&raw.auto_rollback, false) }
}

fn mail(raw: &RawMail, out: &mut Findings) -> Mail {
    const TO: &str = "write to = [\"ops@example.org\"]";
    const FROM: &str = "write from = \"ha@node1.example.org\"";
    if raw.to.is_absent() {
        out.missing(raw.header.clone(), "[mail] has no recipients", TO);
    }
    if raw.from.is_absent() {
        out.missing(raw.header.clone(), "[mail] has no sender", FROM);
    }
    let mut to = Vec::new();
    if let Some((texts, span)) = raw.to.given() {
        if texts.is_empty() {
            out.error(span, "[mail] has no recipients", TO);
        }
        for text in texts {
            check_mailbox(text.get_ref(), text.span(), out);
            to.push(text.get_ref().clone());
        }
    }
    let from = raw.from.given().map(|(from, span)| {
        check_mailbox(from, span, out);
        from.clone()
    });
    let (shortest, longest) = (Duration::from_millis(100), Duration::from_secs(600));
    let timeout = value::time("timeout", &raw.timeout, shortest, longest, out).unwrap_or(Duration::from_secs(30));
    Mail { to, from: from.unwrap_or_default(), smtp: smtp(&raw.smtp, out), timeout }
}

fn check_mailbox(text: &str, span: Span, out: &mut Findings) {
    if text.parse::<Mailbox>().is_err() {
        let todo = "write \"ops@example.org\" or \"Operations <ops@example.org>\"";
        out.error(span, format!("\"{text}\" is not a mail address"), todo);
    }
}

fn smtp(written: &Written<String>, out: &mut Findings) -> String {
    const DEFAULT: &str = "localhost:25";
    let Some((text, span)) = written.given() else { return DEFAULT.to_owned() };
    if !is_host_and_port(text) {
        let todo = match text.as_str() {
            host if is_host_and_port(&format!("{host}:25")) => format!("write smtp = \"{host}:25\""),
            _ => format!("write smtp = \"{DEFAULT}\", or \"[2001:db8::25]:25\" for an IPv6 address"),
        };
        out.error(span, format!("smtp = \"{text}\" is not a host with a port"), todo);
    }
    text.clone()
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-' || c == '_';
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(plain),
    };
    host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A virtual router exists once on an interface of a network, and a virtual address of it belongs to one of them.
fn check_against<'a>(later: &Drawn, earlier: impl Iterator<Item = &'a Drawn>, out: &mut Findings) {
    for first in earlier.filter(|first| first.netns == later.netns) {
        paths::check_against(later, first, out);
        if let (Some(vrid), Some(interface), Some(family)) = (later.vrid, &later.interface, later.addresses.family)
            && first.vrid == Some(vrid)
            && first.interface.as_ref() == Some(interface)
            && first.addresses.family == Some(family)
        {
            out.error(
                later.header.clone(),
                format!("virtual router {vrid} on {interface} is defined twice"),
                "give one of the two another virtual_router_id, or move its addresses to the other",
            );
            out.relate(first.header.clone(), "first here");
        }
        for (net, span) in later.addresses.all() {
            if let Some(place) = first.addresses.place_of(net.addr()) {
                let todo = "keep it in one of them: two virtual routers would fight for it";
                out.error(span.clone(), format!("{} belongs to two instances", net.addr()), todo);
                out.relate(place, "first here");
            }
        }
    }
}
