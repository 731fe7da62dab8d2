//! A list in braces that becomes a list of TOML: one line, or one line each with its comments.

use crate::import::{outline::Entry, tree::Node, writing};

/// `list`: each entry as TOML, and where it stands.
pub(super) fn entry(key: &'static str, list: &[(String, &Node)], blocks: &[&Node]) -> Entry {
    let value = match list {
        [(entry, line)] if line.comments.is_empty() => format!("[{entry}]"),
        _ => several(list),
    };
    let mut entry = Entry::plain(key, value);
    entry.comments = blocks.iter().flat_map(|block| block.comments.iter().chain(&block.trailing)).cloned().collect();
    if let [(_, line)] = list {
        entry.trailing = line.trailing.clone().filter(|_| line.comments.is_empty());
    }
    entry
}

/// One line each, with its comments.
fn several(list: &[(String, &Node)]) -> String {
    let mut text = "[\n".to_owned();
    for (entry, line) in list {
        for comment in &line.comments {
            text += &format!("    {}\n", writing::comment(comment));
        }
        let trailing = line.trailing.as_deref().map(|comment| format!("  {}", writing::comment(comment)));
        text += &format!("    {entry},{}\n", trailing.unwrap_or_default());
    }
    text + "]"
}
