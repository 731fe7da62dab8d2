//! What an instance does once its policies have spoken and nothing else is the matter, and where that leads. The machine
//! itself decides by this, and so does whoever foretells it (`ha check`).

use std::collections::BTreeMap;

use super::{
    Role, Tracked,
    bearing::{Bearing, Reluctance},
    judgement::{HoldCause, Judgement, Opinion},
};
use crate::{
    config::{self, LastResort, Preempt, Preference},
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

/// What an instance does, and what it is in the end if the others go on as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prospect {
    /// What it does.
    pub course: Course,
    /// Its role then.
    pub role: Role,
    /// What it bids then; `None`: nothing, or what it bid before.
    pub priority: Option<Priority>,
}

/// An instance with everything that judges it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// As it is configured.
    pub instance: &'a config::Instance,
    /// The last reports of its policies.
    pub reports: &'a [Report],
    /// What it tracks.
    pub tracked: &'a Tracked,
}

impl Judged<'_> {
    fn judgement(&self) -> Judgement {
        let names: Vec<String> = self.reports.iter().map(|report| report.policy.clone()).collect();
        let mut judgement = Judgement::new(&names);
        judgement.weigh(&self.instance.policy_weights);
        for report in self.reports {
            // How it would be is asked of what was said, however long ago.
            judgement.said(Report { followed_within: None, ..report.clone() });
        }
        judgement
    }

    fn opinion(&self) -> Opinion {
        let opinion = self.judgement().opinion(latest(self.reports), self.instance.on_error);
        opinion.beside(self.tracked.opinion())
    }

    fn bearing(&self) -> Bearing {
        Bearing::of(self.opinion(), self.instance)
    }

    fn weights(&self) -> BTreeMap<String, i32> {
        let mut weights = self.judgement().weights(latest(self.reports), self.instance.on_error);
        weights.extend(self.tracked.weights());
        weights
    }
}

/// What of the group is worse than the instance itself: the trouble of another, as a sentence.
#[must_use]
pub fn held_back_by(own: &Judged<'_>, group: &str, others: &[Judged<'_>]) -> Option<String> {
    let others = others.iter().map(|other| (other.instance.name.as_str(), other.bearing()));
    super::group::worse_of_another(&own.bearing(), group, others)
}

fn latest(reports: &[Report]) -> Instant {
    reports.iter().map(|report| report.started_at).max().unwrap_or(Instant::ZERO)
}

/// What follows for the instance, beside those that it leads together with. `serves`: it is master. `rival`: the highest
/// priority that a living peer bids, fit to serve; `None`: no peer is heard, and none answers on the link.
#[must_use]
pub fn foresee(own: &Judged<'_>, others: &[Judged<'_>], serves: bool, rival: Option<u8>) -> Prospect {
    let (config, judgement) = (own.instance, own.judgement());
    // Where nobody else is, a backup must have seen everything well, or take it in doubt (R6, R25); one that may not become
    // master, only in doubt.
    let in_doubt = rival.is_none() && !judgement.forbids_takeover() && takes_in_doubt(&own.opinion(), config);
    let takes = in_doubt || rival.is_none() && judgement.fresh(Instant::ZERO);
    // None of a group takes its addresses before all may.
    let takes = takes && others.iter().all(|other| other.judgement().fresh(Instant::ZERO));
    let bearings = others.iter().map(|other| (other.bearing(), other.weights()));
    let bearing = super::group::pooled_with(config, own.bearing(), own.weights(), bearings);
    let course = course(&bearing, config, serves, rival.is_none());
    let master = |priority| Prospect { course, role: Role::Master, priority };
    let backup = |priority| Prospect { course, role: Role::Backup, priority };
    let out = Prospect { course, role: Role::Fault, priority: None };
    match course {
        Course::Out | Course::HandOver => out,
        Course::Offer => match config.last_resort {
            LastResort::Release => out,
            LastResort::Keep => backup(Some(Priority::LOWEST)),
        },
        Course::Keep => master(Some(Priority::LOWEST)),
        Course::Stay if serves => master(None),
        Course::Stay if in_doubt => master(Some(Priority::LOWEST)),
        Course::Stay => backup(None),
        Course::Bid(priority) => match rival {
            None if serves || takes => master(Some(priority)),
            None => backup(Some(priority)),
            Some(rival) if serves && rival <= priority.get() => master(Some(priority)),
            Some(rival) if !serves && rival < priority.get() && preempts(config) => master(Some(priority)),
            Some(_) => backup(Some(priority)),
        },
    }
}

fn preempts(config: &config::Instance) -> bool {
    match config.preempt {
        Preempt::Never => false,
        Preempt::AtOnce | Preempt::After(_) => true,
    }
}

fn course(bearing: &Bearing, config: &config::Instance, serves: bool, alone: bool) -> Course {
    match bearing {
        Bearing::Fault { .. } => Course::Out,
        Bearing::StandDown { .. } if serves => Course::HandOver,
        Bearing::StandDown { .. } => Course::Out,
        Bearing::Reluctant { .. } => reluctantly(config, serves, alone),
        Bearing::Barred { .. } => Course::Stay,
        Bearing::Fit(priority) => Course::Bid(*priority),
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

/// Whether it takes an address that nobody has although not everything is well: availability does (R25), and so does the
/// last resort, whatever its rules say (R21, R24). A node that was set up wrongly does not, nor one whose script says no, be
/// it by its verdict or by `may_take_over`, which is looked at beside this.
pub(super) fn takes_in_doubt(opinion: &Opinion, config: &config::Instance) -> bool {
    let available = config.prefer == Preference::Availability;
    let last_resort = config.last_resort == LastResort::Keep;
    match opinion {
        Opinion::Healthy { .. } | Opinion::Starting => available,
        Opinion::Hold { cause: HoldCause::Script, .. } => available,
        Opinion::Hold { cause: HoldCause::Error | HoldCause::Unseen, .. } => available || last_resort,
        Opinion::Fault { cause: FaultCause::External | FaultCause::Rules, .. } => last_resort,
        Opinion::Fault { cause: FaultCause::Script, .. }
        | Opinion::NeverLoaded { .. }
        | Opinion::Maintenance { .. } => false,
    }
}

impl Bearing {
    /// What the policies' opinion comes to.
    pub(super) fn of(opinion: Opinion, config: &config::Instance) -> Self {
        match opinion {
            Opinion::Healthy { delta } => Self::Fit(standing(config.priority, [delta])),
            Opinion::Starting => Self::Barred {
                name: "starting",
                why: "not everything that judges this node has been looked at yet".to_owned(),
            },
            Opinion::NeverLoaded { why } => Self::Barred { name: "policy_missing", why },
            Opinion::Hold { why, cause: HoldCause::Unseen } => Self::Barred { name: "track_unknown", why },
            Opinion::Hold { why, cause: HoldCause::Script | HoldCause::Error } => Self::Barred { name: "hold", why },
            Opinion::Fault { why, cause } => match (cause, config.last_resort) {
                (FaultCause::External, _) => Self::Reluctant { why, over: Reluctance::External },
                (FaultCause::Rules, LastResort::Keep) => Self::Reluctant { why, over: Reluctance::LastResort },
                (FaultCause::Rules, LastResort::Release) | (FaultCause::Script, _) => Self::Fault { name: None, why },
            },
            Opinion::Maintenance { why } => Self::StandDown { name: Some("maintenance"), why },
        }
    }
}
