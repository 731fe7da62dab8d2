//! Processes that are tracked: counted at the start, and each time that one starts or ends.
//!
//! Where the kernel's process connector can be had, both are told as they happen. Elsewhere (a container, a user namespace)
//! ends are told by descriptors of the processes, and whether one has started is looked for several times a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};

use super::protocol::{Mailbox, Message};
use crate::{
    config::{Config, ProcessPattern},
    linux::{ProcessEvent, ProcessEvents, Waker},
    policy::probe::ProcessRequest,
    probe::{find_processes, is_process},
};

/// How often starts are looked for without the connector.
const LOOK: Duration = Duration::from_millis(250);
/// How often everything is counted anew with it: nothing is lost for longer.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// Descriptors of processes that are held at most; the end of others is found by the next look.
const DESCRIPTORS_MAX: usize = 64;

/// What a thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Vec<ProcessPattern>>,
    ended: AtomicBool,
}

/// Follows them until it is dropped.
#[derive(Debug)]
pub(super) struct Processes {
    shared: Arc<Shared>,
    mailbox: Mailbox,
    /// None as long as nothing was to be followed.
    waker: Option<Waker>,
}

/// How they are followed, as a part of a sentence.
enum Method {
    Events(ProcessEvents),
    Looks(BTreeMap<u32, OwnedFd>),
}

impl Processes {
    /// Follows what a configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn start(config: &Config, mailbox: Mailbox) -> io::Result<Self> {
        let mut processes = Self { shared: Arc::default(), mailbox, waker: None };
        processes.reconfigure(config)?;
        Ok(processes)
    }

    /// Follows what another configuration wants.
    ///
    /// # Errors
    /// No thread can be started.
    pub(super) fn reconfigure(&mut self, config: &Config) -> io::Result<()> {
        let wanted = wanted(config);
        let none = wanted.is_empty();
        *self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
        match &self.waker {
            Some(waker) => waker.wake(),
            None if none => {}
            None => {
                let waker = Waker::new()?;
                self.waker = Some(waker.clone());
                let follower = Follower::new(Arc::clone(&self.shared), waker, self.mailbox.clone());
                thread::Builder::new().name("ha-processes".to_owned()).spawn(move || follower.run())?;
            }
        }
        Ok(())
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }
}

/// How many there are of each kind that a configuration tracks, looked at once.
pub(super) fn look(config: &Config) -> BTreeMap<ProcessPattern, Result<u32, String>> {
    let count = |pattern: ProcessPattern| {
        let found = find_processes(&request(&pattern));
        (pattern, found.map(|pids| u32::try_from(pids.len()).unwrap_or(u32::MAX)))
    };
    wanted(config).into_iter().map(count).collect()
}

fn wanted(config: &Config) -> Vec<ProcessPattern> {
    let each = config.instances.iter().flat_map(|instance| &instance.tracks.processes);
    let patterns: BTreeSet<ProcessPattern> = each.map(|tracked| tracked.pattern.clone()).collect();
    patterns.into_iter().collect()
}

fn request(pattern: &ProcessPattern) -> ProcessRequest {
    ProcessRequest { cmdline: pattern.cmdline.clone(), ..ProcessRequest::named(pattern.name.clone()) }
}

/// What the thread knows.
struct Follower {
    shared: Arc<Shared>,
    waker: Waker,
    mailbox: Mailbox,
    method: Method,
    found: BTreeMap<ProcessPattern, Result<BTreeSet<u32>, String>>,
    told: BTreeMap<ProcessPattern, Result<u32, String>>,
}

impl Follower {
    fn new(shared: Arc<Shared>, waker: Waker, mailbox: Mailbox) -> Self {
        let method = match ProcessEvents::open() {
            Ok(events) => Method::Events(events),
            Err(error) => {
                tracing::warn!(
                    "the kernel does not tell which processes start ({error}): ha looks for tracked ones every {LOOK:?}, and is \
                     told of their ends. The process connector needs CAP_NET_ADMIN and is not there in a container"
                );
                Method::Looks(BTreeMap::new())
            }
        };
        Self { shared, waker, mailbox, method, found: BTreeMap::new(), told: BTreeMap::new() }
    }

    fn run(mut self) {
        self.look();
        while !self.shared.ended.load(Ordering::Acquire) {
            self.tell();
            match self.wait() {
                Ok(News::Everything) => self.look(),
                Ok(News::Events(events)) => events.into_iter().for_each(|event| self.happened(event)),
                Err(error) => {
                    // An overrun loses events, not the connector.
                    if error.raw_os_error() != Some(libc::ENOBUFS) {
                        tracing::warn!("{error}: tracked processes are looked for every {LOOK:?} from now on");
                        self.method = Method::Looks(BTreeMap::new());
                    }
                    self.look();
                }
            }
        }
    }

    fn wait(&mut self) -> io::Result<News> {
        let (events, ends, timeout) = match &self.method {
            Method::Events(events) => (Some(events), None, LOOK_ANYWAY),
            Method::Looks(held) => (None, Some(held.values()), LOOK),
        };
        let mut descriptors = vec![PollFd::new(&self.waker, PollFlags::IN)];
        descriptors.extend(events.map(|events| PollFd::new(events, PollFlags::IN)));
        descriptors.extend(ends.into_iter().flatten().map(|end| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)));
        let timeout = Timespec::try_from(timeout).ok();
        let ready = match poll(&mut descriptors, timeout.as_ref()) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return Ok(News::Everything),
            Err(error) => return Err(error.into()),
        };
        if self.waker.drain() || ready == 0 {
            return Ok(News::Everything);
        }
        match &self.method {
            Method::Events(events) => events.read().map(News::Events),
            Method::Looks(_) => Ok(News::Everything),
        }
    }

    /// Counts everything.
    fn look(&mut self) {
        let wanted = self.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let found = |pattern: ProcessPattern| {
            let pids = find_processes(&request(&pattern)).map(|pids| pids.into_iter().collect());
            (pattern, pids)
        };
        self.found = wanted.into_iter().map(found).collect();
        self.told.retain(|pattern, _| self.found.contains_key(pattern));
        if let Method::Looks(held) = &mut self.method {
            let pids: BTreeSet<u32> = self.found.values().flatten().flatten().copied().take(DESCRIPTORS_MAX).collect();
            held.retain(|pid, _| pids.contains(pid));
            for pid in pids {
                if !held.contains_key(&pid)
                    && let Some(end) = descriptor(pid)
                {
                    held.insert(pid, end);
                }
            }
        }
    }

    /// One event; whoever has nothing to do with what is wanted costs a look at a name at most.
    fn happened(&mut self, event: ProcessEvent) {
        for (pattern, found) in &mut self.found {
            let Ok(pids) = found else { continue };
            match event {
                ProcessEvent::Ended(pid) => {
                    pids.remove(&pid);
                }
                ProcessEvent::Changed(pid) if is_process(pid, &request(pattern)) => {
                    pids.insert(pid);
                }
                ProcessEvent::Changed(pid) => {
                    pids.remove(&pid);
                }
                ProcessEvent::Forked { parent, child } => {
                    if pids.contains(&parent) && is_process(child, &request(pattern)) {
                        pids.insert(child);
                    }
                }
            }
        }
    }

    fn tell(&mut self) {
        for (pattern, found) in &self.found {
            let count = match found {
                Ok(pids) => Ok(u32::try_from(pids.len()).unwrap_or(u32::MAX)),
                Err(why) => Err(why.clone()),
            };
            if self.told.get(pattern) != Some(&count) {
                self.told.insert(pattern.clone(), count.clone());
                self.mailbox.post(Message::Processes { pattern: pattern.clone(), count });
            }
        }
    }
}

/// What a wait ended for.
enum News {
    Everything,
    Events(Vec<ProcessEvent>),
}

/// Readable once the process has ended.
fn descriptor(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}
