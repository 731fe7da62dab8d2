//! `disk`: a mounted file system: is it there, can it be written to, has it room?

use std::{path::PathBuf, time::Duration};

use rhai::Dynamic;

use super::{
    Asked, Field, Fields, ProbeKind,
    file::absolute,
    kind::{Kind, Reach, text},
    target::Target,
};
use crate::policy::{
    language::{Function, Group, choice, fact},
    options::Options,
};

/// Options of [`ProbeKind::Disk`].
#[derive(Clone, Debug, PartialEq)]
pub struct DiskRequest {
    /// The mount point; absolute.
    pub path: PathBuf,
    /// Write a few bytes there, and see them on the disk.
    pub write_test: bool,
    /// So much room at least, in percent: of bytes and of files.
    pub min_free_pct: Option<f64>,
}

pub(super) const KIND: Kind = Kind {
    function: Function {
        name: "disk",
        group: Group::Probe,
        forms: &["path: text", "path: text, options: map"],
        returns: "probe",
        summary: "The file system mounted at a path. Ok: it is mounted there, not read-only, and within its limits.",
        options: &[
            choice("write_test", "truth", "false", "Write a few bytes to a file without a name, down to the disk."),
            choice("min_free_pct", "number", "", "So much room at least, in percent: of bytes and of files (inodes)."),
        ],
        fields: &[
            fact("mounted", "truth", "A file system is mounted at this very path."),
            fact("read_only", "truth", "It is mounted read-only, or the kernel made it so after an error."),
            fact("free_pct", "number", "Room for programs without privilege, in percent."),
            fact("inodes_pct", "number", "Room for files, in percent, where the file system counts them."),
            fact("fstype", "text", "Such as ext4, xfs or nfs4."),
        ],
        privilege: "",
        example: "require(\"data\", disk(\"/\", #{ min_free_pct: 5 }), #{ fall: 5 });",
    },
    target: Target::Text,
    reach: Reach::Machine,
    read,
};

fn read(target: &Dynamic, options: &Options<'_>) -> Result<ProbeKind, String> {
    Ok(ProbeKind::Disk(DiskRequest {
        path: absolute(&text(target))?,
        write_test: options.truth("write_test")?,
        min_free_pct: options.limit("min_free_pct", 100.0)?,
    }))
}

impl DiskRequest {
    /// Whether a file system like this is as it should be, and what to say of it. Percentages that nobody knows are no
    /// objection: not every file system counts its files.
    #[must_use]
    pub fn judge_room(&self, free: Option<f64>, inodes: Option<f64>) -> (bool, String) {
        for (pct, of) in [(free, "free"), (inodes, "of the inodes free")] {
            if let (Some(pct), Some(min)) = (pct, self.min_free_pct)
                && pct < min
            {
                return (false, format!("{pct:.1} % {of}, less than {min} %"));
            }
        }
        (true, free.map_or_else(|| "mounted".to_owned(), |pct| format!("{pct:.1} % free")))
    }
}

impl Asked for DiskRequest {
    fn target(&self) -> String {
        self.path.display().to_string()
    }

    fn usual(&self) -> Fields {
        Fields::from([
            ("mounted", Field::Bool(true)),
            ("read_only", Field::Bool(false)),
            ("free_pct", Field::Float(50.0)),
            ("inodes_pct", Field::Float(50.0)),
            ("fstype", Field::text("ext4")),
        ])
    }

    fn silence(&self) -> Fields {
        Fields::from([("mounted", Field::Bool(false))])
    }

    fn judge(&self, fields: &Fields) -> (bool, String) {
        if !Field::is_true_in(fields, "mounted") {
            return (false, self.not_ok(Duration::ZERO));
        }
        if Field::is_true_in(fields, "read_only") {
            return (false, "read-only".to_owned());
        }
        self.judge_room(Field::measure_in(fields, "free_pct"), Field::measure_in(fields, "inodes_pct"))
    }

    fn not_ok(&self, _: Duration) -> String {
        "nothing is mounted there".to_owned()
    }
}
