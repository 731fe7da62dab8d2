//! A configuration file as `ha check` looks at it.

use std::{
    fs, iter,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User};

use crate::{
    cli::{CONFIG, DAEMON},
    config::{self, Config, Facts, Loaded, Notify, Problem, Problems, Severity},
    daemon::{SECRET_TODO, guarded, read_keys},
    probe::{Trust, program_objection, user_objection},
};

/// The programs of an instance or a group that would not be started here.
fn objections<'a>(name: &'a str, notify: &'a Notify) -> impl Iterator<Item = Problem> + 'a {
    let named = |(key, argv): (&'static str, &[String])| argv.first().map(|program| (key, program.clone()));
    let nobody = notify.user.as_deref().and_then(user_objection).map(|objection| {
        let what = format!("{name}: notify.user: no program of it would be started on this machine: {objection}");
        Problem::anywhere(Severity::Warning, what, "write one that is here; arguments of a program stand in its list")
    });
    nobody.into_iter().chain(notify.all().filter_map(named).filter_map(move |(key, program)| {
        let objection = program_objection(Path::new(&program))?;
        let what = format!("{name}: notify.{key} would not be started on this machine: {objection}");
        let todo = "the program must be there, it and every directory on the way root's and writable by nobody else";
        Some(Problem::anywhere(Severity::Warning, what, todo))
    }))
}

/// Says to root, who can read everything, which secret the daemon cannot: it becomes this user, or the unit has made it `ha`.
fn closed_to_the_daemon(path: &Path, config: &Config) -> Option<Problem> {
    if !Uid::effective().is_root() {
        return None;
    }
    let by_the_unit = (path == Path::new(CONFIG)).then_some(DAEMON);
    let name = config.privileges.user.as_deref().or(by_the_unit)?;
    let user = User::from_name(name).ok()??;
    let directory = &config.permits.secrets_dir;
    let files = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    let others = |path: &PathBuf| {
        // A directory may be open to the daemon's group; a secret is nobody's but its owner's.
        let readable = |it: &fs::Metadata| if it.is_dir() { 0o055 } else { 0o005 } & it.mode() != 0;
        fs::metadata(path).is_ok_and(|it| it.uid() != user.uid.as_raw() && !readable(&it))
    };
    let closed = iter::once(directory.clone()).chain(files).find(others)?;
    let what = format!("{} is another user's: the daemon runs as {name}, who cannot read it", closed.display());
    Some(Problem::anywhere(Severity::Warning, what, format!("sudo chown -R {name}: {}", directory.display())))
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
            // The daemon judges the file before it knows as whom it is going to work.
            loaded.warnings.extend(guarded::distrust(path));
            Trust::judge_for(loaded.config.privileges.user.as_deref().unwrap_or(DAEMON));
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
            loaded.warnings.extend(closed_to_the_daemon(path, &loaded.config));
        }
        Self { path: path.to_owned(), loaded }
    }

    /// What it says, if it can be used.
    pub(super) fn config(&self) -> Option<&Config> {
        self.loaded.as_ref().ok().map(|loaded| &loaded.config)
    }

    /// Programs of an instance or a group run as another user.
    pub(super) fn becomes_others(&self) -> bool {
        let config = self.config();
        let instances = config.into_iter().flat_map(|config| config.instances.iter().map(|it| &it.notify));
        let groups = config.into_iter().flat_map(|config| config.groups.iter().map(|it| &it.notify));
        instances.chain(groups).any(|notify| notify.user.is_some())
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

    /// What it says of this machine as if it were another one. A file that is looked at beside another one is of another machine.
    pub(super) fn own_peers(&self, facts: &Facts) -> Vec<Problem> {
        self.loaded.as_ref().map_or_else(|_| Vec::new(), |loaded| config::own_peers(&loaded.config, facts))
    }

    /// What it comes to, beside the other half of the pair if that is known.
    pub(super) fn description(&self, other: Option<&Self>) -> String {
        let other = other.and_then(|other| other.loaded.as_ref().ok()).map(|other| &other.config);
        self.loaded.as_ref().map_or_else(|_| String::new(), |loaded| config::describe(&loaded.config, other))
    }
}
