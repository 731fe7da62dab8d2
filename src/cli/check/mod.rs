//! `ha check`: whether configurations and policies are right, and with `--dry-run` what they would do now.
//!
//! 0 healthy, 1 invalid, 2 valid but not healthy now or if this goes on, 3 a probe could not be made, 64 usage. Without
//! `--dry-run` only 0, 1 and 64. Nothing is changed, ever.

mod configuration;
mod document;
mod explain;
mod outlook;
mod privileges;
mod rehearsal;
mod running;
mod surroundings;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;

use self::{configuration::ConfigurationFile, privileges::Privileges, rehearsal::Rehearsal, running::Running};
use super::{CONFIG, Code, machine, output, paint::Paint, policy_file::PolicyFile};
use crate::{
    config,
    policy::{Engine, Severity},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configurations (.toml) and policies (.rhai); else /etc/ha/ha.toml. Two configurations are compared as a pair
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Make every probe once, and say what follows; nothing is changed
    #[arg(long)]
    dry_run: bool,
    /// JSON instead of text
    #[arg(long)]
    json: bool,
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
    /// Say what a code such as W204 means, and nothing else
    #[arg(long, value_name = "CODE", exclusive = true)]
    explain: Option<String>,
}

/// Everything that was found.
#[derive(Debug)]
struct Findings {
    strict: bool,
    configurations: Vec<ConfigurationFile>,
    policies: Vec<PolicyFile>,
    /// What is wrong between the two halves of a pair.
    disagreements: Vec<config::Problem>,
    privileges: Privileges,
    /// Only in a dry run.
    dry_run: Option<DryRun>,
}

/// What the probes showed.
#[derive(Debug)]
struct DryRun {
    running: Option<Running>,
    rehearsals: Vec<Rehearsal>,
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    if let Some(code) = &arguments.explain {
        return explain::perform(code);
    }
    let findings = match Findings::of(arguments) {
        Ok(findings) => findings,
        Err(usage) => {
            output::complain(&usage);
            return Code::USAGE;
        }
    };
    if arguments.json {
        output::print_json(&findings.document());
    } else {
        output::print(&findings.text(Paint::of_stdout()));
    }
    findings.code()
}

impl Findings {
    /// Looks, and probes if it is to; an error is one of usage.
    fn of(arguments: &Arguments) -> Result<Self, String> {
        let (configurations, named) = sort(&arguments.files)?;
        let facts = machine::facts();
        let mut configurations: Vec<ConfigurationFile> =
            configurations.iter().map(|path| ConfigurationFile::examine(path, &facts)).collect();
        let mut policies = named.clone();
        for configured in configurations.iter().flat_map(ConfigurationFile::policies) {
            // A file that is named here stands for the installed one of the same name.
            let is_replaced = named.iter().any(|named| named.file_stem() == configured.file_stem());
            if !is_replaced && !policies.contains(&configured) {
                policies.push(configured);
            }
        }
        let engine = Engine::new();
        let mut policies: Vec<PolicyFile> = policies.iter().map(|path| PolicyFile::examine(&engine, path)).collect();
        let disagreements = match configurations.as_slice() {
            [one, other] => one.compare(other),
            _ => Vec::new(),
        };
        // A policy alone does not say which node it judges; the installed configuration does.
        if arguments.dry_run && configurations.is_empty() {
            configurations.push(ConfigurationFile::examine(Path::new(CONFIG), &facts));
        }
        let running = match configurations.as_slice() {
            [one] if arguments.dry_run => one.config().and_then(Running::ask),
            _ => None,
        };
        surroundings::inform(&engine, &configurations, &mut policies, running.as_ref());
        let privileges = Privileges::of(&engine, &policies, arguments.dry_run);
        let strict = arguments.strict;
        let mut findings = Self { strict, configurations, policies, disagreements, privileges, dry_run: None };
        if arguments.dry_run {
            findings.dry_run = findings.rehearse(&engine, running)?;
        }
        Ok(findings)
    }

    /// Makes the probes of everything that is valid. `None` if nothing is.
    fn rehearse(&self, engine: &Engine, running: Option<Running>) -> Result<Option<DryRun>, String> {
        let [configuration] = self.configurations.as_slice() else {
            return Err("a dry run is for one node: name one configuration".to_owned());
        };
        let Some(config) = configuration.config() else { return Ok(None) };
        let rehearsals = rehearsal::rehearse(engine, config, &self.policies, running.as_ref())?;
        Ok(Some(DryRun { running, rehearsals }))
    }

    /// The other half of the pair, if two configurations are checked.
    fn counterpart(&self, file: &ConfigurationFile) -> Option<&ConfigurationFile> {
        self.configurations.iter().find(|other| !std::ptr::eq(*other, file))
    }

    fn has_errors(&self) -> bool {
        self.configurations.iter().any(|file| file.loaded.is_err())
            || self.policies.iter().any(PolicyFile::is_refused)
            || self.disagreements.iter().any(|problem| problem.severity() == config::Severity::Error)
    }

    fn has_warnings(&self) -> bool {
        !self.disagreements.is_empty()
            || self
                .configurations
                .iter()
                .any(|file| file.loaded.as_ref().is_ok_and(|loaded| !loaded.warnings.is_empty()))
            || self.policies.iter().flat_map(|file| &file.problems).any(|problem| problem.severity == Severity::Warning)
    }

    fn code(&self) -> Code {
        if self.has_errors() || (self.strict && self.has_warnings()) {
            return Code(1);
        }
        let rehearsals = self.dry_run.iter().flat_map(|dry_run| &dry_run.rehearsals);
        let worst = rehearsals.map(Rehearsal::code).max_by_key(|code| code.0);
        worst.unwrap_or(Code::OK)
    }
}

/// Configurations and policies, by their names.
fn sort(files: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<PathBuf>), String> {
    if files.is_empty() {
        return Ok((vec![PathBuf::from(CONFIG)], Vec::new()));
    }
    let (mut configurations, mut policies) = (Vec::new(), Vec::new());
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => configurations.push(file.clone()),
            Some("rhai") => policies.push(file.clone()),
            Some(_) | None => {
                return Err(format!("{} is neither a configuration (.toml) nor a policy (.rhai)", file.display()));
            }
        }
    }
    if configurations.len() > 2 {
        return Err("at most two configurations can be compared".to_owned());
    }
    Ok((configurations, policies))
}
