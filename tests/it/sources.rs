//! The source text of this repository, for the tests that read it: what is code in it, and what only tests use.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// One file of Rust.
pub(crate) struct Source {
    /// From the root of the repository, like `src/wire/mod.rs`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// The same without comments and the content of literals, line for line.
    pub(crate) code: String,
    /// Where its tests begin, in `code`.
    tests_at: usize,
}

impl Source {
    fn new(path: String, text: String, only_tests: bool) -> Self {
        let code = code_of(&text);
        let tests_at = if only_tests { 0 } else { code.find("#[cfg(test)]\nmod tests {").unwrap_or(code.len()) };
        Self { path, text, code, tests_at }
    }

    /// The code without that of its tests.
    pub(crate) fn product(&self) -> &str {
        &self.code[..self.tests_at]
    }

    /// The module of `src` that it belongs to; none for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(module, _)| module)
    }

    /// Where in the file, for a message.
    pub(crate) fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, self.code[..at].lines().count().max(1))
    }

    /// Every place where `word` stands in `code` by itself.
    pub(crate) fn places_of(&self, code: &str, word: &str) -> Vec<String> {
        find_words(code, word).into_iter().map(|at| self.place(at)).collect()
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The program.
pub(crate) fn program() -> &'static [Source] {
    static PROGRAM: LazyLock<Vec<Source>> = LazyLock::new(|| all("src"));
    &PROGRAM
}

/// The program, its tests and its benchmarks.
pub(crate) fn everything() -> impl Iterator<Item = &'static Source> {
    static BESIDE: LazyLock<Vec<Source>> =
        LazyLock::new(|| [all("tests"), all("benches")].into_iter().flatten().collect());
    program().iter().chain(BESIDE.iter())
}

/// Every Rust file beneath a directory of the repository.
fn all(directory: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join(directory), &mut paths);
    paths.sort();
    let texts: Vec<(String, String)> = paths
        .into_iter()
        .map(|path| (path.strip_prefix(root()).unwrap().display().to_string(), fs::read_to_string(path).unwrap()))
        .collect();
    let only_tests: Vec<String> = texts.iter().flat_map(|(path, text)| test_modules(path, text)).collect();
    texts
        .into_iter()
        .map(|(path, text)| {
            let for_tests = only_tests.contains(&path);
            Source::new(path, text, for_tests)
        })
        .collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            paths.push(path);
        }
    }
}

/// The files of modules that `path` declares for tests only.
fn test_modules(path: &str, text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let directory = match path.strip_suffix("/mod.rs") {
        Some(directory) => directory,
        None => path.strip_suffix(".rs").unwrap_or(path),
    };
    let declared = |line: &str| Some(line.split_once("mod ")?.1.strip_suffix(';')?.to_owned());
    lines
        .iter()
        .enumerate()
        .filter(|(_, line)| **line == "#[cfg(test)]")
        .filter_map(|(at, _)| {
            lines[at + 1..].iter().find(|line| !line.starts_with("#[")).and_then(|line| declared(line))
        })
        .map(|name| format!("{directory}/{name}.rs"))
        .collect()
}

/// Where `word` stands in `code` and is not part of a longer one.
pub(crate) fn find_words(code: &str, word: &str) -> Vec<usize> {
    let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|at| at.checked_sub(1).is_none_or(|before| !is_part(code.as_bytes().get(before))))
        .filter(|at| !is_part(code.as_bytes().get(at + word.len())))
        .collect()
}

/// Blanks comments and what stands in literals; every line keeps its number.
fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = at + unreadable(&text[at..], code.last().copied());
        if end > at {
            code.extend(text[at..end].bytes().map(|byte| if byte == b'\n' { b'\n' } else { b' ' }));
            at = end;
        } else {
            code.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(code).unwrap()
}

/// How long the comment or literal is that begins here; 0 if none does.
fn unreadable(rest: &str, before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let until = |ending: &str| rest.find(ending).map_or(rest.len(), |at| at + ending.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/");
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if !in_word && rest.starts_with("r#\"") {
        return until("\"#");
    }
    if !in_word && rest.starts_with("r\"") {
        return 2 + rest[2..].find('"').map_or(0, |at| at + 1);
    }
    if rest.starts_with('\'') && is_char(rest) { quoted(rest, '\'') } else { 0 }
}

/// Whether a quote begins a character and not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    match characters.next() {
        Some('\\') => true,
        Some(_) => characters.next() == Some('\''),
        None => false,
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    rest.len()
}

#[test]
fn code_is_what_is_left_of_comments_and_literals() {
    let text = "let a = \"// \\\" W\"; // W\nlet c = ('\"', 'W', \"W\"); /* W */ fn g<'h>(i: &'h str) {}\nr#\"W\"#; k";
    let code = code_of(text);
    assert!(!code.contains('W'), "{code}");
    assert!(code.contains("let c = (") && code.contains("fn g<'h>(i: &'h str) {}") && code.ends_with("; k"), "{code}");
    assert_eq!(code.lines().count(), 3);
}

#[test]
fn a_word_is_not_a_part_of_another() {
    assert_eq!(find_words("fs::read afs::read fs::reader (fs::read)", "fs::read"), [0, 31]);
}

#[test]
fn what_only_tests_use_is_not_product() {
    let source = |path: &str| program().iter().find(|source| source.path == path).unwrap();
    assert!(source("src/linux/namespace.rs").product().is_empty());
    assert!(source("src/config/fixture.rs").product().is_empty());
    assert!(!source("src/node/judgement.rs").product().contains("mod tests"));
    assert!(source("src/node/judgement.rs").product().contains("impl Judgement"));
}
