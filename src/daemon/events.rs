//! `[events]`: what happens, as lines in a FIFO, in the form of keepalived's `notify_fifo`.
//!
//! A thread of its own writes; whoever has a line never waits. Nothing is lost silently: what the pipe does not take waits
//! in a bounded queue, and where that is full the oldest line is dropped, counted, and a condition says so. keepalived drops
//! the newest, without a word.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::{sys::stat::Mode, unistd::mkfifo};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::watch;

use crate::{
    config::EventStream,
    daemon::protocol::{Mailbox, Message},
    linux::BootClock,
    node::{Condition, Event, Journal, NodeStatus, Role},
    probe::Trust,
    wire::Priority,
};

/// Lines that wait, besides those in the pipe.
const WAITING_MAX: usize = 1024;
/// How long until it is tried again after an error.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes lines. A clone is the same.
#[derive(Clone)]
pub struct Events(Arc<Shared>);

struct Shared {
    priorities: watch::Sender<bool>,
    state: Mutex<State>,
    more: Condvar,
    say: Box<dyn Fn(Event) + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    stream: EventStream,
    /// Which configuration it is of.
    edition: u64,
    running: bool,
    waiting: VecDeque<String>,
    dropped: u64,
    alarm: Option<Condition>,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("state", &*self.0.state()).finish()
    }
}

impl Events {
    /// What becomes an alarm is told to the node's journal.
    #[must_use]
    pub fn of_daemon(stream: &EventStream, mailbox: Mailbox) -> Self {
        Self::start(stream, move |event| {
            let entry = Journal { at: BootClock.now(), instance: String::new(), event };
            mailbox.post(Message::Journal(entry));
        })
    }

    /// `say` takes what becomes an alarm, from any thread, without waiting.
    pub fn start(stream: &EventStream, say: impl Fn(Event) + Send + Sync + 'static) -> Self {
        let events = Self(Arc::new(Shared {
            priorities: watch::Sender::new(false),
            state: Mutex::default(),
            more: Condvar::new(),
            say: Box::new(say),
        }));
        events.reconfigure(stream);
        events
    }

    /// From now on there. What waits for another place is not written any more.
    pub fn reconfigure(&self, stream: &EventStream) {
        let mut state = self.0.state();
        if state.stream == *stream {
            return;
        }
        let mut over = None;
        if state.stream.fifo != stream.fifo {
            state.edition += 1;
            state.waiting.clear();
            state.dropped = 0;
            // It was about the place before.
            over = state.alarm.take();
        }
        state.stream.clone_from(stream);
        self.0.priorities.send_replace(stream.fifo.is_some() && stream.priority_changes);
        if state.stream.fifo.is_some() && !state.running {
            let shared = Arc::clone(&self.0);
            let started = thread::Builder::new().name("events".to_owned()).spawn(move || shared.write());
            state.running = started.is_ok();
            if let Err(error) = started {
                tracing::error!("no events in a FIFO: {error}");
            }
        }
        drop(state);
        if let Some(over) = over {
            (self.0.say)(Event::Cleared(over));
        }
        self.0.more.notify_one();
    }

    /// A line for each priority that changes, where that is wanted, for as long as the node says how it is.
    pub async fn follow_priorities(self, mut status: watch::Receiver<Arc<NodeStatus>>) {
        let mut wanted = self.0.priorities.subscribe();
        let mut known: BTreeMap<String, Priority> = BTreeMap::new();
        while wanted.wait_for(|wanted| *wanted).await.is_ok() {
            for instance in &status.borrow_and_update().instances {
                let priority = instance.effective_priority.unwrap_or(instance.priority);
                let before = known.insert(instance.name.clone(), priority);
                let word = match instance.role {
                    Role::Master => "MASTER_PRIORITY",
                    Role::Backup | Role::Fault => "BACKUP_PRIORITY",
                };
                if before.is_some_and(|before| before != priority) {
                    self.instance(&instance.name, word, priority.get());
                }
            }
            if status.changed().await.is_err() {
                return;
            }
        }
    }

    /// A line about an instance.
    pub fn instance(&self, name: &str, word: &str, priority: u8) {
        self.line(format!("INSTANCE \"{name}\" {word} {priority}\n"));
    }

    /// A line about a group, which has no priority.
    pub fn group(&self, name: &str, word: &str) {
        self.line(format!("GROUP \"{name}\" {word} 0\n"));
    }

    fn line(&self, line: String) {
        let mut state = self.0.state();
        if state.stream.fifo.is_none() {
            return;
        }
        if state.waiting.len() >= WAITING_MAX {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(line);
        drop(state);
        self.0.more.notify_one();
    }

    /// Until everything is in the pipe, at most half a second: a pipe that is full has no reader.
    pub async fn finish(&self) {
        for _ in 0..50 {
            if self.0.state().waiting.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes, for as long as the process lives.
    fn write(&self) {
        let mut open: Option<(u64, File)> = None;
        loop {
            let (edition, path, line) = self.next();
            let pipe = match open.take().filter(|(of, _)| *of == edition) {
                Some((_, pipe)) => Ok(pipe),
                None => self::open(&path),
            };
            match pipe.and_then(|pipe| send(&pipe, &line).map(|sent| (pipe, sent))) {
                Ok((pipe, sent)) => {
                    open = Some((edition, pipe));
                    self.sent(edition, &path, sent);
                }
                Err(why) => {
                    let todo = "mend it; the lines wait until then";
                    self.alarm(edition, Some(format!("events cannot be written to {}: {why}; {todo}", path.display())));
                    thread::sleep(PAUSE);
                }
            }
        }
    }

    fn next(&self) -> (u64, PathBuf, String) {
        let mut state = self.state();
        loop {
            if let (Some(path), Some(line)) = (&state.stream.fifo, state.waiting.front()) {
                return (state.edition, path.clone(), line.clone());
            }
            state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn sent(&self, edition: u64, path: &Path, sent: bool) {
        let mut state = self.state();
        // It may have been dropped, or be another's by now.
        if sent && state.edition == edition {
            state.waiting.pop_front();
        }
        let (over, dropped) = (state.waiting.is_empty(), state.dropped);
        drop(state);
        if dropped > 0 && !over {
            let text = format!(
                "whoever reads {} does not keep up: the oldest lines are dropped, {dropped} so far; start it, or remove fifo \
                 from [events]",
                path.display()
            );
            self.alarm(edition, Some(text));
        } else if over {
            self.alarm(edition, None);
        }
    }

    /// What is wrong now, if anything is, with the place of this edition.
    fn alarm(&self, edition: u64, text: Option<String>) {
        let mut state = self.state();
        if state.edition != edition {
            return;
        }
        if text.is_none() {
            state.dropped = 0;
        }
        let now = text.map(|text| Condition { name: "events_waiting", text });
        // The number of lines alone is no news.
        if state.alarm.is_some() == now.is_some() {
            return;
        }
        let before = std::mem::replace(&mut state.alarm, now.clone());
        drop(state);
        before.map(Event::Cleared).into_iter().chain(now.map(Event::Raised)).for_each(|event| (self.say)(event));
    }
}

/// Makes it if it is not there. Open both ways it takes lines before anybody reads them.
fn open(path: &Path) -> Result<File, String> {
    if let Err(error) = mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR)
        && error != nix::errno::Errno::EEXIST
    {
        return Err(error.desc().to_lowercase());
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !metadata.file_type().is_fifo() {
        return Err("it is no FIFO".to_owned());
    }
    let trust = Trust::of_this_process();
    if let Some(objection) = trust.objection_on_the_way(path) {
        return Err(objection);
    }
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).map_err(|error| error.to_string())
}

/// One line, whole or not at all: it is shorter than what a pipe takes at once. False: the pipe is still full.
fn send(mut pipe: &File, line: &str) -> Result<bool, String> {
    match pipe.write(line.as_bytes()) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let mut watched = [PollFd::new(&pipe, PollFlags::OUT)];
            let pause = Timespec { tv_sec: 1, tv_nsec: 0 };
            // Tried again either way.
            let _ = poll(&mut watched, Some(&pause));
            Ok(false)
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, sync::mpsc};

    use super::*;

    fn stream(path: &Path) -> EventStream {
        EventStream { fifo: Some(path.to_owned()), priority_changes: false }
    }

    fn start(path: &Path) -> (Events, mpsc::Receiver<Event>) {
        let (sender, said) = mpsc::sync_channel(64);
        (Events::start(&stream(path), move |event| drop(sender.try_send(event))), said)
    }

    fn read(path: &Path, bytes: usize) -> String {
        let mut text = vec![0; bytes];
        File::open(path).unwrap().read_exact(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn lines_wait_in_order_for_whoever_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let (events, _said) = start(&path);
        events.instance("VI_1", "BACKUP", 100);
        events.instance("VI_1", "MASTER", 90);
        events.finish().await;
        let expected = "INSTANCE \"VI_1\" BACKUP 100\nINSTANCE \"VI_1\" MASTER 90\n";
        assert_eq!(read(&path, expected.len()), expected);
    }

    /// Nobody reads: the pipe fills, the queue fills, the oldest that wait are dropped, and that is said.
    #[test]
    fn a_reader_that_is_not_there_costs_the_oldest_lines_and_is_an_alarm() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        let (events, said) = start(&path);
        let written = 10_000;
        for number in 0..written {
            events.instance(&format!("{number:05}"), "MASTER", 100);
            if number % 100 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        let raised = said.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(
            matches!(&raised, Event::Raised(condition) if condition.name == "events_waiting" && condition.text.contains("does not keep up")),
            "{raised:?}"
        );
        let mut pipe = File::open(&path).unwrap();
        let mut numbers: Vec<usize> = Vec::new();
        let mut line = [0; 28];
        while numbers.last() != Some(&(written - 1)) {
            pipe.read_exact(&mut line).unwrap();
            numbers.push(std::str::from_utf8(&line[10..15]).unwrap().parse().unwrap());
        }
        assert!(numbers.is_sorted() && numbers.len() < written, "in order, and some are missing");
        assert!(matches!(said.recv_timeout(Duration::from_secs(10)), Ok(Event::Cleared(_))));
    }

    #[test]
    fn what_was_wrong_with_a_place_that_is_wanted_no_more_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        fs::write(&path, "mine").unwrap();
        let (events, said) = start(&path);
        events.instance("VI_1", "MASTER", 100);
        assert!(matches!(said.recv_timeout(Duration::from_secs(10)), Ok(Event::Raised(_))));
        events.reconfigure(&EventStream::default());
        assert!(matches!(said.recv_timeout(Duration::from_secs(10)), Ok(Event::Cleared(_))));
    }

    #[test]
    fn what_is_no_fifo_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        fs::write(&path, "mine").unwrap();
        let (events, said) = start(&path);
        events.instance("VI_1", "MASTER", 100);
        let raised = said.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(matches!(&raised, Event::Raised(condition) if condition.text.contains("it is no FIFO")), "{raised:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
        assert!(matches!(said.recv_timeout(Duration::from_secs(10)), Ok(Event::Cleared(_))), "mended");
    }
}
