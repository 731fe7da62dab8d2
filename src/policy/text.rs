//! Values as text, and how much of it: a script's value may share one long text a thousand times.

use std::time::Duration;

use rhai::{Array, Dynamic, Map};

use super::{duration, secret::Secret};

/// How long a text of a policy may grow: a body of 64 KiB, twice.
pub(super) const LONGEST: usize = 128 * 1024;
/// As much as anybody reads of a reason or a line in the journal, in characters.
const MOST_READ: usize = 1000;

/// As much of it as anybody reads.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_READ) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The value as the script language shows it. Soon after [`LONGEST`] it ends, wherever that is.
pub(super) fn show(value: &Dynamic) -> String {
    let mut text = String::new();
    match value.as_immutable_string_ref() {
        Ok(own) => text.push_str(&own),
        Err(_) => append(&mut text, value),
    }
    text
}

/// A list as [`show`] has it.
pub(super) fn show_list(list: &Array) -> String {
    let mut text = String::new();
    append_list(&mut text, list);
    text
}

/// A map as [`show`] has it.
pub(super) fn show_map(map: &Map) -> String {
    let mut text = String::new();
    append_map(&mut text, map);
    text
}

fn append(text: &mut String, value: &Dynamic) {
    if let Ok(list) = value.as_array_ref() {
        append_list(text, &list);
    } else if let Ok(map) = value.as_map_ref() {
        append_map(text, &map);
    } else if let Ok(own) = value.as_immutable_string_ref() {
        text.push_str(&format!("{:?}", own.as_str()));
    } else {
        text.push_str(&plain(value));
    }
}

fn plain(value: &Dynamic) -> String {
    match (value.read_lock::<Secret>(), value.read_lock::<Duration>()) {
        (Some(secret), _) => secret.to_string(),
        (None, Some(time)) => duration::show(*time),
        (None, None) => value.to_string(),
    }
}

fn append_list(text: &mut String, list: &Array) {
    text.push('[');
    for (number, item) in list.iter().enumerate() {
        if text.len() > LONGEST {
            return;
        }
        text.push_str(if number == 0 { "" } else { ", " });
        append(text, item);
    }
    text.push(']');
}

fn append_map(text: &mut String, map: &Map) {
    text.push_str("#{");
    for (number, (key, value)) in map.iter().enumerate() {
        if text.len() > LONGEST {
            return;
        }
        text.push_str(if number == 0 { "" } else { ", " });
        text.push_str(&format!("{:?}: ", key.as_str()));
        append(text, value);
    }
    text.push('}');
}

/// Bytes of text in the value, each time one is shared, and one for everything else.
pub(super) fn weight(value: &Dynamic) -> usize {
    if let Ok(list) = value.as_array_ref() {
        list.iter().map(weight).fold(1, usize::saturating_add)
    } else if let Ok(map) = value.as_map_ref() {
        weight_of_map(&map)
    } else {
        value.as_immutable_string_ref().map_or(1, |text| text.len())
    }
}

/// As [`weight`], of a map.
pub(super) fn weight_of_map(map: &Map) -> usize {
    map.iter().map(|(key, value)| key.len().saturating_add(weight(value))).fold(1, usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_text_weighs_each_time() {
        let shared = Dynamic::from("x".repeat(1000));
        let list = Dynamic::from_array(vec![shared; 500]);
        assert_eq!(weight(&list), 500_001);
        let shown = show(&list).len();
        assert!(shown > LONGEST && shown < LONGEST + 2000, "{shown}");
    }

    #[test]
    fn it_looks_as_the_script_language_shows_it() {
        let inner = Map::from([("b".into(), Dynamic::from_array(vec![1_i64.into(), "x\"".into(), Dynamic::UNIT]))]);
        let map = Dynamic::from_map(Map::from([("a".into(), Dynamic::from_map(inner))]));
        assert_eq!(show(&map), "#{\"a\": #{\"b\": [1, \"x\\\"\", ]}}");
        assert_eq!(show(&"plain".into()), "plain");
    }

    #[test]
    fn what_nobody_reads_is_cut_off() {
        assert_eq!(cut(&"~".repeat(1000)), "~".repeat(1000));
        assert_eq!(cut(&"~".repeat(1001)), "~".repeat(1000) + "…");
    }
}
