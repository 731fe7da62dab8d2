//! From files to plain lines: what `include`, `@id`, `$NAME`, `~SEQ` and `~LST` stand for is written out.
//!
//! keepalived reads in this order, line for line, and so does this: a definition counts from its line on.

use super::{
    Files,
    glob::{alternatives, fits, is_pattern},
    ledger::{Ledger, Place},
    line::{cuts_secret, split_comment},
    sequence,
    variable::{Unclear, Variables, definition},
};

/// How deeply files may include each other.
const DEPTH_MAX: usize = 16;
/// Lines after everything was written out.
const LINES_MAX: usize = 200_000;

/// A line that stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plain {
    pub(super) place: Place,
    /// Without its comment; empty if it is nothing else.
    pub(super) text: String,
    /// With its mark, `# so it is`.
    pub(super) comment: Option<String>,
}

/// What is read, and what came of it so far.
struct Expansion<'a> {
    files: &'a dyn Files,
    /// What `@id` is compared with.
    id: &'a str,
    ledger: &'a mut Ledger,
    variables: Variables,
    lines: Vec<Plain>,
    /// The files that are being read, the outermost first.
    open: Vec<String>,
    full: bool,
}

/// Writes out `path`, whose text is `text`.
pub(super) fn expand(path: &str, text: &str, id: &str, files: &dyn Files, ledger: &mut Ledger) -> Vec<Plain> {
    let variables = Variables::default();
    let mut expansion = Expansion { files, id, ledger, variables, lines: Vec::new(), open: Vec::new(), full: false };
    expansion.file(path, text);
    expansion.lines
}

impl Expansion<'_> {
    fn file(&mut self, path: &str, text: &str) {
        let file = self.ledger.open(path, text);
        self.open.push(path.to_owned());
        let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r').trim()).enumerate();
        while let Some((number, line)) = lines.next() {
            let place = Place { file, line: number + 1 };
            let Some(kept) = self.condition(line, place) else { continue };
            let (code, mut comment) = split_comment(kept);
            if cuts_secret(kept) {
                self.ledger.hide(comment.unwrap_or_default().get(1..).unwrap_or_default());
                let at = comment.and_then(|comment| comment.get(..1)).unwrap_or_default();
                self.ledger.mapped(
                    place,
                    format!("a comment begins at {at}: only what stands before it counts, in keepalived too"),
                );
                comment = None;
            }
            let Some((name, first)) = definition(code.trim()) else {
                self.line(place, code.trim(), comment);
                continue;
            };
            let mut value = first.trim().to_owned();
            let mut last = place;
            // A backslash at the end of the line: the value goes on in the next one.
            while let Some(begun) = value.strip_suffix('\\').map(|begun| begun.trim_end().to_owned()) {
                let Some((number, next)) = lines.next() else {
                    value = begun;
                    break;
                };
                last = Place { file, line: number + 1 };
                self.ledger.mapped(last, format!("part of ${name}"));
                value = format!("{begun}\n{}", split_comment(next).0.trim());
            }
            self.ledger.mapped(place, format!("${name} is written out where it is used"));
            self.variables.define(name, value.trim_matches('\n'));
            if comment.is_some() {
                self.push(last, "", comment);
            }
        }
        self.open.pop();
    }

    /// `@id` and `@^id`: the rest of the line, unless it is for another machine.
    fn condition<'l>(&mut self, line: &'l str, place: Place) -> Option<&'l str> {
        let Some(conditional) = line.strip_prefix('@') else { return Some(line) };
        let (id, rest) = conditional.split_once(char::is_whitespace).unwrap_or((conditional, ""));
        let (id, negated) = id.strip_prefix('^').map_or((id, false), |id| (id, true));
        let kept = (id == self.id) != negated;
        if !kept {
            let whose = if negated { format!("for every machine but {id}") } else { format!("for {id} only") };
            self.ledger.dropped(place, format!("{whose}; this is the configuration of {}", self.id));
        }
        kept.then(|| rest.trim())
    }

    fn line(&mut self, place: Place, code: &str, comment: Option<&str>) {
        if let Some((head, rest)) = sequence::split(code) {
            return self.repeat(place, head, rest);
        }
        if code.starts_with("~SEQ") || code.starts_with("~LST") {
            return self.ledger.refused(place, "this repetition is not understood: write the lines that it stands for");
        }
        let Some(text) = self.substituted(place, code) else { return };
        // The value of a definition may have several lines.
        for part in text.split('\n').map(str::trim) {
            if sequence::split(part).is_some() && part != code {
                self.line(place, part, None);
            } else if !self.include(place, part) {
                self.push(place, part, None);
            }
        }
        if comment.is_some() {
            match self.lines.last_mut().filter(|last| last.place == place && last.comment.is_none()) {
                Some(last) => last.comment = comment.map(str::to_owned),
                None => self.push(place, "", comment),
            }
        }
    }

    fn substituted(&mut self, place: Place, code: &str) -> Option<String> {
        let path = self.open.last().map_or("", String::as_str);
        let directory = directory_of(path).trim_end_matches('/').to_owned();
        match self.variables.substitute(code, &directory) {
            Ok(text) => Some(text),
            Err(Unclear::Volatile(name)) => {
                let todo =
                    format!("${{{name}}} is another value in every start or on every machine: write the value itself");
                self.ledger.refused(place, todo);
                None
            }
            Err(Unclear::Unseen(name)) => {
                let todo = format!(
                    "keepalived puts a value in the place of ${name} only before a space, a comma or the end of the line: write ${{{name}}}"
                );
                self.ledger.refused(place, todo);
                None
            }
            Err(Unclear::Endless) => {
                self.ledger
                    .refused(place, "the definitions in this line name each other without end: write the value itself");
                None
            }
        }
    }

    fn repeat(&mut self, place: Place, head: &str, rest: &str) {
        let Some(head) = self.substituted(place, head) else { return };
        let Some(repetition) = sequence::read(&head) else {
            return self.ledger.refused(place, "this repetition is not understood: write the lines that it stands for");
        };
        self.ledger.mapped(place, format!("written out {} times", repetition.rows.len()));
        let before: Vec<Option<String>> =
            repetition.names.iter().map(|name| self.variables.get(name).cloned()).collect();
        for row in &repetition.rows {
            if self.full {
                break;
            }
            for (name, value) in repetition.names.iter().zip(row) {
                self.variables.define(name, value);
            }
            self.line(place, rest, None);
        }
        for (name, before) in repetition.names.iter().zip(before) {
            self.variables.put_back(name, before);
        }
    }

    fn push(&mut self, place: Place, text: &str, comment: Option<&str>) {
        if let Some(name) = text.strip_prefix("instance ") {
            self.variables.instance = name.trim().to_owned();
        }
        if self.lines.len() < LINES_MAX {
            self.lines.push(Plain { place, text: text.to_owned(), comment: comment.map(str::to_owned) });
        } else if !self.full {
            self.full = true;
            let todo = format!(
                "more than {LINES_MAX} lines after everything is written out: spread them over several machines"
            );
            self.ledger.refused(place, todo);
        }
    }

    /// Reads what an `include` names; whether it was one.
    fn include(&mut self, place: Place, text: &str) -> bool {
        let (keyword, pattern) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let lenient = match keyword {
            "include" => true,
            "includer" | "includem" | "includew" | "includeb" | "includea" => false,
            _ => return false,
        };
        let pattern = pattern.trim().trim_matches('"');
        let here = self.open.last().map_or("", String::as_str);
        let pattern =
            if pattern.starts_with('/') { pattern.to_owned() } else { directory_of(here).to_owned() + pattern };
        let mut found = 0;
        for one in alternatives(&pattern) {
            for path in self.matching(&one) {
                found += 1;
                self.included(place, &path);
            }
        }
        if found == 0 && lenient && is_pattern(&pattern) {
            self.ledger.dropped(place, format!("no file matches {pattern}"));
        } else if found == 0 {
            let todo =
                format!("{pattern} is not here: run the import where the whole configuration lies, or remove the line");
            self.ledger.refused(place, todo);
        }
        true
    }

    fn matching(&self, pattern: &str) -> Vec<String> {
        let (directory, name) = (directory_of(pattern), pattern.get(directory_of(pattern).len()..).unwrap_or_default());
        if !is_pattern(pattern) {
            return vec![pattern.to_owned()];
        }
        let mut paths = Vec::new();
        // Patterns in directories are for one level each.
        let directories = if is_pattern(directory) {
            self.matching(directory.trim_end_matches('/')).into_iter().map(|path| path + "/").collect()
        } else {
            vec![directory.to_owned()]
        };
        for directory in directories.iter().take(LINES_MAX) {
            let mut names = self.files.list(directory);
            names.sort();
            paths.extend(names.iter().filter(|one| fits(name, one)).map(|one| format!("{directory}{one}")));
        }
        paths
    }

    fn included(&mut self, place: Place, path: &str) {
        if self.open.len() >= DEPTH_MAX || self.open.iter().any(|open| open == path) {
            return self
                .ledger
                .refused(place, format!("{path} includes itself, or files include each other too deeply"));
        }
        match self.files.read(path) {
            Ok(text) => {
                self.ledger.mapped(place, format!("{path} is read here"));
                self.file(path, &text);
            }
            Err(why) => {
                let todo = "run the import where the whole configuration lies, or remove the line";
                self.ledger.refused(place, format!("{path} cannot be read: {why}; {todo}"));
            }
        }
    }
}

/// Up to and with the last slash.
fn directory_of(path: &str) -> &str {
    path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or_default()
}
