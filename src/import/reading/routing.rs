//! `virtual_routes` and `virtual_rules`.
//!
//! keepalived leaves a line out that has a word it does not know, and says so in its log; here it is refused. What it cannot set
//! it only logs, too, so what the kernel never takes is refused as well.

use std::{collections::BTreeMap, str::FromStr};

use ipnet::IpNet;

use super::{list, route, routing_word, rule};
use crate::import::{
    Files,
    keyword::Becomes,
    ledger::{Ledger, Place},
    outline::{Entry, quoted},
    tree::Node,
};

/// Where keepalived begins to count, downwards, for rules that do not say when they are asked.
const FIRST_ASSIGNED: u32 = 16_384;
/// Where `iproute2` keeps the names of tables; the later file counts.
const TABLES: [&str; 2] = ["/usr/share/iproute2/rt_tables", "/etc/iproute2/rt_tables"];

/// What a line says that is not there alone: the numbers of tables, and the priorities of rules that have none.
#[derive(Debug, Default)]
pub(in crate::import) struct Numbers {
    tables: BTreeMap<String, String>,
    assigned: BTreeMap<Place, u32>,
}

impl Numbers {
    /// `instances`: all of them, for keepalived counts through the whole file.
    pub(in crate::import) fn of(instances: &[&Node], files: &dyn Files) -> Self {
        let mut numbers = Self::default();
        let blocks = instances.iter().flat_map(|node| node.inner()).filter(|node| node.keyword() == "virtual_rules");
        let says = |line: &&Node| line.words.iter().any(|word| rule::PRIORITY.contains(&word.text.as_str()));
        let without = blocks.flat_map(Node::inner).filter(|line| !says(line));
        let counted = without.map(|line| line.place).zip((1..=FIRST_ASSIGNED).rev());
        numbers.assigned = counted.collect();
        let named = [("local", "255"), ("main", "main"), ("default", "253")];
        numbers.tables = named.map(|(name, number)| (name.to_owned(), number.to_owned())).into();
        for text in TABLES.iter().filter_map(|path| files.read(path).ok()) {
            for line in text.lines() {
                let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
                if let (Some(number), Some(name)) = (words.next(), words.next()) {
                    numbers.tables.entry(name.to_owned()).or_insert_with(|| number.to_owned());
                }
            }
        }
        numbers
    }

    pub(super) fn table(&self, text: &str) -> Result<String, String> {
        if let Some(number) = text.parse::<u32>().ok().filter(|number| *number > 0) {
            return Ok(if number == crate::config::MAIN_TABLE { "main".to_owned() } else { number.to_string() });
        }
        let known = self.tables.get(text).cloned();
        known.ok_or_else(|| "no table is called that in /etc/iproute2/rt_tables: write its number".to_owned())
    }

    pub(super) fn assigned(&self, line: &Node) -> u32 {
        self.assigned.get(&line.place).copied().unwrap_or(FIRST_ASSIGNED)
    }
}

/// An entry as TOML, and what two entries must not have in common.
pub(super) struct Given {
    pub(super) entry: String,
    pub(super) key: String,
}

/// Reads both blocks of an instance; the second answer: what is in whose place, as `Section` keeps it.
pub(super) fn routing(
    read: &[&Node],
    six: bool,
    numbers: &Numbers,
    ledger: &mut Ledger,
) -> (Vec<Entry>, Vec<(String, String)>) {
    let blocks =
        |keyword: &str| -> Vec<&Node> { read.iter().filter(|node| node.keyword() == keyword).copied().collect() };
    let mut places: Vec<(String, String)> = Vec::new();
    let mut entries = Vec::new();
    for (key, keyword) in [("routes", "virtual_routes"), ("rules", "virtual_rules")] {
        let blocks = blocks(keyword);
        let mut lines = Vec::new();
        for block in &blocks {
            ledger.mapped(block.place, key);
            for line in block.inner() {
                let read = if key == "routes" { route::route } else { rule::rule };
                let Some(Given { entry, key }) = read(line, six, numbers, ledger) else { continue };
                if places.iter().any(|(known, _)| *known == key) {
                    ledger.refused(line.place, format!("{key} is there already: write another metric or preference"));
                    continue;
                }
                ledger.mapped(line.place, entry.clone());
                places.push((key, entry.clone()));
                lines.push((entry, line));
            }
        }
        if !lines.is_empty() {
            entries.push(list::entry(key, &lines, &blocks));
        }
    }
    (entries, places)
}

/// What a line says: each word that is known, with its value. What is refused is said; then nothing comes of the line.
pub(super) fn settings<'n>(
    line: &'n Node,
    words: &'static [(&'static str, Becomes)],
    ledger: &mut Ledger,
) -> Option<Vec<(&'n str, &'n str)>> {
    let mut given = Vec::new();
    let mut usable = true;
    let mut rest = line.words.iter().map(|word| word.text.as_str()).peekable();
    while let Some(word) = rest.next() {
        match routing_word::becomes(words, word) {
            Some(Becomes::Mapped(0)) => given.push((word, "")),
            Some(Becomes::Mapped(_)) => {
                let value = rest.next().unwrap_or_default();
                if value == "lock" {
                    usable = false;
                    ledger.refused(line.place, format!("{word} lock: ha locks no metric: remove lock"));
                    rest.next();
                    continue;
                }
                given.push((word, value));
            }
            Some(Becomes::Dropped(why)) => {
                ledger.dropped(line.place, format!("{word}: {why}"));
                if word == "protocol" {
                    rest.next();
                }
            }
            Some(Becomes::Refused(todo)) => {
                usable = false;
                ledger.refused(line.place, format!("{word}: {todo}"));
                // Its values are not words of their own.
                while rest.next_if(|next| routing_word::becomes(words, next).is_none()).is_some() {}
            }
            None if word == "default" || word.parse::<IpNet>().is_ok() || word.parse::<std::net::IpAddr>().is_ok() => {
                given.push(("to", word));
            }
            None => {
                usable = false;
                let what = format!("\"{word}\" means nothing to keepalived here, which leaves the whole line out");
                ledger.refused(line.place, format!("{what}: mend or remove it"));
            }
        }
    }
    usable.then_some(given)
}

/// A value that means something, as TOML.
pub(super) fn text<T: FromStr>(value: &str, what: &str) -> Result<String, String> {
    if value.parse::<T>().is_ok() { Ok(quoted(value)) } else { Err(format!("it is not {what}")) }
}

/// A number within its range.
pub(super) fn number(value: &str, lowest: u32, highest: u32) -> Result<String, String> {
    let number = value.parse::<u32>().ok().filter(|number| (lowest..=highest).contains(number));
    number.map(|number| number.to_string()).ok_or_else(|| format!("write a number from {lowest} to {highest}"))
}

/// A network or an address, which is one of its own.
pub(super) fn network(value: &str) -> Option<IpNet> {
    value.parse::<IpNet>().or_else(|_| value.parse::<std::net::IpAddr>().map(IpNet::from)).ok()
}

/// `key = value, …` in braces.
pub(super) fn table(settings: &[(&'static str, String)]) -> String {
    let all: Vec<String> = settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", all.join(", "))
}
