//! Threads for work that blocks, with a limit: a file system or a resolver that hangs must not eat every thread of the
//! process, one a second.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::Semaphore};

use super::{answer::Failure, deadline::Deadline};

/// A bounded share of the runtime's blocking threads.
#[derive(Clone, Debug)]
pub(super) struct Workers {
    handle: Handle,
    what: &'static str,
    limit: usize,
    free: Arc<Semaphore>,
}

impl Workers {
    /// At most `limit` at work; `what` they do is for the message when there are more.
    pub(super) fn new(handle: Handle, what: &'static str, limit: usize) -> Self {
        Self { handle, what, limit, free: Arc::new(Semaphore::new(limit)) }
    }

    /// The runtime.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Runs `work` on a thread of its own. Work that outlives the deadline is left to itself, and keeps its place
    /// until it ends.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        deadline: Deadline,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let Ok(place) = Arc::clone(&self.free).try_acquire_owned() else {
            return Err(Failure::internal(format!(
                "{} {} hang already; this one was not tried",
                self.limit, self.what
            )));
        };
        let working = self.handle.spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        deadline.within(working).await?.map_err(|error| Failure::internal(format!("the probe ended early: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::policy::probe::ErrorKind;

    #[tokio::test]
    async fn hanging_work_times_out_and_keeps_its_place_until_it_ends() {
        let workers = Workers::new(Handle::current(), "tests", 1);
        let (release, held) = mpsc::channel::<()>();
        let hang = workers.run(Deadline::after(Duration::from_millis(20)), move || held.recv().is_ok()).await;
        assert_eq!(hang.unwrap_err().error, ErrorKind::Timeout);

        let refused = workers.run(Deadline::after(Duration::from_secs(5)), || ()).await.unwrap_err();
        assert_eq!(refused, Failure::internal("1 tests hang already; this one was not tried"));

        release.send(()).unwrap();
        while workers.free.available_permits() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(workers.run(Deadline::after(Duration::from_secs(5)), || 7).await, Ok(7));
    }
}
