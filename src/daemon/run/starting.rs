//! While the daemon starts, it may wait for a file system that does not answer, before anything of it could be asked. Somebody says
//! what it waits for, and lets whoever wants it to end have his way: nothing is held yet.

use std::{
    io,
    process::exit,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use tokio::{runtime::Builder, sync::oneshot, time::sleep};

use super::signals::{Signals, Wanted};
use crate::daemon::{journal, refusal::Refusal};

/// What takes longer is said.
const SOON: Duration = Duration::from_secs(1);
/// And again after so many times that.
const AGAIN: u32 = 30;

/// One who watches a start, on a thread of his own, until [`end`](Self::end).
pub(super) struct Starting {
    waits_for: Arc<Mutex<String>>,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Starting {
    /// Signals must have been taken already.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn watch(waits_for: String) -> Result<Self, Refusal> {
        let (end, ended) = oneshot::channel();
        let waits_for = Arc::new(Mutex::new(waits_for));
        let told = Arc::clone(&waits_for);
        let watch = move || -> io::Result<()> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                // What the daemon itself takes later is not lost: both are told.
                let Ok(signals) = Signals::take() else { return };
                tokio::select! {
                    biased;
                    _ = ended => (),
                    () = stopped(signals) => give_up(&lock(&told)),
                    () = say(&told) => (),
                }
            });
            Ok(())
        };
        let thread = thread::Builder::new().name("ha-start".to_owned()).spawn(move || {
            if let Err(error) = watch() {
                tracing::warn!("what the start waits for, if it does, will not be said: {error}");
            }
        });
        let thread = thread.map_err(|error| Refusal::machine("no thread can be started", &error))?;
        // One that the kernel gives to a thread that waits for a disk is told to nobody.
        let _ = to_end().thread_block();
        Ok(Self { waits_for, end, thread })
    }

    /// What is done next.
    pub(super) fn waits_for(&self, what: String) {
        *lock(&self.waits_for) = what;
    }

    /// Nobody watches any more, once this returns.
    pub(super) fn end(self) {
        let _ = self.end.send(());
        let _ = self.thread.join();
        let _ = to_end().thread_unblock();
    }
}

fn to_end() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

/// Until the operating system or somebody else wants the process to end.
async fn stopped(mut signals: Signals) {
    while !matches!(signals.next().await, Wanted::Terminate | Wanted::Stop) {}
}

/// For ever.
async fn say(waits_for: &Mutex<String>) {
    let (mut said, mut ago) = (String::new(), 0);
    loop {
        sleep(SOON).await;
        let now = lock(waits_for).clone();
        if now == said && ago < AGAIN {
            ago += 1;
            continue;
        }
        tracing::warn!("the start waits for {now}; does that file system answer? Nothing is held before it does");
        (said, ago) = (now, 0);
    }
}

fn give_up(waits_for: &str) {
    tracing::info!("stopped while starting; nothing was held. It waited for {waits_for}");
    journal::finish();
    exit(0);
}

fn lock(waits_for: &Mutex<String>) -> MutexGuard<'_, String> {
    waits_for.lock().unwrap_or_else(PoisonError::into_inner)
}
