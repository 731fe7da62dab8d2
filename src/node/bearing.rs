//! What bears on an instance: link, addresses, policies, trouble of its own, an operator. Taken together they are its
//! standing.
//!
//! External references (R23): while only rules about them are down, a master offers the address instead of dropping it. If
//! nobody takes it, the trouble is everybody's and it goes on at the lowest priority; if no peer is reachable either, this
//! node is the isolated one. The same way a master offers whose rules are down where it is the last resort (R24).

use std::time::Duration;

use super::{
    course::{Course, reluctantly},
    instance::{Instance, Outbox},
    judgement::Opinion,
};
use crate::{
    vrrp::{Event, Standing, State, Then},
    wire::{Priority, Version},
    words::{Instant, InterfaceName, readable},
};

/// How long an instance is given to find what it needs of the machine before it is said to be in fault from the start.
pub(super) const SETTLED: Duration = Duration::from_secs(1);
/// How long after an offer that nobody took the next one is made.
const OFFER_AGAIN: Duration = Duration::from_secs(60);
/// What a resigning master waits beyond the longest skew (R16).
const MARGIN: Duration = Duration::from_millis(100);

/// Where a master stands with its offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Offer {
    /// None was made, or it is over.
    #[default]
    None,
    /// Made then.
    Made(Instant),
}

/// What a node is reluctant to let go of the address for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reluctance {
    /// Only external references are down (R23).
    External,
    /// It is the last resort (R24).
    LastResort,
}

/// What everything outside the protocol comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bearing {
    /// Must not take part. `name` is the condition, if it has one of its own.
    Fault { name: Option<&'static str>, why: String },
    /// Leave in order, then take no part.
    StandDown { name: Option<&'static str>, why: String },
    /// Rules are down, and it need not let go at once: it offers what it has.
    Reluctant { why: String, over: Reluctance },
    /// May not become master.
    Barred { name: &'static str, why: String },
    /// May serve with this priority.
    Fit(Priority),
}

/// Why an instance is in fault whose node is stopped in order.
pub const STOPPED: &str = "stopped by its operator";

impl Instance {
    /// What bears on it now, and on those that it leads together with: the worst holds for all.
    pub(super) fn bearing(&self, now: Instant) -> Bearing {
        self.pooled(now, self.own_bearing(now))
    }

    /// What bears on it alone.
    pub(super) fn own_bearing(&self, now: Instant) -> Bearing {
        if self.stopping {
            return Bearing::StandDown { name: None, why: STOPPED.to_owned() };
        }
        self.bearing_unless_stopped(now)
    }

    /// The same, whatever an operator wants.
    pub(super) fn bearing_unless_stopped(&self, now: Instant) -> Bearing {
        if let Some(until) = self.quiet_until.filter(|until| now < *until) {
            let up = readable(until.saturating_since(Instant::ZERO));
            let why =
                format!("this node takes no part until the machine has been up for {up} (start_delay, boot_delay)");
            return Bearing::Fault { name: Some("start_delay"), why };
        }
        if self.config.needs_equipment()
            && self.link.is_some()
            && let Some(why) = self.unequipped()
        {
            return Bearing::Fault { name: Some("waiting"), why };
        }
        if self.link.is_some() && self.addresses.is_none() {
            return Bearing::Fault { name: None, why: "the addresses of the interface are not known yet".to_owned() };
        }
        if let Some(why) = self.waiting_for() {
            return Bearing::Fault { name: Some("waiting"), why };
        }
        if !self.knows_all_places() {
            return Bearing::Fault { name: None, why: "the addresses of an interface are not known yet".to_owned() };
        }
        if let Some(trouble) = self.tenure.trouble(now) {
            return Bearing::Fault { name: Some(trouble.name), why: trouble.why.clone() };
        }
        Bearing::of(self.opinion(now), &self.config)
    }

    /// What its policies say and what it tracks comes to, taken together.
    pub(super) fn opinion(&self, now: Instant) -> Opinion {
        self.judgement.opinion(now, self.config.on_error).beside(self.tracked_opinion())
    }

    /// What of the machine is missing (R31).
    fn waiting_for(&self) -> Option<String> {
        let interface = &self.config.interface;
        let Some(link) = &self.link else {
            return Some(format!("interface {interface} does not exist; waiting for it"));
        };
        if !link.up && self.config.track_own_interface {
            return Some(format!("interface {interface} is down"));
        }
        if !link.carrier && self.config.track_own_interface {
            return Some(format!("interface {interface} has no carrier: cable, switch port or the machine's host"));
        }
        if let Some(of) = link.port_of.as_ref().filter(|_| self.config.track_own_interface) {
            return Some(port(interface, of));
        }
        if self.primary().is_none() {
            return Some(match self.config.source {
                Some(source) => format!("the source address {source} is not on {interface}; waiting for it"),
                None => format!("{interface} has no address of its own to advertise from; waiting for one"),
            });
        }
        self.device_waited_for()
    }

    /// Brings the state machine into line with what bears on it.
    pub(super) fn reassess(&mut self, now: Instant, out: &mut Outbox) {
        // Whoever woke too late has nothing to hand over, whatever it is told first (R10).
        self.wake(now, out);
        let bearing = self.bearing(now);
        let serves = self.router.serves();
        self.name_conditions(now, &bearing, out);
        self.name_weights(now, &bearing, out);
        if !matches!(bearing, Bearing::StandDown { .. }) {
            self.forget_farewell();
        }
        match bearing {
            Bearing::Fault { .. } => {
                self.offer = Offer::None;
                self.stand(now, Standing::Fault, out);
            }
            Bearing::StandDown { why, .. } if self.says_farewell(now, &why, out) || self.awaits_farewells() => {
                self.condition(now, "releasing", self.releasing(), out);
                return;
            }
            Bearing::StandDown { .. } => match self.router.state() {
                // It takes no new priority while it goes.
                State::Resigning { then: Then::Stop { .. }, .. } => (),
                State::Resigning { .. } | State::Master { .. } => self.resign(now, false, out),
                State::Initialize | State::Backup { .. } | State::Elected { .. } => {
                    self.stand(now, Standing::Fault, out);
                }
            },
            Bearing::Reluctant { why, over } => self.bear_reluctantly(now, &why, over, out),
            Bearing::Barred { .. } => {
                self.offer = Offer::None;
                let bids = if serves { self.last_fit } else { None };
                self.stand(now, Standing::Barred(bids.unwrap_or(self.config.priority)), out);
            }
            Bearing::Fit(priority) => {
                self.offer = Offer::None;
                self.last_fit = Some(priority);
                self.stand(now, Standing::Fit(priority), out);
            }
        }
        self.condition(now, "releasing", None, out);
    }

    fn bear_reluctantly(&mut self, now: Instant, why: &str, over: Reluctance, out: &mut Outbox) {
        let serves = match self.router.state() {
            State::Resigning { .. } => return,
            // It listens for a moment and holds then: what it does not hold it cannot offer, and whoever it relieves lets
            // go meanwhile.
            State::Master { hold_at: Some(_), .. } if !self.is_alone(now) => return,
            State::Master { .. } => true,
            State::Initialize | State::Backup { .. } | State::Elected { .. } => false,
        };
        let alone = self.is_alone(now);
        let course = reluctantly(&self.config, serves, alone);
        if serves && alone {
            self.offer = Offer::None;
            if over == Reluctance::External {
                let keeps = course == Course::Keep;
                let does = if keeps { "it keeps the address, as configured" } else { "it lets go of the address" };
                self.condition(now, "isolated", Some(isolated(why, does)), out);
            }
        }
        match course {
            Course::Out | Course::HandOver => self.stand(now, Standing::Fault, out),
            Course::Stay => self.stand(now, Standing::Barred(Priority::LOWEST), out),
            Course::Keep | Course::Bid(_) => self.stand(now, Standing::Fit(Priority::LOWEST), out),
            Course::Offer => match self.offer {
                Offer::Made(at) if now < at + OFFER_AGAIN => self.stand(now, Standing::Fit(Priority::LOWEST), out),
                Offer::None | Offer::Made(_) => {
                    self.offer = Offer::Made(now);
                    self.resign(now, true, out);
                    self.stand(now, Standing::Fit(Priority::LOWEST), out);
                }
            },
        }
    }

    /// No peer answers on the link nor is heard.
    fn is_alone(&self, now: Instant) -> bool {
        !self.peers.any_alive(now, self.down_interval())
    }

    /// When an offer may be repeated.
    pub(super) fn next_offer(&self) -> Option<Instant> {
        match (self.offer, self.router.state()) {
            (Offer::Made(at), State::Master { .. }) => Some(at + OFFER_AGAIN),
            (Offer::Made(_) | Offer::None, _) => None,
        }
    }

    pub(super) fn resign(&mut self, now: Instant, offer: bool, out: &mut Outbox) {
        self.tenure.renew_soon();
        self.step(now, Event::Resign { patience: self.patience(), offer }, out);
    }

    /// How long it holds while it hands over: the longest of its group.
    pub(super) fn patience(&self) -> Duration {
        self.own_patience().max(self.ties.patience)
    }

    /// The longest skew of whoever takes over, and a little more.
    pub(super) fn own_patience(&self) -> Duration {
        let longest_skew = match self.config.protocol.version() {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => self.interval(),
        };
        longest_skew + MARGIN
    }

    fn stand(&mut self, now: Instant, standing: Standing, out: &mut Outbox) {
        if self.router.standing() == standing {
            return;
        }
        let was_out = self.router.state() == State::Initialize;
        if let Some(to) = standing.priority().filter(|to| *to != self.bid) {
            let from = std::mem::replace(&mut self.bid, to);
            self.report(now, super::Event::Priority { from, to }, out);
        }
        self.step(now, Event::Standing(standing), out);
        if was_out && self.router.state() != State::Initialize {
            self.inherit_if_permitted(now, out);
        }
    }

    fn name_conditions(&mut self, now: Instant, bearing: &Bearing, out: &mut Outbox) {
        let (name, text) = match bearing {
            Bearing::Fault { name, why } | Bearing::StandDown { name, why } => (*name, why.clone()),
            Bearing::Barred { name, why } => (Some(*name), why.clone()),
            Bearing::Reluctant { why, over: Reluctance::LastResort } => (Some("last_resort"), why.clone()),
            Bearing::Reluctant { over: Reluctance::External, .. } | Bearing::Fit(_) => (None, String::new()),
        };
        for known in [
            "start_delay",
            "waiting",
            "maintenance",
            "starting",
            "policy_missing",
            "hold",
            "track_unknown",
            "last_resort",
            "address_vanishes",
            "cannot_send",
            "cannot_hold",
            super::group::CONDITION,
        ] {
            let text = (name == Some(known)).then(|| format!("{text}{}", consequence(known, self.router.serves())));
            self.condition(now, known, text, out);
        }
        let common = match (bearing, self.offer, self.router.state()) {
            (Bearing::Reluctant { why, over: Reluctance::External }, Offer::Made(_), State::Master { .. }) => {
                Some(format!(
                    "{why}; no peer is better off, so this node keeps the address at priority 1 and offers it again every \
                 minute. Look at what the rule probes, not at this node"
                ))
            }
            _ => None,
        };
        self.condition(now, "common_mode", common, out);
        if !matches!(bearing, Bearing::Reluctant { over: Reluctance::External, .. }) {
            self.condition(now, "isolated", None, out);
        }
    }

    /// Why it must not take part, for the transition.
    pub(super) fn why_unfit(&self, now: Instant) -> String {
        match self.bearing(now) {
            Bearing::Fault { why, .. }
            | Bearing::StandDown { why, .. }
            | Bearing::Reluctant { why, .. }
            | Bearing::Barred { why, .. } => why,
            Bearing::Fit(_) => "must not take part".to_owned(),
        }
    }
}

/// Why an interface is of no use that is a part of another one.
pub(super) fn port(interface: &InterfaceName, of: &str) -> String {
    format!(
        "{interface} is a port of {of}: what arrives there is {of}'s, and this node would hear nobody. Take it out \
         (ip link set {interface} nomaster), or move its addresses to {of} and write that as the interface"
    )
}

fn isolated(why: &str, consequence: &str) -> String {
    format!("{why}, and no peer is reachable either: this node is the isolated one; {consequence}")
}

/// What follows from a condition, for an operator.
fn consequence(name: &str, serves: bool) -> &'static str {
    match (name, serves) {
        ("starting" | "hold" | "track_unknown" | "policy_missing", true) => {
            "; this node keeps the address and its role meanwhile"
        }
        ("hold", false) => {
            "; this node does not take the address until that ends. A policy that cannot be evaluated: mend it (`ha check`), \
             or go back (`ha policy rollback`); if it is pinned (`ha policy list`), unpin it or pin another"
        }
        ("track_unknown", false) => {
            "; this node does not take the address until it is known. See that it is there and can be read, or write what its \
             absence means"
        }
        ("policy_missing", false) => "; this node does not take the address until the policy loads: see `ha check`",
        ("last_resort", true) => {
            "; this node is the last resort: it offers the address, and keeps it at priority 1 while no fit peer takes it"
        }
        ("last_resort", false) => {
            "; this node stands by at the lowest priority, and takes the address only if nobody else has it"
        }
        ("starting", false) => "; this node does not take the address before",
        ("address_vanishes", _) => "; this node stays away for a minute, then tries again",
        ("cannot_send" | "cannot_hold", _) => "; this node stays away for five seconds, then tries again",
        _ => "",
    }
}
