//! `gate_info`, `flapping`: what is known of a rule besides up and down.

use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::{
    policy::{
        RuleReport,
        language::{Fact, Function, Group, fact},
        suggest,
    },
    words::Instant,
};

const INFO: &[Fact] = &[
    fact("up", "truth", "It is not down; () if it is not known."),
    fact("fails", "number", "Failures in a row."),
    fact("oks", "number", "Successes in a row."),
    fact("since", "number", "For how many seconds it has been up, failing or down."),
    fact("changes", "list", "When it last fell and rose, the oldest first: maps of `up` and `ago`, in seconds."),
    fact("flaps", "number", "Falls without a quiet period between them."),
    fact("latched", "truth", "It stays down until `ha clear` ends it."),
    fact("why", "text", "Why."),
];

/// What is known of rules, in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "gate_info",
        group: Group::Helper,
        forms: &["rule: text"],
        returns: "map",
        summary: "A rule as the last evaluation left it, or this one if it has read the rule already.",
        options: &[],
        fields: INFO,
        privilege: "",
        example: "require(\"web\", http(\"http://127.0.0.1/\"));
if gate_info(\"web\").flaps > 3 && once_per(\"flaps\", \"1h\") { log_warn(\"the web service comes and goes\"); }",
    },
    Function {
        name: "flapping",
        group: Group::Helper,
        forms: &["rule: text"],
        returns: "number",
        summary: "How many of the last twenty observations of a rule differed from the one before, in percent.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "prefer(\"uplink\", ping(\"192.168.0.1\"), #{ weight: 10 });
watch(\"steady uplink\", expect(flapping(\"uplink\") < 50.0, \"it comes and goes\"));",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("gate_info", |call: NativeCallContext<'_>, rule: &str| {
            look(&call, rule, |now, report| report.map_or_else(nothing_known, |report| info(now, report)))
        })
        .register_fn("flapping", |call: NativeCallContext<'_>, rule: &str| {
            look(&call, rule, |_, report| report.map_or(0.0, |report| report.gate.restlessness()))
        });
}

/// Looks at a rule; one that was not evaluated yet is not known, one that does not exist is an error.
fn look<T>(call: &NativeCallContext<'_>, rule: &str, at: impl FnOnce(Instant, Option<&RuleReport>) -> T) -> Outcome<T> {
    let evaluation = evaluation(call)?;
    let ledger = evaluation.ledger();
    let known = ledger.memory.rule(rule);
    let policy = evaluation.policy();
    if known.is_none() && !policy.names_rules_while_running() {
        let named = || policy.rules_named().iter().map(|rule| rule.name.as_str());
        if !named().any(|name| name == rule) {
            let hint = suggest::closest(rule, named()).map(|meant| format!(": did you mean \"{meant}\"?"));
            let message = format!("there is no rule \"{rule}\"{}", hint.unwrap_or_default());
            return Err(failed(call, message));
        }
    }
    Ok(at(evaluation.started_at, known))
}

fn info(now: Instant, report: &RuleReport) -> Map {
    let ago = |at: Instant| Dynamic::from(now.saturating_since(at).as_secs_f64());
    let change = |(at, up): (Instant, bool)| Map::from([("up".into(), up.into()), ("ago".into(), ago(at))]).into();
    let gate = &report.gate;
    Map::from([
        ("up".into(), (!gate.is_down()).into()),
        ("fails".into(), i64::from(gate.fails()).into()),
        ("oks".into(), i64::from(gate.oks()).into()),
        ("since".into(), ago(gate.since())),
        ("changes".into(), Dynamic::from_array(gate.changes().map(change).collect::<Array>())),
        ("flaps".into(), i64::from(gate.falls(now).count).into()),
        ("latched".into(), gate.is_latched().into()),
        ("why".into(), report.why.clone().into()),
    ])
}

fn nothing_known() -> Map {
    Map::from([
        ("up".into(), Dynamic::UNIT),
        ("fails".into(), 0_i64.into()),
        ("oks".into(), 0_i64.into()),
        ("since".into(), 0.0.into()),
        ("changes".into(), Dynamic::from_array(Array::new())),
        ("flaps".into(), 0_i64.into()),
        ("latched".into(), false.into()),
        ("why".into(), "not evaluated yet".into()),
    ])
}
