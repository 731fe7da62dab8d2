//! What is expected of a JSON document (RFC 8259): one place in it, and what stands there.
//!
//! `$.health == 'true'`, `$.shards[0].lag < 10`, `$['a b'] != null`, `$.ready`. The path is the plain part of JSONPath
//! (RFC 9535): names and indices, no wildcards, no filters. A place that is not in the document is never as expected,
//! whatever the comparison; kinds are not converted: `true` is not `'true'`.

use std::cmp::Ordering;

use rhai::{Array, Dynamic, Map};
use serde_json::Value;

use super::Field;
use crate::policy::kind;

/// How much of a text is repeated in a reason.
const SHOWN: usize = 60;

/// An expectation, equal to another of the same text.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonExpectation {
    text: String,
    place: String,
    path: Vec<Step>,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    /// It is there, and neither `false` nor `null`.
    Present,
    Compare(Operator, Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl JsonExpectation {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What was not understood, and how it is written.
    pub fn new(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("\"{text}\" is no expectation; write \"$.health == 'true'\", \"$.lag < 10\" or \"$.ready\"");
        let text = text.trim();
        let (path, rest) = text.strip_prefix('$').and_then(steps).ok_or_else(wrong)?;
        let place = text.strip_suffix(rest).unwrap_or(text).to_owned();
        let test = test(rest.trim()).ok_or_else(wrong)?;
        Ok(Self { text: text.to_owned(), place, path, test })
    }

    /// Whether the document is as expected.
    ///
    /// # Errors
    ///
    /// What stands there instead.
    pub fn judge(&self, document: &Field) -> Result<(), String> {
        let value = self.path.iter().try_fold(document, |value, step| step.of(value));
        match value {
            None => Err(format!("{} is not in the document", self.place)),
            Some(value) if self.test.holds(value) => Ok(()),
            Some(value) if self.test == Test::Present => Err(format!("{} is {}", self.place, show(value))),
            Some(value) => Err(format!("{} is {}, wanted {}", self.place, show(value), self.text)),
        }
    }
}

impl Step {
    fn of<'a>(&self, value: &'a Field) -> Option<&'a Field> {
        match (self, value) {
            (Self::Name(name), Field::Map(named)) => named.get(name),
            (Self::Index(index), Field::List(items)) => items.get(*index),
            (Self::Name(_) | Self::Index(_), _) => None,
        }
    }
}

impl Test {
    fn holds(&self, value: &Field) -> bool {
        match self {
            Self::Present => !matches!(value, Field::Unit | Field::Bool(false)),
            Self::Compare(Operator::Equal, wanted) => equal(value, wanted),
            Self::Compare(Operator::Unequal, unwanted) => !equal(value, unwanted),
            Self::Compare(operator, limit) => {
                let order = number(value).and_then(|value| value.partial_cmp(&number(limit)?));
                order.is_some_and(|order| operator.admits(order))
            }
        }
    }
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    const fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }

    const fn orders(self) -> bool {
        match self {
            Self::Equal | Self::Unequal => false,
            Self::Less | Self::AtMost | Self::Greater | Self::AtLeast => true,
        }
    }
}

fn equal(value: &Field, wanted: &Field) -> bool {
    match (number(value), number(wanted)) {
        (Some(value), Some(wanted)) => value.total_cmp(&wanted).is_eq() || value == wanted,
        (_, _) => value == wanted,
    }
}

#[expect(clippy::as_conversions, reason = "there is no other way; beyond 2^53 neighbours are taken for equal")]
const fn number(value: &Field) -> Option<f64> {
    match value {
        Field::Int(number) => Some(*number as f64),
        Field::Float(number) => Some(*number),
        Field::Unit | Field::Bool(_) | Field::Text(_) | Field::Texts(_) | Field::List(_) | Field::Map(_) => None,
    }
}

/// The steps of a path, and what follows them.
fn steps(mut rest: &str) -> Option<(Vec<Step>, &str)> {
    let mut steps = Vec::new();
    while let Some(start) = rest.chars().next().filter(|start| matches!(start, '.' | '[')) {
        let inside = rest.get(1..)?;
        let (step, after) = if start == '.' { name(inside) } else { bracketed(inside) }?;
        steps.push(step);
        rest = after;
    }
    Some((steps, rest))
}

/// `health`
fn name(text: &str) -> Option<(Step, &str)> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (Step::Name(name.to_owned()), rest))
}

/// `0]`, `'any name']`
fn bracketed(text: &str) -> Option<(Step, &str)> {
    if let Some(quote) = text.chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
        let (name, rest) = text.get(1..)?.split_once(quote)?;
        return Some((Step::Name(name.to_owned()), rest.strip_prefix(']')?));
    }
    let (index, rest) = text.split_once(']')?;
    Some((Step::Index(index.parse().ok()?), rest))
}

/// `== 'true'`, or nothing.
fn test(text: &str) -> Option<Test> {
    if text.is_empty() {
        return Some(Test::Present);
    }
    let (operator, rest) =
        Operator::ALL.iter().find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))?;
    let wanted = literal(rest.trim())?;
    (!operator.orders() || number(&wanted).is_some()).then_some(Test::Compare(operator, wanted))
}

/// `'text'`, `"text"`, a number, `true`, `false`, `null`.
fn literal(text: &str) -> Option<Field> {
    for quote in ['\'', '"'] {
        if let Some(inside) = text.strip_prefix(quote) {
            return inside.strip_suffix(quote).filter(|inside| !inside.contains(quote)).map(Field::text);
        }
    }
    serde_json::from_str(text).ok().map(from_json).filter(|value| !matches!(value, Field::List(_) | Field::Map(_)))
}

/// A text as a document, if it is one.
pub(super) fn document(text: &str) -> Option<Field> {
    serde_json::from_str(text).ok().map(from_json)
}

/// The same, or why it is none.
///
/// # Errors
///
/// It is not JSON (RFC 8259), or is nested too deeply.
pub(in crate::policy) fn read(text: &str) -> Result<Field, String> {
    serde_json::from_str(text).map(from_json).map_err(|error| error.to_string())
}

fn from_json(value: Value) -> Field {
    match value {
        Value::Null => Field::Unit,
        Value::Bool(truth) => Field::Bool(truth),
        Value::Number(number) => {
            number.as_i64().map(Field::Int).or_else(|| number.as_f64().map(Field::Float)).unwrap_or(Field::Unit)
        }
        Value::String(text) => Field::Text(text),
        Value::Array(items) => Field::List(items.into_iter().map(from_json).collect()),
        Value::Object(named) => Field::Map(named.into_iter().map(|(name, value)| (name, from_json(value))).collect()),
    }
}

/// A script's value as a document.
///
/// # Errors
///
/// There is something in it that JSON does not have.
pub(super) fn of_script(value: &Dynamic) -> Result<Value, String> {
    if value.is_unit() {
        Ok(Value::Null)
    } else if let Ok(truth) = value.as_bool() {
        Ok(truth.into())
    } else if let Ok(number) = value.as_int() {
        Ok(number.into())
    } else if value.is_string() || value.is_char() {
        Ok(value.to_string().into())
    } else if let Some(number) = value.as_float().ok().and_then(serde_json::Number::from_f64) {
        Ok(number.into())
    } else if let Some(list) = value.clone().try_cast::<Array>() {
        list.iter().map(of_script).collect::<Result<Vec<_>, _>>().map(Value::Array)
    } else if let Some(map) = value.clone().try_cast::<Map>() {
        map.iter()
            .map(|(name, value)| Ok((name.to_string(), of_script(value)?)))
            .collect::<Result<_, _>>()
            .map(Value::Object)
    } else {
        Err(format!("JSON has no place for {}", kind::of(value)))
    }
}

fn show(value: &Field) -> String {
    match value {
        Field::Unit => "null".to_owned(),
        Field::Bool(truth) => truth.to_string(),
        Field::Int(number) => number.to_string(),
        Field::Float(number) => number.to_string(),
        Field::Text(text) => format!("'{}'", text.chars().take(SHOWN).collect::<String>()),
        Field::List(_) => "a list".to_owned(),
        Field::Texts(_) | Field::Map(_) => "a map".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{
        "health": "true", "ready": true, "draining": false, "lag": 3.5, "lost": null, "a b": {"x-y": [1, {"z": -2}]}
    }"#;

    fn judged(expectation: &str) -> Result<(), String> {
        JsonExpectation::new(expectation).unwrap().judge(&document(DOCUMENT).unwrap())
    }

    #[test]
    fn what_holds() {
        for expectation in [
            "$",
            "$.health == 'true'",
            "$.health != \"false\"",
            "$.ready",
            "$.ready == true",
            "$.draining == false",
            "$.lost == null",
            "$.lag<4",
            "$.lag >= 3.5",
            " $['a b']['x-y'][0] == 1.0 ",
            "$['a b'].x-y[1].z < -1.5",
        ] {
            assert_eq!(judged(expectation), Ok(()), "{expectation}");
        }
    }

    #[test]
    fn what_does_not_hold_says_what_stands_there() {
        for (expectation, why) in [
            ("$.health == true", "$.health is 'true', wanted $.health == true"),
            ("$.lag > 3.5", "$.lag is 3.5, wanted $.lag > 3.5"),
            ("$.health < 4", "$.health is 'true', wanted $.health < 4"),
            ("$.draining", "$.draining is false"),
            ("$.lost", "$.lost is null"),
            ("$['a b'] == 1", "$['a b'] is a map, wanted $['a b'] == 1"),
            ("$.gone", "$.gone is not in the document"),
            ("$.gone != 'red'", "$.gone is not in the document"),
            ("$.health[0] == 't'", "$.health[0] is not in the document"),
        ] {
            assert_eq!(judged(expectation), Err(why.to_owned()), "{expectation}");
        }
    }

    #[test]
    fn what_is_no_expectation_is_said() {
        for bad in [
            "",
            "health",
            "$.",
            "$..a",
            "$.a ==",
            "$.a = 1",
            "$.a == x",
            "$.a < 'b'",
            "$.a < true",
            "$[a]",
            "$['a'",
            "$.a == 'b'c'",
            "$.a == [1]",
            "$.a b",
        ] {
            let why = JsonExpectation::new(bad).unwrap_err();
            assert!(why.starts_with(&format!("\"{bad}\" is no expectation; write")), "{why}");
        }
    }

    #[test]
    fn values_of_a_script_become_a_document() {
        let map: Map = [("n", Dynamic::from(1_i64)), ("t", "x\n".into()), ("u", Dynamic::UNIT), ("f", 0.5.into())]
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        let list = Dynamic::from_array(vec![map.into(), true.into(), 'c'.into()]);
        assert_eq!(of_script(&list).unwrap().to_string(), r#"[{"f":0.5,"n":1,"t":"x\n","u":null},true,"c"]"#);
        assert_eq!(of_script(&f64::NAN.into()), Err("JSON has no place for a number".to_owned()));
    }
}
