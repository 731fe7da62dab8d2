//! What is tracked beside the instance's own interface and its policies, and what it comes to: a fault, or a part of the
//! priority.
//!
//! What is not well counts like a policy's rule that is down (R23, R24): it meets what the policies say, and the worse holds.

use std::collections::BTreeMap;

use super::{
    LinkSeen,
    bearing::Bearing,
    instance::{Instance, Outbox},
    judgement::Opinion,
};
use crate::{
    config::{self, Effect, TrackedInterface, WellWhile},
    policy::FaultCause,
    words::{Instant, InterfaceName},
};

/// The condition of an instance whose priority is not what it is while everything is well.
const CONDITION: &str = "priority";

/// An interface as far as tracking cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkState {
    Missing,
    Down,
    NoCarrier,
    Up,
}

impl LinkState {
    const fn of(link: Option<&LinkSeen>) -> Self {
        match link {
            None => Self::Missing,
            Some(link) if !link.up => Self::Down,
            Some(link) if !link.carrier => Self::NoCarrier,
            Some(_) => Self::Up,
        }
    }
}

/// What is known of everything that is tracked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    links: BTreeMap<InterfaceName, LinkState>,
}

/// What one thing that is tracked comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    /// What it is called, the same for every member of a group.
    name: String,
    /// Why it is not well; `None` while it is.
    why: Option<String>,
    comes_to: ComesTo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ComesTo {
    /// This is added to the priority; `usual`, while everything is well.
    Adds { delta: i32, usual: i32 },
    /// The instance is in fault.
    Fault,
}

impl Seen {
    /// Everything that is to be tracked from now on, as it is now.
    pub(super) fn take(&mut self, tracks: &config::Tracks, links: &BTreeMap<InterfaceName, LinkSeen>) {
        self.links = tracks.interfaces().map(|name| (name.clone(), LinkState::of(links.get(name)))).collect();
    }

    /// An interface that is tracked is like this now; whether that is news.
    fn link(&mut self, name: &InterfaceName, link: Option<&LinkSeen>) -> bool {
        let state = LinkState::of(link);
        self.links.insert(name.clone(), state) != Some(state)
    }

    fn findings(&self, tracks: &config::Tracks) -> Vec<Finding> {
        tracks.interfaces.iter().map(|tracked| self.interface(tracked)).collect()
    }

    fn interface(&self, tracked: &TrackedInterface) -> Finding {
        let state = |name| self.links.get(name).copied().unwrap_or(LinkState::Missing);
        let up = tracked.any.iter().find(|name| state(name) == LinkState::Up);
        let why = match (tracked.well, up) {
            (WellWhile::There, Some(_)) | (WellWhile::Absent, None) => None,
            (WellWhile::Absent, Some(up)) => Some(format!("interface {up} is up")),
            (WellWhile::There, None) => {
                let each = tracked.any.iter().map(|name| match state(name) {
                    LinkState::Missing => format!("interface {name} does not exist"),
                    LinkState::Down => format!("interface {name} is down"),
                    LinkState::NoCarrier | LinkState::Up => format!("interface {name} has no carrier"),
                });
                Some(each.collect::<Vec<_>>().join(" and "))
            }
        };
        Finding::of(tracked.to_string(), why, tracked.effect)
    }
}

impl Finding {
    fn of(name: String, why: Option<String>, effect: Effect) -> Self {
        let (well, bad) = effect.deltas();
        let comes_to = match (effect, &why) {
            (Effect::Fault, Some(_)) => ComesTo::Fault,
            (Effect::Fault | Effect::Weight(_), None) => ComesTo::Adds { delta: well, usual: well },
            (Effect::Weight(_), Some(_)) => ComesTo::Adds { delta: bad, usual: well },
        };
        Self { name, why, comes_to }
    }

    fn opinion(self) -> Opinion {
        match self.comes_to {
            ComesTo::Adds { delta, .. } => Opinion::Healthy { delta },
            ComesTo::Fault => {
                Opinion::Fault { why: format!("{} (tracked)", self.why.unwrap_or(self.name)), cause: FaultCause::Rules }
            }
        }
    }

    /// What it takes from the priority, or adds to it, compared with what is usual, and why.
    fn moves(&self) -> Option<String> {
        match (self.comes_to, &self.why) {
            (ComesTo::Adds { delta, usual }, Some(why)) => Some(format!("{why} ({:+})", delta - usual)),
            (ComesTo::Adds { .. }, None) | (ComesTo::Fault, _) => None,
        }
    }
}

impl Instance {
    /// An interface that is tracked is now like this, or gone.
    pub(super) fn on_tracked_link(
        &mut self,
        now: Instant,
        name: &InterfaceName,
        link: Option<&LinkSeen>,
        out: &mut Outbox,
    ) {
        if self.seen_tracked.link(name, link) {
            self.reassess(now, out);
            self.unsettled = true;
        }
    }

    /// What everything that is tracked comes to.
    pub(super) fn tracked_opinion(&self) -> Opinion {
        let findings = self.seen_tracked.findings(&self.config.tracks).into_iter();
        findings.map(Finding::opinion).fold(Opinion::WELL, Opinion::beside)
    }

    /// What its policies and what it tracks add to the priority, by name.
    pub(super) fn weights(&self) -> BTreeMap<String, i32> {
        let mut weights = self.judgement.weights();
        for finding in self.seen_tracked.findings(&self.config.tracks) {
            match finding.comes_to {
                ComesTo::Adds { delta, .. } => weights.insert(finding.name, delta),
                ComesTo::Fault => None,
            };
        }
        weights
    }

    /// Says what moves the priority, and each time that this changes.
    pub(super) fn name_weights(&mut self, now: Instant, bearing: &Bearing, out: &mut Outbox) {
        let findings = self.seen_tracked.findings(&self.config.tracks);
        let moved: Vec<String> = findings.iter().filter_map(Finding::moves).collect();
        let text = match bearing {
            Bearing::Fit(priority) if !moved.is_empty() && !self.config.priority.is_owner() => {
                Some(format!("{}: this node bids {priority} now", moved.join(", ")))
            }
            Bearing::Fit(_)
            | Bearing::Fault { .. }
            | Bearing::StandDown { .. }
            | Bearing::Reluctant { .. }
            | Bearing::Barred { .. } => None,
        };
        let known = self.conditions().into_iter().find(|condition| condition.name == CONDITION);
        if let (Some(text), Some(known)) = (&text, known)
            && *text != known.text
        {
            self.note(now, text.clone(), out);
        }
        self.condition(now, CONDITION, text, out);
    }
}
