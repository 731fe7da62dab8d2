//! One line of `virtual_routes`.

use std::net::IpAddr;

use super::{
    routing::{Given, Numbers, network, number, settings, table, text},
    routing_word::ROUTE,
};
use crate::{
    import::{ledger::Ledger, outline::quoted, tree::Node},
    words::InterfaceName,
};

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

/// A gateway in the making, as TOML.
#[derive(Clone, Default)]
struct Hop {
    via: Option<String>,
    device: Option<String>,
    onlink: bool,
    weight: Option<String>,
}

impl Hop {
    fn settings(&self) -> Vec<(&'static str, String)> {
        let via = self.via.clone().map(|via| ("via", via));
        let device = self.device.clone().map(|device| ("device", device));
        let onlink = self.onlink.then(|| ("onlink", "true".to_owned()));
        let weight = self.weight.clone().map(|weight| ("weight", weight));
        via.into_iter().chain(device).chain(onlink).chain(weight).collect()
    }
}

/// A route in the making.
#[derive(Default)]
struct Draft {
    to: Option<String>,
    six: Option<bool>,
    kind: Option<&'static str>,
    hop: Hop,
    /// Gateways beside that of `hop`.
    alternatives: Vec<Hop>,
    nexthops: Vec<Hop>,
    metric: Option<String>,
    table: Option<String>,
    more: Vec<(&'static str, String)>,
}

/// Reads it; `six`: the family of the instance.
pub(super) fn route(line: &Node, six: bool, numbers: &Numbers, ledger: &mut Ledger) -> Option<Given> {
    let mut draft = Draft::default();
    let mut usable = true;
    for (word, value) in settings(line, ROUTE, ledger)? {
        if let Err(todo) = draft.take(word, value, numbers) {
            usable = false;
            ledger.refused(line.place, format!("{}: {todo}", format!("{word} {value}").trim_end()));
        }
    }
    let missing = draft.missing();
    if let Some(todo) = missing.filter(|_| usable) {
        ledger.refused(line.place, todo);
        return None;
    }
    usable.then(|| draft.given(six, line, ledger))
}

impl Draft {
    /// # Errors
    /// What to do.
    fn take(&mut self, word: &str, value: &str, numbers: &Numbers) -> Result<(), String> {
        match word {
            "to" => self.destination(value)?,
            "via" | "gw" => self.hop().via = Some(text::<IpAddr>(value, "an address")?),
            "or" => {
                let via = Some(text::<IpAddr>(value, "an address")?);
                self.alternatives.push(Hop { via, ..Hop::default() });
            }
            "dev" | "oif" => self.hop().device = Some(text::<InterfaceName>(value, "the name of an interface")?),
            "onlink" => self.hop().onlink = true,
            "weight" if self.nexthops.is_empty() => return Err("it belongs behind nexthop".to_owned()),
            "weight" => self.hop().weight = Some(number(value, 1, 256)?),
            "nexthop" => self.nexthops.push(Hop::default()),
            "inet" => self.six = Some(false),
            "inet6" => self.six = Some(true),
            "src" => self.set("source", text::<IpAddr>(value, "an address")?),
            "table" => self.table = Some(numbers.table(value)?),
            "metric" | "priority" | "preference" => self.metric = Some(number(value, 0, u32::MAX)?),
            "scope" => match SCOPES.iter().find(|(name, _)| *name == value) {
                Some((_, "global")) => {}
                Some((_, scope)) => self.set("scope", quoted(scope)),
                None => return Err("write global, site, link or host".to_owned()),
            },
            "mtu" => self.set("mtu", number(value, 68, 65_535)?),
            "advmss" => self.set("advmss", number(value, 1, 65_535)?),
            "no_track" => self.set("track", "false".to_owned()),
            "blackhole" => self.kind = Some("blackhole"),
            "unreachable" => self.kind = Some("unreachable"),
            "prohibit" => self.kind = Some("prohibit"),
            "throw" => self.kind = Some("throw"),
            _ => {}
        }
        Ok(())
    }

    /// The gateway that is spoken of.
    fn hop(&mut self) -> &mut Hop {
        self.nexthops.last_mut().unwrap_or(&mut self.hop)
    }

    fn set(&mut self, key: &'static str, value: String) {
        self.more.retain(|(known, _)| *known != key);
        self.more.push((key, value));
    }

    fn destination(&mut self, value: &str) -> Result<(), String> {
        if self.to.is_some() {
            return Err("there is another destination before this one, which keepalived forgets: keep one".to_owned());
        }
        if value == "default" {
            self.to = Some(value.to_owned());
            return Ok(());
        }
        let net = network(value).ok_or("it is no network")?;
        if net.trunc() != net {
            let todo = "it has bits beyond its prefix, so the kernel does not take it, and keepalived serves without the route";
            return Err(format!("{todo}: write {}, or {} for the address alone", net.trunc(), net.addr()));
        }
        self.to = Some(if net.prefix_len() == 0 { net.to_string() } else { value.to_owned() });
        self.six = Some(net.addr().is_ipv6());
        Ok(())
    }

    /// What is wrong with the whole.
    fn missing(&self) -> Option<String> {
        let all: Vec<&Hop> = std::iter::once(&self.hop).chain(&self.nexthops).collect();
        let is_any = |hop: &&Hop| hop.via.is_some() || hop.device.is_some();
        let todo = match (self.to.is_some(), self.kind, all.iter().filter(|hop| is_any(hop)).count()) {
            (false, _, _) => {
                "it has no destination, and keepalived leaves it out: write to and a network, or remove it"
            }
            (true, Some(_), 1..) => "what is not sent on has no gateway: remove via and dev, or the kind",
            (true, None, 0) => {
                "it has neither via nor dev: the kernel does not take it, and keepalived serves without it"
            }
            (true, None, _) if !self.nexthops.is_empty() && is_any(&&self.hop) => {
                "a route has one gateway or nexthops: write each gateway behind nexthop"
            }
            (true, None, _) if !self.nexthops.iter().all(|hop| is_any(&hop)) => "a nexthop has neither via nor dev",
            (true, None, _) if all.iter().any(|hop| hop.onlink && (hop.via.is_none() || hop.device.is_none())) => {
                "onlink says that a gateway is on the link of an interface: write via and dev, or remove it"
            }
            (true, _, _) => return self.of_two_families(),
        };
        Some(todo.to_owned())
    }

    /// An IPv6 route has no IPv4 gateway, and no route a source of the other family.
    fn of_two_families(&self) -> Option<String> {
        let six = self.is_six();
        let wrong = |text: &str| if six { !text.contains(':') } else { text.contains(':') };
        let hops = std::iter::once(&self.hop).chain(&self.nexthops).chain(&self.alternatives);
        let source = self.more.iter().filter(|(key, _)| *key == "source").map(|(_, value)| value);
        let mut all = hops.filter_map(|hop| hop.via.as_ref()).filter(|_| six).chain(source);
        let todo = "keepalived leaves the route out: write addresses of one family";
        all.find(|text| wrong(text)).map(|text| format!("{text} is of another family than the destination, and {todo}"))
    }

    /// Where nothing says it keepalived takes it for IPv4.
    fn is_six(&self) -> bool {
        let hops = std::iter::once(&self.hop).chain(&self.nexthops);
        let via = hops.filter_map(|hop| hop.via.as_ref()).map(|via| via.contains(':')).next();
        self.six.or(via).unwrap_or(false)
    }

    fn given(self, six: bool, line: &Node, ledger: &mut Ledger) -> Given {
        let own = self.is_six();
        let everything = if own { "::/0" } else { "0.0.0.0/0" };
        let to = self.to.unwrap_or_default();
        let net = network(&to).map_or_else(|| everything.to_owned(), |net| net.to_string());
        let is_default = to == "default" && own == six;
        let mut settings: Vec<(&'static str, String)> = Vec::new();
        settings.extend(self.kind.map(|kind| ("kind", quoted(kind))));
        settings.push(("to", quoted(if to != "default" || is_default { &to } else { everything })));
        let mut hops = self.nexthops;
        if !self.alternatives.is_empty() {
            ledger.mapped(line.place, "or, which keepalived wants to be written as nexthop");
            let device = self.hop.device.clone();
            let others = self.alternatives.into_iter().map(|hop| Hop { device: device.clone(), ..hop });
            hops = std::iter::once(self.hop.clone()).chain(others).collect();
        }
        if hops.is_empty() {
            settings.extend(self.hop.settings());
        } else {
            let list: Vec<String> = hops.iter().map(|hop| table(&hop.settings())).collect();
            settings.push(("nexthops", format!("[{}]", list.join(", "))));
        }
        let (table_text, metric) = (self.table.clone(), self.metric.clone());
        let number = table_text.clone().unwrap_or_else(|| "main".to_owned());
        settings.extend(table_text.filter(|text| text != "main").map(|text| ("table", quoted(&text))));
        settings.extend(self.metric.map(|metric| ("metric", metric)));
        for (key, value) in self.more {
            if key == "scope" && own {
                ledger.dropped(line.place, format!("scope {value}: IPv6 routes have none"));
            } else {
                settings.push((key, value));
            }
        }
        let metric = metric.map(|metric| format!(" with metric {metric}")).unwrap_or_default();
        Given { entry: table(&settings), key: format!("a route to {net} in table {number}{metric}") }
    }
}
