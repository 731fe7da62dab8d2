//! What happens, in order, for whoever wants to follow it.
//!
//! Whoever has something to say puts it into a ring and goes on: the ring is bounded, and nobody who reads is waited for.
//! A reader that comes too late for what the ring kept is told how much it missed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::protocol::State;
use crate::node;

/// The name and version of [`Happening`] as JSON.
pub const EVENT_SCHEMA: &str = "ha.event/1";
/// Events that are kept.
pub const EVENTS_KEPT: usize = 1024;
/// Clients that follow at the same time; others keep the rest of the server's places.
pub const FOLLOWERS_MAX: usize = 8;

/// One line of the stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// [`EVENT_SCHEMA`].
    pub schema: String,
    /// Counts from 1 since the daemon started, without a gap. That of [`What::Gap`] is the last one missed.
    pub number: u64,
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// In which network namespace; absent: in the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Whose; empty for the node itself.
    pub instance: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// The same as a sentence.
    pub text: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum What {
    /// The role changed.
    Transition { from: State, to: State },
    /// It bids another priority.
    Priority { from: u8, to: u8 },
    /// A condition began.
    Raised { condition: String },
    /// A condition ended.
    Cleared { condition: String },
    /// Worth a line.
    Note,
    /// So many are not here: they were dropped before this reader came to them.
    Gap { missed: u64 },
}

impl From<&node::Event> for What {
    fn from(event: &node::Event) -> Self {
        match event {
            node::Event::Transition { from, to, .. } => Self::Transition { from: (*from).into(), to: (*to).into() },
            node::Event::Priority { from, to } => Self::Priority { from: from.get(), to: to.get() },
            node::Event::Raised(condition) => Self::Raised { condition: condition.name.to_owned() },
            node::Event::Cleared(condition) => Self::Cleared { condition: condition.name.to_owned() },
            node::Event::LowerHeard { .. } | node::Event::Note(_) => Self::Note,
        }
    }
}

/// Where events are put in, and read. A clone is the same.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Kept {
    newest: u64,
    /// Ready to be sent; the last has the number `newest`.
    lines: VecDeque<Arc<str>>,
}

impl Default for Feed {
    fn default() -> Self {
        Self(Arc::new(Shared {
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
            places: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        }))
    }
}

impl Feed {
    /// Adds an event; never waits for a reader.
    pub fn put(&self, time: &str, instance: &str, what: What, text: &str) {
        self.add(Happening {
            schema: EVENT_SCHEMA.to_owned(),
            number: 0,
            time: time.to_owned(),
            network: None,
            instance: instance.to_owned(),
            what,
            text: text.to_owned(),
        });
    }

    /// Adds one that happened in another network and was numbered there.
    pub fn pass_on(&self, network: &str, happening: Happening) {
        self.add(Happening { network: Some(network.to_owned()), ..happening });
    }

    fn add(&self, happening: Happening) {
        let mut kept = self.kept();
        kept.newest += 1;
        let number = kept.newest;
        if kept.lines.len() == EVENTS_KEPT {
            kept.lines.pop_front();
        }
        kept.lines.push_back(line(&Happening { number, ..happening }));
        drop(kept);
        self.0.newest.send_replace(number);
    }

    /// Where somebody begins who wants the `last` so many.
    pub(super) fn beginning(&self, last: usize) -> u64 {
        let kept = self.kept();
        1 + kept.newest - u64::try_from(last.min(kept.lines.len())).unwrap_or_default()
    }

    /// At most `most` lines from number `next` on, with what was missed in front, and the number to go on with.
    pub(super) fn read(&self, next: u64, most: usize) -> (Vec<Arc<str>>, u64) {
        let kept = self.kept();
        let oldest = 1 + kept.newest - u64::try_from(kept.lines.len()).unwrap_or_default();
        let from = next.max(oldest);
        let skipped = usize::try_from(from - oldest).unwrap_or(usize::MAX);
        let mut lines: Vec<Arc<str>> = kept.lines.iter().skip(skipped).take(most).cloned().collect();
        let after = from + u64::try_from(lines.len()).unwrap_or_default();
        drop(kept);
        if from > next {
            let missed = from - next;
            let text = format!("{missed} events are not shown: whoever reads this does not keep up with them");
            let time = format!("{:.3}", jiff::Timestamp::now());
            let (schema, instance) = (EVENT_SCHEMA.to_owned(), String::new());
            let what = What::Gap { missed };
            lines.insert(0, line(&Happening { schema, number: from - 1, time, network: None, instance, what, text }));
        }
        (lines, after)
    }

    /// The number of the newest one, as it grows.
    pub(super) fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// A place for one who follows, for as long as it is kept.
    pub(super) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.places).try_acquire_owned().ok()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(happening: &Happening) -> Arc<str> {
    // Texts and numbers can always be written.
    let mut line = serde_json::to_string(happening).unwrap_or_default();
    line.push('\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(events: u64) -> Feed {
        let feed = Feed::default();
        (1..=events).for_each(|number| feed.put("now", "VI_1", What::Note, &number.to_string()));
        feed
    }

    fn read(feed: &Feed, next: u64, most: usize) -> (Vec<Happening>, u64) {
        let (lines, next) = feed.read(next, most);
        (lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect(), next)
    }

    #[test]
    fn what_is_kept_is_read_in_order_and_in_parts() {
        let feed = feed(10);
        assert_eq!([feed.beginning(3), feed.beginning(100), feed.beginning(0)], [8, 1, 11]);
        let (first, next) = read(&feed, 1, 4);
        assert_eq!(first.iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let (rest, end) = read(&feed, next, 100);
        assert_eq!((rest.len(), end), (6, 11));
        assert_eq!(read(&feed, end, 100), (vec![], 11));
    }

    #[test]
    fn a_reader_that_comes_too_late_is_told_how_much_it_missed() {
        let kept = u64::try_from(EVENTS_KEPT).unwrap();
        let feed = feed(kept + 20);
        let (lines, next) = read(&feed, 6, 3);
        assert_eq!(lines[0].what, What::Gap { missed: 15 });
        assert_eq!(lines.iter().map(|event| event.number).collect::<Vec<_>>(), [20, 21, 22, 23]);
        assert_eq!(next, 24);
        let (whole, _) = read(&feed, 21, usize::MAX);
        assert_eq!((whole.len(), whole[0].number), (EVENTS_KEPT, 21), "nothing is missed");
    }

    #[test]
    fn a_line_has_its_kind_and_what_belongs_to_it() {
        let feed = Feed::default();
        let what = What::Transition { from: State::Backup, to: State::Master };
        feed.put("2026-01-01T00:00:00.000Z", "VI_1", what, "master (was backup): it is alone");
        assert_eq!(
            feed.read(1, 1).0.concat(),
            "{\"schema\":\"ha.event/1\",\"number\":1,\"time\":\"2026-01-01T00:00:00.000Z\",\"instance\":\"VI_1\",\
             \"kind\":\"transition\",\"from\":\"backup\",\"to\":\"master\",\"text\":\"master (was backup): it is alone\"}\n"
        );
    }
}
