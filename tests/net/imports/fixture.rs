//! A fixture of the import, and what it needs of a machine.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use ha::{
    import::{Files, Machine, import},
    lab::Process,
};

use super::{BACKSTAGE, shelf, text};
use crate::stage::Stage;

/// What runs while checks are well: a name, and its arguments.
const PROPS: [(&str, &[&str]); 9] = [
    ("nginx", &[]),
    ("haproxy", &[]),
    ("haproxy", &["the second one"]),
    ("php-fpm", &[]),
    ("sshd", &[]),
    ("a", &[]),
    ("b", &[]),
    ("named", &[]),
    ("python3", &["worker.py", "--all"]),
];

/// A configuration that is imported.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Their names in `ha`.
    pub(super) instances: Vec<String>,
    /// Interfaces that an instance runs on.
    pub(super) own: BTreeSet<String>,
    /// All that it names.
    pub(super) interfaces: BTreeSet<String>,
    /// What instances send from: an interface and its address.
    pub(super) sources: BTreeSet<(String, String)>,
    /// Whom instances send to: an interface and an address on it.
    pub(super) peers: BTreeSet<(String, String)>,
    checks: bool,
}

impl Fixture {
    /// Whether something is looked at that can be well or ill.
    pub(super) fn has_checks(&self) -> bool {
        self.checks
    }
}

/// Those that are not refused, in the order of their names.
pub(super) fn all() -> Vec<Fixture> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "conf")).collect();
    files.sort();
    files.into_iter().filter_map(read).collect()
}

fn read(path: PathBuf) -> Option<Fixture> {
    struct Shelf;
    impl Files for Shelf {
        fn list(&self, directory: &str) -> Vec<String> {
            let entries = fs::read_dir(shelf().join(directory.trim_start_matches('/'))).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
        }
        fn exists(&self, path: &str) -> bool {
            shelf().join(path.trim_start_matches('/')).exists()
        }
        fn read(&self, path: &str) -> Result<String, String> {
            fs::read_to_string(shelf().join(path.trim_start_matches('/'))).map_err(|error| error.to_string())
        }
    }
    let machine = Machine { name: "node1".to_owned(), id: "node1".to_owned() };
    let import = import("keepalived.conf", &text(&path), &machine, &Shelf);
    if import.is_refused() {
        return None;
    }
    let config: toml::Table = import.outputs.first()?.text.parse().unwrap();
    let tables = config["instance"].as_table().unwrap();
    let (mut own, mut sources, mut peers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for instance in tables.values() {
        let interface = instance["interface"].as_str().unwrap().to_owned();
        if let Some(source) = instance.get("source").and_then(toml::Value::as_str) {
            sources.insert((interface.clone(), source.to_owned()));
        }
        let list = instance.get("peers").and_then(toml::Value::as_array).into_iter().flatten();
        peers.extend(list.filter_map(toml::Value::as_str).map(|peer| (interface.clone(), peer.to_owned())));
        own.insert(interface);
    }
    let mut interfaces = own.clone();
    named(&toml::Value::Table(config.clone()), &mut interfaces);
    let groups = config.get("group").and_then(toml::Value::as_table).into_iter().flat_map(toml::Table::values);
    let looks = |table: &toml::Value| table.get("policies").is_some() || table.get("track").is_some();
    Some(Fixture {
        name: path.file_stem().unwrap().to_string_lossy().into_owned(),
        instances: tables.keys().cloned().collect(),
        checks: tables.values().chain(groups).any(looks),
        path,
        own,
        interfaces,
        sources,
        peers,
    })
}

/// Every interface that a table names.
fn named(value: &toml::Value, out: &mut BTreeSet<String>) {
    let toml::Value::Table(table) = value else {
        value.as_array().into_iter().flatten().for_each(|value| named(value, out));
        return;
    };
    for (key, value) in table {
        match (key.as_str(), value) {
            ("interface" | "device", toml::Value::String(name)) => drop(out.insert(name.clone())),
            ("interface", toml::Value::Table(links)) => out.extend(links.keys().cloned()),
            ("interfaces", toml::Value::Array(list)) => {
                out.extend(list.iter().filter_map(toml::Value::as_str).map(str::to_owned));
                named(value, out);
            }
            _ => named(value, out),
        }
    }
}

/// Starts what checks look for: this program, under other names.
pub(super) fn props(stage: &Stage, root: &Path) -> Vec<Process> {
    let directory = root.join("props");
    fs::create_dir_all(&directory).unwrap();
    let start = |(name, arguments): &(&str, &[&str])| {
        let path = directory.join(name);
        let _ = symlink(std::env::current_exe().unwrap(), &path);
        let first = [format!("{}=1", crate::PROP), path.display().to_string()];
        let all: Vec<String> = first.into_iter().chain(arguments.iter().map(|one| (*one).to_owned())).collect();
        Process::start(stage.world.netns(BACKSTAGE), Path::new("/usr/bin/env"), &all, &directory.join("log")).unwrap()
    };
    PROPS.iter().map(start).collect()
}
