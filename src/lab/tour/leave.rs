//! Ending early: a signal removes the directory and ends the process, and with it everything the lab made.
//!
//! Signals are caught, not blocked: what is blocked here would be blocked in the daemons too.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::lab::trouble::{Result, Trouble};

/// The exit code says which signal it was.
const BY_SIGNAL: i32 = -1;

/// What a signal does from now on.
#[derive(Debug)]
pub(in crate::lab) struct Ending(Arc<AtomicI32>);

impl Ending {
    /// Watches for SIGINT, SIGTERM and SIGHUP; `directory` goes with the process.
    pub(in crate::lab) fn watch(directory: PathBuf) -> Result<Self> {
        let failed = || Trouble::kernel("watch for signals");
        let runtime = runtime::Builder::new_current_thread().enable_io().build().map_err(failed())?;
        let signals = {
            let _inside = runtime.enter();
            let watched = |kind: SignalKind| signal(kind).map(|signal| (kind.as_raw_value(), signal));
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(watched)
        };
        let [interrupt, terminate, hangup] = signals;
        let (mut interrupt, mut terminate, mut hangup) =
            (interrupt.map_err(failed())?, terminate.map_err(failed())?, hangup.map_err(failed())?);
        let code = Arc::new(AtomicI32::new(BY_SIGNAL));
        let shared = Arc::clone(&code);
        let wait = async move {
            tokio::select! {
                _ = interrupt.1.recv() => interrupt.0,
                _ = terminate.1.recv() => terminate.0,
                _ = hangup.1.recv() => hangup.0,
            }
        };
        let end = move || {
            let number = runtime.block_on(wait);
            remove(&directory);
            let code = shared.load(Ordering::Relaxed);
            std::process::exit(if code == BY_SIGNAL { 128 + number } else { code });
        };
        thread::Builder::new().name("signals".to_owned()).spawn(end).map_err(failed())?;
        Ok(Self(code))
    }

    /// The tour is over: a signal is the expected end, with this exit code.
    pub(super) fn is_expected(&self, code: i32) {
        self.0.store(code, Ordering::Relaxed);
    }
}

/// The daemons live until this process ends and may be writing just now.
fn remove(directory: &Path) {
    for _ in 0..50 {
        if fs::remove_dir_all(directory).is_ok() || !directory.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
