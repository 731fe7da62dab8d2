//! How the daemon ends: what is still to be told, run and recorded has a time, and nothing of it is waited for any longer.

use std::time::Duration;

use super::{Daemon, leftovers, raise};

/// How long a stopping daemon waits for its last mails.
const MAIL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stopping daemon waits for its last hooks.
const HOOK_PATIENCE: Duration = Duration::from_secs(5);
/// How long it waits for its disk, once everything else is done.
const DISK_PATIENCE: Duration = Duration::from_secs(2);

impl Daemon {
    /// The protocol thread has ended; says whether in order.
    pub(super) async fn end(mut self) -> bool {
        let in_order = self.protocol.join();
        if self.networks.are_wanted() {
            self.networks.stop();
        }
        self.witness.finish(self.left);
        let scribe = &self.site.scribe;
        let keeping = self.policies.keeping();
        drop(scribe.leave("what policies remember", move || keeping.write()));
        if in_order && !self.left {
            let store = self.site.store.clone();
            drop(scribe.leave("that nothing is held any more", move || {
                if let Err(error) = store.record_held(&[]) {
                    tracing::warn!("{}", leftovers::unrecorded(&error));
                }
            }));
        }
        if self.left {
            self.hooks.finish(HOOK_PATIENCE).await;
        } else {
            self.hooks.stop(HOOK_PATIENCE).await;
        }
        while let Ok(alarm) = self.alarms.try_recv() {
            raise(&self.config.node, self.mailer.as_ref(), &alarm);
        }
        if let Some(mailer) = self.mailer.take() {
            // What could not be sent in time was told by the mailer.
            let _ = mailer.finish(MAIL_PATIENCE);
        }
        self.networks.finish().await;
        if let Err(unwritten) = self.site.scribe.finish(DISK_PATIENCE).await {
            tracing::warn!("{unwritten}; this process ends all the same");
            // Closing a file may wait for the same disk. The kernel does it when the process has ended.
            std::mem::forget((self.state_lock, self.site));
        }
        in_order
    }
}
