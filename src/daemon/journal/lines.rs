//! The way of a line to standard error.
//!
//! Whoever reads there may have stopped reading, and a thread that writes waits for him. Once the daemon runs, a thread of
//! its own is the only one that does: everybody else puts a line into a queue, and never waits. Lines for which there is no
//! room are counted instead, and the count is said where they are missing.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Lines that wait at most.
const LINES_MAX: usize = 1024;
/// What waits at most, in bytes.
const BYTES_MAX: usize = 512 * 1024;
/// Once a line was lost, the next one is taken when no more than this is waiting: whoever reads slowly is not told of a loss
/// between any two lines.
const ROOM_AGAIN: usize = BYTES_MAX / 4;
/// The thread does next to nothing, and a daemon that locks its memory locks every stack.
const STACK: usize = 64 * 1024;
/// How often a process that ends looks whether everything is written.
const LOOK: Duration = Duration::from_millis(2);

/// A line that says so many are missing.
type Missing = Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>;

/// The queue. A clone is the same.
#[derive(Clone)]
pub(super) struct Lines(Arc<Queue>);

struct Queue {
    /// None: there is no thread, and whoever has a line writes it.
    sender: OnceLock<SyncSender<Vec<u8>>>,
    counts: Arc<Counts>,
}

struct Counts {
    /// Bytes that are not written yet.
    waiting: AtomicUsize,
    /// Lines that are not said to be missing yet.
    lost: AtomicU64,
    missing: Missing,
}

impl Counts {
    fn take_lost(&self) -> Option<Vec<u8>> {
        let lost = self.lost.swap(0, SeqCst);
        (lost > 0).then(|| (self.missing)(lost))
    }
}

impl Lines {
    /// Without a thread yet.
    pub(super) fn new(missing: impl Fn(u64) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let counts = Counts { waiting: AtomicUsize::new(0), lost: AtomicU64::new(0), missing: Box::new(missing) };
        Self(Arc::new(Queue { sender: OnceLock::new(), counts: Arc::new(counts) }))
    }

    /// From now on a thread writes them to `out`.
    ///
    /// # Errors
    /// There is no thread to be had; whoever has a line writes it himself.
    pub(super) fn start(&self, out: impl Write + Send + 'static) -> io::Result<()> {
        let (sender, lines) = sync_channel(LINES_MAX);
        let counts = Arc::clone(&self.0.counts);
        let write = move || write_all(&lines, &counts, out);
        thread::Builder::new().name("ha-journal".to_owned()).stack_size(STACK).spawn(write)?;
        // Whoever was first has a thread; this one ends.
        let _ = self.0.sender.set(sender);
        Ok(())
    }

    /// Returns at once, wherever there is a thread.
    fn put(&self, line: &[u8]) {
        let counts = &self.0.counts;
        let Some(sender) = self.0.sender.get() else {
            // Nobody is left who could be told.
            let _ = Stderr.write_all(line);
            return;
        };
        if counts.lost.load(SeqCst) > 0 {
            if counts.waiting.load(SeqCst) > ROOM_AGAIN {
                counts.lost.fetch_add(1, SeqCst);
                return;
            }
            counts.take_lost().into_iter().for_each(|missing| self.hand_over(sender, missing));
        }
        self.hand_over(sender, line.to_owned());
    }

    fn hand_over(&self, sender: &SyncSender<Vec<u8>>, line: Vec<u8>) {
        let (counts, size) = (&self.0.counts, line.len());
        let fits = counts.waiting.fetch_add(size, SeqCst) + size <= BYTES_MAX;
        if !fits || sender.try_send(line).is_err() {
            counts.waiting.fetch_sub(size, SeqCst);
            counts.lost.fetch_add(1, SeqCst);
        }
    }

    /// Waits until everything is written, at most so long.
    pub(super) fn finish(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while self.0.counts.waiting.load(SeqCst) > 0 && Instant::now() < until {
            thread::sleep(LOOK);
        }
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, counts: &Counts, mut out: impl Write) {
    while let Ok(line) = lines.recv() {
        // What cannot be written at all, as after standard error was closed, has nobody who misses it.
        let _ = out.write_all(&line);
        if counts.waiting.fetch_sub(line.len(), SeqCst) == line.len()
            && let Some(missing) = counts.take_lost()
        {
            let _ = out.write_all(&missing);
        }
    }
}

/// Standard error without the lock of the library's: a thread that waits here keeps nobody else from it.
#[derive(Debug)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::write(io::stderr(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, pipe};

    use super::*;

    fn lines() -> Lines {
        Lines::new(|lost| format!("missing {lost}\n").into_bytes())
    }

    fn say(lines: &Lines, number: usize) {
        let long = "x".repeat(900);
        lines.clone().write_all(format!("{number} {long}\n").as_bytes()).unwrap();
    }

    /// Whoever waited here for a reader would wait for ever.
    #[test]
    fn nobody_waits_for_a_reader_and_what_is_missing_is_counted_where_it_is_missing() {
        const SAID: usize = 5000;
        let (reader, writer) = pipe().unwrap();
        let lines = lines();
        lines.start(writer).unwrap();
        (0..SAID).for_each(|number| say(&lines, number));
        lines.finish(Duration::from_millis(20));

        let mut reader = BufReader::new(reader).lines().map(Result::unwrap);
        let (mut next, mut seen) = (0, 0);
        while next < SAID {
            let line = reader.next().unwrap();
            match line.split_once(' ').unwrap() {
                ("missing", lost) => next += lost.parse::<usize>().unwrap(),
                (number, _) => {
                    assert_eq!(number.parse::<usize>().unwrap(), next, "lines keep their order");
                    (next, seen) = (next + 1, seen + 1);
                }
            }
        }
        assert!(next == SAID && (10..SAID).contains(&seen), "{seen}");
        say(&lines, SAID);
        assert!(reader.next().unwrap().starts_with("5000 x"), "there is room again");
    }

    #[test]
    fn what_was_said_is_written_before_the_end() {
        let (mut reader, writer) = pipe().unwrap();
        let lines = lines();
        lines.start(writer).unwrap();
        say(&lines, 7);
        lines.finish(Duration::from_secs(60));
        let mut line = [0; 4];
        reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"7 xx");
        assert_eq!(lines.0.counts.waiting.load(SeqCst), 0);
    }
}
