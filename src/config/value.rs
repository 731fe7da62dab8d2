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
