//! `instance.NAME.notify` and `group.NAME.notify`: programs that are told of transitions, with the arguments that keepalived gives to its scripts.

use std::{collections::BTreeMap, time::Duration};

use super::{
    error::Findings,
    raw::Texts,
    table::{Table, Written},
    value,
};

const HOUR: Duration = Duration::from_secs(3600);

/// How long a program may take unless told otherwise.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a program can be told of by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occasion {
    /// The instance became master and holds the addresses (keepalived: `notify_master`).
    Master,
    /// It became backup (`notify_backup`).
    Backup,
    /// It became fault (`notify_fault`).
    Fault,
    /// The daemon stops (`notify_stop`).
    Stop,
    /// A reload took the instance away (`notify_deleted`).
    Deleted,
    /// A master heard a lower priority (`notify_master_rx_lower_pri`).
    LowerPriority,
}

/// What is told, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// Told of everything, with `INSTANCE name STATE priority` behind its own arguments (`notify`); empty: nobody.
    pub run: Vec<String>,
    /// Told of one thing each, with their own arguments alone. An empty one is nobody.
    pub programs: BTreeMap<Occasion, Vec<String>>,
    /// Who runs them, `user` or `user:group`, names or numbers; the daemon's own user if none.
    pub user: Option<String>,
    /// How long each may take; 30 s by default.
    pub timeout: Duration,
}

impl Default for Notify {
    fn default() -> Self {
        Self { run: Vec::new(), programs: BTreeMap::new(), user: None, timeout: DEADLINE }
    }
}

impl Occasion {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Master, Self::Backup, Self::Fault, Self::Stop, Self::Deleted, Self::LowerPriority];

    /// What programs of a group can be told of.
    pub const OF_GROUPS: [Self; 4] = [Self::Master, Self::Backup, Self::Fault, Self::Stop];

    /// Its key in the file, below `notify`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
            Self::Fault => "fault",
            Self::Stop => "stop",
            Self::Deleted => "deleted",
            Self::LowerPriority => "lower_priority",
        }
    }
}

impl Notify {
    /// Every program that may be started, with the key that names it.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let each = self.programs.iter().map(|(occasion, argv)| (occasion.key(), argv.as_slice()));
        std::iter::once(("run", self.run.as_slice())).chain(each).filter(|(_, argv)| !argv.is_empty())
    }

    /// Whether somebody is told of it.
    #[must_use]
    pub fn tells(&self, occasion: Occasion) -> bool {
        let has_own = self.programs.get(&occasion).is_some_and(|argv| !argv.is_empty());
        has_own || occasion != Occasion::LowerPriority && !self.run.is_empty()
    }
}

/// As written.
#[derive(Debug)]
pub(super) struct RawNotify {
    run: Written<Texts>,
    programs: Vec<(Occasion, Written<Texts>)>,
    user: Written<String>,
    timeout: Written<Duration>,
}

impl RawNotify {
    /// With the programs of these occasions.
    pub(super) fn read(table: &mut Table<'_>, occasions: &[Occasion], out: &mut Findings) -> Self {
        Self {
            run: table.texts("run", out),
            programs: occasions.iter().map(|occasion| (*occasion, table.texts(occasion.key(), out))).collect(),
            user: table.text("user", out),
            timeout: table.time("timeout", out),
        }
    }
}

/// Reads it.
pub(super) fn resolve(raw: &RawNotify, out: &mut Findings) -> Notify {
    let run = program("run", &raw.run, out).unwrap_or_default();
    let own = |(occasion, written): &(Occasion, Written<Texts>)| {
        program(occasion.key(), written, out).map(|argv| (*occasion, argv))
    };
    let programs = raw.programs.iter().filter_map(own).collect();
    let user = raw.user.given().map(|(user, span)| {
        let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c.is_control());
        let parts: Vec<&str> = user.split(':').collect();
        if parts.len() > 2 || !parts.into_iter().all(plain) {
            let todo = "write notify.user = \"nobody\", or \"nobody:adm\" with a group";
            out.error(span, format!("\"{user}\" cannot be a user"), todo);
        }
        user.clone()
    });
    let timeout = value::time("notify.timeout", &raw.timeout, Duration::from_millis(100), HOUR, out);
    Notify { run, programs, user, timeout: timeout.unwrap_or(DEADLINE) }
}

/// A program with its arguments; `None` if nothing is written.
fn program(key: &str, written: &Written<Texts>, out: &mut Findings) -> Option<Vec<String>> {
    let (texts, _) = written.given()?;
    for (number, text) in texts.iter().enumerate() {
        let word = text.get_ref();
        if word.contains('\0') {
            out.error(
                text.span(),
                format!("notify.{key} has a zero byte in it"),
                "remove it: no program is told such a text",
            );
        } else if number == 0 && !word.starts_with('/') {
            let todo = format!(
                "write notify.{key} = [\"/etc/ha/notify.sh\", \"argument\"]; there is no shell and no search path"
            );
            out.error(text.span(), format!("\"{word}\" is not the absolute path of a program"), todo);
        }
    }
    Some(texts.iter().map(|text| text.get_ref().clone()).collect())
}
