//! A configuration file as `ha check` looks at it.

use std::path::{Path, PathBuf};

use crate::{
    config::{self, Config, Facts, Loaded, Notify, Problem, Problems, Severity},
    daemon::{SECRET_TODO, guarded, read_keys},
    probe::program_objection,
};

/// The programs of an instance or a group that would not be started here.
fn objections<'a>(name: &'a str, notify: &'a Notify) -> impl Iterator<Item = Problem> + 'a {
    let named = |(key, argv): (&'static str, &[String])| argv.first().map(|program| (key, program.clone()));
    notify.all().filter_map(named).filter_map(move |(key, program)| {
        let objection = program_objection(Path::new(&program))?;
        let what = format!("{name}: notify.{key} would not be started on this machine: {objection}");
        let todo = "the program must be there, it and every directory on the way root's and writable by nobody else";
        Some(Problem::anywhere(Severity::Warning, what, todo))
    })
}

/// A file that was looked at.
#[derive(Debug)]
pub(super) struct ConfigurationFile {
    pub(super) path: PathBuf,
    pub(super) loaded: Result<Loaded, Problems>,
}

impl ConfigurationFile {
    pub(super) fn examine(path: &Path, facts: &Facts) -> Self {
        let mut loaded = config::load_with(path, facts).map_err(|problems| problems.with_outcome("it cannot be used"));
        if let Ok(loaded) = &mut loaded {
            // Whoever checks need not be who may read them.
            if let Err(errors) = read_keys(&mut loaded.config) {
                let warn = |why| Problem::anywhere(Severity::Warning, why, SECRET_TODO);
                loaded.warnings.extend(errors.into_iter().map(warn));
            }
            let unsafe_ones = {
                let instances = loaded.config.instances.iter().flat_map(|it| objections(&it.name, &it.notify));
                let groups = loaded.config.groups.iter().flat_map(|it| objections(&it.name, &it.notify));
                instances.chain(groups).collect::<Vec<_>>()
            };
            loaded.warnings.extend(unsafe_ones);
            loaded.warnings.extend(guarded::distrust(path));
        }
        Self { path: path.to_owned(), loaded }
    }

    /// What it says, if it can be used.
    pub(super) fn config(&self) -> Option<&Config> {
        self.loaded.as_ref().ok().map(|loaded| &loaded.config)
    }

    /// The files of the policies that it names.
    pub(super) fn policies(&self) -> Vec<PathBuf> {
        let Ok(Loaded { config, .. }) = &self.loaded else { return Vec::new() };
        let names = config.instances.iter().flat_map(|instance| &instance.policies);
        names.map(|name| config.policy_dir.join(format!("{name}.rhai"))).collect()
    }

    /// What does not fit between the two halves of a pair.
    pub(super) fn compare(&self, other: &Self) -> Vec<Problem> {
        match (&self.loaded, &other.loaded) {
            (Ok(one), Ok(other)) => config::compare(&one.config, &other.config),
            _ => Vec::new(),
        }
    }

    /// What it comes to, beside the other half of the pair if that is known.
    pub(super) fn description(&self, other: Option<&Self>) -> String {
        let other = other.and_then(|other| other.loaded.as_ref().ok()).map(|other| &other.config);
        self.loaded.as_ref().map_or_else(|_| String::new(), |loaded| config::describe(&loaded.config, other))
    }
}
