//! `ha check --what-if`: what would follow if rules saw this, in virtual time. The judge is the daemon's, what the node
//! would do is decided by the node's own code; no probe is made.

mod assumption;
mod document;
mod stage;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use self::stage::{Company, Stage};

pub(super) use self::assumption::Assumption;
use super::{configuration::ConfigurationFile, outlook, running::Running, would::Would};
use crate::{
    cli::{Code, policy_file::PolicyFile},
    policy::{Engine, RuleReport, Verdict},
};

/// What would follow in one instance.
#[derive(Debug)]
pub(super) struct WhatIf {
    instance: String,
    assumption: Assumption,
    before: Would,
    /// What happens while it is so.
    course: Vec<Moment>,
    during: BTreeMap<String, Verdict>,
    /// Every `require` was seen to be well in the last of these evaluations.
    observed_ok: bool,
    /// Nothing that is tracked was supposed to be other than well.
    tracked_well: bool,
    then: Would,
    /// What happens once it is so no more.
    recovery: Vec<Moment>,
    after: Would,
    /// Rules that are not up again.
    stuck: Vec<String>,
}

/// Something that changes.
#[derive(Debug)]
struct Moment {
    /// Since it is so, or so no more.
    at: Duration,
    /// Which was evaluated; nothing for what is tracked.
    policy: Option<String>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Rule(Box<RuleReport>),
    /// Something that is tracked, and why it is not well.
    Tracked {
        name: String,
        why: Option<String>,
    },
    Verdict(Verdict),
    Would(Would),
}

impl WhatIf {
    /// Nothing has happened yet.
    fn begun(instance: &str, assumption: &Assumption, would: Would) -> Self {
        Self {
            instance: instance.to_owned(),
            assumption: assumption.clone(),
            before: would.clone(),
            course: Vec::new(),
            during: BTreeMap::new(),
            observed_ok: true,
            tracked_well: true,
            then: would.clone(),
            recovery: Vec::new(),
            after: would,
            stuck: Vec::new(),
        }
    }

    /// 0 if the node would stay healthy, 2 if not.
    pub(super) fn code(&self) -> Code {
        let well = self.tracked_well && self.during.values().all(outlook::is_healthy);
        if well { Code::OK } else { Code(2) }
    }
}

/// Simulates every instance of the first configuration that is judged by anything, all of them beside each other; `ticks`:
/// how many evaluations it is so.
pub(super) fn simulate(
    engine: &Engine,
    configurations: &[ConfigurationFile],
    files: &[PolicyFile],
    running: Option<&Running>,
    assumption: &Assumption,
    ticks: Option<usize>,
) -> Result<Vec<WhatIf>, String> {
    let Some(config) = configurations.first().and_then(ConfigurationFile::config) else { return Ok(Vec::new()) };
    let other = configurations.get(1).and_then(ConfigurationFile::config);
    let stage = |instance| Stage::new(engine, config, instance, files, running, other, assumption);
    let mut company = Company::new(config.instances.iter().map(stage).collect(), &config.groups);
    company.settle();
    let known = company.names();
    if let Some(stranger) = assumption.rules.keys().find(|name| !known.contains(name)) {
        let mut told = BTreeSet::new();
        let known: Vec<String> = known.into_iter().filter(|name| told.insert(name.clone())).collect();
        return Err(format!(
            "there is no rule {stranger}, and nothing of that name is tracked; there are {}",
            known.join(", ")
        ));
    }
    Ok(company.play(assumption, ticks))
}
