//! `heal`: what is tried before a node gives up.

use rhai::{Engine, FnPtr, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::policy::{
    heal::Heal,
    language::{Function, Group, choice},
};

/// Healing in the language.
pub(super) const LANGUAGE: &[Function] = &[Function {
    name: "heal",
    group: Group::Rule,
    forms: &["rule: text, repair: closure", "rule: text, repair: closure, options: map"],
    returns: "nothing",
    summary: "Runs the repair in the background when the rule of this evaluation has failed so often in a row, within a \
              budget that outlives reloads. It decides nothing: whether it helped is what the rule sees next.",
    options: &[
        choice(
            "after",
            "number",
            "2",
            "Failures in a row before it is tried; fewer than `fall` leave a chance to stay.",
        ),
        choice("max", "number", "1", "How often it is tried at most."),
        choice("per", "duration", "\"10m\"", "Within this time."),
        choice("settle", "duration", "\"5s\"", "How long a repair is given to take effect before it is tried again."),
    ],
    fields: &[],
    privilege: "",
    example: "require(\"haproxy\", service(\"haproxy\"));
heal(\"haproxy\", || service_restart(\"haproxy\"), #{ after: 2, max: 1, per: \"10m\" });",
}];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("heal", |call: NativeCallContext<'_>, rule: &str, repair: FnPtr| {
            heal(&call, rule, repair, &Map::new())
        })
        .register_fn("heal", |call: NativeCallContext<'_>, rule: &str, repair: FnPtr, options: Map| {
            heal(&call, rule, repair, &options)
        });
}

fn heal(call: &NativeCallContext<'_>, rule: &str, repair: FnPtr, options: &Map) -> Outcome<()> {
    let evaluation = evaluation(call)?;
    Heal::new(rule, repair, options).and_then(|heal| evaluation.heal(heal)).map_err(|why| failed(call, why))
}
