//! `all`, `any`, `at_least`, `expect`, `.but`, and what can be read of a probe.

use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, ImmutableString, NativeCallContext};

use super::{Outcome, failed, frame};
use crate::policy::{
    condition::Condition,
    language::{Function, Group},
    suggest, text,
};

/// Parts a condition may have.
const MOST_PARTS: usize = 256;

/// Conditions in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "all",
        group: Group::Condition,
        forms: &["conditions: list"],
        returns: "condition",
        summary: "Ok if every one is.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "require(\"both\", all([ping(\"192.168.0.1\"), ping(\"192.168.0.22\")]), #{ external: true });",
    },
    Function {
        name: "any",
        group: Group::Condition,
        forms: &["conditions: list"],
        returns: "condition",
        summary: "Ok if at least one is.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "require(\"net\", any([ping(\"192.168.0.1\"), ping(\"192.168.0.22\")]), #{ external: true });",
    },
    Function {
        name: "at_least",
        group: Group::Condition,
        forms: &["count: number, conditions: list"],
        returns: "condition",
        summary: "Ok if so many are.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "prefer(\"internet\", at_least(2, [ping(\"192.0.2.1\"), ping(\"192.0.2.2\"), ping(\"192.0.2.3\")]), #{ weight: 40 });",
    },
    Function {
        name: "expect",
        group: Group::Condition,
        forms: &["condition: condition, why: text"],
        returns: "condition",
        summary: "A truth or a probe with a reason of its own for when it is not ok.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let page = http(\"http://127.0.0.1/\");
require(\"page\", expect(page.ok && page.body != \"\", \"the page is empty\"));",
    },
    Function {
        name: "but",
        group: Group::Condition,
        forms: &["condition: condition, also: truth, why: text"],
        returns: "condition",
        summary: "The condition, and something more: `probe.but(truth, why)`.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let mount = file(\"/srv/data/.mounted\");
require(\"data\", mount.but(mount.age < 3600.0, \"stale\"));",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("all", |call: NativeCallContext<'_>, list: Array| {
            let needed = list.len();
            group(&call, "all", needed, &list)
        })
        .register_fn("any", |call: NativeCallContext<'_>, list: Array| group(&call, "any", 1, &list))
        .register_fn("at_least", |call: NativeCallContext<'_>, needed: i64, list: Array| {
            let needed = usize::try_from(needed).ok().filter(|needed| (1..=list.len()).contains(needed));
            let needed = needed.ok_or_else(|| failed(&call, format!("at_least needs 1 to {} of {0}", list.len())))?;
            group(&call, "at_least", needed, &list)
        })
        .register_fn("expect", expect)
        .register_fn("but", |call: NativeCallContext<'_>, condition: Condition, ok: bool, why: &str| {
            sized(&call, Condition::And { inner: Arc::new(condition), ok, why: text::cut(why) })
        })
        .register_fn("!", |call: NativeCallContext<'_>, condition: Condition| -> Outcome<bool> {
            Ok(!condition.look(&*frame(&call)?.clock()).ok)
        })
        .register_fn("to_string", |call: NativeCallContext<'_>, condition: Condition| -> Outcome<String> {
            Ok(condition.look(&*frame(&call)?.clock()).why)
        })
        .register_indexer_get(field);
}

fn group(call: &NativeCallContext<'_>, kind: &'static str, needed: usize, list: &Array) -> Outcome<Condition> {
    if list.is_empty() {
        return Err(failed(call, format!("{kind} of nothing is neither ok nor not: the list is empty")));
    }
    let member = |(index, item): (usize, &Dynamic)| {
        Condition::from_script(item).map_err(|why| failed(call, format!("item {} of {kind} {why}", index + 1)))
    };
    let members = list.iter().enumerate().map(member).collect::<Outcome<Arc<[Condition]>>>()?;
    sized(call, Condition::AtLeast { kind, needed, members })
}

/// A condition made of others is looked at as a whole, again and again where one stands in it several times.
fn sized(call: &NativeCallContext<'_>, condition: Condition) -> Outcome<Condition> {
    match condition.size() {
        size if size > MOST_PARTS => Err(failed(call, format!("a condition of more than {MOST_PARTS} parts"))),
        _ => Ok(condition),
    }
}

fn expect(call: NativeCallContext<'_>, condition: Dynamic, why: &str) -> Outcome<Condition> {
    let why = text::cut(why);
    match Condition::from_script(&condition).map_err(|kind| failed(&call, format!("expect {kind}")))? {
        Condition::Truth { ok, .. } => {
            Ok(Condition::Truth { ok, why: if ok { "as expected".to_owned() } else { why } })
        }
        inner @ (Condition::Probe(_)
        | Condition::AtLeast { .. }
        | Condition::And { .. }
        | Condition::Because { .. }) => sized(&call, Condition::Because { inner: Arc::new(inner), why }),
    }
}

/// Every field of a probe, so that an unknown one is an error that names those it has.
fn field(call: NativeCallContext<'_>, condition: &mut Condition, name: ImmutableString) -> Outcome<Dynamic> {
    let clock = frame(&call)?.clock();
    condition.field(&name, &*clock).map_err(|known| {
        let hint = match suggest::closest(&name, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it has {}", known.join(", ")),
        };
        failed(&call, format!("no field `{name}`: {hint}"))
    })
}
