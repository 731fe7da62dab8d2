//! Where the configuration comes from: a file of `ha`, or one of keepalived, which is imported at the start and at each
//! reload.
//!
//! What was imported lies in a directory of its own as if `ha import` had written it there: policies change by themselves
//! when the import has changed them, and `ha check` and `ha status` find a file to read. A file of keepalived that cannot be
//! imported changes nothing there.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::{guarded, keepalived, networks::Part, regular};
use crate::{
    config::{self, Config, Facts, Netns, Problems},
    import::{Import, Output},
    policy::sources::sha256_of,
};

/// Where everything of a daemon lies that runs from a file of keepalived, unless told otherwise.
const IMPORTED: &str = "/var/lib/ha/keepalived";

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file of `ha`.
    Own(PathBuf),
    /// A file of `ha`, and of it only what is done in this network, by a process that another one started for that.
    Part(Part),
    /// A file of keepalived.
    Keepalived(Keepalived),
}

/// A file of keepalived, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keepalived {
    /// The file.
    pub file: PathBuf,
    /// What lines that begin with `@ID` are for; else the short name of this machine.
    pub id: Option<String>,
    /// Where the imported files, the state and the control socket lie; else in the usual places.
    pub directory: Option<PathBuf>,
}

impl Origin {
    /// The configuration, in `ha`'s own words.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Own(path) => path.clone(),
            Self::Part(part) => part.file.clone(),
            Self::Keepalived(keepalived) => keepalived.imported().join("ha.toml"),
        }
    }

    /// The network whose instances are meant; `None`: the daemon's own.
    pub(super) fn network(&self) -> Option<&Netns> {
        match self {
            Self::Part(part) => Some(&part.network),
            Self::Own(_) | Self::Keepalived(_) => None,
        }
    }

    /// What this process does of a configuration. There may be no instance in it.
    pub(super) fn part_of(&self, whole: &Config) -> Config {
        let mut config = whole.part(self.network());
        if let Self::Part(part) = self {
            // A file may name other places by now.
            config.control.clone_from(&part.control);
        }
        config
    }

    /// The directory that it writes at each reload, if any.
    pub(super) fn writes(&self) -> Option<PathBuf> {
        match self {
            Self::Own(_) | Self::Part(..) => None,
            Self::Keepalived(keepalived) => Some(keepalived.imported()),
        }
    }

    /// Sees to it that there is the newest at [`path`](Self::path), if somebody still waits for it when it is known.
    ///
    /// # Errors
    /// The file of keepalived cannot be read or imported, or what came of it not be written: nothing has changed.
    pub(super) fn refresh(&self, is_awaited: &dyn Fn() -> bool) -> Result<(), Problems> {
        match self {
            Self::Own(_) | Self::Part(..) => Ok(()),
            Self::Keepalived(keepalived) => keepalived.refresh(is_awaited),
        }
    }

    /// Whether something else would be read now than what runs, which has this hash, or nothing could be.
    pub(super) fn differs(&self, running: &str) -> bool {
        match self {
            Self::Own(path) | Self::Part(Part { file: path, .. }) => {
                config::text_of(path, regular::open).map_or(true, |text| sha256_of(text.as_bytes()) != running)
            }
            Self::Keepalived(keepalived) => keepalived.differs(running),
        }
    }
}

impl Keepalived {
    fn imported(&self) -> PathBuf {
        self.directory.as_ref().map_or_else(|| PathBuf::from(IMPORTED), |directory| directory.join("imported"))
    }

    fn refused(&self, what: String, todo: &str) -> Problems {
        Problems::unreadable(self.file.clone(), what, todo)
    }

    /// What it comes to. What others could have written decides nothing, neither the file nor what it includes.
    fn import(&self) -> Result<Vec<Output>, Problems> {
        guarded::refuse(&self.file)?;
        let imported = keepalived::import_guarded(&self.file, self.id.as_deref());
        let imported = imported.map_err(|why| {
            self.refused(format!("{} {why}", self.file.display()), "check the path and who may read it")
        })?;
        if imported.is_refused() {
            let what = format!("{} cannot be imported as it is:\n{}", self.file.display(), imported.refusals());
            return Err(self.refused(what, "mend these lines; `ha import --explain` shows every line"));
        }
        Ok(self.placed(imported))
    }

    /// With the control socket and the state where they are wanted.
    fn placed(&self, imported: Import) -> Vec<Output> {
        let mut outputs = imported.outputs;
        let config = outputs.iter_mut().find(|output| output.path == "ha.toml");
        if let Some((directory, config)) = self.directory.as_ref().zip(config) {
            let place = |name: &str| toml::Value::String(directory.join(name).to_string_lossy().into_owned());
            let (socket, state_dir) = (place("ha.sock"), place("state"));
            config.text.push_str(&format!("\n[control]\nsocket = {socket}\nstate_dir = {state_dir}\n"));
        }
        outputs
    }

    /// A password and a check are in files of their own, which were written when this was read.
    fn differs(&self, running: &str) -> bool {
        let Ok(outputs) = self.import() else { return true };
        let is_new = |output: &Output| match output.path.as_str() {
            "ha.toml" => sha256_of(output.text.as_bytes()) != running,
            path => !is_written(&self.imported().join(path), &output.text),
        };
        outputs.iter().any(is_new)
    }

    fn refresh(&self, is_awaited: &dyn Fn() -> bool) -> Result<(), Problems> {
        let outputs = self.import()?;
        if !is_awaited() {
            let what = format!("{} was read too late: nobody waits for it any more", self.file.display());
            return Err(self.refused(what, "reload again"));
        }
        let directory = self.imported();
        if let Some(text) = outputs.iter().find(|output| output.path == "ha.toml").map(|output| &output.text) {
            config::parse(text, &directory.join("ha.toml"), &Facts::default())?;
        }
        write(&directory, &outputs).map_err(|error| {
            let what = format!("what was imported cannot be written to {}: {error}", directory.display());
            self.refused(what, "check who may write there")
        })
    }
}

/// The configuration last: what it names is there by then. What is not named any more goes.
fn write(directory: &Path, outputs: &[Output]) -> io::Result<()> {
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    for part in ["policies", "secrets"] {
        let part = directory.join(part);
        make(&part)?;
        let wanted: BTreeSet<PathBuf> = outputs.iter().map(|output| directory.join(&output.path)).collect();
        for entry in fs::read_dir(&part)?.flatten().filter(|entry| !wanted.contains(&entry.path())) {
            fs::remove_file(entry.path())?;
        }
    }
    let (configuration, others): (Vec<&Output>, Vec<&Output>) =
        outputs.iter().partition(|output| output.path == "ha.toml");
    for output in others.into_iter().chain(configuration) {
        replace(&directory.join(&output.path), &output.text)?;
    }
    Ok(())
}

/// Only if it differs: a file that is written anew is looked at anew.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if is_written(path, text) {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn is_written(path: &Path, text: &str) -> bool {
    regular::open(path).and_then(io::read_to_string).is_ok_and(|there| there == text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const PAIR: &str = "vrrp_script web {\n script \"/usr/bin/curl -f http://127.0.0.1/\"\n}\nvrrp_instance VI_1 {\n interface eth0\n \
                        virtual_router_id 51\n priority 100\n virtual_ipaddress {\n  192.168.0.60/24\n }\n track_script {\n  web\n }\n}\n";

    fn origin(directory: &Path, text: &str) -> Origin {
        let file = directory.join("keepalived.conf");
        fs::write(&file, text).unwrap();
        Origin::Keepalived(Keepalived { file, id: None, directory: Some(directory.join("run")) })
    }

    fn policies(origin: &Origin) -> Vec<String> {
        let entries = fs::read_dir(origin.path().with_file_name("policies")).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_imported_is_there_and_its_hash_is_that_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let origin = origin(directory.path(), PAIR);
        origin.refresh(&|| true).unwrap();
        let loaded = config::load(&origin.path()).unwrap();
        assert!(!origin.differs(&loaded.sha256) && origin.differs("another"));
        assert_eq!(loaded.config.control.socket, directory.path().join("run/ha.sock"));
        assert_eq!(policies(&origin).len(), 1);
    }

    #[test]
    fn what_cannot_be_imported_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let good = origin(directory.path(), PAIR);
        good.refresh(&|| true).unwrap();
        let before = config::load(&good.path()).unwrap().sha256;
        let bad = origin(directory.path(), &PAIR.replace("virtual_router_id 51", "virtual_router_id 51\n use_ipvlan"));
        let problems = bad.refresh(&|| true).unwrap_err().to_string();
        assert!(problems.contains("use_ipvlan"), "{problems}");
        assert!(bad.differs(&before));
        assert_eq!(config::load(&bad.path()).unwrap().sha256, before);
    }

    /// Neither is in the configuration itself.
    #[test]
    fn another_password_and_another_check_are_seen_too() {
        let directory = tempfile::tempdir().unwrap();
        let secret = " authentication {\n  auth_type PASS\n  auth_pass 1111\n }\n track_script";
        let pair = PAIR.replace(" track_script", secret);
        let running = origin(directory.path(), &pair);
        running.refresh(&|| true).unwrap();
        let hash = config::load(&running.path()).unwrap().sha256;
        assert!(!running.differs(&hash));
        for (from, to) in [("1111", "2222"), ("127.0.0.1/", "127.0.0.1/health")] {
            assert!(origin(directory.path(), &pair.replace(from, to)).differs(&hash), "{to}");
        }
        assert!(!origin(directory.path(), &pair).differs(&hash));
    }

    /// Whoever can write it decides what is run, by whom.
    #[test]
    fn a_file_that_others_could_have_written_is_refused_and_so_is_what_it_includes() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let included = directory.path().join("more.conf");
        let origin = origin(directory.path(), &format!("include {}\n{PAIR}", included.display()));
        fs::write(&included, "global_defs {\n}\n").unwrap();
        origin.refresh(&|| true).unwrap();
        let hash = config::load(&origin.path()).unwrap().sha256;
        for file in [directory.path().join("keepalived.conf"), included] {
            let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            mode(0o666);
            let problems = origin.refresh(&|| true).unwrap_err().to_string();
            let named = format!("{} is writable by others (mode 0666)", file.display());
            assert!(problems.contains(&named), "{problems}");
            assert!(origin.differs(&hash), "what runs is not what is there");
            mode(0o644);
            origin.refresh(&|| true).unwrap();
        }
    }

    #[test]
    fn what_was_read_too_late_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let origin = origin(directory.path(), PAIR);
        let why = origin.refresh(&|| false).unwrap_err().to_string();
        assert!(why.contains("nobody waits for it any more"), "{why}");
        assert!(!origin.path().exists());
    }

    #[test]
    fn what_is_not_named_any_more_goes() {
        let directory = tempfile::tempdir().unwrap();
        origin(directory.path(), PAIR).refresh(&|| true).unwrap();
        let without = PAIR.replace(" track_script {\n  web\n }\n", "");
        let without = without.split_once("vrrp_instance").map(|(_, rest)| format!("vrrp_instance{rest}")).unwrap();
        let origin = origin(directory.path(), &without);
        origin.refresh(&|| true).unwrap();
        assert_eq!(policies(&origin), Vec::<String>::new());
    }
}
