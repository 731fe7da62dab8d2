//! Groups: what becomes of all members is told as one thing, as keepalived tells of its sync groups.
//!
//! A group is in a role when every member is. While its members go from one to another, it is still in the one before.

use std::collections::BTreeMap;

use super::{
    Bench, Line,
    notice::{self, Notice},
    queue::{Job, Order, Task},
};
use crate::{
    config::{self, Notify, Occasion, Renames},
    node::{Event, Journal, Role},
    policy::HookEvent,
    words::Instant,
};

/// A group that is in another role than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its name.
    pub group: String,
    /// `None`: nothing was known of it.
    pub from: Option<Role>,
    /// The role of every member now.
    pub to: Role,
    /// Why the last of them came to it.
    pub reason: String,
    /// The members.
    pub instances: Vec<String>,
}

/// The groups of the configuration, and the role of every instance.
#[derive(Debug, Default)]
pub(super) struct Groups {
    roles: BTreeMap<String, Role>,
    groups: BTreeMap<String, Group>,
    leaving: bool,
}

#[derive(Debug)]
struct Group {
    config: config::Group,
    role: Option<Role>,
    said_stop: bool,
    line: Line,
}

impl Groups {
    pub(super) fn reconfigure(&mut self, wanted: &[config::Group], bench: &Bench) {
        self.groups.retain(|name, _| wanted.iter().any(|group| group.name == *name));
        for config in wanted {
            let group = self.groups.entry(config.name.clone()).or_insert_with(|| Group {
                config: config.clone(),
                role: None,
                said_stop: false,
                line: Line::start(bench, &config.name),
            });
            group.config = config.clone();
        }
    }

    /// Instances are called otherwise from now on.
    pub(super) fn rename(&mut self, renames: &Renames) {
        renames.rekey(&mut self.roles, |instance| instance);
        let members = self.groups.values_mut().flat_map(|group| &mut group.config.instances);
        members.for_each(|instance| renames.rename(instance));
    }

    /// Says which group moved, after its programs and its reader were told.
    pub(super) fn happened(&mut self, entry: &Journal, bench: &Bench) -> Option<Moved> {
        let Event::Transition { to, reason, .. } = &entry.event else { return None };
        self.roles.insert(entry.instance.clone(), *to);
        let (roles, to) = (&self.roles, *to);
        let group = self.groups.values_mut().find(|group| group.config.instances.contains(&entry.instance))?;
        let all = group.config.instances.iter().all(|name| roles.get(name) == Some(&to));
        // That the daemon stops is told as such.
        if !all || group.role == Some(to) || self.leaving && to == Role::Fault {
            return None;
        }
        let from = group.role.replace(to);
        let occasion = match to {
            Role::Master => Occasion::Master,
            Role::Backup => Occasion::Backup,
            Role::Fault => Occasion::Fault,
        };
        bench.events.group(&group.config.name, notice::state(occasion));
        let before = from.map(|from| from.to_string()).unwrap_or_default();
        let event = HookEvent { from: before, to: to.to_string(), reason: reason.clone(), ..HookEvent::default() };
        group.tell(occasion, HookEvent { at: entry.at, ..event });
        let (group, instances) = (group.config.name.clone(), group.config.instances.clone());
        Some(Moved { group, from, to, reason: reason.clone(), instances })
    }

    /// The daemon is asked to stop: programs are told while the addresses are still there, and nobody waits for them.
    pub(super) fn leave(&mut self, now: Instant) {
        self.leaving = true;
        self.groups.values_mut().for_each(|group| group.say_stop(now));
    }

    /// Every address has gone. Those who are still at work.
    pub(super) fn stop(&mut self, now: Instant, bench: &Bench) -> Vec<Line> {
        for group in self.groups.values_mut() {
            group.say_stop(now);
            bench.events.group(&group.config.name, notice::state(Occasion::Stop));
        }
        self.lines()
    }

    /// Those who may be at work.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.groups.values().map(|group| group.line.clone()).collect()
    }
}

impl Group {
    fn tell(&self, occasion: Occasion, event: HookEvent) {
        if self.config.notify != Notify::default() {
            let notice = Notice::of_group(occasion, event, self.config.notify.clone());
            self.line.push(Job { policy: String::new(), task: Task::Notice(notice) }, Order::Latest);
        }
    }

    fn say_stop(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.said_stop, true) {
            let from = self.role.map(|role| role.to_string()).unwrap_or_default();
            let reason = "the daemon stops".to_owned();
            self.tell(
                Occasion::Stop,
                HookEvent { from, to: "fault".to_owned(), reason, at: now, ..HookEvent::default() },
            );
        }
    }
}
