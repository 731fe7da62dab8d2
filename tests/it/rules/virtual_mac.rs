//! The virtual router MAC address (RFC 9568, 7.3): where the addresses are held, and what carries it.

use std::{sync::Arc, time::Duration};

use ha::{
    config::{Instance, VirtualMac},
    node::{AddressSeen, Ears, Input, LinkSeen, NeighborFrame, Node, Output, Role},
    wire::NeighborKind,
    words::{Instant, InterfaceName, MacAddr},
};

use crate::lan::{VIP, addresses, config, eth0, instance};

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 20]);
const VIRTUAL: MacAddr = MacAddr([0, 0, 0x5e, 0, 1, 51]);

fn device() -> InterfaceName {
    "ha-51".parse().unwrap()
}

fn virtual_one(advertises: bool) -> Instance {
    let mut one = instance(100, &addresses(2)[1..]);
    one.virtual_mac = Some(VirtualMac { name: device(), advertises });
    one
}

fn seen(address: &str) -> AddressSeen {
    AddressSeen { address: address.parse().unwrap(), marked: false, usable: true, remaining: None }
}

/// A node whose device may be there.
struct Machine {
    now: Instant,
    node: Node,
    /// The devices there are.
    devices: Vec<InterfaceName>,
    outputs: Vec<Output>,
}

impl Machine {
    /// Without the device that it may need.
    fn new(one: Instance) -> Self {
        let now = Instant::from_epoch(Duration::from_secs(1));
        let node = Node::new(now, &config(one));
        let mut machine = Self { now, node, devices: vec![eth0()], outputs: Vec::new() };
        let link = LinkSeen { name: eth0(), index: 2, mac: Some(OWN), up: true, carrier: true, port_of: None };
        machine.hand_in(Input::Link(link));
        machine.hand_in(Input::Addresses { interface: eth0(), addresses: vec![seen("192.168.0.20/24")] });
        machine
    }

    fn with_device(one: Instance) -> Self {
        let mut machine = Self::new(one);
        machine.make_device();
        machine
    }

    fn make_device(&mut self) {
        self.devices.push(device());
        self.hand_in(Input::Equipped { instance: "VI_1".to_owned(), result: Ok(()) });
        self.hand_in(Input::Addresses { interface: device(), addresses: vec![] });
    }

    fn lose_device(&mut self) {
        self.devices.retain(|name| *name != device());
        self.hand_in(Input::LinkGone(device()));
    }

    fn hand_in(&mut self, input: Input<'_>) {
        self.node.handle_input(self.now, input);
        while let Some(output) = self.node.poll_output() {
            if let Output::Hold(hold) = &output {
                let own = (hold.interface == eth0()).then(|| seen("192.168.0.20/24"));
                let held = hold.addresses.iter().map(|net| seen(&net.to_string()));
                let addresses = own.into_iter().chain(held).collect();
                let (instance, interface) = (hold.instance.clone(), hold.interface.clone());
                self.node.handle_input(self.now, Input::Held { instance, result: Ok(()) });
                if self.devices.contains(&interface) {
                    self.node.handle_input(self.now, Input::Addresses { interface, addresses });
                }
            } else if let Output::Transmit(transmit) = &output {
                let sent = Input::Transmitted {
                    instance: transmit.instance.clone(),
                    path: None,
                    result: Ok(()),
                    carrier: None,
                };
                self.node.handle_input(self.now, sent);
            }
            self.outputs.push(output);
        }
    }

    fn run_for(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = self.now + Duration::from_millis(10);
            self.node.handle_timeout(self.now, Ears::Drained);
            let result = if self.devices.contains(&device()) { Ok(()) } else { Err("no device".to_owned()) };
            self.hand_in(Input::Equipped { instance: "VI_1".to_owned(), result });
        }
    }

    /// What was held, and where: every change of it.
    fn holds(&self) -> Vec<(InterfaceName, bool)> {
        let hold = |output: &Output| {
            let Output::Hold(hold) = output else { return None };
            Some((hold.interface.clone(), !hold.addresses.is_empty()))
        };
        let mut holds: Vec<_> = self.outputs.iter().filter_map(hold).collect();
        holds.dedup();
        holds
    }

    fn role(&self) -> Role {
        self.node.status().instances[0].role
    }
}

#[test]
fn s7_3_what_a_master_says_comes_from_the_virtual_router() {
    for advertises in [true, false] {
        let mut machine = Machine::with_device(virtual_one(advertises));
        machine.run_for(10);
        assert_eq!(machine.role(), Role::Master);
        let held =
            machine.outputs.iter().find_map(|output| if let Output::Hold(hold) = output { Some(hold) } else { None });
        assert_eq!(held.unwrap().interface, device());
        let mut said = (false, false);
        for output in &machine.outputs {
            if let Output::Transmit(transmit) = output {
                assert_eq!((&transmit.interface, transmit.mac), (&eth0(), advertises.then_some(VIRTUAL)));
                said.0 = true;
            } else if let Output::Announce { interface, mac, .. } = output {
                assert_eq!((interface, *mac), (&eth0(), Some(VIRTUAL)));
                said.1 = true;
            }
        }
        assert_eq!(said, (true, true));
        let status = machine.node.status();
        assert_eq!(status.instances[0].held, ["192.168.0.60/24".parse().unwrap()]);
        assert_eq!(machine.node.last_will("VI_1").unwrap().releases[0].interface, device());
    }
}

#[test]
fn without_its_device_an_instance_takes_no_part() {
    let mut machine = Machine::new(virtual_one(true));
    machine.run_for(10);
    assert_eq!(machine.role(), Role::Fault);
    machine.make_device();
    machine.run_for(10);
    assert_eq!(machine.role(), Role::Master);
    assert_eq!(machine.node.status().instances[0].device.as_deref(), Some("ha-51"));
    machine.lose_device();
    assert_eq!(machine.role(), Role::Fault, "its addresses went with it");
    machine.make_device();
    machine.run_for(10);
    assert_eq!(machine.role(), Role::Master);
}

/// The addresses are never in two places: they leave one in order before they come to the other.
#[test]
fn a_reload_moves_the_addresses_to_the_device_and_back() {
    let plain = instance(100, &addresses(2)[1..]);
    let mut machine = Machine::new(plain.clone());
    machine.run_for(10);
    assert_eq!(machine.role(), Role::Master);
    for (there, from, to) in [(virtual_one(true), eth0(), device()), (plain, device(), eth0())] {
        machine.outputs.clear();
        machine.hand_in(Input::Reload(Arc::new(config(there))));
        if to == device() {
            machine.make_device();
        }
        machine.run_for(10);
        assert_eq!(machine.role(), Role::Master);
        // What hands over renews its lease once more.
        let holds = machine.holds();
        assert_eq!(holds.strip_prefix(&[(from.clone(), true)]).unwrap_or(&holds), [(from, false), (to, true)]);
    }
}

#[test]
fn what_leaves_with_the_address_changes_without_a_word() {
    let mut machine = Machine::with_device(virtual_one(true));
    machine.run_for(10);
    machine.outputs.clear();
    machine.hand_in(Input::Reload(Arc::new(config(virtual_one(false)))));
    machine.run_for(2);
    assert_eq!(machine.holds(), [(device(), true)]);
    let mac = |output: &Output| if let Output::Transmit(transmit) = output { Some(transmit.mac) } else { None };
    let last = machine.outputs.iter().rev().find_map(mac);
    assert_eq!(last, Some(None));
}

/// A silent peer that holds answers with that address: nobody else has it.
#[test]
fn r5_an_answer_of_the_virtual_router_is_a_peers() {
    let mut machine = Machine::with_device(virtual_one(true));
    let address = VIP.parse::<ipnet::IpNet>().unwrap().addr();
    for _ in 0..1000 {
        let kind = NeighborKind::Reply { address };
        let frame = NeighborFrame { interface: eth0(), kind, source_mac: VIRTUAL, mac: VIRTUAL };
        machine.hand_in(Input::Neighbor(frame));
        machine.pass(Duration::from_millis(10));
    }
    assert_eq!(machine.role(), Role::Backup);
    let conditions = &machine.node.status().instances[0].conditions;
    assert!(conditions.iter().any(|condition| condition.name == "conflict"), "{conditions:?}");
}

/// Whoever holds has that address: it tells nobody apart.
#[test]
fn r19_a_frame_of_the_virtual_router_is_no_second_holder() {
    let mut machine = Machine::with_device(virtual_one(true));
    machine.run_for(10);
    let kind = NeighborKind::Reply { address: VIP.parse::<ipnet::IpNet>().unwrap().addr() };
    for _ in 0..5 {
        let frame = NeighborFrame { interface: eth0(), kind, source_mac: VIRTUAL, mac: VIRTUAL };
        machine.hand_in(Input::Neighbor(frame));
        machine.run_for(2);
    }
    assert_eq!(machine.role(), Role::Master);
    let conditions = &machine.node.status().instances[0].conditions;
    assert!(conditions.iter().all(|condition| condition.name != "address_conflict"), "{conditions:?}");
}

/// What is held there has a link-layer address of its own.
#[test]
fn another_link_layer_address_beneath_moves_nothing_of_the_virtual_router() {
    for (one, moves) in [(virtual_one(true), false), (instance(100, &addresses(2)[1..]), true)] {
        let mut machine = Machine::with_device(one);
        machine.run_for(20);
        assert_eq!(machine.role(), Role::Master);
        machine.outputs.clear();
        let mac = Some(MacAddr([2, 0, 0, 0, 7, 7]));
        machine.hand_in(Input::Link(LinkSeen { name: eth0(), index: 2, mac, up: true, carrier: true, port_of: None }));
        let announced = machine.outputs.iter().any(|output| matches!(output, Output::Announce { .. }));
        assert_eq!((announced, machine.role()), (moves, Role::Master));
    }
}
