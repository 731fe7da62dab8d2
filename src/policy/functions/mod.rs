//! The functions of the policy language, one file per kind.

mod actions;
mod conditions;
mod gates;
mod guards;
mod healing;
mod measures;
mod notes;
mod probes;
mod rehearsing;
mod rules;
mod secrets;
mod times;
mod verdicts;

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext};

pub(super) use guards::register as guard;
pub(super) use rules::Handle;
pub(super) use times::forbidden;
pub(super) use verdicts::Explicit;

use super::{
    evaluation::{Evaluation, Frame},
    language::Function,
};

/// Every function but the probes, by kind, in the order in which they are explained.
pub(super) const LANGUAGE: &[&[Function]] = &[
    conditions::LANGUAGE,
    rules::LANGUAGE,
    gates::LANGUAGE,
    measures::LANGUAGE,
    notes::LANGUAGE,
    healing::LANGUAGE,
    verdicts::LANGUAGE,
    times::LANGUAGE,
    secrets::LANGUAGE,
    actions::LANGUAGE,
    rehearsing::LANGUAGE,
];

/// What a native function returns.
type Outcome<T> = Result<T, Box<EvalAltResult>>;

/// Makes every function known to the engine.
pub(super) fn register(engine: &mut Engine) {
    probes::register(engine);
    conditions::register(engine);
    rules::register(engine);
    gates::register(engine);
    measures::register(engine);
    notes::register(engine);
    verdicts::register(engine);
    times::register(engine);
    secrets::register(engine);
    healing::register(engine);
    actions::register(engine);
    rehearsing::register(engine);
}

/// An error at the place of the call.
fn failed(call: &NativeCallContext<'_>, message: impl Into<String>) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(Dynamic::from(message.into()), call.call_position()).into()
}

fn frame(call: &NativeCallContext<'_>) -> Outcome<Frame> {
    Frame::of_call(call).map_err(|why| failed(call, why))
}

/// The evaluation this call is part of; tests have none of their own.
fn evaluation(call: &NativeCallContext<'_>) -> Outcome<std::sync::Arc<Evaluation>> {
    match frame(call)? {
        Frame::Check(evaluation) => Ok(evaluation),
        Frame::Test(_) => Err(failed(
            call,
            format!("{}() belongs into check(); a test looks at rule() and verdict()", call.fn_name()),
        )),
        Frame::Hook(_) => Err(failed(
            call,
            format!("{}() belongs into check(); a hook is told what the rules saw, in `ev`", call.fn_name()),
        )),
    }
}
