//! A thread that waits for something or for a time, by itself: it needs no timer of the runtime, which would wake another
//! thread to wake this one.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// Every wait ends; one for ever begins anew.
const LONG: Duration = Duration::from_secs(3600);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for `future`, until `until` at most (`None`: for ever); what it came to, or `None` where the time is over. It must
/// need no runtime.
pub(super) fn wait<F: Future>(future: F, until: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;

    #[test]
    fn what_comes_from_another_thread_is_not_missed() {
        let (sender, mut receiver) = watch::channel(0);
        let other = thread::spawn(move || {
            for number in 1..100 {
                sender.send_replace(number);
                thread::yield_now();
            }
        });
        while wait(receiver.changed(), None).unwrap().is_ok() {}
        assert_eq!(*receiver.borrow(), 99);
        other.join().unwrap();
    }

    #[test]
    fn time_is_not_over_before_it_is() {
        let until = Instant::now() + Duration::from_millis(20);
        assert_eq!(wait(std::future::pending::<()>(), Some(until)), None);
        assert!(Instant::now() >= until);
        assert_eq!(wait(std::future::ready(1), Some(until)), Some(1));
    }
}
