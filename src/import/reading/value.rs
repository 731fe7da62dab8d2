//! Single values: numbers, times, truths. A value that keepalived itself does not take is refused, never guessed.

use crate::import::{ledger::Ledger, tree::Node};

/// The first value of a statement, as a number within its range.
pub(super) fn number(node: &Node, lowest: i64, highest: i64, ledger: &mut Ledger) -> Option<i64> {
    let text = node.text(1);
    let number = text.parse::<i64>().ok().filter(|number| (lowest..=highest).contains(number));
    if number.is_none() {
        let what = format!("{} is not a number from {lowest} to {highest}", shown(text));
        ledger.refused(
            node.place,
            format!("{what}: keepalived reports it and goes on with another one; write the one that is meant"),
        );
    }
    number
}

/// Seconds with a fraction, in microseconds.
pub(super) fn seconds(node: &Node, lowest: u64, highest: u64, ledger: &mut Ledger) -> Option<u64> {
    let text = node.text(1);
    let micros = micros(text).filter(|micros| (lowest..=highest).contains(micros));
    if micros.is_none() {
        let (from, to) = (decimal(lowest), decimal(highest));
        let what = format!("{} is not a time from {from} to {to} seconds", shown(text));
        ledger.refused(
            node.place,
            format!("{what}: keepalived reports it and goes on with another one; write the one that is meant"),
        );
    }
    micros
}

/// `on`, `off` and their like; nothing is `on`.
pub(super) fn truth(node: &Node, ledger: &mut Ledger) -> bool {
    match node.text(1).to_ascii_lowercase().as_str() {
        "" | "on" | "true" | "yes" => true,
        "off" | "false" | "no" => false,
        _ => {
            let what =
                format!("{} is neither on nor off: keepalived reports it; write one of the two", shown(node.text(1)));
            ledger.refused(node.place, what);
            true
        }
    }
}

/// A decimal number of seconds in microseconds; what is less than one is cut off.
pub(in crate::import) fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 9 && text.chars().all(|digit| digit.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: String = format!("{fraction:0<6}").chars().take(6).collect();
    whole.checked_mul(1_000_000)?.checked_add(fraction.parse().ok()?)
}

fn decimal(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn shown(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_read_as_keepalived_reads_them() {
        for (text, expected) in [
            ("1", Some(1_000_000)),
            ("0.3", Some(300_000)),
            (".5", Some(500_000)),
            ("1.", Some(1_000_000)),
            ("", None),
            ("1s", None),
            ("-1", None),
            (".", None),
        ] {
            assert_eq!(micros(text), expected, "{text}");
        }
    }
}
