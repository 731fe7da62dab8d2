//! A value that a policy keeps from one evaluation to the next: plain, so that it can be written down.

use rhai::Dynamic;

use super::kind;

/// How long a text in one may be.
pub(super) const LONGEST: usize = 1024;

/// A value that can be kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// `()`
    Nothing,
    /// A truth.
    Truth(bool),
    /// A whole number.
    Whole(i64),
    /// A number, never infinite.
    Number(f64),
    /// A text.
    Text(String),
}

impl Note {
    /// Takes what a script gave.
    ///
    /// # Errors
    ///
    /// It cannot be kept; what could.
    pub(super) fn from_script(value: &Dynamic) -> Result<Self, String> {
        if value.is_unit() {
            return Ok(Self::Nothing);
        }
        if let Ok(truth) = value.as_bool() {
            return Ok(Self::Truth(truth));
        }
        if let Ok(whole) = value.as_int() {
            return Ok(Self::Whole(whole));
        }
        if let Ok(number) = value.as_float() {
            return if number.is_finite() { Ok(Self::Number(number)) } else { Err(format!("{number} is no number")) };
        }
        match value.clone().into_string() {
            Ok(text) => Ok(Self::Text(text)),
            Err(_) => Err(format!("takes a truth, a number or a text, not {}", kind::of(value))),
        }
    }

    /// As the script gave it.
    pub(super) fn to_script(&self) -> Dynamic {
        match self {
            Self::Nothing => Dynamic::UNIT,
            Self::Truth(truth) => (*truth).into(),
            Self::Whole(whole) => (*whole).into(),
            Self::Number(number) => (*number).into(),
            Self::Text(text) => text.clone().into(),
        }
    }
}
