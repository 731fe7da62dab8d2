//! `require`, `prefer`, `watch`, `gate`.

use rhai::{Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::policy::{RuleReport, rule::Rule};

/// What `require`, `prefer` and `watch` return; reading it waits for the rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(usize);

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
    Rule::new(function, name, condition, options)
        .and_then(|rule| evaluation.declare(Rule { line, ..rule }))
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
