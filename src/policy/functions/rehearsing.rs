//! What only tests may do: fake probes, move the node and the time, look at what came of it.

use std::{sync::Arc, time::Duration};

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, failed, frame};
use crate::policy::{
    duration,
    evaluation::Frame,
    language::{Function, Group},
    rehearsal::Rehearsal,
};

/// Tests in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "fake",
        group: Group::Test,
        forms: &["key: text, answer: map", "key: text, answers: list"],
        returns: "nothing",
        summary: "From now on this probe answers this, or these in turn (the last one repeats). The key is what reports say, with a colon: \"http:URL\", \"ping:HOST\", \"service:UNIT\"; * stands for anything. Actions too: \"service_restart:haproxy\", \"http_send:URL\", with ok and why. What is not faked is ok.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "fake(\"http:http://192.168.0.20/\", #{ status: 500 });
fake(\"ping:*\", [#{ ok: false }, #{ ok: true }]);",
    },
    Function {
        name: "unfake",
        group: Group::Test,
        forms: &["key: text"],
        returns: "nothing",
        summary: "This probe is ok again.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "fake(\"ping:192.168.0.22\", #{ ok: false });
unfake(\"ping:192.168.0.22\");",
    },
    Function {
        name: "fire",
        group: Group::Test,
        forms: &["hook: text", "hook: text, event: map"],
        returns: "nothing",
        summary: "Runs a hook of the policy, like \"on_master\", with this event. An error in it fails the test.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "fire(\"on_master\", #{ from: \"backup\", to: \"master\", reason: \"it leads\" });",
    },
    Function {
        name: "actions",
        group: Group::Test,
        forms: &[""],
        returns: "list",
        summary: "What hooks and repairs did since the test began, in order, like \"service_restart haproxy\".",
        options: &[],
        fields: &[],
        privilege: "",
        example: "assert_eq(actions(), []);",
    },
    Function {
        name: "set_node",
        group: Group::Test,
        forms: &["facts: map"],
        returns: "nothing",
        summary: "Changes what `node` says.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "set_node(#{ is_master: true, has_vip: true });",
    },
    Function {
        name: "set_peer",
        group: Group::Test,
        forms: &["facts: map"],
        returns: "nothing",
        summary: "Changes what `peer` says.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "set_peer(#{ alive: false });",
    },
    Function {
        name: "tick",
        group: Group::Test,
        forms: &["", "times: number"],
        returns: "nothing",
        summary: "Evaluates once, or so many times, each as long after the last as the policy wants.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick(3);",
    },
    Function {
        name: "run_for",
        group: Group::Test,
        forms: &["time: duration"],
        returns: "nothing",
        summary: "Everything that is due within this time.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "run_for(\"10s\");",
    },
    Function {
        name: "verdict",
        group: Group::Test,
        forms: &[""],
        returns: "map",
        summary: "The last verdict: kind, reason, delta, external.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick();
assert_eq(verdict().delta, 0);",
    },
    Function {
        name: "rule",
        group: Group::Test,
        forms: &["name: text"],
        returns: "map",
        summary: "A rule of the last evaluation: state, up, ok, fails, oks, since, flaps, held (seconds), latched, alert, tags, why.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick();
assert(rule(\"web\").up, \"web is up\");",
    },
    Function {
        name: "clear_rule",
        group: Group::Test,
        forms: &["name: text"],
        returns: "nothing",
        summary: "What `ha clear` does: ends a latch and the hold of a back-off.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick();
clear_rule(\"web\");",
    },
    Function {
        name: "probed",
        group: Group::Test,
        forms: &[""],
        returns: "list",
        summary: "The keys that the last evaluation probed.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick();
assert(probed().contains(\"http:http://192.168.0.20/\"), \"asked\");",
    },
    Function {
        name: "may_take_over_now",
        group: Group::Test,
        forms: &[""],
        returns: "truth",
        summary: "What `may_take_over` says now.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let may = may_take_over_now();",
    },
    Function {
        name: "assert",
        group: Group::Test,
        forms: &["truth: truth", "truth: truth, text: text"],
        returns: "nothing",
        summary: "Fails the test unless it is true.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "assert(1 + 1 == 2, \"arithmetic\");",
    },
    Function {
        name: "assert_eq",
        group: Group::Test,
        forms: &["left: value, right: value"],
        returns: "nothing",
        summary: "Fails the test unless both are the same.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "assert_eq(1 + 1, 2);",
    },
    Function {
        name: "assert_verdict",
        group: Group::Test,
        forms: &["kind: text"],
        returns: "nothing",
        summary: "Fails the test unless the last verdict is this: starting, healthy, fault, hold, maintenance.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "tick(3);
assert_verdict(\"healthy\");",
    },
];

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
        .register_fn("clear_rule", |call: NativeCallContext<'_>, name: &str| act(&call, |test| test.clear_rule(name)))
        .register_fn("fire", |call: NativeCallContext<'_>, hook: &str| act(&call, |test| test.fire(hook, &Map::new())))
        .register_fn("fire", |call: NativeCallContext<'_>, hook: &str, event: Map| {
            act(&call, |test| test.fire(hook, &event))
        })
        .register_fn("actions", |call: NativeCallContext<'_>| act(&call, |test| Ok::<Array, String>(test.actions())))
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
        Frame::Check(_) | Frame::Hook(_) => {
            Err(failed(call, format!("{}() works in tests only (fn test_…)", call.fn_name())))
        }
    }
}
