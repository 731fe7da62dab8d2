//! Mail on transitions and on rules that ask for it: plain SMTP (RFC 5321) to a server nearby that knows the way on. No TLS, no authentication.
//!
//! A thread of its own sends one mail at a time; whoever has one to send never waits. The queue is bounded: what matters
//! at night is the latest, so the oldest is dropped. A mail that cannot be delivered is an error in the journal and
//! nothing more; no role ever depends on it.

pub mod letter;

use std::{
    collections::VecDeque,
    error::Error as _,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lettre::{
    Message, SmtpTransport, Transport,
    address::Envelope,
    message::{Mailbox, header::ContentType},
    transport::smtp,
};

pub use self::letter::{Alert, Letter, Transition};
use crate::config::Mail;

/// Mails that wait; more than one node can cause within the time a sick server takes.
const QUEUE_MAX: usize = 64;
/// How often a mail is tried.
const ATTEMPTS_MAX: u32 = 3;
/// The wait before the second attempt, at most; before the third it is twice as long.
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// No attempt begins later than this after the first.
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);

/// Sends mail, in the background.
#[derive(Debug)]
pub struct Mailer {
    shared: Arc<Shared>,
}

/// What became of the mails so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted by the server, for every recipient.
    pub delivered: u64,
    /// Given up, for at least one recipient.
    pub failed: u64,
    /// Dropped from a full queue.
    pub dropped: u64,
    /// The last error as it is in the journal.
    pub last_failure: Option<String>,
}

/// Why mail cannot be sent at all.
#[derive(Debug)]
pub enum MailError {
    /// Not the address of a person or a program.
    Address { text: String, why: String },
    /// Not `host:port`.
    Server { text: String },
    /// No thread to be had.
    Thread(io::Error),
}

#[derive(Debug, Default)]
struct Shared {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    waiting: VecDeque<Letter>,
    /// One is being sent.
    busy: bool,
    /// No more will come: end when nothing waits.
    closing: bool,
    /// End now.
    abandoned: bool,
    tally: Tally,
}

impl Mailer {
    /// Starts the thread. Sends nothing by itself.
    ///
    /// # Errors
    ///
    /// The configuration names no addresses or no server, or there is no thread to be had.
    pub fn start(mail: &Mail) -> Result<Self, MailError> {
        let postman = Postman::new(mail)?;
        let shared = Arc::new(Shared::default());
        let desk = Arc::clone(&shared);
        let thread = thread::Builder::new().name("ha-mail".to_owned());
        thread.spawn(move || postman.work(&desk)).map_err(MailError::Thread)?;
        Ok(Self { shared })
    }

    /// Puts a mail on the queue and returns.
    pub fn send(&self, letter: Letter) {
        let mut desk = self.shared.desk();
        if desk.waiting.len() >= QUEUE_MAX
            && let Some(oldest) = desk.waiting.pop_front()
        {
            desk.tally.dropped += 1;
            let subject = oldest.subject();
            tracing::warn!(subject, "{QUEUE_MAX} mails wait already; the oldest, \"{subject}\", is dropped");
        }
        desk.waiting.push_back(letter);
        self.shared.changed.notify_all();
    }

    /// What became of the mails so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.desk().tally.clone()
    }

    /// Waits until everything is sent or given up, but no longer than `patience`; then leaves the rest. Whether all was
    /// sent or given up.
    #[must_use]
    pub fn finish(self, patience: Duration) -> bool {
        let mut desk = self.shared.desk();
        desk.closing = true;
        self.shared.changed.notify_all();
        let is_open = |desk: &mut Desk| desk.busy || !desk.waiting.is_empty();
        let (desk, _) =
            self.shared.changed.wait_timeout_while(desk, patience, is_open).unwrap_or_else(PoisonError::into_inner);
        let left = desk.waiting.len() + usize::from(desk.busy);
        if left > 0 {
            tracing::warn!(left, "{left} mails were not sent before the end");
        }
        left == 0
    }
}

/// A mail that is being sent is left to its thread, those that wait are not sent.
impl Drop for Mailer {
    fn drop(&mut self) {
        self.shared.desk().abandoned = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next mail, once there is one; none once there will be no more.
    fn next(&self) -> Option<Letter> {
        let idle = |desk: &mut Desk| desk.waiting.is_empty() && !desk.closing && !desk.abandoned;
        let mut desk = self.changed.wait_while(self.desk(), idle).unwrap_or_else(PoisonError::into_inner);
        if desk.abandoned {
            return None;
        }
        let letter = desk.waiting.pop_front();
        desk.busy = letter.is_some();
        letter
    }

    fn note(&self, result: Result<(), String>) {
        let mut desk = self.desk();
        desk.busy = false;
        match result {
            Ok(()) => desk.tally.delivered += 1,
            Err(failure) => {
                desk.tally.failed += 1;
                desk.tally.last_failure = Some(failure);
            }
        }
        self.changed.notify_all();
    }

    /// Sleeps, unless it is all over: then says so.
    fn pause(&self, time: Duration) -> bool {
        let waiting = |desk: &mut Desk| !desk.abandoned;
        let paused = self.changed.wait_timeout_while(self.desk(), time, waiting);
        let (desk, _) = paused.unwrap_or_else(PoisonError::into_inner);
        desk.abandoned
    }
}

/// Who carries the mails to the server.
struct Postman {
    from: Mailbox,
    to: Vec<Mailbox>,
    server: String,
    transport: SmtpTransport,
    backoff: Duration,
}

impl Postman {
    fn new(mail: &Mail) -> Result<Self, MailError> {
        let no_server = || MailError::Server { text: mail.smtp.clone() };
        let (host, port) = mail.smtp.rsplit_once(':').ok_or_else(no_server)?;
        let port: u16 = port.parse().map_err(|_| no_server())?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self {
            from: mailbox(&mail.from)?,
            to: mail.to.iter().map(|text| mailbox(text)).collect::<Result<_, _>>()?,
            server: mail.smtp.clone(),
            transport: SmtpTransport::builder_dangerous(host).port(port).timeout(Some(mail.timeout)).build(),
            backoff: mail.timeout.min(BACKOFF_MAX),
        })
    }

    fn work(&self, desk: &Shared) {
        while let Some(letter) = desk.next() {
            let result = self.deliver(&letter, desk);
            if let Err(failure) = &result {
                tracing::error!(subject = letter.subject(), "{failure}");
            }
            desk.note(result);
        }
    }

    /// To all recipients at once; if the server refuses that for good, to each by itself, so that one wrong address
    /// costs nobody else the news. The error is a sentence for the journal.
    fn deliver(&self, letter: &Letter, desk: &Shared) -> Result<(), String> {
        let message = self.message(letter).map_err(|why| self.complaint(letter, &why))?;
        let bytes = message.formatted();
        match self.try_often(message.envelope(), &bytes, desk) {
            Ok(()) => Ok(()),
            Err(GivenUp { refused: true, .. }) if self.to.len() > 1 => self.deliver_singly(letter, &bytes, desk),
            Err(given_up) => Err(self.complaint(letter, &given_up.why)),
        }
    }

    fn deliver_singly(&self, letter: &Letter, bytes: &[u8], desk: &Shared) -> Result<(), String> {
        let mut refusals = Vec::new();
        for recipient in &self.to {
            let envelope = Envelope::new(Some(self.from.email.clone()), vec![recipient.email.clone()]);
            let sent = envelope.map_err(|error| GivenUp { why: error.to_string(), refused: true });
            if let Err(given_up) = sent.and_then(|envelope| self.try_often(&envelope, bytes, desk)) {
                refusals.push(format!("{}: {}", recipient.email, given_up.why));
            }
        }
        if refusals.is_empty() { Ok(()) } else { Err(self.complaint(letter, &refusals.join("; "))) }
    }

    fn try_often(&self, envelope: &Envelope, bytes: &[u8], desk: &Shared) -> Result<(), GivenUp> {
        let began_at = Instant::now();
        for attempt in 1.. {
            let Err(error) = self.transport.send_raw(envelope, bytes) else { return Ok(()) };
            let refused = error.is_permanent();
            let backoff = self.backoff * attempt;
            let last = attempt >= ATTEMPTS_MAX || refused || began_at.elapsed() + backoff > GIVE_UP_AFTER;
            if last || desk.pause(backoff) {
                let attempts = if attempt > 1 { format!(" ({attempt} attempts)") } else { String::new() };
                return Err(GivenUp { why: format!("{}{attempts}", explain(&error)), refused });
            }
        }
        Ok(())
    }

    fn message(&self, letter: &Letter) -> Result<Message, String> {
        let mut builder = Message::builder().from(self.from.clone()).subject(letter.subject()).date_now();
        for recipient in &self.to {
            builder = builder.to(recipient.clone());
        }
        let builder = builder.message_id(None).header(ContentType::TEXT_PLAIN);
        builder.body(letter.body().to_owned()).map_err(|error| error.to_string())
    }

    fn complaint(&self, letter: &Letter, why: &str) -> String {
        format!(
            "the mail \"{}\" was not delivered: {why}. Nothing else is affected. Check that an SMTP server listens at \
             {} and takes mail from {} for the recipients in [mail]",
            letter.subject(),
            self.server,
            self.from.email,
        )
    }
}

/// Why an attempt was the last.
struct GivenUp {
    why: String,
    /// The server said no for good.
    refused: bool,
}

fn mailbox(text: &str) -> Result<Mailbox, MailError> {
    text.parse().map_err(|error: lettre::address::AddressError| MailError::Address {
        text: text.to_owned(),
        why: error.to_string(),
    })
}

/// The innermost cause is the one that helps.
fn explain(error: &smtp::Error) -> String {
    if error.is_permanent() || error.is_transient() {
        return format!("the server says {error}");
    }
    let mut innermost = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        innermost = source.to_string();
        cause = source.source();
    }
    innermost
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { text, why } => write!(f, "\"{text}\" in [mail] is not a mail address: {why}"),
            Self::Server { text } => write!(f, "\"{text}\" in [mail] is not HOST:PORT"),
            Self::Thread(error) => write!(f, "no thread for sending mail: {error}"),
        }
    }
}

impl std::error::Error for MailError {}
