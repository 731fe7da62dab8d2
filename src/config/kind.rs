//! Reading one value as the kind it must have. A value of another kind gets a sentence that says what to write.

use std::time::Duration;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{Findings, Span},
    table::{Entry, Table},
};

/// A value with its place in the text.
type Value<'d> = Spanned<DeValue<'d>>;

/// A time, or one of the words that may stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeOr {
    Time(Duration),
    Word(&'static str),
}

pub(super) fn text(key: &str, value: &Value<'_>, out: &mut Findings) -> Option<String> {
    if let DeValue::String(text) = value.get_ref() {
        return Some(text.clone().into_owned());
    }
    let todo = format!("write {key} = {}", quoted(value, out));
    out.error(value.span(), format!("{key} must be a text, not {}", name(value.get_ref())), todo);
    None
}

pub(super) fn number(key: &str, value: &Value<'_>, out: &mut Findings) -> Option<i64> {
    if let DeValue::Integer(number) = value.get_ref() {
        let fitting = i64::from_str_radix(number.as_str(), number.radix()).ok();
        if fitting.is_none() {
            out.error(
                value.span(),
                format!("{key} is far too large"),
                format!("write {key} = 1 or another small number"),
            );
        }
        return fitting;
    }
    let todo = match value.get_ref().as_str().filter(|text| text.parse::<i64>().is_ok()) {
        Some(text) => format!("write {key} = {text}, without quotes"),
        None => format!("write {key} = 1 or another number, without quotes"),
    };
    out.error(value.span(), format!("{key} must be a whole number, not {}", name(value.get_ref())), todo);
    None
}

pub(super) fn flag(key: &str, value: &Value<'_>, out: &mut Findings) -> Option<bool> {
    let flag = value.get_ref().as_bool();
    if flag.is_none() {
        let todo = format!("write {key} = true or {key} = false, without quotes");
        out.error(value.span(), format!("{key} must be true or false, not {}", name(value.get_ref())), todo);
    }
    flag
}

pub(super) fn time(key: &str, value: &Value<'_>, out: &mut Findings) -> Option<Duration> {
    match time_or(key, value, &[], out)? {
        TimeOr::Time(time) => Some(time),
        TimeOr::Word(_) => None,
    }
}

/// A time with its unit, or one of `words`.
pub(super) fn time_or(key: &str, value: &Value<'_>, words: &[&'static str], out: &mut Findings) -> Option<TimeOr> {
    let todo = if words.is_empty() {
        format!("write {key} = \"1s\", \"100ms\" or another time with its unit")
    } else {
        let choice = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        format!("write {key} = {choice} or a time with its unit, like \"3s\"")
    };
    let Some(text) = value.get_ref().as_str() else {
        if value.get_ref().is_integer() || value.get_ref().is_float() {
            let number = out.text(&value.span()).to_owned();
            without_unit(key, &number, value, out);
        } else {
            out.error(value.span(), format!("{key} must be a time, not {}", name(value.get_ref())), todo);
        }
        return None;
    };
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Some(TimeOr::Word(word));
    }
    let time = parse_time(text);
    if time.is_none() && !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        without_unit(key, text, value, out);
    } else if time.is_none() {
        out.error(value.span(), format!("{key} = \"{text}\" is not a time"), todo);
    }
    time.map(TimeOr::Time)
}

/// A list of texts, each with its place.
pub(super) fn texts(key: &str, value: &Value<'_>, out: &mut Findings) -> Option<Vec<Spanned<String>>> {
    let items = items(key, value, out)?;
    let texts: Vec<_> = items.iter().filter_map(|item| item_text(key, item, out)).collect();
    (texts.len() == items.len()).then_some(texts)
}

/// A table of texts under names of the writer's choice, each with its place. They are secrets.
pub(super) fn named_texts(
    key: &str,
    value: &Value<'_>,
    out: &mut Findings,
) -> Option<Vec<(Spanned<String>, Spanned<String>)>> {
    let todo = format!("write {key} = {{ 1 = \"…\" }}");
    let Some(named) = value.get_ref().as_table() else {
        out.hide(&value.span());
        out.error(value.span(), format!("{key} must be a table, not {}", name(value.get_ref())), todo);
        return None;
    };
    let mut texts = Vec::with_capacity(named.len());
    named.iter().for_each(|(_, value)| out.hide(&value.span()));
    for (number, value) in named {
        let DeValue::String(text) = value.get_ref() else {
            let what = format!("{key}.{} must be a text, not {}", number.get_ref(), name(value.get_ref()));
            out.error(value.span(), what, todo.as_str());
            continue;
        };
        let number = Spanned::new(number.span(), number.get_ref().clone().into_owned());
        texts.push((number, Spanned::new(value.span(), text.clone().into_owned())));
    }
    (texts.len() == named.len()).then_some(texts)
}

/// A list of texts and tables.
pub(super) fn entries<'d>(
    key: &str,
    value: &'d Value<'d>,
    out: &mut Findings,
    open: impl Fn(&'d DeTable<'d>, Span) -> Table<'d>,
) -> Option<Vec<Entry<'d>>> {
    let items = items(key, value, out)?;
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        entries.extend(match item.get_ref().as_table() {
            Some(table) => Some(Entry::Table(open(table, item.span()))),
            None => item_text(key, item, out).map(Entry::Text),
        });
    }
    (entries.len() == items.len()).then_some(entries)
}

fn items<'v, 'd>(key: &str, value: &'v Value<'d>, out: &mut Findings) -> Option<&'v [Value<'d>]> {
    let Some(items) = value.get_ref().as_array() else {
        let todo = match value.get_ref().as_str() {
            Some(text) => format!("write {key} = [\"{text}\"]"),
            None => format!("write {key} = [\"…\"], texts in brackets with commas between them"),
        };
        out.error(value.span(), format!("{key} must be a list, not {}", name(value.get_ref())), todo);
        return None;
    };
    Some(items)
}

/// What a kind of value is called.
pub(super) const fn name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn item_text(key: &str, item: &Value<'_>, out: &mut Findings) -> Option<Spanned<String>> {
    if let DeValue::String(text) = item.get_ref() {
        return Some(Spanned::new(item.span(), text.clone().into_owned()));
    }
    let todo = format!("write {}", quoted(item, out));
    out.error(item.span(), format!("{key} must be a list of texts, this is {}", name(item.get_ref())), todo);
    None
}

fn without_unit(key: &str, number: &str, value: &Value<'_>, out: &mut Findings) {
    let todo = format!("write {key} = \"{number}s\" for seconds, \"{number}ms\" for milliseconds");
    out.error(value.span(), format!("{key} = {number} has no unit"), todo);
}

/// The value as it would be as a text; of a value with parts one cannot say.
fn quoted(value: &Value<'_>, out: &Findings) -> String {
    let parts = value.get_ref().is_array() || value.get_ref().is_table();
    format!("\"{}\"", if parts { "…" } else { out.text(&value.span()) })
}

/// Nobody means a time with more digits than this, and the sum of huge numbers must not overflow.
fn parse_time(text: &str) -> Option<Duration> {
    const LENGTH_MAX: usize = 32;
    const DIGITS_MAX: usize = 9;
    let digits_fit = text.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= DIGITS_MAX);
    if text.len() <= LENGTH_MAX && digits_fit { humantime::parse_duration(text).ok() } else { None }
}
