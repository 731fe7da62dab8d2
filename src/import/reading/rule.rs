//! One line of `virtual_rules`.

use super::{
    routing::{Given, Numbers, network, number, settings, table, text},
    routing_word::RULE,
};
use crate::{
    import::{ledger::Ledger, outline::quoted, tree::Node},
    words::InterfaceName,
};

/// The words behind which it says when it is asked.
pub(super) const PRIORITY: [&str; 3] = ["preference", "priority", "order"];

const PROTOCOLS: [&str; 6] = ["icmp", "tcp", "udp", "icmpv6", "vrrp", "sctp"];

/// A rule in the making.
#[derive(Default)]
struct Draft {
    six: Option<bool>,
    nets: Vec<bool>,
    action: Option<(&'static str, String)>,
    settings: Vec<(&'static str, String)>,
}

/// Reads it; `_six`: the family of the instance says nothing here, for keepalived takes a rule for IPv4 where nothing says it.
pub(super) fn rule(line: &Node, _six: bool, numbers: &Numbers, ledger: &mut Ledger) -> Option<Given> {
    let mut draft = Draft::default();
    let mut usable = true;
    for (word, value) in settings(line, RULE, ledger)? {
        if let Err(todo) = draft.take(word, value, numbers) {
            usable = false;
            ledger.refused(line.place, format!("{}: {todo}", format!("{word} {value}").trim_end()));
        }
    }
    if !usable {
        return None;
    }
    let Some(action) = draft.action.clone() else {
        let todo = "it does not say which table is asked, and keepalived leaves it out: write table and a number, or remove it";
        ledger.refused(line.place, todo);
        return None;
    };
    if draft.six.into_iter().chain(draft.nets.iter().copied()).any(|six| six != draft.is_six()) {
        ledger.refused(
            line.place,
            "it has networks of both families, and keepalived leaves it out: make two rules of it",
        );
        return None;
    }
    Some(draft.given(action, line, numbers, ledger))
}

impl Draft {
    /// # Errors
    /// What to do.
    fn take(&mut self, word: &str, value: &str, numbers: &Numbers) -> Result<(), String> {
        match word {
            "from" | "to" if matches!(value, "all" | "any" | "default") => {}
            "from" => self.net("from", value)?,
            "to" => self.net("to", value)?,
            "table" | "lookup" => self.action("table", quoted(&numbers.table(value)?))?,
            "l3mdev" => self.action("l3mdev", "true".to_owned())?,
            "blackhole" | "unreachable" | "prohibit" => self.action("kind", quoted(word))?,
            "preference" | "priority" | "order" => self.set("priority", number(value, 1, 32_765)?),
            "fwmark" => self.set("fwmark", fwmark(value)?),
            "iif" | "dev" => self.set("iif", text::<InterfaceName>(value, "the name of an interface")?),
            "oif" => self.set("oif", text::<InterfaceName>(value, "the name of an interface")?),
            "uidrange" => self.set("uidrange", range::<u32>(value)?),
            "sport" => self.set("sport", range::<u16>(value)?),
            "dport" => self.set("dport", range::<u16>(value)?),
            "ip_proto" | "ipproto" => self.set("ip_proto", protocol(value)?),
            "suppress_prefixlength" | "suppress_prefixlen" => {
                self.set("suppress_prefixlength", number(value, 0, 128)?);
            }
            "not" => self.set("invert", "true".to_owned()),
            "inet" => self.six = Some(false),
            "inet6" => self.six = Some(true),
            "no_track" => self.set("track", "false".to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, key: &'static str, value: String) {
        self.settings.retain(|(known, _)| *known != key);
        self.settings.push((key, value));
    }

    fn action(&mut self, key: &'static str, value: String) -> Result<(), String> {
        if self.action.is_some() {
            return Err("it says already what becomes of the packets: keep one of them".to_owned());
        }
        self.action = Some((key, value));
        Ok(())
    }

    fn net(&mut self, key: &'static str, value: &str) -> Result<(), String> {
        let net = network(value).ok_or("it is no network")?;
        self.nets.push(net.addr().is_ipv6());
        // The kernel compares as many bits as the prefix has.
        self.set(key, quoted(&net.trunc().to_string()));
        Ok(())
    }

    fn is_six(&self) -> bool {
        self.six.or(self.nets.first().copied()).unwrap_or(false)
    }

    fn given(
        mut self,
        (action, what): (&'static str, String),
        line: &Node,
        numbers: &Numbers,
        ledger: &mut Ledger,
    ) -> Given {
        let six = self.is_six();
        let written = self.settings.iter().find(|(key, _)| *key == "priority").map(|(_, value)| value.clone());
        let priority = written.unwrap_or_else(|| {
            let assigned = numbers.assigned(line).to_string();
            let note = format!(
                "it does not say when it is asked, and keepalived assigns {assigned}; the same rule may get another number on the \
                 other node, so write preference on both"
            );
            ledger.mapped(line.place, note);
            assigned
        });
        self.settings.retain(|(key, _)| *key != "priority");
        let mut settings = vec![("priority", priority.clone())];
        if self.nets.is_empty() {
            settings.push(("family", quoted(if six { "ipv6" } else { "ipv4" })));
        }
        let track = self.settings.iter().position(|(key, _)| *key == "track").map(|at| self.settings.remove(at));
        settings.extend(self.settings);
        settings.push((action, what));
        settings.extend(track);
        let family = if six { "IPv6" } else { "IPv4" };
        Given { entry: table(&settings), key: format!("a rule of {family} with priority {priority}") }
    }
}

/// `0x10` or `24/12`.
fn fwmark(value: &str) -> Result<String, String> {
    let is_number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).is_ok(),
        None => text.parse::<u32>().is_ok(),
    };
    let (mark, mask) = value.split_once('/').unwrap_or((value, "0"));
    if is_number(mark) && is_number(mask) { Ok(quoted(value)) } else { Err("it is no mark: write a number".to_owned()) }
}

/// `80` or `80-90`.
fn range<T: std::str::FromStr + PartialOrd>(value: &str) -> Result<String, String> {
    let (first, last) = value.split_once('-').unwrap_or((value, value));
    let both = first.parse::<T>().ok().zip(last.parse::<T>().ok());
    if both.is_some_and(|(first, last)| first <= last) {
        Ok(quoted(value))
    } else {
        Err("it is no range: write the first and the last number".to_owned())
    }
}

fn protocol(value: &str) -> Result<String, String> {
    let name = value.to_lowercase();
    if PROTOCOLS.contains(&name.as_str()) || name.parse::<u8>().is_ok() {
        Ok(quoted(&name))
    } else {
        Err("write the number that /etc/protocols has for it".to_owned())
    }
}
