//! Rules in a table: the words that `ha status` and `ha check --dry-run` share.

use std::time::Duration;

use crate::control::protocol::Rule;

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

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [900, 9_999, 65_000, 600_000, 7_260_000, 200_000_000].map(ago);
        assert_eq!(said, ["0.9 s", "9.9 s", "65 s", "10 min", "2 h 1 min", "2 d 7 h"]);
        assert_eq!([0.4, 1.94, 1003.0].map(took), ["400µs", "1.9ms", "1.00s"]);
        assert_eq!([3000, 3607, 3600].map(|ms| seconds(Duration::from_millis(ms))), ["3 s", "3.7 s", "3.6 s"]);
    }
}
