//! What is answered to a question or a command about one policy.
//!
//! The policies' directory may lie on a server that is gone. What nobody waits for any more is not done when it comes back: the
//! operator was told that nothing was changed, and may have chosen something else.

use std::{sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::spawn_blocking};

use super::reader::Reader;
use crate::{
    control::{
        About, Wanted,
        protocol::{By, Done},
    },
    daemon::{
        awaited::{Awaited, Waits},
        policies::{Choice, Library},
    },
};

/// Who answers.
#[derive(Clone)]
pub(super) struct Answerer {
    pub(super) library: Arc<Library>,
    /// Who looks at the policies' directory.
    pub(super) looks: Reader,
    /// How long it may take.
    pub(super) time: Duration,
    pub(super) policy: String,
    pub(super) uid: u32,
}

impl Answerer {
    /// Must be called inside the runtime; returns at once. An error is a sentence for the client.
    pub(super) fn start(self, wanted: Wanted, mut reply: oneshot::Sender<Result<About, String>>) {
        tokio::spawn(async move {
            let answer = tokio::select! {
                answer = self.answer(wanted) => answer,
                // Nothing is changed for who has gone.
                () = reply.closed() => return,
            };
            let _ = reply.send(answer);
        });
    }

    async fn answer(&self, wanted: Wanted) -> Result<About, String> {
        match wanted {
            Wanted::Generations => self.ask(|it, _| it.library.generations(&it.policy)).await.map(About::Generations),
            Wanted::Texts(number) => {
                self.ask(move |it, _| it.library.texts(&it.policy, number)).await.map(About::Texts)
            }
            Wanted::Rollback(number) => self.choose(Choice::Rollback(number)).await.map(done),
            Wanted::Pin(number) => self.choose(Choice::Pin(number)).await.map(done),
            Wanted::Use(file) => self.run_other(file).await.map(done),
            Wanted::Unpin => self.unpin().await.map(done),
        }
    }

    /// On a thread that may block.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Self, &Awaited) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let (it, waits) = (self.clone(), Waits(Awaited::within(self.time)));
        let awaited = waits.0.clone();
        spawn_blocking(move || ask(&it, &awaited)).await.unwrap_or_else(|failed| Err(failed.to_string()))
    }

    async fn choose(&self, choice: Choice) -> Result<String, String> {
        self.ask(move |it, awaited| it.library.choose(&it.policy, &choice, &it.by(), &|| it.take_on(awaited))).await
    }

    async fn run_other(&self, file: String) -> Result<String, String> {
        let it = self.clone();
        let run = move |awaited: &Awaited| it.library.run_other(&it.policy, &file, &it.by(), &|| it.take_on(awaited));
        self.looks.read(self.time, run).await.unwrap_or_else(|why| {
            Err(format!(
                "the policies {why}; what runs keeps running, and this is not done later: look at the file system where \
                 they lie, and ask again"
            ))
        })
    }

    /// The pin is gone, whether the file can be read or not.
    async fn unpin(&self) -> Result<String, String> {
        let done = self.choose(Choice::Unpin).await?;
        let it = self.clone();
        let looked = self.looks.read(self.time, move |_| it.library.look(true, Some(&it.by()))).await;
        Ok(match looked {
            Ok(found) => {
                let about = found.changes.into_iter().chain(found.errors).filter(|line| line.contains(&self.policy));
                about.fold(done, |text, line| format!("{text}\n{line}"))
            }
            Err(why) => format!(
                "{done}\nwhat runs keeps running until that can be read: the policies {why}. Look at the file system where \
                 they lie"
            ),
        })
    }

    const fn by(&self) -> By {
        By::Command { uid: self.uid }
    }

    fn take_on(&self, awaited: &Awaited) -> Result<(), String> {
        if awaited.take_on() {
            return Ok(());
        }
        let why = format!(
            "policy {}: what uid {} wanted of it comes too late: nobody waits for it any more, and nothing was changed",
            self.policy, self.uid
        );
        tracing::info!("{why}");
        Err(why)
    }
}

const fn done(message: String) -> About {
    About::Done(Done { message })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::Path,
        sync::{Mutex, mpsc},
    };

    use super::*;
    use crate::{
        daemon::{
            policies::{DriverClock, Probation, library::Settled},
            store::Store,
        },
        policy::Engine,
        words::Instant,
    };

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// The policy `p` and a file `emergency`, with a library that asks whether the node has settled.
    fn answerer(base: &Path, settled: Settled) -> Answerer {
        let policies = base.join("policies");
        fs::create_dir(&policies).unwrap();
        fs::write(policies.join("p.rhai"), "fn check() { }").unwrap();
        fs::write(policies.join("emergency.rhai"), "fn check() { let emergency = 1; }").unwrap();
        let store = Store::open(&base.join("state")).unwrap();
        let library = Library::new(Engine::new(), Arc::new(DriverClock::default()), store, Arc::new(|_| ()), settled);
        library.stock(policies, Probation { length: Duration::ZERO, auto_rollback: false }, ["p".to_owned()]);
        let library = Arc::new(library);
        Answerer { library, looks: Reader::default(), time: LONG, policy: "p".to_owned(), uid: 7 }
    }

    /// The generation that runs, and the one that is pinned.
    fn runs(answerer: &Answerer) -> (Option<u64>, Option<u64>) {
        let policy = answerer.library.status(Instant::ZERO).remove(0);
        (policy.generation, policy.pinned.map(|pinned| pinned.generation))
    }

    fn message(answer: Result<About, String>) -> String {
        match answer {
            Ok(About::Done(done)) => done.message,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_was_given_up_is_not_done_later() {
        let base = tempfile::tempdir().unwrap();
        let (release, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let released: Settled = Arc::new(move || {
            // Whoever drops the sender lets everybody go.
            let _ = held.lock().unwrap().recv();
            true
        });
        let answerer = answerer(base.path(), released);
        release.send(()).unwrap();
        answerer.library.look(false, None);
        assert_eq!(runs(&answerer), (Some(1), None));
        let hasty = Answerer { time: SHORT, ..answerer.clone() };
        let late = hasty.answer(Wanted::Use("emergency".to_owned())).await.unwrap_err();
        assert!(late.contains("could not be read within 50ms") && late.contains("is not done later"), "{late}");
        drop(release);
        // It is this one's turn when the other is done.
        let said = message(answerer.answer(Wanted::Pin(None)).await);
        assert!(said.contains("stays at generation 1"), "{said}");
        assert!(answerer.looks.read(LONG, |_| ()).await.is_ok());
        assert_eq!(runs(&answerer), (Some(1), Some(1)), "what the operator chose meanwhile");
        let said = message(answerer.answer(Wanted::Use("emergency".to_owned())).await);
        assert!(said.contains("generation 2 runs") && runs(&answerer) == (Some(2), Some(2)), "{said}");
    }

    #[tokio::test]
    async fn who_has_gone_gets_nothing_done() {
        let base = tempfile::tempdir().unwrap();
        let answerer = answerer(base.path(), Arc::new(|| true));
        answerer.library.look(false, None);
        for choice in [Choice::Pin(None), Choice::Pin(Some(1)), Choice::Rollback(Some(1))] {
            let gone = answerer.library.choose("p", &choice, &answerer.by(), &|| Err("gone".to_owned()));
            assert_eq!(gone.unwrap_err(), "gone", "{choice:?}");
            assert_eq!(runs(&answerer), (Some(1), None));
        }
        message(answerer.answer(Wanted::Pin(None)).await);
        let gone = answerer.library.choose("p", &Choice::Unpin, &answerer.by(), &|| Err("gone".to_owned()));
        assert_eq!((gone.unwrap_err(), runs(&answerer)), ("gone".to_owned(), (Some(1), Some(1))));
    }

    #[tokio::test]
    async fn an_unpin_is_done_though_the_file_cannot_be_read() {
        let base = tempfile::tempdir().unwrap();
        let answerer = answerer(base.path(), Arc::new(|| true));
        answerer.library.look(false, None);
        message(answerer.answer(Wanted::Pin(None)).await);
        let (release, held) = mpsc::channel::<()>();
        let _ = answerer.looks.read(SHORT, move |_| held.recv().is_ok()).await.unwrap_err();
        let said = message(Answerer { time: SHORT, ..answerer.clone() }.answer(Wanted::Unpin).await);
        assert!(said.starts_with("policy p follows its file again\nwhat runs keeps running until"), "{said}");
        assert_eq!(runs(&answerer), (Some(1), None));
        drop(release);
    }
}
