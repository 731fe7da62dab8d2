//! Two nodes' configurations side by side: what makes a pair that is not one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{
    Auth, Config, Instance, LastResort, Preempt, Protocol, Transport, auth_hmac,
    error::{Problem, Severity},
    group, path, routing,
    value::readable,
    witness,
};
use crate::wire::Version;

/// Two backups whose timers run out closer together than this may both take the address.
const APART_MIN: Duration = Duration::from_millis(2);

/// What does not fit between the nodes of a pair, errors and warnings, in no particular line of either file.
#[must_use]
pub fn compare(a: &Config, b: &Config) -> Vec<Problem> {
    let mut found = Vec::new();
    let (mut name_a, mut name_b) = (a.node.as_str(), b.node.as_str());
    if name_a == name_b {
        let todo = "give each its own: the mail and the journal tell them apart by it";
        warning(&mut found, format!("both nodes are called {name_a}"), todo);
        (name_a, name_b) = ("the first", "the second");
    }
    let mut alone: Vec<&Instance> = b.instances.iter().collect();
    let mut counterparts = Vec::new();
    for first in &a.instances {
        match counterpart(first, &alone) {
            None => only_on(first, name_a, name_b, &mut found),
            Some(second) => {
                alone.retain(|instance| !std::ptr::eq(*instance, second));
                counterparts.push((first, second));
                Pair { a: first, b: second, name_a, name_b }.check(&mut found);
            }
        }
    }
    for second in alone {
        only_on(second, name_b, name_a, &mut found);
    }
    group::compare(a, b, &counterparts, &mut found);
    witness::compare(a, b, &mut found);
    found
}

/// The instance of the other node that is meant to be the same virtual router: by name, else by its identifier, rather in a network
/// of the same name.
#[must_use]
pub fn counterpart<'b>(first: &Instance, others: &[&'b Instance]) -> Option<&'b Instance> {
    let named = others.iter().find(|other| other.name == first.name);
    let mut numbered = others.iter().filter(|other| (other.vrid, other.family) == (first.vrid, first.family));
    let nearest = || {
        let same = numbered.clone().find(|other| other.netns == first.netns);
        same.or_else(|| numbered.next())
    };
    named.or_else(nearest).copied()
}

fn only_on(instance: &Instance, here: &str, there: &str, found: &mut Vec<Problem>) {
    let what = format!(
        "{}: only {here} has it, {there} has neither its name nor virtual router {}",
        instance.name, instance.vrid
    );
    warning(found, what, "add it to the other node, or nobody takes its addresses over");
}

/// One virtual router on both nodes.
struct Pair<'c> {
    a: &'c Instance,
    b: &'c Instance,
    name_a: &'c str,
    name_b: &'c str,
}

impl Pair<'_> {
    fn check(&self, found: &mut Vec<Problem>) {
        self.check_identity(found);
        self.check_auth(found);
        auth_hmac::compare((self.a, self.name_a), (self.b, self.name_b), found);
        self.check_interval(found);
        self.check_addresses(found);
        routing::compare((self.a, self.name_a), (self.b, self.name_b), found);
        self.check_priorities(found);
        self.check_hearing(found);
        self.check_patience(found);
        path::compare((self.a, self.name_a), (self.b, self.name_b), found);
        self.check_last_resort(found);
        self.check_accept(found);
    }

    /// `NAME: what A has on A, what B has on B`.
    fn both(&self, key: &str, a: impl std::fmt::Display, b: impl std::fmt::Display) -> String {
        format!("{}: {key} is {a} on {} and {b} on {}", self.a.name, self.name_a, self.name_b)
    }

    fn check_identity(&self, found: &mut Vec<Problem>) {
        if self.a.vrid != self.b.vrid {
            let what = self.both("virtual_router_id", self.a.vrid, self.b.vrid);
            error(found, what, "write the same in both: to each other they are strangers");
        }
        let number = |instance: &Instance| match instance.protocol.version() {
            Version::V2 => 2,
            Version::V3 => 3,
        };
        if number(self.a) != number(self.b) {
            let what = self.both("version", number(self.a), number(self.b));
            error(found, what, "write the same in both: each rejects the other's advertisements");
        }
    }

    fn check_auth(&self, found: &mut Vec<Problem>) {
        let (Protocol::V2(a), Protocol::V2(b)) = (&self.a.protocol, &self.b.protocol) else { return };
        if a == b {
            return;
        }
        let what = match (a, b) {
            (Auth::None, _) => format!("{}: only {} has a password", self.a.name, self.name_b),
            (_, Auth::None) => format!("{}: only {} has a password", self.a.name, self.name_a),
            // Whoever checks need not be who may read it.
            (Auth::Secret(_), _) | (_, Auth::Secret(_)) => return,
            (Auth::Pass(_), Auth::Pass(_)) => format!("{}: the passwords differ", self.a.name),
        };
        error(found, what, "write the same auth.password in both: each rejects the other's advertisements");
    }

    fn check_interval(&self, found: &mut Vec<Problem>) {
        if self.a.advertise == self.b.advertise {
            return;
        }
        let (a, b) = (self.a.advertise.as_duration(), self.b.advertise.as_duration());
        let what = self.both("advertise", readable(a), readable(b));
        match self.a.protocol.version() {
            Version::V2 => {
                error(found, what, "write the same in both: version 2 rejects advertisements with another interval");
            }
            Version::V3 => {
                let todo = "write the same in both, unless it is meant that the takeover takes longer one way";
                warning(found, what, todo);
            }
        }
    }

    fn check_addresses(&self, found: &mut Vec<Problem>) {
        let addresses =
            |instance: &Instance| instance.held_addresses().map(ipnet::IpNet::addr).collect::<BTreeSet<_>>();
        let (a, b) = (addresses(self.a), addresses(self.b));
        for (mine, other, name) in [(&a, &b, self.name_a), (&b, &a, self.name_b)] {
            let only: Vec<String> = mine.difference(other).map(ToString::to_string).collect();
            if !only.is_empty() {
                let what = format!("{}: only {name} has {}", self.a.name, only.join(", "));
                error(found, what, "write the same addresses in both: what only one has is gone after a takeover");
            }
        }
        let advertised =
            |instance: &Instance| instance.addresses.iter().map(ipnet::IpNet::addr).collect::<BTreeSet<_>>();
        if a == b && advertised(self.a) != advertised(self.b) {
            let what = format!("{}: not the same addresses are advertised by both nodes", self.a.name);
            error(found, what, "write the same addresses, and the same addresses_excluded, in both");
        }
        for net in self.a.held_addresses() {
            if let Some(other) = self.b.held_addresses().find(|other| other.addr() == net.addr() && *other != net) {
                let what = self.both("the address", net, other);
                warning(found, what, "write the same prefix in both, unless the nodes stand in different networks");
            }
        }
    }

    fn check_priorities(&self, found: &mut Vec<Problem>) {
        let (a, b) = (self.a.priority, self.b.priority);
        if a == b {
            let what = format!("{}: both nodes have priority {a}", self.a.name);
            if a.is_owner() {
                error(found, what, "255 is for the one machine that has the address anyway: lower the other");
            } else {
                let todo = "give the node that shall serve the higher one: now the higher own address decides";
                warning(found, what, todo);
            }
            return;
        }
        let version = self.a.protocol.version();
        let (skew_a, skew_b) = (self.a.advertise.skew_time(version, a), self.a.advertise.skew_time(version, b));
        let apart = skew_a.abs_diff(skew_b);
        if apart < APART_MIN {
            let what = format!(
                "{}: with priorities {a} and {b} and {} between advertisements, two backups are {} apart",
                self.a.name,
                readable(self.a.advertise.as_duration()),
                readable(apart)
            );
            warning(
                found,
                what,
                "write priorities that lie further apart, like 200 and 50, so that not both take the address",
            );
        }
    }

    /// Each counts on the other's patience: for its lease, and for who comes first.
    fn check_patience(&self, found: &mut Vec<Problem>) {
        for (one, other, counts, waits) in
            [(self.a, self.b, self.name_a, self.name_b), (self.b, self.a, self.name_b, self.name_a)]
        {
            if one.peer_down_adverts != other.down_adverts {
                let what = format!(
                    "{}: {counts} counts on a peer that takes over after {} missed advertisements, {waits} does after {}",
                    one.name, one.peer_down_adverts, other.down_adverts
                );
                let todo = "write the same down_adverts in both, and peer_down_adverts of the other's down_adverts";
                warning(found, what, todo);
            }
        }
    }

    /// Whoever keeps the address at priority 1 counts on a peer that takes it (R24).
    fn check_last_resort(&self, found: &mut Vec<Problem>) {
        for (keeper, peer, keeps, leaves) in
            [(self.a, self.b, self.name_a, self.name_b), (self.b, self.a, self.name_b, self.name_a)]
        {
            if (keeper.last_resort, peer.preempt) == (LastResort::Keep, Preempt::Never) {
                let what = format!(
                    "{}: {keeps} keeps the address at priority 1 while its rules are down (last_resort), and {leaves} never \
                     preempts: a node that becomes fit later takes it only when it is offered again, up to a minute later",
                    keeper.name
                );
                warning(found, what, "write preempt = true there, or last_resort = \"release\" here");
            }
        }
    }

    fn check_accept(&self, found: &mut Vec<Problem>) {
        if self.a.mac() != self.b.mac() && self.a.vrid == self.b.vrid {
            let what = self.both("virtual_mac", self.a.virtual_mac.is_some(), self.b.virtual_mac.is_some());
            warning(found, what, "write the same in both: clients learn of another MAC address at each takeover");
        }
        if self.a.drops_packets() != self.b.drops_packets() {
            let what = self.both("accept", self.a.accept, self.b.accept);
            warning(found, what, "write the same in both: a takeover changes whether the addresses answer");
        }
    }

    fn check_hearing(&self, found: &mut Vec<Problem>) {
        if self.a.transport != self.b.transport {
            let name = |transport: Transport| match transport {
                Transport::Multicast => "multicast",
                Transport::Unicast => "unicast",
            };
            let what = self.both("transport", name(self.a.transport), name(self.b.transport));
            error(found, what, "write the same in both: they do not hear each other");
        } else if self.a.transport == Transport::Multicast && self.a.group() != self.b.group() {
            let what = self.both("multicast_group", self.a.group(), self.b.group());
            error(found, what, "write the same in both: they do not hear each other");
        }
        let peers = |instance: &Instance| instance.peers.iter().copied().collect::<BTreeSet<IpAddr>>();
        let (a, b) = (peers(self.a), peers(self.b));
        if !a.is_empty() && a == b {
            let list = a.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{}: both nodes name the same peers, {list}", self.a.name);
            error(found, what, "peers are the other nodes: in each file, name the other one's address");
        }
        let unheard =
            |source: Option<IpAddr>, peers: &BTreeSet<IpAddr>| source.filter(|source| !peers.contains(source));
        for (source, peers, from, to) in
            [(self.a.source, &b, self.name_a, self.name_b), (self.b.source, &a, self.name_b, self.name_a)]
        {
            if let Some(source) = unheard(source, peers) {
                let what = format!("{}: {from} advertises from {source}, which is no peer of {to}", self.a.name);
                error(found, what, "add it to the peers there");
            }
        }
    }
}

fn error(found: &mut Vec<Problem>, what: String, todo: &str) {
    found.push(Problem::anywhere(Severity::Error, what, todo));
}

fn warning(found: &mut Vec<Problem>, what: String, todo: &str) {
    found.push(Problem::anywhere(Severity::Warning, what, todo));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AntiReplay, AuthHmac, Checksum, HmacKey, HmacMode, fixture},
        wire::{AdverInterval, Key, Priority, Vrid},
    };

    /// Changes one node of the founding pair.
    type Change = fn(&mut Config, &mut Config);

    fn seen(change: Change) -> String {
        let (mut a, mut b) = fixture::pair();
        change(&mut a, &mut b);
        let list = |found: Vec<Problem>| found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        list(compare(&a, &b))
    }

    fn second(peer: &str) -> path::Path {
        path::Path {
            name: "second".to_owned(),
            interface: "eth1".parse().unwrap(),
            transport: Transport::Multicast,
            multicast_group: None,
            min_ttl: 1,
            max_ttl: 255,
            peers: vec![peer.parse().unwrap()],
            source: None,
        }
    }

    fn signs(keys: &[u8], active: u8) -> AuthHmac {
        let id = |number| std::num::NonZeroU8::new(number).unwrap();
        AuthHmac {
            keys: keys.iter().map(|key| (id(*key), HmacKey::Known(Key::new(&[*key; 32]).unwrap()))).collect(),
            active_key: id(active),
            anti_replay: AntiReplay::Time,
            time_window: Duration::from_secs(5),
            mode: HmacMode::Enforce,
        }
    }

    fn fast(config: &mut Config) {
        let instance = config.instances.first_mut().unwrap();
        instance.protocol = Protocol::V3(Checksum::Auto);
        instance.advertise = AdverInterval::from_centis(1).unwrap();
    }

    /// A second instance, in one group with the first.
    fn two(config: &mut Config) {
        let mut second = config.instances[0].clone();
        second.name = "VI_2".to_owned();
        second.vrid = Vrid::new(52).unwrap();
        config.instances.push(second);
        let instances = vec!["VI_1".to_owned(), "VI_2".to_owned()];
        config.groups =
            vec![crate::config::Group { name: "G1".to_owned(), instances, notify: crate::config::Notify::default() }];
    }

    #[test]
    fn the_founding_pair_fits() {
        assert_eq!(seen(|_, _| ()), "");
    }

    #[test]
    fn messages_about_pairs() {
        let cases: &[(&str, Change)] = &[
            ("name", |a, b| b.node.clone_from(&a.node)),
            ("identifier", |_, b| b.instances[0].vrid = Vrid::new(52).unwrap()),
            ("another name, the same router", |_, b| b.instances[0].name = "VI_X".to_owned()),
            ("another name, another router", |_, b| {
                b.instances[0].name = "VI_X".to_owned();
                b.instances[0].vrid = Vrid::new(52).unwrap();
            }),
            ("version", |_, b| b.instances[0].protocol = Protocol::V3(Checksum::Auto)),
            ("no password here", |a, _| a.instances[0].protocol = Protocol::V2(Auth::None)),
            ("no password there", |_, b| b.instances[0].protocol = Protocol::V2(Auth::None)),
            ("password", |_, b| b.instances[0].protocol = Protocol::V2(Auth::Pass(*b"2222\0\0\0\0"))),
            ("interval", |_, b| b.instances[0].advertise = AdverInterval::from_secs(2).unwrap()),
            ("interval, version 3", |a, b| {
                fast(a);
                fast(b);
                a.instances[0].priority = Priority::new(200).unwrap();
                b.instances[0].advertise = AdverInterval::from_centis(2).unwrap();
            }),
            ("addresses", |_, b| b.instances[0].addresses = vec!["192.168.0.61/24".parse().unwrap()]),
            ("prefix", |_, b| b.instances[0].addresses = vec!["192.168.0.60/25".parse().unwrap()]),
            ("routes and rules", |a, b| {
                a.instances[0].routing = fixture::routing();
                b.instances[0].routing = fixture::routing();
                // Another gateway there, and one that is there alone.
                b.instances[0].routing.routes[0].way = crate::config::Way::Refused(crate::config::Refusal::Throw);
                b.instances[0].routing.routes[2].table = 7;
                b.instances[0].routing.rules.clear();
            }),
            ("priority", |_, b| b.instances[0].priority = Priority::new(100).unwrap()),
            ("owner", |a, b| {
                a.instances[0].priority = Priority::OWNER;
                b.instances[0].priority = Priority::OWNER;
            }),
            ("near priorities", |a, b| {
                fast(a);
                fast(b);
            }),
            ("transport", |_, b| b.instances[0].transport = Transport::Unicast),
            ("group", |_, b| b.instances[0].multicast_group = Some("224.0.0.99".parse().unwrap())),
            ("a copied file", |a, b| b.instances[0].peers.clone_from(&a.instances[0].peers)),
            ("source", |a, _| a.instances[0].source = Some("192.168.0.30".parse().unwrap())),
            ("last resort beside a peer that never preempts", |a, b| {
                a.instances[0].last_resort = LastResort::Keep;
                b.instances[0].preempt = Preempt::Never;
            }),
            ("accept", |a, _| a.instances[0].accept = false),
            ("patience", |a, _| a.instances[0].down_adverts = 5),
            ("a group on one node alone", |a, b| {
                two(a);
                two(b);
                b.groups.clear();
            }),
            ("a group whose members are ranked differently", |a, b| {
                two(a);
                two(b);
                b.instances[1].priority = Priority::new(101).unwrap();
            }),
            ("virtual MAC address", |a, _| {
                a.instances[0].virtual_mac =
                    Some(crate::config::VirtualMac { name: "ha-51".parse().unwrap(), advertises: true });
            }),
            ("auth_hmac on one node alone", |a, _| a.instances[0].auth_hmac = Some(signs(&[1], 1))),
            ("a key that the other has not", |a, b| {
                a.instances[0].auth_hmac = Some(signs(&[1, 2], 2));
                b.instances[0].auth_hmac = Some(signs(&[1], 1));
            }),
            ("another key of the same number", |a, b| {
                a.instances[0].auth_hmac = Some(signs(&[1], 1));
                b.instances[0].auth_hmac = Some(signs(&[1], 1));
                let keys = &mut b.instances[0].auth_hmac.as_mut().unwrap().keys;
                keys.values_mut().for_each(|key| *key = HmacKey::Known(Key::new(&[9; 32]).unwrap()));
            }),
            ("one that demands what the other does not do", |a, b| {
                a.instances[0].auth_hmac = Some(signs(&[1], 1));
                b.instances[0].auth_hmac = Some(AuthHmac { mode: HmacMode::ReceiveOnly, ..signs(&[1], 1) });
            }),
            ("another window", |a, b| {
                a.instances[0].auth_hmac = Some(signs(&[1], 1));
                b.instances[0].auth_hmac = Some(AuthHmac { time_window: Duration::from_secs(9), ..signs(&[1], 1) });
            }),
            ("clocks on one node alone", |a, b| {
                a.instances[0].auth_hmac = Some(signs(&[1], 1));
                b.instances[0].auth_hmac = Some(AuthHmac { anti_replay: AntiReplay::Monotonic, ..signs(&[1], 1) });
            }),
            ("a path on one node alone", |a, _| a.instances[0].paths = vec![second("10.9.0.2")]),
            ("paths that do not meet", |a, b| {
                a.instances[0].paths = vec![second("10.9.0.2")];
                b.instances[0].paths = vec![second("10.9.0.2")];
                a.instances[0].paths[0].transport = Transport::Unicast;
                b.instances[0].paths[0].source = Some("10.9.0.7".parse().unwrap());
            }),
            ("paths that meet", |a, b| {
                a.instances[0].paths = vec![second("10.9.0.2")];
                b.instances[0].paths = vec![second("10.9.0.1")];
                b.instances[0].paths[0].source = Some("10.9.0.2".parse().unwrap());
            }),
            ("known source", |a, _| a.instances[0].source = Some("192.168.0.20".parse().unwrap())),
        ];
        let messages: String =
            cases.iter().map(|(title, change)| format!("==== {title}\n{}\n\n", seen(*change))).collect();
        insta::assert_snapshot!(messages);
    }
}
