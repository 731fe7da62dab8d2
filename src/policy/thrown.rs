//! What went wrong while a policy ran, and where.

use std::fmt;

use rhai::EvalAltResult;

use super::lint::Place;

/// An error of a script while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thrown {
    /// The file it is in, as it was named at loading; `None`: no line of any file is to blame.
    pub(super) file: Option<String>,
    pub(super) place: Place,
    pub(super) message: String,
    /// It is about a value that a fake answer does not have: a real one may.
    pub(super) may_be_the_fakes: bool,
}

impl Thrown {
    /// Whether that can be said of this error.
    #[allow(clippy::wildcard_enum_match_arm, reason = "the script engine's errors are not ours and open-ended")]
    pub(super) fn may_be_the_fakes(error: &EvalAltResult) -> bool {
        match error.unwrap_inner() {
            EvalAltResult::ErrorDotExpr(text, _) => text.ends_with("'()'"),
            EvalAltResult::ErrorFunctionNotFound(signature, _) => signature.contains("()"),
            EvalAltResult::ErrorMismatchDataType(_, actual, _) => actual == "()",
            EvalAltResult::ErrorArrayBounds(..)
            | EvalAltResult::ErrorStringBounds(..)
            | EvalAltResult::ErrorIndexNotFound(..)
            | EvalAltResult::ErrorIndexingType(..)
            | EvalAltResult::ErrorParsing(..) => true,
            _ => false,
        }
    }
}

impl From<String> for Thrown {
    fn from(message: String) -> Self {
        Self { file: None, place: Place::default(), message, may_be_the_fakes: false }
    }
}

/// `check_local.rhai:6:5: …`, as far as it is known.
impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = &self.message;
        match (&self.file, self.place.line, self.place.column) {
            (None, ..) => f.write_str(message),
            (Some(file), 0, _) => write!(f, "{file}: {message}"),
            (Some(file), line, 0) => write!(f, "{file}:{line}: {message}"),
            (Some(file), line, column) => write!(f, "{file}:{line}:{column}: {message}"),
        }
    }
}
