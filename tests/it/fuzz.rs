//! What the fuzz targets do, so many times on every test run: with their seeds, and with seeds that were damaged.
//!
//! `HA_DAMAGE=5000 cargo test --test it fuzz` tries more; a failure prints the input, which is all there is to it. The same
//! with a fuzzer's imagination is `fuzz/run`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test's own machinery")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use crate::{damage::damaged, sources::root};

#[path = "../../fuzz/bodies/config.rs"]
mod config;
#[path = "../../fuzz/bodies/control.rs"]
mod control;
#[path = "../../fuzz/bodies/import.rs"]
mod import;
#[path = "../../fuzz/bodies/netlink.rs"]
mod netlink;
#[path = "../../fuzz/bodies/packet.rs"]
mod packet;
#[path = "../../fuzz/bodies/policy.rs"]
mod policy;

/// The files below some directories, with one of these endings; any ending where none is named.
fn seeds(directories: &[&str], endings: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut directories: Vec<PathBuf> = directories.iter().map(|name| root().join(name)).collect();
    let mut paths = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap().flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if endings.is_empty() || endings.contains(&ending.as_str()) {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "no seeds");
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Each seed as it is, and damaged so often.
fn run(body: fn(&[u8]), seeds: &[(PathBuf, Vec<u8>)], times: u64) {
    let times = std::env::var("HA_DAMAGE").ok().and_then(|set| set.parse().ok()).unwrap_or(times);
    for (path, seed) in seeds {
        attempt(body, path, 0, seed);
        for number in 1..=times {
            attempt(body, path, number, &damaged(seed, number));
        }
    }
}

fn attempt(body: fn(&[u8]), path: &Path, number: u64, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| body(input))).is_err() {
        panic!("{}, damage {number}:\n{}\n{input:?}", path.display(), String::from_utf8_lossy(input));
    }
}

#[test]
fn whatever_arrives_from_the_network() {
    run(packet::run, &seeds(&["fuzz/seeds/packet"], &[]), 2000);
}

#[test]
fn whatever_arrives_from_the_kernel() {
    run(netlink::run, &seeds(&["fuzz/seeds/netlink"], &[]), 2000);
}

#[test]
fn whatever_arrives_at_the_control_socket() {
    run(control::run, &seeds(&["fuzz/seeds/control"], &[]), 100);
}

#[test]
fn whatever_is_in_a_configuration() {
    run(config::run, &seeds(&["config", "examples"], &["toml"]), 20);
}

#[test]
fn whatever_is_in_a_configuration_of_keepalived() {
    run(import::run, &seeds(&["tests/import"], &["conf"]), 5);
}

#[test]
fn whatever_is_in_a_policy() {
    run(policy::run, &seeds(&["scripts", "examples", "src/policy/std"], &["rhai"]), 30);
}
