//! The addresses in a network, and the roles that daemons say they are in.

use std::{collections::BTreeMap, process::Command};

use ha::lab::netns::Netns;
use serde_json::Value;

/// An interface.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// That of a daemon's own device is made of the one beneath: the two call it differently.
    pub(super) name: String,
    /// The interface of which this is a device with a virtual MAC address.
    pub(super) beneath: Option<String>,
}

pub(super) fn devices(netns: &Netns) -> BTreeMap<usize, Device> {
    let of = |link: &Value| {
        let name = link["ifname"].as_str()?;
        let beneath = link["link"].as_str().filter(|_| link["linkinfo"]["info_kind"] == "macvlan").map(str::to_owned);
        let mac = link["address"].as_str().unwrap_or_default();
        let shown = beneath.as_ref().map_or_else(|| name.to_owned(), |beneath| format!("{mac} on {beneath}"));
        Some((usize::try_from(link["ifindex"].as_u64()?).ok()?, Device { name: shown, beneath }))
    };
    ask(netns, &["-d", "-j", "link"]).as_array().into_iter().flatten().filter_map(of).collect()
}

/// Every address with all that can be said of it, but for how long it is valid: in `ha` that is the lease.
pub(super) fn addresses(netns: &Netns, devices: &BTreeMap<usize, Device>) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for link in ask(netns, &["-j", "address"]).as_array().into_iter().flatten() {
        let index = link["ifindex"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or_default();
        let Some(device) = devices.get(&index).filter(|device| device.name != "lo") else { continue };
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let local = address["local"].as_str().unwrap_or_default();
            // The kernel's own, of the Ethernet address.
            if address["protocol"] == "kernel_ll" {
                continue;
            }
            let field = |name: &str| {
                let value = &address[name];
                // As it is where nobody writes one.
                let says_nothing = value.is_null() || (name == "label" && *value == link["ifname"]);
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                if says_nothing { String::new() } else { format!(" {name} {shown}") }
            };
            let fields = ["address", "broadcast", "scope", "label", "noprefixroute", "nodad", "tentative"];
            let shown: String = fields.into_iter().map(field).collect();
            let key = format!("{local}/{} on {}", address["prefixlen"], device.name);
            all.insert(key, shown.trim().to_owned());
        }
    }
    all
}

fn ask(netns: &Netns, arguments: &[&str]) -> Value {
    let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
    let output = netns.run(move || Command::new("ip").args(arguments).output().unwrap()).unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// What each instance entered last.
pub(super) fn roles_of_keepalived(log: &str) -> BTreeMap<String, String> {
    let mut roles = BTreeMap::new();
    for line in log.lines() {
        let Some((_, rest)) = line.split_once(": (") else { continue };
        let Some((name, what)) = rest.split_once(") ") else { continue };
        let what = what.to_ascii_lowercase();
        let Some(state) = what.strip_prefix("entering ").and_then(|what| what.split(' ').next()) else { continue };
        let plain = |letter: char| if letter.is_ascii_alphanumeric() || "_-".contains(letter) { letter } else { '_' };
        roles.insert(name.chars().map(plain).collect(), state.to_owned());
    }
    roles
}

pub(super) fn roles_of_ha(status: &str) -> BTreeMap<String, String> {
    let status: Value = serde_json::from_str(status).unwrap_or_default();
    let of = |instance: &Value| Some((instance["name"].as_str()?.to_owned(), instance["state"].as_str()?.to_owned()));
    status["instances"].as_array().into_iter().flatten().filter_map(of).collect()
}
