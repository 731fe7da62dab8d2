//! The policy language as a definition file of Rhai (`*.d.rhai`): what its language server completes and checks.

use crate::policy::language::{self, Function};

/// The file: every form of every function, and what is known inside functions.
pub(super) fn text() -> String {
    let mut text = String::from(
        "// The policy language of ha, for the Rhai language server. Written by `ha api`; the reference is `ha api --doc`.\n\
         module static;\n",
    );
    for (name, facts) in [("node", language::NODE), ("peer", language::PEER)] {
        let names: Vec<&str> = facts.iter().map(|fact| fact.name).collect();
        text += &format!("\n/// Has {}.\nconst {name}: Map;\n", names.join(", "));
    }
    text += "\n/// Every peer, each like `peer`.\nconst peers: Array;\n";
    text += "\n/// Seconds on a clock that never jumps.\nconst now: float;\n";
    for function in language::functions() {
        for form in function.forms {
            text +=
                &format!("\n{}fn {}({}){};\n", comment(function), function.name, parameters(form), returned(function));
        }
    }
    text
}

/// What the editor shows beside the function.
fn comment(function: &Function) -> String {
    let mut lines = vec![function.summary.to_owned()];
    let options: Vec<&str> = function.choices().map(|option| option.name).collect();
    if !options.is_empty() {
        lines.push(format!("Options: {}.", options.join(", ")));
    }
    if !function.fields.is_empty() {
        let fields: Vec<&str> = function.fields.iter().map(|field| field.name).collect();
        lines.push(format!("Fields: {}.", fields.join(", ")));
    }
    let example = function.example.lines().map(|line| format!("    {line}"));
    let lines = lines.into_iter().chain([String::new()]).chain(example);
    lines.map(|line| format!("/// {line}").trim_end().to_owned() + "\n").collect()
}

/// `url: String, options: Map`
fn parameters(form: &str) -> String {
    let parameters = form.split(", ").filter_map(|parameter| parameter.split_once(": "));
    parameters.map(|(name, kind)| format!("{name}: {}", type_of(kind))).collect::<Vec<_>>().join(", ")
}

fn returned(function: &Function) -> String {
    match function.returns {
        "nothing" => String::new(),
        kind => format!(" -> {}", type_of(kind)),
    }
}

/// A kind as the script engine calls it; `?` is any.
fn type_of(kind: &str) -> &'static str {
    match kind {
        "text" => "String",
        "truth" => "bool",
        "map" => "Map",
        "list" => "Array",
        "probe" | "condition" => "probe",
        "rule" => "rule",
        "verdict" => "verdict",
        _ => "?",
    }
}
