//! The published schemas: what the commands print is what they describe.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::{collections::BTreeSet, fs, path::Path};

use ha::control::Reload;
use serde_json::{Value, json};

use crate::{
    beside::{self, Daemon},
    cli::Desk,
};

/// As much of JSON Schema as our files use: `$ref` into `$defs`, `type`, `const`, `enum`, `minimum`, `maximum`,
/// `properties`, `required`, `additionalProperties`, `items`.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.strip_prefix("#/$defs/").unwrap();
        return check(root, &root["$defs"][name], value, at);
    }
    if schema.get("const").is_some_and(|wanted| wanted != value) {
        return Err(format!("{at} is {value}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return Err(format!("{at} is {value}"));
    }
    match &schema["type"] {
        Value::String(wanted) if !is_a(value, wanted) => return Err(format!("{at} is no {wanted}: {value}")),
        Value::Array(wanted) if !wanted.iter().any(|wanted| is_a(value, wanted.as_str().unwrap())) => {
            return Err(format!("{at} is none of {wanted:?}: {value}"));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {}
    }
    if let Some(number) = value.as_i64()
        && (schema["minimum"].as_i64().is_some_and(|least| number < least)
            || schema["maximum"].as_i64().is_some_and(|most| number > most))
    {
        return Err(format!("{at} is {value}"));
    }
    if let Some(items) = value.as_array().filter(|_| schema["items"].is_object()) {
        for (number, item) in items.iter().enumerate() {
            check(root, &schema["items"], item, &format!("{at}[{number}]"))?;
        }
    }
    let Some(members) = value.as_object() else { return Ok(()) };
    for required in schema["required"].as_array().into_iter().flatten() {
        if !members.contains_key(required.as_str().unwrap()) {
            return Err(format!("{at} has no {required}"));
        }
    }
    for (name, member) in members {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => return Err(format!("{at} is not in the schema")),
            (Value::Null, further @ Value::Object(_)) => check(root, further, member, &at)?,
            (Value::Null, _) => {}
            (known, _) => check(root, known, member, &at)?,
        }
    }
    Ok(())
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    }
}

fn schema(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&desk.ha(&["schema", name]).out).unwrap()
}

/// A status with everything in it that a daemon may say.
#[test]
fn a_status_is_what_is_published() {
    let desk = Desk::new();
    let backoff = json!({ "base_ms": 1, "max_ms": 2, "reset_ms": 3 });
    let mut plain = beside::rule("disk", &json!({ "quiet_ms": 5, "weight": 9, "effect": "prefer" }));
    plain["options"]["backoff"] = backoff;
    let mut status = beside::status(&json!([plain, beside::rule("web", &json!({ "file": "lib/a.rhai" }))]));
    status.instances[0].routing = vec!["route default via 192.168.0.1".to_owned()];
    status.instances[0].devices.insert("10.1.0.60/24".to_owned(), "eth1".to_owned());
    for pinned in
        [json!({ "how": "command", "uid": 0 }), json!({ "how": "file", "uid": 0, "written": "2026-08-22T10:14:00Z" })]
    {
        let pinned = json!({ "generation": 7, "by": pinned, "time": "2026-08-22T10:14:00Z" });
        status.policies[0].pinned = Some(serde_json::from_value(pinned).unwrap());
        status.policies[0].stale = Some(serde_json::from_value(json!({ "since_ms": 1, "error": "no" })).unwrap());
        let daemon = Daemon::start(&desk, status.clone(), Reload::new(vec![], vec![]));
        let said = desk.ha(&["status", "-c", "ha.toml", "--json"]);
        drop(daemon);
        let document: Value = serde_json::from_str(&said.out).unwrap();
        let published = schema(&desk, "status");
        check(&published, &published, &document, "status").unwrap();
        let mut stranger = document;
        stranger["instances"][0]["reports"][0]["rules"][0]["more"] = json!(1);
        assert!(check(&published, &published, &stranger, "").is_err());
    }
}

/// As JSON, which is what editors hold a schema against.
fn configuration(text: &str) -> Value {
    serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap()
}

/// The keys of a schema as one writes them.
fn keys(root: &Value, schema: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    let of = |target: &'_ Value| -> Value {
        let name = target["$ref"].as_str().unwrap().strip_prefix("#/$defs/").unwrap();
        root["$defs"][name].clone()
    };
    for (name, inner) in schema["properties"].as_object().unwrap() {
        let key = format!("{prefix}{name}");
        match (&inner["properties"], &inner["additionalProperties"]) {
            (Value::Object(_), _) => keys(root, inner, &format!("{key}."), found),
            (_, named @ Value::Object(_)) => keys(root, &of(named), &format!("{key}.NAME."), found),
            _ => {
                if inner["items"]["$ref"].is_string() {
                    keys(root, &of(&inner["items"]), &format!("{key}[]."), found);
                }
                found.insert(key);
            }
        }
    }
}

/// What a line of the reference only mentions, if it mentions an option or a table.
fn option_of(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("# ")?;
    let key = rest.split(" = ").next()?;
    (rest.starts_with('[') || rest.len() > key.len() && !key.contains(' ')).then_some(rest)
}

#[test]
fn configurations_are_what_is_published() {
    let desk = Desk::new();
    let published = schema(&desk, "config");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    for file in ["node1.toml", "node2.toml", "reference.toml"] {
        let text = fs::read_to_string(directory.join(file)).unwrap();
        check(&published, &published, &configuration(&text), file).unwrap();
    }
    // The reference with every option that it only mentions.
    let text = fs::read_to_string(directory.join("reference.toml")).unwrap();
    let twice = |line: &str| {
        line.starts_with("addresses = [\"") || ["policies = []", "routes = []", "rules = []"].contains(&line)
    };
    let lines = text.lines().filter(|line| !twice(line));
    let full: Vec<&str> = lines.map(|line| option_of(line).unwrap_or(line)).collect();
    let full = configuration(&full.join("\n"));
    assert!(full["webhook"]["chat"]["secret"].is_string() && full["instance"]["VI_1"]["auth"].is_object());
    check(&published, &published, &full, "reference").unwrap();
    for wrong in [
        "nod = 1",
        "node = 1",
        "node = \"K1\"\n[instance.A]\ninterface = \"eth0\"",
        "node = \"K1\"\nrealtime_priority = 100",
    ] {
        assert!(check(&published, &published, &configuration(wrong), "").is_err(), "{wrong}");
    }
    let mut listed = BTreeSet::new();
    keys(&published, &published, "", &mut listed);
    assert_eq!(listed, ha::config::keys().into_iter().collect());
}

/// What an editor shows beside an option is what the reference says of it.
#[test]
fn options_are_explained_as_the_reference_explains_them() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.toml")).unwrap();
    let reference: Vec<&str> = text.split_whitespace().filter(|word| *word != "#").collect();
    let reference = reference.join(" ");
    let published = schema(&Desk::new(), "config");
    let mut ahead = vec![&published];
    let mut told = 0;
    while let Some(value) = ahead.pop() {
        if let Some(said) = value.get("description").and_then(Value::as_str) {
            assert!(reference.contains(said), "the reference does not say: {said}");
            told += 1;
        }
        ahead.extend(value.as_object().into_iter().flat_map(|members| members.values()));
    }
    assert!(told >= 40, "{told}");
}

/// A word that the schema allows is one that the program takes, and the defaults are those of the reference.
#[test]
fn words_and_defaults_of_the_configuration_are_the_programs() {
    let desk = Desk::new();
    let published = schema(&desk, "config");
    let instance = published["$defs"]["instance"]["properties"].as_object().unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.toml")).unwrap();
    let reference = configuration(&text);
    for (name, option) in instance {
        if let Some(default) = option.get("default") {
            assert_eq!(default, &reference["instance"]["VI_1"][name], "{name}");
        }
        for word in option["enum"].as_array().into_iter().flatten() {
            let line = format!(
                "node = \"K1\"\n[instance.VI_1]\ninterface = \"lo\"\nvirtual_router_id = 51\naddresses = [\"192.0.2.60/24\"]\n\
                 peers = [\"192.0.2.21\"]\n{name} = {word}\n"
            );
            desk.write("word.toml", &line);
            let said = desk.ha(&["check", "word.toml"]);
            assert!(!said.out.contains("error"), "{name} = {word}: {}", said.out);
        }
    }
}

#[test]
fn what_is_printed_is_what_is_published() {
    let desk = Desk::new();
    let broken = "fn check() {\n    requier(\"web\", true);\n}\n";
    desk.write("broken.rhai", broken);
    desk.write("story.txt", "node a ha.toml\nat 1s expect a leads\n");
    desk.write("wrong.toml", "node = \"K1\"\nnonsense = true\n");
    let outputs: [(&str, &[&str]); 12] = [
        ("check", &["check", "ha.toml"]),
        ("check", &["check", "wrong.toml", "broken.rhai"]),
        ("check", &["check", "ha.toml", "--dry-run"]),
        ("check", &["check", "ha.toml", "--what-if", "web=down,peer=dead"]),
        ("sim", &["sim", "ha.toml"]),
        ("sim", &["sim", "story.txt", "--packets"]),
        ("storm", &["sim", "story.txt", "--storm", "2", "--time", "5"]),
        ("test", &["test", "policies", "--auto"]),
        ("test", &["test", "broken.rhai"]),
        ("probe", &["probe", "file(\"/\")"]),
        ("probe", &["probe", "any([file(\"/nowhere\"), tcp(\"127.0.0.1:1\", #{ timeout: \"1s\" })])"]),
        ("probe", &["probe", "tcp(\"127.0.0.1\")"]),
    ];
    for (name, arguments) in outputs {
        let schema: Value = serde_json::from_str(&desk.ha(&["schema", name]).out).unwrap();
        let said = desk.ha(&[arguments, &["--json"]].concat());
        let document: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}{}", said.out, said.err));
        check(&schema, &schema, &document, "document").unwrap_or_else(|why| panic!("{arguments:?}: {why}"));
    }
    // A schema that lets everything through would pass.
    let schema: Value = serde_json::from_str(&desk.ha(&["schema", "test"]).out).unwrap();
    assert!(check(&schema, &schema, &serde_json::json!({ "schema": "ha.test/2", "files": [] }), "").is_err());
    assert!(
        check(&schema, &schema, &serde_json::json!({ "schema": "ha.test/1", "files": [], "more": 1 }), "").is_err()
    );
}
