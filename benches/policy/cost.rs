//! One evaluation: its processor time beside a shell script's, and what of it is the engine.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use ha::{
    daemon::policies::DriverClock,
    lab::{Host, World, process::on_path},
    policy::{
        Clock, Context, Engine, Judge, NodeFacts, Policy, Verdict,
        probe::{ErrorKind, Pending, ProbeOutcome, ProbeRequest, Prober},
    },
    probe::RealProber,
};
use nix::sys::resource::{Usage, UsageWho, getrusage};

use super::{common::Result, met, permille, server::start_alone};

/// The policy of the founding pair.
const POLICY: &str = include_str!("../../scripts/check_local.rhai");
/// An evaluation may cost this part of the script's processor time.
const PART: f64 = 1.0 / 20.0;
/// What the engine alone may take.
const MOST_OVERHEAD: Duration = Duration::from_micros(20);

/// The policy and the script in turns. Whether the bound was met.
pub(crate) fn beside_a_script(runs: usize) -> Result<bool> {
    for needed in ["curl", "ping"] {
        on_path(needed).ok_or_else(|| format!("{needed} is not installed"))?;
    }
    let world = World::build()?;
    let _server = start_alone(&world, Host::Node1)?;
    let script = world.directory(Host::Node1)?.join("check_local.sh");
    fs::write(&script, shell())?;
    fs::set_permissions(&script, Permissions::from_mode(0o700))?;
    thread::sleep(Duration::from_millis(200));
    let (ours, theirs) = world.netns(Host::Node1).run(move || in_turns(runs, &script))??;
    let ratio = ours.processor.as_secs_f64() / theirs.processor.as_secs_f64();
    println!(
        "\ncheck_local, {runs} evaluations in the process and {runs} runs of a shell script with curl and ping, in turns"
    );
    for (who, figures) in [("ha", &ours), ("script", &theirs)] {
        println!(
            "  {who:8} processor time {:>8.3} ms each, {:>8.3} ms from begin to end (median)",
            figures.processor.as_secs_f64() * 1000.0,
            figures.median.as_secs_f64() * 1000.0
        );
    }
    let is_met = ratio <= PART;
    println!("  {:.1} times less processor time (ratio {ratio:.4}; at most 1/20: {})", 1.0 / ratio, met(is_met));
    Ok(is_met)
}

/// What keepalived's users run: no more pings than one, unlike the policy.
fn shell() -> String {
    format!(
        "#!/bin/sh\n[ \"$(curl -s -o /dev/null -m 2 -w '%{{http_code}}' http://{}/)\" = 200 ] || exit 1\n\
         exec ping -q -c 1 -W 1 {} >/dev/null\n",
        Host::Node1.address(),
        Host::Arbiter.address()
    )
}

/// For one run.
struct Figures {
    processor: Duration,
    median: Duration,
}

fn in_turns(runs: usize, script: &Path) -> Result<(Figures, Figures)> {
    // As in the daemon: one thread drives the probes, evaluations have a thread of the pool.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let prober: Arc<dyn Prober> = Arc::new(RealProber::new(handle.clone()));
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let evaluation = Arc::new(std::sync::Mutex::new(Evaluation::new(prober)?));
    let evaluate = || {
        let evaluation = Arc::clone(&evaluation);
        let (done, wait) = mpsc::sync_channel(1);
        handle.spawn_blocking(move || drop(done.send(evaluation.lock().unwrap().once())));
        wait.recv().unwrap()
    };
    let run = || match Command::new(script).stdin(Stdio::null()).stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        other => Err(format!("the script does not come to 0: {other:?}").into()),
    };
    // What happens once is not what an evaluation costs.
    for _ in 0..3 {
        evaluate()?;
        run()?;
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ours.push(measured(evaluate)?);
        theirs.push(measured(run)?);
    }
    Ok((figures(&ours), figures(&theirs)))
}

/// Processor time of this process and its children, and how long it took.
fn measured(work: impl FnOnce() -> Result<()>) -> Result<(Duration, Duration)> {
    let (before, begun) = (used()?, Instant::now());
    work()?;
    Ok((used()?.saturating_sub(before), begun.elapsed()))
}

fn used() -> Result<Duration> {
    let all = [getrusage(UsageWho::RUSAGE_SELF)?, getrusage(UsageWho::RUSAGE_CHILDREN)?];
    let both = |usage: &Usage| [usage.user_time(), usage.system_time()];
    let microseconds: i64 = all.iter().flat_map(both).map(|time| time.tv_sec() * 1_000_000 + time.tv_usec()).sum();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

fn figures(runs: &[(Duration, Duration)]) -> Figures {
    let processor = runs.iter().map(|(processor, _)| *processor).sum::<Duration>() / u32::try_from(runs.len()).unwrap();
    let mut times: Vec<Duration> = runs.iter().map(|(_, time)| *time).collect();
    times.sort();
    Figures { processor, median: permille(&times, 500) }
}

/// The policy with everything an evaluation needs.
struct Evaluation {
    engine: Engine,
    policy: Policy,
    judge: Judge,
    context: Context,
    prober: Arc<dyn Prober>,
    clock: Arc<dyn Clock>,
}

impl Evaluation {
    fn new(prober: Arc<dyn Prober>) -> Result<Self> {
        let engine = Engine::new();
        let policy = Policy::load(&engine, "check_local", "check_local.rhai", POLICY)
            .map_err(|problems| format!("the policy is not loaded: {problems:?}"))?;
        let node = NodeFacts { addr: Host::Node1.address().to_string(), ..NodeFacts::default() };
        let context = Context { node, ..Context::default() };
        let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
        Ok(Self { engine, policy, judge: Judge::new(), context, prober, clock })
    }

    /// # Errors
    /// The node is not healthy: that would be another evaluation.
    fn once(&mut self) -> Result<()> {
        let report = self.judge.evaluate(&self.engine, &self.policy, 1, &self.context, &self.prober, &self.clock);
        if matches!(report.verdict, Verdict::Healthy { .. }) {
            return Ok(());
        }
        Err(format!("the policy says {:?}", report.verdict).into())
    }
}

/// Answers well, at once.
struct AtOnce;

impl Prober for AtOnce {
    fn start(&self, _: &ProbeRequest) -> Pending {
        let (sender, pending) = mpsc::sync_channel(1);
        let _ = sender.try_send(ProbeOutcome {
            ok: true,
            why: "200".to_owned(),
            error: ErrorKind::None,
            blind: false,
            elapsed: Duration::from_millis(1),
            fields: std::collections::BTreeMap::new(),
        });
        pending
    }
}

/// The engine alone. Whether the bound was met.
pub(crate) fn without_probes() -> bool {
    const RUNS: usize = 20_000;
    let mut evaluation = Evaluation::new(Arc::new(AtOnce)).unwrap();
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            evaluation.once().unwrap();
            begun.elapsed()
        })
        .collect();
    times.sort();
    let [median, late] = [500, 990].map(|part| permille(&times, part));
    let is_met = median < MOST_OVERHEAD;
    println!(
        "\ncheck_local with probes that answer at once, {RUNS} evaluations: median {:.2} µs, 99 % {:.2} µs (below 20 µs: {})",
        median.as_secs_f64() * 1e6,
        late.as_secs_f64() * 1e6,
        met(is_met)
    );
    is_met
}
