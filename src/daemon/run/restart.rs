//! A stop that is half of a restart: what is held is left to the process after this one, under its running lease.
//!
//! The service manager says whether a stop is meant so (`systemctl restart`), or `ha restart` does. Where it cannot be, the
//! addresses are handed over as in any stop.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{Daemon, boot};
use crate::{
    control::Unanswered,
    daemon::{protocol::Message, store::Store},
    probe,
    words::{Instant, readable},
};

/// How long the service manager may take to say what it wants.
const MANAGER_TIME: Duration = Duration::from_millis(500);
/// How long the configuration may take to be read.
const READ_TIME: Duration = Duration::from_secs(1);
const MIGHT_NOT: &str = "the next process might not start";
/// How long it may take to record what is left.
const WRITE_TIME: Duration = Duration::from_secs(1);
/// What that is.
const LEFT: &str = "what is left to the next process";
/// How long the protocol thread may take to leave.
const LEAVE_TIME: Duration = Duration::from_secs(1);
/// Longer than any lease: how long a record of what was left counts where the daemon could not say it better.
const RECORD_TIME: Duration = Duration::from_secs(300);

impl Daemon {
    /// The operating system wants the process to end.
    pub(super) async fn terminate(&mut self, stopping: &mut bool) {
        // Whoever is told the same at this moment is not started again.
        self.networks.rest(true);
        if !*stopping && probe::is_being_restarted(MANAGER_TIME).await {
            match self.leave().await {
                Ok(_) => return,
                Err(why) => tracing::info!("the address moves with this restart: {why}"),
            }
        }
        self.stop(stopping);
    }

    /// Ends, and leaves what is held to the process after this one. What was done, or why nothing was.
    ///
    /// # Errors
    /// A sentence; everything goes on as before.
    pub(super) async fn leave(&mut self) -> Result<String, String> {
        if self.laying.is_some() {
            return Err(format!("a reload is under way: {MIGHT_NOT}"));
        }
        let origin = self.origin.clone();
        let read = self.reader.read(READ_TIME, move |awaited| boot::from_file(&origin, awaited).is_ok()).await;
        match read {
            Ok(true) => (),
            Ok(false) => return Err(format!("the configuration on disk cannot be used (`ha check`): {MIGHT_NOT}")),
            Err(why) => return Err(format!("the configuration on disk {why}: {MIGHT_NOT}")),
        }
        let elsewhere = self.leave_elsewhere().await;
        let told = self.leave_here().await;
        if told.is_err() {
            self.networks.rest(false);
        }
        told.map(|told| format!("{told}{elsewhere}"))
    }

    /// The processes in other networks leave too. One that cannot stops in order after this, and its addresses move. None is waited
    /// for much longer than this process takes, for the leases of the others run; one that is late may leave all the same. Returns what
    /// to tell.
    async fn leave_elsewhere(&self) -> String {
        // Whoever has left is not started again by this process.
        self.networks.rest(true);
        let mut told = String::new();
        for (network, left) in self.networks.ask(LEAVE_TIME, |client| client.restart()).await {
            if let Err(why) = left {
                told += &not_left(&network, &why);
            }
        }
        told
    }

    async fn leave_here(&mut self) -> Result<String, String> {
        // Before anything is left: whoever clears up after this process must find it.
        self.record_what_is_left(self.clock.now() + RECORD_TIME)
            .await
            .map_err(|why| format!("it cannot be recorded in the state directory: {why}"))?;
        let (sender, receiver) = oneshot::channel();
        self.protocol.mailbox.post(Message::Leave(sender));
        let left = match tokio::time::timeout(LEAVE_TIME, receiver).await {
            Ok(Ok(left)) => left,
            // It has ended, or is late: then it finds nobody who asks, and does not leave.
            Ok(Err(_)) | Err(_) => Err("the protocol thread does not answer".to_owned()),
        };
        let until = left.inspect_err(|_| self.forget_what_was_left())?;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.left = true;
        let told = match until {
            None => {
                self.forget_what_was_left();
                "this process ends for another one; it leaves no address".to_owned()
            }
            Some(until) => {
                let store = self.site.store.clone();
                drop(self.site.scribe.leave(LEFT, move || drop(store.record_left(Some(until)))));
                let long = readable(until.saturating_since(self.clock.now()));
                format!(
                    "this process ends and leaves its addresses to the next one, which goes on as master if it is there within \
                     {long}; if not, the kernel removes them and the peer takes over"
                )
            }
        };
        tracing::info!("{told}");
        Ok(told)
    }

    async fn record_what_is_left(&self, until: Instant) -> Result<(), String> {
        let (store, undone) = (self.site.store.clone(), self.site.store.clone());
        let record = move || store.record_left(Some(until));
        let recorded = self.site.scribe.ask(WRITE_TIME, LEFT, record, move |_| forget(&undone)).await;
        recorded.map_err(|late| late.to_string())?.map_err(|error| error.to_string())
    }

    fn forget_what_was_left(&self) {
        let store = self.site.store.clone();
        drop(self.site.scribe.leave(LEFT, move || forget(&store)));
    }
}

fn forget(store: &Store) {
    if let Err(error) = store.record_left(None) {
        tracing::warn!("the record of what is left to the next process cannot be removed: {error}");
    }
}

/// What to tell of a process in another network that has not said that it leaves its addresses.
fn not_left(network: &str, why: &Unanswered) -> String {
    match why {
        Unanswered::Refused(409, why) => format!(". The addresses in the network namespace {network} move: {why}"),
        Unanswered::NotRunning(_) => format!(". Nobody served the instances in the network namespace {network}"),
        Unanswered::Refused(..) | Unanswered::Denied(_) | Unanswered::Broken(_) | Unanswered::Unreadable(_) => format!(
            ". Whether the addresses in the network namespace {network} are left or move is not known, its process has not said so \
             in time ({why}); `ha events` of the next process says whether it went on as master"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn only_of_a_process_that_says_no_it_is_said_that_its_addresses_move() {
        let refused = not_left("blue", &Unanswered::Refused(409, "the disk is full".to_owned()));
        assert_eq!(refused, ". The addresses in the network namespace blue move: the disk is full");
        for late in [
            Unanswered::Broken(io::ErrorKind::WouldBlock.into()),
            Unanswered::Refused(503, "the daemon does not answer in time".to_owned()),
        ] {
            let told = not_left("blue", &late);
            assert!(
                told.starts_with(". Whether the addresses in the network namespace blue are left or move is not known"),
                "{told}"
            );
        }
        let nobody = not_left("blue", &Unanswered::NotRunning("/run/ha/ha-blue.sock".into()));
        assert_eq!(nobody, ". Nobody served the instances in the network namespace blue");
    }
}
