//! The other nodes of a virtual router: who was heard, who answers on the link, who was heard and cannot be understood.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use super::status::PeerStatus;
use crate::{
    wire::{Advertisement, Rejection},
    words::{Instant, InterfaceName, MacAddr},
};

/// How often each configured peer is asked whether it is there (R1), unless a frame of its own has shown it meanwhile.
pub(super) const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// So much earlier or later, where something else happens then: a turn that is made anyway saves one of its own.
pub(super) const ASK_SLACK: Duration = Duration::from_millis(100);
/// A peer that answered one of its last two questions is reachable.
const REACHABLE_FOR: Duration = Duration::from_millis(2500);

/// Machines of one peer on one interface, at most; then they are learned anew.
const MACS_MAX: usize = 8;

/// How long an answer counts where a third vote is asked about the silence, from its question on.
pub(super) const VISIBLE_FOR: Duration = REACHABLE_FOR;

/// Whoever shows itself after longer than this was away in between, for it was asked.
const WAS_AWAY: Duration = Duration::from_millis(1500);

/// What is known of every peer, and of any other sender.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: BTreeMap<IpAddr, Peer>,
}

#[derive(Debug, Default)]
struct Peer {
    configured: bool,
    heard: Option<(Instant, u8)>,
    rejected: Option<(Instant, Rejection)>,
    mac: Option<MacAddr>,
    /// Where it is on other interfaces that have addresses of the virtual router: there more than one of its own may answer.
    beside: BTreeMap<InterfaceName, BTreeSet<MacAddr>>,
    answered_at: Option<Instant>,
    /// When the last question was asked that it has answered, by whoever asks on this machine.
    replied_at: Option<Instant>,
    /// When it last asked for something: it sees this node, if it gets the answer.
    asks_at: Option<Instant>,
    /// Since when it is there without a break, as far as the questions tell.
    there_since: Option<Instant>,
    /// The first question since the last answer.
    unanswered_since: Option<Instant>,
}

impl Peers {
    pub(super) fn new(configured: &[IpAddr]) -> Self {
        let mut peers = Self::default();
        peers.configure(configured);
        peers
    }

    /// Takes the list of the configuration; what is known of those that stay is kept, the others are forgotten.
    pub(super) fn configure(&mut self, configured: &[IpAddr]) {
        self.known.retain(|address, _| configured.contains(address));
        for address in configured {
            self.known.entry(*address).or_default().configured = true;
        }
    }

    pub(super) fn heard(&mut self, now: Instant, source: IpAddr, adv: &Advertisement) {
        let peer = self.sender(source);
        peer.heard = Some((now, adv.priority.map_or(0, crate::wire::Priority::get)));
        peer.rejected = None;
    }

    pub(super) fn rejected(&mut self, now: Instant, source: IpAddr, rejection: Rejection) {
        self.sender(source).rejected = Some((now, rejection));
    }

    /// A valid advertisement of it came within `down`.
    pub(super) fn is_heard(&self, now: Instant, address: IpAddr, down: Duration) -> bool {
        let heard = self.known.get(&address).and_then(|peer| peer.heard);
        heard.is_some_and(|(at, _)| now <= at + down)
    }

    pub(super) fn is_configured(&self, address: IpAddr) -> bool {
        self.known.get(&address).is_some_and(|peer| peer.configured)
    }

    /// At most this many senders are remembered: nobody fills our memory with forged ones.
    fn sender(&mut self, source: IpAddr) -> &mut Peer {
        const STRANGERS_MAX: usize = 16;
        if !self.known.contains_key(&source)
            && self.known.values().filter(|peer| !peer.configured).count() >= STRANGERS_MAX
        {
            let oldest =
                self.known.iter().filter(|(_, peer)| !peer.configured).min_by_key(|(_, peer)| peer.last_sign());
            if let Some(address) = oldest.map(|(address, _)| *address) {
                self.known.remove(&address);
            }
        }
        self.known.entry(source).or_default()
    }

    pub(super) fn asked(&mut self, now: Instant, address: IpAddr) {
        if let Some(peer) = self.known.get_mut(&address) {
            peer.unanswered_since.get_or_insert(now);
        }
    }

    /// A frame says that `address` is at `mac`.
    pub(super) fn seen(&mut self, now: Instant, address: IpAddr, mac: MacAddr) {
        if let Some(peer) = self.known.get_mut(&address) {
            peer.mac = Some(mac);
            if peer.answered_at.is_none_or(|at| at + WAS_AWAY < now) {
                peer.there_since = Some(now);
            }
            peer.answered_at = Some(now);
            peer.unanswered_since = None;
        }
    }

    /// What was seen of it is the answer to a question of that time.
    pub(super) fn replied(&mut self, asked_at: Instant, address: IpAddr) {
        if let Some(peer) = self.known.get_mut(&address) {
            peer.replied_at = peer.replied_at.max(Some(asked_at));
        }
    }

    /// What was seen of it is a question.
    pub(super) fn asks(&mut self, now: Instant, address: IpAddr) {
        if let Some(peer) = self.known.get_mut(&address) {
            peer.asks_at = Some(now);
        }
    }

    /// On another interface a frame says that `address` is at `mac`.
    pub(super) fn seen_beside(&mut self, address: IpAddr, interface: &InterfaceName, mac: MacAddr) {
        if let Some(peer) = self.known.get_mut(&address).filter(|peer| peer.configured) {
            let known = peer.beside.entry(interface.clone()).or_default();
            if known.len() >= MACS_MAX {
                known.clear();
            }
            known.insert(mac);
        }
    }

    /// Whether a machine there may be a peer's: it is one, or not all of them are known there.
    pub(super) fn may_be_beside(&self, interface: &InterfaceName, mac: MacAddr) -> bool {
        let mut configured = self.known.values().filter(|peer| peer.configured).peekable();
        let nobody = configured.peek().is_none();
        nobody || configured.any(|peer| peer.beside.get(interface).is_none_or(|known| known.contains(&mac)))
    }

    /// The configured peers.
    pub(super) fn configured(&self) -> impl Iterator<Item = IpAddr> {
        self.known.iter().filter(|(_, peer)| peer.configured).map(|(address, _)| *address)
    }

    /// Since when every configured peer has shown itself on the link. `None`: one never has.
    pub(super) fn all_shown_at(&self) -> Option<Instant> {
        self.known.values().filter(|peer| peer.configured).map(|peer| peer.answered_at).min().flatten()
    }

    /// From when on no configured peer has left every question unanswered. `None`: one has never answered.
    pub(super) fn all_replied_at(&self) -> Option<Instant> {
        self.known.values().filter(|peer| peer.configured).map(|peer| peer.replied_at).min().flatten()
    }

    /// When a master last saw this node at the latest: it sees it by the answer to a question, and this node sees the question. A peer
    /// that is there for `patience`, and was not heard since `heard`, is no master. `None`: none can have.
    pub(super) fn a_master_saw_us_at(&self, heard: Instant, patience: Duration) -> Option<Instant> {
        let configured = self.known.values().filter(|peer| peer.configured);
        let saw = configured.filter_map(|peer| {
            let at = peer.asks_at?;
            (at < peer.there_since.map_or(heard, |since| since.max(heard)) + patience).then_some(at)
        });
        saw.max()
    }

    /// Whom to ask, and where it was last seen: only there if the last question was answered, everywhere otherwise.
    pub(super) fn to_ask(&self) -> Vec<(IpAddr, Option<MacAddr>)> {
        let configured = self.known.iter().filter(|(_, peer)| peer.configured);
        configured.map(|(address, peer)| (*address, peer.mac.filter(|_| peer.unanswered_since.is_none()))).collect()
    }

    /// The number of configured peers is one, and nobody else was heard: this node is the only heir (R17).
    pub(super) fn sole(&self) -> bool {
        self.known.len() == 1 && self.known.values().all(|peer| peer.configured)
    }

    /// Senders that are not configured, while there is a list.
    pub(super) fn strangers(&self) -> Vec<IpAddr> {
        if !self.any_configured() {
            return Vec::new();
        }
        self.known.iter().filter(|(_, peer)| !peer.configured).map(|(address, _)| *address).collect()
    }

    pub(super) fn any_configured(&self) -> bool {
        self.known.values().any(|peer| peer.configured)
    }

    /// It is at that place; where there is a list, one of the list.
    pub(super) fn has_mac(&self, mac: MacAddr) -> bool {
        let listed = self.any_configured();
        self.known.values().any(|peer| peer.mac == Some(mac) && (peer.configured || !listed))
    }

    /// There is a list of peers, and it is none of them, nor another address of one.
    pub(super) fn is_stranger(&self, source: IpAddr) -> bool {
        let of_a_peer = || self.mac_of(source).is_some_and(|mac| self.has_mac(mac));
        self.any_configured() && !self.is_configured(source) && !of_a_peer()
    }

    /// It has answered a question since then.
    pub(super) fn has_replied_since(&self, address: IpAddr, since: Instant) -> bool {
        self.known.get(&address).and_then(|peer| peer.replied_at).is_some_and(|at| at >= since)
    }

    /// Where `address` is.
    pub(super) fn mac_of(&self, address: IpAddr) -> Option<MacAddr> {
        self.known.get(&address).and_then(|peer| peer.mac)
    }

    /// Who is at `mac`, if it is one of ours.
    pub(super) fn at_mac(&self, mac: MacAddr) -> Option<IpAddr> {
        self.known.iter().find(|(_, peer)| peer.mac == Some(mac)).map(|(address, _)| *address)
    }

    /// Some peer was heard within `down`, or answers on the link.
    pub(super) fn any_alive(&self, now: Instant, down: Duration) -> bool {
        self.known.values().any(|peer| peer.alive(now, down))
    }

    /// Until when every configured peer counts as visible, if none answers again; `None`: one never has. Whoever answers has seen
    /// the question, and so knows what is believed of it here; of any other sign of life it may not.
    pub(super) fn visible_until(&self) -> Option<Instant> {
        self.all_replied_at().map(|at| at + VISIBLE_FOR)
    }

    /// When any configured peer last asked for something.
    pub(super) fn last_asks_at(&self) -> Option<Instant> {
        self.known.values().filter(|peer| peer.configured).filter_map(|peer| peer.asks_at).max()
    }

    /// No configured peer has answered a question that was asked at least `patience` ago.
    pub(super) fn all_silent(&self, now: Instant, patience: Duration) -> bool {
        let mut configured = self.known.values().filter(|peer| peer.configured).peekable();
        configured.peek().is_some()
            && configured.all(|peer| peer.unanswered_since.is_some_and(|at| at + patience <= now))
    }

    /// Peers whose advertisements are rejected at the moment.
    pub(super) fn unusable(&self, now: Instant, within: Duration) -> Vec<(IpAddr, Rejection)> {
        let told = |rejection: Rejection| rejection.means_unusable_peer() || rejection.means_unheard_peer();
        let unusable = |(at, rejection): &(Instant, Rejection)| now <= *at + within && told(*rejection);
        let recent = |peer: &Peer| peer.rejected.filter(unusable).map(|(_, rejection)| rejection);
        self.known.iter().filter_map(|(address, peer)| recent(peer).map(|rejection| (*address, rejection))).collect()
    }

    pub(super) fn status(&self, now: Instant, down: Duration) -> Vec<PeerStatus> {
        let row = |(address, peer): (&IpAddr, &Peer)| PeerStatus {
            address: *address,
            configured: peer.configured,
            alive: peer.alive(now, down),
            last_heard: peer.heard.map(|(at, _)| at),
            priority: peer.heard.map(|(_, priority)| priority),
            reachable: peer.reachable(now),
            rejected: peer.rejected.filter(|(at, _)| now <= *at + down * 2).map(|(_, rejection)| rejection.sentence()),
        };
        self.known.iter().map(row).collect()
    }
}

impl Peer {
    fn reachable(&self, now: Instant) -> bool {
        self.answered_at.is_some_and(|at| now <= at + REACHABLE_FOR)
    }

    /// What is rejected is a sign of life too (R2).
    fn alive(&self, now: Instant, down: Duration) -> bool {
        self.last_sign().is_some_and(|at| now <= at + down) || self.reachable(now)
    }

    fn last_sign(&self) -> Option<Instant> {
        let rejected = self.rejected.filter(|(_, rejection)| !rejection.means_unheard_peer());
        self.heard.map(|(at, _)| at).max(rejected.map(|(at, _)| at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{AdverInterval, Priority, Vrid};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 21));
    const DOWN: Duration = Duration::from_millis(3600);

    fn at(millis: u64) -> Instant {
        Instant::from_epoch(Duration::from_millis(millis))
    }

    fn adv(priority: u8) -> Advertisement {
        Advertisement {
            vrid: Vrid::new(51).unwrap(),
            priority: Priority::new(priority),
            interval: AdverInterval::from_secs(1).unwrap(),
            addresses: vec![],
        }
    }

    #[test]
    fn r1_alive_is_heard_or_reachable() {
        let mut peers = Peers::new(&[PEER]);
        assert!(!peers.any_alive(at(0), DOWN));
        peers.heard(at(0), PEER, &adv(99));
        assert!(peers.any_alive(at(3600), DOWN));
        assert!(!peers.any_alive(at(3601), DOWN));
        peers.seen(at(4000), PEER, MacAddr([2; 6]));
        assert!(peers.any_alive(at(6500), DOWN));
        assert!(!peers.any_alive(at(6501), DOWN));
    }

    #[test]
    fn r2_rejected_is_not_silent() {
        let mut peers = Peers::new(&[PEER]);
        peers.rejected(at(0), PEER, Rejection::AuthType);
        assert!(peers.any_alive(at(3600), DOWN));
        assert!(!peers.any_alive(at(3601), DOWN));
        assert_eq!(peers.unusable(at(1), DOWN), [(PEER, Rejection::AuthType)]);
    }

    /// A packet with another hop limit may come from anywhere.
    #[test]
    fn r2_what_nobody_on_the_link_need_have_sent_is_told_and_no_sign_of_life() {
        let mut peers = Peers::new(&[PEER]);
        for rejection in [Rejection::HopLimit, Rejection::Destination] {
            peers.rejected(at(0), PEER, rejection);
            assert!(!peers.any_alive(at(1), DOWN));
            assert_eq!(peers.unusable(at(1), DOWN), [(PEER, rejection)]);
        }
    }

    #[test]
    fn r17_a_third_sender_ends_the_only_heir() {
        let mut peers = Peers::new(&[PEER]);
        assert!(peers.sole());
        peers.rejected(at(0), "192.168.0.77".parse().unwrap(), Rejection::AuthType);
        assert!(!peers.sole());
        assert_eq!(peers.strangers().len(), 1);
        peers.configure(&[PEER]);
        assert!(peers.sole());
    }

    #[test]
    fn forged_senders_do_not_fill_the_memory() {
        let mut peers = Peers::new(&[PEER]);
        for last in 0..=255 {
            peers.heard(at(u64::from(last)), IpAddr::from([10, 0, 0, last]), &adv(1));
        }
        assert_eq!(peers.known.len(), 17);
        assert!(peers.known.contains_key(&PEER));
    }

    #[test]
    fn who_is_there_and_not_heard_may_be_a_master_until_it_should_have_been() {
        let patience = Duration::from_millis(3300);
        let mut peers = Peers::new(&[PEER]);
        assert_eq!(peers.a_master_saw_us_at(at(0), patience), None);
        for millis in [1000, 2000, 3000] {
            shows_itself(&mut peers, millis);
            assert_eq!(peers.a_master_saw_us_at(at(500), patience), Some(at(millis)));
        }
        shows_itself(&mut peers, 4300);
        assert_eq!(peers.a_master_saw_us_at(at(500), patience), None);
        // It was away, and its advertisements with it.
        shows_itself(&mut peers, 5801);
        assert_eq!(peers.a_master_saw_us_at(at(500), patience), Some(at(5801)));
        // That it answers says nothing of what it sees.
        peers.seen(at(6000), PEER, MacAddr([2; 6]));
        assert_eq!(peers.a_master_saw_us_at(at(500), patience), Some(at(5801)));
        assert_eq!(peers.last_asks_at(), Some(at(5801)));
    }

    fn shows_itself(peers: &mut Peers, millis: u64) {
        peers.asks(at(millis), PEER);
        peers.seen(at(millis), PEER, MacAddr([2; 6]));
    }

    #[test]
    fn only_an_answer_makes_a_peer_visible_and_from_its_question_on() {
        let mut peers = Peers::new(&[PEER]);
        peers.heard(at(0), PEER, &adv(99));
        shows_itself(&mut peers, 1000);
        assert_eq!(peers.visible_until(), None);
        peers.replied(at(900), PEER);
        assert_eq!(peers.visible_until(), Some(at(3400)));
        // One that came late takes nothing back.
        peers.replied(at(800), PEER);
        assert_eq!(peers.visible_until(), Some(at(3400)));
    }

    #[test]
    fn an_unanswered_question_is_repeated_to_everybody() {
        let mut peers = Peers::new(&[PEER]);
        peers.seen(at(0), PEER, MacAddr([2; 6]));
        assert_eq!(peers.to_ask(), [(PEER, Some(MacAddr([2; 6])))]);
        peers.asked(at(1), PEER);
        assert_eq!(peers.to_ask(), [(PEER, None)]);
        assert!(!peers.all_silent(at(2), Duration::from_millis(50)));
        assert!(peers.all_silent(at(51), Duration::from_millis(50)));
        peers.seen(at(52), PEER, MacAddr([2; 6]));
        assert!(!peers.all_silent(at(60), Duration::from_millis(1)));
    }
}
