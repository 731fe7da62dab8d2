//! The keys of `auth_hmac` and the passwords that are not in the configuration's text: read where it is loaded, at the start and at each
//! reload, and judged as every secret is.

use std::{cell::Cell, path::Path, time::Instant};

use super::refusal::Unusable;
use crate::{
    config::{Config, HmacKey, Problems, key_of_text},
    policy::Secret,
    probe::{Secrets, Unreadable},
};

/// What to do where one cannot be read.
pub const TODO: &str = "write it into that file, which must be the daemon's user's (under the unit: ha) and readable by nobody else (chmod 0600): a password has 1 to 8 bytes; a key has \
                        32 to 64, or hex: and digits, as `openssl rand -hex 32` makes them";

/// What to do where one does not come.
const TODO_LATE: &str = "look at the file system where it lies";

/// Reads every key and every password that a configuration names by its place.
///
/// # Errors
/// One sentence for each that cannot be read or is none.
pub fn read_keys(config: &mut Config) -> Result<(), Vec<String>> {
    read_keys_beside(config, |_| None)
}

/// The same, where some secrets are known already, by their names.
///
/// # Errors
/// One sentence for each that cannot be read or is none.
pub fn read_keys_beside(config: &mut Config, known: impl Fn(&str) -> Option<String>) -> Result<(), Vec<String>> {
    let secrets = Secrets::of(config.permits.secrets_dir.clone());
    read_from(&secrets, config, known).map_err(|unread| unread.why)
}

/// What cannot be read.
struct Unread {
    why: Vec<String>,
    /// Nothing is known to be wrong: some do not come.
    is_late: bool,
}

fn read_from(secrets: &Secrets, config: &mut Config, known: impl Fn(&str) -> Option<String>) -> Result<(), Unread> {
    let is_wrong = Cell::new(false);
    let said = |why: Unreadable| {
        is_wrong.set(is_wrong.get() || !why.is_late());
        why.to_string()
    };
    let text_of = |secret: &Secret| match known(secret.name()) {
        Some(text) => Ok(text),
        None => secrets.read(secret).map(|text| text.as_str().to_owned()).map_err(said),
    };
    let key_of = |key: &HmacKey| {
        let (text, whose) = match key {
            HmacKey::Known(key) => return Ok(key.clone()),
            HmacKey::File(path) => {
                let text = secrets.read_file(path).map_err(said)?;
                (text.as_str().to_owned(), path.display().to_string())
            }
            HmacKey::Secret(secret) => (text_of(secret)?, secret.name().to_owned()),
        };
        key_of_text(&text).map_err(|why| {
            is_wrong.set(true);
            format!("{whose} is no key: {why}")
        })
    };
    let errors = [config.read_keys(key_of), config.read_passwords(text_of)];
    let why: Vec<String> = errors.into_iter().filter_map(Result::err).flatten().collect();
    if why.is_empty() { Ok(()) } else { Err(Unread { why, is_late: !is_wrong.get() }) }
}

/// The same, for a daemon, which cannot do without. They may belong to the user as whom it is going to work.
/// All of them together are waited for until then.
///
/// # Errors
/// All that is wrong, as problems of the configuration.
pub(super) fn demand(path: &Path, config: &mut Config, until: Instant) -> Result<(), Unusable> {
    let user = config.privileges.user.clone();
    let secrets = Secrets::of(config.permits.secrets_dir.clone()).for_daemon(user.as_deref()).until(until);
    read_from(&secrets, config, |_| None).map_err(|Unread { why, is_late }| {
        let todo = if is_late { TODO_LATE } else { TODO };
        Unusable { problems: Problems::unreadable(path.to_owned(), why.join("; "), todo), is_late }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{fs, num::NonZeroU8, os::unix::fs::PermissionsExt, path::Path, time::Duration};

    use super::*;
    use crate::config::{Auth, Facts, Protocol, parse};

    const TEXT: &str = "node = \"K1\"\nsecrets_dir = \".\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
        addresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\nauth_hmac.active_key = 1\n\
        auth_hmac.keys = { 1 = \"secret:one\", 2 = \"file:two\" }\n";

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn keys_are_read_from_files_that_only_their_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        let path = base.join("ha.toml");
        put(&base.join("one"), &format!("hex:{}\n", "01".repeat(32)), 0o600);
        put(&base.join("two"), &"2".repeat(32), 0o600);
        let load = || parse(TEXT, &path, &Facts::default()).unwrap().config;
        let mut config = load();
        demand(&path, &mut config, soon()).unwrap();
        let auth = config.instances.first().unwrap().auth_hmac.as_ref().unwrap();
        let key = |id| auth.key(NonZeroU8::new(id).unwrap()).unwrap().bytes();
        assert_eq!((key(1), key(2)), (&[1; 32][..], &[b'2'; 32][..]));
        put(&base.join("two"), &"2".repeat(32), 0o644);
        let problems = demand(&path, &mut load(), soon()).unwrap_err().problems.to_string();
        assert!(problems.contains("is open to others (mode 0644)"), "{problems}");
        put(&base.join("two"), "short", 0o600);
        let problems = demand(&path, &mut load(), soon()).unwrap_err().problems.to_string();
        assert!(problems.contains("key 2") && problems.contains("and this has 5"), "{problems}");
        // The same for a password.
        let version2 =
            TEXT.split("auth_hmac").next().unwrap().to_owned() + "version = 2\nauth.password = \"secret:pass\"\n";
        let load2 = || parse(&version2, &path, &Facts::default()).unwrap().config;
        put(&base.join("pass"), "2222\n", 0o600);
        let mut config = load2();
        demand(&path, &mut config, soon()).unwrap();
        let known = Protocol::V2(Auth::Pass(*b"2222\0\0\0\0"));
        assert_eq!(config.instances.first().unwrap().protocol, known);
        put(&base.join("pass"), "2222\n", 0o640);
        let problems = demand(&path, &mut load2(), soon()).unwrap_err().problems.to_string();
        assert!(problems.contains("is open to others (mode 0640)"), "{problems}");
        fs::remove_file(base.join("one")).unwrap();
        assert!(read_keys(&mut load()).unwrap_err().iter().any(|why| why.contains("secret one cannot be read")));
    }
}
