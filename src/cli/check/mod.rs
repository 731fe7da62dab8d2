//! `ha check`: whether configurations and policies are right, and with `--dry-run` what they would do now.
//!
//! 0 healthy, 1 invalid, 2 valid but not healthy now or if this goes on, 3 a probe could not be made, 64 usage. Without
//! `--dry-run` only 0, 1 and 64. Nothing is changed, ever.

mod changed;
mod configuration;
mod document;
mod explain;
mod hooks;
mod imported;
mod outlook;
mod privileges;
mod rehearsal;
mod running;
mod surroundings;
mod text;
mod tracked;
mod what_if;
mod witness;
mod would;

use std::{
    io::{self, IsTerminal},
    iter,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::Args;

use self::{
    configuration::ConfigurationFile,
    imported::Imported,
    privileges::Privileges,
    rehearsal::Rehearsal,
    running::{Difference, Running},
    tracked::{AllTracked, Watched},
    what_if::{Assumption, WhatIf},
};
use super::{CONFIG, Code, address, machine, output, paint::Paint, policy_file::PolicyFile};
use crate::{
    config::{self, Config, Facts},
    policy::{Engine, Severity},
};

/// How often nothing is looked at again.
const IDLE: Duration = Duration::from_secs(1);
/// Where keepalived has its configuration.
const KEEPALIVED: &str = "/etc/keepalived/keepalived.conf";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Configurations (.toml) and policies (.rhai); else /etc/ha/ha.toml. Two configurations are compared as a pair
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The configuration, named as for the other commands, whatever its ending; in place of FILE
    #[arg(short, long, value_name = "FILE", conflicts_with = "files")]
    config: Option<PathBuf>,
    /// The files are configurations of keepalived (else /etc/keepalived/keepalived.conf); what they come to is checked
    #[arg(long)]
    keepalived: bool,
    /// What lines that begin with @ID are for, once for each file, as keepalived's own -i; else the short name of this
    /// machine
    #[arg(short = 'i', long, value_name = "ID", requires = "keepalived")]
    config_id: Vec<String>,
    /// Make every probe once, and say what follows; nothing is changed
    #[arg(long)]
    dry_run: bool,
    /// The dry run again and again, each interval, counting on; ^C ends it
    #[arg(long, requires = "dry_run")]
    watch: bool,
    /// Simulate, without a probe: RULE=down, RULE=up, RULE=blind, peer=dead, separated by commas. A second configuration
    /// is the peer's
    #[arg(long, value_name = "ASSUMPTIONS", conflicts_with = "dry_run")]
    what_if: Option<Assumption>,
    /// How many evaluations it is so; else until nothing changes any more
    #[arg(long, value_name = "N", requires = "what_if")]
    ticks: Option<usize>,
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
    /// Only if something was to be assumed.
    what_if: Option<Vec<WhatIf>>,
    /// Only in a dry run.
    dry_run: Option<DryRun>,
    /// Gone with this.
    imported: Vec<Imported>,
}

/// What the probes showed.
#[derive(Debug)]
struct DryRun {
    running: Option<Running>,
    rehearsals: Vec<Rehearsal>,
    /// Of every instance that tracks something.
    watched: Vec<Watched>,
    witness: Option<witness::Asked>,
}

impl DryRun {
    /// How a file differs from what runs, if a daemon runs it.
    fn difference(&self, file: &PolicyFile) -> Option<Difference> {
        self.running.as_ref()?.difference(file, &self.rehearsals)
    }
}

pub(super) fn perform(arguments: &Arguments) -> Code {
    if let Some(code) = &arguments.explain {
        return explain::perform(code);
    }
    let mut findings = Findings::of(arguments, &[]);
    while let Ok(found) = &findings {
        found.say(arguments);
        if !arguments.watch {
            break;
        }
        thread::sleep(found.interval());
        let earlier = found.dry_run.as_ref().map_or(&[][..], |dry_run| &dry_run.rehearsals);
        findings = Findings::of(arguments, earlier);
    }
    match findings {
        Ok(findings) => findings.code(),
        Err(Refusal::NotImported(why)) => {
            output::complain(&why);
            Code(1)
        }
        Err(Refusal::Usage(why)) => {
            output::complain(&why);
            Code::USAGE
        }
    }
}

impl Findings {
    /// In the form that is wanted; on a terminal that is watched, in the place of the one before.
    fn say(&self, arguments: &Arguments) {
        if arguments.json {
            return output::print_json(&self.document());
        }
        if arguments.watch && io::stdout().is_terminal() {
            output::print("\x1b[H\x1b[2J");
        }
        let text = self.text(Paint::of_stdout());
        output::print(&self.imported.iter().fold(text, |text, one| one.named(&text)));
        for Imported { file, .. } in &self.imported {
            output::print(&format!("`ha import {0}` shows what {0} comes to\n", file.display()));
        }
    }

    /// How long until it is worth looking again.
    fn interval(&self) -> Duration {
        let rehearsals = self.dry_run.iter().flat_map(|dry_run| &dry_run.rehearsals);
        rehearsals.map(|rehearsal| rehearsal.interval).min().unwrap_or(IDLE)
    }

    /// Looks, and probes if it is to. `earlier`: what the same command saw before.
    fn of(arguments: &Arguments, earlier: &[Rehearsal]) -> Result<Self, Refusal> {
        let imported = import(arguments)?;
        let (configurations, named) = match imported.as_slice() {
            [] => {
                arguments.config.clone().map_or_else(|| sort(&arguments.files), |file| Ok((vec![file], Vec::new())))?
            }
            imported => (imported.iter().map(Imported::config).collect(), Vec::new()),
        };
        // A policy alone does not say which node it judges; the installed configuration does.
        let judges = arguments.dry_run || arguments.what_if.is_some();
        let node = match configurations.as_slice() {
            [] if judges => Some(PathBuf::from(CONFIG)),
            [one] => Some(one.clone()),
            _ => None,
        };
        let entered = node.map_or(Ok(()), |node| address::enter_network_of(&node));
        let facts = if entered.is_ok() { machine::facts() } else { Facts::default() };
        if judges {
            entered?;
        }
        let mut configurations: Vec<ConfigurationFile> =
            configurations.iter().map(|path| ConfigurationFile::examine(path, &facts)).collect();
        for (configuration, imported) in configurations.iter_mut().zip(&imported) {
            configuration.path.clone_from(&imported.file);
        }
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
            [one] => one.own_peers(&facts),
            [one, other] => one.compare(other),
            _ => Vec::new(),
        };
        if judges && configurations.is_empty() {
            configurations.push(ConfigurationFile::examine(Path::new(CONFIG), &facts));
        }
        let simulates = arguments.what_if.is_some();
        let running = match configurations.as_slice() {
            [one] if arguments.dry_run || simulates => one.config().and_then(Running::ask),
            _ => None,
        };
        surroundings::inform(&engine, &configurations, &mut policies, running.as_ref());
        let becomes_others = configurations.iter().any(ConfigurationFile::becomes_others);
        let privileges = Privileges::of(&engine, &policies, becomes_others, arguments.dry_run);
        let strict = arguments.strict;
        let what_if = arguments.what_if.as_ref().map(|assumption| {
            what_if::simulate(&engine, &configurations, &policies, running.as_ref(), assumption, arguments.ticks)
        });
        let what_if = what_if.transpose()?;
        let mut findings =
            Self { strict, configurations, policies, disagreements, privileges, what_if, dry_run: None, imported };
        if arguments.dry_run {
            findings.dry_run = findings.rehearse(&engine, running, earlier)?;
        }
        Ok(findings)
    }

    /// Makes the probes of everything that is valid. `None` if nothing is.
    fn rehearse(
        &self,
        engine: &Engine,
        running: Option<Running>,
        earlier: &[Rehearsal],
    ) -> Result<Option<DryRun>, String> {
        let [configuration] = self.configurations.as_slice() else {
            return Err("a dry run is for one node: name one configuration".to_owned());
        };
        let Some(config) = configuration.config() else { return Ok(None) };
        let mut dry_run = DryRun { running, rehearsals: Vec::new(), watched: Vec::new(), witness: None };
        let networks = config.networks();
        for network in iter::once(None).chain(networks.iter().map(Some)) {
            let part = config.part(network);
            let mut look = || self.rehearse_in(engine, &part, &mut dry_run, earlier);
            match network {
                _ if part.instances.is_empty() => (),
                None => look()?,
                Some(network) => address::within(network, look)??,
            }
        }
        Ok(Some(dry_run))
    }

    /// The same for the instances of one network, by a thread that is there.
    fn rehearse_in(
        &self,
        engine: &Engine,
        part: &Config,
        dry_run: &mut DryRun,
        earlier: &[Rehearsal],
    ) -> Result<(), String> {
        let (tracked, running) = (AllTracked::look(part), dry_run.running.as_ref());
        let (rehearsals, watched) = rehearsal::rehearse(engine, part, &self.policies, running, earlier, &tracked)?;
        dry_run.rehearsals.extend(rehearsals);
        dry_run.watched.extend(watched);
        if dry_run.witness.is_none() {
            dry_run.witness = witness::Asked::of(part);
        }
        Ok(())
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
        let watched = self.dry_run.iter().flat_map(|dry_run| &dry_run.watched);
        let asked = self.dry_run.iter().filter_map(|dry_run| dry_run.witness.as_ref());
        let simulated = self.what_if.iter().flatten().map(WhatIf::code);
        let worst = rehearsals
            .map(Rehearsal::code)
            .chain(watched.map(Watched::code))
            .chain(asked.map(witness::Asked::code))
            .chain(simulated)
            .max_by_key(|code| code.0);
        worst.unwrap_or(Code::OK)
    }
}

/// Why nothing is checked.
enum Refusal {
    Usage(String),
    /// A configuration of keepalived comes to nothing.
    NotImported(String),
}

impl From<String> for Refusal {
    fn from(usage: String) -> Self {
        Self::Usage(usage)
    }
}

/// The configurations of keepalived that are named, if that is what is named.
fn import(arguments: &Arguments) -> Result<Vec<Imported>, Refusal> {
    if !arguments.keepalived {
        return Ok(Vec::new());
    }
    let usual = [PathBuf::from(KEEPALIVED)];
    let named = arguments.config.as_ref().map_or(arguments.files.as_slice(), std::slice::from_ref);
    let files = if named.is_empty() { &usual[..] } else { named };
    if files.len() > 2 || arguments.config_id.len() > files.len() {
        return Err(Refusal::Usage("at most two configurations can be compared, with one --config-id each".to_owned()));
    }
    let ids = arguments.config_id.iter().map(|id| Some(id.as_str())).chain(std::iter::repeat(None));
    files.iter().zip(ids).map(|(file, id)| Imported::new(file, id).map_err(Refusal::NotImported)).collect()
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
