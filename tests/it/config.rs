//! Configuration files: every message, every key, every file that is shipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::{collections::BTreeMap, path::Path};

use ha::config::{self, Config, Facts, Loaded, Problems};

/// A complete small configuration, by table and key; tests change lines of it.
#[derive(Clone)]
struct Draft(BTreeMap<&'static str, BTreeMap<&'static str, String>>);

impl Draft {
    fn small() -> Self {
        let mut draft = Self(BTreeMap::new());
        draft.set("", "node", "\"K1\"");
        draft.set("instance.VI_1", "interface", "\"eth0\"");
        draft.set("instance.VI_1", "virtual_router_id", "51");
        draft.set("instance.VI_1", "addresses", "[\"192.168.0.60/24\"]");
        draft.set("instance.VI_1", "peers", "[\"192.168.0.21\"]");
        draft
    }

    fn set(&mut self, table: &'static str, key: &'static str, value: &str) {
        self.0.entry(table).or_default().insert(key, value.to_owned());
    }

    /// Changes a line of the instance; an empty value removes it.
    fn with(mut self, key: &'static str, value: &str) -> Self {
        if value.is_empty() {
            self.0.get_mut("instance.VI_1").unwrap().remove(key);
        } else {
            self.set("instance.VI_1", key, value);
        }
        self
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (table, keys) in &self.0 {
            if !table.is_empty() {
                text += &format!("\n[{table}]\n");
            }
            for (key, value) in keys {
                text += &format!("{key} = {value}\n");
            }
        }
        text
    }
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    config::parse(text, Path::new("/etc/ha/ha.toml"), &Facts::default())
}

fn meant(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{text}\n{problems}")).config
}

/// What an operator sees: the problems, or the warnings of a usable configuration.
fn seen(text: &str, facts: &Facts) -> String {
    match config::parse(text, Path::new("/etc/ha/ha.toml"), facts) {
        Err(problems) => problems.to_string(),
        Ok(loaded) if loaded.warnings.is_empty() => "fine".to_owned(),
        Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"),
    }
}

fn cases(cases: &[(&str, String)], facts: &Facts) -> String {
    cases.iter().map(|(title, text)| format!("==== {title}\n{}\n\n", seen(text, facts))).collect()
}

fn instance_cases(changes: &[(&str, &[(&'static str, &str)])], facts: &Facts) -> String {
    let drafts = changes.iter().map(|(title, changes)| {
        let draft = changes.iter().fold(Draft::small(), |draft, (key, value)| draft.with(key, value));
        (*title, draft.text())
    });
    cases(&drafts.collect::<Vec<_>>(), facts)
}

/// A machine whose eth0 has an address, whose eth1 has another, whose eth2 has none.
fn machine() -> Facts {
    let networks = [
        ("eth0", vec!["192.168.0.20/24".parse().unwrap(), "fe80::20/64".parse().unwrap()]),
        ("eth1", vec!["10.0.0.1/8".parse().unwrap()]),
        ("eth2", vec![]),
    ];
    Facts { network: None, interfaces: networks.map(|(name, networks)| (name.parse().unwrap(), networks)).into() }
}

#[test]
fn messages_about_text_that_is_not_toml() {
    let small = Draft::small().text();
    let seen = cases(
        &[
            ("empty", String::new()),
            ("a text without quotes", small.replace("\"eth0\"", "eth0")),
            ("a quote is missing", small.replace("\"eth0\"", "\"eth0")),
            ("an open list", small.replace("\"]", "\"")),
            ("an open table", small.replace("VI_1]", "VI_1")),
            ("twice", format!("{small}interface = \"eth1\"\n")),
            ("no equals sign", small.replace("node =", "node")),
            (
                "two mistakes, and one of meaning",
                small.replace("\"eth0\"", "eth0").replace("\"K1\"", "K1").replace("51", "0"),
            ),
            ("what is missing may be in the unreadable part", "node = \"K1\n[instance.VI_1]\n".to_owned()),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_keys() {
    let small = Draft::small().text();
    let top = |line: &str| format!("{line}\n{small}");
    let inside = |line: &str| format!("{small}{line}\n");
    let seen = cases(
        &[
            ("a typing error", inside("prioritty = 100")),
            ("another", top("policy-dir = \"p\"")),
            ("nothing like it", inside("weight = 3")),
            ("keepalived's word", inside("advert_int = 1")),
            ("keepalived's word for a table", top("vrrp_instance = 1")),
            ("of another table", top("priority = 100")),
            ("of another table", inside("smtp = \"localhost:25\"")),
            ("of the top", inside("policy_dir = \"p\"")),
            ("of auth", inside("password = \"1111\"")),
            ("inside auth", inside("auth.type = \"PASS\"")),
            ("unknown table", inside("[instances.VI_2]")),
            ("an instance without a name", "node = \"K1\"\n[instance]\ninterface = \"eth0\"\n".to_owned()),
            ("a list of instances", "node = \"K1\"\n[[instance]]\ninterface = \"eth0\"\n".to_owned()),
            ("control is a text", top("control = \"/run/ha.sock\"")),
            ("auth is a text", inside("auth = \"1111\"")),
            ("a key with an escape", inside("\"\\u001b[31m\" = 1")),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_kinds_of_values() {
    let seen = instance_cases(
        &[
            ("number for a text", &[("interface", "0")]),
            ("list for a text", &[("interface", "[\"eth0\"]")]),
            ("text for a number", &[("virtual_router_id", "\"51\"")]),
            ("word for a number", &[("virtual_router_id", "\"fifty\"")]),
            ("fraction for a number", &[("priority", "99.5")]),
            ("far too large", &[("priority", "99999999999999999999")]),
            ("text for a flag", &[("preempt", "\"no\"")]),
            ("a time without a unit", &[("advertise", "1")]),
            ("a fraction without a unit", &[("advertise", "0.1")]),
            ("a text without a unit", &[("advertise", "\"1\"")]),
            ("an unknown unit", &[("advertise", "\"1 tick\"")]),
            ("a flag for a time", &[("advertise", "true")]),
            ("more digits than a time has", &[("link_settle", "\"18446744073709551615s1000ms\"")]),
            ("no lease", &[("lease", "\"never\"")]),
            ("lease without a unit", &[("lease", "3")]),
            ("text for a list", &[("peers", "\"192.168.0.21\"")]),
            ("number for a list", &[("peers", "21")]),
            ("number in a list", &[("policies", "[\"a\", 1, [2]]")]),
            ("unknown word", &[("transport", "\"broadcast\"")]),
            ("nearly a word", &[("transport", "\"Multicats\"")]),
            (
                "every word",
                &[("claim", "\"on\""), ("on_conflict", "\"stel\""), ("prefer", "\"nobody\""), ("checksum", "\"crc\"")],
            ),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_the_node() {
    let with = |table: &'static str, key: &'static str, value: &str| {
        let mut draft = Draft::small();
        draft.set(table, key, value);
        draft.text()
    };
    let long = format!("\"/{}\"", "x".repeat(107));
    let mail = |to: &str, from: &str, smtp: &str, timeout: &str| {
        let mut draft = Draft::small();
        for (key, value) in [("to", to), ("from", from), ("smtp", smtp), ("timeout", timeout)] {
            if !value.is_empty() {
                draft.set("mail", key, value);
            }
        }
        draft.text()
    };
    let (to, from) = ("[\"ops@example.org\"]", "\"ha@example.org\"");
    let seen = cases(
        &[
            ("no name", Draft::small().text().replace("node = \"K1\"\n", "")),
            ("empty name", with("", "node", "\"\"")),
            ("two lines", with("", "node", "\"K1\\nBcc: x\"")),
            ("no instance", "node = \"K1\"\n".to_owned()),
            ("real-time", with("", "realtime_priority", "100")),
            ("no user", with("privileges", "user", "\"root:root\"")),
            ("no capability", with("privileges", "capabilities", "[\"ptrace\"]")),
            ("no directory", with("privileges", "writable", "[\"\"]")),
            (
                "writable anyway",
                format!("{}[privileges]\nconfine = false\nwritable = [\"/srv\"]\n", Draft::small().text()),
            ),
            ("no network", with("", "netns", "\"../blue\"")),
            ("empty path", with("", "policy_dir", "\"\"")),
            ("long socket", with("control", "socket", &long)),
            ("mail with nothing", format!("{}[mail]\n", Draft::small().text())),
            ("mail to nobody", mail("[]", from, "", "")),
            ("no addresses", mail("[\"ops\", \"a b@c\"]", "\"K1\"", "", "")),
            ("no port", mail(to, from, "\"localhost\"", "")),
            ("no host", mail(to, from, "\":25\"", "")),
            ("no such port", mail(to, from, "\"localhost:0\"", "")),
            ("bare IPv6", mail(to, from, "\"2001:db8::25:25\"", "")),
            ("no time", mail(to, from, "", "\"0s\"")),
            ("good", mail("[\"Ops <ops@example.org>\"]", from, "\"[2001:db8::25]:25\"", "\"1s\"")),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_an_instance() {
    let seen = instance_cases(
        &[
            (
                "nothing that it needs",
                &[("interface", ""), ("virtual_router_id", ""), ("addresses", ""), ("peers", "")],
            ),
            ("interface", &[("interface", "\"a name that is long\"")]),
            ("loopback", &[("interface", "\"lo\"")]),
            ("router 0", &[("virtual_router_id", "0")]),
            ("router 256", &[("virtual_router_id", "256")]),
            ("priority 0", &[("priority", "0")]),
            ("priority 256", &[("priority", "256")]),
            ("priority -1", &[("priority", "-1")]),
            ("preempt", &[("preempt", "false"), ("preempt_delay", "\"3s\"")]),
            ("preempt delay", &[("preempt_delay", "\"2h\"")]),
            ("peer_down_adverts", &[("peer_down_adverts", "0")]),
            ("down_adverts", &[("down_adverts", "1")]),
            ("link_settle", &[("link_settle", "\"2h\"")]),
            ("announce_refresh", &[("announce_refresh", "\"100ms\"")]),
            (
                "announcements",
                &[
                    ("announce_repeat", "0"),
                    ("announce_lower_repeat", "101"),
                    ("announce_delay", "\"2h\""),
                    ("announce_interval", "\"11s\""),
                ],
            ),
            (
                "programs that are told",
                &[
                    ("notify.run", "[\"notify.sh\"]"),
                    ("notify.master", "[\"/m\", \"a\\u0000b\"]"),
                    ("notify.user", "\"a b\""),
                    ("notify.timeout", "\"1ms\""),
                ],
            ),
            ("an owner's virtual MAC", &[("virtual_mac", "true"), ("priority", "255")]),
            (
                "a virtual MAC by unicast",
                &[("virtual_mac", "true"), ("transport", "\"unicast\""), ("virtual_mac_advertise", "\"virtual\"")],
            ),
            ("the name of the interface", &[("virtual_mac", "true"), ("virtual_mac_name", "\"eth0\"")]),
            ("a name of no device", &[("virtual_mac_name", "\"ha-51\"")]),
            ("an owner that accepts nothing", &[("accept", "false"), ("priority", "255")]),
            ("a policy of nothing", &[("policies", "[{ weight = -20 }]")]),
            (
                "a weight of a policy",
                &[("policies", "[{ policy = \"a\", weight = 254 }, { policy = \"b\", wait = 1 }]")],
            ),
            ("policies", &[("policies", "[\"check_local.rhai\", \"a\", \"a\", \"../b\"]")]),
            ("lease that is none", &[("lease", "\"0s\"")]),
            ("lease in fractions", &[("lease", "\"1500ms\"")]),
            ("lease shorter than the interval", &[("lease", "\"2s\""), ("advertise", "\"3s\"")]),
            ("lease longer than the bound", &[("lease", "\"3s\"")]),
            ("lease as long as automatic", &[("lease", "\"2s\"")]),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn the_name_of_an_instance() {
    let text = Draft::small().text().replace("[instance.VI_1]", "[instance.\"VI 1/../x\"]");
    let seen = seen(&text, &Facts::default());
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_the_protocol() {
    let v2: &[(&'static str, &str)] = &[("version", "2")];
    let v2 = |key, value| [v2, &[(key, value)]].concat();
    let v6 = "[\"fe80::33/64\", \"2001:db8::60/64\"]";
    let peers = "[\"fe80::21\"]";
    let seen = instance_cases(
        &[
            ("version 1", &[("version", "1")]),
            ("version 1 hides nothing else", &[("version", "1"), ("advertise", "\"1ms\""), ("prefer", "\"x\"")]),
            ("version 2, IPv6", &[("version", "2"), ("addresses", v6), ("peers", peers)]),
            ("version 2, 100 ms", &v2("advertise", "\"100ms\"")),
            ("version 2, 256 s", &v2("advertise", "\"256s\"")),
            ("version 2, 0 s", &v2("advertise", "\"0s\"")),
            ("version 2, checksum", &v2("checksum", "\"auto\"")),
            ("version 2, long password", &v2("auth.password", "\"correct horse\"")),
            ("version 2, long password of long letters", &v2("auth.password", "\"ąęśćżź\"")),
            ("version 2, empty password", &v2("auth.password", "\"\"")),
            ("version 2, a secret that is none", &v2("auth.password", "\"secret:../shadow\"")),
            ("version 2, a secret", &v2("auth.password", "\"secret:vrrp\"")),
            ("version 2, a password of eight", &v2("auth.password", "\"12345678\"")),
            ("version 3, password", &[("auth.password", "\"1111\"")]),
            ("version 3, 5 ms", &[("advertise", "\"5ms\"")]),
            ("version 3, 41 s", &[("advertise", "\"41s\"")]),
            ("version 3, 40.95 s", &[("advertise", "\"40.95s\"")]),
            ("version 3, IPv6, checksum", &[("checksum", "\"auto\""), ("addresses", v6), ("peers", peers)]),
            ("version 3, IPv6", &[("addresses", v6), ("peers", peers)]),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_addresses() {
    let many = |count: usize| {
        let list: Vec<String> = (1..=count).map(|n| format!("\"10.0.{}.{}/16\"", n / 250, n % 250 + 1)).collect();
        format!("[{}]", list.join(","))
    };
    let (twenty_one, too_many) = (many(21), many(256));
    let short =
        |text: String| text.lines().map(|line| line.chars().take(110).collect::<String>() + "\n").collect::<String>();
    let seen = instance_cases(
        &[
            ("none", &[("addresses", "[]")]),
            ("names", &[("addresses", "[\"www.example.org\", \"192.168.0.256/24\", \"192.168.0.60/33\"]")]),
            ("two families", &[("addresses", "[\"192.168.0.60/24\", \"2001:db8::60/64\"]")]),
            ("twice", &[("addresses", "[\"192.168.0.60/24\", \"192.168.0.60/32\"]")]),
            ("network and broadcast", &[("addresses", "[\"192.168.0.0/24\", \"192.168.0.255/24\", \"10.0.0.0/31\"]")]),
            (
                "not one machine's",
                &[("addresses", "[\"224.0.0.1/4\", \"127.0.0.2/8\", \"0.0.0.0/0\", \"255.255.255.255/32\"]")],
            ),
            ("IPv6", &[("addresses", "[\"2001:db8::/64\", \"ff02::1/64\", \"::1/128\"]"), ("peers", "[\"fe80::21\"]")]),
            ("link-local first", &[("addresses", "[\"2001:db8::60/64\"]"), ("peers", "[\"fe80::21\"]")]),
            ("no prefix, nothing known", &[("interface", "\"eth9\""), ("addresses", "[\"192.168.0.60\"]")]),
            ("no prefix, on the network", &[("addresses", "[\"192.168.0.60\"]")]),
            ("no prefix, on another", &[("addresses", "[\"172.16.0.60\"]")]),
            ("no prefix, no network", &[("interface", "\"eth2\""), ("addresses", "[\"172.16.0.60\"]")]),
            ("no prefix, IPv6", &[("addresses", "[\"fe80::33\", \"2001:db8::60\"]"), ("peers", "[\"fe80::21\"]")]),
        ],
        &machine(),
    );
    insta::assert_snapshot!(seen);
    let many = instance_cases(
        &[("many", &[("addresses", &twenty_one)]), ("too many", &[("addresses", &too_many)])],
        &machine(),
    );
    insta::assert_snapshot!("many_addresses", short(many));
}

#[test]
fn messages_about_peers() {
    let v6 = ("addresses", "[\"fe80::33/64\", \"2001:db8::60/64\"]");
    let seen = instance_cases(
        &[
            ("multicast, none", &[("peers", "")]),
            ("multicast, empty", &[("peers", "[]")]),
            ("unicast, none", &[("peers", ""), ("transport", "\"unicast\"")]),
            ("unicast, empty", &[("peers", "[]"), ("transport", "\"unicast\"")]),
            ("names and prefixes", &[("peers", "[\"node2\", \"192.168.0.21/24\"]")]),
            ("with its interface", &[v6, ("peers", "[\"fe80::21%eth0\"]")]),
            ("the virtual address", &[("peers", "[\"192.168.0.60\"]"), ("source", "\"192.168.0.60\"")]),
            ("twice", &[("peers", "[\"192.168.0.21\", \"192.168.0.21\"]")]),
            ("myself", &[("peers", "[\"192.168.0.20\"]"), ("source", "\"192.168.0.20\"")]),
            ("nobody's", &[("peers", "[\"224.0.0.18\", \"127.0.0.1\", \"0.0.0.0\"]")]),
            ("another family", &[("peers", "[\"fe80::21\"]"), ("source", "\"fe80::20\"")]),
            ("IPv6, not link-local", &[v6, ("peers", "[\"2001:db8::21\"]"), ("source", "\"2001:db8::20\"")]),
            ("IPv6 unicast, no source", &[v6, ("peers", "[\"2001:db8::21\"]"), ("transport", "\"unicast\"")]),
            (
                "IPv6 unicast",
                &[v6, ("peers", "[\"2001:db8::21\"]"), ("source", "\"2001:db8::20\""), ("transport", "\"unicast\"")],
            ),
            ("no group", &[("multicast_group", "\"192.168.0.99\"")]),
            ("a group of the other family", &[v6, ("multicast_group", "\"224.0.0.99\"")]),
            ("a group that leaves the link", &[v6, ("multicast_group", "\"ff05::99\"")]),
            ("a group in unicast", &[("multicast_group", "\"224.0.0.99\""), ("transport", "\"unicast\"")]),
            ("a least TTL in multicast", &[("min_ttl", "254")]),
            ("a highest TTL in multicast", &[("max_ttl", "64")]),
            (
                "no TTL at all",
                &[("min_ttl", "64"), ("max_ttl", "63"), ("transport", "\"unicast\""), ("peers", "[\"192.168.0.21\"]")],
            ),
            ("a gate that nothing opens", &[("gate", "true"), ("track_own_interface", "false")]),
            ("a least TTL of nothing", &[("min_ttl", "256"), ("transport", "\"unicast\"")]),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_an_owner() {
    let seen = instance_cases(
        &[
            ("not native", &[("priority", "255")]),
            ("native", &[("priority", "255"), ("addresses", "[\"192.168.0.20/24\"]")]),
            ("not known", &[("priority", "255"), ("interface", "\"eth9\"")]),
            ("preempt", &[("priority", "255"), ("interface", "\"eth9\""), ("preempt", "false")]),
        ],
        &machine(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_several_instances() {
    let second = |vrid: &str, interface: &str, address: &str, peer: &str| {
        let mut draft = Draft::small();
        let changes = [("virtual_router_id", vrid), ("interface", interface), ("addresses", address), ("peers", peer)];
        for (key, value) in changes {
            draft.set("instance.VI_2", key, value);
        }
        draft.text()
    };
    let (other, peer) = ("[\"192.168.0.61/24\"]", "[\"192.168.0.21\"]");
    let apart = || second("52", "\"eth0\"", other, peer);
    let on_device = "[{ address = \"192.168.0.61/24\", device = \"ha-51\" }]";
    let with_device = |text: String| text.replace("[instance.VI_1]\n", "[instance.VI_1]\nvirtual_mac = true\n");
    let seen = cases(
        &[
            ("the same router", second("51", "\"eth0\"", other, peer)),
            ("the same address", second("52", "\"eth0\"", "[\"192.168.0.60/24\"]", peer)),
            ("another interface", second("51", "\"eth1\"", other, peer)),
            ("another router", second("52", "\"eth0\"", other, peer)),
            ("a virtual MAC each", with_device(apart()) + "virtual_mac = true\n"),
            ("two on one device", with_device(apart()) + "virtual_mac = true\nvirtual_mac_name = \"ha-51\"\n"),
            ("the same name by itself", with_device(second("51", "\"eth1\"", other, peer)) + "virtual_mac = true\n"),
            ("on the device of another", with_device(second("52", "\"ha-51\"", other, peer))),
            ("an address on the device of another", with_device(second("52", "\"eth0\"", on_device, peer))),
            (
                "an address on its own device",
                apart().replace(other, on_device) + "virtual_mac = true\nvirtual_mac_name = \"ha-51\"\n",
            ),
            (
                "the same in another network",
                second("51", "\"eth0\"", "[\"192.168.0.60/24\"]", peer) + "netns = \"blue\"\n",
            ),
            (
                "the same in the same other network",
                (second("51", "\"eth0\"", other, peer) + "netns = \"/run/netns/blue\"\n")
                    .replace("[instance.VI_1]\n", "[instance.VI_1]\nnetns = \"blue\"\n"),
            ),
            (
                "the same in the network of the daemon",
                format!("netns = \"blue\"\n{}netns = \"blue\"\n", second("51", "\"eth0\"", other, peer)),
            ),
            ("no network", second("52", "\"eth0\"", other, peer) + "netns = \"a/b\"\n"),
            (
                "a network with a long name",
                format!("{}netns = \"{}\"\n", second("52", "\"eth0\"", other, peer), "n".repeat(100)),
            ),
            (
                "one virtual MAC each, in two networks",
                with_device(second("51", "\"eth0\"", other, peer)) + "virtual_mac = true\nnetns = \"blue\"\n",
            ),
            (
                "a group across networks",
                second("52", "\"eth0\"", other, peer)
                    + "netns = \"blue\"\n[group.G]\ninstances = [\"VI_1\", \"VI_2\"]\n",
            ),
            ("another family", second("51", "\"eth0\"", "[\"fe80::33/64\"]", "[\"fe80::21\"]")),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn all_errors_at_once() {
    let text = "node = 1\npolicydir = \"p\"\n\n[instance.VI_1]\ninterface = \"eth 0\"\nvirtual_router_id = 0\npriority = 256\n\
                version = 2\nadvertise = \"100ms\"\nauth.password = \"123456789\"\naddresses = [\"192.168.0.60\"]\n\
                peers = [\"fe80::1\"]\nlease = \"x\"\n";
    let problems = parse(text).unwrap_err();
    let lines: Vec<_> = problems.list().iter().map(|problem| problem.position().unwrap().0).collect();
    assert_eq!(lines, [1, 2, 5, 6, 7, 9, 10, 11, 12, 13]);
    assert!(problems.to_string().ends_with("10 errors in /etc/ha/ha.toml; nothing was changed."));
    let mixed = text.replace("node = 1\npolicydir = \"p\"\n", "node = \"K1\"\n").replace("eth 0", "lo");
    let mixed = parse(&mixed).unwrap_err();
    assert!(mixed.to_string().starts_with("warning: lo reaches only this machine"), "{mixed}");
    assert!(mixed.errors_first().to_string().starts_with("error: "), "whoever marks it as refused begins with why");
    assert!(problems.with_outcome("ha does not start").to_string().ends_with("; ha does not start."));
}

/// The table of an entry of `addresses`.
const ENTRY: &str = "instance.VI_1.addresses[]";
/// The table of a path.
const PATH: &str = "instance.VI_1.path.VI_1";
/// The table of an entry of `track.interfaces`, of an instance and of a group.
const INTERFACE: &str = "instance.VI_1.track.interfaces[]";
const GROUP_INTERFACE: &str = "group.VI_1.track.interfaces[]";
const ROUTE: &str = "instance.VI_1.routes[]";
const NEXTHOP: &str = "instance.VI_1.routes[].nexthops[]";
const RULE: &str = "instance.VI_1.rules[]";
const EXCLUDED: &str = "instance.VI_1.addresses_excluded[]";
/// The same of `track.files`.
const FILE: &str = "instance.VI_1.track.files[]";
const GROUP_FILE: &str = "group.VI_1.track.files[]";
/// The same of `track.processes`.
const PROCESS: &str = "instance.VI_1.track.processes[]";
const GROUP_PROCESS: &str = "group.VI_1.track.processes[]";

/// Every key with a value that is not its default, in the order of the reference.
const KEYS: &[(&str, &str, &str)] = &[
    ("", "node", "\"K2\""),
    ("", "policy_dir", "\"scripts\""),
    ("", "realtime_priority", "10"),
    ("", "netns", "\"blue\""),
    ("", "lock_memory", "true"),
    ("", "boot_last_good", "false"),
    ("", "start_delay", "\"30s\""),
    ("", "boot_delay", "\"60s\""),
    ("", "secrets_dir", "\"/run/secrets\""),
    ("", "allow_exec", "[\"/usr/bin/true\"]"),
    ("control", "socket", "\"/tmp/ha.sock\""),
    ("control", "state_dir", "\"/tmp/ha\""),
    ("policy", "probation", "\"5s\""),
    ("policy", "auto_rollback", "true"),
    ("privileges", "user", "\"ha\""),
    ("privileges", "capabilities", "[\"CAP_SYS_PTRACE\"]"),
    ("privileges", "confine", "false"),
    ("privileges", "writable", "[\"/srv/data\"]"),
    ("events", "fifo", "\"/run/ha/events\""),
    ("events", "priority_changes", "true"),
    ("witness", "endpoints", "[\"http://192.168.0.23:2379\"]"),
    ("witness", "mode", "\"strict\""),
    ("witness", "key", "\"ha/other\""),
    ("witness", "ttl", "\"10s\""),
    ("witness", "timeout", "\"300ms\""),
    ("witness", "user", "\"ha\""),
    ("witness", "password", "\"secret:etcd\""),
    ("witness", "ca", "\"/etc/ha/etcd-ca.pem\""),
    ("interface.VI_1", "up_delay", "\"2s\""),
    ("interface.VI_1", "down_delay", "\"1s\""),
    ("mail", "to", "[\"other@example.org\"]"),
    ("mail", "from", "\"other@example.org\""),
    ("mail", "smtp", "\"mail:587\""),
    ("mail", "timeout", "\"5s\""),
    ("webhook.VI_1", "url", "\"https://other.example.org/\""),
    ("webhook.VI_1", "secret", "\"chat_url\""),
    ("webhook.VI_1", "alert", "true"),
    ("group.VI_1", "instances", "[\"VI_1\"]"),
    ("group.VI_1", "track.interfaces", "[\"eth1\"]"),
    (GROUP_INTERFACE, "interface", "\"eth2\""),
    (GROUP_INTERFACE, "any", "[\"eth2\", \"eth3\"]"),
    (GROUP_INTERFACE, "weight", "-20"),
    (GROUP_INTERFACE, "reverse", "true"),
    ("group.VI_1", "notify.run", "[\"/etc/ha/notify.sh\"]"),
    ("group.VI_1", "notify.master", "[\"/etc/ha/notify.sh\"]"),
    ("group.VI_1", "notify.backup", "[\"/etc/ha/notify.sh\"]"),
    ("group.VI_1", "notify.fault", "[\"/etc/ha/notify.sh\"]"),
    ("group.VI_1", "notify.stop", "[\"/etc/ha/notify.sh\"]"),
    ("group.VI_1", "notify.user", "\"nobody\""),
    ("group.VI_1", "notify.timeout", "\"5s\""),
    ("group.VI_1", "track.files", "[\"/away\"]"),
    (GROUP_FILE, "file", "\"/other\""),
    (GROUP_FILE, "weight", "-20"),
    (GROUP_FILE, "reverse", "true"),
    (GROUP_FILE, "missing", "0"),
    ("group.VI_1", "track.processes", "[\"web\"]"),
    (GROUP_PROCESS, "process", "\"other\""),
    (GROUP_PROCESS, "cmdline", "\"-x\""),
    (GROUP_PROCESS, "min", "2"),
    (GROUP_PROCESS, "max", "3"),
    (GROUP_PROCESS, "weight", "-20"),
    (GROUP_PROCESS, "reverse", "true"),
    (GROUP_PROCESS, "up_delay", "\"1s\""),
    (GROUP_PROCESS, "down_delay", "\"1s\""),
    ("instance.VI_1", "interface", "\"eth1\""),
    ("instance.VI_1", "netns", "\"blue\""),
    ("instance.VI_1", "virtual_router_id", "52"),
    ("instance.VI_1", "priority", "99"),
    ("instance.VI_1", "version", "2"),
    ("instance.VI_1", "advertise", "\"2s\""),
    ("instance.VI_1", "auth.password", "\"1111\""),
    ("instance.VI_1", "auth_hmac.keys", "{ 2 = \"secret:two\" }"),
    ("instance.VI_1", "auth_hmac.active_key", "3"),
    ("instance.VI_1", "auth_hmac.anti_replay", "\"monotonic\""),
    ("instance.VI_1", "auth_hmac.time_window", "\"7s\""),
    ("instance.VI_1", "auth_hmac.mode", "\"permissive\""),
    ("instance.VI_1", "checksum", "\"rfc9568\""),
    ("instance.VI_1", "preempt", "false"),
    ("instance.VI_1", "preempt_delay", "\"3s\""),
    ("instance.VI_1", "addresses", "[\"192.168.0.61/24\"]"),
    (ENTRY, "address", "\"192.168.0.61/24\""),
    (ENTRY, "device", "\"eth1\""),
    (ENTRY, "virtual_mac", "true"),
    (ENTRY, "label", "\"eth0:web\""),
    (ENTRY, "scope", "\"link\""),
    (ENTRY, "broadcast", "\"auto\""),
    (ENTRY, "peer", "\"192.168.0.61\""),
    (ENTRY, "network_route", "false"),
    (ENTRY, "track", "false"),
    ("instance.VI_1", "addresses_excluded", "[\"192.168.0.61/24\"]"),
    (EXCLUDED, "address", "\"192.168.0.61/24\""),
    (EXCLUDED, "device", "\"eth1\""),
    (EXCLUDED, "virtual_mac", "true"),
    (EXCLUDED, "label", "\"eth0:web\""),
    (EXCLUDED, "scope", "\"link\""),
    (EXCLUDED, "broadcast", "\"auto\""),
    (EXCLUDED, "peer", "\"192.168.0.61\""),
    (EXCLUDED, "network_route", "false"),
    (EXCLUDED, "track", "false"),
    ("instance.VI_1", "routes", "[{ to = \"default\", via = \"192.168.0.1\" }]"),
    (ROUTE, "to", "\"10.3.0.0/16\""),
    (ROUTE, "via", "\"192.168.0.2\""),
    (ROUTE, "device", "\"eth1\""),
    (ROUTE, "onlink", "true"),
    (ROUTE, "nexthops", "[{ via = \"192.168.0.1\" }, { via = \"192.168.0.2\" }]"),
    (NEXTHOP, "via", "\"192.168.0.3\""),
    (NEXTHOP, "device", "\"eth1\""),
    (NEXTHOP, "onlink", "true"),
    (NEXTHOP, "weight", "2"),
    (ROUTE, "kind", "\"blackhole\""),
    (ROUTE, "source", "\"192.168.0.60\""),
    (ROUTE, "table", "\"100\""),
    (ROUTE, "metric", "50"),
    (ROUTE, "scope", "\"link\""),
    (ROUTE, "mtu", "1400"),
    (ROUTE, "advmss", "1360"),
    (ROUTE, "track", "false"),
    ("instance.VI_1", "rules", "[{ priority = 5, table = \"100\" }]"),
    (RULE, "family", "\"ipv6\""),
    (RULE, "priority", "500"),
    (RULE, "invert", "true"),
    (RULE, "from", "\"10.8.0.0/16\""),
    (RULE, "to", "\"10.8.0.0/16\""),
    (RULE, "fwmark", "\"0x10/0xff\""),
    (RULE, "iif", "\"eth1\""),
    (RULE, "oif", "\"eth1\""),
    (RULE, "uidrange", "\"1000-1999\""),
    (RULE, "ip_proto", "\"tcp\""),
    (RULE, "sport", "\"1024-65535\""),
    (RULE, "dport", "\"80\""),
    (RULE, "table", "\"200\""),
    (RULE, "l3mdev", "true"),
    (RULE, "kind", "\"prohibit\""),
    (RULE, "suppress_prefixlength", "0"),
    (RULE, "track", "false"),
    ("instance.VI_1", "peers", "[\"192.168.0.22\"]"),
    ("instance.VI_1", "transport", "\"unicast\""),
    ("instance.VI_1", "multicast_group", "\"224.0.0.99\""),
    ("instance.VI_1", "min_ttl", "255"),
    ("instance.VI_1", "max_ttl", "64"),
    ("instance.VI_1", "track_own_interface", "false"),
    ("instance.VI_1", "source", "\"192.168.0.20\""),
    (PATH, "interface", "\"eth2\""),
    (PATH, "peers", "[\"10.9.0.3\"]"),
    (PATH, "transport", "\"unicast\""),
    (PATH, "multicast_group", "\"224.0.0.99\""),
    (PATH, "min_ttl", "255"),
    (PATH, "max_ttl", "64"),
    (PATH, "source", "\"10.9.0.1\""),
    ("instance.VI_1", "lease", "\"off\""),
    ("instance.VI_1", "claim", "\"off\""),
    ("instance.VI_1", "on_conflict", "\"steal\""),
    ("instance.VI_1", "prefer", "\"availability\""),
    ("instance.VI_1", "peer_down_adverts", "5"),
    ("instance.VI_1", "down_adverts", "5"),
    ("instance.VI_1", "link_settle", "\"1s\""),
    ("instance.VI_1", "announce_refresh", "\"0s\""),
    ("instance.VI_1", "announce_refresh_repeat", "2"),
    ("instance.VI_1", "announce_repeat", "2"),
    ("instance.VI_1", "announce_delay", "\"3s\""),
    ("instance.VI_1", "announce_lower_repeat", "2"),
    ("instance.VI_1", "announce_lower_delay", "\"3s\""),
    ("instance.VI_1", "announce_interval", "\"10ms\""),
    ("instance.VI_1", "notify.run", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.master", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.backup", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.fault", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.stop", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.deleted", "[]"),
    ("instance.VI_1", "notify.lower_priority", "[\"/etc/ha/notify.sh\"]"),
    ("instance.VI_1", "notify.user", "\"nobody\""),
    ("instance.VI_1", "notify.timeout", "\"5s\""),
    ("instance.VI_1", "accept", "false"),
    ("instance.VI_1", "gate", "false"),
    ("instance.VI_1", "virtual_mac", "true"),
    ("instance.VI_1", "virtual_mac_name", "\"vrrp.51\""),
    ("instance.VI_1", "virtual_mac_advertise", "\"base\""),
    ("instance.VI_1", "track.interfaces", "[\"eth1\"]"),
    (INTERFACE, "interface", "\"eth2\""),
    (INTERFACE, "any", "[\"eth2\", \"eth3\"]"),
    (INTERFACE, "weight", "-20"),
    (INTERFACE, "reverse", "true"),
    ("instance.VI_1", "track.files", "[\"/away\"]"),
    (FILE, "file", "\"/other\""),
    (FILE, "weight", "-20"),
    (FILE, "reverse", "true"),
    (FILE, "missing", "0"),
    ("instance.VI_1", "track.processes", "[\"web\"]"),
    (PROCESS, "process", "\"other\""),
    (PROCESS, "cmdline", "\"-x\""),
    (PROCESS, "min", "2"),
    (PROCESS, "max", "3"),
    (PROCESS, "weight", "-20"),
    (PROCESS, "reverse", "true"),
    (PROCESS, "up_delay", "\"1s\""),
    (PROCESS, "down_delay", "\"1s\""),
    ("instance.VI_1", "last_resort", "\"keep\""),
    ("instance.VI_1", "on_error", "\"fault\""),
    ("instance.VI_1", "error_for", "\"5m\""),
];

/// The list, with one entry, and with the same entry and this key.
fn entries_of_routing(table: &str, key: &str, value: &str) -> (&'static str, String, String) {
    let entry = |settings: &[(&str, &str)]| {
        let with: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        format!("{{ {} }}", with.join(", "))
    };
    let mut settings: Vec<(&str, &str)> = match table {
        RULE => vec![("table", "\"100\""), ("priority", "5")],
        NEXTHOP => vec![("via", "\"192.168.0.2\""), ("device", "\"eth0\"")],
        _ => vec![("to", "\"10.1.0.0/16\""), ("via", "\"192.168.0.1\""), ("device", "\"eth0\"")],
    };
    let before = entry(&settings);
    settings.retain(|(known, _)| match key {
        "l3mdev" | "kind" if table == RULE => *known != "table",
        "kind" | "nexthops" => *known == "to",
        _ => *known != key,
    });
    settings.push((key, value));
    let after = entry(&settings);
    let list = |entry: String| match table {
        NEXTHOP => format!("[{{ to = \"10.1.0.0/16\", nexthops = [{{ via = \"192.168.0.1\" }}, {entry}] }}]"),
        _ => format!("[{entry}]"),
    };
    (if table == RULE { "rules" } else { "routes" }, list(before), list(after))
}

#[test]
fn every_key_changes_something() {
    let mut tried: Vec<String> = Vec::new();
    for &(table, key, value) in KEYS {
        let mut before = Draft::small();
        if table == "mail" {
            before.set("mail", "to", "[\"ops@example.org\"]");
            before.set("mail", "from", "\"ha@example.org\"");
        }
        if key == "auth.password" {
            before.set("instance.VI_1", "version", "2");
        }
        if table == "webhook.VI_1" && key != "secret" {
            before.set("webhook.VI_1", "url", "\"https://chat.example.org/\"");
        }
        if table == "group.VI_1" && key != "instances" {
            before.set("group.VI_1", "instances", "[\"VI_1\"]");
        }
        if table == "witness" {
            before.set("witness", "endpoints", "[\"https://192.168.0.22:2379\"]");
            before.set("witness", "key", "\"ha/web\"");
            if key == "user" || key == "password" {
                before.set("witness", "user", "\"other\"");
                before.set("witness", "password", "\"secret:other\"");
            }
        }
        if key.starts_with("virtual_mac_") {
            before.set("instance.VI_1", "virtual_mac", "true");
        }
        if key.starts_with("auth_hmac.") && key != "auth_hmac.keys" {
            before.set("instance.VI_1", "auth_hmac.keys", "{ 2 = \"secret:two\", 3 = \"file:three\" }");
            before.set("instance.VI_1", "auth_hmac.active_key", "2");
        }
        if table == PATH {
            before.set(PATH, "interface", "\"eth1\"");
            before.set(PATH, "peers", "[\"10.9.0.2\"]");
        }
        if table == PATH && ["min_ttl", "max_ttl"].contains(&key) {
            before.set(PATH, "transport", "\"unicast\"");
        }
        if key == "error_for" {
            before.set("instance.VI_1", "on_error", "\"fault\"");
        }
        if ["min_ttl", "max_ttl"].contains(&key) && table != PATH {
            before.set("instance.VI_1", "transport", "\"unicast\"");
        }
        if table.starts_with("group.VI_1") && key != "instances" {
            before.set("group.VI_1", "instances", "[\"VI_1\"]");
        }
        let tracked = [
            (".track.interfaces[]", "track.interfaces", "interface", "\"eth1\""),
            (".track.files[]", "track.files", "file", "\"/away\""),
            (".track.processes[]", "track.processes", "process", "\"web\""),
        ];
        let tracked =
            tracked.into_iter().find_map(|(end, list, name, one)| Some((table.strip_suffix(end)?, list, name, one)));
        if let Some((table, list, _, one)) = tracked {
            before.set(table, list, &format!("[{one}]"));
        }
        let mut after = before.clone();
        match key {
            _ if [ROUTE, NEXTHOP, RULE].contains(&table) => {
                let (list, bare, full) = entries_of_routing(table, key, value);
                before.set("instance.VI_1", list, &bare);
                after.set("instance.VI_1", list, &full);
            }
            _ if tracked.is_some() => {
                let (table, list, name, one) = tracked.unwrap();
                let what = if key == name || key == "any" { String::new() } else { format!("{name} = {one}, ") };
                after.set(table, list, &format!("[{{ {what}{key} = {value} }}]"));
            }
            "virtual_mac" if table == ENTRY || table == EXCLUDED => {
                let (list, entry) = match table {
                    ENTRY => ("addresses", "address = \"192.168.0.60/24\", device = \"eth1\""),
                    _ => ("addresses_excluded", "address = \"10.0.0.62/24\", device = \"eth1\""),
                };
                before.set("instance.VI_1", list, &format!("[{{ {entry} }}]"));
                after.set("instance.VI_1", list, &format!("[{{ {entry}, {key} = {value} }}]"));
            }
            _ if table == EXCLUDED => {
                let address = if key == "address" { value } else { "\"10.0.0.62/24\"" };
                let more = if key == "address" { String::new() } else { format!(", {key} = {value}") };
                before.set("instance.VI_1", "addresses_excluded", "[\"10.0.0.62/24\"]");
                after.set("instance.VI_1", "addresses_excluded", &format!("[{{ address = {address}{more} }}]"));
            }
            "address" => after.set("instance.VI_1", "addresses", &format!("[{{ address = {value} }}]")),
            _ if table == ENTRY => {
                let entry = format!("[{{ address = \"192.168.0.60/24\", {key} = {value} }}]");
                after.set("instance.VI_1", "addresses", &entry);
            }
            _ => after.set(table, key, value),
        }
        assert_ne!(meant(&before.text()), meant(&after.text()), "{table}.{key} = {value}");
        tried.push(if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") });
    }
    assert_ne!(meant(&Draft::small().text()), meant(&Draft::small().with("policies", "[\"web\"]").text()));
    tried.push("instance.VI_1.policies".to_owned());
    let with = |entry: &str| meant(&Draft::small().with("policies", &format!("[{{ {entry} }}]")).text());
    assert_ne!(with("policy = \"web\""), with("policy = \"db\""));
    assert_ne!(with("policy = \"web\""), with("policy = \"web\", weight = -20"));
    tried.extend(["policy", "weight"].map(|key| format!("instance.VI_1.policies[].{key}")));
    let mut known: Vec<String> = config::keys().iter().map(|key| key.replace("NAME", "VI_1")).collect();
    known.sort();
    tried.sort();
    assert_eq!(tried, known);
}

fn read(file: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

#[test]
fn the_reference_names_every_key_and_equals_the_defaults() {
    let reference = read("config/reference.toml");
    let small = Draft::small().with("peers", "").text();
    assert_eq!(meant(&reference), meant(&small));
    let is_setting = |line: &str| {
        line.split_once(" = ").is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || "_.".contains(c)))
    };
    let of_entries = |line: &&str| !line.contains("[{");
    let lines = reference.lines().map(|line| line.strip_prefix("# ").unwrap_or(line));
    let settings: Vec<&str> = lines.filter(of_entries).filter(|line| is_setting(line)).collect();
    let written = settings.iter().map(|line| line.split(' ').next().unwrap().replace("path.second.", "path.NAME."));
    let mut written: Vec<String> = written.collect();
    let keys = config::keys();
    let mut known: Vec<&str> = keys
        .iter()
        .filter(|key| !key.contains("[]"))
        .map(|key| {
            let tables = ["instance.NAME.", "interface.NAME.", "webhook.NAME.", "group.NAME."];
            let named = tables.iter().find_map(|table| key.strip_prefix(table));
            named.or(key.split_once('.').map(|(_, key)| key)).unwrap_or(key)
        })
        .collect();
    written.sort_unstable();
    known.sort_unstable();
    assert_eq!(written, known);
}

#[test]
fn the_reference_shows_every_setting_of_an_address() {
    let reference = read("config/reference.toml");
    let entry = reference.lines().find_map(|line| line.strip_prefix("# addresses = [{")).unwrap();
    for key in config::keys().iter().filter_map(|key| key.strip_prefix("instance.NAME.addresses[].")) {
        assert!(entry.contains(&format!("{key} = ")), "{key}");
    }
    let instance = meant(&Draft::small().with("addresses", &format!("[{{{entry}")).text()).instances.remove(0);
    assert_eq!(instance.addresses, ["192.168.0.60/24".parse().unwrap()]);
    let manner = instance.manners.values().next().unwrap();
    assert_eq!(manner.label.as_deref(), Some("eth0:web"));
    assert_eq!(manner.broadcast, Some([192, 168, 0, 255].into()));
}

#[test]
fn messages_about_the_settings_of_an_address() {
    let one = |settings: &str| format!("[{{ address = \"192.168.0.60/24\", {settings} }}]");
    let texts = [
        ("none at all", "[{ label = \"eth0:1\" }]".to_owned()),
        ("no prefix", "[{ address = \"192.168.0.60\" }]".to_owned()),
        ("a typing error", one("lable = \"eth0:1\"")),
        ("keepalived's word", one("brd = \"+\"")),
        ("another interface's label", one("label = \"web\"")),
        ("a long label", one("label = \"eth0:a-long-label\"")),
        ("nearly a scope", one("scope = \"Global\"")),
        ("no broadcast address", one("broadcast = \"+\"")),
        (
            "a broadcast address where there is none",
            "[{ address = \"192.168.0.60/32\", broadcast = \"auto\" }]".to_owned(),
        ),
        ("a far end with a prefix", one("peer = \"192.168.0.61/32\"")),
        ("a far end of another family", one("peer = \"fd00::1\"")),
        ("no flag", one("network_route = \"no\"")),
        ("an IPv6 label", "[\"fe80::33/64\", { address = \"fd00::60/64\", label = \"eth0:1\" }]".to_owned()),
        ("a setting outside", "[\"192.168.0.60/24\"]\nlabel = \"eth0:1\"".to_owned()),
        (
            "two scopes in one network",
            "[{ address = \"192.168.0.60/24\", scope = \"link\" }, \"192.168.1.60/24\", \"192.168.0.61/24\"]"
                .to_owned(),
        ),
        ("no device", one("device = \"eth 1\"")),
        ("a label of another device", one("device = \"eth1\", label = \"eth0:1\"")),
        ("twice, once excluded", "[\"192.168.0.60/24\"]\naddresses_excluded = [\"192.168.0.60/32\"]".to_owned()),
        ("excluded of the other family", "[\"192.168.0.60/24\"]\naddresses_excluded = [\"fd00::60/64\"]".to_owned()),
        ("a number", "[60]".to_owned()),
    ];
    let drafts = texts.map(|(title, addresses)| {
        let draft = Draft::small().with("addresses", &addresses);
        (title, if addresses.contains("fe80") { draft.with("peers", "") } else { draft }.text())
    });
    insta::assert_snapshot!(cases(&drafts, &Facts::default()));
}

/// Each line that begins like this in the reference, behind that.
fn mentioned(beginning: &str) -> Vec<String> {
    let reference = read("config/reference.toml");
    reference.lines().filter_map(|line| line.strip_prefix(beginning)).map(str::to_owned).collect()
}

#[test]
fn the_reference_shows_every_setting_of_what_is_tracked() {
    let written = mentioned("# track.interfaces = ");
    for key in config::keys().iter().filter_map(|key| key.strip_prefix("instance.NAME.track.interfaces[].")) {
        assert!(written.iter().any(|line| line.contains(&format!("{key} = "))), "{key}");
    }
    let tracked = written.iter().map(|line| {
        let tracks = meant(&Draft::small().with("track.interfaces", line).text()).instances.remove(0).tracks;
        tracks.interfaces.iter().map(|tracked| (tracked.to_string(), tracked.effect)).collect::<Vec<_>>()
    });
    let (fault, less) = (config::Effect::Fault, config::Effect::Weight(-20));
    let named = |name: &str, effect| (format!("interface{name}"), effect);
    let of_group = vec![named(" eth1", fault), named("s eth3, eth4", less)];
    let of_instance = vec![named(" eth1", fault), named(" eth2", less), named("s eth3, eth4", fault)];
    assert_eq!(tracked.collect::<Vec<_>>(), [of_group, of_instance]);
}

#[test]
fn messages_about_what_is_tracked() {
    let seen = cases(
        &[
            ("the own interface", "[\"eth0\"]"),
            ("no interface", "[\"eth 1\"]"),
            ("twice", "[\"eth1\", { interface = \"eth1\", weight = -20 }]"),
            ("nothing", "[{ weight = -20 }]"),
            ("one and any", "[{ interface = \"eth1\", any = [\"eth2\"] }]"),
            ("any of nothing", "[{ any = [] }]"),
            ("any of two of a name", "[{ any = [\"eth1\", \"eth1\"] }]"),
            ("a weight of nothing", "[{ interface = \"eth1\", weight = 0 }]"),
            ("a weight as of a file", "[{ interface = \"eth1\", weight = -254 }]"),
            ("an owner's weight", "[{ interface = \"eth1\", weight = -20 }]\npriority = 255"),
            ("no list", "\"eth1\""),
            ("outside", "[\"eth1\"]\nweight = -20"),
        ]
        .map(|(title, tracked)| (title, Draft::small().with("track.interfaces", tracked).text())),
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn the_reference_shows_every_setting_of_a_file() {
    let written = mentioned("# track.files = ");
    for key in config::keys().iter().filter_map(|key| key.strip_prefix("instance.NAME.track.files[].")) {
        assert!(written.iter().any(|line| line.contains(&format!("{key} = "))), "{key}");
    }
    for line in written {
        assert!(!meant(&Draft::small().with("track.files", &line).text()).instances.remove(0).tracks.files.is_empty());
    }
}

#[test]
fn messages_about_tracked_files() {
    let seen = cases(
        &[
            ("no path", "[\"away\"]"),
            ("a directory", "[\"/\"]"),
            ("twice", "[\"/away\", { file = \"/away\", weight = 1 }]"),
            ("nothing", "[{ weight = 1 }]"),
            ("a weight of nothing", "[{ file = \"/away\", weight = 0 }]"),
            ("a weight too many", "[{ file = \"/away\", weight = 255 }]"),
            ("two signs", "[{ file = \"/away\", weight = 2, reverse = true }]"),
            ("missing too much", "[{ file = \"/away\", missing = 1000001 }]"),
            ("a typing error", "[{ file = \"/away\", mising = 0 }]"),
        ]
        .map(|(title, tracked)| (title, Draft::small().with("track.files", tracked).text())),
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn the_reference_shows_every_setting_of_a_process() {
    let written = mentioned("# track.processes = ");
    for key in config::keys().iter().filter_map(|key| key.strip_prefix("instance.NAME.track.processes[].")) {
        assert!(written.iter().any(|line| line.contains(&format!("{key} = "))), "{key}");
    }
    for line in written {
        let instance = meant(&Draft::small().with("track.processes", &line).text()).instances.remove(0);
        assert_eq!(instance.tracks.processes.first().unwrap().to_string(), "process nginx");
    }
}

#[test]
fn messages_about_processes() {
    let seen = cases(
        &[
            ("a path", "[\"/usr/sbin/nginx\"]"),
            ("twice", "[\"nginx\", { process = \"nginx\", min = 2 }]"),
            ("nothing", "[{ min = 2 }]"),
            ("any number", "[{ process = \"nginx\", min = 0 }]"),
            ("none", "[{ process = \"nginx\", max = 0 }]"),
            ("less than at least", "[{ process = \"nginx\", min = 3, max = 2 }]"),
            ("fewer than none", "[{ process = \"nginx\", min = -1 }]"),
            ("an empty text", "[{ process = \"nginx\", cmdline = \"\" }]"),
            ("a long delay", "[{ process = \"nginx\", up_delay = \"2h\" }]"),
        ]
        .map(|(title, tracked)| (title, Draft::small().with("track.processes", tracked).text())),
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn the_reference_shows_a_policy_with_a_weight() {
    let line = mentioned("# policies = ").remove(0);
    let instance = meant(&Draft::small().with("policies", &line).text()).instances.remove(0);
    assert_eq!(instance.policies, ["uplink", "check_local"]);
    assert_eq!(instance.policy_weights, [("uplink".to_owned(), -20)].into());
}

#[test]
fn the_reference_shows_every_setting_of_a_route_and_of_a_rule() {
    for (list, count) in [("routes", 3), ("rules", 3)] {
        let written = mentioned(&format!("# {list} = ")).remove(0);
        for key in config::keys().iter().filter_map(|key| key.strip_prefix(&format!("instance.NAME.{list}[]."))) {
            let key = key.strip_prefix("nexthops[].").unwrap_or(key);
            assert!(written.contains(&format!("{key} = ")), "{list}: {key}");
        }
        let routing = meant(&Draft::small().with(list, &written).text()).instances.remove(0).routing;
        assert_eq!(routing.routes.len() + routing.rules.len(), count);
        let all = routing.routes.iter().map(ToString::to_string).chain(routing.rules.iter().map(ToString::to_string));
        insta::assert_snapshot!(format!("what_the_reference_means_by_{list}"), all.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn messages_about_routes() {
    let routes = |list: &'static str| Draft::small().with("routes", list).text();
    let seen = cases(
        &[
            ("nowhere", routes("[{ via = \"192.168.0.1\" }]")),
            ("no way", routes("[{ to = \"10.1.0.0/16\" }]")),
            ("no network", routes("[{ to = \"ten\", via = \"192.168.0.1\" }]")),
            ("bits of a host", routes("[{ to = \"10.1.0.1/16\", via = \"192.168.0.1\" }]")),
            ("no gateway", routes("[{ to = \"default\", via = \"router\" }]")),
            ("an IPv4 gateway", routes("[{ to = \"fd00::/64\", via = \"192.168.0.1\" }]")),
            ("two ways", routes("[{ to = \"10.1.0.0/16\", kind = \"blackhole\", via = \"192.168.0.1\" }]")),
            (
                "one and several",
                routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\", nexthops = [{ via = \"10.0.0.2\" }] }]"),
            ),
            ("a hop to nowhere", routes("[{ to = \"10.1.0.0/16\", nexthops = [{ weight = 2 }] }]")),
            ("a heavy hop", routes("[{ to = \"10.1.0.0/16\", nexthops = [{ via = \"10.0.0.2\", weight = 257 }] }]")),
            ("onlink of nothing", routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\", onlink = true }]")),
            ("no table", routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\", table = \"isp1\" }]")),
            ("no metric", routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\", metric = -1 }]")),
            (
                "a source of the other family",
                routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\", source = \"fd00::1\" }]"),
            ),
            (
                "a scope of IPv6",
                routes("[{ to = \"fd00::/64\", via = \"fe80::1\", device = \"eth0\", scope = \"link\" }]"),
            ),
            ("nearly a kind", routes("[{ to = \"10.1.0.0/16\", kind = \"blakhole\" }]")),
            (
                "twice",
                routes("[{ to = \"10.1.0.0/16\", via = \"10.0.0.1\" }, { to = \"10.1.0.0/16\", via = \"10.0.0.2\" }]"),
            ),
            ("a typing error", routes("[{ to = \"10.1.0.0/16\", vai = \"10.0.0.1\" }]")),
            ("keepalived's words", routes("[{ to = \"10.1.0.0/16\", gw = \"10.0.0.1\", no_track = true }]")),
            ("a text", routes("[\"default via 192.168.0.1\"]")),
            ("keepalived's word for the list", Draft::small().with("virtual_routes", "[]").text()),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_rules_of_routing() {
    let rules = |list: &'static str| Draft::small().with("rules", list).text();
    let seen = cases(
        &[
            ("nothing", rules("[{ priority = 9, from = \"10.8.0.0/16\" }]")),
            ("two things", rules("[{ priority = 9, table = \"100\", kind = \"blackhole\" }]")),
            ("two families", rules("[{ priority = 9, from = \"10.8.0.0/16\", to = \"fd00::/64\", table = \"100\" }]")),
            (
                "another family than it says",
                rules("[{ priority = 9, from = \"10.8.0.0/16\", family = \"ipv6\", table = \"100\" }]"),
            ),
            ("a kind of routes", rules("[{ priority = 9, kind = \"throw\" }]")),
            ("the kernel's own priority", rules("[{ priority = 32766, table = \"100\" }]")),
            ("one priority", rules("[{ priority = 5, table = \"100\" }, { priority = 5, table = \"200\" }]")),
            ("no mark", rules("[{ priority = 9, fwmark = \"red\", table = \"100\" }]")),
            ("no range", rules("[{ priority = 9, dport = \"90-80\", table = \"100\" }]")),
            ("no users", rules("[{ priority = 9, uidrange = \"root\", table = \"100\" }]")),
            ("no protocol", rules("[{ priority = 9, ip_proto = \"http\", table = \"100\" }]")),
            ("no interface", rules("[{ priority = 9, iif = \"eth 1\", table = \"100\" }]")),
            ("a long prefix", rules("[{ priority = 9, table = \"main\", suppress_prefixlength = 200 }]")),
            ("no priority", rules("[{ table = \"100\" }]")),
            ("keepalived's words", rules("[{ lookup = \"100\", preference = 5 }]")),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn messages_about_what_two_instances_set() {
    let two = |first: &str, second: &str, table: u32| {
        let mut draft = Draft::small().with("routes", first);
        draft.set("instance.VI_2", "interface", "\"eth0\"");
        draft.set("instance.VI_2", "virtual_router_id", "52");
        draft.set("instance.VI_2", "addresses", "[\"192.168.0.61/24\"]");
        draft.set("instance.VI_2", "peers", "[\"192.168.0.21\"]");
        draft.set("instance.VI_2", "routes", second);
        draft.set("instance.VI_1", "rules", "[{ priority = 5, table = \"100\" }]");
        draft.set("instance.VI_2", "rules", &format!("[{{ priority = 5, table = \"{table}\" }}]"));
        draft.text()
    };
    let via = |last: u8| format!("[{{ to = \"10.1.0.0/16\", via = \"192.168.0.{last}\" }}]");
    assert_eq!(meant(&two(&via(1), &via(1), 100)).instances.len(), 2);
    insta::assert_snapshot!(cases(&[("other ones", two(&via(1), &via(2), 200))], &Facts::default()));
}

/// As keepalived does: without the interface of its routes a node has nothing to serve with.
#[test]
fn the_interfaces_of_routes_are_tracked() {
    let tracked = |routes: &str, track: &str| {
        let draft = Draft::small().with("routes", routes).with("track.interfaces", track);
        let tracks = meant(&draft.text()).instances.remove(0).tracks;
        tracks.interfaces.iter().map(|one| format!("{one} {:?}", one.effect)).collect::<Vec<_>>()
    };
    let one = "[{ to = \"10.1.0.0/16\", device = \"eth1\" }, { to = \"10.2.0.0/16\", device = \"eth1\" }]";
    assert_eq!(tracked(one, ""), ["interface eth1 Fault"]);
    let written = "[{ interface = \"eth1\", weight = -20 }]";
    assert_eq!(tracked(one, written), ["interface eth1 Weight(-20)"], "what is written there counts");
    assert_eq!(tracked("[{ to = \"10.1.0.0/16\", device = \"eth0\" }]", ""), [""; 0], "it is watched in any case");
    assert_eq!(tracked("[{ to = \"10.1.0.0/16\", device = \"eth1\", track = false }]", ""), [""; 0]);
    let several = |other: &str| {
        tracked(&format!("[{{ to = \"10.1.0.0/16\", nexthops = [{{ device = \"eth1\" }}, {{ {other} }}] }}]"), "")
    };
    assert_eq!(several("device = \"eth2\""), ["interfaces eth1, eth2 Fault"], "one of them is enough");
    assert_eq!(several("via = \"192.168.0.1\""), [""; 0], "nobody knows which the other one is");
}

#[test]
fn messages_about_delays() {
    let link = |name: &'static str, key, value| {
        let mut draft = Draft::small();
        draft.set(name, key, value);
        draft.text()
    };
    let mut patient = Draft::small().with("peer_down_adverts", "5");
    patient.set("interface.eth0", "down_delay", "\"3s 999ms\"");
    let mut by_path = Draft::small();
    by_path.set(PATH, "interface", "\"eth9\"");
    by_path.set(PATH, "peers", "[\"10.9.0.2\"]");
    by_path.set("interface.eth9", "down_delay", "\"9s\"");
    let seen = cases(
        &[
            ("nobody's interface", link("interface.eth9", "up_delay", "\"1s\"")),
            ("a path is there", by_path.text()),
            ("no interface", link("interface.\"eth 1\"", "up_delay", "\"1s\"")),
            ("too long", link("interface.eth0", "up_delay", "\"256s\"")),
            ("as long as the peer waits", link("interface.eth0", "down_delay", "\"2s\"")),
            ("less", link("interface.eth0", "down_delay", "\"1999ms\"")),
            ("less than a patient peer waits", patient.text()),
            ("keepalived's word", link("", "vrrp_startup_delay", "5")),
            ("a long start", link("", "start_delay", "\"2h\"")),
        ],
        &Facts::default(),
    );
    insta::assert_snapshot!(seen);
}

#[test]
fn what_a_group_tracks_is_tracked_by_its_members() {
    let mut draft = Draft::small().with("track.interfaces", "[\"eth1\"]");
    draft.set("group.G1", "instances", "[\"VI_1\"]");
    draft.set("group.G1", "track.interfaces", "[\"eth0\", \"eth1\", { any = [\"eth0\", \"eth2\"] }]");
    let tracks = meant(&draft.text()).instances.remove(0).tracks;
    let names: Vec<String> = tracks.interfaces.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["interface eth1", "interfaces eth0, eth2"], "its own interface is watched in any case");
}

#[test]
fn what_the_reference_comments_out_is_right_too() {
    let enabled = |line: &str| {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let setting = ["[mail]", "[witness]", "[interface.eth0]", "[webhook.chat]", "[group.G1]"].contains(&bare)
            || bare.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let needs_another = [
            "auth.",
            "track.",
            "error_for",
            "secret = ",
            "addresses = [{",
            "policies = [{",
            "routes = [{",
            "rules = [{",
            "min_ttl",
            "max_ttl",
            "path.",
        ]
        .iter()
        .any(|key| bare.starts_with(key));
        if bare.starts_with("instances = ") {
            return "instances = [\"VI_1\"]".to_owned();
        }
        if bare == "peers = []" {
            // A witness is about the silence of somebody.
            return "peers = [\"192.168.0.21\"]".to_owned();
        }
        if setting && !needs_another { bare.to_owned() } else { line.to_owned() }
    };
    let text: String = read("config/reference.toml").lines().map(|line| enabled(line) + "\n").collect();
    let config = meant(&text);
    let mail = config.mail.unwrap();
    assert_eq!((mail.smtp.as_str(), mail.timeout.as_secs()), ("localhost:25", 30));
    assert_eq!(config.realtime_priority, Some(10));
    let mut defaults = Draft::small();
    defaults.set("mail", "to", "[\"ops@example.org\"]");
    defaults.set("mail", "from", "\"ha@node1.example.org\"");
    assert_eq!(meant(&defaults.text()).mail.unwrap(), mail);
}

#[test]
fn what_the_reference_says_of_paths_is_right_too() {
    let reference = read("config/reference.toml");
    let lines = reference.lines().filter_map(|line| line.strip_prefix("# ")).filter(|line| line.starts_with("path."));
    let unicast: String =
        lines.filter(|line| !line.contains("multicast_group")).map(|line| format!("{line}\n")).collect();
    let config = meant(&(Draft::small().text() + unicast.as_str()));
    let path = config.instances[0].paths[0].clone();
    assert_eq!((path.name.as_str(), path.transport, path.min_ttl), ("second", config::Transport::Unicast, 255));
}

#[test]
fn on_conflict_follows_prefer_unless_it_is_written() {
    let conflict = |draft: Draft| meant(&draft.text()).instances.first().unwrap().on_conflict;
    assert_eq!(conflict(Draft::small()), config::OnConflict::Hold);
    let available = Draft::small().with("prefer", "\"availability\"");
    assert_eq!(conflict(available.clone()), config::OnConflict::Steal);
    assert_eq!(conflict(available.with("on_conflict", "\"hold\"")), config::OnConflict::Hold);
}

#[test]
fn messages_about_paths() {
    let fine = [("interface", "\"eth1\""), ("peers", "[\"10.9.0.2\"]")];
    let cases_of = [
        ("nothing at all", PATH, vec![("transport", "\"unicast\"")], false),
        ("its own name", "instance.VI_1.path.primary", vec![], true),
        ("the own way", PATH, vec![("interface", "\"eth0\"")], true),
        ("more peers than the instance has", PATH, vec![("peers", "[\"10.9.0.2\", \"10.9.0.3\"]")], true),
        ("its own address as a peer", PATH, vec![("source", "\"10.9.0.2\"")], true),
        ("the other family", PATH, vec![("peers", "[\"fe80::1\"]")], true),
        ("a group in unicast", PATH, vec![("transport", "\"unicast\""), ("multicast_group", "\"224.0.0.99\"")], true),
        ("no interface", PATH, vec![("interface", "\"a name with spaces\"")], true),
        ("an unknown key", PATH, vec![("peer", "\"10.9.0.2\"")], true),
    ];
    let drafts = cases_of.map(|(title, table, settings, complete)| {
        let mut draft = Draft::small();
        fine.iter().filter(|_| complete).chain(&settings).for_each(|(key, value)| draft.set(table, key, value));
        (title, draft.text())
    });
    let mut without = Draft::small().with("peers", "");
    fine.iter().for_each(|(key, value)| without.set(PATH, key, value));
    let drafts: Vec<_> = drafts.into_iter().chain([("an instance without peers", without.text())]).collect();
    insta::assert_snapshot!(cases(&drafts, &Facts::default()));
    let mut twice = Draft::small();
    fine.iter().for_each(|(key, value)| twice.set(PATH, key, value));
    let other = "[instance.VI_2]\ninterface = \"eth1\"\nvirtual_router_id = 51\naddresses = [\"10.9.0.60/24\"]\n";
    let problems = parse(&(twice.text() + other)).unwrap_err().to_string();
    assert!(problems.contains("virtual router 51 is on eth1 twice, once by a path"), "{problems}");
}

/// Whatever is wrong around a key, the key itself is not in the message.
#[test]
fn messages_about_auth_hmac() {
    const SECRET: &str = "correct horse battery staple, more than once";
    let keys = format!("{{ 1 = \"{SECRET}\" }}");
    let two = format!("{{ 1 = \"{SECRET}\", 2 = \"secret:two\" }}");
    let drafts = [
        ("no key", vec![("auth_hmac.mode", "\"enforce\"")]),
        ("no table of keys", vec![("auth_hmac.keys", "\"correct horse battery staple, more than once\"")]),
        ("a key that is too short", vec![("auth_hmac.keys", "{ 1 = \"correct horse\" }")]),
        ("a key that is no text", vec![("auth_hmac.keys", "{ 1 = 12345678 }")]),
        (
            "a number that is none",
            vec![("auth_hmac.keys", "{ one = \"correct horse battery staple, more than once\" }")],
        ),
        ("one number twice", vec![("auth_hmac.keys", "{ 1 = \"secret:one\", 01 = \"secret:two\" }")]),
        ("a secret with no name", vec![("auth_hmac.keys", "{ 1 = \"secret:../shadow\" }")]),
        ("several keys", vec![("auth_hmac.keys", two.as_str())]),
        ("another active key", vec![("auth_hmac.keys", keys.as_str()), ("auth_hmac.active_key", "2")]),
        (
            "words",
            vec![
                ("auth_hmac.keys", keys.as_str()),
                ("auth_hmac.mode", "\"strict\""),
                ("auth_hmac.anti_replay", "\"clock\""),
            ],
        ),
        (
            "a window without clocks",
            vec![
                ("auth_hmac.keys", keys.as_str()),
                ("auth_hmac.anti_replay", "\"monotonic\""),
                ("auth_hmac.time_window", "\"5s\""),
            ],
        ),
        (
            "all in one line",
            vec![("auth_hmac", "{ keys = { 1 = \"correct horse battery staple, more than once\" }, kind = 1 }")],
        ),
    ];
    let drafts = drafts.map(|(title, settings)| {
        let mut draft = Draft::small();
        settings.iter().for_each(|(key, value)| draft.set("instance.VI_1", key, value));
        (title, draft.text())
    });
    let said = cases(&drafts, &Facts::default());
    assert!(!said.contains("horse"), "{said}");
    insta::assert_snapshot!(said);
}

#[test]
fn an_error_becomes_a_fault_after_a_minute_or_as_long_as_written() {
    let on_error = |draft: &Draft| meant(&draft.text()).instances.first().unwrap().on_error;
    let fault = Draft::small().with("on_error", "\"fault\"");
    assert_eq!(on_error(&fault), config::OnError::FaultAfter(std::time::Duration::from_secs(60)));
    let patient = fault.with("error_for", "\"5m\"");
    assert_eq!(on_error(&patient), config::OnError::FaultAfter(std::time::Duration::from_secs(300)));
    let problems = parse(&Draft::small().with("error_for", "\"5m\"").text()).unwrap_err();
    assert!(problems.to_string().contains("error_for without on_error = \"fault\""), "{problems}");
}

#[test]
fn a_webhook_has_one_address_that_can_be_sent_to() {
    let refused = |settings: &[(&'static str, &str)]| {
        let mut draft = Draft::small();
        settings.iter().for_each(|(key, value)| draft.set("webhook.chat", key, value));
        parse(&draft.text()).unwrap_err().to_string()
    };
    let url = ("url", "\"https://chat.example.org/\"");
    for (settings, expected) in [
        (vec![("alert", "true")], "[webhook.chat] has no address"),
        (vec![url, ("secret", "\"chat_url\"")], "has two addresses"),
        (vec![("url", "\"chat.example.org\"")], "is no address that can be sent to"),
        (vec![("secret", "\"../chat\"")], "cannot be the name of a secret"),
        (vec![url, ("alarm", "true")], "unknown"),
    ] {
        let problems = refused(&settings);
        assert!(problems.contains(expected), "{settings:?}: {problems}");
    }
}

#[test]
fn paths_are_relative_to_the_file() {
    let mut draft = Draft::small();
    draft.set("", "policy_dir", "\"../scripts\"");
    draft.set("", "secrets_dir", "\"../secrets\"");
    draft.set("control", "socket", "\"ha.sock\"");
    let config = meant(&draft.text());
    assert_eq!(config.policy_dir, Path::new("/etc/ha/../scripts"));
    assert_eq!(config.permits.secrets_dir, Path::new("/etc/ha/../secrets"));
    assert_eq!(config.control.socket, Path::new("/etc/ha/ha.sock"));
    assert_eq!(config.control.state_dir, Path::new("/var/lib/ha"));
    let here = config::parse(&draft.text(), Path::new("ha.toml"), &Facts::default()).unwrap().config;
    assert_eq!(here.policy_dir, std::env::current_dir().unwrap().join("../scripts"));
}

#[test]
fn a_file_is_read_and_identified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ha.toml");
    let text = Draft::small().text();
    std::fs::write(&path, &text).unwrap();
    let loaded = config::load(&path).unwrap();
    assert_eq!(loaded.config.policy_dir, directory.path().join("policies"));
    assert_eq!(loaded.sha256, parse(&text).unwrap().sha256);
    assert_ne!(loaded.sha256, parse(&format!("{text}#")).unwrap().sha256);
    let nothing = parse("# 100 % comment\n").unwrap_err().to_string();
    assert!(nothing.contains("no instance"), "{nothing}");
}

#[test]
fn the_identity_is_the_files_sha256() {
    let text = "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\naddresses = [\"192.168.0.60/24\"]\n";
    assert_eq!(parse(text).unwrap().sha256, "46f64a24e4d75f87e7aecfe0b97d5035b68c8f21bdb286c5a373fe56dc3a165a");
}

#[test]
fn messages_about_files() {
    let directory = tempfile::tempdir().unwrap();
    let seen = |name: &str, bytes: Option<&[u8]>| {
        let path = directory.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        config::load(&path).unwrap_err().to_string().replace(directory.path().to_str().unwrap(), "/etc/ha")
    };
    let messages = [
        seen("absent.toml", None),
        seen("latin1.toml", Some(b"node = \"K1\"\n# caf\xe9\n")),
        seen("long.toml", Some(&vec![b'\n'; (1 << 20) + 1])),
        seen(".", None),
    ]
    .join("\n====\n");
    insta::assert_snapshot!(messages);
}

#[test]
fn the_founding_pair() {
    let config = |file: &str| meant(&read(file));
    let (node1, node2) = (config("config/node1.toml"), config("config/node2.toml"));
    let (one, two) = (node1.instances.first().unwrap(), node2.instances.first().unwrap());
    assert_eq!((node1.node.as_str(), node2.node.as_str()), ("K1", "NodeB"));
    assert_eq!((one.priority.get(), two.priority.get()), (100, 99));
    assert_eq!(one.protocol, config::Protocol::V2(config::Auth::Pass(*b"1111\0\0\0\0")));
    assert_eq!((one.vrid.get(), one.interface.as_str()), (51, "eth0"));
    assert_eq!(one.advertise.as_duration().as_secs(), 1);
    assert_eq!(one.addresses, ["192.168.0.60/24".parse().unwrap()]);
    assert_eq!(one.peers, ["192.168.0.21".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(two.peers, ["192.168.0.20".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(one.policies, ["check_local"]);
    let mail = node1.mail.as_ref().unwrap();
    assert!(mail.to.len() > 1);
    assert_eq!((mail.smtp.as_str(), mail.timeout.as_secs()), ("localhost:25", 30));
}

#[test]
fn every_shipped_file_loads_without_a_warning() {
    let mut seen = 0;
    for directory in ["config", "examples"] {
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            seen += 1;
            let loaded = config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
            if !path.ends_with("reference.toml") {
                assert_eq!(loaded.warnings, [], "{}", path.display());
            }
        }
    }
    assert!(seen >= 9, "{seen}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = seen(&text, &machine());
    }

    #[test]
    fn no_lines_panic(lines in proptest::collection::vec(
        proptest::sample::select(vec![
            "node = \"K1\"", "[instance.VI_1]", "[instance.VI_1", "[[instance]]", "[mail]", "interface = \"eth0\"", "peers = [",
            "addresses = [\"192.168.0.60/24\", \"fe80::1\"]", "]", "é = \"ü\"", "auth.password = \"ąęśćżź\"", "advertise = \"1ms\"",
            "lease = \"99999s\"", "version = 2", "\u{feff}", "\"\"\"", "instance = 3", "virtual_router_id = -1", "to = [{}]", "\r", "#",
        ]), 0..30),
    ) {
        let _ = seen(&lines.join("\n"), &machine());
    }

    #[test]
    fn no_value_panics(key in proptest::sample::select(KEYS.to_vec()), value in "\\PC{0,40}") {
        let mut draft = Draft::small();
        draft.set(key.0, key.1, &value);
        let _ = seen(&draft.text(), &machine());
        draft.set(key.0, key.1, &format!("{value:?}"));
        let _ = seen(&draft.text(), &machine());
        draft.set(key.0, key.1, &format!("[{value:?}, 1]"));
        let _ = seen(&draft.text(), &machine());
    }
}

#[test]
fn the_unit_lets_go_of_the_address_and_comes_back() {
    let unit = read("config/ha.service");
    let settings: Vec<&str> = unit.lines().filter(|line| !line.starts_with('#')).collect();
    for needed in [
        "Type=notify",
        "Restart=always",
        "RestartPreventExitStatus=64 78",
        "StartLimitIntervalSec=0",
        "WatchdogSec=5s",
        "WatchdogSignal=SIGKILL",
        "ExecStopPost=-/usr/bin/ha release --stale",
        "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW",
        "CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW",
        "NoNewPrivileges=yes",
        "RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6 AF_PACKET",
    ] {
        assert!(settings.contains(&needed), "{needed}");
    }
    let control = meant(&Draft::small().text()).control;
    assert!(settings.contains(&"RuntimeDirectory=ha") && control.socket.starts_with("/run/ha"));
    assert!(settings.contains(&"StateDirectory=ha") && control.state_dir == Path::new("/var/lib/ha"));
}

#[test]
fn shipped_pairs_fit_together() {
    for (one, two) in [
        ("config/node1.toml", "config/node2.toml"),
        ("examples/unicast-node1.toml", "examples/unicast-node2.toml"),
        ("examples/ipv6-node1.toml", "examples/ipv6-node2.toml"),
        ("examples/fast-node1.toml", "examples/fast-node2.toml"),
    ] {
        let (a, b) = (meant(&read(one)), meant(&read(two)));
        assert_eq!(config::compare(&a, &b), [], "{one} {two}");
        assert_eq!(config::compare(&b, &a), [], "{two} {one}");
    }
}

#[test]
fn a_group_has_members_that_there_are() {
    let problem = |members: &str| {
        let mut draft = Draft::small();
        draft.set("group.G1", "instances", members);
        parse(&draft.text()).unwrap_err().to_string()
    };
    for (members, expected) in [
        ("[]", "[group.G1] has no instances"),
        ("[\"VI_1\", \"VI_1\"]", "VI_1 is in a group twice"),
        ("[\"VI_1\", \"VI_2\"]", "there is no instance VI_2"),
        ("[\"V1_1\"]", "write \"VI_1\""),
    ] {
        let said = problem(members);
        assert!(said.contains(expected), "{members}: {said}");
    }
    let mut owner = Draft::small().with("priority", "255");
    owner.set("group.G1", "instances", "[\"VI_1\"]");
    let said = parse(&owner.text()).unwrap_err().to_string();
    assert!(said.contains("VI_1 owns its addresses (priority 255)"), "{said}");
    let mut alone = Draft::small();
    alone.set("group.G1", "instances", "[\"VI_1\"]");
    let groups = meant(&alone.text()).groups;
    assert_eq!(groups.first().map(|group| group.instances.len()), Some(1), "one member is a warning only");
}

#[test]
fn messages_about_a_witness() {
    let with = |lines: &str| format!("{}\n[witness]\n{lines}\n", Draft::small().text());
    let good = "endpoints = [\"http://192.168.0.22:2379\"]\nkey = \"ha/web\"\n";
    let instance = |key, value: &str| format!("{}\n[witness]\n{good}", Draft::small().with(key, value).text());
    let second = |vrid: u8| {
        format!(
            "{}\n[instance.VI_2]\ninterface = \"eth1\"\nvirtual_router_id = {vrid}\naddresses = [\"10.0.0.60/24\"]\n\
             peers = [\"10.0.0.2\"]\n[witness]\n{good}",
            Draft::small().text()
        )
    };
    let seen = cases(
        &[
            ("well", with(good)),
            ("nothing in it", with("")),
            ("an endpoint that is none", with("endpoints = [\"192.168.0.22:2379\", \"http://a/b\"]\nkey = \"ha\"")),
            ("no endpoint", with("endpoints = []\nkey = \"ha\"")),
            ("a mode that is none", with(&format!("{good}mode = \"strikt\""))),
            ("a key that is none", with("endpoints = [\"http://a:1\"]\nkey = \"/\"")),
            ("seconds that are not whole", with(&format!("{good}ttl = \"5500ms\""))),
            ("too short a lease of the witness", with(&format!("{good}ttl = \"3s\""))),
            ("too short for the interval", with(&format!("{good}ttl = \"4s\""))),
            ("too long a time for an answer", with(&format!("{good}timeout = \"2s\""))),
            ("a user alone", with(&format!("{good}user = \"ha\""))),
            ("a password alone", with(&format!("{good}password = \"secret:etcd\""))),
            ("a password in clear", with(&format!("{good}user = \"ha\"\npassword = \"hunter2\""))),
            ("authorities without TLS", with(&format!("{good}ca = \"ca.pem\""))),
            ("an owner", instance("priority", "255")),
            ("no peers", instance("peers", "")),
            ("no lease", instance("lease", "\"off\"")),
            ("a lease that is too long", instance("lease", "\"3s\"")),
            ("a long interval", instance("advertise", "\"10s\"")),
            ("one identifier twice", second(51)),
            ("two identifiers", second(52)),
        ],
        &Facts::default(),
    );
    assert!(!seen.contains("hunter2"), "{seen}");
    insta::assert_snapshot!(seen);
}

#[test]
fn a_witness_of_one_node_is_the_witness_of_both() {
    let with = |lines: &str| meant(&format!("{}\n[witness]\n{lines}\n", Draft::small().text()));
    let one = with("endpoints = [\"http://192.168.0.22:2379\"]\nkey = \"ha/web\"");
    let found = |other: &Config| -> Vec<String> {
        let problems = config::compare(&one, other);
        problems.iter().map(|problem| problem.what().to_owned()).filter(|what| what.contains("witness")).collect()
    };
    assert_eq!(found(&one), Vec::<String>::new());
    let other = with("endpoints = [\"http://192.168.0.23:2379\"]\nkey = \"ha/db\"\nmode = \"strict\"");
    assert_eq!(
        found(&other),
        [
            "witness: key is ha/web on K1 and ha/db on K1",
            "witness: mode is arbiter on K1 and strict on K1",
            "witness: K1 and K1 have no endpoint in common"
        ]
    );
    assert_eq!(
        found(&meant(&Draft::small().text())),
        ["only K1 has a witness: K1 takes the address without asking it"]
    );
}

#[test]
fn the_virtual_mac_address_of_an_address_on_another_interface() {
    let with = |device: &str| format!("[{{ address = \"10.1.0.60/24\", {device}virtual_mac = true }}]");
    let draft = |device: &str| Draft::small().with("addresses_excluded", &with(device));
    let device = |name: &str| {
        let config = meant(&draft(&format!("device = \"{name}\", ")).text());
        let instance = &config.instances[0];
        let net = "10.1.0.60/24".parse().unwrap();
        assert_eq!(instance.wire_of(&net).as_str(), name);
        assert_eq!(instance.wire_beneath(instance.device_of(&net)).as_str(), name);
        instance.device_of(&net).to_string()
    };
    assert_eq!(device("eth1"), "ha-51-eth1");
    let [long, other] = ["enp0s31f6.100", "enp0s31f6.101"].map(device);
    assert!(long != other && long.len() <= 15 && long.starts_with("ha-51-"), "{long} {other}");
    let problem = |draft: Draft| parse(&draft.text()).unwrap_err().to_string();
    assert!(problem(draft("")).contains("on the instance's own interface"));
    let owner = problem(draft("device = \"eth1\", ").with("priority", "255"));
    assert!(owner.contains("at the MAC addresses of its interfaces"), "{owner}");
    let mut twin = draft("device = \"eth1\", ");
    twin.set("instance.VI_2", "interface", "\"eth1\"");
    twin.set("instance.VI_2", "virtual_router_id", "51");
    twin.set("instance.VI_2", "addresses", "[\"10.1.0.61/24\"]");
    twin.set("instance.VI_2", "virtual_mac", "true");
    let twin = problem(twin);
    assert!(twin.contains("would have one MAC address on one interface"), "{twin}");
}
