//! Functions of the script language that make much out of little in one step, where nothing could stop them: the same
//! functions again, with a limit.

use rhai::{Array, Dynamic, Engine, ImmutableString, Map, NativeCallContext};

use super::{Outcome, failed};
use crate::policy::{condition::to_script, probe::json, text};

/// Must be registered after the script language's own were counted: these are no functions of the policy language.
pub(in crate::policy) fn register(engine: &mut Engine) {
    engine
        .register_fn("replace", |call: NativeCallContext<'_>, text: &mut ImmutableString, find: &str, with: &str| {
            replace(&call, text, find, with)
        })
        .register_fn("replace", |call: NativeCallContext<'_>, text: &mut ImmutableString, find: &str, with: char| {
            replace(&call, text, find, with.encode_utf8(&mut [0; 4]))
        })
        .register_fn("replace", |call: NativeCallContext<'_>, text: &mut ImmutableString, find: char, with: &str| {
            replace(&call, text, find.encode_utf8(&mut [0; 4]), with)
        });
    for name in ["to_string", "to_debug"] {
        // One that is too long is refused by whoever gets it.
        engine
            .register_fn(name, |list: &mut Array| text::show_list(list))
            .register_fn(name, |map: &mut Map| text::show_map(map));
    }
    engine.register_fn("parse_json", |call: NativeCallContext<'_>, text: &str| -> Outcome<Dynamic> {
        let document = json::read(text).map_err(|why| failed(&call, format!("parse_json: {why}")))?;
        Ok(to_script(&document))
    });
    engine.register_fn("to_json", |call: NativeCallContext<'_>, map: &mut Map| -> Outcome<String> {
        match text::weight_of_map(map) {
            weight if weight > text::LONGEST => Err(too_long(&call)),
            _ => Ok(rhai::format_map_as_json(map)),
        }
    });
}

fn replace(call: &NativeCallContext<'_>, text: &mut ImmutableString, find: &str, with: &str) -> Outcome<()> {
    let found = text.matches(find).count();
    let length = text.len().saturating_sub(found * find.len()).saturating_add(found.saturating_mul(with.len()));
    if length > text::LONGEST {
        return Err(too_long(call));
    }
    if !text.is_empty() {
        *text = text.replace(find, with).into();
    }
    Ok(())
}

fn too_long(call: &NativeCallContext<'_>) -> Box<rhai::EvalAltResult> {
    failed(call, format!("{}: a text grows longer than {} KiB", call.fn_name(), text::LONGEST / 1024))
}
