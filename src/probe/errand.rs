//! Reading something small that may lie on a file server that is gone, for somebody who has other things to do.
//!
//! What does not come back stays on its thread. While one has been away for too long, the next that wants the same file is told so
//! at once: few threads are lost for one file, and whoever asks goes on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

/// How long somebody waits for it who does not say how long.
pub(super) const TIME: Duration = Duration::from_secs(1);

/// When those began that are under way, in order.
static UNDER_WAY: Mutex<BTreeMap<PathBuf, Vec<Instant>>> = Mutex::new(BTreeMap::new());

/// What `read`, which reads this file, comes to.
///
/// # Errors
/// A sentence that begins with the file: it does not come.
pub(super) fn within<T: Send + 'static>(
    time: Duration,
    path: &Path,
    read: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let shown = path.display();
    if time.is_zero() {
        return Err(format!("{shown} is not looked at: there is no time left for it"));
    }
    if let Some(away) = away(path).filter(|away| *away >= time) {
        return Err(format!("{shown}: the last look at it has not come back for {} s", away.as_secs()));
    }
    let errand = Errand::begin(path);
    let (tell, told) = sync_channel(1);
    let started = thread::Builder::new().name("ha-errand".to_owned()).spawn(move || {
        let read = read();
        drop(errand);
        // Nobody may wait any more.
        let _ = tell.send(read);
    });
    started.map_err(|error| format!("{shown}: no thread can be started: {error}"))?;
    told.recv_timeout(time)
        .map_err(|_| format!("{shown} does not come within {time:.1?}; does its file system answer?"))
}

/// For how long the oldest look at the file has been under way.
fn away(path: &Path) -> Option<Duration> {
    Some(under_way().get(path)?.first()?.elapsed())
}

/// One that is under way, until this is dropped.
struct Errand {
    path: PathBuf,
    began: Instant,
}

impl Errand {
    fn begin(path: &Path) -> Self {
        let began = Instant::now();
        under_way().entry(path.to_owned()).or_default().push(began);
        Self { path: path.to_owned(), began }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        let mut all = under_way();
        let Some(of_file) = all.get_mut(&self.path) else { return };
        if let Some(at) = of_file.iter().position(|began| *began == self.began) {
            of_file.remove(at);
        }
        if of_file.is_empty() {
            all.remove(&self.path);
        }
    }
}

fn under_way() -> MutexGuard<'static, BTreeMap<PathBuf, Vec<Instant>>> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn who_does_not_come_back_keeps_nobody_and_nobody_is_sent_after_it() {
        let (gone, there) = (Path::new("/srv/gone/db"), Path::new("/srv/there/db"));
        let (release, held) = mpsc::sync_channel::<()>(0);
        let late = within(SHORT, gone, move || held.recv().is_ok()).unwrap_err();
        assert!(late.starts_with("/srv/gone/db does not come within 20.0ms"), "{late}");
        while away(gone).is_some_and(|away| away < SHORT) {
            thread::yield_now();
        }
        for _ in 0..100 {
            let away = within(SHORT, gone, || panic!("a second one reads")).unwrap_err();
            assert!(away.starts_with("/srv/gone/db: the last look at it has not come back for"), "{away}");
        }
        assert_eq!(within(LONG, there, || 7), Ok(7), "other files are read");
        let none = within(Duration::ZERO, there, || panic!("nobody waits for it")).unwrap_err();
        assert_eq!(none, "/srv/there/db is not looked at: there is no time left for it");
        drop(release);
        assert_eq!(within(LONG, gone, || 8), Ok(8), "it is read again");
        while away(gone).is_some() {
            thread::yield_now();
        }
    }
}
