//! What the first argument of a probe is.

use rhai::{Array, Dynamic};

use crate::policy::kind;

/// What a probe takes as its first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::policy) enum Target {
    /// A text that is not empty.
    Text,
    /// A whole number.
    Number,
    /// A list of texts.
    List,
    /// There is none.
    Nothing,
}

/// The texts of a list.
pub(super) fn texts(what: &str, value: &Dynamic) -> Result<Vec<String>, String> {
    let one = |item: Dynamic| match item.is_string() {
        true => Ok(item.to_string()),
        false => Err(format!("{what} takes a list of texts; {} is among them", kind::of(&item))),
    };
    match value.clone().try_cast::<Array>() {
        Some(list) => list.into_iter().map(one).collect(),
        None => Err(format!("{what} takes a list of texts, not {}", kind::of(value))),
    }
}
