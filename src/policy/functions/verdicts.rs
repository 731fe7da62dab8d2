//! `healthy`, `adjust`, `fault`, `hold`, `maintenance`: verdicts that `check()` returns itself.

use rhai::{Engine, NativeCallContext};

use super::{Outcome, failed};

/// A verdict a script returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Explicit {
    Healthy(String),
    Adjust(i32, String),
    Fault(String),
    Hold(String),
    Maintenance(String),
}

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Explicit>("verdict")
        .register_fn("healthy", || Explicit::Healthy(String::new()))
        .register_fn("healthy", |note: &str| Explicit::Healthy(note.to_owned()))
        .register_fn("adjust", |call: NativeCallContext<'_>, delta: i64, why: &str| -> Outcome<Explicit> {
            let delta = i32::try_from(delta).ok().filter(|delta| (-253..=253).contains(delta));
            let delta = delta.ok_or_else(|| failed(&call, "adjust takes a change from -253 to 253"))?;
            Ok(Explicit::Adjust(delta, why.to_owned()))
        })
        .register_fn("fault", |why: &str| Explicit::Fault(why.to_owned()))
        .register_fn("hold", |why: &str| Explicit::Hold(why.to_owned()))
        .register_fn("maintenance", |why: &str| Explicit::Maintenance(why.to_owned()));
}
