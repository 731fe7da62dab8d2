//! `ha run`: starts everything, then carries messages between the protocol thread and the rest of the world.

mod handing;
mod restart;

use std::{
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::{
    answer,
    boot::{self, Booted},
    events::Events,
    hooks::{self, Alarm, Hooks, RealPerformer},
    journal::{self, Journal},
    keeper::Keeper,
    leftovers,
    locks::Locks,
    mail::{Alert, Letter, Mailer, Transition, letter},
    origin::Origin,
    policies::{DriverClock, Library, Policies, Said, Surroundings},
    privileges,
    protocol::{Mailbox, Message, Protocol},
    refusal::Refusal,
    store::{self, Record, Store},
    tracking::Tracking,
    witness::{Wishes, Witness},
};
use crate::{
    config::Config,
    control::{
        Cleared, Feed, Reload, Request, Server, Status,
        protocol::{By, Configuration, millis},
    },
    linux::{BootClock, Monitor, lock_memory, realtime, return_large_buffers, time_status},
    node::{Condition, Event, Journal as Entry, NodeStatus, RULE_ALERT},
    policy::STACK,
    policy::{
        Clock, Engine,
        action::{AlertLevel, Performer},
    },
    probe::RealProber,
    words::Instant,
};

/// Requests of clients that wait at most.
const REQUESTS: usize = 16;
/// How often alarms are looked at that may have to be repeated.
const REMIND: Duration = Duration::from_secs(30);
/// How long a stopping daemon waits for its last mails.
const MAIL_PATIENCE: Duration = Duration::from_secs(5);
/// How long a stopping daemon waits for its last hooks.
const HOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Alerts of policies that wait at most.
const ALARMS: usize = 64;
/// How long the protocol thread may take to say how it is.
const STATUS_TIME: Duration = Duration::from_secs(1);

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 70 the protocol thread failed, 71 the machine does not
/// give what is needed, 75 another daemon is in the way, 78 the configuration.
#[must_use]
pub fn run(origin: &Origin) -> ExitCode {
    journal::init();
    match in_runtime(origin) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tracing::error!(
                "the protocol thread failed; leaving, so that the addresses are let go and the service manager starts anew"
            );
            ExitCode::from(70)
        }
        Err(refusal) => refusal.told(),
    }
}

/// One thread: everything on it waits most of the time, and what computes has threads of its own. A probe that hangs does
/// not keep the daemon from leaving.
fn in_runtime(origin: &Origin) -> Result<bool, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().thread_stack_size(STACK).enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::machine("the runtime cannot be started", &error))?;
    let ended = runtime.block_on(async { Daemon::start(origin)?.serve().await });
    runtime.shutdown_background();
    ended
}

/// Everything that runs, and what it runs by.
struct Daemon {
    origin: Origin,
    clock: BootClock,
    started_at: Instant,
    config: Arc<Config>,
    sha256: String,
    loaded_at: Instant,
    /// Runs by the last good configuration because the file is broken.
    last_good: bool,
    store: Store,
    _state_lock: store::Lock,
    locks: Locks,
    journal: Journal,
    mailer: Option<Mailer>,
    prober: RealProber,
    performer: Arc<RealPerformer>,
    hooks: Hooks,
    alarms: mpsc::Receiver<Alarm>,
    policies: Policies,
    protocol: Protocol,
    tracking: Tracking,
    witness: Witness,
    _monitor: Monitor,
    requests: mpsc::Receiver<Request>,
    /// What is held is left to the process after this one.
    left: bool,
}

impl Daemon {
    /// Must be called inside the runtime.
    fn start(origin: &Origin) -> Result<Self, Refusal> {
        return_large_buffers();
        let clock = BootClock;
        let Booted { loaded, text, last_good } = boot::inside(origin)?;
        let config = Arc::new(loaded.config);
        // While this may still be root.
        if config.lock_memory
            && let Err(why) = lock_memory()
        {
            tracing::warn!("{why}");
        }
        privileges::change_user(&config, &origin.path()).map_err(Refusal::Machine)?;
        let store = Store::open(&config.control.state_dir)
            .map_err(|error| Refusal::machine("the state directory cannot be used", &error))?;
        let state_lock =
            store.lock().map_err(|error| Refusal::Busy(format!("the state directory is in use: {error}")))?;
        let locks = Locks::take(&config).map_err(Refusal::Busy)?;
        for warning in &loaded.warnings {
            tracing::warn!("{}", warning.what());
        }
        let before = leftovers::take_over(&store, &config).map_err(Refusal::Machine)?;
        // This is the process it was left to.
        if let Err(error) = store.record_left(None) {
            tracing::warn!("the record of what was left to this process cannot be removed: {error}");
        }
        privileges::confine_as_wanted(&config, origin).map_err(Refusal::Machine)?;
        let (keeper, complaint) = Keeper::start();
        if let Some(complaint) = complaint {
            tracing::warn!("{complaint}");
        }
        let wishes = Wishes::default();
        let protocol = start_protocol(&config, keeper, wishes.clone(), &before)?;
        let prober = RealProber::new(Handle::current());
        prober.permit(&config.permits);
        prober.read_time_by(time_status);
        let (alarm, alarms) = mpsc::channel(ALARMS);
        let performer = Arc::new(RealPerformer::new(prober.clone(), &config, move |told| alarm.try_send(told).is_ok()));
        let library: Arc<OnceLock<Arc<Library>>> = Arc::default();
        let hooks = start_hooks(&config, &performer, &library, &protocol);
        let policies = start_policies(&config, &prober, &store, &protocol, &hooks)?;
        // Whoever starts them is the first to need it.
        let _ = library.set(policies.library());
        let tracking = Tracking::start(&config, protocol.mailbox.clone())
            .map_err(|error| Refusal::machine("the files that are tracked cannot be watched", &error))?;
        let witness = Witness::start(&config, wishes, protocol.mailbox.clone(), prober.clone())
            .map_err(|error| Refusal::machine("the witness cannot be asked", &error))?;
        let seen = protocol.mailbox.clone();
        let monitor = Monitor::start(move |event| seen.post(Message::Seen(event)))
            .map_err(|error| Refusal::machine("the network of this machine cannot be watched", &error))?;
        let (sender, requests) = mpsc::channel(REQUESTS);
        let server = Server::bind(&config.control.socket)
            .map_err(|error| Refusal::machine("the control socket cannot be made", &error))?;
        let feed = Feed::default();
        tokio::spawn(server.serve(sender, feed.clone()));
        if let Err(error) = boot::keep(&store, &text) {
            tracing::warn!("the configuration cannot be kept for a boot with a broken file: {error}");
        }
        let mailer = mailer(&config);
        let now = clock.now();
        tracing::info!(
            "node {}: {} instances, configuration {}",
            config.node,
            config.instances.len(),
            origin.path().display()
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        Ok(Self {
            origin: origin.clone(),
            clock,
            started_at: now,
            config,
            sha256: loaded.sha256,
            loaded_at: now,
            last_good,
            store,
            _state_lock: state_lock,
            locks,
            journal: Journal::new(feed),
            mailer,
            prober,
            performer,
            hooks,
            alarms,
            policies,
            protocol,
            tracking,
            witness,
            _monitor: monitor,
            requests,
            left: false,
        })
    }

    /// Until the protocol thread has ended; says whether it ended because it was asked to.
    async fn serve(mut self) -> Result<bool, Refusal> {
        let signals = |kind| signal(kind).map_err(|error| Refusal::machine("signals cannot be had", &error));
        let mut terminate = signals(SignalKind::terminate())?;
        let mut interrupt = signals(SignalKind::interrupt())?;
        let mut hangup = signals(SignalKind::hangup())?;
        let mut remind = tokio::time::interval(REMIND);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => self.terminate(&mut stopping).await,
                _ = interrupt.recv() => self.stop(&mut stopping),
                told = self.protocol.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => break,
                },
                Some(request) = self.requests.recv() => self.answer(request, &mut stopping).await,
                Some(alarm) = self.alarms.recv() => raise(&self.config.node, self.mailer.as_ref(), &alarm),
                _ = hangup.recv() => self.reload(None, |reload| boot::tell(&reload)),
                _ = remind.tick() => self.journal.remind(self.clock.now()),
            }
        }
        let in_order = self.protocol.join();
        self.witness.finish(self.left);
        self.policies.keep();
        if self.left {
            self.hooks.finish(HOOK_PATIENCE).await;
        } else {
            self.hooks.stop(HOOK_PATIENCE).await;
        }
        while let Ok(alarm) = self.alarms.try_recv() {
            raise(&self.config.node, self.mailer.as_ref(), &alarm);
        }
        if in_order
            && !self.left
            && let Err(error) = self.store.record_held(&[])
        {
            tracing::warn!("{}", leftovers::unrecorded(&error));
        }
        if let Some(mailer) = self.mailer.take() {
            // What could not be sent in time was told by the mailer.
            let _ = mailer.finish(MAIL_PATIENCE);
        }
        Ok((stopping || self.left) && in_order)
    }

    fn stop(&self, stopping: &mut bool) {
        let how = if *stopping { "at once" } else { "in order: handing over what can be handed over" };
        tracing::info!("stopping {how}");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        *stopping = true;
        self.hooks.leave();
        self.protocol.mailbox.post(Message::Stop);
    }

    fn record(&mut self, entry: &Entry) {
        self.journal.record(entry);
        let moved = self.hooks.happened(entry);
        let group = moved.map(|moved| letter::of_group(&self.config.node, &moved, jiff::Timestamp::now()));
        if let Some(mailer) = &self.mailer {
            self.letter(entry).into_iter().chain(group).for_each(|letter| mailer.send(letter));
        }
    }

    /// What somebody is to be written, if anything.
    fn letter(&self, entry: &Entry) -> Option<Letter> {
        let (node, name, at) = (self.config.node.as_str(), entry.instance.as_str(), jiff::Timestamp::now());
        let alert = |condition: &Condition, over| {
            let alert = Alert { node, instance: name, text: &condition.text, over, at };
            (condition.name == RULE_ALERT).then(|| alert.letter())
        };
        match &entry.event {
            Event::Transition { from, to, reason } => {
                let instance = self.config.instances.iter().find(|instance| instance.name == name);
                let addresses = &*instance.map(|instance| instance.all_addresses()).unwrap_or_default();
                Some(Transition { node, instance: name, from: *from, to: *to, reason, at, addresses }.letter())
            }
            Event::Raised(condition) => alert(condition, false),
            Event::Cleared(condition) => alert(condition, true),
            Event::Priority { .. } | Event::Note(_) | Event::LowerHeard { .. } => None,
        }
    }

    async fn answer(&mut self, request: Request, stopping: &mut bool) {
        match request {
            // A client that has gone gets nothing; nobody else minds.
            Request::Status(reply) => {
                if let Some(status) = self.status().await {
                    let _ = reply.send(status);
                }
            }
            Request::Reload(uid, reply) => self.reload(Some(By::Command { uid }), move |reload| {
                boot::tell(&reload);
                let _ = reply.send(reload);
            }),
            Request::Policy { policy, wanted, uid, reply } => {
                let library = self.policies.library();
                tokio::task::spawn_blocking(move || {
                    let _ = reply.send(answer::about(&library, &policy, wanted, uid));
                });
            }
            Request::Clear(clear, reply) => {
                let _ = reply.send(Cleared::new(self.policies.clear(&clear)));
            }
            Request::Restart(reply) => {
                let _ = reply.send(self.leave().await);
            }
            Request::Stop(reply) => {
                self.stop(stopping);
                let _ = reply.send(());
            }
        }
    }

    /// `None` while the protocol thread does not answer.
    async fn status(&self) -> Option<Status> {
        let (sender, receiver) = oneshot::channel::<NodeStatus>();
        self.protocol.mailbox.post(Message::Status(sender));
        let node = tokio::time::timeout(STATUS_TIME, receiver).await.ok()?.ok()?;
        let now = self.clock.now();
        let millis = |since: Instant| millis(now.saturating_since(since));
        Some(Status {
            netns: self.config.netns.as_ref().map(ToString::to_string),
            pid: std::process::id(),
            uptime_ms: millis(self.started_at),
            configuration: Configuration {
                path: self.origin.path().display().to_string(),
                age_ms: millis(self.loaded_at),
                last_good: self.last_good,
                differs: self.origin.differs(&self.sha256),
            },
            policies: self.policies.status(now),
            history: self.journal.history(now),
            ..self.hooks.counted(Status::from(&node))
        })
    }

    /// All or nothing: a configuration that cannot be used changes nothing. The policies are looked at elsewhere, for their
    /// own tests are run; `answer` is called with everything that changed or was refused.
    fn reload(&mut self, by: Option<By>, answer: impl FnOnce(Reload) + Send + 'static) {
        match self.reload_configuration() {
            Ok(mut changes) => {
                let library = self.policies.library();
                tokio::task::spawn_blocking(move || {
                    let found = library.look(true, by.as_ref());
                    changes.extend(found.changes);
                    answer(Reload { remarks: found.remarks, ..Reload::new(changes, found.errors) });
                });
            }
            Err(why) => answer(Reload::new(Vec::new(), vec![why])),
        }
    }

    /// Says what changed, or why nothing did.
    fn reload_configuration(&mut self) -> Result<Vec<String>, String> {
        let kept = "keeping the previous configuration";
        let Booted { loaded, text, .. } =
            boot::from_file(&self.origin).map_err(|problems| problems.errors_first().with_outcome(kept).to_string())?;
        let new = Arc::new(loaded.config);
        if let Some(why) = privileges::objection(&self.config, &new) {
            return Err(format!("{why}; {kept}"));
        }
        boot::stays_inside(&self.config, &new).map_err(|why| format!("{why}; {kept}"))?;
        self.locks.exchange(&new).map_err(|busy| format!("{busy}; {kept}"))?;
        leftovers::record(&self.store, &new).map_err(|why| format!("{why}; {kept}"))?;
        let changes = boot::changes(&self.config, &new);
        self.hand_over(&new);
        self.prober.permit(&new.permits);
        self.performer.reconfigure(&new);
        self.hooks.reconfigure(&new);
        self.policies.reconfigure(&new);
        if let Err(error) = self.tracking.reconfigure(&new) {
            tracing::error!("the files that are tracked cannot be watched: {error}; they count as unknown");
        }
        if let Err(error) = self.witness.reconfigure(&new) {
            tracing::error!("the witness cannot be asked: {error}");
        }
        if self.config.mail != new.mail {
            self.mailer = mailer(&new);
        }
        self.config = new;
        self.sha256 = loaded.sha256;
        self.loaded_at = self.clock.now();
        self.last_good = false;
        if let Err(error) = boot::keep(&self.store, &text) {
            tracing::warn!("the configuration cannot be kept for a boot with a broken file: {error}");
        }
        Ok(changes)
    }
}

/// What a policy wants people to know.
fn raise(node: &str, mailer: Option<&Mailer>, alarm: &Alarm) {
    let text = format!("alert ({}): {}", alarm.level, alarm.text);
    match alarm.level {
        AlertLevel::Info => tracing::info!("{text}"),
        AlertLevel::Warning => tracing::warn!("{text}"),
        AlertLevel::Critical => tracing::error!("{text}"),
    }
    if let Some(mailer) = mailer {
        mailer.send(Letter::alert(node, &alarm.text, jiff::Timestamp::now()));
    }
}

fn start_protocol(config: &Config, keeper: Keeper, wishes: Wishes, before: &[Record]) -> Result<Protocol, Refusal> {
    let priority = config.realtime_priority;
    let prepare = move || {
        if let Some(why) = priority.and_then(|priority| realtime(priority).err()) {
            tracing::warn!("{why}");
        }
    };
    Protocol::start(config, keeper, wishes, before, prepare)
        .map_err(|error| Refusal::machine("the protocol thread cannot be started", &error))
}

/// Mail on transitions, if it is wanted. Without it the daemon serves all the same.
fn mailer(config: &Config) -> Option<Mailer> {
    match Mailer::start(config.mail.as_ref()?) {
        Ok(mailer) => Some(mailer),
        Err(error) => {
            tracing::error!("no mail on transitions: {error}; look at [mail] in the configuration");
            None
        }
    }
}

fn start_hooks(
    config: &Config,
    performer: &Arc<RealPerformer>,
    library: &Arc<OnceLock<Arc<Library>>>,
    protocol: &Protocol,
) -> Hooks {
    let (mailbox, library) = (protocol.mailbox.clone(), Arc::clone(library));
    let clock = DriverClock::default();
    let bench = hooks::Bench {
        engine: Engine::new(),
        performer: Arc::clone(performer) as Arc<dyn Performer>,
        run: Arc::new(hooks::run),
        events: Events::of_daemon(&config.events, protocol.mailbox.clone()),
        started: clock.now(),
        clock: Arc::new(clock),
        status: protocol.status.clone(),
        find: Arc::new(move |name| library.get()?.running(name)),
        say: Arc::new(move |said| match said {
            hooks::Said::Journal(entry) => mailbox.post(Message::Journal(entry)),
            hooks::Said::Release { instance, release } => mailbox.post(Message::Hooks { instance, release }),
        }),
    };
    Hooks::start(bench, config)
}

fn start_policies(
    config: &Config,
    prober: &RealProber,
    store: &Store,
    protocol: &Protocol,
    hooks: &Hooks,
) -> Result<Policies, Refusal> {
    let hooks = hooks.clone();
    let mailbox: Mailbox = protocol.mailbox.clone();
    let say = move |said| match said {
        Said::Judged { instance, report, news } => {
            hooks.judged(&instance, &report);
            let message = Message::Judged { instance, report };
            if news { mailbox.post(message) } else { mailbox.leave(message) }
        }
        Said::Heal { instance, policy, healing } => hooks.heal(&instance, &policy, healing),
        Said::NeverLoaded { instance, policy, why } => mailbox.post(Message::NeverLoaded { instance, policy, why }),
        Said::Journal(entry) => mailbox.post(Message::Journal(entry)),
    };
    let surroundings = Surroundings {
        clock: Arc::new(DriverClock::default()),
        prober: Arc::new(prober.clone()),
        store: store.clone(),
        status: protocol.status.clone(),
        say: Arc::new(say),
    };
    Policies::start(config, surroundings).map_err(|error| Refusal::machine("the policies cannot be watched", &error))
}
