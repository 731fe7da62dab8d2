//! What the daemon denies itself, so that whoever takes it over gets little: writing and starting programs (Landlock,
//! landlock(7)) and system calls that it has no use for (seccomp(2)).
//!
//! For the calling thread and whatever it starts from then on, for ever. Network and reading stay as they are: they are what
//! the daemon is for.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Landlock's version that is asked for; an older kernel confines as far as it can.
const ABI_WANTED: ABI = ABI::V5;

/// What stays allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Directories below which may be written; those that are not there are left out.
    pub writable: Vec<PathBuf>,
    /// Entering another network namespace (setns(2)).
    pub namespaces: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// Writing and starting programs are limited.
    pub files: bool,
    /// System calls are limited.
    pub calls: bool,
}

/// Confines the calling thread, and whatever it starts from now on. What cannot be done, because the kernel lacks it or whoever
/// started this process has denied it that (a filter of system calls refuses with EPERM), is left out.
///
/// # Errors
/// It can be done, and was refused: a sentence. Some of it may be in force.
pub fn confine(allowed: &Allowed) -> Result<Confined, String> {
    let files = files(&allowed.writable).map_err(|error| format!("Landlock refused: {error}"))?;
    let calls = match filter(allowed.namespaces) {
        Some(program) => match seccompiler::apply_filter(&program) {
            Ok(()) => true,
            Err(seccompiler::Error::Seccomp(error)) if error.raw_os_error() == Some(libc::EPERM) => false,
            Err(error) => return Err(format!("seccomp refused: {error}")),
        },
        None => false,
    };
    Ok(Confined { files, calls })
}

/// Writing below `writable` and to the kernel's own files only; starting this very program only. Says whether it is in force.
fn files(writable: &[PathBuf]) -> Result<bool, RulesetError> {
    let write = AccessFs::from_write(ABI_WANTED);
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(write | AccessFs::Execute)?
        .create()?;
    for directory in writable {
        rules = allow(rules, directory, write)?;
    }
    // Settings of interfaces, the out-of-memory score, and nowhere.
    for file in ["/proc", "/dev/null"] {
        rules = allow(rules, Path::new(file), AccessFs::WriteFile | AccessFs::Truncate)?;
    }
    for program in itself() {
        rules = allow(rules, &program, AccessFs::Execute.into())?;
    }
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(file) => rules.add_rule(PathBeneath::new(file, access)),
        // What is not there cannot be written either.
        Err(_) => Ok(rules),
    }
}

/// This program, for the keeper, and whoever loads it (ld.so(8)).
fn itself() -> Vec<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let loaded = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let mut programs: Vec<PathBuf> = loaded
        .filter(|path| Path::new(path).file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-")))
        .map(PathBuf::from)
        .collect();
    programs.dedup();
    programs.push(PathBuf::from("/proc/self/exe"));
    programs
}

/// None where this processor's system calls are not known.
fn filter(namespaces: bool) -> Option<BpfProgram> {
    let calls = DENIED.iter().chain(NAMESPACES.iter().filter(|_| !namespaces));
    let rules: BTreeMap<i64, Vec<_>> = calls.map(|call| (*call, Vec::new())).collect();
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = env::consts::ARCH.try_into().ok()?;
    SeccompFilter::new(rules, SeccompAction::Allow, denied, arch).ok()?.try_into().ok()
}

/// What no part of the daemon calls: other processes' memory, the kernel's own, mounts, keys, the machine's clock and name.
/// A call that only sounds harmless stays allowed: a new libc may want it tomorrow, and then the address would be nowhere.
const DENIED: [i64; 43] = [
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Denied unless instances live in other network namespaces.
const NAMESPACES: [i64; 2] = [libc::SYS_setns, libc::SYS_unshare];

#[cfg(test)]
mod tests {
    use std::{io, process::Command};

    use super::*;

    /// In a thread of its own, which the confinement ends with.
    fn confined<T: Send + 'static>(allowed: Allowed, inside: impl FnOnce(Confined) -> T + Send + 'static) -> T {
        std::thread::spawn(move || inside(confine(&allowed).unwrap())).join().unwrap()
    }

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn writing_is_allowed_where_it_was_named_only() {
        let (ours, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, theirs) = (ours.path().to_owned(), other.path().join("a"));
        let allowed = Allowed { writable: vec![mine.clone(), "/not/there".into()], namespaces: false };
        confined(allowed, move |done| {
            if !done.files {
                return;
            }
            fs::write(mine.join("a"), "1").unwrap();
            fs::rename(mine.join("a"), mine.join("b")).unwrap();
            fs::remove_file(mine.join("b")).unwrap();
            assert_eq!(kind(fs::write(&theirs, "1")), Some(io::ErrorKind::PermissionDenied));
            fs::write("/dev/null", "1").unwrap();
            assert!(fs::read("/proc/self/maps").is_ok(), "reading stays");
        });
        fs::write(other.path().join("a"), "1").unwrap();
    }

    #[test]
    fn no_program_is_started_but_this_one() {
        confined(Allowed::default(), |done| {
            if done.files {
                assert_eq!(kind(Command::new("/bin/true").status()), Some(io::ErrorKind::PermissionDenied));
            }
            // As the keeper is.
            assert!(Command::new("/proc/self/exe").arg("--list").output().unwrap().status.success());
        });
    }

    #[test]
    fn calls_that_nobody_needs_are_refused() {
        confined(Allowed::default(), |done| {
            assert!(done.calls);
            assert_eq!(
                kind(nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).map_err(Into::into)),
                Some(io::ErrorKind::PermissionDenied)
            );
            // SAFETY: wrong on purpose: it would fail with EFAULT or ENOSYS where it is not refused before.
            let mounted = unsafe { libc::syscall(libc::SYS_mount, 0, 0, 0, 0, 0) };
            assert_eq!((mounted, io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)));
        });
        confined(Allowed { namespaces: true, ..Allowed::default() }, |_| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS).unwrap();
        });
    }
}
