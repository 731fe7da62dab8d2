//! One policy in one instance, evaluated once with the real probes.

use std::{collections::BTreeMap, sync::Arc, thread, time::Duration};

use super::{
    hooks::{self, Due},
    outlook,
    running::Running,
    tracked::{AllTracked, Watched},
    would::{Others, Would},
};
use crate::{
    cli::{Code, machine, policy_file::PolicyFile},
    config::{Config, Instance},
    control::protocol::Rule,
    daemon::policies::DriverClock,
    linux::time_status,
    node::Judged,
    policy::{
        Clock, Engine, Judge, Policy, Report, STACK,
        forecast::{self, Forecast},
        probe::Prober,
    },
    probe::RealProber,
    words::Instant,
};

/// What an evaluation showed, and what follows.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub(super) instance: String,
    pub(super) policy: String,
    pub(super) interval: Duration,
    pub(super) fast: Option<Duration>,
    /// It has a check(); else hooks alone.
    pub(super) judges: bool,
    /// With the counters of the running daemon, if there is one.
    pub(super) report: Report,
    pub(super) forecast: Forecast,
    /// What the node would do if it goes on, all policies of the instance taken together.
    pub(super) would: Would,
    /// What its hooks would do then.
    pub(super) hooks: Vec<Due>,
    /// Why it may not mean much.
    pub(super) remark: Option<String>,
}

impl Rehearsal {
    /// The rules as they travel.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let report = &self.report;
        report.rules.iter().map(|rule| Rule::at(report.started_at, rule)).collect()
    }

    /// 0 healthy now and if this goes on, 2 not, 3 a probe could not be made.
    pub(super) fn code(&self) -> Code {
        let unmade = self.report.error.is_some() || self.report.rules.iter().any(|rule| rule.ok.is_none());
        let healthy = outlook::is_healthy(&self.forecast.verdict)
            && (outlook::is_healthy(&self.report.verdict) || outlook::is_starting(&self.report.verdict));
        match (unmade, healthy) {
            (true, _) => Code(3),
            (false, false) => Code(2),
            (false, true) => Code::OK,
        }
    }
}

/// Evaluates every policy of every instance that is among `files`, all at once, and says what is tracked.
pub(super) fn rehearse(
    engine: &Engine,
    config: &Config,
    files: &[PolicyFile],
    running: Option<&Running>,
    earlier: &[Rehearsal],
    tracked: &AllTracked,
) -> Result<(Vec<Rehearsal>, Vec<Watched>), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the probes cannot be started: {error}"))?;
    let prober = RealProber::new(runtime.handle().clone());
    prober.permit(&config.permits);
    prober.read_time_by(time_status);
    let prober: Arc<dyn Prober> = Arc::new(prober);
    let pairs = config.instances.iter().flat_map(|instance| {
        let policies = files.iter().filter_map(|file| file.policy.as_ref());
        policies
            .filter(|policy| instance.policies.iter().any(|name| name == policy.name()))
            .map(move |policy| (instance, policy))
    });
    let rehearsals = thread::scope(|scope| {
        let one = |(instance, policy)| {
            let prober = &prober;
            let thread = thread::Builder::new().stack_size(STACK);
            thread.spawn_scoped(scope, move || {
                let own = Judged { instance, reports: &[], tracked: tracked.by(&instance.name) };
                rehearse_one(engine, config, own, policy, running, earlier, prober)
            })
        };
        let started: Vec<_> = pairs.map(one).collect();
        started.into_iter().filter_map(|thread| thread.ok()?.join().ok()).collect::<Vec<_>>()
    });
    // A probe that hangs must not keep the answer back.
    runtime.shutdown_background();
    Ok(together(engine, config, files, running, rehearsals, tracked))
}

/// The node follows all policies of an instance, not each for itself.
fn together(
    engine: &Engine,
    config: &Config,
    files: &[PolicyFile],
    running: Option<&Running>,
    mut rehearsals: Vec<Rehearsal>,
    tracked: &AllTracked,
) -> (Vec<Rehearsal>, Vec<Watched>) {
    let mut watched = Vec::new();
    let all: BTreeMap<&str, Vec<Report>> = config
        .instances
        .iter()
        .map(|instance| {
            let of_instance = rehearsals.iter().filter(|rehearsal| rehearsal.instance == instance.name);
            let repeated = |it: &Rehearsal| Report { verdict: it.forecast.verdict.clone(), ..it.report.clone() };
            (instance.name.as_str(), of_instance.map(repeated).collect())
        })
        .collect();
    let judged = |instance| judged(instance, &all, tracked);
    for instance in &config.instances {
        let own = judged(instance);
        let group = config.groups.iter().find(|group| group.instances.contains(&instance.name));
        let is_companion = |other: &&Instance| {
            other.name != instance.name && group.is_some_and(|group| group.instances.contains(&other.name))
        };
        let companions: Vec<Judged<'_>> = config.instances.iter().filter(is_companion).map(judged).collect();
        let would = would(&own, running, group.map(|group| (group.name.as_str(), companions.as_slice())));
        watched.extend(Watched::of(instance, own.tracked, &would));
        let beside = running.and_then(|running| running.instance(&instance.name));
        let context = machine::context(config, instance, beside);
        for rehearsal in rehearsals.iter_mut().filter(|rehearsal| rehearsal.instance == instance.name) {
            rehearsal.would = would.clone();
            let mut policies = files.iter().filter_map(|file| file.policy.as_ref());
            if let Some(policy) = policies.find(|policy| policy.name() == rehearsal.policy) {
                rehearsal.hooks = hooks::due(engine, policy, &context, &would, own.reports);
            }
        }
    }
    (rehearsals, watched)
}

fn judged<'a>(instance: &'a Instance, reports: &'a BTreeMap<&str, Vec<Report>>, tracked: &'a AllTracked) -> Judged<'a> {
    let reports = reports.get(instance.name.as_str()).map(Vec::as_slice).unwrap_or_default();
    Judged { instance, reports, tracked: tracked.by(&instance.name) }
}

fn would(own: &Judged<'_>, running: Option<&Running>, group: Option<(&str, &[Judged<'_>])>) -> Would {
    let beside = running.and_then(|running| running.instance(&own.instance.name));
    let others = beside.map_or_else(|| Others::configured(own.instance), Others::beside);
    Would::of(own, beside.map(|beside| beside.state), &others, group)
}

/// The rules as the last evaluation of the same command left them.
fn rules_of(earlier: &[Rehearsal], instance: &Instance, policy: &Policy) -> Vec<Rule> {
    let same = earlier.iter().find(|earlier| earlier.instance == instance.name && earlier.policy == policy.name());
    let rules = same.into_iter().flat_map(|earlier| &earlier.report.rules);
    rules.map(|rule| Rule::at(same.map_or(Instant::ZERO, |earlier| earlier.report.started_at), rule)).collect()
}

fn rehearse_one(
    engine: &Engine,
    config: &Config,
    own: Judged<'_>,
    policy: &Policy,
    running: Option<&Running>,
    earlier: &[Rehearsal],
    prober: &Arc<dyn Prober>,
) -> Rehearsal {
    let instance = own.instance;
    let beside = running.and_then(|running| running.instance(&instance.name));
    let context = machine::context(config, instance, beside);
    let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
    let fresh = Judge::new().evaluate(engine, policy, 0, &context, prober, &clock);
    let before = match running.map(|running| running.rules(&instance.name, policy.name())) {
        None | Some([]) => rules_of(earlier, instance, policy),
        Some(rules) => rules.to_vec(),
    };
    let report = if before.is_empty() { fresh } else { outlook::continued(fresh, &before) };
    let forecast = forecast::forecast(&report, policy.interval(), policy.fast());
    let repeated = Report { verdict: forecast.verdict.clone(), ..report.clone() };
    let would = would(&Judged { reports: &[repeated], ..own }, running, None);
    let remark = context.node.addr.is_empty().then(|| {
        format!(
            "this machine has no address of its own on {}: is this the configuration of another node?",
            instance.interface
        )
    });
    Rehearsal {
        instance: instance.name.clone(),
        policy: policy.name().to_owned(),
        interval: policy.interval(),
        fast: policy.fast(),
        judges: policy.has_check(),
        report,
        forecast,
        would,
        hooks: Vec::new(),
        remark,
    }
}
