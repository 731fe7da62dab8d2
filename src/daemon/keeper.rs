//! The keeper: a small process that outlives the daemon by a moment.
//!
//! It holds a pipe, and knows what is to be done if the pipe ends: let go of the addresses and say so with priority 0, so
//! that the peer takes over in milliseconds instead of waiting out the down timer. If it dies as well, the lease does the
//! same a little later. Then it takes away what has no lifetime of its own (`estate`). It does nothing else.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, BufRead, Write},
    net::IpAddr,
    num::NonZeroU8,
    os::fd::{AsFd, BorrowedFd},
    process::{Child, ChildStdin, Command, Stdio},
    time::Duration,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::estate::{Estate, Hands};
use crate::{
    linux::{BootClock, Holder, VrrpSocket, wall_clock},
    node::{Hold, Lifetime, Seal, Transmit, Will},
    wire::{Key, Stamp},
    words::{Family, Instant, InterfaceName, readable},
};

/// The argument that makes this program the keeper; only the daemon gives it.
pub const COMMAND: &str = "keeper";

/// What is to be done for one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Duty {
    instance: String,
    /// What is held, by interface.
    places: Vec<(String, Vec<IpNet>)>,
    /// The resignation, for each way that it takes.
    letters: Vec<Letter>,
    /// With what they are signed at the moment they are sent: signed in advance they would be too old by then.
    seal: Option<Signet>,
}

/// What is to be said on one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Letter {
    interface: String,
    source: IpAddr,
    destinations: Vec<IpAddr>,
    payloads: Vec<Vec<u8>>,
}

impl Letter {
    fn of(transmit: &Transmit) -> Self {
        Self {
            interface: transmit.interface.to_string(),
            source: transmit.source,
            destinations: transmit.destinations.clone(),
            payloads: transmit.payloads.clone(),
        }
    }

    /// Which socket it needs.
    fn way(&self) -> (String, Family) {
        (self.interface.clone(), Family::of(self.source))
    }
}

/// A [`Seal`] on its way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signet {
    id: NonZeroU8,
    key: Vec<u8>,
    ahead: Option<Duration>,
    after: Option<u64>,
}

/// Never shows the key.
impl fmt::Debug for Signet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signet({})", self.id)
    }
}

impl Signet {
    fn of(seal: &Seal) -> Self {
        let Seal { id, key, ahead, after } = seal;
        Self { id: *id, key: key.bytes().to_vec(), ahead: *ahead, after: after.map(Stamp::to_bits) }
    }

    fn sign(&self, source: IpAddr, payload: Vec<u8>) -> Vec<u8> {
        let Some(key) = Key::new(&self.key) else { return payload };
        let seal = Seal { id: self.id, key, ahead: self.ahead, after: self.after.map(Stamp::from_bits) };
        seal.sign(BootClock.now(), wall_clock(), source, payload)
    }
}

impl Duty {
    fn of(Will { instance, releases, resignations, seal }: &Will) -> Self {
        Self {
            instance: instance.clone(),
            places: releases.iter().map(|hold| (hold.interface.to_string(), hold.configured.clone())).collect(),
            letters: resignations.iter().map(Letter::of).collect(),
            seal: seal.as_ref().map(Signet::of),
        }
    }

    /// Which sockets it needs.
    fn ways(&self) -> impl Iterator<Item = (String, Family)> {
        self.letters.iter().map(Letter::way)
    }
}

/// A socket for each way that a resignation takes; `None` where there is none to be had.
type Sockets = BTreeMap<(String, Family), Option<VrrpSocket>>;

/// What is to be done, for each instance that serves.
type Duties = BTreeMap<String, Duty>;

/// What is new: the duty of an instance, or that there is none any more. One line of the pipe.
type News = BTreeMap<String, Option<Duty>>;

/// One line to the keeper: what has changed, and everything that is taken away once nothing is held any more.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Line {
    news: News,
    estate: Estate,
}

/// Starts the process.
type Spawn = fn() -> io::Result<(Child, ChildStdin)>;

/// The daemon's end. Its pipe is never waited for: what the keeper does not take yet, because it is stopped or slow, waits
/// here, of each instance the latest only.
#[derive(Debug)]
pub struct Keeper {
    process: Option<(Child, ChildStdin)>,
    /// How another one is started.
    spawn: Spawn,
    entrusted: Duties,
    estate: Estate,
    /// The rest of a line of which the pipe took a part.
    begun: Vec<u8>,
    /// What is told when that is through.
    news: News,
    /// The estate is not what it was told last.
    estate_is_news: bool,
    /// It was said that something waits.
    complained: bool,
    /// When the last one ended by itself.
    ended_at: Option<Instant>,
    /// When another one is tried, if there is none.
    retry_at: Option<Instant>,
}

impl Keeper {
    /// Starts the process: this program, called as keeper. Returns what to tell if that failed; the lease is the safety
    /// then.
    #[must_use]
    pub fn start() -> (Self, Option<String>) {
        match spawn() {
            Ok(process) => (Self::of(Some(process), spawn), None),
            Err(error) => {
                let retry_at = Some(BootClock.now() + KEEPERS_RETRY);
                (Self { retry_at, ..Self::of(None, spawn) }, Some(without(error)))
            }
        }
    }

    fn of(process: Option<(Child, ChildStdin)>, spawn: Spawn) -> Self {
        Self {
            process,
            spawn,
            entrusted: Duties::new(),
            estate: Estate::default(),
            begun: Vec::new(),
            news: News::new(),
            estate_is_news: false,
            complained: false,
            ended_at: None,
            retry_at: None,
        }
    }

    /// Tells it what is to be done from now on for these instances; `None` if one holds nothing. Returns what to tell if it
    /// is gone and cannot be had again.
    pub fn entrust(&mut self, wills: impl Iterator<Item = (String, Option<Will>)>, estate: Estate) -> Option<String> {
        let duties = wills.map(|(instance, will)| (instance, will.as_ref().map(Duty::of)));
        let news: News = duties.filter(|(instance, duty)| self.entrusted.get(instance) != duty.as_ref()).collect();
        if news.is_empty() && estate == self.estate {
            return None;
        }
        self.estate_is_news |= estate != self.estate;
        self.estate = estate;
        note(&mut self.entrusted, news.clone());
        self.news.extend(news);
        self.go_on()
    }

    /// Tells it more of what waits, as far as it takes it. Returns what to tell, as `entrust` does.
    pub fn go_on(&mut self) -> Option<String> {
        let nothing = self.begun.is_empty() && self.news.is_empty() && !self.estate_is_news;
        // Without a process it waits until another one is tried, and is told everything then.
        let waits = self.process.is_none() && self.retry_at.is_some();
        if nothing || waits {
            return None;
        }
        match self.write() {
            Ok(true) => self.complained = false,
            Ok(false) => return (!std::mem::replace(&mut self.complained, true)).then(|| STALLED.to_owned()),
            Err(_) => return self.replace(),
        }
        None
    }

    /// What is readable for nobody, and in error once the process has ended; `None` while there is no process.
    #[must_use]
    pub fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(|(_, pipe)| pipe.as_fd())
    }

    /// The process has ended by itself, at `now`: another one is started, a while later if the one before it ended just now
    /// too. Returns what to tell.
    pub fn ended(&mut self, now: Instant) -> String {
        let hasty = self.ended_at.is_some_and(|before| now.saturating_since(before) < KEEPERS_APART);
        self.ended_at = Some(now);
        if hasty {
            self.bury();
            self.retry_at = Some(now + KEEPERS_RETRY);
            return without(format_args!(
                "it ends as soon as it is started; ha tries again in {}",
                readable(KEEPERS_RETRY)
            ));
        }
        self.replace().unwrap_or_else(|| {
            "the keeper process has ended, was it killed? Another one is there and knows everything".to_owned()
        })
    }

    /// When [`try_again`](Self::try_again) is to be called.
    #[must_use]
    pub fn next_try(&self) -> Option<Instant> {
        self.retry_at.filter(|_| self.process.is_none())
    }

    /// Starts another one if that is due. Returns what to tell once there is one again.
    pub fn try_again(&mut self, now: Instant) -> Option<String> {
        if self.next_try().is_none_or(|at| now < at) {
            return None;
        }
        // One that ends at once again is as hasty as before.
        self.ended_at = Some(now);
        self.replace().is_none().then(|| "there is a keeper process again, and it knows everything".to_owned())
    }

    /// Another one, which is told everything.
    fn replace(&mut self) -> Option<String> {
        self.bury();
        self.begun.clear();
        self.news = self.entrusted.iter().map(|(instance, duty)| (instance.clone(), Some(duty.clone()))).collect();
        self.estate_is_news = true;
        let told = (self.spawn)().and_then(|process| {
            self.process = Some(process);
            self.write()
        });
        self.retry_at = None;
        told.err().map(|error| {
            self.retry_at = Some(BootClock.now() + KEEPERS_RETRY);
            without(error)
        })
    }

    /// Nothing is to be done any more; it ends.
    pub fn dismiss(&mut self) {
        self.estate = Estate::default();
        self.news = std::mem::take(&mut self.entrusted).into_keys().map(|instance| (instance, None)).collect();
        // Gone already is as good.
        let _ = self.write();
        self.bury();
    }

    /// As much as the pipe takes at once; whether that is all.
    fn write(&mut self) -> io::Result<bool> {
        let Some((_, pipe)) = &mut self.process else { return Err(io::ErrorKind::BrokenPipe.into()) };
        loop {
            if self.begun.is_empty() {
                if self.news.is_empty() && !self.estate_is_news {
                    return Ok(true);
                }
                let line = Line { news: std::mem::take(&mut self.news), estate: self.estate.clone() };
                self.estate_is_news = false;
                self.begun = serde_json::to_vec(&line)?;
                self.begun.push(b'\n');
            }
            match pipe.write(&self.begun) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => drop(self.begun.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends the process, which has nothing to do any more, and never waits for one that is stopped.
    fn bury(&mut self) {
        if let Some((mut child, _pipe)) = self.process.take() {
            // Gone already is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A keeper that ends again within this time is not started once more.
const KEEPERS_APART: Duration = Duration::from_secs(1);
/// After this time another one is tried.
const KEEPERS_RETRY: Duration = Duration::from_secs(10);
const STALLED: &str = "the keeper process does not take what it is told: is it stopped? It is told as soon as it does; if this \
                       daemon is killed before, the address may be gone only when its lease runs out";

fn without(error: impl std::fmt::Display) -> String {
    format!(
        "no keeper process: {error}; if this daemon is killed, the address is gone when its lease runs out, not at once"
    )
}

/// In a process group of its own: a signal for the daemon's group is not for it. It is this very program, also where another
/// version has taken its place on the disk meanwhile.
fn spawn() -> io::Result<(Child, ChildStdin)> {
    use std::os::unix::process::CommandExt;
    let mut program = Command::new("/proc/self/exe");
    program.arg0(std::env::args_os().next().unwrap_or_else(|| "ha".into()));
    program.arg(COMMAND).env_clear();
    start(program)
}

fn start(mut program: Command) -> io::Result<(Child, ChildStdin)> {
    use std::os::unix::process::CommandExt;
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).spawn()?;
    match child.stdin.take() {
        Some(pipe) => {
            let flags = rustix::fs::fcntl_getfl(&pipe)?;
            rustix::fs::fcntl_setfl(&pipe, flags | rustix::fs::OFlags::NONBLOCK)?;
            Ok((child, pipe))
        }
        None => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// The keeper's end. Returns when the daemon has died or dismissed it.
pub fn keep() {
    // Else it would be called "exe", by the way it was started. A name is no reason to fail.
    let _ = rustix::thread::set_name(c"ha");
    let mut duties = Duties::new();
    let mut sockets = Sockets::new();
    let mut holder = Holder::open().ok();
    let (mut estate, mut hands) = (Estate::default(), Hands::default());
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let Ok(Line { news, estate: new }) = serde_json::from_str(&line) else { continue };
        estate = new;
        estate.prepare(&mut hands);
        let renewed: BTreeSet<_> = news.values().flatten().flat_map(Duty::ways).collect();
        note(&mut duties, news);
        sockets.retain(|way, _| duties.values().flat_map(Duty::ways).any(|needed| needed == *way));
        for way in renewed {
            // Opened now: when the daemon has died there may be no descriptor left on this machine. And anew: the interface
            // may be another one of the same name.
            let socket = open(&way);
            sockets.insert(way, socket);
        }
    }
    let mut released = true;
    for duty in duties.values() {
        released &= execute(duty, &sockets, holder.as_mut());
    }
    // What is still held here must not begin to answer.
    if released {
        estate.take_away(&mut hands);
    }
}

fn note(duties: &mut Duties, news: News) {
    for (instance, duty) in news {
        match duty {
            Some(duty) => drop(duties.insert(instance, duty)),
            None => drop(duties.remove(&instance)),
        }
    }
}

fn open((interface, family): &(String, Family)) -> Option<VrrpSocket> {
    VrrpSocket::open_deaf(&interface.parse().ok()?, *family).ok()
}

/// Lets go first: nobody is told to take what is still held. Returns whether it is let go.
fn execute(duty: &Duty, sockets: &Sockets, holder: Option<&mut Holder>) -> bool {
    let Some(holder) = holder else { return false };
    let mut release = |(interface, addresses): &(String, Vec<IpNet>)| {
        let Ok(interface) = interface.parse::<InterfaceName>() else { return false };
        let release = Hold {
            instance: duty.instance.clone(),
            interface,
            addresses: Vec::new(),
            manners: BTreeMap::new(),
            configured: addresses.clone(),
            lifetime: Lifetime::Forever,
            not_after: None,
        };
        holder.apply(&release).is_ok()
    };
    // One that fails keeps the others from nothing.
    let results: Vec<bool> = duty.places.iter().map(&mut release).collect();
    let released = !results.contains(&false);
    for letter in duty.letters.iter().filter(|_| released) {
        let Some(socket) = sockets.get(&letter.way()).and_then(Option::as_ref) else { continue };
        for (destination, payload) in letter.destinations.iter().zip(&letter.payloads) {
            // One that fails is waited out by the peer's down timer.
            let payload = duty.seal.iter().fold(payload.clone(), |payload, seal| seal.sign(letter.source, payload));
            let _ = socket.send(letter.source, *destination, &payload);
        }
    }
    released
}

#[cfg(test)]
mod tests;
