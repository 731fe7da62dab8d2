//! `notify`: programs of the operator that are told of transitions, as keepalived tells its scripts. They stand in the same
//! queue as the hooks of the policies.
//!
//! Pure: who starts them is not known here.

use std::time::Duration;

use crate::{
    config::{Instance, Notify, Occasion},
    node::{Event, Role},
    policy::HookEvent,
};

/// Whom a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Instance,
    Group,
}

/// Something to be told, with whom it is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    pub(super) whose: Whose,
    pub(super) occasion: Occasion,
    /// The node waits for it before it hands over (R18).
    pub(super) before_release: bool,
    /// Where the instance is known no more, its priority; a group has none, which is 0.
    pub(super) priority: u8,
    pub(super) event: HookEvent,
    pub(super) notify: Notify,
}

/// One program as it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// It, by its absolute path, and its arguments.
    pub argv: Vec<String>,
    /// Who runs it, `user` or `user:group`; whoever runs this if none.
    pub user: Option<String>,
    /// Its environment besides `PATH`.
    pub environment: Vec<(String, String)>,
}

/// What an event of the node's is to the programs.
pub(super) fn occasion(event: &Event, going: bool, notify: &Notify) -> Option<Occasion> {
    match event {
        Event::Transition { to: Role::Master, .. } => Some(Occasion::Master),
        Event::Transition { to: Role::Backup, .. } => Some(Occasion::Backup),
        Event::Transition { to: Role::Fault, .. } if going && notify.programs.contains_key(&Occasion::Deleted) => {
            Some(Occasion::Deleted)
        }
        Event::Transition { to: Role::Fault, .. } => Some(Occasion::Fault),
        Event::LowerHeard { .. } => Some(Occasion::LowerPriority),
        Event::Priority { .. } | Event::Raised(_) | Event::Cleared(_) | Event::Note(_) => None,
    }
}

/// keepalived's word for the state.
pub(super) const fn state(occasion: Occasion) -> &'static str {
    match occasion {
        Occasion::Master => "MASTER",
        Occasion::Backup => "BACKUP",
        Occasion::Fault => "FAULT",
        Occasion::Stop => "STOP",
        Occasion::Deleted => "DELETED",
        Occasion::LowerPriority => "MASTER_RX_LOWER_PRI",
    }
}

impl Notice {
    pub(super) fn new(occasion: Occasion, event: HookEvent, instance: &Instance) -> Self {
        let notify = instance.notify.clone();
        let whose = Whose::Instance;
        Self { whose, occasion, before_release: false, priority: instance.priority.get(), event, notify }
    }

    /// Of a group.
    pub(super) fn of_group(occasion: Occasion, event: HookEvent, notify: Notify) -> Self {
        Self { whose: Whose::Group, occasion, before_release: false, priority: 0, event, notify }
    }

    /// It is about a role, of which only the latest is true.
    pub(super) const fn is_transition(&self) -> bool {
        match self.occasion {
            Occasion::Master | Occasion::Backup | Occasion::Fault => true,
            Occasion::Stop | Occasion::Deleted | Occasion::LowerPriority => false,
        }
    }

    /// The role that the node is in while it is told, where that is certain.
    pub(super) fn role(&self) -> Option<&str> {
        (self.is_transition() && self.whose == Whose::Instance).then_some(self.event.to.as_str())
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.notify.timeout
    }

    /// What to start, one after the other, each with its key in the configuration.
    pub(super) fn programs(&self, name: &str, priority: Option<u8>) -> Vec<(String, Program)> {
        let (word, variable) = match self.whose {
            Whose::Instance => ("INSTANCE", "HA_INSTANCE"),
            Whose::Group => ("GROUP", "HA_GROUP"),
        };
        let program = |argv: Vec<String>| Program {
            argv,
            user: self.notify.user.clone(),
            environment: vec![
                (variable.to_owned(), name.to_owned()),
                ("HA_FROM".to_owned(), self.event.from.clone()),
                ("HA_TO".to_owned(), self.to().to_owned()),
                ("HA_REASON".to_owned(), self.event.reason.clone()),
            ],
        };
        let mut programs = Vec::new();
        if let Some(own) = self.notify.programs.get(&self.occasion).filter(|own| !own.is_empty()) {
            programs.push((format!("notify.{}", self.occasion.key()), program(own.clone())));
        }
        if !self.notify.run.is_empty() && self.occasion != Occasion::LowerPriority {
            let mut argv = self.notify.run.clone();
            let known = priority.filter(|_| self.whose == Whose::Instance);
            let priority = known.unwrap_or(self.priority).to_string();
            argv.extend([word, name, state(self.occasion), &priority].map(str::to_owned));
            programs.push(("notify.run".to_owned(), program(argv)));
        }
        programs
    }

    fn to(&self) -> &str {
        match self.occasion {
            Occasion::Stop => "stop",
            Occasion::Deleted => "deleted",
            Occasion::Master | Occasion::Backup | Occasion::Fault | Occasion::LowerPriority => &self.event.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture;

    fn told(change: impl Fn(&mut Notify), occasion: Occasion) -> Vec<String> {
        let mut instance = fixture::pair().0.instances.remove(0);
        change(&mut instance.notify);
        let event = HookEvent { from: "backup".to_owned(), to: "master".to_owned(), ..HookEvent::default() };
        let notice = Notice::new(occasion, event, &instance);
        let line = |(key, program): (String, Program)| format!("{key}: {}", program.argv.join(" "));
        notice.programs("VI_1", Some(90)).into_iter().map(line).collect()
    }

    fn both(notify: &mut Notify) {
        notify.run = vec!["/n".to_owned(), "a b".to_owned()];
        notify.programs = Occasion::ALL.map(|occasion| (occasion, vec![format!("/{}", occasion.key())])).into();
    }

    #[test]
    fn its_own_program_comes_first_and_only_the_general_one_has_keepalived_s_arguments() {
        assert_eq!(
            told(both, Occasion::Master),
            ["notify.master: /master", "notify.run: /n a b INSTANCE VI_1 MASTER 90"]
        );
        assert_eq!(told(both, Occasion::Stop), ["notify.stop: /stop", "notify.run: /n a b INSTANCE VI_1 STOP 90"]);
        assert_eq!(told(both, Occasion::LowerPriority), ["notify.lower_priority: /lower_priority"]);
        let deleted = |notify: &mut Notify| {
            both(notify);
            notify.programs.insert(Occasion::Deleted, vec![]);
        };
        assert_eq!(told(deleted, Occasion::Deleted), ["notify.run: /n a b INSTANCE VI_1 DELETED 90"]);
        assert!(told(|_| (), Occasion::Fault).is_empty());
    }

    #[test]
    fn an_instance_that_is_taken_away_is_a_fault_unless_deleted_is_written() {
        let fault = Event::Transition { from: Role::Master, to: Role::Fault, reason: String::new() };
        let mut notify = Notify::default();
        assert_eq!(occasion(&fault, true, &notify), Some(Occasion::Fault));
        notify.programs.insert(Occasion::Deleted, vec![]);
        assert_eq!(occasion(&fault, true, &notify), Some(Occasion::Deleted));
        assert_eq!(occasion(&fault, false, &notify), Some(Occasion::Fault));
    }
}
