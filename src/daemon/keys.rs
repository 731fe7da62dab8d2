//! The keys of `auth_hmac` that are not in the configuration's text: read where it is loaded, at the start and at each
//! reload, and judged as every secret is.

use std::path::Path;

use crate::{
    config::{Config, HmacKey, Problems, key_of_text},
    probe::Secrets,
    wire::Key,
};

/// Reads every key that a configuration names by its place.
///
/// # Errors
/// One sentence for each that cannot be read or is none.
pub fn read_keys(config: &mut Config) -> Result<(), Vec<String>> {
    let secrets = Secrets::of(config.permits.secrets_dir.clone());
    config.read_keys(|key| read(&secrets, key))
}

fn read(secrets: &Secrets, key: &HmacKey) -> Result<Key, String> {
    let (text, whose) = match key {
        HmacKey::Known(key) => return Ok(key.clone()),
        HmacKey::File(path) => (secrets.read_file(path), path.display().to_string()),
        HmacKey::Secret(secret) => (secrets.read(secret), secret.to_string()),
    };
    let text = text.map_err(|unreadable| unreadable.to_string())?;
    key_of_text(text.as_str()).map_err(|why| format!("{whose} is no key: {why}"))
}

/// The same, for whoever cannot do without.
///
/// # Errors
/// All that is wrong, as problems of the configuration.
pub(super) fn demand(path: &Path, config: &mut Config) -> Result<(), Problems> {
    read_keys(config).map_err(|errors| {
        let todo = "write the key into that file, readable by its owner alone (chmod 0600): 32 to 64 bytes, or hex: and \
                    digits, as `openssl rand -hex 32` makes them";
        Problems::unreadable(path.to_owned(), errors.join("; "), todo)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::{fs, num::NonZeroU8, os::unix::fs::PermissionsExt, path::Path};

    use super::*;
    use crate::config::{Facts, parse};

    const TEXT: &str = "node = \"K1\"\nsecrets_dir = \".\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
        addresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\nauth_hmac.active_key = 1\n\
        auth_hmac.keys = { 1 = \"secret:one\", 2 = \"file:two\" }\n";

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
        demand(&path, &mut config).unwrap();
        let auth = config.instances.first().unwrap().auth_hmac.as_ref().unwrap();
        let key = |id| auth.key(NonZeroU8::new(id).unwrap()).unwrap().bytes();
        assert_eq!((key(1), key(2)), (&[1; 32][..], &[b'2'; 32][..]));
        put(&base.join("two"), &"2".repeat(32), 0o644);
        let problems = demand(&path, &mut load()).unwrap_err().to_string();
        assert!(problems.contains("is open to others (mode 0644)"), "{problems}");
        put(&base.join("two"), "short", 0o600);
        let problems = demand(&path, &mut load()).unwrap_err().to_string();
        assert!(problems.contains("key 2") && problems.contains("and this has 5"), "{problems}");
        fs::remove_file(base.join("one")).unwrap();
        assert!(read_keys(&mut load()).unwrap_err().iter().any(|why| why.contains("secret one cannot be read")));
    }
}
