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

    /// "timeout after 2s": what is left of another's time has more digits than anybody wants.
    pub(super) fn passed(&self) -> Failure {
        let whole = u64::try_from(self.timeout.as_millis()).map_or(self.timeout, Duration::from_millis);
        let timeout = humantime::format_duration(if whole.is_zero() { self.timeout } else { whole });
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

    #[test]
    fn what_was_left_of_a_longer_time_is_told_in_milliseconds() {
        let told = |nanos| format!("{:?}", Deadline::after(Duration::from_nanos(nanos)).passed());
        for (nanos, text) in [
            (399_828_796, "after 399ms\""),
            (2_000_000_000, "after 2s\""),
            (1_500_000_000, "after 1s 500ms\""),
            (700, "after 700ns\""),
        ] {
            assert!(told(nanos).contains(text), "{}", told(nanos));
        }
    }
}
