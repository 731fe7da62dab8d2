//! The disk probe: what is mounted where, whether it takes a write, and how much room it has.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind as Io, Write},
    os::unix::{ffi::OsStringExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
};

use nix::errno::Errno;
use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    looks::Looks,
};
use crate::policy::probe::{DiskRequest, ErrorKind, Field};

/// What a write test writes: more than fits into an inode.
const TEST: [u8; 4096] = [0x5a; 4096];

/// `ok`: mounted, not read-only, within its limits. Fields: `mounted`, `read_only`, `free_pct`, `inodes_pct`, `fstype`.
pub(super) async fn probe(looks: &Looks, wanted: &DiskRequest, deadline: Deadline) -> Answer {
    let (path, wanted) = (wanted.path.clone(), wanted.clone());
    looks.run(&path, deadline, move || look(&wanted)).await.unwrap_or_else(unknown)
}

fn unknown(failure: Failure) -> Answer {
    let fields = ["mounted", "read_only", "free_pct", "inodes_pct", "fstype"].map(|name| (name, Field::Unit));
    Answer { verdict: Err(failure), fields: fields.into() }
}

fn look(wanted: &DiskRequest) -> Answer {
    let mut answer = unknown(Failure::internal(""));
    answer.verdict = inspect(wanted, &mut answer.fields);
    answer
}

fn inspect(wanted: &DiskRequest, fields: &mut Fields) -> Result<String, Failure> {
    let path = &wanted.path;
    let real = fs::canonicalize(path).map_err(|error| of_the_disk(&error))?;
    let mounts = fs::read("/proc/self/mountinfo").map_err(|error| Failure::internal(format!("mountinfo: {error}")))?;
    let Some(fstype) = mounted_at(&mounts, &real) else {
        fields.insert("mounted", Field::Bool(false));
        return Err(Failure::new(ErrorKind::Mismatch, "nothing is mounted there"));
    };
    fields.insert("mounted", Field::Bool(true));
    fields.insert("fstype", Field::Text(fstype));
    let stat = statvfs(&real).map_err(|error| of_the_disk(&error.into()))?;
    let read_only = stat.f_flag.contains(StatVfsMountFlags::RDONLY);
    let (free, inodes) = room(&stat);
    fields.insert("read_only", Field::Bool(read_only));
    fields.insert("free_pct", free.map_or(Field::Unit, Field::Float));
    fields.insert("inodes_pct", inodes.map_or(Field::Unit, Field::Float));
    if read_only {
        return Err(Failure::new(ErrorKind::Mismatch, "read-only"));
    }
    if wanted.write_test {
        write(&real).map_err(|error| of_the_disk(&error).during("a write"))?;
    }
    match wanted.judge_room(free, inodes) {
        (true, why) => Ok(why),
        (false, why) => Err(Failure::new(ErrorKind::Mismatch, why)),
    }
}

/// A device that fails and a disk that is full are answers; a missing right of this process is none.
fn of_the_disk(error: &io::Error) -> Failure {
    let errno = error.raw_os_error().map(Errno::from_raw);
    let why = errno.map_or_else(|| error.to_string(), |errno| errno.desc().to_lowercase());
    let kind = match errno {
        Some(Errno::EACCES | Errno::EPERM) => ErrorKind::Denied,
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM | Errno::EINTR) | None => ErrorKind::Internal,
        Some(Errno::ENOENT | Errno::ENOTDIR) => return Failure::new(ErrorKind::Mismatch, "does not exist"),
        _ => ErrorKind::Mismatch,
    };
    Failure::new(kind, why)
}

/// The kind of the file system mounted at this very path, the topmost if there are several: proc_pid_mountinfo(5).
fn mounted_at(mountinfo: &[u8], path: &Path) -> Option<String> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.rev().filter_map(mount).find(|(point, _)| point == path).map(|(_, fstype)| fstype)
}

fn mount(line: &[u8]) -> Option<(PathBuf, String)> {
    let mut words = line.split(|byte| *byte == b' ');
    let point = unescaped(words.nth(4)?);
    let fstype = words.skip_while(|word| *word != b"-").nth(1)?;
    Some((point, String::from_utf8_lossy(fstype).into_owned()))
}

/// Blanks, tabs, line breaks and backslashes stand there as three octal digits.
fn unescaped(word: &[u8]) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), word);
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code.filter(|_| *byte == b'\\') {
            Some(code) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// What is free for programs without privilege, of bytes and of inodes, in percent; as df(1) computes it.
fn room(stat: &StatVfs) -> (Option<f64>, Option<f64>) {
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    let used_inodes = stat.f_files.saturating_sub(stat.f_ffree);
    (percent(stat.f_bavail, used), percent(stat.f_favail, used_inodes))
}

/// Nothing of nothing is not known.
#[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "a percentage needs no more digits")]
fn percent(free: u64, used: u64) -> Option<f64> {
    let all = free.saturating_add(used);
    (all > 0).then(|| free as f64 / all as f64 * 100.0)
}

/// Writes and waits for the disk. A file without a name leaves nothing behind whatever happens; where the file system has no
/// such files, one with a name is removed again.
fn write(directory: &Path) -> io::Result<()> {
    let nameless = OpenOptions::new().write(true).custom_flags(libc::O_TMPFILE).mode(0o600).open(directory);
    match nameless {
        Ok(file) => fill(file),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => write_named(directory),
        Err(error) => Err(error),
    }
}

fn write_named(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".ha-write-test-{}", std::process::id()));
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = match open() {
        // Of an earlier process with this number.
        Err(error) if error.kind() == Io::AlreadyExists => {
            fs::remove_file(&path)?;
            open()?
        }
        opened => opened?,
    };
    let written = fill(file);
    written.and(fs::remove_file(&path))
}

fn fill(mut file: File) -> io::Result<()> {
    file.write_all(&TEST)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 24 0:26 / /srv/my\\040data rw - tmpfs tmpfs rw,size=64k\n\
        31 24 0:27 / /srv/twice rw - tmpfs a rw\n32 31 8:1 / /srv/twice rw master:2 - xfs /dev/sda1 rw\n";

    #[test]
    fn a_mount_is_found_by_its_very_path_and_the_topmost_counts() {
        let at = |path: &str| mounted_at(MOUNTS, Path::new(path));
        assert_eq!(at("/").as_deref(), Some("ext4"));
        assert_eq!(at("/srv/my data").as_deref(), Some("tmpfs"));
        assert_eq!(at("/srv/twice").as_deref(), Some("xfs"));
        assert_eq!((at("/srv"), at("/srv/my data/below"), at("")), (None, None, None));
    }

    #[test]
    fn nothing_of_nothing_is_not_known() {
        assert_eq!((percent(0, 0), percent(0, 9), percent(1, 3)), (None, Some(0.0), Some(25.0)));
    }
}
