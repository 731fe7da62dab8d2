//! What a report leads to if everything stays as it is, and how late a rule falls at the worst. For `ha check` and `ha
//! status`; nothing here decides.

use std::time::Duration;

use super::{
    Report, RuleReport, RuleState, Verdict,
    functions::Explicit,
    verdict::{Evidence, decide, reasons},
};
use crate::{
    health::{Gate, Observation},
    words::Instant,
};

/// Nothing further ahead is foretold: a day of evaluations each second.
const MOST_STEPS: u32 = 86_400;

/// What follows if every observation is repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// The verdict in the end.
    pub verdict: Verdict,
    /// After how long it is reached for good; zero if it is so already.
    pub within: Duration,
    /// The rules that will fall, the first one first.
    pub falls: Vec<Change>,
    /// The rules that will come back up, the first one first.
    pub rises: Vec<Change>,
}

/// A rule that will change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rule.
    pub rule: String,
    /// After how long.
    pub after: Duration,
}

/// The longest time from a breakage to the fall of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// The probe hangs until its timeout.
    pub hang: Duration,
    /// The probe answers at once, with an error.
    pub error: Duration,
}

/// If this goes on: every rule sees again and again what it saw in this report; one without an observation stays as it is.
/// What a script makes of its gates cannot be foretold: an explicit verdict stays until rules overrule it.
#[must_use]
pub fn forecast(report: &Report, interval: Duration, fast: Option<Duration>) -> Forecast {
    let mut rules = report.rules.clone();
    let explicit = explicit(report);
    let mut forecast =
        Forecast { verdict: report.verdict.clone(), within: Duration::ZERO, falls: Vec::new(), rises: Vec::new() };
    let mut after = Duration::ZERO;
    for _ in 0..MOST_STEPS {
        if rules.iter().all(rests) {
            break;
        }
        let in_transition = rules.iter().any(|rule| rule.gate.in_transition(&rule.hysteresis));
        after += fast.filter(|_| in_transition).unwrap_or(interval).max(report.elapsed);
        let mut changed = false;
        for rule in &mut rules {
            let (before, now) = step(rule, report.started_at + after);
            changed |= before != now;
            let change = || Change { rule: rule.name.clone(), after };
            match (before, now) {
                (RuleState::Down, RuleState::Down) => {}
                (_, RuleState::Down) => forecast.falls.push(change()),
                (RuleState::Down, _) => forecast.rises.push(change()),
                _ => {}
            }
        }
        if changed {
            let verdict = verdict(report, &rules, explicit.clone());
            if !same(&verdict, &forecast.verdict) {
                forecast.within = after;
            }
            forecast.verdict = verdict;
        }
    }
    forecast
}

/// How late the rule falls at the worst: one interval until it is evaluated, then as many evaluations as it tolerates.
#[must_use]
pub fn worst_case(rule: &RuleReport, interval: Duration, fast: Option<Duration>) -> WorstCase {
    let again = fast.unwrap_or(interval);
    let answer = rule.elapsed.filter(|_| rule.ok == Some(true)).unwrap_or_default();
    let hang = again.max(rule.timeout);
    WorstCase {
        hang: interval + hang * failures_to_fall(rule, hang),
        error: interval + again * failures_to_fall(rule, again).saturating_sub(1) + answer,
    }
}

/// How many failures, one such step apart, take down a rule that has been up for long.
fn failures_to_fall(rule: &RuleReport, step: Duration) -> u32 {
    let begun = Instant::from_epoch(rule.hysteresis.min_up);
    let mut gate = Gate::unproven(Instant::ZERO);
    (1..=MOST_STEPS)
        .find(|count| {
            gate.observe(begun + step * (count - 1), Observation::Fail, &rule.hysteresis);
            gate.is_down()
        })
        .unwrap_or(MOST_STEPS)
}

/// The rule sees the same again; what it said before and what it says now.
fn step(rule: &mut RuleReport, now: Instant) -> (RuleState, RuleState) {
    let before = rule.state();
    if let Some(observation) = rule.observation() {
        rule.gate.observe(now, observation, &rule.hysteresis);
    }
    (before, rule.state())
}

/// The rule says for ever what it says now, whether because it sees the same again or because nobody looks.
fn rests(rule: &RuleReport) -> bool {
    rule.observation().is_none_or(|observation| rule.gate.rests(observation))
}

/// What the script must have returned, as far as the report tells.
fn explicit(report: &Report) -> Option<Explicit> {
    let down = report.rules.iter().filter(|rule| rule.is_down());
    match &report.verdict {
        Verdict::Maintenance { why } => Some(Explicit::Maintenance(why.clone())),
        Verdict::Hold { why } if report.error.is_none() => Some(Explicit::Hold(why.clone())),
        Verdict::Fault { why, .. } if *why != reasons(&report.rules) => Some(Explicit::Fault(why.clone())),
        Verdict::Healthy { delta, note } => {
            let weights: i32 = down.clone().map(weight).sum();
            let note = if weights == 0 { note.clone() } else { String::new() };
            Some(Explicit::Adjust(delta + weights, note))
        }
        Verdict::Hold { .. } | Verdict::Fault { .. } | Verdict::Starting => None,
    }
}

const fn weight(rule: &RuleReport) -> i32 {
    match rule.effect {
        super::RuleEffect::Prefer(weight) => weight,
        super::RuleEffect::Require | super::RuleEffect::Watch | super::RuleEffect::Gate => 0,
    }
}

fn verdict(report: &Report, rules: &[RuleReport], explicit: Option<Explicit>) -> Verdict {
    decide(&Evidence {
        explicit,
        error: report.error.as_deref(),
        starting: report.verdict == Verdict::Starting && rules.iter().any(RuleReport::decides_unknown),
        evaluated: rules,
        unobserved: &[],
    })
}

/// The same for the instance; reasons may differ.
fn same(a: &Verdict, b: &Verdict) -> bool {
    match (a, b) {
        (Verdict::Healthy { delta, .. }, Verdict::Healthy { delta: other, .. }) => delta == other,
        (Verdict::Fault { cause, .. }, Verdict::Fault { cause: other, .. }) => cause == other,
        (Verdict::Starting, Verdict::Starting)
        | (Verdict::Hold { .. }, Verdict::Hold { .. })
        | (Verdict::Maintenance { .. }, Verdict::Maintenance { .. }) => true,
        (
            Verdict::Starting
            | Verdict::Healthy { .. }
            | Verdict::Fault { .. }
            | Verdict::Hold { .. }
            | Verdict::Maintenance { .. },
            _,
        ) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Backoff, Falls, Hysteresis, Known},
        policy::{FaultCause, RuleEffect},
    };

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3600);

    fn rule(name: &str, state: RuleState, ok: bool, fails: u32) -> RuleReport {
        RuleReport {
            name: name.to_owned(),
            effect: RuleEffect::Require,
            file: None,
            line: 1,
            ok: Some(ok),
            gate: gate(state, fails, u32::from(ok)),
            hysteresis: Hysteresis::default(),
            external: false,
            alert: false,
            tags: Vec::new(),
            why: "why".to_owned(),
            probes: vec!["ping 192.168.0.1".to_owned()],
            elapsed: Some(SECOND / 1000),
            timeout: 2 * SECOND,
            unproven: false,
        }
    }

    fn gate(state: RuleState, fails: u32, oks: u32) -> Gate {
        let (streak, age) = (SECOND * fails.saturating_sub(1), HOUR);
        Gate::resumed(Instant::ZERO + HOUR, &Known { state, fails, oks, streak, age, falls: Falls::default() })
    }

    fn report(verdict: Verdict, rules: Vec<RuleReport>) -> Report {
        Report {
            policy: "check_local".to_owned(),
            generation: 1,
            started_at: Instant::ZERO + HOUR,
            elapsed: SECOND / 100,
            followed_within: None,
            verdict,
            rules,
            observed_ok: true,
            may_take_over: None,
            error: None,
        }
    }

    fn healthy() -> Verdict {
        Verdict::Healthy { delta: 0, note: String::new() }
    }

    fn fault(why: &str) -> Verdict {
        Verdict::Fault { why: why.to_owned(), cause: FaultCause::Rules }
    }

    fn change(rule: &str, seconds: u32) -> Change {
        Change { rule: rule.to_owned(), after: SECOND * seconds }
    }

    #[test]
    fn all_well_stays_well() {
        let now = report(healthy(), vec![rule("web", RuleState::Up, true, 0)]);
        let forecast = forecast(&now, SECOND, None);
        assert_eq!(forecast, Forecast { verdict: healthy(), within: Duration::ZERO, falls: vec![], rises: vec![] });
    }

    #[test]
    fn a_failing_rule_falls_after_what_is_left() {
        let now =
            report(healthy(), vec![rule("web", RuleState::Up, true, 0), rule("gateway", RuleState::Failing, false, 1)]);
        let forecast = forecast(&now, SECOND, None);
        assert_eq!(forecast.verdict, fault("gateway: why"));
        assert_eq!(forecast.within, 2 * SECOND);
        assert_eq!(forecast.falls, [change("gateway", 2)]);
    }

    #[test]
    fn the_fast_interval_counts_once_something_fails() {
        let now = report(healthy(), vec![rule("gateway", RuleState::Failing, false, 1)]);
        assert_eq!(forecast(&now, 10 * SECOND, Some(SECOND)).within, 2 * SECOND);
    }

    #[test]
    fn a_hanging_probe_makes_every_evaluation_long() {
        let mut now = report(healthy(), vec![rule("gateway", RuleState::Failing, false, 1)]);
        now.elapsed = 2 * SECOND;
        assert_eq!(forecast(&now, SECOND, None).within, 4 * SECOND);
    }

    #[test]
    fn the_first_fall_of_several_sets_the_time_and_all_are_named() {
        let now = report(
            healthy(),
            vec![rule("web", RuleState::Failing, false, 2), rule("gateway", RuleState::Failing, false, 1)],
        );
        let forecast = forecast(&now, SECOND, None);
        assert_eq!(forecast.within, SECOND);
        assert_eq!(forecast.verdict, fault("web: why; gateway: why"));
        assert_eq!(forecast.falls, [change("web", 1), change("gateway", 2)]);
    }

    #[test]
    fn it_comes_back() {
        let now = report(fault("web: why"), vec![rule("web", RuleState::Down, true, 0)]);
        let forecast = forecast(&now, SECOND, None);
        assert_eq!(forecast.verdict, healthy());
        assert_eq!(forecast.rises, [change("web", 1)]);
    }

    #[test]
    fn what_the_script_said_itself_stays() {
        let maintenance = Verdict::Maintenance { why: "flag".to_owned() };
        let isolated = Verdict::Fault { why: "isolated".to_owned(), cause: FaultCause::Script };
        for said in [maintenance, isolated, Verdict::Hold { why: "waiting".to_owned() }] {
            let now = report(said.clone(), vec![rule("web", RuleState::Up, true, 0)]);
            assert_eq!(forecast(&now, SECOND, None).verdict, said);
        }
    }

    #[test]
    fn a_preference_that_falls_changes_the_priority() {
        let prefer =
            |state, fails| RuleReport { effect: RuleEffect::Prefer(30), ..rule("uplink", state, false, fails) };
        let now = report(Verdict::Healthy { delta: 5, note: String::new() }, vec![prefer(RuleState::Failing, 2)]);
        let forecast = forecast(&now, SECOND, None);
        assert_eq!(forecast.verdict, Verdict::Healthy { delta: -25, note: "uplink: why".to_owned() });
        assert_eq!(forecast.within, SECOND);
        let settled = report(forecast.verdict.clone(), vec![prefer(RuleState::Down, 3)]);
        assert_eq!(super::forecast(&settled, SECOND, None).verdict, forecast.verdict);
    }

    #[test]
    fn without_an_observation_nothing_changes() {
        let unobserved = RuleReport { ok: None, elapsed: None, ..rule("web", RuleState::Failing, false, 2) };
        let now = report(healthy(), vec![unobserved]);
        assert_eq!(forecast(&now, SECOND, None).verdict, healthy());
    }

    #[test]
    fn staying_blind_is_a_failure_in_the_end() {
        let blind = RuleReport { ok: None, ..rule("web", RuleState::Up, false, 0) };
        let forecast = forecast(&report(healthy(), vec![blind]), SECOND, None);
        assert_eq!(forecast.verdict, fault("web: why"));
        assert_eq!(forecast.within, 13 * SECOND, "ten seconds from the first blind one, then three failures");
    }

    #[test]
    fn times_and_holds_count() {
        let slow = |state, ok, hysteresis| RuleReport { hysteresis, ..rule("web", state, ok, u32::from(!ok)) };
        let hysteresis = Hysteresis { fall_for: 30 * SECOND, rise_for: 7 * SECOND, ..Hysteresis::default() };
        let falling = report(healthy(), vec![slow(RuleState::Failing, false, hysteresis)]);
        assert_eq!(forecast(&falling, SECOND, None).falls, [change("web", 30)]);
        let rising = report(fault("web: why"), vec![slow(RuleState::Down, true, hysteresis)]);
        assert_eq!(forecast(&rising, SECOND, None).rises, [change("web", 7)]);

        let patient = Hysteresis { min_down: HOUR + 20 * SECOND, ..Hysteresis::default() };
        let rising = report(fault("web: why"), vec![slow(RuleState::Down, true, patient)]);
        assert_eq!(forecast(&rising, SECOND, None).rises, [change("web", 20)]);
    }

    #[test]
    fn a_rule_that_is_held_comes_back_when_it_may_and_a_latched_one_does_not() {
        let now = Instant::ZERO + HOUR;
        let held = |falls, hysteresis| RuleReport {
            gate: Gate::after_restart(now, &falls),
            hysteresis,
            ..rule("web", RuleState::Down, true, 0)
        };
        let backoff = Hysteresis { backoff: Some(Backoff::default()), ..Hysteresis::default() };
        let falls = Falls { count: 3, held: 15 * SECOND, ..Falls::default() };
        let forecast_of = |rule| forecast(&report(fault("web: why"), vec![rule]), SECOND, None);
        assert_eq!(forecast_of(held(falls, backoff)).rises, [change("web", 15)]);
        let latch = Hysteresis { latch: true, ..Hysteresis::default() };
        let latched = forecast_of(held(Falls { latched: true, ..Falls::default() }, latch));
        assert_eq!((latched.verdict, latched.rises.len()), (fault("web: why"), 0));
    }

    #[test]
    fn the_start_ends_with_the_first_look() {
        let now = report(Verdict::Starting, vec![rule("web", RuleState::Unknown, false, 1)]);
        let forecast = forecast(&now, SECOND, None);
        assert_eq!((forecast.verdict, forecast.within), (fault("web: why"), 2 * SECOND));
    }

    #[test]
    fn an_error_holds() {
        let mut now = report(Verdict::Hold { why: "the policy could not be evaluated: x".to_owned() }, vec![]);
        now.error = Some("x".to_owned());
        assert_eq!(forecast(&now, SECOND, None).verdict, now.verdict);
    }

    #[test]
    fn the_worst_case_is_that_of_the_page() {
        // 7 s for a hang and 3 s for an error answer: 2 s of timeout, every second, three failures.
        let web = RuleReport { elapsed: None, ..rule("web", RuleState::Up, true, 0) };
        assert_eq!(worst_case(&web, SECOND, None), WorstCase { hang: 7 * SECOND, error: 3 * SECOND });
        let gateway = RuleReport { timeout: SECOND, ..web.clone() };
        assert_eq!(worst_case(&gateway, SECOND, None).hang, 4 * SECOND);
        // Every 10 s, but every second once it failed.
        let slow = worst_case(&gateway, 10 * SECOND, Some(SECOND));
        assert_eq!(slow, WorstCase { hang: 13 * SECOND, error: 12 * SECOND });
        // Not before it has failed for ten seconds: the eleventh failure each second.
        let hysteresis = Hysteresis { fall_for: 10 * SECOND, min_up: HOUR, ..Hysteresis::default() };
        let patient = worst_case(&RuleReport { hysteresis, ..gateway }, SECOND, None);
        assert_eq!(patient, WorstCase { hang: 12 * SECOND, error: 11 * SECOND });
    }
}
