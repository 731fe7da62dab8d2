//! A master that serves: its beat, and its answers to whoever else advertises (6.4.3).
//!
//! Whom to obey is not decided here.

use std::time::Duration;

use super::router::{Action, State, VirtualRouter};
use crate::{wire::Priority, words::Instant};

/// Resignations closer together than this waited in the socket while this process did not run (R35).
const BACKLOG: Duration = Duration::from_millis(2);

impl VirtualRouter {
    pub(super) fn serve(&mut self, now: Instant, ours: Priority, adver_at: Instant, out: &mut Vec<Action>) {
        // First what is due to be said: whoever slept holds nothing by what it said before.
        if adver_at <= now {
            self.advertise(now, ours, out);
        }
        if let State::Master { adver_at, hold_at: Some(at) } = self.state
            && at <= now
        {
            self.state = State::Master { adver_at, hold_at: None };
            out.extend([Action::Hold, Action::Announce]);
        }
    }

    /// Sends and restarts the timer: on the old beat while that lies ahead, from now on otherwise.
    fn advertise(&mut self, now: Instant, ours: Priority, out: &mut Vec<Action>) {
        let State::Master { adver_at, hold_at } = self.state else { return };
        out.push(Action::Send(Some(ours)));
        let interval = self.config.interval.as_duration();
        let on_beat = adver_at + interval;
        let adver_at = if adver_at <= now && now < on_beat { on_beat } else { now + interval };
        self.state = State::Master { adver_at, hold_at };
    }

    /// A lower router advertises: tell it at once, without touching the timer (RFC 9568, 6.4.3; version 2 does not ask
    /// for it and gains by it), unless that is due anyway. At most four times an interval, so that a backlog is answered
    /// once (R35).
    pub(super) fn assert_leadership(&mut self, now: Instant, ours: Priority, adver_at: Instant, out: &mut Vec<Action>) {
        if self.may_answer(now, self.config.interval.as_duration() / 4) {
            if adver_at <= now {
                self.advertise(now, ours, out);
            } else {
                out.push(Action::Send(Some(ours)));
            }
            self.announce_again(out);
        }
    }

    /// Another master let go: whoever followed it follows us (6.4.3). A peer says so several times, each worth an answer
    /// (R16); what a thaw finds in the socket is worth one (R35).
    pub(super) fn answer_resignation(&mut self, now: Instant, ours: Priority, out: &mut Vec<Action>) {
        if self.may_answer(now, BACKLOG) {
            self.advertise(now, ours, out);
            self.announce_again(out);
        }
    }

    fn may_answer(&mut self, now: Instant, pause: Duration) -> bool {
        if self.answered_at.is_some_and(|at| now < at + pause) {
            return false;
        }
        self.answered_at = Some(now);
        true
    }

    /// Whoever heard the rival must hear us again (R34).
    fn announce_again(&self, out: &mut Vec<Action>) {
        if self.holds() {
            out.push(Action::AnnounceAgain);
        }
    }
}
