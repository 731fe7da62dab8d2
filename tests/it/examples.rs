//! What comes along. Every policy is checked strictly and passes its own tests, by the commands an operator would type; every
//! module of `std/` is imported by one of them; and the two halves of each deployment fit together, with their policies.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test's own machinery")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ha::policy::sources::standard_modules;

/// `scripts/` and `examples/policies/`, as paths from the root of the project.
fn policies() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["scripts", "examples/policies"]
        .into_iter()
        .flat_map(|directory| fs::read_dir(crate::sources::root().join(directory)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rhai"))
        .collect();
    files.sort();
    assert!(files.len() > 10, "{files:?}");
    files
}

fn succeeds(arguments: &[&str], file: &PathBuf) {
    let output = Command::new(env!("CARGO_BIN_EXE_ha")).args(arguments).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "ha {arguments:?} {}:\n{said}", file.display());
}

#[test]
fn every_policy_that_comes_along_is_clean_even_strictly() {
    policies().iter().for_each(|file| succeeds(&["check", "--strict"], file));
}

#[test]
fn every_policy_that_comes_along_passes_its_tests() {
    policies().iter().for_each(|file| succeeds(&["test"], file));
}

/// Policies that are not healthy where every probe says no more than that it is ok.
const NOT_WELL_BY_THEMSELVES: [(&str, &str); 2] = [
    ("alone", "its flag file is there, which is maintenance"),
    ("haproxy", "the answer of the socket must name backends"),
];

#[test]
fn every_rule_that_comes_along_falls_and_comes_back() {
    let is_excepted = |file: &&PathBuf| {
        NOT_WELL_BY_THEMSELVES.iter().any(|(name, _)| file.file_stem().is_some_and(|stem| stem == *name))
    };
    let files = policies();
    assert_eq!(files.iter().filter(is_excepted).count(), NOT_WELL_BY_THEMSELVES.len());
    files.iter().filter(|file| !is_excepted(file)).for_each(|file| succeeds(&["test", "--auto"], file));
}

#[test]
fn every_module_that_comes_along_has_an_example() {
    let texts: Vec<String> = policies().iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let lines: BTreeSet<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    for (module, _) in standard_modules() {
        let import = format!("import \"{module}\" as");
        assert!(lines.iter().any(|line| line.starts_with(&import)), "no example imports {module}");
    }
}

/// The folders of `examples/` that show a deployment.
fn deployments() -> Vec<PathBuf> {
    let entries = fs::read_dir(crate::sources::root().join("examples")).unwrap();
    let folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut folders: Vec<PathBuf> = folders.filter(|path| !path.ends_with("policies")).collect();
    folders.sort();
    assert!(folders.len() >= 9, "{folders:?}");
    folders
}

#[test]
fn both_halves_of_every_deployment_are_clean_and_fit_together() {
    for folder in deployments() {
        let (one, other) = (folder.join("node1.toml"), folder.join("node2.toml"));
        let half = other.to_str().unwrap();
        // One that is being migrated has keepalived's file on node1.
        let arguments = if one.exists() { vec!["check", "--strict", half] } else { vec!["check", "--strict"] };
        succeeds(&arguments, if one.exists() { &one } else { &other });
        for policy in fs::read_dir(folder.join("policies")).unwrap() {
            succeeds(&["test"], &policy.unwrap().path());
        }
    }
}

/// What node1 runs is what node2 expects of its peer.
#[test]
fn a_pair_in_the_middle_of_its_migration_fits_together() {
    let folder = crate::sources::root().join("examples/migration");
    let imported = tempfile::tempdir().unwrap();
    let directory = imported.path().join("node1");
    succeeds(&["import", "-o", directory.to_str().unwrap()], &folder.join("node1.conf"));
    let load = |path: PathBuf| ha::config::load(&path).unwrap().config;
    let (one, other) = (load(directory.join("ha.toml")), load(folder.join("node2.toml")));
    let errors: Vec<String> = ha::config::compare(&one, &other)
        .iter()
        .filter(|problem| problem.severity() == ha::config::Severity::Error)
        .map(|problem| problem.what().to_owned())
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

/// Apart from what stands in its first comment: the peer, and where the password is.
#[test]
fn node2_of_the_migration_is_what_an_import_of_its_own_file_came_to() {
    let folder = crate::sources::root().join("examples/migration");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("node2");
    succeeds(&["import", "-o", out.to_str().unwrap()], &folder.join("node2.conf"));
    let load = |path: PathBuf| ha::config::load(&path).unwrap().config;
    let (mut imported, ours) = (load(out.join("ha.toml")), load(folder.join("node2.toml")));
    let password = fs::read_to_string(out.join("secrets/vrrp_VI_1")).unwrap();
    imported.read_passwords(|_| Ok(password.clone())).unwrap();
    assert_eq!(imported.instances.len(), ours.instances.len());
    for (imported, ours) in imported.instances.iter_mut().zip(&ours.instances) {
        imported.peers.clone_from(&ours.peers);
    }
    assert_eq!((imported.node, imported.instances), (ours.node, ours.instances));
    let policy = |folder: &Path| fs::read_to_string(folder.join("policies/chk_web.rhai")).unwrap();
    let (imported, ours) = (policy(&out), policy(&folder));
    assert!(ours.starts_with(&imported), "{imported}");
}
