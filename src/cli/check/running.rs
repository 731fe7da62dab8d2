//! The daemon that runs beside a dry run, if one does.

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

/// A rule that would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Added(String),
    Removed(String),
    Option { rule: String, option: &'static str, from: u32, to: String },
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

    /// How a file differs from the version that runs, if one does.
    pub(super) fn difference(&self, file: &PolicyFile) -> Option<Difference> {
        let running = self.status.policies.iter().find(|policy| policy.name == file.name)?;
        let (generation, sha256) = (running.generation?, running.sha256.clone()?);
        let same = file.source.as_ref().is_ok_and(|source| source.sha256 == sha256);
        let changes = if same { Vec::new() } else { self.changes(file) };
        Some(Difference { generation, sha256, changes, same })
    }

    fn changes(&self, file: &PolicyFile) -> Vec<Change> {
        let reports = self.status.instances.iter().flat_map(|instance| &instance.reports);
        let Some(before) = reports.into_iter().find(|report| report.policy == file.name) else { return Vec::new() };
        let after = file.policy.as_ref().map(|policy| policy.rules_named()).unwrap_or_default();
        let mut changes = Vec::new();
        for rule in after {
            match before.rules.iter().find(|old| old.name == rule.name) {
                None => changes.push(Change::Added(rule.name.clone())),
                Some(old) => changes.extend(rule.options.iter().filter_map(|(option, to)| {
                    let (option, from) = match option.as_str() {
                        "fall" => ("fall", old.fall),
                        "rise" => ("rise", old.rise),
                        _ => return None,
                    };
                    (from.to_string() != *to).then(|| Change::Option {
                        rule: rule.name.clone(),
                        option,
                        from,
                        to: to.clone(),
                    })
                })),
            }
        }
        let gone = before.rules.iter().filter(|old| !after.iter().any(|rule| rule.name == old.name));
        changes.extend(gone.map(|old| Change::Removed(old.name.clone())));
        changes
    }
}
