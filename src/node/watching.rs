//! What an instance sees on the link: who answers for its addresses, a second holder (R19b, R19d), a rival (R19c).

use std::{net::IpAddr, time::Duration};

use super::{
    NeighborFrame,
    claim::{Claim, spacing},
    instance::{Instance, Outbox},
    peers::Peers,
    rivals::Evidence,
};
use crate::{
    config::{self, OnConflict, Preference},
    vrrp::{Event, Reason, State},
    wire::NeighborKind,
    words::{Family, Instant, InterfaceName, MacAddr},
};

/// How long a stranger that answered for an address is spoken of.
pub(super) const CONFLICT_REMEMBERED: Duration = Duration::from_secs(60);

impl Instance {
    /// A frame of ARP or neighbour discovery was seen on this instance's interface. `asked_at`: when somebody on this machine asked
    /// what it answers, at the earliest.
    pub(super) fn on_neighbor(
        &mut self,
        now: Instant,
        frame: &NeighborFrame,
        asked_at: Option<Instant>,
        out: &mut Outbox,
    ) {
        let own = self.link.as_ref().and_then(|link| link.mac);
        if Some(frame.source_mac) == own || Some(frame.mac) == own {
            return;
        }
        // Whoever holds the addresses has this one: it says nothing of a second holder, whose advertisements do (R19).
        if Some(frame.mac) == self.config.mac() && matches!(self.router.state(), State::Master { .. }) {
            return;
        }
        self.heard_foreign();
        match frame.kind {
            NeighborKind::Request { sender, .. } => {
                self.peers.asks(now, sender);
                self.speaks_for(now, sender, frame.mac, false, out);
            }
            NeighborKind::Reply { address } => {
                if let Some(asked_at) = asked_at {
                    self.peers.replied(asked_at, address);
                }
                self.speaks_for(now, address, frame.mac, true, out);
            }
            NeighborKind::Announcement { address } => {
                let answers = self.config.family == Family::V6;
                self.speaks_for(now, address, frame.mac, answers, out);
                if self.place_of(address) == Some(&self.config.interface)
                    && matches!(self.router.state(), State::Resigning { .. })
                {
                    self.step(now, Event::Relieved, out);
                }
            }
            NeighborKind::Probe { target } => {
                if self.place_of(target) == Some(&self.config.interface) && self.may_be_a_peer(frame.mac) {
                    self.rival_claims(now, frame.mac, own, out);
                }
            }
        }
        self.unsettled = true;
    }

    /// The first word of somebody else since the link came up: what was asked before may not have left the port (R4).
    pub(super) fn heard_foreign(&mut self) {
        if !self.foreign_frame {
            self.foreign_frame = true;
            self.claim = Claim::default();
        }
    }

    /// `mac` says that it has `address`. `answers`: because it was asked.
    fn speaks_for(&mut self, now: Instant, address: IpAddr, mac: MacAddr, answers: bool, out: &mut Outbox) {
        self.peers.seen(now, address, mac);
        if self.place_of(address) != Some(&self.config.interface) {
            return;
        }
        match self.router.state() {
            State::Backup { .. } | State::Elected { .. } => {
                self.paths.answered(now);
                self.see_a_holder(now, self.may_be_a_peer(mac));
                if answers && self.claim.is_running() && self.claim.answered(now, mac) {
                    // Two, for one may be lost.
                    out.extend([self.ask(address, None, Some(mac)), self.ask(address, None, Some(mac))]);
                }
            }
            State::Master { hold_at: None, .. } => self.second_holder(now, address, mac, answers, out),
            State::Initialize | State::Master { .. } | State::Resigning { .. } => (),
        }
    }

    /// Somebody speaks for an address that we hold.
    fn second_holder(&mut self, now: Instant, address: IpAddr, mac: MacAddr, answers: bool, out: &mut Outbox) {
        if self.yield_if_lapsed(now, out) {
            return;
        }
        if !self.may_be_a_peer(mac) {
            return self.defend(now, address, stranger(address, mac), out);
        }
        self.weigh_second_holder(now, address, mac, answers, out);
    }

    /// The same on another interface, where a machine is a peer's unless it is known that it is not.
    pub(super) fn second_holder_beside(
        &mut self,
        now: Instant,
        interface: &InterfaceName,
        address: IpAddr,
        mac: MacAddr,
        answers: bool,
        out: &mut Outbox,
    ) {
        if self.yield_if_lapsed(now, out) {
            return;
        }
        if !may_be_a_peer_beside(&self.peers, &self.config, interface, mac) {
            return self.defend(now, address, stranger(address, mac), out);
        }
        // By the time the suspect is asked again it is known who the others are.
        self.ask_peers_beside(interface, out);
        self.weigh_second_holder(now, address, mac, answers, out);
    }

    /// It may be a peer's machine. `answers`: because it was asked.
    fn weigh_second_holder(&mut self, now: Instant, address: IpAddr, mac: MacAddr, answers: bool, out: &mut Outbox) {
        if self.config.on_conflict == OnConflict::Steal && !self.is_waited_for(now) {
            return self.defend(now, address, stolen(address, mac), out);
        }
        // What a machine sends by itself does not show that it can be reached (R25).
        let answers = answers || self.config.prefer == Preference::Safety;
        // Where advertisements are heard, they decide.
        if !self.rivals.lower_is_heard(now) && self.rivals.second_seen(now, mac, answers) == Evidence::Confirmed {
            if let Some((source, pause)) = self.peers.at_mac(mac).zip(self.rivals.second_is_deaf(now)) {
                return self.yield_to_the_deaf(now, source, pause, out);
            }
            self.note(now, format!("{mac} answers for {address} as well, a peer's machine: this node yields"), out);
            self.step(now, Event::Yield(Reason::SecondHolder), out);
        }
    }

    /// Says once that the address is here (RFC 5227, 2.4).
    fn defend(&mut self, now: Instant, address: IpAddr, text: String, out: &mut Outbox) {
        if self.may_announce() && self.rivals.defend(now) {
            self.announce(vec![address], out);
            self.condition_until(now + CONFLICT_REMEMBERED, "address_conflict", text, now, out);
        }
    }

    fn may_be_a_peer(&self, mac: MacAddr) -> bool {
        may_be_a_peer(&self.peers, &self.config, mac)
    }

    /// Another backup claims at the same moment (R19c). Whoever has not asked yet lets it go first; of two that have, the
    /// lower link-layer address does; each once in a silence.
    pub(super) fn rival_claims(&mut self, now: Instant, mac: MacAddr, own: Option<MacAddr>, out: &mut Outbox) {
        if self.claim.is_contested() {
            return;
        }
        let spacing = spacing(self.down_interval());
        let goes_first = if self.claim.is_running() {
            own.is_some_and(|own| own < mac)
        } else {
            self.next_claim(now).is_some_and(|at| at <= now + spacing * 3)
        };
        if goes_first && self.rivals.goes_first(mac) {
            // The next look must come after the rival has taken the address, or has not.
            self.claim = Claim::default();
            self.step(now, Event::Defer { at_least: spacing * 5 }, out);
        }
    }
}

/// Whose machine answers decides whether it may be a holder of the pair (R5).
pub(super) fn may_be_a_peer(peers: &Peers, config: &config::Instance, mac: MacAddr) -> bool {
    peers.has_mac(mac) || mac == MacAddr::virtual_router(config.family, config.vrid.get()) || !peers.any_configured()
}

/// The same on another interface.
pub(super) fn may_be_a_peer_beside(
    peers: &Peers,
    config: &config::Instance,
    interface: &InterfaceName,
    mac: MacAddr,
) -> bool {
    mac == MacAddr::virtual_router(config.family, config.vrid.get()) || peers.may_be_beside(interface, mac)
}

fn stolen(address: IpAddr, mac: MacAddr) -> String {
    format!(
        "{mac} still answers for {address}, its daemon is silent. This node has taken it as configured, and keeps \
         announcing; look at the daemon there, and remove the address by hand if it is dead"
    )
}

pub(super) fn stranger(address: IpAddr, mac: MacAddr) -> String {
    format!(
        "{mac} answers for {address} and is none of the configured peers: a machine with the same address, or a router that \
         answers for others (proxy ARP). This node serves and announces; find that machine"
    )
}
