//! `track.files`: a number in a file that an operator, or a program, writes there.

use std::{fmt, path::PathBuf};

use toml::Spanned;

use super::{Effect, WellWhile};
use crate::config::{
    error::{Findings, Span},
    table::{Table, Written},
};

/// Farthest from 0 that the weight of a file may be (keepalived's).
const WEIGHT_MAX: i64 = 254;
const MISSING_MAX: i64 = 1_000_000;

/// A file with a whole number in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedFile {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// Without a weight: which numbers are well, 0 or every other.
    pub well: WellWhile,
    /// What follows. A weight is multiplied with the number and added to the priority; -254 or less is a fault.
    pub effect: Effect,
    /// What a file that does not exist counts as; `None`: it is not known then what it would say.
    pub missing: Option<i64>,
}

/// `file /etc/ha/maintenance`: what it is called.
impl fmt::Display for TrackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.path.display())
    }
}

/// As parts of a sentence.
pub(super) fn describe(tracked: &TrackedFile) -> String {
    let does = match (tracked.effect, tracked.well) {
        (Effect::Fault, WellWhile::Absent) => "hands over and takes no part while its number is not 0".to_owned(),
        (Effect::Fault, WellWhile::There) => "hands over and takes no part while its number is 0".to_owned(),
        (Effect::Weight(weight), _) => format!(
            "its number times {weight} is added to the priority, and with -254 or less it hands over and takes no part"
        ),
    };
    match tracked.missing {
        Some(number) => format!("{tracked}: {does}; where there is no file it is {number}"),
        None => format!("{tracked}: {does}; where there is no file its role stays as it is"),
    }
}

/// One entry as written.
#[derive(Debug)]
pub(super) struct RawFile {
    place: Span,
    file: Written<String>,
    weight: Written<i64>,
    reverse: Written<bool>,
    missing: Written<i64>,
}

impl RawFile {
    pub(super) fn plain(text: Spanned<String>) -> Self {
        Self {
            place: text.span(),
            file: Written::Given(text),
            weight: Written::Absent,
            reverse: Written::Absent,
            missing: Written::Absent,
        }
    }

    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            place: table.header(),
            file: table.text("file", out),
            weight: table.number("weight", out),
            reverse: table.flag("reverse", out),
            missing: table.number("missing", out),
        }
    }
}

/// Reads the list.
pub(super) fn resolve(raw: &[RawFile], owner: bool, out: &mut Findings) -> Vec<TrackedFile> {
    let mut files: Vec<TrackedFile> = Vec::new();
    for raw in raw {
        let Some(tracked) = one(raw, owner, out) else { continue };
        if files.iter().any(|other| other.path == tracked.path) {
            out.error(raw.place.clone(), format!("{tracked} is tracked twice"), "remove one of the two");
        }
        files.push(tracked);
    }
    files
}

fn one(raw: &RawFile, owner: bool, out: &mut Findings) -> Option<TrackedFile> {
    const TODO: &str = "write \"/etc/ha/maintenance\", or { file = \"/etc/ha/maintenance\", weight = 1 }";
    if raw.file.is_absent() {
        out.error(raw.place.clone(), "an entry of files does not say which", TODO);
    }
    let effect = super::effect(&raw.weight, WEIGHT_MAX, owner, out);
    let reverse = raw.reverse.given().is_some_and(|(reverse, _)| *reverse);
    if let (true, Effect::Weight(weight), Some(span)) = (reverse, effect, raw.reverse.span()) {
        let todo = format!("write weight = {}, without reverse", -weight);
        out.error(span, "the number of a file has a sign of its own: reverse adds nothing to a weight", todo);
    }
    let missing = raw.missing.given().and_then(|(number, span)| {
        let fits = number.abs() <= MISSING_MAX;
        if !fits {
            out.error(span, format!("missing = {number} is out of range"), "write missing = 0, as an empty lever says");
        }
        fits.then_some(*number)
    });
    let (text, span) = raw.file.given()?;
    let path = PathBuf::from(text);
    if !path.is_absolute() || text.contains('\0') || path.file_name().is_none() {
        out.error(span, format!("\"{text}\" is not the absolute path of a file"), TODO);
        return None;
    }
    Some(TrackedFile { path, well: if reverse { WellWhile::There } else { WellWhile::Absent }, effect, missing })
}
