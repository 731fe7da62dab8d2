//! One virtual router of this machine and everything that bears on it.
//!
//! Here: what it is made of, how an event of the protocol becomes outputs, and its conditions. What it hears, how it looks
//! before it takes, what bears on its standing and what time does to it have files of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    AddressSeen, Ask, Condition, Event as Happening, Hold, Journal, Lifetime, LinkSeen, Output, Pace, Role,
    alerts::Alerts,
    bearing::{Bearing, Offer},
    claim::Claim,
    devices::Device,
    farewell::Farewell,
    group::Ties,
    judgement::Judgement,
    paths::Paths,
    peers::Peers,
    reload::router_config,
    rivals::Rivals,
    signing::Signing,
    strays::Strays,
    tenure::Tenure,
    tracks::Seen,
    untracked::Hearers,
    vote::Vote,
};
use crate::{
    config::{self, lease_length},
    policy::Report,
    vrrp::{Action, Announcer, Event, Reason, State, VirtualRouter},
    wire::{AdverInterval, ChecksumForm, Priority, Rejection},
    words::{Family, Instant, InterfaceName},
};

/// Where outputs go.
pub(super) type Outbox = VecDeque<Output>;

/// See the module.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) config: config::Instance,
    pub(super) router: VirtualRouter,
    pub(super) link: Option<LinkSeen>,
    /// Since when the link has a carrier, and whether a foreign frame was seen since then (R4).
    pub(super) carrier_since: Option<Instant>,
    pub(super) foreign_frame: bool,
    pub(super) addresses: Option<Vec<AddressSeen>>,
    /// Whether what it needs of the machine beside its interface is there; `None` until that is known.
    pub(super) equipped: Option<Result<(), String>>,
    /// The other interfaces that have addresses of it.
    pub(super) devices: BTreeMap<InterfaceName, Device>,
    /// The virtual addresses of every instance of this node that does not own them: none of them is a source.
    pub(super) virtual_here: Arc<BTreeMap<IpAddr, usize>>,
    /// Owner and native (R14): the addresses are this machine's own, never leased, never removed.
    pub(super) native: bool,
    /// The process has just started: a predecessor may have been master a moment ago (R13).
    pub(super) adopts: bool,
    pub(super) peers: Peers,
    pub(super) peers_asked_at: Option<Instant>,
    pub(super) judgement: Judgement,
    /// What is tracked, as it is.
    pub(super) seen_tracked: Seen,
    /// It takes no part before.
    pub(super) quiet_until: Option<Instant>,
    pub(super) alerts: Alerts,
    /// When it is said that it is in fault from the start.
    pub(super) unsaid_until: Option<Instant>,
    /// It has not been told the time yet.
    pub(super) is_new: bool,
    /// The priority that it bid last, or would have.
    pub(super) bid: Priority,
    pub(super) pace: Pace,
    pub(super) tenure: Tenure,
    /// What is here although it must not be.
    pub(super) strays: Strays,
    /// Whether anybody on the own link hears it, where that is no fault.
    pub(super) hearers: Hearers,
    pub(super) claim: Claim,
    pub(super) rivals: Rivals,
    pub(super) announcer: Announcer,
    pub(super) offer: Offer,
    /// What is to be done before a planned release.
    pub(super) farewell: Farewell,
    pub(super) stopping: bool,
    /// What it holds is left to the process after this one.
    pub(super) left: bool,
    /// What the others of its group come to.
    pub(super) ties: Ties,
    /// Something was heard that may decide a takeover.
    pub(super) unsettled: bool,
    /// Since when packets have been waiting unread.
    pub(super) behind_since: Option<Instant>,
    /// The last master heard, until it is followed by another or resigns twice.
    pub(super) master: Option<IpAddr>,
    /// The last valid advertisement that was not a resignation.
    pub(super) alive_heard_at: Option<Instant>,
    /// When a peer's machine last answered for the addresses, for whoever listens and has a witness.
    pub(super) holder_seen_at: Option<Instant>,
    /// When the silence first elected it. Letting a rival go first (R19c) does not end a silence.
    pub(super) silent_since: Option<Instant>,
    /// The last one that did not restart the down timer: a lower master is about to be preempted (R3).
    pub(super) lower_heard_at: Option<Instant>,
    /// The master resigned, and nobody advertised since.
    pub(super) permitted_at: Option<Instant>,
    pub(super) signing: Signing,
    pub(super) paths: Paths,
    pub(super) vote: Vote,
    pub(super) checksum_heard: Option<ChecksumForm>,
    pub(super) last_fit: Option<Priority>,
    pub(super) counters: Counters,
    conditions: BTreeMap<&'static str, String>,
    /// When conditions end by themselves that are known only from what was seen.
    expiry: BTreeMap<&'static str, Instant>,
    role: RoleRecord,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: u64,
    pub(super) unheard: u64,
    pub(super) received: u64,
    pub(super) transitions: u64,
    pub(super) lease_lapsed: u64,
    pub(super) discarded: BTreeMap<Rejection, u64>,
}

/// The public role, since when, and why.
#[derive(Debug)]
struct RoleRecord {
    role: Role,
    since: Instant,
    reason: String,
}

impl Instance {
    pub(super) fn new(now: Instant, config: config::Instance, virtual_here: Arc<BTreeMap<IpAddr, usize>>) -> Self {
        let interval = config.advertise.as_duration();
        let mut judgement = Judgement::new(&config.policies);
        judgement.weigh(&config.policy_weights);
        Self {
            router: VirtualRouter::new(router_config(&config)),
            link: None,
            carrier_since: None,
            foreign_frame: false,
            addresses: None,
            equipped: None,
            devices: BTreeMap::new(),
            virtual_here,
            native: false,
            adopts: false,
            peers: Peers::new(&config.peers),
            peers_asked_at: None,
            judgement,
            seen_tracked: Seen::default(),
            quiet_until: None,
            alerts: Alerts::default(),
            unsaid_until: Some(now + super::bearing::SETTLED),
            is_new: true,
            bid: config.priority,
            pace: Pace::Normal,
            tenure: Tenure::new(lease_length(&config, None)),
            strays: Strays::default(),
            hearers: Hearers::default(),
            claim: Claim::default(),
            rivals: Rivals::new(interval),
            announcer: Announcer::new(config.announce),
            offer: Offer::default(),
            farewell: Farewell::default(),
            stopping: false,
            left: false,
            ties: Ties::default(),
            unsettled: false,
            behind_since: None,
            master: None,
            alive_heard_at: None,
            holder_seen_at: None,
            silent_since: None,
            lower_heard_at: None,
            permitted_at: None,
            signing: Signing::default(),
            paths: Paths::default(),
            vote: Vote::default(),
            checksum_heard: None,
            last_fit: None,
            counters: Counters::default(),
            conditions: BTreeMap::new(),
            expiry: BTreeMap::new(),
            role: RoleRecord { role: Role::Fault, since: now, reason: "starting".to_owned() },
            config,
        }
    }

    pub(super) fn role(&self) -> Role {
        self.role.role
    }

    pub(super) const fn since(&self) -> Instant {
        self.role.since
    }

    pub(super) fn reason(&self) -> &str {
        &self.role.reason
    }

    pub(super) fn conditions(&self) -> Vec<Condition> {
        self.conditions.iter().map(|(name, text)| Condition { name, text: text.clone() }).collect()
    }

    /// This instance takes no part any more, and holds nothing that is still its own.
    pub(super) fn is_stopped(&self) -> bool {
        self.left || self.stopping && self.router.state() == State::Initialize
    }

    /// Master, and the addresses are here.
    pub(super) const fn leads(&self) -> bool {
        matches!(self.router.state(), State::Master { hold_at: None, .. })
    }

    pub(super) fn interval(&self) -> Duration {
        self.config.advertise.as_duration()
    }

    /// How long a silent master is waited for, with the interval it last advertised.
    pub(super) fn down_interval(&self) -> Duration {
        let interval = self.master_interval();
        let priority = self.router.standing().priority().unwrap_or(self.config.priority);
        interval.down_interval_of(self.config.down_adverts, self.config.protocol.version(), priority)
    }

    pub(super) fn master_interval(&self) -> AdverInterval {
        match self.router.state() {
            State::Backup { master_interval, .. } | State::Elected { master_interval, .. } => master_interval,
            State::Initialize | State::Master { .. } | State::Resigning { .. } => self.config.advertise,
        }
    }

    // ---- The addresses of the interface ----

    /// Those that are advertised, bare, in the order of the advertisement.
    pub(super) fn virtual_addresses(&self) -> Vec<IpAddr> {
        self.config.addresses.iter().map(IpNet::addr).collect()
    }

    pub(super) fn is_virtual(&self, address: IpAddr) -> bool {
        self.config.held_addresses().any(|net| net.addr() == address)
    }

    /// Whether the addresses are this machine's own. What was put there since it serves is not.
    pub(super) fn addresses_are_native(&self) -> bool {
        let unmarked = |net: &IpNet| {
            let seen = self.seen_on(self.config.device_of(net));
            seen.iter().any(|seen| seen.address.addr() == net.addr() && !seen.marked)
        };
        self.config.priority.is_owner()
            && self.config.held_addresses().all(unmarked)
            && (self.native || !self.router.serves())
    }

    pub(super) fn seen(&self) -> &[AddressSeen] {
        self.addresses.as_deref().unwrap_or_default()
    }

    /// The address advertisements come from (R12): the configured one, else the first of the interface's own that is not
    /// virtual; over IPv6 a link-local one.
    pub(super) fn primary(&self) -> Option<IpAddr> {
        let eligible = |address: IpAddr| {
            Family::of(address) == self.config.family
                && (self.native || !self.is_virtual(address))
                && !self.virtual_here.contains_key(&address)
                && match address {
                    IpAddr::V4(_) => true,
                    IpAddr::V6(v6) => v6.is_unicast_link_local(),
                }
        };
        let usable = self.seen().iter().filter(|seen| seen.usable).map(|seen| seen.address.addr());
        match self.config.source {
            Some(source) => usable.into_iter().find(|address| *address == source),
            None => usable.into_iter().find(|address| eligible(*address)),
        }
    }

    /// Takes one event of the protocol and performs what follows.
    pub(super) fn step(&mut self, now: Instant, event: Event<'_>, out: &mut Outbox) {
        let mut actions = Vec::new();
        self.router.handle(now, event, &mut actions);
        for action in actions {
            self.perform(now, action, out);
        }
    }

    fn perform(&mut self, now: Instant, action: Action, out: &mut Outbox) {
        match action {
            Action::Send(priority) => self.transmit(now, priority, out),
            Action::Hold => {
                self.tenure.begin(now);
                self.hold(now, out);
            }
            Action::Release => {
                self.tenure.end();
                self.announcer.stop();
                self.release(out);
            }
            Action::Announce => {
                self.announcer.start(now);
                self.announce_if_due(now, out);
            }
            Action::AnnounceAgain => {
                self.announcer.start_again(now);
                self.announce_if_due(now, out);
            }
            Action::Became(state, reason) => self.became(now, state, reason, out),
        }
    }

    fn became(&mut self, now: Instant, state: State, reason: Reason, out: &mut Outbox) {
        let role = match state {
            State::Initialize => Role::Fault,
            State::Backup { .. } | State::Elected { .. } => Role::Backup,
            State::Master { .. } | State::Resigning { .. } => Role::Master,
        };
        match state {
            State::Backup { .. } | State::Initialize => {
                self.claim = Claim::default();
                self.rivals.forget();
                self.tenure.end();
                // Somebody is followed: what was silent is not.
                if matches!(reason, Reason::HigherPriority | Reason::AnotherLeads) {
                    self.silent_since = None;
                }
            }
            State::Master { .. } => {
                self.claim = Claim::default();
                self.rivals.forget_who_went_first();
                self.permitted_at = None;
                // Keepalived's timer begins anew with every advertisement that it drops: it may not speak again.
                self.doubt_the_rejected(now);
            }
            State::Elected { .. } | State::Resigning { .. } => (),
        }
        self.unsaid_until = None;
        let from = self.role.role;
        if from == role {
            return;
        }
        if from == Role::Master {
            self.strays.let_go(now);
        }
        let reason = self.explain(now, reason);
        self.need_not_listen(role);
        self.role = RoleRecord { role, since: now, reason: reason.clone() };
        self.counters.transitions += 1;
        self.report(now, Happening::Transition { from, to: role, reason }, out);
    }

    /// In fault since it began: nothing else would say so.
    pub(super) fn tell_of_fault_from_the_start(&mut self, now: Instant, out: &mut Outbox) {
        if self.unsaid_until.take_if(|until| *until <= now).is_some()
            && let Bearing::Fault { why, .. } = self.bearing(now)
        {
            self.role.reason.clone_from(&why);
            self.report(now, Happening::Transition { from: Role::Fault, to: Role::Fault, reason: why }, out);
        }
    }

    pub(super) fn report(&self, now: Instant, event: Happening, out: &mut Outbox) {
        out.push_back(Output::Report(Journal { at: now, instance: self.config.name.clone(), event }));
    }

    /// A policy was evaluated.
    pub(super) fn judged(&mut self, now: Instant, report: Report, out: &mut Outbox) {
        if self.judgement.knows(&report.policy) {
            for event in self.alerts.follow(&report) {
                self.report(now, event, out);
            }
        }
        self.judgement.said(report);
    }

    pub(super) fn note(&self, now: Instant, text: String, out: &mut Outbox) {
        self.report(now, Happening::Note(text), out);
    }

    /// With which text a condition is so.
    pub(super) fn said(&self, name: &str) -> Option<&str> {
        self.conditions.get(name).map(String::as_str)
    }

    /// A condition is so (with this text) or is not. Only a change of that is reported.
    pub(super) fn condition(&mut self, now: Instant, name: &'static str, text: Option<String>, out: &mut Outbox) {
        match text {
            Some(text) => {
                if self.conditions.insert(name, text.clone()).is_none() {
                    self.report(now, Happening::Raised(Condition { name, text }), out);
                }
            }
            None => {
                if let Some(text) = self.conditions.remove(name) {
                    self.report(now, Happening::Cleared(Condition { name, text }), out);
                }
            }
        }
    }

    /// It has gone, and with it what was wrong with it.
    pub(super) fn end_conditions(&mut self, now: Instant, out: &mut Outbox) {
        for (name, text) in std::mem::take(&mut self.conditions) {
            self.report(now, Happening::Cleared(Condition { name, text }), out);
        }
    }

    /// A condition is so, and is taken for ended at `until` unless it is seen again.
    pub(super) fn condition_until(
        &mut self,
        until: Instant,
        name: &'static str,
        text: String,
        now: Instant,
        out: &mut Outbox,
    ) {
        self.expiry.insert(name, until);
        self.condition(now, name, Some(text), out);
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiry.values().min().copied()
    }

    pub(super) fn expire_conditions(&mut self, now: Instant, out: &mut Outbox) {
        let ended: Vec<&'static str> =
            self.expiry.iter().filter(|(_, at)| **at <= now).map(|(name, _)| *name).collect();
        for name in ended {
            self.expiry.remove(name);
            self.condition(now, name, None, out);
        }
    }

    // ---- Outputs ----

    /// Makes the kernel hold the addresses, or renews their lease; not where the witness does not vouch for it. Whether it did.
    pub(super) fn hold(&mut self, now: Instant, out: &mut Outbox) -> bool {
        if self.native {
            self.set_routes(now, out);
            return true;
        }
        let renews_until = self.renews_until(now);
        if renews_until.is_some_and(|until| until < now) {
            return false;
        }
        self.tenure.renewed(now);
        for release in self.to_be_held() {
            out.push_back(Output::Hold(Hold {
                manners: self.config.manners.clone(),
                lifetime: self.tenure.planned().length.map_or(Lifetime::Forever, Lifetime::For),
                not_after: Some(renews_until.unwrap_or(Instant::MAX).min(now + self.interval())),
                ..release
            }));
        }
        self.set_routes(now, out);
        true
    }

    pub(super) fn release(&self, out: &mut Outbox) {
        self.drop_routes(out);
        if self.native {
            return;
        }
        out.extend(self.releases().into_iter().map(Output::Hold));
    }

    pub(super) fn ask(&self, target: IpAddr, source: Option<IpAddr>, to: Option<crate::words::MacAddr>) -> Output {
        let interface = self.place_of(target).unwrap_or(&self.config.interface).clone();
        Output::Ask(Ask { interface, target, source, to })
    }

    /// How often the policies are evaluated from now on; told only when it changes.
    pub(super) fn set_pace(&mut self, pace: Pace, out: &mut Outbox) {
        if self.pace != pace && !self.judgement.is_empty() {
            self.pace = pace;
            out.push_back(Output::Judge { instance: self.config.name.clone(), pace });
        }
    }
}
