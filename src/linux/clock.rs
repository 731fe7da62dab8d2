//! The driver's clock and the two descriptors that end its wait: an alarm at a moment, a waker for other threads.
//!
//! `CLOCK_BOOTTIME` goes on while the machine sleeps, so a lease that ran out in a suspend is seen to have run out. A
//! virtual machine that is paused without its clock advancing is not covered.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, eventfd},
    io::Errno,
    time::{
        ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
        timerfd_settime,
    },
};

use crate::words::Instant;

/// The clock of every [`Instant`] in this process: `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, Default)]
pub struct BootClock;

impl BootClock {
    /// This moment.
    #[must_use]
    pub fn now(self) -> Instant {
        // The clock starts at zero with the machine; a negative reading does not exist.
        Instant::from_epoch(Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default())
    }
}

/// The time since 1970 by the machine's wall clock, which can be set; zero before that.
#[must_use]
pub fn wall_clock() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap_or_default()
}

/// A descriptor that is readable once a moment has come.
#[derive(Debug)]
pub struct Alarm(OwnedFd);

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?))
    }

    /// Sets it to a moment, which may have passed already, or turns it off. An expiry that was not drained is forgotten.
    ///
    /// # Errors
    /// The moment is out of the kernel's range.
    pub fn set(&self, at: Option<Instant>) -> io::Result<()> {
        // All zeros would turn it off.
        let at = at.map_or(Duration::ZERO, |at| at.since_epoch().max(Duration::from_nanos(1)));
        let it_value = Timespec::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Makes it unreadable again; says whether it had rung.
    pub fn drain(&self) -> bool {
        drain(&self.0)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A descriptor that other threads make readable. Clones wake the same one.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// A waker that nobody has woken.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)))
    }

    /// Makes it readable. Never blocks; waking twice is waking once.
    pub fn wake(&self) {
        // The one possible failure is a counter that is full, and then it is readable already.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it unreadable again; says whether it had been woken. Look at what it was woken for after this, not before.
    pub fn drain(&self) -> bool {
        drain(&self.0)
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads the counter of a timerfd or eventfd.
fn drain(fd: &OwnedFd) -> bool {
    let mut counter = [0; 8];
    loop {
        match rustix::io::read(fd, &mut counter) {
            Err(Errno::INTR) => {}
            Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn readable(fd: &impl AsFd, within: Duration) -> bool {
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        poll(&mut fds, Some(&within.try_into().unwrap())).unwrap() == 1
    }

    #[test]
    fn the_clock_moves_forward() {
        let before = BootClock.now();
        std::thread::sleep(Duration::from_millis(2));
        let after = BootClock.now();
        assert!(after.saturating_since(before) >= Duration::from_millis(2));
    }

    #[test]
    fn an_alarm_rings_at_its_moment_and_not_before() {
        let alarm = Alarm::new().unwrap();
        assert!(!readable(&alarm, Duration::ZERO));
        let at = BootClock.now() + Duration::from_millis(30);
        alarm.set(Some(at)).unwrap();
        assert!(!alarm.drain(), "it is early");
        assert!(readable(&alarm, Duration::from_secs(5)));
        assert!(BootClock.now() >= at);
        assert!(alarm.drain());
        assert!(!readable(&alarm, Duration::ZERO), "it rings once");
    }

    #[test]
    fn an_alarm_in_the_past_rings_at_once_and_an_alarm_that_is_off_never() {
        let alarm = Alarm::new().unwrap();
        for past in [Instant::ZERO, BootClock.now()] {
            alarm.set(Some(past)).unwrap();
            assert!(readable(&alarm, Duration::from_secs(5)));
            alarm.set(None).unwrap();
            assert!(!readable(&alarm, Duration::from_millis(5)));
        }
    }

    #[test]
    fn a_waker_is_woken_from_another_thread_and_counts_once() {
        let waker = Waker::new().unwrap();
        assert!(!readable(&waker, Duration::ZERO));
        let other = waker.clone();
        std::thread::spawn(move || {
            other.wake();
            other.wake();
        })
        .join()
        .unwrap();
        assert!(readable(&waker, Duration::from_secs(5)));
        assert!(waker.drain());
        assert!(!waker.drain());
    }
}
