//! What became of every line that was read: mapped, dropped with a note, or refused. Nothing is left out of it.

use std::collections::{BTreeMap, BTreeSet};

/// A line of one of the files that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of [`Ledger::files`].
    pub file: usize,
    /// From 1.
    pub line: usize,
}

/// What became of something, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It is in what was written, or it is what `ha` does anyway.
    Mapped,
    /// It is not in what was written; the note says why and what that changes.
    Dropped,
    /// It cannot be imported as it is; the note says what to do.
    Refused,
}

impl Fate {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

/// One thing that is to be said about a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// What became of it.
    pub fate: Fate,
    /// A sentence, or what was written for it; empty where the fate says all.
    pub text: String,
}

/// One file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As it was named.
    pub path: String,
    /// Its lines, as they stand.
    pub lines: Vec<String>,
}

/// Every line of every file, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    files: Vec<File>,
    notes: BTreeMap<Place, Vec<Note>>,
    secrets: BTreeSet<String>,
}

/// Shorter texts are not looked for everywhere: they are parts of words.
const SECRET_MIN: usize = 4;

impl Ledger {
    /// A file is read from now on; the answer is its number in [`Place`].
    pub(super) fn open(&mut self, path: &str, text: &str) -> usize {
        let lines = text.split('\n').map(|line| line.trim_end_matches('\r').to_owned()).collect();
        self.files.push(File { path: path.to_owned(), lines });
        self.files.len() - 1
    }

    /// The files, in the order in which they were opened.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// What is known of a line, in the order in which it was found.
    #[must_use]
    pub fn notes(&self, place: Place) -> &[Note] {
        self.notes.get(&place).map_or(&[], Vec::as_slice)
    }

    /// The worst that became of a line; `None` for lines that say nothing.
    #[must_use]
    pub fn fate(&self, place: Place) -> Option<Fate> {
        self.notes(place).iter().map(|note| note.fate).max()
    }

    /// Everything that was refused, with its place.
    pub fn refusals(&self) -> impl Iterator<Item = (Place, &str)> {
        self.notes.iter().flat_map(|(place, notes)| {
            notes.iter().filter(|note| note.fate == Fate::Refused).map(|note| (*place, note.text.as_str()))
        })
    }

    /// How many lines came to this.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.notes.keys().filter(|place| self.fate(**place) == Some(fate)).count()
    }

    /// A place as people write it: `keepalived.conf:12`.
    #[must_use]
    pub fn name(&self, place: Place) -> String {
        let path = self.files.get(place.file).map_or("?", |file| file.path.as_str());
        format!("{path}:{}", place.line)
    }

    /// Whatever is shown of a line does not show this.
    pub(super) fn hide(&mut self, secret: &str) {
        if !secret.is_empty() {
            self.secrets.insert(secret.to_owned());
        }
    }

    /// A text without the secrets that were found.
    #[must_use]
    pub fn masked(&self, text: &str) -> String {
        // The longest first: one may contain another.
        let mut secrets: Vec<&String> = self.secrets.iter().filter(|secret| secret.len() >= SECRET_MIN).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "****"))
    }

    /// A line as it stands, without secrets: nothing is shown behind `auth_pass`, whatever it is, nor the value of a `$NAME=`
    /// that is one, however short.
    #[must_use]
    pub fn shown(&self, line: &str) -> String {
        const PASSWORD: &str = "auth_pass";
        if let Some((name, value)) = line.split_once('=')
            && name.trim_start().starts_with('$')
            && self.secrets.contains(value.trim().trim_matches('"'))
        {
            return format!("{name}=****");
        }
        match line.split_once(PASSWORD) {
            Some((before, after)) if !after.trim().is_empty() => format!("{}{PASSWORD} ****", self.masked(before)),
            _ => self.masked(line),
        }
    }

    pub(super) fn note(&mut self, place: Place, fate: Fate, text: impl Into<String>) {
        let note = Note { fate, text: text.into() };
        let notes = self.notes.entry(place).or_default();
        // A line that is repeated by ~SEQ says the same many times.
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    pub(super) fn mapped(&mut self, place: Place, text: impl Into<String>) {
        self.note(place, Fate::Mapped, text);
    }

    pub(super) fn dropped(&mut self, place: Place, text: impl Into<String>) {
        self.note(place, Fate::Dropped, text);
    }

    pub(super) fn refused(&mut self, place: Place, text: impl Into<String>) {
        self.note(place, Fate::Refused, text);
    }
}
