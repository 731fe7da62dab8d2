//! From rules to a verdict: the worst wins, the weights add.

use super::{FaultCause, RuleEffect, RuleReport, Verdict, functions::Explicit};

/// What a verdict rests on.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// What `check()` returned.
    pub(super) explicit: Option<Explicit>,
    /// Why it broke off.
    pub(super) error: Option<&'a str>,
    pub(super) evaluated: &'a [RuleReport],
    /// Rules that linger, or that were not reached.
    pub(super) unobserved: &'a [RuleReport],
    /// There has been no evaluation yet in which everything that decides was known.
    pub(super) starting: bool,
}

/// Maintenance, then fault, then hold, then starting, then healthy. A `require` that is down is a fault whatever the
/// script returns, and whether or not it broke off afterwards.
pub(super) fn decide(evidence: &Evidence<'_>) -> Verdict {
    let all = || evidence.evaluated.iter().chain(evidence.unobserved);
    let down: Vec<&RuleReport> = all().filter(|rule| rule.is_down() && rule.effect == RuleEffect::Require).collect();
    let reasons = || reasons(all());

    if let Some(Explicit::Maintenance(why)) = &evidence.explicit {
        return Verdict::Maintenance { why: why.clone() };
    }
    if let Some(Explicit::Fault(why)) = &evidence.explicit {
        let why = if down.is_empty() { why.clone() } else { format!("{why}; {}", reasons()) };
        return Verdict::Fault { why, cause: FaultCause::Script };
    }
    if !down.is_empty() {
        let external = down.iter().all(|rule| rule.external);
        let cause = if external { FaultCause::External } else { FaultCause::Rules };
        return Verdict::Fault { why: reasons(), cause };
    }
    if let Some(error) = evidence.error {
        return Verdict::Hold { why: format!("the policy could not be evaluated: {error}") };
    }
    let (adjusted, note) = match &evidence.explicit {
        Some(Explicit::Hold(why)) => return Verdict::Hold { why: why.clone() },
        Some(Explicit::Adjust(delta, why)) => (*delta, why.as_str()),
        Some(Explicit::Healthy(note)) => (0, note.as_str()),
        Some(Explicit::Fault(_) | Explicit::Maintenance(_)) | None => (0, ""),
    };
    if evidence.starting {
        return Verdict::Starting;
    }
    let mut delta = adjusted;
    let mut notes: Vec<String> = Some(note.to_owned()).filter(|note| !note.is_empty()).into_iter().collect();
    // Whoever was never seen well since the start does not bid as if it were: others may be.
    for rule in all().filter(|rule| rule.is_down() || rule.fails_from_the_start()) {
        if let RuleEffect::Prefer(weight) = rule.effect {
            delta = delta.saturating_sub(weight);
            notes.push(rule.reason());
        }
    }
    Verdict::Healthy { delta, note: notes.join("; ") }
}

/// Why the rules take the address away: every `require` that is down.
pub(super) fn reasons<'a>(rules: impl IntoIterator<Item = &'a RuleReport>) -> String {
    let down = rules.into_iter().filter(|rule| rule.is_down() && rule.effect == RuleEffect::Require);
    down.map(RuleReport::reason).collect::<Vec<_>>().join("; ")
}
