//! `[events]`: a stream of what happens, for programs that follow it.

use std::path::{Path, PathBuf};

use super::{
    error::Findings,
    table::{Table, Written},
};

/// Where it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventStream {
    /// A FIFO, made if it is not there; absolute. None: nowhere.
    pub fifo: Option<PathBuf>,
    /// Also that a priority changed.
    pub priority_changes: bool,
}

/// As written.
#[derive(Debug)]
pub(super) struct RawEvents {
    fifo: Written<String>,
    priority_changes: Written<bool>,
}

impl RawEvents {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self { fifo: table.text("fifo", out), priority_changes: table.flag("priority_changes", out) }
    }
}

/// Reads it; a relative path is relative to `base`.
pub(super) fn resolve(raw: &RawEvents, base: &Path, out: &mut Findings) -> EventStream {
    let fifo = raw.fifo.given().map(|(text, span)| {
        if text.is_empty() || text.contains('\0') {
            out.error(span, "fifo is not a path", "write fifo = \"/run/ha/events\" or another path");
        }
        base.join(text)
    });
    EventStream { fifo, priority_changes: raw.priority_changes.given().is_some_and(|(flag, _)| *flag) }
}
