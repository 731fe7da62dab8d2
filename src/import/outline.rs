//! What is going to be written, before it is text.

use std::collections::BTreeSet;

use super::tree::Node;

/// `key = value`, with the comments of the line it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: &'static str,
    /// As TOML.
    pub(super) value: String,
    /// Before it.
    pub(super) comments: Vec<String>,
    /// Behind it.
    pub(super) trailing: Option<String>,
}

impl Entry {
    /// From a statement of which nothing else becomes anything.
    pub(super) fn of(key: &'static str, value: String, node: &Node) -> Self {
        let mut comments = node.comments.clone();
        comments.extend(node.inner().iter().flat_map(Node::all_comments));
        Self { key, value, comments, trailing: node.trailing.clone() }
    }

    /// From nothing that was written.
    pub(super) const fn plain(key: &'static str, value: String) -> Self {
        Self { key, value, comments: Vec::new(), trailing: None }
    }
}

/// `[instance.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) comments: Vec<String>,
    pub(super) entries: Vec<Entry>,
    pub(super) policies: Vec<String>,
    /// Name and content of each.
    pub(super) secrets: Vec<(String, String)>,
    /// Routes and rules: what two of them must not have in common, and the entry.
    pub(super) routing: Vec<(String, String)>,
}

/// `[group.NAME]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Together {
    pub(super) name: String,
    pub(super) comments: Vec<String>,
    /// As TOML.
    pub(super) members: String,
    pub(super) entries: Vec<Entry>,
}

/// A policy, `policies/NAME.rhai`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PolicyText {
    pub(super) name: String,
    pub(super) text: String,
    /// There is a password in it.
    pub(super) private: bool,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outline {
    pub(super) comments: Vec<String>,
    pub(super) root: Vec<Entry>,
    pub(super) events: Vec<Entry>,
    pub(super) mail: Vec<Entry>,
    /// `[interface.NAME]`.
    pub(super) links: Vec<Section>,
    pub(super) instances: Vec<Section>,
    pub(super) groups: Vec<Together>,
    pub(super) policies: Vec<PolicyText>,
    /// Name and content of each.
    pub(super) secrets: Vec<(String, String)>,
    pub(super) allow_exec: BTreeSet<String>,
    /// Behind the last statement.
    pub(super) ending: Vec<String>,
}

/// A name as a key of TOML: in quotes where it has a dot (`eth0.100`) or anything else that a bare key may not have.
pub(super) fn key(name: &str) -> String {
    let bare = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if !name.is_empty() && name.chars().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A text as TOML, which is as Rhai too: both know these escapes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            letter if letter.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => out.push(letter),
        }
    }
    out + "\""
}

/// A list of texts as TOML.
pub(super) fn list<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// Microseconds as a time with its unit.
pub(super) fn time(micros: u64) -> String {
    match (micros / 1_000_000, micros % 1_000_000 / 1000) {
        (seconds, 0) => format!("{seconds}s"),
        (0, millis) => format!("{millis}ms"),
        (seconds, millis) => format!("{seconds}s {millis}ms"),
    }
}

/// A name with only letters that names in `ha` have.
pub(super) fn plain_name(text: &str) -> String {
    let plain =
        |letter: char| if letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' { letter } else { '_' };
    let name: String = text.chars().take(60).map(plain).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}
