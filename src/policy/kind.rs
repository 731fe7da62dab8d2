//! What values are called in messages.

use std::any::type_name;

use rhai::Dynamic;

use super::{
    condition::Condition,
    functions::{Explicit, Handle},
    secret::Secret,
};

/// What a policy's author calls a value of this kind, with its article.
pub(super) fn of(value: &Dynamic) -> &'static str {
    if value.is_unit() {
        "nothing: ()"
    } else if value.is_bool() {
        "a truth"
    } else if value.is_int() {
        "a whole number"
    } else if value.is_float() {
        "a number"
    } else if value.is_string() || value.is_char() {
        "a text"
    } else if value.is_array() {
        "a list"
    } else if value.is_map() {
        "a map"
    } else if value.is_fnptr() {
        "a function"
    } else if value.is::<Condition>() {
        "a probe"
    } else if value.is::<Handle>() {
        "a rule"
    } else if value.is::<Explicit>() {
        "a verdict"
    } else if value.is::<Secret>() {
        "a secret"
    } else if value.is::<std::time::Duration>() {
        "a duration"
    } else {
        "something else"
    }
}

/// Our names of kinds in a message of the script engine, as a policy's author knows them.
pub(super) fn spoken(text: &str) -> String {
    let kinds = [
        (type_name::<Condition>(), "probe"),
        (type_name::<Handle>(), "rule"),
        (type_name::<Explicit>(), "verdict"),
        (type_name::<Secret>(), "secret"),
    ];
    kinds.into_iter().fold(text.to_owned(), |text, (ours, theirs)| text.replace(ours, theirs))
}
