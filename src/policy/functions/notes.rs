//! `put`, `get`, `changed`, `once_per`: what a policy remembers of earlier evaluations.

use std::time::Duration;

use rhai::{Dynamic, Engine, NativeCallContext};

use super::{Outcome, evaluation, failed};
use crate::policy::{
    Note, duration, kept,
    language::{Function, Group},
    note::LONGEST,
    sources::sha256_of,
};

/// Notes in the language.
pub(super) const LANGUAGE: &[Function] = &[
    Function {
        name: "get",
        group: Group::Helper,
        forms: &["key: text, default: value"],
        returns: "value",
        summary: "What `put` kept under this key, else the default. Kept over reloads and restarts.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "let runs = get(\"runs\", 0);",
    },
    Function {
        name: "put",
        group: Group::Helper,
        forms: &["key: text, value: value"],
        returns: "nothing",
        summary: "Keeps a truth, a number or a text (up to 1 KiB) under a key; up to 64 keys.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "put(\"runs\", get(\"runs\", 0) + 1);",
    },
    Function {
        name: "changed",
        group: Group::Helper,
        forms: &["name: text, value: value"],
        returns: "truth",
        summary: "Whether the value is another one than the last time; the first time it is not.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if changed(\"page\", http(\"http://127.0.0.1/version\").body) { log_info(\"another version serves\"); }",
    },
    Function {
        name: "once_per",
        group: Group::Helper,
        forms: &["name: text, time: duration"],
        returns: "truth",
        summary: "True the first time, and again once so much time has passed since it last was.",
        options: &[],
        fields: &[],
        privilege: "",
        example: "if !peer.alive && once_per(\"lonely\", \"10m\") { log_warn(\"the peer is still away\"); }",
    },
];

pub(super) fn register(engine: &mut Engine) {
    engine
        .register_fn("get", |call: NativeCallContext<'_>, key: &str, default: Dynamic| get(&call, key, default))
        // Else `get("runs", 0)` is the first letter of the text, as the script language has it.
        .register_fn("get", |call: NativeCallContext<'_>, key: &str, default: i64| get(&call, key, default.into()))
        .register_fn("put", |call: NativeCallContext<'_>, key: &str, value: Dynamic| put(&call, key, &value))
        .register_fn("changed", |call: NativeCallContext<'_>, name: &str, value: Dynamic| changed(&call, name, &value))
        .register_fn("once_per", |call: NativeCallContext<'_>, name: &str, time: Dynamic| once_per(&call, name, &time));
}

fn get(call: &NativeCallContext<'_>, key: &str, default: Dynamic) -> Outcome<Dynamic> {
    Ok(evaluation(call)?.ledger().memory.notes.get(key).map_or(default, Note::to_script))
}

fn put(call: &NativeCallContext<'_>, key: &str, value: &Dynamic) -> Outcome<()> {
    let note = note(call, value)?;
    if matches!(&note, Note::Text(text) if text.len() > LONGEST) {
        return Err(failed(call, format!("put keeps texts up to {LONGEST} bytes")));
    }
    evaluation(call)?.ledger().memory.put(key, note).map_err(|why| failed(call, why))
}

fn changed(call: &NativeCallContext<'_>, name: &str, value: &Dynamic) -> Outcome<bool> {
    let now = match note(call, value)? {
        // Long texts are told apart by their digest.
        Note::Text(text) if text.len() > LONGEST => Note::Text(sha256_of(text.as_bytes())),
        now @ (Note::Nothing | Note::Truth(_) | Note::Whole(_) | Note::Number(_) | Note::Text(_)) => now,
    };
    evaluation(call)?.ledger().memory.changed(name, now).map_err(|why| failed(call, why))
}

fn once_per(call: &NativeCallContext<'_>, name: &str, time: &Dynamic) -> Outcome<bool> {
    let per: Duration = duration::from_script(time).map_err(|why| failed(call, why))?;
    let evaluation = evaluation(call)?;
    let now = evaluation.started_at;
    let free = evaluation.ledger().memory.spend(kept::ONCE, name, now, 1, per);
    free.map_err(|why| failed(call, why))
}

fn note(call: &NativeCallContext<'_>, value: &Dynamic) -> Outcome<Note> {
    Note::from_script(value).map_err(|why| failed(call, format!("{} {why}", call.fn_name())))
}
