//! Instances in networks of their own: one process for each network, which the daemon starts, watches and commands.
//!
//! The kernel gives a network namespace to a thread and to what it starts, so whatever works in another one is another process:
//! this very program, with the instances of that network and a socket, a state directory, locks and a keeper of its own. Nothing
//! else of the daemon knows of it: an interface has one name, and a crash in one network touches no other.

mod pulse;
mod superior;
mod warden;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    io,
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

pub(super) use self::superior::Superior;
use self::warden::Warden;
use super::{
    origin::Origin,
    protocol::{Mailbox, Message},
};
use crate::{
    config::{Config, Control, Netns},
    control::{Client, Feed, Status, Unanswered, protocol},
    linux::{BootClock, Network},
    node::{Event, Journal},
    words::Instant,
};
use nix::sys::signal::Signal;

/// How long a process may take to say how it is: the daemon's own answer waits for it.
const STATUS_TIME: Duration = Duration::from_millis(800);
/// How long a process may be silent while its events are followed: it shows itself every ten seconds.
const EVENTS_TIME: Duration = Duration::from_secs(25);
/// How often a process is asked that does not answer.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// A process that has not answered for so long is in trouble.
const SILENT: Duration = Duration::from_secs(3);
/// How long all processes have to stop in order, from when they were told.
const STOP_TIME: Duration = Duration::from_secs(8);
/// The least of it that is left once the daemon itself has stopped.
const STOP_TIME_MIN: Duration = Duration::from_millis(500);

/// What a process does for this daemon in another network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The configuration that both have.
    pub file: PathBuf,
    /// The network.
    pub network: Netns,
    /// Where that process is reached and what it remembers.
    pub control: Control,
}

/// Takes what is worth an entry in the journal; never waits.
type Announce = Arc<dyn Fn(Event) + Send + Sync>;

/// See the module.
pub(super) struct Networks {
    wardens: BTreeMap<Netns, Warden>,
    /// Those that are not wanted any more and have not ended yet.
    leaving: Vec<Warden>,
    /// The daemon's own: the others' follow from it.
    control: Control,
    announce: Option<(Announce, Feed)>,
    told_to_end: Option<Instant>,
}

/// Threads in networks that a new configuration names first. They end if it is not taken.
pub(super) struct Newcomers(Vec<Warden>);

impl Drop for Newcomers {
    fn drop(&mut self) {
        self.0.iter().for_each(Warden::end);
    }
}

impl Networks {
    /// A thread for each network of the configuration, `found` before this process became another user. Those are in their
    /// networks afterwards, or say why they are not.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn enter(
        found: Vec<(Netns, Result<Network, String>)>,
        whole: &Arc<Config>,
        origin: &Origin,
    ) -> io::Result<Self> {
        let mut networks = Self {
            wardens: BTreeMap::new(),
            leaving: Vec::new(),
            control: whole.control.clone(),
            announce: None,
            told_to_end: None,
        };
        for (network, found) in found {
            let warden = Warden::start(networks.part(&network, origin), found, whole, origin)?;
            networks.wardens.insert(network, warden);
        }
        Ok(networks)
    }

    /// Looks for the networks of the instances, if this is the process whose business they are.
    pub(super) fn find(whole: &Config, origin: &Origin) -> Vec<(Netns, Result<Network, String>)> {
        let all = if origin.network().is_none() { whole.networks() } else { BTreeSet::new() };
        let find = |network: Netns| {
            let found = Network::find(&network.path());
            (network, found)
        };
        all.into_iter().map(find).collect()
    }

    fn part(&self, network: &Netns, origin: &Origin) -> Part {
        Part { file: origin.path(), network: network.clone(), control: self.control.of_network(network) }
    }

    /// A process in each network from now on; what happens there is put into `feed`.
    pub(super) fn launch(&mut self, mailbox: Mailbox, feed: Feed) {
        let announce: Announce = Arc::new(move |event| {
            let entry = Journal { at: BootClock.now(), instance: String::new(), event };
            mailbox.post(Message::Journal(entry));
        });
        self.wardens.values().for_each(|warden| launch(warden, &announce, &feed));
        self.announce = Some((announce, feed));
    }

    /// Threads for the networks that a new configuration names and this daemon does not know.
    ///
    /// # Errors
    /// A sentence: one cannot be entered, most often because what that takes was given up.
    pub(super) fn admit(&self, whole: &Arc<Config>, origin: &Origin) -> Result<Newcomers, String> {
        let mut newcomers = Newcomers(Vec::new());
        for (network, found) in Self::find(whole, origin) {
            if self.wardens.contains_key(&network) {
                continue;
            }
            let name = network.to_string();
            if self.leaving.iter().any(|warden| warden.part().network == network && !warden.is_over()) {
                return Err(format!(
                    "the process of before for the network namespace {name} is still ending: reload again"
                ));
            }
            let warden = Warden::start(self.part(&network, origin), found, whole, origin);
            let warden = warden.map_err(|error| format!("no thread for the network namespace {name}: {error}"))?;
            let refused = warden.refused();
            newcomers.0.push(warden);
            if let Some(why) = refused {
                return Err(format!("{why}. A daemon enters the networks of its instances when it starts: restart ha"));
            }
        }
        Ok(newcomers)
    }

    /// Which of them a new configuration keeps.
    pub(super) fn kept_by(&self, whole: &Config) -> BTreeSet<Netns> {
        let wanted = whole.networks();
        self.wardens.keys().filter(|network| wanted.contains(*network)).cloned().collect()
    }

    /// Those of a new configuration, and no other. Says what that changes.
    pub(super) fn exchange(&mut self, whole: &Config, mut newcomers: Newcomers) -> Vec<String> {
        let wanted = whole.networks();
        let mut changes = Vec::new();
        for (network, warden) in std::mem::take(&mut self.wardens) {
            if wanted.contains(&network) {
                self.wardens.insert(network, warden);
                continue;
            }
            warden.end();
            changes.push(format!("network namespace {network}: no instance is there any more, its process ends"));
            self.leaving.push(warden);
        }
        self.leaving.retain(|warden| !warden.is_over());
        for warden in std::mem::take(&mut newcomers.0) {
            let network = warden.part().network.clone();
            if let Some((announce, feed)) = &self.announce {
                launch(&warden, announce, feed);
            }
            changes.push(format!("network namespace {network}: a process starts for its instances"));
            self.wardens.insert(network, warden);
        }
        changes
    }

    /// They have not been told to stop.
    pub(super) fn are_wanted(&self) -> bool {
        self.told_to_end.is_none()
    }

    /// Processes that end are not started again, for as long as this is so.
    pub(super) fn rest(&self, resting: bool) {
        self.wardens.values().for_each(|warden| warden.rest(resting));
    }

    /// All stop in order. A second time: at once.
    pub(super) fn stop(&mut self) {
        if self.told_to_end.replace(BootClock.now()).is_some() {
            self.all().for_each(|warden| warden.signal(Signal::SIGTERM));
        }
        self.all().for_each(Warden::end);
    }

    /// Waits until all have stopped; a process that does not is killed, and its keeper tidies up.
    pub(super) async fn finish(&mut self) {
        if self.told_to_end.is_none() {
            self.stop();
        }
        let now = BootClock.now();
        let until = (self.told_to_end.unwrap_or(now) + STOP_TIME).max(now + STOP_TIME_MIN);
        while self.all().any(|warden| !warden.is_over()) && BootClock.now() < until {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for warden in self.all().filter(|warden| !warden.is_over()) {
            let network = &warden.part().network;
            tracing::error!(
                "the process for the network namespace {network} does not stop within {STOP_TIME:?}; it is killed"
            );
            warden.signal(Signal::SIGKILL);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Warden> {
        self.wardens.values().chain(&self.leaving)
    }

    /// As a status shows them.
    fn shown(&self) -> Vec<protocol::Network> {
        let shown = |(network, warden): (&Netns, &Warden)| {
            let (pid, trouble) = warden.look();
            let socket = warden.part().control.socket.display().to_string();
            protocol::Network { name: network.to_string(), socket, pid, trouble }
        };
        self.wardens.iter().map(shown).collect()
    }

    /// Puts one question to each process that there is, all at once; a task may wait for the answers.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        patience: Duration,
        question: impl Fn(&Client) -> Result<T, Unanswered> + Clone + Send + 'static,
    ) -> impl Future<Output = Vec<(String, Result<T, Unanswered>)>> + Send + 'static {
        let there = self.wardens.iter().filter(|(_, warden)| warden.look().0.is_some());
        let asked: Vec<_> = there
            .map(|(network, warden)| {
                let client = Client::new(&warden.part().control.socket).patient_for(patience);
                let question = question.clone();
                (network.to_string(), tokio::task::spawn_blocking(move || question(&client)))
            })
            .collect();
        async move {
            let mut answers = Vec::new();
            for (network, answer) in asked {
                let answer =
                    answer.await.unwrap_or_else(|_| Err(Unanswered::Broken(io::ErrorKind::Interrupted.into())));
                answers.push((network, answer));
            }
            answers
        }
    }

    /// The whole: this daemon's own status, and what the processes in other networks say.
    pub(super) fn complete(&self, mut status: Status) -> impl Future<Output = Status> + Send + 'static {
        status.networks = self.shown();
        let asked = self.ask(STATUS_TIME, Client::status);
        async move {
            for (name, answer) in asked.await {
                match answer {
                    Ok(other) => status.absorb(&name, other),
                    Err(why) => {
                        let network = status.networks.iter_mut().find(|network| network.name == name);
                        let why = format!("its process says nothing: {why}");
                        if let Some(network) = network {
                            network.trouble.get_or_insert(why);
                        }
                    }
                }
            }
            status
        }
    }
}

fn launch(warden: &Warden, announce: &Announce, feed: &Feed) {
    warden.launch(Arc::clone(announce));
    let (follower, feed) = (warden.clone(), feed.clone());
    let started = thread::Builder::new().name("network events".to_owned()).spawn(move || follow(&follower, &feed));
    if let Err(error) = started {
        tracing::error!("what happens in the network namespace {} is not told here: {error}", warden.part().network);
    }
}

/// Passes on what a process says happens, for as long as there may be one.
fn follow(warden: &Warden, feed: &Feed) {
    let network = warden.part().network.to_string();
    let client = Client::new(&warden.part().control.socket);
    let (mut of, mut passed, mut silent_since) = (0, 0, None);
    while let Some(starts) = warden.wait_for_process() {
        if starts != of {
            (of, passed, silent_since) = (starts, 0, None);
        }
        if client.clone().patient_for(STATUS_TIME).status().is_err() {
            let since = *silent_since.get_or_insert_with(|| BootClock.now());
            if BootClock.now().saturating_since(since) >= SILENT {
                warden.is_silent(starts);
            }
        } else {
            silent_since = None;
            warden.serves(starts);
            let _ended = client.clone().patient_for(EVENTS_TIME).events(None, true, |happening| {
                // Those of before, where it is the same process again.
                if happening.number > passed {
                    passed = happening.number;
                    feed.pass_on(&network, happening);
                }
                std::ops::ControlFlow::Continue(())
            });
        }
        thread::sleep(ASK_EVERY);
    }
}
