//! `k_of_n`, `ewma`, `rate`: what becomes of many observations or measurements.

use rhai::{Dynamic, Engine, NativeCallContext};

use super::{Outcome, evaluation, failed, frame};
use crate::{
    health::{Observation, Window},
    policy::{
        condition::Condition,
        duration, kind,
        language::{Function, Group},
    },
};

/// Measures in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "k_of_n",
        group: Group::Helper,
        forms: &["name: text, condition: condition, k: number, n: number"],
        returns: "truth",
        summary: "Whether at least k of the last n observations were bad; n is 64 at most. No information is not counted. Waits for the probe. Kept over reloads and restarts.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let lossy = k_of_n(\"link\", ping(\"192.168.0.1\"), 4, 20);
prefer(\"link\", expect(!lossy, \"4 of 20 pings were lost\"), #{ weight: 10, fall: 1, rise: 1 });",
    },
    Function {
        name: "ewma",
        group: Group::Helper,
        forms: &["name: text, value: number, half_life: duration"],
        returns: "number",
        summary: "The value, smoothed: what was measured fades by half in each half-life. Without a value, (), it stays what it was; () before the first. Kept over reloads and restarts.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let rtt = ewma(\"rtt\", ping(\"192.168.0.1\").rtt, \"30s\");
prefer(\"latency\", expect(rtt == () || rtt < 0.2, `smoothed rtt ${rtt} s`), #{ weight: 10 });",
    },
    Function {
        name: "rate",
        group: Group::Helper,
        forms: &["name: text, counter: number"],
        returns: "number",
        summary: "How much a counter grows each second, since the last evaluation; one that begins anew has grown by what it shows. () before the second reading; without a reading, (), it stays what it was. Kept over reloads and restarts.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let written = rate(\"log\", file(\"/var/log/app.log\").size);
watch(\"log\", expect(written == () || written < 1000000.0, `the log grows by ${written} bytes a second`));",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("k_of_n", |call: NativeCallContext<'_>, name: &str, condition: Dynamic, k: i64, n: i64| {
            k_of_n(&call, name, &condition, k, n)
        })
        .register_fn("ewma", |call: NativeCallContext<'_>, name: &str, value: Dynamic, half_life: Dynamic| {
            ewma(&call, name, &value, &half_life)
        })
        .register_fn("rate", |call: NativeCallContext<'_>, name: &str, counter: Dynamic| rate(&call, name, &counter));
}

fn k_of_n(call: &NativeCallContext<'_>, name: &str, condition: &Dynamic, k: i64, n: i64) -> Outcome<bool> {
    let most = i64::from(Window::LONGEST);
    if !(1..=most).contains(&n) || !(1..=n).contains(&k) {
        return Err(failed(call, format!("k_of_n counts k of n with 1 <= k <= n <= {most}, not {k} of {n}")));
    }
    let (k, n) = (u32::try_from(k).unwrap_or(u32::MAX), u32::try_from(n).unwrap_or(u32::MAX));
    let condition = Condition::from_script(condition).map_err(|why| failed(call, format!("k_of_n {why}")))?;
    let seen = condition.look(&*frame(call)?.clock()).observation();
    let evaluation = evaluation(call)?;
    let mut ledger = evaluation.ledger();
    let window = ledger.memory.window(name).map_err(|why| failed(call, why))?;
    match seen {
        Observation::Ok => window.push(false),
        Observation::Fail => window.push(true),
        Observation::Nothing => {}
    }
    Ok(window.bad(n) >= k)
}

fn ewma(call: &NativeCallContext<'_>, name: &str, value: &Dynamic, half_life: &Dynamic) -> Outcome<Dynamic> {
    let half_life = duration::from_script(half_life).map_err(|why| failed(call, why))?;
    let measured = number(call, value)?;
    let evaluation = evaluation(call)?;
    let now = evaluation.started_at;
    let memory = &mut evaluation.ledger().memory;
    let smoothed = match measured {
        Some(measured) => Some(memory.average(name, now, measured, half_life).map_err(|why| failed(call, why))?),
        None => memory.averages.get(name).map(|average| average.value),
    };
    Ok(smoothed.map_or(Dynamic::UNIT, Dynamic::from))
}

fn rate(call: &NativeCallContext<'_>, name: &str, counter: &Dynamic) -> Outcome<Dynamic> {
    let count = number(call, counter)?;
    let evaluation = evaluation(call)?;
    let now = evaluation.started_at;
    let memory = &mut evaluation.ledger().memory;
    let per_second = match count {
        Some(count) => memory.rate(name, now, count).map_err(|why| failed(call, why))?,
        None => memory.rates.get(name).and_then(|rate| rate.per_second),
    };
    Ok(per_second.map_or(Dynamic::UNIT, Dynamic::from))
}

/// What was measured; `None` for `()`.
fn number(call: &NativeCallContext<'_>, value: &Dynamic) -> Outcome<Option<f64>> {
    if value.is_unit() {
        return Ok(None);
    }
    #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "a counter beyond 2^53 grows as well")]
    let number = value.as_float().or_else(|_| value.as_int().map(|whole| whole as f64));
    match number {
        Ok(number) if number.is_finite() => Ok(Some(number)),
        Ok(number) => Err(failed(call, format!("{} takes a number, not {number}", call.fn_name()))),
        Err(_) => Err(failed(call, format!("{} takes a number or (), not {}", call.fn_name(), kind::of(value)))),
    }
}
