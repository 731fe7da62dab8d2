//! One step of the tour: what was done, what the nodes say, what the client saw.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::super::{client::Outage, world::Host};

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is as it has to be.
    Held,
    /// It is not.
    Failed,
    /// The node concerned runs keepalived: shown, not judged.
    Seen,
}

/// What has to be so at the end of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Exactly these hold the address.
    pub(super) holders: &'static [Host],
    /// At most so many calls of the client are lost.
    pub(super) lost: Option<usize>,
    /// This one did not hold the address at any time.
    pub(super) never: Option<Host>,
}

/// What a node says of itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Says {
    /// Whose word it is.
    pub(super) program: &'static str,
    /// fault, backup or master; empty if it says nothing.
    pub(super) state: String,
    /// Why.
    pub(super) reason: String,
    /// What else is so.
    pub(super) conditions: Vec<String>,
}

/// A finished step.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Row of the founding scenario, or empty.
    pub(super) row: &'static str,
    /// What it is about.
    pub(super) title: &'static str,
    /// What was done.
    pub(super) did: &'static str,
    /// Who holds the address at its end.
    pub(super) holders: BTreeSet<Host>,
    /// Time from the deed until the wanted holders held.
    pub(super) took: Option<Duration>,
    /// What the nodes say at its end.
    pub(super) says: [Says; 2],
    /// What the client missed.
    pub(super) outage: Outage,
    /// The shortest outage that is possible, and by which reckoning.
    pub(super) minimum: (Duration, &'static str),
    /// How long two nodes held the address.
    pub(super) two_holders: Duration,
    /// What came of it.
    pub(super) verdict: Verdict,
    /// Why not, if it failed.
    pub(super) why: Vec<String>,
}

/// Two holders for less than this are a handover, for more they are a conflict.
const A_HANDOVER: Duration = Duration::from_millis(100);

/// What is not as it has to be.
pub(super) fn complaints(wanted: &Wanted, step: &Step, took_anyhow: Option<Instant>) -> Vec<String> {
    let mut why = Vec::new();
    if step.took.is_none() {
        let names: Vec<&str> = wanted.holders.iter().map(|host| host.name()).collect();
        why.push(format!(
            "wanted as holder: {}",
            if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
        ));
    }
    if step.two_holders > A_HANDOVER {
        why.push(format!("two holders for {:.0} ms", step.two_holders.as_secs_f64() * 1e3));
    }
    if let Some(most) = wanted.lost
        && step.outage.lost > most
    {
        why.push(format!("{} packets lost, wanted at most {most}", step.outage.lost));
    }
    if let Some(host) = wanted.never
        && took_anyhow.is_some()
    {
        why.push(format!("{host} took the address"));
    }
    why
}
