//! One reader for each file that is tracked: a file system whose server is gone keeps whoever touches it, and the other files are no
//! business of his.
//!
//! A file is looked at every [`LOOK`] at least. One that was not looked at for [`ROUNDS`] rounds is not known (R20), whatever it said
//! last. Rounds are counted, not measured: where the whole process was stopped, only one is over. A reader that is away stays the
//! only one of its file, also if that is tracked no more, or again.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::{
    daemon::{
        protocol::{Mailbox, Message},
        watch::Watch,
    },
    node::FileSays,
};

/// A file is looked at as often as this, changed or not.
const LOOK: Duration = Duration::from_secs(2);
/// How often it is seen to that the readers are there.
const ROUND: Duration = Duration::from_secs(1);
/// A file that was not looked at in so many rounds is not known.
const ROUNDS: u32 = 6;

/// What a file says. It may take as long as it likes.
type Read = fn(&Path) -> FileSays;

/// The files that are tracked. Until it is dropped.
pub(super) struct Files {
    mailbox: Mailbox,
    read: Read,
    readers: Readers,
    /// Its end is that of the rounds. None as long as nothing was to be watched.
    rounds: Option<SyncSender<()>>,
}

type Readers = Arc<Mutex<BTreeMap<PathBuf, Reader>>>;

struct Reader {
    desk: Arc<Desk>,
    watch: Watch,
}

/// What is known of one file.
struct Desk {
    path: PathBuf,
    mailbox: Mailbox,
    known: Mutex<Known>,
}

struct Known {
    wanted: bool,
    told: Option<FileSays>,
    /// Since the last look.
    rounds: u32,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("files", &lock(&self.readers).keys()).finish_non_exhaustive()
    }
}

impl Files {
    pub(super) fn new(mailbox: Mailbox, read: Read) -> Self {
        Self { mailbox, read, readers: Arc::default(), rounds: None }
    }

    /// Watches these from now on, and tells what each says.
    ///
    /// # Errors
    /// No thread can be started, for one of them at least.
    pub(super) fn want(&mut self, paths: Vec<PathBuf>) -> io::Result<()> {
        if self.rounds.is_none() && !paths.is_empty() {
            self.rounds = Some(make_rounds(&self.readers)?);
        }
        let mut readers = lock(&self.readers);
        for (_, reader) in readers.iter().filter(|(path, _)| !paths.contains(path)) {
            lock(&reader.desk.known).wanted = false;
        }
        let mut refused = Ok(());
        for path in paths {
            if let Some(reader) = readers.get(&path) {
                reader.desk.want_again();
                reader.watch.watch(vec![path]);
                continue;
            }
            match Reader::start(path.clone(), self.mailbox.clone(), self.read) {
                Ok(reader) => drop(readers.insert(path, reader)),
                Err(error) => refused = Err(error),
            }
        }
        refused
    }
}

/// Sees to the readers until what it returns is dropped.
fn make_rounds(readers: &Readers) -> io::Result<SyncSender<()>> {
    let (end, ended) = sync_channel(0);
    let readers = Arc::clone(readers);
    thread::Builder::new().name("ha-tracking".to_owned()).spawn(move || {
        while ended.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
            round(&readers);
        }
    })?;
    Ok(end)
}

/// One more round is over: readers that nobody wants any more go, if they are there.
fn round(readers: &Readers) {
    let desks: Vec<Arc<Desk>> = {
        let mut readers = lock(readers);
        readers.retain(|_, reader| !reader.desk.is_done_with());
        readers.values().map(|reader| Arc::clone(&reader.desk)).collect()
    };
    desks.iter().for_each(|desk| desk.round());
}

impl Reader {
    fn start(path: PathBuf, mailbox: Mailbox, read: Read) -> io::Result<Self> {
        let known = Mutex::new(Known { wanted: true, told: None, rounds: 0 });
        let desk = Arc::new(Desk { path: path.clone(), mailbox, known });
        let looks = Arc::clone(&desk);
        let watch = Watch::at_least_every(LOOK, vec![path], move || {
            looks.looked(read(&looks.path));
            Vec::new()
        })?;
        Ok(Self { desk, watch })
    }
}

impl Desk {
    /// The file was looked at.
    fn looked(&self, says: FileSays) {
        let mut known = lock(&self.known);
        known.rounds = 0;
        self.tell(&mut known, says);
    }

    /// A round is over.
    fn round(&self) {
        let mut known = lock(&self.known);
        known.rounds = known.rounds.saturating_add(1);
        if known.rounds >= ROUNDS {
            let why = "it cannot be read: its file system does not answer";
            self.tell(&mut known, FileSays::Unusable(why.to_owned()));
        }
    }

    /// Tells it, if it is news. Under the lock: what was told last is what was found last.
    fn tell(&self, known: &mut Known, says: FileSays) {
        if known.wanted && known.told.as_ref() != Some(&says) {
            known.told = Some(says.clone());
            self.mailbox.post(Message::File { path: self.path.clone(), says });
        }
    }

    /// What it says is told anew if nobody wanted it meanwhile.
    fn want_again(&self) {
        let mut known = lock(&self.known);
        if !known.wanted {
            *known = Known { wanted: true, told: None, rounds: known.rounds };
        }
    }

    /// Nobody wants it, and its reader is not away.
    fn is_done_with(&self) -> bool {
        let known = lock(&self.known);
        !known.wanted && known.rounds == 0
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        sync::{
            atomic::{AtomicUsize, Ordering},
            mpsc::Receiver,
        },
    };

    use super::*;
    use crate::linux::Waker;

    /// One that reads a file called "gone" waits for this.
    static GONE: Mutex<()> = Mutex::new(());
    static AWAY: AtomicUsize = AtomicUsize::new(0);

    fn read(path: &Path) -> FileSays {
        if path.ends_with("gone") {
            AWAY.fetch_add(1, Ordering::AcqRel);
            drop(GONE.lock());
            AWAY.fetch_sub(1, Ordering::AcqRel);
        }
        FileSays::Number(fs::read_to_string(path).unwrap().parse().unwrap())
    }

    fn next(told: &Receiver<Message>) -> (String, FileSays) {
        match told.recv_timeout(Duration::from_secs(60)) {
            Ok(Message::File { path, says }) => (path.file_name().unwrap().to_str().unwrap().to_owned(), says),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_that_hangs_is_not_known_and_holds_up_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let [gone, there] = ["gone", "there"].map(|name| directory.path().join(name));
        fs::write(&gone, "1").unwrap();
        fs::write(&there, "1").unwrap();
        let (sender, told) = sync_channel(16);
        let mut files = Files::new(Mailbox { sender, waker: Waker::new().unwrap() }, read);
        // Rounds are made here.
        files.rounds = Some(sync_channel(0).0);
        let hangs = GONE.lock().unwrap();
        files.want(vec![gone.clone(), there.clone()]).unwrap();
        assert_eq!(next(&told), ("there".to_owned(), FileSays::Number(1)));
        fs::write(&there, "2").unwrap();
        assert_eq!(next(&told), ("there".to_owned(), FileSays::Number(2)));
        while AWAY.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        let desk = Arc::clone(&lock(&files.readers)[&gone].desk);
        let not_known = || {
            (0..ROUNDS).for_each(|_| desk.round());
            let (name, says) = next(&told);
            assert_eq!(name, "gone");
            assert!(matches!(&says, FileSays::Unusable(why) if why.starts_with("it cannot be read: ")), "{says:?}");
        };
        not_known();
        // Nobody wants it, and then somebody does: the one that is away is still the only one.
        for _ in 0..3 {
            files.want(vec![there.clone()]).unwrap();
            round(&files.readers);
            files.want(vec![gone.clone(), there.clone()]).unwrap();
        }
        assert_eq!(AWAY.load(Ordering::Acquire), 1);
        not_known();
        drop(hangs);
        assert_eq!(next(&told), ("gone".to_owned(), FileSays::Number(1)));
        files.want(vec![there]).unwrap();
        while lock(&files.readers).contains_key(&gone) {
            round(&files.readers);
        }
    }
}
