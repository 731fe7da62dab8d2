//! House rules that a compiler does not know.

#![allow(clippy::unwrap_used, reason = "a test's own machinery")]

use crate::{
    floors::{dependencies, uses},
    sources::{self, everything, program},
};

/// No file of the program is longer than this, tests included.
const LINES_MAX: usize = 500;

#[test]
fn no_file_is_long() {
    for source in program() {
        let lines = source.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines, more than {LINES_MAX}: two ideas?", source.path);
    }
}

#[test]
fn every_file_says_what_it_is() {
    for source in everything() {
        assert!(source.text.starts_with("//! "), "{} does not begin with what it is", source.path);
    }
}

#[test]
fn every_silenced_lint_has_a_reason() {
    for source in everything() {
        for attribute in ["#[allow(", "#![allow(", "#[expect(", "#![expect("] {
            for (at, _) in source.code.match_indices(attribute) {
                let end = at + source.code[at..].find(")]").unwrap();
                assert!(source.code[at..end].contains("reason = "), "{}: {attribute}…", source.place(at));
            }
        }
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Written so that this file does not contain them.
    let macros = ["todo!", "unimplemented!", "dbg!"];
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("HA", "CK")];
    for source in everything() {
        for name in macros {
            assert!(!source.code.contains(name), "{}: {name}", source.path);
        }
        for (number, line) in source.text.lines().enumerate() {
            let comment = line.find("//").map_or("", |at| &line[at..]);
            let left = notes.iter().find(|note| comment.contains(*note));
            assert!(left.is_none(), "{}:{}: {line}", source.path, number + 1);
        }
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = sources::read("Cargo.toml");
    let mut within = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            within = line == "[dependencies]" || line == "[dev-dependencies]";
        } else if within && line.contains('=') {
            let reason = line.rsplit_once(" # ").map_or("", |(_, reason)| reason.trim());
            assert!(!reason.is_empty(), "Cargo.toml: what is this for? {line}");
        }
    }
}

#[test]
fn every_dependency_is_used() {
    let code: String = everything().map(|source| source.code.as_str()).collect();
    for dependency in dependencies() {
        assert!(uses(&code, &dependency), "nothing uses {dependency}: remove it from Cargo.toml");
    }
}
