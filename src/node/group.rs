//! Instances that lead and follow together (R16, R17, R26): what bears on one bears on all, and one takes its addresses only
//! when every one may.
//!
//! The members are state machines of their own; here is what each is told of the others. The worst standing holds for all.
//! A member that loses its role takes the others with it, in order and with priority 0 on the wire, so that nobody waits
//! for their silence.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    GroupStatus, Node, Role,
    bearing::Bearing,
    claim::spacing,
    instance::{Instance, Outbox},
};
use crate::{
    config::{self, Renames},
    vrrp::{Event, State, standing},
    wire::Advertisement,
    words::Instant,
};

/// The condition of a member that is what it is because of another.
pub(super) const CONDITION: &str = "group";
/// The condition of a member that may take its addresses and waits for the others.
const WAITS: &str = "group_waits";

/// How long a member that could go on as master waits until as much is known of the others.
const ADOPTING: Duration = Duration::from_millis(500);

/// A group, by the names of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    name: Arc<str>,
    pub(super) members: Arc<[String]>,
}

impl Group {
    pub(super) fn rename(&mut self, renames: &Renames) {
        self.members = self.members.iter().map(|name| renames.name(name).to_owned()).collect();
    }
}

/// What one member knows of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ties {
    group: Option<Group>,
    /// The worst that bears on another, unless all are fit.
    worst: Option<Bearing>,
    /// What the policies of the others, and what they track, add to the priority.
    weights: BTreeMap<String, i32>,
    /// The longest time that another holds while it hands over.
    pub(super) patience: Duration,
    /// Another has hooks to wait for before a planned release.
    pub(super) farewell: bool,
    /// It may serve, and does so when all may.
    pub(super) ready: bool,
    /// It has just come into the group: those that lead already wait for it until then.
    joins: Option<Instant>,
    /// The process before this one was master, and it goes on once the others are known; until then at the latest.
    adopts: Option<Instant>,
    /// Why it stepped back last.
    back: String,
}

/// What one member says to the others.
#[derive(Debug)]
struct Word {
    name: String,
    bearing: Bearing,
    weights: BTreeMap<String, i32>,
    patience: Duration,
    farewell: bool,
}

impl Ties {
    /// It waits for the others before it goes on with what is here.
    pub(super) const fn waits_to_adopt(&self) -> bool {
        self.adopts.is_some()
    }

    /// Those of an instance that comes into its group now.
    pub(super) fn of(now: Instant, groups: &[Group], instance: &Instance) -> Self {
        let group = groups.iter().find(|group| group.members.contains(&instance.config.name));
        let joins = group.map(|_| now + instance.joining_time());
        Self { group: group.cloned(), joins, ..Self::default() }
    }

    /// The members are called otherwise.
    pub(super) fn rename(&mut self, renames: &Renames) {
        if let Some(group) = &mut self.group {
            group.rename(renames);
        }
    }

    /// It belongs to a group.
    pub(super) const fn is_bound(&self) -> bool {
        self.group.is_some()
    }

    /// Why it stepped back, as a sentence.
    pub(super) fn why_back(&self) -> String {
        self.back.clone()
    }
}

impl Instance {
    /// What bears on it and on the others: the worst.
    pub(super) fn pooled(&self, now: Instant, own: Bearing) -> Bearing {
        let ties = &self.ties;
        match &ties.worst {
            Some(worst) if worst.gravity() > own.gravity() => worst.clone(),
            None if ties.is_bound() && matches!(own, Bearing::Fit(_)) => {
                let weights = merged([self.weights(now), ties.weights.clone()]);
                Bearing::Fit(standing(self.config.priority, weights.into_values()))
            }
            Some(_) | None => own,
        }
    }

    fn word(&self, now: Instant) -> Word {
        Word {
            name: self.config.name.clone(),
            bearing: self.own_bearing(now),
            weights: self.weights(now),
            patience: self.own_patience(),
            farewell: self.has_farewell(now),
        }
    }

    /// What it hears from the others, if that is new to it.
    fn hears(&self, words: &[Word]) -> Option<Ties> {
        let group = self.ties.group.as_ref()?;
        let others = || words.iter().filter(|word| word.name != self.config.name);
        let grave = others().filter(|word| word.bearing.gravity() > 0);
        let worst = grave.max_by_key(|word| word.bearing.gravity());
        let heard = Ties {
            worst: worst.map(|word| word.bearing.of_another(&word.name, &group.name)),
            weights: merged(others().map(|word| word.weights.clone())),
            patience: others().map(|word| word.patience).max().unwrap_or_default(),
            farewell: others().any(|word| word.farewell),
            ..self.ties.clone()
        };
        (heard != self.ties).then_some(heard)
    }

    /// Takes that in; returns whether it may change what it says itself.
    fn take_in(&mut self, now: Instant, heard: Ties, out: &mut Outbox) -> bool {
        let known = std::mem::replace(&mut self.ties, heard);
        // Another sentence for the same thing decides nothing anew.
        let matters = |ties: &Ties| (ties.worst.as_ref().map(Bearing::gravity), ties.weights.clone(), ties.farewell);
        let news = matters(&known) != matters(&self.ties);
        self.reassess(now, out);
        self.unsettled |= news;
        news
    }

    /// The others have gone: it hands over in order. Whoever woke too late has nothing to hand over, whatever became of them (R10).
    fn step_back(&mut self, now: Instant, why: String, out: &mut Outbox) {
        self.wake(now, out);
        if !self.is_master() {
            return;
        }
        self.ties.back = why;
        self.tenure.renew_soon();
        self.step(now, Event::StepBack { patience: self.patience() }, out);
    }

    /// The master of another member resigned, and is the one that this member follows (R17).
    fn permit(&mut self, now: Instant, at: Instant, out: &mut Outbox) {
        self.permitted_at = Some(at);
        let adv = Advertisement {
            vrid: self.config.vrid,
            priority: None,
            interval: self.master_interval(),
            addresses: self.virtual_addresses(),
        };
        self.step(now, Event::Advertisement { adv: &adv, wins_tie: false }, out);
        self.inherit_if_permitted(now, out);
        self.unsettled = true;
    }

    const fn is_master(&self) -> bool {
        matches!(self.router.state(), State::Master { .. })
    }

    /// Whether it has to wait for the others before it goes on as master.
    pub(super) fn adopts_later(&mut self, now: Instant) -> bool {
        let waits = self.ties.is_bound() && matches!(self.bearing(now), Bearing::Fault { .. });
        self.ties.adopts = waits.then(|| now + ADOPTING);
        waits
    }

    /// It goes on as master, or its time is over.
    fn adopt_if_due(&mut self, now: Instant, out: &mut Outbox) {
        let Some(until) = self.ties.adopts else { return };
        if self.master.is_some() || until <= now {
            self.ties.adopts = None;
            self.let_go_what_was_left(now, out);
        } else if !matches!(self.bearing(now), Bearing::Fault { .. }) {
            self.ties.adopts = None;
            self.adopt(now, out);
        }
    }

    /// It neither leads nor hands over.
    const fn lags(&self) -> bool {
        matches!(self.router.state(), State::Initialize | State::Backup { .. } | State::Elected { .. })
    }

    fn is_ready(&self) -> bool {
        self.ties.ready && !self.unsettled && matches!(self.router.state(), State::Elected { .. })
    }

    /// Another machine leads it, and is not to be preempted.
    fn obeys(&self, now: Instant) -> bool {
        self.is_waited_for(now) && !self.lower_master_heard(now)
    }

    /// How long it takes to come to lead what nobody else leads.
    fn joining_time(&self) -> Duration {
        let down = self.down_interval();
        (down * 2).max(self.config.link_settle + down)
    }

    /// Brings up to date whether it still joins; returns whether the others go on without it.
    fn joins(&mut self, now: Instant) -> bool {
        self.ties.joins = match (self.router.state(), self.ties.joins) {
            (_, None) | (State::Master { .. }, _) => None,
            (State::Initialize, Some(_)) => Some(now + self.joining_time()),
            (_, Some(until)) => Some(until).filter(|until| now < *until && !self.obeys(now)),
        };
        self.ties.joins.is_some()
    }

    /// Why it may not lead, as the end of a sentence.
    fn why_it_lags(&self, now: Instant) -> String {
        let said = |name: &str| self.conditions().into_iter().find(|is| is.name == name).map(|is| is.text);
        match self.router.state() {
            State::Initialize => self.why_unfit(now),
            State::Elected { .. } => {
                said("conflict").or_else(|| said("elected")).unwrap_or_else(|| "looks before it takes".to_owned())
            }
            State::Backup { .. } | State::Master { .. } | State::Resigning { .. } => match self.master {
                Some(master) if self.is_waited_for(now) => format!("{master} leads it"),
                Some(_) | None => "has not yet heard long enough that nobody leads it".to_owned(),
            },
        }
    }
}

impl Node {
    /// Takes the groups of the configuration. A member that comes is waited for; roles are kept.
    pub(super) fn form_groups(&mut self, groups: &[config::Group]) {
        let form = |group: &config::Group| Group {
            name: group.name.as_str().into(),
            members: group.instances.iter().cloned().collect(),
        };
        self.groups = groups.iter().map(form).collect();
        let (now, out) = (self.now, &mut self.outbox);
        for instance in self.instances.values_mut() {
            let ties = Ties::of(now, &self.groups, instance);
            if instance.ties.group != ties.group {
                instance.ties = ties;
                instance.condition(now, WAITS, None, out);
                instance.reassess(now, out);
                instance.unsettled = true;
            }
        }
        self.move_together();
    }

    /// Brings every group together: standings, permissions, and those that have to go.
    pub(super) fn move_together(&mut self) {
        for group in self.groups.clone() {
            self.pool(&group);
            self.adopt_together(&group);
            self.spread_permission(&group);
            self.fall(&group);
            self.say_who_waits(&group);
        }
    }

    /// Every group whose last member may lead now leads.
    pub(super) fn take_together(&mut self) {
        let (now, out) = (self.now, &mut self.outbox);
        for group in &self.groups {
            let may = |name: &String| self.instances.get(name).is_some_and(|it| it.is_master() || it.is_ready());
            if !group.members.iter().all(may) {
                continue;
            }
            for name in group.members.iter() {
                if let Some(member) = self.instances.get_mut_if(name, Instance::is_ready) {
                    member.ties.ready = false;
                    member.condition(now, WAITS, None, out);
                    member.promote(now, out);
                }
            }
        }
    }

    /// When somebody who joins has had its time.
    pub(super) fn joined_at(&self) -> Option<Instant> {
        let ends = self.groups.iter().flat_map(|group| {
            let leads = self.members(group).any(Instance::is_master);
            self.members(group).filter(move |member| leads && member.lags()).filter_map(|member| member.ties.joins)
        });
        let adopting = self.instances.values().filter_map(|instance| instance.ties.adopts);
        ends.chain(adopting).filter(|at| self.now < *at).min()
    }

    pub(super) fn group_status(&self) -> Vec<GroupStatus> {
        let status = |group: &Group| GroupStatus {
            name: group.name.to_string(),
            instances: group.members.to_vec(),
            role: self.members(group).map(Instance::role).min().unwrap_or(Role::Fault),
        };
        self.groups.iter().map(status).collect()
    }

    fn members<'n>(&'n self, group: &'n Group) -> impl Iterator<Item = &'n Instance> {
        group.members.iter().filter_map(|name| self.instances.get(name))
    }

    /// The worst standing of all holds for all. What one is told may change what it says, so it is told again.
    fn pool(&mut self, group: &Group) {
        let now = self.now;
        for _ in 0..=group.members.len() {
            let words: Vec<Word> = self.members(group).map(|member| member.word(now)).collect();
            let mut news = false;
            for name in group.members.iter() {
                if let Some(heard) = self.instances.get(name).and_then(|member| member.hears(&words))
                    && let Some(member) = self.instances.get_mut(name)
                {
                    news |= member.take_in(now, heard, &mut self.outbox);
                }
            }
            if !news {
                break;
            }
        }
    }

    fn adopt_together(&mut self, group: &Group) {
        for name in group.members.iter() {
            if let Some(member) = self.instances.get_mut_if(name, |member| member.ties.adopts.is_some()) {
                member.adopt_if_due(self.now, &mut self.outbox);
            }
        }
    }

    /// A priority 0 is permission for every member that follows the same machine (R17).
    fn spread_permission(&mut self, group: &Group) {
        let now = self.now;
        let resigned = self.members(group).filter(|member| member.is_permitted(now));
        let resigned: Vec<_> = resigned.filter_map(|member| member.master.zip(member.permitted_at)).collect();
        for (source, at) in resigned {
            for name in group.members.iter() {
                let follows = |member: &Instance| {
                    let waits = matches!(member.router.state(), State::Backup { .. } | State::Elected { .. });
                    let silent = member.alive_heard_at.is_some_and(|heard| heard <= at) && member.is_waited_for(now);
                    member.master == Some(source) && waits && silent && member.permitted_at < Some(at)
                };
                if let Some(member) = self.instances.get_mut_if(name, follows) {
                    member.permit(now, at, &mut self.outbox);
                }
            }
        }
    }

    /// One has lost its role: the others follow it.
    fn fall(&mut self, group: &Group) {
        let (now, out) = (self.now, &mut self.outbox);
        let mut fallen = None;
        let mut leads = false;
        for name in group.members.iter() {
            let joining = self.instances.get_mut_if(name, |member| member.ties.joins.is_some());
            let joins = joining.is_some_and(|member| member.joins(now));
            let Some(member) = self.instances.get(name) else { continue };
            leads |= member.is_master();
            if !joins && member.lags() {
                fallen = fallen.or_else(|| {
                    let state = if member.role() == Role::Fault { "is in fault" } else { "does not lead" };
                    Some(format!("{name}, of the same group {}, {state}: {}", group.name, member.why_it_lags(now)))
                });
            }
        }
        let Some(why) = fallen.filter(|_| leads) else { return };
        for name in group.members.iter() {
            if let Some(member) = self.instances.get_mut_if(name, Instance::is_master) {
                member.step_back(now, why.clone(), out);
            }
        }
    }

    /// Who could lead, and for whom it waits (R26).
    fn say_who_waits(&mut self, group: &Group) {
        let now = self.now;
        let lags = |member: &&Instance| !member.is_master() && !member.is_ready();
        let absent = group.members.iter().find(|name| !self.instances.contains_key(name));
        let late = absent.map(|name| format!("{name} is being set up"));
        let late = late.or_else(|| {
            let member = self.members(group).find(lags)?;
            Some(format!("{}: {}", member.config.name, member.why_it_lags(now)))
        });
        for name in group.members.iter() {
            let speaks = |member: &Instance| {
                matches!(member.router.state(), State::Elected { .. })
                    || member.conditions().iter().any(|condition| condition.name == WAITS)
            };
            let Some(member) = self.instances.get_mut_if(name, speaks) else { continue };
            let State::Elected { since, .. } = member.router.state() else {
                member.condition(now, WAITS, None, &mut self.outbox);
                continue;
            };
            // A moment is nothing to speak of.
            let long = since + spacing(member.down_interval()) * 2 <= now;
            if let (Some(late), true) = (&late, long && member.ties.ready) {
                let text = format!(
                    "this instance may take its addresses and waits, because group {} leads only as a whole. {late}",
                    group.name
                );
                member.condition(now, WAITS, Some(text), &mut self.outbox);
            }
        }
    }
}

impl Bearing {
    /// How bad it is: nothing, and then what lets go sooner is worse.
    const fn gravity(&self) -> u8 {
        match self {
            Self::Fit(_) => 0,
            Self::Barred { .. } => 1,
            Self::Reluctant { .. } => 2,
            Self::StandDown { .. } => 3,
            Self::Fault { .. } => 4,
        }
    }

    /// The same, as it bears on another of the group.
    fn of_another(&self, member: &str, group: &str) -> Self {
        let say = |why: &str| format!("{member}, of the same group {group}: {why}");
        match self {
            Self::Fault { why, .. } => Self::Fault { name: Some(CONDITION), why: say(why) },
            Self::StandDown { why, .. } => Self::StandDown { name: Some(CONDITION), why: say(why) },
            Self::Reluctant { why, over } => Self::Reluctant { why: say(why), over: *over },
            Self::Barred { why, .. } => Self::Barred { name: CONDITION, why: say(why) },
            Self::Fit(priority) => Self::Fit(*priority),
        }
    }
}

/// What bears on one, and what it adds to its priority, taken together with the others of its group.
pub(super) fn pooled_with(
    config: &config::Instance,
    own: Bearing,
    weights: BTreeMap<String, i32>,
    others: impl Iterator<Item = (Bearing, BTreeMap<String, i32>)>,
) -> Bearing {
    let mut all = vec![weights];
    let mut worst = own;
    for (bearing, weights) in others {
        all.push(weights);
        if bearing.gravity() > worst.gravity() {
            worst = bearing;
        }
    }
    match worst {
        Bearing::Fit(_) => Bearing::Fit(standing(config.priority, merged(all).into_values())),
        Bearing::Barred { .. } | Bearing::Reluctant { .. } | Bearing::StandDown { .. } | Bearing::Fault { .. } => worst,
    }
}

/// The trouble of the others that is worse than its own, as a sentence.
pub(super) fn worse_of_another<'a>(
    own: &Bearing,
    group: &str,
    others: impl Iterator<Item = (&'a str, Bearing)>,
) -> Option<String> {
    let worse = others.filter(|(_, bearing)| bearing.gravity() > own.gravity());
    let (name, bearing) = worse.max_by_key(|(_, bearing)| bearing.gravity())?;
    match bearing.of_another(name, group) {
        Bearing::Fault { why, .. }
        | Bearing::StandDown { why, .. }
        | Bearing::Reluctant { why, .. }
        | Bearing::Barred { why, .. } => Some(why),
        Bearing::Fit(_) => None,
    }
}

/// What several say of the same policies and of what they track: the worst of each.
fn merged(all: impl IntoIterator<Item = BTreeMap<String, i32>>) -> BTreeMap<String, i32> {
    let mut merged: BTreeMap<String, i32> = BTreeMap::new();
    for (policy, weight) in all.into_iter().flatten() {
        merged.entry(policy).and_modify(|worst| *worst = (*worst).min(weight)).or_insert(weight);
    }
    merged
}
