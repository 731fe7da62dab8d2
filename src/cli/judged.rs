//! Rules in a table: the words that `ha status` and `ha check --dry-run` share.

use std::time::Duration;

use crate::control::protocol::{Options, Rule};

/// A time as people say it: one or two units.
pub(super) fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// A time a probe took: `1.9ms`, `1.00s`.
pub(super) fn took(ms: f64) -> String {
    if ms < 1.0 {
        format!("{:.0}µs", ms * 1e3)
    } else if ms < 1000.0 {
        format!("{ms:.1}ms")
    } else {
        format!("{:.2}s", ms / 1e3)
    }
}

/// A duration in seconds, without idle digits.
pub(super) fn seconds(time: Duration) -> String {
    let tenths = time.as_millis().div_ceil(100);
    if tenths.is_multiple_of(10) { format!("{} s", tenths / 10) } else { format!("{}.{} s", tenths / 10, tenths % 10) }
}

/// So many of them.
pub(super) fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// What a rule does with the address while it is down.
pub(super) fn when_down(rule: &Rule) -> String {
    match (rule.effect.as_str(), rule.weight, rule.external) {
        ("require", _, true) => "offer".to_owned(),
        ("require", _, false) => "give up".to_owned(),
        ("prefer", Some(weight), _) => format!("priority -{weight}"),
        ("watch", ..) => "show".to_owned(),
        _ => "the script".to_owned(),
    }
}

/// What it takes to take it down.
pub(super) fn down_after(rule: &Rule) -> String {
    let Options { fall_for_ms, min_up_ms, .. } = rule.options;
    let times = [("for ", fall_for_ms, ""), ("up ", min_up_ms, "")];
    with_times(count(rule.fall.into(), "fail"), &times)
}

/// What it takes to bring it up.
pub(super) fn up_after(rule: &Rule) -> String {
    let options = &rule.options;
    let backoff = options.backoff.as_ref().map_or(0, |backoff| backoff.base_ms);
    let times = [("for ", options.rise_for_ms, ""), ("down ", options.min_down_ms, ""), ("back-off ", backoff, " …")];
    let text = with_times(count(rule.rise.into(), "ok"), &times);
    if options.latch { format!("{text}, cleared") } else { text }
}

fn with_times(count: String, times: &[(&str, u64, &str)]) -> String {
    let given = times.iter().filter(|(_, ms, _)| *ms > 0);
    given.fold(count, |text, (before, ms, after)| {
        format!("{text}, {before}{}{after}", seconds(Duration::from_millis(*ms)))
    })
}

/// What a row of the table has no room for: whose word it is, what holds it down, and how to end that.
pub(super) fn remarks(rule: &Rule, instance: &str) -> Vec<String> {
    let name = &rule.name;
    let mut remarks = Vec::new();
    if rule.is_held() {
        let quoted = if name.contains(|c: char| !c.is_alphanumeric() && c != '_' && c != '-') {
            format!("\"{name}\"")
        } else {
            name.clone()
        };
        let held = Duration::from_millis(rule.held_ms);
        let why = if rule.latched {
            "is latched: it stays down".to_owned()
        } else {
            format!("fell {} times: it stays down for {} more", rule.flaps, seconds(held))
        };
        remarks.push(format!("{name} {why}; `ha clear {quoted} --instance {instance}` ends that"));
    }
    let alert = rule.alert.then(|| "alert".to_owned());
    let words: Vec<String> = alert.into_iter().chain(rule.tags.iter().cloned()).collect();
    if !words.is_empty() {
        remarks.push(format!("{name}: {}", words.join(", ")));
    }
    remarks
}

/// What this evaluation saw.
pub(super) const fn mark(rule: &Rule) -> &'static str {
    match rule.ok {
        Some(true) => "✔",
        Some(false) => "✘",
        None => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::protocol::Backoff;

    #[test]
    fn what_it_takes_is_said_in_a_few_words() {
        let plain = Rule { fall: 3, rise: 1, ..Rule::default() };
        assert_eq!((down_after(&plain), up_after(&plain)), ("3 fails".to_owned(), "1 ok".to_owned()));
        let backoff = Some(Backoff { base_ms: 5000, max_ms: 300_000, reset_ms: 600_000 });
        let options = Options { fall_for_ms: 4000, rise_for_ms: 500, backoff, latch: true, ..Options::default() };
        let strict = Rule { options, ..plain };
        assert_eq!(down_after(&strict), "3 fails, for 4 s");
        assert_eq!(up_after(&strict), "1 ok, for 0.5 s, back-off 5 s …, cleared");
    }

    #[test]
    fn what_holds_a_rule_down_is_said_with_the_command_that_ends_it() {
        let rule = Rule { name: "data disk".into(), state: "down".into(), latched: true, ..Rule::default() };
        assert_eq!(
            remarks(&rule, "VI_1"),
            ["data disk is latched: it stays down; `ha clear \"data disk\" --instance VI_1` ends that"]
        );
        let rule = Rule { name: "web".into(), latched: false, held_ms: 12_000, flaps: 3, alert: true, ..rule };
        let tags = Rule { tags: vec!["front".into()], ..rule };
        assert_eq!(
            remarks(&tags, "VI_1"),
            [
                "web fell 3 times: it stays down for 12 s more; `ha clear web --instance VI_1` ends that",
                "web: alert, front"
            ]
        );
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [900, 9_999, 65_000, 600_000, 7_260_000, 200_000_000].map(ago);
        assert_eq!(said, ["0.9 s", "9.9 s", "65 s", "10 min", "2 h 1 min", "2 d 7 h"]);
        assert_eq!([0.4, 1.94, 1003.0].map(took), ["400µs", "1.9ms", "1.00s"]);
        assert_eq!([3000, 3607, 3600].map(|ms| seconds(Duration::from_millis(ms))), ["3 s", "3.7 s", "3.6 s"]);
    }
}
