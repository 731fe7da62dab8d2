//! The shape of the program: who may know whom, and what the floors that decide must not do.
//!
//! The floors are the paragraphs of `src/lib.rs`, from the ground up. A module uses only modules of lower paragraphs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's own machinery")]

use crate::sources::{self, Source, find_words};

/// Up to and with this floor everything is pure: bytes and time come in as arguments, wanted effects go out as values.
const HIGHEST_PURE: &str = "sim";

/// What nothing on a pure floor may name, and which part of the promise it would break.
const IMPURE: [(&str, &str); 33] = [
    ("Instant::now", "reads a clock"),
    ("SystemTime", "reads a clock"),
    ("UNIX_EPOCH", "reads a clock"),
    ("sleep", "waits"),
    ("fs", "does I/O"),
    ("stdin", "does I/O"),
    ("stdout", "does I/O"),
    ("stderr", "does I/O"),
    ("println", "does I/O"),
    ("eprintln", "does I/O"),
    ("dbg", "does I/O"),
    ("env", "reads its surroundings"),
    ("TcpStream", "does I/O"),
    ("TcpListener", "does I/O"),
    ("UdpSocket", "does I/O"),
    ("UnixStream", "does I/O"),
    ("UnixListener", "does I/O"),
    ("ToSocketAddrs", "asks a resolver"),
    ("Command::new", "starts processes"),
    ("thread", "starts threads"),
    ("async", "needs a runtime"),
    ("await", "needs a runtime"),
    ("Mutex", "locks"),
    ("RwLock", "locks"),
    ("Condvar", "locks"),
    ("OnceLock", "is shared state"),
    ("LazyLock", "is shared state"),
    ("thread_local", "is shared state"),
    ("channel", "talks to threads"),
    ("sync_channel", "talks to threads"),
    ("HashMap", "iterates in an order that nobody chose"),
    ("HashSet", "iterates in an order that nobody chose"),
    ("RandomState", "draws randomness"),
];

/// Where one of them is right all the same, and why.
const EXCEPTIONS: [(&str, &str, &str); 9] = [
    ("src/config/file.rs", "fs", "reads the one file that it then judges; everything after that is text"),
    ("src/policy/bounds.rs", "thread_local", "the bounds of the evaluation that this thread is in, and what it holds"),
    ("src/policy/modules.rs", "thread_local", "what the evaluation that this thread is in may import"),
    ("src/policy/evaluation.rs", "Mutex", "the script engine's functions share what they note; one thread uses it"),
    ("src/policy/hook.rs", "Mutex", "what a hook has done, noted by the script engine's functions; one thread uses it"),
    ("src/policy/job.rs", "Mutex", "the outcome of a probe, which arrives from the probe's own thread"),
    ("src/policy/fake.rs", "Mutex", "the answers that a test of a policy sets while it runs"),
    ("src/policy/fake.rs", "sync_channel", "answers through the seam of the real probes, at once"),
    ("src/policy/rehearsal.rs", "Mutex", "the stage and the clock of a test of a policy"),
];

/// What another crate may do for a pure module. Nothing else than these.
const CRATES: [(&str, &[&str]); 9] = [
    ("words", &[]),
    ("health", &[]),
    ("wire", &["hmac", "sha2"]),
    ("policy", &["annotate_snippets", "regex_lite", "rhai", "serde_json", "sha2"]),
    ("vrrp", &[]),
    ("config", &["annotate_snippets", "humantime", "ipnet", "lettre", "sha2", "toml"]),
    ("import", &["ipnet"]),
    ("node", &["ipnet"]),
    ("sim", &["ipnet"]),
];

/// The modules of each floor, as `src/lib.rs` has them.
pub(crate) fn floors() -> Vec<Vec<String>> {
    let map = sources::read("src/lib.rs");
    map.split("\n\n")
        .map(|paragraph| paragraph.lines().filter_map(|line| line.strip_prefix("pub mod ")).collect::<Vec<_>>())
        .filter(|floor| !floor.is_empty())
        .map(|floor| floor.into_iter().map(|module| module.trim_end_matches(';').to_owned()).collect())
        .collect()
}

fn floor_of(floors: &[Vec<String>], module: &str) -> usize {
    let floor = floors.iter().position(|floor| floor.iter().any(|known| known == module));
    floor.unwrap_or_else(|| panic!("src/lib.rs does not have the module {module}"))
}

/// The modules of this crate that a file names, each with its place in the code.
fn known_by(source: &Source) -> Vec<(usize, String)> {
    let mut known = Vec::new();
    for at in find_words(&source.code, "crate") {
        let Some(rest) = source.code[at..].strip_prefix("crate::") else { continue };
        match rest.strip_prefix('{') {
            Some(list) => known.extend(top_names(list).into_iter().map(|name| (at, name))),
            None => known.push((at, first_word(rest))),
        }
    }
    known
}

/// The first word of each entry of a list in braces that is already open.
fn top_names(list: &str) -> Vec<String> {
    let (mut names, mut depth, mut begins) = (Vec::new(), 1, true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => begins = true,
            _ if begins && character.is_ascii_lowercase() => {
                names.push(first_word(&list[at..]));
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '_').collect()
}

/// How often `super::` is repeated at the most.
fn climbs(code: &str) -> usize {
    let chain = |at: usize| {
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, steps) = (next, steps + 1);
        }
        steps
    };
    find_words(code, "super").into_iter().map(chain).max().unwrap_or(0)
}

/// The files of the floors that decide.
fn pure_sources() -> impl Iterator<Item = &'static Source> {
    let floors = floors();
    let highest = floor_of(&floors, HIGHEST_PURE);
    sources::program()
        .iter()
        .filter(move |source| source.module().is_some_and(|module| floor_of(&floors, module) <= highest))
}

#[test]
fn the_map_has_every_module_and_every_module_is_there() {
    let floors = floors();
    let mut mapped: Vec<String> = floors.concat();
    mapped.sort();
    let mut present: Vec<String> =
        sources::program().iter().filter_map(|source| source.module().map(ToOwned::to_owned)).collect();
    present.dedup();
    assert_eq!(mapped, present);
    assert_eq!(floors.len(), 9, "{floors:?}");
}

#[test]
fn a_floor_uses_only_floors_below_it() {
    let floors = floors();
    let mut arrows = 0;
    for source in sources::program() {
        let Some(module) = source.module() else { continue };
        for (at, known) in known_by(source) {
            let (own, other) = (floor_of(&floors, module), floor_of(&floors, &known));
            let place = source.place(at);
            assert!(
                known == module || other < own,
                "{place}: {module} (floor {own}) must not know {known} (floor {other})"
            );
            arrows += usize::from(known != module);
        }
    }
    assert!(arrows > 100, "only {arrows} arrows were found: this test reads the code wrongly");
}

#[test]
fn nobody_climbs_out_of_a_module() {
    for source in sources::program() {
        let Some(module) = source.module() else { continue };
        let inside = source.path.trim_end_matches("/mod.rs").trim_end_matches(".rs");
        let depth = inside.split('/').count() - 2;
        assert!(climbs(source.product()) <= depth, "{}: climbs out of {module} with super::", source.path);
    }
}

#[test]
fn the_floors_that_decide_are_pure() {
    let mut needless: Vec<_> = EXCEPTIONS.to_vec();
    for source in pure_sources() {
        for (word, why) in IMPURE {
            let places = source.places_of(source.product(), word);
            if EXCEPTIONS.iter().any(|(path, excepted, _)| *path == source.path && *excepted == word) {
                needless
                    .retain(|(path, excepted, _)| !(*path == source.path && *excepted == word && !places.is_empty()));
                continue;
            }
            assert!(places.is_empty(), "{word} {why}, and {HIGHEST_PURE} and below are pure: {places:?}");
        }
    }
    assert!(needless.is_empty(), "no longer needed: {needless:?}");
}

#[test]
fn the_floors_that_decide_use_few_crates_and_none_that_acts() {
    let ours = dependencies();
    for source in pure_sources() {
        let module = source.module().unwrap();
        let (_, permitted) = CRATES.iter().find(|(name, _)| *name == module).unwrap();
        for dependency in &ours {
            let is_used = uses(source.product(), dependency);
            assert!(
                !is_used || permitted.contains(&dependency.as_str()),
                "{}: {module} uses {dependency}",
                source.path
            );
        }
    }
}

/// Who starts processes besides the lab, which is made of them, and which. "Checks start none" but for a program that
/// `allow_exec` lists.
const STARTERS: [(&str, &str); 3] = [
    ("src/daemon/keeper.rs", "the keeper"),
    ("src/daemon/networks/warden.rs", "this program, in another network"),
    ("src/probe/exec.rs", "a program that the configuration lists"),
];

#[test]
fn only_the_keeper_the_lab_and_exec_start_processes() {
    for source in sources::program() {
        if STARTERS.iter().any(|(path, _)| *path == source.path) || source.module() == Some("lab") {
            continue;
        }
        let places = source.places_of(source.product(), "Command::new");
        assert!(places.is_empty(), "starts a process: {places:?}");
    }
}

/// A queue without a bound turns a slow reader into a machine without memory.
#[test]
fn every_queue_of_the_daemon_is_bounded() {
    for source in sources::program().iter().filter(|source| source.module() != Some("lab")) {
        let code = source.product();
        // One that carries a single answer needs no bound.
        let unbounded = |at: &usize| {
            let single = code[..*at].ends_with("oneshot::");
            let rest = &code[at + "channel".len()..];
            let without_bound = rest
                .trim_start_matches("::")
                .split_once('(')
                .is_some_and(|(of, rest)| (of.is_empty() || of.starts_with('<')) && rest.starts_with(')'));
            without_bound && !single
        };
        let mut places = source.places_of(code, "unbounded_channel");
        places.extend(find_words(code, "channel").iter().filter(|at| unbounded(at)).map(|at| source.place(*at)));
        assert!(places.is_empty(), "an unbounded queue: {places:?}");
    }
}

/// The crates of Cargo.toml, as code names them.
pub(crate) fn dependencies() -> Vec<String> {
    let manifest: toml::Table = sources::read("Cargo.toml").parse().unwrap();
    let names = |table: &str| manifest[table].as_table().unwrap().keys().map(|name| name.replace('-', "_")).collect();
    let (mut all, of_tests): (Vec<String>, Vec<String>) = (names("dependencies"), names("dev-dependencies"));
    all.extend(of_tests);
    all.sort();
    all.dedup();
    all
}

/// Whether code names a crate.
pub(crate) fn uses(code: &str, dependency: &str) -> bool {
    find_words(code, dependency).into_iter().any(|at| {
        code[at + dependency.len()..].starts_with("::")
            || code[..at].trim_end().ends_with("use") && code[at + dependency.len()..].starts_with(';')
    })
}

#[test]
fn a_list_of_names_is_read() {
    let list =
        "\n    config::{Claim as Mode, vrrp::x},\n    vrrp::Event,\n    words::{Family, Instant},\n};\nuse crate::lab;";
    assert_eq!(top_names(list), ["config", "vrrp", "words"]);
    assert_eq!(climbs("use super::{a, super::super::b}; super::c"), 2);
}
