//! Routes and rules come after the addresses and go before them, and are looked after while the addresses are held.

use std::time::Duration;

use ha::{
    config::{Config, Hop, Instance, Route, Routing, Way},
    node::{AddressSeen, Command, Ears, Event, Input, Journal, LinkSeen, Node, Output, Role, Transmit},
    wire::Priority,
    words::{Instant, MacAddr},
};
use ipnet::IpNet;

use crate::{
    lan::{VIP, addresses, config, eth0, instance},
    pair::{SECOND, millis},
};

fn route(to: &str) -> Route {
    let hop = Hop { via: Some("192.168.0.1".parse().unwrap()), device: None, onlink: false, weight: 1 };
    Route {
        destination: to.parse().unwrap(),
        way: Way::Hops(vec![hop]),
        source: None,
        table: 254,
        metric: 0,
        scope: None,
        mtu: None,
        advmss: None,
        tracked: true,
    }
}

fn routed(to: &[&str]) -> Config {
    let routing = Routing { routes: to.iter().map(|to| route(to)).collect(), rules: Vec::new() };
    config(Instance { routing, ..instance(100, &addresses(2)[1..]) })
}

/// One node, and what it wanted of the kernel, in order: `+VIP`, `-VIP`, `+10.1.0.0/16`, `-routes`, `said`, `announced`.
struct Alone {
    node: Node,
    now: Instant,
    wanted: Vec<String>,
    /// What becomes of routes.
    failed: Vec<String>,
    restored: Vec<String>,
    journal: Vec<Event>,
}

impl Alone {
    fn without_interface(config: &Config) -> Self {
        let now = Instant::from_epoch(SECOND * 1000);
        let node = Node::new(now, config);
        Self { node, now, wanted: vec![], failed: vec![], restored: vec![], journal: vec![] }
    }

    /// With its interface, which has these addresses.
    fn with(config: &Config, texts: &[(&str, Option<Duration>)]) -> Self {
        let mut alone = Self::without_interface(config);
        let mac = Some(MacAddr([2, 0, 0, 0, 1, 2]));
        alone.give(Input::Link(LinkSeen { name: eth0(), index: 2, mac, up: true, carrier: true, port_of: None }));
        let seen = |(text, remaining): &(&str, Option<Duration>)| AddressSeen {
            address: text.parse::<IpNet>().unwrap(),
            marked: remaining.is_some(),
            usable: true,
            remaining: *remaining,
        };
        alone.give(Input::Addresses { interface: eth0(), addresses: texts.iter().map(seen).collect() });
        alone
    }

    fn new(to: &[&str]) -> Self {
        Self::with(&routed(to), &[("192.168.0.20/24", None)])
    }

    fn give(&mut self, input: Input<'_>) {
        self.node.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            let input = match output {
                Output::Transmit(sent) => {
                    self.wanted.push("said".to_owned());
                    let Transmit { instance, path, .. } = sent;
                    Input::Transmitted { instance, path, result: Ok(()), carrier: Some(true) }
                }
                Output::Hold(hold) => {
                    self.wanted.push(if hold.addresses.is_empty() { "-VIP" } else { "+VIP" }.to_owned());
                    Input::Held { instance: hold.instance, result: Ok(()) }
                }
                Output::Routes(routes) => {
                    let all: Vec<String> =
                        routes.wanted.routes.iter().map(|route| format!("+{}", route.destination)).collect();
                    self.wanted.push(if all.is_empty() { "-routes".to_owned() } else { all.join(" ") });
                    let (restored, failed) = (std::mem::take(&mut self.restored), self.failed.clone());
                    Input::Routed { instance: routes.instance, restored, failed }
                }
                Output::Announce { .. } => {
                    self.wanted.push("announced".to_owned());
                    continue;
                }
                Output::Report(Journal { event, .. }) => {
                    self.journal.push(event);
                    continue;
                }
                Output::Renamed(_)
                | Output::Ask(_)
                | Output::Witness(_)
                | Output::Judge { .. }
                | Output::BeforeRelease { .. } => continue,
            };
            self.node.handle_input(self.now, input);
        }
    }

    fn run_for(&mut self, time: Duration) {
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

    fn condition(&self) -> Option<String> {
        let conditions = self.node.status().instances[0].conditions.clone();
        conditions.into_iter().find(|is| is.name == "routes").map(|is| is.text)
    }

    /// What it wanted since it was asked last.
    fn wanted(&mut self) -> Vec<String> {
        std::mem::take(&mut self.wanted)
    }
}

const ONE: [&str; 1] = ["10.1.0.0/16"];

#[test]
fn they_come_after_the_addresses_and_go_before_them() {
    let mut alone = Alone::new(&ONE);
    alone.run_for(SECOND * 15);
    let wanted = alone.wanted();
    let first = wanted.iter().position(|what| what == "+VIP").unwrap();
    // Nothing of a process before this one is left on a backup.
    assert_eq!(wanted[..first].iter().filter(|what| what.contains("route")).count(), 1, "{wanted:?}");
    assert_eq!(wanted[first..first + 3], ["+VIP", "+10.1.0.0/16", "announced"]);
    // They are looked after as often as the addresses.
    let count = |what: &str| wanted.iter().filter(|it| *it == what).count();
    assert_eq!(count("+VIP"), count("+10.1.0.0/16"));
    alone.give(Input::Command(Command::Stop));
    alone.run_for(SECOND * 3);
    let wanted = alone.wanted();
    let last = wanted.iter().position(|what| what == "-routes").unwrap();
    assert_eq!(wanted[last..], ["-routes", "-VIP"], "{wanted:?}");
}

#[test]
fn without_routes_the_kernel_is_not_asked_about_them() {
    let mut alone = Alone::new(&[]).master();
    assert!(!alone.wanted().iter().any(|what| what.contains("routes")));
}

/// A fault lets go at once, of the routes as well.
#[test]
fn a_fault_leaves_none_behind() {
    let mut alone = Alone::new(&ONE).master();
    alone.wanted();
    alone.give(Input::LinkGone(eth0()));
    assert_eq!(alone.wanted(), ["-routes", "-VIP"]);
    assert_eq!(alone.role(), Role::Fault);
}

/// Whether the interface comes back or not, what a dead process left here must not stay.
#[test]
fn what_was_left_behind_goes_where_the_interface_is_not_there_too() {
    let mut alone = Alone::without_interface(&routed(&ONE));
    alone.run_for(SECOND);
    assert_eq!(alone.wanted(), ["-routes"]);
}

#[test]
fn what_was_left_behind_is_kept_by_whoever_takes_the_role_over() {
    let leased = [("192.168.0.20/24", None), (VIP, Some(SECOND * 2))];
    let mut alone = Alone::with(&routed(&ONE), &leased);
    alone.run_for(SECOND);
    assert_eq!(alone.role(), Role::Master);
    assert!(!alone.wanted().contains(&"-routes".to_owned()));
}

/// keepalived logs a line and stays master as well; what it does not do is say so for as long as it is so, and try again.
#[test]
fn what_cannot_be_set_is_said_and_tried_again_while_the_address_stays() {
    let mut alone = Alone::new(&ONE);
    alone.failed = vec!["the route 10.1.0.0/16 via 192.168.0.1 cannot be set: unreachable".to_owned()];
    let mut alone = alone.master();
    let said = alone.condition().unwrap();
    assert!(said.ends_with("cannot be set: unreachable; tried again after each advertisement"), "{said}");
    alone.failed.clear();
    alone.run_for(SECOND);
    assert_eq!((alone.condition(), alone.role()), (None, Role::Master));
    assert!(alone.journal.iter().any(|event| matches!(event, Event::Cleared(what) if what.name == "routes")));
}

#[test]
fn what_cannot_be_removed_is_said_for_as_long_as_it_is_so() {
    let mut alone = Alone::new(&ONE).master();
    alone.failed = vec!["the route 10.1.0.0/16 via 192.168.0.1 cannot be removed: no memory".to_owned()];
    alone.give(Input::LinkGone(eth0()));
    alone.run_for(SECOND);
    assert_eq!(alone.role(), Role::Fault);
    let said = alone.condition().unwrap();
    assert!(said.ends_with("no memory; tried again when this node serves again: remove it by hand"), "{said}");
}

#[test]
fn what_somebody_removed_is_put_back_and_said() {
    let mut alone = Alone::new(&ONE).master();
    alone.restored = vec!["the route 10.1.0.0/16".to_owned()];
    alone.run_for(SECOND);
    let said = |event: &Event| matches!(event, Event::Note(text) if text.contains("somebody removed the route 10.1"));
    assert!(alone.journal.iter().any(said));
}

/// A reload that changes nothing else: neither the addresses nor the role are touched.
#[test]
fn others_are_exchanged_under_a_role_that_stays() {
    let mut alone = Alone::new(&ONE).master();
    alone.wanted();
    let transitions = alone.node.status().instances[0].transitions;
    for (to, wanted) in [(vec!["10.1.0.0/16", "10.2.0.0/16"], "+10.1.0.0/16 +10.2.0.0/16"), (vec![], "-routes")] {
        alone.give(Input::Reload(routed(&to).into()));
        assert_eq!(alone.wanted(), [wanted]);
    }
    assert_eq!((alone.role(), alone.node.status().instances[0].transitions), (Role::Master, transitions));
}

#[test]
fn a_reload_that_takes_the_instance_away_takes_its_routes_along() {
    let mut alone = Alone::new(&ONE).master();
    alone.wanted();
    let empty = Config { instances: Vec::new(), ..routed(&[]) };
    alone.give(Input::Reload(empty.into()));
    alone.run_for(SECOND * 3);
    let wanted = alone.wanted();
    assert_eq!(wanted[wanted.len() - 2..], ["-routes", "-VIP"], "{wanted:?}");
}

/// Whatever process comes, or does not, after this one: they have no lease that would end by itself.
#[test]
fn a_restart_hands_over_where_routes_are_set() {
    let mut alone = Alone::new(&ONE).master();
    assert!(alone.node.objection_to_leaving().unwrap().contains("no lease"));
    alone.give(Input::Command(Command::Leave));
    alone.run_for(SECOND * 3);
    let wanted = alone.wanted();
    assert_eq!(wanted[wanted.len() - 2..], ["-routes", "-VIP"], "{wanted:?}");
    assert_eq!(Alone::new(&ONE).node.objection_to_leaving(), None, "a backup has set none");
}

/// The addresses of an owner are its own and never touched; its routes are set and removed like anybody's.
#[test]
fn an_owners_routes_come_and_go() {
    let mut owner = routed(&ONE);
    owner.instances[0].priority = Priority::OWNER;
    let mut alone = Alone::with(&owner, &[(VIP, None)]).master();
    assert!(alone.wanted().contains(&"+10.1.0.0/16".to_owned()));
    alone.give(Input::Command(Command::Stop));
    alone.run_for(SECOND * 3);
    let wanted = alone.wanted();
    assert!(wanted.contains(&"-routes".to_owned()) && !wanted.contains(&"-VIP".to_owned()), "{wanted:?}");
}
