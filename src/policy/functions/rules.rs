//! `require`, `prefer`, `watch`, `gate`.

use rhai::{Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::policy::{
    RuleReport,
    language::{Choice, Fact, Function, Group, choice, choices_within, fact},
    rule::Rule,
};

/// What `require`, `prefer` and `watch` return; reading it waits for the rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(usize);

const REQUIRE: &[Choice] =
    &[FALL, RISE, FALL_FOR, RISE_FOR, MIN_UP, MIN_DOWN, BACKOFF, LATCH, LINGER, BLIND_FOR, ALERT, TAGS, EXTERNAL];
const PREFER: &[Choice] =
    &[WEIGHT, FALL, RISE, FALL_FOR, RISE_FOR, MIN_UP, MIN_DOWN, BACKOFF, LATCH, LINGER, BLIND_FOR, ALERT, TAGS];
const GATE: &[Choice] =
    &[FALL, RISE, FALL_FOR, RISE_FOR, MIN_UP, MIN_DOWN, BACKOFF, LATCH, LINGER, BLIND_FOR, ALERT, TAGS];
const WEIGHT: Choice = choice("weight", "number", "", "By how much the priority drops, 1 to 253; must be given.");
const FALL: Choice = choice("fall", "number", "3", "Failures in a row that take it down.");
const RISE: Choice = choice("rise", "number", "2", "Successes in a row that bring it up again.");
const FALL_FOR: Choice = choice("fall_for", "duration", "", "How long the failures must last besides.");
const RISE_FOR: Choice = choice("rise_for", "duration", "", "How long the successes must last besides.");
const MIN_UP: Choice = choice("min_up", "duration", "", "How long it stays up at least.");
const MIN_DOWN: Choice = choice("min_down", "duration", "", "How long it stays down at least.");
const BACKOFF: Choice = choices_within(
    "backoff",
    "",
    "How long it stays down at least if it falls again and again: twice as long each time.",
    &[
        choice("base", "duration", "\"5s\"", "After the first fall."),
        choice("max", "duration", "\"5m\"", "At most."),
        choice("reset", "duration", "\"10m\"", "Up for so long, the next fall is a first one again."),
    ],
);
const LATCH: Choice = choice("latch", "truth", "false", "Once down it stays down until `ha clear` ends it.");
const LINGER: Choice = choice("linger", "duration", "\"60s\"", "How long it stays down where it is not evaluated.");
const BLIND_FOR: Choice =
    choice("blind_for", "duration", "\"10s\"", "How long no information may last before it counts as failure.");
const ALERT: Choice = choice("alert", "truth", "false", "Say so, in the journal and by mail, when it falls and rises.");
const TAGS: Choice = choice("tags", "list", "", "Words for whoever reads the status.");
const EXTERNAL: Choice = choice(
    "external",
    "truth",
    "false",
    "It is about something both nodes look at: offer the address, do not drop it.",
);
const HANDLE: &[Fact] = &[
    fact("up", "truth", "It is not down."),
    fact("ok", "truth", "This evaluation's observation was ok."),
    fact("why", "text", "Why."),
];

/// Rules in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "require",
        group: Group::Rule,
        forms: &["name: text, condition: condition", "name: text, condition: condition, options: map"],
        returns: "rule",
        summary: "While it is down this node gives the address up.",
        options: REQUIRE,
        fields: HANDLE,
        privilege: "",
        example: "require(\"web\", http(`http://${node.addr}/`), #{ fall: 3, rise: 2 });",
    },
    Function {
        name: "prefer",
        group: Group::Rule,
        forms: &["name: text, condition: condition", "name: text, condition: condition, options: map"],
        returns: "rule",
        summary: "While it is down, or has only failed since the start, the priority is lower by `weight`; the address is never without a home for it.",
        options: PREFER,
        fields: HANDLE,
        privilege: "",
        example: "prefer(\"disk\", file(\"/srv/data/.mounted\"), #{ weight: 10 });",
    },
    Function {
        name: "watch",
        group: Group::Rule,
        forms: &["name: text, condition: condition", "name: text, condition: condition, options: map"],
        returns: "rule",
        summary: "Shown and counted; decides nothing.",
        options: GATE,
        fields: HANDLE,
        privilege: "",
        example: "watch(\"mail\", tcp(\"127.0.0.1:25\"));",
    },
    Function {
        name: "gate",
        group: Group::Rule,
        forms: &["name: text, condition: condition", "name: text, condition: condition, options: map"],
        returns: "truth",
        summary: "Whether it is up, for logic of your own; decides nothing by itself.",
        options: GATE,
        fields: &[],
        privilege: "",
        example: "let up = gate(\"web\", http(\"http://127.0.0.1/\"));
if !up && peer.alive { return fault(\"the peer can do it\"); }",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Handle>("rule");
    for name in ["require", "prefer", "watch"] {
        engine.register_fn(name, move |call: NativeCallContext<'_>, rule: ImmutableString, condition: Dynamic| {
            declare(&call, name, &rule, &condition, &Map::new())
        });
        engine.register_fn(
            name,
            move |call: NativeCallContext<'_>, rule: ImmutableString, condition: Dynamic, options: Map| {
                declare(&call, name, &rule, &condition, &options)
            },
        );
    }
    engine
        .register_fn("gate", |call: NativeCallContext<'_>, rule: ImmutableString, condition: Dynamic| {
            gate(&call, &rule, &condition, &Map::new())
        })
        .register_fn("gate", |call: NativeCallContext<'_>, rule: ImmutableString, condition: Dynamic, options: Map| {
            gate(&call, &rule, &condition, &options)
        })
        .register_get("up", |call: NativeCallContext<'_>, handle: &mut Handle| {
            report(&call, *handle).map(|report| !report.is_down())
        })
        .register_get("ok", |call: NativeCallContext<'_>, handle: &mut Handle| {
            report(&call, *handle).map(|report| report.ok == Some(true))
        })
        .register_get("why", |call: NativeCallContext<'_>, handle: &mut Handle| {
            report(&call, *handle).map(|report| report.why)
        });
}

fn declare(
    call: &NativeCallContext<'_>,
    function: &str,
    name: &str,
    condition: &Dynamic,
    options: &Map,
) -> Outcome<Handle> {
    let line = call.call_position().line().and_then(|line| u32::try_from(line).ok()).unwrap_or_default();
    let evaluation = evaluation(call)?;
    // What the engine calls the source is that of the policy; the innermost functions are those of the file.
    let file = call.namespaces().last().and_then(|functions| functions.id());
    Rule::new(function, name, condition, options)
        .and_then(|rule| evaluation.declare(Rule { file: evaluation.module_file(file), line, ..rule }))
        .map(Handle)
        .map_err(|why| failed(call, why))
}

/// True unless it is down: as long as it is not known, the verdict is "starting" whatever the script makes of it.
fn gate(call: &NativeCallContext<'_>, name: &str, condition: &Dynamic, options: &Map) -> Outcome<bool> {
    let handle = declare(call, "gate", name, condition, options)?;
    report(call, handle).map(|report| !report.is_down())
}

fn report(call: &NativeCallContext<'_>, handle: Handle) -> Outcome<RuleReport> {
    evaluation(call)?.settle(handle.0).ok_or_else(|| failed(call, "this rule belongs to another evaluation"))
}
