//! The published schemas: what the commands print is what they describe.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::Value;

use crate::cli::Desk;

/// As much of JSON Schema as our files use: `$ref` into `$defs`, `type`, `const`, `enum`, `properties`, `required`,
/// `additionalProperties`, `items`.
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

#[test]
fn what_is_printed_is_what_is_published() {
    let desk = Desk::new();
    let broken = "fn check() {\n    requier(\"web\", true);\n}\n";
    desk.write("broken.rhai", broken);
    desk.write("wrong.toml", "node = \"K1\"\nnonsense = true\n");
    let outputs: [(&str, &[&str]); 9] = [
        ("check", &["check", "ha.toml"]),
        ("check", &["check", "wrong.toml", "broken.rhai"]),
        ("check", &["check", "ha.toml", "--dry-run"]),
        ("check", &["check", "ha.toml", "--what-if", "web=down,peer=dead"]),
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
