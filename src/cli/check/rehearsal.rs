//! One policy in one instance, evaluated once with the real probes.

use std::{sync::Arc, thread, time::Duration};

use super::{
    outlook::{self, Outlook},
    running::Running,
};
use crate::{
    cli::{Code, machine, policy_file::PolicyFile},
    config::{Config, Instance},
    daemon::policies::DriverClock,
    policy::{
        Clock, Engine, Judge, Policy, Report, STACK,
        forecast::{self, Forecast},
        probe::Prober,
    },
    probe::RealProber,
};

/// What an evaluation showed, and what follows.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub(super) instance: String,
    pub(super) policy: String,
    pub(super) interval: Duration,
    pub(super) fast: Option<Duration>,
    /// With the counters of the running daemon, if there is one.
    pub(super) report: Report,
    pub(super) forecast: Forecast,
    pub(super) outlook: Outlook,
    /// Why it may not mean much.
    pub(super) remark: Option<String>,
}

impl Rehearsal {
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

/// Evaluates every policy of every instance that is among `files`, all at once.
pub(super) fn rehearse(
    engine: &Engine,
    config: &Config,
    files: &[PolicyFile],
    running: Option<&Running>,
) -> Result<Vec<Rehearsal>, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the probes cannot be started: {error}"))?;
    let prober = RealProber::new(runtime.handle().clone());
    prober.permit(&config.permits);
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
            thread.spawn_scoped(scope, move || rehearse_one(engine, config, instance, policy, running, prober))
        };
        let started: Vec<_> = pairs.map(one).collect();
        started.into_iter().filter_map(|thread| thread.ok()?.join().ok()).collect()
    });
    // A probe that hangs must not keep the answer back.
    runtime.shutdown_background();
    Ok(rehearsals)
}

fn rehearse_one(
    engine: &Engine,
    config: &Config,
    instance: &Instance,
    policy: &Policy,
    running: Option<&Running>,
    prober: &Arc<dyn Prober>,
) -> Rehearsal {
    let beside = running.and_then(|running| running.instance(&instance.name));
    let context = machine::context(config, instance, beside);
    let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
    let fresh = Judge::new().evaluate(engine, policy, 0, &context, prober, &clock);
    let report = match running.map(|running| running.rules(&instance.name, policy.name())) {
        None | Some([]) => fresh,
        Some(rules) => outlook::continued(fresh, rules),
    };
    let forecast = forecast::forecast(&report, policy.interval(), policy.fast());
    let outlook = Outlook::of(instance, beside, &forecast.verdict);
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
        report,
        forecast,
        outlook,
        remark,
    }
}
