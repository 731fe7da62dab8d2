//! How long a probe still has.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::answer::Failure;
use crate::policy::probe::ErrorKind;

/// The longest a probe may take, whatever was asked: keeps the arithmetic of instants from overflowing.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 3600);

/// A timer that fires so late was kept from it by this process, or by the machine.
const LATE: Duration = Duration::from_millis(200);

/// The end of one probe, and its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    started_at: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self { started_at: Instant::now(), timeout: timeout.min(TIMEOUT_MAX) }
    }

    /// The same beginning, a later end.
    pub(super) fn later(self, by: Duration) -> Self {
        Self { timeout: self.timeout + by, ..self }
    }

    pub(super) fn at(&self) -> Instant {
        self.started_at + self.timeout
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started_at.elapsed()
    }

    /// Zero once it has passed.
    pub(super) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.elapsed())
    }

    /// What is left, shared fairly among this attempt and `others` that may follow it.
    pub(super) fn share(&self, others: usize) -> Duration {
        self.left() / u32::try_from(others.saturating_add(1)).unwrap_or(u32::MAX)
    }

    /// "timeout after 2s"
    pub(super) fn passed(&self) -> Failure {
        let timeout = humantime::format_duration(self.timeout);
        Failure::new(ErrorKind::Timeout, format!("timeout after {timeout}"))
    }

    /// The work's result, or that there was none in time. Whoever looks much too late has learnt nothing of the other side (R20).
    pub(super) async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        timeout_at(self.at(), work).await.map_err(|_| self.seen_after(self.elapsed()))
    }

    fn seen_after(&self, elapsed: Duration) -> Failure {
        let late = elapsed.saturating_sub(self.timeout);
        if late < LATE {
            return self.passed();
        }
        let timeout = humantime::format_duration(self.timeout);
        let late = late.as_millis();
        Failure::internal(format!("timeout after {timeout}, which this node noticed {late} ms late: no information"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_looks_too_late_has_learnt_nothing() {
        let deadline = Deadline::after(Duration::from_millis(400));
        let kind = |elapsed| deadline.seen_after(Duration::from_millis(elapsed)).error;
        assert_eq!([400, 599].map(kind), [ErrorKind::Timeout; 2]);
        assert_eq!([600, 3000].map(kind), [ErrorKind::Internal; 2]);
    }
}
