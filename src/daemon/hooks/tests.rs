//! Hooks as stories: what is run, in which order, and what a hook that fails or hangs costs.

mod groups;
mod notices;

use std::{
    path::Path,
    sync::{Condvar, RwLock},
};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::{
    config,
    daemon::policies::DriverClock,
    node::{Condition, Event, Node, Role},
    policy::{
        Verdict,
        action::{Action, Performed},
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Writes down what it is asked for. `alert("wait")` waits until the test opens the gate, `alert("panic")` panics.
struct Hand {
    done: Sender<String>,
    open: Mutex<bool>,
    opened: Condvar,
}

impl Hand {
    /// A program is a line; one that is called so waits, or fails.
    fn run(&self, program: &Program) -> Performed {
        let line = program.argv.join(" ");
        self.done.try_send(line.clone()).unwrap();
        if line.starts_with("/wait") {
            drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        }
        if line.starts_with("/fails") {
            Performed::failed("exit code 1, wanted 0")
        } else {
            Performed::done("exit code 0")
        }
    }
}

impl Performer for Hand {
    fn perform(&self, action: &Action, _: Duration) -> Performed {
        self.done.try_send(action.to_string()).unwrap();
        match action.target().as_str() {
            "wait" => drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap()),
            "panic" => panic!("as the story wants"),
            "/not/listed" => return Performed::refused("not listed"),
            _ => {}
        }
        Performed::done("done")
    }
}

struct Stage {
    config: Config,
    hooks: Hooks,
    hand: Arc<Hand>,
    engine: Engine,
    policies: Arc<RwLock<BTreeMap<String, Policy>>>,
    done: Receiver<String>,
    said: Receiver<Said>,
    status: watch::Sender<Arc<NodeStatus>>,
}

impl Stage {
    /// One instance with these policies.
    fn new(policies: &[(&str, &str)]) -> Self {
        Self::with(policies, "")
    }

    /// The same, with more settings.
    fn with(policies: &[(&str, &str)], settings: &str) -> Self {
        let names: Vec<String> = policies.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let text = format!(
            "node = \"K1\"\n[instance.VI_1]\ninterface = \"eth0\"\nvirtual_router_id = 51\n\
             addresses = [\"192.168.0.60/24\"]\npeers = [\"192.168.0.21\"]\npolicies = [{}]\n{settings}",
            names.join(", ")
        );
        let config = config::parse(&text, Path::new("/etc/ha/ha.toml"), &config::Facts::default()).unwrap().config;
        let mut node = Node::new(Instant::ZERO, &config).status();
        node.instances[0].role = Role::Master;
        let status = watch::Sender::new(Arc::new(node));
        let (done_sender, done) = channel(256);
        let (said_sender, said) = channel(256);
        let hand = Arc::new(Hand { done: done_sender, open: Mutex::default(), opened: Condvar::new() });
        let runner = Arc::clone(&hand);
        let known: Arc<RwLock<BTreeMap<String, Policy>>> = Arc::default();
        let found = Arc::clone(&known);
        let engine = Engine::new();
        let bench = Bench {
            engine: engine.clone(),
            performer: Arc::clone(&hand) as Arc<dyn Performer>,
            events: crate::daemon::events::Events::start(&config.events, |_| ()),
            run: Arc::new(move |program, _| runner.run(program)),
            clock: Arc::new(DriverClock::default()),
            status: status.subscribe(),
            started: Instant::ZERO,
            find: Arc::new(move |name| found.read().unwrap().get(name).cloned()),
            say: Arc::new(move |said| drop(said_sender.try_send(said))),
        };
        let hooks = Hooks::start(bench, &config);
        let stage = Self { config, hooks, hand, engine, policies: known, done, said, status };
        policies.iter().for_each(|(name, source)| stage.load(name, source));
        stage
    }

    fn load(&self, name: &str, source: &str) {
        let policy = Policy::load(&self.engine, name, name, source).unwrap();
        self.policies.write().unwrap().insert(name.to_owned(), policy);
    }

    fn becomes(&self, to: Role, reason: &str) {
        let event = Event::Transition { from: Role::Backup, to, reason: reason.to_owned() };
        self.hooks.happened(&Journal { at: Instant::ZERO, instance: "VI_1".to_owned(), event });
    }

    /// The next thing that was done.
    async fn next(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.done.recv()).await.expect("nothing was done").unwrap()
    }

    fn open(&self) {
        *self.hand.open.lock().unwrap() = true;
        self.hand.opened.notify_all();
    }

    /// Nothing more is done.
    async fn is_over(&mut self) {
        self.hooks.stop(PATIENCE).await;
        assert!(self.done.try_recv().is_err());
    }

    /// The next alarm that began (true) or ended.
    async fn alarm(&mut self) -> (bool, Condition) {
        loop {
            match tokio::time::timeout(PATIENCE, self.said.recv()).await.expect("nothing was said").unwrap() {
                Said::Journal(Journal { event: Event::Raised(condition), .. }) => return (true, condition),
                Said::Journal(Journal { event: Event::Cleared(condition), .. }) => return (false, condition),
                Said::Journal(_) | Said::Release { .. } => {}
            }
        }
    }

    async fn release(&mut self) -> ReleaseHook {
        loop {
            let said = tokio::time::timeout(PATIENCE, self.said.recv()).await.expect("nothing was said").unwrap();
            if let Said::Release { release, .. } = said {
                return release;
            }
        }
    }
}

fn report(policy: &str, generation: u64) -> Report {
    Report {
        policy: policy.to_owned(),
        generation,
        started_at: Instant::ZERO,
        elapsed: Duration::ZERO,
        followed_within: None,
        verdict: Verdict::Healthy { delta: 0, note: String::new() },
        rules: vec![],
        observed_ok: true,
        may_take_over: None,
        error: None,
    }
}

#[tokio::test]
async fn one_at_a_time_and_a_newer_transition_takes_the_place_of_one_that_waits() {
    let source = "fn on_master(ev) { alert(ev.reason); } fn on_backup(ev) { alert(ev.reason); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.becomes(Role::Master, "wait");
    assert_eq!(stage.next().await, "alert wait");
    for (role, reason) in [(Role::Backup, "two"), (Role::Master, "three"), (Role::Master, "four")] {
        stage.becomes(role, reason);
    }
    assert!(stage.done.try_recv().is_err(), "one at a time");
    stage.open();
    assert_eq!(stage.next().await, "alert four");
    stage.is_over().await;
}

#[tokio::test]
async fn ordered_keeps_every_transition() {
    let source = "const ORDERED = true; fn on_master(ev) { alert(ev.reason); }";
    let mut stage = Stage::new(&[("a", source)]);
    for reason in ["wait", "two", "three"] {
        stage.becomes(Role::Master, reason);
    }
    assert_eq!(stage.next().await, "alert wait");
    stage.open();
    assert_eq!((stage.next().await, stage.next().await), ("alert two".to_owned(), "alert three".to_owned()));
    stage.is_over().await;
}

#[tokio::test]
async fn what_waits_runs_with_the_version_that_runs_by_then() {
    let source = |text: &str| format!("fn on_master(ev) {{ alert(ev.reason); alert(\"{text}\"); }}");
    let mut stage = Stage::new(&[("a", &source("old"))]);
    stage.becomes(Role::Master, "wait");
    assert_eq!(stage.next().await, "alert wait");
    stage.becomes(Role::Master, "again");
    stage.load("a", &source("new"));
    stage.open();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(stage.next().await);
    }
    assert_eq!(told, ["alert old", "alert again", "alert new"], "and the one in flight ends with the old one");
}

#[tokio::test]
async fn a_hook_that_fails_is_an_alarm_until_it_succeeds() {
    for (broken, why) in [
        ("alert(\"x\"); throw \"no way\";", "no way"),
        ("alert(\"panic\");", "a fault inside ha itself"),
        ("alert(ev.reeson);", "reeson"),
        ("loop { }", "endless loop"),
    ] {
        let mut stage = Stage::new(&[("a", &format!("fn on_master(ev) {{ {broken} }}"))]);
        stage.becomes(Role::Master, "it leads");
        let (began, condition) = stage.alarm().await;
        assert!(began && condition.name == "hook_failed" && condition.text.contains(why), "{}", condition.text);
        stage.load("a", "fn on_master(ev) { alert(\"well\"); }");
        stage.becomes(Role::Master, "it leads again");
        assert_eq!(stage.alarm().await, (false, condition));
    }
}

/// What a node is not set up for does not pass with time: whoever wrote it has to know.
#[tokio::test]
async fn an_action_that_is_refused_is_an_alarm() {
    let mut stage = Stage::new(&[("a", "fn on_master(ev) { run([\"/not/listed\"]); }")]);
    stage.becomes(Role::Master, "it leads");
    let (began, condition) = stage.alarm().await;
    assert!(began && condition.name == "hook_failed", "{condition:?}");
    assert_eq!(
        condition.text,
        "on_master of policy a: run /not/listed was refused: not listed. The address is not affected; look at the configuration"
    );
    stage.load("a", "fn on_master(ev) { alert(\"well\"); }");
    stage.becomes(Role::Master, "it leads again");
    assert_eq!(stage.alarm().await, (false, condition));
}

/// The node does not wait longer than a second either, whatever becomes of it.
#[tokio::test]
async fn a_hook_that_hangs_is_left_behind_and_the_next_one_runs() {
    let source = "fn on_release(ev) { alert(\"wait\"); } fn on_master(ev) { alert(\"well\"); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.hooks.before_release("VI_1", "stopped", FIRST);
    stage.becomes(Role::Master, "again");
    assert_eq!(stage.next().await, "alert wait");
    let (began, condition) = stage.alarm().await;
    assert!(began && condition.text.contains("did not come back within 1s"), "{}", condition.text);
    assert_eq!(stage.next().await, "alert well");
    stage.open();
}

fn without_instances() -> Config {
    let mut config = config::fixture::pair().0;
    config.instances.clear();
    config
}

const FIRST: Instant = Instant::from_epoch(Duration::from_secs(1));
const SECOND: Instant = Instant::from_epoch(Duration::from_secs(2));

/// R18: the release of an instance that is taken out of the configuration is a planned one.
#[tokio::test]
async fn r18_an_instance_that_is_taken_away_says_farewell() {
    let source = "fn on_release(ev) { alert(`release ${ev.reason}`); } fn on_fault(ev) { alert(\"fault\"); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.becomes(Role::Master, "leads");
    stage.hooks.reconfigure(&without_instances());
    // The library does not have it any more either.
    stage.policies.write().unwrap().clear();
    stage.hooks.before_release("VI_1", "the daemon stops", FIRST);
    assert_eq!(stage.next().await, "alert release the daemon stops");
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: FIRST });
    stage.becomes(Role::Fault, "stopped");
    stage.hooks.reconfigure(&without_instances());
    stage.hooks.before_release("VI_1", "again", SECOND);
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: SECOND }, "it has gone");
    assert!(stage.done.try_recv().is_err(), "no fault, and no second release");
}

#[tokio::test]
async fn on_release_comes_first_and_says_when_it_is_done() {
    let source = "fn on_release(ev) { alert(`release ${ev.reason}`); } fn on_master(ev) { alert(ev.reason); }";
    let mut stage = Stage::new(&[("a", source), ("b", source)]);
    stage.hooks.judged("VI_1", &report("a", 1));
    assert_eq!(stage.release().await, ReleaseHook::Present);
    stage.becomes(Role::Master, "wait");
    assert_eq!(stage.next().await, "alert wait");
    stage.hooks.before_release("VI_1", "stopped", FIRST);
    stage.open();
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(stage.next().await);
    }
    assert_eq!(told, ["alert release stopped", "alert release stopped", "alert wait"]);
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: FIRST });
    for (name, known) in [("a", ReleaseHook::Present), ("b", ReleaseHook::Absent)] {
        stage.load(name, "fn on_master(ev) {}");
        stage.hooks.judged("VI_1", &report(name, 2));
        if known == ReleaseHook::Absent {
            assert_eq!(stage.release().await, known, "told once it is so");
        }
    }
    stage.hooks.before_release("VI_1", "stopped", SECOND);
    assert_eq!(stage.release().await, ReleaseHook::Finished { asked_at: SECOND }, "nothing to wait for");
}

/// What the node publishes may be a turn behind what a hook is told.
#[tokio::test]
async fn a_hook_finds_the_node_in_the_role_that_it_is_told() {
    let source = "fn on_backup(ev) { alert(node.state); } fn on_release(ev) { alert(node.state); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.hooks.before_release("VI_1", "stopped", FIRST);
    assert_eq!(stage.next().await, "alert master");
    stage.becomes(Role::Backup, "another leads");
    tokio::time::sleep(Duration::from_millis(20)).await;
    stage.status.send_modify(|status| Arc::make_mut(status).instances[0].role = Role::Backup);
    assert_eq!(stage.next().await, "alert backup");
}

#[tokio::test]
async fn a_repair_does_not_wait_for_a_hook() {
    let source = "
fn check() { require(\"web\", false); heal(\"web\", || service_restart(\"web\"), #{ after: 1 }); }
fn on_master(ev) { alert(\"wait\"); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.becomes(Role::Master, "it leads");
    assert_eq!(stage.next().await, "alert wait");
    let policy = stage.policies.read().unwrap()["a"].clone();
    let mut judge = crate::policy::Judge::new();
    let clock: Arc<dyn Clock> = Arc::new(DriverClock::default());
    let prober: Arc<dyn crate::policy::probe::Prober> =
        Arc::new(crate::probe::RealProber::new(tokio::runtime::Handle::current()));
    judge.evaluate(&stage.engine, &policy, 1, &crate::policy::Context::default(), &prober, &clock);
    for healing in judge.take_heals() {
        stage.hooks.heal("VI_1", &policy, healing);
    }
    assert_eq!(stage.next().await, "service_restart web");
    stage.open();
}

#[tokio::test]
async fn the_end_runs_on_stop_and_no_fault() {
    let source = "fn on_stop(ev) { alert(`${ev.from}: ${ev.reason}`); } fn on_fault(ev) { alert(\"fault\"); }";
    let mut stage = Stage::new(&[("a", source)]);
    stage.hooks.leave();
    stage.becomes(Role::Fault, "stopped by its operator");
    stage.hooks.stop(PATIENCE).await;
    assert_eq!(stage.next().await, "alert fault: the daemon stops");
    assert!(stage.done.try_recv().is_err());
}
