//! Who may have written a policy or a secret: only those this process must trust anyway.
//!
//! A policy decides who serves, and a secret opens doors, so a file is refused if anybody but root and the daemon's own user could have changed it,
//! or a directory or link on the way to it. keepalived drops such a check silently; here the last good version stays.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
    sync::OnceLock,
};

use nix::unistd::User;

/// Whom else a root trusts that judges for a daemon which is not root.
static JUDGED_FOR: OnceLock<u32> = OnceLock::new();

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// The users who may own what a policy is read from.
#[derive(Clone, Debug)]
pub struct Trust {
    uids: BTreeSet<u32>,
}

impl Trust {
    /// Root and this process's own user. In a user namespace that does not map everybody, the machine's root shows as the
    /// overflow uid, which then counts as root: nobody in the namespace can become it.
    #[must_use]
    pub fn of_this_process() -> Self {
        let mut uids = BTreeSet::from([0, rustix::process::geteuid().as_raw()]);
        uids.extend(JUDGED_FOR.get());
        if fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_partial(&map)) {
            uids.extend(overflow_uid());
        }
        Self { uids }
    }

    /// Those of this process and, if that is root, the user as whom it is going to work.
    #[must_use]
    pub fn of_daemon(user: Option<&str>) -> Self {
        let mut trust = Self::of_this_process();
        trust.uids.extend(user.and_then(to_root));
        trust
    }

    /// From now on a command of root's judges as the daemon that it looks for: what belongs to this user is the daemon's own.
    /// Nothing for others, or a second time. Not for a daemon, which would go on so.
    pub fn judge_for(user: &str) {
        if let Some(uid) = to_root(user) {
            let _ = JUDGED_FOR.set(uid);
        }
    }

    /// Why a file, directory or link cannot be trusted; `None` if it can.
    #[must_use]
    pub fn objection(&self, path: &Path, metadata: &fs::Metadata) -> Option<String> {
        let path = path.display();
        if !self.uids.contains(&metadata.uid()) {
            return Some(format!("{path} belongs to uid {}; make it root's (chown root)", metadata.uid()));
        }
        // A link has no mode of its own; in a sticky directory only the owner of an entry can replace it.
        let closed = metadata.is_symlink() || metadata.mode() & 0o022 == 0;
        let sticky = metadata.is_dir() && metadata.mode() & 0o1000 != 0;
        if closed || sticky {
            return None;
        }
        Some(format!("{path} is writable by others (mode {:04o}); chmod go-w", metadata.mode() & 0o7777))
    }

    /// Why the way to `path` cannot be trusted: each directory and link that is looked up, but not the file itself.
    #[must_use]
    pub fn objection_on_the_way(&self, path: &Path) -> Option<String> {
        let mut way = trail(path);
        way.pop();
        way.iter().find_map(|step| self.objection(step, &fs::symlink_metadata(step).ok()?))
    }
}

/// The number of a user, for root.
fn to_root(user: &str) -> Option<u32> {
    let user = User::from_name(user).ok().flatten()?;
    rustix::process::geteuid().is_root().then_some(user.uid.as_raw())
}

/// Every name the kernel looks up to resolve the absolute `path`, links before what they lead to, the end last.
#[must_use]
pub fn trail(path: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut here = PathBuf::from("/");
    let mut ahead = names(path);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == ".." {
            here.pop();
            continue;
        }
        let step = here.join(&name);
        steps.push(step.clone());
        match fs::read_link(&step) {
            Ok(_) if links == LINKS_MAX => break,
            Ok(target) => {
                links += 1;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                ahead.extend(names(&target));
            }
            Err(_) => here = step,
        }
    }
    steps
}

/// The names of a path, the first one last; `..` among them, the root and `.` not.
fn names(path: &Path) -> Vec<OsString> {
    let of = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let mut names: Vec<OsString> = path.components().filter_map(of).collect();
    names.reverse();
    names
}

/// Not every user of the machine has a number here.
fn is_partial(uid_map: &str) -> bool {
    !uid_map.lines().any(|line| line.split_whitespace().eq(["0", "0", "4294967295"]))
}

fn overflow_uid() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn base() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        (directory, path)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_trail_names_links_and_what_they_lead_to() {
        let (_directory, base) = base();
        fs::create_dir(base.join("..t1")).unwrap();
        fs::write(base.join("..t1/p"), "").unwrap();
        symlink("..t1", base.join("..data")).unwrap();
        symlink("..data/p", base.join("p")).unwrap();
        let steps = trail(&base.join("p"));
        let tail: Vec<_> = steps.iter().filter_map(|step| step.strip_prefix(&base).ok()).collect();
        let expected = ["", "p", "..data", "..t1", "..t1/p"];
        assert_eq!(tail, expected.map(Path::new));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (_directory, base) = base();
        symlink("b", base.join("a")).unwrap();
        symlink("a", base.join("b")).unwrap();
        assert!(trail(&base.join("a")).len() < 100);
    }

    #[test]
    fn the_way_is_closed_to_others() {
        let (_directory, base) = base();
        let dir = base.join("policies");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("p.rhai"), "").unwrap();
        let trust = Trust::of_this_process();
        assert_eq!(trust.objection_on_the_way(&dir.join("p.rhai")), None);
        chmod(&dir, 0o777);
        let objection = trust.objection_on_the_way(&dir.join("p.rhai")).unwrap();
        assert_eq!(objection, format!("{} is writable by others (mode 0777); chmod go-w", dir.display()));
        chmod(&dir, 0o1777);
        assert_eq!(trust.objection_on_the_way(&dir.join("p.rhai")), None, "sticky");
    }

    #[test]
    fn a_stranger_owns_nothing_on_the_way() {
        let (_directory, base) = base();
        fs::write(base.join("p"), "").unwrap();
        let nobody = Trust { uids: BTreeSet::from([4_000_000]) };
        assert!(nobody.objection_on_the_way(&base.join("p")).unwrap().contains("belongs to uid"));
    }

    #[test]
    fn the_whole_machine_is_mapped_or_not() {
        assert!(!is_partial("         0          0 4294967295\n"));
        assert!(is_partial("         0       1000          1\n"));
    }
}
