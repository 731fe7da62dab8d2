//! A new configuration is handed to the node, and what it calls otherwise is called so everywhere at one moment.
//!
//! Hooks, policies and the journal know an instance by its name, as the node does, each on a thread of its own. So policies say
//! nothing while the node takes the new names, what it told before is heard under the old ones, and what comes after it under
//! the new ones: nothing is said of the wrong instance, also where two have changed places, and nothing is lost.

use std::{sync::Arc, sync::mpsc::sync_channel, time::Duration};

use super::Daemon;
use crate::{
    config::{Config, Renames},
    daemon::{
        policies::Silence,
        protocol::{Message, Told},
    },
};

/// How long the node may take to take a configuration.
const NODE_TIME: Duration = Duration::from_secs(1);

impl Daemon {
    /// Something the node tells.
    pub(super) fn hear(&mut self, told: Told) {
        match told {
            Told::Journal(entry) => self.record(&entry),
            Told::BeforeRelease { instance, why, asked_at } => self.hooks.before_release(&instance, &why, asked_at),
            Told::Pace { instance, pace } => self.policies.pace(&instance, pace),
            // Whoever waited for it has given up: hooks and policies of the new names have begun anew.
            Told::Renamed(renames) => self.journal.rename(&renames),
        }
    }

    /// From now on the node goes by this configuration.
    pub(super) fn hand_over(&mut self, new: &Arc<Config>) {
        let config = Arc::clone(new);
        let renames = Renames::between(&self.config.instances, [], &new.instances);
        if renames.is_empty() {
            return self.protocol.mailbox.post(Message::Reload { config, taken: None });
        }
        let (taken, is_taken) = sync_channel(1);
        let desks = self.policies.desks(&renames);
        let mut silence = Silence::over(&desks);
        self.protocol.mailbox.post(Message::Reload { config, taken: Some(taken) });
        if is_taken.recv_timeout(NODE_TIME).is_err() {
            tracing::warn!("the node is late: hooks and policies of instances that are called otherwise begin anew");
        }
        while let Ok(told) = self.protocol.told.try_recv() {
            if let Told::Renamed(renames) = told {
                self.journal.rename(&renames);
                self.hooks.rename(&renames);
                return self.policies.rename(&renames, &mut silence);
            }
            self.hear(told);
        }
    }
}
