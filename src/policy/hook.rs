//! Hooks: functions of a policy that run when something happened. They act, decide nothing, and never run where the
//! protocol does.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rhai::{Dynamic, Map};

use super::{
    Clock, Context, Engine, LogLevel, LogLine, Policy,
    action::{Action, Performed, Performer},
    context,
    evaluation::Frame,
    heal::Healing,
};
use crate::words::Instant;

/// Actions of one run.
const MOST_ACTIONS: usize = 64;
/// Lines that one run logs.
const MOST_LINES: usize = 64;

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// The instance became master and holds the address.
    Master,
    /// It became backup.
    Backup,
    /// It became fault.
    Fault,
    /// It is about to hand over in order, and still holds.
    Release,
    /// The daemon stops, and the address has gone.
    Stop,
    /// A rule went down or came up.
    Rule,
    /// Maintenance began or ended.
    Maintenance,
    /// Another version of the policy runs.
    Reload,
}

/// What a hook is told.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct HookEvent {
    /// The role before, `master`, `backup` or `fault`.
    pub from: String,
    /// The role now.
    pub to: String,
    /// Why.
    pub reason: String,
    /// The rules that are down.
    pub rules_down: Vec<String>,
    /// When, on the clock of `now`.
    pub at: Instant,
    /// Counts up within an instance.
    pub seq: u64,
    /// The rule it is about, for `on_rule`.
    pub rule: Option<RuleEvent>,
}

/// A rule that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleEvent {
    /// Its name.
    pub name: String,
    /// It came up.
    pub up: bool,
    /// Why.
    pub why: String,
}

/// What is to be run.
#[derive(Clone, Debug)]
pub enum Work {
    /// A hook of the policy.
    Hook(Hook, HookEvent),
    /// What `heal` was given.
    Heal(Healing),
}

/// What became of it.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// What was done, in order.
    pub performed: Vec<(Action, Performed)>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// Why it broke off, if it did.
    pub error: Option<String>,
}

impl Hook {
    /// Each of them, in the order in which they are explained.
    pub const ALL: [Self; 8] = [
        Self::Master,
        Self::Backup,
        Self::Fault,
        Self::Release,
        Self::Stop,
        Self::Rule,
        Self::Maintenance,
        Self::Reload,
    ];

    /// The function in a policy.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "on_master",
            Self::Backup => "on_backup",
            Self::Fault => "on_fault",
            Self::Release => "on_release",
            Self::Stop => "on_stop",
            Self::Rule => "on_rule",
            Self::Maintenance => "on_maintenance",
            Self::Reload => "on_reload",
        }
    }

    /// The hook that is called so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl HookEvent {
    /// `ev` in a script.
    fn to_script(&self, context: &Context) -> Map {
        let down = self.rules_down.iter().map(|rule| Dynamic::from(rule.clone())).collect();
        let mut map = Map::from([
            ("from".into(), self.from.clone().into()),
            ("to".into(), self.to.clone().into()),
            ("reason".into(), self.reason.clone().into()),
            ("rules_down".into(), Dynamic::from_array(down)),
            ("at".into(), self.at.since_epoch().as_secs_f64().into()),
            ("seq".into(), i64::try_from(self.seq).unwrap_or(i64::MAX).into()),
            ("instance".into(), context.node.instance.clone().into()),
            ("vip".into(), context.node.vip.clone().into()),
            ("priority".into(), i64::from(context.node.effective).into()),
            ("peer".into(), context.peers.first().map(|peer| peer.addr.clone()).unwrap_or_default().into()),
        ]);
        if let Some(rule) = &self.rule {
            map.insert("rule".into(), rule.name.clone().into());
            map.insert("up".into(), rule.up.into());
            map.insert("why".into(), rule.why.clone().into());
        }
        map
    }
}

/// One run while it goes on.
pub(super) struct HookRun {
    policy: Policy,
    facts: BTreeMap<&'static str, Dynamic>,
    iface: String,
    performer: Arc<dyn Performer>,
    clock: Arc<dyn Clock>,
    deadline_at: Instant,
    ran: Mutex<Ran>,
}

/// Runs a hook, or what `heal` was given: at most until `limit` from now, as far as the script computes and as the
/// performer keeps its word.
#[must_use]
pub fn run_hook(
    engine: &Engine,
    policy: &Policy,
    work: &Work,
    context: &Context,
    performer: &Arc<dyn Performer>,
    clock: &Arc<dyn Clock>,
    limit: Duration,
) -> Ran {
    let now = clock.now();
    let run = Arc::new(HookRun {
        policy: policy.clone(),
        facts: context::facts(context, now),
        iface: context.node.iface.clone(),
        performer: Arc::clone(performer),
        clock: Arc::clone(clock),
        deadline_at: now + limit,
        ran: Mutex::default(),
    });
    let (function, arguments) = match work {
        Work::Hook(hook, event) => {
            let takes = policy.hook_takes(*hook).unwrap_or_default();
            (hook.name(), vec![Dynamic::from_map(event.to_script(context)); takes])
        }
        Work::Heal(healing) => (healing.function(), healing.arguments()),
    };
    let call = || engine.call(policy, Frame::Hook(Arc::clone(&run)), clock, run.deadline_at, function, arguments);
    let result = catch_unwind(AssertUnwindSafe(call));
    let mut ran = std::mem::take(&mut *run.ran());
    ran.error = match result {
        Ok(result) => result.err().map(|error| policy.thrown_within(&error, limit).to_string()),
        Err(_) => Some("a fault inside ha itself, please report it".to_owned()),
    };
    ran
}

impl HookRun {
    pub(super) fn variable(&self, name: &str) -> Option<Dynamic> {
        self.facts.get(name).or_else(|| self.policy.constant(name)).cloned()
    }

    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    pub(super) fn iface(&self) -> &str {
        &self.iface
    }

    /// Has it done, in what is left of the time.
    ///
    /// # Errors
    ///
    /// There have been too many.
    pub(super) fn perform(&self, action: Action) -> Result<Performed, String> {
        if self.ran().performed.len() >= MOST_ACTIONS {
            return Err(format!("more than {MOST_ACTIONS} actions in one run"));
        }
        let left = self.deadline_at.saturating_since(self.clock.now());
        let performed = self.performer.perform(&action, left);
        self.ran().performed.push((action, performed.clone()));
        Ok(performed)
    }

    pub(super) fn log(&self, level: LogLevel, text: &str) {
        let mut ran = self.ran();
        if ran.log.len() < MOST_LINES {
            ran.log.push(LogLine { level, text: text.chars().take(1000).collect() });
        }
    }

    /// Never held while something is performed.
    fn ran(&self) -> MutexGuard<'_, Ran> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
