//! Reading one table of the file: each key is asked for once, with the kind of value it must have.
//!
//! A value of another kind is a problem with its own sentence, not the end of the reading; what was never asked for is an
//! unknown key.

use std::time::Duration;

use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue},
};

use super::{
    error::{Findings, Span},
    kind::{self, TimeOr},
    suggest,
};

/// What the file says about a key.
#[derive(Debug)]
pub(super) enum Written<T> {
    /// Nothing: the default counts.
    Absent,
    /// Something, but not what it must be; the problem is already found.
    Unusable,
    /// This.
    Given(Spanned<T>),
}

impl<T> Written<T> {
    /// The value and its place, if there is a usable one.
    pub(super) fn given(&self) -> Option<(&T, Span)> {
        match self {
            Self::Absent | Self::Unusable => None,
            Self::Given(value) => Some((value.get_ref(), value.span())),
        }
    }

    /// Its place, if there is a usable one.
    pub(super) fn span(&self) -> Option<Span> {
        self.given().map(|(_, span)| span)
    }

    /// Nothing is written.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// One entry of a list that may have settings of its own.
#[derive(Debug)]
pub(super) enum Entry<'d> {
    /// Without.
    Text(Spanned<String>),
    /// With.
    Table(Table<'d>),
}

/// One table while it is read.
#[derive(Debug)]
pub(super) struct Table<'d> {
    name: String,
    header: Span,
    entries: Option<&'d DeTable<'d>>,
    asked: Vec<&'static str>,
}

impl<'d> Table<'d> {
    /// The document itself.
    pub(super) fn root(entries: &'d DeTable<'d>) -> Self {
        Self { name: String::new(), header: 0..0, entries: Some(entries), asked: Vec::new() }
    }

    /// One that is not in the file.
    pub(super) fn absent(name: &str) -> Self {
        Self { name: name.to_owned(), header: 0..0, entries: None, asked: Vec::new() }
    }

    /// Where it begins.
    pub(super) fn header(&self) -> Span {
        self.header.clone()
    }

    /// Whether it is in the file.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// The keys that were asked for, as one writes them: `instance.NAME.priority`.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.asked.iter().map(|key| self.full(key))
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str, out: &mut Findings) -> Written<String> {
        self.value(key, |value| kind::text(key, value, out))
    }

    /// A whole number.
    pub(super) fn number(&mut self, key: &'static str, out: &mut Findings) -> Written<i64> {
        self.value(key, |value| kind::number(key, value, out))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, key: &'static str, out: &mut Findings) -> Written<bool> {
        self.value(key, |value| kind::flag(key, value, out))
    }

    /// A time with its unit.
    pub(super) fn time(&mut self, key: &'static str, out: &mut Findings) -> Written<Duration> {
        self.value(key, |value| kind::time(key, value, out))
    }

    /// A time with its unit, or one of `words`.
    pub(super) fn time_or(&mut self, key: &'static str, words: &[&'static str], out: &mut Findings) -> Written<TimeOr> {
        self.value(key, |value| kind::time_or(key, value, words, out))
    }

    /// A list of texts, each with its place.
    pub(super) fn texts(&mut self, key: &'static str, out: &mut Findings) -> Written<Vec<Spanned<String>>> {
        self.value(key, |value| kind::texts(key, value, out))
    }

    /// A table of secret texts under names of the writer's choice, each with its place.
    pub(super) fn named_texts(
        &mut self,
        key: &'static str,
        out: &mut Findings,
    ) -> Written<Vec<(Spanned<String>, Spanned<String>)>> {
        self.value(key, |value| kind::named_texts(key, value, out))
    }

    /// A list of texts and tables. The tables know the keys of `KEY[]`.
    pub(super) fn entries(&mut self, key: &'static str, out: &mut Findings) -> Written<Vec<Entry<'d>>> {
        let name = self.full(key) + "[]";
        self.value(key, |value| {
            kind::entries(key, value, out, |table, span| Self {
                name: name.clone(),
                header: span,
                entries: Some(table),
                asked: Vec::new(),
            })
        })
    }

    /// A table inside this one; reads as empty if it is not there.
    pub(super) fn table(&mut self, key: &'static str, out: &mut Findings) -> Self {
        let name = self.full(key);
        let mut header = self.header();
        let mut entries = None;
        if let Some(value) = self.ask(key) {
            header = value.span();
            if let DeValue::Table(table) = value.get_ref() {
                entries = Some(table);
            } else {
                let todo = format!("write its settings below the line [{name}]");
                out.error(value.span(), format!("{name} must be a table, not {}", kind::name(value.get_ref())), todo);
            }
        }
        Self { name, header, entries, asked: Vec::new() }
    }

    /// The named tables `[KEY.…]`, each with its name; all of them know the same keys.
    pub(super) fn named_tables(&mut self, key: &'static str, out: &mut Findings) -> Vec<(Spanned<String>, Self)> {
        let Some(value) = self.ask(key) else { return Vec::new() };
        let DeValue::Table(named) = value.get_ref() else {
            let todo = format!("write [{key}.VI_1] above its settings, with a name of your choice");
            out.error(value.span(), format!("{key} must be a table, not {}", kind::name(value.get_ref())), todo);
            return Vec::new();
        };
        named.iter().filter_map(|(name, value)| self.named_table(key, name, value, out)).collect()
    }

    fn named_table(
        &self,
        key: &str,
        name: &Spanned<DeString<'d>>,
        value: &'d Spanned<DeValue<'d>>,
        out: &mut Findings,
    ) -> Option<(Spanned<String>, Self)> {
        let full = format!("{}.{}", self.full(key), name.get_ref());
        if let DeValue::Table(entries) = value.get_ref() {
            let table = Self { name: full, header: value.span(), entries: Some(entries), asked: Vec::new() };
            return Some((Spanned::new(name.span(), name.get_ref().clone().into_owned()), table));
        }
        let todo = format!("write [{key}.VI_1] above its settings, with a name of your choice");
        out.error(name.span(), format!("{full} is not a table: every {key} has a name"), todo);
        None
    }

    /// Whatever was not asked for is unknown; `elsewhere`: the keys of the other tables.
    pub(super) fn finish(&self, elsewhere: &[String], out: &mut Findings) {
        for (key, _) in self.entries.into_iter().flatten() {
            if !self.asked.contains(&&**key.get_ref()) {
                let todo = self.instead(key.get_ref(), elsewhere);
                let place = match self.name.strip_suffix("[]").map(|list| list.rsplit('.').next().unwrap_or(list)) {
                    Some(list) => format!("in an entry of {list}"),
                    None if self.name.is_empty() => "here".to_owned(),
                    None => format!("in [{}]", self.name),
                };
                out.error(key.span(), format!("unknown key {} {place}", key.get_ref()), todo);
            }
        }
    }

    /// What may have been meant by an unknown key.
    fn instead(&self, key: &str, elsewhere: &[String]) -> String {
        if let Some(ours) = suggest::translated(key) {
            return format!("keepalived's {key} is called {ours}");
        }
        // A route and a rule have words for everything.
        let is_routing = |full: &str| full.contains(".routes[].") || full.contains(".rules[].");
        let there = |full: &&String| !is_routing(full) && full.rsplit('.').next() == Some(key);
        if let Some(full) = elsewhere.iter().find(there) {
            return match full.split('.').collect::<Vec<_>>().as_slice() {
                [_, _, "policies[]", _] => {
                    format!("it belongs to one policy: policies = [{{ policy = \"check_local\", {key} = … }}]")
                }
                [_, _, list, _] if list.ends_with("[]") => {
                    let list = list.trim_end_matches("[]");
                    format!("it belongs to one address: {list} = [{{ address = \"192.168.0.60/24\", {key} = … }}]")
                }
                [_, _, "track", list, _] => {
                    format!("it belongs to one entry: track.{} = [{{ …, {key} = … }}]", list.trim_end_matches("[]"))
                }
                [_, _, rest @ ..] if rest.len() > 1 => format!("write it as {}", rest.join(".")),
                [table, name, _] => format!("{key} belongs in [{table}.{name}]"),
                [table, key] => format!("{key} belongs in [{table}]"),
                _ => format!("{key} belongs at the top of the file, above the first [table]"),
            };
        }
        match suggest::nearest(key, &self.asked) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("known here: {}", self.asked.join(", ")),
        }
    }

    fn value<T>(&mut self, key: &'static str, read: impl FnOnce(&'d Spanned<DeValue<'d>>) -> Option<T>) -> Written<T> {
        let Some(value) = self.ask(key) else { return Written::Absent };
        read(value).map_or(Written::Unusable, |meant| Written::Given(Spanned::new(value.span(), meant)))
    }

    fn ask(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.push(key);
        self.entries?.iter().find(|(written, _)| written.get_ref() == key).map(|(_, value)| value)
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
