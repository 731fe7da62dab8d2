//! Who writes into the state directory while the daemon runs: one thing after the other, off the thread on which everything else of
//! it waits.
//!
//! A disk may be slow, or not answer at all. Whoever must know that something is written waits no longer than he has; what comes too
//! late for him is undone at once, so nothing counts that was given up. Everything else is left here, and nobody waits for it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};

/// So many things wait at most.
const WAITING: usize = 64;

type Work = Box<dyn FnOnce() + Send>;

/// See the module. A clone is the same.
#[derive(Clone)]
pub(super) struct Scribe {
    desk: mpsc::Sender<Work>,
    pad: Arc<Mutex<Pad>>,
}

/// What there is to do.
#[derive(Default)]
struct Pad {
    /// The first is under way.
    things: VecDeque<&'static str>,
    /// Since when it is.
    began: Option<Instant>,
}

/// Why something is not known to be written: the end of a sentence about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unwritten(String);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scribe {
    /// Must be called inside the runtime.
    pub(super) fn start() -> Self {
        let (desk, mut work) = mpsc::channel::<Work>(WAITING);
        let scribe = Self { desk, pad: Arc::default() };
        let pad = Arc::clone(&scribe.pad);
        tokio::spawn(async move {
            while let Some(work) = work.recv().await {
                lock(&pad).began = Some(Instant::now());
                if let Err(failed) = spawn_blocking(work).await {
                    tracing::error!("a fault of ha, in what it does in the state directory: {failed}");
                }
                let mut pad = lock(&pad);
                pad.things.pop_front();
                pad.began = None;
            }
        });
        scribe
    }

    /// What `work` comes to. Where that is not known in time: it is not done at all, or `undo` is called with it, before anything
    /// that comes later.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        within: Duration,
        what: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
        undo: impl FnOnce(T) + Send + 'static,
    ) -> Result<T, Unwritten> {
        if self.away().is_some_and(|away| away >= within) {
            return Err(self.unwritten());
        }
        let (tell, mut told) = oneshot::channel();
        self.put(what, move || {
            if !tell.is_closed()
                && let Err(late) = tell.send(work())
            {
                undo(late);
            }
        })?;
        match timeout(within, &mut told).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(Unwritten("it failed".to_owned())),
            // From now on it is undone. It may have come in this moment.
            Err(_) => {
                told.close();
                told.try_recv().map_err(|_| self.unwritten())
            }
        }
    }

    /// Does it when there is time. Whoever wants to know when may wait for what this returns.
    pub(super) fn leave(&self, what: &'static str, work: impl FnOnce() + Send + 'static) -> oneshot::Receiver<()> {
        let (tell, told) = oneshot::channel();
        let put = self.put(what, move || {
            work();
            // Nobody may wait.
            let _ = tell.send(());
        });
        if let Err(why) = put {
            tracing::warn!("not recorded in the state directory: {what}: {why}");
        }
        told
    }

    /// Waits until everything is done; or says what is not.
    pub(super) async fn finish(&self, within: Duration) -> Result<(), String> {
        if let Ok(Ok(())) = timeout(within, self.leave("the end", || ())).await {
            return Ok(());
        }
        let mut things: Vec<&str> =
            lock(&self.pad).things.iter().copied().filter(|thing| *thing != "the end").collect();
        things.dedup();
        Err(format!("not recorded: {}: {}", things.join(", "), self.unwritten()))
    }

    fn put(&self, what: &'static str, work: impl FnOnce() + Send + 'static) -> Result<(), Unwritten> {
        let mut pad = lock(&self.pad);
        self.desk
            .try_send(Box::new(work))
            .map_err(|_| Unwritten(format!("{WAITING} other things wait for it to answer")))?;
        pad.things.push_back(what);
        Ok(())
    }

    /// For how long one thing has been under way.
    fn away(&self) -> Option<Duration> {
        lock(&self.pad).began.map(|began| began.elapsed())
    }

    fn unwritten(&self) -> Unwritten {
        let long = self.away().unwrap_or_default().as_secs();
        Unwritten(format!(
            "the state directory has not answered for {long} s; look at the disk or file system where it lies"
        ))
    }
}

fn lock(pad: &Mutex<Pad>) -> MutexGuard<'_, Pad> {
    pad.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    /// What was done, in order.
    #[derive(Clone)]
    struct Book(Sender<&'static str>);

    impl Book {
        fn open() -> (Self, Receiver<&'static str>) {
            let (write, read) = channel();
            (Self(write), read)
        }

        fn line(&self, line: &'static str) -> impl FnOnce() + Send + 'static {
            let book = self.0.clone();
            move || book.send(line).unwrap()
        }
    }

    /// The scribe is kept until the sender is gone.
    fn hang(scribe: &Scribe) -> Sender<()> {
        let (release, held) = channel::<()>();
        drop(scribe.leave("what hangs", move || {
            let _ = held.recv();
        }));
        release
    }

    #[tokio::test]
    async fn what_is_given_up_is_not_done_or_undone_before_anything_else() {
        let (scribe, (book, lines)) = (Scribe::start(), Book::open());
        assert_eq!(scribe.ask(LONG, "first", || 1, |_| panic!("it came in time")).await, Ok(1));
        // One that is under way when it is given up.
        let (release, held) = channel::<()>();
        let (write, undo) = (book.line("late"), book.line("undone"));
        let hangs = move || {
            let _ = held.recv();
            write();
        };
        let late = scribe.ask(SHORT, "late", hangs, move |()| undo()).await.unwrap_err();
        assert!(late.to_string().starts_with("the state directory has not answered for 0 s"), "{late}");
        let left = scribe.leave("left", book.line("left"));
        let never = scribe.ask(SHORT, "never", book.line("never"), |()| ()).await;
        assert!(never.is_err());
        let said = scribe.finish(SHORT).await.unwrap_err();
        assert!(said.starts_with("not recorded: late, left"), "{said}");
        drop(release);
        left.await.unwrap();
        assert_eq!(scribe.finish(LONG).await, Ok(()));
        assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["late", "undone", "left"]);
    }

    #[tokio::test]
    async fn so_many_wait_and_no_more() {
        let (scribe, (book, lines)) = (Scribe::start(), Book::open());
        let release = hang(&scribe);
        while scribe.away().is_none() {
            tokio::task::yield_now().await;
        }
        for _ in 0..2 * WAITING {
            drop(scribe.leave("one of many", book.line("one of many")));
        }
        drop(release);
        while scribe.finish(LONG).await.is_err() {}
        assert_eq!(lines.try_iter().count(), WAITING);
    }

    #[tokio::test]
    async fn what_panics_keeps_nobody_from_writing() {
        let scribe = Scribe::start();
        let failed = scribe.ask(LONG, "a fault", || panic!("on purpose"), |()| ()).await;
        assert!(failed.is_err());
        assert_eq!(scribe.ask(LONG, "the next", || 2, |_| ()).await, Ok(2));
    }
}
