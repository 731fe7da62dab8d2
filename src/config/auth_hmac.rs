//! `[instance.NAME.auth_hmac]`: advertisements that only whoever has the key can have written.

use std::{
    collections::BTreeMap,
    num::NonZeroU8,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Config, Instance,
    error::{Findings, Problem, Severity},
    table::{Table, Written},
    value,
};
use crate::{
    policy::Secret,
    wire::{AdverInterval, Key},
};

const HOUR: Duration = Duration::from_secs(3600);
/// What a node forgives in a clock at least.
const WINDOW: Duration = Duration::from_secs(5);

/// How advertisements are signed, and what of others is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthHmac {
    /// Every key that is believed, by its number.
    pub keys: BTreeMap<NonZeroU8, HmacKey>,
    /// The one that signs; it is among them.
    pub active_key: NonZeroU8,
    /// How one that was heard before is told from one that is new.
    pub anti_replay: AntiReplay,
    /// [`AntiReplay::Time`]: how far the two clocks may differ, and how long an advertisement may travel.
    pub time_window: Duration,
    /// What is sent, and what is believed.
    pub mode: HmacMode,
}

/// A key, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HmacKey {
    /// It stood in the file, or was read.
    Known(Key),
    /// The content of a file, with the path as it was resolved.
    File(PathBuf),
    /// A file of `secrets_dir`, or a credential of the service manager.
    Secret(Secret),
}

/// How an advertisement that was heard before is told from one that is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiReplay {
    /// It is newer than the last one, and was written about now.
    Time,
    /// It is newer than the last one. The clocks need not agree.
    Monotonic,
}

/// What is sent, and what is believed. A trailer that is wrong is never believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacMode {
    /// Signs, and believes nothing else.
    Enforce,
    /// Signs, and believes what bears no trailer as well.
    Permissive,
    /// Does not sign, and believes what bears no trailer as well.
    ReceiveOnly,
}

impl AuthHmac {
    /// The key of a number, if it is known.
    #[must_use]
    pub fn key(&self, id: NonZeroU8) -> Option<&Key> {
        match self.keys.get(&id)? {
            HmacKey::Known(key) => Some(key),
            HmacKey::File(_) | HmacKey::Secret(_) => None,
        }
    }

    /// What advertisements are signed with, if they are.
    #[must_use]
    pub fn signs_with(&self) -> Option<(NonZeroU8, &Key)> {
        match self.mode {
            HmacMode::Enforce | HmacMode::Permissive => Some((self.active_key, self.key(self.active_key)?)),
            HmacMode::ReceiveOnly => None,
        }
    }
}

impl Config {
    /// Every key of `auth_hmac` that is not known yet, for whoever can read it: `read` makes a key of it, or says why not.
    ///
    /// # Errors
    /// One sentence for each that cannot be read; the others are known now.
    pub fn read_keys(&mut self, read: impl Fn(&HmacKey) -> Result<Key, String>) -> Result<(), Vec<String>> {
        let mut errors = Vec::new();
        for instance in &mut self.instances {
            for (id, key) in instance.auth_hmac.iter_mut().flat_map(|auth| &mut auth.keys) {
                if matches!(key, HmacKey::Known(_)) {
                    continue;
                }
                match read(key) {
                    Ok(known) => *key = HmacKey::Known(known),
                    Err(why) => errors.push(format!("{}: auth_hmac key {id}: {why}", instance.name)),
                }
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }
}

/// What a key is made of: `hex:` and digits, or the text itself.
///
/// # Errors
/// It is no key; the sentence does not show it.
pub fn key_of_text(text: &str) -> Result<Key, String> {
    let (key, what, length) = match text.strip_prefix("hex:") {
        Some(digits) => (Key::from_hex(digits), "hexadecimal digits", digits.len()),
        None => (Key::new(text.as_bytes()), "bytes", text.len()),
    };
    let (least, most) = if what == "bytes" { (32, 64) } else { (64, 128) };
    key.ok_or_else(|| match (least..=most).contains(&length) {
        true => "what follows hex: is not an even number of hexadecimal digits".to_owned(),
        false => format!("a key has {least} to {most} {what}, and this has {length}"),
    })
}

/// As written.
#[derive(Debug)]
pub(super) struct RawAuthHmac {
    present: bool,
    header: super::error::Span,
    keys: Written<Vec<(toml::Spanned<String>, toml::Spanned<String>)>>,
    active_key: Written<i64>,
    anti_replay: Written<String>,
    time_window: Written<Duration>,
    mode: Written<String>,
}

impl RawAuthHmac {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            present: table.is_present(),
            header: table.header(),
            keys: table.named_texts("keys", out),
            active_key: table.number("active_key", out),
            anti_replay: table.text("anti_replay", out),
            time_window: table.time("time_window", out),
            mode: table.text("mode", out),
        }
    }
}

/// Reads it; `None` if there is none, or none that can be used.
pub(super) fn resolve(
    raw: &RawAuthHmac,
    advertise: Option<AdverInterval>,
    base: &Path,
    out: &mut Findings,
) -> Option<AuthHmac> {
    if !raw.present {
        return None;
    }
    let keys = keys(raw, base, out);
    let active_key = active_key(raw, keys.as_ref(), out);
    let replays = [("time", AntiReplay::Time), ("monotonic", AntiReplay::Monotonic)];
    let anti_replay = value::choice("anti_replay", &raw.anti_replay, &replays, out).unwrap_or(AntiReplay::Time);
    let modes =
        [("enforce", HmacMode::Enforce), ("permissive", HmacMode::Permissive), ("receive-only", HmacMode::ReceiveOnly)];
    let mode = value::choice("mode", &raw.mode, &modes, out).unwrap_or(HmacMode::Enforce);
    let time_window = value::time("time_window", &raw.time_window, Duration::from_secs(1), HOUR, out);
    if let (AntiReplay::Monotonic, Some(span)) = (anti_replay, raw.time_window.span()) {
        let todo = "remove it, or write anti_replay = \"time\"";
        out.error(span, "time_window is about clocks, which anti_replay = \"monotonic\" does not look at", todo);
    }
    let three = advertise.map_or(WINDOW, |interval| interval.as_duration() * 3);
    let time_window = time_window.unwrap_or(three.max(WINDOW));
    Some(AuthHmac { keys: keys?, active_key: active_key?, anti_replay, time_window, mode })
}

fn keys(raw: &RawAuthHmac, base: &Path, out: &mut Findings) -> Option<BTreeMap<NonZeroU8, HmacKey>> {
    const TODO: &str = "write keys = { 1 = \"secret:vrrp_key\" }, and the key into that file of secrets_dir";
    let mut keys = BTreeMap::new();
    if raw.keys.is_absent() || raw.keys.given().is_some_and(|(keys, _)| keys.is_empty()) {
        out.missing(raw.header.clone(), "auth_hmac has no keys", TODO);
    }
    for (id, text) in raw.keys.given().into_iter().flat_map(|(keys, _)| keys) {
        let (number, span) = (id.get_ref(), text.span());
        let Ok(parsed) = number.parse::<NonZeroU8>() else {
            let todo = "a key has a number from 1 to 255, the same on every node";
            out.error(id.span(), format!("\"{number}\" cannot be the number of a key of auth_hmac"), todo);
            continue;
        };
        match key(text.get_ref(), base) {
            Ok(key) => {
                if keys.insert(parsed, key).is_some() {
                    let what = format!("auth_hmac has two keys with the number {parsed}");
                    out.error(id.span(), what, "remove one of the two");
                }
            }
            Err(why) => out.error(span, format!("key {parsed} of auth_hmac cannot be used: {why}"), TODO),
        }
    }
    (!keys.is_empty()).then_some(keys)
}

/// What is written in the place of a key. The sentence does not show it.
fn key(text: &str, base: &Path) -> Result<HmacKey, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return if path.is_empty() || path.contains('\0') {
            Err("file: is followed by the path of a file".to_owned())
        } else {
            Ok(HmacKey::File(base.join(path)))
        };
    }
    match text.strip_prefix("secret:") {
        Some(name) => Secret::named(name).map(HmacKey::Secret),
        None => key_of_text(text).map(HmacKey::Known),
    }
}

fn active_key(raw: &RawAuthHmac, keys: Option<&BTreeMap<NonZeroU8, HmacKey>>, out: &mut Findings) -> Option<NonZeroU8> {
    let keys = keys?;
    if raw.active_key.is_absent() {
        let mut all = keys.keys();
        return match (all.next(), all.next()) {
            (Some(only), None) => Some(*only),
            _ => {
                let todo = "write active_key = 1 with the number of the one that signs; the others are only believed";
                out.missing(raw.header.clone(), "auth_hmac has several keys and does not say which one signs", todo);
                None
            }
        };
    }
    let id = value::number("active_key", &raw.active_key, 1, 255, out).and_then(NonZeroU8::new)?;
    if !keys.contains_key(&id) {
        let known = keys.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let span = raw.active_key.span().unwrap_or_else(|| raw.header.clone());
        out.error(span, format!("active_key = {id} is not among the keys"), format!("the keys are {known}"));
    }
    Some(id)
}

/// What an instance signs with and believes, in words.
pub(super) fn describe(auth: &AuthHmac) -> String {
    let all = auth.keys.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let known = if auth.keys.len() == 1 { String::new() } else { format!(" of {all}") };
    let fresh = match auth.anti_replay {
        AntiReplay::Time => format!("written more than {} from now", value::readable(auth.time_window)),
        AntiReplay::Monotonic => "heard before".to_owned(),
    };
    let active = auth.active_key;
    match auth.mode {
        HmacMode::Enforce => format!("with key {active}{known}; what is unsigned or {fresh} is not believed"),
        HmacMode::Permissive => format!("with key {active}{known}; what is unsigned is believed as well"),
        HmacMode::ReceiveOnly => format!("nothing; believes what is signed with key {all}, and what is unsigned"),
    }
}

/// What does not fit between the two nodes of a pair.
pub(super) fn compare(a: (&Instance, &str), b: (&Instance, &str), found: &mut Vec<Problem>) {
    let mut say = |severity, what: String, todo: &str| found.push(Problem::anywhere(severity, what, todo));
    let (name, mut told) = (&a.0.name, false);
    for ((here, node), (there, other)) in [(a, b), (b, a)] {
        let Some(auth) = &here.auth_hmac else { continue };
        let Some(theirs) = &there.auth_hmac else {
            let (severity, todo) = match auth.mode {
                HmacMode::Enforce => (Severity::Error, "write it in both, with mode = \"receive-only\" at first"),
                HmacMode::Permissive | HmacMode::ReceiveOnly => (Severity::Warning, "write it in both"),
            };
            say(severity, format!("{name}: only {node} has auth_hmac: what {other} sends bears no trailer"), todo);
            continue;
        };
        if auth.mode != HmacMode::ReceiveOnly {
            match (auth.keys.get(&auth.active_key), theirs.keys.get(&auth.active_key)) {
                (_, None) => say(
                    Severity::Error,
                    format!("{name}: {node} signs with key {}, which {other} does not have", auth.active_key),
                    "add the key there, or sign with one that both have",
                ),
                (Some(HmacKey::Known(one)), Some(HmacKey::Known(two))) if one != two && !told => {
                    told = true;
                    say(
                        Severity::Error,
                        format!("{name}: key {} of auth_hmac is not the same on {node} and {other}", auth.active_key),
                        "write the same key under the same number in both",
                    );
                }
                _ => (),
            }
        } else if theirs.mode == HmacMode::Enforce {
            say(
                Severity::Error,
                format!("{name}: {node} does not sign (mode = \"receive-only\"), and {other} demands it"),
                "write mode = \"permissive\" on both before one enforces",
            );
        }
    }
    let (Some(one), Some(two)) = (&a.0.auth_hmac, &b.0.auth_hmac) else { return };
    if one.anti_replay != two.anti_replay {
        let what = format!("{name}: anti_replay is not the same on {} and {}", a.1, b.1);
        say(Severity::Warning, what, "write the same in both: one of the two looks at clocks, the other need not");
    } else if one.anti_replay == AntiReplay::Time && one.time_window != two.time_window {
        let what = format!(
            "{name}: time_window is {} on {} and {} on {}",
            value::readable(one.time_window),
            a.1,
            value::readable(two.time_window),
            b.1
        );
        say(Severity::Warning, what, "write the same in both: else clocks that differ make only one of them deaf");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fixture;

    #[test]
    fn a_key_is_text_or_hexadecimal() {
        assert_eq!(key_of_text(&"k".repeat(32)).unwrap().bytes(), "k".repeat(32).as_bytes());
        assert_eq!(key_of_text(&format!("hex:{}", "0F".repeat(64))).unwrap().bytes(), [15; 64]);
        let why = |text: &str| key_of_text(text).unwrap_err();
        assert_eq!(why("short"), "a key has 32 to 64 bytes, and this has 5");
        assert_eq!(why("hex:00"), "a key has 64 to 128 hexadecimal digits, and this has 2");
        assert!(why(&format!("hex:{}g", "0".repeat(63))).contains("even number"));
    }

    #[test]
    fn keys_are_read_once_and_whatever_cannot_be_is_named() {
        let (mut config, _) = fixture::pair();
        let key = Key::new(&[1; 32]).unwrap();
        let id = |number| NonZeroU8::new(number).unwrap();
        let keys = [
            (id(1), HmacKey::Known(key.clone())),
            (id(2), HmacKey::File("/etc/ha/key".into())),
            (id(3), HmacKey::Secret(Secret::named("vrrp").unwrap())),
        ];
        config.instances[0].auth_hmac = Some(AuthHmac {
            keys: keys.into(),
            active_key: id(2),
            anti_replay: AntiReplay::Time,
            time_window: WINDOW,
            mode: HmacMode::Enforce,
        });
        let other = Key::new(&[2; 32]).unwrap();
        let read = |key: &HmacKey| match key {
            HmacKey::File(_) => Ok(other.clone()),
            HmacKey::Known(_) | HmacKey::Secret(_) => Err("it is not there".to_owned()),
        };
        let errors = config.read_keys(read).unwrap_err();
        assert_eq!(errors, ["VI_1: auth_hmac key 3: it is not there"]);
        let auth = config.instances[0].auth_hmac.as_ref().unwrap();
        assert_eq!((auth.key(id(1)), auth.key(id(2)), auth.key(id(3))), (Some(&key), Some(&other), None));
        assert_eq!(auth.signs_with(), Some((id(2), &other)));
    }
}
