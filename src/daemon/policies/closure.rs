//! A policy file with the files of every module that it imports, each read as [`source`] reads.

use std::path::{Path, PathBuf};

use super::source::{self, Source, Unreadable};
use crate::{
    policy::{Engine, Sources, Text},
    probe::Trust,
};

/// All texts of a policy, and whether they may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closure {
    /// The policy's own file.
    pub main: Source,
    /// Every text.
    pub sources: Sources,
    /// See [`Sources::sha256`].
    pub sha256: String,
    /// Why one of the files must not be used: somebody else could have written it.
    pub objection: Option<String>,
    /// Every file that was asked for, those that are not there too.
    pub files: Vec<PathBuf>,
    /// Who has the file that was written last, and when it was: uid and seconds since 1970.
    pub written: (u32, i64),
}

/// Reads policy `name` from `directory`, which is absolute; reports call its files as `shown`, which is the same directory
/// as people wrote it.
///
/// # Errors
/// Why there is no text of the policy itself. A module that cannot be read is an error of the policy's text.
pub fn read(engine: &Engine, directory: &Path, shown: &Path, name: &str, trust: &Trust) -> Result<Closure, Unreadable> {
    let main = source::read(directory, name, trust)?;
    let mut files = vec![main.path.clone()];
    let mut objection = main.objection.clone();
    let mut written = (main.owner.0, main.modified);
    let text = Text { file: source::path_of(shown, name).display().to_string(), text: main.text.clone() };
    let sources = Sources::gather(engine, text, |module| {
        files.push(source::path_of(directory, module));
        let found = source::read(directory, module, trust).map_err(|why| why.to_string())?;
        if found.modified > written.1 {
            written = (found.owner.0, found.modified);
        }
        if objection.is_none() {
            objection = found.objection;
        }
        Ok(Text { file: source::path_of(shown, module).display().to_string(), text: found.text })
    });
    let sha256 = sources.sha256();
    Ok(Closure { main, sources, sha256, objection, files, written })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    fn look(base: &Path) -> Closure {
        read(&Engine::new(), base, Path::new("here"), "p", &Trust::of_this_process()).unwrap()
    }

    #[test]
    fn modules_are_read_beneath_the_directory_and_trusted_as_policies_are() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        fs::create_dir(base.join("lib")).unwrap();
        fs::write(base.join("p.rhai"), "import \"lib/a\" as a; import \"lib/b\" as b; fn check() {}").unwrap();
        fs::write(base.join("lib/a.rhai"), "fn a() {}").unwrap();
        fs::write(base.join("secret.rhai"), "").unwrap();
        std::os::unix::fs::symlink(base.join("secret.rhai"), base.join("lib/b.rhai")).unwrap();
        let closure = look(&base);
        assert_eq!(closure.sources.text_of("here/lib/a.rhai"), "fn a() {}");
        let why = closure.sources.modules()["lib/b"].as_ref().unwrap_err();
        assert!(why.contains("leads out of the policy directory"), "{why}");
        assert_eq!(closure.objection, None);
        assert_eq!(closure.files.len(), 3);

        fs::set_permissions(base.join("lib/a.rhai"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(look(&base).objection.unwrap().contains("lib/a.rhai is writable by others"));
    }
}
