//! What is tracked beside interfaces: files, read at the start and each time that one may have changed, and
//! [processes](super::processes). What they mean is the node's.

mod files;

use std::{
    io::{self, Read},
    path::{Path, PathBuf},
};

use self::files::Files;
use super::{
    processes::{self, Processes},
    protocol::Mailbox,
    regular,
};
use crate::{
    config::Config,
    node::{FileSays, TrackedFacts},
};

/// A number has fewer bytes, with all the space around it.
const BYTES_MAX: u64 = 64;

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Tracking {
    files: Files,
    processes: Processes,
}

impl Tracking {
    /// Watches what a configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(config: &Config, mailbox: Mailbox) -> io::Result<Self> {
        let processes = Processes::start(config, mailbox.clone())?;
        let mut tracking = Self { files: Files::new(mailbox, read), processes };
        tracking.files.want(paths(config))?;
        Ok(tracking)
    }

    /// Watches what another configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn reconfigure(&mut self, config: &Config) -> io::Result<()> {
        self.processes.reconfigure(config)?;
        self.files.want(paths(config))
    }
}

/// What a configuration tracks in files and processes, looked at once.
#[must_use]
pub fn look(config: &Config) -> TrackedFacts {
    let files = paths(config).into_iter().map(|path| {
        let says = read(&path);
        (path, says)
    });
    TrackedFacts { files: files.collect(), processes: processes::look(config) }
}

fn paths(config: &Config) -> Vec<PathBuf> {
    let each = config.instances.iter().flat_map(|instance| &instance.tracks.files);
    let mut paths: Vec<PathBuf> = each.map(|tracked| tracked.path.clone()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// The whole number in a file. Does not wait for a writer, should it be a pipe.
fn read(path: &Path) -> FileSays {
    let content = regular::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    });
    match content {
        Ok(bytes) => number(&String::from_utf8_lossy(&bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            FileSays::Missing
        }
        Err(error) => FileSays::Unusable(format!("it cannot be read: {error}")),
    }
}

fn number(text: &str) -> FileSays {
    let text = text.trim();
    match text.parse() {
        Ok(number) => FileSays::Number(number),
        Err(_) if text.is_empty() => FileSays::Unusable("it is empty, write a whole number into it".to_owned()),
        Err(_) => FileSays::Unusable(format!("{text:?} is no whole number")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_whole_number_is_read_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lever");
        assert_eq!(read(&path), FileSays::Missing);
        assert_eq!(read(&path.join("below")), FileSays::Missing);
        for (text, expected) in [("0", 0), ("-254\n", -254), (" 20 \n\n", 20), ("+3", 3)] {
            fs::write(&path, text).unwrap();
            assert_eq!(read(&path), FileSays::Number(expected), "{text:?}");
            assert_eq!(read(&path.join("below")), FileSays::Missing);
        }
        for text in ["", "\n", "yes", "1.5", "0x10", "1 2", "99999999999999999999", &"0".repeat(100)] {
            fs::write(&path, text).unwrap();
            let usable = matches!(read(&path), FileSays::Number(_));
            assert_eq!(usable, text.len() == 100, "{text:?}: as many zeros are still none");
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(read(&path), FileSays::Unusable(_)));
        fs::remove_dir(&path).unwrap();
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        assert_eq!(read(&path), FileSays::Unusable("it cannot be read: it is no regular file".to_owned()));
    }
}
