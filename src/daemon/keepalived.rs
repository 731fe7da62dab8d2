//! Files of keepalived on this machine.

use std::{fs, io::Read, path::Path};

use super::{guarded, regular};
use crate::import::{self, Files, Import, Machine};

/// No file of a configuration is longer, in bytes.
const LENGTH_MAX: u64 = 4 << 20;

/// The files of this machine.
struct Disk {
    /// Those that somebody else could have written are not read.
    guarded: bool,
}

impl Files for Disk {
    fn list(&self, directory: &str) -> Vec<String> {
        let directory = if directory.is_empty() { "." } else { directory };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn exists(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        let path = Path::new(path);
        match guarded::distrust(path).filter(|_| self.guarded) {
            Some(problem) => Err(problem.what().to_owned()),
            None => read(path),
        }
    }
}

/// Imports a file. `id`: what lines that begin with `@ID` are for; else the short name of this machine.
///
/// # Errors
/// It cannot be read: the end of a sentence that begins with its name. What is in it is the result's business.
pub fn import(file: &Path, id: Option<&str>) -> Result<Import, String> {
    import_with(file, id, &Disk { guarded: false })
}

/// The same for a daemon that goes by it: what `file` includes is not read if somebody else could have written it.
///
/// # Errors
/// As `import`.
pub(super) fn import_guarded(file: &Path, id: Option<&str>) -> Result<Import, String> {
    import_with(file, id, &Disk { guarded: true })
}

fn import_with(file: &Path, id: Option<&str>, disk: &Disk) -> Result<Import, String> {
    let text = read(file).map_err(|why| format!("cannot be read: {why}"))?;
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let short = name.split('.').next().unwrap_or_default();
    let machine = Machine { id: id.unwrap_or(short).to_owned(), name: name.clone() };
    Ok(import::import(&file.to_string_lossy(), &text, &machine, disk))
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = regular::open(path).map_err(|error| error.to_string())?;
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LENGTH_MAX) {
        return Err(format!("it is longer than {LENGTH_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
