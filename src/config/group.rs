//! `[group.NAME]`: instances that lead and follow together.

use std::ops::Range;

use super::{
    Config, Instance, Notify, Occasion,
    error::{Findings, Problem, Severity, Span},
    instance::check_name,
    network, suggest,
    table::{Table, Written},
    told::{self, RawNotify},
    track::{self, RawTracks, Tracks},
};

/// Instances that lead and follow together: all of them lead here, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name in the file, `[group.NAME]`.
    pub name: String,
    /// Its members, by name, at least one.
    pub instances: Vec<String>,
    /// Who is told of its transitions.
    pub notify: Notify,
}

/// `[group.NAME]` as written.
#[derive(Debug)]
pub(super) struct RawGroup {
    name: toml::Spanned<String>,
    header: Span,
    instances: Written<super::raw::Texts>,
    track: RawTracks,
    notify: RawNotify,
}

impl RawGroup {
    /// `tables` gets the tables within it.
    pub(super) fn read<'d>(
        name: toml::Spanned<String>,
        table: &mut Table<'d>,
        tables: &mut Vec<Table<'d>>,
        out: &mut Findings,
    ) -> Self {
        let mut inner = table.table("track", out);
        let track = RawTracks::read(&mut inner, tables, out);
        let mut inner_notify = table.table("notify", out);
        let notify = RawNotify::read(&mut inner_notify, &Occasion::OF_GROUPS, out);
        tables.extend([inner, inner_notify]);
        Self { name, header: table.header(), instances: table.texts("instances", out), track, notify }
    }
}

/// Reads them all, each with what it tracks; `instances`: the name of each, and the instance if it is usable.
pub(super) fn resolve(
    raw: &[RawGroup],
    instances: &[(&str, Option<&Instance>)],
    out: &mut Findings,
) -> Vec<(Group, Tracks)> {
    let mut taken: Vec<(String, Range<usize>)> = Vec::new();
    let mut both =
        |raw: &RawGroup| (one(raw, instances, &mut taken, out), track::resolve(&raw.track, None, false, out));
    raw.iter().map(&mut both).collect()
}

fn one(
    raw: &RawGroup,
    instances: &[(&str, Option<&Instance>)],
    taken: &mut Vec<(String, Span)>,
    out: &mut Findings,
) -> Group {
    const TODO: &str = "write instances = [\"VI_1\", \"VI_2\"]";
    let name = raw.name.get_ref();
    check_name("a group", name, raw.name.span(), out);
    if raw.instances.is_absent() {
        out.missing(raw.header.clone(), format!("[group.{name}] has no instances"), TODO);
    }
    let mut members = Vec::new();
    let mut leader: Option<&Instance> = None;
    for text in raw.instances.given().into_iter().flat_map(|(texts, _)| texts) {
        let (member, span) = (text.get_ref(), text.span());
        let names: Vec<&str> = instances.iter().map(|(name, _)| *name).collect();
        if let Some((_, first)) = taken.iter().find(|(other, _)| other == member) {
            let todo = "remove one of the two: an instance moves with one group";
            out.error(span, format!("{member} is in a group twice"), todo);
            out.relate(first.clone(), "first here");
            continue;
        }
        match instances.iter().find(|(name, _)| name == member) {
            None => {
                let todo = match suggest::nearest(member, &names) {
                    Some(near) => format!("write \"{near}\""),
                    None => format!("write [instance.{member}] with its settings, or remove it here"),
                };
                out.error(span.clone(), format!("there is no instance {member}"), todo);
            }
            Some((_, Some(instance))) if instance.priority.is_owner() => {
                let todo = "remove it here, or lower its priority: an owner leads at once and whatever the others do";
                out.error(span.clone(), format!("{member} owns its addresses (priority 255)"), todo);
            }
            Some((_, Some(instance))) => {
                let first = *leader.get_or_insert(instance);
                if !network::meet(first, instance) {
                    let (here, there) = (network::place(instance.netns.as_ref()), network::place(first.netns.as_ref()));
                    let what = format!("{member} works in {here}, and {} in {there}", first.name);
                    let todo =
                        "write a group for each network: each has a process of its own, and they do not lead together";
                    out.error(span.clone(), what, todo);
                }
            }
            Some((_, None)) => (),
        }
        taken.push((member.clone(), span));
        members.push(member.clone());
    }
    if let Some((texts, span)) = raw.instances.given() {
        match texts.len() {
            0 => out.error(span, format!("[group.{name}] has no instances"), TODO),
            1 => {
                out.warning(span, format!("[group.{name}] has one member only"), "add the others, or remove the group")
            }
            _ => (),
        }
    }
    Group { name: name.clone(), instances: members, notify: told::resolve(&raw.notify, out) }
}

/// What does not fit between the groups of two nodes. `counterparts`: the same virtual router on both.
pub(super) fn compare(a: &Config, b: &Config, counterparts: &[(&Instance, &Instance)], found: &mut Vec<Problem>) {
    let mut warn = |what: String, todo: &str| found.push(Problem::anywhere(Severity::Warning, what, todo));
    let on_b = |name: &str| {
        let pair = counterparts.iter().find(|(first, _)| first.name == name);
        pair.map(|(_, second)| second.name.as_str())
    };
    let together = |config: &Config, one: &str, other: &str| {
        config.groups.iter().any(|group| {
            let has = |name: &str| group.instances.iter().any(|member| member == name);
            has(one) && has(other)
        })
    };
    for (index, (first, second)) in counterparts.iter().enumerate() {
        for (other, _) in counterparts.iter().skip(index + 1) {
            let there = on_b(&other.name).is_some_and(|theirs| together(b, &second.name, theirs));
            if together(a, &first.name, &other.name) != there {
                let what = format!(
                    "{} and {} lead together on one node, and each by itself on the other",
                    first.name, other.name
                );
                warn(what, "write the same groups in both: else one node may lead a part of what the other lets go of");
            }
        }
    }
    for group in &a.groups {
        let members = counterparts.iter().filter(|(first, _)| group.instances.contains(&first.name));
        let ranks = members.map(|(first, second)| (first.name.as_str(), first.priority.cmp(&second.priority)));
        let ranks: Vec<_> = ranks.filter(|(_, rank)| rank.is_ne()).collect();
        if let Some(((one, rank), rest)) = ranks.split_first()
            && let Some((other, _)) = rest.iter().find(|(_, other)| other != rank)
        {
            let what = format!(
                "group {}: {} has the higher priority for {one} and {} for {other}",
                group.name,
                if rank.is_gt() { &a.node } else { &b.node },
                if rank.is_gt() { &b.node } else { &a.node }
            );
            warn(what, "give the same node the higher priority for every member: else neither ever preempts the other");
        }
    }
}
