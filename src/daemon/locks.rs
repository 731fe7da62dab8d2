//! One daemon for each virtual router of this machine (R30): the locks this process holds.

use std::collections::BTreeMap;

use crate::{
    config::{Config, Instance},
    linux::VirtualRouterLock,
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
        locks.exchange(config)?;
        Ok(locks)
    }

    /// Takes what a new configuration needs in addition, then lets go of what it no longer names.
    ///
    /// # Errors
    /// As [`take`](Self::take); then everything is as it was.
    pub(super) fn exchange(&mut self, config: &Config) -> Result<(), String> {
        let missing = config.instances.iter().map(key).filter(|key| !self.held.contains_key(key));
        let mut taken = Vec::new();
        for (interface, vrid, family) in missing {
            let lock = VirtualRouterLock::acquire(&config.control.state_dir, &interface, vrid, family);
            taken.push(((interface, vrid, family), lock.map_err(|error| error.to_string())?));
        }
        self.held.extend(taken);
        self.held.retain(|held, _| config.instances.iter().any(|instance| key(instance) == *held));
        Ok(())
    }
}

fn key(instance: &Instance) -> Key {
    (instance.interface.clone(), instance.vrid, instance.family)
}
