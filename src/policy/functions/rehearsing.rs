//! What only tests may do: fake probes, move the node and the time, look at what came of it.

use std::{sync::Arc, time::Duration};

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, failed, frame};
use crate::policy::{duration, evaluation::Frame, rehearsal::Rehearsal};

pub(super) fn register(engine: &mut Engine) {
    fakes(engine);
    time(engine);
    looking(engine);
    asserting(engine);
}

fn fakes(engine: &mut Engine) {
    engine
        .register_fn("fake", |call: NativeCallContext<'_>, key: &str, answer: Map| {
            act(&call, |test| test.fake(key, &[Dynamic::from_map(answer)]))
        })
        .register_fn("fake", |call: NativeCallContext<'_>, key: &str, answers: Array| {
            act(&call, |test| test.fake(key, &answers))
        })
        .register_fn("unfake", |call: NativeCallContext<'_>, key: &str| act(&call, |test| test.unfake(key)))
        .register_fn("set_node", |call: NativeCallContext<'_>, facts: Map| act(&call, |test| test.set_node(&facts)))
        .register_fn("set_peer", |call: NativeCallContext<'_>, facts: Map| act(&call, |test| test.set_peer(&facts)));
}

fn time(engine: &mut Engine) {
    engine
        .register_fn("tick", |call: NativeCallContext<'_>| act(&call, |test| test.tick(1)))
        .register_fn("tick", |call: NativeCallContext<'_>, times: i64| {
            let times = usize::try_from(times).map_err(|_| failed(&call, "tick goes forward only"))?;
            act(&call, |test| test.tick(times))
        })
        .register_fn("run_for", |call: NativeCallContext<'_>, time: Dynamic| {
            let time: Duration = duration::from_script(&time).map_err(|why| failed(&call, why))?;
            act(&call, |test| test.run_for(time))
        });
}

fn looking(engine: &mut Engine) {
    engine
        .register_fn("verdict", |call: NativeCallContext<'_>| act(&call, |test| test.verdict()))
        .register_fn("rule", |call: NativeCallContext<'_>, name: &str| act(&call, |test| test.rule(name)))
        .register_fn("probed", |call: NativeCallContext<'_>| act(&call, |test| Ok::<Array, String>(test.probed())))
        .register_fn("may_take_over_now", |call: NativeCallContext<'_>| act(&call, |test| test.may_take_over()));
}

fn asserting(engine: &mut Engine) {
    engine
        .register_fn("assert", |call: NativeCallContext<'_>, truth: bool| {
            act(&call, |_| if truth { Ok(()) } else { Err("the assertion does not hold".to_owned()) })
        })
        .register_fn("assert", |call: NativeCallContext<'_>, truth: bool, text: ImmutableString| {
            act(&call, |_| if truth { Ok(()) } else { Err(format!("not so: {text}")) })
        })
        .register_fn("assert_eq", |call: NativeCallContext<'_>, left: Dynamic, right: Dynamic| {
            let same = call.call_native_fn::<bool>("==", (left.clone(), right.clone()))?;
            act(&call, |_| if same { Ok(()) } else { Err(format!("{left:?} is not {right:?}")) })
        })
        .register_fn("assert_verdict", |call: NativeCallContext<'_>, kind: &str| {
            act(&call, |test| test.assert_verdict(kind))
        });
}

/// Does something in the test that is running.
fn act<T>(call: &NativeCallContext<'_>, action: impl FnOnce(&Arc<Rehearsal>) -> Result<T, String>) -> Outcome<T> {
    match frame(call)? {
        Frame::Test(rehearsal) => action(&rehearsal).map_err(|why| failed(call, why)),
        Frame::Check(_) => Err(failed(call, format!("{}() works in tests only (fn test_…)", call.fn_name()))),
    }
}
