//! The state machine of one virtual router, RFC 9568 section 6.4 (RFC 3768 section 6.4 for version 2).
//!
//! Time and events come in, wanted effects come out. Only the `become_*` functions change the role.
//! What a master does while it serves and while it goes has files of its own.

use std::time::Duration;

use super::{Standing, resigning::Then};
use crate::{
    wire::{AdverInterval, Advertisement, Priority, Version},
    words::Instant,
};

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
    /// Advertisements of a master that are missed before its `Active_Down_Timer` fires: 3 in the RFC.
    pub down_adverts: u8,
}

/// Each state owns its timers: nothing stale, nothing to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// 6.4.1: takes no part.
    Initialize,
    /// 6.4.2: listens. `down_at` is the `Active_Down_Timer`, `master_interval` the `Active_Adver_Interval`.
    Backup { down_at: Instant, master_interval: AdverInterval },
    /// A backup whose down timer fired, and that waits for leave to serve.
    Elected { since: Instant, master_interval: AdverInterval },
    /// 6.4.3: advertises. `adver_at` is the `Adver_Timer`. Until `hold_at` it listens for a rival and does not hold yet
    /// (R36); `None`: it holds. It never holds in the step that made it master: its first advertisement may not leave.
    Master { adver_at: Instant, hold_at: Option<Instant> },
    /// A master that goes, and holds until it is relieved or `until` (R16). `zero`: the repetition of priority 0 that is
    /// due next, and when.
    Resigning { until: Instant, zero: Option<(usize, Instant)>, then: Then },
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
    /// Serve: the down timer fired and nothing stands against it. Listen for a rival this long before holding; zero: hold
    /// at the next timeout, which is due at once.
    Promote { listen: Duration },
    /// The master resigned and this router is its only heir: the skew time, which orders several, is not waited for
    /// (R17).
    Inherit,
    /// A rival is about to claim and goes first: wait one skew time again, and at least so long (R19c).
    Defer { at_least: Duration },
    /// A master that still listens holds at this moment, instead of the one that it was to (not in the RFC).
    HoldAt(Instant),
    /// Go on as master, as the process before this one did (R13).
    Adopt,
    /// Hand over in order: priority 0 now, hold for at most `patience`.
    Resign { patience: Duration, offer: bool },
    /// Hand over in order likewise, and listen afterwards: the routers that it leads together with no longer lead (not in
    /// the RFC; R26).
    StepBack { patience: Duration },
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
    /// The same because another master was heard.
    AnnounceAgain,
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
    /// Another router advertises that is not to be preempted, though it is not higher.
    AnotherLeads,
    /// Another router took what was offered, or what was left to whoever wants it.
    Relieved,
    /// It offered what it had, and had nothing to hold on to yet.
    Offered,
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
    /// A router of its group does not lead any more.
    Grouped,
    /// The witness does not vouch for it (not in the RFC).
    Unwitnessed,
}

/// One virtual router on one interface, for one address family.
///
/// Feed it with [`handle`](Self::handle); call again no later than [`next_timeout`](Self::next_timeout).
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    pub(super) config: Config,
    standing: Standing,
    pub(super) state: State,
    /// Since when it has been fit without a break; preemption waits for it.
    fit_since: Option<Instant>,
    /// Lower masters are obeyed until then (R19a).
    no_preempt_until: Instant,
    /// When it last answered another master.
    pub(super) answered_at: Option<Instant>,
    /// What the priority 0 that made it elected says about the reason.
    inherited: bool,
    /// The last lower master that it took no notice of, because it was about to preempt it.
    passed_over: Option<PassedOver>,
}

/// A master that was heard and did not start the down timer again.
#[derive(Clone, Copy, Debug)]
struct PassedOver {
    at: Instant,
    priority: Priority,
    interval: AdverInterval,
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
            passed_over: None,
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

    /// Puts a changed configuration into force. The timers that run keep running, except that a master advertises no
    /// later than its new interval from now.
    pub fn reconfigure(&mut self, now: Instant, config: Config) {
        self.config = config;
        if let State::Master { adver_at, .. } = &mut self.state {
            *adver_at = (*adver_at).min(now + self.config.interval.as_duration());
        }
    }

    /// Whether a router that listens takes no notice of a master of this priority: it is about to preempt it.
    #[must_use]
    pub fn disregards(&self, now: Instant, theirs: Priority) -> bool {
        self.standing.priority().is_some_and(|ours| theirs < ours) && self.preempts(now)
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
        self.heed_after_all(now, ours, out);
        match (self.state, event) {
            (_, Event::Shutdown) => self.become_initialize(Reason::Stopped, out),

            // 6.4.1 Initialize. An owner leads at once, also one that becomes fit later; everybody else listens first.
            // Nobody leads at once where a peer that does not hear it would go on leading as well (R19a).
            (
                State::Initialize | State::Backup { .. } | State::Elected { .. },
                Event::Standing(Standing::Fit(priority)),
            ) if priority.is_owner() && self.no_preempt_until <= now => {
                self.become_master(now, priority, Duration::ZERO, Reason::Owner, out);
            }
            (State::Initialize, Event::Standing(_)) => self.listen_anew(now, ours, Reason::Startup, out),
            (State::Initialize, _) => (),

            // 6.4.2 Backup.
            (State::Backup { .. }, Event::Adopt) => {
                self.become_master(now, ours, Duration::ZERO, Reason::Adopted, out);
            }
            (State::Backup { down_at, master_interval }, Event::Timeout) if down_at <= now => {
                self.become_elected(now, master_interval, false, out);
            }
            (State::Backup { master_interval, .. }, Event::Inherit) => {
                self.become_elected(now, master_interval, true, out);
            }
            (State::Elected { .. }, Event::Inherit) => self.inherited = true,
            (State::Backup { down_at, master_interval }, Event::Advertisement { adv, .. }) => match adv.priority {
                // Repetitions of the 0 do not start the skew time again, nor does one lengthen a timer that is nearly due:
                // earlier than the letter of 6.4.2, never later. Several backups keep their order, for each timer
                // contains its own skew.
                None => {
                    self.passed_over = None;
                    let skewed = now + self.skew_time(master_interval, ours);
                    self.listen_until(down_at.min(skewed), master_interval);
                }
                Some(theirs) => self.heed(now, ours, theirs, adv.interval, out),
            },
            (State::Backup { down_at, master_interval }, Event::Defer { at_least }) => {
                let deferred = now + self.skew_time(master_interval, ours).max(at_least);
                self.listen_until(down_at.max(deferred), master_interval);
            }
            (State::Elected { master_interval, .. }, Event::Defer { at_least }) => {
                let deferred = now + self.skew_time(master_interval, ours).max(at_least);
                self.become_backup(deferred, master_interval, Reason::SecondHolder, out);
            }
            (State::Elected { .. }, Event::Advertisement { adv, .. }) => match adv.priority {
                None => self.passed_over = None,
                Some(theirs) => self.heed(now, ours, theirs, adv.interval, out),
            },
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
            (State::Master { adver_at, .. }, Event::Timeout) => self.serve(now, ours, adver_at, out),
            (State::Master { adver_at, .. }, Event::Advertisement { adv, wins_tie }) => match adv.priority {
                None => self.answer_resignation(now, ours, out),
                Some(theirs) if theirs > ours => self.be_overruled(now, ours, adv, Reason::HigherPriority, out),
                Some(theirs) if theirs == ours && wins_tie => {
                    self.be_overruled(now, ours, adv, Reason::HigherAddress, out);
                }
                Some(_) => self.assert_leadership(now, ours, adver_at, out),
            },
            (State::Master { .. }, Event::Resign { patience, offer }) => self.resign(now, ours, patience, offer, out),
            (State::Master { .. }, Event::StepBack { patience }) => self.step_back(now, ours, patience, out),
            (State::Master { .. }, Event::Yield(reason)) => self.listen_anew(now, ours, reason, out),
            (State::Master { adver_at, hold_at: Some(_) }, Event::HoldAt(at)) => {
                self.state = State::Master { adver_at, hold_at: Some(at) };
            }
            (State::Master { .. }, _) => (),

            (State::Resigning { .. }, event) => self.go(now, ours, event, out),
        }
    }

    fn note_standing(&mut self, now: Instant, standing: Standing) {
        let fit = matches!(standing, Standing::Fit(_));
        self.fit_since = if fit { self.fit_since.or(Some(now)) } else { None };
        self.standing = standing;
    }

    // ---- Backup ----

    /// Obeys a rival we must not or may not preempt; leaves one we are about to preempt to its fate.
    fn heed(&mut self, now: Instant, ours: Priority, theirs: Priority, interval: AdverInterval, out: &mut Vec<Action>) {
        let interval = self.learned(interval);
        if self.disregards(now, theirs) {
            self.passed_over = Some(PassedOver { at: now, priority: theirs, interval });
            return;
        }
        self.passed_over = None;
        let down_at = now + self.down_interval(interval, ours);
        match self.state {
            State::Elected { .. } => {
                let reason = if theirs > ours { Reason::HigherPriority } else { Reason::AnotherLeads };
                self.become_backup(down_at, interval, reason, out);
            }
            State::Initialize | State::Backup { .. } | State::Master { .. } | State::Resigning { .. } => {
                self.listen_until(down_at, interval);
            }
        }
    }

    /// Who was about to preempt a master and no longer may, because its own priority fell or it has to wait, obeys what it heard
    /// of it as if it had done so then: the timer that runs is not that master's (not in the RFC, where priorities do not change).
    fn heed_after_all(&mut self, now: Instant, ours: Priority, out: &mut Vec<Action>) {
        let Some(PassedOver { at, priority, interval }) = self.passed_over else { return };
        if self.disregards(now, priority) {
            return;
        }
        self.passed_over = None;
        let heard_until = at + self.down_interval(interval, ours);
        match self.state {
            State::Backup { down_at, .. } if down_at < heard_until => self.listen_until(heard_until, interval),
            State::Elected { .. } if now < heard_until => {
                let reason = if priority > ours { Reason::HigherPriority } else { Reason::AnotherLeads };
                self.become_backup(heard_until, interval, reason, out);
            }
            State::Initialize | State::Backup { .. } | State::Elected { .. } => (),
            State::Master { .. } | State::Resigning { .. } => (),
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
    pub(super) const fn learned(&self, interval: AdverInterval) -> AdverInterval {
        match self.config.version {
            Version::V2 => self.config.interval,
            Version::V3 => interval,
        }
    }

    /// Backup of nobody yet, for a full down interval of its own.
    pub(super) fn listen_anew(&mut self, now: Instant, ours: Priority, reason: Reason, out: &mut Vec<Action>) {
        let interval = self.config.interval;
        self.become_backup(now + self.down_interval(interval, ours), interval, reason, out);
    }

    fn listen_until(&mut self, down_at: Instant, master_interval: AdverInterval) {
        self.state = State::Backup { down_at, master_interval };
    }

    pub(super) fn skew_time(&self, interval: AdverInterval, priority: Priority) -> Duration {
        interval.skew_time(self.config.version, priority)
    }

    pub(super) fn down_interval(&self, interval: AdverInterval, priority: Priority) -> Duration {
        interval.down_interval_of(self.config.down_adverts, self.config.version, priority)
    }

    // ---- The only places that change the role. ----

    /// Whatever was said of it before no longer counts: it takes part again when it is told its standing anew.
    pub(super) fn become_initialize(&mut self, reason: Reason, out: &mut Vec<Action>) {
        self.standing = Standing::Fault;
        self.fit_since = None;
        match self.state {
            State::Initialize => return,
            State::Master { .. } => out.push(Action::Send(None)),
            State::Backup { .. } | State::Elected { .. } | State::Resigning { .. } => (),
        }
        self.enter(State::Initialize, reason, out);
    }

    pub(super) fn become_backup(
        &mut self,
        down_at: Instant,
        master_interval: AdverInterval,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        self.enter(State::Backup { down_at, master_interval }, reason, out);
    }

    fn become_elected(
        &mut self,
        since: Instant,
        master_interval: AdverInterval,
        inherited: bool,
        out: &mut Vec<Action>,
    ) {
        self.inherited = inherited;
        let reason = if inherited { Reason::MasterResigned } else { Reason::MasterDown };
        self.enter(State::Elected { since, master_interval }, reason, out);
    }

    pub(super) fn become_master(
        &mut self,
        now: Instant,
        ours: Priority,
        listen: Duration,
        reason: Reason,
        out: &mut Vec<Action>,
    ) {
        out.push(Action::Send(Some(ours)));
        let adver_at = now + self.config.interval.as_duration();
        // Whoever held while it offered goes on holding.
        let hold_at = (!self.holds()).then_some(now + listen);
        self.answered_at = None;
        self.enter(State::Master { adver_at, hold_at }, reason, out);
        if hold_at.is_none() {
            out.push(Action::Announce);
        }
    }

    pub(super) fn become_resigning(
        &mut self,
        until: Instant,
        zero: Option<(usize, Instant)>,
        then: Then,
        out: &mut Vec<Action>,
    ) {
        let reason = match then {
            Then::Stop { .. } => Reason::Stopped,
            Then::Resume { .. } => Reason::Offered,
            Then::Follow { reason, .. } => reason,
        };
        self.enter(State::Resigning { until, zero, then }, reason, out);
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
