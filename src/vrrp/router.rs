//! The state machine of one virtual router, RFC 9568 section 6.4 (RFC 3768 section 6.4 for version 2).
//!
//! Time and events come in, wanted effects come out. Only the four `become_*` functions change the role.

use std::time::Duration;

use super::Standing;
use crate::{
    wire::{AdverInterval, Advertisement, Priority, Version},
    words::Instant,
};

/// How long a master that was overruled goes on holding: the winner's announcement ends it earlier (R16).
const RELIEF: Duration = Duration::from_millis(20);

/// Resignations closer together than this waited in the socket while this process did not run (R35).
const BACKLOG: Duration = Duration::from_millis(2);

/// When a resigning master repeats its priority 0, after the first (R16).
const ZEROS: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(60)];

/// What of the configuration the protocol itself needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The protocol version, which decides the skew time.
    pub version: Version,
    /// Our own `Advertisement_Interval`.
    pub interval: AdverInterval,
    /// `Preempt_Mode`: `None` is false; else how long this router must have been fit before it preempts (the delay is
    /// not in the RFC).
    pub preempt: Option<Duration>,
}

/// Each state owns its timers: nothing stale, nothing to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 6.4.1: takes no part.
    Initialize,
    /// 6.4.2: listens. `down_at` is the `Active_Down_Timer`, `master_interval` the `Active_Adver_Interval`.
    Backup { down_at: Instant, master_interval: AdverInterval },
    /// A backup whose down timer fired, and that waits for leave to serve.
    Elected { since: Instant },
    /// 6.4.3: advertises. `adver_at` is the `Adver_Timer`. Until `hold_at` it listens for a rival and does not hold yet
    /// (R36); `None`: it holds.
    Master { adver_at: Instant, hold_at: Option<Instant> },
    /// A master that goes, and holds until it is relieved or `until` (R16). `zero`: the repetition of priority 0 that is
    /// due next, and when.
    Resigning { until: Instant, zero: Option<(usize, Instant)>, then: Then },
}

/// What a resigning master becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Initialize: it was stopped.
    Stop,
    /// Backup of the one that overruled it.
    Follow { down_at: Instant, master_interval: AdverInterval, reason: Reason },
    /// Master again if nobody relieves it, else Backup: it only offered (R23).
    Resume { relieved: Option<(Instant, AdverInterval)> },
}

/// What can happen to a virtual router.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// Everything outside the protocol says this now.
    Standing(Standing),
    /// A valid advertisement of this virtual router arrived. `wins_tie`: its sender's address is higher than ours.
    Advertisement { adv: &'a Advertisement, wins_tie: bool },
    /// Time has passed; whatever is due happens.
    Timeout,
    /// Serve: the down timer fired and nothing stands against it. Listen for a rival this long before holding.
    Promote { listen: Duration },
    /// The master resigned and this router is its only heir: the skew time, which orders several, is not waited for
    /// (R17).
    Inherit,
    /// A rival is about to claim and goes first: wait one skew time again (R19c).
    Defer,
    /// Go on as master, as the process before this one did (R13).
    Adopt,
    /// Hand over in order: priority 0 now, hold for at most `patience`.
    Resign { patience: Duration, offer: bool },
    /// A stranger announced our addresses: whoever relieves us holds.
    Relieved,
    /// Let go at once and listen, without a word.
    Yield(Reason),
    /// Let go at once and take no part.
    Shutdown,
}

/// What must happen outside, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement with this priority; `None` is priority 0.
    Send(Option<Priority>),
    /// Hold the addresses.
    Hold,
    /// Let go of the addresses.
    Release,
    /// Announce the addresses, from the start of a burst.
    Announce,
    /// The state changed in a way that others see.
    Became(State, Reason),
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It may take part.
    Startup,
    /// It owns the addresses (priority 255).
    Owner,
    /// Nobody advertised for a down interval.
    MasterDown,
    /// The master resigned.
    MasterResigned,
    /// The process before this one was master and its lease still ran.
    Adopted,
    /// A higher router advertises.
    HigherPriority,
    /// An equal priority from a higher address advertises.
    HigherAddress,
    /// It must not take part.
    Fault,
    /// It was asked to stop.
    Stopped,
    /// Nobody took what was offered.
    OfferDeclined,
    /// The lease may have lapsed while this process did not run.
    LeaseLapsed,
    /// The peer does not hear us.
    PeerDeaf,
    /// A peer answers for our addresses.
    SecondHolder,
}

/// One virtual router on one interface, for one address family.
///
/// Feed it with [`handle`](Self::handle); call again no later than [`next_timeout`](Self::next_timeout).
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    config: Config,
    standing: Standing,
    state: State,
    /// Since when it has been fit without a break; preemption waits for it.
    fit_since: Option<Instant>,
    /// Lower masters are obeyed until then (R19a).
    no_preempt_until: Instant,
    /// When it last answered another master.
    answered_at: Option<Instant>,
    /// What the priority 0 that made it elected says about the reason.
    inherited: bool,
}

impl VirtualRouter {
    /// A router in Initialize.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self {
            config,
            standing: Standing::Fault,
            state: State::Initialize,
            fit_since: None,
            no_preempt_until: Instant::ZERO,
            answered_at: None,
            inherited: false,
        }
    }

    /// The state, with its timers.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// What the outside said last.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether it advertises, or still holds what it will hand over.
    #[must_use]
    pub const fn serves(&self) -> bool {
        matches!(self.state, State::Master { .. } | State::Resigning { .. })
    }

    /// Whether the addresses are to be on this machine.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self.state, State::Master { hold_at: None, .. } | State::Resigning { .. })
    }

    /// Puts a changed configuration into force; the timers that run keep running.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = config;
    }

    /// Obeys lower masters until then.
    pub fn defer_preemption(&mut self, until: Instant) {
        self.no_preempt_until = until;
    }

    /// When something is due without any event.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Initialize | State::Elected { .. } => None,
            State::Backup { down_at, .. } => Some(down_at),
            State::Master { adver_at, hold_at } => Some(hold_at.map_or(adver_at, |hold_at| hold_at.min(adver_at))),
            State::Resigning { until, zero, .. } => Some(zero.map_or(until, |(_, zero_at)| zero_at.min(until))),
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, now: Instant, event: Event<'_>, out: &mut Vec<Action>) {
        if let Event::Standing(standing) = event {
            self.note_standing(now, standing);
        }
        let Some(ours) = self.standing.priority() else {
            return self.become_initialize(Reason::Fault, out);
        };
        match (self.state, event) {
            (_, Event::Shutdown) => self.become_initialize(Reason::Stopped, out),

            // 6.4.1 Initialize. An owner leads at once; everybody else listens first.
            (State::Initialize, Event::Standing(Standing::Fit(priority))) if priority.is_owner() => {
                self.become_master(now, priority, Duration::ZERO, Reason::Owner, out);
            }
            (State::Initialize, Event::Standing(_)) => {
                let interval = self.config.interval;
                self.become_backup(now + self.down_interval(interval, ours), interval, Reason::Startup, out);
            }
            (State::Backup { .. }, Event::Adopt) => {
                self.become_master(now, ours, Duration::ZERO, Reason::Adopted, out);
            }
            (State::Initialize, _) => (),

            // 6.4.2 Backup.
            (State::Backup { down_at, .. }, Event::Timeout) if down_at <= now => self.elect(now, false, out),
            (State::Backup { .. }, Event::Inherit) => self.elect(now, true, out),
            (State::Backup { master_interval, .. }, Event::Advertisement { adv, .. }) => match adv.priority {
                None => self.listen_until(now + self.skew_time(master_interval, ours), master_interval),
                Some(theirs) => self.heed(now, ours, theirs, adv.interval, out),
            },
            (State::Backup { down_at, master_interval }, Event::Defer) => {
                let deferred = now + self.skew_time(master_interval, ours);
                self.listen_until(down_at.max(deferred), master_interval);
            }
            (State::Elected { .. }, Event::Defer) => {
                let interval = self.config.interval;
                self.become_backup(now + self.skew_time(interval, ours), interval, Reason::SecondHolder, out);
            }
            (State::Elected { .. }, Event::Advertisement { adv, .. }) => {
                if let Some(theirs) = adv.priority {
                    self.heed(now, ours, theirs, adv.interval, out);
                }
            }
            (State::Elected { .. }, Event::Promote { listen }) => {
                if let Standing::Fit(priority) = self.standing {
                    let reason = if self.inherited { Reason::MasterResigned } else { Reason::MasterDown };
                    self.become_master(now, priority, listen, reason, out);
                }
            }
            (State::Backup { .. } | State::Elected { .. }, Event::Resign { offer: false, .. }) => {
                self.become_initialize(Reason::Stopped, out);
            }
            (State::Backup { .. } | State::Elected { .. }, _) => (),

            // 6.4.3 Master.
            (State::Master { adver_at, hold_at }, Event::Timeout) => self.serve(now, ours, adver_at, hold_at, out),
            (State::Master { .. }, Event::Advertisement { adv, wins_tie }) => match adv.priority {
                None => self.answer_resignation(now, ours, out),
                Some(theirs) if theirs > ours => self.be_overruled(now, ours, adv, Reason::HigherPriority, out),
                Some(theirs) if theirs == ours && wins_tie => {
                    self.be_overruled(now, ours, adv, Reason::HigherAddress, out);
                }
                Some(_) => self.assert_leadership(now, ours, out),
            },
            // It has nothing to hand over yet.
            (State::Master { hold_at: Some(_), .. }, Event::Resign { offer: false, .. }) => {
                self.become_initialize(Reason::Stopped, out);
            }
            (State::Master { hold_at: Some(_), .. }, Event::Resign { offer: true, .. }) => {
                out.push(Action::Send(None));
                let interval = self.config.interval;
                self.become_backup(now + self.down_interval(interval, ours), interval, Reason::Stopped, out);
            }
            (State::Master { .. }, Event::Resign { patience, offer }) => {
                out.push(Action::Send(None));
                let then = if offer { Then::Resume { relieved: None } } else { Then::Stop };
                self.become_resigning(now + patience, first_zero(now), then, out);
            }
            (State::Resigning { then: Then::Stop, .. }, Event::Yield(reason)) => self.become_initialize(reason, out),
            (State::Master { .. } | State::Resigning { .. }, Event::Yield(reason)) => {
                let interval = self.config.interval;
                self.become_backup(now + self.down_interval(interval, ours), interval, reason, out);
            }
            (State::Master { .. }, _) => (),

            // A master that goes.
            (State::Resigning { until, zero, then }, Event::Timeout) => self.go(now, until, zero, then, out),
            (State::Resigning { until, zero, then }, Event::Advertisement { adv, .. }) => match adv.priority {
                None => {
                    let then = then.orphaned(|master_interval| now + self.skew_time(master_interval, ours));
                    self.state = State::Resigning { until, zero, then };
                }
                Some(_) => {
                    let interval = self.learned(adv.interval);
                    let then = then.after(now + self.down_interval(interval, ours), interval);
                    self.state = State::Resigning { until: until.min(now + RELIEF), zero, then };
                }
            },
            (State::Resigning { then, .. }, Event::Relieved) => self.leave(now, then, true, out),
            // Asked to stop again: at once. Asked for the first time: it goes as it was going, and then stops.
            (State::Resigning { then: Then::Stop, .. }, Event::Resign { offer: false, .. }) => {
                self.become_initialize(Reason::Stopped, out);
            }
            (State::Resigning { until, zero, .. }, Event::Resign { offer: false, .. }) => {
                self.state = State::Resigning { until, zero, then: Then::Stop };
            }
            (State::Resigning { .. }, _) => (),
        }
    }

    fn note_standing(&mut self, now: Instant, standing: Standing) {
        let fit = matches!(standing, Standing::Fit(_));
        self.fit_since = if fit { self.fit_since.or(Some(now)) } else { None };
        self.standing = standing;
    }

    // ---- Backup ----

    fn elect(&mut self, now: Instant, inherited: bool, out: &mut Vec<Action>) {
        self.inherited = inherited;
        self.state = State::Elected { since: now };
        let reason = if inherited { Reason::MasterResigned } else { Reason::MasterDown };
        out.push(Action::Became(self.state, reason));
    }

    /// Obeys a rival we must not or may not preempt; leaves one we are about to preempt to its fate.
    fn heed(&mut self, now: Instant, ours: Priority, theirs: Priority, interval: AdverInterval, out: &mut Vec<Action>) {
        if theirs < ours && self.preempts(now) {
            return;
        }
        let interval = self.learned(interval);
        let down_at = now + self.down_interval(interval, ours);
        match self.state {
            State::Elected { .. } => self.become_backup(down_at, interval, Reason::HigherPriority, out),
            State::Initialize | State::Backup { .. } | State::Master { .. } | State::Resigning { .. } => {
                self.listen_until(down_at, interval);
            }
        }
    }

    /// An owner always preempts, at once (6.1). Whoever may not lead does not.
    fn preempts(&self, now: Instant) -> bool {
        let owner = self.standing.priority().is_some_and(Priority::is_owner);
        let delay = if owner { Some(Duration::ZERO) } else { self.config.preempt };
        let patient = delay.zip(self.fit_since).is_some_and(|(delay, since)| since + delay <= now);
        patient && self.no_preempt_until <= now
    }

    /// Version 3 learns the master's interval, version 2 demands that it equals its own.
    const fn learned(&self, interval: AdverInterval) -> AdverInterval {
        match self.config.version {
            Version::V2 => self.config.interval,
            Version::V3 => interval,
        }
    }

    fn listen_until(&mut self, down_at: Instant, master_interval: AdverInterval) {
        self.state = State::Backup { down_at, master_interval };
    }

    fn skew_time(&self, interval: AdverInterval, priority: Priority) -> Duration {
        interval.skew_time(self.config.version, priority)
    }

    fn down_interval(&self, interval: AdverInterval, priority: Priority) -> Duration {
        interval.down_interval(self.config.version, priority)
    }

    // ---- Master ----

    fn serve(
        &mut self,
        now: Instant,
        ours: Priority,
        adver_at: Instant,
        hold_at: Option<Instant>,
        out: &mut Vec<Action>,
    ) {
        if hold_at.is_some_and(|at| at <= now) {
            self.state = State::Master { adver_at, hold_at: None };
            out.extend([Action::Hold, Action::Announce]);
        }
        if adver_at <= now {
            self.advertise(now, ours, out);
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
    /// for it and gains by it). At most four times an interval, so that a backlog is answered once (R35).
    fn assert_leadership(&mut self, now: Instant, ours: Priority, out: &mut Vec<Action>) {
        if self.may_answer(now, self.config.interval.as_duration() / 4) {
            out.push(Action::Send(Some(ours)));
            self.announce_again(out);
        }
    }

    /// Another master let go: whoever followed it follows us (6.4.3). A peer says so several times, each worth an answer
    /// (R16); what a thaw finds in the socket is worth one (R35).
    fn answer_resignation(&mut self, now: Instant, ours: Priority, out: &mut Vec<Action>) {
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
            out.push(Action::Announce);
        }
    }

    /// A higher router leads. One last advertisement of ours makes it announce (R34); we hold until it does.
    fn be_overruled(
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

    // ---- Resigning ----

    fn go(&mut self, now: Instant, until: Instant, zero: Option<(usize, Instant)>, then: Then, out: &mut Vec<Action>) {
        if until <= now {
            return self.leave(now, then, false, out);
        }
        if let Some((index, _)) = zero.filter(|(_, at)| *at <= now) {
            out.push(Action::Send(None));
            let next =
                ZEROS.get(index + 1).zip(ZEROS.get(index)).map(|(next, this)| (index + 1, now + (*next - *this)));
            self.state = State::Resigning { until, zero: next, then };
        }
    }

    /// The end of resigning. `announced`: somebody was seen to take the addresses.
    fn leave(&mut self, now: Instant, then: Then, announced: bool, out: &mut Vec<Action>) {
        let interval = self.config.interval;
        match then {
            Then::Stop => self.become_initialize(Reason::Stopped, out),
            Then::Follow { down_at, master_interval, reason } => {
                self.follow(now, down_at, master_interval, reason, out);
            }
            Then::Resume { relieved: Some((down_at, interval)) } => {
                self.follow(now, down_at, interval, Reason::HigherPriority, out);
            }
            Then::Resume { relieved: None } => match self.standing.priority() {
                Some(ours) if announced => {
                    self.become_backup(now + self.down_interval(interval, ours), interval, Reason::HigherPriority, out);
                }
                Some(ours) => {
                    out.push(Action::Send(Some(ours)));
                    self.state = State::Master { adver_at: now + interval.as_duration(), hold_at: None };
                    out.push(Action::Became(self.state, Reason::OfferDeclined));
                }
                None => self.become_initialize(Reason::Fault, out),
            },
        }
    }

    /// Backup of a master that was heard. Whoever wakes too late to trust that listens for a full down interval (R10).
    fn follow(
        &mut self,
        now: Instant,
        down_at: Instant,
        interval: AdverInterval,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        let stale = down_at <= now;
        let down_at = match self.standing.priority() {
            Some(ours) if stale => now + self.down_interval(interval, ours),
            Some(_) | None => down_at,
        };
        self.become_backup(down_at, interval, reason, out);
    }

    // ---- The only places that change the role. ----

    /// Whatever was said of it before no longer counts: it takes part again when it is told its standing anew.
    fn become_initialize(&mut self, reason: Reason, out: &mut Vec<Action>) {
        self.standing = Standing::Fault;
        self.fit_since = None;
        match self.state {
            State::Initialize => return,
            State::Master { .. } => out.push(Action::Send(None)),
            State::Backup { .. } | State::Elected { .. } | State::Resigning { .. } => (),
        }
        self.enter(State::Initialize, reason, out);
    }

    fn become_backup(
        &mut self,
        down_at: Instant,
        master_interval: AdverInterval,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        self.enter(State::Backup { down_at, master_interval }, reason, out);
    }

    fn become_master(&mut self, now: Instant, ours: Priority, listen: Duration, reason: Reason, out: &mut Vec<Action>) {
        out.push(Action::Send(Some(ours)));
        let adver_at = now + self.config.interval.as_duration();
        let hold_at = if listen.is_zero() { None } else { Some(now + listen) };
        self.answered_at = None;
        self.enter(State::Master { adver_at, hold_at }, reason, out);
        if hold_at.is_none() {
            out.push(Action::Announce);
        }
    }

    fn become_resigning(&mut self, until: Instant, zero: Option<(usize, Instant)>, then: Then, out: &mut Vec<Action>) {
        self.state = State::Resigning { until, zero, then };
        let reason = match then {
            Then::Stop | Then::Resume { .. } => Reason::Stopped,
            Then::Follow { reason, .. } => reason,
        };
        out.push(Action::Became(self.state, reason));
    }

    fn enter(&mut self, state: State, reason: Reason, out: &mut Vec<Action>) {
        let held = self.holds();
        self.state = state;
        if held && !self.holds() {
            out.push(Action::Release);
        }
        if !held && self.holds() {
            out.push(Action::Hold);
        }
        out.push(Action::Became(state, reason));
    }
}

impl Then {
    /// What it becomes now that another router was heard.
    const fn after(self, down_at: Instant, master_interval: AdverInterval) -> Self {
        match self {
            Self::Stop => Self::Stop,
            Self::Follow { reason, .. } => Self::Follow { down_at, master_interval, reason },
            Self::Resume { .. } => Self::Resume { relieved: Some((down_at, master_interval)) },
        }
    }

    /// What it becomes now that the router that was heard resigned in turn (6.4.2). `skewed`: when the skew time ends.
    fn orphaned(self, skewed: impl FnOnce(AdverInterval) -> Instant) -> Self {
        match self {
            Self::Stop => Self::Stop,
            Self::Follow { master_interval, reason, .. } => {
                Self::Follow { down_at: skewed(master_interval), master_interval, reason }
            }
            Self::Resume { relieved } => {
                Self::Resume { relieved: relieved.map(|(_, interval)| (skewed(interval), interval)) }
            }
        }
    }
}

fn first_zero(now: Instant) -> Option<(usize, Instant)> {
    ZEROS.first().map(|after| (0, now + *after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Vrid;

    /// One step of a story without an author.
    #[derive(Clone, Debug)]
    enum Step {
        Wait(Duration),
        /// Waits for what is due, and is this late.
        Due(Duration),
        Hear {
            priority: u8,
            centis: u16,
            wins_tie: bool,
        },
        Tell(Event<'static>),
        DeferPreemption(Duration),
    }

    fn short() -> impl Strategy<Value = Duration> {
        prop_oneof![Just(Duration::ZERO), (0..30_000_u64).prop_map(Duration::from_micros)]
    }

    fn pause() -> impl Strategy<Value = Duration> {
        prop_oneof![4 => short(), 1 => (0..20_000_u64).prop_map(Duration::from_millis)]
    }

    fn priority() -> impl Strategy<Value = Priority> {
        prop_oneof![Just(100), Just(1), Just(255), 1..=255_u8].prop_map(|number| Priority::new(number).unwrap())
    }

    fn event() -> impl Strategy<Value = Event<'static>> {
        prop_oneof![
            1 => Just(Event::Standing(Standing::Fault)),
            1 => priority().prop_map(|priority| Event::Standing(Standing::Barred(priority))),
            4 => priority().prop_map(|priority| Event::Standing(Standing::Fit(priority))),
            2 => Just(Event::Timeout),
            6 => short().prop_map(|listen| Event::Promote { listen }),
            2 => Just(Event::Inherit),
            1 => Just(Event::Defer),
            2 => Just(Event::Adopt),
            3 => (pause(), any::<bool>()).prop_map(|(patience, offer)| Event::Resign { patience, offer }),
            1 => Just(Event::Relieved),
            1 => Just(Event::Yield(Reason::LeaseLapsed)),
            1 => Just(Event::Shutdown),
        ]
    }

    fn step() -> impl Strategy<Value = Step> {
        let number = prop_oneof![Just(0), Just(100), 0..=255_u8];
        prop_oneof![
            1 => pause().prop_map(Step::Wait),
            3 => pause().prop_map(Step::Due),
            3 => (number, 1..=400_u16, any::<bool>())
                .prop_map(|(priority, centis, wins_tie)| Step::Hear { priority, centis, wins_tie }),
            6 => event().prop_map(Step::Tell),
            1 => pause().prop_map(Step::DeferPreemption),
        ]
    }

    fn config() -> impl Strategy<Value = Config> {
        let version = prop_oneof![Just(Version::V2), Just(Version::V3)];
        (version, 1..=4_u8, proptest::option::of(pause())).prop_map(|(version, secs, preempt)| {
            let interval = AdverInterval::from_secs(secs).unwrap();
            Config { version, interval, preempt }
        })
    }

    /// A router, the moment, and what the outside believes of it.
    struct Observed {
        router: VirtualRouter,
        now: Instant,
        holds: bool,
    }

    impl Observed {
        fn new(config: Config) -> Self {
            Self {
                router: VirtualRouter::new(config),
                now: Instant::from_epoch(Duration::from_secs(1000)),
                holds: false,
            }
        }

        fn take(&mut self, step: &Step) {
            match step {
                Step::Wait(pause) => self.now = self.now + *pause,
                Step::Due(late) => {
                    let due = self.router.next_timeout().unwrap_or(self.now);
                    self.now = self.now.max(due + *late);
                    self.handle(Event::Timeout);
                    assert!(self.router.next_timeout().is_none_or(|next| self.now < next), "everything due was done");
                }
                Step::Hear { priority, centis, wins_tie } => {
                    let adv = Advertisement {
                        vrid: Vrid::new(1).unwrap(),
                        priority: Priority::new(*priority),
                        interval: AdverInterval::from_centis(*centis).unwrap(),
                        addresses: Vec::new(),
                    };
                    self.handle(Event::Advertisement { adv: &adv, wins_tie: *wins_tie });
                }
                Step::Tell(event) => self.handle(*event),
                Step::DeferPreemption(pause) => self.router.defer_preemption(self.now + *pause),
            }
        }

        fn handle(&mut self, event: Event<'_>) {
            let (before, served) = (self.router.state(), self.router.serves());
            let mut out = Vec::new();
            self.router.handle(self.now, event, &mut out);
            let (after, serves) = (self.router.state(), self.router.serves());
            let mut told = before;
            for action in &out {
                match action {
                    Action::Hold => assert!(!std::mem::replace(&mut self.holds, true), "held twice"),
                    Action::Release => assert!(std::mem::replace(&mut self.holds, false), "released twice"),
                    Action::Announce => assert!(self.holds, "announced what it does not hold"),
                    Action::Send(Some(_)) => assert!(served || serves, "only who serves advertises"),
                    Action::Send(None) => assert!(served && !matches!(after, State::Master { .. }), "who resigns goes"),
                    Action::Became(state, _) => told = *state,
                }
            }
            assert_eq!(self.holds, self.router.holds());
            assert!(serves || !self.holds, "only who serves holds");
            assert_eq!(std::mem::discriminant(&told), std::mem::discriminant(&after), "every change of role is told");
            if !served && serves && !matches!(event, Event::Adopt) {
                assert!(matches!(self.router.standing(), Standing::Fit(_)), "only who is fit begins to serve");
            }
            if self.router.standing() == Standing::Fault {
                assert_eq!(after, State::Initialize);
            }
        }

        /// As a node does it: its standing is told when it changed, and an elected router is promoted.
        fn left_alone_and_fit(&mut self) {
            let fit = Standing::Fit(Priority::new(100).unwrap());
            if self.router.standing() != fit {
                self.take(&Step::Tell(Event::Standing(fit)));
            }
            self.take(&Step::Tell(Event::Promote { listen: Duration::from_millis(2) }));
            self.take(&Step::Due(Duration::ZERO));
        }
    }

    proptest! {
        /// The invariants are checked after every event.
        #[test]
        fn whatever_happens_it_stays_consistent(config in config(), steps in proptest::collection::vec(step(), 0..80)) {
            let mut observed = Observed::new(config);
            for step in &steps {
                observed.take(step);
            }
        }

        /// Nothing that happened keeps a router from serving once it is fit and hears nobody: no state is a trap.
        #[test]
        fn a_fit_router_that_hears_nobody_serves_in_the_end(
            config in config(),
            steps in proptest::collection::vec(step(), 0..40),
        ) {
            let mut observed = Observed::new(config);
            for step in &steps {
                observed.take(step);
            }
            for _ in 0..12 {
                observed.left_alone_and_fit();
            }
            prop_assert!(observed.holds, "{:?}", observed.router);
        }
    }
}
