//! The end of a turn: the thread sleeps until something is due, a packet or a message arrives, or the keeper ends.

use std::{os::fd::AsFd, time::Duration};

use rustix::event::{PollFd, PollFlags, poll};

use super::Turns;
use crate::words::Instant;

/// Where nothing happens at all, a turn is made this often, to show the service manager that this thread runs.
const WATCHDOG_AT_LEAST: Duration = Duration::from_secs(2);

impl Turns {
    pub(super) fn sleep(&mut self) {
        if let Some(note) = self.keeper.try_again(self.clock.now()) {
            self.tell_note(note);
        }
        let due = next_turn(self.node.poll_timeout().map(|(at, _)| at), self.watchdog_at);
        let due = self.keeper.next_try().map_or(due, |at| due.min(at));
        if let Err(error) = self.alarm.set(Some(due)) {
            self.tell_note(format!("the timer cannot be set: {error}; this node goes on once a packet arrives"));
        }
        let mut descriptors: Vec<PollFd<'_>> = Vec::with_capacity(8);
        descriptors.push(PollFd::from_borrowed_fd(self.alarm.as_fd(), PollFlags::IN));
        descriptors.push(PollFd::from_borrowed_fd(self.waker.as_fd(), PollFlags::IN));
        descriptors.extend(self.sockets.descriptors().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // Asked for nothing, a pipe still says that its reader is gone.
        let pipe = self.keeper.pipe();
        let watches_the_keeper = pipe.is_some();
        descriptors.extend(pipe.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::empty())));
        // An interrupted wait is a turn without news.
        let _ = poll(&mut descriptors, None);
        let last = descriptors.last().map(PollFd::revents).unwrap_or(PollFlags::empty());
        if watches_the_keeper && last.intersects(PollFlags::ERR | PollFlags::HUP) {
            let note = self.keeper.ended(self.clock.now());
            self.tell_note(note);
        }
    }
}

/// When the next turn is made at the latest. A node for which nothing is due at all, because it waits for an interface,
/// must show that it runs as well.
fn next_turn(due: Option<Instant>, watchdog_at: Instant) -> Instant {
    let shown = watchdog_at + WATCHDOG_AT_LEAST;
    due.map_or(shown, |at| at.min(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r31_whoever_waits_for_an_interface_shows_that_it_runs() {
        let at = |millis| Instant::from_epoch(Duration::from_millis(millis));
        assert_eq!(next_turn(None, at(1000)), at(3000));
        assert_eq!(next_turn(Some(at(9000)), at(1000)), at(3000));
        assert_eq!(next_turn(Some(at(1500)), at(1000)), at(1500));
    }
}
