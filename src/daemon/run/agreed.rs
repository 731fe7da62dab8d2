//! A text that was judged before it is taken: the processes of a daemon agree on one, and a file that is saved in that very moment
//! changes nothing of it.

use super::boot::Booted;

/// What is said of a file that is another one than what was to be taken.
const SAVED_AGAIN: &str =
    "the file was saved again while it was being reloaded; keeping the previous configuration. Reload again";

/// What was judged last for another process of the same daemon.
#[derive(Debug, Default)]
pub(super) struct Agreed(Option<Booted>);

impl Agreed {
    /// Judges what was read. Where a text is wanted, `sha256`, it must be that one, and is kept.
    ///
    /// # Errors
    /// A sentence: why it cannot be taken.
    pub(super) fn judge(&mut self, sha256: Option<&str>, read: Result<Booted, String>) -> Result<(), String> {
        self.0 = None;
        let booted = read?;
        if let Some(sha256) = sha256 {
            self.0 = Some(is(sha256, booted)?);
        }
        Ok(())
    }

    /// The text that was judged, if it is this one. Once.
    pub(super) fn take(&mut self, sha256: &str) -> Option<Booted> {
        self.0.take().filter(|booted| booted.loaded.sha256 == sha256)
    }
}

/// What was read, if it is the text that is wanted, or none was named.
///
/// # Errors
/// A sentence: why it cannot be taken.
pub(super) fn wanted(sha256: Option<&str>, read: Result<Booted, String>) -> Result<Booted, String> {
    match sha256 {
        Some(sha256) => is(sha256, read?),
        None => read,
    }
}

fn is(sha256: &str, booted: Booted) -> Result<Booted, String> {
    if booted.loaded.sha256 == sha256 { Ok(booted) } else { Err(SAVED_AGAIN.to_owned()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::daemon::{awaited::Awaited, boot, origin::Origin};

    fn save(path: &PathBuf, priority: u8) -> String {
        let text = format!(
            "node = \"a\"\n[instance.A]\ninterface = \"eth0\"\nvirtual_router_id = 1\npriority = {priority}\n\
             addresses = [\"10.0.0.1/24\"]\n"
        );
        fs::write(path, &text).unwrap();
        crate::policy::sources::sha256_of(text.as_bytes())
    }

    #[test]
    fn what_was_agreed_on_is_taken_whatever_is_saved_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ha.toml");
        let origin = Origin::Own(path.clone());
        let awaited = Awaited::within(std::time::Duration::from_secs(60));
        let read = || boot::from_file(&origin, &awaited).map_err(|unusable| unusable.problems.to_string());
        let priority = |booted: Booted| booted.loaded.config.instances[0].priority.get();
        let mut agreed = Agreed::default();
        let first = save(&path, 101);
        agreed.judge(Some(&first), read()).unwrap();
        let second = save(&path, 102);
        let booted = agreed.take(&first).unwrap();
        assert!(booted.text.contains("priority = 101"), "what is kept for a boot is the same text");
        assert_eq!(priority(booted), 101);
        // Once; after that only the file is left, and that is another one.
        assert!(agreed.take(&first).is_none());
        assert_eq!(wanted(Some(&first), read()).unwrap_err(), SAVED_AGAIN);
        assert_eq!(agreed.judge(Some(&first), read()).unwrap_err(), SAVED_AGAIN);
        let started = wanted(Some(&second), read()).unwrap();
        assert_eq!(priority(started), 102, "a process that has just started reads it");
        assert_eq!(priority(wanted(None, read()).unwrap()), 102, "whoever names none gets what is there");
        // What was judged for another reload is not taken in this one.
        agreed.judge(Some(&second), read()).unwrap();
        assert!(agreed.take(&first).is_none());
    }
}
