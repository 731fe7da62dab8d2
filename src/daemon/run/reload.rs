//! A reload: all or nothing, here and in the networks of other instances.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    Daemon, KEPT, agreed, boot,
    groundwork::Groundwork,
    parts, privileges,
    reader::Unread,
    wants::{Read, Want},
};
use crate::{
    control::{Reload, Unanswered, protocol::By},
    daemon::{boot::Booted, networks::Newcomers},
};

/// How long the processes in other networks may take to say whether they could.
const AGREE_TIME: Duration = Duration::from_millis(1500);
/// How long they may take to do it: the policies' own tests run in it.
const RELOAD_TIME: Duration = Duration::from_secs(25);
/// How long the answer waits for the text to be kept.
const KEEP_TIME: Duration = Duration::from_secs(1);
/// How long looking at the policies may take, with their own tests.
pub(super) const LOOK_TIME: Duration = Duration::from_secs(20);

impl Daemon {
    /// Reads the configuration for whoever wants it, unless this process has the text already that was agreed on.
    pub(super) async fn want(&mut self, want: Want, stopping: bool) {
        if self.laying.is_none()
            && let Want::Reload { sha256: Some(sha256), .. } = &want
            && let Some(booted) = self.agreed.take(sha256)
        {
            return self.go_on(Read { want, read: Ok(booted) }, stopping).await;
        }
        self.wants.want(want);
    }

    /// It was read. Whoever stops goes by nothing new any more.
    pub(super) async fn go_on(&mut self, Read { want, read }: Read, stopping: bool) {
        if stopping || self.left {
            return want.refuse("ha is stopping; nothing has changed".to_owned());
        }
        let Some(want) = want.still_wanted() else { return };
        let read = read.and_then(|booted| self.possible(booted));
        match want {
            Want::Judge { sha256, reply } => {
                let errors = self.agreed.judge(sha256.as_deref(), read).err().into_iter().collect();
                // Who has gone gets nothing.
                let _ = reply.send(Reload::new(Vec::new(), errors));
            }
            Want::Reload { by, sha256, reply } => {
                // Who has gone gets nothing.
                let answer = move |reload| drop(reply.map(|reply| reply.send(reload)));
                self.reload(by, agreed::wanted(sha256.as_deref(), read), Box::new(answer)).await;
            }
        }
    }

    /// What was read, if this process can go on by it.
    fn possible(&self, booted: Booted) -> Result<Booted, String> {
        let objection = privileges::objection(&self.whole, &booted.whole);
        let objection = objection.map_or_else(|| boot::stays_inside(&self.whole, &booted.whole), Err);
        objection.map(|()| booted).map_err(|why| format!("{why}; {KEPT}"))
    }

    /// A configuration that cannot be used anywhere changes nothing anywhere. `answer` is called with everything that changed or was
    /// refused.
    async fn reload(&mut self, by: Option<By>, read: Result<Booted, String>, answer: Box<dyn FnOnce(Reload) + Send>) {
        let agreed = match read {
            Ok(booted) => self.agree(booted).await,
            Err(why) => Err(vec![why]),
        };
        let (booted, newcomers) = match agreed {
            Ok(agreed) => agreed,
            Err(errors) => return refuse(errors, answer),
        };
        let (site, old, new) = (self.site.clone(), Arc::clone(&self.config), Arc::new(booted.loaded.config.clone()));
        self.laying = Some(tokio::spawn(async move {
            let laid = site.lay(old, new).await;
            Groundwork { by, booted, newcomers, answer, laid }
        }));
    }

    /// The groundwork is laid. The policies are looked at elsewhere, for their own tests are run.
    pub(super) fn reload_upon(&mut self, groundwork: Groundwork, stopping: bool) {
        let Groundwork { by, booted, newcomers, answer, laid } = groundwork;
        if stopping || self.left {
            return refuse(vec!["ha is stopping; nothing has changed".to_owned()], answer);
        }
        if let Err(why) = laid {
            return refuse(vec![format!("{why}; {KEPT}")], answer);
        }
        let text = booted.text.clone();
        let mut changes = self.reload_configuration(booted, newcomers);
        let kept = self.site.keep(text);
        let (library, looks) = (self.policies.library(), self.looks.clone());
        let sha256 = self.sha256.clone();
        let elsewhere = self.networks.ask(RELOAD_TIME, move |client| client.reload_as_agreed(&sha256));
        tokio::spawn(async move {
            let looked = looks.read(LOOK_TIME, move |_| library.look(true, by.as_ref())).await;
            let (remarks, errors) = match looked {
                Ok(found) => {
                    changes.extend(found.changes);
                    (found.remarks, found.errors)
                }
                Err(why) => (Vec::new(), vec![policies_unread(&why)]),
            };
            let mut reload = Reload { remarks, ..Reload::new(changes, errors) };
            if timeout(KEEP_TIME, kept).await.is_err() {
                reload.remarks.push("it is not kept for a boot with a broken file yet: the disk is slow".to_owned());
            }
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

    /// Everything that speaks against what was read, in other networks too; or itself, and a thread in each network that is new.
    async fn agree(&self, booted: Booted) -> Result<(Booted, Newcomers), Vec<String>> {
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

    /// Says what changed.
    fn reload_configuration(&mut self, booted: Booted, newcomers: Newcomers) -> Vec<String> {
        let Booted { loaded, whole, .. } = booted;
        let new = Arc::new(loaded.config);
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
        self.site.settle(Arc::clone(&self.config));
        changes
    }
}

fn refuse(errors: Vec<String>, answer: impl FnOnce(Reload)) {
    let refused = Reload::new(Vec::new(), errors);
    boot::tell(&refused);
    answer(refused);
}

/// What is told where the policies could not be looked at.
fn policies_unread(why: &Unread) -> String {
    format!(
        "the policies {why}; what runs of them keeps running. Look at the file system where they lie; what has changed there is \
         taken when it can be read"
    )
}
