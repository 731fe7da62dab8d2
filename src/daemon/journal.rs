//! The log tells the story: what a node reports becomes lines, and the last of them are kept for `ha status`.
//!
//! A line is a sentence; its values travel along as fields for subscribers that keep them. What is an alarm is repeated
//! for as long as it is so, because a line of last night is not seen in the morning.

mod lines;

use std::{
    collections::{BTreeMap, VecDeque},
    fmt, panic,
    sync::OnceLock,
    time::Duration,
};

use tracing::{Event as TraceEvent, Level, Subscriber, field::Visit};
use tracing_subscriber::{
    filter::Targets,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
};

use self::lines::{Lines, Stderr};
use crate::{
    config::{Netns, Renames},
    control::{
        Feed, What,
        protocol::{Happened, millis},
    },
    node::{Condition, Event, Journal as Entry, Role, STOPPED},
    words::Instant,
};

/// Lines kept.
const HISTORY_MAX: usize = 256;
/// An alarm is repeated this often.
const REMIND_EVERY: Duration = Duration::from_secs(600);
/// Target of every line whose fields are already in its sentence.
const TARGET: &str = "ha::journal";
/// How long the end of the process waits for whoever reads its last lines. Shorter than any lease: a process after this one
/// may be waited for.
const LAST_LINES: Duration = Duration::from_millis(300);

/// Where the process's lines go.
static LINES: OnceLock<Lines> = OnceLock::new();

/// What happened lately and what is wrong now.
#[derive(Debug, Default)]
pub struct Journal {
    history: VecDeque<Line>,
    feed: Feed,
    /// What is so now, by instance, with the moment it was last said.
    raised: BTreeMap<(String, Condition), Instant>,
}

#[derive(Debug)]
struct Line {
    at: Instant,
    time: jiff::Timestamp,
    instance: String,
    text: String,
}

impl Journal {
    /// What is recorded is put into `feed` as well.
    #[must_use]
    pub fn new(feed: Feed) -> Self {
        Self { feed, ..Self::default() }
    }

    /// Says it, and remembers it.
    pub fn record(&mut self, entry: &Entry) {
        let instance = entry.instance.as_str();
        let text = sentence(&entry.event);
        // It happens at every handover: what matters of it is a condition, peer_deaf.
        if matches!(entry.event, Event::LowerHeard { .. }) {
            tracing::debug!(target: TARGET, instance, "{instance}: {text}");
            return;
        }
        let line = if instance.is_empty() { text.clone() } else { format!("{instance}: {text}") };
        match &entry.event {
            Event::Transition { from, to, reason } => say_transition(instance, *from, *to, reason, &line),
            Event::Raised(condition) => {
                say_condition(instance, condition, &line);
                self.raised.insert((instance.to_owned(), condition.clone()), entry.at);
            }
            Event::Cleared(condition) => {
                tracing::info!(target: TARGET, instance, condition = condition.name, "{line}");
                self.clear(instance, condition);
            }
            Event::Priority { .. } | Event::Note(_) | Event::LowerHeard { .. } => {
                tracing::info!(target: TARGET, instance, "{line}")
            }
        }
        self.remember(entry, text);
    }

    /// Instances are called otherwise from now on. What happened before stays as it was said.
    pub fn rename(&mut self, renames: &Renames) {
        renames.rekey(&mut self.raised, |(instance, _)| instance);
    }

    /// Repeats the alarms that were not said for ten minutes. To be called now and then.
    pub fn remind(&mut self, now: Instant) {
        for ((instance, condition), said_at) in &mut self.raised {
            if is_alarm(condition) && now.saturating_since(*said_at) >= REMIND_EVERY {
                *said_at = now;
                let whose = if instance.is_empty() { String::new() } else { format!("{instance}: ") };
                say_condition(instance, condition, &format!("{whose}still so: {}", condition.text));
            }
        }
    }

    /// The last lines, oldest first, as seen at `now`.
    #[must_use]
    pub fn history(&self, now: Instant) -> Vec<Happened> {
        let happened = |line: &Line| Happened {
            time: line.time.to_string(),
            age_ms: millis(now.saturating_since(line.at)),
            network: None,
            instance: line.instance.clone(),
            text: line.text.clone(),
        };
        self.history.iter().map(happened).collect()
    }

    fn remember(&mut self, entry: &Entry, text: String) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        let time = jiff::Timestamp::now();
        self.feed.put(&format!("{time:.3}"), &entry.instance, What::from(&entry.event), &text);
        self.history.push_back(Line { at: entry.at, time, instance: entry.instance.clone(), text });
    }

    /// Its text may have changed since it was raised; its name says which it is.
    fn clear(&mut self, instance: &str, condition: &Condition) {
        let exact = (instance.to_owned(), condition.clone());
        if self.raised.remove(&exact).is_none() {
            self.raised.retain(|(whose, raised), _| whose != instance || raised.name != condition.name);
        }
    }
}

/// What happened, without whose.
fn sentence(event: &Event) -> String {
    match event {
        Event::Transition { from, to, reason } if from == to => format!("{to} from the start: {reason}"),
        Event::Transition { from, to, reason } => format!("{to} (was {from}): {reason}"),
        Event::Priority { from, to } => format!("priority {} (was {})", to.get(), from.get()),
        Event::Raised(condition) => condition.text.clone(),
        Event::Cleared(condition) => format!("no longer so: {}", beginning(&condition.text)),
        Event::LowerHeard { source, priority } => {
            format!("{source} advertises priority {priority}, which is lower; it is told so")
        }
        Event::Note(text) => text.clone(),
    }
}

/// What it is, without what follows from it: that is after a semicolon, or in a sentence of its own.
fn beginning(text: &str) -> &str {
    let begins = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(char::is_uppercase));
    let sentence = text.match_indices(". ").find(|(at, dot)| begins(at + dot.len())).and_then(|(at, _)| text.get(..at));
    sentence.unwrap_or(text).split("; ").next().unwrap_or(text)
}

fn say_transition(instance: &str, from: Role, to: Role, reason: &str, line: &str) {
    match to {
        // Nobody needs to look.
        Role::Fault if reason == STOPPED => tracing::info!(target: TARGET, instance, %from, %to, reason, "{line}"),
        Role::Fault => tracing::warn!(target: TARGET, instance, %from, %to, reason, "{line}"),
        Role::Backup | Role::Master => tracing::info!(target: TARGET, instance, %from, %to, reason, "{line}"),
    }
}

fn say_condition(instance: &str, condition: &Condition, line: &str) {
    match severity(condition) {
        Severity::Passing => tracing::info!(target: TARGET, instance, condition = condition.name, "{line}"),
        Severity::Alarm => tracing::warn!(target: TARGET, instance, condition = condition.name, "{line}"),
        Severity::Broken => tracing::error!(target: TARGET, instance, condition = condition.name, "{line}"),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// Part of the normal course of things.
    Passing,
    /// Somebody should look.
    Alarm,
    /// Something of this node does not do its work.
    Broken,
}

fn severity(condition: &Condition) -> Severity {
    match condition.name {
        "starting" | "elected" | "releasing" | "resigning" | "maintenance" => Severity::Passing,
        "hold" | "policy_missing" | "policy_stale" => Severity::Broken,
        _ => Severity::Alarm,
    }
}

fn is_alarm(condition: &Condition) -> bool {
    severity(condition) != Severity::Passing
}

/// Sends the process's lines to standard error; `HA_LOG` chooses what, as in `warn,ha=debug` (`info` unless told or not
/// understood). Under systemd a line has its priority in front and no time, which the journal knows better. A process that works
/// in another `network` says so in each line. Panics are lines too. A second call does nothing.
pub fn init(network: Option<&Netns>) {
    let told = std::env::var("HA_LOG").ok().and_then(|told| told.parse().ok());
    let filter: Targets =
        told.unwrap_or_else(|| Targets::new().with_default(Level::WARN).with_target("ha", Level::INFO));
    let whose = network.map(|network| format!("network {network}: ")).unwrap_or_default();
    let format = Format { journald: std::env::var_os("JOURNAL_STREAM").is_some(), whose };
    let queue = Lines::new({
        let format = format.clone();
        move |lost| format.missing(lost).into_bytes()
    });
    let writer = queue.clone();
    let lines = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).event_format(format);
    let subscriber = tracing_subscriber::registry().with(lines).with(filter);
    // An error means that somebody else listens already.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LINES.set(queue);
        panic::set_hook(Box::new(|panic| {
            tracing::error!("a fault of ha: {}", panic.to_string().replace('\n', " "));
            finish();
        }));
    }
}

/// From now on nobody but a thread made here waits for whoever reads standard error. It has the rights of the thread that
/// calls, and before nothing may depend on a line.
pub fn detach() {
    let Some(lines) = LINES.get() else { return };
    if let Err(error) = lines.start(Stderr) {
        tracing::warn!("no thread writes the journal ({error}): while nobody reads it, this process waits for that");
    }
}

/// Waits for the last lines to be written, for a moment.
pub fn finish() {
    if let Some(lines) = LINES.get() {
        lines.finish(LAST_LINES);
    }
}

/// One line, one event.
#[derive(Clone)]
struct Format {
    journald: bool,
    /// What every line begins with.
    whose: String,
}

impl Format {
    /// What stands before the sentence.
    fn begin(&self, out: &mut impl fmt::Write, level: Level) -> fmt::Result {
        if self.journald {
            write!(out, "<{}>", syslog_priority(level))?;
        } else {
            write!(out, "{:.3} {:>5} ", jiff::Timestamp::now(), level)?;
        }
        out.write_str(&self.whose)
    }

    /// The line in place of those that nobody took.
    fn missing(&self, lost: u64) -> String {
        let mut line = String::new();
        // A string takes everything.
        let _ = self.begin(&mut line, Level::WARN);
        let (lines, are) = if lost == 1 { ("line", "is") } else { ("lines", "are") };
        line.push_str(&format!(
            "{lost} {lines} {are} missing here: whoever reads standard error (the system's journal) did not keep up, and ha does \
             not wait for that. `ha status` and `ha events` know what happened\n"
        ));
        line
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &TraceEvent<'_>) -> fmt::Result {
        let metadata = event.metadata();
        self.begin(&mut out, *metadata.level())?;
        let mut fields = Fields { message: String::new(), others: String::new() };
        event.record(&mut fields);
        out.write_str(&fields.message)?;
        if metadata.target() != TARGET {
            out.write_str(&fields.others)?;
        }
        writeln!(out)
    }
}

fn syslog_priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The sentence, and the rest as ` name=value`.
struct Fields {
    message: String,
    others: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.others.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `work` causes, as the system journal gets them.
    fn lines(work: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(Format { journald: true, whose: String::new() })
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn at(seconds: u64, event: Event) -> Entry {
        Entry { at: Instant::from_epoch(Duration::from_secs(seconds)), instance: "VI_1".into(), event }
    }

    fn stale() -> Condition {
        Condition {
            name: "policy_stale",
            text: "policy check_local: the file is invalid; generation 7 keeps running".into(),
        }
    }

    fn becomes_master() -> Entry {
        let reason = "no advertisement from 192.168.0.20 for 3.6 s".into();
        at(10, Event::Transition { from: Role::Backup, to: Role::Master, reason })
    }

    #[test]
    fn a_transition_is_a_sentence() {
        let mut journal = Journal::default();
        let text = lines(|| journal.record(&becomes_master()));
        assert_eq!(text, "<6>VI_1: master (was backup): no advertisement from 192.168.0.20 for 3.6 s\n");
    }

    #[test]
    fn whoever_is_stopped_in_order_needs_nobody() {
        let stops = |reason: &str| {
            let event = Event::Transition { from: Role::Master, to: Role::Fault, reason: reason.into() };
            lines(|| Journal::default().record(&at(10, event)))
        };
        assert_eq!(stops(STOPPED), "<6>VI_1: fault (was master): stopped by its operator\n");
        assert_eq!(stops("the link is down"), "<4>VI_1: fault (was master): the link is down\n");
    }

    #[test]
    fn an_alarm_is_an_error_once_and_every_ten_minutes() {
        let mut journal = Journal::default();
        let moment = |seconds| Instant::from_epoch(Duration::from_secs(seconds));
        let first = lines(|| journal.record(&at(0, Event::Raised(stale()))));
        assert_eq!(first, "<3>VI_1: policy check_local: the file is invalid; generation 7 keeps running\n");
        assert_eq!(lines(|| journal.remind(moment(599))), "");
        let again = lines(|| journal.remind(moment(600)));
        assert!(again.starts_with("<3>VI_1: still so: policy check_local"), "{again}");
        assert_eq!(lines(|| journal.remind(moment(601))), "");
        lines(|| journal.record(&at(700, Event::Cleared(stale()))));
        assert_eq!(lines(|| journal.remind(moment(5000))), "");
    }

    #[test]
    fn what_passes_is_not_repeated() {
        let mut journal = Journal::default();
        let starting = Condition { name: "starting", text: "waiting for the first verdict".into() };
        lines(|| journal.record(&at(0, Event::Raised(starting))));
        assert_eq!(lines(|| journal.remind(Instant::from_epoch(Duration::from_secs(5000)))), "");
    }

    #[test]
    fn a_condition_whose_text_changed_is_cleared_by_its_name() {
        let mut journal = Journal::default();
        lines(|| journal.record(&at(0, Event::Raised(stale()))));
        let other = Condition { name: "policy_stale", text: "another text".into() };
        lines(|| journal.record(&at(1, Event::Cleared(other))));
        assert_eq!(lines(|| journal.remind(Instant::from_epoch(Duration::from_secs(5000)))), "");
    }

    #[test]
    fn what_is_no_longer_so_is_said_without_what_follows_from_it() {
        for (text, begins) in [
            (
                "10.0.0.60/24 is on eth0 although this node does not serve; this node removes it. Look",
                "10.0.0.60/24 is on eth0 although this node does not serve",
            ),
            ("eth0 is down. Look at the cable; it may be loose", "eth0 is down"),
            ("web on 10.0.0.1. fails", "web on 10.0.0.1. fails"),
            ("status 500.", "status 500."),
        ] {
            assert_eq!(beginning(text), begins);
        }
    }

    #[test]
    fn lines_that_are_missing_are_said_as_a_line() {
        let line = Format { journald: true, whose: "network blue: ".to_owned() }.missing(3);
        assert!(
            line.starts_with("<4>network blue: 3 lines are missing here: ") && line.ends_with("happened\n"),
            "{line}"
        );
    }

    #[test]
    fn the_history_is_bounded_and_in_order() {
        let mut journal = Journal::default();
        lines(|| {
            for number in 0..300 {
                journal.record(&at(number, Event::Note(number.to_string())));
            }
        });
        let history = journal.history(Instant::from_epoch(Duration::from_secs(300)));
        assert_eq!(history.len(), HISTORY_MAX);
        assert_eq!((history[0].text.as_str(), history[0].age_ms), ("44", 256_000));
        assert_eq!(history[255].text, "299");
    }
}
