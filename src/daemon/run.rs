//! `ha run`: starts everything, then carries messages between the protocol thread and the rest of the world.

mod agreed;
mod answer;
mod end;
mod groundwork;
mod handing;
mod parts;
mod reader;
mod reload;
mod restart;
mod scribe;
mod signals;
mod starting;
mod wants;

use std::{
    io::ErrorKind,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::{
    answer::Answerer,
    groundwork::{Groundwork, Site, laid},
    reader::Reader,
    reload::LOOK_TIME,
    signals::{Signals, Wanted},
    starting::Starting,
    wants::{Want, Wants},
};
use super::{
    boot::{self, Booted},
    hooks::{Alarm, Hooks, RealPerformer},
    journal::{self, Journal},
    keeper::Keeper,
    leftovers,
    locks::Locks,
    mail::{Alert, Letter, Mailer, Transition, letter},
    networks::{Networks, Superior},
    origin::Origin,
    policies::{Library, Policies},
    privileges,
    protocol::{Message, Protocol},
    refusal::Refusal,
    store::{self, Store},
    tracking::Tracking,
    witness::{Wishes, Witness},
};
use crate::{
    config::Config,
    control::{
        Cleared, Feed, Request, Server, Status,
        protocol::{By, Configuration, millis},
    },
    linux::{BootClock, Monitor, lock_memory, return_large_buffers, time_status},
    node::{Condition, Event, Journal as Entry, NodeStatus, RULE_ALERT},
    policy::{STACK, action::AlertLevel},
    probe::RealProber,
    words::Instant,
};

/// What becomes of a configuration that is refused.
const KEPT: &str = "keeping the previous configuration";
/// Requests of clients that wait at most.
const REQUESTS: usize = 16;
/// How often alarms are looked at that may have to be repeated.
const REMIND: Duration = Duration::from_secs(30);
/// Alerts of policies that wait at most.
const ALARMS: usize = 64;
/// How long the processes in other networks may take to do what a client wants.
const ASK_TIME: Duration = Duration::from_millis(1500);
/// How long a status waits for what is on disk.
const DIFFERS_TIME: Duration = Duration::from_millis(500);
/// How long the protocol thread may take to say how it is.
const STATUS_TIME: Duration = Duration::from_secs(1);

/// Runs until it is told to stop. Exit codes: 0 stopped in order, 70 the protocol thread failed, 71 the machine does not
/// give what is needed, 75 another daemon is in the way, or a key that the configuration names does not come, 78 the
/// configuration.
#[must_use]
pub fn run(origin: &Origin) -> ExitCode {
    journal::init(origin.network());
    if origin.network().is_some() {
        // Else it would be called "exe", by the way it was started. A name is no reason to fail.
        let _ = rustix::thread::set_name(c"ha");
    }
    let code = match in_runtime(origin) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            tracing::error!(
                "the protocol thread failed; leaving, so that the addresses are let go and the service manager starts anew"
            );
            ExitCode::from(70)
        }
        Err(refusal) => refusal.told(),
    };
    journal::finish();
    code
}

/// One thread: everything on it waits most of the time, and what computes has threads of its own. A probe that hangs does
/// not keep the daemon from leaving.
fn in_runtime(origin: &Origin) -> Result<bool, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().thread_stack_size(STACK).enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::machine("the runtime cannot be started", &error))?;
    let ended = runtime.block_on(async {
        let signals = Signals::take()?;
        Ok(Daemon::start(origin)?.serve(signals).await)
    });
    runtime.shutdown_background();
    ended
}

/// Everything that runs, and what it runs by.
struct Daemon {
    origin: Origin,
    clock: BootClock,
    started_at: Instant,
    /// What this process does of the configuration.
    config: Arc<Config>,
    /// All of it.
    whole: Arc<Config>,
    /// Who works in the networks of the other instances.
    networks: Networks,
    /// For whom this process works in a network, if it does.
    superior: Superior,
    sha256: String,
    loaded_at: Instant,
    /// Runs by the last good configuration because the file is broken.
    last_good: bool,
    state_lock: Option<store::Lock>,
    /// The state directory, and who writes there.
    site: Site,
    /// A reload that waits for its disk.
    laying: Option<JoinHandle<Groundwork>>,
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
    /// Who reads the configuration, and for whom.
    reader: Reader,
    wants: Wants,
    /// Who looks at the policies, for those who ask for it.
    looks: Reader,
    /// What was judged last, for the daemon that this process works for.
    agreed: agreed::Agreed,
    /// What is held is left to the process after this one.
    left: bool,
}

impl Daemon {
    /// Must be called inside the runtime.
    fn start(origin: &Origin) -> Result<Self, Refusal> {
        return_large_buffers();
        let starting = Starting::watch(format!("the configuration {}", origin.path().display()))?;
        let clock = BootClock;
        let superior = Superior::of(origin).map_err(|error| Refusal::machine("only ha itself starts this", &error))?;
        let Booted { loaded, whole, text, last_good } = boot::inside(origin)?;
        let (config, whole) = (Arc::new(loaded.config), Arc::new(whole));
        starting.waits_for(format!("the state directory {}", config.control.state_dir.display()));
        // While this may still be root.
        if config.lock_memory
            && let Err(why) = lock_memory()
        {
            tracing::warn!("{why}");
        }
        let found = Networks::find(&whole, origin);
        privileges::change_user(&whole, &origin.path()).map_err(Refusal::Machine)?;
        let mut networks = Networks::enter(found, &whole, origin)
            .map_err(|error| Refusal::machine("no thread for a network namespace", &error))?;
        privileges::stay(&whole).map_err(Refusal::Machine)?;
        let store = Store::open(&config.control.state_dir)
            .map_err(|error| Refusal::machine("the state directory cannot be used", &error))?;
        let state_lock = match store.lock() {
            Ok(lock) => Some(lock),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(Refusal::Busy(format!("the state directory is in use: {error}")));
            }
            Err(error) => {
                tracing::warn!(
                    "the state directory cannot be locked: {error}; ha goes on, and remembers nothing there"
                );
                None
            }
        };
        let locks = Locks::take(&config).map_err(Refusal::Busy)?;
        for warning in &loaded.warnings {
            tracing::warn!("{}", warning.what());
        }
        let before = leftovers::take_over(&store, &config).map_err(Refusal::Machine)?;
        // This is the process it was left to.
        if let Err(error) = store.record_left(None) {
            tracing::warn!("the record of what was left to this process cannot be removed: {error}");
        }
        let keeping = boot::remembered(&store, origin, &config);
        // It would not be confined.
        starting.end();
        privileges::confine_as_wanted(&whole, origin).map_err(Refusal::Machine)?;
        journal::detach();
        let (keeper, complaint) = Keeper::start();
        if let Some(complaint) = complaint {
            tracing::warn!("{complaint}");
        }
        let wishes = Wishes::default();
        let protocol = parts::start_protocol(&config, keeper, wishes.clone(), &before)?;
        let prober = RealProber::new(Handle::current());
        prober.permit(&config.permits);
        prober.read_time_by(time_status);
        let (alarm, alarms) = mpsc::channel(ALARMS);
        let performer = Arc::new(RealPerformer::new(prober.clone(), &config, move |told| alarm.try_send(told).is_ok()));
        let library: Arc<OnceLock<Arc<Library>>> = Arc::default();
        let hooks = parts::start_hooks(&config, &performer, &library, &protocol);
        let policies = parts::start_policies(&config, &prober, &store, keeping, &protocol, &hooks)?;
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
        networks.launch(protocol.mailbox.clone(), feed.clone());
        let (mailer, reader) = (parts::mailer(&config), Reader::default());
        let now = clock.now();
        tracing::info!(
            "node {}: {} instances, configuration {}",
            config.node,
            config.instances.len(),
            origin.path().display()
        );
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        let site = Site::new(store, locks);
        drop(site.keep(text));
        Ok(Self {
            origin: origin.clone(),
            clock,
            started_at: now,
            config,
            whole,
            networks,
            superior,
            sha256: loaded.sha256,
            loaded_at: now,
            last_good,
            state_lock,
            site,
            laying: None,
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
            wants: Wants::start(origin, &reader),
            reader,
            looks: Reader::default(),
            agreed: agreed::Agreed::default(),
            left: false,
        })
    }

    /// Until the protocol thread has ended; says whether it ended because it was asked to.
    async fn serve(mut self, mut signals: Signals) -> bool {
        let mut remind = tokio::time::interval(REMIND);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                wanted = signals.next() => self.obey(wanted, &mut stopping).await,
                () = self.superior.ended() => self.left_alone(&mut stopping),
                told = self.protocol.told.recv() => match told {
                    Some(told) => self.hear(told),
                    None => break,
                },
                laid = laid(&mut self.laying) => if let Some(groundwork) = laid { self.reload_upon(groundwork, stopping) },
                Some(read) = self.wants.next(), if self.laying.is_none() => self.go_on(read, stopping).await,
                Some(request) = self.requests.recv() => self.answer(request, &mut stopping).await,
                Some(alarm) = self.alarms.recv() => raise(&self.config.node, self.mailer.as_ref(), &alarm),
                _ = remind.tick() => self.journal.remind(self.clock.now()),
            }
        }
        let wanted = stopping || self.left;
        self.end().await && wanted
    }

    async fn obey(&mut self, wanted: Wanted, stopping: &mut bool) {
        match wanted {
            Wanted::Terminate => self.terminate(stopping).await,
            Wanted::Stop => self.stop(stopping),
            Wanted::Reload => self.want(Want::Reload { by: None, sha256: None, reply: None }, *stopping).await,
            Wanted::Nothing(name) => {
                tracing::info!(
                    "{name} changes nothing, and ha writes no file for it: `ha status` shows how this node is"
                );
            }
        }
    }

    fn stop(&mut self, stopping: &mut bool) {
        let how = if *stopping { "at once" } else { "in order: handing over what can be handed over" };
        tracing::info!("stopping {how}");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        *stopping = true;
        self.networks.stop();
        self.hooks.leave();
        self.protocol.mailbox.post(Message::Stop);
    }

    /// The daemon for which this process works in its network has ended, or wants it to stop.
    fn left_alone(&mut self, stopping: &mut bool) {
        if !*stopping && !self.left {
            self.stop(stopping);
        }
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
                    self.complete(status, reply);
                }
            }
            Request::Reload(uid, sha256, reply) => {
                let want = Want::Reload { by: Some(By::Command { uid }), sha256, reply: Some(reply) };
                self.want(want, *stopping).await;
            }
            Request::WouldReload(sha256, reply) => self.want(Want::Judge { sha256, reply }, *stopping).await,
            Request::Policy { policy, wanted, uid, reply } => {
                let (library, looks) = (self.policies.library(), self.looks.clone());
                Answerer { library, looks, time: LOOK_TIME, policy, uid }.start(wanted, reply);
            }
            Request::Clear(clear, reply) => {
                let mut cleared = Cleared::new(self.policies.clear(&clear));
                let asked = self.networks.ask(ASK_TIME, move |client| client.clear(&clear));
                tokio::spawn(async move {
                    asked.await.into_iter().filter_map(|(_, other)| other.ok()).for_each(|it| cleared.absorb(it));
                    let _ = reply.send(cleared);
                });
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

    /// Answers with what others know: those who work in other networks, and the disk.
    fn complete(&self, status: Status, reply: oneshot::Sender<Status>) {
        let (reader, origin, sha256) = (self.reader.clone(), self.origin.clone(), self.sha256.clone());
        let others = self.networks.complete(status);
        tokio::spawn(async move {
            let differs = reader.read(DIFFERS_TIME, move |_| origin.differs(&sha256));
            let (mut status, differs) = tokio::join!(others, differs);
            match differs {
                Ok(differs) => status.configuration.differs |= differs,
                Err(why) => status.configuration.unread = Some(why.to_string()),
            }
            // A client that has gone gets nothing; nobody else minds.
            let _ = reply.send(status);
        });
    }

    /// `None` while the protocol thread does not answer. What is on disk is not looked at yet.
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
                differs: false,
                unread: None,
            },
            policies: self.policies.status(now),
            history: self.journal.history(now),
            ..self.hooks.counted(Status::from(&node))
        })
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
