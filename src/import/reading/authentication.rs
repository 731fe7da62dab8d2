//! `authentication`.

use super::last;
use crate::import::{
    ledger::{Fate, Ledger},
    outline::{Entry, quoted},
    tree::Node,
};

/// What version 2 carries.
const PASSWORD_MAX: usize = 8;

/// Reads the password of the instance `name` that speaks `version`, and that signs or does not: an entry, and the secret
/// that it names.
pub(super) fn authentication(
    block: Option<&Node>,
    (name, version): (&str, i64),
    signs: bool,
    ledger: &mut Ledger,
) -> Option<(Entry, (String, String))> {
    let block = block?;
    let inner: Vec<&Node> = block.inner().iter().collect();
    let password = last("auth_pass", &inner, ledger);
    if let Some(password) = password {
        ledger.hide(password.text(1));
    }
    for other in inner.iter().filter(|node| !matches!(node.keyword(), "auth_type" | "auth_pass")) {
        ledger.dropped(
            other.place,
            format!("\"{}\" is an unknown keyword here, which keepalived ignores", other.keyword()),
        );
    }
    if version == 3 {
        block.note_all(Fate::Dropped, "version 3 has no passwords: keepalived ignores it and sends none", ledger);
        return None;
    }
    if signs {
        block.note_all(Fate::Dropped, "beside auth_hmac keepalived sends no password and wants none", ledger);
        return None;
    }
    ledger.mapped(block.place, "");
    if let Some(password) = password {
        ledger.mapped(password.place, "");
    }
    let kind = last("auth_type", &inner, ledger);
    match (kind, password) {
        (None, Some(password)) => {
            let text = "there is no auth_type, so keepalived sends no password, without a warning; neither does ha";
            ledger.dropped(password.place, text);
            None
        }
        (Some(kind), _) if kind.text(1) == "AH" => {
            ledger.refused(
                kind.place,
                "ha does not speak AH, which RFC 5798 has removed: change both nodes to auth_type PASS first",
            );
            None
        }
        (Some(kind), _) if kind.text(1) != "PASS" => {
            let what = format!("auth_type \"{}\" is unknown to keepalived, which sends no password then", kind.text(1));
            ledger.refused(kind.place, format!("{what}: write PASS, or remove the block"));
            None
        }
        (Some(kind), None) => {
            ledger.refused(
                kind.place,
                "there is no auth_pass, so keepalived sends no password: write one, or remove the block",
            );
            None
        }
        (Some(kind), Some(password)) => {
            ledger.mapped(kind.place, "");
            let secret = format!("vrrp_{name}");
            let kept = carried(password, &secret, ledger)?;
            let mut entry = Entry::of("auth.password", quoted(&format!("secret:{secret}")), password);
            entry.comments.splice(
                0..0,
                block.comments.iter().chain(&block.trailing).chain(&kind.comments).chain(&kind.trailing).cloned(),
            );
            Some((entry, (secret, kept)))
        }
        (None, None) => None,
    }
}

/// What of it is on the wire; it goes into this secret.
fn carried(password: &Node, secret: &str, ledger: &mut Ledger) -> Option<String> {
    let text = password.text(1);
    if text.is_empty() {
        ledger.refused(password.place, "the password is empty: write one, or remove the block");
        return None;
    }
    if password.words.len() > 2 {
        ledger.dropped(
            password.place,
            "keepalived ignores what follows the first word: put a password with spaces into quotes",
        );
    }
    let Some(kept) = text.get(..text.len().min(PASSWORD_MAX)) else {
        ledger.refused(
            password.place,
            "the eighth byte of the password is within a letter: choose a password of eight plain letters",
        );
        return None;
    };
    ledger.hide(kept);
    if kept.len() < text.len() {
        let note =
            "the password is longer than eight bytes, and keepalived sends the first eight only; those are written";
        ledger.mapped(password.place, note);
    }
    ledger.mapped(password.place, format!("auth.password, in the file secrets/{secret}"));
    Some(kept.to_owned())
}
