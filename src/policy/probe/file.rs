//! `file`: is it there, and what is in it.

use std::{path::PathBuf, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, fact},
    options::Options,
};

/// Options of [`ProbeKind::File`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// Absolute.
    pub path: PathBuf,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "file",
        group: Group::Probe,
        forms: &["path: text", "path: text, options: map"],
        returns: "probe",
        summary: "A file, a directory or whatever bears that name. Ok: exists.",
        options: &[],
        fields: &[
            fact("exists", "truth", "It is there."),
            fact("size", "number", "Bytes."),
            fact("age", "number", "Seconds since the last modification."),
            fact("mode", "number", "Permission bits, `0o640`."),
            fact("content", "text", "The first 64 KiB of a regular file that may be read."),
        ],
        privilege: "",
        example: "if file(\"/etc/ha/maintenance\").exists { return maintenance(\"the flag file is there\"); }",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, _: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::File(FileRequest { path: absolute(&text(target))? }))
}

/// A path from the root.
pub(super) fn absolute(path: &str) -> Result<PathBuf, String> {
    if path.starts_with('/') { Ok(PathBuf::from(path)) } else { Err(format!("\"{path}\" is not an absolute path")) }
}

impl Asked for FileRequest {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("exists", Field::Bool(true)),
            ("size", Field::Int(0)),
            ("age", Field::Float(0.0)),
            ("mode", Field::Int(0o644)),
            ("content", Field::text("")),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::from([("exists", Field::Bool(false))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        let exists = Field::is_true_in(fields, "exists");
        (exists, if exists { "exists" } else { "does not exist" }.to_owned())
    }

    fn not_ok(&self, _: Duration) -> String {
        "does not exist".to_owned()
    }
}
