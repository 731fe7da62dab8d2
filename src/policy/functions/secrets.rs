//! `secret`: the name of something that only the probe or the action that needs it will know.

use rhai::{Dynamic, Engine, ImmutableString, NativeCallContext};

use super::{Outcome, failed};
use crate::policy::{
    language::{Function, Group},
    secret::Secret,
};

/// Secrets in the language.
pub(super) const LANGUAGE: &[Function] = &[Function {
    name: "secret",
    group: Group::General,
    forms: &["name: text"],
    returns: "secret",
    summary: "A password or a token for the options that take one: the credential NAME that systemd passes \
              (LoadCredential=), else the file NAME in `secrets_dir` (/etc/ha/secrets; mode 0600 or 0400, of the user \
              that the daemon runs as). It is read when it is used and shows as ***. One that cannot be read makes its probe blind.",
    options: &[],
    fields: &[],
    privilege: "",
    example: "let token = secret(\"api_token\");",
}];

/// What a script might try with a text.
const OPERATORS: [&str; 8] = ["+", "+=", "==", "!=", "<", "<=", ">", ">="];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_type_with_name::<Secret>("secret")
        .register_fn("secret", |call: NativeCallContext<'_>, name: &str| -> Outcome<Secret> {
            Secret::named(name).map_err(|why| failed(&call, why))
        })
        .register_fn("to_string", |secret: Secret| secret.to_string())
        .register_fn("to_debug", |secret: Secret| secret.to_string());
    for operator in OPERATORS {
        // The script language adds anything to a text, and finds anything different from anything else.
        engine
            .register_fn(operator, |call: NativeCallContext<'_>, _: Secret, _: Secret| refuse(&call))
            .register_fn(operator, |call: NativeCallContext<'_>, _: Secret, _: Dynamic| refuse(&call))
            .register_fn(operator, |call: NativeCallContext<'_>, _: Dynamic, _: Secret| refuse(&call))
            .register_fn(operator, |call: NativeCallContext<'_>, _: Secret, _: ImmutableString| refuse(&call))
            .register_fn(operator, |call: NativeCallContext<'_>, _: ImmutableString, _: Secret| refuse(&call));
    }
}

fn refuse(call: &NativeCallContext<'_>) -> Outcome<Dynamic> {
    Err(failed(
        call,
        "a secret is known to nobody here, so it is compared with nothing and put into no text: give it to an option that \
         takes one, as it is",
    ))
}
