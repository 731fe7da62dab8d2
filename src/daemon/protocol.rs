//! The protocol thread: one plain thread that runs the node and nothing else.
//!
//! One turn: perform what the node wants, sleep until something is due or arrives, hand in every packet that is waiting,
//! then the clock. Everything slow lives elsewhere and arrives as a [`Message`]; what is to be known elsewhere leaves as
//! [`Told`]. Nothing here waits for anybody but the kernel.

mod sleep;

use std::{
    collections::BTreeSet,
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot, watch};

pub use super::mailbox::Mailbox;
use super::{equipment::Equipment, gates, keeper::Keeper, sockets::Sockets, store::Record, witness::Wishes};
use crate::{
    config::{Config, ProcessPattern, Renames},
    linux::{Alarm, BootClock, Drivers, Holder, MonitorEvent, Outcome, Waker, snapshot, wall_clock},
    node::{
        Command, Ears, Event, FileSays, Hold, Input, Journal, Node, NodeStatus, Output, Pace, ReleaseHook, Routes,
        Transmit, WitnessSays,
    },
    policy::Report,
    words::Instant,
};

/// Messages that wait at most, for which there is room from the start; whoever finds the box full waits.
const MAILBOX: usize = 256;
/// Things told that wait at most; what does not fit is dropped and counted.
pub const TOLD_MAX: usize = 4096;
/// Packets of one turn (R29).
const PACKETS_MAX: usize = 1024;
/// Messages of one turn.
const MESSAGES_MAX: usize = 256;
/// The status is published this often at least while anything goes on.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// The service manager hears this often that this thread runs, at a turn that is made anyway.
const WATCHDOG_EVERY: Duration = Duration::from_secs(1);
/// The wall clock may differ so much from what the node believes.
const CLOCK_SLACK: Duration = Duration::from_millis(1);

/// What other threads have for the node.
#[derive(Debug)]
pub enum Message {
    /// The network of this machine changed.
    Seen(MonitorEvent),
    /// A file that is tracked says this now.
    File { path: PathBuf, says: FileSays },
    /// So many processes that are tracked there are now.
    Processes { pattern: ProcessPattern, count: Result<u32, String> },
    /// What became of a round of questions to the witness.
    Witness(WitnessSays),
    /// A policy was evaluated.
    Judged { instance: String, report: Report },
    /// A policy never loaded.
    NeverLoaded { instance: String, policy: String, why: String },
    /// A new configuration. That the node has it is said, if somebody waits for that.
    Reload { config: Arc<Config>, taken: Option<SyncSender<()>> },
    /// What there is to do before a planned release, or that it is done.
    Hooks { instance: String, release: ReleaseHook },
    /// For the journal, in the order of the node's own lines.
    Journal(Journal),
    /// Stop in order; a second one at once.
    Stop,
    /// End, and leave what is held to the process after this one. The answer: until when the kernel keeps it, or why that
    /// cannot be; then this goes on.
    Leave(oneshot::Sender<Result<Option<Instant>, String>>),
    /// How is it?
    Status(oneshot::Sender<NodeStatus>),
}

/// What the node has for others.
#[derive(Debug)]
pub enum Told {
    /// For the journal.
    Journal(Journal),
    /// For the hooks: an address is about to be handed over.
    BeforeRelease { instance: String, why: String, asked_at: Instant },
    /// For the workers.
    Pace { instance: String, pace: Pace },
    /// What follows calls these instances otherwise than what came before.
    Renamed(Renames),
}

/// The running thread.
#[derive(Debug)]
pub struct Protocol {
    /// Where to put messages.
    pub mailbox: Mailbox,
    /// What the node tells.
    pub told: mpsc::Receiver<Told>,
    /// The node as it was at most half a second ago.
    pub status: watch::Receiver<Arc<NodeStatus>>,
    thread: JoinHandle<()>,
}

impl Protocol {
    /// Starts the thread. `before`: what a daemon before this one recorded; `prepare` runs on it first (scheduling).
    ///
    /// # Errors
    /// A descriptor or the thread cannot be had, or the privilege for netlink is missing.
    pub fn start(
        config: &Config,
        keeper: Keeper,
        wishes: Wishes,
        before: &[Record],
        prepare: impl FnOnce() + Send + 'static,
    ) -> io::Result<Self> {
        let clock = BootClock;
        let (sender, messages) = sync_channel(MAILBOX);
        let waker = Waker::new()?;
        let (told_sender, told) = mpsc::channel(TOLD_MAX);
        let node = Node::new(clock.now(), config);
        let (status_sender, status) = watch::channel(Arc::new(node.status()));
        let mut turns = Turns {
            now: clock.now(),
            clock,
            sockets: Sockets::new(config),
            equipment: Equipment::new(config, before),
            holder: Holder::open()?,
            drivers: Drivers::open()?,
            alarm: Alarm::new()?,
            waker: waker.clone(),
            messages,
            told: told_sender,
            status: status_sender,
            published_at: Instant::ZERO,
            watchdog_at: Instant::ZERO,
            untold: 0,
            wall_ahead: None,
            keeper,
            wishes,
            node,
        };
        let thread = thread::Builder::new().name("ha-protocol".to_owned()).spawn(move || {
            prepare();
            turns.run();
        })?;
        Ok(Self { mailbox: Mailbox { sender, waker }, told, status, thread })
    }

    /// Whether the thread has come to its end: after a stop, or by a panic.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the thread; says whether it ended in order.
    #[must_use]
    pub fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

struct Turns {
    clock: BootClock,
    /// The moment of this turn: everything in it happens then.
    now: Instant,
    node: Node,
    sockets: Sockets,
    equipment: Equipment,
    holder: Holder,
    drivers: Drivers,
    alarm: Alarm,
    waker: Waker,
    messages: Receiver<Message>,
    told: mpsc::Sender<Told>,
    status: watch::Sender<Arc<NodeStatus>>,
    published_at: Instant,
    watchdog_at: Instant,
    untold: u64,
    /// What the node believes of the wall clock.
    wall_ahead: Option<Duration>,
    keeper: Keeper,
    wishes: Wishes,
}

impl Turns {
    fn run(&mut self) {
        self.tell_the_clock();
        self.look_after_equipment();
        self.look_around();
        while !self.node.is_stopped() {
            self.perform_all();
            self.sleep();
            self.alarm.drain();
            // Taken before the packets are read: what arrives later is not older than this.
            self.now = self.clock.now();
            self.tell_the_clock();
            let ears = self.hear();
            self.read_messages();
            self.node.handle_timeout(self.now, ears);
            if !self.node.is_changing() {
                self.sockets.close_unwanted();
                if let Some(notes) = self.equipment.settle() {
                    self.tell_equipment(notes);
                }
            }
            self.look_after_equipment();
            let notes = self.sockets.try_again(self.now);
            notes.into_iter().chain(self.keeper.go_on()).for_each(|note| self.tell_note(note));
            self.publish();
        }
        self.perform_all();
        let holding = self.holder.held().map(|(instance, _, _)| instance.to_owned()).collect();
        let notes = self.equipment.remove_all(&holding);
        notes.into_iter().for_each(|note| self.tell_note(note));
        self.keeper.dismiss();
        self.published_at = Instant::ZERO;
        self.publish();
    }

    /// Only if it was set, or has drifted: nobody but `auth_hmac` looks at it.
    fn tell_the_clock(&mut self) {
        let ahead = wall_clock().saturating_sub(self.now.since_epoch());
        if self.wall_ahead.is_none_or(|told| told.abs_diff(ahead) > CLOCK_SLACK) {
            self.wall_ahead = Some(ahead);
            self.node.handle_input(self.now, Input::Clock { ahead });
        }
    }

    /// The links and addresses there are: without them the first turn would take every interface for missing.
    fn look_around(&mut self) {
        match snapshot() {
            Ok(links) => {
                // An instance that uses several interfaces waits for none that is there.
                for (link, _) in &links {
                    self.take(Message::Seen(MonitorEvent::Link(link.clone())));
                }
                for (link, addresses) in links {
                    self.take(Message::Seen(MonitorEvent::Addresses { interface: link.name, addresses }));
                }
            }
            Err(error) => self.tell_note(format!("the interfaces cannot be listed: {error}; waiting for the monitor")),
        }
    }

    fn hear(&mut self) -> Ears {
        let (node, now) = (&mut self.node, self.now);
        self.sockets.receive(PACKETS_MAX, |input| node.handle_input(now, input))
    }

    fn read_messages(&mut self) {
        self.waker.drain();
        for count in 0.. {
            if count == MESSAGES_MAX {
                // The rest is for the next turn.
                self.waker.wake();
                return;
            }
            let Ok(message) = self.messages.try_recv() else { return };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        let input = match message {
            Message::Seen(MonitorEvent::Link(link)) => {
                let notes = self.sockets.link(&link);
                notes.into_iter().for_each(|note| self.tell_note(note));
                Input::Link(link)
            }
            Message::Seen(MonitorEvent::LinkGone(name)) => {
                self.sockets.gone(&name);
                Input::LinkGone(name)
            }
            Message::Seen(MonitorEvent::Addresses { interface, addresses }) => {
                Input::Addresses { interface, addresses }
            }
            Message::File { path, says } => Input::File { path, says },
            Message::Processes { pattern, count } => Input::Processes { pattern, count },
            Message::Witness(says) => Input::Witness(says),
            Message::Judged { instance, report } => Input::Judged { instance, report },
            Message::NeverLoaded { instance, policy, why } => Input::NeverLoaded { instance, policy, why },
            Message::Reload { config, taken } => return self.reload(config, taken),
            Message::Hooks { instance, release } => Input::Hooks { instance, release },
            Message::Stop => Input::Command(Command::Stop),
            // Whoever asked has given up, and stops it in another way.
            Message::Leave(reply) if reply.is_closed() => return,
            Message::Leave(reply) => {
                let left = self.leave();
                // Whoever asked may have gone.
                let _ = reply.send(left);
                return;
            }
            Message::Journal(entry) => return self.tell(Told::Journal(entry)),
            Message::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.node.status());
                return;
            }
        };
        self.node.handle_input(self.now, input);
        self.perform_all();
    }

    /// Whoever waits finds the node as it is by then.
    fn reload(&mut self, config: Arc<Config>, taken: Option<SyncSender<()>>) {
        let notes = self.sockets.reconfigure(&config);
        notes.into_iter().for_each(|note| self.tell_note(note));
        // Before the node knows: what it is about to need is there.
        let notes = self.equipment.reconfigure(&config);
        self.tell_equipment(notes);
        self.node.handle_input(self.now, Input::Reload(config));
        self.perform_all();
        if let Some(taken) = taken {
            self.published_at = Instant::ZERO;
            self.publish();
            // Whoever waited may have given up.
            let _ = taken.try_send(());
        }
    }

    /// Once the last advertisement has left and the lease is renewed.
    fn leave(&mut self) -> Result<Option<Instant>, String> {
        if let Some(why) = self.node.objection_to_leaving() {
            return Err(why);
        }
        self.node.handle_input(self.now, Input::Command(Command::Leave));
        self.perform_all();
        Ok(self.node.left_until())
    }

    /// Performs everything the node wants; what becomes of it is handed in at once and may be followed by more.
    fn perform_all(&mut self) {
        let mut held = BTreeSet::new();
        while let Some(output) = self.node.poll_output() {
            if let Output::Hold(Hold { instance, .. }) | Output::Routes(Routes { instance, .. }) = &output {
                held.insert(instance.clone());
            }
            if let Output::Renamed(renames) = &output {
                // In one line: the keeper knows an instance by one name or by the other, and never by none.
                held.extend(renames.iter().flat_map(|(old, new)| [old.to_owned(), new.to_owned()]));
            }
            self.perform(output);
        }
        if !held.is_empty() {
            self.entrust(held);
        }
    }

    fn entrust(&mut self, held: BTreeSet<String>) {
        let wills = held.into_iter().map(|instance| {
            let will = self.node.last_will(&instance);
            (instance, will)
        });
        if let Some(note) = self.keeper.entrust(wills, self.equipment.estate()) {
            self.tell_note(note);
        }
    }

    fn look_after_equipment(&mut self) {
        if let Some(notes) = self.equipment.look_if_due(self.now) {
            self.tell_equipment(notes);
        }
    }

    /// Hands in how it stands, whether or not that is news.
    fn tell_equipment(&mut self, notes: Vec<String>) {
        notes.into_iter().for_each(|note| self.tell_note(note));
        for (instance, result) in self.equipment.told() {
            self.node.handle_input(self.now, Input::Equipped { instance, result });
        }
        self.entrust(BTreeSet::new());
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Transmit(transmit) => {
                let result = self.sockets.send(&transmit);
                let carrier = self.drivers.carrier(&transmit.interface).ok();
                if gates::has_left(&result, carrier)
                    && let Some(note) = self.equipment.gates.renew(&transmit.instance)
                {
                    self.tell_note(note);
                }
                let Transmit { instance, path, .. } = transmit;
                let input = Input::Transmitted { instance, path, result, carrier };
                self.node.handle_input(self.now, input);
            }
            Output::Hold(hold) => {
                let ready = self.equipment.before(&hold);
                let note = self.equipment.gates.before(&hold);
                note.into_iter().for_each(|note| self.tell_note(note));
                let result = ready.and_then(|()| self.holder.apply(&hold));
                if result.is_ok()
                    && let Some(note) = self.equipment.gates.after(&hold)
                {
                    self.tell_note(note);
                }
                if result.is_ok()
                    && let Err(why) = self.equipment.after(&hold)
                {
                    self.tell_note(why);
                }
                for warning in self.holder.take_warnings() {
                    self.tell_note(warning);
                }
                self.node.handle_input(self.now, Input::Held { instance: hold.instance, result });
            }
            Output::Routes(routes) => {
                let Outcome { restored, failed } = self.equipment.route(&routes);
                self.node.handle_input(self.now, Input::Routed { instance: routes.instance, restored, failed });
            }
            Output::Renamed(renames) => {
                self.holder.rename(&renames);
                self.equipment.rename(&renames);
                self.tell(Told::Renamed(renames));
            }
            Output::Announce { interface, mac, addresses, .. } => self.sockets.announce(&interface, mac, &addresses),
            Output::Ask(ask) => self.sockets.ask(&ask),
            Output::BeforeRelease { instance, why, asked_at } => {
                self.tell(Told::BeforeRelease { instance, why, asked_at });
            }
            Output::Witness(wish) => self.wishes.want(wish),
            Output::Judge { instance, pace } => self.tell(Told::Pace { instance, pace }),
            Output::Report(journal) => {
                self.published_at = Instant::ZERO;
                self.tell(Told::Journal(journal));
            }
        }
    }

    fn tell_note(&mut self, note: String) {
        let journal = Journal { at: self.now, instance: String::new(), event: Event::Note(note) };
        self.tell(Told::Journal(journal));
    }

    /// Never waits: a journal that cannot follow loses lines, not the address.
    fn tell(&mut self, told: Told) {
        if self.told.try_send(told).is_err() {
            self.untold += 1;
        } else if self.untold > 0 {
            let lost = std::mem::take(&mut self.untold);
            self.tell_note(format!("{lost} lines were lost here: the journal could not follow"));
        }
    }

    fn publish(&mut self) {
        let now = self.now;
        if self.published_at + PUBLISH_EVERY <= now {
            self.published_at = now;
            self.status.send_replace(Arc::new(self.node.status()));
        }
        if self.watchdog_at + WATCHDOG_EVERY <= now {
            self.watchdog_at = now;
            // Outside of systemd there is nobody to tell.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }
}
