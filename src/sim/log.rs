//! What a simulation writes down.

use std::{fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;

use super::world::World;
use crate::node::Role;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Since the beginning.
    pub at: Duration,
    /// To which machine, by its number; `None`: to all, or to none.
    pub machine: Option<usize>,
    /// In which instance; empty: in none.
    pub instance: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The scenario does this.
    Act(String),
    /// A node says that it has another role.
    Role { from: Role, to: Role, why: String },
    /// A kernel has addresses that it did not have.
    Takes(Vec<IpNet>),
    /// A node has them removed.
    LetsGo(Vec<IpNet>),
    /// A kernel removes them: the lease is over.
    Lapsed(Vec<IpNet>),
    /// A condition is there.
    Raised { name: &'static str, text: String },
    /// It is there no more.
    Cleared { name: &'static str },
    /// It bids another priority.
    Bids { from: u8, to: u8 },
    /// Somebody with a lower priority advertises.
    LowerHeard { source: IpAddr, priority: u8 },
    /// A line of the journal.
    Note(String),
    /// A policy says something else than before.
    Verdict { policy: String, said: String },
    /// An advertisement goes out.
    Sent { priority: u8 },
    /// What the scenario expects is so, or is not and this is.
    Expected { what: String, found: Result<(), String> },
    /// What must hold does not.
    Violated(String),
}

impl What {
    /// Worth a line of a timeline; the rest is for whoever wants every packet.
    #[must_use]
    pub const fn is_news(&self) -> bool {
        match self {
            Self::Sent { priority } => *priority == 0,
            Self::LowerHeard { .. } => false,
            Self::Act(_)
            | Self::Role { .. }
            | Self::Takes(_)
            | Self::LetsGo(_)
            | Self::Lapsed(_)
            | Self::Raised { .. }
            | Self::Cleared { .. }
            | Self::Bids { .. }
            | Self::Note(_)
            | Self::Verdict { .. }
            | Self::Expected { .. }
            | Self::Violated(_) => true,
        }
    }

    /// A word for it, as JSON has it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Act(_) => "act",
            Self::Role { .. } => "role",
            Self::Takes(_) => "takes",
            Self::LetsGo(_) => "lets_go",
            Self::Lapsed(_) => "lapsed",
            Self::Raised { .. } => "raised",
            Self::Cleared { .. } => "cleared",
            Self::Bids { .. } => "bids",
            Self::LowerHeard { .. } => "lower_heard",
            Self::Note(_) => "note",
            Self::Verdict { .. } => "verdict",
            Self::Sent { .. } => "sent",
            Self::Expected { .. } => "expected",
            Self::Violated(_) => "violated",
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |addresses: &[IpNet]| {
            addresses.iter().map(|address| address.addr().to_string()).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Act(text) => write!(f, "{text}"),
            Self::Role { from, to, why } => write!(f, "{from} → {to}: {why}"),
            Self::Takes(addresses) => write!(f, "holds {}", list(addresses)),
            Self::LetsGo(addresses) => write!(f, "lets go of {}", list(addresses)),
            Self::Lapsed(addresses) => write!(f, "the lease of {} is over", list(addresses)),
            Self::Raised { name, text } => write!(f, "condition {name}: {text}"),
            Self::Cleared { name } => write!(f, "condition {name} is over"),
            Self::Bids { from, to } => write!(f, "bids priority {to} instead of {from}"),
            Self::LowerHeard { source, priority } => write!(f, "hears {source} at priority {priority}"),
            Self::Note(text) => write!(f, "{text}"),
            Self::Verdict { policy, said } => write!(f, "policy {policy} says {said}"),
            Self::Sent { priority: 0 } => write!(f, "resigns (priority 0)"),
            Self::Sent { priority } => write!(f, "advertises priority {priority}"),
            Self::Expected { what, found: Ok(()) } => write!(f, "as expected: {what}"),
            Self::Expected { what, found: Err(found) } => write!(f, "NOT as expected: {what}; {found}"),
            Self::Violated(text) => write!(f, "VIOLATION: {text}"),
        }
    }
}

impl World {
    pub(super) fn note(&mut self, index: usize, instance: &str, what: What) {
        let (at, instance) = (self.elapsed(), instance.to_owned());
        self.log.push(Entry { at, machine: Some(index), instance, what });
    }

    pub(super) fn note_of_all(&mut self, what: What) {
        let at = self.elapsed();
        self.log.push(Entry { at, machine: None, instance: String::new(), what });
    }
}
