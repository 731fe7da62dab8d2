//! What an instance does once its policies have spoken and nothing else is the matter. The machine itself decides by this,
//! and so does whoever foretells it (`ha check`).

use super::{
    bearing::Bearing,
    judgement::{Judgement, Opinion},
};
use crate::{
    config::{self, LastResort, Preference},
    policy::{FaultCause, Report},
    vrrp::standing,
    wire::Priority,
    words::Instant,
};

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Takes no part; whatever it holds it lets go of at once.
    Out,
    /// Hands over in order what it holds, then takes no part.
    HandOver,
    /// Offers what it holds, and goes on at the lowest priority if nobody takes it.
    Offer,
    /// Keeps what it holds, at the lowest priority.
    Keep,
    /// Keeps its role: a master stays master, a backup does not become one.
    Stay,
    /// Bids this priority.
    Bid(Priority),
}

/// What the instance does if these are the last reports of its policies. `serves`: it is master. `alone`: no peer is
/// heard, and none answers on the link.
#[must_use]
pub fn course(config: &config::Instance, reports: &[Report], serves: bool, alone: bool) -> Course {
    let names: Vec<String> = reports.iter().map(|report| report.policy.clone()).collect();
    let mut judgement = Judgement::new(&names);
    let now = reports.iter().map(|report| report.started_at).max().unwrap_or(Instant::ZERO);
    for report in reports {
        judgement.said(report.clone());
    }
    match Bearing::of(judgement.opinion(now, config.on_error), config) {
        Bearing::Fault { .. } => Course::Out,
        Bearing::StandDown { .. } if serves => Course::HandOver,
        Bearing::StandDown { .. } => Course::Out,
        Bearing::Reluctant { .. } => reluctantly(config, serves, alone),
        Bearing::Barred { .. } => Course::Stay,
        Bearing::Fit(priority) => Course::Bid(priority),
    }
}

/// What one does that need not let go at once (R23, R24).
pub(super) fn reluctantly(config: &config::Instance, serves: bool, alone: bool) -> Course {
    match (serves, alone, config.last_resort) {
        (false, _, LastResort::Release) => Course::Out,
        (false, _, LastResort::Keep) => Course::Stay,
        (true, false, _) => Course::Offer,
        (true, true, LastResort::Keep) => Course::Keep,
        (true, true, LastResort::Release) => match config.prefer {
            Preference::Safety => Course::Out,
            Preference::Availability => Course::Keep,
        },
    }
}

impl Bearing {
    /// What the policies' opinion comes to.
    pub(super) fn of(opinion: Opinion, config: &config::Instance) -> Self {
        use super::bearing::Reluctance;
        match opinion {
            Opinion::Healthy { delta } => Self::Fit(standing(config.priority, [delta])),
            Opinion::Starting => {
                Self::Barred { name: "starting", why: "the policies have not all been evaluated yet".to_owned() }
            }
            Opinion::NeverLoaded { why } => Self::Barred { name: "policy_missing", why },
            Opinion::Hold { why, .. } => Self::Barred { name: "hold", why },
            Opinion::Fault { why, cause } => match (cause, config.last_resort) {
                (FaultCause::External, _) => Self::Reluctant { why, over: Reluctance::External },
                (FaultCause::Rules, LastResort::Keep) => Self::Reluctant { why, over: Reluctance::LastResort },
                (FaultCause::Rules, LastResort::Release) | (FaultCause::Script, _) => Self::Fault { name: None, why },
            },
            Opinion::Maintenance { why } => Self::StandDown { name: Some("maintenance"), why },
        }
    }
}
