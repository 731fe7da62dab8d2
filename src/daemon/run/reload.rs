//! A reload: all or nothing, here and in the networks of other instances.

use std::{sync::Arc, time::Duration};

use super::{Daemon, boot, leftovers, parts, privileges};
use crate::{
    control::{Reload, Unanswered, protocol::By},
    daemon::{boot::Booted, networks::Newcomers},
};

/// How long the processes in other networks may take to say whether they could.
const AGREE_TIME: Duration = Duration::from_millis(1500);
/// How long they may take to do it: the policies' own tests run in it.
const RELOAD_TIME: Duration = Duration::from_secs(25);
const KEPT: &str = "keeping the previous configuration";

impl Daemon {
    /// A configuration that cannot be used anywhere changes nothing anywhere. The policies are looked at elsewhere, for their own
    /// tests are run; `answer` is called with everything that changed or was refused. `text`: the SHA-256 of the one that was agreed
    /// on, if another process of the same daemon says so.
    pub(super) async fn reload(
        &mut self,
        by: Option<By>,
        text: Option<String>,
        answer: impl FnOnce(Reload) + Send + 'static,
    ) {
        let agreed = self.agree(text).await;
        let changes = match agreed {
            Ok((booted, newcomers)) => self.reload_configuration(booted, newcomers).map_err(|why| vec![why]),
            Err(errors) => Err(errors),
        };
        let mut changes = match changes {
            Ok(changes) => changes,
            Err(errors) => {
                let refused = Reload::new(Vec::new(), errors);
                boot::tell(&refused);
                return answer(refused);
            }
        };
        let library = self.policies.library();
        let sha256 = self.sha256.clone();
        let elsewhere = self.networks.ask(RELOAD_TIME, move |client| client.reload_as_agreed(&sha256));
        tokio::spawn(async move {
            let looked = tokio::task::spawn_blocking(move || library.look(true, by.as_ref())).await;
            let (remarks, errors) = match looked {
                Ok(found) => {
                    changes.extend(found.changes);
                    (found.remarks, found.errors)
                }
                Err(failed) => (Vec::new(), vec![format!("the policies could not be looked at: {failed}")]),
            };
            let mut reload = Reload { remarks, ..Reload::new(changes, errors) };
            // The others tell theirs.
            boot::tell(&reload);
            for (network, other) in elsewhere.await {
                match other {
                    Ok(other) => reload.absorb(&network, other),
                    Err(Unanswered::NotRunning(_)) => {
                        let remarks =
                            vec!["its process does not answer yet: it starts with what is on disk".to_owned()];
                        reload.absorb(&network, Reload { remarks, ..Reload::new(Vec::new(), Vec::new()) });
                    }
                    Err(why) => {
                        let why = format!("it runs by the previous configuration: {why}");
                        reload.absorb(&network, Reload::new(Vec::new(), vec![why]));
                    }
                }
            }
            answer(reload);
        });
    }

    /// Everything that speaks against the file, here and in other networks; or what is on disk, read once, and a thread in each
    /// network that is new.
    async fn agree(&mut self, text: Option<String>) -> Result<(Booted, Newcomers), Vec<String>> {
        let mut agreed = std::mem::take(&mut self.agreed);
        let booted = agreed.take(text.as_deref(), || self.objection()).map_err(|why| vec![why])?;
        let whole = Arc::new(booted.whole.clone());
        let kept = |why: String| vec![format!("{why}; {KEPT}")];
        let newcomers = self.networks.admit(&whole, &self.origin).map_err(kept)?;
        let asked = self.networks.kept_by(&whole);
        let mut errors = Vec::new();
        let sha256 = booted.loaded.sha256.clone();
        for (network, answer) in self.networks.ask(AGREE_TIME, move |client| client.agree(&sha256)).await {
            // One that goes has nothing to say.
            if !asked.iter().any(|kept| kept.to_string() == network) {
                continue;
            }
            let against = match answer {
                Ok(reload) => reload.errors,
                Err(Unanswered::NotRunning(_)) => Vec::new(),
                Err(why) => vec![format!("{why}; {KEPT}")],
            };
            errors.extend(against.into_iter().map(|why| format!("network {network}: {why}")));
        }
        if errors.is_empty() { Ok((booted, newcomers)) } else { Err(errors) }
    }

    /// Why this process cannot go on by what is on disk, or by the text that another process of the same daemon has read.
    pub(super) fn judge(&mut self, text: Option<&str>) -> Result<(), String> {
        let mut agreed = std::mem::take(&mut self.agreed);
        let judged = agreed.judge(text, || self.objection());
        self.agreed = agreed;
        judged
    }

    /// What is on disk, or why this process cannot go on by it.
    fn objection(&self) -> Result<Booted, String> {
        let booted =
            boot::from_file(&self.origin).map_err(|problems| problems.errors_first().with_outcome(KEPT).to_string())?;
        if let Some(why) = privileges::objection(&self.whole, &booted.whole) {
            return Err(format!("{why}; {KEPT}"));
        }
        boot::stays_inside(&self.whole, &booted.whole).map_err(|why| format!("{why}; {KEPT}"))?;
        Ok(booted)
    }

    /// Says what changed, or why nothing did.
    fn reload_configuration(&mut self, booted: Booted, newcomers: Newcomers) -> Result<Vec<String>, String> {
        let Booted { loaded, whole, text, .. } = booted;
        let new = Arc::new(loaded.config);
        self.locks.exchange(&new).map_err(|busy| format!("{busy}; {KEPT}"))?;
        leftovers::record(&self.store, &new).map_err(|why| format!("{why}; {KEPT}"))?;
        let mut changes = boot::changes(&self.config, &new);
        changes.extend(self.networks.exchange(&whole, newcomers));
        self.hand_over(&new);
        self.prober.permit(&new.permits);
        self.performer.reconfigure(&new);
        self.hooks.reconfigure(&new);
        self.policies.reconfigure(&new);
        if let Err(error) = self.tracking.reconfigure(&new) {
            tracing::error!("the files that are tracked cannot be watched: {error}; they count as unknown");
        }
        if let Err(error) = self.witness.reconfigure(&new) {
            tracing::error!("the witness cannot be asked: {error}");
        }
        if self.config.mail != new.mail {
            self.mailer = parts::mailer(&new);
        }
        self.config = new;
        self.whole = Arc::new(whole);
        self.sha256 = loaded.sha256;
        self.loaded_at = self.clock.now();
        self.last_good = false;
        if let Err(error) = boot::keep(&self.store, &text) {
            tracing::warn!("the configuration cannot be kept for a boot with a broken file: {error}");
        }
        Ok(changes)
    }
}
