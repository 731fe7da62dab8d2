//! The rim of the witness: a thread that keeps one lease in etcd and, by it, the keys that the node wants.
//!
//! It decides nothing. The node says what it wants as a level ([`Wishes`]), a round of questions says what is so, and what a
//! round comes to is handed to the node. Every request has a deadline; the protocol thread never waits for this one.

mod gateway;
mod session;

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant as WallInstant},
};

use gateway::Gateway;
use session::{Identity, Outcome, Session};

use super::{
    protocol::{Mailbox, Message},
    store::boot_id,
};
use crate::{
    config::{Config, Witness as Settings, Witnessed},
    linux::BootClock,
    node::Wish,
    probe::RealProber,
};

/// How long a stopping daemon waits until the witness knows.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is asked for what this node does not get, at first …
const KEEN: Duration = Duration::from_millis(50);
/// … for this long …
const KEEN_FOR: Duration = Duration::from_secs(1);
/// … and then; also where nobody answers.
const AGAIN: Duration = Duration::from_millis(250);

/// Where the protocol thread leaves what the node wants. Never waits for a request.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
}

/// What the thread is to do.
#[derive(Debug, Default)]
struct Slot {
    wish: Wish,
    settings: Option<(Settings, Identity)>,
    /// Something here is new.
    news: bool,
    end: Option<End>,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What is held is given back.
    GiveBack,
    /// What is held is left to the process after this one.
    Leave,
}

impl Wishes {
    /// From now on this.
    pub fn want(&self, wish: Wish) {
        self.change(|slot| slot.wish = wish);
    }

    fn change(&self, change: impl FnOnce(&mut Slot)) {
        let mut slot = self.shared.slot();
        change(&mut slot);
        slot.news = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until there are news, or it is due; what is to be done then.
    fn wait(&self, due: Option<WallInstant>) -> (Wish, Option<(Settings, Identity)>, bool, Option<End>) {
        let mut slot = self.slot();
        loop {
            let left = due.map(|due| due.saturating_duration_since(WallInstant::now()));
            if slot.news || left.is_some_and(|left| left.is_zero()) {
                let news = std::mem::take(&mut slot.news);
                return (slot.wish.clone(), slot.settings.clone(), news, slot.end);
            }
            slot = match left {
                Some(left) => self.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0,
                None => self.changed.wait(slot).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// The thread, once there is a witness.
#[derive(Debug)]
pub(super) struct Witness {
    wishes: Wishes,
    mailbox: Mailbox,
    prober: RealProber,
    ended: Option<Receiver<()>>,
}

impl Witness {
    /// Asks what a configuration wants to be asked.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(config: &Config, wishes: Wishes, mailbox: Mailbox, prober: RealProber) -> io::Result<Self> {
        let mut witness = Self { wishes, mailbox, prober, ended: None };
        witness.reconfigure(config)?;
        Ok(witness)
    }

    /// Asks what another configuration wants to be asked.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn reconfigure(&mut self, config: &Config) -> io::Result<()> {
        if config.witness.is_none() && self.ended.is_none() {
            return Ok(());
        }
        let settings = config.witness.clone().map(|witness| (witness, identity(&config.node)));
        if self.wishes.shared.slot().settings != settings {
            self.wishes.change(|slot| slot.settings = settings);
        }
        if self.ended.is_none() {
            let (sender, ended) = sync_channel(1);
            let asking =
                Asking { wishes: self.wishes.clone(), mailbox: self.mailbox.clone(), prober: self.prober.clone() };
            thread::Builder::new().name("ha-witness".to_owned()).spawn(move || {
                asking.run();
                // Nobody may wait any more.
                let _ = sender.send(());
            })?;
            self.ended = Some(ended);
        }
        Ok(())
    }

    /// Gives back what is held, unless it is left to the process after this one.
    pub(super) fn finish(self, left: bool) {
        let Some(ended) = self.ended else { return };
        self.wishes.change(|slot| slot.end = Some(if left { End::Leave } else { End::GiveBack }));
        if ended.recv_timeout(PATIENCE).is_err() {
            tracing::warn!("the witness does not answer: what this node held of it ends by itself");
        }
    }
}

/// Who this node is to etcd, over restarts of the process and not of the machine. Two processes cannot have one: the
/// virtual routers of a network namespace are locked.
fn identity(node: &str) -> Identity {
    let namespace = fs::metadata("/proc/self/ns/net").map_or(0, |namespace| namespace.ino());
    Identity { node: node.to_owned(), id: format!("{}/{namespace}", boot_id()) }
}

/// What runs on the thread.
struct Asking {
    wishes: Wishes,
    mailbox: Mailbox,
    prober: RealProber,
}

/// A session, and the way to who keeps it.
struct Active {
    settings: (Settings, Identity),
    session: Session,
    gateway: Gateway,
}

impl Asking {
    fn run(self) {
        let clock = BootClock;
        let mut active: Option<Active> = None;
        let mut retired: Vec<Active> = Vec::new();
        let mut due = None;
        let mut keen_until = WallInstant::now();
        loop {
            let (wish, settings, news, end) = self.wishes.shared.wait(due);
            if let Some(end) = end {
                let leases = retired.into_iter().chain(active).filter(|_| end == End::GiveBack);
                leases.for_each(Active::finish);
                return;
            }
            if active.as_ref().map(|active| &active.settings) != settings.as_ref() {
                retired.extend(active.take());
                active = settings.map(|settings| Active::new(settings, &self.prober));
            }
            if news {
                keen_until = WallInstant::now() + KEEN_FOR;
            }
            let Some(asked) = &mut active else {
                retired.drain(..).for_each(Active::finish);
                due = None;
                continue;
            };
            let say = |says| self.mailbox.post(Message::Witness(says));
            let began = WallInstant::now();
            let outcome = asked.session.round(&mut asked.gateway, &wish, &|| clock.now(), &say);
            let now = WallInstant::now();
            let next = match outcome {
                Outcome::Met => began + Witnessed::renewed_every(asked.settings.0.ttl),
                Outcome::Unmet if now < keen_until => now + KEEN,
                Outcome::Unmet | Outcome::Silent => now + AGAIN,
            };
            if outcome != Outcome::Silent {
                // What is held now is held by the new lease.
                retired.drain(..).for_each(Active::finish);
            }
            due = Some(next);
        }
    }
}

impl Active {
    fn new(settings: (Settings, Identity), prober: &RealProber) -> Self {
        let (witness, identity) = &settings;
        let session = Session::new(identity.clone(), &witness.key, witness.ttl);
        let gateway = Gateway::new(witness, prober.clone());
        Self { settings, session, gateway }
    }

    fn finish(mut self) {
        self.session.finish(&mut self.gateway);
    }
}

/// What each member of the cluster says, asked once, for a check: nothing is taken, nothing is kept.
#[must_use]
pub fn ask_each(witness: &Settings, prober: &RealProber) -> Vec<(String, Result<String, String>)> {
    let one = |endpoint: &String| {
        let alone = Settings { endpoints: vec![endpoint.clone()], ..witness.clone() };
        let said = session::look(&mut Gateway::new(&alone, prober.clone()), &witness.key);
        (endpoint.clone(), said)
    };
    witness.endpoints.iter().map(one).collect()
}
