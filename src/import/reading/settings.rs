//! The words behind an address in `virtual_ipaddress`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::import::{
    keyword::{Becomes, Context, becomes},
    ledger::Ledger,
    outline::quoted,
    tree::Node,
};
use crate::words::InterfaceName;

/// `IFNAMSIZ` without the terminating zero.
const LABEL_MAX: usize = 15;

/// Names and numbers of scopes (`rtnetlink(7)`), with the word of `ha`.
const SCOPES: [(&str, &str); 8] = [
    ("global", "global"),
    ("0", "global"),
    ("site", "site"),
    ("200", "site"),
    ("link", "link"),
    ("253", "link"),
    ("host", "host"),
    ("254", "host"),
];

/// Settings of one address, as keys and values of TOML.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<(&'static str, String)>);

impl Settings {
    /// The entry of `addresses`.
    pub(super) fn entry(&self, net: &IpNet) -> String {
        if self.0.is_empty() {
            return format!("\"{net}\"");
        }
        let settings: String = self.0.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
        format!("{{ address = \"{net}\"{settings} }}")
    }

    fn set(&mut self, key: &'static str, value: String) {
        self.0.retain(|(known, _)| *known != key);
        self.0.push((key, value));
    }
}

/// What the instance of an address says of the virtual router MAC address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'c> {
    /// Its interface.
    pub(super) interface: &'c str,
    /// `use_vmac`: on that one.
    pub(super) own: bool,
    /// `use_vmac_addr`: on every other one.
    pub(super) beside: bool,
}

/// Reads the words behind the address; what cannot be is refused.
pub(super) fn read(line: &Node, net: IpNet, around: Around<'_>, ledger: &mut Ledger) -> Settings {
    let interface = around.interface;
    let mut settings = Settings::default();
    // A label belongs to the interface, which may stand behind it.
    let behind = line.words.iter().skip_while(|word| word.text != "dev").nth(1);
    let device = behind.map_or(interface, |word| word.text.as_str());
    let mut words = line.words.iter().skip(1).map(|word| word.text.as_str());
    while let Some(word) = words.next() {
        match becomes(Context::Address, word) {
            Some(Becomes::Mapped(0)) if word == "use_vmac" && device == interface && around.own => {
                ledger.dropped(line.place, "use_vmac: this is so for the whole instance");
            }
            Some(Becomes::Mapped(0)) if word == "use_vmac" && device == interface => {
                let todo = "in ha the addresses on the instance's interface have one MAC address: write use_vmac of the instance, or remove it";
                ledger.refused(line.place, format!("use_vmac: {todo}"));
            }
            Some(Becomes::Mapped(0)) if word == "use_vmac" => settings.set("virtual_mac", "true".to_owned()),
            Some(Becomes::Refused(_)) if word == "mngtmpaddr" && net.addr().is_ipv4() => {
                ledger.dropped(line.place, "mngtmpaddr: IPv4 has no temporary addresses");
            }
            Some(Becomes::Mapped(0)) if word == "no_track" => settings.set("track", "false".to_owned()),
            Some(Becomes::Mapped(0)) => settings.set("network_route", "false".to_owned()),
            Some(Becomes::Mapped(_)) => {
                let given = words.next().unwrap_or_default();
                match one(word, given, net, [interface, device]) {
                    Ok(Some((key, value))) => settings.set(key, value),
                    Ok(None) => {}
                    Err(Trouble::Without(why)) => ledger.dropped(line.place, format!("{word} {given}: {why}")),
                    Err(Trouble::Never(todo)) => ledger.refused(line.place, format!("{word} {given}: {todo}")),
                }
            }
            Some(Becomes::Dropped(why)) => {
                ledger.dropped(line.place, format!("{word}: {why}"));
                if word == "preferred_lft" {
                    words.next();
                }
            }
            Some(Becomes::Refused(todo)) => ledger.refused(line.place, format!("{word}: {todo}")),
            None => {
                ledger.dropped(line.place, format!("\"{word}\" means nothing to keepalived here, which ignores it"));
            }
        }
    }
    if around.beside && device != interface {
        settings.set("virtual_mac", "true".to_owned());
    }
    settings
}

/// Why a word does not become a setting.
enum Trouble {
    /// The address works without it.
    Without(String),
    Never(String),
}

/// What one word with its value becomes; nothing, if it is so anyway.
fn one(
    word: &str,
    given: &str,
    net: IpNet,
    [interface, device]: [&str; 2],
) -> Result<Option<(&'static str, String)>, Trouble> {
    let six = net.addr().is_ipv6();
    match word {
        "dev" if given == interface => Ok(None),
        "dev" => match given.parse::<InterfaceName>() {
            Ok(_) => Ok(Some(("device", quoted(given)))),
            Err(_) => Err(Trouble::Never("it cannot be the name of an interface".to_owned())),
        },
        "label" | "scope" | "brd" | "broadcast" if six => Err(Trouble::Without("IPv6 addresses have none".to_owned())),
        "label" => label(given, device).map(Some),
        "scope" => match SCOPES.iter().find(|(name, _)| *name == given) {
            Some((_, "global")) => Ok(None),
            Some((_, scope)) => Ok(Some(("scope", quoted(scope)))),
            None => Err(Trouble::Never("write global, site, link or host".to_owned())),
        },
        "peer" => peer(given, net).map(Some),
        _ => broadcast(given, net).map(Some),
    }
}

fn label(given: &str, interface: &str) -> Result<(&'static str, String), Trouble> {
    let fits = given.strip_prefix(interface).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
    if !fits || given.len() > LABEL_MAX || given.contains(|letter: char| !letter.is_ascii_graphic()) {
        let todo = format!(
            "a label is at most {LABEL_MAX} letters and begins with the interface: write {interface}:1, or remove it"
        );
        return Err(Trouble::Never(todo));
    }
    Ok(("label", quoted(given)))
}

/// `+` is the last address of the network, `-` the first.
fn broadcast(given: &str, net: IpNet) -> Result<(&'static str, String), Trouble> {
    let meant = match given {
        "+" | "-" if net.prefix_len() >= net.max_prefix_len() - 1 => {
            return Err(Trouble::Without(format!("{} has no broadcast address", net.trunc())));
        }
        "+" => "auto".to_owned(),
        "-" => net.network().to_string(),
        other => other.to_owned(),
    };
    if meant != "auto" && !meant.parse::<IpAddr>().is_ok_and(|address| address.is_ipv4()) {
        return Err(Trouble::Never("it is not an address: write + for the last one of the network".to_owned()));
    }
    Ok(("broadcast", quoted(&meant)))
}

fn peer(given: &str, net: IpNet) -> Result<(&'static str, String), Trouble> {
    let (address, prefix) = match given.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (given, None),
    };
    let Some(address) = address.parse::<IpAddr>().ok().filter(|address| address.is_ipv6() == net.addr().is_ipv6())
    else {
        return Err(Trouble::Never("it is not an address of this family".to_owned()));
    };
    if prefix.is_some_and(|prefix| prefix != net.prefix_len().to_string()) {
        let todo = format!("ha takes the prefix of the address itself, {}: write that one", net.prefix_len());
        return Err(Trouble::Never(todo));
    }
    Ok(("peer", quoted(&address.to_string())))
}
