//! Every kind of probe as a function: it starts the probe and returns it at once.

use std::net::IpAddr;

use rhai::{Array, Dynamic, Engine, Map, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::{
    policy::{
        condition::Condition,
        options::{Options, address},
        probe::{KINDS, Kind, ProbeRequest, Target},
        script::TIMEOUT,
    },
    words::Family,
};

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Condition>("probe");
    for kind in &KINDS {
        register_kind(engine, kind);
    }
}

/// Once without options and once with them.
fn register_kind(engine: &mut Engine, kind: &'static Kind) {
    let name = kind.function.name;
    macro_rules! with_target {
        ($target:ty) => {
            engine
                .register_fn(name, move |call: NativeCallContext<'_>, target: $target| {
                    start(&call, kind, &Dynamic::from(target), &Map::new())
                })
                .register_fn(name, move |call: NativeCallContext<'_>, target: $target, options: Map| {
                    start(&call, kind, &Dynamic::from(target), &options)
                })
        };
    }
    match kind.target {
        Target::Text => with_target!(rhai::ImmutableString),
        Target::Number => with_target!(i64),
        Target::List => with_target!(Array),
        Target::Nothing => engine
            .register_fn(name, move |call: NativeCallContext<'_>| start(&call, kind, &Dynamic::UNIT, &Map::new()))
            .register_fn(name, move |call: NativeCallContext<'_>, options: Map| {
                start(&call, kind, &Dynamic::UNIT, &options)
            }),
    };
}

fn start(call: &NativeCallContext<'_>, kind: &Kind, target: &Dynamic, options: &Map) -> Outcome<Condition> {
    let evaluation = evaluation(call)?;
    let job = request(kind, target, options).and_then(|request| evaluation.probe(request));
    job.map(Condition::Probe).map_err(|why| failed(call, why))
}

fn request(kind: &Kind, target: &Dynamic, options: &Map) -> Result<ProbeRequest, String> {
    let name = kind.function.name;
    if target.is_string() && target.to_string().trim().is_empty() {
        return Err(format!("{name} has nothing to probe: its target is an empty text"));
    }
    let options = Options::new(name, options)?;
    let timeout = options.duration("timeout", TIMEOUT)?;
    if timeout.is_zero() {
        return Err("timeout: a probe needs more than no time".to_owned());
    }
    let (bind, family) = near_end(&options)?;
    Ok(ProbeRequest {
        kind: (kind.read)(target, &options)?,
        timeout,
        bind,
        iface: options.text("iface")?,
        family,
        name: options.text("name")?,
    })
}

/// A source address has a family already; another one beside it would not be kept.
fn near_end(options: &Options<'_>) -> Result<(Option<IpAddr>, Option<Family>), String> {
    let bind = options.text("bind")?.map(|text| address("bind", &text)).transpose()?;
    match (bind, family(options)?) {
        (Some(bind), Some(family)) if Family::of(bind) != family => {
            Err(format!("family: bind is {bind}, which is of the other family"))
        }
        (bind, family) => Ok((bind, family)),
    }
}

fn family(options: &Options<'_>) -> Result<Option<Family>, String> {
    match options.get("family").map(|value| value.as_int()) {
        None => Ok(None),
        Some(Ok(4)) => Ok(Some(Family::V4)),
        Some(Ok(6)) => Ok(Some(Family::V6)),
        Some(Ok(_) | Err(_)) => Err("family: write 4 or 6".to_owned()),
    }
}
