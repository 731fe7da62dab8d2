//! A regular expression among the options of a probe: compiled once, when the option is read.
//!
//! Matching takes time in proportion to the text times the expression, so both are bounded: a text is an answer of 64 KiB
//! at most, an expression this many bytes once compiled.

use regex_lite::{Regex, RegexBuilder};

use crate::policy::options::Options;

/// A few hundred states. More than anybody writes by hand; `(a{100}){100}` is refused.
const BYTES_MAX: usize = 16 * 1024;

/// A regular expression, equal to another of the same text.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    ///
    /// It is none, or too large: a sentence without the name of the option.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(BYTES_MAX).build();
        compiled.map(Self).map_err(|error| format!("\"{text}\" is not a regular expression: {error}"))
    }

    /// It is found somewhere in the text.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The option of this name, if it was given.
    pub(super) fn read(options: &Options<'_>, option: &str) -> Result<Option<Self>, String> {
        let text = options.text(option)?;
        text.map(|text| Self::new(&text).map_err(|why| format!("{option}: {why}"))).transpose()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_expression_or_too_large_a_one_is_said() {
        assert!(Pattern::new("^[+]OK .*ready$").unwrap().is_in("+OK server ready"));
        assert!(!Pattern::new("(?i)^ok").unwrap().is_in("not ok"));
        for bad in ["(", "a{2,1}", "(a{100}){100}"] {
            let why = Pattern::new(bad).unwrap_err();
            assert!(why.starts_with(&format!("\"{bad}\" is not a regular expression: ")), "{why}");
        }
    }
}
