//! Several processes as one daemon: what those say that work in other networks.

use serde::{Deserialize, Serialize};

use super::{Cleared, Reload, Status};

/// A network of instances that have one of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name or path, as in the configuration.
    pub name: String,
    /// The control socket of the process that works there.
    pub socket: String,
    /// That process; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Why nobody serves its instances; absent: they are served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Status {
    /// Takes over what the process says that works in another network.
    pub fn absorb(&mut self, network: &str, other: Self) {
        let name = || Some(network.to_owned());
        let Self { instances, groups, policies, history, configuration, .. } = other;
        self.instances.extend(instances.into_iter().map(|it| super::Instance { network: name(), ..it }));
        self.groups.extend(groups);
        self.policies.extend(policies.into_iter().map(|it| super::Policy { network: name(), ..it }));
        self.history.extend(history.into_iter().map(|it| super::Happened { network: name(), ..it }));
        self.history.sort_by_key(|happened| std::cmp::Reverse(happened.age_ms));
        self.configuration.last_good |= configuration.last_good;
        self.configuration.differs |= configuration.differs;
        self.configuration.unread = self.configuration.unread.take().or(configuration.unread);
    }

    /// Every network of its instances is served.
    #[must_use]
    pub fn serves_all_networks(&self) -> bool {
        self.networks.iter().all(|network| network.trouble.is_none())
    }
}

impl Reload {
    /// Adds what another network's process did. What all of them say alike is said once.
    pub fn absorb(&mut self, network: &str, other: Self) {
        let new = |mine: &[String], theirs: Vec<String>| -> Vec<String> {
            let theirs = theirs.into_iter().filter(|line| !mine.contains(line));
            theirs.map(|line| format!("network {network}: {line}")).collect()
        };
        let (changes, errors, remarks) =
            (new(&self.changes, other.changes), new(&self.errors, other.errors), new(&self.remarks, other.remarks));
        self.changes.extend(changes);
        self.errors.extend(errors);
        self.remarks.extend(remarks);
        self.ok &= other.ok;
    }
}

impl Cleared {
    /// Adds what another network's process cleared: one that had nothing to clear does not matter where another one had.
    pub fn absorb(&mut self, other: Self) {
        self.cleared.extend(other.cleared);
        if !self.cleared.is_empty() {
            self.error = None;
        } else if self.error.is_none() {
            self.error = other.error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::{Happened, Policy};

    fn happened(age_ms: u64) -> Happened {
        Happened { time: String::new(), age_ms, network: None, instance: String::new(), text: String::new() }
    }

    #[test]
    fn the_parts_become_one_status_in_order_of_time() {
        let mut status = Status { history: vec![happened(30), happened(10)], ..Status::default() };
        let mut other = Status { history: vec![happened(40), happened(20)], ..Status::default() };
        other.configuration.last_good = true;
        other.configuration.unread = Some("could not be read".into());
        other.policies = vec![Policy { name: "p".into(), ..Policy::default() }];
        status.absorb("blue", other);
        let ages: Vec<_> = status.history.iter().map(|it| (it.age_ms, it.network.as_deref())).collect();
        assert_eq!(ages, [(40, Some("blue")), (30, None), (20, Some("blue")), (10, None)]);
        assert_eq!(status.policies[0].network.as_deref(), Some("blue"));
        assert!(status.configuration.last_good && !status.configuration.differs);
        assert_eq!(status.configuration.unread.as_deref(), Some("could not be read"));
    }

    #[test]
    fn what_all_networks_say_is_said_once() {
        let line = |text: &str| vec![text.to_owned()];
        let mut reload = Reload::new(line("mail changed"), vec![]);
        reload.absorb("blue", Reload::new(vec!["mail changed".into(), "instance B added".into()], vec![]));
        assert_eq!(reload.changes, ["mail changed", "network blue: instance B added"]);
        assert!(reload.ok);
        reload.absorb("red", Reload::new(vec![], line("no such file")));
        assert_eq!((reload.ok, reload.errors), (false, line("network red: no such file")));
    }

    #[test]
    fn cleared_anywhere_is_cleared() {
        let nothing = || Cleared::new(Err("no rule \"web\" is known".into()));
        let mut cleared = nothing();
        cleared.absorb(nothing());
        assert!(cleared.error.is_some());
        cleared.absorb(Cleared::new(Ok(vec!["VI_2: rule web is held no more".into()])));
        cleared.absorb(nothing());
        assert_eq!((cleared.cleared.len(), cleared.error), (1, None));
    }
}
