//! Single values as meant: a word out of a few, a number within its range, a time within its range.

use std::time::Duration;

use humantime::format_duration;

use super::{error::Findings, suggest, table::Written};

/// One of a few words; `None` if nothing usable is written.
pub(super) fn choice<T: Copy>(
    key: &str,
    written: &Written<String>,
    choices: &[(&'static str, T)],
    out: &mut Findings,
) -> Option<T> {
    let (word, span) = written.given()?;
    let chosen = choices.iter().find(|(name, _)| name == word).map(|(_, chosen)| *chosen);
    if chosen.is_none() {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let known = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or ");
        let todo = match suggest::nearest(word, &names) {
            Some(near) => format!("did you mean \"{near}\"? {key} is {known}"),
            None => format!("{key} is {known}"),
        };
        out.error(span, format!("{key} = \"{word}\" is not known"), todo);
    }
    chosen
}

/// A number from `lowest` to `highest`; `None` if nothing usable is written.
pub(super) fn number(key: &str, written: &Written<i64>, lowest: u8, highest: u8, out: &mut Findings) -> Option<u8> {
    let (number, span) = written.given()?;
    let fitting = u8::try_from(*number).ok().filter(|number| (lowest..=highest).contains(number));
    if fitting.is_none() {
        out.error(span, format!("{key} = {number} is out of range"), format!("{key} is {lowest} to {highest}"));
    }
    fitting
}

/// A time from `lowest` to `highest`; `None` if nothing usable is written.
pub(super) fn time(
    key: &str,
    written: &Written<Duration>,
    lowest: Duration,
    highest: Duration,
    out: &mut Findings,
) -> Option<Duration> {
    let (time, span) = written.given()?;
    if (lowest..=highest).contains(time) {
        return Some(*time);
    }
    let range = format!("{key} is \"{}\" to \"{}\"", format_duration(lowest), format_duration(highest));
    let what = format!("{key} = {} is out of range", out.text(&span));
    out.error(span, what, range);
    None
}

/// A time for a sentence: `3.02 s`, `12.2 ms`. Rounded up: a bound must not look smaller than it is.
pub(super) fn readable(time: Duration) -> String {
    if time >= Duration::from_secs(1) {
        let millis = time.as_nanos().div_ceil(1_000_000);
        format!("{} s", decimal(millis / 1000, millis % 1000, 3))
    } else {
        let tenths = time.as_nanos().div_ceil(100_000);
        format!("{} ms", decimal(tenths / 10, tenths % 10, 1))
    }
}

fn decimal(whole: u128, fraction: u128, digits: usize) -> String {
    let text = format!("{whole}.{fraction:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_readable_and_never_too_small() {
        for (nanos, expected) in [
            (0, "0 ms"),
            (1, "0.1 ms"),
            (10_000_000, "10 ms"),
            (12_187_500, "12.2 ms"),
            (100_000_000, "100 ms"),
            (999_999_999, "1000 ms"),
            (1_000_000_000, "1 s"),
            (3_020_000_000, "3.02 s"),
            (3_609_375_000, "3.61 s"),
            (10_000_000_000, "10 s"),
        ] {
            assert_eq!(readable(Duration::from_nanos(nanos)), expected);
        }
    }
}
