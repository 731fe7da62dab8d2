//! A configuration of keepalived, imported for as long as it is looked at.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{cli::import::create, daemon::keepalived::import};

/// Removed with what is in it when it goes.
#[derive(Debug)]
pub(super) struct Imported {
    /// The file of keepalived.
    pub(super) file: PathBuf,
    directory: PathBuf,
}

impl Imported {
    /// # Errors
    /// It cannot be read or imported, or what comes of it not be written: sentences.
    pub(super) fn new(file: &Path, id: Option<&str>) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let shown = file.display();
        let imported = import(file, id).map_err(|why| format!("{shown} {why}"))?;
        if imported.is_refused() {
            let why = imported.refusals();
            return Err(format!("{shown} cannot be imported as it is:\n\n{why}\nMend these lines and check again."));
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("ha-check-{}-{number}", std::process::id()));
        let unwritten = |error| format!("what {shown} comes to cannot be written to {}: {error}", directory.display());
        fs::DirBuilder::new().mode(0o700).create(&directory).map_err(unwritten)?;
        let scratch = Self { file: file.to_owned(), directory: directory.clone() };
        for output in &imported.outputs {
            create(&directory.join(&output.path), output).map_err(unwritten)?;
        }
        Ok(scratch)
    }

    /// A text with what people know in the place of a directory that is gone when they read it.
    pub(super) fn named(&self, text: &str) -> String {
        let (file, directory) = (self.file.display(), self.directory.display());
        let text = text.replace(&format!(", policies in {directory}/policies"), "");
        text.replace(&format!("{directory}/"), &format!("{file} as "))
    }

    /// What it comes to.
    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("ha.toml")
    }
}

impl Drop for Imported {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
