//! One daemon for each virtual router of this machine (R30): the locks this process holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use crate::{
    config::{Config, Instance},
    linux::{VirtualRouterLock, user_number},
    wire::Vrid,
    words::{Family, InterfaceName},
};

type Key = (InterfaceName, Vrid, Family);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Locks {
    held: BTreeMap<Key, VirtualRouterLock>,
}

impl Locks {
    /// A lock for every virtual router of a configuration.
    ///
    /// # Errors
    /// A sentence about the first one that another process has.
    pub(super) fn take(config: &Config) -> Result<Self, String> {
        let mut locks = Self::default();
        locks.add(config)?;
        Ok(locks)
    }

    /// Takes what a new configuration needs in addition.
    ///
    /// # Errors
    /// As [`take`](Self::take); then everything is as it was.
    pub(super) fn add(&mut self, config: &Config) -> Result<(), String> {
        let missing: Vec<Key> = needed(config).into_iter().filter(|key| !self.held.contains_key(key)).collect();
        let mut taken = Vec::new();
        for (interface, vrid, family) in missing {
            let lock = VirtualRouterLock::acquire(&config.control.state_dir, &interface, vrid, family);
            taken.push(((interface, vrid, family), lock.map_err(|error| error.to_string())?));
        }
        self.held.extend(taken);
        Ok(())
    }

    /// How many it has.
    #[cfg(test)]
    pub(super) fn number(&self) -> usize {
        self.held.len()
    }

    /// Lets go of what this configuration does not name.
    pub(super) fn keep_only(&mut self, config: &Config) {
        let needed = needed(config);
        self.held.retain(|held, _| needed.contains(held));
    }
}

/// Whether a configuration needs a lock that another one does not.
pub(super) fn adds(old: &Config, new: &Config) -> bool {
    !needed(new).is_subset(&needed(old))
}

fn needed(config: &Config) -> BTreeSet<Key> {
    config.instances.iter().flat_map(keys).collect()
}

/// The process that still runs one of these virtual routers then, by the name that no deleted file takes from it.
pub fn runs(config: &Config, until: Instant) -> Option<i32> {
    let user = config.privileges.user.as_deref().and_then(user_number);
    let mut all = config.instances.iter().flat_map(keys);
    all.find_map(|(interface, vrid, family)| VirtualRouterLock::holder(&interface, vrid, family, user, until))
}

/// On every interface where it advertises.
fn keys(instance: &Instance) -> impl Iterator<Item = Key> {
    let paths = instance.paths.iter().map(|path| &path.interface);
    let all = std::iter::once(&instance.interface).chain(paths);
    all.map(|interface| (interface.clone(), instance.vrid, instance.family))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Path, Transport, fixture};

    fn config(state_dir: &std::path::Path, interface: &str, path_at: Option<&str>) -> Config {
        let path = |interface: &str| Path {
            name: "second".to_owned(),
            interface: interface.parse().unwrap(),
            transport: Transport::Multicast,
            multicast_group: None,
            min_ttl: 1,
            max_ttl: 255,
            peers: vec![],
            source: None,
        };
        let (mut config, _) = fixture::pair();
        config.control.state_dir = state_dir.to_owned();
        config.instances[0].interface = interface.parse().unwrap();
        config.instances[0].paths = path_at.map(path).into_iter().collect();
        config
    }

    /// R30: one that advertises there by a path is an owner too.
    #[test]
    fn a_path_is_locked_as_the_own_interface_is() {
        let directory = tempfile::tempdir().unwrap();
        let config = |interface, path| config(directory.path(), interface, path);
        let mut first = Locks::take(&config("ha-lk0", Some("ha-lk1"))).unwrap();
        let refused = Locks::take(&config("ha-lk1", None)).unwrap_err();
        assert!(refused.contains("on ha-lk1") && refused.contains("another ha"), "{refused}");
        assert!(Locks::take(&config("ha-lk2", Some("ha-lk0"))).is_err());
        let fewer = config("ha-lk0", None);
        first.add(&fewer).unwrap();
        assert_eq!(first.held.len(), 2, "nothing is let go before it is known that it may be");
        first.keep_only(&fewer);
        assert_eq!(first.held.len(), 1, "a path that goes is let go");
        Locks::take(&config("ha-lk1", None)).unwrap();
        assert!(adds(&fewer, &config("ha-lk0", Some("ha-lk1"))) && !adds(&fewer, &fewer));
        let both = Locks::take(&config("ha-lk3", Some("ha-lk3"))).unwrap();
        assert_eq!(both.held.len(), 1, "two ways on one interface");
    }
}
