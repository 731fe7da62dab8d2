//! The words of one statement, taken one after the other.

use std::{slice::Iter, time::Duration};

/// See the module.
pub(super) struct Words<'a> {
    rest: std::iter::Peekable<Iter<'a, &'a str>>,
}

impl<'a> Words<'a> {
    pub(super) fn new(words: &'a [&'a str]) -> Self {
        Self { rest: words.iter().peekable() }
    }

    /// The next word, which must be there; `what` it is, and an example.
    pub(super) fn next(&mut self, what: &str) -> Result<&'a str, String> {
        self.rest.next().copied().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word, if there is one.
    pub(super) fn maybe(&mut self) -> Option<&'a str> {
        self.rest.next().copied()
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        self.rest.next_if(|next| **next == word).is_some()
    }

    pub(super) fn end(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some(word) => Err(format!("nothing is known of \"{word}\" here; the statement is complete before it")),
            None => Ok(()),
        }
    }
}

/// One of several words.
pub(super) fn one_of<T: Copy>(what: &str, word: &str, known: &[(&str, T)]) -> Result<T, String> {
    let found = known.iter().find(|(name, _)| *name == word).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        format!("\"{word}\" is no {what}; known: {}", names.join(", "))
    })
}

/// `5s`, `1.5s`, `200ms`, `50us`, `2m`, `1h`.
pub(super) fn duration(word: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{word}\" is no time; write 5s, 1.5s, 200ms, 50us, 2m or 1h");
    let unit_at = word.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = word.split_at(unit_at);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    // Whole microseconds: a time that is printed is read as the same.
    let micros = (number * seconds * 1e6).round();
    Duration::try_from_secs_f64(micros / 1e6).map_err(|_| wrong())
}

/// `30%`.
pub(super) fn percent(word: &str) -> Result<u32, String> {
    let number = word.strip_suffix('%').and_then(|number| number.parse().ok());
    number.filter(|number| *number <= 100).ok_or_else(|| format!("\"{word}\" is no share; write 0% to 100%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_shares_are_read() {
        let read = |word| duration(word).map(|time| time.as_micros());
        assert_eq!(read("1.5s"), Ok(1_500_000));
        assert_eq!(read("50us"), Ok(50));
        assert_eq!(read("2m"), Ok(120_000_000));
        assert_eq!(read("5"), Err("\"5\" is no time; write 5s, 1.5s, 200ms, 50us, 2m or 1h".to_owned()));
        assert!(read("-1s").is_err() && read("xs").is_err() && read("1d").is_err());
        assert_eq!((percent("30%"), percent("101%").is_err(), percent("5").is_err()), (Ok(30), true, true));
    }
}
