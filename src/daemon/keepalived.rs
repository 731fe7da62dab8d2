//! Files of keepalived on this machine.

use std::{fs, io::Read, path::Path};

use crate::import::{self, Files, Import, Machine};

/// No file of a configuration is longer, in bytes.
const LENGTH_MAX: u64 = 4 << 20;

/// The files of this machine.
struct Disk;

impl Files for Disk {
    fn list(&self, directory: &str) -> Vec<String> {
        let directory = if directory.is_empty() { "." } else { directory };
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    fn read(&self, path: &str) -> Result<String, String> {
        read(Path::new(path))
    }
}

/// Imports a file. `id`: what lines that begin with `@ID` are for; else the short name of this machine.
///
/// # Errors
/// It cannot be read: the end of a sentence that begins with its name. What is in it is the result's business.
pub fn import(file: &Path, id: Option<&str>) -> Result<Import, String> {
    let text = read(file).map_err(|why| format!("cannot be read: {why}"))?;
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let short = name.split('.').next().unwrap_or_default();
    let machine = Machine { id: id.unwrap_or(short).to_owned(), name: name.clone() };
    Ok(import::import(&file.to_string_lossy(), &text, &machine, &Disk))
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(|error| error.to_string())?;
    if !file.metadata().map_err(|error| error.to_string())?.is_file() {
        return Err("it is no regular file".to_owned());
    }
    file.take(LENGTH_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > LENGTH_MAX) {
        return Err(format!("it is longer than {LENGTH_MAX} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}
