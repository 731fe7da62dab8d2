//! Addresses on other interfaces than the advertisements, and addresses that are not advertised.

use std::net::IpAddr;

use ha::{
    config::{Instance, Manner},
    node::{AddressSeen, Command, Ears, Hold, Input, LinkSeen, NeighborFrame, Node, Output, Role},
    wire::{NeighborKind, Priority},
    words::{Instant, InterfaceName, MacAddr},
};
use ipnet::IpNet;

use crate::{
    lan::{VIP, addresses, config, eth0, instance},
    pair::{SECOND, millis},
};

const BESIDE: &str = "10.1.0.60/24";
const SIX: &str = "fd00::60/64";
const STRANGER: MacAddr = MacAddr([2, 0, 0, 0, 0, 99]);
/// The peer, and its machine on eth1.
const PEER: &str = "192.168.0.21";
const PEER_THERE: MacAddr = MacAddr([2, 0, 0, 0, 9, 21]);

fn eth1() -> InterfaceName {
    "eth1".parse().unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

/// The advertised address on eth0; not advertised: one on eth1, one of the other family.
fn spread() -> Instance {
    let mut spread = instance(100, &addresses(2)[1..]);
    spread.excluded = vec![net(BESIDE), net(SIX)];
    spread.manners.insert(net(BESIDE), Manner { device: Some(eth1()), ..Manner::default() });
    spread
}

/// One node, and what it wanted.
struct Alone {
    node: Node,
    now: Instant,
    wanted: Vec<Output>,
    /// What becomes of what it sends.
    carrier: bool,
}

impl Alone {
    fn new() -> Self {
        Self::of(spread())
    }

    fn of(instance: Instance) -> Self {
        let now = Instant::from_epoch(SECOND * 1000);
        let mut alone = Self { node: Node::new(now, &config(instance)), now, wanted: Vec::new(), carrier: true };
        alone.link(&eth0(), 2, true);
        alone.has(&eth0(), &["192.168.0.20/24"]);
        alone
    }

    fn give(&mut self, input: Input<'_>) {
        self.node.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            self.wanted.push(output.clone());
            let input = match output {
                Output::Transmit(sent) => {
                    let result = if self.carrier { Ok(()) } else { Err("network is down".to_owned()) };
                    let carrier = Some(self.carrier);
                    Input::Transmitted { instance: sent.instance, path: sent.path, result, carrier }
                }
                Output::Hold(hold) => Input::Held { instance: hold.instance, result: Ok(()) },
                Output::Routes(_)
                | Output::Renamed(_)
                | Output::Announce { .. }
                | Output::Ask(_)
                | Output::Witness(_)
                | Output::Judge { .. } => continue,
                Output::BeforeRelease { .. } | Output::Report(_) => continue,
            };
            self.node.handle_input(self.now, input);
        }
    }

    fn link(&mut self, name: &InterfaceName, index: u32, carrier: bool) {
        let mac = Some(MacAddr([2, 0, 0, 0, 1, u8::try_from(index).unwrap()]));
        self.give(Input::Link(LinkSeen { name: name.clone(), index, mac, up: true, carrier, port_of: None }));
    }

    fn has(&mut self, interface: &InterfaceName, texts: &[&str]) {
        let seen = |text: &&str| AddressSeen { address: net(text), marked: false, usable: true, remaining: None };
        let addresses = texts.iter().map(seen).collect();
        self.give(Input::Addresses { interface: interface.clone(), addresses });
    }

    /// The second interface, with an address of its own.
    fn second(mut self) -> Self {
        self.link(&eth1(), 3, true);
        self.has(&eth1(), &["10.1.0.20/24"]);
        self
    }

    fn run_for(&mut self, time: std::time::Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + millis(5);
            self.node.handle_timeout(self.now, Ears::Drained);
            self.drain();
        }
    }

    fn master(mut self) -> Self {
        self.run_for(SECOND * 15);
        assert_eq!(self.role(), Role::Master, "{:?}", self.node.status().instances[0].conditions);
        self
    }

    fn role(&self) -> Role {
        self.node.status().instances[0].role
    }

    fn holds(&self) -> Vec<&Hold> {
        let hold = |output: &'_ Output| matches!(output, Output::Hold(_));
        let all = self.wanted.iter().filter(|output| hold(output));
        all.filter_map(|output| if let Output::Hold(hold) = output { Some(hold) } else { None }).collect()
    }

    /// What it holds last on each interface.
    fn held(&self) -> [Vec<IpNet>; 2] {
        [eth0(), eth1()].map(|interface| {
            let last = self.holds().into_iter().rev().find(|hold| hold.interface == interface);
            last.map(|hold| hold.addresses.clone()).unwrap_or_default()
        })
    }

    /// The cable of its own interface.
    fn plug(&mut self, plugged: bool) {
        self.carrier = plugged;
        self.link(&eth0(), 2, plugged);
    }

    fn hears_beside(&mut self, mac: MacAddr, kind: NeighborKind) {
        self.give(Input::Neighbor(NeighborFrame { interface: eth1(), source_mac: mac, mac, kind }));
    }

    /// Time passes, and these machines answer on eth1 for these addresses.
    fn runs_beside(&mut self, machines: &[(MacAddr, &str)], time: std::time::Duration) {
        let end = self.now + time;
        while self.now < end {
            let known = self.wanted.len();
            self.run_for(millis(5));
            let asked: Vec<Output> = self.wanted.iter().skip(known).cloned().collect();
            for (mac, address) in machines {
                let address = address.split('/').next().unwrap().parse().unwrap();
                let is_asked = |output: &Output| {
                    matches!(output, Output::Ask(ask)
                        if ask.interface == eth1() && ask.target == address && ask.to.is_none_or(|to| to == *mac))
                };
                if asked.iter().any(is_asked) {
                    self.hears_beside(*mac, NeighborKind::Reply { address });
                }
            }
        }
    }

    fn said(&self, name: &str) -> Option<String> {
        let conditions = self.node.status().instances.remove(0).conditions;
        conditions.into_iter().find(|condition| condition.name == name).map(|condition| condition.text)
    }

    fn announced(&self) -> Vec<(InterfaceName, Vec<IpAddr>)> {
        let announced = |output: &Output| {
            let Output::Announce { interface, addresses, .. } = output else { return None };
            Some((interface.clone(), addresses.clone()))
        };
        self.wanted.iter().filter_map(announced).collect()
    }

    fn asked(&self, interface: &InterfaceName) -> Vec<IpAddr> {
        let asked = |output: &Output| {
            let Output::Ask(ask) = output else { return None };
            (ask.interface == *interface && ask.source.is_none()).then_some(ask.target)
        };
        self.wanted.iter().filter_map(asked).collect()
    }
}

#[test]
fn each_interface_holds_and_announces_its_own_and_only_the_advertised_are_advertised() {
    let alone = Alone::new().second().master();
    assert_eq!(alone.held(), [vec![net(VIP), net(SIX)], vec![net(BESIDE)]]);
    let addr = |text: &str| net(text).addr();
    let announced = alone.announced();
    assert!(announced.contains(&(eth0(), vec![addr(VIP), addr(SIX)])), "{announced:?}");
    assert!(announced.contains(&(eth1(), vec![addr(BESIDE)])), "{announced:?}");
    for output in &alone.wanted {
        if let Output::Transmit(sent) = output {
            assert_eq!(sent.interface, eth0());
            // Version 2: the count of addresses.
            assert_eq!(sent.payloads[0][3], 1);
        }
    }
    // R4: all of them are asked for, each where it belongs.
    assert!(alone.asked(&eth0()).contains(&addr(VIP)) && alone.asked(&eth0()).contains(&addr(SIX)));
    let there = alone.asked(&eth1());
    assert!(there.contains(&addr(BESIDE)) && there.contains(&PEER.parse().unwrap()) && there.len().is_multiple_of(2));
    // What the keeper would do: let go elsewhere first, then here, with the word.
    let will = alone.node.last_will("VI_1").unwrap();
    let released: Vec<_> = will.releases.iter().map(|hold| &hold.interface).collect();
    assert_eq!((released, will.resignations[0].interface.clone()), (vec![&eth1(), &eth0()], eth0()));
}

#[test]
fn without_the_other_interface_it_does_not_serve() {
    let mut alone = Alone::new();
    alone.run_for(SECOND * 10);
    assert_eq!(alone.role(), Role::Fault);
    let conditions = alone.node.status().instances[0].conditions.clone();
    assert!(
        conditions.iter().any(|is| is.name == "waiting" && is.text.contains("eth1, for 10.1.0.60/24, does not exist"))
    );
    let mut alone = alone.second().master();
    alone.link(&eth1(), 3, false);
    assert_eq!((alone.role(), alone.held()), (Role::Fault, [vec![], vec![]]));
}

/// R5: the peer's machine does not show itself on eth1, so whoever answers there may be it.
#[test]
fn an_answer_on_the_other_interface_is_a_conflict() {
    let mut alone = Alone::new().second();
    alone.runs_beside(&[(STRANGER, BESIDE)], SECOND * 15);
    assert_eq!((alone.role(), alone.held()), (Role::Backup, [vec![], vec![]]));
    assert!(alone.said("conflict").is_some());
}

/// R5: it answers for its own address on eth1 as well. Whoever else has ours is none of the pair.
#[test]
fn r5_where_the_peer_is_known_on_the_other_interface_it_and_no_stranger_is_a_conflict() {
    let mut alone = Alone::new().second();
    alone.runs_beside(&[(STRANGER, BESIDE), (PEER_THERE, PEER)], SECOND * 15);
    assert_eq!(alone.role(), Role::Master);
    assert!(alone.said("address_conflict").is_some_and(|text| text.contains(&STRANGER.to_string())));
    // Or it answers with the address of the virtual router.
    let router = MacAddr([0, 0, 0x5e, 0, 1, 51]);
    for mac in [PEER_THERE, router] {
        let mut alone = Alone::new().second();
        alone.runs_beside(&[(mac, BESIDE), (PEER_THERE, PEER)], SECOND * 15);
        assert_eq!(alone.role(), Role::Backup);
        assert!(alone.said("conflict").is_some());
    }
}

/// R19b: advertisements do not pass on eth0, and both have taken the address.
#[test]
fn r19b_a_master_yields_to_a_second_holder_on_the_other_interface() {
    let mut alone = Alone::new().second().master();
    alone.hears_beside(STRANGER, NeighborKind::Announcement { address: net(BESIDE).addr() });
    assert!(alone.asked(&eth1()).ends_with(&[PEER.parse().unwrap()]), "who is the peer there?");
    assert_eq!(alone.role(), Role::Master, "one word is not believed");
    alone.runs_beside(&[(STRANGER, BESIDE)], SECOND * 2);
    assert_eq!((alone.role(), alone.held()), (Role::Backup, [vec![], vec![]]));
}

/// R19d: the peer's machine is another one.
#[test]
fn r19d_a_master_defends_against_a_stranger_on_the_other_interface_and_yields_to_the_peer() {
    let word = NeighborKind::Announcement { address: net(BESIDE).addr() };
    let mut alone = Alone::new().second().master();
    alone.hears_beside(PEER_THERE, NeighborKind::Reply { address: PEER.parse().unwrap() });
    alone.hears_beside(STRANGER, word);
    alone.runs_beside(&[(STRANGER, BESIDE)], SECOND * 3);
    assert_eq!(alone.role(), Role::Master);
    assert!(alone.said("address_conflict").is_some());
    alone.hears_beside(PEER_THERE, word);
    alone.runs_beside(&[(PEER_THERE, BESIDE)], SECOND * 2);
    assert_eq!(alone.role(), Role::Backup);
}

/// R19c, on the interface where the address is.
#[test]
fn r19c_of_two_claims_on_the_other_interface_the_lower_machine_waits() {
    let elected = |rival: MacAddr, seen: bool| {
        let mut alone = Alone::new().second();
        // The own link forwards.
        let kind = NeighborKind::Request { sender: net("192.168.0.1/24").addr(), target: net("192.168.0.2/24").addr() };
        alone.give(Input::Neighbor(NeighborFrame { interface: eth0(), source_mac: STRANGER, mac: STRANGER, kind }));
        while alone.asked(&eth1()).is_empty() {
            alone.run_for(millis(5));
        }
        if seen {
            let kind = NeighborKind::Reply { address: PEER.parse().unwrap() };
            alone.give(Input::Neighbor(NeighborFrame { interface: eth0(), source_mac: rival, mac: rival, kind }));
        }
        alone.hears_beside(rival, NeighborKind::Probe { target: net(BESIDE).addr() });
        let asked = alone.now;
        while alone.role() != Role::Master {
            alone.run_for(millis(5));
        }
        alone.now.saturating_since(asked)
    };
    let (first, later) = (elected(MacAddr([1; 6]), false), elected(MacAddr([3; 6]), false));
    assert!(first < later, "{first:?} {later:?}");
    // Where the peer is seen on the own link that link decides: of two that decide each could wait for the other.
    assert!(elected(MacAddr([3; 6]), true) < later);
}

/// The network is that of the address.
#[test]
fn it_is_asked_for_without_an_own_address_there() {
    let mut alone = Alone::new();
    alone.link(&eth1(), 3, true);
    alone.has(&eth1(), &[]);
    let alone = alone.master();
    assert!(alone.asked(&eth1()).contains(&net(BESIDE).addr()));
}

#[test]
fn r11_what_somebody_deletes_from_the_other_interface_is_put_back() {
    let mut alone = Alone::new().second().master();
    alone.has(&eth1(), &["10.1.0.20/24", BESIDE]);
    let before = alone.holds().len();
    alone.has(&eth1(), &["10.1.0.20/24"]);
    assert!(alone.holds().len() > before);
    assert_eq!(alone.held(), [vec![net(VIP), net(SIX)], vec![net(BESIDE)]]);
}

#[test]
fn a_reload_moves_an_address_to_another_interface_and_leaves_nothing() {
    let mut alone = Alone::new().second().master();
    let mut other = spread();
    other.manners.clear();
    other.excluded.retain(|it| *it != net(SIX));
    alone.give(Input::Reload(std::sync::Arc::new(config(other))));
    assert_eq!((alone.role(), alone.held()), (Role::Master, [vec![net(VIP), net(BESIDE)], vec![]]));
    let last = |interface| alone.holds().into_iter().rev().find(|hold| hold.interface == interface).unwrap();
    assert!(last(eth0()).configured.contains(&net(SIX)), "it is removed");
    assert_eq!(last(eth1()).configured, [net(BESIDE)]);
}

#[test]
fn a_stop_lets_go_everywhere() {
    let mut alone = Alone::new().second().master();
    alone.give(Input::Command(Command::Stop));
    alone.run_for(SECOND * 3);
    assert!(alone.node.is_stopped());
    assert_eq!(alone.held(), [vec![], vec![]]);
    assert_eq!(spread().priority, Priority::new(100).unwrap());
}

/// keepalived's `dont_track_primary`.
fn untracked() -> Instance {
    Instance { track_own_interface: false, ..spread() }
}

#[test]
fn an_own_interface_that_is_not_tracked_costs_only_what_is_held_on_it() {
    let mut alone = Alone::of(untracked()).second().master();
    alone.has(&eth0(), &["192.168.0.20/24", VIP, SIX]);
    alone.plug(false);
    alone.wanted.clear();
    alone.run_for(SECOND * 10);
    assert_eq!((alone.role(), alone.said("cannot_send"), alone.said("waiting")), (Role::Master, None, None));
    let said = alone.said("own_interface").unwrap();
    assert!(said.contains("eth0 has no carrier, or is down") && said.contains("(10 advertisements so far)"), "{said}");
    assert!(alone.holds().iter().all(|hold| hold.interface == eth1() && !hold.addresses.is_empty()));
    assert!(alone.holds().len() >= 8, "the lease elsewhere goes on: {}", alone.holds().len());
    // Its lease has run out there: nobody deleted anything.
    alone.has(&eth0(), &["192.168.0.20/24"]);
    alone.run_for(SECOND);
    assert!(alone.holds().iter().all(|hold| hold.interface == eth1()));

    // Somebody may have the address there meanwhile: it advertises, and listens before it holds.
    alone.wanted.clear();
    alone.plug(true);
    assert!(alone.wanted.iter().any(|output| matches!(output, Output::Transmit(_))), "at once");
    alone.run_for(SECOND * 3);
    assert!(alone.said("own_interface").unwrap().contains("carries again"));
    let on_eth0 = |alone: &Alone| {
        alone.holds().iter().any(|hold| hold.interface == eth0())
            || alone.announced().iter().any(|(interface, _)| *interface == eth0())
    };
    assert!(!on_eth0(&alone), "neither held nor announced");
    alone.run_for(SECOND);
    assert_eq!((alone.said("own_interface"), alone.role()), (None, Role::Master));
    assert_eq!(alone.held(), [vec![net(VIP), net(SIX)], vec![net(BESIDE)]]);
    assert!(alone.announced().iter().any(|(interface, _)| *interface == eth0()));
}

#[test]
fn a_short_loss_of_an_own_interface_that_is_not_tracked_is_over_at_once() {
    let mut alone = Alone::of(untracked()).second().master();
    alone.run_for(millis(300));
    alone.plug(false);
    alone.run_for(millis(400));
    alone.wanted.clear();
    alone.plug(true);
    assert_eq!((alone.said("own_interface"), alone.role()), (None, Role::Master));
    assert!(alone.holds().iter().any(|hold| hold.interface == eth0() && !hold.addresses.is_empty()));
}

/// The cable to a peer that lost its power: whoever stood by takes over what is elsewhere, unless somebody has it.
#[test]
fn who_stands_by_without_its_own_interface_takes_what_nobody_has() {
    let mut alone = Alone::of(untracked()).second();
    alone.plug(false);
    alone.wanted.clear();
    alone.run_for(SECOND * 10);
    assert_eq!((alone.role(), alone.held()), (Role::Master, [vec![], vec![net(BESIDE)]]));

    let mut alone = Alone::of(untracked()).second();
    alone.plug(false);
    let answer = NeighborFrame {
        interface: eth1(),
        source_mac: STRANGER,
        mac: STRANGER,
        kind: NeighborKind::Reply { address: net(BESIDE).addr() },
    };
    for _ in 0..3000 {
        let before = alone.asked(&eth1()).len();
        alone.run_for(millis(5));
        if alone.asked(&eth1()).len() > before {
            alone.give(Input::Neighbor(answer.clone()));
        }
    }
    assert_eq!((alone.role(), alone.held()), (Role::Backup, [vec![], vec![]]), "{:?}", alone.said("conflict"));
}

#[test]
fn a_reload_that_tracks_the_own_interface_counts_at_once_and_back() {
    let mut alone = Alone::of(untracked()).second().master();
    alone.plug(false);
    alone.run_for(SECOND);
    alone.give(Input::Reload(std::sync::Arc::new(config(spread()))));
    assert_eq!((alone.role(), alone.held(), alone.said("own_interface")), (Role::Fault, [vec![], vec![]], None));
    alone.give(Input::Reload(std::sync::Arc::new(config(untracked()))));
    alone.run_for(SECOND * 5);
    assert_eq!((alone.role(), alone.held()), (Role::Master, [vec![], vec![net(BESIDE)]]));
}

/// Without a lease nothing ends by itself: what nobody reaches is let go.
#[test]
fn without_a_lease_what_is_on_the_lost_interface_is_let_go() {
    let leaseless = Instance { lease: ha::config::Lease::Off, ..untracked() };
    let mut alone = Alone::of(leaseless).second().master();
    alone.plug(false);
    assert_eq!((alone.role(), alone.held()), (Role::Master, [vec![], vec![net(BESIDE)]]));
}

/// keepalived's `no_track` behind an address.
fn left_alone() -> Instance {
    let mut instance = spread();
    instance.manners.insert(
        net(BESIDE),
        Manner { device: Some(eth1()), deleted: ha::config::Deleted::LeftGone, ..Manner::default() },
    );
    instance
}

#[test]
fn what_is_not_tracked_is_left_gone_until_it_is_held_anew() {
    let mut alone = Alone::of(left_alone()).second().master();
    alone.has(&eth1(), &["10.1.0.20/24", BESIDE]);
    alone.run_for(SECOND);
    alone.wanted.clear();
    for _ in 0..9 {
        alone.has(&eth1(), &["10.1.0.20/24"]);
        alone.run_for(SECOND);
    }
    assert_eq!((alone.role(), alone.said("address_vanishes")), (Role::Master, None));
    assert!(alone.holds().iter().all(|hold| !hold.addresses.contains(&net(BESIDE))), "no renewal brings it back");
    alone.run_for(SECOND * 30);
    assert!(alone.announced().iter().all(|(_, list)| !list.contains(&net(BESIDE).addr())), "nor is it announced");
    // A fault, and the role again.
    alone.link(&eth0(), 2, false);
    alone.link(&eth0(), 2, true);
    let alone = alone.master();
    assert_eq!(alone.held()[1], [net(BESIDE)]);
}

#[test]
fn the_interface_of_what_is_not_tracked_bears_on_nothing() {
    let mut alone = Alone::of(left_alone()).master();
    assert_eq!(alone.held(), [vec![net(VIP), net(SIX)], vec![]], "it is not there");
    let mut there = Alone::of(left_alone()).second().master();
    assert_eq!(there.held()[1], [net(BESIDE)]);
    there.link(&eth1(), 3, false);
    there.run_for(SECOND * 3);
    assert_eq!(there.role(), Role::Master);
    there.give(Input::LinkGone(eth1()));
    there.wanted.clear();
    there.run_for(SECOND * 3);
    assert_eq!(there.role(), Role::Master);
    assert!(there.holds().iter().all(|hold| hold.interface == eth0()), "nothing is written where nothing is");
    // It comes while this node serves.
    alone = alone.second();
    alone.run_for(SECOND * 2);
    assert_eq!(alone.held()[1], [net(BESIDE)]);
}

#[test]
fn another_link_layer_address_of_the_other_interface_is_announced_at_once() {
    let mut alone = Alone::new().second().master();
    alone.wanted.clear();
    let mac = Some(MacAddr([2, 0, 0, 0, 7, 7]));
    alone.give(Input::Link(LinkSeen { name: eth1(), index: 3, mac, up: true, carrier: true, port_of: None }));
    assert!(alone.announced().contains(&(eth1(), vec![net(BESIDE).addr()])), "{:?}", alone.announced());
    assert_eq!(alone.role(), Role::Master);
}

/// With the virtual MAC address: held on a device of its own, asked for, announced and seen on the interface beneath.
#[test]
fn s7_3_an_address_on_another_interface_may_have_the_virtual_mac_address() {
    const VIRTUAL: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 51]);
    let device: InterfaceName = "ha-51-eth1".parse().unwrap();
    let mut with_mac = spread();
    let manner = Manner { device: Some(eth1()), virtual_mac: Some(device.clone()), ..Manner::default() };
    with_mac.manners.insert(net(BESIDE), manner);
    let mut alone = Alone::of(with_mac).second();
    alone.give(Input::Equipped { instance: "VI_1".to_owned(), result: Ok(()) });
    alone.link(&device, 4, false);
    alone.has(&device, &[]);
    let mut alone = alone.master();
    let on = |alone: &Alone, interface: &InterfaceName| {
        let there = |hold: &&Hold| hold.interface == *interface && !hold.addresses.is_empty();
        alone.holds().into_iter().filter(there).map(|hold| hold.addresses.clone()).collect::<Vec<_>>()
    };
    assert_eq!((on(&alone, &device)[0].clone(), on(&alone, &eth1())), (vec![net(BESIDE)], vec![]));
    let announced = |output: &Output| {
        let Output::Announce { interface, mac, addresses, .. } = output else { return None };
        addresses.contains(&net(BESIDE).addr()).then(|| (interface.clone(), *mac))
    };
    let announced: Vec<_> = alone.wanted.iter().filter_map(announced).collect();
    assert!(!announced.is_empty() && announced.iter().all(|it| *it == (eth1(), Some(VIRTUAL))), "{announced:?}");
    let asked = |output: &Output| matches!(output, Output::Ask(ask) if ask.target == net(BESIDE).addr() && ask.interface == eth1());
    assert!(alone.wanted.iter().any(asked));
    // It is there, whatever the interface beneath has.
    alone.has(&device, &[BESIDE]);
    alone.has(&eth1(), &["10.1.0.20/24"]);
    let renewed = on(&alone, &device).len();
    assert!(alone.node.status().instances[0].held.contains(&net(BESIDE)));
    // A frame with this address is no second holder's; somebody who deletes it is seen.
    alone.hears_beside(VIRTUAL, NeighborKind::Announcement { address: net(BESIDE).addr() });
    assert_eq!((alone.role(), on(&alone, &device).len()), (Role::Master, renewed));
    alone.has(&device, &[]);
    assert!(on(&alone, &device).len() > renewed, "it is put back");
}
