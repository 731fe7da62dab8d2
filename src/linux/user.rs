//! Giving up what root has: another user, and no capability but the needed ones (capabilities(7)).

use std::{ffi::CString, fmt::Display, fs, os::unix::fs::chown, path::Path};

use caps::{CapSet, Capability, CapsHashSet};
use nix::unistd::{User, geteuid, initgroups, setresgid, setresuid};

/// Keeps these capabilities and no other, for this thread and whatever it starts. What it does not have is left out. Must be
/// called while there is one thread.
///
/// # Errors
/// The kernel refused: a sentence. Some are given up then.
pub fn keep_capabilities(wanted: &[&str]) -> Result<(), String> {
    let wanted = &known(wanted)?;
    bound(wanted)?;
    limit(wanted).map(drop)
}

/// Gives up these capabilities, for this thread and whatever it starts; what it does not have it need not give up.
///
/// # Errors
/// The kernel refused: a sentence.
pub fn forgo_capabilities(unwanted: &[&str]) -> Result<(), String> {
    let unwanted = known(unwanted)?;
    let read = |set| caps::read(None, set).map_err(|error| refused("reading capabilities", &error));
    let permitted = read(CapSet::Permitted)?;
    if !unwanted.iter().any(|capability| permitted.contains(capability)) {
        return Ok(());
    }
    let bounding: Vec<Capability> =
        read(CapSet::Bounding)?.into_iter().filter(|capability| !unwanted.contains(capability)).collect();
    bound(&bounding)?;
    let kept: Vec<Capability> = permitted.into_iter().filter(|capability| !unwanted.contains(capability)).collect();
    limit(&kept).map(drop)
}

/// The number of the user with this name, if there is one.
#[must_use]
pub fn user_number(name: &str) -> Option<u32> {
    lookup(name).ok().map(|user| user.uid.as_raw())
}

/// Becomes a user for good, with these capabilities and no other; what it starts has them too. Nothing but that if this is
/// that user already. Must be called while there is one thread.
///
/// # Errors
/// There is no such user, this process may not become it, or the kernel refused: a sentence. The process must not go on then.
pub fn become_user(name: &str, wanted: &[&str]) -> Result<(), String> {
    let user = lookup(name)?;
    if user.uid == geteuid() {
        return if user.uid.is_root() { keep_capabilities(wanted) } else { Ok(()) };
    }
    let wanted = &known(wanted)?;
    let account = CString::new(name).map_err(|error| refused("the name of the user", &error))?;
    bound(wanted)?;
    nix::sys::prctl::set_keepcaps(true).map_err(|error| refused("keeping capabilities", &error))?;
    initgroups(&account, user.gid).map_err(|error| refused("taking the groups of that user", &error))?;
    setresgid(user.gid, user.gid, user.gid).map_err(|error| refused("taking the group of that user", &error))?;
    setresuid(user.uid, user.uid, user.uid).map_err(|error| refused("becoming that user", &error))?;
    let kept = limit(wanted)?;
    caps::set(None, CapSet::Ambient, &kept).map_err(|error| refused("handing capabilities on", &error))
}

/// Whether this thread has, in effect, the capability of this name, such as `CAP_NET_RAW`; none where the kernel does not say
/// or nobody knows the name.
#[must_use]
pub fn has_capability(name: &str) -> Option<bool> {
    caps::has_cap(None, CapSet::Effective, name.parse().ok()?).ok()
}

/// Makes a directory for that user if it is not there. One that is there stays as it is, whoever has it.
///
/// # Errors
/// There is no such user, or it cannot be made: a sentence.
pub fn make_directory_for(name: &str, directory: &Path) -> Result<(), String> {
    if directory.exists() {
        return Ok(());
    }
    let user = lookup(name)?;
    fs::create_dir_all(directory)
        .and_then(|()| chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw())))
        .map_err(|error| refused(&format!("making {}", directory.display()), &error))
}

fn lookup(name: &str) -> Result<User, String> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok(user),
        Ok(None) => {
            Err(format!("there is no user {name}; make one (useradd --system {name}), or change user in [privileges]"))
        }
        Err(error) => Err(format!("the user {name} cannot be looked up: {error}")),
    }
}

fn known(names: &[&str]) -> Result<Vec<Capability>, String> {
    let known = |name: &&str| name.parse().map_err(|_| format!("{name} is no capability; see capabilities(7)"));
    names.iter().map(known).collect()
}

/// Nothing that is started can get others any more. Without the right to say so (CAP_SETPCAP) there is none to give up.
fn bound(wanted: &[Capability]) -> Result<(), String> {
    if !caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).unwrap_or(false) {
        return Ok(());
    }
    let bounding = caps::read(None, CapSet::Bounding).map_err(|error| refused("reading capabilities", &error))?;
    for capability in bounding.into_iter().filter(|capability| !wanted.contains(capability)) {
        caps::drop(None, CapSet::Bounding, capability).map_err(|error| refused("giving up capabilities", &error))?;
    }
    Ok(())
}

/// This thread has these at most. Returns which.
fn limit(wanted: &[Capability]) -> Result<CapsHashSet, String> {
    let permitted = caps::read(None, CapSet::Permitted).map_err(|error| refused("reading capabilities", &error))?;
    let kept: CapsHashSet = permitted.into_iter().filter(|capability| wanted.contains(capability)).collect();
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::set(None, set, &kept).map_err(|error| refused("giving up capabilities", &error))?;
    }
    Ok(kept)
}

fn refused(what: &str, why: &dyn Display) -> String {
    format!("{what} was refused: {why}")
}

#[cfg(test)]
mod tests {
    use super::{super::namespace::alone, *};

    const OURS: [&str; 2] = ["CAP_NET_ADMIN", "CAP_NET_RAW"];

    #[test]
    fn root_keeps_what_was_named_and_gets_no_more() {
        alone(|| {
            keep_capabilities(&OURS).unwrap();
            let ours: CapsHashSet = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW].into();
            for set in [CapSet::Effective, CapSet::Permitted] {
                let kept = caps::read(None, set).unwrap();
                assert_eq!(kept, ours, "{set:?}");
            }
            assert_eq!(has_capability("CAP_NET_RAW"), Some(true));
            assert_eq!(has_capability("CAP_SYS_ADMIN"), Some(false));
            assert!(caps::read(None, CapSet::Bounding).unwrap().is_subset(&ours));
        });
    }

    #[test]
    fn what_is_not_wanted_any_more_is_given_up_and_the_rest_stays() {
        alone(|| {
            let before = caps::read(None, CapSet::Permitted).unwrap();
            forgo_capabilities(&["CAP_SYS_ADMIN", "CAP_SETPCAP"]).unwrap();
            for name in ["CAP_SYS_ADMIN", "CAP_SETPCAP"] {
                assert_eq!(has_capability(name), Some(false), "{name}");
            }
            for set in [CapSet::Effective, CapSet::Permitted] {
                assert_eq!(caps::read(None, set).unwrap().len(), before.len() - 2, "{set:?}");
            }
            assert!(!caps::read(None, CapSet::Bounding).unwrap().contains(&Capability::CAP_SYS_ADMIN));
            forgo_capabilities(&["CAP_SYS_ADMIN"]).unwrap();
        });
    }

    /// Only root of the whole machine can try; in a process of its own, for there is no way back.
    #[test]
    fn root_becomes_a_user_and_keeps_two_capabilities_of_all() {
        const INSIDE: &str = "HA_TEST_BECOMES_NOBODY";
        if std::env::var_os(INSIDE).is_some() {
            become_user("nobody", &OURS).unwrap();
            assert!(!geteuid().is_root() && nix::unistd::setuid(0.into()).is_err());
            // What it starts has them too, as the keeper must.
            let child = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
            let child = String::from_utf8(child.stdout).unwrap();
            for set in ["CapEff:", "CapPrm:", "CapBnd:", "CapAmb:"] {
                assert!(child.contains(&format!("{set}\t0000000000003000\n")), "{child}");
            }
            return become_user("nobody", &OURS).unwrap();
        }
        let whole = fs::read_to_string("/proc/self/uid_map").unwrap();
        if !geteuid().is_root() || !whole.split_whitespace().eq(["0", "0", "4294967295"]) {
            return eprintln!("SKIPPED: only root can become another user");
        }
        let test = "linux::user::tests::root_becomes_a_user_and_keeps_two_capabilities_of_all";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }

    #[test]
    fn a_capability_is_asked_for_by_its_name() {
        assert!(has_capability("CAP_NET_RAW").is_some());
        assert_eq!(has_capability("CAP_NONSENSE"), None);
    }

    #[test]
    fn nobody_becomes_a_user_that_is_not_there() {
        let why = become_user("ha-no-such-user", &OURS).unwrap_err();
        assert!(why.starts_with("there is no user ha-no-such-user; make one"), "{why}");
    }
}
