//! `auth_hmac`, which keepalived has from 2.4.0 on, and as `ha` speaks it from 2.4.2 on.

use super::{last, value};
use crate::{
    config::key_of_text,
    import::{
        ledger::Ledger,
        outline::{Entry, quoted, time},
        tree::Node,
    },
};

/// Reads the block of the instance `name`: entries, and the secrets that they name.
pub(super) fn auth_hmac(block: Option<&Node>, name: &str, ledger: &mut Ledger) -> (Vec<Entry>, Vec<(String, String)>) {
    const KNOWN: [&str; 5] = ["key", "active_key", "anti_replay", "time_window", "mode"];
    let Some(block) = block else { return (Vec::new(), Vec::new()) };
    let inner: Vec<&Node> = block.inner().iter().collect();
    for key in inner.iter().filter(|node| node.keyword() == "key") {
        ledger.hide(key.text(2));
        ledger.hide(key.text(2).trim_start_matches("hex:"));
    }
    for other in inner.iter().filter(|node| !KNOWN.contains(&node.keyword())) {
        ledger.refused(other.place, format!("\"{}\" is unknown in auth_hmac: remove it", other.keyword()));
    }
    ledger
        .mapped(block.place, "auth_hmac, in the layout of keepalived 2.4.2 and later: an older one is not understood");
    let read: Vec<(i64, Place)> = inner.iter().filter_map(|node| key(node, name, ledger)).collect();
    let mut secrets = Vec::new();
    let mut keys = Vec::new();
    for (id, place) in read {
        match place {
            Place::File(path) => keys.push((id, path)),
            Place::Secret(secret, text) => {
                keys.push((id, format!("secret:{secret}")));
                secrets.push((secret, text));
            }
        }
    }
    let mut entries = Vec::new();
    if keys.is_empty() {
        ledger.refused(block.place, "there is no key: write key 1 hex:… with 64 digits, the same on both nodes");
    } else {
        let all: Vec<String> = keys.iter().map(|(id, text)| format!("{id} = {}", quoted(text))).collect();
        let mut entry = Entry::plain("auth_hmac.keys", format!("{{ {} }}", all.join(", ")));
        entry.comments = block.all_comments();
        entries.push(entry);
    }
    match last("active_key", &inner, ledger) {
        Some(node) => entries.extend(value::number(node, 1, 255, ledger).map(|number| {
            if !keys.iter().any(|(id, _)| *id == number) {
                ledger.refused(node.place, format!("there is no key {number}: write one of those above"));
            }
            ledger.mapped(node.place, format!("auth_hmac.active_key = {number}"));
            Entry::plain("auth_hmac.active_key", number.to_string())
        })),
        // Not even where there is only one: keepalived looks for key 0, and signs and checks nothing (2.4.3).
        None if !keys.is_empty() => ledger.refused(
            block.place,
            "there is no active_key, and without it keepalived neither signs nor checks anything: write active_key with \
             the number of the key that signs, or remove this block",
        ),
        None => {}
    }
    entries.extend(word("anti_replay", "auth_hmac.anti_replay", &["time", "monotonic"], &inner, ledger));
    if let Some(node) = last("time_window", &inner, ledger) {
        entries.extend(value::number(node, 1, 300, ledger).map(|seconds| {
            let window = quoted(&time(u64::try_from(seconds).unwrap_or_default() * 1_000_000));
            ledger.mapped(node.place, format!("auth_hmac.time_window = {window}"));
            Entry::plain("auth_hmac.time_window", window)
        }));
    }
    entries.extend(word("mode", "auth_hmac.mode", &["enforce", "permissive", "receive-only"], &inner, ledger));
    (entries, secrets)
}

/// Where a key is.
enum Place {
    /// As keepalived has it, `file:PATH`.
    File(String),
    /// In a secret of this name, with this text.
    Secret(String, String),
}

/// `key ID TEXT`.
fn key(node: &Node, name: &str, ledger: &mut Ledger) -> Option<(i64, Place)> {
    if node.keyword() != "key" {
        return None;
    }
    let Some(id) = node.text(1).parse::<i64>().ok().filter(|id| (1..=255).contains(id)) else {
        ledger.refused(node.place, "a key has a number from 1 to 255");
        return None;
    };
    let text = node.text(2);
    if let Some(path) = text.strip_prefix("file:") {
        if !path.starts_with('/') {
            ledger.refused(node.place, "the file of a key is named from the root: write its absolute path");
            return None;
        }
        let note = "the file has the key as text, or hex: and digits, and mode 0600, or ha does not start";
        ledger.mapped(node.place, format!("auth_hmac.keys: {note}"));
        return Some((id, Place::File(text.to_owned())));
    }
    if let Err(why) = key_of_text(text) {
        ledger.refused(node.place, format!("this is no key: {why}"));
        return None;
    }
    let secret = format!("vrrp_{name}_key{id}");
    ledger.mapped(node.place, format!("auth_hmac.keys, in the file secrets/{secret}"));
    Some((id, Place::Secret(secret, text.to_owned())))
}

/// One of a few words.
fn word(
    keyword: &'static str,
    key: &'static str,
    words: &[&str],
    inner: &[&Node],
    ledger: &mut Ledger,
) -> Option<Entry> {
    let node = last(keyword, inner, ledger)?;
    let written = node.text(1);
    if !words.contains(&written) {
        ledger.refused(node.place, format!("\"{written}\" is none of {}", words.join(", ")));
        return None;
    }
    ledger.mapped(node.place, format!("{key} = {}", quoted(written)));
    Some(Entry::plain(key, quoted(written)))
}
