//! The daemon that runs beside a dry run, if one does.

use super::{
    changed::{self, Change},
    rehearsal::Rehearsal,
};
use crate::{
    cli::policy_file::PolicyFile,
    config::Config,
    control::{
        Client,
        protocol::{self, Rule, Status},
    },
};

/// What the running daemon says.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) status: Status,
}

/// How a file differs from what runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// The running version: generation and hash.
    pub(super) generation: u64,
    pub(super) sha256: String,
    /// Empty if the file is what runs.
    pub(super) changes: Vec<Change>,
    /// The file is what runs.
    pub(super) same: bool,
}

impl Running {
    /// `None` if no daemon of this node answers: then everything starts from zero.
    pub(super) fn ask(config: &Config) -> Option<Self> {
        let status = Client::new(&config.control.socket).status().ok()?;
        (status.node == config.node).then_some(Self { status })
    }

    pub(super) fn instance(&self, name: &str) -> Option<&protocol::Instance> {
        self.status.instances.iter().find(|instance| instance.name == name)
    }

    /// The rules of a policy in an instance, with their counters.
    pub(super) fn rules(&self, instance: &str, policy: &str) -> &[Rule] {
        let report =
            self.instance(instance).and_then(|instance| instance.reports.iter().find(|report| report.policy == policy));
        report.map_or(&[], |report| &report.rules)
    }

    /// How a file differs from the version that runs, if one does. `rehearsals`: what the dry run made of it.
    pub(super) fn difference(&self, file: &PolicyFile, rehearsals: &[Rehearsal]) -> Option<Difference> {
        let running = self.status.policies.iter().find(|policy| policy.name == file.name)?;
        let (generation, sha256) = (running.generation?, running.sha256.clone()?);
        let same = file.source.as_ref().is_ok_and(|source| source.sha256 == sha256);
        let changes = if same { Vec::new() } else { self.changes(file, rehearsals) };
        Some(Difference { generation, sha256, changes, same })
    }

    fn changes(&self, file: &PolicyFile, rehearsals: &[Rehearsal]) -> Vec<Change> {
        let Some(policy) = &file.policy else { return Vec::new() };
        let before = self.status.instances.iter().find_map(|instance| {
            let report = instance.reports.iter().find(|report| report.policy == file.name)?;
            Some((&instance.name, &report.rules))
        });
        let Some((instance, before)) = before else { return Vec::new() };
        let beside = |rehearsal: &&Rehearsal| rehearsal.policy == file.name && rehearsal.instance == *instance;
        let after = rehearsals.iter().find(beside).map(Rehearsal::rules).unwrap_or_default();
        let named = policy.rules_named().iter().map(|rule| rule.name.as_str());
        let mut names: Vec<&str> = Vec::new();
        for name in named.chain(after.iter().map(|rule| rule.name.as_str())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let of = |rules: &'_ [Rule], name: &str| rules.iter().find(|rule| rule.name == name).cloned();
        let mut changes = Vec::new();
        for name in &names {
            match (of(before, name), of(&after, name)) {
                (None, _) => changes.push(Change::Added((*name).to_owned())),
                (Some(before), Some(after)) => changes.extend(changed::options(&before, &after)),
                // This evaluation did not come to it.
                (Some(_), None) => {}
            }
        }
        let gone = before.iter().filter(|old| !names.contains(&old.name.as_str()));
        changes.extend(gone.map(|old| Change::Removed(old.name.clone())));
        changes
    }
}
