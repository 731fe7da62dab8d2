//! Looks at files, which are few at a time for each of them.
//!
//! A file system whose server or device is gone makes everybody wait who touches it, and a look that does not come back stays
//! on its thread. While one is missing for longer than a probe may take, the next that wants to look at the same file answers
//! at once instead of joining it, and never are there more than two: one file that hangs takes no place from the others.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{answer::Failure, deadline::Deadline, workers::Workers};
use crate::policy::probe::ErrorKind;

/// Looks at one file at a time.
const OF_ONE: usize = 2;
/// Looks at a time: thirty files may hang, and the others are still seen.
const OF_ALL: usize = 64;

/// A clone is the same.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    workers: Workers,
    places: Places,
}

type Places = Arc<Mutex<BTreeMap<PathBuf, Place>>>;

/// Where one file is.
#[derive(Debug)]
struct Place {
    free: Arc<Semaphore>,
    /// When those began that are under way, in order.
    under_way: Vec<Instant>,
}

impl Default for Place {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(OF_ONE)), under_way: Vec::new() }
    }
}

impl Looks {
    pub(super) fn new(handle: Handle) -> Self {
        let workers = Workers::new(handle, "file, disk, cert and tls probes", OF_ALL);
        Self { workers, places: Places::default() }
    }

    /// Runs `work`, which looks at the file, on a thread of its own.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        path: &Path,
        deadline: Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let missing = self.missing(path);
        if let Some(missing) = missing.filter(|missing| *missing > deadline.left()) {
            return Err(not_back(missing));
        }
        let free = Arc::clone(&lock(&self.places).entry(path.to_owned()).or_default().free);
        let permit = deadline.within(free.acquire_owned()).await;
        let permit = permit.map_err(|late| self.missing(path).map_or(late, not_back))?;
        let permit = permit.map_err(|error| Failure::internal(error.to_string()))?;
        let look = Look::begin(&self.places, path, permit);
        let work = move || {
            let seen = work();
            drop(look);
            seen
        };
        self.workers.run(deadline, work).await
    }

    /// For how long the oldest look at the file has been under way.
    fn missing(&self, path: &Path) -> Option<Duration> {
        Some(lock(&self.places).get(path)?.under_way.first()?.elapsed())
    }
}

fn not_back(missing: Duration) -> Failure {
    Failure::new(ErrorKind::Timeout, format!("the last look at it has not come back for {} s", missing.as_secs()))
}

/// One that is under way, until this is dropped.
struct Look {
    places: Places,
    path: PathBuf,
    began: Instant,
    permit: Option<OwnedSemaphorePermit>,
}

impl Look {
    fn begin(places: &Places, path: &Path, permit: OwnedSemaphorePermit) -> Self {
        let began = Instant::now();
        lock(places).entry(path.to_owned()).or_default().under_way.push(began);
        Self { places: Arc::clone(places), path: path.to_owned(), began, permit: Some(permit) }
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut places = lock(&self.places);
        let Some(place) = places.get_mut(&self.path) else { return };
        if let Some(at) = place.under_way.iter().position(|began| *began == self.began) {
            place.under_way.remove(at);
        }
        // Nobody looks there, nor is about to.
        if place.under_way.is_empty() && Arc::strong_count(&place.free) == 1 {
            places.remove(&self.path);
        }
    }
}

/// Never held while anything is looked at.
fn lock(places: &Mutex<BTreeMap<PathBuf, Place>>) -> MutexGuard<'_, BTreeMap<PathBuf, Place>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn soon() -> Deadline {
        Deadline::after(Duration::from_millis(20))
    }

    #[tokio::test]
    async fn a_file_that_hangs_takes_no_place_from_the_others() {
        let looks = Looks::new(Handle::current());
        let hanging = Path::new("/srv/nfs/there");
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..3 * OF_ALL {
            let held = Arc::clone(&held);
            let hang = looks.run(hanging, soon(), move || held.lock().unwrap().recv().is_ok()).await;
            assert_eq!(hang.unwrap_err().error, ErrorKind::Timeout, "it is late, and never not tried");
        }
        let why = looks.run(hanging, soon(), || ()).await.unwrap_err().why;
        assert!(why.starts_with("the last look at it has not come back for"), "{why}");
        assert!(lock(&looks.places)[hanging].under_way.len() <= OF_ONE);
        assert_eq!(looks.run(Path::new("/srv/web"), Deadline::after(LONG), || 7).await, Ok(7));

        drop(release);
        assert_eq!(looks.run(hanging, Deadline::after(LONG), || 8).await, Ok(8), "it is looked at again");
        while !lock(&looks.places).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn many_who_look_at_one_file_take_turns() {
        let looks = Looks::new(Handle::current());
        let all: Vec<_> = (0..4 * OF_ALL)
            .map(|number| {
                let looks = looks.clone();
                tokio::spawn(
                    async move { looks.run(Path::new("/srv/web"), Deadline::after(LONG), move || number).await },
                )
            })
            .collect();
        for (number, look) in all.into_iter().enumerate() {
            assert_eq!(look.await.unwrap(), Ok(number));
        }
    }
}
