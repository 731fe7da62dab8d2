//! Durations in a policy: `"500ms"`, `"1.5s"`, `"5m"`, `"1h"`, `2.s`, `500.ms`, and plain numbers, which are seconds.

use std::time::Duration;

use rhai::Dynamic;

use super::kind;

/// No duration of a policy is longer: a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads what a script gave where a duration belongs.
///
/// # Errors
///
/// A sentence that says what was read and what would do.
pub(super) fn from_script(value: &Dynamic) -> Result<Duration, String> {
    if let Some(duration) = value.clone().try_cast::<Duration>() {
        return Ok(duration);
    }
    if let Ok(seconds) = value.as_float() {
        return from_seconds(seconds).ok_or_else(|| not_a_duration(&seconds.to_string()));
    }
    if let Ok(seconds) = value.as_int() {
        return from_whole_seconds(seconds).ok_or_else(|| not_a_duration(&seconds.to_string()));
    }
    match value.clone().into_immutable_string() {
        Ok(text) => parse(&text).ok_or_else(|| not_a_duration(&format!("\"{text}\""))),
        Err(_) => Err(not_a_duration(kind::of(value))),
    }
}

/// Reads `"500ms"`, `"2s"`, `"5m"`, `"1h"`, with a fraction if wanted; a day at most.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.')?);
    let number: f64 = number.parse().ok()?;
    let factor = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    from_seconds(number * factor)
}

/// From seconds; a day at most.
pub(super) fn from_seconds(seconds: f64) -> Option<Duration> {
    // To the nanosecond, a third of a second would not print as it was written.
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    let microseconds = u64::try_from((duration + Duration::from_nanos(500)).as_micros()).ok()?;
    Some(Duration::from_micros(microseconds)).filter(|duration| *duration <= LONGEST)
}

fn from_whole_seconds(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().map(Duration::from_secs).filter(|duration| *duration <= LONGEST)
}

/// As an operator writes it: `500ms`, `2s`, `1.5s`.
pub(super) fn show(duration: Duration) -> String {
    if duration >= Duration::from_secs(1) {
        format!("{}s", duration.as_secs_f64())
    } else if duration.subsec_micros().is_multiple_of(1000) {
        format!("{}ms", duration.as_millis())
    } else {
        format!("{:.1}ms", duration.as_secs_f64() * 1000.0)
    }
}

fn not_a_duration(what: &str) -> String {
    format!("{what} is not a duration; write \"500ms\", \"2s\", \"5m\", 2.s, or a number of seconds (a day at most)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_one() {
        let second = Duration::from_secs(1);
        for (value, wanted) in [
            (Dynamic::from("500ms"), second / 2),
            (Dynamic::from("2s"), 2 * second),
            (Dynamic::from("1.5 s"), 3 * second / 2),
            (Dynamic::from("5m"), 300 * second),
            (Dynamic::from("1h"), 3600 * second),
            (Dynamic::from(3_i64), 3 * second),
            (Dynamic::from(0.25), second / 4),
            (Dynamic::from(second), second),
        ] {
            assert_eq!(from_script(&value), Ok(wanted), "{value}");
        }
    }

    #[test]
    fn what_is_none_is_said() {
        for value in ["", "s", "2", "2x", "-1s", "1e9s", "25h", "NaNs"] {
            assert!(from_script(&Dynamic::from(value)).is_err(), "{value}");
        }
        assert!(from_script(&Dynamic::from(-1_i64)).is_err());
        assert!(from_script(&Dynamic::from(f64::NAN)).is_err());
        assert!(from_script(&Dynamic::UNIT).unwrap_err().starts_with("nothing: () is not a duration"));
    }

    #[test]
    fn they_are_shown_as_they_are_written() {
        let millis = Duration::from_millis;
        assert_eq!([show(millis(500)), show(millis(2000)), show(millis(1500))], ["500ms", "2s", "1.5s"]);
        assert_eq!(show(Duration::from_micros(1900)), "1.9ms");
    }
}
