//! Who reads for the daemon while it runs, off the thread on which everything else of it waits.
//!
//! A file system whose server or device is gone keeps whoever touches it for as long as that lasts. So there is one reader at a
//! time, and nobody waits for one longer than he has. While one has been away for as long as that, nobody is sent after it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{Instant as Tick, timeout_at},
};

use crate::daemon::awaited::{Awaited, Waits};

/// See the module. A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    free: Arc<Semaphore>,
    /// When the one began that reads.
    began: Arc<Mutex<Option<Instant>>>,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Not within this time.
    Late(Duration),
    /// Not tried, or not for long: another one has been away for so long.
    Away(Duration),
    /// The reader panicked.
    Failed(String),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late(within) => write!(f, "could not be read within {within:?}"),
            Self::Away(away) => {
                write!(f, "cannot be read: an earlier try has not come back for {} s", away.as_secs())
            }
            Self::Failed(why) => write!(f, "could not be read: {why}"),
        }
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(1)), began: Arc::default() }
    }
}

impl Reader {
    /// What `read` comes to, on a thread that may block. It is told whether somebody waits for it: if not, it comes to nothing.
    /// What it has taken on is waited for to its end.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        within: Duration,
        read: impl FnOnce(&Awaited) -> T + Send + 'static,
    ) -> Result<T, Unread> {
        if let Some(away) = self.away().filter(|away| *away >= within) {
            return Err(Unread::Away(away));
        }
        let waits = Waits(Awaited::within(within));
        let until = Tick::from_std(waits.0.until());
        let Ok(Ok(place)) = timeout_at(until, Arc::clone(&self.free).acquire_owned()).await else {
            return Err(self.away().map_or(Unread::Late(within), Unread::Away));
        };
        let absence = Absence::at(&self.began, place);
        let awaited = waits.0.clone();
        let mut reading = spawn_blocking(move || {
            let _absence = absence;
            read(&awaited)
        });
        let read = match timeout_at(until, &mut reading).await {
            Ok(read) => read,
            Err(_) if waits.0.give_up() => return Err(Unread::Late(within)),
            Err(_) => reading.await,
        };
        read.map_err(|failed| Unread::Failed(failed.to_string()))
    }

    /// For how long the one has been reading that does.
    fn away(&self) -> Option<Duration> {
        lock(&self.began).map(|began| began.elapsed())
    }
}

/// The one that reads is away, until this is dropped.
struct Absence {
    began: Arc<Mutex<Option<Instant>>>,
    _place: OwnedSemaphorePermit,
}

impl Absence {
    fn at(began: &Arc<Mutex<Option<Instant>>>, place: OwnedSemaphorePermit) -> Self {
        *lock(began) = Some(Instant::now());
        Self { began: Arc::clone(began), _place: place }
    }
}

impl Drop for Absence {
    fn drop(&mut self) {
        *lock(&self.began) = None;
    }
}

fn lock(began: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    began.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn whoever_reads_for_too_long_is_left_and_nobody_is_sent_after_it() {
        let reader = Reader::default();
        assert_eq!(reader.read(LONG, Awaited::is_given_up).await, Ok(false));
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let hangs = move |awaited: &Awaited| {
            let _ = held.recv();
            let _ = tell.send(awaited.take_on());
        };
        let late = reader.read(SHORT, hangs).await.unwrap_err();
        assert_eq!(late.to_string(), "could not be read within 20ms");
        for _ in 0..100 {
            let away = reader.read(SHORT, |_| panic!("a second one reads")).await.unwrap_err();
            assert!(away.to_string().starts_with("cannot be read: an earlier try has not come back for "), "{away}");
        }
        // Who has more time waits for it.
        release.send(()).unwrap();
        assert_eq!(reader.read(LONG, |_| 1).await, Ok(1));
        assert!(!told.recv().unwrap(), "nobody waits for it any more");
    }

    #[tokio::test]
    async fn what_is_taken_on_is_waited_for() {
        let reader = Reader::default();
        let taken_on = |awaited: &Awaited| {
            let taken_on = awaited.take_on();
            while Instant::now() < awaited.until() + SHORT {
                std::thread::yield_now();
            }
            taken_on
        };
        assert_eq!(reader.read(SHORT, taken_on).await, Ok(true));
    }

    #[tokio::test]
    async fn who_goes_has_given_up() {
        let reader = Reader::default();
        let (begin, begun) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let reading = reader.read(LONG, move |awaited| {
            let _ = begin.send(());
            let _ = held.recv();
            let _ = tell.send(awaited.take_on());
        });
        tokio::select! {
            _ = reading => panic!("it is held"),
            () = async { while begun.try_recv().is_err() { tokio::task::yield_now().await } } => {}
        }
        drop(release);
        assert!(!told.recv().unwrap());
    }

    #[tokio::test]
    async fn one_that_panics_leaves_its_place() {
        let reader = Reader::default();
        let read: Result<(), Unread> = reader.read(LONG, |_| panic!("on purpose")).await;
        assert!(matches!(read, Err(Unread::Failed(_))));
        assert_eq!(reader.read(LONG, |_| ()).await, Ok(()));
    }
}
