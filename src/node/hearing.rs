//! What an instance hears: the second half of the receive ladder (RFC 9568 section 7.1), and what a valid advertisement
//! means for it.

use std::{net::IpAddr, time::Duration};

use super::{
    Datagram,
    claim::Claim,
    instance::{Instance, Outbox},
    paths::Way,
    tenure::Wake,
};
use crate::{
    config::{Auth, Protocol, Transport},
    vrrp::{Event, Reason, Standing, State},
    wire::{AdverInterval, Advertisement, Decoded, HOP_LIMIT, Priority, Rejection, Version, decode},
    words::Instant,
};

impl Instance {
    /// A datagram with this instance's identifier arrived on its interface.
    pub(super) fn on_datagram(&mut self, now: Instant, datagram: Datagram<'_>, out: &mut Outbox) {
        let way = self.way_of(datagram.interface, datagram.destination);
        let peer = self.sender(way, datagram.source);
        match self.admit(now, way, datagram, out) {
            Ok(mut adv) => {
                self.counters.received += 1;
                if way == Way::Primary {
                    self.heard_foreign();
                }
                if self.heard_on(now, way, peer) {
                    self.compare_addresses(now, peer, &adv, out);
                    adv.interval = self.waits_for(peer, adv.interval);
                    self.on_advertisement(now, way, peer, &adv, out);
                }
            }
            Err(rejection) => self.on_rejection(now, way, peer, rejection, out),
        }
        self.name_peers(now, out);
    }

    fn admit(
        &mut self,
        now: Instant,
        way: Way,
        datagram: Datagram<'_>,
        out: &mut Outbox,
    ) -> Result<Advertisement, Rejection> {
        let Datagram { source, destination, hop_limit, payload, .. } = datagram;
        if self.is_own(source) {
            return Err(Rejection::OwnSource);
        }
        let (transport, group, ttl, known) = match self.path(way) {
            None => {
                let of = &self.config;
                // In multicast a sender that is not named takes part as well, unless it is a peer by another way's address.
                let multicast = of.transport == Transport::Multicast && self.peer_by_path(source).is_none();
                (of.transport, of.group(), of.min_ttl..=of.max_ttl, multicast || of.peers.contains(&source))
            }
            Some(path) => {
                let ttl = path.min_ttl..=path.max_ttl;
                (path.transport, path.group(self.config.family), ttl, path.peers.contains(&source))
            }
        };
        match transport {
            Transport::Multicast if destination != group => return Err(Rejection::Destination),
            Transport::Multicast if hop_limit != HOP_LIMIT => return Err(Rejection::HopLimit),
            Transport::Unicast if destination.is_multicast() => return Err(Rejection::Destination),
            Transport::Unicast if !ttl.contains(&hop_limit) => return Err(Rejection::HopLimit),
            Transport::Multicast | Transport::Unicast if !known => return Err(Rejection::NotAPeer),
            Transport::Multicast | Transport::Unicast => (),
        }
        let decoded = decode(source, destination, payload)?;
        if decoded.version != self.config.protocol.version() {
            return Err(Rejection::Version);
        }
        self.admit_signed(now, way, source, payload, out)?;
        match &self.config.protocol {
            Protocol::V2(auth) => self.admit_v2(&decoded, auth)?,
            Protocol::V3(_) => self.checksum_heard = Some(decoded.checksum),
        }
        Ok(decoded.advertisement)
    }

    /// Version 2 demands what version 3 adopts or only logs (RFC 3768 section 7.1).
    fn admit_v2(&self, decoded: &Decoded, auth: &Auth) -> Result<(), Rejection> {
        let password = match auth {
            Auth::None => None,
            Auth::Pass(password) => Some(password),
            Auth::Secret(_) => return Err(Rejection::AuthData),
        };
        decoded.auth.admit(password)?;
        let adv = &decoded.advertisement;
        if adv.interval != self.config.advertise {
            return Err(Rejection::Interval);
        }
        let from_owner = adv.priority.is_some_and(Priority::is_owner);
        if !from_owner && !self.serves_exactly(&adv.addresses) {
            return Err(Rejection::AddressList);
        }
        Ok(())
    }

    /// The order does not matter.
    fn serves_exactly(&self, addresses: &[IpAddr]) -> bool {
        let ours = self.virtual_addresses();
        ours.len() == addresses.len() && ours.iter().all(|address| addresses.contains(address))
    }

    fn on_rejection(&mut self, now: Instant, way: Way, source: IpAddr, rejection: Rejection, out: &mut Outbox) {
        *self.counters.discarded.entry(rejection).or_default() += 1;
        if rejection == Rejection::OwnSource {
            let text = format!(
                "an advertisement for virtual router {} came from {source}, an address of this machine: another daemon \
                 here, or a loop in the network. Stop one of the two",
                self.config.vrid
            );
            self.condition_until(now + self.down_interval() * 2, "duplicate_source", text, now, out);
        } else if rejection.is_of_hmac() && self.is_heard_on(now, way, source) {
            self.suspect(now, source, rejection, out);
        } else if self.rejected_on(now, way, source, rejection) {
            // Heard elsewhere: that is a matter of this way.
        } else if rejection.means_unusable_peer() {
            // Rejected is not silent (R2): somebody is there, and the claim will see whether it holds the address.
            if way == Way::Primary {
                self.heard_foreign();
            }
            self.peers.rejected(now, source, rejection);
            self.yield_if_lapsed(now, out);
            self.doubt_the_rejected(now);
        } else if rejection == Rejection::NotAPeer
            || (rejection.means_unheard_peer() && self.peers.is_configured(source))
        {
            self.peers.rejected(now, source, rejection);
            self.doubt_the_rejected(now);
        }
    }

    /// What a peer says cannot be used, so nothing decides between it and this master: whether it holds the address as well, its
    /// machine is asked (R2, R19b). Only where whoever yields asks before it takes again: else the two would change for ever.
    pub(super) fn doubt_the_rejected(&mut self, now: Instant) {
        let asks =
            matches!(self.router.state(), State::Master { .. }) && self.claims() && !self.config.priority.is_owner();
        if !asks || self.rivals.is_in_doubt(now) {
            return;
        }
        let rejected = self.peers.unusable(now, self.down_interval() * 2);
        let sources = rejected.iter().map(|(source, _)| *source).filter(|source| !self.peers.is_stranger(*source));
        if let Some(mac) = sources.filter_map(|source| self.peers.mac_of(source)).next() {
            self.rivals.suspect(now, mac);
        }
    }

    /// Version 3 believes a sender that serves other addresses (RFC 9568, 7.1); whoever looks after the two is told. The
    /// other half may be less generous: keepalived up to 2.3.2 drops such advertisements.
    fn compare_addresses(&mut self, now: Instant, source: IpAddr, adv: &Advertisement, out: &mut Outbox) {
        if self.config.protocol.version() == Version::V2 || self.serves_exactly(&adv.addresses) {
            return;
        }
        let theirs = adv.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "{source} serves {theirs}, which is not the list of this node: it is heard, and a takeover changes what clients \
             find. Write the same addresses on every node"
        );
        self.condition_until(now + self.down_interval() * 2, "peer_differs", text, now, out);
    }

    /// With which interval its sender is waited for. Nobody of this pair is whoever is none of the named peers: it is waited for no
    /// longer than a master with this node's own interval (RFC 9568, 6.4.2, adopts whatever is said, up to 40.95 s).
    fn waits_for(&self, source: IpAddr, theirs: AdverInterval) -> AdverInterval {
        if self.peers.is_stranger(source) { theirs.min(self.config.advertise) } else { theirs }
    }

    /// Somebody else is there, and this master has not advertised for a lease: the other may have taken the address (R10).
    pub(super) fn yield_if_lapsed(&mut self, now: Instant, out: &mut Outbox) -> bool {
        let late = self.tenure.wake(now) != Wake::InTime || self.tenure.may_be_replaced(now);
        let lapsed = self.router.serves() && late;
        if lapsed {
            self.counters.lease_lapsed += 1;
            self.step(now, Event::Yield(Reason::LeaseLapsed), out);
        }
        lapsed
    }

    fn on_advertisement(&mut self, now: Instant, way: Way, source: IpAddr, adv: &Advertisement, out: &mut Outbox) {
        self.peers.heard(now, source, adv);
        let was_master = self.master;
        let heard_in_time = self.is_waited_for(now);
        match adv.priority {
            Some(_) => {
                self.alive_heard_at = Some(now);
                self.permitted_at = None;
                self.rivals.forget_who_went_first();
            }
            // Permission comes from the master last heard, while its timer runs (R17).
            None if was_master == Some(source) && heard_in_time => self.permitted_at = Some(now),
            None => (),
        }
        self.yield_if_lapsed(now, out);
        if adv.priority.is_some() && self.is_ahead(source, adv) {
            self.master = Some(source);
        }
        let wins_tie = self.primary().is_some_and(|ours| source > ours);
        if self.is_lower(adv, wins_tie) {
            self.mind_the_deaf(now, way, source, adv, out);
        }
        if let Some(theirs) = adv.priority {
            let listens = matches!(self.router.state(), State::Backup { .. } | State::Elected { .. });
            self.lower_heard_at = (listens && self.router.disregards(now, theirs)).then_some(now);
        }
        self.step(now, Event::Advertisement { adv, wins_tie }, out);
        if matches!(self.router.state(), State::Backup { .. }) {
            self.silent_since = None;
            if adv.priority.is_some() {
                // A new silence is looked at anew (R4).
                self.claim = Claim::default();
            }
        }
        self.inherit_if_permitted(now, out);
        self.unsettled = true;
    }

    /// The one to be followed: whoever is obeyed, or advertises to a backup.
    fn is_ahead(&self, source: IpAddr, adv: &Advertisement) -> bool {
        match self.router.state() {
            State::Master { .. } => {
                let ours = self.router.standing().priority();
                adv.priority > ours || (adv.priority == ours && self.primary().is_some_and(|primary| source > primary))
            }
            State::Initialize | State::Backup { .. } | State::Elected { .. } | State::Resigning { .. } => true,
        }
    }

    /// The down timer of a heard master still runs.
    pub(super) fn is_waited_for(&self, now: Instant) -> bool {
        self.alive_heard_at.is_some_and(|at| now <= at + self.down_interval())
    }

    /// The master resigned, and this node is its only heir (R17): no skew time, which would order several.
    pub(super) fn inherit_if_permitted(&mut self, now: Instant, out: &mut Outbox) {
        let fit = matches!(self.router.standing(), Standing::Fit(_));
        let waits = matches!(self.router.state(), State::Backup { .. } | State::Elected { .. });
        if self.is_permitted(now) && fit && self.peers.sole() && waits {
            self.step(now, Event::Inherit, out);
            self.unsettled = true;
        }
    }

    /// The master resigned within the last down interval, and nobody advertised since.
    pub(super) fn is_permitted(&self, now: Instant) -> bool {
        self.permitted_at.is_some_and(|at| now <= at + self.down_interval())
    }

    /// From when that counts no more, if it does now.
    pub(super) fn leave_ends(&self, now: Instant) -> Option<Instant> {
        let ends = self.permitted_at.filter(|_| self.is_permitted(now));
        ends.map(|at| at + self.down_interval() + Duration::from_nanos(1))
    }

    /// What the peers' advertisements say of the pair's configuration, as conditions.
    pub(super) fn name_peers(&mut self, now: Instant, out: &mut Outbox) {
        let within = self.down_interval() * 2;
        let unusable = self.peers.unusable(now, within);
        let text = (!unusable.is_empty()).then(|| {
            let each =
                unusable.iter().map(|(address, why)| format!("peer {address} seen, rejected: {}", why.sentence()));
            format!(
                "{}. The two nodes do not understand each other: compare their configurations with `ha check A B`",
                each.collect::<Vec<_>>().join("; ")
            )
        });
        self.condition(now, "peer_rejected", text, out);
        let strangers = self.peers.strangers();
        let text = (!strangers.is_empty()).then(|| {
            let each = strangers.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
            format!("{each} takes part in this virtual router and is not in `peers`: this node no longer acts as the only heir")
        });
        self.condition(now, "more_nodes_than_configured", text, out);
    }

    /// How long a new master listens for a rival before it holds (R36).
    pub(super) fn listen_time(&self) -> Duration {
        (self.interval() / 20).min(Duration::from_millis(2))
    }

    /// The first moment from which silence is unusual: an advertisement and a half is missing (R6).
    pub(super) fn missed_at(&self) -> Option<Instant> {
        match self.router.state() {
            State::Backup { down_at, master_interval } => {
                let down = self.down_interval();
                Some(down_at - down + master_interval.as_duration() * 3 / 2)
            }
            State::Elected { since, master_interval } => {
                Some(since - self.down_interval() + master_interval.as_duration() * 3 / 2)
            }
            State::Initialize | State::Master { .. } | State::Resigning { .. } => None,
        }
    }

    /// The version, for those who print it.
    pub(super) const fn version_number(&self) -> u8 {
        match self.config.protocol.version() {
            Version::V2 => 2,
            Version::V3 => 3,
        }
    }
}
