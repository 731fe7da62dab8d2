//! Opens what the daemon goes by: regular files only, and without waiting. A pipe in the place of one would keep whoever opens it
//! until somebody writes there.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file, for reading.
///
/// # Errors
/// What the system said, or that it is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let file = open_anything(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

/// Whatever is there, for reading: whether it may be.
///
/// # Errors
/// What the system said.
pub(super) fn open_anything(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}
