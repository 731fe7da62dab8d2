//! Who wants the configuration read, one after the other, and what was read for each. The daemon goes on meanwhile.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::{KEPT, boot, reader::Reader};
use crate::{
    control::{Reload, protocol::By},
    daemon::{boot::Booted, origin::Origin},
};

/// How long reading may take for a reload.
const RELOAD_TIME: Duration = Duration::from_secs(5);
/// The same for another process of the same daemon, which waits for the answer.
const JUDGE_TIME: Duration = Duration::from_millis(1200);
/// So many wait at most.
const WAITING: usize = 16;

/// What the configuration is read for. The SHA-256 is of the text that was agreed on, if one was.
pub(super) enum Want {
    /// To go by it. Nobody waits for what a signal asked for, and it is done all the same.
    Reload { by: Option<By>, sha256: Option<String>, reply: Option<oneshot::Sender<Reload>> },
    /// To say whether this process could.
    Judge { sha256: Option<String>, reply: oneshot::Sender<Reload> },
}

/// What was read, or why nothing was.
pub(super) struct Read {
    pub(super) want: Want,
    pub(super) read: Result<Booted, String>,
}

/// See the module.
pub(super) struct Wants {
    waiting: mpsc::Sender<Want>,
    read: mpsc::Receiver<Read>,
}

impl Want {
    fn time(&self) -> Duration {
        match self {
            Self::Reload { .. } => RELOAD_TIME,
            Self::Judge { .. } => JUDGE_TIME,
        }
    }

    /// Nothing if whoever asked has been told meanwhile that no answer comes.
    pub(super) fn still_wanted(self) -> Option<Self> {
        let is_given_up = match &self {
            Self::Reload { reply, .. } => reply.as_ref().is_some_and(oneshot::Sender::is_closed),
            Self::Judge { reply, .. } => reply.is_closed(),
        };
        if is_given_up {
            tracing::warn!("a reload comes too late: nobody waits for it any more; {KEPT}. Reload again");
        }
        (!is_given_up).then_some(self)
    }

    /// Whoever wants it is told why not.
    pub(super) fn refuse(self, why: String) {
        let refused = Reload::new(Vec::new(), vec![why]);
        match self {
            Self::Reload { reply, .. } => {
                boot::tell(&refused);
                drop(reply.map(|reply| reply.send(refused)));
            }
            // Who has gone gets nothing.
            Self::Judge { reply, .. } => drop(reply.send(refused)),
        }
    }
}

impl Wants {
    /// Must be called inside the runtime.
    pub(super) fn start(origin: &Origin, reader: &Reader) -> Self {
        let (waiting, mut wanted) = mpsc::channel::<Want>(WAITING);
        let (done, read) = mpsc::channel(1);
        let (origin, reader) = (origin.clone(), reader.clone());
        tokio::spawn(async move {
            while let Some(want) = wanted.recv().await {
                let Some(want) = want.still_wanted() else { continue };
                let read = on_disk(&origin, &reader, want.time()).await;
                if done.send(Read { want, read }).await.is_err() {
                    return;
                }
            }
        });
        Self { waiting, read }
    }

    /// It is read soon; or refused at once, if too many wait.
    pub(super) fn want(&self, want: Want) {
        if let Err(mpsc::error::TrySendError::Full(want) | mpsc::error::TrySendError::Closed(want)) =
            self.waiting.try_send(want)
        {
            want.refuse(format!("{WAITING} reloads wait for the configuration to be read already; {KEPT}"));
        }
    }

    /// The next one that was read. Nothing is lost if this is not waited for to its end.
    pub(super) async fn next(&mut self) -> Option<Read> {
        self.read.recv().await
    }
}

/// What is on disk, or what is wrong with it.
async fn on_disk(origin: &Origin, reader: &Reader, within: Duration) -> Result<Booted, String> {
    let (path, origin) = (origin.path().display().to_string(), origin.clone());
    match reader.read(within, move |awaited| boot::from_file(&origin, awaited)).await {
        Ok(read) => read.map_err(|unusable| unusable.problems.errors_first().with_outcome(KEPT).to_string()),
        Err(why) => Err(format!(
            "{path}, or a file that it names, {why}; {KEPT}, nothing has changed. Look at the file system where it lies (does \
             `cat {path}` come back?), and reload again"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let mut wants = Wants::start(&Origin::Own(directory.path().join("ha.toml")), &Reader::default());
        let ((gone, _), (reply, replied)) = (oneshot::channel(), oneshot::channel());
        wants.want(Want::Reload { by: None, sha256: None, reply: Some(gone) });
        wants.want(Want::Reload { by: None, sha256: None, reply: None });
        wants.want(Want::Reload { by: None, sha256: None, reply: Some(reply) });
        let mut read = Vec::new();
        for _ in 0..2 {
            let Read { want, read: Err(_) } = wants.next().await.unwrap() else { panic!("there is no file") };
            let Want::Reload { reply, .. } = &want else { panic!("nobody judges") };
            read.push(reply.is_some());
            if reply.is_some() {
                assert!(want.still_wanted().is_some());
            }
        }
        assert_eq!(read, [false, true], "a signal waits for no answer");
        drop(replied);
    }
}
