//! Who may write the configuration, and who may read the passwords in it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, absolute},
};

use crate::{
    config::{Auth, Config, HmacKey, Instance, Problem, Problems, Protocol, Severity},
    probe::Trust,
};

/// Why this file decides nothing: somebody else than root and the daemon's own user could have written it, or a directory or
/// link on the way to it. It names which. None: it can be trusted, or is not there.
#[must_use]
pub fn distrust(file: &Path) -> Option<Problem> {
    distrust_by(&Trust::of_this_process(), file)
}

/// The same of a configuration that this program kept. `user`: as whom the daemon works that kept it.
pub(super) fn distrust_kept(file: &Path, user: Option<&str>) -> Option<Problem> {
    distrust_by(&Trust::of_daemon(user), file)
}

fn distrust_by(trust: &Trust, file: &Path) -> Option<Problem> {
    let path = absolute(file).ok()?;
    let metadata = fs::metadata(&path).ok()?;
    let objection = trust.objection(&path, &metadata).or_else(|| trust.objection_on_the_way(&path))?;
    let todo = "whoever can write the configuration decides who holds the address: close it for everybody but root";
    Some(Problem::anywhere(Severity::Warning, objection, todo))
}

/// The same, as the end of a try to load it.
pub(super) fn refuse(file: &Path) -> Result<(), Problems> {
    distrust(file)
        .map_or(Ok(()), |problem| Err(Problems::unreadable(file.to_owned(), problem.what().to_owned(), problem.todo())))
}

/// Passwords, and keys that stand in the file itself, that everybody on this machine can read.
#[must_use]
pub fn exposure(file: &Path, config: &Config) -> Option<Problem> {
    let password = |instance: &Instance| matches!(instance.protocol, Protocol::V2(Auth::Pass(_)));
    let key = |instance: &Instance| {
        instance.auth_hmac.iter().flat_map(|auth| auth.keys.values()).any(|key| matches!(key, HmacKey::Known(_)))
    };
    let (instance, what) = config.instances.iter().find_map(|instance| match (key(instance), password(instance)) {
        (true, _) => Some((instance, "a key of auth_hmac")),
        (false, true) => Some((instance, "the password")),
        (false, false) => None,
    })?;
    let mode = fs::metadata(file).ok()?.mode();
    (mode & 0o004 != 0).then(|| {
        let what = format!(
            "{} holds {what} of {} and everybody on this machine may read it (mode {:04o})",
            file.display(),
            instance.name,
            mode & 0o7777
        );
        Problem::anywhere(Severity::Warning, what, "chmod o-r it, and give it to the group of the daemon's user")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::{self, fixture};

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_or_a_directory_that_others_may_write_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let etc = directory.path().canonicalize().unwrap().join("etc");
        let file = etc.join("ha.toml");
        fs::create_dir(&etc).unwrap();
        assert!(distrust(&file).is_none(), "whoever reads it says that it is not there");
        fs::write(&file, "").unwrap();
        mode(&etc, 0o755);
        mode(&file, 0o644);
        assert!(distrust(&file).is_none() && refuse(&file).is_ok());
        mode(&file, 0o664);
        let text = refuse(&file).unwrap_err().to_string();
        assert!(text.contains(&format!("{} is writable by others (mode 0664)", file.display())), "{text}");
        mode(&file, 0o644);
        mode(&etc, 0o777);
        let problem = distrust(&file).unwrap();
        assert!(problem.what().contains(&format!("{} is writable by others (mode 0777)", etc.display())), "{problem}");
    }

    /// This process is root where the tests are, and may give files away; elsewhere there is nothing to try.
    #[test]
    fn what_was_kept_may_be_the_daemons_own_users() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ha.toml");
        fs::write(&file, "").unwrap();
        mode(&file, 0o600);
        assert!(distrust_kept(&file, None).is_none() && distrust_kept(&file, Some("no such user")).is_none());
        let daemon = nix::unistd::User::from_name("daemon").ok().flatten().map(|user| user.uid.as_raw());
        let Some(uid) = daemon.filter(|uid| std::os::unix::fs::chown(&file, Some(*uid), None).is_ok()) else { return };
        assert!(distrust_kept(&file, None).unwrap().what().contains(&format!("belongs to uid {uid}")));
        assert!(distrust_kept(&file, Some("root")).is_some());
        assert!(distrust_kept(&file, Some("daemon")).is_none());
        mode(&file, 0o606);
        assert!(distrust_kept(&file, Some("daemon")).is_some());
    }

    #[test]
    fn a_password_that_everybody_may_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ha.toml");
        fs::write(&file, "").unwrap();
        let config = fixture::pair().0;
        mode(&file, 0o640);
        assert!(exposure(&file, &config).is_none());
        mode(&file, 0o644);
        let what = exposure(&file, &config).unwrap().what().to_owned();
        assert!(
            what.ends_with("holds the password of VI_1 and everybody on this machine may read it (mode 0644)"),
            "{what}"
        );
        let mut signed = config.clone();
        let id = std::num::NonZeroU8::MIN;
        let key = |key| config::AuthHmac {
            keys: [(id, key)].into(),
            active_key: id,
            anti_replay: config::AntiReplay::Time,
            time_window: std::time::Duration::from_secs(5),
            mode: config::HmacMode::Enforce,
        };
        signed.instances[0].auth_hmac = Some(key(HmacKey::Known(crate::wire::Key::new(&[1; 32]).unwrap())));
        assert!(exposure(&file, &signed).unwrap().what().contains("holds a key of auth_hmac of VI_1"));
        signed.instances[0].auth_hmac = Some(key(HmacKey::File("/etc/ha/key".into())));
        signed.instances[0].protocol = Protocol::V2(Auth::None);
        assert!(exposure(&file, &signed).is_none());
        let mut silent = config;
        silent.instances[0].protocol = Protocol::V2(Auth::None);
        assert!(exposure(&file, &silent).is_none());
    }
}
