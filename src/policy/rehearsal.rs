//! A policy's own tests: fake probes, virtual time, no network.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rhai::{Array, Dynamic, Map};

use super::{
    Clock, Context, Engine, Hook, HookEvent, Judge, PeerFacts, Policy, Report, RuleEvent, RuleState, Verdict, WallTime,
    Work,
    action::Performer,
    bounds::{Excess, Watch},
    context,
    evaluation::Frame,
    fake::FakeProber,
    hook, language, lint,
    probe::Prober,
    script, suggest,
};
use crate::words::Instant;

/// Evaluations one test may ask for: some hours at one per second.
const MOST_EVALUATIONS: usize = 10_000;
/// What a hook may take on the clock of a test, which stands still.
const HOOK_TIME: Duration = Duration::from_secs(30);
/// When every test begins, on its virtual clock.
const BEGINNING: Duration = Duration::from_secs(3600);
/// The time of day then: Monday, 2026-01-05, 12:00 UTC.
const NOON: i64 = 1_767_614_400;

/// What a run of a policy's tests showed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TestReport {
    /// How many passed.
    pub passed: usize,
    /// Those that did not, in the order of the file.
    pub failures: Vec<TestFailure>,
    /// Rules that no test has seen down.
    pub rules_never_down: Vec<String>,
    /// Probes (by key) that every test left ok.
    pub probes_never_faked: Vec<String>,
}

/// A test that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The function.
    pub name: String,
    /// Where, from 1; 0 if unknown.
    pub line: usize,
    /// Why.
    pub message: String,
}

/// How long all tests together may take.
#[derive(Clone)]
pub struct Cap {
    /// A real clock.
    pub clock: Arc<dyn Clock>,
    /// How long.
    pub time: Duration,
}

impl std::fmt::Debug for Cap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cap({:?})", self.time)
    }
}

/// Runs every `test_*` of the policy, each from zero. With a cap, tests that come too late fail.
#[must_use]
pub fn run_tests(engine: &Engine, policy: &Policy, cap: Option<Cap>) -> TestReport {
    let until = cap.map(|Cap { clock, time }| (Arc::clone(&clock), clock.now() + time));
    let _watched = until.map(|(clock, until)| Watch::begin(Some((clock, until)), u64::MAX));
    let mut report = TestReport::default();
    let mut seen = Seen::default();
    for name in policy.tests() {
        if Watch::is_over() {
            let message = "not run: the tests of the policy take too long together".to_owned();
            report.failures.push(TestFailure { line: policy.line_of(&name), name, message });
            continue;
        }
        let rehearsal = Arc::new(Rehearsal::new(engine, policy));
        match rehearsal.run(&name) {
            Ok(()) => report.passed += 1,
            Err((line, message)) => report.failures.push(TestFailure { name, line, message }),
        }
        seen.add(&rehearsal);
    }
    report.rules_never_down = seen.rules_never_down(policy);
    report.probes_never_faked = seen.probed.difference(&seen.faked).cloned().collect();
    report
}

/// One test while it runs.
pub(super) struct Rehearsal {
    engine: Engine,
    policy: Policy,
    prober: Arc<FakeProber>,
    clock: Arc<VirtualClock>,
    stage: Mutex<Stage>,
}

struct Stage {
    judge: Judge,
    context: Context,
    last: Option<Report>,
    last_at: Option<Instant>,
    probed: Vec<String>,
    evaluations: usize,
    /// What hooks and repairs did so far.
    actions: Vec<String>,
    events: u64,
    rules: BTreeSet<String>,
    down: BTreeSet<String>,
}

/// What all tests together have touched.
#[derive(Default)]
struct Seen {
    rules: BTreeSet<String>,
    down: BTreeSet<String>,
    probed: BTreeSet<String>,
    faked: BTreeSet<String>,
}

/// The moment, and what the wall clock is ahead, in seconds.
pub(super) struct VirtualClock(Mutex<(Instant, i64)>);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    fn wall(&self) -> WallTime {
        let passed = self.now().since_epoch().saturating_sub(BEGINNING).as_secs();
        let ahead = self.0.lock().unwrap_or_else(PoisonError::into_inner).1;
        WallTime { unix_s: NOON.saturating_add_unsigned(passed).saturating_add(ahead), utc_offset_s: 0 }
    }
}

impl VirtualClock {
    /// At the beginning.
    pub(super) fn new() -> Self {
        Self(Mutex::new((Instant::from_epoch(BEGINNING), 0)))
    }

    pub(super) fn set(&self, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = now;
    }

    pub(super) fn set_wall(&self, ahead: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = ahead;
    }
}

impl Rehearsal {
    fn new(engine: &Engine, policy: &Policy) -> Self {
        let stage = Stage {
            judge: Judge::new(),
            context: Context { peers: vec![PeerFacts::default()], ..Context::default() },
            last: None,
            last_at: None,
            probed: Vec::new(),
            evaluations: 0,
            actions: Vec::new(),
            events: 0,
            rules: BTreeSet::new(),
            down: BTreeSet::new(),
        };
        Self {
            engine: engine.clone(),
            policy: policy.clone(),
            prober: Arc::new(FakeProber::default()),
            clock: Arc::new(VirtualClock::new()),
            stage: Mutex::new(stage),
        }
    }

    /// Runs one test; on failure, the line and why.
    fn run(self: &Arc<Self>, name: &str) -> Result<(), (usize, String)> {
        let frame = Frame::Test(Arc::clone(self));
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let never = Instant::from_epoch(Duration::MAX);
        let result = self.engine.call(&self.policy, frame, &clock, never, name, Vec::new());
        result.map(|_| ()).map_err(|error| {
            if script::excess(&error) == Some(Excess::Time) {
                let message = "the tests of the policy take too long together".to_owned();
                return (self.policy.line_of(name), message);
            }
            let (message, position) = script::explain(&error, self.policy.deadline());
            let line = match lint::place(position).line {
                0 => self.policy.line_of(name),
                line if script::file_of(&error).is_some_and(|file| file != self.policy.file()) => {
                    let file = script::file_of(&error).unwrap_or_default();
                    return (self.policy.line_of(name), format!("{file}:{line}: {message}"));
                }
                line => line,
            };
            (line, message)
        })
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    pub(super) fn variable(&self, name: &str) -> Option<Dynamic> {
        let constant = self.policy.constant(name).cloned();
        constant.or_else(|| context::facts(&self.stage().context, self.clock.now()).remove(name))
    }

    pub(super) fn fake(&self, key: &str, answers: &[Dynamic]) -> Result<(), String> {
        self.prober.fake(key, answers)
    }

    pub(super) fn unfake(&self, key: &str) -> Result<(), String> {
        self.prober.unfake(key)
    }

    pub(super) fn set_node(&self, facts: &Map) -> Result<(), String> {
        facts.iter().try_for_each(|(name, value)| self.stage().context.node.set(name, value))?;
        if !facts.contains_key("state") {
            self.stage().context.node.follow_role(facts);
        }
        Ok(())
    }

    pub(super) fn set_peer(&self, facts: &Map) -> Result<(), String> {
        let mut stage = self.stage();
        let Some(peer) = stage.context.peers.first_mut() else { return Err("there is no peer".to_owned()) };
        facts.iter().try_for_each(|(name, value)| peer.set(name, value))
    }

    /// So many evaluations, each as long after the last as the policy wants.
    pub(super) fn tick(&self, times: usize) -> Result<(), String> {
        for _ in 0..times {
            self.clock.set(self.next_at());
            self.evaluate(false)?;
        }
        Ok(())
    }

    /// Every evaluation that is due within this time.
    pub(super) fn run_for(&self, time: Duration) -> Result<(), String> {
        let end = self.clock.now() + time;
        while self.next_at() <= end {
            self.tick(1)?;
        }
        self.clock.set(end);
        Ok(())
    }

    /// Asks whether the policy would let the node take over now.
    pub(super) fn may_take_over(&self) -> Result<bool, String> {
        self.evaluate(true)?;
        let asked = self.stage().last.as_ref().and_then(|report| report.may_take_over);
        asked.ok_or_else(|| "the policy has no fn may_take_over".to_owned())
    }

    pub(super) fn verdict(&self) -> Result<Map, String> {
        let (kind, reason, delta, external) = match self.report()?.verdict {
            Verdict::Starting => ("starting", String::new(), 0, false),
            Verdict::Healthy { delta, note } => ("healthy", note, delta, false),
            Verdict::Fault { why, cause } => ("fault", why, 0, cause.is_external()),
            Verdict::Hold { why } => ("hold", why, 0, false),
            Verdict::Maintenance { why } => ("maintenance", why, 0, false),
        };
        Ok(Map::from([
            ("kind".into(), kind.into()),
            ("reason".into(), reason.into()),
            ("delta".into(), i64::from(delta).into()),
            ("external".into(), external.into()),
        ]))
    }

    pub(super) fn rule(&self, name: &str) -> Result<Map, String> {
        let report = self.report()?;
        let Some(rule) = report.rules.iter().find(|rule| rule.name == name) else {
            return Err(format!("no rule \"{name}\" in the last evaluation"));
        };
        let state = match rule.state() {
            RuleState::Unknown => "unknown",
            RuleState::Up => "up",
            RuleState::Failing => "failing",
            RuleState::Down => "down",
        };
        let now = self.clock.now();
        let falls = rule.gate.falls(now);
        Ok(Map::from([
            ("state".into(), state.into()),
            ("up".into(), (!rule.is_down()).into()),
            ("ok".into(), rule.ok.map_or(Dynamic::UNIT, Into::into)),
            ("fails".into(), i64::from(rule.gate.fails()).into()),
            ("oks".into(), i64::from(rule.gate.oks()).into()),
            ("since".into(), now.saturating_since(rule.gate.since()).as_secs_f64().into()),
            ("flaps".into(), i64::from(falls.count).into()),
            ("held".into(), falls.held.as_secs_f64().into()),
            ("latched".into(), falls.latched.into()),
            ("alert".into(), rule.alert.into()),
            ("tags".into(), rule.tags.iter().map(|tag| tag.clone().into()).collect::<Array>().into()),
            ("why".into(), rule.why.clone().into()),
        ]))
    }

    /// What `ha clear` does.
    pub(super) fn clear_rule(&self, name: &str) -> Result<(), String> {
        let known = self.stage().judge.clear(name);
        if known { Ok(()) } else { Err(format!("nothing is known of a rule \"{name}\"")) }
    }

    /// The keys that the last evaluation probed.
    pub(super) fn probed(&self) -> Array {
        self.stage().probed.iter().map(|key| key.clone().into()).collect()
    }

    pub(super) fn assert_verdict(&self, kind: &str) -> Result<(), String> {
        let kinds = ["starting", "healthy", "fault", "hold", "maintenance"];
        if !kinds.contains(&kind) {
            return Err(format!("\"{kind}\" is no verdict; there are {}", kinds.join(", ")));
        }
        let verdict = self.verdict()?;
        let text = |field: &str| verdict.get(field).map(ToString::to_string).unwrap_or_default();
        match text("kind") {
            actual if actual == kind => Ok(()),
            actual if text("reason").is_empty() => Err(format!("the verdict is {actual}, not {kind}")),
            actual => Err(format!("the verdict is {actual}, not {kind}: {}", text("reason"))),
        }
    }

    /// Runs a hook of the policy with this event.
    pub(super) fn fire(&self, name: &str, event: &Map) -> Result<(), String> {
        let hook = Hook::named(name).ok_or_else(|| {
            let names = || Hook::ALL.into_iter().map(Hook::name);
            match suggest::closest(name, names()) {
                Some(meant) => format!("there is no hook {name}: did you mean \"{meant}\"?"),
                None => format!("there is no hook {name}; there are {}", names().collect::<Vec<_>>().join(", ")),
            }
        })?;
        if self.policy.hook_takes(hook).is_none() {
            return Err(format!("the policy has no fn {name}"));
        }
        let event = self.event(event)?;
        self.run_hook(Work::Hook(hook, event))
    }

    /// What was done so far, like `service_restart haproxy`.
    pub(super) fn actions(&self) -> Array {
        self.stage().actions.iter().map(|action| action.clone().into()).collect()
    }

    fn run_hook(&self, work: Work) -> Result<(), String> {
        let context = self.stage().context.clone();
        let performer: Arc<dyn Performer> = Arc::clone(&self.prober) as Arc<dyn Performer>;
        let ran = hook::run_hook(&self.engine, &self.policy, &work, &context, &performer, &self.clock(), HOOK_TIME);
        self.stage().actions.extend(ran.performed.iter().map(|(action, _)| action.to_string()));
        ran.error.map_or(Ok(()), Err)
    }

    /// The event as a test has it; what it does not say is as a quiet backup has it.
    fn event(&self, told: &Map) -> Result<HookEvent, String> {
        let known = || language::EVENT.iter().map(|fact| fact.name);
        if let Some(stranger) = told.keys().find(|key| !known().any(|name| name == key.as_str())) {
            return Err(match suggest::closest(stranger, known()) {
                Some(meant) => format!("ev has no `{stranger}`: did you mean `{meant}`?"),
                None => format!("ev has no `{stranger}`; it has {}", known().collect::<Vec<_>>().join(", ")),
            });
        }
        let text = |name: &str, usual: &str| told.get(name).map_or_else(|| usual.to_owned(), ToString::to_string);
        let list = told.get("rules_down").and_then(|list| list.clone().try_cast::<Array>()).unwrap_or_default();
        let rule = told.get("rule").map(|rule| RuleEvent {
            name: rule.to_string(),
            up: told.get("up").and_then(|up| up.as_bool().ok()).unwrap_or_default(),
            why: text("why", ""),
        });
        let mut stage = self.stage();
        stage.events += 1;
        Ok(HookEvent {
            from: text("from", "backup"),
            to: text("to", &stage.context.node.state),
            reason: text("reason", "a test"),
            rules_down: list.iter().map(ToString::to_string).collect(),
            at: self.clock.now(),
            seq: stage.events,
            rule,
        })
    }

    fn report(&self) -> Result<Report, String> {
        self.stage().last.clone().ok_or_else(|| "nothing has been evaluated yet; write tick() first".to_owned())
    }

    fn next_at(&self) -> Instant {
        let stage = self.stage();
        let fast = self.policy.fast().filter(|_| stage.judge.in_transition());
        let from = stage.last_at.unwrap_or_else(|| self.clock.now());
        from + fast.unwrap_or_else(|| self.policy.interval())
    }

    fn evaluate(&self, ask_may_take_over: bool) -> Result<(), String> {
        let (mut judge, context) = {
            let mut stage = self.stage();
            stage.evaluations += 1;
            if stage.evaluations > MOST_EVALUATIONS {
                return Err(format!("more than {MOST_EVALUATIONS} evaluations in one test"));
            }
            (std::mem::take(&mut stage.judge), Context { ask_may_take_over, ..stage.context.clone() })
        };
        let prober: Arc<dyn Prober> = Arc::clone(&self.prober) as Arc<dyn Prober>;
        let report = judge.evaluate(&self.engine, &self.policy, 1, &context, &prober, &self.clock());
        let heals = judge.take_heals();
        let mut stage = self.stage();
        stage.judge = judge;
        stage.last_at = Some(report.started_at);
        stage.probed = self.prober.take_probed();
        stage.rules.extend(report.rules.iter().map(|rule| rule.name.clone()));
        stage.down.extend(report.rules.iter().filter(|rule| rule.is_down()).map(|rule| rule.name.clone()));
        stage.last = Some(report);
        drop(stage);
        heals.into_iter().try_for_each(|healing| self.run_hook(Work::Heal(healing)))?;
        if Watch::is_over() { Err("the tests of the policy take too long together".to_owned()) } else { Ok(()) }
    }

    /// Never held while something is evaluated.
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn add(&mut self, rehearsal: &Rehearsal) {
        let (probed, faked) = rehearsal.prober.coverage();
        self.probed.extend(probed);
        self.faked.extend(faked);
        let stage = rehearsal.stage();
        self.rules.extend(stage.rules.iter().cloned());
        self.down.extend(stage.down.iter().cloned());
    }

    fn rules_never_down(&self, policy: &Policy) -> Vec<String> {
        let named = policy.rules_named().iter().map(|rule| &rule.name);
        let all: BTreeSet<&String> = named.chain(&self.rules).collect();
        all.into_iter().filter(|rule| !self.down.contains(*rule)).cloned().collect()
    }
}
