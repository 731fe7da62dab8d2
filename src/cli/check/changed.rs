//! What changes for rules that run already: each option by its name, as the daemon counts with it and as the file has it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::control::protocol::{Backoff, Rule};

/// A rule that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added(String),
    Removed(String),
    Option { rule: String, option: &'static str, from: Value, to: Value },
}

/// Every option of a rule that differs; defaults count as written.
pub(super) fn options(before: &Rule, after: &Rule) -> Vec<Change> {
    let pairs = values(before).into_iter().zip(values(after));
    let changed = pairs.filter(|((_, from), (_, to))| from != to);
    changed.map(|((option, from), (_, to))| Change::Option { rule: after.name.clone(), option, from, to }).collect()
}

/// As a policy would write them.
fn values(rule: &Rule) -> Vec<(&'static str, Value)> {
    let options = &rule.options;
    let backoff = options.backoff.as_ref();
    let held = |of: fn(&Backoff) -> u64| backoff.map_or(Value::Null, |backoff| time(of(backoff)));
    vec![
        ("function", json!(rule.effect)),
        ("probe", json!(rule.probes)),
        ("timeout", if rule.probes.is_empty() { Value::Null } else { time(rule.timeout_ms) }),
        ("weight", json!(rule.weight)),
        ("fall", json!(rule.fall)),
        ("rise", json!(rule.rise)),
        ("fall_for", time(options.fall_for_ms)),
        ("rise_for", time(options.rise_for_ms)),
        ("min_up", time(options.min_up_ms)),
        ("min_down", time(options.min_down_ms)),
        ("backoff.base", held(|backoff| backoff.base_ms)),
        ("backoff.max", held(|backoff| backoff.max_ms)),
        ("backoff.reset", held(|backoff| backoff.reset_ms)),
        ("latch", json!(options.latch)),
        ("linger", time(options.linger_ms)),
        ("blind_for", time(options.blind_for_ms)),
        ("external", json!(rule.external)),
        ("alert", json!(rule.alert)),
        ("tags", json!(rule.tags)),
    ]
}

fn time(ms: u64) -> Value {
    json!(humantime::format_duration(Duration::from_millis(ms)).to_string())
}

/// A value for people.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Options;

    #[test]
    fn every_option_is_compared() {
        let before = Rule { name: "web".into(), effect: "watch".into(), fall: 5, rise: 2, ..Rule::default() };
        let after = Rule {
            effect: "require".into(),
            probes: vec!["ping 192.0.2.1".into()],
            timeout_ms: 1500,
            weight: Some(3),
            fall: 3,
            rise: 1,
            options: Options {
                fall_for_ms: 1,
                rise_for_ms: 2,
                min_up_ms: 3,
                min_down_ms: 4,
                backoff: Some(Backoff { base_ms: 5, max_ms: 6, reset_ms: 7 }),
                latch: true,
                linger_ms: 8,
                blind_for_ms: 9,
            },
            external: true,
            alert: true,
            tags: vec!["front".into(), "east".into()],
            ..before.clone()
        };
        let lines = options(&before, &after).into_iter().map(|change| match change {
            Change::Option { option, from, to, .. } => format!("{option} {} → {}", shown(&from), shown(&to)),
            Change::Added(_) | Change::Removed(_) => unreachable!(),
        });
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
        assert_eq!(options(&after, &after), []);
    }
}
