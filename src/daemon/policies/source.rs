//! A policy file as read: what was read is what was checked.
//!
//! The name is resolved beneath the policy directory by the kernel (`openat2`, links may not lead out of it), owner and
//! mode are asked of the descriptor, and the hash is of the bytes that came from it. No race between check and use.

use std::{
    fmt, fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::{policy::sources::sha256_of, probe::Trust};

/// The largest policy file, in bytes.
pub const SIZE_MAX: u64 = 256 * 1024;

/// How often the kernel is asked again when something moved while it looked.
const RETRIES: usize = 8;

/// The text of a policy file, and whether it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, as named by the directory and the policy.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
    /// SHA-256 of the content, lower-case hexadecimal.
    pub sha256: String,
    /// Owner and mode, for people: uid and octal digits.
    pub owner: (u32, u32),
    /// When it was written, for people: seconds since 1970 by the clock of whoever wrote it.
    pub modified: i64,
    /// Why it must not be used: somebody else could have written it.
    pub objection: Option<String>,
}

/// Why there is no text.
#[derive(Debug)]
pub enum Unreadable {
    /// There is no such file.
    Missing(PathBuf),
    /// It is a link out of the policy directory.
    Outside(PathBuf),
    /// It is a directory, a device, a pipe.
    NotAFile(PathBuf),
    /// It is larger than [`SIZE_MAX`].
    TooBig(PathBuf, u64),
    /// It is not UTF-8.
    NotText(PathBuf),
    /// What the system said.
    System(PathBuf, io::Error),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{} does not exist", path.display()),
            Self::Outside(path) => write!(f, "{} is a link that leads out of the policy directory", path.display()),
            Self::NotAFile(path) => write!(f, "{} is not a regular file", path.display()),
            Self::TooBig(path, size) => {
                write!(f, "{} has {size} bytes; at most {SIZE_MAX} are a policy", path.display())
            }
            Self::NotText(path) => write!(f, "{} is not UTF-8 text", path.display()),
            Self::System(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Where the text of policy or module `name` lies.
#[must_use]
pub fn path_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.rhai"))
}

/// Reads policy or module `name` from `directory`, which is absolute.
///
/// # Errors
/// Why there is no text. Distrust is not an error here: see [`Source::objection`].
pub fn read(directory: &Path, name: &str, trust: &Trust) -> Result<Source, Unreadable> {
    let path = path_of(directory, name);
    let system = |error: io::Error| Unreadable::System(path.clone(), error);
    let mut file = open_beneath(directory, &path)?;
    let metadata = file.metadata().map_err(system)?;
    if !metadata.is_file() {
        return Err(Unreadable::NotAFile(path));
    }
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(system)?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if size > SIZE_MAX {
        return Err(Unreadable::TooBig(path, metadata.len().max(size)));
    }
    let sha256 = sha256_of(&bytes);
    let objection = trust.objection(&path, &metadata).or_else(|| trust.objection_on_the_way(&path));
    let owner = (metadata.uid(), metadata.mode() & 0o7777);
    let modified = metadata.mtime();
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Source { path, text, sha256, owner, modified, objection }),
        Err(_) => Err(Unreadable::NotText(path)),
    }
}

fn open_beneath(directory: &Path, path: &Path) -> Result<fs::File, Unreadable> {
    let unopened = |error: rustix::io::Errno| match error {
        rustix::io::Errno::NOENT => Unreadable::Missing(path.to_owned()),
        rustix::io::Errno::XDEV => Unreadable::Outside(path.to_owned()),
        other => Unreadable::System(path.to_owned(), other.into()),
    };
    let root = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(unopened)?;
    let name = path.strip_prefix(directory).unwrap_or(path);
    // NONBLOCK: a pipe under that name must not stop us.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(&root, name, flags, Mode::empty(), resolve) {
            Ok(file) => return Ok(file.into()),
            // Something was renamed while `..` was resolved.
            Err(rustix::io::Errno::AGAIN) if tries < RETRIES => tries += 1,
            Err(error) => return Err(unopened(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            let dir = Self(tempfile::tempdir().unwrap());
            fs::create_dir(dir.path()).unwrap();
            dir
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("policies")
        }

        fn read(&self) -> Result<Source, Unreadable> {
            read(&self.path(), "p", &Trust::of_this_process())
        }
    }

    #[test]
    fn a_plain_file_is_read_and_named_by_its_hash() {
        let dir = Dir::new();
        fs::write(dir.path().join("p.rhai"), "abc").unwrap();
        let source = dir.read().unwrap();
        assert_eq!((source.text.as_str(), source.objection), ("abc", None));
        assert_eq!(source.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn links_stay_beneath_the_directory() {
        let dir = Dir::new();
        fs::create_dir(dir.path().join("..t1")).unwrap();
        fs::write(dir.path().join("..t1/p.rhai"), "inside").unwrap();
        symlink("..t1", dir.path().join("..data")).unwrap();
        symlink("..data/p.rhai", dir.path().join("p.rhai")).unwrap();
        assert_eq!(dir.read().unwrap().text, "inside", "as Kubernetes lays it out");

        fs::remove_file(dir.path().join("p.rhai")).unwrap();
        fs::write(dir.0.path().join("outside"), "outside").unwrap();
        symlink("../outside", dir.path().join("p.rhai")).unwrap();
        assert!(matches!(dir.read(), Err(Unreadable::Outside(_))));
    }

    #[test]
    fn what_others_may_write_is_read_under_protest() {
        let dir = Dir::new();
        let file = dir.path().join("p.rhai");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
        assert!(dir.read().unwrap().objection.unwrap().ends_with("writable by others (mode 0664); chmod go-w"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o775)).unwrap();
        assert!(dir.read().unwrap().objection.unwrap().contains("policies is writable by others"));
    }

    #[test]
    fn what_is_no_policy_file_is_said() {
        let dir = Dir::new();
        let file = dir.path().join("p.rhai");
        assert!(matches!(dir.read(), Err(Unreadable::Missing(_))));
        fs::write(&file, vec![b' '; 256 * 1024 + 1]).unwrap();
        assert!(matches!(dir.read(), Err(Unreadable::TooBig(_, 262_145))));
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert!(matches!(dir.read(), Err(Unreadable::NotText(_))));
        fs::remove_file(&file).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        assert!(matches!(dir.read(), Err(Unreadable::NotAFile(_))), "a pipe does not stop the reader");
    }
}
