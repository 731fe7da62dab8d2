//! The file probe: is it there, and what is in it. Never opens a pipe or a device for reading its content.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, ErrorKind as Io, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{
    answer::{Answer, Failure, Fields},
    deadline::Deadline,
    looks::Looks,
};
use crate::policy::probe::{ErrorKind, Field};

/// How much of a file a policy can read.
const CONTENT_MAX: u64 = 64 * 1024;

/// `ok`: exists. Fields: `exists`, `size` (bytes), `age` (seconds since the last modification), `mode` (the
/// permission bits, `0o640`), `content` (the first 64 KiB of a regular file that may be read, else nothing known).
pub(super) async fn probe(looks: &Looks, path: &Path, deadline: Deadline) -> Answer {
    let own: PathBuf = path.to_owned();
    looks.run(path, deadline, move || look_at(&own)).await.unwrap_or_else(|failure| answer(Err(failure), Field::Unit))
}

fn look_at(path: &Path) -> Answer {
    match std::fs::metadata(path) {
        Ok(metadata) => {
            let mut answer = answer(Ok("exists".to_owned()), Field::Bool(true));
            answer.fields.insert("size", Field::Int(i64::try_from(metadata.len()).unwrap_or(i64::MAX)));
            answer.fields.insert("age", age(&metadata));
            answer.fields.insert("mode", Field::Int((metadata.mode() & 0o7777).into()));
            answer.fields.insert("content", content(path, &metadata));
            answer
        }
        Err(error) if matches!(error.kind(), Io::NotFound | Io::NotADirectory) => {
            let failure = Failure::new(ErrorKind::Mismatch, "does not exist");
            answer(Err(failure), Field::Bool(false))
        }
        Err(error) if error.kind() == Io::PermissionDenied => {
            answer(Err(Failure::new(ErrorKind::Denied, error.to_string())), Field::Unit)
        }
        Err(error) => answer(Err(Failure::internal(error.to_string())), Field::Unit),
    }
}

fn answer(verdict: Result<String, Failure>, exists: Field) -> Answer {
    let unknown = ["size", "age", "mode", "content"].map(|name| (name, Field::Unit));
    let fields: Fields = unknown.into_iter().chain([("exists", exists)]).collect();
    Answer { verdict, fields }
}

/// Zero for a modification in the future.
fn age(metadata: &Metadata) -> Field {
    let age = metadata.modified().map(|at| at.elapsed().unwrap_or_default());
    age.map_or(Field::Unit, |age| Field::Float(age.as_secs_f64()))
}

fn content(path: &Path, metadata: &Metadata) -> Field {
    if !metadata.is_file() {
        return Field::Unit;
    }
    match read(path) {
        Ok(bytes) => Field::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => Field::Unit,
    }
}

/// Does not wait for a writer, should the file have become a pipe meanwhile.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut bytes = Vec::new();
    file.take(CONTENT_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
