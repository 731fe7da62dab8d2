//! Durations, the time of day, the log; and the functions of the script language that a policy must not have.

use std::time::Duration;

use rhai::{Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, failed, frame};
use crate::policy::{
    LogLevel, WallTime, duration,
    evaluation::Frame,
    language::{Function, Group},
    text,
};

/// Times and the log in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "wall",
        group: Group::General,
        forms: &[""],
        returns: "map",
        summary: "The time of day where this machine is: hour, minute, weekday (Monday is 1), unix.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let night = wall().hour < 6;",
    },
    Function {
        name: "log_info",
        group: Group::General,
        forms: &["text: value"],
        returns: "nothing",
        summary: "A line in the journal.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "log_info(`serving ${node.vip}`);",
    },
    Function {
        name: "log_warn",
        group: Group::General,
        forms: &["text: value"],
        returns: "nothing",
        summary: "A warning in the journal.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "log_warn(\"the disk is slow\");",
    },
    Function {
        name: "log_error",
        group: Group::General,
        forms: &["text: value"],
        returns: "nothing",
        summary: "An error in the journal.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "log_error(\"the disk is gone\");",
    },
];

pub(super) fn register(engine: &mut Engine) {
    durations(engine);
    logging(engine);
    engine.register_fn("wall", |call: NativeCallContext<'_>| -> Outcome<Map> {
        Ok(time_of_day(frame(&call)?.clock().wall()))
    });
    engine.disable_symbol("eval");
    // With the very kinds of argument that the script language's own take, or those would be found first.
    engine
        .register_fn("sleep", |call: NativeCallContext<'_>, _: i64| refuse(&call))
        .register_fn("sleep", |call: NativeCallContext<'_>, _: f64| refuse(&call))
        .register_fn("timestamp", |call: NativeCallContext<'_>| refuse(&call));
}

fn refuse(call: &NativeCallContext<'_>) -> Outcome<()> {
    let instead = forbidden(call.fn_name()).unwrap_or_default();
    Err(failed(call, format!("{} is not for policies: {instead}", call.fn_name())))
}

/// Why a function of the script language does not exist here, and what to do instead.
pub(in crate::policy) fn forbidden(function: &str) -> Option<&'static str> {
    match function {
        "sleep" => Some("an evaluation never waits; INTERVAL, fall and rise say how long things take"),
        "timestamp" => Some("use `now`, seconds that tests can move"),
        "eval" => Some("a policy is checked before it runs, text made while it runs cannot be"),
        _ => None,
    }
}

fn durations(engine: &mut Engine) {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    engine.register_type_with_name::<Duration>("duration");
    for (unit, factor) in units {
        // A count of seconds beyond 2^53 is refused anyway.
        #[allow(clippy::cast_precision_loss, clippy::as_conversions, reason = "refused beyond a day")]
        engine.register_get(unit, move |call: NativeCallContext<'_>, number: &mut i64| {
            of_seconds(&call, *number as f64 * factor)
        });
        engine.register_get(unit, move |call: NativeCallContext<'_>, number: &mut f64| {
            of_seconds(&call, *number * factor)
        });
    }
    engine
        .register_fn("to_string", |time: Duration| duration::show(time))
        .register_fn("+", |a: Duration, b: Duration| a.saturating_add(b))
        .register_fn("-", |a: Duration, b: Duration| a.saturating_sub(b));
}

fn of_seconds(call: &NativeCallContext<'_>, seconds: f64) -> Outcome<Duration> {
    duration::from_seconds(seconds).ok_or_else(|| failed(call, format!("{seconds} s is no duration up to a day")))
}

fn logging(engine: &mut Engine) {
    let levels = [("log_info", LogLevel::Info), ("log_warn", LogLevel::Warn), ("log_error", LogLevel::Error)];
    for (name, level) in levels {
        engine
            .register_fn(name, move |call: NativeCallContext<'_>, text: Dynamic| log(&call, level, &text).map(|_| ()));
    }
    // The script language has its own for each of these kinds, which would come first; for what is left the last one comes.
    printing::<()>(engine);
    printing::<bool>(engine);
    printing::<char>(engine);
    printing::<i64>(engine);
    printing::<f64>(engine);
    printing::<ImmutableString>(engine);
    printing::<rhai::FnPtr>(engine);
    printing::<rhai::Array>(engine);
    printing::<Map>(engine);
    printing::<std::ops::Range<i64>>(engine);
    printing::<std::ops::RangeInclusive<i64>>(engine);
    printing::<Dynamic>(engine);
}

/// The script language wants the text back.
fn printing<T: rhai::Variant + Clone>(engine: &mut Engine) {
    for name in ["print", "debug"] {
        engine.register_fn(name, |call: NativeCallContext<'_>, value: T| {
            log(&call, LogLevel::Info, &Dynamic::from(value))
        });
    }
}

fn log(call: &NativeCallContext<'_>, level: LogLevel, text: &Dynamic) -> Outcome<String> {
    // As `to_string` has it: a probe says why, a secret nothing, in a list too.
    let shown = call.call_native_fn::<ImmutableString>("to_string", (text.clone(),));
    let text = text::cut(&shown.map_or_else(|_| text::show(text), |shown| shown.to_string()));
    match frame(call)? {
        Frame::Check(evaluation) => evaluation.log(level, &text),
        Frame::Hook(run) => run.log(level, &text),
        Frame::Test(_) => {}
    }
    Ok(text)
}

/// Monday is 1, as in ISO 8601.
fn time_of_day(wall: WallTime) -> Map {
    let local = wall.unix_s.saturating_add(i64::from(wall.utc_offset_s));
    let (day, second) = (local.div_euclid(86_400), local.rem_euclid(86_400));
    Map::from([
        ("hour".into(), (second / 3600).into()),
        ("minute".into(), (second % 3600 / 60).into()),
        // 1970-01-01 was a Thursday.
        ("weekday".into(), ((day + 3).rem_euclid(7) + 1).into()),
        ("unix".into(), wall.unix_s.into()),
    ])
}
