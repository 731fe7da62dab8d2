//! A rule that an instance sets while it holds its addresses, as it is meant (`ip-rule(8)`).

use std::fmt;

use ipnet::IpNet;

use super::route::{REFUSALS, Refusal, Route, RouteKey};
use crate::words::{Family, InterfaceName};

/// A rule: for which packets which table is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// IPv4 or IPv6 packets.
    pub family: Family,
    /// When it is asked: the lowest first.
    pub priority: u32,
    /// Packets to which the rest does *not* apply.
    pub inverted: bool,
    /// From here.
    pub from: Option<IpNet>,
    /// To there.
    pub to: Option<IpNet>,
    /// With this mark, under this mask.
    pub fwmark: Option<(u32, u32)>,
    /// That came in here; `lo`: this machine's own.
    pub iif: Option<InterfaceName>,
    /// That go out there, by a socket bound to it.
    pub oif: Option<InterfaceName>,
    /// Of these users, first and last.
    pub uidrange: Option<(u32, u32)>,
    /// Of this protocol.
    pub ip_proto: Option<u8>,
    /// From these ports, first and last.
    pub sport: Option<(u16, u16)>,
    /// To these ports, first and last.
    pub dport: Option<(u16, u16)>,
    /// What becomes of them.
    pub action: RuleAction,
    /// What the table says is not taken if its prefix is this long or shorter.
    pub suppress_prefixlength: Option<u32>,
    /// Put back if somebody removes it.
    pub tracked: bool,
}

/// What becomes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// This table is asked.
    Table(u32),
    /// The table of the interface's virtual routing domain is asked (VRF).
    L3mdev,
    /// They are not sent on; never `throw`.
    Refused(Refusal),
}

/// What finds a rule of ours again: among those that bear the mark there is one like that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleKey {
    /// See [`Rule`].
    pub family: Family,
    /// See [`Rule`].
    pub priority: u32,
}

impl Rule {
    /// See [`RuleKey`].
    #[must_use]
    pub const fn key(&self) -> RuleKey {
        RuleKey { family: self.family, priority: self.priority }
    }
}

/// In the words of `ip rule`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let six = if self.family == Family::V6 { "-6 " } else { "" };
        let not = if self.inverted { "not " } else { "" };
        let all = || "all".to_owned();
        write!(f, "{six}{}: {not}from {}", self.priority, self.from.map_or_else(all, |from| from.to_string()))?;
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        match self.fwmark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, mask)) => write!(f, " fwmark {mark:#x}/{mask:#x}")?,
            None => (),
        }
        for (word, interface) in [("iif", &self.iif), ("oif", &self.oif)] {
            if let Some(interface) = interface {
                write!(f, " {word} {interface}")?;
            }
        }
        if let Some((first, last)) = self.uidrange {
            write!(f, " uidrange {first}-{last}")?;
        }
        if let Some(number) = self.ip_proto {
            write!(f, " ipproto {number}")?;
        }
        for (word, ports) in [("sport", self.sport), ("dport", self.dport)] {
            if let Some((first, last)) = ports {
                write!(f, " {word} {first}-{last}")?;
            }
        }
        match self.action {
            RuleAction::Table(table) => write!(f, " lookup {table}")?,
            RuleAction::L3mdev => f.write_str(" lookup [l3mdev-table]")?,
            RuleAction::Refused(refusal) => {
                let word = REFUSALS.iter().find(|(_, of)| *of == refusal).map_or("", |(word, _)| word);
                write!(f, " {word}")?;
            }
        }
        match self.suppress_prefixlength {
            Some(length) => write!(f, " suppress_prefixlength {length}"),
            None => Ok(()),
        }
    }
}

/// What an instance sets while it holds its addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// In the order in which they are set; one may need the one before.
    pub routes: Vec<Route>,
    /// After the routes.
    pub rules: Vec<Rule>,
}

/// What finds it again.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoutingKeys {
    /// Of the routes.
    pub routes: Vec<RouteKey>,
    /// Of the rules.
    pub rules: Vec<RuleKey>,
}

impl RoutingKeys {
    /// Keeps those for which it is so.
    pub fn retain(&mut self, routes: impl Fn(&RouteKey) -> bool, rules: impl Fn(&RuleKey) -> bool) {
        self.routes.retain(routes);
        self.rules.retain(rules);
    }

    /// Adds what is not among them.
    pub fn extend(&mut self, more: &Self) {
        for key in &more.routes {
            if !self.routes.contains(key) {
                self.routes.push(key.clone());
            }
        }
        for key in &more.rules {
            if !self.rules.contains(key) {
                self.rules.push(*key);
            }
        }
    }
}

impl Routing {
    /// There is nothing to set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.routes.is_empty() && self.rules.is_empty()
    }

    /// Each in the words of `ip`.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let routes = self.routes.iter().map(|route| format!("route {route}"));
        routes.chain(self.rules.iter().map(|rule| format!("rule {rule}"))).collect()
    }

    /// What finds it again.
    #[must_use]
    pub fn keys(&self) -> RoutingKeys {
        RoutingKeys {
            routes: self.routes.iter().map(Route::key).collect(),
            rules: self.rules.iter().map(Rule::key).collect(),
        }
    }
}
