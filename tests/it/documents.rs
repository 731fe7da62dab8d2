//! What the documents say: their examples load, their commands exist, their links lead somewhere, and every test that
//! ARCHITECTURE.md names is there.
//!
//! A block that is only an excerpt is marked so: ```` ```toml excerpt ````.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{collections::BTreeSet, path::Path, process::Command};

use ha::{
    config::{self, Facts},
    policy::{Engine, Policy, run_tests},
};

use crate::sources;

const DOCUMENTS: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/policy-reference.md"];

/// A fenced block.
struct Block {
    document: &'static str,
    line: usize,
    language: String,
    text: String,
}

impl Block {
    fn place(&self) -> String {
        format!("{}:{}", self.document, self.line)
    }
}

/// The fenced blocks of all documents.
fn blocks() -> Vec<Block> {
    DOCUMENTS.into_iter().flat_map(blocks_of).collect()
}

fn blocks_of(document: &'static str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (number, line) in sources::read(document).lines().enumerate() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if open => open = false,
            Some(language) => {
                open = true;
                let language = language.trim().to_owned();
                blocks.push(Block { document, line: number + 1, language, text: String::new() });
            }
            None if open => {
                let block = blocks.last_mut().unwrap();
                block.text += line;
                block.text.push('\n');
            }
            None => {}
        }
    }
    assert!(!open, "{document} ends inside a block");
    blocks
}

/// A document without its fenced blocks.
fn prose(document: &str) -> String {
    let mut within = false;
    let text = sources::read(document);
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        within ^= fence;
        !within && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What stands between backticks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn every_block_says_what_it_is() {
    const KNOWN: [&str; 6] = ["toml", "toml excerpt", "rhai", "rhai excerpt", "sh", "text"];
    for block in blocks() {
        assert!(KNOWN.contains(&block.language.as_str()), "{}: `{}`", block.place(), block.language);
    }
}

#[test]
fn every_configuration_loads() {
    for block in blocks().iter().filter(|block| block.language == "toml") {
        let loaded = config::parse(&block.text, Path::new("/etc/ha/ha.toml"), &Facts::default());
        let loaded = loaded.unwrap_or_else(|problems| panic!("{}:\n{problems}", block.place()));
        assert!(loaded.warnings.is_empty(), "{}: {:?}", block.place(), loaded.warnings);
    }
}

#[test]
fn every_policy_loads_without_a_warning_and_passes_its_tests() {
    let engine = Engine::new();
    for block in blocks().iter().filter(|block| block.language == "rhai") {
        let policy = Policy::load(&engine, "check_local", "check_local.rhai", &block.text);
        let policy = policy.unwrap_or_else(|problems| panic!("{}: {problems:?}", block.place()));
        assert!(policy.warnings().is_empty(), "{}: {:?}", block.place(), policy.warnings());
        let report = run_tests(&engine, &policy, None);
        assert!(report.failures.is_empty() && report.passed > 0, "{}: {report:?}", block.place());
    }
}

/// The command lines of `ha` in all documents, each with its place.
fn command_lines() -> Vec<(String, Vec<String>)> {
    let words = |line: &str| {
        let line = line.split(" # ").next().unwrap_or_default();
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        let after_sudo = usize::from(words.first().is_some_and(|word| word == "sudo"));
        (words.get(after_sudo).is_some_and(|word| word == "ha")).then(|| words[after_sudo + 1..].to_vec())
    };
    let in_blocks = blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| block.text.lines().filter_map(words).map(|line| (block.place(), line)).collect::<Vec<_>>());
    let in_prose = DOCUMENTS.into_iter().flat_map(|document| {
        let text = prose(document);
        code_spans(&text).filter_map(words).map(|line| (document.to_owned(), line)).collect::<Vec<_>>()
    });
    in_blocks.chain(in_prose).filter(|(_, line)| !line.is_empty()).collect()
}

fn help(subcommand: &str) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_ha")).args([subcommand, "--help"]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn every_command_exists_with_its_options() {
    let lines = command_lines();
    assert!(lines.len() > 10, "{lines:?}");
    for (place, line) in lines {
        let help = help(&line[0]).unwrap_or_else(|| panic!("{place}: there is no `ha {}`", line[0]));
        for option in line.iter().filter(|word| word.starts_with('-')) {
            assert!(help.contains(option.as_str()), "{place}: `ha {}` has no {option}", line[0]);
        }
    }
}

/// `cargo run --release -- lab` and its like.
#[test]
fn every_command_by_cargo_exists() {
    let text = DOCUMENTS.map(sources::read).concat();
    let subcommands: BTreeSet<&str> =
        text.split("cargo run --release -- ").skip(1).filter_map(|rest| rest.split([' ', '`', '\n']).next()).collect();
    assert!(subcommands.contains("lab"));
    for subcommand in subcommands {
        assert!(help(subcommand).is_some(), "there is no `ha {subcommand}`");
    }
}

/// `cargo test --test it` and its like: the target is in Cargo.toml.
#[test]
fn every_target_of_cargo_exists() {
    let manifest = sources::read("Cargo.toml");
    let text = DOCUMENTS.map(sources::read).concat();
    for option in ["--test ", "--bench "] {
        let targets = text.split(option).skip(1).filter_map(|rest| rest.split([' ', '`', '\n']).next());
        for target in targets {
            assert!(manifest.contains(&format!("name = \"{target}\"")), "cargo has no {option}{target}");
        }
    }
}

/// What a reader is told to run is what decides.
#[test]
fn the_test_command_of_the_readme_is_the_one_of_ci() {
    assert!(sources::read("README.md").contains("\n```sh\ncargo test\n```\n"));
    assert!(sources::read(".ci/run").contains("\nstep \"tests\" cargo test\n"));
}

#[test]
fn every_link_inside_leads_somewhere() {
    for document in DOCUMENTS {
        for link in prose(document).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { document } else { path };
            assert!(sources::root().join(target).exists(), "{document}: {link}");
            assert!(anchor.is_empty() || anchors(target).contains(anchor), "{document}: {link}");
        }
    }
}

/// The anchors of a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        heading
            .chars()
            .filter_map(|letter| match letter {
                ' ' => Some('-'),
                letter if letter.is_alphanumeric() || letter == '-' => Some(letter),
                _ => None,
            })
            .collect()
    };
    prose(document).lines().filter(|line| line.starts_with('#')).map(anchor).collect()
}

#[test]
fn every_path_that_is_named_is_there() {
    for document in DOCUMENTS {
        let text = prose(document);
        for path in code_spans(&text) {
            let ours = ["src/", "tests/", "config/", "scripts/", "examples/", "fuzz/", "benches/", ".ci/"];
            if ours.iter().any(|root| path.starts_with(root)) && !path.contains([' ', '*']) {
                assert!(sources::root().join(path).exists(), "{document}: {path}");
            }
        }
    }
}

/// Every name in the last column of a table headed "Guarded by".
fn named_tests() -> Vec<String> {
    let mut within = false;
    let mut names = Vec::new();
    for line in sources::read("ARCHITECTURE.md").lines() {
        if !line.starts_with('|') {
            within = false;
        } else if line.ends_with("| Guarded by |") {
            within = true;
        } else if within {
            let last = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
            names.extend(code_spans(last).map(ToOwned::to_owned));
        }
    }
    names
}

/// The names of all tests: functions, properties, and the stories of `tests/net`.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for source in sources::everything() {
        let mut marked = false;
        for line in source.text.lines().map(str::trim) {
            let name = line.trim_start_matches("async ").strip_prefix("fn ").and_then(|rest| rest.split('(').next());
            match name {
                Some(name) if marked => {
                    tests.insert(name.to_owned());
                    marked = false;
                }
                Some(_) | None => marked |= line.starts_with("#[test]") || line.starts_with("#[tokio::test"),
            }
            if source.path.starts_with("tests/net/")
                && let Some(name) = line.split_once("name: \"").and_then(|(_, rest)| rest.split('"').next())
            {
                tests.insert(name.to_owned());
            }
        }
    }
    tests
}

#[test]
fn every_test_that_architecture_names_exists() {
    let tests = tests();
    let named = named_tests();
    assert!(named.len() > 50, "only {} names were found: this test reads the tables wrongly", named.len());
    let missing: Vec<_> = named.iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn architecture_has_every_rule_once_and_in_order() {
    let text = sources::read("ARCHITECTURE.md");
    let rules = text.lines().filter_map(|line| line.strip_prefix("| R")?.split(' ').next()?.parse::<u32>().ok());
    assert!(rules.eq(1..=36));
}

/// The map in ARCHITECTURE.md and the one in `src/lib.rs` are the same.
#[test]
fn the_map_of_architecture_is_that_of_the_program() {
    let text = sources::read("ARCHITECTURE.md");
    let (_, map) = text.split_once("## The map").unwrap();
    let (map, _) = map.split_once("```\n\n").unwrap();
    let entry = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.parse::<usize>().ok()?, words.next()?.to_owned()))
    };
    let mut drawn: Vec<(usize, String)> = map.lines().filter_map(entry).collect();
    drawn.sort();
    let floors = crate::floors::floors().into_iter().enumerate();
    let mut built: Vec<(usize, String)> =
        floors.flat_map(|(floor, modules)| modules.into_iter().map(move |module| (floor, module))).collect();
    built.sort();
    assert_eq!(drawn, built);
}
