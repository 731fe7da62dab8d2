//! A master that goes and still holds, until it is relieved: how it begins, what it hears meanwhile, how it ends.
//!
//! The RFC lets a master go at once (6.4.3, Shutdown and a higher advertisement). That leaves the clients without anybody
//! until the next one announces; so it repeats its resignation and holds (R16), offers without letting go (R23), and loses
//! aloud (R34).

use std::time::Duration;

use super::router::{Action, Event, Reason, State, VirtualRouter};
use crate::{
    wire::{AdverInterval, Advertisement, Priority},
    words::Instant,
};

/// How long a master that was overruled goes on holding: the winner's announcement ends it earlier (R16).
const RELIEF: Duration = Duration::from_millis(20);

/// How long it goes on holding once somebody announced the addresses (R16): a call that had reached this machine by then is
/// still answered, and its answer needs the address. A twentieth of the interval at most.
const LINGER: Duration = Duration::from_millis(3);

/// When a resigning master repeats its priority 0, after the first (R16).
const ZEROS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(60)];

/// What a resigning master becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Initialize: it was stopped. `relieved`: somebody was heard to take over.
    Stop { relieved: bool },
    /// Backup of the one that overruled it.
    Follow { down_at: Instant, master_interval: AdverInterval, reason: Reason },
    /// Master again if nobody relieves it, else Backup: it only offered (R23).
    Resume { relieved: Option<(Instant, AdverInterval)> },
}

impl VirtualRouter {
    // ---- How it begins ----

    /// A master is asked to hand over. One that still listens has nothing to hand over yet.
    pub(super) fn resign(
        &mut self,
        now: Instant,
        ours: Priority,
        patience: Duration,
        offer: bool,
        out: &mut Vec<Action>,
    ) {
        match (self.holds(), offer) {
            (true, _) => {
                out.push(Action::Send(None));
                let then = if offer { Then::Resume { relieved: None } } else { Then::Stop { relieved: false } };
                self.become_resigning(now + patience, first_zero(now), then, out);
            }
            (false, true) => {
                out.push(Action::Send(None));
                self.listen_anew(now, ours, Reason::Offered, out);
            }
            (false, false) => self.become_initialize(Reason::Stopped, out),
        }
    }

    /// It need not go, but the others of its group have gone. It becomes a backup, of whoever takes over.
    pub(super) fn step_back(&mut self, now: Instant, ours: Priority, patience: Duration, out: &mut Vec<Action>) {
        out.push(Action::Send(None));
        if !self.holds() {
            return self.listen_anew(now, ours, Reason::Grouped, out);
        }
        let master_interval = self.config.interval;
        let until = now + patience;
        let down_at = until + self.down_interval(master_interval, ours);
        let then = Then::Follow { down_at, master_interval, reason: Reason::Grouped };
        self.become_resigning(until, first_zero(now), then, out);
    }

    /// A higher router leads. One last advertisement of ours makes it announce (R34); we hold until it does.
    pub(super) fn be_overruled(
        &mut self,
        now: Instant,
        ours: Priority,
        adv: &Advertisement,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        let interval = self.learned(adv.interval);
        let down_at = now + self.down_interval(interval, ours);
        if !self.holds() {
            return self.become_backup(down_at, interval, reason, out);
        }
        out.push(Action::Send(Some(ours)));
        self.become_resigning(now + RELIEF, None, Then::Follow { down_at, master_interval: interval, reason }, out);
    }

    // ---- What happens to it ----

    /// An event while it goes. `ours` is what it bids.
    pub(super) fn go(&mut self, now: Instant, ours: Priority, event: Event<'_>, out: &mut Vec<Action>) {
        let State::Resigning { until, zero, then } = self.state else { return };
        match event {
            Event::Timeout if until <= now => self.leave(now, ours, then, out),
            Event::Timeout => self.repeat_zero(now, until, zero, then, out),
            Event::Advertisement { adv, .. } => match adv.priority {
                None => {
                    let then = then.orphaned(|master_interval| now + self.skew_time(master_interval, ours));
                    self.state = State::Resigning { until, zero, then };
                }
                Some(_) => {
                    let interval = self.learned(adv.interval);
                    let then = then.after(now + self.down_interval(interval, ours), interval);
                    // It was understood: more of the same would only be answered.
                    self.state = State::Resigning { until: until.min(now + RELIEF), zero: None, then };
                }
            },
            Event::Relieved => {
                let interval = self.config.interval;
                let then = then.announced(now + self.down_interval(interval, ours), interval);
                let linger = LINGER.min(self.config.interval.as_duration() / 20);
                self.state = State::Resigning { until: until.min(now + linger), zero: None, then };
            }
            Event::Resign { offer: false, .. } => match then {
                // Asked to stop again: at once. Asked for the first time: it goes as it was going, and then stops.
                Then::Stop { .. } => self.become_initialize(Reason::Stopped, out),
                Then::Follow { .. } | Then::Resume { .. } => {
                    self.state = State::Resigning { until, zero, then: Then::Stop { relieved: then.is_relieved() } };
                }
            },
            Event::Yield(reason) => match then {
                Then::Stop { .. } => self.become_initialize(reason, out),
                Then::Follow { .. } | Then::Resume { .. } => self.listen_anew(now, ours, reason, out),
            },
            Event::Shutdown => self.become_initialize(Reason::Stopped, out),
            Event::Standing(_)
            | Event::Promote { .. }
            | Event::Inherit
            | Event::Defer { .. }
            | Event::Adopt
            | Event::StepBack { .. }
            | Event::HoldAt(_)
            | Event::Resign { offer: true, .. } => (),
        }
    }

    fn repeat_zero(
        &mut self,
        now: Instant,
        until: Instant,
        zero: Option<(usize, Instant)>,
        then: Then,
        out: &mut Vec<Action>,
    ) {
        if let Some((index, _)) = zero.filter(|(_, at)| *at <= now) {
            out.push(Action::Send(None));
            let next =
                ZEROS.get(index + 1).zip(ZEROS.get(index)).map(|(next, this)| (index + 1, now + (*next - *this)));
            self.state = State::Resigning { until, zero: next, then };
        }
    }

    // ---- How it ends ----

    /// The end of it.
    fn leave(&mut self, now: Instant, ours: Priority, then: Then, out: &mut Vec<Action>) {
        match then {
            Then::Stop { relieved: true } => self.become_initialize(Reason::Relieved, out),
            Then::Stop { relieved: false } => self.become_initialize(Reason::Stopped, out),
            Then::Follow { down_at, master_interval, reason } => {
                self.follow(now, ours, down_at, master_interval, reason, out);
            }
            Then::Resume { relieved: Some((down_at, interval)) } => {
                self.follow(now, ours, down_at, interval, Reason::Relieved, out);
            }
            Then::Resume { relieved: None } => {
                self.become_master(now, ours, Duration::ZERO, Reason::OfferDeclined, out);
            }
        }
    }

    /// Backup of a master that was heard. Whoever wakes too late to trust that listens for a full down interval (R10).
    fn follow(
        &mut self,
        now: Instant,
        ours: Priority,
        down_at: Instant,
        interval: AdverInterval,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        let down_at = if down_at <= now { now + self.down_interval(interval, ours) } else { down_at };
        self.become_backup(down_at, interval, reason, out);
    }
}

impl Then {
    /// Another router was heard that takes over.
    const fn is_relieved(self) -> bool {
        match self {
            Self::Stop { relieved } => relieved,
            Self::Follow { .. } => true,
            Self::Resume { relieved } => relieved.is_some(),
        }
    }

    /// What it becomes now that another router was heard.
    const fn after(self, down_at: Instant, master_interval: AdverInterval) -> Self {
        match self {
            Self::Stop { .. } => Self::Stop { relieved: true },
            Self::Follow { reason, .. } => Self::Follow { down_at, master_interval, reason },
            Self::Resume { .. } => Self::Resume { relieved: Some((down_at, master_interval)) },
        }
    }

    /// What it becomes now that somebody announced the addresses; an advertisement that was heard says more.
    const fn announced(self, down_at: Instant, master_interval: AdverInterval) -> Self {
        match self {
            Self::Stop { .. } => Self::Stop { relieved: true },
            Self::Follow { .. } | Self::Resume { relieved: Some(_) } => self,
            Self::Resume { relieved: None } => Self::Resume { relieved: Some((down_at, master_interval)) },
        }
    }

    /// What it becomes now that the router that was heard resigned in turn (6.4.2). `skewed`: when the skew time ends.
    fn orphaned(self, skewed: impl FnOnce(AdverInterval) -> Instant) -> Self {
        match self {
            Self::Stop { .. } => self,
            Self::Follow { down_at, master_interval, reason } => {
                Self::Follow { down_at: down_at.min(skewed(master_interval)), master_interval, reason }
            }
            Self::Resume { relieved } => {
                let sooner = |(down_at, interval): (Instant, AdverInterval)| (down_at.min(skewed(interval)), interval);
                Self::Resume { relieved: relieved.map(sooner) }
            }
        }
    }
}

fn first_zero(now: Instant) -> Option<(usize, Instant)> {
    ZEROS.first().map(|after| (0, now + *after))
}
