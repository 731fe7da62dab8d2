//! The stage of the tests of a virtual router: it is told things at given moments, and answers in text.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{fmt::Write as _, time::Duration};

use ha::{
    vrrp::{Action, Config, Event, Standing, State, VirtualRouter},
    wire::{AdverInterval, Advertisement, Priority, Version, Vrid},
    words::Instant,
};

/// In centiseconds.
pub(crate) const SECOND: u16 = 100;
pub(crate) const PREEMPT: Option<Duration> = Some(Duration::ZERO);
pub(crate) const FAULT: Event<'static> = Event::Standing(Standing::Fault);
pub(crate) const BARRED: Event<'static> = Event::Standing(Standing::Barred(HUNDRED));
pub(crate) const FIT: Event<'static> = Event::Standing(Standing::Fit(HUNDRED));
pub(crate) const PROMOTE: Event<'static> = Event::Promote { listen: Duration::ZERO };
pub(crate) const LISTEN: Event<'static> = Event::Promote { listen: Duration::from_millis(2) };
pub(crate) const DEFER: Event<'static> = Event::Defer { at_least: Duration::ZERO };
pub(crate) const STOP: Event<'static> = Event::Resign { patience: PATIENCE, offer: false };
pub(crate) const OFFER: Event<'static> = Event::Resign { patience: PATIENCE, offer: true };
pub(crate) const STEP_BACK: Event<'static> = Event::StepBack { patience: PATIENCE };
const PATIENCE: Duration = Duration::from_millis(1100);
const HUNDRED: Priority = match Priority::new(100) {
    Some(priority) => priority,
    None => Priority::LOWEST,
};

/// A router with a one-second interval, told things at given milliseconds; what it answers is a line of text.
pub(crate) struct Subject(pub(crate) VirtualRouter);

impl Subject {
    pub(crate) fn new(version: Version, preempt: Option<Duration>) -> Self {
        Self(VirtualRouter::new(Config { version, interval: interval(SECOND), preempt, down_adverts: 3 }))
    }

    /// Of version 3, priority 100, preempting, since 0.
    pub(crate) fn backup() -> Self {
        let mut router = Self::new(Version::V3, PREEMPT);
        router.at(0, FIT);
        router
    }

    /// Its timer fired at 3610.
    pub(crate) fn elected() -> Self {
        let mut router = Self::backup();
        router.at(3610, Event::Timeout);
        router
    }

    /// Master since 0.
    pub(crate) fn master() -> Self {
        let mut router = Self::backup();
        router.at(0, Event::Adopt);
        router
    }

    pub(crate) fn at(&mut self, millis: u64, event: Event<'_>) -> String {
        self.exactly(Instant::from_epoch(Duration::from_millis(millis)), event)
    }

    /// With the turn that follows at once where a new master is to hold.
    pub(crate) fn exactly(&mut self, now: Instant, event: Event<'_>) -> String {
        let mut out = Vec::new();
        self.0.handle(now, event, &mut out);
        if matches!(self.0.state(), State::Master { hold_at: Some(at), .. } if at <= now) {
            self.0.handle(now, Event::Timeout, &mut out);
        }
        actions(&out)
    }

    pub(crate) fn hears(&mut self, millis: u64, priority: u8) -> String {
        self.hears_every(millis, priority, SECOND)
    }

    /// An advertisement of somebody who advertises every `centis`.
    pub(crate) fn hears_every(&mut self, millis: u64, priority: u8, centis: u16) -> String {
        self.at(millis, Event::Advertisement { adv: &advertisement(priority, centis), wins_tie: false })
    }

    /// What it does by itself until then.
    pub(crate) fn story(&mut self, until: u64) -> String {
        let mut told = Vec::new();
        let until = Instant::from_epoch(Duration::from_millis(until));
        while let Some(next) = self.0.next_timeout().filter(|next| *next <= until) {
            told.push(format!("{} {}", seconds(next), self.exactly(next, Event::Timeout)));
        }
        told.join("; ")
    }

    pub(crate) fn state(&self) -> String {
        match self.0.state() {
            State::Backup { down_at, master_interval } => {
                format!("backup (until {}, interval {:?})", seconds(down_at), master_interval.as_duration())
            }
            State::Master { adver_at, hold_at: None } => format!("master (sends at {})", seconds(adver_at)),
            state @ (State::Initialize | State::Elected { .. } | State::Master { .. } | State::Resigning { .. }) => {
                role(state).to_owned()
            }
        }
    }
}

pub(crate) fn priority(number: u8) -> Priority {
    Priority::new(number).unwrap()
}

pub(crate) fn interval(centis: u16) -> AdverInterval {
    AdverInterval::from_centis(centis).unwrap()
}

pub(crate) fn advertisement(priority: u8, centis: u16) -> Advertisement {
    Advertisement {
        vrid: Vrid::new(1).unwrap(),
        priority: Priority::new(priority),
        interval: interval(centis),
        addresses: Vec::new(),
    }
}

/// The actions in their order, separated by commas.
pub(crate) fn actions(actions: &[Action]) -> String {
    let mut text = String::new();
    for action in actions {
        if !text.is_empty() {
            text.push_str(", ");
        }
        match action {
            Action::Send(priority) => write!(text, "send {}", priority.map_or(0, Priority::get)).unwrap(),
            Action::Hold => text.push_str("hold"),
            Action::Release => text.push_str("release"),
            Action::Announce | Action::AnnounceAgain => text.push_str("announce"),
            Action::Became(state, reason) => write!(text, "{} {reason:?}", role(*state)).unwrap(),
        }
    }
    text
}

pub(crate) fn role(state: State) -> &'static str {
    match state {
        State::Initialize => "initialize",
        State::Backup { .. } => "backup",
        State::Elected { .. } => "elected",
        State::Master { .. } => "master",
        State::Resigning { .. } => "resigning",
    }
}

fn seconds(at: Instant) -> String {
    let since = at.since_epoch();
    format!("{}.{:03}", since.as_secs(), since.subsec_millis())
}
