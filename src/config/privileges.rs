//! `[privileges]`: what the daemon denies itself.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    Config,
    error::Findings,
    raw::Texts,
    table::{Table, Written},
};

/// As meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Privileges {
    /// Whom root becomes; none: whoever started it.
    pub user: Option<String>,
    /// Capabilities that it keeps beside those it needs itself, for policies: `CAP_SYS_PTRACE`.
    pub capabilities: Vec<String>,
    /// Writing, starting programs and system calls are limited to what the daemon needs.
    pub confine: bool,
    /// Where it may write beside its own directories; absolute.
    pub writable: Vec<PathBuf>,
}

impl Default for Privileges {
    fn default() -> Self {
        Self { user: None, capabilities: Vec::new(), confine: true, writable: Vec::new() }
    }
}

impl Config {
    /// The programs that this configuration lets the daemon start; each once.
    #[must_use]
    pub fn programs(&self) -> BTreeSet<&Path> {
        let of_groups = self.groups.iter().flat_map(|group| group.notify.all());
        let told = self.instances.iter().flat_map(|instance| instance.notify.all()).chain(of_groups);
        let told = told.filter_map(|(_, argv)| argv.first()).map(|program| Path::new(program.as_str()));
        told.chain(self.permits.allow_exec.iter().map(PathBuf::as_path)).collect()
    }
}

/// As written.
#[derive(Debug)]
pub(super) struct RawPrivileges {
    user: Written<String>,
    capabilities: Written<Texts>,
    confine: Written<bool>,
    writable: Written<Texts>,
}

impl RawPrivileges {
    pub(super) fn read(table: &mut Table<'_>, out: &mut Findings) -> Self {
        Self {
            user: table.text("user", out),
            capabilities: table.texts("capabilities", out),
            confine: table.flag("confine", out),
            writable: table.texts("writable", out),
        }
    }
}

/// Reads it; relative paths are relative to `base`.
pub(super) fn resolve(raw: &RawPrivileges, base: &Path, out: &mut Findings) -> Privileges {
    let user = raw.user.given().map(|(user, span)| {
        if user.is_empty() || user.contains([':', '\0', '/']) || user.chars().any(char::is_whitespace) {
            out.error(span, "user is not the name of a user", "write user = \"ha\", a name of /etc/passwd");
        }
        user.clone()
    });
    let mut capabilities = Vec::new();
    for name in raw.capabilities.given().map(|(names, _)| names.as_slice()).unwrap_or_default() {
        let is_one = name.get_ref().strip_prefix("CAP_").is_some_and(|rest| {
            !rest.is_empty() && rest.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        });
        if !is_one {
            let todo = "write capabilities = [\"CAP_SYS_PTRACE\"], names of capabilities(7); `ha check` says which policies need";
            out.error(name.span(), format!("\"{}\" is not the name of a capability", name.get_ref()), todo);
        }
        capabilities.push(name.get_ref().clone());
    }
    let confine = raw.confine.given().is_none_or(|(flag, _)| *flag);
    let mut writable = Vec::new();
    if let Some((paths, span)) = raw.writable.given() {
        if !confine && !paths.is_empty() {
            out.warning(
                span,
                "writable means nothing with confine = false",
                "remove one of the two: without confinement ha may write wherever its user may",
            );
        }
        for path in paths {
            if path.get_ref().is_empty() || path.get_ref().contains('\0') {
                out.error(
                    path.span(),
                    "writable holds what is no path",
                    "write writable = [\"/srv/data\"], directories",
                );
            }
            writable.push(base.join(path.get_ref()));
        }
    }
    Privileges { user, capabilities, confine, writable }
}

#[cfg(test)]
mod tests {
    use crate::config::{Group, Notify, fixture};

    #[test]
    fn the_programs_of_everything_that_is_told_count() {
        let told = |program: &str| Notify { run: vec![program.to_owned(), "-v".to_owned()], ..Notify::default() };
        let mut config = fixture::pair().0;
        assert!(config.programs().is_empty());
        config.groups.push(Group { name: "G".to_owned(), instances: vec!["VI_1".to_owned()], notify: told("/bin/g") });
        config.instances[0].notify = told("/bin/i");
        config.permits.allow_exec.insert("/bin/p".into());
        let names: Vec<_> = config.programs().into_iter().map(|program| program.display().to_string()).collect();
        assert_eq!(names, ["/bin/g", "/bin/i", "/bin/p"]);
    }
}
