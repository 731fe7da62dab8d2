//! Who changed which policy, when, and what came of it: lines of JSON in the state directory, for those who come later.
//!
//! Bounded: a full file becomes `audit.jsonl.1`, and the one before that is gone. What cannot be written is said and lost;
//! it never keeps a policy from being loaded.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::control::protocol::By;

/// Bytes of one file.
const SIZE_MAX: u64 = 1024 * 1024;

/// What happened to a policy.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    /// RFC 3339.
    pub time: String,
    /// `loaded`, `refused`, `rolled_back`, `pinned`, `unpinned`, `regression`, `first_verdict`.
    pub event: &'static str,
    /// The policy.
    pub policy: String,
    /// The instance, for what concerns one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// The generation that runs afterwards, and its texts.
    pub generation: Option<u64>,
    /// SHA-256 of the texts.
    pub sha256: String,
    /// The generation that ran before.
    pub previous: Option<u64>,
    /// Who brought it about.
    pub by: Option<By>,
    /// How it differs from what ran before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// How many of its own tests passed; absent: they were not run again.
    pub tests_passed: Option<usize>,
    /// Why, where it was refused or taken back.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What the version before said last, for `first_verdict`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verdict_before: String,
    /// What this one said first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub verdict_after: String,
}

/// The file.
#[derive(Debug)]
pub struct Audit {
    path: PathBuf,
    /// One line at a time.
    writing: Mutex<()>,
}

impl Audit {
    /// Writes to `path`, which need not exist.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path, writing: Mutex::new(()) }
    }

    /// Adds a line.
    pub fn record(&self, entry: &Entry) {
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.write(entry) {
            tracing::warn!("{}: who changed what is not recorded: {error}", self.path.display());
        }
    }

    fn write(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= SIZE_MAX) {
            fs::rename(&self.path, older(&self.path))?;
        }
        let options = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.path);
        options?.write_all(&line)
    }
}

fn older(path: &Path) -> PathBuf {
    let mut older = path.as_os_str().to_owned();
    older.push(".1");
    older.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn lines_are_added_and_the_file_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let audit = Audit::at(path.clone());
        let entry = Entry { event: "loaded", policy: "p".into(), by: Some(By::Command { uid: 7 }), ..Entry::default() };
        audit.record(&entry);
        audit.record(&entry);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&line["policy"], &line["by"]["uid"]), (&"p".into(), &7.into()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

        let long = Entry { why: "x".repeat(600 * 1024), ..entry };
        for _ in 0..5 {
            audit.record(&long);
        }
        let sizes = [path.clone(), older(&path)].map(|path| fs::metadata(path).unwrap().len());
        assert!(sizes.iter().all(|size| *size < 2 * SIZE_MAX), "{sizes:?}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
