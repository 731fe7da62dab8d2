//! What is tracked beside interfaces: files, read at the start and each time that one may have changed, and
//! [processes](super::processes). What they mean is the node's.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    processes::{self, Processes},
    protocol::{Mailbox, Message},
    regular,
    watch::Watch,
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
    paths: Arc<Mutex<Vec<PathBuf>>>,
    mailbox: Mailbox,
    /// None as long as nothing was to be watched.
    watch: Option<Watch>,
    processes: Processes,
}

impl Tracking {
    /// Watches what a configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(config: &Config, mailbox: Mailbox) -> io::Result<Self> {
        let processes = Processes::start(config, mailbox.clone())?;
        let mut tracking = Self { paths: Arc::default(), mailbox, watch: None, processes };
        tracking.watch_files(config)?;
        Ok(tracking)
    }

    /// Watches what another configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn reconfigure(&mut self, config: &Config) -> io::Result<()> {
        self.processes.reconfigure(config)?;
        self.watch_files(config)
    }

    fn watch_files(&mut self, config: &Config) -> io::Result<()> {
        let paths = paths(config);
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&paths);
        match &self.watch {
            Some(watch) => watch.watch(paths),
            None if paths.is_empty() => {}
            None => self.watch = Some(self.watching(paths)?),
        }
        Ok(())
    }

    fn watching(&self, paths: Vec<PathBuf>) -> io::Result<Watch> {
        let (wanted, mailbox) = (Arc::clone(&self.paths), self.mailbox.clone());
        let mut told: BTreeMap<PathBuf, FileSays> = BTreeMap::new();
        Watch::start(paths, move || {
            let paths = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            told.retain(|path, _| paths.contains(path));
            for path in paths {
                let says = read(&path);
                if told.get(&path) != Some(&says) {
                    told.insert(path.clone(), says.clone());
                    mailbox.post(Message::File { path, says });
                }
            }
            Vec::new()
        })
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
