//! Conditions: what rules are about. A probe is one, and whatever `all`, `any`, `at_least`, `expect` and `but` make of
//! probes and truths. A condition is ok, or not, or unknown because this machine could not look.

use std::{sync::Arc, time::Duration};

use rhai::{Dynamic, Map};

use super::{
    Clock, Forced,
    job::Job,
    kind as kinds,
    probe::{ErrorKind, Field, kind},
};
use crate::health::Observation;

/// Something that is ok or not, and why.
#[derive(Clone)]
pub(super) enum Condition {
    /// A started probe.
    Probe(Arc<Job>),
    /// A truth the script computed.
    Truth { ok: bool, why: String },
    /// So many of these.
    AtLeast { kind: &'static str, needed: usize, members: Arc<[Self]> },
    /// The inner one, and a truth.
    And { inner: Arc<Self>, ok: bool, why: String },
    /// The inner one, with another reason if it is not ok.
    Because { inner: Arc<Self>, why: String },
}

/// How a condition turned out.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) ok: bool,
    pub(super) blind: bool,
    pub(super) why: String,
    pub(super) error: ErrorKind,
    /// The longest of the probes behind it, if there are any.
    pub(super) elapsed: Option<Duration>,
}

impl Sight {
    /// What a simulation makes a rule see.
    pub(super) fn forced(forced: Forced) -> Self {
        match forced {
            Forced::Up => truth(true, "assumed up"),
            Forced::Down => truth(false, "assumed down"),
            Forced::Blind => Self { blind: true, elapsed: Some(Duration::ZERO), ..truth(false, "assumed blind") },
        }
    }

    /// What a gate counts.
    pub(super) const fn observation(&self) -> Observation {
        match (self.blind, self.ok) {
            (true, _) => Observation::Nothing,
            (false, true) => Observation::Ok,
            (false, false) => Observation::Fail,
        }
    }
}

impl Condition {
    /// Takes what a script gave where a condition belongs.
    ///
    /// # Errors
    ///
    /// Neither a probe nor a truth: what it is instead.
    pub(super) fn from_script(value: &Dynamic) -> Result<Self, String> {
        if let Some(condition) = value.clone().try_cast::<Self>() {
            return Ok(condition);
        }
        match value.as_bool() {
            Ok(ok) => Ok(Self::Truth { ok, why: if ok { "true" } else { "false" }.to_owned() }),
            Err(_) => {
                let what = kinds::of(value);
                Err(format!("takes a probe, a combination of probes, or true or false, not {what}"))
            }
        }
    }

    /// Waits for the probes behind it.
    pub(super) fn look(&self, clock: &dyn Clock) -> Sight {
        match self {
            Self::Probe(job) => {
                let outcome = job.outcome(clock);
                Sight {
                    ok: outcome.ok && !outcome.blind,
                    blind: outcome.blind,
                    why: outcome.why.clone(),
                    error: outcome.error,
                    elapsed: Some(outcome.elapsed),
                }
            }
            Self::Truth { ok, why } => truth(*ok, why),
            Self::AtLeast { needed, members, .. } => at_least(*needed, members, clock),
            Self::And { inner, ok, why } => {
                let inner = inner.look(clock);
                if !inner.ok || *ok { inner } else { Sight { elapsed: inner.elapsed, ..truth(false, why) } }
            }
            Self::Because { inner, why } => {
                let inner = inner.look(clock);
                if inner.ok || inner.blind { inner } else { Sight { why: why.clone(), ..inner } }
            }
        }
    }

    /// How many conditions it is made of, itself included.
    pub(super) fn size(&self) -> usize {
        1 + match self {
            Self::Probe(_) | Self::Truth { .. } => 0,
            Self::AtLeast { members, .. } => members.iter().map(Self::size).sum(),
            Self::And { inner, .. } | Self::Because { inner, .. } => inner.size(),
        }
    }

    /// The probes behind it, in order.
    pub(super) fn jobs(&self) -> Vec<&Arc<Job>> {
        match self {
            Self::Probe(job) => vec![job],
            Self::Truth { .. } => Vec::new(),
            Self::AtLeast { members, .. } => members.iter().flat_map(Self::jobs).collect(),
            Self::And { inner, .. } | Self::Because { inner, .. } => inner.jobs(),
        }
    }

    /// What it is called in a reason: `ping 192.168.0.22`.
    fn label(&self) -> Option<String> {
        match self {
            Self::Probe(job) => Some(job.request().label()),
            Self::Truth { .. } | Self::AtLeast { .. } => None,
            Self::And { inner, .. } | Self::Because { inner, .. } => inner.label(),
        }
    }

    /// Its field of that name.
    ///
    /// # Errors
    ///
    /// It has no such field: those it has.
    pub(super) fn field(&self, name: &str, clock: &dyn Clock) -> Result<Dynamic, Vec<&'static str>> {
        let sight = self.look(clock);
        Ok(match name {
            "ok" => sight.ok.into(),
            "why" => sight.why.into(),
            "error" => sight.error.as_str().into(),
            "blind" => sight.blind.into(),
            "elapsed" => sight.elapsed.unwrap_or_default().as_secs_f64().into(),
            "kind" => self.kind().into(),
            "target" => self.target().into(),
            other => return self.further_field(other, clock),
        })
    }

    fn further_field(&self, name: &str, clock: &dyn Clock) -> Result<Dynamic, Vec<&'static str>> {
        let Self::Probe(job) = self else {
            return match self {
                Self::And { inner, .. } | Self::Because { inner, .. } => inner.further_field(name, clock),
                Self::Probe(_) | Self::Truth { .. } | Self::AtLeast { .. } => Err(COMMON.to_vec()),
            };
        };
        let own = || further_fields(job.request().kind.name());
        if !own().any(|field| field == name) {
            return Err(COMMON.iter().copied().chain(own()).collect());
        }
        Ok(job.outcome(clock).fields.get(name).map_or(Dynamic::UNIT, to_script))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Probe(job) => job.request().kind.name(),
            Self::Truth { .. } => "expect",
            Self::AtLeast { kind, .. } => kind,
            Self::And { inner, .. } | Self::Because { inner, .. } => inner.kind(),
        }
    }

    fn target(&self) -> String {
        match self {
            Self::Probe(job) => job.request().kind.target(),
            Self::Truth { .. } | Self::AtLeast { .. } => String::new(),
            Self::And { inner, .. } | Self::Because { inner, .. } => inner.target(),
        }
    }
}

/// The fields every probe has.
const COMMON: &[&str] = &["ok", "why", "error", "blind", "elapsed", "kind", "target"];

/// The fields only this kind of probe has. One that is not in an outcome reads as `()`.
pub(super) fn further_fields(name: &str) -> impl Iterator<Item = &'static str> {
    kind(name).into_iter().flat_map(|kind| kind.function.fields).map(|field| field.name)
}

pub(super) fn to_script(field: &Field) -> Dynamic {
    match field {
        Field::Unit => Dynamic::UNIT,
        Field::Bool(truth) => (*truth).into(),
        Field::Int(number) => (*number).into(),
        Field::Float(number) => (*number).into(),
        Field::Text(text) => text.clone().into(),
        Field::Texts(texts) => {
            texts.iter().map(|(name, text)| (name.as_str().into(), text.clone().into())).collect::<Map>().into()
        }
        Field::List(items) => Dynamic::from_array(items.iter().map(to_script).collect()),
        Field::Map(named) => {
            named.iter().map(|(name, value)| (name.as_str().into(), to_script(value))).collect::<Map>().into()
        }
    }
}

fn truth(ok: bool, why: &str) -> Sight {
    let error = if ok { ErrorKind::None } else { ErrorKind::Mismatch };
    Sight { ok, blind: false, why: why.to_owned(), error, elapsed: None }
}

/// Blind members decide nothing: if it depends on them, the whole is blind.
fn at_least(needed: usize, members: &[Condition], clock: &dyn Clock) -> Sight {
    let sights: Vec<Sight> = members.iter().map(|member| member.look(clock)).collect();
    let oks = sights.iter().filter(|sight| sight.ok).count();
    let blinds = sights.iter().filter(|sight| sight.blind).count();
    let ok = oks >= needed;
    let blind = !ok && oks + blinds >= needed;
    let elapsed = sights.iter().filter_map(|sight| sight.elapsed).max();
    if ok {
        return Sight { elapsed, ..truth(true, &format!("{oks} of {} ok", members.len())) };
    }
    let culprits = || members.iter().zip(&sights).filter(|(_, sight)| !sight.ok && sight.blind == blind);
    let error = culprits().map(|(_, sight)| sight.error).next().unwrap_or(ErrorKind::Mismatch);
    let reasons: Vec<String> = culprits().map(|(member, sight)| reason(member, sight)).collect();
    Sight { ok, blind, why: reasons.join(", "), error, elapsed }
}

fn reason(member: &Condition, sight: &Sight) -> String {
    match member.label() {
        Some(label) => format!("{label}: {}", sight.why),
        None => sight.why.clone(),
    }
}
