//! `ha test`: policies' own tests, with fake probes and virtual time; with `--auto` every rule forced down besides. 0 all
//! is well, 1 something failed or a file is no policy.

mod document;
mod junit;
mod text;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;

use super::{CONFIG, Code, output, paint::Paint, policy_file::PolicyFile};
use crate::{
    config,
    policy::{Engine, ForcedRule, force_every_rule},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Policy files, and directories of them; else those that /etc/ha/ha.toml names
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Force every rule down as well: it must fall, do what it is for, and come back by itself
    #[arg(long)]
    auto: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Write the results as JUnit XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// A policy and what its tests came to.
#[derive(Debug)]
struct Tested {
    file: PolicyFile,
    /// Every rule, forced down; only if asked for.
    forced: Option<Vec<ForcedRule>>,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    let files = if arguments.files.is_empty() { of_the_configuration() } else { expanded(&arguments.files) };
    let files = match files {
        Ok(files) => files,
        Err(why) => {
            output::complain(&why);
            return Code(1);
        }
    };
    let engine = Engine::new();
    let tested: Vec<Tested> = files.iter().map(|path| Tested::of(&engine, path, arguments.auto)).collect();
    if arguments.json {
        output::print_json(&document::of(&tested));
    } else {
        output::print(&text::of(&tested, Paint::of_stdout()));
    }
    if let Some(path) = &arguments.junit
        && let Err(error) = fs::write(path, junit::text(&tested))
    {
        output::complain(&format!("{} cannot be written: {error}", path.display()));
        return Code(1);
    }
    if tested.iter().all(Tested::passed) { Code::OK } else { Code(1) }
}

impl Tested {
    fn of(engine: &Engine, path: &Path, auto: bool) -> Self {
        let file = PolicyFile::examine(engine, path);
        let forced = file.policy.as_ref().filter(|_| auto).map(|policy| force_every_rule(engine, policy));
        Self { file, forced }
    }

    /// Who may write the file is not a test's business.
    fn passed(&self) -> bool {
        let tests = self.file.tests.as_ref().is_some_and(|tests| tests.failures.is_empty());
        tests && self.forced().all(|rule| rule.objection.is_none())
    }

    fn forced(&self) -> impl Iterator<Item = &ForcedRule> {
        self.forced.iter().flatten()
    }
}

fn of_the_configuration() -> Result<Vec<PathBuf>, String> {
    let config = config::load(CONFIG.as_ref()).map_err(|problems| problems.to_string())?.config;
    let mut names: Vec<&String> = config.instances.iter().flat_map(|instance| &instance.policies).collect();
    names.sort();
    names.dedup();
    Ok(names.iter().map(|name| config.policy_dir.join(format!("{name}.rhai"))).collect())
}

/// A directory stands for the policies that lie in it, by their names.
fn expanded(files: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut expanded = Vec::new();
    for file in files {
        if file.is_dir() {
            let policies = policies_in(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
            if policies.is_empty() {
                return Err(format!("{} contains no policy (.rhai)", file.display()));
            }
            expanded.extend(policies);
        } else {
            expanded.push(file.clone());
        }
    }
    Ok(expanded)
}

fn policies_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rhai"));
    paths.sort();
    Ok(paths)
}
